// Variables: the tensors that persist. Parameters and optimizer state live in them, each with one owner.
import { type DType, type Spec, bytesOf } from '../shaders/kernel.ts'
import { UserError } from './errors.ts'
import { recordAssignment } from './evaluate.ts'
import { makeSource } from './ops/source.ts'
import { currentDevice } from './runtime/device.ts'
import { sameShape, showSpec, sizeOf } from './shape.ts'
import { Storage } from './storage.ts'
import type { Tensor, TensorData } from './tensor.ts'

export class Variable {
  readonly name: string
  readonly shape: readonly number[]
  readonly dtype: DType
  /** The variable's value, in graphs: the one it has when a run begins. */
  readonly tensor: Tensor
  readonly #storage: Storage

  constructor(spec: Spec, name: string) {
    this.name = name
    this.shape = spec.shape
    this.dtype = spec.dtype
    this.#storage = new Storage(name, sizeOf(spec.shape) * bytesOf(spec.dtype))
    this.tensor = makeSource(spec.shape, spec.dtype, { kind: 'storage', storage: this.#storage })
  }

  /**
   * Puts host numbers into it, from element `at` on. An f16 variable takes Float32Array, two numbers at a time but for its
   * end. Throws a UserError past its end, and on an array of another type.
   */
  async write(data: TensorData, at = 0): Promise<void> {
    const fits = this.dtype === 'i32' ? Int32Array : this.dtype === 'u32' ? Uint32Array : Float32Array
    if (!(data instanceof fits)) throw new UserError(`${this.name} takes ${this.dtype}: write a ${fits.name}`)
    const end = at + data.length
    if (this.dtype === 'f16' && end % 2 !== 0 && end < sizeOf(this.shape)) {
      throw new UserError(`${this.name}: writing f16 ends at an even element, or the last one, not ${end}`)
    }
    if (at < 0 || at + data.length > sizeOf(this.shape)) {
      throw new UserError(`${this.name}: ${data.length} numbers at ${at} do not fit ${showSpec(this)}`)
    }
    const device = await currentDevice()
    if (!this.#storage.buffer) await device.makeRoom()
    device.write(this.#storage.on(device), this.dtype, data, at)
    // Dawn gives staging memory back only with a submit; many large writes in a row would hold it all.
    if (data.length > 1 << 18) device.gpu.queue.submit([])
  }

  /** Its numbers, row-major; or `count` of them from element `at` on. Throws a UserError past its end. */
  async read(at = 0, count = sizeOf(this.shape) - at): Promise<TensorData> {
    if (at < 0 || count < 1 || at + count > sizeOf(this.shape)) {
      throw new UserError(`${this.name}: ${count} numbers at ${at} are not within ${showSpec(this)}`)
    }
    const device = await currentDevice()
    return device.read(this.#storage.on(device), this.dtype, count, at)
  }

  /** Inside a compiled function: the value that it has after the call. Throws a UserError on another shape or dtype. */
  assign(value: Tensor): void {
    if (!sameShape(value.shape, this.shape) || value.dtype !== this.dtype) {
      throw new UserError(`${this.name}: assign takes ${showSpec(this)}, not ${showSpec(value)}`)
    }
    recordAssignment({ storage: this.#storage, target: this.tensor.value, value: value.value })
  }

  /** Gives its memory back now. Using it again, in compiled functions too, is a UserError. */
  release(): void {
    this.#storage.end()
  }

  /** `using weights = variable(…)` releases it at the end of the block. Nobody has to: a forgotten variable is collected. */
  [Symbol.dispose](): void {
    this.release()
  }
}

/** Device memory of zeros that persists from run to run. */
export function variable(spec: Spec, name: string): Variable {
  return new Variable(spec, name)
}
