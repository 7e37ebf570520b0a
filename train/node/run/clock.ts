// The time that a run has taken.
import type { Run } from './folder.ts'

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
}
