// What an option does to the metric: over the values of one option, and over those of two.
import { type MeanInterval, meanInterval } from '../metrics/means.ts'
import type { MetricInfo } from '../metrics/summary.ts'
import type { Interval } from '../metrics/uncertainty.ts'
import type { Entry } from './compare.ts'
import type { Value } from './types.ts'

/** The runs of a few settings. */
export interface Cell extends MeanInterval {
  readonly runs: number
  readonly settings: number
}

/** Settings that differ in one option alone. */
export interface Track {
  /** What else they are, of the options that vary. */
  readonly others: Readonly<Record<string, Value>>
  /** By the place of the option's value in `Axis.values`. */
  readonly cells: readonly (Cell | undefined)[]
}

/** The effect of one option. */
export interface Axis {
  readonly option: string
  /** In ascending order, numbers before words. */
  readonly values: readonly Value[]
  /** All runs with the value, of settings that have a counterpart with another one where there are any. */
  readonly means: readonly Cell[]
  /** Comparable settings, those of most values first; each has two values at least. */
  readonly tracks: readonly Track[]
  /** The largest minus the smallest mean. */
  readonly spread: number
}

/** The effect of two options. */
export interface Grid {
  readonly rows: Omit<Axis, 'tracks' | 'means' | 'spread'>
  readonly columns: Omit<Axis, 'tracks' | 'means' | 'spread'>
  /** [row][column]; undefined where nothing was tried. */
  readonly cells: readonly (readonly (Cell | undefined)[])[]
}

/** More values than this make no table of two options. */
const MOST_VALUES = 12
/** Pairs of options that get a table. */
const MOST_GRIDS = 6
/** With at least this many settings, an option is shown even if no two differ in it alone, as in a random search. */
const MANY_SETTINGS = 8

/** The effects of the options that vary, the strongest first. */
export function axesOf(entries: readonly Entry[], varying: readonly string[], metric: MetricInfo): Axis[] {
  return varying
    .map(option => axisOf(entries, option, varying, metric))
    .filter(axis => axis !== undefined)
    .sort((a, b) => b.spread - a.spread)
}

function axisOf(
  entries: readonly Entry[],
  option: string,
  varying: readonly string[],
  metric: MetricInfo,
): Axis | undefined {
  const own = entries.filter(entry => entry.value !== undefined && entry.options[option] !== undefined)
  const others = varying.filter(name => name !== option)
  const groups = Map.groupBy(own, ({ job, options }) =>
    JSON.stringify([job, others.map(name => options[name] ?? null)]),
  )
  const comparable = [...groups.values()].filter(group => valuesOf(group, option).length > 1)
  // Settings that have no counterpart would mix the effects of other options into the means.
  const taken = comparable.length > 0 ? comparable.flat() : own
  const values = valuesOf(taken, option)
  if (values.length < 2 || (comparable.length === 0 && own.length < MANY_SETTINGS)) return undefined
  const at = (group: readonly Entry[], value: Value): Cell | undefined =>
    cellOf(
      group.filter(({ options }) => options[option] === value),
      metric,
    )
  const means = values.flatMap(value => at(taken, value) ?? [])
  const tracks = comparable
    .map((group): Track => {
      const [{ options }] = group
      const kept = others.flatMap((name): [string, Value][] => (name in options ? [[name, options[name]]] : []))
      return { others: Object.fromEntries(kept), cells: values.map(value => at(group, value)) }
    })
    .sort((a, b) => filled(b.cells) - filled(a.cells))
  const figures = means.map(({ mean }) => mean)
  return { option, values, means, tracks, spread: Math.max(...figures) - Math.min(...figures) }
}

const filled = (cells: readonly (Cell | undefined)[]): number => cells.filter(cell => cell !== undefined).length

/** Tables of two options each, of those that were combined most. */
export function gridsOf(entries: readonly Entry[], varying: readonly string[], metric: MetricInfo): Grid[] {
  const measured = entries.filter(({ value }) => value !== undefined)
  const found = varying.flatMap((first, i) =>
    varying.slice(i + 1).flatMap((second): Grid[] => {
      const both = measured.filter(({ options }) => options[first] !== undefined && options[second] !== undefined)
      const [rows, columns] = [first, second].map(option => ({ option, values: valuesOf(both, option) }))
      const sizes = [rows.values.length, columns.values.length]
      if (sizes.some(size => size < 2 || size > MOST_VALUES)) return []
      const cells = rows.values.map(row =>
        columns.values.map(column => {
          const matching = both.filter(({ options }) => options[first] === row && options[second] === column)
          return cellOf(matching, metric)
        }),
      )
      return [
        columns.values.length > rows.values.length ? transposed({ rows, columns, cells }) : { rows, columns, cells },
      ]
    }),
  )
  const known = ({ cells }: Grid): number => filled(cells.flat())
  const whole = (grid: Grid): number => grid.cells.length * grid.cells[0].length
  return found
    .filter(grid => known(grid) > Math.max(3, whole(grid) / 2))
    .sort((a, b) => known(b) - known(a))
    .slice(0, MOST_GRIDS)
}

/** A page is higher than it is wide. */
const transposed = ({ rows, columns, cells }: Grid): Grid => ({
  rows: columns,
  columns: rows,
  cells: columns.values.map((_, j) => rows.values.map((_, i) => cells[i][j])),
})

function cellOf(entries: readonly Entry[], metric: MetricInfo): Cell | undefined {
  const values = entries.flatMap(({ runs }) => runs.flatMap(({ value }) => value ?? []))
  if (values.length === 0) return undefined
  const { mean, interval } = meanInterval(values)
  return { mean, interval: interval && withinRange(interval, metric), runs: values.length, settings: entries.length }
}

/** Student's interval knows no bounds; a share does. */
export const withinRange = ({ low, high }: Interval, { shown }: MetricInfo): Interval =>
  shown === 'percent' ? { low: Math.max(0, low), high: Math.min(1, high) } : { low, high }

function valuesOf(entries: readonly Entry[], option: string): Value[] {
  const values = [...new Set(entries.map(({ options }) => options[option]))]
  return values.sort((a, b) => {
    if (typeof a === 'number' && typeof b === 'number') return a - b
    if (typeof a === 'number' || typeof b === 'number') return typeof a === 'number' ? -1 : 1
    return String(a) < String(b) ? -1 : 1
  })
}
