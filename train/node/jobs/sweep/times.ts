// The times that a sweep's workers go by, in seconds.

export interface Times {
  /** How long a worker may be silent before another one takes its trial over; pg-boss allows no less than 10. */
  readonly heartbeat: number
  /** Between two signs of life. */
  readonly refresh: number
  /** Between two looks for workers that have gone silent. */
  readonly supervise: number
  /** Between two looks for work, while there is none. */
  readonly poll: number
  /** How long a worker keeps a trial: then it is cut at a checkpoint, and goes on as another job of the queue. */
  readonly slice: number
}

/** A trial is taken over within `heartbeat` + `supervise` + `poll`, which is less than a minute. */
export const TIMES: Times = { heartbeat: 40, refresh: 8, supervise: 8, poll: 1, slice: 6 * 3600 }

/** How much longer than a slice pg-boss lets a job be active: what its last checkpoint and its test may take. */
export const EXPIRY = 4 * 3600
