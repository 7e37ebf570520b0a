// Measuring a kernel's candidates on the adapter at hand: each is run by itself on memory of the right size, and the
// quickest is the answer from then on. Floats are zeros, which take the time of any others; integers are ones, for a mask of
// zeros would leave nothing to do. That every candidate gives the right numbers is what the tests are for.
import type { Launch, Lowering, Slot } from '../../shaders/kernel.ts'
import { bytesOf } from '../../shaders/kernel.ts'
import { type Question, type Tuning, learn, measuring } from '../tune.ts'
import type { Device } from './device.ts'
import { timedWait } from './waiting.ts'

/** A question with what it takes to try its candidates. */
export interface Trial {
  readonly question: Question
  /** The op's launches with the n-th candidate. */
  lower(n: number): Lowering
  /** Bytes that a slot of the op binds; temporaries come with the lowering. */
  bytesOf(slot: Slot): number
  /** Whether it holds integers: ids, a mask. */
  isInteger(slot: Slot): boolean
}

/** Candidates that are tried where time is short: the best guesses. */
const FIRST_GUESSES = 4
/** A measurement repeats a candidate for about so long; each has its turn so often, and its best counts. */
const MILLISECONDS = 4
const ROUNDS = 3
/** A GPU that changes its pace meanwhile favours whose turn it was: while any candidate gains so much on its best, all have another turn. */
const GAIN = 0.1
const MOST_ROUNDS = 12
const MOST_RUNS = 50
/** Questions whose candidates compile at once. */
const AHEAD = 3
/** A GPU that has waited for compilers runs slowly at first: an H200, for up to half a second at a seventh of its speed. */
const WAKING_MS = 500
/** So long without work, and it sleeps. */
const NAP_MS = 100
/** When candidates ran last. */
let lastRun = 0

/** Answers what may be measured now. True where a plan should be scheduled again with what is known. */
export async function answerTrials(device: Device, trials: readonly Trial[]): Promise<boolean> {
  const tuning = measuring(device.traits)
  // Each once: where candidates depend on more than the question says, an answer may be none of those offered.
  const open = trials.filter(({ question }) => !tuning?.asked.has(question.key))
  if (!tuning || open.length === 0) return false
  const operations = (trial: Trial): number => trial.lower(0).launches.reduce((sum, launch) => sum + (launch.operations ?? 0), 0)
  const byWeight = open.map(trial => ({ trial, weight: operations(trial) })).sort((a, b) => b.weight - a.weight)
  // Compilers that keep all of the host's cores busy leave gaps between what a GPU is given, and it slows down: where there is time, they go first.
  if (tuning.mode === 'full') {
    const start = performance.now()
    tuning.onProgress?.(0, open.length)
    await atMost(tuning.secondsLeft / 2, Promise.all(byWeight.map(({ trial }) => compile(device, triesOf(trial, tuning)))))
    tuning.secondsLeft -= (performance.now() - start) / 1000
  }
  for (const [answered, { trial }] of byWeight.entries()) {
    if (tuning.secondsLeft <= 0) break
    const start = performance.now()
    // The next ones' candidates compile while this one's are measured.
    for (const { trial: soon } of byWeight.slice(answered, answered + AHEAD)) void compile(device, triesOf(soon, tuning))
    const { key, candidates } = trial.question
    // Where none can be measured alone, the best guess is the answer: the question is not asked again.
    const best = await fastest(device, trial, tuning) ?? candidates[0]
    tuning.secondsLeft -= (performance.now() - start) / 1000
    learn(tuning, key, best)
    await tuning.onAnswer?.(key, best)
    tuning.onProgress?.(answered + 1, open.length)
  }
  return true
}

/** Waits for something, but no longer than so many seconds. */
async function atMost(seconds: number, done: Promise<unknown>): Promise<void> {
  if (seconds === Infinity) return void await done
  let timer: ReturnType<typeof setTimeout> | undefined
  await Promise.race([done, new Promise<void>(resolve => { timer = setTimeout(resolve, 1000 * seconds) })])
  clearTimeout(timer)
}

interface Tried {
  readonly candidate: string
  readonly lowering: Lowering
}

/** What is tried of a question, without what can't be lowered here. */
function triesOf({ question: { candidates }, lower }: Trial, { mode }: Tuning, failed?: (candidate: string, error: unknown) => void): Tried[] {
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

/** Makes the pipelines, all at once: drivers compile on as many threads as there are. */
async function compile({ pipelines }: Device, tried: readonly Tried[]): Promise<void> {
  const launches = tried.flatMap(({ lowering }) => lowering.launches)
  await Promise.allSettled(launches.map(({ wgsl, label, slots, writes }) => pipelines.get(wgsl, label, slots.length, writes)))
}

/** The candidate that took least time, or undefined where none ran. */
async function fastest(device: Device, trial: Trial, tuning: Tuning): Promise<string | undefined> {
  const failed = (candidate: string, error: unknown): void => {
    device.check()
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error)
    tuning.onFailure?.(`${trial.question.key}: ${candidate} does not run here: ${reason}`)
  }
  const tried = triesOf(trial, tuning, failed)
  await compile(device, tried)
  const bench = new Bench(device, trial)
  const running: { candidate: string, run: Run }[] = []
  try {
    for (const { candidate, lowering } of tried) {
      try {
        running.push({ candidate, run: await bench.prepare(lowering) })
      } catch (error) {
        failed(candidate, error)
      }
    }
    if (!device.traits.cpu && running.length > 1 && performance.now() - lastRun > NAP_MS) await wake(running[0].run)
    const calls: (() => Promise<number>)[] = []
    for (const { run } of running) {
      const times = Math.max(1, Math.min(MOST_RUNS, Math.ceil(MILLISECONDS / Math.max(await run(1), 0.01))))
      calls.push(async () => await run(times) / times)
    }
    const least = await leastTimes(calls, device.traits.cpu)
    return running[least.indexOf(Math.min(...least))]?.candidate
  } catch (error) {
    device.check() // a GPU that is lost says so in words of its own
    throw error
  } finally {
    lastRun = performance.now()
    bench.end()
  }
}

/**
 * The least time of each of some calls, which give their own. They take turns: what slows the adapter down for a while slows all of
 * them. `steady`: it keeps its pace otherwise, as a CPU does.
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
async function wake(run: Run): Promise<void> {
  const start = performance.now()
  let [least, steady] = [Infinity, 0]
  // Steady means a tenth of the time that waking may take, at least.
  for (let since = start; performance.now() - start < WAKING_MS && steady < WAKING_MS / 10;) {
    const time = await run(1)
    if (time < 0.95 * least) since = performance.now()
    least = Math.min(least, time)
    steady = performance.now() - since
  }
}

/** Runs a candidate's launches so many times over; milliseconds. */
type Run = (times: number) => Promise<number>

/** Memory on which the candidates of a question run, one after the other: what they read and write is shared among them. */
class Bench {
  readonly #device: Device
  readonly #trial: Trial
  readonly #held = new Map<string, GPUBuffer>()
  readonly #own: GPUBuffer[] = []

  constructor(device: Device, trial: Trial) {
    this.#device = device
    this.#trial = trial
  }

  /** Throws where the device refuses any of it. */
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
    if (tooLarge) throw new Error('there is no room beside the model')
    if (wrong) throw new Error(wrong.message)
    return run
  }

  async #bind(lowering: Lowering, launch: Launch): Promise<{ launch: Launch, pipeline: GPUComputePipeline, group: GPUBindGroup }> {
    const { gpu, buffers, pipelines } = this.#device
    const { pipeline, layout } = await pipelines.get(launch.wgsl, launch.label, launch.slots.length, launch.writes)
    const words = buffers.acquireUniform(Math.max(16, launch.uniforms.byteLength))
    this.#own.push(words)
    gpu.queue.writeBuffer(words, 0, launch.uniforms)
    const group = gpu.createBindGroup({
      layout, entries: [...launch.slots.map(slot => this.#bufferOf(lowering, slot)), words].map((buffer, binding) => ({ binding, resource: { buffer } })),
    })
    return { launch, pipeline, group }
  }

  #bufferOf(lowering: Lowering, slot: Slot): GPUBuffer {
    const { gpu, buffers } = this.#device
    const temporary = slot.role === 'temporary' ? lowering.temporaries?.[slot.index] : undefined
    const bytes = temporary ? temporary.shape.reduce((a, b) => a * b, 1) * bytesOf(temporary.dtype) : this.#trial.bytesOf(slot)
    // Candidates differ in their temporaries.
    const name = `${slot.role} ${slot.index}${temporary ? ` of ${bytes} bytes` : ''}`
    const known = this.#held.get(name)
    if (known) return known
    const buffer = buffers.acquire(bytes, 'trial')
    if (this.#trial.isInteger(slot)) gpu.queue.writeBuffer(buffer, 0, new Int32Array(bytes / 4).fill(1))
    this.#held.set(name, buffer)
    return buffer
  }

  /** What was refused is no memory that anybody else should get: ends all that came since. */
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
