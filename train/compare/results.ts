// Answers as the metrics read them.
import { type Results, isCounted } from '../metrics/summary.ts'
import type { TaskName } from '../tasks/infer.ts'
import type { Answer, ComparedRun } from './types.ts'

/**
 * The results that these answers are, so that a metric can be computed from them. For a metric of decisions, predicted
 * classes and labels have probability 1 and all others 0. Undefined if the metric needs probabilities that the answers
 * do not have.
 */
export function resultsOfAnswers(
  { task, labels }: Pick<ComparedRun, 'task' | 'labels'>,
  answers: readonly Answer[],
  metric: string,
): Results | undefined {
  const isDecided = isOfDecisions(task, metric)
  const isKnown = task === 'classes' && answers.every(({ probabilities }) => probabilities !== undefined)
  if (!isDecided && !isKnown) return undefined
  switch (task) {
    case 'classes': {
      const numbers = new Map(labels.map((name, i) => [name, i]))
      const numberOf = (name: Answer['label']): number => numbers.get(String(name)) ?? -1
      return {
        kind: 'classes',
        names: labels,
        truth: answers.map(({ label }) => numberOf(label)),
        probabilities: answers.flatMap(({ predicted, probabilities = [] }) =>
          isDecided ? labels.map(name => (name === predicted ? 1 : 0)) : probabilities,
        ),
      }
    }
    case 'labels': {
      const flags = (given: Answer['label']): number[] =>
        labels.map(name => (typeof given === 'object' && given.includes(name) ? 1 : 0))
      return {
        kind: 'labels',
        names: labels,
        truth: answers.flatMap(({ label }) => flags(label)),
        probabilities: answers.flatMap(({ predicted }) => flags(predicted)),
      }
    }
    case 'regression':
      return {
        kind: 'regression',
        truth: answers.map(({ label }) => Number(label)),
        predicted: answers.map(({ predicted }) => Number(predicted)),
      }
    case 'tokens': {
      const tags = (given: Answer['label']): readonly string[] => (typeof given === 'object' ? given : [])
      return {
        kind: 'tokens',
        truth: answers.map(({ label }) => tags(label)),
        predicted: answers.map(({ predicted }) => tags(predicted)),
      }
    }
  }
}

/** Metrics that follow from decisions alone. */
const isOfDecisions = (task: TaskName, metric: string): boolean =>
  task === 'regression' ||
  task === 'tokens' ||
  isCounted(metric) ||
  metric === 'subset_accuracy' ||
  metric === 'hamming_loss'
