// The texts and the tokenizer of a pretraining run: from several places, from the Hub, cased, or given.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { loadTokenizer } from '../../../../../models/node/tokenizer.ts'
import { Console } from '../../../../../train/node/cli/console.ts'
import { parsePretrainOptions } from '../../../../../train/node/cli/pretrain-options.ts'
import { Progress } from '../../../../../train/node/cli/progress.ts'
import { existingTokenizer, learnTokenizer, openTexts } from '../../../../../train/node/jobs/pretrain/texts.ts'
import { temporaryFolder } from '../../../../support/folder.ts'
import { startHub, stubHub } from '../../../../support/hub-server.ts'
import { TINY_WORDS } from '../../../../support/tiny.ts'

const FIXTURES = join(import.meta.dirname, '../../data/fixtures/plain_text')
const place = await temporaryFolder('pretrain-texts')
const progress = new Progress({ stream: new PassThrough() })
const console = new Console(true)
const lines = join(place, 'lines.txt')
beforeAll(() => writeFile(lines, 'One film.\nAnother<br />film.\nEin Füßchen.\nSeen twice.\n'))

const open = (...args: string[]) => openTexts(parsePretrainOptions([...args, '--val-split', '1']), console, progress)

describe('texts', () => {
  test('come from all places that are named, with some of them held out', async () => {
    const { train, held, located, source } = await open('--data', lines, '--data', FIXTURES, '--split', 'unsupervised')
    expect([...held, ...train].sort()).toEqual([
      'Another film.',
      'Ein Füßchen.',
      'One film.',
      'Seen on a plane.',
      'Seen twice.',
      'Seen twice.',
    ])
    expect(held).toHaveLength(1)
    expect(located).toEqual({ data: [lines, FIXTURES], exclude: [] })
    expect(source).toContain('6 texts; 2 left out that are also in the data held out')
  })

  test('have the same fingerprint where they are the same, and another where one of them differs', async () => {
    const { fingerprint } = await open('--data', lines)
    expect((await open('--data', lines)).fingerprint).toBe(fingerprint)
    const other = join(place, 'other.txt')
    await writeFile(other, (await readFile(lines, 'utf8')).replace('One', 'A'))
    expect((await open('--data', other)).fingerprint).not.toBe(fingerprint)
  })

  test('may be drawn', async () => {
    const { train, held } = await open('--data', lines, '--texts', '2')
    expect([...train, ...held]).toHaveLength(2)
    expect(await open('--data', lines, '--texts', '2')).toMatchObject({ train, held })
  })
})

describe('texts of the Hub', () => {
  const commit = 'c0ffee'.padEnd(40, '0')
  let hub: Awaited<ReturnType<typeof startHub>>
  beforeAll(async () => {
    const files = Object.fromEntries(
      await Promise.all(
        ['unsupervised-00000-of-00001', 'test-00000-of-00001'].map(
          async name => [`plain_text/${name}.parquet`, await readFile(join(FIXTURES, `${name}.parquet`))] as const,
        ),
      ),
    )
    hub = await startHub([{ type: 'dataset', name: 'some/reviews', commit, files }])
    stubHub(hub.url, join(place, 'cache'))
  })
  afterAll(async () => {
    vi.unstubAllEnvs()
    await hub.close()
  })

  test('are fetched, and found again by their commit', async () => {
    const { train, held, located, source } = await open('--data', 'some/reviews')
    expect(source).toMatch(/^some\/reviews \(Parquet\), unsupervised; 2 texts;/)
    expect([...train, ...held].sort()).toEqual(['Seen on a plane.', 'Seen twice.'])
    expect(located.data).toEqual([`some/reviews@${commit}`])
    const again = await open('--data', located.data[0])
    expect(again).toMatchObject({ train, held, located })
    expect(await open('--data', lines, '--exclude', 'some/reviews')).toMatchObject({
      located: { exclude: [`some/reviews@${commit}`] },
      source: expect.stringContaining('3 texts; 1 left out'),
    })
  })
})

describe('the tokenizer', () => {
  const tokenizerOf = async (...args: string[]) => {
    const options = parsePretrainOptions(['--data', lines, '--val-split', '1', ...args])
    const texts = await openTexts(options, console, progress)
    return (await existingTokenizer(options, undefined)) ?? learnTokenizer(options, texts, console, progress)
  }

  test('is learned without capitals and accents, or with them', async () => {
    const uncased = await tokenizerOf('--vocabulary', '100')
    expect(uncased.tokens('Ein Füßchen')).toEqual(uncased.tokens('ein fußchen'))
    expect(uncased.decode(uncased.encode('Ein Füßchen').ids, { skipSpecial: true })).toBe('ein fußchen')
    const cased = await tokenizerOf('--vocabulary', '100', '--cased')
    expect(cased.decode(cased.encode('Ein Füßchen').ids, { skipSpecial: true })).toBe('Ein Füßchen')
  })

  test('is the one that is given', async () => {
    const vocabulary = join(place, 'vocab.txt')
    await writeFile(vocabulary, TINY_WORDS.map(word => `${word}\n`).join(''))
    const { json, vocabSize } = await tokenizerOf('--tokenizer', vocabulary)
    expect(vocabSize).toBe(TINY_WORDS.length)
    expect(json).toEqual((await loadTokenizer(vocabulary)).json)
  })
})
