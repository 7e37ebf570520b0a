// Measuring a kernel's candidates on the adapter at hand: each is run by itself on memory of the right size, and the
// quickest is the answer from then on. Floats are zeros, which take the time of any others; integers are ones, for a mask of
// zeros would leave nothing to do. That every candidate gives the right numbers is what the tests are for.
import type { Launch, Lowering, Slot } from '../../shaders/kernel.ts'
import { bytesOf } from '../../shaders/kernel.ts'
import { type Question, type Tuning, measuring } from '../tune.ts'
import type { Device } from './device.ts'

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
/** A measurement repeats a candidate for about so long, so often, and keeps the best. */
const MILLISECONDS = 4
const REPEATS = 3
const MOST_RUNS = 50

/** Answers what may be measured now. True where a plan should be scheduled again with what is known. */
export async function answerTrials(device: Device, trials: readonly Trial[]): Promise<boolean> {
  const tuning = measuring(device.traits)
  // Each once: where candidates depend on more than the question says, an answer may be none of those offered.
  const open = trials.filter(({ question }) => !tuning?.asked.has(question.key))
  if (!tuning || open.length === 0) return false
  const operations = (trial: Trial): number => trial.lower(0).launches.reduce((sum, launch) => sum + (launch.operations ?? 0), 0)
  const byWeight = open.map(trial => ({ trial, weight: operations(trial) })).sort((a, b) => b.weight - a.weight)
  let answered = 0
  for (const { trial } of byWeight) {
    if (tuning.secondsLeft <= 0) break
    const start = performance.now()
    const { key, candidates } = trial.question
    // Where none can be measured alone, the best guess is the answer: the question is not asked again.
    const best = await fastest(device, trial, tuning) ?? candidates[0]
    tuning.secondsLeft -= (performance.now() - start) / 1000
    tuning.asked.add(key)
    tuning.answers.set(key, best)
    await tuning.onAnswer?.(key, best)
    tuning.onProgress?.(++answered, open.length)
  }
  return true
}

/** The candidate that took least time, or undefined where none ran. */
async function fastest(device: Device, trial: Trial, { mode, onFailure }: Tuning): Promise<string | undefined> {
  const { key, candidates } = trial.question
  const count = mode === 'full' ? candidates.length : Math.min(candidates.length, FIRST_GUESSES)
  let best: { candidate: string, time: number } | undefined
  for (let n = 0; n < count; n++) {
    try {
      const time = await timeOf(device, trial, trial.lower(n))
      if (!best || time < best.time) best = { candidate: candidates[n], time }
    } catch (error) {
      device.check()
      onFailure?.(`${key}: ${candidates[n]} does not run here: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`)
    }
  }
  return best?.candidate
}

/** Milliseconds of one run of all launches, the best of a few measurements. Throws where the device refuses any of it. */
async function timeOf(device: Device, trial: Trial, lowering: Lowering): Promise<number> {
  const { gpu, buffers } = device
  const held = new Map<string, GPUBuffer>()
  const bufferOf = (slot: Slot): GPUBuffer => {
    const name = `${slot.role} ${slot.index}`
    const known = held.get(name)
    if (known) return known
    const temporary = slot.role === 'temporary' ? lowering.temporaries?.[slot.index] : undefined
    const bytes = temporary ? temporary.shape.reduce((a, b) => a * b, 1) * bytesOf(temporary.dtype) : trial.bytesOf(slot)
    const buffer = buffers.acquire(bytes, 'trial')
    if (trial.isInteger(slot)) gpu.queue.writeBuffer(buffer, 0, new Int32Array(bytes / 4).fill(1))
    held.set(name, buffer)
    return buffer
  }
  const uniforms: GPUBuffer[] = []
  const prepare = async (launch: Launch): Promise<{ launch: Launch, pipeline: GPUComputePipeline, group: GPUBindGroup }> => {
    const { pipeline, layout } = await device.pipelines.get(launch.wgsl, launch.label, launch.slots.length, launch.writes)
    const words = buffers.acquireUniform(Math.max(16, launch.uniforms.byteLength))
    uniforms.push(words)
    gpu.queue.writeBuffer(words, 0, launch.uniforms)
    const group = gpu.createBindGroup({
      layout, entries: [...launch.slots.map(bufferOf), words].map((buffer, binding) => ({ binding, resource: { buffer } })),
    })
    return { launch, pipeline, group }
  }
  let refused = false
  try {
    gpu.pushErrorScope('validation')
    gpu.pushErrorScope('out-of-memory')
    const scopes = (): Promise<(GPUError | null)[]> => Promise.all([gpu.popErrorScope(), gpu.popErrorScope()])
    const prepared = await Promise.allSettled(lowering.launches.map(prepare))
    const steps = prepared.flatMap(one => (one.status === 'fulfilled' ? [one.value] : []))
    const failed = prepared.find(one => one.status === 'rejected')
    if (failed) {
      refused = (await scopes()).some(error => error !== null)
      throw failed.reason
    }
    const run = async (times: number): Promise<number> => {
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
      await gpu.queue.onSubmittedWorkDone()
      return performance.now() - start
    }
    await run(1)
    const [tooLarge, wrong] = await scopes()
    refused = Boolean(tooLarge ?? wrong)
    if (tooLarge) throw new Error('there is no room beside the model')
    if (wrong) throw new Error(wrong.message)
    const times = Math.max(1, Math.min(MOST_RUNS, Math.ceil(MILLISECONDS / Math.max(await run(1), 0.01))))
    let best = Infinity
    for (let i = 0; i < REPEATS; i++) best = Math.min(best, await run(times) / times)
    return best
  } finally {
    // One that was refused is no buffer that anybody else should get.
    for (const buffer of [...held.values(), ...uniforms]) {
      if (refused) buffers.destroy(buffer)
      else buffers.release(buffer)
    }
  }
}
