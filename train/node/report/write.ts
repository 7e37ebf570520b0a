// Gathers what a run has to tell and writes its report.html.
import type { Data } from '../jobs/job.ts'
import type { Example } from '../data/labelled.ts'
import type { TaskPlan } from '../../tasks/infer.ts'
import { codePoints, factsOf } from '../data/statistics.ts'
import type { Metrics, Run } from '../run/folder.ts'
import { type EvaluationLine, type ReportInput, type SetFacts, type StepLine, renderReport } from './report.ts'

const BINS = 30
const EXAMPLES_OF_EACH = 10

export interface ReportParts {
  readonly result: Readonly<Record<string, unknown>>
  /** Of the test set: `[label][predicted]`, and each example's probabilities in its order. */
  readonly confusion: readonly (readonly number[])[]
  readonly probabilities: readonly (readonly number[])[]
  readonly test: readonly Example[]
  readonly data: Data
  readonly command: string
  readonly exact: boolean
}

/** Writes `report.html` into the run's folder. */
export async function writeReport(run: Run, { result, confusion, probabilities, test, data, command, exact }: ReportParts): Promise<void> {
  const { config } = run
  const metrics = run.readMetrics()
  const { plan } = data
  const { labels } = plan
  const input: ReportInput = {
    name: run.folder.split(/[\\/]/).at(-1) ?? run.folder,
    command,
    exact,
    createdAt: String(config.created_at),
    adapter: String(result.adapter),
    versions: { tilegrad: String(config.tilegrad), node: String(config.node) },
    options: isRecord(config.options) ? config.options : {},
    parameters: parametersOf(result.parameters),
    data: { train: setFacts(data.train, plan), validation: data.validation.length > 0 ? setFacts(data.validation, plan) : undefined, test: setFacts(test, plan) },
    steps: metrics.filter(line => line.split === undefined).map(stepLine),
    evaluations: metrics.filter(line => line.split !== undefined).map(evaluationLine),
    result: Object.fromEntries(Object.entries(result).filter(isPlain)),
    confusion,
    labels,
    examples: chosenExamples(probabilities, test, labels),
  }
  await run.write('report.html', renderReport(input))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isPlain(entry: [string, unknown]): entry is [string, number | string | null] {
  return entry[1] === null || typeof entry[1] === 'number' || typeof entry[1] === 'string'
}

function parametersOf(value: unknown): ReportInput['parameters'] {
  const { total, trainable, percent } = isRecord(value) ? value : {}
  return { total: Number(total), trainable: Number(trainable), percent: Number(percent) }
}

/** A figure of metrics.jsonl; null stands for one that was not finite. */
function figure(line: Metrics, name: string): number | null {
  const value = line[name]
  return typeof value === 'number' ? value : null
}

function stepLine(line: Metrics): StepLine {
  const of = (name: string): number | null => figure(line, name)
  return {
    step: line.step, epoch: Number(line.epoch), loss: of('loss'), lr: of('lr'), grad_norm: of('grad_norm'),
    examples_per_second: of('examples_per_second'), tokens_per_second: of('tokens_per_second'), gpu_bytes: of('gpu_bytes'),
  }
}

function evaluationLine(line: Metrics): EvaluationLine {
  const [loss, accuracy] = [figure(line, 'loss'), figure(line, 'accuracy')]
  return { step: line.step, epoch: Number(line.epoch), split: String(line.split), loss, accuracy }
}

function setFacts(examples: readonly Example[], plan: TaskPlan): SetFacts {
  return { ...factsOf(examples, plan), histogram: histogram(examples.map(({ text }) => codePoints(text))) }
}

/** Equal bins over the range of the lengths. */
export function histogram(lengths: readonly number[]): { edges: number[], counts: number[] } {
  // Not Math.min(...lengths): an engine takes some hundred thousand arguments and no more.
  const least = lengths.reduce((a, b) => Math.min(a, b))
  const most = lengths.reduce((a, b) => Math.max(a, b))
  const width = Math.max(1, Math.ceil((most + 1 - least) / BINS))
  const counts = new Array<number>(BINS).fill(0)
  for (const length of lengths) counts[Math.floor((length - least) / width)]++
  return { edges: Array.from({ length: BINS + 1 }, (_, i) => least + i * width), counts }
}

/** The surest right answers and the surest wrong ones, where each text has one label. */
function chosenExamples(
  probabilities: ReportParts['probabilities'], test: readonly Example[], labels: readonly string[],
): ReportInput['examples'] {
  const all = probabilities.map((each, i) => {
    const predicted = each.indexOf(Math.max(...each))
    const { text, pair, target } = test[i]
    const whole = pair === undefined ? text : `${text} | ${pair}`
    return { text: whole, label: labels[Number(target)], predicted: labels[predicted], probability: each[predicted], right: target === predicted }
  }).sort((a, b) => b.probability - a.probability)
  const take = (right: boolean): typeof all => all.filter(example => example.right === right).slice(0, EXAMPLES_OF_EACH)
  return [...take(true), ...take(false)].map(({ text, label, predicted, probability }) => ({ text, label, predicted, probability }))
}
