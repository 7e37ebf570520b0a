// Measured differences: a test that compares numbers says how far apart they were, not only that it was near enough.
// The reporter collects what was said and prints one table at the end of the run.
import type { TestContext } from 'vitest'

/** How far numbers were from those that they should be, and how far they may be. */
export interface Difference {
  /** Which numbers: differences with the same name are one row of the table, the worst of them. */
  readonly what: string
  readonly worst: number
  readonly bar: number
  /** The case that it was measured in. */
  readonly at: string
}

declare module 'vitest' {
  interface TaskMeta {
    differences?: Difference[]
  }
}

/** Notes a difference for the table, then throws unless it is within its bar. */
export function expectWithin(context: TestContext, difference: Difference): void {
  const { what, worst, bar, at } = difference
  const { meta } = context.task
  meta.differences = [...(meta.differences ?? []), { ...difference, worst: Number.isFinite(worst) ? worst : Infinity }]
  if (!(worst <= bar)) throw new Error(`${what}, ${at}: the difference is ${worst}, the bar ${bar}`)
}

/** Largest |a − b|; infinite where one is no number. Throws on lists of different lengths. */
export function largestDifference(found: ArrayLike<number>, wanted: ArrayLike<number>): number {
  if (found.length !== wanted.length) throw new Error(`${found.length} numbers were found, ${wanted.length} expected`)
  let largest = 0
  for (let i = 0; i < wanted.length; i++) {
    const difference = Math.abs(found[i] - wanted[i])
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Infinity : difference
  }
  return largest
}

/** The rows of the table: one for each name, in the order in which they came, with the worst case of each. */
export function differencesTable(differences: readonly Difference[]): string[] {
  const rows = new Map<string, { worst: Difference; cases: number }>()
  for (const difference of differences) {
    const row = rows.get(difference.what)
    // Against its own bar: cases of one name may have different ones.
    const worse = !row || difference.worst / difference.bar > row.worst.worst / row.worst.bar
    rows.set(difference.what, { worst: worse ? difference : row.worst, cases: (row?.cases ?? 0) + 1 })
  }
  const cells = [
    ['difference', 'cases', 'worst', 'bar', 'in'],
    ...[...rows].map(
      ([
        what,
        {
          worst: { worst, bar, at },
          cases,
        },
      ]) => [what, String(cases), worst.toExponential(1), bar.toExponential(0), worst <= bar ? at : `${at}  TOO FAR`],
    ),
  ]
  const widths = cells[0].map((_, column) => Math.max(...cells.map(row => row[column].length)))
  return cells.map(row =>
    row
      .map((cell, column) => (column >= 1 && column <= 3 ? cell.padStart(widths[column]) : cell.padEnd(widths[column])))
      .join('  ')
      .trimEnd(),
  )
}
