// A GPU device and everything that belongs to it: the adapter's traits, its buffers and pipelines, its kernel choices,
// the scratch memory that plans share, and the number of steps in flight.
import { type DType, type SubgroupMatrix, type Traits, bytesOf } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { toFloat32, toFloat16 } from '../float16.ts'
import { needFunction, needObjects } from '../options.ts'
import type { TensorData } from '../tensor.ts'
import { KernelTuning } from '../tune.ts'
import { Buffers } from './buffers.ts'
import { collectGarbage } from './garbage.ts'
import { Pipelines } from './pipelines.ts'
import { Scratch } from './scratch.ts'
import type { GPUAdapter, GPUBuffer, GPUDevice } from '../web.ts'

/** A description of an adapter for people. */
export interface AdapterInfo {
  readonly name: string
  readonly vendor: string
  readonly architecture: string
  readonly fallback: boolean
  readonly backend?: string
  readonly driver?: string
  readonly type?: string
}

/** The GPU was lost with everything on it: the driver was reset, or the device was removed. */
export class DeviceLost extends UserError {}

/** How long `device.lost` may lag behind the first failure. */
const LOST_LAG_MS = 100

/** Growth of live memory after which garbage is collected, if not by half: a collection takes tens of ms. */
const GROWN_BYTES = 256 * 2 ** 20
/** Growth of the number of live buffers after which garbage is collected: each takes memory in the driver. */
const GROWN_COUNT = 4096

/** Steps that may be queued before the host waits: enough to keep the GPU busy, few enough to keep latency low. */
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
  /** The minimum of live memory since the last collection. */
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
    const onRefused = ({ error }: GPUUncapturedErrorEvent): void => {
      this.#refused ??= error
    }
    gpu.addEventListener('uncapturederror', onRefused)
    void gpu.lost.then(({ reason, message }) => {
      // Native code holds the listener, and the listener the device: neither would be collected.
      gpu.removeEventListener('uncapturederror', onRefused)
      this.#lost = reason === 'destroyed' ? 'it was closed' : message.trim().replace(/\.$/, '')
    })
  }

  /**
   * Throws a DeviceLost if the device was lost. After the device refused a command, throws once, since work that was
   * queued with it did not run and its results are missing: a UserError if memory ran out.
   */
  check(): void {
    if (this.#lost !== undefined) throw new DeviceLost(`the GPU was lost: ${this.#lost}`)
    const refused = this.#refused
    if (!refused) return
    this.#refused = undefined
    if (refused instanceof GPUOutOfMemoryError)
      throw new UserError("the adapter's memory ran out: use a smaller batch or length, or keep fewer results")
    throw new Error(`the GPU refused a command: ${refused.message}`)
  }

  /** Call after any failure: throws a DeviceLost if the loss of the device may have caused it. */
  async checkSoon(): Promise<void> {
    await Promise.race([this.gpu.lost, new Promise(done => setTimeout(done, LOST_LAG_MS))])
    this.check()
  }

  /** Copies host numbers to `buffer`, from element `at` on. Throws a UserError if f16 begins at an odd element. */
  write(buffer: GPUBuffer, dtype: DType, data: TensorData, at = 0): void {
    const bytes = dtype === 'f16' ? toFloat16(data) : data
    const from = at * bytesOf(dtype)
    if (from % 4 !== 0) throw new UserError(`a write to f16 has to begin at an even element, not at ${at}`)
    const whole = bytes.byteLength - (bytes.byteLength % 4)
    this.gpu.queue.writeBuffer(buffer, from, bytes.buffer, bytes.byteOffset, whole)
    if (whole < bytes.byteLength) {
      const tail = new Uint8Array(4)
      tail.set(new Uint8Array(bytes.buffer, bytes.byteOffset + whole, bytes.byteLength - whole))
      this.gpu.queue.writeBuffer(buffer, from + whole, tail)
    }
  }

  /** Copies `count` elements of `buffer`, from element `at` on, to the host. */
  async read(buffer: GPUBuffer, dtype: DType, count: number, at = 0): Promise<TensorData> {
    this.check()
    if (count === 0) return elementsOf(new ArrayBuffer(0), dtype, 0)
    const size = bytesOf(dtype)
    const from = at * size
    const skew = from % 4
    const bytes = Math.ceil((count * size + skew) / 4) * 4
    const staging = this.buffers.acquireReadback(bytes)
    const encoder = this.gpu.createCommandEncoder()
    encoder.copyBufferToBuffer(buffer, from - skew, staging, 0, bytes)
    this.gpu.queue.submit([encoder.finish()])
    return elementsOf(await this.readMapped(staging, bytes), dtype, count, skew)
  }

  /** Waits for the work that fills a readback buffer, copies its first `bytes` and returns it to the pool. */
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
   * Call before work that allocates memory, and await the promise if there is one: garbage is collected first if live
   * memory has grown much since its minimum.
   */
  collectIfGrown(): Promise<void> | undefined {
    const { liveBytes, live } = this.buffers
    this.#leastBytes = Math.min(this.#leastBytes, liveBytes)
    this.#leastCount = Math.min(this.#leastCount, live)
    const isDue =
      liveBytes - this.#leastBytes > Math.max(GROWN_BYTES, this.#leastBytes / 2) ||
      live - this.#leastCount > GROWN_COUNT
    return isDue ? this.collect() : undefined
  }

  /** Collects garbage as far as the environment allows, so that buffers of unreachable tensors are released. */
  async collect(): Promise<void> {
    this.#collecting ??= collectGarbage().finally(() => {
      this.#collecting = undefined
      this.#leastBytes = this.buffers.liveBytes
      this.#leastCount = this.buffers.live
    })
    return this.#collecting
  }

  /** Await after each submit: limits the number of queued steps. Throws as `check` does. */
  async throttle(): Promise<void> {
    this.#inFlight.push(this.gpu.queue.onSubmittedWorkDone())
    if (this.#inFlight.length > MAX_IN_FLIGHT) await this.#inFlight.shift()
    this.check()
  }

  /** Waits until everything submitted has run. Throws as `check` does. */
  async idle(): Promise<void> {
    this.#inFlight.length = 0
    await this.gpu.queue.onSubmittedWorkDone()
    this.check()
  }

  /** Closes the device; tensors on it lose their values. */
  close(): void {
    this.gpu.destroy()
  }
}

/** `count` elements of a dtype, from byte `from` on. */
export function elementsOf(bytes: ArrayBuffer, dtype: DType, count: number, from = 0): TensorData {
  if (dtype === 'f16') return toFloat32(new Uint16Array(bytes, from, count))
  const whole = from === 0 && bytes.byteLength === 4 * count ? bytes : bytes.slice(from, from + 4 * count)
  return dtype === 'f32' ? new Float32Array(whole) : dtype === 'i32' ? new Int32Array(whole) : new Uint32Array(whole)
}

/** Largest scratch memory of a kernel, in bytes, if the adapter can bind as much. */
const MOST_SCRATCH = 512 * 2 ** 20

const MATRICES = 'chromium-experimental-subgroup-matrix'
const WANTED_FEATURES: readonly string[] = ['shader-f16', 'subgroups', 'timestamp-query', MATRICES]

/** Opens an adapter with all features that kernels use and with its largest limits. */
export async function openDevice(adapter: GPUAdapter, info: AdapterInfo): Promise<Device> {
  needObjects('openDevice', { adapter, info })
  needFunction('openDevice', { 'adapter.requestDevice': adapter.requestDevice })
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
  const lanes = subgroupMinSize === subgroupMaxSize ? subgroupMinSize : 0
  const traits: Traits = {
    name: info.name,
    cpu: info.fallback || /llvmpipe|swiftshader/i.test(info.name),
    compilesSlowly: /swiftshader/i.test(info.name),
    f16: gpu.features.has('shader-f16'),
    subgroupSize: gpu.features.has('subgroups') ? lanes : 0,
    subgroupMatrix: lanes > 0 ? subgroupMatrixOf(adapter, gpu, lanes) : undefined,
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

/** Devices that may be open. Weak, so that they can be collected. */
const openDevices = new Set<WeakRef<GPUDevice>>()

/**
 * Closes every device that was opened here. Call it before a process exits: native threads that still compile or
 * compute would crash it. Closing waits for them.
 */
export function closeDevices(): void {
  for (const reference of openDevices) reference.deref()?.destroy()
  openDevices.clear()
}

/** A kind of subgroup matrix, as listed by Chromium's experimental extension. */
interface SubgroupMatrixConfig {
  readonly componentType: string
  readonly resultComponentType: string
  readonly M: number
  readonly N: number
  readonly K: number
}

/** The largest f16 matrices whose sums are f32; undefined if there are none. */
function subgroupMatrixOf({ info }: GPUAdapter, { features }: GPUDevice, lanes: number): SubgroupMatrix | undefined {
  if (!features.has(MATRICES) || !features.has('shader-f16')) return undefined
  const configs: readonly SubgroupMatrixConfig[] =
    'subgroupMatrixConfigs' in info ? [...(info.subgroupMatrixConfigs as Iterable<SubgroupMatrixConfig>)] : []
  const isUsable = ({ componentType, resultComponentType, N }: SubgroupMatrixConfig): boolean =>
    componentType === 'f16' && resultComponentType === 'f32' && N % 4 === 0
  const [best] = configs.filter(isUsable).sort((a, b) => b.M * b.N * b.K - a.M * a.N * a.K)
  return best && { m: best.M, n: best.N, k: best.K, lanes }
}

let current: Promise<Device> | undefined
let provider: (() => Promise<Device>) | undefined

/** Sets how a device is opened when none was chosen. */
export function setDeviceProvider(open: () => Promise<Device>): void {
  provider = open
}

/** Runs all graphs on `device` from here on; without one, on a device that is opened when one is needed. */
export function useDevice(device: Device | undefined): void {
  current = device && Promise.resolve(device)
}

/** The device that graphs run on, opened at first use. Throws a UserError if there is none. */
export async function currentDevice(): Promise<Device> {
  if (!current) {
    if (!provider)
      throw new UserError('WebGPU is not available: this environment has no navigator.gpu and no device was chosen')
    const opening = provider()
    current = opening
    // The next call tries again after a failure.
    opening.catch(() => {
      if (current === opening) current = undefined
    })
  }
  return current
}
