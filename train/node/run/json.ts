// JSON of figures. JSON has no NaN and no ∞: JSON.stringify writes null for them, which a reader takes for a figure
// that was never measured. Here they are refused. Also: reading what a file's JSON holds.
import { NonFinite } from '../../../engine/errors.ts'
import type { ClassRow } from '../../metrics/summary.ts'

/**
 * JSON of a value. Throws a NonFinite, naming the field and `where` it was to go, where a number in it is not finite.
 */
export function finiteJson(value: unknown, where: string, indent?: number): string {
  return JSON.stringify(
    value,
    (name, part: unknown) => {
      if (typeof part === 'number' && !Number.isFinite(part))
        throw new NonFinite(`${where}: ${name} is ${part}, which is not a valid result`)
      return part
    },
    indent,
  )
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A value if it is a finite number. */
export const finiteNumber = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) ? value : undefined

/** Figures for a file: null for what is not defined. */
export const nullable = (figures: object): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(figures).map(([name, value]) => [name, value === undefined ? null : (value as unknown)]),
  )

/** The scores of each class for a file, named as `--best-metric` names them. */
export const classRecords = (rows: readonly ClassRow[]): Record<string, unknown>[] =>
  rows.map(({ rocAuc, averagePrecision, ...row }) =>
    nullable({ ...row, roc_auc: rocAuc, average_precision: averagePrecision }),
  )
