// An adapter's peak rates, measured: multiply-adds in registers, and copies between buffers. On a GPU the
// buffers are larger than any cache; on a CPU they are as large as what its kernels work on. Profiles and benches
// compare with these.
import { CEILING_UNROLLED, CEILING_WORKGROUP, copyShader, multiplyAddShader } from '../../shaders/ceilings.ts'
import type { Device } from './device.ts'
import { Profiler } from './profiler.ts'

export interface Ceilings {
  /** f32 operations a second; a fused multiply-add is two. */
  readonly operations: number
  /** The same in f16, where the adapter has it. Matrix units (tensor cores) are not part of either. */
  readonly halfOperations: number | undefined
  /** Bytes a second, read and written together. */
  readonly bytes: number
}

/**
 * Shaders that are tried, and runs of each, of which the fastest counts. Few on a CPU, where compiling takes longest.
 */
const TRIED = {
  cpu: { accumulators: [2, 8], elements: [1, 4], runs: 4 },
  gpu: { accumulators: [1, 2, 4, 8, 16], elements: [1, 4, 16], runs: 10 },
}
/** An idle GPU reaches its full clock within half a second. */
const WAKING_MS = 600

/** Runs something until a GPU has reached its full clock. A CPU needs no such thing. */
export async function wake({ traits }: Device, run: () => Promise<unknown>): Promise<void> {
  for (const start = performance.now(); !traits.cpu && performance.now() - start < WAKING_MS;) await run()
}

/** Seconds of one run of a shader by timestamps, the best of a few. Throws if the device refuses any of it. */
async function bestSeconds(
  { gpu, traits }: Device,
  code: string,
  buffers: readonly GPUBuffer[],
  workgroups: readonly [number, number],
): Promise<number> {
  gpu.pushErrorScope('validation')
  const module = gpu.createShaderModule({ code })
  const pipeline = await gpu.createComputePipelineAsync({ layout: 'auto', compute: { module } })
  const group = gpu.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
  })
  const { runs } = traits.cpu ? TRIED.cpu : TRIED.gpu
  const profiler = new Profiler(gpu, runs)
  const encoder = gpu.createCommandEncoder()
  for (let run = 0; run < runs; run++) {
    const pass = encoder.beginComputePass({ timestampWrites: profiler.around(run) })
    pass.setPipeline(pipeline)
    pass.setBindGroup(0, group)
    pass.dispatchWorkgroups(...workgroups)
    pass.end()
  }
  profiler.resolve(encoder)
  gpu.queue.submit([encoder.finish()])
  const refused = await gpu.popErrorScope()
  if (refused) throw new Error(`the adapter's ceilings cannot be measured: ${refused.message}`)
  const times = await profiler.read()
  return Math.min(...times.map(({ nanoseconds }) => nanoseconds)) / 1e9
}

/** Takes some seconds on a CPU adapter, less on a GPU. The device needs timestamps. */
export async function measureCeilings(device: Device): Promise<Ceilings> {
  const { gpu, traits } = device
  const tried = traits.cpu ? TRIED.cpu : TRIED.gpu
  const workgroups = traits.cpu ? 64 : 8192
  const bytes = Math.min(traits.cpu ? 2 ** 23 : 2 ** 28, gpu.limits.maxStorageBufferBindingSize)
  const [to, from] = [0, 1].map(() => gpu.createBuffer({ size: bytes, usage: GPUBufferUsage.STORAGE }))
  const multiplyAdds = async (type: 'f32' | 'f16'): Promise<number> => {
    let best = 0
    for (const accumulators of tried.accumulators) {
      // The same number of operations for any number of accumulators: 0.5 · 10⁹ on a CPU adapter, 140 · 10⁹ on a GPU.
      const iterations = (traits.cpu ? 2048 : 4096) / accumulators
      const operations = CEILING_WORKGROUP * workgroups * iterations * CEILING_UNROLLED * accumulators * 4 * 2
      const shader = multiplyAddShader(accumulators, iterations, type)
      best = Math.max(best, operations / (await bestSeconds(device, shader, [to], [workgroups, 1])))
    }
    return best
  }
  try {
    await wake(device, () => bestSeconds(device, multiplyAddShader(8, 512, 'f32'), [to], [workgroups, 1]))
    const operations = await multiplyAdds('f32')
    const halfOperations = traits.f16 ? await multiplyAdds('f16') : undefined
    let fastest = Infinity
    for (const element of ['f32', 'vec4<f32>'] as const) {
      for (const each of tried.elements) {
        const count = bytes / (element === 'f32' ? 4 : 16) / CEILING_WORKGROUP / each
        const x = Math.min(count, 2 ** 15)
        for (const contiguous of [false, true]) {
          const shader = copyShader(each, element, contiguous)
          fastest = Math.min(fastest, await bestSeconds(device, shader, [to, from], [x, count / x]))
        }
      }
    }
    return { operations, halfOperations, bytes: (2 * bytes) / fastest }
  } finally {
    for (const buffer of [to, from]) buffer.destroy()
  }
}

/** The share that a kernel reaches of the ceiling that bounds it, from its operations, bytes and time. */
export function shareOf(
  ceilings: Pick<Ceilings, 'operations' | 'bytes'>,
  operations: number,
  bytes: number,
  milliseconds: number,
): number {
  if (milliseconds === 0) return 0
  return Math.max(operations / ceilings.operations, bytes / ceilings.bytes) / (milliseconds / 1000)
}
