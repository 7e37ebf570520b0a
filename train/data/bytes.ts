// Bytes as they come from a file, in pieces, become records of text. Memory is bounded: a record that is longer than
// MAX_RECORD_BYTES is refused while it is read, and a file is never one string.
import { UserError } from '../../engine/errors.ts'

/** A file's bytes, in pieces. Calling it again reads again from the start. */
export type ByteStream = () => AsyncIterable<Uint8Array>

/** Longest record (a CSV row, a line, an element of a JSON array, a review) in bytes of UTF-8. */
export const MAX_RECORD_BYTES = 16 * 1024 * 1024

/** One record of a file, without what ends it. Lines count from 1, `offset` is that of its first byte. */
export interface Record {
  readonly bytes: Uint8Array
  readonly line: number
  readonly offset: number
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Text of UTF-8 bytes, a byte order mark included, or the place of the first byte that is not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | { readonly invalidAt: number } {
  try {
    return strict.decode(bytes)
  } catch {
    return { invalidAt: invalidUtf8(bytes) }
  }
}

/** Index of the first byte that begins no well-formed UTF-8 sequence (Unicode 15, table 3-7), or −1. */
export function invalidUtf8(bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length;) {
    const first = bytes[i]
    if (first < 0x80) {
      i++
      continue
    }
    const length =
      first >= 0xc2 && first <= 0xdf ? 2 : first >= 0xe0 && first <= 0xef ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0
    if (length === 0 || i + length > bytes.length) return i
    // Overlong forms, surrogates and what lies beyond U+10FFFF differ in the second byte.
    const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
    const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
    if (bytes[i + 1] < least || bytes[i + 1] > most) return i
    for (let k = 2; k < length; k++) if ((bytes[i + k] & 0xc0) !== 0x80) return i
    i += length
  }
  return -1
}

/** What a row that is not UTF-8 is told. `byte` counts from 0, in the file. */
export function notUtf8(byte: number): string {
  return `byte ${byte} is not UTF-8; if the file is in another encoding, name it, for example --encoding windows-1252`
}

/** Collects the pieces of a record that spans several pieces of the file, up to the limit. */
export class RecordBuffer {
  readonly #where: string
  #pieces: Uint8Array[] = []
  #length = 0

  constructor(where: string) {
    this.#where = where
  }

  get length(): number {
    return this.#length
  }

  /** Adds a piece, which must not change after this. Throws a UserError once the record is too long. */
  push(piece: Uint8Array, line: number): void {
    this.#length += piece.length
    if (this.#length > MAX_RECORD_BYTES) {
      throw new UserError(
        `${this.#where}: the record that begins in line ${line} has more than ${MAX_RECORD_BYTES / 2 ** 20} MB`,
      )
    }
    if (piece.length > 0) this.#pieces.push(piece)
  }

  /** The whole record, and an empty buffer. */
  take(): Uint8Array {
    const bytes = joined(this.#pieces, this.#length)
    this.#pieces = []
    this.#length = 0
    return bytes
  }
}

function joined(pieces: readonly Uint8Array[], length: number): Uint8Array {
  if (pieces.length === 1) return pieces[0]
  const bytes = new Uint8Array(length)
  let at = 0
  for (const piece of pieces) {
    bytes.set(piece, at)
    at += piece.length
  }
  return bytes
}

const LF = 10

/**
 * The lines of a file. Only \n ends one: U+2028 and U+2029 may occur inside a JSON string, and JSON takes the \r before
 * it for white space. Throws a UserError, naming `where`, on a line that is too long.
 */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>, where: string): AsyncGenerator<Record> {
  const buffer = new RecordBuffer(where)
  let line = 1
  let offset = 0
  for await (const chunk of chunks) {
    let start = 0
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
      buffer.push(chunk.subarray(start, end), line)
      const bytes = buffer.take()
      yield { bytes, line, offset }
      offset += bytes.length + 1
      line++
      start = end + 1
    }
    buffer.push(chunk.subarray(start), line)
  }
  if (buffer.length > 0) yield { bytes: buffer.take(), line, offset }
}

/** The first `limit` bytes of a stream, or fewer where it ends before. */
export async function headOf(stream: ByteStream, limit: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const chunk of stream()) {
    pieces.push(chunk)
    length += chunk.length
    if (length >= limit) break
  }
  return joined(pieces, length).subarray(0, limit)
}

/** Drops a UTF-8 byte order mark from the start of a stream. */
async function* withoutMark(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let start: Uint8Array | undefined = new Uint8Array()
  for await (const chunk of chunks) {
    if (!start) {
      yield chunk
      continue
    }
    start = joined([start, chunk], start.length + chunk.length)
    if (start.length < 3) continue
    yield start[0] === 0xef && start[1] === 0xbb && start[2] === 0xbf ? start.subarray(3) : start
    start = undefined
  }
  if (start) yield start
}

/**
 * The file as UTF-8 without a byte order mark. `encoding` is a label of the Encoding Standard (`windows-1252`,
 * `latin1`, `utf-16le`, `shift_jis` …); without one the file is UTF-8, or UTF-16 where its byte order mark says so.
 * UTF-8 is passed on unchecked, so that a reader can name the row of a byte that is wrong; `skipped` bytes of a mark
 * are missing from offsets. Throws a UserError, naming `where`, on an unknown label or, while reading, on bytes that
 * are not text.
 */
export async function asUtf8(
  stream: ByteStream,
  where: string,
  encoding?: string,
): Promise<{ readonly stream: ByteStream; readonly skipped: number; readonly recoded: boolean }> {
  const [first, second, third] = await headOf(stream, 3)
  const mark =
    first === 0xff && second === 0xfe ? 'utf-16le' : first === 0xfe && second === 0xff ? 'utf-16be' : undefined
  const label = encoding === undefined ? (mark ?? 'utf-8') : decoderFor(encoding).encoding
  if (label === 'utf-8') {
    const skipped = first === 0xef && second === 0xbb && third === 0xbf ? 3 : 0
    return { stream: () => withoutMark(stream()), skipped, recoded: false }
  }
  return { stream: () => recode(stream, label, where), skipped: 0, recoded: true }
}

/** A decoder by its label. Throws a UserError on a label that the Encoding Standard does not know. */
export function decoderFor(label: string): TextDecoder {
  try {
    return new TextDecoder(label, { fatal: true })
  } catch {
    throw new UserError(
      `Unknown encoding ${JSON.stringify(label)}; expected one of the Encoding Standard's, such as utf-8, windows-1252, utf-16le`,
    )
  }
}

async function* recode(stream: ByteStream, label: string, where: string): AsyncGenerator<Uint8Array> {
  const decoder = decoderFor(label)
  const encoder = new TextEncoder()
  let chunks = 0
  try {
    for await (const chunk of stream()) {
      const text = decoder.decode(chunk, { stream: true })
      chunks++
      if (text !== '') yield encoder.encode(text)
    }
    const rest = decoder.decode()
    if (rest !== '') yield encoder.encode(rest)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    const { byte, line } = await undecodable(stream, label, chunks)
    throw new UserError(`${where}, line ${line}: byte ${byte} is not ${label}`)
  }
}

/** Where decoding fails: decodes again, the piece after the first `good` ones a byte at a time. */
async function undecodable(stream: ByteStream, label: string, good: number): Promise<{ byte: number; line: number }> {
  const decoder = decoderFor(label)
  let byte = 0
  let line = 1
  const count = (text: string): void => {
    line += text.split('\n').length - 1
  }
  let chunks = 0
  for await (const chunk of stream()) {
    if (chunks++ < good) {
      count(decoder.decode(chunk, { stream: true }))
      byte += chunk.length
      continue
    }
    try {
      for (let i = 0; i < chunk.length; i++, byte++) count(decoder.decode(chunk.subarray(i, i + 1), { stream: true }))
    } catch {
      return { byte, line }
    }
  }
  // The last character is cut short.
  return { byte: Math.max(0, byte - 1), line }
}
