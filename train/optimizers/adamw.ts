// AdamW (Loshchilov and Hutter 2019) and Adam (Kingma and Ba 2015), each one dispatch per arena.
import { scalar } from '../../engine/index.ts'
import { adamw } from '../../engine/ops/adamw.ts'
import type { Tensor } from '../../engine/tensor.ts'
import type { Parameter } from '../../models/nn.ts'
import {
  type CommonSettings,
  Optimizer,
  type Rule,
  type Trained,
  type WholeSettings,
  numberAt,
  partsOf,
} from './optimizer.ts'

export interface AdamSettings extends CommonSettings {
  /** 0.9 when left out. */
  readonly beta1?: number
  /** 0.999 when left out. */
  readonly beta2?: number
  /** 1e-8 when left out. */
  readonly epsilon?: number
}

export interface AdamWOptions extends AdamSettings, WholeSettings {}

type Moments = Required<Pick<AdamSettings, 'beta1' | 'beta2' | 'epsilon'>>
type Full = AdamSettings & Moments & Required<Pick<CommonSettings, 'lr' | 'weightDecay'>>

const MOMENTS: Moments = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }

/** What the op takes: lr, 1 − β₁, β₂, 1 − β₂, ε, decay, 1 − β₁ᵗ, 1 − β₂ᵗ. */
const COUNT = 8
/** Where Adam has the factor of the values that it adds to the gradient. */
const ADDED = COUNT

const numbersOf = (
  { beta1, beta2, epsilon }: Moments,
  { t, lr, decay }: { readonly t: number; readonly lr: number; readonly decay: number },
): number[] => [lr, 1 - beta1, beta2, 1 - beta2, epsilon, decay, 1 - beta1 ** t, 1 - beta2 ** t]

const correctionsOf = ({ beta1, beta2 }: Moments, t: Tensor): Map<number, Tensor> =>
  new Map([beta1, beta2].map((beta, i) => [COUNT - 2 + i, oneMinusExp(t.mul(-Math.log(beta)))]))

const adamWRule: Rule<Full> = {
  slots: ['m', 'v'],
  count: COUNT,
  numbers: numbersOf,
  corrections: correctionsOf,
  step({ values, slots: [m, v], gradient, scale, numbers }) {
    const [next, ...slots] = adamw(values, m, v, gradient, numbers, scale)
    return { values: next, slots }
  },
}

const adamRule: Rule<Full> = {
  slots: ['m', 'v'],
  count: COUNT + 1,
  numbers: (settings, { decay, ...step }) => [...numbersOf(settings, { ...step, decay: 0 }), decay],
  corrections: correctionsOf,
  step({ values, slots: [m, v], gradient, scale, numbers }) {
    const whole = gradient.mul(scale).add(values.mul(numberAt(numbers, ADDED)))
    const isTaken = scale.greaterEqual(0).where(scalar(1), -1)
    const [next, ...slots] = adamw(values, m, v, whole, numbers.slice([0], [COUNT]), isTaken)
    return { values: next, slots }
  },
}

/**
 * AdamW, as `torch.optim.AdamW`: with g the clipped gradient, m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g²,
 * p ← p − lr·(m̂ / (√v̂ + ε) + decay·p), where m̂ and v̂ are corrected for their bias to 0. The rate is 1e-3 and the decay
 * 0.01 when left out.
 */
export class AdamW extends Optimizer {
  constructor(trained: Trained<AdamSettings>, options: AdamWOptions = {}) {
    const { clip, seed } = options
    super(partsOf('AdamW', trained, adamWRule, { ...MOMENTS, lr: 1e-3, weightDecay: 0.01 }, options), { clip, seed })
  }

  /** An optimizer that has taken over the storage of `parameters`. */
  static async over(
    parameters: readonly Parameter[],
    { maxArenaBytes, ...options }: AdamWOptions & { readonly maxArenaBytes?: number },
  ): Promise<AdamW> {
    return new AdamW(parameters, options).adopt(maxArenaBytes)
  }
}

/**
 * Adam, as `torch.optim.Adam`: AdamW but for the decay, which is 0 when left out and adds decay·p to the gradient.
 */
export class Adam extends Optimizer {
  constructor(trained: Trained<AdamSettings>, options: AdamWOptions = {}) {
    const { clip, seed } = options
    super(partsOf('Adam', trained, adamRule, { ...MOMENTS, lr: 1e-3, weightDecay: 0 }, options), { clip, seed })
  }
}

/** 1 − e⁻ˣ for x ≥ 0, f32: where the difference would lose its digits, the power series. */
function oneMinusExp(x: Tensor): Tensor {
  const series = [8, 7, 6, 5, 4, 3, 2]
    .reduce<Tensor>((sum, n) => scalar(1).sub(x.mul(sum).mul(1 / n)), scalar(1))
    .mul(x)
  return x.less(0.5).where(series, scalar(1).sub(x.neg().exp()))
}
