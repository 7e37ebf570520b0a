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
  version++
}

/** Changes with everything that choices depend on: plans of one version are those that would be made now. */
let version = 0
export function tuningVersion(): number {
  return version
}

/**
 * `off`: always the best guess. `cached`: what is known, and on a GPU the first candidates of what is not, for a few
 * seconds at most. `full`: every candidate of everything that is not known. Once measuring has ended, by its time or by
 * `settleKernels`, a choice follows from the question and from what is known then, whenever it is asked.
 */
export type TuningMode = 'off' | 'cached' | 'full'

export interface TuningOptions {
  readonly mode: TuningMode
  /** The best candidate as JSON, by kernel and problem. */
  readonly known?: ReadonlyMap<string, string>
  /** Called with every answer that was measured. */
  readonly onAnswer?: (question: string, candidate: string) => void | Promise<void>
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
  /** Questions that were measured by this process. */
  readonly asked: Set<string>
  /** Nothing is measured any more once this is not above 0. */
  secondsLeft: number
}

const BUDGET_SECONDS = 3

const begin = (options: TuningOptions): Tuning => ({
  ...options, answers: new Map(options.known), asked: new Set(),
  secondsLeft: options.budget ?? (options.mode === 'full' ? Infinity : BUDGET_SECONDS),
})

let tuning = begin({ mode: 'off' })

/** How plans choose from here on; `off` until this is called. */
export function setKernelTuning(options: TuningOptions): void {
  tuning = begin(options)
  version++
}

/** Notes a question's best candidate, which was measured. */
export function learn(current: Tuning, question: string, candidate: string): void {
  current.asked.add(question)
  current.answers.set(question, candidate)
  version++
}

/** Ends all measuring. */
export function settleKernels(): void {
  tuning.secondsLeft = 0
  version++
}

/** What a plan that is made now may measure by; undefined where it measures nothing. */
export function measuring(traits: Traits): Tuning | undefined {
  // A CPU adapter takes seconds to compile a candidate, and its guesses were measured when they were written.
  const idle = tuning.mode === 'off' || (tuning.mode === 'cached' && traits.cpu)
  return tuner || idle || tuning.secondsLeft <= 0 ? undefined : tuning
}

/** A choice that nothing is known about. */
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
    return candidates[known < 0 ? guess(key, shown) : known]
  }
}

/** How many times larger or smaller each size of a problem may be for its answer to be a guide to another. */
const NEAR = 4

/** The answer to the nearest problem that one is known of, else the first candidate, which comes as the best guess. */
function guess(key: string, shown: readonly string[]): number {
  const asked = partsOf(key)
  let best = { candidate: 0, distance: Infinity }
  for (const [other, answer] of tuning.answers) {
    const { kind, sizes } = partsOf(other)
    const candidate = kind === asked.kind ? shown.indexOf(answer) : -1
    if (candidate < 0) continue
    const distance = sizes.reduce((most, size, i) => Math.max(most, Math.abs(Math.log2(size / asked.sizes[i]))), 0)
    // By the candidates' order where two are as near: that of the answers may differ from file to file.
    const nearer = distance < best.distance || (distance === best.distance && candidate < best.candidate)
    if (nearer && distance <= Math.log2(NEAR)) best = { candidate, distance }
  }
  return best.candidate
}

interface Parts {
  /** The question without its sizes. */
  readonly kind: string
  readonly sizes: readonly number[]
}

const taken = new Map<string, Parts>()

/** A question taken apart; the numbers in `f32` and `k4` are no sizes. */
function partsOf(key: string): Parts {
  const size = /(?<![a-wyz\d])\d+/g
  const parts = taken.get(key) ?? { kind: key.replace(size, '#'), sizes: (key.match(size) ?? []).map(Number) }
  taken.set(key, parts)
  return parts
}

/** The same with one question answered by its n-th candidate, to try it. */
export function answering(traits: Traits, question: Question, n: number): <C>(kernel: string, problem: string, candidates: readonly C[]) => C {
  const usual = chooser(traits)
  return (kernel, problem, candidates) => (`${kernel}: ${problem}` === question.key ? candidates[n] : usual(kernel, problem, candidates))
}
