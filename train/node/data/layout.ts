// What lies at a path, as splits: a folder in the Hub's layout, aclImdb or its archive, tables side by side, or one
// table.
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'
import { UserError } from '../../../engine/errors.ts'
import { brokenLink, fileError } from '../../../models/node/regular-file.ts'
import { type Table, concatenate } from '../../data/table.ts'
import { findAclFolder, openAclArchive, openAclFolder } from './acl-imdb.ts'
import { TABLE_ENDINGS, isTable, openTable, stem } from './files.ts'

export interface LayoutOptions {
  /** Of text files that are not UTF-8: a label of the Encoding Standard. */
  readonly encoding?: string
}

/** The splits of a data set, or a single table, `whole`. */
export interface Splits {
  readonly splits: ReadonlyMap<string, Table>
  readonly whole?: Table
  /** Where they lie and how they were found, in a few words. */
  readonly source: string
}

/** A folder that holds no data in a known layout. */
export class NoData extends UserError {}

/** What people call the split that a model is chosen by. */
const SPLIT_NAMES: ReadonlyMap<string, string> = new Map([
  ['train', 'train'],
  ['training', 'train'],
  ['validation', 'validation'],
  ['valid', 'validation'],
  ['val', 'validation'],
  ['dev', 'validation'],
  ['eval', 'validation'],
  ['test', 'test'],
  ['testing', 'test'],
  ['unsupervised', 'unsupervised'],
])

/**
 * Finds the splits at `path`, which is
 * - a folder with shards `train-00000-of-00001.parquet`, …, or with folders `train/0000.parquet`, …, in it or in one of
 *   its
 *   subfolders (plain_text, data, default, …),
 * - an aclImdb folder, the folder that holds it, or its `.tar.gz`,
 * - a folder with train.csv, validation.csv, test.csv (or .tsv, .json, .jsonl, .ndjson, .parquet), or one of those
 *   files,
 * - one table, or a folder that holds one.
 * Splits keep their names, apart from `val`, `dev` and the like, which are `validation`. Throws a UserError if nothing
 * of that is there.
 */
export async function findSplits(path: string, { encoding }: LayoutOptions = {}): Promise<Splits> {
  try {
    return (await isFolder(path)) ? await inFolder(path, encoding) : await ofFile(path, encoding)
  } catch (error) {
    throw fileError(pathOf(error) ?? path, error)
  }
}

/** The only table of some data; undefined if it has several splits. */
export const onlyTable = ({ splits, whole }: Splits): Table | undefined =>
  whole ?? (splits.size === 1 ? [...splits.values()][0] : undefined)

/** The names of the splits, as messages list them. */
export const splitNames = ({ splits }: Splits): string => [...splits.keys()].join(', ') || 'none: it is one table'

/** The split that is named, or else the only table of `data`. Throws a UserError that lists the splits. */
export function tableOf(found: Splits, data: string, split?: string): Table {
  const table = split === undefined ? onlyTable(found) : found.splits.get(split)
  if (table) return table
  throw new UserError(
    split === undefined
      ? `${data} has several splits, name one with --split: ${splitNames(found)}`
      : `${data} has no split ${split}; its splits: ${splitNames(found)}`,
  )
}

function pathOf(error: unknown): string | undefined {
  return error instanceof Error && 'path' in error && typeof error.path === 'string' ? error.path : undefined
}

/** Like `isFolder` of the files module, but a path that does not exist is the user's mistake. */
async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined)
  if (!found) throw (await brokenLink(path)) ?? new UserError(`No file or folder at ${path}`)
  return found.isDirectory()
}

async function inFolder(path: string, encoding: string | undefined): Promise<Splits> {
  const shards = await findShards(path)
  if (shards) {
    const splits = new Map<string, Table>()
    for (const [split, files] of shards) {
      const tables: Table[] = []
      for (const file of files) tables.push(await openTable(file))
      splits.set(split, concatenate(tables, `${path}, ${split}`))
    }
    return { splits, source: `${path} (Parquet)` }
  }
  const acl = await findAclFolder(path)
  if (acl) return { splits: await openAclFolder(acl, encoding), source: `${acl} (aclImdb)` }
  const names = (await readdir(path)).sort()
  for (const ending of TABLE_ENDINGS) {
    const files = splitFiles(path, names, ending)
    if (files.has('train')) return openSplits(path, files, encoding)
  }
  const tables = names.filter(name => isTable(name) && !name.startsWith('.'))
  if (tables.length === 1) {
    const file = join(path, tables[0])
    return { splits: new Map(), whole: await openTable(file, encoding), source: file }
  }
  const held = names.length === 0 ? 'nothing' : names.slice(0, 5).join(', ') + (names.length > 5 ? ', …' : '')
  throw new NoData(
    `${path} is not a data folder: ${tables.length > 1 ? 'of its tables none is called train' : 'it holds no table'}; ` +
      'expected train.csv (or .tsv, .json, .jsonl, .ndjson, .parquet) with or without test.csv, a single table such as data.jsonl, ' +
      `data/train-00000-of-00001.parquet, or train/pos/*.txt; it holds ${held}`,
  )
}

async function ofFile(path: string, encoding: string | undefined): Promise<Splits> {
  if (/\.(tar|tar\.gz|tgz)$/i.test(path)) {
    return { splits: await openAclArchive(path, encoding), source: `${path} (aclImdb archive)` }
  }
  if (!isTable(path)) {
    throw new UserError(`${path} is not a data file: expected ${[...TABLE_ENDINGS, '.tar.gz'].join(', ')}, or a folder`)
  }
  if (SPLIT_NAMES.has(stem(path).toLowerCase())) {
    const files = splitFiles(dirname(path), await readdir(dirname(path)), extname(path))
    if (files.has('train') && files.size > 1) return openSplits(dirname(path), files, encoding)
  }
  return { splits: new Map(), whole: await openTable(path, encoding), source: path }
}

/** The files of a folder that are called after splits and have the ending. */
function splitFiles(folder: string, names: readonly string[], ending: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const [word, split] of SPLIT_NAMES) {
    const name = names.find(one => extname(one) === ending && stem(one).toLowerCase() === word)
    if (name !== undefined && !found.has(split)) found.set(split, join(folder, name))
  }
  return found
}

async function openSplits(
  folder: string,
  files: ReadonlyMap<string, string>,
  encoding: string | undefined,
): Promise<Splits> {
  const splits = new Map<string, Table>()
  for (const [split, file] of files) splits.set(split, await openTable(file, encoding))
  return { splits, source: `${folder} (${[...files.values()].map(file => basename(file)).join(', ')})` }
}

/** The Parquet files of each split, in order; undefined if there are none. Throws a UserError when some lack. */
async function findShards(path: string): Promise<Map<string, string[]> | undefined> {
  const inside = (await readdir(path, { withFileTypes: true }))
    .filter(entry => !entry.isFile())
    .map(({ name }) => name)
    .sort()
  const first = ['plain_text', 'data', 'default'].filter(name => inside.includes(name))
  const configs: { readonly folder: string; readonly shards: Map<string, string[]> }[] = []
  for (const folder of [path, ...new Set([...first, ...inside].map(name => join(path, name)))]) {
    const shards = (await shardsOf(folder)) ?? (await shardFolders(folder))
    if (!shards) continue
    if (folder === path || first.includes(basename(folder))) return shards
    configs.push({ folder, shards })
  }
  if (configs.length > 1) {
    throw new UserError(
      `${path} holds several data sets; name one of ${configs
        .slice(0, 8)
        .map(({ folder }) => folder)
        .join(', ')}`,
    )
  }
  return configs[0]?.shards
}

/** `train-00000-of-00002.parquet`, with or without a hash. */
async function shardsOf(folder: string): Promise<Map<string, string[]> | undefined> {
  const names = await readdir(folder).catch(() => [])
  const found = names.flatMap(name => {
    const match = /^(.+)-(\d{5})-of-(\d{5})(?:-[0-9a-f]+)?\.parquet$/.exec(name)
    return match ? [{ name, split: splitName(match[1]), index: +match[2], of: +match[3] }] : []
  })
  if (found.length === 0) return undefined
  const splits = new Map<string, string[]>()
  for (const [split, shards] of Map.groupBy(found, ({ split }) => split)) {
    shards.sort((a, b) => a.index - b.index)
    if (shards.length !== shards[0].of || shards.some(({ index, of }, i) => index !== i || of !== shards[0].of)) {
      throw new UserError(`${folder} has ${shards.length} of the ${shards[0].of} Parquet files of ${split}`)
    }
    splits.set(
      split,
      shards.map(({ name }) => join(folder, name)),
    )
  }
  return splits
}

/** `train/0000.parquet`, as the Hub converts data sets. */
async function shardFolders(folder: string): Promise<Map<string, string[]> | undefined> {
  const splits = new Map<string, string[]>()
  for (const [word, split] of SPLIT_NAMES) {
    const names = await readdir(join(folder, word)).catch(() => [])
    const shards = names.filter(name => /^\d+\.parquet$/.test(name)).sort()
    if (shards.length > 0 && !splits.has(split))
      splits.set(
        split,
        shards.map(name => join(folder, word, name)),
      )
  }
  return splits.has('train') ? splits : undefined
}

/** The name of a split as it is called here: `validation` for `dev`. */
export function splitName(name: string): string {
  return SPLIT_NAMES.get(name.toLowerCase()) ?? name
}
