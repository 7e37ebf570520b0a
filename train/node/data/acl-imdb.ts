// The Large Movie Review Dataset as its authors publish it (Maas et al., ACL 2011): one text file a review, in
// train/pos, train/neg, test/pos and test/neg, as a folder or as the .tar.gz that it is downloaded as.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import type { ReadEntry } from 'tar'
import { UserError } from '../../../engine/errors.ts'
import { isFolder, readBytes } from '../../../models/node/files.ts'
import { MAX_RECORD_BYTES, decodeUtf8, decoderFor, headOf, notUtf8 } from '../../data/bytes.ts'
import type { Cell, Row, Table } from '../../data/table.ts'
import { PACKAGES, requirePackages } from '../packages.ts'
import { fileStream } from './files.ts'

export const ACL_SETS = ['train', 'test'] as const
export type AclSet = (typeof ACL_SETS)[number]
/** By label, and in the Hub's order: negatives first. */
const CLASSES = ['neg', 'pos'] as const

/** What an archive may unpack to: reviews shrink to a third or so, never to a hundredth. */
const UNPACKED = { least: 64 * 2 ** 20, ratio: 100 }
const MAX_ENTRIES = 1_000_000

/** The folder that holds train/pos: `path` or its subfolder aclImdb; undefined where neither does. */
export async function findAclFolder(path: string): Promise<string | undefined> {
  for (const folder of [path, join(path, 'aclImdb')]) {
    if (await isFolder(join(folder, 'train', 'pos'))) return folder
  }
  return undefined
}

/** Lists the names of one part's reviews, and reads one. */
interface Part {
  readonly names: readonly string[]
  readonly read: (name: string) => Promise<Uint8Array>
}

/**
 * The folder's sets as tables of text and label. Reviews come by class, then by file name. Throws a UserError on a
 * missing or empty part.
 */
export async function openAclFolder(folder: string, encoding?: string): Promise<Map<AclSet, Table>> {
  return tables(folder, encoding, async (set, name) => {
    const part = join(folder, set, name)
    if (!(await isFolder(part))) throw new UserError(`${folder} has no folder ${set}/${name}`)
    return {
      names: (await readdir(part)).filter(isReview),
      read: file => readBytes(join(part, file), MAX_RECORD_BYTES),
    }
  })
}

/**
 * Reads the archive without unpacking it to disk; its reviews stay in memory. Throws a UserError when it is damaged,
 * lacks a part, or has a review, a number of files or a size unpacked that no archive of reviews has.
 */
export async function openAclArchive(path: string, encoding?: string): Promise<Map<AclSet, Table>> {
  const parts = await readArchive(path)
  if (parts.size === 0) throw new UserError(`${path} holds no reviews: expected files like aclImdb/train/pos/0_9.txt`)
  return tables(path, encoding, async (set, name) => {
    const texts = parts.get(`${set}/${name}`) ?? new Map<string, Uint8Array>()
    return { names: [...texts.keys()], read: async file => texts.get(file) ?? new Uint8Array() }
  })
}

async function readArchive(path: string): Promise<Map<string, Map<string, Uint8Array>>> {
  const parts = new Map<string, Map<string, Uint8Array>>()
  let entries = 0
  /** A limit that was passed; entries arrive in callbacks, from which throwing leads nowhere. */
  let refused: UserError | undefined
  requirePackages('a .tar.gz file', PACKAGES.archives)
  const { Parser } = await import('tar')
  const parser = new Parser({ strict: true })
  let failed: Error | undefined
  parser.on('error', (error: Error) => {
    failed ??= error
  })
  parser.on('entry', (entry: ReadEntry) => {
    if (++entries > MAX_ENTRIES) refused ??= new UserError(`${path} has more than ${MAX_ENTRIES} files`)
    const match = /(?:^|\/)(train|test)\/(neg|pos)\/([^/]+)$/.exec(entry.path)
    // Only files: a link or a device leads elsewhere.
    const isFile = entry.type === 'File' || entry.type === 'OldFile' || entry.type === 'ContiguousFile'
    if (refused || !isFile || !match || !isReview(match[3])) {
      entry.resume()
      return
    }
    if (entry.size > MAX_RECORD_BYTES) {
      refused = new UserError(`${path}: ${match[0]} has ${entry.size} bytes, more than a review of ${MAX_RECORD_BYTES}`)
      entry.resume()
      return
    }
    const pieces: Buffer[] = []
    entry.on('data', (piece: Buffer) => pieces.push(piece))
    entry.on('end', () => {
      const key = `${match[1]}/${match[2]}`
      const texts = parts.get(key) ?? new Map<string, Uint8Array>()
      parts.set(key, texts.set(match[3], Buffer.concat(pieces)))
    })
  })
  const ended = new Promise<void>(resolve => {
    parser.on('end', resolve)
    parser.on('close', resolve)
    parser.on('abort', resolve)
  })
  try {
    await unpack(path, piece => {
      parser.write(Buffer.from(piece.buffer, piece.byteOffset, piece.length))
      if (refused) throw refused
      if (failed) throw failed
    })
    parser.end()
    await ended
    if (failed) throw failed
    if (refused) throw refused
  } catch (error) {
    if (error instanceof UserError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new UserError(`${path} is not a tar archive, or is cut short or damaged: ${reason.split('\n')[0]}`)
  }
  return parts
}

/** Gives the archive's bytes, unpacked where they are packed, to `take`, as far as their number is in proportion. */
async function unpack(path: string, take: (piece: Uint8Array) => void): Promise<void> {
  const stream = fileStream(path)
  const [first, second] = await headOf(stream, 2)
  if (first === undefined) throw new RangeError('it is empty')
  let packed = 0
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const piece of stream()) {
      packed += piece.length
      yield piece
    }
  }
  let total = 0
  const consume = async (pieces: AsyncIterable<Uint8Array>): Promise<void> => {
    for await (const piece of pieces) {
      total += piece.length
      if (total > UNPACKED.least + UNPACKED.ratio * packed) {
        throw new UserError(
          `${path} unpacks to more than ${UNPACKED.ratio} times its size, which no archive of reviews does`,
        )
      }
      take(piece)
    }
  }
  if (first === 0x1f && second === 0x8b) await pipeline(counted, createGunzip(), consume)
  else await pipeline(counted, consume)
}

/** Reviews are called `<number>_<rating>.txt`; archives made on a Mac have `._` companions of them. */
function isReview(file: string): boolean {
  return file.endsWith('.txt') && !file.startsWith('.')
}

async function tables(
  source: string,
  encoding: string | undefined,
  open: (set: AclSet, name: 'neg' | 'pos') => Promise<Part>,
): Promise<Map<AclSet, Table>> {
  const found = new Map<AclSet, Table>()
  for (const set of ACL_SETS) {
    const parts: { readonly name: 'neg' | 'pos'; readonly label: number; readonly part: Part }[] = []
    for (const [label, name] of CLASSES.entries()) {
      const part = await open(set, name)
      if (part.names.length === 0) throw new UserError(`${source} has no reviews in ${set}/${name}`)
      // By name, so that a folder and its archive give the same order on every file system.
      parts.push({ name, label, part: { ...part, names: part.names.toSorted() } })
    }
    found.set(set, {
      source,
      file: source,
      columns: [{ name: 'text' }, { name: 'label', classNames: CLASSES }],
      columnsVary: false,
      async *rows(columns) {
        const decoder = encoding === undefined ? undefined : decoderFor(encoding)
        for (const { name, label, part } of parts) {
          // 25,000 small files: read some at a time, not one by one, and not all at once.
          for (let i = 0; i < part.names.length; i += 64) {
            const files = part.names.slice(i, i + 64)
            const read = await Promise.all(files.map(file => part.read(file)))
            for (const [k, file] of files.entries()) {
              yield rowOf(`${set}/${name}/${file}`, read[k], label, columns)
            }
          }
        }
        function rowOf(file: string, bytes: Uint8Array, label: number, wanted: readonly string[]): Row {
          const place = { file: source, unit: 'file' as const, number: file }
          const text = decodeReview(bytes, decoder)
          if (typeof text !== 'string') return { ...place, cells: [], problem: text.problem }
          return {
            ...place,
            cells: wanted.map((column): Cell => (column === 'text' ? text : column === 'label' ? label : undefined)),
          }
        }
      },
    })
  }
  return found
}

function decodeReview(bytes: Uint8Array, decoder: TextDecoder | undefined): string | { readonly problem: string } {
  if (decoder) {
    try {
      return decoder.decode(bytes)
    } catch {
      return { problem: `not ${decoder.encoding}` }
    }
  }
  const text = decodeUtf8(bytes)
  return typeof text === 'string' ? text : { problem: notUtf8(text.invalidAt) }
}
