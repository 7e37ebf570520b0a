// What the tuner found out, kept from run to run: a file in the user's cache for each adapter, driver and version of
// tilegrad, and in a run's folder what that run goes by, so that it can be gone on with to the same bits.
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { type AdapterInfo, type TuningMode, setTuning } from '../engine/index.ts'
import { codeOf } from '../models/node/files.ts'
import type { Run } from './runs.ts'

const file = z.object({ answers: z.record(z.string(), z.string()) })
const KERNELS = 'kernels.json'

/** Where programs of this user keep what can be made again. */
function cacheFolder(): string {
  if (process.env.XDG_CACHE_HOME) return process.env.XDG_CACHE_HOME
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches')
  if (process.platform === 'win32') return process.env.LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local')
  return join(homedir(), '.cache')
}

/** The file of an adapter in the user's cache. */
export function answersFile({ name, backend = '', driver = '' }: AdapterInfo, version: string): string {
  const plain = name.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '')
  const exact = createHash('sha256').update(JSON.stringify([name, backend, driver, version])).digest('hex').slice(0, 12)
  return join(cacheFolder(), 'tilegrad', 'kernels', `${plain}-${exact}.json`)
}

/** Answers in a file; none where there is no such file, or where it holds something else. */
function readAnswers(path: string): Record<string, string> {
  try {
    return file.parse(JSON.parse(readFileSync(path, 'utf8'))).answers
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') process.stderr.write(`${path} is no list of measured kernels and is not used.\n`)
    return {}
  }
}

/** Writes beside and renames, at once: answers come in the middle of work that may end at any time. */
function writeAnswers(path: string, adapter: AdapterInfo, version: string, answers: Readonly<Record<string, string>>): void {
  mkdirSync(dirname(path), { recursive: true })
  const beside = `${path}.${process.pid}.tmp`
  writeFileSync(beside, `${JSON.stringify({ tilegrad: version, adapter: adapter.name, driver: adapter.driver ?? '', answers }, null, 2)}\n`)
  renameSync(beside, path)
}

/** The choices that one process goes by. */
export class KernelChoices {
  readonly #adapter: AdapterInfo
  readonly #version: string
  readonly #mode: TuningMode
  readonly #answers: Record<string, string>
  #run: Run | undefined

  /** Tells the engine how to choose from here on. What `run` went by before counts more than the user's cache. */
  constructor(mode: TuningMode, adapter: AdapterInfo, version: string, run?: Run) {
    this.#adapter = adapter
    this.#version = version
    this.#mode = mode
    const path = answersFile(adapter, version)
    this.#answers = mode === 'off' ? {} : { ...readAnswers(path), ...(run ? readAnswers(run.path(KERNELS)) : {}) }
    let writable = true
    setTuning({
      mode,
      known: new Map(Object.entries(this.#answers)),
      onAnswer: (question, candidate) => {
        this.#answers[question] = candidate
        this.#save()
        if (!writable) return
        try {
          // Another process may have written since.
          writeAnswers(path, adapter, version, { ...readAnswers(path), [question]: candidate })
        } catch (error) {
          writable = false
          process.stderr.write(`Measured kernels are not remembered: ${path}: ${codeOf(error) ?? String(error)}\n`)
        }
      },
      onProgress: (done, total) => { if (mode === 'full') process.stderr.write(`measured kernels: ${done} of ${total}${done === total ? '\n' : '\r'}`) },
      onFailure: reason => { process.stderr.write(`${reason}\n`) },
    })
  }

  /** From here on the run's folder knows what it goes by. */
  keepIn(run: Run): void {
    this.#run = run
    if (this.#mode !== 'off') this.#save()
  }

  #save(): void {
    if (this.#run) writeAnswers(this.#run.path(KERNELS), this.#adapter, this.#version, this.#answers)
  }
}
