// Labelled reviews from whatever lies at a path: a folder in the Hub's layout, aclImdb or its archive, a pair of
// tables, or one table that is split.
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'
import { UserError } from '../../../engine/errors.ts'
import { exists, fileError } from '../../../models/node/files.ts'
import { stream } from '../../random.ts'
import { findAclFolder, readAclArchive, readAclFolder } from './acl-imdb.ts'
import { splitValidation } from './examples.ts'
import type { Example } from './examples.ts'
import { isTable, readParquetTexts, readTable, stem, TABLE_ENDINGS } from './tables.ts'
import type { Table } from './tables.ts'

export type { Example } from './examples.ts'

export interface Reviews {
  readonly train: Example[]
  readonly test: Example[]
  /** Where they come from and how they were read, in a few words. */
  readonly source: string
  /** Rows labelled −1, which the Hub's convention calls unlabelled; they are in neither set. */
  readonly unlabelled: number
}

/** The part of a single table that becomes the test set. */
const TEST_FRACTION = 0.2

/**
 * Loads reviews for training and test. `path` is
 * - a folder with `train-00000-of-00001.parquet` and `test-…`, in it or in its subfolder plain_text or data,
 * - an aclImdb folder, the folder that holds it, or its `.tar.gz`,
 * - a folder with train.csv and test.csv (or .jsonl, .parquet), or one file of such a pair,
 * - one .csv, .jsonl or .parquet file: `seed` draws a fifth of each class for the test.
 * Tables have a column text or review, and one label or sentiment: 0/1, neg/pos or negative/positive.
 * Throws a UserError, naming file and row, on anything that cannot be read so, and on training reviews of one class.
 */
export async function loadReviews(path: string, seed = 42): Promise<Reviews> {
  const read = (await isFolder(path)) ? loadFolder(path) : loadFile(path, seed)
  const reviews = await read.catch((error: NodeJS.ErrnoException) => {
    throw fileError(error.path ?? path, error)
  })
  const first = reviews.train[0].label
  if (reviews.train.every(({ label }) => label === first)) {
    throw new UserError(
      `${path} has only ${first === 1 ? 'positive' : 'negative'} reviews to train on; both classes are needed`,
    )
  }
  return reviews
}

/** Like `isFolder` of the files module, but a path that does not exist is the user's mistake. */
async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined)
  if (!found) throw new UserError(`No file or folder at ${path}`)
  return found.isDirectory()
}

async function loadFolder(path: string): Promise<Reviews> {
  const shards = await findShards(path, 'train')
  if (shards) {
    const tests = await findShards(path, 'test')
    if (!tests) throw new UserError(`${path} has Parquet files for train, but none for test`)
    return fromTables(await readAll(shards), await readAll(tests), `${path} (Parquet)`)
  }
  const acl = await findAclFolder(path)
  if (acl) return { ...(await readAclFolder(acl)), source: `${acl} (aclImdb)`, unlabelled: 0 }
  for (const ending of TABLE_ENDINGS) {
    const [train, test] = [join(path, `train${ending}`), join(path, `test${ending}`)]
    if (!(await exists(train))) continue
    if (!(await exists(test)))
      throw new UserError(`${path} has train${ending} but no test${ending}; give the file itself to have it split`)
    return fromTables(await readTable(train), await readTable(test), `${path} (train${ending}, test${ending})`)
  }
  const names = (await readdir(path)).sort()
  const held = names.length === 0 ? 'nothing' : names.slice(0, 5).join(', ') + (names.length > 5 ? ', …' : '')
  throw new UserError(
    `${path} is no data folder: expected plain_text/train-00000-of-00001.parquet, train/pos/*.txt, ` +
      `or train.csv and test.csv; it holds ${held}`,
  )
}

async function loadFile(path: string, seed: number): Promise<Reviews> {
  if (/\.(tar|tar\.gz|tgz)$/i.test(path)) {
    return { ...(await readAclArchive(path)), source: `${path} (aclImdb archive)`, unlabelled: 0 }
  }
  if (!isTable(path)) {
    throw new UserError(`${path} is no data file: expected ${[...TABLE_ENDINGS, '.tar.gz'].join(', ')}, or a folder`)
  }
  if (stem(path) === 'train' || stem(path) === 'test') {
    const [train, test] = ['train', 'test'].map((name) => join(dirname(path), `${name}${extname(path)}`))
    if ((await exists(train)) && (await exists(test))) {
      return fromTables(
        await readTable(train),
        await readTable(test),
        `${dirname(path)} (${basename(train)}, ${basename(test)})`,
      )
    }
  }
  const { examples, unlabelled } = await readTable(path)
  if (examples.length < 2)
    throw new UserError(`${path} has 1 labelled row; a training and a test set need at least 2`)
  const { train, validation: test } = splitValidation(examples, TEST_FRACTION, stream(seed, 'train and test'))
  return { train, test, source: `${path} (split 80/20 by seed ${seed})`, unlabelled }
}

function fromTables(train: Table, test: Table, source: string): Reviews {
  return { train: train.examples, test: test.examples, source, unlabelled: train.unlabelled + test.unlabelled }
}

async function readAll(paths: readonly string[]): Promise<Table> {
  const tables: Table[] = []
  for (const path of paths) tables.push(await readTable(path))
  return {
    examples: tables.flatMap(({ examples }) => examples),
    unlabelled: tables.reduce((sum, { unlabelled }) => sum + unlabelled, 0),
  }
}

/** The Parquet files of one split, in order; undefined where there are none. Throws a UserError when some lack. */
async function findShards(path: string, split: string): Promise<string[] | undefined> {
  for (const folder of [path, join(path, 'plain_text'), join(path, 'data')]) {
    const names = await readdir(folder).catch(() => [])
    const shards = names
      .map((name) => ({ name, match: /^(.+)-(\d{5})-of-(\d{5})(?:-[0-9a-f]+)?\.parquet$/.exec(name) }))
      .flatMap(({ name, match }) => (match && match[1] === split ? [{ name, index: +match[2], of: +match[3] }] : []))
      .sort((a, b) => a.index - b.index)
    if (shards.length === 0) continue
    if (shards.length !== shards[0].of || shards.some(({ index, of }, i) => index !== i || of !== shards[0].of)) {
      throw new UserError(`${folder} has ${shards.length} of the ${shards[0].of} Parquet files of ${split}`)
    }
    return shards.map(({ name }) => join(folder, name))
  }
  return undefined
}

/**
 * Texts without labels, for pretraining: the split `unsupervised` of a folder in the Hub's layout, less those that also
 * stand in its test split (`dropped` rows), which no model that is to be tested there may have read.
 * Throws a UserError as `loadReviews` does.
 */
export async function loadUnlabelled(path: string): Promise<{ texts: string[]; dropped: number; source: string }> {
  const shards = (await isFolder(path)) ? await findShards(path, 'unsupervised') : undefined
  const tests = shards && (await findShards(path, 'test'))
  if (!shards || !tests) {
    throw new UserError(
      `${path} is no folder with Parquet files for unsupervised and test, such as IMDb's from the Hub`,
    )
  }
  const read = async (paths: readonly string[]) => (await Promise.all(paths.map(readParquetTexts))).flat()
  const tested = new Set(await read(tests))
  const all = await read(shards)
  const texts = all.filter((text) => !tested.has(text))
  return { texts, dropped: all.length - texts.length, source: `${path} (Parquet, unsupervised)` }
}
