// One GPU device and all that belongs to it: what kernels may know of the adapter, its buffers, its pipelines, the scratch
// memory that plans share, and how many steps are in flight.
import type { DType, SubgroupMatrix, Traits } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { toFloat32, toFloat16 } from '../float16.ts'
import type { TensorData } from '../tensor.ts'
import { KernelTuning } from '../tune.ts'
import { Buffers } from './buffers.ts'
import { collectGarbage } from './garbage.ts'
import { Pipelines } from './pipelines.ts'
import { Scratch } from './scratch.ts'

/** An adapter, as people speak of it. */
export interface AdapterInfo {
  readonly name: string
  readonly vendor: string
  readonly architecture: string
  readonly fallback: boolean
  readonly backend?: string
  readonly driver?: string
  readonly type?: string
}

/** The GPU is gone, with all that was on it: the driver was reset, or it was taken away. */
export class DeviceLost extends UserError {}

/** How much later than its first failure the news of a loss may come. */
const NEWS_MS = 100

/** Live memory may grow by so much, or by half, before garbage is collected: a collection takes some tens of milliseconds. */
const GROWN_BYTES = 256 * 2 ** 20
/** So may the number of live buffers: each costs the driver memory of its own. */
const GROWN_COUNT = 4096

/** Steps that may be queued before the host waits: enough to keep the GPU busy, few enough to keep the queue quick. */
const MAX_IN_FLIGHT = 3

export class Device {
  readonly gpu: GPUDevice
  readonly info: AdapterInfo
  readonly traits: Traits
  readonly buffers: Buffers
  readonly pipelines: Pipelines
  readonly scratch: Scratch
  /** Which candidates of its kernels it uses. */
  readonly tuning: KernelTuning
  readonly #inFlight: Promise<void>[] = []
  /** The least that was live since garbage was collected last. */
  #leastBytes = 0
  #leastCount = 0
  #collecting: Promise<void> | undefined
  #lost: string | undefined
  #refused: GPUError | undefined

  constructor(gpu: GPUDevice, info: AdapterInfo, traits: Traits) {
    this.gpu = gpu
    this.info = info
    this.traits = traits
    this.buffers = new Buffers(gpu)
    this.pipelines = new Pipelines(gpu)
    this.scratch = new Scratch(this.buffers)
    this.tuning = new KernelTuning(traits)
    const onRefused = ({ error }: GPUUncapturedErrorEvent): void => { this.#refused ??= error }
    gpu.addEventListener('uncapturederror', onRefused)
    void gpu.lost.then(({ reason, message }) => {
      // Native code holds listeners, and this one the device: neither would be collected.
      gpu.removeEventListener('uncapturederror', onRefused)
      this.#lost = reason === 'destroyed' ? 'it was closed' : message.trim().replace(/\.$/, '')
    })
  }

  /**
   * Throws a DeviceLost where the device is gone, and once after it refused a command: what was queued with that is not done,
   * so numbers that it should have made are not there. A UserError where its memory ran out.
   */
  check(): void {
    if (this.#lost !== undefined) throw new DeviceLost(`the GPU was lost: ${this.#lost}`)
    const refused = this.#refused
    if (!refused) return
    this.#refused = undefined
    if (refused instanceof GPUOutOfMemoryError) throw new UserError('the adapter\'s memory ran out: use a smaller batch or length, or keep fewer results')
    throw new Error(`the GPU refused a command: ${refused.message}`)
  }

  /** To be asked after a failure of any kind, which a loss may have caused: throws a DeviceLost where it has. */
  async checkSoon(): Promise<void> {
    await Promise.race([this.gpu.lost, new Promise(done => setTimeout(done, NEWS_MS))])
    this.check()
  }

  /** Copies host numbers to `buffer`, from element `at`. f16 is packed from Float32Array. */
  write(buffer: GPUBuffer, dtype: DType, data: TensorData, at = 0): void {
    const bytes = dtype === 'f16' ? toFloat16(data) : data
    const from = at * (dtype === 'f16' ? 2 : 4)
    if (from % 4 !== 0) throw new UserError(`writing f16 begins at an even element, not ${at}`)
    const whole = bytes.byteLength - bytes.byteLength % 4
    this.gpu.queue.writeBuffer(buffer, from, bytes.buffer, bytes.byteOffset, whole)
    if (whole < bytes.byteLength) {
      const tail = new Uint8Array(4)
      tail.set(new Uint8Array(bytes.buffer, bytes.byteOffset + whole, bytes.byteLength - whole))
      this.gpu.queue.writeBuffer(buffer, from + whole, tail)
    }
  }

  /** Copies `count` elements, from element `at` of `buffer`, to the host. */
  async read(buffer: GPUBuffer, dtype: DType, count: number, at = 0): Promise<TensorData> {
    this.check()
    const size = dtype === 'f16' ? 2 : 4
    const from = at * size
    const skew = from % 4
    const bytes = Math.ceil((count * size + skew) / 4) * 4
    const staging = this.buffers.acquireReadback(bytes)
    const encoder = this.gpu.createCommandEncoder()
    encoder.copyBufferToBuffer(buffer, from - skew, staging, 0, bytes)
    this.gpu.queue.submit([encoder.finish()])
    return elementsOf(await this.readMapped(staging, bytes), dtype, count, skew)
  }

  /** The first `bytes` of a readback buffer, once the work that fills it is done. Gives the buffer back to the pool. */
  async readMapped(staging: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
    try {
      await staging.mapAsync(GPUMapMode.READ, 0, bytes)
      this.check()
    } catch (error) {
      this.buffers.destroy(staging)
      this.check()
      throw error
    }
    const copy = staging.getMappedRange(0, bytes).slice(0)
    staging.unmap()
    this.buffers.release(staging)
    return copy
  }

  /**
   * To be awaited before work that takes memory, where it gives something to wait for: live memory has grown by so much since it
   * was least that what JavaScript has forgotten is collected first.
   */
  makeRoom(): Promise<void> | undefined {
    const { liveBytes, live } = this.buffers
    this.#leastBytes = Math.min(this.#leastBytes, liveBytes)
    this.#leastCount = Math.min(this.#leastCount, live)
    const isDue = liveBytes - this.#leastBytes > Math.max(GROWN_BYTES, this.#leastBytes / 2) || live - this.#leastCount > GROWN_COUNT
    return isDue ? this.collect() : undefined
  }

  /** Collects garbage as far as the environment lets it, so that buffers of forgotten tensors are free. */
  async collect(): Promise<void> {
    this.#collecting ??= collectGarbage().finally(() => {
      this.#collecting = undefined
      this.#leastBytes = this.buffers.liveBytes
      this.#leastCount = this.buffers.live
    })
    return this.#collecting
  }

  /** To be awaited after each submit: keeps at most a few steps queued. */
  async throttle(): Promise<void> {
    this.#inFlight.push(this.gpu.queue.onSubmittedWorkDone())
    if (this.#inFlight.length > MAX_IN_FLIGHT) await this.#inFlight.shift()
    this.check()
  }

  /** Waits until everything submitted is done. */
  async idle(): Promise<void> {
    this.#inFlight.length = 0
    await this.gpu.queue.onSubmittedWorkDone()
    this.check()
  }

  /** Ends the device; tensors that live on it are gone. */
  close(): void {
    this.gpu.destroy()
  }
}

/** `count` elements of a dtype that begin at byte `from`. */
export function elementsOf(bytes: ArrayBuffer, dtype: DType, count: number, from = 0): TensorData {
  if (dtype === 'f16') return toFloat32(new Uint16Array(bytes, from, count))
  const whole = from === 0 && bytes.byteLength === 4 * count ? bytes : bytes.slice(from, from + 4 * count)
  return dtype === 'f32' ? new Float32Array(whole) : dtype === 'i32' ? new Int32Array(whole) : new Uint32Array(whole)
}

/** Bytes that a kernel's scratch may take where the adapter binds as many. */
const MOST_SCRATCH = 512 * 2 ** 20

const WANTED_FEATURES: readonly string[] = ['shader-f16', 'subgroups', 'timestamp-query', 'chromium-experimental-subgroup-matrix']

/** Opens an adapter with every feature that kernels can use and the largest limits that it has. */
export async function openDevice(adapter: GPUAdapter, info: AdapterInfo): Promise<Device> {
  const { limits } = adapter
  const features = WANTED_FEATURES.filter(feature => adapter.features.has(feature)) as GPUFeatureName[]
  const gpu = await adapter.requestDevice({
    requiredFeatures: features,
    requiredLimits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
      maxComputeWorkgroupSizeY: limits.maxComputeWorkgroupSizeY,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
    },
  })
  const { subgroupMinSize = 0, subgroupMaxSize = 0 } = adapter.info
  const traits: Traits = {
    name: info.name,
    cpu: info.fallback || /llvmpipe|swiftshader/i.test(info.name),
    f16: gpu.features.has('shader-f16'),
    subgroupSize: gpu.features.has('subgroups') && subgroupMinSize === subgroupMaxSize ? subgroupMinSize : 0,
    subgroupMatrix: subgroupMinSize === subgroupMaxSize ? subgroupMatrixOf(adapter, gpu, subgroupMaxSize) : undefined,
    maxWorkgroupInvocations: limits.maxComputeInvocationsPerWorkgroup,
    maxWorkgroupStorage: limits.maxComputeWorkgroupStorageSize,
    maxStorageBuffers: limits.maxStorageBuffersPerShaderStage,
    maxWorkgroups: limits.maxComputeWorkgroupsPerDimension,
    scratchBytes: Math.min(MOST_SCRATCH, limits.maxStorageBufferBindingSize, limits.maxBufferSize),
  }
  const device = new Device(gpu, info, traits)
  for (const reference of openDevices) if (!reference.deref()) openDevices.delete(reference)
  openDevices.add(new WeakRef(gpu))
  return device
}

/** Devices that may be open. Weak: one that is forgotten may go. */
const openDevices = new Set<WeakRef<GPUDevice>>()

/**
 * Closes every device that was opened here. To be called before a process ends: native threads that compile or compute while
 * it takes itself apart crash it. Closing waits for them.
 */
export function closeDevices(): void {
  for (const reference of openDevices) reference.deref()?.destroy()
  openDevices.clear()
}

/** A kind of subgroup matrix, as Chromium's experimental extension lists them. */
interface SubgroupMatrixConfig {
  readonly componentType: string
  readonly resultComponentType: string
  readonly M: number
  readonly N: number
  readonly K: number
}

/** The largest f16 matrices whose sums are f32; undefined where there are none. */
function subgroupMatrixOf({ info }: GPUAdapter, { features }: GPUDevice, lanes: number): SubgroupMatrix | undefined {
  if (!features.has('chromium-experimental-subgroup-matrix') || !features.has('shader-f16')) return undefined
  const configs: readonly SubgroupMatrixConfig[] = 'subgroupMatrixConfigs' in info ? [...info.subgroupMatrixConfigs as Iterable<SubgroupMatrixConfig>] : []
  const [best] = configs
    .filter(({ componentType, resultComponentType, N }) => componentType === 'f16' && resultComponentType === 'f32' && N % 4 === 0)
    .sort((a, b) => b.M * b.N * b.K - a.M * a.N * a.K)
  return best && { m: best.M, n: best.N, k: best.K, lanes }
}

let current: Promise<Device> | undefined
let provider: (() => Promise<Device>) | undefined

/** What opens a device when nobody has chosen one. */
export function setDeviceProvider(open: () => Promise<Device>): void {
  provider = open
}

/** Runs everything from here on upon `device`. */
export function useDevice(device: Device): void {
  current = Promise.resolve(device)
}

/** The device that graphs run on, opened at first use. Throws a UserError where there is none. */
export async function currentDevice(): Promise<Device> {
  if (!current) {
    if (!provider) throw new UserError('no WebGPU here: this environment offers no navigator.gpu and no device was chosen')
    const opening = provider()
    current = opening
    // A failed attempt must not stand for all later ones.
    opening.catch(() => { if (current === opening) current = undefined })
  }
  return current
}
