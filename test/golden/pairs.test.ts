// Pairs of texts and lists of words, token for token as Transformers has them, however they are cut.
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { UserError } from '../../engine/errors.ts'
import { loadTokenizer } from '../../models/node/tokenizer.ts'
import type { Encoding, PairTruncation } from '../../models/tokenizer.ts'
import { encodeWords } from '../../models/words.ts'

interface Described {
  readonly kept: readonly (readonly [number[], number[]])[]
  readonly sha256: string
}

const golden = JSON.parse(await readFile(new URL('pairs/expected.json', import.meta.url), 'utf8')) as {
  pairs: [string, string][]
  lengths: number[]
  whole: Described
  longest_first: Described
  only_second: Described
  words: Described
}
const tokenizer = await loadTokenizer(fileURLToPath(new URL('../../train/node/bundled/model', import.meta.url)))

function expectSame(
  found: readonly (readonly [readonly number[], readonly number[]])[],
  { kept, sha256 }: Described,
): void {
  expect(found.slice(0, kept.length)).toEqual(kept)
  const joined = found.map(([ids, types]) => `${ids.join()};${types.join()}`).join('\n')
  expect(createHash('sha256').update(joined).digest('hex')).toBe(sha256)
}

const rowOf = ({ ids, typeIds }: Encoding): [number[], number[]] => [ids, typeIds]

test('200 pairs, whole', () => {
  expectSame(
    golden.pairs.map(([a, b]) => rowOf(tokenizer.encodePair(a, b))),
    golden.whole,
  )
})

for (const truncation of ['longest_first', 'only_second'] satisfies PairTruncation[]) {
  test(`200 pairs, cut by ${truncation}`, () => {
    let [cut, refused] = [0, 0]
    const rows = golden.pairs.map(([a, b], i) => {
      const maxLength = golden.lengths[i]
      const whole = rowOf(tokenizer.encodePair(a, b))
      // The oracle leaves a pair whole whose first text alone is too long: Transformers can't cut it so.
      if (truncation === 'only_second' && tokenizer.encode(a).ids.length - 2 >= maxLength - 3) {
        if (whole[0].length > maxLength)
          expect(() => tokenizer.encodePair(a, b, { maxLength, truncation })).toThrow(UserError)
        refused++
        return whole
      }
      const row = rowOf(tokenizer.encodePair(a, b, { maxLength, truncation }))
      if (row[0].length < whole[0].length) cut++
      return row
    })
    expect(cut).toBeGreaterThan(50)
    expect(refused > 20).toBe(truncation === 'only_second')
    expectSame(rows, golden[truncation])
  })
}

test('200 lists of words, and which token begins which word', () => {
  const rows = golden.pairs.map(([a]) => {
    const { ids, firstOf } = encodeWords(
      tokenizer,
      a.split(/\s+/).filter(word => word !== ''),
    )
    return [ids, firstOf] as const
  })
  expectSame(rows, golden.words)
})
