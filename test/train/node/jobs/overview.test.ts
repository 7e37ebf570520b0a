// The overview of every kind of data that training reads, and of the real reviews, where they are there.
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadTokenizer } from '../../../../models/node/tokenizer.ts'
import { KEYS, type Row, findDuplicates } from '../../../../train/overview/duplicates.ts'
import { NearDuplicates } from '../../../../train/overview/near-duplicates.ts'
import { wordsIn } from '../../../../train/overview/words.ts'
import { TASKS } from '../../../../train/node/bundled/tasks/tasks.ts'
import { encodeAll } from '../../../../train/node/data/encode.ts'
import { textStatistics } from '../../../../train/node/data/statistics.ts'
import { BUNDLED } from '../../../../train/node/jobs/job.ts'
import { describeOverview } from '../../../../train/node/jobs/overview/describe.ts'
import type { Overview } from '../../../../train/node/jobs/overview/result.ts'
import { renderOverview } from '../../../../train/node/report/overview.ts'
import { overviewAt } from '../../../support/overviews.ts'
import { loadReviews } from '../../../support/reviews.ts'
import { SHARED } from '../../../support/shared.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tilegrad-overview-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function file(name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text)
  return join(folder, name)
}

const tokenizer = [`--tokenizer=${join(BUNDLED.model, 'tokenizer.json')}`]
const columnsOf = (name: string): string[] => {
  const task = TASKS.find(one => one.name === name)
  if (!task) throw new Error(`no task ${name}`)
  return [`--data=${task.args[0].slice('--data='.length)}`, ...task.columns]
}
const overviews = new Map<string, Promise<Overview>>()
function overviewOfTask(name: string): Promise<Overview> {
  const made = overviews.get(name) ?? overviewAt([...columnsOf(name), ...tokenizer])
  overviews.set(name, made)
  return made
}

describe('the overview of the bundled reviews', () => {
  test('has the lengths that training measures, and every row', async () => {
    const { sets, max_length, task } = await overviewAt([`--data=${BUNDLED.data}`, ...tokenizer], [40, 64, 256])
    const { train } = await loadReviews(BUNDLED.data)
    expect(task).toBe('classes')
    expect(sets.train).toMatchObject({ rows: 800, classes: { negative: 400, positive: 400 }, positive: 400 })
    expect(sets.test.rows).toBe(200)
    expect(sets.train.text_length).toEqual(textStatistics(train.map(({ text }) => text)))
    const examples = train.map(({ text, label }) => ({ text, target: label }))
    const encoded = await encodeAll(examples, await loadTokenizer(BUNDLED.model), { maxLength: 40 })
    expect(sets.train.token_length.max).toBe(Math.max(...encoded.map(({ tokens }) => tokens)))
    const [at40, ...others] = max_length.lengths
    expect(at40.cut.train.texts).toBe(encoded.filter(({ tokens }) => tokens > 40).length)
    expect(at40.cut.train.tokens).toBe(encoded.reduce((sum, { tokens, ids }) => sum + tokens - ids.length, 0))
    expect(max_length.reference).toBe(256)
    expect(at40.time).toBeLessThan(1)
    expect(others.map(({ cut, time }) => [cut.train.texts, time])).toEqual([
      [0, 1],
      [0, 1],
    ])
  })
})

describe('the overview of data that no run would train on', () => {
  const of = async (name: string, text: string, ...more: readonly string[]): Promise<Overview> =>
    overviewAt([`--data=${await file(name, text)}`, ...tokenizer, ...more], [64])

  test.each<[string, string, RegExp, object]>([
    ['one row', 'text,label\nA fine film.,good\n', /^has 1 labelled row/, { good: 1 }],
    ['two rows', 'text,label\na,x\nb,y\n', /only the label .+ to train on/, { x: 1, y: 1 }],
    ['one class', 'text,label\na,x\nb,x\nc,x\n', /only the label "x"/, { x: 3 }],
    ['one number', 'text,label\na,0.5\n', /has 1 labelled row/, {}],
  ])('counts all rows of %s, and says why', async (name, text, why, classes) => {
    const { refused, sets, words, task, why: meaning } = await of(`${name}.csv`, text)
    expect(refused?.replace(`${folder}/${name}.csv`, '').replace(/^[ :,]+/, '')).toMatch(why)
    expect(Object.keys(sets)).toEqual(['train'])
    expect(sets.train.rows).toBe(text.trim().split('\n').length - 1)
    expect(sets.train.classes ?? {}).toEqual(classes)
    if (task === 'classes' && Object.keys(classes).length < 2)
      expect({ words, why: meaning }).toEqual({ words: [], why: 'one label alone' })
  })

  test.each<[string, string, string]>([
    ['a table without a column of labels', 'none.csv', 'id,text\n1,A fine film.\n2,A fine film.\n3,Awful!\n'],
    ['rows labelled -1', 'minus.csv', 'text,label\nA fine film.,-1\nA fine film.,-1\nAwful!,-1\n'],
    [
      'labels of several kinds',
      'mixed.jsonl',
      '{"text":"A fine film.","label":["a"]}\n{"text":"A fine film.","label":1}\n{"text":"Awful!","label":"b"}\n',
    ],
  ])('describes the texts of %s', async (_, name, text) => {
    const overview = await of(name, text)
    expect(overview).toMatchObject({ task: null, labels: [], words: [], sets: { train: { rows: 3, classes: {} } } })
    expect(overview.refused).toBeDefined()
    expect(overview.duplicates.within.train.exact).toEqual({ texts: 1, rows: 1, conflicting: 0 })
    expect(overview.examples.map(({ group, kind, text }) => [group, kind, text])).toEqual([
      ['all texts', 'shortest', 'Awful!'],
      ['all texts', 'typical', 'A fine film.'],
    ])
    expect(describeOverview(overview)).toContain('all texts, shortest: Awful!')
    const page = renderOverview({ overview, name, createdAt: '2026-12-01T00:00:00.000Z', version: '1', command: 'x' })
    expect(page).toContain('Not to be trained on as it is: ')
    expect(page).not.toContain('Telling words')
  })

  test('still refuses what options ask for in vain, and what cannot be read', async () => {
    const four = 'text,label\na,x\nb,y\nc,x\nd,y\n'
    await expect(of('limit.csv', four, '--limit-train=9')).rejects.toThrow('--limit-train 9: Cannot draw 9')
    await expect(of('column.csv', four, '--label-column=stars')).rejects.toThrow('stars')
    await expect(of('empty.csv', 'text,label\n')).rejects.toThrow('has no rows')
  })

  test('of a table that a run would train on has no such remark', async () => {
    const rows = ['good', 'bad', 'fine', 'poor'].map((word, i) => `${word},${i % 2}\n`).join('')
    const { refused, sets } = await of('enough.csv', `text,label\n${rows}`)
    expect([refused, Object.keys(sets)]).toEqual([undefined, ['train', 'test']])
  })
})

describe('the overview of other tasks', () => {
  test('of several labels compares texts with a label and without', async () => {
    const { sets, labels, words, examples } = await overviewOfTask('aspects')
    expect(words.map(({ group }) => group)).toEqual(labels)
    expect(examples[0].group).toBe(labels[0])
    expect(examples[0].label.split(', ')).toContain(labels[0])
    expect(Object.values(sets.train.classes ?? {}).reduce((a, b) => a + b, 0)).toBeGreaterThan(0)
  })

  test('of numbers compares those above the mean with the others, and shows the shortest of each', async () => {
    const { sets, words, examples } = await overviewOfTask('ratings')
    expect(sets.train.classes).toBeUndefined()
    expect(sets.train.numbers).toMatchObject({ count: 480, min: 1, max: 5 })
    expect(words.map(({ group }) => group.replace(/[\d.]+$/, ''))).toEqual(['up to the mean of ', 'above the mean of '])
    expect(words.every(({ words }) => words.length > 0)).toBe(true)
    const mean = sets.train.numbers?.mean ?? NaN
    expect(examples.map(({ label }) => Number(label) > mean)).toEqual([false, false, true, true])
  })

  test('of pairs counts both texts, and duplicates by both', async () => {
    const { sets, columns, duplicates } = await overviewOfTask('answers')
    expect(columns.pair).toBe('answer')
    expect(sets.train.pair_length?.count).toBe(640)
    expect(sets.train.token_length.min).toBeGreaterThan(3)
    // Questions alone are the same again and again; with their answers hardly any is.
    expect(duplicates.within.train.exact.rows).toBeLessThan(20)
  })

  test('of words compares the words of each label', async () => {
    const { words, labels, sets } = await overviewOfTask('names')
    expect(words.map(({ group }) => group)).toEqual(labels)
    const person = words.find(({ group }) => group.endsWith('PER') || group.endsWith('person'))
    expect(person?.words.length).toBeGreaterThan(0)
    expect(sets.train.rows).toBe(560)
  })

  test('is written in the terminal for each of them', async () => {
    for (const { name } of TASKS) expect(describeOverview(await overviewOfTask(name)), name).toMatch(/^rows +all/)
  })
})

describe('rows that are odd or occur twice', () => {
  test('are counted by set, shown by their number, and their labels compared', async () => {
    const rows = [
      ['A wonderful film with a great cast', 'pos'],
      ['A dull film with nothing to say', 'neg'],
      ['a wonderful FILM with a great cast', 'neg'],
      ['Great.', 'pos'],
      ['<br />', 'neg'],
      ['It\ufffds broken', 'pos'],
    ]
    const train = await file('train.csv', toCsv(rows))
    await file(
      'test.csv',
      toCsv([rows[1], ['Unseen words in this one', 'pos'], ['A dull  film with nothing to say', 'pos']]),
    )
    const { duplicates, odd } = await overviewAt([`--data=${join(train, '..')}`, ...tokenizer])
    expect(duplicates.within.train).toEqual({
      exact: { texts: 0, rows: 0, conflicting: 0 },
      normalised: { texts: 1, rows: 1, conflicting: 1 },
      near: 0,
    })
    expect(duplicates.between).toEqual([
      {
        from: 'train',
        to: 'test',
        exact: { texts: 1, rows: 1, conflicting: 0, row_numbers: [0], conflicting_rows: [] },
        normalised: { texts: 1, rows: 2, conflicting: 1, row_numbers: [0, 2], conflicting_rows: [2] },
        near: 0,
      },
    ])
    expect(duplicates.conflicts[0].map(({ set, row, label }) => [set, row, label])).toEqual([
      ['train', 0, 'positive'],
      ['train', 2, 'negative'],
    ])
    expect(Object.fromEntries(odd.map(({ kind, rows }) => [kind, rows]))).toEqual({
      wordless: { train: 1, test: 0 },
      'one-word': { train: 1, test: 0 },
      replacement: { train: 1, test: 0 },
      tags: { train: 1, test: 0 },
    })
    expect(odd[0].examples).toEqual([{ set: 'train', row: 4, label: 'negative', text: '<br />' }])
  })

  test('of other lengths and scripts are told from the usual ones', async () => {
    const rows = Array.from({ length: 20 }, (_, i) => [`an ordinary text of ${i}`, i % 2 === 0 ? 'yes' : 'no'])
    rows.push(['совсем другой текст', 'yes'], ['long '.repeat(100), 'no'])
    const path = await file('scripts.csv', toCsv(rows))
    const { odd, sets } = await overviewAt([`--data=${path}`, ...tokenizer])
    const all = (kind: string): number =>
      Object.values(odd.find(one => one.kind === kind)?.rows ?? {}).reduce((a, b) => a + b, 0)
    expect(Object.keys(sets)).toEqual(['train', 'test'])
    expect([all('script'), all('long')]).toEqual([1, 1])
  })

  test('without a text or a label are left out, with the place of the first', async () => {
    const path = await file(
      'gaps.csv',
      toCsv([
        ['one', 'a'],
        ['', 'a'],
        ['two', 'b'],
        ['three', 'b'],
        ['four', ''],
        [' ', 'b'],
      ]),
    )
    const overview = await overviewAt([`--data=${path}`, ...tokenizer])
    expect(overview.left_out).toEqual([
      { split: 'all', why: 'no text', rows: 2, first: `${path}, data row 2` },
      { split: 'all', why: 'no label', rows: 1, first: `${path}, data row 5` },
    ])
    // One of the three is the test set: its deviation is not defined.
    expect(describeOverview(overview)).toMatch(/^test, tokens +\d+\.0 +–/m)
    expect(describeOverview(overview)).toContain('refuses such rows unless --skip-bad-rows is given')
  })
})

const toCsv = (rows: readonly (readonly string[])[]): string =>
  `text,label\n${rows.map(row => `${row.map(cell => `"${cell}"`).join(',')}\n`).join('')}`

interface Shared {
  readonly rows: readonly number[]
  readonly texts: number
  readonly conflicting: readonly number[]
}
type Found = Readonly<Record<'train' | 'test', object>> & { readonly 'test in train': Shared }
interface Golden {
  readonly exact: Found
  readonly normalised: Found
  readonly near: Readonly<Record<'train' | 'test' | 'test in train', number>>
}

const IMDB = join(SHARED, 'imdb')
const reason = existsSync(IMDB) ? undefined : `IMDb's Parquet files are not at ${IMDB}`

test("IMDb's duplicates are those that Python counts: 96 in train, 199 in test, 123 of test in train", async context => {
  if (reason) return context.skip(reason)
  const { imdb } = JSON.parse(
    readFileSync(new URL('../../../golden/overview/expected.json', import.meta.url), 'utf8'),
  ) as { imdb: Golden }
  const { train, test: held } = await loadReviews(IMDB)
  const sets = [train, held].map(reviews => reviews.map(({ text, label }): Row => ({ text, label: String(label) })))
  expect([imdb.exact.train, imdb.exact.test]).toMatchObject([{ rows: 96 }, { rows: 199 }])
  expect(imdb.exact['test in train'].rows).toHaveLength(123)
  for (const key of ['exact', 'normalised'] as const) {
    const found = findDuplicates(sets, KEYS[key])
    expect(found.within, key).toEqual([imdb[key].train, imdb[key].test])
    expect(found.between(0, 1), key).toEqual(imdb[key]['test in train'])
  }
  // Of the test set alone: signatures take most of the time.
  const near = new NearDuplicates()
  for (const [row, { text }] of held.entries()) near.add({ set: 0, row }, wordsIn(text))
  const pairs = near.find(
    ({ row }) => wordsIn(held[row].text),
    (a, b) => KEYS.normalised(sets[1][a.row]) === KEYS.normalised(sets[1][b.row]),
  )
  expect(new Set(pairs.map(({ second }) => second.row)).size).toBe(imdb.near.test)
})
