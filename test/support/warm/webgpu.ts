// A stand-in for the package `webgpu` in a process that runs many commands or test files, one after the other. Compiling
// kernels is most of what a test on a software adapter costs, so they share a GPU device, which is never closed, and the
// pipelines that were compiled on it. Each still sees a device of its own: one with its own buffers and listeners, which
// ends when it is destroyed. register.ts puts this in the place of the package.
import * as webgpu from 'webgpu'
import { Recent } from '../../../engine/recent.ts'

/** Pipelines that are kept: beyond that, memory grows (some 0.8 MB each) and those that are used again are few. */
const KEPT = Number(process.env.TEST_PIPELINES ?? 600)

export const { globals } = webgpu

/** A `GPU` object for flags, made once, of which each adapter gives shares of one device. */
export function create(flags: string[]): GPU {
  // The driver is chosen when an instance is made.
  const key = [process.env.VK_DRIVER_FILES, ...flags].join('\n')
  const known = instances.get(key)
  if (known) return known
  const gpu = webgpu.create(flags)
  const devices = new Map<string, Promise<SharedDevice>>()
  const shared = facade(gpu, {
    async requestAdapter(options) {
      const adapter = await gpu.requestAdapter(options)
      return adapter && withSharedDevices(gpu, adapter, options, devices)
    },
  })
  instances.set(key, shared)
  return shared
}

const instances = new Map<string, GPU>()

function withSharedDevices(
  gpu: GPU,
  adapter: GPUAdapter,
  options: GPURequestAdapterOptions | undefined,
  devices: Map<string, Promise<SharedDevice>>,
): GPUAdapter {
  return facade(adapter, {
    async requestDevice(descriptor) {
      const key = JSON.stringify([adapter.info.device, options, descriptor])
      let device = devices.get(key)
      if (!device || (await device).isLost) {
        // An adapter gives one device in its life.
        const opening = gpu.requestAdapter(options).then(async fresh => {
          if (!fresh) throw new Error('the adapter is gone')
          return new SharedDevice(await fresh.requestDevice(descriptor))
        })
        devices.set(key, opening)
        device = opening
      }
      return (await device).share()
    },
  })
}

const opened = new Set<GPUDevice>()
// Native threads that still compute while a process shuts down would crash it.
process.once('exit', () => {
  for (const device of opened) device.destroy()
})

class SharedDevice {
  readonly #device: GPUDevice
  /** Modules and pipelines by their WGSL. While they live, Dawn gives them to whoever compiles the same again. */
  readonly #modules = new Recent<GPUShaderModule>(KEPT)
  readonly #pipelines = new Recent<GPUComputePipeline>(KEPT)
  readonly #textOf = new WeakMap<GPUShaderModule, string>()
  #lost = false

  constructor(device: GPUDevice) {
    this.#device = device
    opened.add(device)
    void device.lost.then(() => {
      this.#lost = true
      opened.delete(device)
    })
  }

  get isLost(): boolean {
    return this.#lost
  }

  /** The device as one of its users sees it. */
  share(): GPUDevice {
    const device = this.#device
    const buffers = new Set<WeakRef<GPUBuffer>>()
    const listeners: Parameters<GPUDevice['addEventListener']>[] = []
    const closed = Promise.withResolvers<GPUDeviceLostInfo>()
    return facade(device, {
      queue: facade(device.queue, {}),
      lost: Promise.race([device.lost, closed.promise]),
      createBuffer(descriptor) {
        const buffer = device.createBuffer(descriptor)
        buffers.add(new WeakRef(buffer))
        return buffer
      },
      createShaderModule: descriptor => {
        const module = device.createShaderModule(descriptor)
        this.#textOf.set(module, descriptor.code)
        this.#modules.set(descriptor.code, module)
        return module
      },
      createComputePipelineAsync: async descriptor => {
        const pipeline = await device.createComputePipelineAsync(descriptor)
        const text = this.#textOf.get(descriptor.compute.module) ?? ''
        this.#pipelines.set(descriptor.layout === 'auto' ? `auto\n${text}` : text, pipeline)
        return pipeline
      },
      addEventListener(...listener: Parameters<GPUDevice['addEventListener']>) {
        listeners.push(listener)
        device.addEventListener(...listener)
      },
      destroy() {
        for (const [type, listener] of listeners) device.removeEventListener(type, listener)
        for (const buffer of buffers) buffer.deref()?.destroy()
        buffers.clear()
        closed.resolve({ __brand: 'GPUDeviceLostInfo', reason: 'destroyed', message: 'it was closed' })
      },
    })
  }
}

/** An object with some members replaced; what is set on it stays there. Methods run on the native object. */
function facade<T extends object>(native: T, replaced: Partial<T>): T {
  const members = new Map<string | symbol, unknown>(Object.entries(replaced))
  return new Proxy(native, {
    get(_, key) {
      if (members.has(key)) return members.get(key)
      const value: unknown = Reflect.get(native, key)
      if (typeof value !== 'function') return value
      const bound: unknown = value.bind(native)
      members.set(key, bound)
      return bound
    },
    set(_, key, value) {
      members.set(key, value)
      return true
    },
  })
}
