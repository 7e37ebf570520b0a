// Reading a tar archive (POSIX ustar), as far as the set-up needs it: whole files by name, from a stream.
import { UserError } from '../errors.ts'

const BLOCK = 512
/** Where a header has these fields, and how long they are. */
const NAME = [0, 100] as const
const SIZE = [124, 12] as const
const TYPE = 156
const PREFIX = [345, 155] as const
/** Types of regular files: '0', and in old archives NUL. */
const REGULAR = [0x30, 0]

/**
 * The regular files that `wanted` names, one at a time; others are skipped and not kept in memory. Throws a UserError if
 * the archive ends in the middle of a file.
 */
export async function* untar(
  chunks: AsyncIterable<Uint8Array>,
  wanted: (name: string) => boolean,
): AsyncGenerator<{ readonly name: string; readonly bytes: Uint8Array }> {
  const reader = new Reader(chunks)
  for (;;) {
    const header = await reader.take(BLOCK)
    // Two blocks of zeros end an archive; some have none.
    if (!header || header.every(byte => byte === 0)) return
    const name = [textAt(header, PREFIX), textAt(header, NAME)].filter(Boolean).join('/')
    const size = Number.parseInt(textAt(header, SIZE), 8)
    const padded = Math.ceil(size / BLOCK) * BLOCK
    const isWanted = REGULAR.includes(header[TYPE]) && wanted(name)
    const content = isWanted ? await reader.take(padded) : undefined
    if (Number.isNaN(size) || (isWanted ? !content : !(await reader.skip(padded))))
      throw new UserError(`the archive ends in the middle of ${name}`)
    if (content) yield { name, bytes: content.subarray(0, size) }
  }
}

/** A field of a header, up to its first NUL. */
function textAt(header: Uint8Array, [at, length]: readonly [number, number]): string {
  return new TextDecoder().decode(header.subarray(at, at + length)).split('\0')[0]
}

/** Takes exact numbers of bytes from a stream. */
class Reader {
  readonly #chunks: AsyncIterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array()

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  /** The next `count` bytes, or undefined if the stream has fewer. */
  async take(count: number): Promise<Uint8Array | undefined> {
    const bytes = new Uint8Array(count)
    const isWhole = await this.#walk(count, (part, at) => bytes.set(part, at))
    return isWhole ? bytes : undefined
  }

  /** Leaves out the next `count` bytes. Gives false if the stream has fewer. */
  skip(count: number): Promise<boolean> {
    return this.#walk(count, () => undefined)
  }

  async #walk(count: number, use: (part: Uint8Array, at: number) => void): Promise<boolean> {
    for (let at = 0; at < count;) {
      if (this.#rest.length === 0) {
        const next = await this.#chunks.next()
        if (next.done) return false
        this.#rest = next.value
      }
      const part = this.#rest.subarray(0, count - at)
      use(part, at)
      at += part.length
      this.#rest = this.#rest.subarray(part.length)
    }
    return true
  }
}
