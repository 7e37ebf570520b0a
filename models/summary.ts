// What a model consists of: counts, and a table of its parts.
import { type Module, needModules } from './nn/module.ts'
import type { Parameter } from './nn.ts'

/** Counts of numbers in a model. */
export interface ParameterCounts {
  readonly total: number
  readonly trainable: number
  /** 100 · trainable / total */
  readonly percent: number
}

/** One part of a model, for tables. */
export interface SummaryRow extends Omit<ParameterCounts, 'percent'> {
  readonly module: string
}

/** How many numbers a model has, and how many of them training changes. */
export function countParameters(model: Module): ParameterCounts {
  needModules('countParameters', { model })
  const { total, trainable } = count(model.parameters())
  return { total, trainable, percent: (100 * trainable) / total }
}

/** A parameter's part of the model: one layer, the embeddings, or a module of the head. */
const PART = /^.*?\.layer\.\d+|^(\w+\.embeddings|bert\.pooler|cls\.predictions|\w+)/

/** The parts of a model in order: embeddings, each layer, the modules of the head. */
export function summaryRows(model: Module): SummaryRow[] {
  needModules('summaryRows', { model })
  const parts = new Map<string, Parameter[]>()
  for (const parameter of model.parameters()) {
    const key = PART.exec(parameter.name)?.[0] ?? parameter.name
    parts.set(key, [...(parts.get(key) ?? []), parameter])
  }
  return [...parts].map(([module, parameters]) => ({ module, ...count(parameters) }))
}

/** A table of modules, parameters and trainable ones, with a line of totals; equal layers in a row share a line. */
export function summaryText(model: Module): string {
  needModules('summaryText', { model })
  const merged: { first: string; last: string; times: number; row: SummaryRow }[] = []
  for (const row of summaryRows(model)) {
    const before = merged.at(-1)
    const alike =
      before &&
      /\.layer\.\d+$/.test(row.module) &&
      /\.layer\.\d+$/.test(before.last) &&
      before.row.total === row.total &&
      before.row.trainable === row.trainable
    if (alike) Object.assign(before, { last: row.module, times: before.times + 1 })
    else merged.push({ first: row.module, last: row.module, times: 1, row })
  }
  const { total, trainable, percent } = countParameters(model)
  const cells = [
    ['module', 'parameters', 'trainable'],
    ...merged.map(({ first, last, times, row }) => [
      times === 1 ? first : `${first}–${last.slice(last.lastIndexOf('.') + 1)} (each)`,
      show(row.total),
      show(row.trainable),
    ]),
    ['total', show(total), `${show(trainable)} (${percent.toFixed(2)} %)`],
  ]
  const widths = [0, 1, 2].map(column => Math.max(...cells.map(cell => cell[column].length)))
  return cells
    .map(([module, all, some]) =>
      `${module.padEnd(widths[0])}  ${all.padStart(widths[1])}  ${some.padStart(widths[2])}`.trimEnd(),
    )
    .join('\n')
}

function count(parameters: readonly Parameter[]): { total: number; trainable: number } {
  const sum = (list: readonly Parameter[]): number => list.reduce((size, parameter) => size + parameter.size, 0)
  return { total: sum(parameters), trainable: sum(parameters.filter(parameter => parameter.trainable)) }
}

/** 67,471,106 */
function show(n: number): string {
  return n.toLocaleString('en-US')
}
