// Fresh weights, as Transformers and PEFT draw them. A parameter's numbers depend on the seed and on its own name, so
// they stay the same whatever else a model has.
import { normals, wordsOnce } from '../shaders/random.ts'
import { needEach } from '../engine/options.ts'
import type { Parameter } from './nn.ts'

/** Elements drawn and written at a time. */
const CHUNK = 1 << 20

/** A name as a stream of the random generator: FNV-1a, 32 bits. */
export function streamOf(name: string): number {
  let hash = 0x811c9dc5
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}

/** The fresh values of a parameter, row-major f32. The seed is taken modulo 2³². */
export function freshValues(parameter: Parameter, seed: number): Float32Array<ArrayBuffer> {
  const { initial, size, name, shape } = parameter
  switch (initial.kind) {
    case 'constant':
      return new Float32Array(size).fill(initial.value)
    case 'uniform':
      return uniforms(size, streamOf(name), seed, initial.bound)
    case 'normal': {
      const values = normals(size, streamOf(name), seed)
      for (let i = 0; i < size; i++) values[i] *= initial.deviation
      const width = size / shape[0]
      if (initial.zeroRow !== undefined) values.fill(0, initial.zeroRow * width, (initial.zeroRow + 1) * width)
      return values
    }
  }
}

/** Writes fresh values into the parameters: normal weights, zero biases, norms of one, LoRA's A uniform and B zero. */
export async function initialise(parameters: readonly Parameter[], seed: number): Promise<void> {
  const isParameter = (each: unknown): boolean => typeof each === 'object' && each !== null && 'initial' in each
  needEach('initialise', 'parameters', 'a parameter', isParameter, parameters)
  for (const parameter of parameters) {
    const values = freshValues(parameter, seed)
    for (let at = 0; at < values.length; at += CHUNK) {
      await parameter.write(values.subarray(at, at + CHUNK), at)
    }
    parameter.fresh = true
  }
}

/** `count` numbers in ±bound, 24 random bits each. */
function uniforms(count: number, stream: number, seed: number, bound: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(count)
  for (let at = 0; at < count; at += 4) {
    const words = wordsOnce(at / 4, stream, 1, seed)
    for (let i = at; i < Math.min(at + 4, count); i++) out[i] = ((words[i - at] >>> 8) * 2 ** -23 - 1) * bound
  }
  return out
}
