// Timing of a sweep's workers, in seconds.

export interface Times {
  /** How long a worker may be silent before another one takes its trial over; pg-boss allows no less than 10. */
  readonly heartbeat: number
  /** Between two heartbeats. */
  readonly refresh: number
  /** Between two looks for workers that have gone silent. */
  readonly supervise: number
  /** Between two looks for work, while there is none. */
  readonly poll: number
  /** How long a worker keeps a trial: it is then stopped at a checkpoint, and queued as another job. */
  readonly slice: number
}

/** A trial is taken over within `heartbeat` + `supervise` + `poll`, which is less than a minute. */
export const TIMES: Times = { heartbeat: 40, refresh: 8, supervise: 8, poll: 1, slice: 6 * 3600 }

/** How much longer than a slice pg-boss lets a job be active: what its last checkpoint and its test may take. */
export const EXPIRY = 4 * 3600
