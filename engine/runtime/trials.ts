// Measures a kernel's candidates on the adapter in use: each runs alone on memory of the right size, and the fastest is
// the answer from then on. Floats are zeros, since their values don't affect the time; integers are ones, since a mask
// of zeros would leave nothing to compute. Correctness of the candidates is left to the tests.
import { type Launch, type Lowering, type Slot, bytesOf } from '../../shaders/kernel.ts'
import { sizeOf } from '../shape.ts'
import { type KernelTuning, type Question, showQuestion } from '../tune.ts'
import type { Device } from './device.ts'
import { timedWait } from './waiting.ts'

/** A question with everything needed to try its candidates. */
export interface Trial {
  readonly question: Question
  readonly candidates: readonly unknown[]
  /** The op's launches with the n-th candidate. */
  lower(n: number): Lowering
  /** Size of a slot's binding in bytes, for any slot but temporaries, which come with the lowering. */
  bytesOf(slot: Slot): number
  /** Whether a slot holds integers, such as ids or a mask. */
  isInteger(slot: Slot): boolean
}

/** Number of candidates that are tried in mode `cached`: the best guesses. */
const FIRST_GUESSES = 4
/** Length of a measurement, most repetitions in it, and measurements of each candidate, of which the best counts. */
const MILLISECONDS = 4
const MOST_RUNS = 50
const ROUNDS = 3
/** GPU clocks change: while any candidate improves its best by this share, all are measured once more. */
const GAIN = 0.1
const MOST_ROUNDS = 12
/** Number of questions whose candidates compile at the same time. */
const CONCURRENT_QUESTIONS = 3
/** After idling, a GPU runs at a low clock for a while: an H200 at a seventh of its speed for up to half a second. */
const WARM_UP_MS = 500
/** Idle time after which it needs warming up. */
const IDLE_MS = 100
/** When candidates ran last. */
let lastRun = 0

/** Answers the questions that may be measured now. Returns whether to schedule the plan again with the answers. */
export async function answerTrials(device: Device, trials: readonly Trial[]): Promise<boolean> {
  const { tuning } = device
  // Each only once: if candidates depend on more than the question says, an answer may not be among those offered.
  const open = trials.filter(({ question }) => !tuning.isMeasured(question))
  if (tuning.secondsLeft === 0 || open.length === 0) return false
  const { mode, onProgress } = tuning.options
  const operations = (trial: Trial): number =>
    trial.lower(0).launches.reduce((sum, launch) => sum + (launch.operations ?? 0), 0)
  const byWeight = open.map(trial => ({ trial, weight: operations(trial) })).sort((a, b) => b.weight - a.weight)
  // Compilers that use all cores of the host leave gaps in the GPU's queue, and its clock drops: compile first if there
  // is time.
  if (mode === 'full') {
    onProgress?.(0, open.length)
    await timed(tuning, () =>
      atMost(tuning.secondsLeft / 2, Promise.all(byWeight.map(({ trial }) => compile(device, triesOf(trial, tuning))))),
    )
  }
  for (const [answered, { trial }] of byWeight.entries()) {
    if (tuning.secondsLeft === 0) break
    // The candidates of the next questions compile while these are measured.
    for (const { trial: soon } of byWeight.slice(answered, answered + CONCURRENT_QUESTIONS))
      void compile(device, triesOf(soon, tuning))
    const best = await timed(tuning, () => fastest(device, trial))
    // If none can be measured alone, the best guess is the answer, so that the question is not asked again.
    await tuning.learn({ ...trial.question, candidate: best ? best.candidate : trial.candidates[0] })
    onProgress?.(answered + 1, open.length)
  }
  return true
}

/** Charges the time that `act` takes to the tuning budget. */
async function timed<T>(tuning: KernelTuning, act: () => Promise<T>): Promise<T> {
  const start = performance.now()
  const result = await act()
  tuning.spend((performance.now() - start) / 1000)
  return result
}

/** Waits for a promise, but no longer than `seconds`. */
async function atMost(seconds: number, done: Promise<unknown>): Promise<void> {
  if (seconds === Infinity) return void (await done)
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<void>(resolve => {
    timer = setTimeout(resolve, 1000 * seconds)
  })
  await Promise.race([done, late])
  clearTimeout(timer)
}

interface Tried {
  readonly candidate: unknown
  readonly lowering: Lowering
}
type OnFailed = (candidate: unknown, error: unknown) => void

/** The candidates of a question that are tried, without those that can't be lowered here. */
function triesOf({ candidates, lower }: Trial, { options: { mode } }: KernelTuning, failed?: OnFailed): Tried[] {
  const count = mode === 'full' ? candidates.length : Math.min(candidates.length, FIRST_GUESSES)
  return candidates.slice(0, count).flatMap((candidate, n) => {
    try {
      return [{ candidate, lowering: lower(n) }]
    } catch (error) {
      failed?.(candidate, error)
      return []
    }
  })
}

/** Compiles all pipelines concurrently: drivers use as many threads as there are. */
async function compile({ pipelines }: Device, tried: readonly Tried[]): Promise<void> {
  const launches = tried.flatMap(({ lowering }) => lowering.launches)
  await Promise.allSettled(launches.map(launch => pipelines.get(launch)))
}

/** The fastest candidate, or undefined if none ran. */
async function fastest(device: Device, trial: Trial): Promise<Pick<Tried, 'candidate'> | undefined> {
  const { tuning } = device
  const failed: OnFailed = (candidate, error) => {
    device.check()
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error)
    const what = `${showQuestion(trial.question)}: ${JSON.stringify(candidate)}`
    tuning.options.onFailure?.(`${what} does not run on this adapter: ${reason}`)
  }
  const tried = triesOf(trial, tuning, failed)
  await compile(device, tried)
  const bench = new Bench(device, trial)
  const running: { candidate: unknown; run: Run }[] = []
  try {
    for (const { candidate, lowering } of tried) {
      try {
        running.push({ candidate, run: await bench.prepare(lowering) })
      } catch (error) {
        failed(candidate, error)
      }
    }
    if (!device.traits.cpu && running.length > 1 && performance.now() - lastRun > IDLE_MS) await warmUp(running[0].run)
    const calls: (() => Promise<number>)[] = []
    for (const { run } of running) {
      const times = Math.max(1, Math.min(MOST_RUNS, Math.ceil(MILLISECONDS / Math.max(await run(1), 0.01))))
      calls.push(async () => (await run(times)) / times)
    }
    const least = await leastTimes(calls, device.traits.cpu)
    return running[least.indexOf(Math.min(...least))]
  } catch (error) {
    device.check() // throws the clearer error if the GPU was lost
    throw error
  } finally {
    lastRun = performance.now()
    bench.end()
  }
}

/**
 * The least time of each call, as the calls return it. They take turns, so that a temporary slowdown affects all of
 * them. `steady`: the adapter's speed doesn't change otherwise, like that of a CPU.
 */
export async function leastTimes(calls: readonly (() => Promise<number>)[], steady: boolean): Promise<number[]> {
  const least = calls.map(() => Infinity)
  let gained = true
  for (let round = 0; round < ROUNDS || (gained && !steady && round < MOST_ROUNDS); round++) {
    gained = false
    for (const [i, call] of calls.entries()) {
      const time = await call()
      gained ||= time < (1 - GAIN) * least[i]
      least[i] = Math.min(least[i], time)
    }
  }
  return least
}

/** Runs something until it no longer gets faster. */
async function warmUp(run: Run): Promise<void> {
  const start = performance.now()
  let [least, steady] = [Infinity, 0]
  // Steady: no faster for a tenth of the longest warm-up.
  for (let since = start; performance.now() - start < WARM_UP_MS && steady < WARM_UP_MS / 10;) {
    const time = await run(1)
    if (time < 0.95 * least) since = performance.now()
    least = Math.min(least, time)
    steady = performance.now() - since
  }
}

/** Runs a candidate's launches `times` times. Returns milliseconds. */
type Run = (times: number) => Promise<number>

/** The memory on which a question's candidates run, one after another: they share inputs and outputs. */
class Bench {
  readonly #device: Device
  readonly #trial: Trial
  readonly #held = new Map<string, GPUBuffer>()
  readonly #own: GPUBuffer[] = []

  constructor(device: Device, trial: Trial) {
    this.#device = device
    this.#trial = trial
  }

  /** Throws if the device refuses any of it. */
  async prepare(lowering: Lowering): Promise<Run> {
    const { gpu } = this.#device
    const before = new Set(this.#held.keys())
    gpu.pushErrorScope('validation')
    gpu.pushErrorScope('out-of-memory')
    const scopes = (): Promise<(GPUError | null)[]> => Promise.all([gpu.popErrorScope(), gpu.popErrorScope()])
    const prepared = await Promise.allSettled(lowering.launches.map(launch => this.#bind(lowering, launch)))
    const steps = prepared.flatMap(one => (one.status === 'fulfilled' ? [one.value] : []))
    const failed = prepared.find(one => one.status === 'rejected')
    if (failed) {
      if ((await scopes()).some(error => error !== null)) this.#drop(before)
      throw failed.reason
    }
    const run: Run = async times => {
      const encoder = gpu.createCommandEncoder()
      const pass = encoder.beginComputePass()
      for (let i = 0; i < times; i++) {
        for (const { launch, pipeline, group } of steps) {
          pass.setPipeline(pipeline)
          pass.setBindGroup(0, group)
          pass.dispatchWorkgroups(...launch.workgroups)
        }
      }
      pass.end()
      const start = performance.now()
      gpu.queue.submit([encoder.finish()])
      await timedWait(() => gpu.queue.onSubmittedWorkDone())
      return performance.now() - start
    }
    await run(1)
    const [tooLarge, wrong] = await scopes()
    if (tooLarge ?? wrong) this.#drop(before)
    if (tooLarge) throw new Error('not enough GPU memory to benchmark this candidate')
    if (wrong) throw new Error(wrong.message)
    return run
  }

  async #bind(lowering: Lowering, launch: Launch) {
    const { gpu, buffers, pipelines } = this.#device
    const { pipeline, layout } = await pipelines.get(launch)
    const words = buffers.acquireUniform(Math.max(16, launch.uniforms.byteLength))
    this.#own.push(words)
    gpu.queue.writeBuffer(words, 0, launch.uniforms)
    const bound = [...launch.slots.map(slot => this.#bufferOf(lowering, slot)), words]
    const entries = bound.map((buffer, binding) => ({ binding, resource: { buffer } }))
    return { launch, pipeline, group: gpu.createBindGroup({ layout, entries }) }
  }

  #bufferOf(lowering: Lowering, slot: Slot): GPUBuffer {
    const { gpu, buffers } = this.#device
    const temporary = slot.role === 'temporary' ? lowering.temporaries?.[slot.index] : undefined
    const bytes = temporary ? sizeOf(temporary.shape) * bytesOf(temporary.dtype) : this.#trial.bytesOf(slot)
    // Candidates have different temporaries.
    const name = `${slot.role} ${slot.index}${temporary ? ` of ${bytes} bytes` : ''}`
    const known = this.#held.get(name)
    if (known) return known
    const buffer = buffers.acquire(bytes, 'trial')
    if (this.#trial.isInteger(slot)) gpu.queue.writeBuffer(buffer, 0, new Int32Array(bytes / 4).fill(1))
    this.#held.set(name, buffer)
    return buffer
  }

  /** Destroys the buffers that came since `before`: refused memory must not return to the pool. */
  #drop(before: ReadonlySet<string>): void {
    for (const [name, buffer] of this.#held) {
      if (before.has(name)) continue
      this.#held.delete(name)
      this.#device.buffers.destroy(buffer)
    }
  }

  end(): void {
    for (const buffer of [...this.#held.values(), ...this.#own]) this.#device.buffers.release(buffer)
  }
}
