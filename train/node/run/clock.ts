// The time that a run has taken.
import type { Metrics, Run } from './folder.ts'

/** How long a run has trained, over all processes that worked on it. */
export class RunClock {
  readonly #began = performance.now()
  /** Seconds before this process: what the last kept line of metrics says. */
  readonly #spent: number

  constructor(run: Run) {
    this.#spent = Number(run.readMetrics().at(-1)?.wall_seconds ?? 0)
  }

  get seconds(): number {
    return this.#spent + (performance.now() - this.#began) / 1000
  }

  /** A line of metrics with the time until now. */
  timed<Line extends object>(line: Line): Line & { readonly wall_seconds: number } {
    return { ...line, wall_seconds: this.seconds }
  }
}

/**
 * Training texts per second of training steps, from the lines of metrics.jsonl: evaluations do not count. A step's time
 * is what has passed since the line before it. 0 without steps.
 */
export function trainingSpeed(lines: readonly Metrics[]): number {
  let [examples, seconds, before] = [0, 0, 0]
  for (const { split, examples: texts, wall_seconds } of lines) {
    const now = Number(wall_seconds)
    if (split === undefined && typeof texts === 'number') {
      examples += texts
      seconds += now - before
    }
    before = now
  }
  return seconds > 0 ? examples / seconds : 0
}
