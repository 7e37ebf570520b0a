// What an evaluation's outputs mean, by kind of task: the results that metrics are computed from.
import { needAll, needOptions } from '../../engine/options.ts'
import { type CrossEntropyOptions, IGNORED } from '../../models/losses.ts'
import { predictions } from '../metrics/confusion.ts'
import type { Basis } from '../metrics/constant.ts'
import { sigmoid, softmax } from '../metrics/probabilities.ts'
import { type Results, metricsOf, summarise } from '../metrics/summary.ts'
import { showName } from '../data/table.ts'
import type { ExampleOutput, Task } from '../task.ts'
import type { Target, TaskName } from './infer.ts'

/** How an evaluation's outputs are read: as trained, or as calibrated on validation data. */
export interface Reading {
  readonly temperature?: number
  /** One for each label: a label is given from there on; of two classes the second's. */
  readonly thresholds?: readonly number[]
}

/**
 * A reading for people, such as `temperature 0.2738, threshold 45.23 % for positive`; undefined where nothing was
 * fitted.
 */
export function describeReading(
  { temperature, thresholds }: Reading,
  task: TaskName,
  labels: readonly string[],
): string | undefined {
  const parts = [
    ...(temperature === undefined ? [] : [`temperature ${temperature.toPrecision(4)}`]),
    ...(thresholds === undefined
      ? []
      : [
          task === 'classes'
            ? `threshold ${(100 * thresholds[1]).toFixed(2)} % for ${showName(labels[1])}`
            : 'a threshold for each label',
        ]),
  ]
  return parts.length === 0 ? undefined : parts.join(', ')
}

type Outputs = readonly ExampleOutput<Target>[]

/** The first `width` numbers of each output, one output after another. */
export function flatOutputs(examples: Outputs, width: number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(examples.length * width)
  examples.forEach(({ output }, row) => values.set(output.subarray(0, width), row * width))
  return values
}

/** What metrics are computed from, by kind of task. */
export function resultsOf(
  task: TaskName,
  labels: readonly string[],
  examples: Outputs,
  { temperature, thresholds }: Reading = {},
): Results {
  const classes = labels.length
  switch (task) {
    case 'classes':
      return {
        kind: 'classes',
        names: labels,
        truth: examples.map(({ target }) => Number(target)),
        probabilities: softmax(flatOutputs(examples, classes), classes, temperature),
        ...(thresholds && classes === 2 && { threshold: thresholds[1] }),
      }
    case 'labels': {
      const truth = new Float32Array(examples.length * classes)
      examples.forEach(({ target }, row) => typeof target !== 'number' && truth.set(target, row * classes))
      return {
        kind: 'labels',
        names: labels,
        truth,
        probabilities: sigmoid(flatOutputs(examples, classes), temperature),
        thresholds,
      }
    }
    case 'regression':
      return {
        kind: 'regression',
        truth: examples.map(({ target }) => Number(target)),
        predicted: flatOutputs(examples, 1),
      }
    case 'tokens': {
      const tags = examples.map(({ target, output }) => {
        const wanted = typeof target === 'number' ? [] : Array.from(target)
        const predicted = predictions(output.subarray(0, wanted.length * classes), classes)
        const places = wanted.flatMap((tag, at) => (tag === IGNORED ? [] : [at]))
        return { truth: places.map(at => labels[wanted[at]]), predicted: places.map(at => labels[predicted[at]]) }
      })
      return {
        kind: 'tokens',
        truth: tags.map(({ truth }) => truth),
        predicted: tags.map(({ predicted }) => predicted),
      }
    }
  }
}

/** Throws a UserError on options of a task that do not exist, and unless its labels, if they are needed or given, are a list. */
export function needTaskOptions(
  name: string,
  options: CrossEntropyOptions & { readonly labels?: readonly string[] },
  areNeeded = true,
): void {
  needOptions(name, options, 'labels', 'classWeights', 'labelSmoothing')
  if (areNeeded || options.labels !== undefined) needAll(name, 'an array', Array.isArray, { labels: options.labels })
}

/** What the tasks that metrics are known of have in common: name, figures, and which of them decides. */
export function measured(
  name: TaskName,
  labels: readonly string[],
): Pick<Task<Target>, 'name' | 'bestMetric' | 'lessIsBetter' | 'summarise'> {
  const metrics = metricsOf(name, labels.length)
  return {
    name,
    bestMetric: metrics[0].name,
    lessIsBetter: metrics.filter(({ better }) => better === 'smaller').map(metric => metric.name),
    summarise: examples => summarise(resultsOf(name, labels, examples)).metrics,
  }
}

/** Labels in the layout that the constant answer is chosen from. */
export function basisOf(task: TaskName, labels: readonly string[], targets: readonly Target[]): Basis {
  const lists = (): ArrayLike<number>[] => targets.filter(target => typeof target !== 'number')
  switch (task) {
    case 'classes':
    case 'regression':
      return { kind: task, truth: targets.map(Number) }
    case 'labels':
      return { kind: 'labels', truth: lists().flatMap(list => Array.from(list)) }
    case 'tokens':
      return {
        kind: 'tokens',
        tags: lists().flatMap(list =>
          Array.from(list)
            .filter(tag => tag !== IGNORED)
            .map(tag => labels[tag]),
        ),
      }
  }
}
