// Parquet files as tables. They are decoded a row group at a time by a thread of their own (parquet-worker.ts), with
// limits on processor time and memory in proportion to what is read: a damaged file ends in a message and not in a
// hang.
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { UserError } from '../../../engine/errors.ts'
import { decodeUtf8 } from '../../data/bytes.ts'
import type { Cell, Column, Table } from '../../data/table.ts'
import { lookUp } from '../../data/table.ts'
import { PACKAGES, requirePackages } from '../packages.ts'
import type { Reply, Request, TextColumn } from './parquet-worker.ts'

/** Processor time for one answer: milliseconds, and milliseconds for each MB that is read for it. */
const TIME = { least: 500, perMegabyte: 2000 }
/** Memory for one answer, likewise in MB. Strings take twice their UTF-8 bytes, and text may be stored at a tenth. */
const MEMORY = { least: 384, perMegabyte: 48, most: 8192 }
/** How often both are looked at, and how long a thread without work stays for the next file, in milliseconds. */
const WATCH = 50
const IDLE = 2000

const MEGABYTE = 2 ** 20

type Failure = 'slow' | 'large'

/** A thread that answers one request at a time. It is ended when it takes too long, and stays for other files else. */
class Decoder {
  readonly memory: number
  readonly #worker: Worker
  readonly #ready: Promise<unknown>
  #settle: ((reply: Reply | Failure | Error) => void) | undefined
  ended = false

  constructor(memory: number) {
    this.memory = memory
    const file = `./parquet-worker${extname(import.meta.url)}`
    this.#worker = new Worker(new URL(file, import.meta.url), {
      // Not the flags of a test runner or a debugger.
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: memory },
    })
    this.#worker.on('message', (reply: Reply) => this.#settle?.(reply))
    this.#worker.on('error', (error: Error) => {
      this.#settle?.('code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'large' : error)
    })
    this.#worker.on('exit', () => {
      this.ended = true
      this.#settle?.(new Error('The thread that decodes Parquet has ended'))
    })
    this.#ready = this.#next()
  }

  #next(): Promise<Reply | Failure> {
    return new Promise((resolve, reject) => {
      this.#settle = reply => {
        this.#settle = undefined
        if (reply instanceof Error) reject(reply)
        else resolve(reply)
      }
    })
  }

  /** Asks for something that takes `bytes` of the file. */
  async ask(request: Request, bytes: number): Promise<Reply | Failure> {
    this.#worker.ref()
    await this.#ready
    const before = await this.#worker.cpuUsage()
    const budget = 1000 * (TIME.least + (TIME.perMegabyte * bytes) / MEGABYTE)
    const answer = this.#next()
    this.#worker.postMessage(request)
    const watch = setInterval(() => {
      const looks = Promise.all([this.#worker.cpuUsage(before), this.#worker.getHeapStatistics()])
      // A thread that ends meanwhile is told of by its own events.
      void looks.then(
        ([{ user, system }, heap]) => {
          if (user + system > budget) this.#settle?.('slow')
          else if (heap.used_heap_size + heap.external_memory > this.memory * MEGABYTE) this.#settle?.('large')
        },
        () => undefined,
      )
    }, WATCH)
    try {
      const reply = await answer
      if (typeof reply === 'string') await this.end()
      return reply
    } catch (error) {
      await this.end()
      throw error
    } finally {
      clearInterval(watch)
      this.#worker.unref()
    }
  }

  async end(): Promise<void> {
    this.ended = true
    this.#settle = undefined
    await this.#worker.terminate()
  }
}

/** A thread that waits for the next file, and what ends it. */
let idle: { readonly decoder: Decoder; readonly timer: NodeJS.Timeout } | undefined

function takeDecoder(memory: number): Decoder {
  if (idle && !idle.decoder.ended && idle.decoder.memory >= memory) {
    const { decoder, timer } = idle
    clearTimeout(timer)
    idle = undefined
    return decoder
  }
  return new Decoder(memory)
}

async function giveBack(decoder: Decoder): Promise<void> {
  if (decoder.ended) return
  if (idle) {
    await decoder.end()
    return
  }
  const timer = setTimeout(() => {
    idle = undefined
    void decoder.end()
  }, IDLE)
  timer.unref()
  idle = { decoder, timer }
}

/** What the file's reader asks, with failures as errors that name the file. */
async function ask<Kind extends Reply['kind']>(
  decoder: Decoder,
  path: string,
  request: Request,
  bytes: number,
  kind: Kind,
): Promise<Extract<Reply, { kind: Kind }>> {
  const reply = await decoder.ask(request, bytes)
  const damaged = `${path} is not a Parquet file, or is cut short or damaged`
  if (reply === 'slow') throw new UserError(`${damaged}: decoding it does not end`)
  if (reply === 'large') throw new UserError(`${damaged}: decoding it takes more than ${decoder.memory} MB`)
  if (reply.kind === 'failed')
    throw new UserError(reply.user ? reply.message : `${damaged}: ${reply.message.split('\n')[0].slice(0, 200)}`)
  if (!isKind(reply, kind)) throw new Error(`Expected ${kind} from the thread that decodes Parquet, got ${reply.kind}`)
  return reply
}

function isKind<Kind extends Reply['kind']>(reply: Reply, kind: Kind): reply is Extract<Reply, { kind: Kind }> {
  return reply.kind === kind
}

/**
 * The strings of a column. Rows whose text is not UTF-8 are told to `bad`, with the place of the first wrong byte in
 * it.
 */
function unpackTexts({ bytes, ends, texts }: TextColumn, bad: (row: number, byte: number) => void): Cell[] {
  const decoded = Array.from(ends, (end, k) => decodeUtf8(bytes.subarray(k === 0 ? 0 : ends[k - 1], end)))
  return Array.from(texts, (text, row) => {
    if (text < 0) return null
    const found = decoded[text]
    if (typeof found === 'string') return found
    bad(row, found.invalidAt)
    return null
  })
}

/**
 * Opens a Parquet file of `size` bytes. Its columns are those of the schema's root; fields of a nested one are named
 * with dots (`meta.source`). Throws a UserError, naming `path`, on anything that is wrong with the file.
 */
export async function openParquet(path: string, size: number): Promise<Table> {
  requirePackages('a Parquet file', PACKAGES.parquet)
  const memory = Math.round(Math.min(MEMORY.most, MEMORY.least + (MEMORY.perMegabyte * size) / MEGABYTE))
  /** Lets `use` have the file open in a thread. */
  async function* opened<T>(
    use: (decoder: Decoder, reply: Extract<Reply, { kind: 'opened' }>) => AsyncIterable<T>,
  ): AsyncGenerator<T> {
    const decoder = takeDecoder(memory)
    try {
      yield* use(decoder, await ask(decoder, path, { kind: 'open', path }, size, 'opened'))
    } finally {
      if (!decoder.ended) await decoder.ask({ kind: 'close' }, 0)
      await giveBack(decoder)
    }
  }
  let columns: readonly Column[] = []
  for await (const found of opened(async function* (_, reply) {
    yield reply.opened.columns
  }))
    columns = found
  const names = columns.map(({ name }) => name)
  return {
    source: path,
    file: path,
    columns,
    columnsVary: false,
    async *rows(wanted) {
      const roots = wanted.map(name => (names.includes(name) ? name : name.split('.')[0]))
      const read = [...new Set(roots)].filter(name => names.includes(name))
      yield* opened(async function* (decoder, { opened: { groups } }) {
        let number = 0
        for (const [index, { rows, bytes }] of groups.entries()) {
          const { group } = await ask(decoder, path, { kind: 'group', index, columns: read }, bytes, 'group')
          const bad = new Map(group.bad)
          const columns = group.columns.map((column, k) =>
            'bytes' in column ? unpackTexts(column, (row, byte) => bad.set(row, { column: read[k], byte })) : column,
          )
          const sources = wanted.map((name, k) => {
            const at = read.indexOf(roots[k])
            return {
              cells: at < 0 ? [] : columns[at],
              field: name === roots[k] ? undefined : name.slice(roots[k].length + 1),
            }
          })
          for (let i = 0; i < rows; i++) {
            number++
            const wrong = bad.get(i)
            const cells = wrong
              ? []
              : sources.map(({ cells, field }) => (field === undefined ? cells[i] : lookUp(cells[i], field)))
            const problem = wrong && `byte ${wrong.byte} of column ${JSON.stringify(wrong.column)} is not UTF-8`
            yield { file: path, unit: 'row', number, cells, problem }
          }
        }
      })
    },
  }
}
