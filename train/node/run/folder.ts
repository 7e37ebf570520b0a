// A run's folder: config.json, metrics.jsonl, result.json, and the places of what others write (checkpoints, adapter,
// report). Whole files are written beside their place and renamed into it; metrics grow a whole line at a time.
import {
  type BigIntStats,
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  statSync,
  writeSync,
} from 'node:fs'
import { access, constants, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { UserError } from '../../../engine/errors.ts'
import {
  exists,
  isFolder,
  isTemporary,
  readJson,
  syncFolder,
  temporaryName,
  writeAtomic,
} from '../../../models/node/files.ts'
import { codeOf } from '../../../models/node/regular-file.ts'
import { type RunConfig, parseRunConfig } from './config.ts'
import { EventFile } from './event-file.ts'
import { finiteJson } from './json.ts'
import { LOCK, lock } from './lock.ts'

/** One line of metrics.jsonl: an optimizer step, or an evaluation after it. */
export type Metrics = { readonly step: number } & Readonly<Record<string, unknown>>

const CONFIG = 'config.json'
const METRICS = 'metrics.jsonl'
const RESULT = 'result.json'

/** A folder that is another run's, or holds something else. */
class Taken extends UserError {}

/** The folder that a run works in was moved or deleted meanwhile. */
export class FolderGone extends UserError {}

/**
 * The folder that a new run would get: `out`, or else `runs/<date>-<name>`, numbered where that is taken. Creates
 * nothing. Throws a UserError when `out` exists and is a folder that is not empty, or when the folder could not be
 * made.
 */
export async function chooseRunFolder(
  out: string | undefined,
  name: string,
  { root = 'runs', now = new Date() } = {},
): Promise<string> {
  if (out !== undefined) {
    await refuseTaken(out)
    await refuseUnwritable(out)
    return out
  }
  // The name may be a Hub's, with a slash, or anything that a user typed.
  const plain = name.replace(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^[-.]+|[-.]+$/g, '') || 'run'
  const folder = join(root, `${now.toISOString().slice(0, 10)}-${plain}`)
  await refuseUnwritable(folder)
  for (let number = 1; ; number++) {
    const candidate = number === 1 ? folder : `${folder}-${number}`
    if (!(await exists(candidate))) return candidate
  }
}

/**
 * Creates the folder and writes its config.json: what the run is, all that is needed to repeat it. To be called once
 * everything is resolved, so that a mistake leaves nothing behind. Throws a UserError when the folder is taken, also by
 * one of several processes that want it at once.
 */
export async function createRun(folder: string, config: Readonly<Record<string, unknown>>): Promise<Run> {
  const { run, unlock } = await createLocked(folder, config)
  await unlock()
  return run
}

/** A run, and what unlocks its folder. */
interface Locked {
  readonly run: Run
  readonly unlock: () => Promise<void>
}

async function createLocked(folder: string, config: Readonly<Record<string, unknown>>): Promise<Locked> {
  await refuseTaken(folder)
  try {
    await mkdir(folder, { recursive: true })
    const unlock = await lock(folder).catch((error: unknown) => {
      throw error instanceof UserError ? new Taken(error.message) : error
    })
    try {
      await removeLeftovers(folder)
      if ((await readdir(folder)).some(isContent)) throw new Taken(taken(folder))
      await writeAtomic(join(folder, CONFIG), toJson(config))
      return { run: new Run(folder, await readConfig(folder)), unlock }
    } catch (error) {
      await unlock()
      throw error
    }
  } catch (error) {
    const code = codeOf(error)
    if (code === undefined) throw error
    throw new UserError(`Cannot write the run's folder ${folder}: ${code}`, { cause: error })
  }
}

/**
 * Creates a run in `out`, or in the first folder by `name` that no other process takes, and keeps it locked. Throws as
 * those two do.
 */
export async function createNewRun(
  out: string | undefined,
  name: string,
  config: Readonly<Record<string, unknown>>,
  where: { root?: string; now?: Date } = {},
): Promise<Locked> {
  for (;;) {
    try {
      return await createLocked(await chooseRunFolder(out, name, where), config)
    } catch (error) {
      if (out !== undefined || !(error instanceof Taken)) throw error
    }
  }
}

/** Opens a run to resume it. Throws a UserError on a folder that is not a run's. */
export async function openRun(folder: string): Promise<Run> {
  const found = await stat(folder).catch(() => undefined)
  if (!found?.isDirectory()) throw new UserError(`No run's folder at ${folder}`)
  if (!(await exists(join(folder, CONFIG)))) throw new UserError(`${folder} is not a run folder: it has no ${CONFIG}`)
  return new Run(folder, await readConfig(folder))
}

async function readConfig(folder: string): Promise<RunConfig> {
  const path = join(folder, CONFIG)
  return parseRunConfig(await readJson(path), folder, path)
}

/** Throws a UserError unless `folder` is missing or empty. `user` is who messages say needs it. */
export async function refuseTaken(folder: string, user = 'a run'): Promise<void> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return []
    if (codeOf(error) === 'ENOTDIR')
      throw new UserError(`${folder} is a file, or below one: ${user} needs a folder of its own`)
    throw new UserError(`Cannot read the folder ${folder}: ${codeOf(error) ?? String(error)}`)
  })
  if (names.some(isContent)) throw new Taken(taken(folder, user))
}

/** Whether a name in a folder is more than what a process leaves that was killed before it wrote anything. */
const isContent = (name: string): boolean => name !== LOCK && !isTemporary(name)

const taken = (folder: string, user = 'a run'): string =>
  `${folder} exists and is not empty: ${user} needs a folder of its own`

/**
 * Throws a UserError if `folder` could not be made: to find out only when it is written would waste all that comes
 * before. `called` is what messages call it.
 */
export async function refuseUnwritable(folder: string, called = "the run's folder"): Promise<void> {
  let parent = resolve(folder)
  while (!(await exists(parent)) && dirname(parent) !== parent) parent = dirname(parent)
  if (!(await isFolder(parent))) throw new UserError(`Cannot write ${called} ${folder}: ${parent} is a file`)
  await access(parent, constants.W_OK).catch((error: unknown) => {
    throw new UserError(`Cannot write ${called} ${folder}: ${codeOf(error) ?? String(error)}`)
  })
}

/**
 * Removes what killed processes left: files and folders that were being written, and were not renamed into their place.
 */
async function removeLeftovers(folder: string): Promise<void> {
  for (const { name, parentPath } of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (isTemporary(name)) await rm(join(parentPath, name), { recursive: true, force: true })
  }
}

/** A run's folder in use. Made by `createRun` and `openRun`. */
export class Run {
  readonly folder: string
  /** What config.json says. */
  readonly config: RunConfig
  /** The folder that this is, whatever is called so later. */
  readonly #identity: BigIntStats
  readonly #hasConfig: boolean
  #events: EventFile | undefined

  constructor(folder: string, config: RunConfig) {
    this.folder = folder
    this.config = config
    this.#identity = statSync(folder, { bigint: true })
    this.#hasConfig = existsSync(join(folder, CONFIG))
  }

  /** A place in the folder, e.g. `path('adapter')`. */
  path(...parts: string[]): string {
    return join(this.folder, ...parts)
  }

  /**
   * Keeps other processes off the run until what it gives is called, and clears away what killed ones left. Throws a
   * UserError, naming the process, where another works on it.
   */
  async lock(): Promise<() => Promise<void>> {
    try {
      const unlock = await lock(this.folder)
      await removeLeftovers(this.folder)
      return unlock
    } catch (error) {
      const code = codeOf(error)
      throw code === undefined ? error : new UserError(`Cannot write to ${this.folder}: ${code}`)
    }
  }

  /**
   * Throws a FolderGone if the folder is no longer in its place. To be called before anything is written there:
   * otherwise a part of it would be made anew, or another run's folder written to.
   */
  check(): void {
    if (!this.#isInPlace()) throw new FolderGone(`${this.folder} was moved or deleted while the run was using it`)
  }

  #isInPlace(): boolean {
    try {
      const now = statSync(this.folder, { bigint: true })
      // A folder that was emptied may stay, because a file was written into it at that moment.
      return (
        now.isDirectory() &&
        now.dev === this.#identity.dev &&
        now.ino === this.#identity.ino &&
        existsSync(this.path(CONFIG)) === this.#hasConfig
      )
    } catch (error) {
      if (['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')) return false
      throw error
    }
  }

  /** Writes a file of the folder: it holds either what it held before or all of `content`. Throws as `check` does. */
  async write(name: string, content: string): Promise<void> {
    this.check()
    await writeAtomic(this.path(name), content, { makeFolder: false })
  }

  /**
   * Makes a folder in the folder, or replaces it: `fill` gets the path of another one, which is then renamed, so that
   * nobody sees half of it.
   */
  async writeFolder(name: string, fill: (path: string) => Promise<void>): Promise<void> {
    this.check()
    const [target, making, old] = [this.path(name), this.path(temporaryName(name)), this.path(temporaryName(name))]
    await mkdir(making)
    try {
      await fill(making)
      this.check()
      if (await exists(target)) await rename(target, old)
      await rename(making, target)
      await syncFolder(this.folder)
    } finally {
      for (const path of [making, old]) await rm(path, { recursive: true, force: true })
    }
  }

  /**
   * Whether the run came to its end. One that was killed while it wrote its last files did not, though it has a result:
   * it left its lock behind, and those files are written again when it is resumed.
   */
  async finished(): Promise<boolean> {
    return (await exists(this.path(RESULT))) && !(await exists(this.path(LOCK)))
  }

  /**
   * Adds a line to metrics.jsonl, in one write: whoever is killed leaves whole lines, or at worst a cut last one.
   * Throws a NonFinite on a figure that is not finite.
   */
  appendMetrics(metrics: Metrics): void {
    const line = finiteJson(metrics, this.path(METRICS))
    this.#withMetrics(file => writeSync(file, `${line}\n`))
    this.#events?.append(metrics)
  }

  /** Writes the metrics so far as TensorBoard's events, and all that follow, into the folder `tensorboard`. */
  async keepEvents(): Promise<void> {
    this.#events = await EventFile.begin(this, this.readMetrics())
  }

  /** Brings the lines written so far to the disk. To be called before a checkpoint that counts on them. */
  flushMetrics(): void {
    this.#withMetrics(fsyncSync)
  }

  #withMetrics(use: (file: number) => unknown): void {
    this.check()
    const file = openSync(this.path(METRICS), 'a')
    try {
      use(file)
    } finally {
      closeSync(file)
    }
  }

  /** All whole lines of metrics.jsonl. Throws a UserError, naming the line, if one is not an object with a step. */
  readMetrics(): Metrics[] {
    return this.#lines().map((line, i) => {
      const metrics = parseMetrics(line)
      if (!metrics) throw new UserError(`${this.path(METRICS)}, line ${i + 1}: not a JSON object with a step`)
      return metrics
    })
  }

  /**
   * Takes the metrics back to a checkpoint: drops lines of later steps, and a last line that was cut. What was appended
   * for `step` stays, so a checkpoint has to come after the lines of its own step.
   */
  async cutMetrics(step: number): Promise<void> {
    const steps = this.readMetrics()
    const kept = this.#lines().filter((_, i) => steps[i].step <= step)
    await this.write(METRICS, kept.map(line => `${line}\n`).join(''))
  }

  /** The lines unparsed, so that those that are kept keep their bytes; without an unfinished last one. */
  #lines(): string[] {
    try {
      return readFileSync(this.path(METRICS), 'utf8').split('\n').slice(0, -1)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return []
      throw error
    }
  }

  /** Writes result.json, which says that the run is finished. Throws a NonFinite on a figure that is not finite. */
  async writeResult(result: Readonly<Record<string, unknown>>): Promise<void> {
    await this.write(RESULT, `${finiteJson(result, this.path(RESULT), 2)}\n`)
  }

  /** What result.json says; undefined while there is none. */
  async readResult(): Promise<unknown> {
    return (await exists(this.path(RESULT))) ? JSON.parse(await readFile(this.path(RESULT), 'utf8')) : undefined
  }
}

function parseMetrics(line: string): Metrics | undefined {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value !== 'object' || value === null || !('step' in value) || typeof value.step !== 'number')
      return undefined
    return { ...value, step: value.step }
  } catch {
    return undefined
  }
}

/** Indented JSON. Sets, which JSON does not know, are written as arrays. */
function toJson(value: unknown): string {
  return `${JSON.stringify(value, (_, part: unknown) => (part instanceof Set ? [...part] : part), 2)}\n`
}
