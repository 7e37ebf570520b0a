// References that are read from a run's folder, rather than measured: its answers to the same test rows.
import { basename, resolve } from 'node:path'
import { UserError } from '../../../../engine/errors.ts'
import { alignRuns } from '../../../compare/align.ts'
import { differenceInKind } from '../../../compare/compare.ts'
import { resultsOfAnswers } from '../../../compare/results.ts'
import type { Answer } from '../../../compare/types.ts'
import type { MetricInfo, Results, Summary } from '../../../metrics/summary.ts'
import { openFinishedRun } from '../compare.ts'
import { resultsOf } from '../../../tasks/results.ts'
import { command, shellLine } from '../../cli/shell.ts'
import { TILEGRAD } from '../../package.ts'
import { predictionsOf } from '../../run/predictions.ts'
import type { Data } from '../job.ts'

export interface Recorded {
  readonly title: string
  /** To the run's test rows; in the same order as ours under `results`. */
  readonly answers: readonly Answer[]
  readonly metrics: Summary['metrics']
  readonly trained: number | undefined
  readonly seconds: number | undefined
  /** Where it was measured, and by which command. */
  readonly adapter: string | undefined
  readonly command: string
}

/** Opens a run. Throws a UserError if it is for another task or other labels, or keeps no answers. */
export async function openRecorded(folder: string, { plan: { task, labels } }: Pick<Data, 'plan'>): Promise<Recorded> {
  const { opened, config } = await openFinishedRun(folder)
  const why = differenceInKind(opened, { name: 'this run', task, labels })
  if (why !== undefined) throw new UserError(`--compare-with ${why}`)
  if (opened.answers === undefined)
    throw new UserError(`--compare-with ${folder}: it has no predictions.jsonl with its answers to the test rows`)
  return {
    title: config.title === undefined ? `the run ${basename(resolve(folder))}` : `${config.title} (recorded)`,
    answers: opened.answers,
    metrics: opened.metrics,
    trained: opened.cost.trained,
    seconds: opened.cost.seconds,
    adapter: opened.adapter,
    command:
      opened.job === 'fine-tune'
        ? command(opened.preset === 'tilegrad' ? 'tilegrad' : 'imdb', ...opened.arguments)
        : shellLine(`${TILEGRAD} ${opened.job}`, ...opened.arguments),
  }
}

/**
 * The title of a run that `--compare-with` names. Throws a UserError if it was tested on other rows than these. Which
 * labels of words the model sees is only known after the test.
 */
export async function checkRecorded(folder: string, data: Pick<Data, 'plan' | 'test'>): Promise<string> {
  const { task, labels } = data.plan
  const recorded = await openRecorded(folder, data)
  if (task === 'tokens') return recorded.title
  // Only their labels count.
  const outputs = data.test.map(({ target }) => ({ target, output: new Float32Array(labels.length) }))
  refuseOtherRows(folder, recorded, predictionsOf(resultsOf(task, labels, outputs), data.test))
  return recorded.title
}

function refuseOtherRows(folder: string, { answers }: Recorded, ours: readonly Answer[]): void {
  const [theirs, here] = alignRuns([{ answers }, { answers: ours }])
  if (theirs.set !== here.set) throw new UserError(`--compare-with ${folder}: that run was tested on other rows`)
}

/**
 * Both answers to the same rows in the same order, as results of a metric; undefined if it needs probabilities that are
 * not known. Throws a UserError if the rows are others.
 */
export function alignedResults(
  folder: string,
  recorded: Recorded,
  { plan: { task, labels } }: Pick<Data, 'plan'>,
  ours: readonly Answer[],
  metric: MetricInfo,
): { readonly ours: Results; readonly theirs: Results } | undefined {
  refuseOtherRows(folder, recorded, ours)
  const [theirs, here] = alignRuns([{ answers: recorded.answers }, { answers: ours }]).map(aligned =>
    resultsOfAnswers({ task, labels }, aligned.answers, metric.name),
  )
  return theirs && here && { ours: here, theirs }
}
