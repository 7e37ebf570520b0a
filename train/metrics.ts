// Figures kept while a run goes on: weighted means, the confusion matrix with what follows from it, and speed.

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

/** The class with the largest logit of each row of `[rows, classes]`; the first of equals. */
export function predictions(logits: ArrayLike<number>, classes: number): number[] {
  return Array.from({ length: logits.length / classes }, (_, row) => {
    let best = 0
    for (let i = 1; i < classes; i++) if (logits[row * classes + i] > logits[row * classes + best]) best = i
    return best
  })
}

/** Precision, recall and F1 of one class. Each is 0 where its denominator is (scikit-learn's convention). */
export interface ClassScores {
  readonly precision: number
  readonly recall: number
  readonly f1: number
}

/** Counts of label against prediction, and the scores that follow from them. */
export class ConfusionMatrix {
  readonly classes: number
  readonly #counts: number[]

  constructor(classes = 2) {
    this.classes = classes
    this.#counts = new Array(classes * classes).fill(0)
  }

  /** Counts rows by label and predicted class. Rows with a negative label (ignored ones) count for nothing. */
  add(labels: ArrayLike<number>, predicted: ArrayLike<number>): void {
    for (let row = 0; row < labels.length; row++) {
      const label = labels[row]
      if (label < 0) continue
      if (!(label < this.classes && predicted[row] >= 0 && predicted[row] < this.classes)) {
        throw new RangeError(
          `Row ${row}: label ${label}, predicted ${predicted[row]}; there are ${this.classes} classes`,
        )
      }
      this.#counts[label * this.classes + predicted[row]]++
    }
  }

  /** Rows of class `label` that were taken for class `predicted`. */
  count(label: number, predicted: number): number {
    return this.#counts[label * this.classes + predicted]
  }

  /** `[label][predicted]`, for reports. */
  get rows(): number[][] {
    return Array.from({ length: this.classes }, (_, label) =>
      this.#counts.slice(label * this.classes, (label + 1) * this.classes),
    )
  }

  get total(): number {
    return this.#counts.reduce((sum, count) => sum + count, 0)
  }

  /** The fraction of rows predicted right; NaN before the first. */
  get accuracy(): number {
    return this.rows.reduce((sum, row, label) => sum + row[label], 0) / this.total
  }

  scores(label = 1): ClassScores {
    const hits = this.count(label, label)
    const labelled = this.rows[label].reduce((sum, count) => sum + count, 0)
    const predicted = this.rows.reduce((sum, row) => sum + row[label], 0)
    const ratio = (part: number, whole: number) => (whole === 0 ? 0 : part / whole)
    return {
      precision: ratio(hits, predicted),
      recall: ratio(hits, labelled),
      f1: ratio(2 * hits, labelled + predicted),
    }
  }
}

/** Examples and tokens a second: over the whole time, and over the last few seconds. */
export class Throughput {
  readonly #window: number
  readonly #now: () => number
  readonly #started: number
  #marks: { time: number; examples: number; tokens: number }[]

  /** `window` in seconds; `now` gives milliseconds on a clock that never goes back. */
  constructor(window = 10, now: () => number = () => performance.now()) {
    this.#window = window * 1000
    this.#now = now
    this.#started = now()
    this.#marks = [{ time: this.#started, examples: 0, tokens: 0 }]
  }

  /** Tells that so many examples, with so many tokens, are done. */
  add(examples: number, tokens: number): void {
    const last = this.#marks[this.#marks.length - 1]
    const time = this.#now()
    this.#marks.push({ time, examples: last.examples + examples, tokens: last.tokens + tokens })
    // One mark from before the window stays: rates are measured from it.
    const firstInside = this.#marks.findIndex((mark) => mark.time >= time - this.#window)
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
