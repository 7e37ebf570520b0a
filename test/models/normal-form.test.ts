// Unicode's normal forms of long runs of marks: what JavaScript gives, in time linear in the run.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { normalForm, type NormalForm } from '../../models/normal-form.ts'

const FORMS: readonly NormalForm[] = ['NFC', 'NFD', 'NFKC', 'NFKD']
const every = Array.from({ length: 0x110000 }, (_, point) =>
  point >= 0xd800 && point < 0xe000 ? '' : String.fromCodePoint(point),
)
const marks = every.filter(character => /\p{M}/u.test(character))
// Letters with marks of their own, letters that NFKD makes marks of, a syllable, a pair of surrogates, half a pair.
const others = ['a', 'é', 'ᾂ', 'ǖ', '\uff9e', '\uff9f', '한', '𝅘𝅥', '\ud800', ' ']

test('are those of String.normalize, whatever the marks', () => {
  const character = fc.oneof(
    { weight: 30, arbitrary: fc.constantFrom(...marks) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  )
  fc.assert(
    fc.property(
      fc.array(character, { minLength: 60, maxLength: 400, size: 'max' }),
      fc.constantFrom(...FORMS),
      (text, form) => {
        expect(normalForm(text.join(''), form)).toBe(text.join('').normalize(form))
      },
    ),
    { numRuns: 300 },
  )
})

test.each(FORMS)('of 80,000 marks in a row come at once: %s', { timeout: 10_000 }, form => {
  const text = `e${'\u0301\u0323'.repeat(40_000)}`
  const start = performance.now()
  const found = normalForm(text, form)
  // String.normalize takes 5 to 10 seconds.
  expect(performance.now() - start).toBeLessThan(2_000)
  const [below, above] = ['\u0323'.repeat(40_000), '\u0301'.repeat(40_000)]
  expect(found.normalize('NFD') === `e${below}${above}`).toBe(true)
})

test('of a million marks do not overflow the stack', { timeout: 20_000 }, () => {
  expect(normalForm('\u0301\u0323'.repeat(500_000), 'NFD')).toHaveLength(1_000_000)
})
