// Long texts and pairs in overlapping windows, token for token as Transformers has them.
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parse } from 'csv-parse/sync'
import { expect, test } from 'vitest'
import { loadTokenizer } from '../../models/node/tokenizer.ts'
import { type Window, encodeText, windowsOf } from '../../models/windows.ts'

interface Case {
  /** Numbers of the bundled reviews that make the text, and of the one that is the first of a pair. */
  readonly texts: readonly number[]
  readonly first?: number
  readonly maxLength: number
  readonly window: number
  readonly count: number
  readonly sha256: string
  readonly kept?: readonly (readonly [number[], number[]])[]
}

const bundled = (path: string): string => fileURLToPath(new URL(`../../train/node/bundled/${path}`, import.meta.url))
const { cases } = JSON.parse(await readFile(new URL('windows/expected.json', import.meta.url), 'utf8')) as {
  cases: Case[]
}
const rows: { text: string }[] = parse(await readFile(bundled('reviews/train.csv'), 'utf8'), { columns: true })
const tokenizer = await loadTokenizer(bundled('model'))

const hashOf = (windows: readonly Window[]): string =>
  createHash('sha256')
    .update(windows.map(({ ids, typeIds }) => `${ids.join()};${typeIds.join()}`).join('\n'))
    .digest('hex')

test(`${cases.length} texts and pairs have the windows of Transformers`, () => {
  for (const [i, { texts, first, maxLength, window, count, sha256, kept }] of cases.entries()) {
    const text = texts.map(at => rows[at].text).join(' ')
    const input = first === undefined ? { text } : { text: rows[first].text, pair: text }
    const encoded = encodeText(tokenizer, input, { maxLength, window })
    const windows = windowsOf<Window>(encoded)
    const where = `case ${i}: windows of ${maxLength} that share ${window}`
    expect(windows.length, where).toBe(count)
    if (kept)
      expect(
        windows.map(({ ids, typeIds }) => [ids, typeIds]),
        where,
      ).toEqual(kept)
    expect(hashOf(windows), where).toBe(sha256)
    const whole = first === undefined ? tokenizer.encode(text) : tokenizer.encodePair(rows[first].text, text)
    expect(encoded.tokens, where).toBe(whole.ids.length)
  }
  expect(cases.filter(({ count }) => count === 1).length).toBeGreaterThan(2)
  expect(cases.filter(({ count, first }) => count > 3 && first !== undefined).length).toBeGreaterThan(10)
})
