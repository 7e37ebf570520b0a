// Forgetting: how well a run still predicts masked tokens, the task that its base was pretrained for.
import { count, counted } from '../counts.ts'
import { mean, meanInterval } from '../metrics/means.ts'
import type { Interval } from '../metrics/uncertainty.ts'
import type { Entry } from './compare.ts'

/** How well a model predicts masked tokens. */
export interface MaskedFigures {
  /** Mean cross-entropy, in nats. */
  readonly loss: number
  /** Share of the tokens whose likeliest prediction is right. */
  readonly accuracy: number
  /** How many tokens were masked. */
  readonly tokens: number
}

/** Predictions of the same masked tokens by the base of a run, and by what the run made of it under the base's head. */
export interface Forgetting {
  readonly base: MaskedFigures
  readonly tuned: MaskedFigures
  /** 95 % of the change of the loss: Student's, over rows of text, or of several runs over the runs. */
  readonly interval: Interval | undefined
}

/** The texts whose tokens were masked. */
export interface MaskedTexts {
  readonly texts: readonly string[]
  /** How many there were to draw from. */
  readonly of: number
  /** Where they come from, in a few words. */
  readonly source: string
}

/** What was measured of the runs of a comparison, by their names. */
export interface Forgotten {
  readonly runs: ReadonlyMap<string, Forgetting>
  readonly texts: MaskedTexts
}

/** The means over the runs of a setting that were measured; undefined if none was. */
export function forgettingOf({ runs }: Pick<Entry, 'runs'>, { runs: measured }: Forgotten): Forgetting | undefined {
  const own = runs.flatMap(({ name }) => measured.get(name) ?? [])
  if (own.length === 0) return undefined
  if (own.length === 1) return own[0]
  const meanOf = (which: 'base' | 'tuned', figure: keyof MaskedFigures): number =>
    mean(own.map(one => one[which][figure]))
  const meansOf = (which: 'base' | 'tuned'): MaskedFigures => ({
    loss: meanOf(which, 'loss'),
    accuracy: meanOf(which, 'accuracy'),
    tokens: meanOf(which, 'tokens'),
  })
  const { interval } = meanInterval(own.map(lossChange))
  return { base: meansOf('base'), tuned: meansOf('tuned'), interval }
}

/** What fine-tuning changed of the loss, in nats. */
export const lossChange = ({ base, tuned }: Pick<Forgetting, 'base' | 'tuned'>): number => tuned.loss - base.loss

/** A change with its sign, a true minus; none for what rounds to 0. */
export function showChange(value: number, digits: number): string {
  const size = Math.abs(value).toFixed(digits)
  return Number(size) === 0 ? size : `${value < 0 ? '−' : '+'}${size}`
}

/** Its interval, signs at both ends. */
export const showChanges = (interval: Interval | undefined, digits: number): string =>
  interval ? `${showChange(interval.low, digits)} to ${showChange(interval.high, digits)}` : '–'

/** `500 of 4,000 texts: …` */
export function showTexts({ texts: { length }, of, source }: MaskedTexts): string {
  return `${length < of ? `${count(length)} of ` : ''}${counted(of, 'text')} (${source})`
}
