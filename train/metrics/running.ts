// Running figures of a run: weighted means, and speed.

/** A mean of values that stand for different numbers of rows, such as batch losses. NaN before the first. */
export class Mean {
  #sum = 0
  #weight = 0

  /** `value` is itself the mean of `weight` rows. */
  add(value: number, weight = 1): void {
    if (weight === 0) return
    this.#sum += value * weight
    this.#weight += weight
  }

  get value(): number {
    return this.#sum / this.#weight
  }

  /** Rows seen. */
  get weight(): number {
    return this.#weight
  }
}

/** Examples and tokens per second: over the whole time, and over the last few seconds. */
export class Throughput {
  readonly #window: number
  readonly #now: () => number
  readonly #started: number
  readonly #marks: { time: number; examples: number; tokens: number }[]

  /** `window` in seconds; `now` gives milliseconds on a clock that never goes back. */
  constructor(window = 10, now: () => number = () => performance.now()) {
    this.#window = window * 1000
    this.#now = now
    this.#started = now()
    this.#marks = [{ time: this.#started, examples: 0, tokens: 0 }]
  }

  /** Adds examples, with their tokens, that are done. */
  add(examples: number, tokens: number): void {
    const last = this.#marks[this.#marks.length - 1]
    const time = this.#now()
    this.#marks.push({ time, examples: last.examples + examples, tokens: last.tokens + tokens })
    // One mark from before the window stays: rates are measured from it.
    const firstInside = this.#marks.findIndex(mark => mark.time >= time - this.#window)
    if (firstInside > 1) this.#marks.splice(0, firstInside - 1)
  }

  get examples(): number {
    return this.#marks[this.#marks.length - 1].examples
  }

  get tokens(): number {
    return this.#marks[this.#marks.length - 1].tokens
  }

  /** Seconds since the meter was made. */
  get seconds(): number {
    return (this.#now() - this.#started) / 1000
  }

  /** Rates over about the last window, up to the last `add`; 0 before the first. */
  get recent(): { examplesPerSecond: number; tokensPerSecond: number } {
    const first = this.#marks[0]
    const last = this.#marks[this.#marks.length - 1]
    const seconds = (last.time - first.time) / 1000
    if (seconds <= 0) return { examplesPerSecond: 0, tokensPerSecond: 0 }
    return {
      examplesPerSecond: (last.examples - first.examples) / seconds,
      tokensPerSecond: (last.tokens - first.tokens) / seconds,
    }
  }

  /** Rates from the start up to the last `add`; 0 before the first. */
  get overall(): { examplesPerSecond: number; tokensPerSecond: number } {
    const seconds = (this.#marks[this.#marks.length - 1].time - this.#started) / 1000
    if (seconds <= 0) return { examplesPerSecond: 0, tokensPerSecond: 0 }
    return { examplesPerSecond: this.examples / seconds, tokensPerSecond: this.tokens / seconds }
  }
}
