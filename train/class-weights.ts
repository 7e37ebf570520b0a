// The weight of each class in the loss, which can make up for unbalanced classes.
import { UserError } from '../engine/errors.ts'

/** Weights by class number. */
export type ClassWeights = 'balanced' | readonly number[]

/**
 * The weight of each class, given its number of training examples. `balanced` is scikit-learn's: examples / (classes ·
 * examples of the class), which gives all classes the same total weight; classes without examples are not counted and
 * get weight 1. A list is used as is. Throws a UserError on a list of the wrong length, on a weight that is negative or
 * not finite, and if all are 0.
 */
export function classWeights(weights: ClassWeights, counts: ArrayLike<number>): number[] {
  if (weights === 'balanced') {
    const all = Array.from(counts)
    const examples = all.reduce((sum, count) => sum + count, 0)
    const present = all.filter(count => count > 0).length
    return all.map(count => (count > 0 ? examples / (present * count) : 1))
  }
  if (weights.length !== counts.length) {
    throw new UserError(`Class weights: ${weights.length} given, but there are ${counts.length} classes`)
  }
  const wrong = weights.findIndex(weight => !(Number.isFinite(weight) && weight >= 0))
  if (wrong !== -1) throw new UserError(`Class weights: ${weights[wrong]} of class ${wrong}; a weight is 0 or more`)
  if (weights.every(weight => weight === 0)) throw new UserError('Class weights: all of them are 0')
  return [...weights]
}
