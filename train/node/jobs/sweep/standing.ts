// How far a sweep is, and how long the rest will take.
import type { TrialState } from '../../../search/types.ts'

/** How far a trial is. */
export interface Standing {
  readonly number: number
  readonly state: TrialState
  readonly step: number
  /** Steps in all, once they are known. */
  readonly steps?: number
  /** Seconds of work so far. */
  readonly seconds: number
}

/**
 * Seconds until a number of workers are done with a sweep of `total` trials, by the mean time of the trials that are
 * over, else by the progress of those that run. Undefined while nothing is known.
 */
export function secondsLeft(standings: readonly Standing[], total: number, workers: number): number | undefined {
  const over = standings.filter(({ state }) => state === 'complete' || state === 'pruned')
  const running = standings.filter(({ state }) => state === 'running')
  const partOf = ({ step, steps }: Standing): number => (steps ? Math.min(1, step / steps) : 0)
  const guesses =
    over.length > 0
      ? over.map(({ seconds }) => seconds)
      : running.filter(one => partOf(one) > 0.05).map(one => one.seconds / partOf(one))
  if (guesses.length === 0) return undefined
  const each = guesses.reduce((sum, seconds) => sum + seconds, 0) / guesses.length
  const failed = standings.filter(({ state }) => state === 'failed').length
  const left = total - over.length - failed - running.reduce((sum, one) => sum + partOf(one), 0)
  return (Math.max(0, left) * each) / workers
}
