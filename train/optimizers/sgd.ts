// Gradient descent with momentum.
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

export interface SGDSettings extends CommonSettings {
  /** 0 when left out: no memory is used for it then. */
  readonly momentum?: number
  /** Looks ahead along the momentum (Sutskever et al. 2013); false when left out. */
  readonly nesterov?: boolean
}

export interface SGDOptions extends SGDSettings, WholeSettings {}

type Full = Required<Omit<SGDSettings, 'decays'>> & Pick<SGDSettings, 'decays'>

const DEFAULTS: Full = { lr: 1e-3, weightDecay: 0, momentum: 0, nesterov: false }

const plainRule: Rule<Full> = {
  slots: [],
  count: 2,
  numbers: (_, { lr, decay }) => [lr, decay],
  step(input) {
    const { values, gradient, scale, numbers } = input
    const g = gradient.mul(scale).add(values.mul(numberAt(numbers, 1)))
    return ifTaken(input, { values: values.sub(g.mul(numberAt(numbers, 0))), slots: [] })
  },
}

const momentumRule: Rule<Full> = {
  slots: ['momentum'],
  count: 3,
  numbers: ({ momentum }, { lr, decay }) => [lr, decay, momentum],
  step(input, { nesterov }) {
    const { values, slots, gradient, scale, numbers } = input
    const [lr, decay, momentum] = [0, 1, 2].map(i => numberAt(numbers, i))
    const g = gradient.mul(scale).add(values.mul(decay))
    const next = slots[0].mul(momentum).add(g)
    const direction = nesterov ? g.add(next.mul(momentum)) : next
    return ifTaken(input, { values: values.sub(direction.mul(lr)), slots: [next] })
  },
}

/**
 * Stochastic gradient descent, as `torch.optim.SGD`: with g the clipped gradient plus decay·p, u ← momentum·u + g,
 * p ← p − lr·u, or with Nesterov's momentum p − lr·(g + momentum·u). The rate is 1e-3 and the decay 0 when left out.
 */
export class SGD extends Optimizer {
  constructor(trained: Trained<SGDSettings>, options: SGDOptions = {}) {
    const { clip, seed } = options
    const ruleOf = ({ momentum }: Full): Rule<Full> => (momentum === 0 ? plainRule : momentumRule)
    super(partsOf('SGD', trained, ruleOf, DEFAULTS, options), { clip, seed })
  }
}
