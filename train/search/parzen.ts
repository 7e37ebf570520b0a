// A Parzen estimator over the settings of a space: a mixture with a kernel for each observed setting, and one as wide
// as the space, the prior. A kernel is a product over the parameters: of a truncated normal for a range, and for
// choices of a distribution that prefers the observed one. Bandwidths and weights are those of Optuna's TPESampler
// (Watanabe, "Tree-structured Parzen estimator: understanding its algorithm components", 2023, describes the rules).
import type { Random } from '../random.ts'
import { logDensity, logMass } from './normal.ts'
import { type Interval, endsOf, intervalOf, isChoices, sizeOf, valueAt } from './space.ts'
import type { Choices, Parameter, Range, Space, Value, Values } from './types.ts'

/** One parameter of all kernels. */
interface Kernels {
  sample(kernel: number, random: Random): Value
  /** Logarithm of the probability (density, for a range without steps) of a value in each kernel. */
  logDensities(value: Value): Float64Array
}

/** Draws an index from a row of probabilities, whose sum may differ from 1 by rounding. */
function pick(probabilities: ArrayLike<number>, random: Random): number {
  let rest = random.next()
  for (let i = 0; i < probabilities.length - 1; i++) {
    rest -= probabilities[i]
    if (rest < 0) return i
  }
  return probabilities.length - 1
}

/** Each kernel prefers what it has observed to each other choice by the number of kernels, plus one. */
function choiceKernels({ values }: Choices, observed: readonly Value[]): Kernels {
  const kernels = observed.length + 1
  const uniform = Array.from(values, () => 1 / values.length)
  const rows = observed.map(value => {
    const index = values.indexOf(value)
    const total = 1 + values.length / kernels
    return values.map((_, i) => (1 / kernels + (i === index ? 1 : 0)) / total)
  })
  rows.push(uniform)
  return {
    sample: (kernel, random) => values[pick(rows[kernel], random)],
    logDensities: value => {
      const index = values.indexOf(value)
      return Float64Array.from(rows, row => Math.log(row[index]))
    },
  }
}

/**
 * Widths of the kernels about the observed `means`: the distance of the farther neighbour, where an end of the interval
 * is a neighbour only if there is no other pair; at least a (number of kernels + 1)th of the interval, or a 100th.
 */
function widthsOf(means: readonly number[], [low, high]: readonly [number, number]): Float64Array {
  const order = means.map((_, i) => i).toSorted((i, j) => means[i] - means[j])
  const narrowest = (high - low) / Math.min(100, 2 + means.length)
  const widths = new Float64Array(means.length)
  for (const [rank, i] of order.entries()) {
    const alone = order.length < 2
    const below = rank > 0 ? means[i] - means[order[rank - 1]] : alone ? means[i] - low : 0
    const above = rank < order.length - 1 ? means[order[rank + 1]] - means[i] : alone ? high - means[i] : 0
    widths[i] = Math.min(high - low, Math.max(narrowest, below, above))
  }
  return widths
}

function rangeKernels(range: Range, observed: readonly Value[]): Kernels {
  const interval = intervalOf(range)
  const ends = endsOf(interval)
  const scaled = (value: number): number => (interval.log ? Math.log(value) : value)
  const observedMeans = observed.map(value => scaled(Number(value)))
  const [low, high] = ends
  const means = [...observedMeans, (low + high) / 2]
  const widths = [...widthsOf(observedMeans, ends), high - low]
  const masses = means.map((mean, i) => logMass((low - mean) / widths[i], (high - mean) / widths[i]))
  return {
    sample: (kernel, random) => {
      // A mean lies between the ends, and no width exceeds their distance: at least every third draw is accepted.
      for (;;) {
        const x = means[kernel] + widths[kernel] * random.normal()
        if (x >= low && x <= high) return valueAt(interval, x)
      }
    },
    logDensities: value => {
      const [from, to] = cellOf(interval, Number(value))
      return Float64Array.from(means, (mean, i) => {
        const inside =
          from === to
            ? logDensity((from - mean) / widths[i]) - Math.log(widths[i])
            : logMass((from - mean) / widths[i], (to - mean) / widths[i])
        return inside - masses[i]
      })
    },
  }
}

/** The numbers that are rounded to a value, on the scale of its interval; only itself without steps. */
const cellOf = (interval: Interval, value: number): readonly [number, number] =>
  endsOf({ ...interval, low: value, high: value })

/** Weights of n observations, oldest first: the last 25 count fully, those before them less the older they are. */
function weightsOf(n: number): readonly number[] {
  const old = n - 25
  const slope = (1 - 1 / n) / Math.max(1, old - 1)
  return Array.from({ length: n }, (_, i) => (i < old ? 1 / n + i * slope : 1))
}

/** Asks once for each value: candidates repeat choices and steps. */
function remembered(kernels: Kernels): Kernels {
  const known = new Map<Value, Float64Array>()
  return {
    ...kernels,
    logDensities: value => {
      const found = known.get(value) ?? kernels.logDensities(value)
      known.set(value, found)
      return found
    },
  }
}

/** Of a parameter with one value. */
const constant = (value: Value, observed: readonly Value[]): Kernels => ({
  sample: () => value,
  logDensities: () => new Float64Array(observed.length + 1),
})

function kernelsOf(parameter: Parameter, observed: readonly Value[]): Kernels {
  if (sizeOf(parameter) === 1)
    return constant(isChoices(parameter) ? parameter.values[0] : intervalOf(parameter).low, observed)
  return remembered(isChoices(parameter) ? choiceKernels(parameter, observed) : rangeKernels(parameter, observed))
}

export class ParzenEstimator {
  readonly #kernels: readonly (readonly [name: string, kernels: Kernels])[]
  readonly #weights: readonly number[]

  /** `observed` holds settings with a value for each parameter of the space, oldest first; there may be none. */
  constructor(space: Space, observed: readonly Values[]) {
    this.#kernels = Object.entries(space).map(([name, parameter]) => [
      name,
      kernelsOf(
        parameter,
        observed.map(values => values[name]),
      ),
    ])
    const weights = [...weightsOf(observed.length), 1]
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    this.#weights = weights.map(weight => weight / total)
  }

  sample(random: Random): Values {
    const kernel = pick(this.#weights, random)
    return Object.fromEntries(this.#kernels.map(([name, kernels]) => [name, kernels.sample(kernel, random)]))
  }

  /** Logarithm of the density of the mixture. */
  logDensity(values: Values): number {
    const sums = this.#weights.map(weight => Math.log(weight))
    for (const [name, kernels] of this.#kernels) {
      kernels.logDensities(values[name]).forEach((logarithm, i) => (sums[i] += logarithm))
    }
    const largest = Math.max(...sums)
    return largest === -Infinity
      ? largest
      : largest + Math.log(sums.reduce((sum, logarithm) => sum + Math.exp(logarithm - largest), 0))
  }
}
