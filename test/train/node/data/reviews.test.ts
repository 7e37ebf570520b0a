// Reviews from every kind of place that they may lie in, and one clear line where they cannot be read.
import { mkdtemp, mkdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { create } from 'tar'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { UserError } from '../../../../engine/errors.ts'
import { loadLabelled } from '../../../../train/node/data/labelled.ts'
import { loadReviews } from '../../../support/reviews.ts'

const fixtures = join(import.meta.dirname, 'fixtures')
let root = ''
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'tilegrad-reviews-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

/** Writes a file below the temporary folder, folders included, and gives its path. */
async function put(path: string, content: string | Uint8Array): Promise<string> {
  const whole = join(root, path)
  await mkdir(dirname(whole), { recursive: true })
  await writeFile(whole, content)
  return whole
}

/** The message of the UserError that loading meets, which must name the path and fit one line. */
async function mistake(path: string, load: (path: string) => Promise<unknown> = loadReviews): Promise<string> {
  const error = await load(path).then(
    () => new Error(`${path} was taken`),
    (reason: unknown) => reason,
  )
  if (!(error instanceof UserError)) throw error
  expect(error.message).not.toContain('\n')
  expect(error.message).toContain(path)
  return error.message
}

const table = (rows: number) =>
  Array.from({ length: rows }, (_, i) => `"Review, number ${i}",${i % 2 ? 'positive' : 'negative'}`)
/** As `--labels negative,positive`: no third class is inferred. */
const twoClasses = (path: string) => loadReviews(path, 42, { given: ['negative', 'positive'] })
const aclNames = ['train/pos', 'train/neg', 'test/pos', 'test/neg']

async function putAcl(folder: string): Promise<string> {
  for (const name of aclNames) {
    for (const file of ['10_8.txt', '2_7.txt']) await put(join(folder, name, file), `${name} ${file} é`)
  }
  await put(join(folder, 'train/unsup/0_0.txt'), 'not labelled')
  await put(join(folder, 'train/urls_pos.txt'), 'http://example.com')
  return join(root, folder)
}
const aclTrain = [
  { text: 'train/neg 10_8.txt é', label: 0 },
  { text: 'train/neg 2_7.txt é', label: 0 },
  { text: 'train/pos 10_8.txt é', label: 1 },
  { text: 'train/pos 2_7.txt é', label: 1 },
]

describe("a folder in the Hub's layout", () => {
  test('gives its shards in order, without unlabelled rows', async () => {
    for (const path of [fixtures, join(fixtures, 'plain_text')]) {
      const reviews = await loadReviews(path)
      expect(reviews.train).toEqual([
        { text: 'A dull film with no heart.', label: 0 },
        { text: 'I slept through the second half.', label: 0 },
        { text: 'Naïve 🎬 but tedious.', label: 0 },
        { text: 'A warm and clever comedy.', label: 1 },
        { text: 'The best two hours of my year.', label: 1 },
      ])
      expect(reviews.test.map(({ label }) => label)).toEqual([0, 1])
      expect(reviews.unlabelled).toBe(1)
      expect(reviews.source).toBe(`${path} (Parquet); texts from column "text", labels from "label"`)
    }
  })

  test('with a shard missing is refused', async () => {
    const shard = await readFile(join(fixtures, 'plain_text/train-00001-of-00002.parquet'))
    await put('half/data/train-00001-of-00002.parquet', shard)
    expect(await mistake(join(root, 'half/data'))).toContain('has 1 of the 2 Parquet files of train')
  })

  test('with a truncated or damaged file is refused, naming the file', async () => {
    const whole = await readFile(join(fixtures, 'plain_text/train-00000-of-00002.parquet'))
    for (const length of [0, 3, 60, whole.length - 20]) {
      const path = await put('cut.parquet', whole)
      await truncate(path, length)
      expect(await mistake(path)).toContain(length === 0 ? 'is empty' : 'is cut short or damaged')
    }
    const damaged = Uint8Array.from(whole).fill(0xff, 4, 90)
    expect(await mistake(await put('damaged.parquet', damaged))).toContain('is cut short or damaged')
  })

  test('with run lengths beyond a page, or a list as a label, is refused in one line', async () => {
    const started = performance.now()
    expect(await mistake(join(fixtures, 'hang-962-bytes.parquet'))).toContain('is cut short or damaged')
    expect(performance.now() - started).toBeLessThan(5000)
    expect(await mistake(join(fixtures, 'list-label.parquet'))).toContain(
      'row 1: the label of every text is a list of one: choose --task',
    )
  })

  test('has the columns of its root, whatever is nested in them', async () => {
    const nested = await loadReviews(join(fixtures, 'nested-column-first.parquet'))
    expect(nested.train).toHaveLength(32)
    expect(nested.train[0].text).toMatch(/^The .*, number \d+\.$/)
    const field = await loadReviews(join(fixtures, 'nested-column-first.parquet'), 1, { textColumn: 'meta.source' })
    expect(new Set(field.train.map(({ text }) => text))).toEqual(new Set(['a']))
  })

  test('that names its classes means them by its numbers, also where 0 is the positive one', async () => {
    const { train, labels } = await loadReviews(join(fixtures, 'classlabel-pos-first.parquet'))
    expect(labels).toEqual(['pos', 'neg'])
    const dull = train.find(({ text }) => text.includes('dull'))
    const gentle = train.find(({ text }) => /gentle|funny|superb/.test(text))
    expect([dull?.label, gentle?.label]).toEqual([1, 0])
  })

  test('with an unknown label, no labels, or only -1 is refused', async () => {
    const bad = await mistake(join(fixtures, 'bad-label.parquet'), twoClasses)
    expect(bad).toContain('row 2: the label "3" is not one of negative, positive')
    expect(await mistake(join(fixtures, 'no-label.parquet'))).toContain(
      'has no label column: expected "label" or "sentiment" or the like, found "text", "stars"',
    )
    expect(await mistake(join(fixtures, 'unlabelled.parquet'))).toContain('all 2 are labelled -1')
  })
})

describe('an aclImdb folder', () => {
  test('gives its reviews by class and name, whether the path is the folder or the one around it', async () => {
    const folder = await putAcl('acl/aclImdb')
    for (const path of [folder, dirname(folder)]) {
      const reviews = await loadReviews(path)
      expect(reviews.train).toEqual(aclTrain)
      expect(reviews.test.map(({ label }) => label)).toEqual([0, 0, 1, 1])
    }
  })

  test('gives from its .tar.gz what it gives unpacked', async () => {
    const folder = await putAcl('packed/aclImdb')
    const archive = join(root, 'aclImdb_v1.tar.gz')
    await create({ gzip: true, file: archive, cwd: dirname(folder) }, ['aclImdb'])
    const [packed, unpacked] = [await loadReviews(archive), await loadReviews(folder)]
    expect(packed.train).toEqual(unpacked.train)
    expect(packed.test).toEqual(unpacked.test)
  })

  test('with a part missing or an empty review is refused', async () => {
    const folder = await putAcl('lacking')
    await rm(join(folder, 'test/neg'), { recursive: true })
    expect(await mistake(folder)).toContain('has no folder test/neg')
    await put('lacking/test/neg/1_1.txt', ' \n')
    expect(await mistake(folder)).toContain('test/neg/1_1.txt: no text')
  })

  test('as an archive that is cut short, no archive, or full of other things is refused', async () => {
    const folder = await putAcl('cut/aclImdb')
    const archive = join(root, 'cut.tar.gz')
    await create({ gzip: true, file: archive, cwd: dirname(folder) }, ['aclImdb'])
    const whole = await readFile(archive)
    await truncate(archive, whole.length - 30)
    expect(await mistake(archive)).toContain('is cut short or damaged: unexpected end of file')
    for (const content of ['', 'hello'])
      expect(await mistake(await put('no.tgz', content))).toContain('is not a tar archive')
    await create({ gzip: true, file: archive, cwd: folder }, ['train/unsup', 'train/urls_pos.txt'])
    expect(await mistake(archive)).toContain('holds no reviews')
  })
})

describe('a table', () => {
  test('is split by the seed for test rows, a fifth of each class for the test', async () => {
    const path = await put('split.csv', ['review,sentiment', ...table(50)].join('\n'))
    const reviews = await loadReviews(path, 7)
    expect(reviews.train).toHaveLength(40)
    expect(reviews.test).toHaveLength(10)
    expect(reviews.test.filter(({ label }) => label === 1)).toHaveLength(5)
    const texts = [...reviews.train, ...reviews.test].map(({ text }) => text)
    expect(texts.toSorted()).toEqual(Array.from({ length: 50 }, (_, i) => `Review, number ${i}`).toSorted())
    expect(await loadReviews(path, 7)).toEqual(reviews)
    expect((await loadReviews(path, 8)).test).not.toEqual(reviews.test)
    expect(reviews.source).toBe(`${path} (split 80/20); texts from column "review", labels from "sentiment"`)
  })

  test('of CSV may have quotes, line breaks, a byte order mark, other columns, and blank lines', async () => {
    const csv = '\ufeffid,Label,Text\r\n1,pos,"Two\nlines, and ""quotes"""\r\n\r\n2,neg,Plain é\r\n3,-1,Unlabelled\r\n'
    const path = await put('odd/train.csv', csv)
    await put('odd/test.csv', 'text,label\nOne,1\n')
    const reviews = await loadReviews(path)
    expect(reviews.train).toEqual([
      { text: 'Two\nlines, and "quotes"', label: 1 },
      { text: 'Plain é', label: 0 },
    ])
    expect(reviews.test).toEqual([{ text: 'One', label: 1 }])
    expect(reviews.unlabelled).toBe(1)
  })

  test('of JSON Lines has its lines ended by line feeds alone, wherever the file is read in pieces', async () => {
    const odd = 'A\u2028B\u2029C\u0085D \u{1f3ac} é'
    const long = 'long '.repeat(40_000) + odd
    const rows = [odd, long, 'last'].map((text, i) => JSON.stringify({ text, label: i % 2 }))
    expect(rows[0]).toContain('\u2028')
    for (const ending of ['\n', '\r\n']) {
      const path = await put('lines/train.jsonl', `\ufeff${rows.join(ending)}`)
      await put('lines/test.jsonl', rows.map(row => row + ending).join(ending))
      const { train, test } = await loadReviews(path)
      expect(train).toEqual([
        { text: odd, label: 0 },
        { text: long, label: 1 },
        { text: 'last', label: 0 },
      ])
      expect(test).toEqual(train)
    }
    const bad = await put('cr.jsonl', `${rows[0]}\r${rows[2]}\r`)
    expect(await mistake(bad)).toContain('line 1: not a JSON object')
  })

  test('beside its pair is not split, whichever of the two or their folder is named', async () => {
    for (const ending of ['csv', 'jsonl']) {
      const rows = (text: string) =>
        ending === 'csv'
          ? `text,label\n${text},0\n${text}!,1\n`
          : `{"text": "${text}", "label": "neg"}\n\n{"review": "${text}!", "sentiment": true}\n`
      const folder = `pair-${ending}`
      const train = await put(`${folder}/train.${ending}`, rows('a'))
      const test = await put(`${folder}/test.${ending}`, rows('b'))
      for (const path of [train, test, join(root, folder)]) {
        const reviews = await loadReviews(path)
        expect(reviews.train).toEqual([
          { text: 'a', label: 0 },
          { text: 'a!', label: 1 },
        ])
        expect(reviews.test).toEqual([
          { text: 'b', label: 0 },
          { text: 'b!', label: 1 },
        ])
      }
    }
  })

  test('without a label or text column, or with nothing in it, is refused', async () => {
    expect(await mistake(await put('a.csv', 'text,stars\nfine,3\n'))).toContain(
      'has no label column: expected "label" or "sentiment" or the like, found "text", "stars"',
    )
    expect(await mistake(await put('b.csv', 'label\n1\n'))).toContain('has no text column')
    expect(await mistake(await put('c.csv', ''))).toContain('is empty')
    expect(await mistake(await put('d.csv', 'text,label\n'))).toContain('has no rows')
    expect(await mistake(await put('e.jsonl', '\n'))).toContain('is empty')
    expect(await mistake(await put('f.jsonl', '{"text": "a", "label": 1}\n{"text": "b"}\n'))).toContain(
      'line 2: no label (label)',
    )
  })

  test('with a bad row is refused, naming the row', async () => {
    const rows = ['text,label', 'fine,1', 'odd,2', 'poor,0']
    expect(await mistake(await put('g.csv', rows.join('\n')), twoClasses)).toContain(
      'data row 2: the label "2" is not one of negative, positive',
    )
    expect(await mistake(await put('h.csv', 'text,label\nfine,1\n ,0\n'))).toContain('data row 2: no text')
    expect(await mistake(await put('i.csv', 'text,label\nfine,1\na,b,c\n'))).toMatch(
      /data row 2: not proper CSV: line 3 has 3 fields, the header 2/,
    )
    expect(await mistake(await put('j.csv', 'text,label\n"fine,1\n'))).toContain(
      'is not proper CSV: the quote that opens in line 2 is never closed',
    )
    expect(await mistake(await put('k.jsonl', '{"text": "a", "label": 1}\n{"text": "b", "la'))).toContain(
      'line 2: not a JSON object',
    )
    expect(await mistake(await put('l.jsonl', '{"text": 7, "label": 1}\n'))).toContain('line 1: no text, but 7')
  })

  test('with one class or one row is refused', async () => {
    expect(await mistake(await put('m.csv', 'text,label\na,1\nb,1\nc,1\n'))).toContain(
      'the training examples have only the label "positive": at least two are needed',
    )
    expect(await mistake(await put('two.csv', 'text,label\na,1\nb,0\n'))).toContain(
      'two.csv, of whose 2 rows 1 is for the test, has only the label',
    )
    expect(await mistake(await put('n.csv', 'text,label\na,1\n'))).toContain(
      'has 1 labelled row; a training and a test set need at least 2',
    )
  })
})

test('lists of labels may be written as strings', async () => {
  const json = await put(
    'lists.csv',
    `text,label\n${Array.from({ length: 10 }, (_, i) => `t${i},"['a', 'b']"\nu${i},"[""b""]"`).join('\n')}\n`,
  )
  const read = (path: string, options: object) => loadLabelled(path, { testSeed: 1, ...options })
  const { plan, train } = await read(json, { task: 'labels' })
  expect([plan.task, plan.labels, train.length]).toEqual(['labels', ['a', 'b'], 16])
  const csv = await put(
    'separated.csv',
    `text,label\n${Array.from({ length: 10 }, (_, i) => `t${i},a; b\nu${i},b`).join('\n')}\n`,
  )
  expect((await read(csv, { labelSeparator: ';' })).plan).toMatchObject({ task: 'labels', labels: ['a', 'b'] })
  expect((await read(csv, {})).plan).toMatchObject({ task: 'classes', labels: ['a; b', 'b'] })
})

describe('a test split', () => {
  const rows = ['text,label', ...table(20)].join('\n')
  const unlabelled = 'id,text\n1,"one"\n2,"two"\n'

  test('with a label that the training set lacks is refused, naming the row', async () => {
    await put('third/train.csv', 'text,label\na,0\nb,1\n')
    const third = await put('third/test.csv', 'text,label\na,neg\nb,3\n')
    expect(await mistake(dirname(third))).toBe(`${third}, data row 2: the label "3" is not one of negative, positive`)
  })

  test('without labels is never scored: validation takes its place, or else a part of train', async () => {
    for (const test of [unlabelled, 'text,label\none,-1\ntwo,-1\n', 'text,label\none,\n']) {
      const path = await put('kaggle/train.csv', rows)
      await put('kaggle/test.csv', test)
      for (const at of [path, dirname(path)]) {
        const reviews = await loadReviews(at)
        expect([reviews.train.length, reviews.test.length]).toEqual([16, 4])
        expect(reviews.source).toBe(
          `${path} (split 80/20); test has no labels; texts from column "text", labels from "label"`,
        )
      }
      await put('glue/train.csv', rows)
      await put('glue/dev.csv', 'text,label\nx,0\ny,1\nz,1\n')
      await put('glue/test.csv', test)
      const reviews = await loadReviews(join(root, 'glue'))
      expect([reviews.train.length, reviews.test.length]).toEqual([20, 3])
      expect(reviews.source).toBe(
        `${join(root, 'glue')} (train.csv, dev.csv, test.csv); test has no labels; texts from column "text", labels from "label"; tested on validation`,
      )
    }
  })

  test('is found under any of the endings, and so is a folder with one table or with a single split', async () => {
    for (const [ending, text] of [
      ['tsv', rows.replaceAll(',', '\t').replaceAll('\tnumber', ', number')],
      [
        'json',
        JSON.stringify([
          { text: 'a', label: 0 },
          { text: 'b', label: 1 },
        ]),
      ],
      ['ndjson', '{"text": "a", "label": 0}\n{"text": "b", "label": 1}\n'],
    ]) {
      await put(`all-${ending}/train.${ending}`, text)
      await put(`all-${ending}/test.${ending}`, text)
      expect((await loadReviews(join(root, `all-${ending}`))).source).toContain(`(train.${ending}, test.${ending})`)
    }
    await put('alone/reviews.csv', rows)
    expect((await loadReviews(join(root, 'alone'))).train).toHaveLength(16)
    await put('single/train.csv', rows)
    expect((await loadReviews(join(root, 'single'))).test).toHaveLength(4)
  })

  test("may lie in the Hub's other layouts", async () => {
    const whole = await readFile(join(fixtures, 'plain_text/train-00000-of-00002.parquet'))
    const other = await readFile(join(fixtures, 'classlabel-pos-first.parquet'))
    for (const name of ['converted/default/train/0000.parquet', 'converted/default/test/0000.parquet'])
      await put(name, other)
    expect((await loadReviews(join(root, 'converted'))).test).toHaveLength(40)
    for (const config of ['a', 'b']) await put(`configs/${config}/train-00000-of-00001.parquet`, whole)
    expect(await mistake(join(root, 'configs'))).toContain('holds several data sets; name one of')
  })
})

describe('labels of -1', () => {
  test('are said to be left out, and how to take them for a class', async () => {
    const path = await put('minus.csv', `text,label\n${'a,-1\nb,1\n'.repeat(10)}`)
    expect(await mistake(path)).toContain(
      'have only the label "positive": at least two are needed to learn a difference; 10 rows labelled -1 were read as unlabelled',
    )
    const reviews = await loadReviews(path, 42, { minusOne: 'label' })
    expect(reviews.labels).toEqual(['-1', '1'])
    expect(reviews.train.filter(({ label }) => label === 0)).toHaveLength(8)
  })
})

describe('options', () => {
  test('name columns and encodings, and leave bad rows out', async () => {
    const text = 'satz;klasse;extra\n' + 'ä;neg;\nö;pos;\n;neg;\n'.repeat(5)
    const path = await put(
      'german.csv',
      Uint8Array.from(text, character => character.charCodeAt(0)),
    )
    const named = { textColumn: 'satz', labelColumn: 'klasse' }
    expect(await mistake(path, at => loadReviews(at, 1, named))).toContain('data row 1: byte 18 is not UTF-8')
    expect(await mistake(path, at => loadReviews(at, 1, { ...named, encoding: 'latin1' }))).toContain(
      'data row 3: no text',
    )
    const reviews = await loadReviews(path, 1, { ...named, encoding: 'latin1', skipBadRows: true })
    expect(new Set(reviews.train.map(one => one.text))).toEqual(new Set(['ä', 'ö']))
    expect(reviews.source).toContain(
      `texts from column "satz", labels from "klasse"; 5 rows left out: no text (first: ${path}, data row 3)`,
    )
  })
})

describe('a path', () => {
  test('where nothing is, or of another kind, is refused', async () => {
    expect(await mistake(join(root, 'nowhere'))).toBe(`No file or folder at ${join(root, 'nowhere')}`)
    expect(await mistake(await put('notes.txt', 'hello'))).toContain(
      'is not a data file: expected .csv, .tsv, .json, .jsonl, .ndjson, .parquet, .tar.gz',
    )
    await put('other/readme.md', '')
    expect(await mistake(join(root, 'other'))).toMatch(
      /is not a data folder: it holds no table; expected train\.csv .*, a single table such as data\.jsonl, .*; it holds readme\.md$/,
    )
    await put('several/a.csv', '')
    await put('several/b.csv', '')
    expect(await mistake(join(root, 'several'))).toContain('of its tables none is called train')
    for (const [name, target, says] of [
      ['dangling', 'gone', 'to gone, which does not exist'],
      ['loop', 'loop', 'that leads to itself'],
    ]) {
      await symlink(target, join(root, name))
      expect(await mistake(join(root, name))).toBe(`${join(root, name)} is a symbolic link ${says}`)
    }
    await mkdir(join(root, 'empty'))
    expect(await mistake(join(root, 'empty'))).toContain('it holds nothing')
  })
})
