// Numbers by formula, the same to the bit as those of test/golden/oracle.py, which says what the formula is: weights
// and inputs of models of any size that no file has to hold, and short descriptions of large tensors.
import { type Tensor, tensor } from '../../engine/index.ts'
import type { Model } from '../../models/model.ts'
import type { Parameter } from '../../models/nn.ts'
import { streamOf } from '../../models/initialise.ts'
import { largestDifference } from './differences.ts'

const SIGNS = 16
const SAMPLES = 8

function mix(word: number): number {
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35)
  return (word ^ (word >>> 16)) >>> 0
}

/** 32-bit words of the stream called `name`. */
export function patternWords(name: string, count: number): Uint32Array {
  const stream = streamOf(name)
  return Uint32Array.from({ length: count }, (_, i) => mix(mix(i + 1) ^ stream))
}

/** Numbers in [−1, 1), exact in f32. */
export function patternUnits(name: string, count: number): Float64Array {
  return Float64Array.from(patternWords(name, count), word => (word >>> 8) / 2 ** 23 - 1)
}

/** A parameter's values, by its name. */
export function patternValues(name: string, shape: readonly number[], seed: number): Float32Array<ArrayBuffer> {
  const units = patternUnits(
    `${seed}:${name}`,
    shape.reduce((a, b) => a * b, 1),
  )
  let [shift, scale] = [0, 0.2]
  if (shape.length === 1) {
    if (name.toLowerCase().endsWith('norm.weight')) [shift, scale] = [1, 0.3]
  } else if (name.includes('embeddings')) {
    scale = 0.8
  } else {
    scale = (/\.(query|key|q_lin|k_lin)\./.test(name) ? 2.5 : 1.75) / Math.sqrt(shape[shape.length - 1])
  }
  return Float32Array.from(units, unit => shift + scale * unit)
}

/** Writes them into parameters, which are as good as loaded from a file then. */
export async function fillByPattern(parameters: readonly Parameter[], seed: number): Promise<void> {
  for (const parameter of parameters) {
    await parameter.write(patternValues(parameter.name, parameter.shape, seed))
    parameter.fresh = false
  }
}

/** The same for `reference`. */
export function patternFeeds(model: Model, seed: number): Map<Tensor, Float64Array> {
  return new Map(
    model.parameters().map(({ tensor, name, shape }) => [tensor, Float64Array.from(patternValues(name, shape, seed))]),
  )
}

/** What a batch is made from. */
export interface BatchPattern {
  readonly name: string
  readonly lengths: readonly number[]
  /** Tokens a row; the longest length when left out. */
  readonly sequence?: number
  /** Tokens inside the rows are masked too. */
  readonly holes?: boolean
  /** Rows labelled −100. */
  readonly ignore?: readonly number[]
}

/** A batch, row-major: ids, mask and types [batch, sequence], labels [batch]. */
export interface PatternBatch {
  readonly ids: Int32Array<ArrayBuffer>
  readonly mask: Int32Array<ArrayBuffer>
  readonly types: Int32Array<ArrayBuffer>
  readonly labels: Int32Array<ArrayBuffer>
  readonly batch: number
  readonly sequence: number
}

export function patternBatch(
  { name, lengths, sequence = Math.max(...lengths), holes = false, ignore = [] }: BatchPattern,
  { vocabulary, types, classes }: { readonly vocabulary: number; readonly types: number; readonly classes: number },
): PatternBatch {
  const batch = lengths.length
  const count = batch * sequence
  const words = patternWords(`${name}.ids`, count)
  const segments = patternWords(`${name}.types`, count)
  const hidden = patternWords(`${name}.holes`, count)
  const fill = (value: (at: number, i: number, length: number) => number): Int32Array<ArrayBuffer> =>
    Int32Array.from({ length: count }, (_, i) => {
      const length = lengths[Math.floor(i / sequence)]
      const at = i % sequence
      return at < length ? value(at, i, length) : 0
    })
  const labels = Int32Array.from(patternWords(`${name}.labels`, batch), word => word % classes)
  for (const row of ignore) labels[row] = -100
  return {
    ids: fill((at, i, length) => (at === 0 ? 2 : at === length - 1 ? 3 : 4 + (words[i] % (vocabulary - 4)))),
    mask: fill((at, i) => (holes && at > 0 && hidden[i] % 4 === 0 ? 0 : 1)),
    types: fill((_, i) => segments[i] % Math.max(types, 1)),
    labels,
    batch,
    sequence,
  }
}

/** A batch as a compiled function takes it. */
export interface BatchInputs {
  readonly [name: string]: Tensor
  readonly ids: Tensor
  readonly mask: Tensor
  readonly types: Tensor
  readonly labels: Tensor
}

export function batchInputs({ ids, mask, types, labels, batch, sequence }: PatternBatch): BatchInputs {
  const shape = [batch, sequence]
  return {
    ids: tensor(ids, shape),
    mask: tensor(mask, shape),
    types: tensor(types, shape),
    labels: tensor(labels, [batch]),
  }
}

/** What oracle.py's `describe` keeps of a tensor. */
export type Description = { readonly norm: number } & (
  | { readonly values: readonly number[] }
  | { readonly sums: readonly number[]; readonly samples: readonly number[] }
)

/** The description of a large tensor. */
export function describeLarge(values: ArrayLike<number>, name: string): Description {
  const norm = Math.sqrt(Array.from(values).reduce((sum, v) => sum + v * v, 0))
  return { norm, sums: signedSums(values, name), samples: samplesOf(values, name) }
}

/**
 * How far a tensor is from a described one. Of a small one the largest difference of an element; of a large one the
 * larger of that among the samples and the norm of all differences, as the sums estimate it: no element differs by more
 * than the norm, and the estimate is below half of it once in a thousand times.
 */
export function differenceFrom(found: ArrayLike<number>, name: string, wanted: Description): number {
  if ('values' in wanted) return largestDifference(found, wanted.values)
  const sampled = largestDifference(samplesOf(found, name), wanted.samples)
  const sums = signedSums(found, name)
  const squares = sums.reduce((total, sum, k) => total + (sum - wanted.sums[k]) ** 2, 0)
  const norm = Math.sqrt(squares / SIGNS)
  return Number.isNaN(norm) ? Infinity : Math.max(sampled, norm)
}

function samplesOf(values: ArrayLike<number>, name: string): number[] {
  const inner = Array.from(patternWords(`${name}.samples`, SAMPLES - 2), word => word % values.length)
  return [0, ...inner, values.length - 1].map(i => values[i])
}

function signedSums(values: ArrayLike<number>, name: string): number[] {
  const sums = new Array<number>(SIGNS).fill(0)
  patternWords(`${name}.signs`, values.length).forEach((word, i) => {
    for (let k = 0; k < SIGNS; k++) sums[k] += (word >>> k) & 1 ? values[i] : -values[i]
  })
  return sums
}
