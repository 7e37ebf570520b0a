// Splits and tables as they lie in folders: what there is for a path and a split.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readExamples } from '../../../../train/data/examples.ts'
import { findSplits, tableOf } from '../../../../train/node/data/layout.ts'

const loadTable = async (path: string, { split }: { split?: string } = {}) =>
  tableOf(await findSplits(path), path, split)

const fixtures = join(import.meta.dirname, 'fixtures')
let root = ''
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'tilegrad-layout-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

async function put(path: string, content: string): Promise<string> {
  const whole = join(root, path)
  await mkdir(dirname(whole), { recursive: true })
  await writeFile(whole, content)
  return whole
}

test('a split is a table with its columns, and its rows say where they come from', async () => {
  await put(
    'nli/train.tsv',
    'premise\thypothesis\tlabel\nA man sleeps.\tNobody sleeps.\tcontradiction\nA dog runs.\tAn animal moves.\tentailment\n',
  )
  const dev = await put('nli/dev.tsv', 'premise\thypothesis\tlabel\nx\ty\tneutral\n')
  const { splits, source } = await findSplits(join(root, 'nli'))
  expect([...splits.keys()]).toEqual(['train', 'validation'])
  expect(source).toBe(`${join(root, 'nli')} (train.tsv, dev.tsv)`)
  const { examples, facts } = await readExamples(await loadTable(join(root, 'nli'), { split: 'validation' }))
  expect(examples).toEqual([{ file: dev, unit: 'data row', number: 1, text: 'x', pair: 'y', label: 'neutral' }])
  expect(facts).toMatchObject({
    columns: { text: 'premise', pair: 'hypothesis', label: 'label' },
    rows: 1,
    labelKind: 'string',
  })
  expect(facts.available).toEqual(['premise', 'hypothesis', 'label'])
})

test('shards are one table, whose class names are those of its metadata', async () => {
  const table = await loadTable(fixtures, { split: 'train' })
  const { examples, facts } = await readExamples(table)
  expect([examples.length, facts.minusOnes, facts.rows]).toEqual([5, 1, 6])
  expect(new Set(examples.map(({ file }) => file)).size).toBe(2)
  const named = await readExamples(await loadTable(join(fixtures, 'classlabel-pos-first.parquet')))
  expect(named.facts.classNames).toEqual(['pos', 'neg'])
})

test('a split that is not there is answered by those that are, and several need a name', async () => {
  await expect(loadTable(join(root, 'nli'), { split: 'test' })).rejects.toThrow(
    'has no split test; its splits: train, validation',
  )
  await expect(loadTable(join(root, 'nli'))).rejects.toThrow(
    'has several splits, name one with --split: train, validation',
  )
  const alone = await put('alone.csv', 'text,label\na,1\n')
  expect((await loadTable(alone)).columns).toEqual([{ name: 'text' }, { name: 'label' }])
  await expect(loadTable(alone, { split: 'train' })).rejects.toThrow('its splits: none: it is one table')
})

test('labels of several kinds come as the file has them', async () => {
  const several = await put('several.jsonl', '{"text": "a", "labels": ["x", "y"]}\n{"text": "b", "labels": []}\n')
  expect((await readExamples(await loadTable(several))).examples.map(({ label }) => label)).toEqual([['x', 'y'], []])
  const tokens = await put('tokens.json', '[{"tokens": ["EU", "rejects"], "ner_tags": [3, 0]}]')
  const [first] = (await readExamples(await loadTable(tokens))).examples
  expect([first.text, first.label]).toEqual([
    ['EU', 'rejects'],
    [3, 0],
  ])
  const scores = await put('scores.csv', 'sentence1,sentence2,score\na,b,-1\nc,d,2.5\n')
  const read = await readExamples(await loadTable(scores))
  expect([read.examples.map(({ label }) => label), read.facts.minusOnes]).toEqual([[-1, 2.5], 0])
})
