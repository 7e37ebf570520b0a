// Which runs answered the same test rows, and which of their answers belong to the same row.
import type { Answer, ComparedRun } from './types.ts'

/** A run's answers in an order that is the same for all runs of its set. */
export interface AlignedRun {
  /** Runs of the same number were tested on the same rows with the same labels; undefined without answers. */
  readonly set: number | undefined
  readonly answers: readonly Answer[]
}

/** Rows are matched by the hash of their text, equal texts by the order in which they occur. */
export function alignRuns(runs: readonly Pick<ComparedRun, 'answers'>[]): AlignedRun[] {
  const sets = new Map<string, number>()
  return runs.map(({ answers }) => {
    if (!answers) return { set: undefined, answers: [] }
    const order = answers.map((_, i) => i)
    // The sort is stable: equal texts stay in their order.
    order.sort((a, b) => (answers[a].text < answers[b].text ? -1 : answers[a].text > answers[b].text ? 1 : 0))
    const aligned = order.map(i => answers[i])
    const identity = aligned.map(({ text, label }) => `${text}${JSON.stringify(label)}`).join()
    const set = sets.get(identity) ?? sets.size
    sets.set(identity, set)
    return { set, answers: aligned }
  })
}
