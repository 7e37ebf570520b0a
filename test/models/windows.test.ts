// Texts that are longer than the model: what a cut leaves, how long they were, and windows of words.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../engine/errors.ts'
import { type Tokenizer, tokenizerFromVocabulary } from '../../models/tokenizer.ts'
import { type Window, checkWindow, encodeText, windowRanges } from '../../models/windows.ts'
import { encodeWordWindows, encodeWords } from '../../models/words.ts'
import { SEED } from '../support/seed.ts'

/** A piece each: `abcd` is `a ##b ##c ##d`. */
const LETTERS = [...'abcdefghijklmnopqrstuvwxyzαβγδεζηθικλμνξοπρστυφχψω']
/** A word of so many pieces, which no other number begins with the same one. */
const wordOf = (number: number, size: number): string =>
  Array.from({ length: size }, (_, i) => LETTERS[(number + i) % LETTERS.length]).join('')
const vocabulary = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', ...LETTERS, ...LETTERS.map(letter => `##${letter}`)]
const tokenizer: Tokenizer = tokenizerFromVocabulary(
  vocabulary.map(token => `${token}\n`).join(''),
  { lowercase: true },
  'letters',
)
/** A text of so many words of one piece. */
const text = (words: number): string => Array.from({ length: words }, (_, i) => LETTERS[i % LETTERS.length]).join(' ')
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)

describe('a text', () => {
  test('that fits exactly is not cut, and with one token more it is', () => {
    for (const window of [undefined, 2]) {
      expect(encodeText(tokenizer, { text: text(6) }, { maxLength: 8, window })).toEqual({
        ...tokenizer.encode(text(6)),
        tokens: 8,
      })
      expect(encodeText(tokenizer, { text: text(2), pair: text(3) }, { maxLength: 8, window })).toEqual({
        ...tokenizer.encodePair(text(2), text(3)),
        tokens: 8,
      })
      const words = encodeText(tokenizer, { words: text(6).split(' ') }, { maxLength: 8, window })
      expect([words.ids, words.tokens, words.further]).toEqual([tokenizer.encode(text(6)).ids, 8, undefined])
    }
    const longer = [{ text: text(7) }, { text: text(2), pair: text(4) }, { words: text(7).split(' ') }]
    for (const input of longer) {
      const cut = encodeText(tokenizer, input, { maxLength: 8 })
      expect([cut.ids.length, cut.tokens, cut.further]).toEqual([8, 9, undefined])
      expect(encodeText(tokenizer, input, { maxLength: 8, window: 2 })).toMatchObject({ tokens: 9, further: [{}] })
    }
  })

  test('is refused windows that share so much that nothing new is in them', () => {
    expect(() => checkWindow({ maxLength: 8, window: 5 })).not.toThrow()
    expect(() => checkWindow({ maxLength: 8, window: 6 })).toThrow(
      new UserError(
        '--window 6 must be at most 5: a window of 8 tokens ' +
          'holds 6 of a text beside the special ones, and neighbours cannot share all of them',
      ),
    )
    for (const size of [6, NaN]) expect(() => windowRanges(20, size, 6)).toThrow(UserError)
    const pair = { text: text(5), pair: text(9) }
    expect(() => encodeText(tokenizer, pair, { maxLength: 11, window: 2 })).not.toThrow()
    expect(() => encodeText(tokenizer, pair, { maxLength: 10, window: 2 })).toThrow(
      new UserError(
        'the first text of a pair is kept whole in every ' +
          'window, and has 5 tokens: a window of 10 holds 2 of the second, of which 2 are shared; use a larger --max-length or a smaller --window',
      ),
    )
  })
})

describe('windows of words', () => {
  const word = fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 1, max: 3 }) }, fc.integer({ min: 0, max: 9 }))
  /** Words by their number of pieces, a length, and how much of it is shared. */
  const given = fc
    .record({
      sizes: fc.array(word, { maxLength: 40 }),
      maxLength: fc.integer({ min: 4, max: 14 }),
      share: fc.double({ min: 0, max: 0.99, noNaN: true }),
    })
    .map(({ sizes, maxLength, share }) => ({
      words: sizes.map((size, i) => wordOf(i, size)),
      maxLength,
      window: Math.floor(share * (maxLength - 2)),
    }))
  const property = (
    holds: (
      windows: ReturnType<typeof encodeWordWindows>,
      of: { words: string[]; maxLength: number; window: number },
    ) => void,
  ): void =>
    fc.assert(
      fc.property(given, of => holds(encodeWordWindows(tokenizer, of.words, of), of)),
      { seed: SEED, numRuns: 300 },
    )
  /** The words that a window shows, as it shows them. */
  const shown = ({ ids }: Window): string[] =>
    tokenizer
      .decode(ids, { skipSpecial: true })
      .split(' ')
      .filter(each => each !== '')

  test('name every word that has a token once, in order, at its first token', () => {
    property((windows, { words }) => {
      const named = windows.flatMap(({ ids, firstOf }) =>
        [...firstOf].flatMap((index, at) => (index < 0 ? [] : [[index, ids[at]]])),
      )
      expect(named).toEqual(words.flatMap((each, i) => (each === '' ? [] : [[i, vocabulary.indexOf(each[0])]])))
    })
  })

  test('fit, begin with the cut text, and share no more than asked for', () => {
    property((windows, { words, maxLength, window }) => {
      for (const { ids, typeIds, firstOf } of windows) {
        expect(ids.length).toBeLessThanOrEqual(maxLength)
        expect([typeIds.length, firstOf.length]).toEqual([ids.length, ids.length])
      }
      const room = maxLength - 2
      if ((words[0] ?? '').length <= room) expect(windows[0].ids).toEqual(encodeWords(tokenizer, words, maxLength).ids)
      // A word that no window holds is cut; all others are whole in each window that shows them.
      const cut = words.filter(each => each !== '').map(each => each.slice(0, room))
      let end = 0
      for (const part of windows.map(shown).filter(({ length }) => length > 0)) {
        const start = cut.indexOf(part[0])
        expect(part).toEqual(cut.slice(start, start + part.length))
        expect(start).toBeLessThanOrEqual(end)
        expect(sum(cut.slice(start, end).map(each => each.length))).toBeLessThanOrEqual(window)
        expect(start + part.length).toBeGreaterThan(end)
        end = start + part.length
      }
      expect(end).toBe(cut.length)
    })
  })

  test('name a word where the shorter of its sides is longest', () => {
    const words = text(14).split(' ')
    // Windows of 8 words that share 4: 0–7, 4–11, 8–13. Word 5 has 2 words behind it in the first and 1 before it in
    // the second.
    const windows = encodeWordWindows(tokenizer, words, { maxLength: 10, window: 4 })
    expect(windows.map(({ firstOf }) => firstOf.filter(index => index >= 0))).toEqual([
      [0, 1, 2, 3, 4, 5],
      [6, 7, 8, 9],
      [10, 11, 12, 13],
    ])
    expect(windows.map(shown)).toEqual([words.slice(0, 8), words.slice(4, 12), words.slice(8)])
  })

  test('may be of many words, each of them seen once', () => {
    const words = text(5000).split(' ')
    const windows = encodeWordWindows(tokenizer, words, { maxLength: 64, window: 16 })
    expect(windows.length).toBe(Math.ceil((5000 - 16) / (62 - 16)))
    expect(windows.flatMap(({ firstOf }) => firstOf.filter(index => index >= 0))).toEqual(words.map((_, i) => i))
  })
})
