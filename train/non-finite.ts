// How a run reports NaN and infinities: which step or example, what was computed, and the first kernel
// whose output was not finite.
import { NonFinite, type NonFiniteCause } from '../engine/index.ts'

/** Finds the parameter that an element of a variable belongs to; undefined where the variable holds none. */
export type Namer = (
  variable: string,
  element: number,
) => { readonly name: string; readonly element: number } | undefined

/** Fused kernels have long labels. */
const LONGEST_LABEL = 90

/** A number as a message shows it: `0.6931`, `1.25e+30`, `NaN`, `∞`. */
export function figure(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '-∞'
  return String(Number(value.toPrecision(4)))
}

/** What a diagnosis found, as the end of a sentence. */
export function describeCause(cause: NonFiniteCause | undefined, nameOf: Namer): string {
  if (!cause) return 'computed once more, all of it was finite: the adapter does not compute the same twice'
  if (cause.kind === 'input') return `input ${cause.position} held ${cause.numbers} before any kernel ran`
  if (cause.kind === 'variable') {
    const { variable, element } = cause.place
    const place = nameOf(variable, element) ?? { name: variable, element }
    return `${place.name} held ${cause.numbers} before any kernel ran, first in element ${place.element}`
  }
  const { label, dispatch, dispatches, numbers, reads } = cause
  const near = reads.flatMap(({ variable, element }) => nameOf(variable, element)?.name ?? [])
  const where = near.length > 0 ? `, at ${near[0]}` : ''
  const short = label.length > LONGEST_LABEL ? `${label.slice(0, LONGEST_LABEL)}…` : label
  return `first kernel with an output that is not finite: "${short}" (${numbers}; dispatch ${dispatch} of ${dispatches}${where})`
}

/** What is known of a step that is not finite. */
export interface BadStep {
  readonly step: number
  readonly loss: number
  readonly norm: number
  readonly lr: number
  /** Where the loss is scaled. */
  readonly lossScale: number | undefined
  /** Bad steps that were left out before. */
  readonly skipped: number
}

export function badStep({ step, loss, norm, lr, lossScale, skipped }: BadStep, cause: string): NonFinite {
  const scale = lossScale === undefined ? '' : `, loss scale ${figure(lossScale)}`
  const before = skipped === 0 ? '' : `, after ${skipped} ${skipped === 1 ? 'step' : 'steps'} left out`
  return new NonFinite(
    `step ${step} is not finite${before}: loss ${figure(loss)}, gradient norm ${figure(norm)}, learning rate ${figure(lr)}${scale}; ${cause}`,
  )
}
