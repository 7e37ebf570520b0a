// What a search can be tried on without training: functions of a setting with a known optimum, and what sweeps
// recorded. test/golden/optuna/make.py has the same functions.
import type { Random } from '../../train/random.ts'
import { compareValues, settingsOf } from '../../train/search/settings.ts'
import type { Parameter, Space, Spec, Trial, Value, Values } from '../../train/search/types.ts'

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

/** The choice of a row that leaves an option out. */
const LEFT_OUT = '(left out)'

/**
 * A column of a table as a parameter: choices, one of them to leave the option out where rows do; or of numbers the
 * position among those that were tried, so that it keeps their order and not the gaps between them. A row without a
 * number, such as one of all parameters without LoRA's alpha, is what it is for any: `position` is undefined.
 */
function columnOf(rows: readonly Row[], name: string) {
  const given = rows.flatMap(({ values }) => (name in values ? [values[name]] : []))
  const numbers = [...new Set(given.filter(value => typeof value === 'number'))].toSorted((a, b) => a - b)
  const ordered = given.every(value => typeof value === 'number') && numbers.length > 1
  const choices = [...new Set(rows.map(({ values }) => (name in values ? values[name] : LEFT_OUT)))]
  const parameter: Parameter = ordered ? { min: 0, max: numbers.length - 1, integer: true } : { values: choices }
  const positionOf = (values: Values): Value | undefined => {
    if (!(name in values)) return ordered ? undefined : LEFT_OUT
    const value = values[name]
    return ordered && typeof value === 'number' ? numbers.indexOf(value) : value
  }
  const distance = (a: Value, b: Value | undefined): number => {
    if (!ordered) return Number(a !== b)
    return b === undefined ? 0 : Math.abs(numberOf(a) - numberOf(b)) / (numbers.length - 1)
  }
  return { name, parameter, positionOf, distance }
}

/**
 * The table of a sweep as a surface. A setting that was not tried has the value of the nearest one, by the sum of the
 * distances of its values: 1 for another choice, else the share of all positions that lie between.
 */
export function tableSurface(direction: Spec['direction'], rows: readonly Row[]): Surface {
  const names = [...new Set(rows.flatMap(row => Object.keys(row.values)))]
  const columns = names.map(name => columnOf(rows, name))
  const points = rows.map(row => columns.map(({ positionOf }) => positionOf(row.values)))
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

/** Evaluations of a trial while it trains, the last of which is its value. */
export interface Curves {
  readonly surface: Surface
  /** How many there are. */
  readonly length: number
  at(values: Values, random: Random): readonly number[]
}

/** Curves that end at a surface's value; how fast, is drawn for each trial. All but the last are noisy. */
export function modelledCurves(surface: Surface, length: number, noise: number): Curves {
  const sign = surface.direction === 'minimize' ? 1 : -1
  return {
    surface,
    length,
    at(values, random) {
      const final = surface.at(values)
      const speed = 1 + 3 * random.next()
      return Array.from({ length }, (_, i) =>
        i === length - 1 ? final : final + sign * 2 * Math.exp((-speed * (i + 1)) / 4) + noise * random.normal(),
      )
    },
  }
}

/**
 * The trials of a sweep as a table: its settings that are complete, with the means of their seeds. Curves are the best
 * evaluation so far, as trials have the value of their best; undefined where trials have one evaluation.
 */
export function recordedSweep(spec: Pick<Spec, 'direction'>, trials: readonly Trial[]) {
  const settings = settingsOf(trials).filter(({ state }) => state === 'complete')
  const rows = settings.map(({ values, value = NaN }) => ({ values, value }))
  const surface = tableSurface(spec.direction, rows)
  const length = Math.min(...settings.flatMap(setting => setting.trials.map(({ intermediate }) => intermediate.length)))
  const compare = compareValues(spec)
  const curves = settings.map(({ trials: ofSetting, value = NaN }) => {
    const complete = ofSetting.filter(({ state }) => state === 'complete')
    const means = Array.from({ length }, (_, i) => {
      const best = complete.map(
        ({ intermediate }) =>
          intermediate
            .slice(0, i + 1)
            .map(({ value: at }) => at)
            .toSorted(compare)[0],
      )
      return best.reduce((sum, at) => sum + at, 0) / best.length
    })
    return length === 0 ? [value] : means.with(-1, value)
  })
  const indexSurface = tableSurface(
    spec.direction,
    rows.map(({ values }, i) => ({ values, value: i })),
  )
  const at = (values: Values): readonly number[] => curves[indexSurface.at(values)]
  const recorded: Curves | undefined = length > 1 ? { surface, length, at } : undefined
  return { settings: rows.length, surface, curves: recorded }
}
