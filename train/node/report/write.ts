// Gathers what a run or an evaluation has to report, and writes it.
import type { TextClassifier } from '../../../models/classifier.ts'
import { writeAtomic } from '../../../models/node/files.ts'
import type { Tokenizer } from '../../../models/tokenizer.ts'
import { encodeWords } from '../../../models/words.ts'
import type { MetricInfo } from '../../metrics/summary.ts'
import type { Interval } from '../../metrics/uncertainty.ts'
import type { ExampleOutput } from '../../task.ts'
import { TASK_TEXTS, type Target, type TaskPlan } from '../../tasks/infer.ts'
import type { Reading } from '../../tasks/results.ts'
import { type Options, settingsOfRun } from '../cli/options.ts'
import type { Setting } from '../cli/table.ts'
import type { Example } from '../data/labelled.ts'
import { codePoints, factsOf, histogram } from '../data/statistics.ts'
import type { Data } from '../jobs/job.ts'
import { type Cost, costOf } from '../run/cost.ts'
import type { Metrics, Run } from '../run/folder.ts'
import { finiteNumber, isRecord } from '../run/json.ts'
import { explained } from './explained.ts'
import { nameOf } from './page.ts'
import { type EvaluationLine, type ReportInput, type SetFacts, type StepLine, renderReport } from './report.ts'
import { settingSentence } from './sentence.ts'
import { type Beside, type TestedText, taggedWords, testedOf } from './tested.ts'

export interface ReportParts {
  readonly options: Options
  readonly data: Data
  readonly tokenizer: Tokenizer
  /** The trained model, which is asked for the words that pushed it to its worst mistakes. */
  readonly classifier: TextClassifier
  /** What result.json holds. */
  readonly result: Readonly<Record<string, unknown>>
  /** Of the test set, in its order. */
  readonly outputs: readonly ExampleOutput<Target>[]
  readonly reading: Reading
  /** By which the best evaluation was chosen; its name may be `loss`. */
  readonly best: MetricInfo
  /** The metric that is reported first, with its interval on the test set. */
  readonly main: MetricInfo
  readonly interval: Interval | undefined
  /** What the run is compared with. */
  readonly references: readonly Beside[]
  readonly command: string
  readonly exact: boolean
}

/** Writes `report.html` into the run's folder. */
export async function writeReport(run: Run, parts: ReportParts): Promise<void> {
  const { options, data, tokenizer, classifier, result, outputs, reading, best, main, interval, references } = parts
  const { config } = run
  const { plan, train, validation, test } = data
  const lines = run.readMetrics()
  const steps = lines.filter(line => line.split === undefined).map(stepLine)
  const sets: [string, readonly Example[]][] = [
    ['Training', train],
    ['Validation', validation],
    ['Test', test],
  ]
  const input: ReportInput = {
    name: nameOf(run.folder),
    kind: 'training',
    createdAt: String(config.created_at),
    adapter: String(result.adapter),
    tested: await explained(
      testedOf(
        {
          task: plan.task,
          labels: plan.labels,
          outputs,
          reading,
          applied: false,
          metric: main,
          name: 'the test set',
          texts: test.map(example => textOf(example, tokenizer, options.maxLength)),
          basis: { targets: train.map(({ target }) => target), name: 'the training set' },
        },
        { interval, references },
      ),
      classifier,
    ),
    cost: await costOf(run.folder, result, lines),
    training: {
      steps,
      evaluations: lines.filter(line => line.split !== undefined).map(line => evaluationLine(line, best)),
      metric: best,
    },
    facts: [['Task', `${TASK_TEXTS[plan.task]} (${plan.why})`], ['Data', data.source], ...modelFacts(config)],
    sets: sets
      .filter(([, examples]) => examples.length > 0)
      .map(([name, examples]) => [name, setFacts(examples, plan)]),
    sentence: settingSentence(options),
    settings: settingsOfRun(options),
    versions: { tilegrad: String(config.tilegrad), Node: String(config.node), webgpu: String(config.webgpu) },
    command: parts.command,
    exact: parts.exact,
  }
  await run.write('report.html', renderReport(input))
}

export interface EvaluationParts {
  readonly model: string
  readonly plan: TaskPlan
  readonly examples: readonly Example[]
  readonly tested: ReportInput['tested']
  readonly notes: readonly string[]
  readonly cost: Cost
  readonly adapter: string
  readonly createdAt: string
  readonly settings: readonly Setting[]
  readonly versions: Readonly<Record<string, string>>
  readonly command: string
}

/** Writes the report of an evaluation to a file. */
export async function writeEvaluationReport(path: string, parts: EvaluationParts): Promise<void> {
  const { model, plan, examples, notes, ...rest } = parts
  const page = renderReport({
    ...rest,
    name: `${nameOf(model)}, evaluated`,
    kind: 'evaluation',
    facts: [
      ['Task', TASK_TEXTS[plan.task]],
      ['Model', model],
      ...notes.map((note): [string, string] => splitNote(note)),
    ],
    sets: [['Test', setFacts(examples, plan)]],
    exact: false,
  })
  await writeAtomic(path, page)
}

/** `Data: x.csv: 3 rows` as a name and a value. */
function splitNote(note: string): [string, string] {
  const [, name, value] = /^(\w+): (.*)$/s.exec(note) ?? []
  return name === undefined ? ['Note', note] : [name, value]
}

/** An example as the report shows it. */
function textOf({ text, pair, words, target }: Example, tokenizer: Tokenizer, maxLength: number): TestedText {
  if (!words || typeof target === 'number') return { text, pair }
  return { text, words: taggedWords(words, target, encodeWords(tokenizer, words, maxLength).firstOf) }
}

function modelFacts({ model }: Run['config']): [string, string][] {
  const { name, family } = isRecord(model) ? model : {}
  return typeof name === 'string' ? [['Model', typeof family === 'string' ? `${name} (${family})` : name]] : []
}

/** A figure of metrics.jsonl; null stands for one that was not finite. */
const figure = (line: Metrics, name: string): number | null => finiteNumber(line[name]) ?? null

function stepLine(line: Metrics): StepLine {
  const of = (name: string): number | null => figure(line, name)
  return {
    step: line.step,
    epoch: Number(line.epoch),
    loss: of('loss'),
    lr: of('lr'),
    grad_norm: of('grad_norm'),
    examples_per_second: of('examples_per_second'),
    tokens_per_second: of('tokens_per_second'),
    gpu_bytes: of('gpu_bytes'),
  }
}

function evaluationLine(line: Metrics, { name }: MetricInfo): EvaluationLine {
  return {
    step: line.step,
    epoch: Number(line.epoch),
    split: String(line.split),
    loss: figure(line, 'loss'),
    value: figure(line, name),
  }
}

/** What a set is, with the distribution of its lengths. */
export function setFacts(examples: readonly Example[], plan: TaskPlan): SetFacts {
  return { ...factsOf(examples, plan), histogram: histogram(examples.map(({ text }) => codePoints(text))) }
}
