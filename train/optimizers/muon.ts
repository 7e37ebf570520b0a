// Muon: momentum whose matrices are made orthogonal before each step.
import { type Tensor, UserError, concat } from '../../engine/index.ts'
import { needOneOf } from '../../engine/options.ts'
import { Module, type Parameter } from '../../models/nn.ts'
import { type Arena, flattened } from './arenas.ts'
import { type AdamWOptions, AdamW } from './adamw.ts'
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

export interface MuonSettings extends CommonSettings {
  /** 0.95 when left out. */
  readonly momentum?: number
  /** Looks ahead along the momentum; true when left out. */
  readonly nesterov?: boolean
  /** Steps of the iteration that makes a matrix orthogonal; 5 when left out. */
  readonly iterations?: number
  /**
   * By what the rate of a matrix [rows, columns] is multiplied: `original` by √max(1, rows / columns); `adamw` by
   * 0.2·√max(rows, columns), which gives steps the size of AdamW's, so that its rates and decays can be used.
   * `original` when left out.
   */
  readonly adjust?: 'original' | 'adamw'
}

export interface MuonOptions extends MuonSettings, WholeSettings {
  /** Options of the AdamW that trains everything but the matrices of layers. */
  readonly others?: Omit<AdamWOptions, keyof WholeSettings>
}

/** Of the iteration X ← aX + (bA + cA²)X with A = XXᵀ (Jordan 2024), which is fast rather than exact. */
const [A, B, C] = [3.4445, -4.775, 2.0315]
/** Keeps the norm of a matrix of zeros from being divided by. */
const LEAST_NORM = 1e-7

/** [rows, columns] of a parameter: the axes after the first are one, as of a convolution's kernels. */
const matrixOf = ({ shape, size }: Parameter): readonly [number, number] => [shape[0], size / shape[0]]

/** Matrices f32 [count, rows, columns], each near to the closest orthogonal one. */
function orthogonal(matrices: Tensor, iterations: number): Tensor {
  const isTall = matrices.shape[1] > matrices.shape[2]
  let x = isTall ? matrices.transpose() : matrices
  x = x.div(x.square().sum([1, 2], true).sqrt().maximum(LEAST_NORM))
  for (let i = 0; i < iterations; i++) {
    const product = x.matmul(x.transpose())
    x = x.mul(A).add(product.mul(B).add(product.matmul(product).mul(C)).matmul(x))
  }
  return isTall ? x.transpose() : x
}

/** The matrices of an arena's flat tensor made orthogonal, those of one shape together, each multiplied by `factor`. */
function orthogonalized(
  flat: Tensor,
  arena: Pick<Arena, 'held' | 'size'>,
  iterations: number,
  factor: (rows: number, columns: number) => number,
): Tensor {
  const byShape = new Map<string, Arena['held'][number][]>()
  for (const held of arena.held) {
    const key = matrixOf(held.parameter).join()
    byShape.set(key, [...(byShape.get(key) ?? []), held])
  }
  const results = new Map<Parameter, Tensor>()
  for (const same of byShape.values()) {
    const [rows, columns] = matrixOf(same[0].parameter)
    const views = same.map(({ offset }) => flat.slice([offset], [offset + rows * columns]).reshape([1, rows, columns]))
    const made = orthogonal(views.length === 1 ? views[0] : concat(views), iterations).mul(factor(rows, columns))
    same.forEach(({ parameter }, i) => results.set(parameter, made.slice([i], [i + 1])))
  }
  return flattened(arena, parameter => {
    const result = results.get(parameter)
    if (!result) throw new Error(`${parameter.name} is in no group of matrices`)
    return result
  })
}

const ADJUSTMENTS = {
  original: (rows: number, columns: number) => Math.sqrt(Math.max(1, rows / columns)),
  adamw: (rows: number, columns: number) => 0.2 * Math.sqrt(Math.max(rows, columns)),
} as const

type Full = Required<Omit<MuonSettings, 'decays'>> & Pick<MuonSettings, 'decays'>

const DEFAULTS: Full = {
  lr: 1e-3,
  weightDecay: 0.1,
  momentum: 0.95,
  nesterov: true,
  iterations: 5,
  adjust: 'original',
}

const rule: Rule<Full> = {
  slots: ['momentum'],
  count: 3,
  numbers: ({ momentum }, { lr, decay }) => [lr, lr * decay, momentum],
  step(input, { nesterov, iterations, adjust }) {
    const { values, slots, gradient, scale, numbers, arena } = input
    const [lr, decay, momentum] = [0, 1, 2].map(i => numberAt(numbers, i))
    const g = gradient.mul(scale)
    const next = g.add(slots[0].sub(g).mul(momentum))
    const direction = nesterov ? g.add(next.sub(g).mul(momentum)) : next
    const update = orthogonalized(direction, arena, iterations, ADJUSTMENTS[adjust])
    return ifTaken(input, { values: values.sub(values.mul(decay)).sub(update.mul(lr)), slots: [next] })
  },
  check({ name, shape }) {
    if (shape.length < 2)
      throw new UserError(`Muon trains matrices, not ${name} [${shape.join(', ')}]: give it a module, or use together`)
  },
}

function ruleOf({ adjust }: Full): Rule<Full> {
  needOneOf('Muon', 'adjust', adjust, ...Object.keys(ADJUSTMENTS))
  return rule
}

/** What Muon is meant for: the matrices of layers, not embeddings, norms and biases. */
const isMatrix = ({ role, shape }: Parameter): boolean => role === 'weight' && shape.length >= 2

/**
 * Muon (Jordan 2024), as `torch.optim.Muon`: with g the clipped gradient, u ← momentum·u + (1 − momentum)·g, and each
 * matrix p ← p − lr·(factor·orthogonal(u) + decay·p). Of a module it trains the matrices of layers, and AdamW (`others`)
 * embeddings, norms and biases. The rate is 1e-3 and the decay 0.1 when left out.
 */
export class Muon extends Optimizer {
  constructor(trained: Trained<MuonSettings>, options: MuonOptions = {}) {
    const { others, ...own } = options
    const { clip, seed } = own
    const all = trained instanceof Module ? trained.trainable() : undefined
    const matrices = all?.filter(isMatrix)
    const rest = all?.filter(parameter => !isMatrix(parameter)) ?? []
    const parts = partsOf('Muon', matrices ?? trained, ruleOf, DEFAULTS, own)
    super([...parts, ...(rest.length > 0 ? new AdamW(rest, others).parts : [])], { clip, seed })
  }
}
