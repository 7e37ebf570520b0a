// What is printed of other people's text: nothing that a terminal obeys or hides, and errors of one short line.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../engine/errors.ts'
import { printable, printableJson, printableLine, printableLines } from '../../engine/printable.ts'

/** Every character that may not reach a terminal as it is. */
const unsafe = [
  ...Array.from({ length: 0x20 }, (_, i) => i), ...Array.from({ length: 0x21 }, (_, i) => 0x7f + i),
  0x2028, 0x2029, 0x202a, 0x202e, 0x2066, 0x2069, 0x200b, 0x200e, 0x200f, 0x61c, 0xfeff, 0xad,
].map(code => String.fromCharCode(code))
const SAFE = /^[^\p{Cc}\u2028-\u202e\u2060-\u2069\u200b\u200e\u200f\u061c\ufeff]*$/u

/** Text in which such characters, half pairs and long runs are frequent. */
const text = fc.array(fc.oneof(
  fc.constantFrom(...unsafe), fc.string({ unit: 'binary' }), fc.constantFrom('\ud83d', '\ude00', '😀', '\u001b[2J'),
  fc.nat(3000).map(length => 'x'.repeat(length)), fc.nat(3000).map(length => '\n '.repeat(length)),
)).map(parts => parts.join(''))

describe('text from files and servers', () => {
  test.each(unsafe.map(character => [JSON.stringify(character), character]))('is shown with %s as an escape', (_, character) => {
    expect(printable(`a${character}b`)).toMatch(/^a\\([tnr]|u[0-9a-f]{4})b$/)
    expect(printableLine(`a${character}b`)).toMatch(/^a( |\\t|\\u[0-9a-f]{4})b$/)
    const value = { text: `a${character}b` }
    expect(JSON.parse(printableJson(value))).toEqual(value)
    expect(printableJson(value)).toMatch(SAFE)
  })

  test('keeps what is only foreign: letters, joiners, emoji, no-break spaces', () => {
    const words = 'naïve “Größe” 学习 שלום می\u200cخواهم 👩\u200d🔬 1\u00a0000\u202f€'
    expect(printable(words)).toBe(words)
    expect(printableLine(words)).toBe(words)
  })

  test('keeps line breaks that are ours', () => {
    expect(printableLines('a\tb\nc\u001b[31m')).toBe('a\\tb\nc\\u001b[31m')
  })

  test('is one safe line within its limit, whatever it was', () => {
    fc.assert(fc.property(text, fc.integer({ min: 20, max: 600 }), (given, limit) => {
      const line = printableLine(given, limit)
      expect(line.length).toBeLessThanOrEqual(limit)
      expect(line).toMatch(SAFE)
      expect(line.isWellFormed()).toBe(true)
      expect(printable(given)).toMatch(SAFE)
    }))
  })
})

describe('a UserError', () => {
  test('is one line of less than 500 characters, with the start and the end of what it says', () => {
    const { message } = new UserError(`cannot read ${'\u001b[1mx\n'.repeat(1_000_000)}: use --other`)
    expect(message).toMatch(/^cannot read \\u001b\[1mx \\u001b.* … .*x : use --other$/)
    expect(message.length).toBeLessThan(500)
    expect(new UserError('--lr is not a number').message).toBe('--lr is not a number')
  })

  test('keeps its cause and its kind', () => {
    class Special extends UserError {}
    const cause = new Error('inner')
    const error = new Special('outer', { cause })
    expect([error.cause, error.name, error instanceof UserError]).toEqual([cause, 'UserError', true])
  })
})
