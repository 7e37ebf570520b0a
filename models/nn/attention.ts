// Attention with its projections, and the cache of keys and values of a decoder that goes token by token.
import { type Variable, attention, range, variable } from '../../engine/index.ts'
import { UserError } from '../../engine/errors.ts'
import { needOptions } from '../../engine/options.ts'
import { showShape, showSpec } from '../../engine/shape.ts'
import { type Tensor, needTensors } from '../../engine/tensor.ts'
import { type ForwardContext, currentContext } from './context.ts'
import { Linear } from './linear.ts'
import { Module } from './module.ts'

export interface MultiHeadAttentionOptions {
  /** Heads of keys and values, each shared by as many heads of queries (Ainslie et al. 2023); all when left out. */
  readonly kvHeads?: number
  /** Whether projections have biases; true when left out. */
  readonly bias?: boolean
  /** Rate at which attention's probabilities are dropped in training; 0 when left out. */
  readonly dropout?: number
  /** No position attends to later ones; false when left out. */
  readonly causal?: boolean
}

export interface AttendOptions {
  /** What is attended to, [batch, keys, width]; x itself when left out. */
  readonly source?: Tensor
  /** Which keys may be attended, as in `attention`: with a cache, [batch, capacity] or four axes. */
  readonly mask?: Tensor
  /** Added to the scaled scores, f32 that broadcasts to [batch, heads, queries, keys]. */
  readonly bias?: Tensor
  /** Keys and values of earlier positions, which those of the source follow. */
  readonly cache?: KeyValueCache
}

/**
 * Multi-head attention (Vaswani et al. 2017): linear layers to queries, keys and values, `attention` over each head, and
 * a linear layer back. The weights of torch.nn.MultiheadAttention fit: its `in_proj_weight` is those of `query`, `key`
 * and `value`, one below the other, and its `out_proj` is `projection`.
 */
export class MultiHeadAttention extends Module {
  readonly query: Linear
  readonly key: Linear
  readonly value: Linear
  readonly projection: Linear
  readonly heads: number
  readonly kvHeads: number
  readonly headSize: number
  readonly causal: boolean
  readonly dropout: number

  /**
   * Throws a UserError unless the heads divide the width, and the heads of keys those of queries, and on a rate of dropout
   * outside [0, 1).
   */
  constructor(width: number, heads: number, options: MultiHeadAttentionOptions = {}) {
    super()
    needOptions('MultiHeadAttention', options, 'kvHeads', 'bias', 'dropout', 'causal')
    const { kvHeads = heads, bias = true, dropout = 0, causal = false } = options
    if (!divides(heads, width))
      throw new UserError(`MultiHeadAttention: ${heads} heads do not divide a width of ${width}`)
    if (!(dropout >= 0 && dropout < 1))
      throw new UserError(`MultiHeadAttention: the dropout rate ${dropout} is not in [0, 1)`)
    if (!divides(kvHeads, heads))
      throw new UserError(`MultiHeadAttention: ${kvHeads} heads of keys do not divide ${heads} of queries`)
    this.heads = heads
    this.kvHeads = kvHeads
    this.headSize = width / heads
    this.causal = causal
    this.dropout = dropout
    this.query = new Linear(width, width, { bias })
    this.key = new Linear(width, kvHeads * this.headSize, { bias })
    this.value = new Linear(width, kvHeads * this.headSize, { bias })
    this.projection = new Linear(width, width, { bias })
  }

  /** Self-attention: [batch, sequence, width] to the same. */
  forward(x: Tensor, context: ForwardContext = currentContext()): Tensor {
    return this.attend(x, {}, context)
  }

  /** Attention with a mask, a bias, another source of keys, or a cache: [batch, queries, width] to the same. */
  attend(x: Tensor, options: AttendOptions = {}, context: ForwardContext = currentContext()): Tensor {
    needOptions('attend', options, 'source', 'mask', 'bias', 'cache')
    const { source = x, mask, bias, cache } = options
    const { causal, path } = this
    needTensors('attend', { x, source })
    if (x.rank !== 3)
      throw new UserError(`${path || 'MultiHeadAttention'} takes [batch, sequence, width], not ${showShape(x.shape)}`)
    const q = this.#split(this.query.forward(x, context))
    const k = this.#split(this.key.forward(source, context))
    const v = this.#split(this.value.forward(source, context))
    const rate = context.training ? this.dropout : 0
    const { step, seed } = context
    const dropout = rate > 0 ? { rate, stream: context.nextStream(), step, seed } : undefined
    const kept = cache?.append(k, v)
    const mixed = kept
      ? attention(q, kept.keys, kept.values, { mask: open(kept, q.shape[1], causal, mask), bias, dropout })
      : attention(q, k, v, { mask, causal, bias, dropout })
    return this.projection.forward(mixed.reshape(x.shape), context)
  }

  /** A cache for this layer: `capacity` positions of `batch` sequences. */
  cache(batch: number, capacity: number): KeyValueCache {
    return new KeyValueCache([batch, capacity, this.kvHeads, this.headSize])
  }

  /** [batch, sequence, heads · headSize] to [batch, sequence, heads, headSize]. */
  #split(projected: Tensor): Tensor {
    const [batch, sequence, width] = projected.shape
    return projected.reshape([batch, sequence, width / this.headSize, this.headSize])
  }
}

const divides = (part: number, whole: number): boolean => Number.isInteger(part) && part > 0 && whole % part === 0

/** What is in a cache after keys and values were appended. */
interface Kept {
  /** [batch, capacity, heads, headSize], zeros past the last position. */
  readonly keys: Tensor
  readonly values: Tensor
  /** Positions before the appended ones, i32 []. */
  readonly before: Tensor
  readonly added: number
}

/** Which positions of a cache are attended to: i32 that broadcasts to [batch, heads, queries, capacity]. */
function open({ keys, before, added }: Kept, queries: number, causal: boolean, mask: Tensor | undefined): Tensor {
  const [batch, capacity] = keys.shape
  // Query i, counted from the end as in `attention`, is at the position of the same number from the end.
  const ends = causal
    ? range(queries)
        .add(before)
        .add(added - queries + 1)
    : before.add(added).reshape([1])
  const filled = range(capacity).less(ends.reshape([1, 1, ends.size, 1]))
  if (!mask) return filled
  if (mask.rank === 2 ? mask.size !== batch * capacity : mask.rank !== 4)
    throw new UserError(
      `attend: with a cache the mask is [${batch}, ${capacity}] or has four axes, not ${showSpec(mask)}`,
    )
  return filled.logicalAnd(mask.rank === 2 ? mask.reshape([batch, 1, 1, capacity]) : mask)
}

/**
 * Keys and values of the positions so far, in memory for `capacity` of them. Compiled functions that attend with a cache
 * append to it, at each call; plans do not depend on how many positions there are. If they become more than there is
 * memory for, outputs are NaN until `clear`.
 */
export class KeyValueCache {
  /** [batch, capacity, heads, headSize] */
  readonly shape: readonly number[]
  readonly #keys: Variable
  readonly #values: Variable
  /** i32 []: the number of positions. */
  readonly #length: Variable

  constructor(shape: readonly [batch: number, capacity: number, heads: number, headSize: number]) {
    this.shape = shape
    this.#keys = variable({ shape, dtype: 'f32' }, 'cache.keys')
    this.#values = variable({ shape, dtype: 'f32' }, 'cache.values')
    this.#length = variable({ shape: [], dtype: 'i32' }, 'cache.length')
  }

  /**
   * Appends keys and values [batch, sequence, heads, headSize]. Throws a UserError outside of a compiled function, and on
   * other shapes.
   */
  append(keys: Tensor, values: Tensor): Kept {
    needTensors('append', { keys, values })
    const [batch, capacity, ...head] = this.shape
    const added = keys.shape[1]
    const expected = [batch, added, ...head]
    for (const { shape } of [keys, values]) {
      if (showShape(shape) !== showShape(expected) || added > capacity)
        throw new UserError(`a cache for ${showShape(this.shape)} does not take keys and values ${showShape(shape)}`)
    }
    const before = this.#length.next
    const place = range(capacity).sub(before)
    const after = before.add(added)
    const full = after.greater(capacity)
    const put = (kept: Variable, x: Tensor): Tensor => {
      const wide = x.cast('f32')
      const old = before.equal(0).where(0, kept.next)
      const ofPlace = (t: Tensor): Tensor => t.reshape([capacity, 1, 1])
      const isNew = ofPlace(place.greaterEqual(0).logicalAnd(place.less(added)))
      // One position is for all places; of several, each place takes its own.
      const value = isNew.where(added === 1 ? wide : wide.take(place, 1), old)
      const now = full.where(NaN, value)
      kept.assign(now)
      return now.cast(x.dtype)
    }
    const kept = { keys: put(this.#keys, keys), values: put(this.#values, values), before, added }
    this.#length.assign(after)
    return kept
  }

  /** Forgets all positions. */
  async clear(): Promise<void> {
    await this.#length.write(new Int32Array(1))
  }

  /** How many positions it holds. */
  async length(): Promise<number> {
    return (await this.#length.read())[0]
  }

  /** Frees its memory. */
  release(): void {
    for (const part of [this.#keys, this.#values, this.#length]) part.release()
  }
}
