// Measured kernels in the user's cache, shared by all runs: one file per adapter, one line per answer. Processes only
// append to it, so that none overwrites another's answers and a large file costs no more than a small one. When a run
// opens the file, superseded and damaged lines are dropped by writing it anew beside its place.
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import { type Answer, questionKey } from '../../../engine/tune.ts'
import { codeOf, openRegularFile } from '../../../models/node/regular-file.ts'

/** An answer as files hold it: the question's parts and the candidate's config, readable and comparable. */
export const answerSchema = z.object({
  kernel: z.string(),
  sizes: z.record(z.string(), z.number()),
  options: z.record(z.string(), z.union([z.string(), z.boolean()])),
  candidate: z.json(),
})

/** The most that is read of a file, in bytes. One that is larger is begun anew. */
const MOST_BYTES = 32 * 2 ** 20
/** The most answers that are kept, the newest. */
const MOST_ANSWERS = 20_000
/** Lines beyond those that count, from which on a file is written anew. */
const SPARE_LINES = 1000
/** A lock that is older than this was left by a process that was killed: writing anew takes less than a second. */
const STALE_MS = 60_000

interface Content {
  /** By `questionKey`, the oldest first. */
  readonly answers: Map<string, Answer>
  readonly lines: number
  /** What is wrong with the file, if anything. */
  readonly problem?: string
}

export class AnswerFile {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  /**
   * All answers by `questionKey`, none if there is no file. `onDamage` is called with a sentence if something in it is
   * unusable.
   */
  async read(onDamage: (sentence: string) => void): Promise<Map<string, Answer>> {
    const handle = await this.#open()
    if (!handle) return new Map()
    let content: Content
    try {
      content = await readLines(handle)
    } finally {
      await handle.close()
    }
    const { answers, lines, problem } = content
    if (problem !== undefined) onDamage(`${this.path} ${problem}`)
    if (problem !== undefined || lines > Math.min(2 * answers.size, MOST_ANSWERS) + SPARE_LINES) await this.compact()
    return answers
  }

  /** Adds an answer, which replaces an earlier one to the same question. */
  async append(answer: Answer): Promise<void> {
    await mkdir(dirname(this.path), { recursive: true })
    // The break before it ends what a process that was killed in the middle of a line has left.
    const bytes = Buffer.from(`\n${JSON.stringify(answer)}\n`)
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | (constants.O_NONBLOCK ?? 0)
    for (let attempt = 0; attempt < 10; attempt++) {
      const handle = await open(this.path, flags)
      try {
        // One write at the end of the file: the system lets no other come between.
        const { bytesWritten } = await handle.write(bytes)
        if (bytesWritten < bytes.length) throw Object.assign(new Error('the disk is full'), { code: 'ENOSPC' })
        const [written, there] = [await handle.stat(), await stat(this.path).catch(() => undefined)]
        if (written.ino === there?.ino && written.dev === there.dev) return
      } finally {
        await handle.close()
      }
      // Another process has written the file anew meanwhile, perhaps without this: once more.
    }
  }

  /** Writes the file anew with the answers that count. Does nothing where another process is doing so. */
  async compact(): Promise<void> {
    const lock = `${this.path}.lock`
    if (!(await takeLock(lock))) return
    const beside = `${this.path}.${randomBytes(6).toString('hex')}.tmp`
    const handle = await this.#open().catch(() => undefined)
    try {
      if (!handle) return
      const { answers } = await readLines(handle)
      const kept = [...answers.values()].slice(-MOST_ANSWERS)
      await writeFile(beside, kept.map(answer => `${JSON.stringify(answer)}\n`).join(''))
      await rename(beside, this.path)
      // What was appended after the reading. Whoever appends from here on notices that the file is another.
      for (const [key, answer] of (await readLines(handle)).answers) {
        if (JSON.stringify(answers.get(key)) !== JSON.stringify(answer)) await this.append(answer)
      }
    } finally {
      await handle?.close()
      await rm(beside, { force: true })
      await rm(lock, { force: true })
    }
  }

  /** Opens the file for reading; undefined if there is none. */
  async #open(): Promise<FileHandle | undefined> {
    if (
      await stat(this.path).then(
        () => false,
        (error: unknown) => codeOf(error) === 'ENOENT',
      )
    )
      return undefined
    return (await openRegularFile(this.path)).handle
  }
}

/** What a file holds now. */
async function readLines(handle: FileHandle): Promise<Content> {
  const { size } = await handle.stat()
  const answers = new Map<string, Answer>()
  if (size > MOST_BYTES) {
    return { answers, lines: 0, problem: `has ${size} bytes, more than such a file may have, and is begun anew` }
  }
  const bytes = Buffer.alloc(size)
  let end = 0
  while (end < size) {
    const { bytesRead } = await handle.read(bytes, end, size - end, end)
    if (bytesRead === 0) break
    end += bytesRead
  }
  const texts = bytes.toString('utf8', 0, end).split('\n')
  // A last line without an end is being written now, or was when its process was killed.
  texts.pop()
  let [lines, damaged] = [0, 0]
  for (const text of texts) {
    if (text === '') continue
    lines++
    const answer = parseLine(text)
    if (!answer) {
      damaged++
      continue
    }
    // Anew, so that the newest answers come last.
    answers.delete(questionKey(answer))
    answers.set(questionKey(answer), answer)
  }
  if (damaged === 0) return { answers, lines }
  return { answers, lines, problem: `has ${damaged} of ${lines} lines that are not measured kernels; they are dropped` }
}

function parseLine(text: string): Answer | undefined {
  try {
    return answerSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

/** False where another process holds it. */
async function takeLock(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined)
  if (found && Date.now() - found.mtimeMs > STALE_MS) await rm(path, { force: true })
  return writeFile(path, `${process.pid}\n`, { flag: 'wx' }).then(
    () => true,
    () => false,
  )
}
