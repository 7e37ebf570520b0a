// The tasks by name.
import type { Problem } from '../../models/prediction.ts'
import type { Classifier } from '../../models/model.ts'
import type { Task } from '../task.ts'
import { classesTask } from './classes.ts'
import { type Distillation, distilledTask } from './distilled.ts'
import type { Target, TaskName } from './infer.ts'
import { labelsTask } from './labels.ts'
import { regressionTask } from './regression.ts'
import { tokensTask } from './tokens.ts'

export interface TaskOptions {
  /** Names of the classes by their number. */
  readonly labels: readonly string[]
  /** A factor for each class; for several labels at once for the positive part of each. */
  readonly classWeights?: readonly number[]
  /** Share of a target that is spread evenly over all classes, 0 to below 1. */
  readonly labelSmoothing?: number
  /** How much of a teacher's answers is learned beside the labels; nothing when left out. */
  readonly distillation?: Distillation
}

/** How Transformers calls each kind of task. */
export const PROBLEM_OF: Readonly<Record<TaskName, Problem>> = {
  classes: 'single_label_classification',
  labels: 'multi_label_classification',
  regression: 'regression',
  tokens: 'token_classification',
}

/** The task of a name, for the trainer: its model must be the one that the task is for. */
export function createTask(name: TaskName, { distillation, ...options }: TaskOptions): Task<Target, Classifier> {
  const task = plainTask(name, options)
  return distillation ? distilledTask(task, name, options.labels.length, distillation) : task
}

function plainTask(name: TaskName, options: TaskOptions): Task<Target, Classifier> {
  switch (name) {
    case 'classes':
      return classesTask(options)
    case 'labels':
      return labelsTask(options)
    case 'regression':
      return regressionTask()
    case 'tokens':
      return tokensTask(options)
  }
}
