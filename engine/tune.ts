// Which of a kernel's candidates to use. Candidates come best guess first; a test or a tuner may choose otherwise.
import type { Traits } from '../shaders/kernel.ts'

/** Picks a candidate's number for one kernel and problem on one adapter. */
export type Tuner = (kernel: string, problem: string, count: number, traits: Traits) => number

const firstGuess: Tuner = () => 0
let tuner = firstGuess

/** Replaces the choice, for good or until called with nothing. */
export function setTuner(next: Tuner = firstGuess): void {
  tuner = next
}

/** The function that lowering asks. Throws where a kernel has no candidate for the adapter. */
export function chooser(traits: Traits): <C>(kernel: string, problem: string, candidates: readonly C[]) => C {
  return (kernel, problem, candidates) => {
    if (candidates.length === 0) throw new Error(`${kernel}: no candidate for ${problem} on ${traits.name}`)
    const at = tuner(kernel, problem, candidates.length, traits)
    return candidates[Math.min(Math.max(at, 0), candidates.length - 1)]
  }
}
