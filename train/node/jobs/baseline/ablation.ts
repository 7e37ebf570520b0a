// The same model with each preprocessing step switched, one at a time, and McNemar's test of each against the run.
import type { FitOptions } from '../../../baseline/model.ts'
import { holm, mcnemar } from '../../../metrics/paired.ts'
import type { Results } from '../../../metrics/summary.ts'
import { resultsOf } from '../../../tasks/results.ts'
import type { Switched } from '../../cli/baseline-options.ts'
import { predictionsOf } from '../../run/predictions.ts'
import type { Data } from '../job.ts'
import { readDocuments, textsOf } from './documents.ts'
import { type Outputs, fitTo, fittedTo, outputsOf } from './fit.ts'
import { openPreprocessor } from './saved.ts'

/** How the run does with one step switched. */
export interface Ablated {
  readonly option: string
  readonly value: string
  /** Share of the test texts whose answer is right; of several labels, all of them. */
  readonly accuracy: number
  /** Less that of the run. */
  readonly difference: number
  /** Test texts that only the run, and only this one, gets right. */
  readonly only_run: number
  readonly only_switched: number
  /** McNemar's test, and its p-value corrected for as many tests (Holm). */
  readonly p: number
  readonly p_holm: number
  readonly features: number
  readonly seconds: number
}

/** The difference in percentage points, with its sign. */
export const pointsOf = ({ difference }: Ablated): string =>
  `${difference < 0 ? '−' : '+'}${(100 * Math.abs(difference)).toFixed(2)}`

/** Share of a variant's time that reading words takes; counting and fitting take the rest. */
const READING = 0.4

/**
 * Fits each variant to the texts that the run was fitted to, and tests it. `onProgress` is called with the number of variants that are
 * done; fractions count.
 */
export async function ablate(
  data: Data,
  run: Outputs,
  switches: readonly Switched[],
  fit: FitOptions,
  refit: boolean,
  onProgress: (done: number) => void,
): Promise<Ablated[]> {
  const {
    plan: { task, labels },
  } = data
  const right = (outputs: Outputs): boolean[] => rightAnswers(resultsOf(task, labels, outputs), data)
  const ours = right(run)
  const share = (answers: readonly boolean[]): number => answers.filter(Boolean).length / answers.length
  const rows: Omit<Ablated, 'p_holm'>[] = []
  for (const [i, { option, value, steps }] of switches.entries()) {
    const began = performance.now()
    const preprocessor = await openPreprocessor(steps)
    const documents = await readDocuments(data, preprocessor, done => onProgress(i + (READING * done) / textsOf(data)))
    const { corpus, examples } = fittedTo(documents, data, refit)
    const model = await fitTo(corpus, examples, data.plan, fit, done => onProgress(i + READING + (1 - READING) * done))
    const theirs = right(outputsOf(model, documents.test, data.test, data.plan))
    const { onlyA, onlyB, p } = mcnemar(ours, theirs)
    rows.push({
      option,
      value,
      accuracy: share(theirs),
      difference: share(theirs) - share(ours),
      only_run: onlyA,
      only_switched: onlyB,
      p,
      features: model.vocabulary.size,
      seconds: (performance.now() - began) / 1000,
    })
    onProgress(i + 1)
  }
  const corrected = holm(rows.map(({ p }) => p))
  return rows.map((row, i) => ({ ...row, p_holm: corrected[i] }))
}

/** Whether each answer is right. */
function rightAnswers(results: Results, { test }: Data): boolean[] {
  return predictionsOf(results, test).map(({ label, predicted }) => JSON.stringify(label) === JSON.stringify(predicted))
}
