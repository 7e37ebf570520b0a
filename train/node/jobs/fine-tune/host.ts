// What a process that runs many jobs, such as the trials of a sweep, gives to each of them and hears from it.
import type { Position } from '../../../checkpoint-store.ts'
import type { Progress } from '../../cli/progress.ts'
import type { Run } from '../../run/folder.ts'
import type { Shared } from '../shared.ts'
import type { Job } from './prepare.ts'

export interface Host {
  /** What its jobs have in common. */
  readonly shared?: Shared
  /** Where progress is shown. */
  readonly progress?: Progress
  /** Called once data and model are opened and checked, before anything is written. What it throws ends the job. */
  onOpened?(job: Job): Promise<void>
  /** Called when training begins, of `steps` steps in all. `stop` ends it after the step under way, with a checkpoint. */
  onTraining?(run: Run, steps: number, stop: () => void): void
  onStep?(step: number): void
  /** Called after each evaluation during training, before its checkpoint. */
  onEvaluation?(step: number, figures: Readonly<Record<string, number | undefined>>): Promise<void>
  /** Called once a checkpoint is on disk. */
  onCheckpoint?(run: Run, position: Position): Promise<void>
}
