// Regular expressions from files and options: what they match, what is refused, and that none runs for ever.
import { describe, expect, test } from 'vitest'
import { UserError } from '../../engine/errors.ts'
import { Pattern } from '../../models/patterns.ts'

const compile = (source: string): Pattern => Pattern.compile(source, 'some.json: field')

describe('a pattern', () => {
  test('matches whole texts, parts of them, and ends behind a dot', () => {
    expect(['ab', 'a', 'xab'].map(text => compile('a|ab').matches(text))).toEqual([true, true, false])
    expect(compile('b+').test('abba')).toBe(true)
    const suffix = Pattern.compileSuffix('q|v', 'w')
    expect(['q', 'a.v', 'a.b.q', 'aq', 'q.a'].map(text => suffix.matches(text))).toEqual([
      true,
      true,
      true,
      false,
      false,
    ])
    expect([...compile('b*').spans('abb')]).toEqual([
      [0, 0],
      [1, 3],
      [3, 3],
    ])
    expect(compile('\\p{Lu}').matches('É')).toBe(true)
    expect(String(compile('b+'))).toBe('/b+/')
  })

  test('on which backtracking would run for ever ends at once', { timeout: 10_000 }, () => {
    const start = performance.now()
    for (const source of ['(a+)+b', '(a|a)*b', '(a|aa)+b', '(.*)*b', '(a*)*(a*)*(a*)*b']) {
      expect(compile(source).matches('a'.repeat(10_000)), source).toBe(false)
      expect(compile(source).test('a'.repeat(10_000)), source).toBe(false)
    }
    expect(performance.now() - start).toBeLessThan(3_000)
  })

  test.each([
    ['(', 'missing closing ): `(`'],
    ['a(?=b)', 'no look-around and no back-references'],
    ['(?<!a)b', 'no look-around and no back-references'],
    ['(a)\\1', 'no look-around and no back-references: invalid escape sequence: `\\1`'],
    ['(a{1000}){1000}', 'invalid repeat count'],
    ['(.{999}){1}'.repeat(20), 'steps when its repetitions are written out; at most 10000 are supported'],
    ['a'.repeat(2_001), 'a regular expression of 2001 characters; at most 2000 are supported'],
    ['('.repeat(1_000) + ')'.repeat(1_000), 'expression nests too deeply'],
  ])('%.20s… is refused in one short line that says where', (source, message) => {
    let failure: unknown
    try {
      compile(source)
    } catch (error) {
      failure = error
    }
    expect(failure).toBeInstanceOf(UserError)
    expect(String(failure)).toMatch(/^UserError: some\.json: field: [^\n]{1,450}$/)
    expect(String(failure)).toContain(message)
  })

  test('cannot close the group that a suffix puts around it', () => {
    expect(() => Pattern.compileSuffix('a)|(.*', 'w')).toThrow(UserError)
  })
})
