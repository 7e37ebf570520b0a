// `tilegrad/train`: what trains a model at a task.
export { Adam, AdamW, type AdamSettings, type AdamWOptions } from './optimizers/adamw.ts'
export { Lion, type LionOptions, type LionSettings } from './optimizers/lion.ts'
export { Muon, type MuonOptions, type MuonSettings } from './optimizers/muon.ts'
export { SGD, type SGDOptions, type SGDSettings } from './optimizers/sgd.ts'
export {
  Optimizer,
  together,
  type CommonSettings,
  type Group,
  type Rate,
  type Trained,
  type WholeSettings,
} from './optimizers/optimizer.ts'
export { loadOptimizer, saveOptimizer } from './optimizers/saved.ts'
export { MovingAverage, type AverageOptions } from './optimizers/average.ts'
export type { StateEntry, ValueEntry } from './state.ts'
export {
  DataLoader,
  columns,
  examples,
  type Columns,
  type Examples,
  type LoaderOptions,
  type Source,
} from './loader.ts'
export {
  Trainer,
  type Evaluation,
  type Outcome,
  type SkippedStep,
  type StepMetrics,
  type TrainerEvents,
  type TrainerOptions,
  type TrainerSettings,
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
export { defineTask, plainExamples, type OwnForward, type OwnTask } from './tasks/own.ts'
export { classesTask } from './tasks/classes.ts'
export { labelsTask } from './tasks/labels.ts'
export { regressionTask } from './tasks/regression.ts'
export { tokensTask } from './tasks/tokens.ts'
export { maskedTask, type MaskedOptions } from './tasks/masked-lm.ts'
export { distilledTask, type Distillation } from './tasks/distilled.ts'
export { BestInMemory } from './best-in-memory.ts'
export type { Best, CheckpointStore, Position, Ranking, RunShape } from './checkpoint-store.ts'
export {
  SCHEDULES,
  cosineRestarts,
  exponential,
  inverseSquareRoot,
  oneCycle,
  polynomial,
  schedule,
  stepped,
  warmedUp,
  warmupSteps,
  type OneCycleOptions,
  type Schedule,
  type ScheduleName,
} from './schedules.ts'
export { evaluationBatches, makeBatches, rowsFor, type BatchingOptions, type RowsFor } from './batches.ts'
export { Random, stream, type RandomState } from './random.ts'
