// What is printed of other people's text: nothing that a terminal obeys or hides, and errors of one short line.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UserError, printable, printableJson, printableLine, printableLines } from '../../engine/errors.ts'

/** Every character that may not reach a terminal as it is. */
const unsafe = [
  ...Array.from({ length: 0x20 }, (_, i) => i),
  ...Array.from({ length: 0x21 }, (_, i) => 0x7f + i),
  0x2028,
  0x2029,
  0x202a,
  0x202e,
  0x2066,
  0x2069,
  0x200b,
  0x200e,
  0x200f,
  0x61c,
  0xfeff,
  0xad,
].map(code => String.fromCharCode(code))
const SAFE = /^[^\p{Cc}\u2028-\u202e\u2060-\u2069\u200b\u200e\u200f\u061c\ufeff]*$/u

/** Text in which such characters, half pairs and long runs are frequent. */
const text = fc
  .array(
    fc.oneof(
      fc.constantFrom(...unsafe),
      fc.string({ unit: 'binary' }),
      fc.constantFrom('\ud83d', '\ude00', '😀', '\u001b[2J'),
      fc.nat(3000).map(length => 'x'.repeat(length)),
      fc.nat(3000).map(length => '\n '.repeat(length)),
    ),
  )
  .map(parts => parts.join(''))

describe('text from files and servers', () => {
  test.each(unsafe.map(character => [JSON.stringify(character), character]))(
    'is shown with %s as an escape',
    (_, character) => {
      expect(printable(`a${character}b`)).toMatch(/^a\\([tn]|x[0-9a-f]{2}|u[0-9a-f]{4})b$/)
      expect(printableLine(`a${character}b`)).toBe(printable(`a${character}b`))
      const value = { text: `a${character}b` }
      expect(JSON.parse(printableJson(value))).toEqual(value)
      expect(printableJson(value)).toMatch(SAFE)
    },
  )

  test('keeps letters of all scripts, joiners, emoji and no-break spaces', () => {
    const words = 'naïve “Größe” 学习 שלום می\u200cخواهم 👩\u200d🔬 1\u00a0000\u202f€'
    expect(printable(words)).toBe(words)
    expect(printableLine(words)).toBe(words)
  })

  test('keeps intended line breaks', () => {
    expect(printableLines('a\tb\nc\u001b[31m')).toBe('a\\tb\nc\\x1b[31m')
  })

  test('is one safe line within the limit, for any text', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 20, max: 600 }), (given, limit) => {
        const line = printableLine(given, limit)
        expect(line.length).toBeLessThanOrEqual(limit)
        expect(line).toMatch(SAFE)
        expect(line.isWellFormed()).toBe(true)
        expect(printable(given)).toMatch(SAFE)
      }),
    )
  })
})

describe('a UserError', () => {
  test('shows control characters and marks that reorder text as escapes', () => {
    const { message } = new UserError('a\x1b[2Jb\rc\nd\te\x7ff\x9b31mg\u2028h\u202ei é 二 😀')
    expect(message).toBe(String.raw`a\x1b[2Jb\x0dc\nd\te\x7ff\x9b31mg\u2028h\u202ei é 二 😀`)
  })

  test('leaves out the middle of a long message and stays below 500 characters', () => {
    const { message } = new UserError(`config.json: ${'😀'.repeat(1000)} is not a label`)
    expect(message.length).toBeLessThan(500)
    expect(message).toMatch(/^config\.json: .* … .* is not a label$/u)
    expect(message.isWellFormed()).toBe(true)
    expect(new UserError('\x1b'.repeat(10_000_000)).message.length).toBeLessThan(500)
    expect(new UserError('--lr is not a number').message).toBe('--lr is not a number')
  })

  test('keeps its cause and its kind', () => {
    class Special extends UserError {}
    const cause = new Error('inner')
    const error = new Special('outer', { cause })
    expect([error.cause, error.name, error instanceof UserError]).toEqual([cause, 'UserError', true])
  })
})
