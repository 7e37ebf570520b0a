// The five small data sets: how each is trained, and the score of the best constant answer.
import { fileURLToPath } from 'node:url'
import { type MetricInfo, metricsOf, summarise } from '../../../metrics/summary.ts'
import type { TaskName } from '../../../tasks/infer.ts'
import { resultsOf } from '../../../tasks/results.ts'
import { parseOptions } from '../../cli/options.ts'
import type { Example } from '../../data/labelled.ts'
import { type Data, openData } from '../../jobs/job.ts'

const folder = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

export interface BundledTask {
  readonly name: string
  /** What `fine-tune` and `evaluate` take to read it. */
  readonly columns: readonly string[]
  /** What `fine-tune` takes for it, beside the model and `--tune full`. */
  readonly args: readonly string[]
  /** The file of rows made of phrases that training does not have. */
  readonly newPhrases: string
}

function task(name: string, ending: string, options: string, training: string): BundledTask {
  const columns = options.split(' ')
  const args = [`--data=${folder(name)}`, ...columns, ...training.split(' ')]
  return { name, columns, args, newPhrases: folder(`new-phrases/${name}.${ending}`) }
}

export const TASKS: readonly BundledTask[] = [
  task('genres', 'csv', '--label-column genre', '--lr 1e-3 --epochs 4'),
  task('aspects', 'jsonl', '--label-column praised', '--lr 1e-3 --epochs 6 --batch-size 8'),
  task('ratings', 'tsv', '--label-column stars', '--lr 1e-3 --epochs 4'),
  task('answers', 'json', '--text-column question --pair-column answer', '--lr 1e-3 --schedule constant --epochs 5'),
  task('names', 'ndjson', '--label-column tags', '--lr 1e-3 --epochs 7 --batch-size 8'),
]

/** All arguments of `tilegrad fine-tune` for one of them. `more` comes last and takes precedence. */
export const argumentsOf = ({ args }: BundledTask, ...more: readonly string[]): string[] =>
  [`--model=${folder('../model')}`, '--tune', 'full', ...args, ...more]

/** The data of one of them, as a run reads it. */
export const dataOf = (task: BundledTask): Promise<Data> =>
  openData(parseOptions(argumentsOf(task), 'tilegrad'), () => undefined)

/** Outputs of constant answers: each class, the most frequent labels (none, one, two, …), or the mean. */
function candidates(task: TaskName, classes: number, train: readonly Example[]): number[][] {
  const each = Array.from({ length: classes }, (_, i) => i)
  if (task === 'regression') return [[train.reduce((sum, { target }) => sum + Number(target), 0) / train.length]]
  if (task !== 'labels') return each.map(chosen => each.map(i => (i === chosen ? 1 : 0)))
  const counts = each.map(i => train.filter(({ target }) => typeof target !== 'number' && target[i] > 0).length)
  const byCount = each.toSorted((a, b) => counts[b] - counts[a])
  return [0, ...each.map(i => i + 1)].map(many => each.map(i => (byCount.indexOf(i) < many ? 1 : -1)))
}

/** The main metric, and its value on the test set for the constant answer that scores best on the training set. */
export function constantAnswer(
  { plan: { task, labels }, all: train, test }: Pick<Data, 'plan' | 'all' | 'test'>,
): { metric: MetricInfo, value: number } {
  const [metric] = metricsOf(task, labels.length)
  const scoreOf = (answer: readonly number[], examples: readonly Example[]): number => {
    const outputs = examples.map(({ target }) => {
      const times = task === 'tokens' && typeof target !== 'number' ? target.length : 1
      return { target, output: Float32Array.from(Array.from({ length: times }, () => answer).flat()) }
    })
    // F1 of entities is undefined if there are no entities, neither labelled nor predicted.
    return summarise(resultsOf(task, labels, outputs)).metrics[metric.name] ?? 0
  }
  const scores = candidates(task, labels.length, train).map(answer => ({ answer, score: scoreOf(answer, train) }))
  const sign = metric.better === 'larger' ? 1 : -1
  const [best] = scores.toSorted((a, b) => sign * (b.score - a.score))
  return { metric, value: scoreOf(best.answer, test) }
}
