// predictions.jsonl: what each kind of task writes, and what is refused when it is read.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../../../engine/errors.ts'
import { writeAtomic } from '../../../../models/node/files.ts'
import type { Results } from '../../../../train/metrics/summary.ts'
import {
  PREDICTIONS,
  predictionsOf,
  readPredictions,
  textHash,
  writePredictions,
} from '../../../../train/node/run/predictions.ts'
import { temporaryFolder } from '../../../support/folder.ts'

const root = await temporaryFolder('predictions')
let folders = 0
const newFolder = (): string => join(root, String(folders++))

const texts = [{ text: 'A fine film.' }, { text: 'Dull.' }]
const hashes = texts.map(({ text }) => createHash('sha256').update(text).digest('hex').slice(0, 16))

/** What is read back of what is written of these results. */
async function readBack(results: Results): Promise<unknown> {
  const folder = newFolder()
  const write = (name: string, content: string): Promise<void> => writeAtomic(join(folder, name), content)
  await writePredictions({ write }, predictionsOf(results, texts))
  return readPredictions(folder)
}

describe('predictions are read back as they were written', () => {
  test('of classes, with probabilities of six digits', async () => {
    const probabilities = [0.25, 0.75, 0.6543217, 0.3456783]
    expect(await readBack({ kind: 'classes', names: ['neg', 'pos'], truth: [1, 1], probabilities })).toEqual([
      { row: 0, text: hashes[0], label: 'pos', predicted: 'pos', probabilities: [0.25, 0.75] },
      { row: 1, text: hashes[1], label: 'pos', predicted: 'neg', probabilities: [0.654322, 0.345678] },
    ])
  })

  test('of two classes, by the threshold of the results', async () => {
    const results = { names: ['neg', 'pos'], truth: [0, 1], probabilities: [0.55, 0.45, 0.7, 0.3], threshold: 0.4 }
    expect(await readBack({ kind: 'classes', ...results })).toMatchObject([{ predicted: 'pos' }, { predicted: 'neg' }])
  })

  test('of several labels, numbers, and labels of words', async () => {
    const labels = {
      kind: 'labels',
      names: ['a', 'b'],
      truth: [1, 0, 1, 1],
      probabilities: [0.9, 0.6, 0.1, 0.2],
    } as const
    expect(await readBack(labels)).toMatchObject([
      { label: ['a'], predicted: ['a', 'b'] },
      { label: ['a', 'b'], predicted: [] },
    ])
    expect(await readBack({ kind: 'regression', truth: [1, 2.5], predicted: [0.5, -3] })).toMatchObject([
      { label: 1, predicted: 0.5 },
      { label: 2.5, predicted: -3 },
    ])
    expect(await readBack({ kind: 'tokens', truth: [['O', 'B-X'], []], predicted: [['O', 'O'], []] })).toMatchObject([
      { label: ['O', 'B-X'], predicted: ['O', 'O'] },
      { label: [], predicted: [] },
    ])
  })
})

test('a pair has another hash than its texts joined', () => {
  expect(textHash({ text: 'a', pair: 'b' })).not.toBe(textHash({ text: 'ab' }))
  expect(textHash({ text: 'a', pair: '' })).not.toBe(textHash({ text: 'a' }))
})

test('a folder without predictions has none, and a bad line is named', async () => {
  const folder = newFolder()
  expect(await readPredictions(folder)).toBeUndefined()
  const line = { row: 0, text: hashes[0], label: 'pos', predicted: 'pos' }
  const next = { ...line, row: 1 }
  const bad: [string, RegExp][] = [
    ['{', /predictions\.jsonl, line 2: not JSON$/],
    [JSON.stringify({ ...next, text: 'A fine film.' }), /line 2: text: /],
    [JSON.stringify({ ...next, label: null }), /line 2: label: /],
    [JSON.stringify({ ...next, probabilities: [7, 0] }), /line 2: probabilities\.0: /],
    [JSON.stringify({ ...next, row: 2 }), /line 2: this is row 2, not row 1$/],
  ]
  for (const [second, message] of bad) {
    await writeAtomic(join(folder, PREDICTIONS), `${JSON.stringify(line)}\n${second}\n`)
    const reading = readPredictions(folder)
    await expect(reading).rejects.toThrow(UserError)
    await expect(reading).rejects.toThrow(message)
  }
})
