// The worst mistakes of a test: which texts are answered wrong most surely, and whose score the words of each explain.
import type { Attribution } from '../../../models/word-shares.ts'
import { type ClassResults, type LabelResults, type NumberResults, predictClasses } from '../../metrics/summary.ts'
import { decide } from '../../metrics/thresholds.ts'
import type { Tested } from './tested.ts'

/** Mistakes that are shown. */
export const WORST = 10

/** A wrong answer. */
interface Mistake {
  readonly row: number
  /** The label whose score its words explain. */
  readonly label: number
}

/** The words that pushed a score, and whose it is. */
export interface Explanation {
  readonly label: string
  readonly words: Attribution
}

export interface WrongClass extends Mistake {
  readonly truth: number
  readonly probability: number
}

/** Texts that are given another class than theirs, the surest first. */
export function wrongClasses(results: ClassResults): WrongClass[] {
  const { probabilities, names, truth } = results
  const predicted = predictClasses(results)
  return Array.from(truth, (label, row): WrongClass => {
    const given = predicted[row]
    return { row, label: given, truth: label, probability: probabilities[row * names.length + given] }
  })
    .filter(({ label, truth }) => label !== truth)
    .sort((a, b) => b.probability - a.probability || a.row - b.row)
}

export interface WrongLabels extends Mistake {
  /** Places of the wrong labels in the results. */
  readonly mistaken: readonly number[]
}

/** Which labels are given and which are predicted, one row after another. */
export function decisionsOf({ truth, probabilities, names, thresholds }: LabelResults) {
  return {
    given: Array.from(truth, value => value > 0.5),
    predicted: Array.from(decide(probabilities, names.length, thresholds), value => value === 1),
  }
}

/** Texts with a wrong label, the one with the most surely wrong label first. */
export function wrongLabels(results: LabelResults): WrongLabels[] {
  const { probabilities, names } = results
  const { given, predicted } = decisionsOf(results)
  const width = names.length
  const distance = (at: number): number => (given[at] ? 1 - probabilities[at] : probabilities[at])
  return Array.from({ length: given.length / width }, (_, row) => {
    const mistaken = names.map((_, i) => row * width + i).filter(at => given[at] !== predicted[at])
    const worst = mistaken.reduce((a, b) => (distance(b) > distance(a) ? b : a), mistaken[0] ?? 0)
    return { row, mistaken, label: worst % width, distance: distance(worst) }
  })
    .filter(({ mistaken }) => mistaken.length > 0)
    .sort((a, b) => b.distance - a.distance || a.row - b.row)
}

export interface NumberError extends Mistake {
  readonly given: number
  readonly predicted: number
}

/** Texts whose number is not the given one, the largest error first. */
export function numberErrors({ truth, predicted }: NumberResults): NumberError[] {
  const size = ({ given, predicted }: NumberError): number => Math.abs(predicted - given)
  return Array.from(truth, (given, row): NumberError => ({ row, label: 0, given, predicted: predicted[row] }))
    .filter(error => size(error) > 0 && Number.isFinite(size(error)))
    .sort((a, b) => size(b) - size(a) || a.row - b.row)
}

/** The mistakes that the report shows, as `tilegrad predict` answers; none of labels of words. */
export function worstOf({ answered: { results } }: Pick<Tested, 'answered'>): Mistake[] {
  switch (results.kind) {
    case 'classes':
      return wrongClasses(results).slice(0, WORST)
    case 'labels':
      return wrongLabels(results).slice(0, WORST)
    case 'regression':
      return numberErrors(results).slice(0, WORST)
    case 'tokens':
      return []
  }
}
