// Predicted classes, the confusion matrix, and the scores that follow from its counts.
import { ratio } from './values.ts'

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

/** The scores of a class with these numbers of hits, of labels and of predictions. */
export const scoresFrom = (hits: number, labelled: number, predicted: number): ClassScores => ({
  precision: ratio(hits, predicted),
  recall: ratio(hits, labelled),
  f1: ratio(2 * hits, labelled + predicted),
})

/** Counts of label against prediction, and the scores that follow from them. */
export class ConfusionMatrix {
  readonly classes: number
  readonly #counts: number[]

  constructor(classes = 2) {
    this.classes = classes
    this.#counts = new Array<number>(classes * classes).fill(0)
  }

  /** Counts rows by label and predicted class. Rows with a negative label are ignored. */
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
    let hits = 0
    for (let label = 0; label < this.classes; label++) hits += this.count(label, label)
    return hits / this.total
  }

  scores(label = 1): ClassScores {
    let [labelled, predicted] = [0, 0]
    for (let other = 0; other < this.classes; other++) {
      labelled += this.count(label, other)
      predicted += this.count(other, label)
    }
    return scoresFrom(this.count(label, label), labelled, predicted)
  }
}
