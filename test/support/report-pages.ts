// Reports of a small test of every kind of task, without a model.
import { IGNORED } from '../../models/losses.ts'
import { metricNamed, metricsOf } from '../../train/metrics/summary.ts'
import { parseOptions, settingsOfRun } from '../../train/node/cli/options.ts'
import { textStatistics } from '../../train/node/data/statistics.ts'
import { type ReportInput, type SetFacts, type StepLine, renderReport } from '../../train/node/report/report.ts'
import { type TestedText, taggedWords, testedOf } from '../../train/node/report/tested.ts'
import type { ExampleOutput } from '../../train/task.ts'
import type { Target, TaskName } from '../../train/tasks/infer.ts'
import type { Reading } from '../../train/tasks/results.ts'

export type Row = readonly [target: Target, output: readonly number[], text: string]

interface Given {
  readonly reading?: Reading
  readonly applied?: boolean
  readonly metric?: string
  readonly basis?: readonly Target[]
}

/** A test of these rows, as a run has it. */
export function tested(
  task: TaskName,
  labels: readonly string[],
  rows: readonly Row[],
  { reading = {}, applied = false, metric, basis }: Given = {},
) {
  const outputs = rows.map(([target, output]): ExampleOutput<Target> => ({ target, output: Float32Array.from(output) }))
  const texts = rows.map(([target, , text]): TestedText =>
    task === 'tokens' && typeof target !== 'number'
      ? {
          text,
          words: taggedWords(
            text.split(' '),
            target,
            Array.from(target, (_, i) => i),
          ),
        }
      : { text },
  )
  return testedOf({
    task,
    labels,
    outputs,
    texts,
    applied,
    reading,
    name: 'the test set',
    metric: metric === undefined ? metricsOf(task, labels.length)[0] : metricNamed(task, labels.length, metric),
    basis: { targets: basis ?? rows.map(([target]) => target), name: 'the training set' },
  })
}

export const set = (rows: number, classes?: Record<string, number>): SetFacts => ({
  rows,
  ...(classes && { classes }),
  text_length: textStatistics(Array.from({ length: rows }, (_, i) => 'x'.repeat(10 + i))),
  histogram: { edges: [0, 20, 40, 60], counts: [10, 20, 3] },
})

export const steps: StepLine[] = Array.from({ length: 40 }, (_, i) => ({
  step: i + 1,
  epoch: (i + 1) / 20,
  loss: 0.7 * 0.95 ** i,
  lr: 3e-4 * (1 - i / 40),
  grad_norm: 1 + (i % 3),
  examples_per_second: 50 + (i % 5),
  tokens_per_second: 9000 + i,
  gpu_bytes: 2 ** 30,
}))

/** 7 of 8 of each class are right, the surest mistake first. */
export const reviews = tested(
  'classes',
  ['negative', 'positive'],
  Array.from({ length: 16 }, (_, i): Row => {
    const [label, sure] = [i % 2, 0.2 + i / 8]
    const predicted = i < 2 ? 1 - label : label
    return [label, predicted === 0 ? [sure, -sure] : [-sure, sure], `Review ${i}.`]
  }),
  { reading: { temperature: 0.5, thresholds: [0.6, 0.4] } },
)

export const full: ReportInput = {
  name: 'a model on some reviews',
  kind: 'training',
  createdAt: '2026-11-24T05:00:00.000Z',
  adapter: 'Some adapter (Vulkan)',
  tested: reviews,
  cost: {
    parameters: { total: 67_471_106, trainable: 516_096, percent: 0.7649 },
    seconds: 754.3,
    textsPerSecond: 52.1,
    gpuPeakBytes: 2 ** 31,
    savedBytes: { total: 2_076_000, what: 'adapter/' },
  },
  training: {
    steps,
    metric: metricNamed('classes', 2, 'accuracy'),
    evaluations: [
      { step: 20, epoch: 1, split: 'validation', loss: 0.4, value: 0.8125 },
      { step: 40, epoch: 2, split: 'validation', loss: 0.3, value: 0.9 },
    ],
  },
  facts: [
    ['Model', 'some/model'],
    ['Data', 'some/reviews'],
  ],
  sets: [
    ['Training', set(32, { negative: 12, positive: 20 })],
    ['Validation', set(8, { negative: 4, positive: 4 })],
    ['Test', set(16, { negative: 8, positive: 8 })],
  ],
  settings: settingsOfRun(parseOptions(['--lora-targets', 'query,value', '--seed', '3', '--val-split', '0.1'])),
  versions: { tilegrad: '0.1.0', webgpu: '0.6.2' },
  command: "node train/imdb.ts --lora-targets 'query,value' --seed 3",
  exact: true,
}

/** One page a kind of task, and of more classes than a matrix shows. */
export const fruit = ['apple', 'pear', 'plum']
export const tasks: Readonly<Record<string, ReportInput['tested']>> = {
  'two classes': reviews,
  'three classes': tested(
    'classes',
    fruit,
    [
      [0, [2, 1, 0], 'a'],
      [1, [2, 1, 0], 'b'],
      [1, [0, 3, 0], 'c'],
    ],
    { metric: 'f1_macro' },
  ),
  'twenty classes': tested(
    'classes',
    Array.from({ length: 20 }, (_, i) => `class ${i}`),
    Array.from({ length: 40 }, (_, i): Row => [
      i % 20,
      Array.from({ length: 20 }, (_, c) => Number(c === (i === 7 ? 8 : i % 20))),
      `text ${i}`,
    ]),
  ),
  'several labels': tested(
    'labels',
    fruit,
    [
      [Float32Array.of(1, 0, 1), [2, -1, -3], 'both'],
      [Float32Array.of(0, 0, 0), [-2, -1, -2], 'none'],
      [Float32Array.of(1, 1, 0), [1, 0.3, 0.2], 'more'],
    ],
    { reading: { temperature: 1.25, thresholds: [0.5, 0.3, 0.6] } },
  ),
  numbers: tested(
    'regression',
    ['LABEL_0'],
    Array.from({ length: 30 }, (_, i): Row => [
      i / 3,
      [i / 3 + (i === 9 ? 1.25 : ((i * 7) % 5) / 4 - 0.5)],
      `number ${i}${'.'.repeat(i)}`,
    ]),
  ),
  'labels of words': tested(
    'tokens',
    ['O', 'B-PER', 'I-PER', 'B-LOC'],
    [
      [Int32Array.of(1, 2, 0, 3), [0, 9, 0, 0, 0, 0, 9, 0, 9, 0, 0, 0, 9, 0, 0, 0], 'Nadia Moreau in Dakar'],
      [Int32Array.of(0, IGNORED, 1), [0, 0, 0, 9, 0, 0, 0, 0, 0, 9, 0, 0], 'Then came Oscar'],
    ],
  ),
}
const pages = new Map<string, string>()

/** The page of one of `tasks`, made once. */
export function pageOf(name: string): string {
  const page = pages.get(name) ?? renderReport({ ...full, tested: tasks[name] })
  pages.set(name, page)
  return page
}
