// Tables of vectors.
import { needOptions } from '../../engine/options.ts'
import type { Tensor } from '../../engine/tensor.ts'
import { Module } from './module.ts'
import { Parameter } from './parameter.ts'

export interface EmbeddingOptions {
  /** Of the normal distribution that vectors are drawn from; 1 when left out, as in PyTorch. */
  readonly deviation?: number
  /** The row that begins as zeros. */
  readonly paddingRow?: number
}

/** A table of vectors by id. */
export class Embedding extends Module {
  /** [rows, width] */
  readonly weight: Parameter

  constructor(rows: number, width: number, options: EmbeddingOptions = {}) {
    super()
    needOptions('Embedding', options, 'deviation', 'paddingRow')
    const { deviation = 1, paddingRow } = options
    const initial = { kind: 'normal', deviation, zeroRow: paddingRow } as const
    this.weight = new Parameter([rows, width], { role: 'embedding', initial })
  }

  /** ids i32 of any shape to [...shape, width]. */
  forward(ids: Tensor): Tensor {
    return this.weight.tensor.gather(ids)
  }

  /** The first `count` rows, [count, width], without a lookup. */
  first(count: number): Tensor {
    return this.weight.tensor.slice([0, 0], [count, this.weight.shape[1]])
  }
}
