// What an adapter reaches at its best, measured: fused multiply-adds on numbers in registers, and copying between buffers: on a
// GPU ones that no cache holds, on a CPU ones as large as its kernels work on. Kernels are measured against these.
import type { Device } from '../engine/index.ts'
import { Profiler } from '../engine/runtime/profiler.ts'
import { wake } from './measure.ts'

export interface Ceilings {
  /** f32 operations a second; a fused multiply-add is two. */
  readonly operations: number
  /** The same in f16, where the adapter has it. Matrix units (tensor cores) stand outside of both. */
  readonly halfOperations: number | undefined
  /** Bytes a second, read and written together. */
  readonly bytes: number
}

const WORKGROUP = 64
/** Multiply-adds an accumulator in a round of the loop. */
const ROUND = 8
const RUNS = 10

/** Numbers in flight an invocation: enough to hide latency, few enough for registers; which is best depends on the adapter. */
const ACCUMULATORS = [1, 2, 4, 8, 16]

function multiplyAddShader(accumulators: number, rounds: number, type: 'f32' | 'f16'): string {
  const names = Array.from({ length: accumulators }, (_, i) => `a${i}`)
  // The accumulator comes twice: with a third register to read, an H200 takes half as long again.
  const round = names.map(name => `${name} = fma(${name}, factor, ${name});`).join(' ')
  return `// ${accumulators} vec4<${type}> accumulators of multiply-adds in registers
${type === 'f16' ? 'enable f16;\n' : ''}alias vec = vec4<${type}>;
@group(0) @binding(0) var<storage, read_write> data: array<vec>;
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let factor = data[0];
${names.map((name, i) => `  var ${name} = data[${i}] * ${type}(id.x);`).join('\n')}
  for (var i = 0u; i < ${rounds}u; i++) {
${Array.from({ length: ROUND }, () => `    ${round}`).join('\n')}
  }
  data[id.x] = ${names.join(' + ')};
}
`
}

type CopyElement = 'f32' | 'vec4<f32>'

/** An invocation's elements lie side by side, or a workgroup's do: which is better depends on the adapter. */
function copyShader(each: number, element: CopyElement, along: boolean): string {
  const [own, step] = along ? [`i * ${each}u`, 1] : ['i', WORKGROUP]
  return `// ${each} ${element} an invocation from one buffer to another
@group(0) @binding(0) var<storage, read_write> copied: array<${element}>;
@group(0) @binding(1) var<storage, read> original: array<${element}>;
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) n: vec3u, @builtin(local_invocation_index) i: u32) {
  let at = (w.y * n.x + w.x) * ${WORKGROUP * each}u + ${own};
${Array.from({ length: each }, (_, k) => `  copied[at + ${k * step}u] = original[at + ${k * step}u];`).join('\n')}
}
`
}

/** Seconds of one run of a shader by timestamps, the best of a few. Throws where the device refuses any of it. */
async function bestSeconds({ gpu }: Device, code: string, buffers: readonly GPUBuffer[], workgroups: readonly [number, number]): Promise<number> {
  gpu.pushErrorScope('validation')
  const module = gpu.createShaderModule({ code })
  const pipeline = await gpu.createComputePipelineAsync({ layout: 'auto', compute: { module } })
  const group = gpu.createBindGroup({
    layout: pipeline.getBindGroupLayout(0), entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
  })
  const profiler = new Profiler(gpu, RUNS)
  const encoder = gpu.createCommandEncoder()
  for (let run = 0; run < RUNS; run++) {
    const pass = encoder.beginComputePass({ timestampWrites: profiler.around(run) })
    pass.setPipeline(pipeline)
    pass.setBindGroup(0, group)
    pass.dispatchWorkgroups(...workgroups)
    pass.end()
  }
  profiler.resolve(encoder)
  gpu.queue.submit([encoder.finish()])
  const refused = await gpu.popErrorScope()
  if (refused) throw new Error(`a ceiling can't be measured: ${refused.message}`)
  const times = await profiler.read()
  return Math.min(...times.map(({ nanoseconds }) => nanoseconds)) / 1e9
}

/** Some seconds on a CPU adapter, less on a GPU. */
export async function measureCeilings(device: Device): Promise<Ceilings> {
  const { gpu, traits } = device
  const workgroups = traits.cpu ? 64 : 8192
  const bytes = Math.min(traits.cpu ? 2 ** 23 : 2 ** 28, gpu.limits.maxStorageBufferBindingSize)
  const [to, from] = [0, 1].map(() => gpu.createBuffer({ size: bytes, usage: GPUBufferUsage.STORAGE }))
  const multiplyAdds = async (type: 'f32' | 'f16'): Promise<number> => {
    let best = 0
    for (const accumulators of ACCUMULATORS) {
      // As many operations with any number of accumulators: 0.5 · 10⁹ on a CPU adapter, 140 · 10⁹ on a GPU.
      const rounds = (traits.cpu ? 2048 : 4096) / accumulators
      const operations = WORKGROUP * workgroups * rounds * ROUND * accumulators * 4 * 2
      best = Math.max(best, operations / await bestSeconds(device, multiplyAddShader(accumulators, rounds, type), [to], [workgroups, 1]))
    }
    return best
  }
  try {
    await wake(device, () => bestSeconds(device, multiplyAddShader(8, 512, 'f32'), [to], [workgroups, 1]))
    const operations = await multiplyAdds('f32')
    const halfOperations = traits.f16 ? await multiplyAdds('f16') : undefined
    let fastest = Infinity
    for (const element of ['f32', 'vec4<f32>'] as const) {
      for (const each of [1, 4, 16]) {
        const count = bytes / (element === 'f32' ? 4 : 16) / WORKGROUP / each
        const x = Math.min(count, 2 ** 15)
        for (const along of [false, true]) {
          fastest = Math.min(fastest, await bestSeconds(device, copyShader(each, element, along), [to, from], [x, count / x]))
        }
      }
    }
    return { operations, halfOperations, bytes: 2 * bytes / fastest }
  } finally {
    for (const buffer of [to, from]) buffer.destroy()
  }
}

/** How near a kernel comes to the ceiling that is nearer to it: operations and bytes in so many milliseconds. */
export function shareOf(ceilings: Ceilings, operations: number, bytes: number, milliseconds: number): number {
  if (milliseconds === 0) return 0
  return Math.max(operations / ceilings.operations, bytes / ceilings.bytes) / (milliseconds / 1000)
}
