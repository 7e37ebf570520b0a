// Which of a kernel's candidates to use. Candidates come best guess first; what was measured on this adapter before
// counts more, and a test may choose otherwise. Measuring itself is in runtime/trials.ts, remembering across processes is
// the business of whoever calls `setKernelTuning`.
import type { Traits } from '../shaders/kernel.ts'

/** Picks a candidate's number for one kernel and problem on one adapter. */
export type Tuner = (kernel: string, problem: string, count: number, traits: Traits) => number

let tuner: Tuner | undefined

/** Replaces every choice, for good or until called with nothing. */
export function setTuner(next?: Tuner): void {
  tuner = next
}

/**
 * `off`: always the best guess. `cached`: what is known, and on a GPU the first candidates of what is not, for a few
 * seconds at most. `full`: every candidate of everything that is not known.
 */
export type TuningMode = 'off' | 'cached' | 'full'

export interface TuningOptions {
  readonly mode: TuningMode
  /** The best candidate as JSON, by kernel and problem. */
  readonly known?: ReadonlyMap<string, string>
  /** Called with every answer that was measured. */
  readonly onAnswer?: (question: string, candidate: string) => void | Promise<void>
  /** Called with every guess that stands for good, where the time to measure was spent. */
  readonly onGuess?: (question: string, candidate: string) => void | Promise<void>
  /** Called while measuring: questions answered and asked in this plan. */
  readonly onProgress?: (done: number, total: number) => void
  /** Called with the reason where a candidate does not run on this adapter. */
  readonly onFailure?: (reason: string) => void
  /** Seconds to measure in all: 3 for `cached`, no end for `full`, when left out. */
  readonly budget?: number
}

/** What the process knows and may do. */
export interface Tuning extends TuningOptions {
  readonly answers: Map<string, string>
  secondsLeft: number
}

const BUDGET_SECONDS = 3

const begin = (options: TuningOptions): Tuning =>
  ({ ...options, answers: new Map(options.known), secondsLeft: options.budget ?? (options.mode === 'full' ? Infinity : BUDGET_SECONDS) })

let tuning = begin({ mode: 'off' })

/** How plans choose from here on; `off` until this is called. */
export function setKernelTuning(options: TuningOptions): void {
  tuning = begin(options)
}

/** Undefined where nothing is to be measured: tuning is off, or a test chooses. */
export function currentTuning(): Tuning | undefined {
  return tuner || tuning.mode === 'off' ? undefined : tuning
}

/** A choice that was made by guessing. */
export interface Question {
  readonly key: string
  readonly candidates: readonly string[]
}

/** The function that lowering asks; `onGuess` hears of every choice that nothing is known about. Throws where a kernel has no candidate for the adapter. */
export function chooser(traits: Traits, onGuess?: (question: Question) => void): <C>(kernel: string, problem: string, candidates: readonly C[]) => C {
  return (kernel, problem, candidates) => {
    if (candidates.length === 0) throw new Error(`${kernel}: no candidate for ${problem} on ${traits.name}`)
    if (tuner) return candidates[Math.min(Math.max(tuner(kernel, problem, candidates.length, traits), 0), candidates.length - 1)]
    if (tuning.mode === 'off' || candidates.length === 1) return candidates[0]
    const key = `${kernel}: ${problem}`
    const shown = candidates.map(candidate => JSON.stringify(candidate))
    const known = shown.indexOf(tuning.answers.get(key) ?? '')
    if (known < 0) onGuess?.({ key, candidates: shown })
    return candidates[Math.max(known, 0)]
  }
}

/** The same with one question answered by its n-th candidate, to try it. */
export function answering(traits: Traits, question: Question, n: number): <C>(kernel: string, problem: string, candidates: readonly C[]) => C {
  const usual = chooser(traits)
  return (kernel, problem, candidates) => (`${kernel}: ${problem}` === question.key ? candidates[n] : usual(kernel, problem, candidates))
}
