// What a forward pass knows of its surroundings: whether it trains, and which step it is.
import { scalar } from '../../engine/index.ts'
import { needFunction } from '../../engine/options.ts'
import type { Tensor } from '../../engine/tensor.ts'

export interface ForwardContext {
  /** Dropout is on. */
  readonly training: boolean
  readonly seed: number
  /** Number of the step, u32 of shape []: masks differ from step to step. */
  readonly step: Tensor
  /**
   * Mixed precision (Micikevicius et al. 2018): parameters are f32, but activations f16, and so are the copies of weights
   * that they are multiplied by. Sums are f32.
   */
  readonly mixed?: boolean
  /** Every dropout site of a pass takes a number of its own, in the order of the program. */
  nextStream(): number
  /** Called with the hidden states before the first layer and after each. */
  onLayer?(hidden: Tensor): void
  /** Called with the word embeddings of every token, [batch, sequence, hidden]. */
  onWords?(embedded: Tensor): void
}

/** A context for one forward pass. */
export function forwardContext(options: Omit<ForwardContext, 'nextStream'>): ForwardContext {
  let streams = 0
  return { ...options, nextStream: () => streams++ }
}

let current: ForwardContext | undefined

/** The context of layers that are called without one: that of `inContext`, else an evaluation. */
export const currentContext = (): ForwardContext =>
  current ?? forwardContext({ training: false, seed: 0, step: scalar(0, 'u32') })

/** Calls `run`, a forward pass, with this context for all layers that are called without one. */
export function inContext<R>(context: ForwardContext, run: () => R): R {
  needFunction('inContext', { run })
  const before = current
  current = context
  try {
    return run()
  } finally {
    current = before
  }
}
