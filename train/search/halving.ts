// Asynchronous successive halving, ASHA (Li et al., "A system for massively parallel hyperparameter tuning", 2020), by
// stopping: a trial that reaches a rung continues only if it is among the best of those that have reached it so far.
// Trials never wait for each other, so the first ones at a rung are compared with few others, or none.
import { compareValues } from './settings.ts'
import type { Halving, Spec, Trial } from './types.ts'

/** Whether a decision is made after this many evaluations: after `grace`, `grace * factor`, `grace * factor²`, … */
export function isRung({ grace, factor }: Halving, evaluations: number): boolean {
  let rung = grace
  while (rung < evaluations) rung *= factor
  return rung === evaluations
}

/**
 * Whether a trial is to be stopped after its latest evaluation. `history` has all trials of the sweep, `trial` or not.
 * As in Optuna's SuccessiveHalvingPruner, of n trials at a rung the best ⌊n / factor⌋ continue, and at least one; a
 * trial whose metric is NaN stops. Do not call this after a trial's last evaluation: the trial is complete then.
 */
export function shouldPrune({ halving, direction }: Spec, history: readonly Trial[], trial: Trial): boolean {
  const evaluations = trial.intermediate.length
  if (!halving || evaluations === 0 || !isRung(halving, evaluations)) return false
  const { value } = trial.intermediate[evaluations - 1]
  if (Number.isNaN(value)) return true
  const others = history.filter(
    ({ number, intermediate }) => number !== trial.number && intermediate.length >= evaluations,
  )
  const reached = others
    .map(({ intermediate }) => intermediate[evaluations - 1].value)
    .filter(other => !Number.isNaN(other))
  const compare = compareValues({ direction })
  const better = reached.filter(other => compare(other, value) < 0).length
  return better >= Math.max(1, Math.floor((reached.length + 1) / halving.factor))
}
