// Texts as tokens for a model that takes only so many: cut at its longest length, or read whole in overlapping windows.
import { UserError } from '../engine/errors.ts'
import { needObjects } from '../engine/options.ts'
import type { CutEncoding, Encoding, PairTruncation, Tokenizer } from './tokenizer.ts'
import { type WordEncoding, encodeWordWindows, encodeWords } from './words.ts'

export interface LengthOptions {
  /** Longest text, or window of one, in tokens with the special ones. */
  readonly maxLength: number
  /** Tokens that two neighbouring windows share (Transformers' `stride`). Longer texts are cut when left out. */
  readonly window?: number
  /** What of a pair is cut; in windows it is always the second text that is divided. */
  readonly truncation?: PairTruncation
}

/** A text, two that belong together, or a text as its words. */
export type EncodableText = { readonly text: string; readonly pair?: string } | { readonly words: readonly string[] }

/** One window of a text, which may be the only one; `firstOf` as in `WordEncoding`, for texts as words. */
export type Window = Encoding & Partial<Pick<WordEncoding, 'firstOf'>>

/** A text as it is read: one window, or the first of several. */
export interface EncodedText extends Window, CutEncoding {
  /** The windows after the first, if there are any. */
  readonly further?: readonly Window[]
}

/** All windows of a text, in order. */
export const windowsOf = <W extends object>(text: W & { readonly further?: readonly W[] }): readonly W[] => [
  text,
  ...(text.further ?? []),
]

/** Special tokens of one text, and of a pair. */
const [SPECIAL, SPECIAL_OF_PAIR] = [2, 3]

/** Throws a UserError if windows share so much that a window adds nothing to the one before it. */
export function checkWindow({ maxLength, window }: Pick<LengthOptions, 'maxLength' | 'window'>): void {
  const room = maxLength - SPECIAL
  if (window === undefined || window < room) return
  throw new UserError(
    `--window ${window} must be at most ${room - 1}: a window of ${maxLength} tokens holds ${room} of a text beside the special ones, ` +
      'and neighbours cannot share all of them',
  )
}

/**
 * Where windows of `size` tokens begin and end in a text of `tokens`, neighbours sharing `stride` of them: the ranges
 * of Transformers' `return_overflowing_tokens`. The last window may be shorter.
 */
export function windowRanges(tokens: number, size: number, stride: number): [start: number, end: number][] {
  // Also where one is NaN, with which the loop would not end.
  if (!(stride < size)) throw new UserError(`windows of ${size} tokens cannot share ${stride}`)
  const ranges: [number, number][] = []
  for (let start = 0; ; start += size - stride) {
    const end = Math.min(start + size, tokens)
    ranges.push([start, end])
    if (end === tokens) return ranges
  }
}

/** A text as tokens. Throws a UserError if the first text of a pair leaves its windows no room for the second. */
export function encodeText(tokenizer: Tokenizer, input: EncodableText, options: LengthOptions): EncodedText {
  needObjects('encodeText', { tokenizer, input, options })
  const { maxLength, window } = options
  if ('words' in input) {
    const cut = encodeWords(tokenizer, input.words, maxLength)
    if (window === undefined || cut.tokens <= maxLength) return cut
    return joined(encodeWordWindows(tokenizer, input.words, { maxLength, window }), cut.tokens)
  }
  if (input.pair !== undefined) return encodePair(tokenizer, input.text, input.pair, options)
  if (window === undefined) return tokenizer.encode(input.text, { maxLength })
  const whole = tokenizer.encode(input.text)
  if (whole.tokens <= maxLength) return whole
  const body = whole.ids.slice(1, -1)
  return joined(
    windowRanges(body.length, maxLength - SPECIAL, window).map(([start, end]) => {
      const ids = [tokenizer.clsId, ...body.slice(start, end), tokenizer.sepId]
      return { ids, typeIds: new Array<number>(ids.length).fill(0) }
    }),
    whole.tokens,
  )
}

function encodePair(
  tokenizer: Tokenizer,
  text: string,
  pair: string,
  { maxLength, window, truncation }: LengthOptions,
): EncodedText {
  if (window === undefined) return tokenizer.encodePair(text, pair, { maxLength, truncation })
  const whole = tokenizer.encodePair(text, pair)
  if (whole.tokens <= maxLength) return whole
  const first = whole.typeIds.indexOf(1) - 2
  const room = maxLength - first - SPECIAL_OF_PAIR
  if (room <= window) {
    throw new UserError(
      `the first text of a pair is kept whole in every window, and has ${first} tokens: a window of ${maxLength} holds ` +
        `${Math.max(0, room)} of the second, of which ${window} are shared; use a larger --max-length or a smaller --window`,
    )
  }
  const head = whole.ids.slice(0, first + 2)
  const body = whole.ids.slice(first + 2, -1)
  return joined(
    windowRanges(body.length, room, window).map(([start, end]) => {
      const ids = [...head, ...body.slice(start, end), tokenizer.sepId]
      return { ids, typeIds: ids.map((_, i) => (i < head.length ? 0 : 1)) }
    }),
    whole.tokens,
  )
}

function joined([first, ...further]: readonly Window[], tokens: number): EncodedText {
  return { ...first, ...(further.length > 0 && { further }), tokens }
}
