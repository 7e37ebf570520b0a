// How long a run still takes on this machine, from the rate of its first steps: known once, after a few seconds.

/** An evaluation's time for a text, in units of a training step's time for one: a forward pass without a backward. */
const EVALUATION = 0.35

/** What is measured before the estimate: steps after the first, in which drivers compile, and how long they took. */
const LEAST_STEPS = 2
const LEAST_MS = 4000

/** The work of a training and the evaluations around it. */
export interface Work {
  /** Optimizer steps. */
  readonly steps: number
  /** Texts in all these steps. */
  readonly texts: number
  /** Texts that are evaluated, each as often as it is. */
  readonly evaluated: number
}

/** Training steps that would take as long as all of this. */
export const stepsOf = ({ steps, texts, evaluated }: Work): number =>
  steps + (texts > 0 ? (EVALUATION * evaluated * steps) / texts : 0)

export class Estimate {
  readonly #units: number
  readonly #now: () => number
  #first: { readonly step: number; readonly at: number } | undefined
  #isKnown = false

  /** `works` are done one after another, the first of them being the one whose steps are counted. */
  constructor(works: readonly Work[], now = () => performance.now()) {
    this.#units = works.reduce((sum, work) => sum + stepsOf(work), 0)
    this.#now = now
  }

  /** To be told of each step. Gives the seconds that are left, once: when enough is measured. */
  after(step: number): number | undefined {
    const now = this.#now()
    this.#first ??= { step, at: now }
    const [steps, ms] = [step - this.#first.step, now - this.#first.at]
    if (this.#isKnown || steps < LEAST_STEPS || ms < LEAST_MS) return undefined
    this.#isKnown = true
    return ((this.#units - step) * ms) / steps / 1000
  }
}
