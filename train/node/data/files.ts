// One data file as bytes or as a table, by its ending.
import { basename, extname } from 'node:path'
import { UserError } from '../../../engine/errors.ts'
import { fileError, openRegularFile } from '../../../models/node/regular-file.ts'
import type { ByteStream } from '../../data/bytes.ts'
import { openCsv } from '../../data/csv.ts'
import { openJson } from '../../data/json.ts'
import type { Table } from '../../data/table.ts'
import { openParquet } from './parquet.ts'

/** The endings of the files that `openTable` reads. */
export const TABLE_ENDINGS = ['.csv', '.tsv', '.json', '.jsonl', '.ndjson', '.parquet'] as const

/** Bytes that are read at once. */
const PIECE = 256 * 1024

/** Whether the path ends like a table. */
export function isTable(path: string): boolean {
  return TABLE_ENDINGS.some(ending => extname(path).toLowerCase() === ending)
}

/** Whether the path ends like a file of plain text. */
export const isText = (path: string): boolean => extname(path).toLowerCase() === '.txt'

/** The name of a table without its folder and ending: `train` for `reviews/train.csv`. */
export function stem(path: string): string {
  return basename(path, extname(path))
}

/**
 * A regular file, read in pieces each time from its start. Throws a UserError, naming the path, where it cannot be
 * read.
 */
export function fileStream(path: string): ByteStream {
  return async function* () {
    const { handle, size } = await openRegularFile(path)
    try {
      for (let done = 0; ;) {
        // One byte more than there should be, which finds the end; a small file takes little memory.
        const piece = new Uint8Array(Math.max(1, Math.min(PIECE, size - done + 1)))
        const { bytesRead } = await handle.read(piece, 0, piece.length)
        if (bytesRead === 0) return
        done += bytesRead
        yield piece.subarray(0, bytesRead)
      }
    } catch (error) {
      throw fileError(path, error)
    } finally {
      await handle.close()
    }
  }
}

/**
 * Opens a table by its ending, without reading all of it. `encoding` is a label of the Encoding Standard; without one
 * text is UTF-8, or UTF-16 with a byte order mark. Throws a UserError, naming the path, if it is not such a table.
 */
export async function openTable(path: string, encoding?: string): Promise<Table> {
  const ending = extname(path).toLowerCase()
  const { handle, size } = await openRegularFile(path)
  await handle.close()
  if (size === 0) throw new UserError(`${path} is empty`)
  switch (ending) {
    case '.parquet':
      return openParquet(path, size)
    case '.json':
      return openJson(fileStream(path), path, 'any', encoding)
    case '.jsonl':
    case '.ndjson':
      return openJson(fileStream(path), path, 'lines', encoding)
    case '.csv':
      return openCsv(fileStream(path), path, { encoding })
    case '.tsv':
      return openCsv(fileStream(path), path, { encoding, delimiter: '\t' })
    default:
      throw new UserError(`${path} is not a data file: expected ${TABLE_ENDINGS.join(', ')}`)
  }
}
