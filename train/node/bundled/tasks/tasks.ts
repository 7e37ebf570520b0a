// The five small data sets: how each is trained, and the score of the best constant answer.
import { fileURLToPath } from 'node:url'
import { constantAnswer } from '../../../metrics/constant.ts'
import { type MetricInfo, metricsOf } from '../../../metrics/summary.ts'
import { basisOf, resultsOf } from '../../../tasks/results.ts'
import { parseOptions } from '../../cli/options.ts'
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
export const argumentsOf = ({ args }: BundledTask, ...more: readonly string[]): string[] => [
  `--model=${folder('../model')}`,
  '--tune',
  'full',
  ...args,
  ...more,
]

/** The data of one of them, as a run reads it. */
export const dataOf = (task: BundledTask): Promise<Data> =>
  openData(parseOptions(argumentsOf(task), 'tilegrad'), () => undefined)

/** The main metric, and its value on the test set for the constant answer that training labels suggest. */
export function constantScore({ plan: { task, labels }, all, test }: Pick<Data, 'plan' | 'all' | 'test'>): {
  metric: MetricInfo
  value: number | undefined
} {
  const [metric] = metricsOf(task, labels.length)
  // Only their labels count: the constant answer takes the place of what a model would say.
  const outputs = test.map(({ target }) => {
    const rows = task === 'tokens' && typeof target !== 'number' ? target.length : 1
    return { target, output: new Float32Array(rows * labels.length) }
  })
  const basis = basisOf(
    task,
    labels,
    all.map(({ target }) => target),
  )
  return { metric, value: constantAnswer(resultsOf(task, labels, outputs), basis, metric)?.value }
}
