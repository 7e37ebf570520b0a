// Runs a Lowering by itself on a real device: the bench on which every candidate of every kernel is tested and timed.
// Buffers are longer than their values and full of poison (NaN), as a pooled buffer may be: a kernel that reads past
// an edge shows NaN, one that leaves an element unwritten too, and one that writes past its output is reported.
import { openDevice } from '../../engine/runtime/device.ts'
import { openAdapter } from '../../engine/node/adapters.ts'
import { bytesOf } from '../../shaders/kernel.ts'
import type { DType, Launch, Lowering, Slot, Spec, Traits, View } from '../../shaders/kernel.ts'

export interface TestDevice {
  readonly device: GPUDevice
  readonly traits: Traits
  close(): void
}

/** What a test hands a kernel: the elements of the buffer (from its start) and how they are to be read. */
export interface TestInput {
  readonly data: ArrayLike<number>
  readonly spec: View
}

export type TestOutput = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>

export interface RunOptions {
  /** As KernelOp.aliases: output o starts with what input aliases[o] holds. */
  readonly aliases?: readonly number[]
}

/**
 * Opens the adapter that TILEGRAD_ADAPTER names, else the machine's first, with its largest limits. Each kernel here
 * runs once on little data, so Mesa's drivers on CPUs are told not to optimise: compiling is most of a test's time
 * there.
 */
export async function openTestDevice(): Promise<TestDevice> {
  process.env.GALLIVM_PERF ??= 'nopt'
  const { adapter, info } = await openAdapter()
  const device = await openDevice(adapter, info)
  return { device: device.gpu, traits: device.traits, close: () => device.close() }
}

/** Poisoned elements after the end of every value. */
const GUARD = 64

/** Runs the launches in order and reads every output back, row-major (f16 as Float32Array). Throws on a shader or
 *  validation error, with the WGSL and its line numbers, and on a write past the end of an output. */
export async function runLowering(
  device: GPUDevice,
  lowering: Lowering,
  inputs: readonly TestInput[],
  outputs: readonly Spec[],
  options: RunOptions = {},
): Promise<TestOutput[]> {
  const prepared = await prepareLowering(device, lowering, inputs, outputs, options)
  try {
    await prepared.run()
    return await prepared.read()
  } finally {
    prepared.destroy()
  }
}

export interface PreparedLowering {
  /** Submits all launches `times` times over and waits; wall milliseconds. */
  run(times?: number): Promise<number>
  read(): Promise<TestOutput[]>
  destroy(): void
}

/** Pipelines, buffers and bind groups of a lowering, made once, for benches that run it many times. */
export async function prepareLowering(
  device: GPUDevice,
  lowering: Lowering,
  inputs: readonly TestInput[],
  outputs: readonly Spec[],
  options: RunOptions = {},
): Promise<PreparedLowering> {
  const owned: GPUBuffer[] = []
  const storage = (dtype: DType, count: number, poison: number, data?: ArrayLike<number>): GPUBuffer => {
    const buffer = device.createBuffer({
      size: Math.ceil(((count + GUARD) * bytesOf(dtype)) / 4) * 4,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    })
    owned.push(buffer)
    device.queue.writeBuffer(buffer, 0, poisoned(dtype, buffer.size / bytesOf(dtype), poison, data))
    return buffer
  }
  const inputBuffers = inputs.map(({ data, spec }) => storage(spec.dtype, data.length, INPUT_POISON, data))
  const outputBuffers = outputs.map((spec, o) => {
    const alias = options.aliases?.[o]
    return storage(spec.dtype, sizeOf(spec), OUTPUT_POISON, alias === undefined ? undefined : inputs[alias].data)
  })
  const temporaries = (lowering.temporaries ?? []).map(spec => storage(spec.dtype, sizeOf(spec), INPUT_POISON))
  // A kernel that runs alone has no epilogue.
  const buffersOf: Record<Slot['role'], readonly GPUBuffer[]> = {
    input: inputBuffers,
    output: outputBuffers,
    temporary: temporaries,
    epilogueInput: [],
    epilogueOutput: [],
  }

  const steps: { pipeline: GPUComputePipeline; group: GPUBindGroup; launch: Launch }[] = []
  for (const launch of lowering.launches) {
    const pipeline = await makePipeline(device, launch)
    const uniforms = device.createBuffer({
      size: Math.max(16, launch.uniforms.byteLength),
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    })
    owned.push(uniforms)
    device.queue.writeBuffer(uniforms, 0, launch.uniforms)
    const group = await checked(device, `bindings of ${launch.label}`, () =>
      device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [...launch.slots.map(({ role, index }) => buffersOf[role][index]), uniforms].map(
          (buffer, binding) => ({ binding, resource: { buffer } }),
        ),
      }),
    )
    steps.push({ pipeline, group, launch })
  }

  return {
    async run(times = 1) {
      const start = performance.now()
      await checked(device, 'dispatch', () => {
        const encoder = device.createCommandEncoder()
        const pass = encoder.beginComputePass()
        for (let n = 0; n < times; n++) {
          for (const { pipeline, group, launch } of steps) {
            pass.setPipeline(pipeline)
            pass.setBindGroup(0, group)
            pass.dispatchWorkgroups(...launch.workgroups)
          }
        }
        pass.end()
        device.queue.submit([encoder.finish()])
      })
      await device.queue.onSubmittedWorkDone()
      return performance.now() - start
    },
    async read() {
      const results: TestOutput[] = []
      for (const [o, spec] of outputs.entries()) results.push(await readBack(device, outputBuffers[o], spec, o))
      return results
    },
    destroy() {
      for (const buffer of owned) buffer.destroy()
    },
  }
}

const pipelines = new WeakMap<GPUDevice, Map<string, Promise<GPUComputePipeline>>>()

/** One compilation for each text on each device: compiling is most of a test's time on a software adapter. */
function makePipeline(device: GPUDevice, launch: Launch): Promise<GPUComputePipeline> {
  const made = pipelines.get(device) ?? new Map<string, Promise<GPUComputePipeline>>()
  pipelines.set(device, made)
  const pipeline = made.get(launch.wgsl) ?? compilePipeline(device, launch)
  made.set(launch.wgsl, pipeline)
  return pipeline
}

async function compilePipeline(device: GPUDevice, launch: Launch): Promise<GPUComputePipeline> {
  device.pushErrorScope('validation')
  const module = device.createShaderModule({ code: launch.wgsl, label: launch.label })
  const { messages } = await module.getCompilationInfo()
  const errors = messages.filter(m => m.type === 'error').map(m => `${m.lineNum}:${m.linePos} ${m.message}`)
  try {
    if (errors.length === 0)
      return await device.createComputePipelineAsync({
        layout: 'auto',
        compute: { module, entryPoint: 'main' },
        label: launch.label,
      })
  } catch (error) {
    errors.push(error instanceof Error ? error.message : String(error))
  } finally {
    await device.popErrorScope()
  }
  throw new Error(`${launch.label} does not compile\n${errors.join('\n')}\n${numbered(launch.wgsl)}`)
}

/** The text with its lines numbered from 1, as compilers count. */
export function numbered(text: string): string {
  return text
    .split('\n')
    .map((line, i) => `${String(i + 1).padStart(4)}  ${line}`)
    .join('\n')
}

async function checked<T>(device: GPUDevice, what: string, act: () => T): Promise<T> {
  device.pushErrorScope('validation')
  const result = act()
  const error = await device.popErrorScope()
  if (error) throw new Error(`${what}: ${error.message}`)
  return result
}

function sizeOf(spec: Spec): number {
  return spec.shape.reduce((n, m) => n * m, 1)
}

// NaNs in f32, and in both halves of a word read as f16; as integers, numbers that no test expects. Two of them, so
// that poison carried from an input past the end of an output is seen.
const INPUT_POISON = 0x7fed7fed
const OUTPUT_POISON = 0x7fce7fce

function poisoned(dtype: DType, count: number, poison: number, data: ArrayLike<number> = []): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil((count * bytesOf(dtype)) / 4)).fill(poison)
  arrayOf(dtype, words.buffer).set(Array.isArray(data) ? data : Array.from(data))
  return words
}

function arrayOf(dtype: DType, buffer: ArrayBuffer): TestOutput | Float16Array<ArrayBuffer> {
  if (dtype === 'f16') return new Float16Array(buffer)
  if (dtype === 'f32') return new Float32Array(buffer)
  return dtype === 'i32' ? new Int32Array(buffer) : new Uint32Array(buffer)
}

async function readBack(device: GPUDevice, buffer: GPUBuffer, spec: Spec, index: number): Promise<TestOutput> {
  const copy = device.createBuffer({ size: buffer.size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST })
  const encoder = device.createCommandEncoder()
  encoder.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size)
  device.queue.submit([encoder.finish()])
  await copy.mapAsync(GPUMapMode.READ)
  const bytes = copy.getMappedRange().slice(0)
  copy.destroy()
  const size = sizeOf(spec)
  const guard = new Uint8Array(bytes, size * bytesOf(spec.dtype))
  const expected = new Uint8Array(
    poisoned(spec.dtype, buffer.size / bytesOf(spec.dtype), OUTPUT_POISON).buffer,
    size * bytesOf(spec.dtype),
  )
  if (guard.some((byte, i) => byte !== expected[i])) throw new Error(`output ${index} was written past its end`)
  const array = arrayOf(spec.dtype, bytes).subarray(0, size)
  return array instanceof Float16Array ? Float32Array.from(array) : array
}
