// Examples from tables: which columns are taken, which labels are equal, what −1 means, and which rows are left out.
import { describe, expect, test } from 'vitest'
import { UserError } from '../../../engine/errors.ts'
import { chooseColumns } from '../../../train/data/columns.ts'
import { type ReadOptions, listIn, readExamples } from '../../../train/data/examples.ts'
import { type Cell, type Column, type Table, showCell, showNames } from '../../../train/data/table.ts'

function tableOf(columns: readonly (string | Column)[], rows: readonly (readonly Cell[])[]): Table {
  const named = columns.map(column => (typeof column === 'string' ? { name: column } : column))
  return {
    source: 'x.csv',
    file: 'x.csv',
    columns: named,
    columnsVary: false,
    async *rows(wanted) {
      const at = wanted.map(name => named.findIndex(column => column.name === name))
      for (const [i, row] of rows.entries())
        yield { file: 'x.csv', unit: 'data row', number: i + 1, cells: at.map(index => row[index]) }
    },
  }
}
const taken = async (columns: readonly string[], options: ReadOptions = {}) =>
  (await readExamples(tableOf(columns, [columns.map(() => 'a')]), options)).facts.columns
const labels = async (cells: readonly Cell[], options: ReadOptions = {}, classNames?: readonly string[]) => {
  const { examples, facts } = await readExamples(
    tableOf(
      ['text', { name: 'label', classNames }],
      cells.map(cell => ['a', cell]),
    ),
    options,
  )
  return { labels: examples.map(({ label }) => label), ...facts }
}
const mistake = async (reading: Promise<unknown>): Promise<string> => {
  const error = await reading.then(
    () => new Error('taken'),
    (reason: unknown) => reason,
  )
  if (!(error instanceof UserError)) throw error
  return error.message
}

describe('columns', () => {
  test('are found by the names that people use, in any case', async () => {
    expect(await taken(['id', 'Review', 'Sentiment'])).toEqual({ text: 'Review', pair: undefined, label: 'Sentiment' })
    expect(await taken(['idx', 'sentence', 'label'])).toEqual({ text: 'sentence', pair: undefined, label: 'label' })
    expect(await taken(['sentence1', 'sentence2', 'label'])).toEqual({
      text: 'sentence1',
      pair: 'sentence2',
      label: 'label',
    })
    expect(await taken(['premise', 'hypothesis', 'gold_label'])).toEqual({
      text: 'premise',
      pair: 'hypothesis',
      label: 'gold_label',
    })
    expect(await taken(['text', 'question', 'sentence', 'label'])).toEqual({
      text: 'text',
      pair: undefined,
      label: 'label',
    })
  })

  test('are those that are named, and a wrong name is answered by those that there are', async () => {
    expect(
      await taken(['a', 'b', 'c', 'text', 'label'], { textColumn: 'a', pairColumn: 'b', labelColumn: 'c' }),
    ).toEqual({ text: 'a', pair: 'b', label: 'c' })
    expect(await taken(['sentence1', 'sentence2', 'label'], { pairColumn: null, textColumn: 'sentence2' })).toEqual({
      text: 'sentence2',
      pair: undefined,
      label: 'label',
    })
    expect(await mistake(taken(['text', 'label'], { textColumn: 'label', labelColumn: 'label' }))).toBe(
      'x.csv: column "label" cannot be both the text and the label',
    )
    expect(await mistake(taken(['text', 'b', 'label'], { pairColumn: 'b', labelColumn: 'b' }))).toBe(
      'x.csv: column "b" cannot be both the second text and the label',
    )
    expect(await mistake(taken(['text', 'stars'], { labelColumn: 'text' }))).toBe(
      'x.csv has no text column: "text" is already the label column (--label-column), and its other columns are "stars"; ' +
        'name the texts with --text-column',
    )
    expect(await taken(['topic', 'score'], { textColumn: 'topic' })).toEqual({
      text: 'topic',
      pair: undefined,
      label: 'score',
    })
    expect(await mistake(taken(['a', 'label'], { textColumn: 'b' }))).toBe(
      'x.csv has no column "b" for texts; its columns are "a", "label"',
    )
    expect(await mistake(taken(['a', 'label']))).toContain(
      'has no text column: expected "text", "review", "sentence" or the like, found "a", "label"',
    )
    expect(await mistake(taken(['text', 'b']))).toContain('has no label column')
    expect(await taken(['text', 'b'], { labels: 'optional' })).toEqual({
      text: 'text',
      pair: undefined,
      label: undefined,
    })
  })
})

test('columns of a model are taken before those of usual names, where the table has them and nothing else is asked for', async () => {
  const like = { text: 'ask', pair: 'reply', label: 'fits' }
  const columns = ['text', 'label', 'Reply', 'ask', 'fits']
  expect(await taken(columns, { like })).toEqual({ text: 'ask', pair: 'Reply', label: 'fits' })
  expect(await taken(columns, { like: { text: 'ask' } })).toEqual({ text: 'ask', pair: undefined, label: 'label' })
  expect(await taken(columns, { like, textColumn: 'text' })).toEqual({ text: 'text', pair: undefined, label: 'fits' })
  expect(await taken(columns, { like, textColumn: 'fits' })).toEqual({ text: 'fits', pair: undefined, label: 'label' })
  expect(await taken(columns, { like, labelColumn: 'label' })).toEqual({ text: 'ask', pair: 'Reply', label: 'label' })
  // A field of a nested column counts as one of the table's.
  const nested = tableOf(['text', 'answers', 'label'], [])
  expect(chooseColumns(nested, { like: { text: 'answers.text', label: 'label' } })).toEqual({
    text: 'answers.text',
    pair: undefined,
    label: 'label',
  })
  // Where rows differ, one without the text of the model is refused, not read from a column of a usual name.
  const varied = {
    ...tableOf(
      ['ask', 'text', 'label'],
      [
        ['a', 'x', 1],
        [undefined, 'x', 0],
      ],
    ),
    columnsVary: true,
  }
  expect(await mistake(readExamples(varied, { like: { text: 'ask', label: 'label' } }))).toContain(
    'data row 2: no text',
  )
  // A table of other columns, or of some of them, is read as any table is.
  expect(await taken(['text', 'ask', 'label'], { like })).toEqual({ text: 'text', pair: undefined, label: 'label' })
  expect(await taken(['sentence1', 'sentence2', 'label'], { like: { text: 'text', label: 'label' } })).toEqual({
    text: 'sentence1',
    pair: 'sentence2',
    label: 'label',
  })
  expect(await taken(['text', 'sentence1', 'sentence2', 'label'], { like: { text: 'sentence2' } })).toEqual({
    text: 'sentence2',
    pair: undefined,
    label: 'label',
  })
})

test('a column that is used may not occur twice', async () => {
  expect(await mistake(taken(['text', 'text', 'label']))).toBe(
    'x.csv has several columns called "text": rename all but one',
  )
  expect(await mistake(taken(['text', 'label', 'label']))).toContain('several columns called "label"')
  expect(await taken(['id', 'id', 'text', 'label'])).toEqual({ text: 'text', pair: undefined, label: 'label' })
})

describe('labels', () => {
  test('of a string are several where a separator is named', async () => {
    expect(await labels(['a; b', 'b', ';'], { labelSeparator: ';' })).toMatchObject({
      labels: [['a', 'b'], ['b'], []],
      labelKind: 'list',
    })
  })

  test('of whole numbers with more digits than a number keeps stay as they are written', async () => {
    expect(await labels(['9007199254740993', '9007199254740992', '7'])).toMatchObject({
      labels: ['9007199254740993', '9007199254740992', 7],
    })
  })

  test('that are equal numbers are equal, however they are written', async () => {
    expect(await labels(['0', '0.0', '1', ' 1e0', '-0'])).toMatchObject({
      labels: [0, 0, 1, 1, 0],
      labelKind: 'number',
    })
    expect(await labels(['1', 'one'])).toMatchObject({ labels: ['1', 'one'], labelKind: 'string' })
    expect(await labels(['True', 'false'])).toMatchObject({ labels: [true, false], labelKind: 'boolean' })
    expect(await labels(['pos ', 'neg'])).toMatchObject({ labels: ['pos', 'neg'], labelKind: 'string' })
    expect(await labels([[1, 2], []])).toMatchObject({ labels: [[1, 2], []], labelKind: 'list' })
  })

  test('of -1 mean unlabelled among class numbers only, and can be said to be labels', async () => {
    expect(await labels([-1, 0, 1])).toMatchObject({ labels: [0, 1], minusOnes: 1, rows: 3 })
    expect(await labels(['-1', '1'])).toMatchObject({ labels: [1], minusOnes: 1 })
    expect(await labels(['-1', 'pos'])).toMatchObject({ labels: ['pos'], minusOnes: 1 })
    expect(await labels([-1, 0, 1], { minusOne: 'label' })).toMatchObject({ labels: [-1, 0, 1], minusOnes: 0 })
    expect(await labels([-1, 0.5, 1])).toMatchObject({ labels: [-1, 0.5, 1], minusOnes: 0 })
    expect(await labels([-1, -2, 1])).toMatchObject({ labels: [-1, -2, 1], minusOnes: 0 })
    expect(await labels([-1, -1], { labels: 'optional' })).toMatchObject({
      labels: [undefined, undefined],
      minusOnes: 2,
    })
  })

  test('may be called "unlabelled"', async () => {
    expect(await labels(['unlabelled', 'spam'])).toMatchObject({ labels: ['unlabelled', 'spam'], minusOnes: 0 })
  })

  test("have the file's own names, and no number outside of them", async () => {
    expect(await labels([0, 1, -1], {}, ['pos', 'neg'])).toMatchObject({
      labels: [0, 1],
      classNames: ['pos', 'neg'],
      minusOnes: 1,
    })
    expect(await mistake(labels([0, 2], {}, ['pos', 'neg']))).toContain(
      'x.csv, data row 2: unknown label 2; the file names 2 classes',
    )
    expect(await labels([[0, -100], [1]], {}, ['O', 'B'])).toMatchObject({ labels: [[0, -100], [1]] })
  })
})

describe('rows that cannot be used', () => {
  const table = tableOf(
    ['text', 'label'],
    [
      ['a', '1'],
      ['', '0'],
      ['b', ''],
      ['c', '0'],
      [' ', '1'],
      [7, '1'],
    ],
  )

  test('are refused, the first with its place', async () => {
    expect(await mistake(readExamples(table))).toBe(
      'x.csv, data row 2: no text, but "" (--skip-bad-rows leaves such rows out)',
    )
  })

  test('are left out and counted when that is asked for', async () => {
    const { examples, facts } = await readExamples(table, { skipBadRows: true })
    expect(examples.map(({ text, label, number }) => [text, label, number])).toEqual([
      ['a', 1, 1],
      ['c', 0, 4],
    ])
    expect([...facts.skipped]).toEqual([
      ['no text', { count: 3, first: 'x.csv, data row 2' }],
      ['no label', { count: 1, first: 'x.csv, data row 3' }],
    ])
    expect(facts.rows).toBe(6)
  })

  test('are not those without a label where none is needed', async () => {
    const { examples } = await readExamples(table, { skipBadRows: true, labels: 'optional' })
    expect(examples.map(({ label }) => label)).toEqual([1, undefined, 0])
  })
})

test('names of classes are shown on one line, cut at forty characters, and at most twelve of them', () => {
  expect(showNames(['a\nb', 'x'.repeat(41), '\u001b[2J'])).toBe(`a\\nb, ${'x'.repeat(39)}…, \\x1b[2J`)
  expect(showNames(Array.from({ length: 14 }, (_, i) => String(i)))).toBe(
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more',
  )
})

test('lists of labels that are written as strings are read as JSON and Python write them', () => {
  expect(listIn('["a", "b;c"]')).toEqual(['a', 'b;c'])
  expect(listIn("['it\\'s', \"b\"]")).toEqual(["it's", 'b'])
  expect(listIn(' [] ')).toEqual([])
  expect(listIn('[1, 2]')).toEqual([1, 2])
  for (const text of ['a', '[a, b]', "['a', {}]", '[null]', '[[1]]']) expect(listIn(text)).toBeUndefined()
})

test('cells are shown on one short line', () => {
  expect(showCell('a\n\u001b[2J"')).toBe('"a\\n\\u001b[2J\\""')
  expect(showCell('x'.repeat(1e6))).toHaveLength(62)
  expect([showCell(null), showCell([1, 2]), showCell({ a: 1 }), showCell(0.5)]).toEqual([
    'null',
    'a list of 2',
    'an object',
    '0.5',
  ])
})
