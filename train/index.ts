// `tilegrad/train`: what trains a model at a task.
export { AdamW, type AdamWOptions, type StateEntry, type ValueEntry } from './adamw.ts'
export {
  Trainer,
  type Evaluation,
  type Outcome,
  type SkippedStep,
  type StepMetrics,
  type TrainerEvents,
  type TrainerOptions,
} from './trainer.ts'
export {
  collateTexts,
  poolWindows,
  type Batch,
  type BatchSize,
  type Encoded,
  type EncodedWindow,
  type ExampleOutput,
  type Figures,
  type Forward,
  type HostArray,
  type Task,
  type TaskInputs,
  type TextArrays,
} from './task.ts'
export { classesTask } from './tasks/classes.ts'
export { labelsTask } from './tasks/labels.ts'
export { regressionTask } from './tasks/regression.ts'
export { tokensTask } from './tasks/tokens.ts'
export { maskedTask, type MaskedOptions } from './tasks/masked-lm.ts'
export { distilledTask, type Distillation } from './tasks/distilled.ts'
export { BestInMemory } from './best-in-memory.ts'
export type { Best, CheckpointStore, Position, Ranking, RunShape } from './checkpoint-store.ts'
export { SCHEDULES, schedule, warmupSteps, type ScheduleName } from './schedules.ts'
export { evaluationBatches, makeBatches, rowsFor, type BatchingOptions, type RowsFor } from './batches.ts'
export { Random, stream, type RandomState } from './random.ts'
