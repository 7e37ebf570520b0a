// Which of a kernel's candidates a device uses. Candidates come best guess first; an answer measured on this adapter
// takes precedence, and tests may choose otherwise. Measuring is in runtime/trials.ts; keeping answers across processes
// is up to the caller of `configure`.
import type { Traits } from '../shaders/kernel.ts'

/** A choice among a kernel's candidates: everything about a problem that decides which of them is fastest. */
export interface Question {
  readonly kernel: string
  /** An answer is a guide to other problems that differ only in these, and not by much. */
  readonly sizes: Readonly<Record<string, number>>
  /** Dtypes, layouts and the like. */
  readonly options: Readonly<Record<string, string | boolean>>
}

/** The candidate, a JSON value, that was measured to be the fastest. */
export interface Answer extends Question {
  readonly candidate: unknown
}

/** Equal for equal questions. */
export const questionKey = ({ kernel, sizes, options }: Question): string => JSON.stringify([kernel, sizes, options])

/** A question for people, such as `softmax: rows 32, width 64, dtype f32`. */
export function showQuestion({ kernel, sizes, options }: Question): string {
  return `${kernel}: ${Object.entries({ ...sizes, ...options })
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')}`
}

/**
 * `off`: always the best guess. `cached`: what is known; on a GPU the first candidates of what isn't are measured, for
 * a few seconds at most. `full`: every candidate of everything that isn't known is measured. Once measuring has ended,
 * by its budget or by `settle`, a choice depends only on the question and on the answers known then.
 */
export const TUNING_MODES = ['off', 'cached', 'full'] as const
export type TuningMode = (typeof TUNING_MODES)[number]

export interface TuningOptions {
  readonly mode: TuningMode
  /** Answers measured on this adapter before. */
  readonly known?: Iterable<Answer>
  /** Called with every answer that is measured. */
  readonly onAnswer?: (answer: Answer) => void | Promise<void>
  /** Called while measuring: questions answered and asked in this plan. */
  readonly onProgress?: (done: number, total: number) => void
  /** Called with the reason why a candidate does not run on this adapter. */
  readonly onFailure?: (reason: string) => void
  /** Seconds to measure in all; when left out, 3 for `cached` and no limit for `full`. */
  readonly budget?: number
}

/** Picks one of `count` candidates, by its index. */
export type Tuner = (question: Question, count: number) => number

/** How lowering chooses: one of the candidates, which are JSON values. */
export type Choose = <C>(question: Question, candidates: readonly C[]) => C

/** Called with a question that has no known answer, and its candidates. */
export type OnGuess = (question: Question, candidates: readonly unknown[]) => void

const BUDGET_SECONDS = 3

/** The largest factor between any two sizes of problems for the answer to one to be a guide to the other. */
const NEAR = 4

interface KnownAnswer {
  readonly sizes: Question['sizes']
  /** Equal for questions that differ only in sizes. */
  readonly kind: string
  /** The candidate as JSON. */
  readonly candidate: string
}

const kindOf = ({ kernel, sizes, options }: Question): string => JSON.stringify([kernel, Object.keys(sizes), options])

/** The choices of one device. */
export class KernelTuning {
  readonly #traits: Traits
  readonly #answers = new Map<string, KnownAnswer>()
  /** Keys of the questions that were measured here. */
  readonly #measured = new Set<string>()
  #options: TuningOptions = { mode: 'off' }
  #secondsLeft = 0
  #tuner: Tuner | undefined
  #version = 0

  constructor(traits: Traits) {
    this.#traits = traits
  }

  get options(): TuningOptions {
    return this.#options
  }

  /** Changes with everything that choices depend on: plans of the current version are those that would be made now. */
  get version(): number {
    return this.#version
  }

  /** Seconds for which plans may still measure; 0 if they may not. */
  get secondsLeft(): number {
    // A CPU adapter takes seconds to compile a candidate, and its guesses were measured when they were written.
    const isIdle = this.#options.mode === 'off' || (this.#options.mode === 'cached' && this.#traits.cpu)
    return this.#tuner || isIdle ? 0 : Math.max(this.#secondsLeft, 0)
  }

  /** How plans choose from here on; mode `off` until this is called. */
  configure(options: TuningOptions): void {
    this.#options = options
    this.#secondsLeft = options.budget ?? (options.mode === 'full' ? Infinity : BUDGET_SECONDS)
    this.#measured.clear()
    this.#answers.clear()
    for (const answer of options.known ?? []) this.#know(answer)
    this.#version++
  }

  /** Replaces all choices by those of a function, until it is called with nothing. */
  override(tuner?: Tuner): void {
    this.#tuner = tuner
    this.#version++
  }

  /** Ends all measuring. */
  settle(): void {
    this.#secondsLeft = 0
    this.#version++
  }

  spend(seconds: number): void {
    this.#secondsLeft -= seconds
  }

  /** Whether a question was measured here; measuring it again would give nothing new. */
  isMeasured(question: Question): boolean {
    return this.#measured.has(questionKey(question))
  }

  /** Notes a measured answer. */
  async learn(answer: Answer): Promise<void> {
    this.#measured.add(questionKey(answer))
    this.#know(answer)
    this.#version++
    await this.#options.onAnswer?.(answer)
  }

  /** What lowering calls. Throws if a kernel has no candidate. */
  chooser(onGuess?: OnGuess): Choose {
    return (question, candidates) => {
      if (candidates.length === 0) throw new Error(`no candidate for ${showQuestion(question)} on ${this.#traits.name}`)
      if (this.#tuner)
        return candidates[Math.min(Math.max(this.#tuner(question, candidates.length), 0), candidates.length - 1)]
      if (this.#options.mode === 'off' || candidates.length === 1) return candidates[0]
      const shown = candidates.map(candidate => JSON.stringify(candidate))
      const known = shown.indexOf(this.#answers.get(questionKey(question))?.candidate ?? '')
      if (known < 0) onGuess?.(question, candidates)
      return candidates[known < 0 ? this.#guess(question, shown) : known]
    }
  }

  /** The same with candidate `n` for one question, to try it. */
  answering(question: Question, n: number): Choose {
    const usual = this.chooser()
    const key = questionKey(question)
    return (asked, candidates) => (questionKey(asked) === key ? candidates[n] : usual(asked, candidates))
  }

  #know(answer: Answer): void {
    this.#answers.set(questionKey(answer), {
      sizes: answer.sizes,
      kind: kindOf(answer),
      candidate: JSON.stringify(answer.candidate),
    })
  }

  /** The answer to the nearest known problem, else the first candidate, which is the best guess. */
  #guess(question: Question, shown: readonly string[]): number {
    const kind = kindOf(question)
    let best = { candidate: 0, distance: Infinity }
    for (const known of this.#answers.values()) {
      const candidate = known.kind === kind ? shown.indexOf(known.candidate) : -1
      if (candidate < 0) continue
      const ratios = Object.entries(question.sizes).map(([name, size]) => Math.abs(Math.log2(known.sizes[name] / size)))
      const distance = Math.max(0, ...ratios)
      // Ties go to the better guess: the order of the answers may differ from file to file.
      const isNearer = distance < best.distance || (distance === best.distance && candidate < best.candidate)
      if (isNearer && distance <= Math.log2(NEAR)) best = { candidate, distance }
    }
    return best.candidate
  }
}
