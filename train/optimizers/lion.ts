// Lion.
import {
  type CommonSettings,
  Optimizer,
  type Rule,
  type Trained,
  type WholeSettings,
  ifTaken,
  numberAt,
  partsOf,
} from './optimizer.ts'

export interface LionSettings extends CommonSettings {
  /** 0.9 when left out. */
  readonly beta1?: number
  /** 0.99 when left out. */
  readonly beta2?: number
}

export interface LionOptions extends LionSettings, WholeSettings {}

type Full = Required<Omit<LionSettings, 'decays'>> & Pick<LionSettings, 'decays'>

const DEFAULTS: Full = { lr: 1e-4, weightDecay: 0, beta1: 0.9, beta2: 0.99 }

const rule: Rule<Full> = {
  slots: ['m'],
  count: 4,
  numbers: ({ beta1, beta2 }, { lr, decay }) => [lr, lr * decay, 1 - beta1, 1 - beta2],
  step(input) {
    const { values, slots, gradient, scale, numbers } = input
    const [lr, decay, rest1, rest2] = [0, 1, 2, 3].map(i => numberAt(numbers, i))
    const [m] = slots
    const change = gradient.mul(scale).sub(m)
    const direction = m.add(change.mul(rest1)).sign()
    const next = values.sub(values.mul(decay)).sub(direction.mul(lr))
    return ifTaken(input, { values: next, slots: [m.add(change.mul(rest2))] })
  },
}

/**
 * Lion (Chen et al. 2023): every element moves by the rate, with g the clipped gradient:
 * p ← p − lr·(sign(β₁m + (1 − β₁)g) + decay·p), m ← β₂m + (1 − β₂)g. It keeps half as much as AdamW, and wants a rate 3 to
 * 10 times smaller with a decay as much larger. The rate is 1e-4 and the decay 0 when left out.
 */
export class Lion extends Optimizer {
  constructor(trained: Trained<LionSettings>, options: LionOptions = {}) {
    const { clip, seed } = options
    super(partsOf('Lion', trained, rule, DEFAULTS, options), { clip, seed })
  }
}
