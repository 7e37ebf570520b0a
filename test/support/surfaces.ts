// What a search can be tried on without training: functions of a setting with a known optimum, the recorded table of a
// sweep, and a sweep played through with either. test/golden/optuna/make.py has the same functions.
import { type Random, stream } from '../../train/random.ts'
import { propose } from '../../train/search/propose.ts'
import { shouldPrune } from '../../train/search/halving.ts'
import type {
  Intermediate,
  Parameter,
  Space,
  Spec,
  Trial,
  TrialState,
  Value,
  Values,
} from '../../train/search/types.ts'

export interface Surface {
  readonly space: Space
  readonly direction: Spec['direction']
  /** The best value of all. */
  readonly optimum: number
  at(values: Values): number
}

const numberOf = (value: Value): number => {
  if (typeof value !== 'number') throw new TypeError(`${JSON.stringify(value)} is not a number`)
  return value
}

/** Branin's function: smooth, with three minima of the same depth. */
export const BRANIN: Surface = {
  space: { x: { min: -5, max: 10 }, y: { min: 0, max: 15 } },
  direction: 'minimize',
  optimum: 0.39788735772973816,
  at: values => {
    const [x, y] = [numberOf(values.x), numberOf(values.y)]
    const bend = y - (5.1 / (4 * Math.PI ** 2)) * x ** 2 + (5 / Math.PI) * x - 6
    return bend ** 2 + 10 * (1 - 1 / (8 * Math.PI)) * Math.cos(x) + 10
  },
}

const TARGETS: Readonly<Record<string, number>> = {
  query: 0.6,
  'query,value': 0.3,
  mlp: 0.2,
  'query,value,mlp': 0,
  head: 1.5,
}
const SCHEDULES: Readonly<Record<string, number>> = { linear: 0, cosine: 0.05, constant: 0.25 }

/** Shaped like the loss of a fine-tuning run: the best rate depends on what is trained, and too large costs most. */
export const TUNING: Surface = {
  space: {
    lr: { min: 1e-6, max: 0.1, scale: 'log' },
    rank: { min: 1, max: 128, scale: 'log', integer: true },
    dropout: { min: 0, max: 0.5, step: 0.1 },
    targets: { values: Object.keys(TARGETS) },
    schedule: { values: Object.keys(SCHEDULES) },
  },
  direction: 'minimize',
  optimum: 0,
  at: ({ lr, rank, dropout, targets, schedule }) => {
    const best = -3.3 - (targets === 'query,value,mlp' ? 0.2 : 0) + (targets === 'head' ? 0.5 : 0)
    const off = Math.log10(numberOf(lr)) - best
    return (
      TARGETS[String(targets)] +
      (off > 0 ? 0.8 : 0.4) * off ** 2 +
      0.05 * (Math.log2(numberOf(rank)) - 4) ** 2 +
      2 * (numberOf(dropout) - 0.1) ** 2 +
      SCHEDULES[String(schedule)] * (off > 0 ? 3 : 1)
    )
  },
}

/** What a sweep recorded of one setting. */
export interface Row {
  readonly values: Values
  readonly value: number
}

/**
 * A column of a table as a parameter: choices, or of numbers the position among those that were tried, so that it
 * keeps their order and not the gaps between them.
 */
function columnOf(rows: readonly Row[], name: string) {
  const tried = [...new Set(rows.map(({ values }) => values[name]))]
  const numbers = tried.filter(value => typeof value === 'number').toSorted((a, b) => a - b)
  const ordered = numbers.length === tried.length && tried.length > 1
  const parameter: Parameter = ordered ? { min: 0, max: tried.length - 1, integer: true } : { values: tried }
  const positionOf = (value: Value): Value => (ordered && typeof value === 'number' ? numbers.indexOf(value) : value)
  const distance = (a: Value, b: Value): number =>
    ordered ? Math.abs(numberOf(a) - numberOf(b)) / (tried.length - 1) : Number(a !== b)
  return { name, parameter, positionOf, distance }
}

/**
 * The table of a sweep as a surface. A setting that was not tried has the value of the nearest one, by the sum of the
 * distances of its values: 1 for another choice, else the share of all positions that lie between.
 */
export function tableSurface(direction: Spec['direction'], rows: readonly Row[]): Surface {
  const columns = Object.keys(rows[0].values).map(name => columnOf(rows, name))
  const points = rows.map(({ values }) => columns.map(({ name, positionOf }) => positionOf(values[name])))
  const values = rows.map(({ value }) => value)
  return {
    space: Object.fromEntries(columns.map(({ name, parameter }) => [name, parameter])),
    direction,
    optimum: direction === 'minimize' ? Math.min(...values) : Math.max(...values),
    at: setting => {
      const distances = points.map(point =>
        columns.reduce((sum, { name, distance }, i) => sum + distance(setting[name], point[i]), 0),
      )
      return values[distances.indexOf(Math.min(...distances))]
    },
  }
}

/** A search on a surface, with all that does not matter filled in. */
export const searchOn = ({ space, direction }: Surface, search: Partial<Spec>): Spec => ({
  search: 'random',
  spaces: [space],
  settings: 60,
  seeds: [0],
  metric: 'loss',
  direction,
  seed: 0,
  ...search,
})

/** Plays a sweep, one trial after another. */
export function play(spec: Spec, surface: Surface): readonly Trial[] {
  const history: Trial[] = []
  for (;;) {
    const proposals = propose(spec, history, 1)
    if (proposals.length === 0) return history
    for (const { setting, values } of proposals) {
      for (const seed of spec.seeds) {
        const value = surface.at(values)
        history.push({ number: history.length, setting, seed, values, state: 'complete', value, intermediate: [] })
      }
    }
  }
}

/** Distance of the best of the first trials from the optimum. */
export function regretAfter(trials: number, history: readonly Trial[], { direction, optimum }: Surface): number {
  const values = history.slice(0, trials).flatMap(({ value }) => value ?? [])
  return direction === 'minimize' ? Math.min(...values) - optimum : optimum - Math.max(...values)
}

/** A learning curve that ends at a surface's value: evaluation 1 … `length`, the speed drawn for each setting. */
export interface Curves {
  readonly surface: Surface
  readonly length: number
  /** Standard deviation of an evaluation before the last. */
  readonly noise: number
}

function curveOf({ surface, length, noise }: Curves, values: Values, random: Random): readonly number[] {
  const final = surface.at(values)
  const speed = 1 + 3 * random.next()
  const sign = surface.direction === 'minimize' ? 1 : -1
  return Array.from({ length }, (_, i) =>
    i === length - 1 ? final : final + sign * 2 * Math.exp((-speed * (i + 1)) / 4) + noise * random.normal(),
  )
}

/**
 * Plays a sweep with learning curves on `workers` that take turns, until `budget` evaluations are spent. Returns its
 * trials; those that the end of the budget interrupts are still running.
 */
export function playCurves(spec: Spec, curves: Curves, budget: number, workers = 4): readonly Trial[] {
  const trials: Trial[] = []
  const curvesOfTrials: (readonly number[])[] = []
  const busy: number[] = []
  for (let spent = 0; spent < budget; spent++) {
    if (busy.length < workers) {
      for (const { setting, values } of propose(spec, trials, 1)) {
        const number = trials.length
        trials.push({ number, setting, seed: 0, values, state: 'running', intermediate: [] })
        curvesOfTrials.push(curveOf(curves, values, stream(spec.seed, `curve ${number}`)))
        busy.push(number)
      }
    }
    const number = busy.shift()
    if (number === undefined) break
    const trial = trials[number]
    const step = trial.intermediate.length
    const value = curvesOfTrials[number][step]
    const intermediate: readonly Intermediate[] = [...trial.intermediate, { step: step + 1, value }]
    const reported = { ...trial, intermediate }
    const ends = intermediate.length === curves.length
    const state: TrialState = ends ? 'complete' : shouldPrune(spec, trials, reported) ? 'pruned' : 'running'
    trials[number] = { ...reported, state, ...(ends ? { value } : {}) }
    if (state === 'running') busy.push(number)
  }
  return trials
}
