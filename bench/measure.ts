// How everything here is timed: tinybench calls a task a number of times, after warm-up. Results are medians, which a
// busy machine affects least.
import { Bench } from 'tinybench'
import { type KernelTime, currentDevice } from '../engine/index.ts'

/** Milliseconds of one call. */
export interface Timing {
  readonly median: number
  /** The lower and the upper quartile. */
  readonly p25: number
  readonly p75: number
  readonly count: number
}

export interface Effort {
  /** Calls that are timed. */
  readonly calls: number
  /** Calls that are queued before waiting for the device. */
  readonly repeats: number
}

/**
 * Wall time of a call, among `repeats` of them queued one after another. `run` may return before the device is done.
 */
export async function measure(run: () => Promise<unknown>, { calls, repeats }: Effort): Promise<Timing> {
  return samplesOf(calls, () => wallTime(run, repeats))
}

/** Milliseconds of one call among `repeats`, until the device is done. */
export async function wallTime(run: () => Promise<unknown>, repeats: number): Promise<number> {
  const device = await currentDevice()
  const start = performance.now()
  for (let i = 0; i < repeats; i++) await run()
  await device.idle()
  return (performance.now() - start) / repeats
}

/** A compiled function of no inputs. */
export type Profiled = { profile(): Promise<{ kernels: readonly KernelTime[] }> }

/** Device time of a run's kernels, by timestamps: what the host does in between doesn't count. */
export async function measureKernels(fn: Profiled, { calls }: Effort): Promise<Timing> {
  return samplesOf(calls, () => deviceTime(fn))
}

/** Milliseconds of all kernels of one run. */
export async function deviceTime(fn: Profiled): Promise<number> {
  return sumOf((await fn.profile()).kernels, kernel => kernel.nanoseconds) / 1e6
}

/** A sum over all kernels. */
export function sumOf(kernels: readonly KernelTime[], of: (kernel: KernelTime) => number): number {
  return kernels.reduce((sum, kernel) => sum + of(kernel), 0)
}

/**
 * Durations of calls that are to be compared, by call and round. They take turns, in reverse order every other round,
 * so that a machine that is busy for a while affects all of them. Each call returns its own duration, in milliseconds.
 */
export async function samplesInTurns(calls: readonly (() => Promise<number>)[], rounds: number): Promise<number[][]> {
  const samples = calls.map((): number[] => [])
  const inOrder = [...calls.entries()]
  for (const call of calls) await call()
  for (let round = 0; round < rounds; round++) {
    for (const [i, call] of round % 2 === 0 ? inOrder : inOrder.toReversed()) samples[i].push(await call())
  }
  return samples
}

/**
 * How many times longer the second of two calls takes: the median over rounds in which both ran at the same speed. A
 * shared CPU's speed may change by a third between two calls; the ratios of such rounds are outliers.
 */
export function ratioAtOnePace(samples: readonly (readonly number[])[]): number {
  return quantile(ratiosAtOnePace(samples), 0.5)
}

/**
 * Whether it is clear which of two calls takes longer: 1 is outside the 95 % confidence interval of their median ratio.
 */
export function isSettled(samples: readonly (readonly number[])[]): boolean {
  const ratios = ratiosAtOnePace(samples)
  // The number of samples below the true median is binomial: n / 2 ± √n with a probability of 95 %.
  const [middle, spread] = [(ratios.length - 1) / 2, Math.sqrt(ratios.length)]
  return middle >= spread && (ratios[Math.ceil(middle - spread)] > 1 || ratios[Math.floor(middle + spread)] < 1)
}

/** The ratios by round, without outliers, sorted. */
function ratiosAtOnePace([one, other]: readonly (readonly number[])[]): number[] {
  const ratios = other.map((time, round) => time / one[round])
  const middle = timingOf(ratios).median
  return ratios.filter(ratio => Math.max(ratio / middle, middle / ratio) < 1.1).sort((a, b) => a - b)
}

/** `call` returns its own duration, in milliseconds. */
async function samplesOf(calls: number, call: () => Promise<number>): Promise<Timing> {
  const bench = new Bench({
    iterations: calls,
    time: 0,
    warmupIterations: 1,
    warmupTime: 0,
    retainSamples: true,
    throws: true,
  })
  bench.add('call', async () => ({ overriddenDuration: await call() }))
  const [{ result }] = await bench.run()
  if (result.state !== 'completed') throw new Error(`nothing was measured: ${result.state}`)
  return timingOf(result.latency.samples ?? [])
}

/** The order statistics of times in milliseconds. */
export function timingOf(samples: readonly number[]): Timing {
  if (samples.length === 0) throw new Error('no samples')
  const sorted = [...samples].sort((a, b) => a - b)
  return {
    median: quantile(sorted, 0.5),
    p25: quantile(sorted, 0.25),
    p75: quantile(sorted, 0.75),
    count: sorted.length,
  }
}

/** A quantile of sorted numbers, interpolated. */
function quantile(sorted: readonly number[], q: number): number {
  const at = q * (sorted.length - 1)
  const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]]
  return low + (high - low) * (at - Math.floor(at))
}
