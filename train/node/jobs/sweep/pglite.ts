// A sweep's database in its folder: PGlite, PostgreSQL as WebAssembly, in one process. That process, which holds the
// folder's lock, lets others on the machine use it through a local socket. On it, one message is a length (u32, little
// endian) and a value in V8's serialization: a request { id, text, values }, or an answer { id, rows } or { id, error }.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { type Server, type Socket, createConnection, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { deserialize, serialize } from 'node:v8'
import { z } from 'zod'
import { UserError } from '../../../../engine/errors.ts'
import { exists, writeAtomic } from '../../../../models/node/files.ts'
import { codeOf } from '../../../../models/node/regular-file.ts'
import { PACKAGES, requirePackages } from '../../packages.ts'
import { InUse, isLocked, lock } from '../../run/lock.ts'
import type { Database, Row } from './database.ts'

/** PGlite's files, in the sweep's folder. */
export const PGLITE = 'pglite'
/** Where the socket is, while a process serves it; sockets' own paths must be short. */
const ADDRESS = 'pglite.socket'

const request = z.object({ id: z.int(), text: z.string(), values: z.array(z.unknown()).optional() })
const answer = z.object({
  id: z.int(),
  rows: z.array(z.record(z.string(), z.unknown())).optional(),
  error: z.object({ message: z.string(), code: z.string().optional() }).optional(),
})
type Answer = z.infer<typeof answer>

/** How long another process may take to open a database, or to close it, in milliseconds. */
const OPENED_WITHIN_MS = 20_000
const LOOK_AGAIN_MS = 100

/**
 * Uses the database in a sweep's folder: through the process that has it open, or by opening it here. Waits for a process
 * that is about to open it, or to close it. Throws a UserError if there is none.
 */
export async function openFolder(folder: string): Promise<Database> {
  const end = performance.now() + OPENED_WITHIN_MS
  for (;;) {
    const isMade = await exists(join(folder, PGLITE))
    if (!isMade && (performance.now() > end || !(await isLocked(folder))))
      throw new UserError(`${folder} has no database of a sweep`)
    try {
      if (isMade) return (await connected(folder)) ?? (await serveFolder(folder))
    } catch (error) {
      if (!(error instanceof InUse) || performance.now() > end) throw error
    }
    await sleep(LOOK_AGAIN_MS)
  }
}

/**
 * Opens the database of a sweep's folder, or makes it, and serves it to other processes. Throws a UserError, naming the
 * process, if another has it open.
 */
export async function serveFolder(folder: string): Promise<Database> {
  requirePackages("a sweep's own database", PACKAGES.pglite)
  const { PGlite } = await import('@electric-sql/pglite')
  const unlock = await lock(folder)
  try {
    const pglite = await PGlite.create(join(folder, PGLITE)).catch((error: unknown) => {
      throw new UserError(`Cannot use the database in ${folder}: ${reasonOf(error)}`)
    })
    const run = async (text: string, values?: unknown[]): Promise<{ rows: Row[] }> => {
      try {
        if (values && values.length > 0) return await pglite.query<Row>(text, values)
        return { rows: (await pglite.exec(text)).flatMap(({ rows }) => rows) }
      } catch (error) {
        // A transaction that several statements began and one of them broke; there is only one connection.
        await pglite.exec('ROLLBACK').catch(() => undefined)
        throw error
      }
    }
    // One statement after another: a transaction in one text must not meet those of others.
    let last: Promise<unknown> = Promise.resolve()
    const executeSql: Database['executeSql'] = (text, values) => {
      const result = last.then(() => run(text, values))
      last = result.catch(() => undefined)
      return result
    }
    const stopServing = await serve(folder, executeSql)
    return {
      backend: 'pglite',
      place: folder,
      executeSql,
      close: async () => {
        await stopServing()
        await last
        await pglite.close()
        await unlock()
      },
    }
  } catch (error) {
    await unlock()
    throw error
  }
}

/** What Emscripten's file system says of a full disk; its errors are no Errors and have a number only. */
const FULL = 51

function reasonOf(error: unknown): string {
  if (error instanceof Error) return error.message
  const number = typeof error === 'object' && error !== null && 'errno' in error ? Number(error.errno) : undefined
  return number === FULL ? 'ENOSPC' : `PGlite does not start${number === undefined ? '' : ` (error ${number})`}`
}

/** Answers requests on a socket of its own. Gives what ends that. */
async function serve(folder: string, executeSql: Database['executeSql']): Promise<() => Promise<void>> {
  const place = await mkdtemp(join(tmpdir(), 'tilegrad-'))
  const address = process.platform === 'win32' ? `\\\\.\\pipe\\${place.replaceAll(/[\\/:]/g, '-')}` : join(place, 's')
  const sockets = new Set<Socket>()
  const server: Server = createServer(socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    // Whoever asked is gone.
    socket.on('error', () => undefined)
    onMessages(socket, message => {
      const { id, text, values } = request.parse(message)
      void executeSql(text, values).then(
        ({ rows }) => send(socket, { id, rows }),
        (error: unknown) =>
          send(socket, {
            id,
            error: { message: error instanceof Error ? error.message : String(error), code: codeOf(error) },
          }),
      )
    })
  })
  await new Promise<void>((done, failed) => server.once('error', failed).listen(address, done))
  server.unref()
  await writeAtomic(join(folder, ADDRESS), address)
  return async () => {
    await rm(join(folder, ADDRESS), { force: true })
    server.close()
    for (const socket of sockets) socket.destroy()
    await rm(place, { recursive: true, force: true })
  }
}

/** Speaks to the process that has a folder's database open; undefined if there is none. */
async function connected(folder: string): Promise<Database | undefined> {
  const address = await readFile(join(folder, ADDRESS), 'utf8').catch(() => undefined)
  if (address === undefined) return undefined
  const first = await connect(address).catch(() => undefined)
  if (!first) return undefined
  let client: Client | undefined = first
  return {
    backend: 'pglite',
    place: folder,
    executeSql: async (text, values) => {
      // One that broke is made again: the process may have started anew, at another address.
      if (!client || client.isClosed) {
        const now = await readFile(join(folder, ADDRESS), 'utf8').catch(() => undefined)
        if (now === undefined) throw lost()
        client = await connect(now)
      }
      return client.ask(text, values)
    },
    close: async () => client?.close(),
  }
}

interface Client {
  readonly isClosed: boolean
  ask(text: string, values?: unknown[]): Promise<{ rows: Row[] }>
  close(): void
}

async function connect(address: string): Promise<Client> {
  const socket = createConnection(address)
  await new Promise<void>((done, failed) => socket.once('error', failed).once('connect', done))
  const waiting = new Map<number, (answer: Answer | Error) => void>()
  let [count, isClosed] = [0, false]
  socket.on('error', () => undefined)
  socket.on('close', () => {
    isClosed = true
    for (const settle of waiting.values()) settle(lost())
    waiting.clear()
  })
  onMessages(socket, message => {
    const given = answer.parse(message)
    waiting.get(given.id)?.(given)
    waiting.delete(given.id)
  })
  return {
    get isClosed() {
      return isClosed
    },
    ask: (text, values) =>
      new Promise((done, failed) => {
        if (isClosed) return failed(lost())
        const id = count++
        waiting.set(id, given => {
          if (given instanceof Error) failed(given)
          else if (given.error) failed(Object.assign(new Error(given.error.message), { code: given.error.code }))
          else done({ rows: given.rows ?? [] })
        })
        send(socket, { id, text, values })
      }),
    close: () => void socket.destroy(),
  }
}

/** As PostgreSQL's driver has it, so that it is waited for in the same way. */
const lost = (): Error => Object.assign(new Error('Connection terminated'), { code: 'ECONNRESET' })

function send(socket: Socket, message: object): void {
  const body = serialize(message)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(body.length)
  socket.write(Buffer.concat([length, body]))
}

/** Calls `use` with each message that arrives. */
function onMessages(socket: Socket, use: (message: unknown) => void): void {
  let chunks: Buffer[] = []
  let have = 0
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    have += chunk.length
    for (;;) {
      if (have < 4) return
      if (chunks[0].length < 4) chunks = [Buffer.concat(chunks)]
      const length = chunks[0].readUInt32LE(0)
      if (have < 4 + length) return
      const all = Buffer.concat(chunks)
      chunks = [all.subarray(4 + length)]
      have -= 4 + length
      use(deserialize(all.subarray(4, 4 + length)))
    }
  })
}
