// What is known of each setting: the trials of its seeds, summed up. A search learns from settings, so repeated seeds
// count as one observation.
import { mean } from '../metrics/means.ts'
import type { Spec, Trial, TrialState, Values } from './types.ts'

/**
 * `complete`: every trial has ended, and at least one with a value (those that failed are left out). `pruned`: one of
 * them was stopped early. `running`: at least one trial has still to end. `failed`: none has a value.
 */
export type SettingState = 'complete' | 'pruned' | 'running' | 'failed'

export interface Setting {
  readonly number: number
  readonly values: Values
  readonly trials: readonly Trial[]
  readonly state: SettingState
  /** Mean of the trials that have a value; of a pruned setting, the mean of all at `evaluations`. */
  readonly value?: number
  /** Of a pruned setting: how many evaluations all of its trials have reached. */
  readonly evaluations?: number
}

export const hasEnded = ({ state }: { readonly state: TrialState }): boolean =>
  state !== 'waiting' && state !== 'running'

function summed(trials: readonly Trial[]): Pick<Setting, 'state' | 'value' | 'evaluations'> {
  if (!trials.every(hasEnded)) return { state: 'running' }
  const ended = trials.filter(({ state }) => state !== 'failed')
  if (ended.some(({ state }) => state === 'pruned')) {
    const evaluations = Math.min(...ended.map(({ intermediate }) => intermediate.length))
    const value = evaluations > 0 ? mean(ended.map(trial => trial.intermediate[evaluations - 1].value)) : undefined
    return { state: 'pruned', value, evaluations }
  }
  const values = ended.flatMap(({ value }) => value ?? [])
  return values.length > 0 ? { state: 'complete', value: mean(values) } : { state: 'failed' }
}

/** The settings of a sweep's trials, in the order of their numbers. */
export function settingsOf(history: readonly Trial[]): readonly Setting[] {
  const bySetting = Map.groupBy(history, ({ setting }) => setting)
  return [...bySetting]
    .toSorted(([a], [b]) => a - b)
    .map(([number, trials]) => ({ number, values: trials[0].values, trials, ...summed(trials) }))
}

/** Negative where `a` is better than `b`. */
export const compareValues =
  ({ direction }: Pick<Spec, 'direction'>) =>
  (a: number, b: number): number =>
    direction === 'minimize' ? a - b : b - a

/** Complete settings, best first; of equal ones the earlier. */
export function ranking(spec: Pick<Spec, 'direction'>, history: readonly Trial[]): readonly Setting[] {
  const compare = compareValues(spec)
  return settingsOf(history)
    .filter(({ state, value }) => state === 'complete' && Number.isFinite(value))
    .toSorted((a, b) => compare(a.value ?? NaN, b.value ?? NaN))
}
