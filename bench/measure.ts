// How everything here is timed: tinybench runs a task until both a count and a time are reached, after warm-up; what is told
// is the median, which a busy machine moves least.
import { Bench } from 'tinybench'
import { currentDevice } from '../engine/index.ts'

/** Milliseconds of one call. */
export interface Timing {
  readonly median: number
  /** The quarter of calls below and above. */
  readonly p25: number
  readonly p75: number
  readonly count: number
}

export interface Effort {
  /** Calls at least. */
  readonly calls: number
  /** Milliseconds of calls at least, after a tenth of it (and one call) as warm-up. */
  readonly time: number
}

/**
 * Times a call. `run` must come back only when its work is done: with `repeats`, it is called so often in a row before the
 * device is waited for, and the time is divided, so that waiting does not count where one call is short.
 */
export async function measure(run: () => Promise<unknown>, { calls, time }: Effort, repeats = 1): Promise<Timing> {
  const device = await currentDevice()
  const bench = new Bench({ iterations: calls, time, warmupIterations: 1, warmupTime: time / 10, retainSamples: true })
  bench.add('call', async () => {
    for (let i = 0; i < repeats; i++) await run()
    await device.idle()
  })
  const [{ result }] = await bench.run()
  if (!('latency' in result)) throw result.state === 'errored' ? result.error : new Error(`nothing was measured: ${result.state}`)
  return timingOf((result.latency.samples ?? []).map(ms => ms / repeats))
}

/** The order statistics of times in milliseconds. */
export function timingOf(samples: readonly number[]): Timing {
  if (samples.length === 0) throw new Error('no samples')
  const sorted = [...samples].sort((a, b) => a - b)
  return { median: quantile(sorted, 0.5), p25: quantile(sorted, 0.25), p75: quantile(sorted, 0.75), count: sorted.length }
}

/** Of sorted numbers, interpolated. */
function quantile(sorted: readonly number[], q: number): number {
  const at = q * (sorted.length - 1)
  const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]]
  return low + (high - low) * (at - Math.floor(at))
}
