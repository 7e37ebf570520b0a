// Whether two engines computed the same.
import { type Answers, trained } from './engine.ts'

/** How far two sets of answers are apart where they are farthest, and in which tensor that is. */
export interface Agreement {
  readonly difference: number
  readonly where: string
}

export function agreement(ours: Answers, theirs: Answers): Agreement {
  const names = new Set([...Object.keys(ours), ...Object.keys(theirs)])
  return [...names].reduce<Agreement>(
    (worst, where) => {
      const difference = differenceOf(where, ours, theirs)
      return difference <= worst.difference ? worst : { difference, where }
    },
    { difference: 0, where: 'nothing' },
  )
}

/** Infinite where a tensor is missing, its length differs, or a number is none. */
function differenceOf(name: string, ours: Answers, theirs: Answers): number {
  const [a, b] = [ours[name], theirs[name]]
  if (!a || !b || a.length !== b.length || !isFinite(a) || !isFinite(b)) return Infinity
  const gaps = a.map((x, i) => x - b[i])
  // Adam divides a gradient by its own size: where the gradient is rounding alone, so is the direction of the step.
  // Trained weights are therefore taken as a whole, ‖a − b‖ / ‖a‖.
  if (name.endsWith(trained(''))) return share(norm(gaps), norm(a))
  // A key's bias shifts all scores of a query alike, which softmax does not feel: its gradient is 0 but for rounding,
  // so it is measured by the gradient of the query's bias.
  return share(largest(gaps), largest(ours[name.replace('self.key.bias', 'self.query.bias')] ?? a))
}

/** Of zeros alone, any gap is infinitely large. */
const share = (gap: number, whole: number): number => (gap === 0 ? 0 : gap / whole)

const isFinite = (values: Float32Array): boolean => values.every(Number.isFinite)

const largest = (values: Float32Array): number => values.reduce((most, x) => Math.max(most, Math.abs(x)), 0)

const norm = (values: Float32Array): number => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0))
