// How long the Hub's responses may take, and how much they may bring.

/** Times in milliseconds, sizes in bytes. */
export interface HubLimits {
  /** Until there is a connection: name, TCP and TLS. */
  readonly connect: number
  /** Until a response begins, and between two pieces of it. */
  readonly silence: number
  /** In each `paceTime` of waiting for a body, at least `paceBytes` come. */
  readonly paceTime: number
  readonly paceBytes: number
  /** For one response that is not a file, with retries and pauses. A file may take as long as it is fast enough. */
  readonly whole: number
  /** For all pages of a repository's list of files. */
  readonly listing: number
  /** The largest response that is not a file. */
  readonly answerBytes: number
  /** The most files that a repository may list. */
  readonly entries: number
  /** The most attempts, the first one included. */
  readonly attempts: number
  /** The pause before the second try; each later one is twice as long. */
  readonly backoff: number
  /** The longest `Retry-After` that is waited for. */
  readonly retryAfter: number
}

export const HUB_LIMITS: HubLimits = {
  connect: 15_000,
  silence: 30_000,
  paceTime: 60_000,
  paceBytes: 32 * 1024,
  whole: 120_000,
  listing: 600_000,
  answerBytes: 16 * 2 ** 20,
  entries: 200_000,
  attempts: 5,
  backoff: 500,
  retryAfter: 60_000,
}
