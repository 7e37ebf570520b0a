// Texts to pretrain on: which files are read, what a document is, and that nothing of a test set is among them.
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../../../engine/errors.ts'
import { loadUnlabelled } from '../../../../train/node/data/unlabelled.ts'
import { temporaryFolder } from '../../../support/folder.ts'

/** Parquet files of the splits train, test and unsupervised. */
const FIXTURES = join(import.meta.dirname, 'fixtures')
const root = await temporaryFolder('unlabelled')

async function put(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(root, name)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, content)
  return path
}
const refused = (paths: string[], options: Parameters<typeof loadUnlabelled>[1], message: string): Promise<void> =>
  expect(loadUnlabelled(paths, options)).rejects.toThrow(new UserError(message))

describe('a text file', () => {
  test('has a document a line', async () => {
    const path = await put('lines.txt', '\ufeffOne film.\r\n  Another\tone. \nNaïve 🎬\n\n')
    const { texts, source } = await loadUnlabelled([path])
    expect(texts).toEqual(['One film.', 'Another\tone.', 'Naïve 🎬'])
    expect(source).toBe(path)
  })

  test('has documents of several lines where blank lines stand between them', async () => {
    const path = await put('blocks.txt', '\n\nOne film,\nand more of it.\n \n\nAnother.\n\n')
    expect((await loadUnlabelled([path])).texts).toEqual(['One film,\nand more of it.', 'Another.'])
  })

  test('is read in its encoding, and refused with the line of a byte that is wrong', async () => {
    const path = await put('latin.txt', Buffer.from('Fine.\nNaïve.\n\nLast.', 'latin1'))
    expect((await loadUnlabelled([path], { encoding: 'windows-1252' })).texts).toEqual(['Fine.\nNaïve.', 'Last.'])
    expect(await loadUnlabelled([path], { skipBadRows: true })).toMatchObject({ texts: ['Last.'], skipped: 1 })
    await refused(
      [path],
      {},
      `${path}, line 2: byte 8 is not UTF-8; if the file is in another encoding, name it, for example ` +
        '--encoding windows-1252 (--skip-bad-rows leaves such rows out)',
    )
    const empty = await put('empty.txt', ' \n\n')
    await refused([empty], {}, `${empty} holds no text`)
  })
})

describe('several files', () => {
  test('of any kind are read one after another', async () => {
    const csv = await put('some.csv', 'id,Body\n1,First.\n2,"Second, too."\n')
    const lines = await put('more.jsonl', '{"body": "Third."}\n{"body": ["Fourth", "one", "."]}\n')
    const text = await put('rest.txt', 'Fifth.\n')
    const { texts, source } = await loadUnlabelled([csv, lines, text], { textColumn: 'body' })
    expect(texts).toEqual(['First.', 'Second, too.', 'Third.', 'Fourth one .', 'Fifth.'])
    expect(source).toBe([csv, lines, text].join('; '))
    await refused(
      [csv, text],
      { textColumn: 'title' },
      `${csv} has no column "title" for texts; its columns are "id", "Body"`,
    )
  })

  test('of a folder are its text files and those below it, less what its test files hold', async () => {
    await put('books/b/two.txt', 'Two.\nSeen.\n')
    await put('books/a.txt', 'One.\n')
    await put('books/test.txt', 'Seen.\n')
    await put('books/.hidden.txt', 'Not this.\n')
    const books = join(root, 'books')
    expect(await loadUnlabelled([books])).toEqual({
      texts: ['One.', 'Two.'],
      dropped: 1,
      skipped: 0,
      source: `${books} (a.txt, two.txt, test.txt), train`,
    })
  })
})

describe("a data set's texts", () => {
  test('are those of all splits but the test set, and not those that are also in it', async () => {
    const counts: number[] = []
    const { texts, dropped, source } = await loadUnlabelled([FIXTURES], { onRead: read => counts.push(read) })
    // Those of the test set are read, too.
    expect(counts).toEqual(Array.from({ length: 12 }, (_, i) => i + 1))
    expect(texts.slice(-2)).toEqual(['Seen on a plane.', 'Seen twice.'])
    expect(texts).toHaveLength(8)
    expect(dropped).toBe(2)
    expect(source).toBe(`${FIXTURES} (Parquet), train and unsupervised`)
  })

  test('are those of the splits that are named', async () => {
    const only = await loadUnlabelled([FIXTURES], { splits: ['unsupervised'] })
    expect(only).toMatchObject({ texts: ['Seen on a plane.', 'Seen twice.'], dropped: 2 })
    expect((await loadUnlabelled([FIXTURES], { splits: ['test'] })).texts).toHaveLength(2)
    await refused(
      [FIXTURES],
      { splits: ['dev'] },
      `${FIXTURES} has no split dev; its splits: test, train, unsupervised`,
    )
    const folder = dirname(await put('held/test.txt', 'One.\n'))
    await refused([folder], {}, `${folder} has only splits that are held out: test`)
  })

  test('are left out of those of other files', async () => {
    const copy = await put('copy.txt', 'Seen on a plane.\nA new one.\nSeen twice.\n')
    expect(await loadUnlabelled([copy], { exclude: [join(FIXTURES, 'unlabelled')] })).toMatchObject({
      texts: ['Seen on a plane.', 'A new one.', 'Seen twice.'],
      dropped: 0,
    })
    expect(await loadUnlabelled([copy], { exclude: [FIXTURES] })).toMatchObject({ texts: ['A new one.'], dropped: 2 })
  })
})
