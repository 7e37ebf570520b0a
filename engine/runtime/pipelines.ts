// Compute pipelines, cached by their WGSL. Compile errors show the source.
import type { Launch } from '../../shaders/kernel.ts'
import { Recent } from '../recent.ts'
import type { GPUBindGroupLayout, GPUComputePipeline, GPUDevice } from '../web.ts'

export interface Pipeline {
  readonly pipeline: GPUComputePipeline
  readonly layout: GPUBindGroupLayout
}

/** A shader that did not compile: the compiler's messages and the WGSL with line numbers. */
export class ShaderError extends Error {
  override readonly name = 'ShaderError'
}

/**
 * Sizes are uniforms, so a program has as many pipelines as kinds of kernels and expressions: some hundreds. The bound
 * is for programs that generate ever new expressions. Plans hold the pipelines that they run.
 */
const KEPT_PIPELINES = 4096

export class Pipelines {
  readonly #device: GPUDevice
  readonly #cache = new Recent<Promise<Pipeline>>(KEPT_PIPELINES)
  readonly #layouts = new Map<string, GPUBindGroupLayout>()

  constructor(device: GPUDevice) {
    this.#device = device
  }

  /** Number of cached pipelines. */
  get count(): number {
    return this.#cache.size
  }

  /** The pipeline of a launch, which binds its slots, then the uniforms. Throws a ShaderError. */
  get({ wgsl, label, slots, writes }: Pick<Launch, 'wgsl' | 'label' | 'slots' | 'writes'>): Promise<Pipeline> {
    const known = this.#cache.get(wgsl)
    if (known) return known
    const made = this.#make(wgsl, label, this.#layout(slots.length, writes))
    this.#cache.set(wgsl, made)
    return made
  }

  #layout(slots: number, writes: readonly number[]): GPUBindGroupLayout {
    const types = Array.from({ length: slots }, (_, k): GPUBufferBindingType =>
      writes.includes(k) ? 'storage' : 'read-only-storage',
    )
    const key = types.join()
    const known = this.#layouts.get(key)
    if (known) return known
    const buffers: GPUBufferBindingType[] = [...types, 'uniform']
    const layout = this.#device.createBindGroupLayout({
      entries: buffers.map((type, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } })),
    })
    this.#layouts.set(key, layout)
    return layout
  }

  async #make(wgsl: string, label: string, layout: GPUBindGroupLayout): Promise<Pipeline> {
    const device = this.#device
    // Without an error scope Dawn would print on stdout.
    device.pushErrorScope('validation')
    const module = device.createShaderModule({ code: wgsl, label })
    const creating = device.createComputePipelineAsync({
      label,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: 'main' },
    })
    const scope = device.popErrorScope()
    try {
      const [pipeline] = await Promise.all([creating, scope])
      return { pipeline, layout }
    } catch (error) {
      const problem = await scope
      const { messages } = await module.getCompilationInfo()
      const said = messages.map(m => `${m.type} at ${m.lineNum}:${m.linePos}: ${m.message}`)
      const reason = said.length > 0 ? said.join('\n') : (problem?.message ?? String(error))
      throw new ShaderError(`${label}: the shader does not compile\n${reason}\n${numbered(wgsl)}`, { cause: error })
    }
  }
}

function numbered(text: string): string {
  return text
    .split('\n')
    .map((line, i) => `${String(i + 1).padStart(4)} ${line}`)
    .join('\n')
}
