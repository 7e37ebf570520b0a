// Variables: tensors that persist, such as parameters and optimizer state. Each has one owner.
/// <reference lib="esnext.disposable" preserve="true" />
import { type DType, type Spec, bytesOf } from '../shaders/kernel.ts'
import { showBytes } from './bytes.ts'
import { UserError } from './errors.ts'
import { recordAssignment, recordedValue } from './evaluate.ts'
import { makeSource } from './ops/source.ts'
import { type Device, currentDevice } from './runtime/device.ts'
import { needShape, sameShape, showSpec, sizeOf } from './shape.ts'
import { Storage } from './storage.ts'
import { Tensor, type TensorData, needTensors } from './tensor.ts'

/** Part of what a variable holds at first, from element `at` on: numbers, or a copy of another one's elements. */
export type Content =
  | { readonly at: number; readonly data: TensorData }
  | { readonly at: number; readonly from: Variable; readonly first: number; readonly count: number }

export class Variable {
  readonly name: string
  readonly shape: readonly number[]
  readonly dtype: DType
  /** The variable's value at the beginning of a run, for use in graphs. */
  readonly tensor: Tensor
  readonly #storage: Storage

  /** Zeros, apart from `contents`, which is called when its memory is first needed. */
  constructor(spec: Spec, name: string, contents?: () => Iterable<Content>) {
    needShape('variable', spec)
    this.name = name
    this.shape = spec.shape
    this.dtype = spec.dtype
    this.#storage = new Storage(name, sizeOf(spec.shape) * bytesOf(spec.dtype), {
      fill: contents && ((device, buffer) => this.#fill(device, buffer, contents())),
    })
    this.tensor = makeSource(spec.shape, spec.dtype, { kind: 'storage', storage: this.#storage })
  }

  /**
   * Copies numbers from the host, to element `at` and after. An f16 variable takes a Float32Array, and is written in
   * pairs of elements except at its end. Throws a UserError past its end, and on an array of another type.
   */
  async write(data: TensorData, at = 0): Promise<void> {
    const Data = this.dtype === 'i32' ? Int32Array : this.dtype === 'u32' ? Uint32Array : Float32Array
    if (!(data instanceof Data))
      throw new UserError(`${this.name} is ${this.dtype}: write needs an array of type ${Data.name}`)
    const end = at + data.length
    if (this.dtype === 'f16' && end % 2 !== 0 && end < sizeOf(this.shape)) {
      throw new UserError(`${this.name}: a write to f16 has to end at an even element or the last one, not at ${end}`)
    }
    if (!(Number.isInteger(at) && at >= 0 && end <= sizeOf(this.shape))) {
      throw new UserError(`${this.name}: ${data.length} numbers at element ${at} do not fit in ${showSpec(this)}`)
    }
    const device = await currentDevice()
    if (!this.#storage.buffer) await device.collectIfGrown()
    device.write(this.#storage.on(device), this.dtype, data, at)
    // Dawn frees staging memory only on submit; many large writes in a row would accumulate it.
    if (data.length > 1 << 18) device.gpu.queue.submit([])
  }

  /** Copies `count` numbers (all by default) from element `at` to the host. Throws a UserError past its end. */
  async read(at = 0, count = sizeOf(this.shape) - at): Promise<TensorData> {
    if (![at, count].every(n => Number.isInteger(n) && n >= 0) || at + count > sizeOf(this.shape)) {
      throw new UserError(`${this.name}: ${count} numbers at element ${at} are not within ${showSpec(this)}`)
    }
    const device = await currentDevice()
    return device.read(this.#storage.on(device), this.dtype, count, at)
  }

  /** Sets its value after the call of a compiled function. Throws a UserError outside of one, and if specs differ. */
  assign(value: Tensor): void {
    needTensors(`${this.name}: assign`, { value })
    if (!sameShape(value.shape, this.shape) || value.dtype !== this.dtype) {
      throw new UserError(`${this.name}: assign takes ${showSpec(this)}, not ${showSpec(value)}`)
    }
    recordAssignment({ storage: this.#storage, target: this.tensor.value, value: value.value })
  }

  /** Inside a compiled function: the value that it was assigned there so far, else that at the beginning of the run. */
  get next(): Tensor {
    const value = recordedValue(this.#storage)
    return value ? new Tensor(value) : this.tensor
  }

  /** Whether it has memory. */
  get isAllocated(): boolean {
    return this.#storage.buffer !== undefined
  }

  /** Allocates its memory now. Throws a UserError if the adapter has too little. */
  async allocate(): Promise<void> {
    const device = await currentDevice()
    if (this.isAllocated) return
    await device.collectIfGrown()
    device.gpu.pushErrorScope('out-of-memory')
    this.#storage.on(device)
    if (!(await device.gpu.popErrorScope())) return
    this.#storage.discard()
    throw new UserError(`the adapter's memory does not hold ${this.name}, ${showBytes(this.#storage.bytes)}`)
  }

  /** Writes parts of it, from the host or from other variables, when what was submitted before has run. */
  async put(contents: Iterable<Content>): Promise<void> {
    const device = await currentDevice()
    this.#fill(device, this.#storage.on(device), contents)
  }

  /** Says that part of it is in another variable from now on: compiled functions that use it are traced again. */
  move(): void {
    this.#storage.move()
  }

  /**
   * Frees its memory now. Using it again, also in compiled functions, throws a UserError: its name and `why`, such as
   * `was released`.
   */
  release(why?: string): void {
    this.#storage.end(why)
  }

  #fill(device: Device, buffer: GPUBuffer, contents: Iterable<Content>): void {
    const size = bytesOf(this.dtype)
    for (const content of contents) {
      if ('data' in content) {
        device.write(buffer, this.dtype, content.data, content.at)
        continue
      }
      const { at, from, first, count } = content
      if (from.dtype !== this.dtype) throw new Error(`${from.name} is ${from.dtype}, ${this.name} ${this.dtype}`)
      const encoder = device.gpu.createCommandEncoder()
      encoder.copyBufferToBuffer(from.#storage.on(device), first * size, buffer, at * size, count * size)
      device.gpu.queue.submit([encoder.finish()])
    }
  }

  /** `using weights = variable(…)` releases it at the end of the block. Unreachable variables are collected anyway. */
  [Symbol.dispose](): void {
    this.release()
  }
}

/** A variable of zeros, or of `contents`, which persists from run to run. */
export function variable(spec: Spec, name: string, contents?: () => Iterable<Content>): Variable {
  return new Variable(spec, name, contents)
}
