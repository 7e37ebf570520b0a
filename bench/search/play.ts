// Plays sweeps on surfaces, with nothing trained.
import { stream } from '../../train/random.ts'
import { shouldPrune } from '../../train/search/halving.ts'
import { propose } from '../../train/search/propose.ts'
import type { Intermediate, Spec, Trial, TrialState } from '../../train/search/types.ts'
import type { Curves, Surface } from './surfaces.ts'

/** A search on a surface, with all that does not matter filled in. */
export const searchOn = ({ space, direction }: Surface, search: Partial<Spec>): Spec => ({
  search: 'random',
  spaces: [space],
  settings: 60,
  seeds: [0],
  metric: 'loss',
  direction,
  seed: 0,
  ...search,
})

/** Plays a sweep, one trial after another. */
export function play(spec: Spec, surface: Surface): readonly Trial[] {
  const history: Trial[] = []
  for (;;) {
    const proposals = propose(spec, history, 1)
    if (proposals.length === 0) return history
    for (const { setting, values } of proposals) {
      for (const seed of spec.seeds) {
        const value = surface.at(values)
        history.push({ number: history.length, setting, seed, values, state: 'complete', value, intermediate: [] })
      }
    }
  }
}

/** Distance of the best of the first trials from the optimum. */
export function regretAfter(trials: number, history: readonly Trial[], { direction, optimum }: Surface): number {
  const values = history.slice(0, trials).flatMap(({ value }) => value ?? [])
  return direction === 'minimize' ? Math.min(...values) - optimum : optimum - Math.max(...values)
}

/**
 * Plays a sweep with learning curves on `workers` that take turns, until `budget` evaluations are spent. Returns its
 * trials; those that the end of the budget interrupts are still running.
 */
export function playCurves(spec: Spec, curves: Curves, budget: number, workers = 4): readonly Trial[] {
  const trials: Trial[] = []
  const curvesOfTrials: (readonly number[])[] = []
  const busy: number[] = []
  for (let spent = 0; spent < budget; spent++) {
    if (busy.length < workers) {
      for (const { setting, values } of propose(spec, trials, 1)) {
        const number = trials.length
        trials.push({ number, setting, seed: 0, values, state: 'running', intermediate: [] })
        curvesOfTrials.push(curves.at(values, stream(spec.seed, `curve ${number}`)))
        busy.push(number)
      }
    }
    const number = busy.shift()
    if (number === undefined) break
    const trial = trials[number]
    const step = trial.intermediate.length
    const value = curvesOfTrials[number][step]
    const intermediate: readonly Intermediate[] = [...trial.intermediate, { step: step + 1, value }]
    const reported = { ...trial, intermediate }
    const ends = intermediate.length === curves.length
    const state: TrialState = ends ? 'complete' : shouldPrune(spec, trials, reported) ? 'pruned' : 'running'
    trials[number] = { ...reported, state, ...(ends ? { value } : {}) }
    if (state === 'running') busy.push(number)
  }
  return trials
}
