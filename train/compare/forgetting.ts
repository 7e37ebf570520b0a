// Forgetting: how well a run still predicts masked tokens, the task that its base was pretrained for.
import { count, counted } from '../counts.ts'
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
  const mean = (which: keyof Forgetting, figure: keyof MaskedFigures): number =>
    own.reduce((sum, one) => sum + one[which][figure], 0) / own.length
  const meansOf = (which: keyof Forgetting): MaskedFigures => ({
    loss: mean(which, 'loss'),
    accuracy: mean(which, 'accuracy'),
    tokens: mean(which, 'tokens'),
  })
  return { base: meansOf('base'), tuned: meansOf('tuned') }
}

/** What fine-tuning changed: of the loss in nats, of the accuracy as a share. */
export const changeOf = ({ base, tuned }: Forgetting): Pick<MaskedFigures, 'loss' | 'accuracy'> => ({
  loss: tuned.loss - base.loss,
  accuracy: tuned.accuracy - base.accuracy,
})

/** A change with its sign, a true minus; none for what rounds to 0. */
export function showChange(value: number, digits: number): string {
  const size = Math.abs(value).toFixed(digits)
  return Number(size) === 0 ? size : `${value < 0 ? '−' : '+'}${size}`
}

/** `500 of 4,000 texts: …` */
export function showTexts({ texts: { length }, of, source }: MaskedTexts): string {
  return `${length < of ? `${count(length)} of ` : ''}${counted(of, 'text')} (${source})`
}
