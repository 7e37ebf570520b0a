// All parsers that read what others made.
import type { Target } from '../target.ts'
import { targets as data } from './data.ts'
import { modelTargets } from './models.ts'
import { runTargets } from './runs.ts'

export const targets: readonly Target[] = [...data, ...modelTargets, ...runTargets]
