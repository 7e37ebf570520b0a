// The Large Movie Review Dataset as its authors publish it (Maas et al., ACL 2011): one text file a review, in
// train/pos, train/neg, test/pos and test/neg, as a folder or as the .tar.gz that it is downloaded as.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { list } from 'tar'
import { UserError } from '../../../engine/errors.ts'
import { isFolder } from '../../../models/node/files.ts'
import type { Example } from './examples.ts'

const SETS = ['train', 'test'] as const
/** By label, and in the Hub's order: negatives first. */
const CLASSES = ['neg', 'pos'] as const

export interface TrainAndTest {
  readonly train: Example[]
  readonly test: Example[]
}

/** The folder that holds train/pos: `path` or its subfolder aclImdb; undefined where neither does. */
export async function findAclFolder(path: string): Promise<string | undefined> {
  for (const folder of [path, join(path, 'aclImdb')]) {
    if (await isFolder(join(folder, 'train', 'pos'))) return folder
  }
  return undefined
}

/** Reads the folder. Reviews come by class, then by file name. Throws a UserError on a missing or empty part. */
export async function readAclFolder(folder: string): Promise<TrainAndTest> {
  return collect(folder, async (set, name) => {
    const part = join(folder, set, name)
    if (!(await isFolder(part))) throw new UserError(`${folder} has no folder ${set}/${name}`)
    const files = (await readdir(part)).filter(isReview)
    const texts = new Map<string, string>()
    // 25,000 small files: read some at a time, not one by one, and not all at once.
    for (let i = 0; i < files.length; i += 64) {
      const some = files.slice(i, i + 64)
      const read = await Promise.all(some.map((file) => readFile(join(part, file), 'utf8')))
      some.forEach((file, k) => texts.set(file, read[k]))
    }
    return texts
  })
}

/** Reads the archive without unpacking it to disk. Throws a UserError when it is damaged or lacks a part. */
export async function readAclArchive(path: string): Promise<TrainAndTest> {
  const parts = new Map<string, Map<string, string>>()
  try {
    await list({
      file: path,
      strict: true,
      onReadEntry: (entry) => {
        const match = /(?:^|\/)(train|test)\/(neg|pos)\/([^/]+)$/.exec(entry.path)
        if (entry.type === 'Directory' || !match || !isReview(match[3])) return
        const key = `${match[1]}/${match[2]}`
        const pieces: Buffer[] = []
        entry.on('data', (piece: Buffer) => pieces.push(piece))
        entry.on('end', () => {
          const texts = parts.get(key) ?? new Map<string, string>()
          parts.set(key, texts.set(match[3], Buffer.concat(pieces).toString('utf8')))
        })
      },
    })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new UserError(`${path} is no tar archive, or is cut short or damaged: ${reason.split('\n')[0]}`)
  }
  if (parts.size === 0) throw new UserError(`${path} holds no reviews: expected files like aclImdb/train/pos/0_9.txt`)
  return collect(path, async (set, name) => parts.get(`${set}/${name}`) ?? new Map())
}

/** Reviews are called `<number>_<rating>.txt`; archives made on a Mac have `._` companions of them. */
function isReview(file: string): boolean {
  return file.endsWith('.txt') && !file.startsWith('.')
}

async function collect(
  source: string,
  read: (set: 'train' | 'test', name: 'neg' | 'pos') => Promise<Map<string, string>>,
): Promise<TrainAndTest> {
  const sets: TrainAndTest = { train: [], test: [] }
  for (const set of SETS) {
    for (const label of [0, 1] as const) {
      const texts = await read(set, CLASSES[label])
      if (texts.size === 0) throw new UserError(`${source} has no reviews in ${set}/${CLASSES[label]}`)
      // By name, so that a folder and its archive give the same order on every file system.
      for (const file of [...texts.keys()].sort()) {
        const text = texts.get(file) ?? ''
        if (text.trim() === '') throw new UserError(`${source}: ${set}/${CLASSES[label]}/${file} is empty`)
        sets[set].push({ text, label })
      }
    }
  }
  return sets
}
