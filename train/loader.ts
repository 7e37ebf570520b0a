// Data loaders: the batches of a data set, in a new order each epoch; the next ones are prepared while one is used.
import { type Nested, Tensor, UserError, tensor } from '../engine/index.ts'
import { needFunction, needObjects, needOptions } from '../engine/options.ts'
import type { TensorData } from '../engine/tensor.ts'
import { stream } from './random.ts'

/** A data set that a loader takes batches of. */
export interface Source<Batch> {
  /** Number of examples. */
  readonly length: number
  /** The batch of the examples with these indices. */
  batch(indices: readonly number[]): Batch | Promise<Batch>
}

/** A data set with a row for each example in each of its columns, such as `{ x: [rows, 784], y: [rows] }`. */
export type Columns = Readonly<Record<string, Tensor>>

/**
 * Batches with these columns, as tensors [batch, …]. Throws a UserError if they differ in their number of rows, or have
 * none.
 */
export function columns<C extends Columns>(given: C): Source<{ [Name in keyof C]: Tensor }> {
  needObjects('columns', { columns: given })
  const entries = Object.entries(given)
  const other = entries.find(([, column]) => !(column instanceof Tensor))
  if (other) throw new UserError(`columns: ${other[0]} is not a tensor`)
  const [first] = entries
  if (!first) throw new UserError('columns: a data set needs a column')
  for (const [name, { shape }] of entries) {
    const expected = first[1].shape[0]
    if (shape.length === 0) throw new UserError(`columns: ${name} is a number, and has no rows`)
    if (shape[0] !== expected) throw new UserError(`columns: ${name} has ${shape[0]} rows, and ${first[0]} ${expected}`)
  }
  let data: Promise<readonly TensorData[]> | undefined
  return {
    length: first[1].shape[0],
    async batch(indices) {
      data ??= Promise.all(entries.map(([, column]) => column.data()))
      const all = await data
      const rows = entries.map(([name, column], i) => [name, rowsOf(column, all[i], indices)])
      return Object.fromEntries(rows) as { [Name in keyof C]: Tensor }
    },
  }
}

function rowsOf({ shape, size, dtype }: Tensor, data: TensorData, indices: readonly number[]): Tensor {
  const width = size / shape[0]
  const rows = data.slice(0, width * indices.length)
  indices.forEach((index, i) => rows.set(data.subarray(index * width, (index + 1) * width), i * width))
  return tensor(rows, [indices.length, ...shape.slice(1)], dtype)
}

/** Examples one by one: an array, or whatever has a length and gives them by index, at once or later. */
export interface Examples<Example> {
  readonly length: number
  at(index: number): Example | undefined | Promise<Example>
}

/**
 * Batches that `collate` makes of examples. When it is left out, examples are records of numbers or arrays, of which each
 * field is stacked, as `tensor` does: numbers become f32.
 */
export function examples<Example extends Readonly<Record<string, Nested>>>(
  list: Examples<Example>,
): Source<{ [Name in keyof Example]: Tensor }>
export function examples<Example, Batch>(
  list: Examples<Example>,
  collate: (examples: readonly Example[]) => Batch | Promise<Batch>,
): Source<Batch>
export function examples<Example>(
  list: Examples<Example>,
  collate: (examples: readonly Example[]) => unknown = stacked,
): Source<unknown> {
  needObjects('examples', { list })
  needFunction('examples', { 'list.at': list.at, collate })
  return {
    length: list.length,
    async batch(indices) {
      const chosen = await Promise.all(indices.map(async index => list.at(index)))
      return collate(chosen as Example[])
    },
  }
}

function stacked(chosen: readonly unknown[]): Record<string, Tensor> {
  const records = chosen as readonly Readonly<Record<string, Nested>>[]
  return Object.fromEntries(Object.keys(records[0]).map(name => [name, tensor(records.map(each => each[name]))]))
}

export interface LoaderOptions {
  /** Examples per batch. The last one of an epoch may have fewer. */
  readonly batchSize: number
  /** Draws another order for each epoch; false when left out. */
  readonly shuffle?: boolean
  /** Of the orders; 0 when left out. */
  readonly seed?: number
  /** Leaves out a last batch with fewer examples, so that all have one shape. */
  readonly dropLast?: boolean
  /** Batches that are prepared ahead; 2 when left out, 0 for none. */
  readonly ahead?: number
}

/**
 * `for await (const batch of loader)` is one epoch, and the next loop another. The seed and an epoch's number alone decide
 * its order. Throws a UserError on a batch size that is not a positive integer, and on unknown options.
 */
export class DataLoader<Batch> {
  readonly #source: Source<Batch>
  readonly #options: Required<LoaderOptions>
  #epoch = 0

  constructor(source: Source<Batch>, options: LoaderOptions) {
    needOptions('DataLoader', options, 'batchSize', 'shuffle', 'seed', 'dropLast', 'ahead')
    if (typeof source?.batch !== 'function')
      throw new UserError('DataLoader: columns(…), examples(…) or another source of batches was expected')
    this.#source = source
    this.#options = { shuffle: false, seed: 0, dropLast: false, ahead: 2, ...options }
    const { batchSize, ahead } = this.#options
    if (!Number.isInteger(batchSize) || batchSize < 1)
      throw new UserError(`A batch has at least 1 example; got ${batchSize}`)
    if (!Number.isInteger(ahead) || ahead < 0) throw new UserError(`ahead is a count of batches; got ${ahead}`)
  }

  /** Batches per epoch. */
  get length(): number {
    const { batchSize, dropLast } = this.#options
    const batches = this.#source.length / batchSize
    return dropLast ? Math.floor(batches) : Math.ceil(batches)
  }

  [Symbol.asyncIterator](): AsyncGenerator<Batch, void> {
    return this.epoch(this.#epoch++)
  }

  /** The batches of epoch 0, 1, …, such as one in which a training goes on. */
  async *epoch(epoch: number): AsyncGenerator<Batch, void> {
    const { batchSize, shuffle, seed, ahead } = this.#options
    const order = Array.from({ length: this.#source.length }, (_, i) => i)
    if (shuffle) stream(seed, `epoch ${epoch}`).shuffle(order)
    const waiting: Promise<Batch>[] = []
    let next = 0
    const prepare = async (at: number): Promise<Batch> =>
      this.#source.batch(order.slice(at * batchSize, (at + 1) * batchSize))
    while (next < this.length || waiting.length > 0) {
      while (next < this.length && waiting.length <= ahead) {
        const batch = prepare(next++)
        // Thrown when its turn comes, unless the loop ends before.
        batch.catch(() => undefined)
        waiting.push(batch)
      }
      const [first] = waiting.splice(0, 1)
      yield await first
    }
  }
}
