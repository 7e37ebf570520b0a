// The tree-structured Parzen estimator (Bergstra et al., "Algorithms for hyper-parameter optimization", 2011), with the
// rules of Optuna 5's TPESampler: the best tenth of the settings, at most 25, is modelled by one density and all others
// by another; of some candidates drawn from the first, the next setting is the one with the largest ratio of the two.
import type { Random } from '../random.ts'
import { ParzenEstimator } from './parzen.ts'
import { type Setting, compareValues } from './settings.ts'
import { contains } from './space.ts'
import type { Space, Spec, Values } from './types.ts'

const STARTUP = 10
const CANDIDATES = 24

/** How many of n settings count as good. */
const goodOf = (n: number): number => Math.min(25, Math.ceil(n / 10))

export interface Split {
  readonly good: readonly Setting[]
  readonly rest: readonly Setting[]
}

/**
 * Divides settings, each in the order of their numbers. Complete ones come before pruned ones, and these by how far they
 * came, then by value. Running ones are among the rest, so that parallel workers do not try the same; failed ones are
 * left out.
 */
export function split(spec: Pick<Spec, 'direction'>, settings: readonly Setting[]): Split {
  const compare = compareValues(spec)
  // NaN is the worst value.
  const byValue = (a: Setting, b: Setting): number => {
    const [x, y] = [a.value ?? NaN, b.value ?? NaN]
    return Number.isNaN(x) || Number.isNaN(y) ? Number(Number.isNaN(x)) - Number(Number.isNaN(y)) : compare(x, y)
  }
  const complete = settings.filter(({ state }) => state === 'complete').toSorted(byValue)
  const pruned = settings
    .filter(({ state }) => state === 'pruned')
    .toSorted((a, b) => (b.evaluations ?? 0) - (a.evaluations ?? 0) || byValue(a, b))
  const ended = [...complete, ...pruned]
  const good = new Set(ended.slice(0, goodOf(ended.length)))
  return {
    good: settings.filter(setting => good.has(setting)),
    rest: settings.filter(setting => !good.has(setting) && setting.state !== 'failed'),
  }
}

/** Two densities over a space, and draws from the one of good settings. */
class Model {
  readonly #good: ParzenEstimator
  readonly #rest: ParzenEstimator

  constructor(space: Space, good: readonly Values[], rest: readonly Values[]) {
    this.#good = new ParzenEstimator(space, good)
    this.#rest = new ParzenEstimator(space, rest)
  }

  /** `count` draws, the best first. */
  candidates(count: number, random: Random): readonly Values[] {
    return Array.from({ length: count }, () => this.#good.sample(random))
      .map(values => ({ values, score: this.#good.logDensity(values) - this.#rest.logDensity(values) }))
      .toSorted((a, b) => b.score - a.score)
      .map(({ values }) => values)
  }
}

/** Candidates for one space; its parameters modelled together, or each alone. */
function candidatesIn(space: Space, { good, rest }: Split, { tpe = {} }: Spec, random: Random): readonly Values[] {
  const { candidates = CANDIDATES, multivariate = true } = tpe
  const within = (settings: readonly Setting[]): Values[] =>
    settings.map(({ values }) => values).filter(values => contains(space, values))
  const [goodValues, restValues] = [within(good), within(rest)]
  const model = (part: Space) => new Model(part, goodValues, restValues).candidates(candidates, random)
  if (multivariate) return model(space)
  const alone = Object.entries(space).map(([name, parameter]) => model({ [name]: parameter }))
  return Array.from({ length: candidates }, (_, i) =>
    Object.fromEntries(alone.flatMap(values => Object.entries(values[i]))),
  )
}

/** Which space is tried: by the same estimator, over the spaces as choices. */
function chooseSpace({ spaces }: Spec, { good, rest }: Split, random: Random): Space {
  if (spaces.length === 1) return spaces[0]
  const choice = { space: { values: spaces.map((_, i) => i) } }
  const indices = (settings: readonly Setting[]): Values[] =>
    settings.flatMap(({ values }) => {
      const space = spaces.findIndex(other => contains(other, values))
      return space < 0 ? [] : { space }
    })
  const [{ space }] = new Model(choice, indices(good), indices(rest)).candidates(CANDIDATES, random)
  return spaces[Number(space)]
}

/** Candidates for the next setting, best first; none as long as too few settings have ended. */
export function candidatesOf(spec: Spec, settings: readonly Setting[], random: Random): readonly Values[] {
  const ended = settings.filter(({ state }) => state === 'complete' || state === 'pruned')
  if (ended.length < (spec.tpe?.startup ?? STARTUP)) return []
  const divided = split(spec, settings)
  return candidatesIn(chooseSpace(spec, divided, random), divided, spec, random)
}
