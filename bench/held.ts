// Inputs of a bench on the device: made with random values, released together.
import { type Variable, tensor, variable } from '../engine/index.ts'
import type { Tensor } from '../engine/tensor.ts'
import { sizeOf } from '../engine/shape.ts'
import type { DType } from '../shaders/kernel.ts'

/**
 * Drawn once and written repeatedly: a kernel's time doesn't depend on its numbers, unless they are denormal or NaN.
 */
const noise = Float32Array.from({ length: 1 << 18 }, () => Math.random() - 0.5)

/** Fills elements of a variable with numbers of ±0.5 · scale around a middle. */
export async function fillNoise(
  write: (data: Float32Array<ArrayBuffer>, at: number) => Promise<void>,
  size: number,
  scale = 1,
  middle = 0,
): Promise<void> {
  const chunk = scale === 1 && middle === 0 ? noise : noise.map(x => x * scale + middle)
  for (let at = 0; at < size; at += chunk.length) await write(chunk.subarray(0, Math.min(chunk.length, size - at)), at)
}

export class Held {
  readonly #variables: Variable[] = []

  /** Random floats in ±0.5 around a middle. */
  async floats(shape: readonly number[], dtype: 'f32' | 'f16' = 'f32', middle = 0): Promise<Variable> {
    const made = this.#make(shape, dtype)
    await fillNoise((data, at) => made.write(data, at), sizeOf(shape), 1, middle)
    return made
  }

  /** Random i32 in [0, below). */
  async integers(shape: readonly number[], below: number): Promise<Variable> {
    const made = this.#make(shape, 'i32')
    await made.write(Int32Array.from({ length: sizeOf(shape) }, () => Math.floor(Math.random() * below)))
    return made
  }

  /** These values, in the dtype of their array. */
  async values(shape: readonly number[], values: Float32Array | Int32Array | Uint32Array): Promise<Tensor> {
    const made = this.#make(shape, tensor(values).dtype)
    await made.write(values)
    return made.tensor
  }

  #make(shape: readonly number[], dtype: DType): Variable {
    const made = variable({ shape, dtype }, 'bench input')
    this.#variables.push(made)
    return made
  }

  release(): void {
    for (const one of this.#variables) one.release()
  }
}
