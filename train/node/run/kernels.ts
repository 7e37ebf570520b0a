// What the tuner found out, kept from run to run: a file in the user's cache for each adapter, driver and version of
// tilegrad, and in a run's folder what that run goes by, so that it can be resumed to the same bits: measuring ends
// before a run's first step, and a resumed run measures nothing.
import { createHash } from 'node:crypto'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { type AdapterInfo, type TuningMode, setKernelTuning, settleKernels } from '../../../engine/index.ts'
import { printableLine } from '../../../engine/errors.ts'
import { codeOf, exists, readJson } from '../../../models/node/files.ts'
import { AnswerFile } from './answers.ts'
import type { Run } from './folder.ts'

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
  return join(cacheFolder(), 'tilegrad', 'kernels', `${plain}-${exact}.jsonl`)
}

type Answers = Map<string, string>

function warn(sentence: string): void {
  process.stderr.write(`${printableLine(sentence)}.\n`)
}

/** The answers that a run went by; none, said on stderr, where its file holds something else. */
async function readSettled(path: string): Promise<Answers> {
  try {
    return new Map(Object.entries(file.parse(await readJson(path)).answers))
  } catch {
    warn(`${path} is not a list of measured kernels and is not used`)
    return new Map()
  }
}

/** The answers of the user's cache. One that can't be read costs time, and nothing else. */
async function readCache(cache: AnswerFile): Promise<Answers> {
  return cache.read(warn).catch((error: unknown) => {
    warn(`Measured kernels are not used: ${cache.path}: ${codeOf(error) ?? String(error)}`)
    return new Map()
  })
}

/** The choices that one process goes by. */
export class KernelChoices {
  readonly #adapter: AdapterInfo
  readonly #version: string
  readonly #mode: TuningMode
  readonly #answers: Answers
  readonly #cache: AnswerFile
  #remembers = true

  private constructor(mode: TuningMode, adapter: AdapterInfo, version: string, cache: AnswerFile, answers: Answers) {
    this.#cache = cache
    this.#mode = mode
    this.#adapter = adapter
    this.#version = version
    this.#answers = answers
  }

  /**
   * Tells the engine how to choose from here on: by what `run` went by before, with nothing measured, or else by what the
   * user's cache knows, measuring for `seconds` at most (left out: as long as the mode has it).
   */
  static async begin(
    mode: TuningMode, adapter: AdapterInfo, version: string, run?: Run, seconds?: number,
  ): Promise<KernelChoices> {
    const settled = run !== undefined && await exists(run.path(KERNELS))
    const cache = new AnswerFile(answersFile(adapter, version))
    const answers: Answers = mode === 'off' ? new Map()
      : settled ? await readSettled(run.path(KERNELS)) : await readCache(cache)
    const choices = new KernelChoices(mode, adapter, version, cache, answers)
    setKernelTuning({
      mode,
      known: new Map(answers),
      budget: settled ? 0 : seconds,
      onAnswer: async (question, candidate) => {
        choices.#answers.set(question, candidate)
        await choices.#remember(question, candidate)
      },
      onProgress: (done, total) => { if (mode === 'full') process.stderr.write(`measured kernels: ${done} of ${total}${done === total ? '\n' : '\r'}`) },
      onFailure: reason => { process.stderr.write(`${printableLine(reason)}\n`) },
    })
    return choices
  }

  /** Ends all measuring: from here on choices follow from what is known now. */
  settle(): void {
    settleKernels()
  }

  /** Writes what is known to the run's folder, once it is settled. */
  async keepIn(run: Run): Promise<void> {
    if (this.#mode === 'off') return
    const { name, driver = '' } = this.#adapter
    const content = { tilegrad: this.#version, adapter: name, driver, answers: Object.fromEntries(this.#answers) }
    await run.write(KERNELS, `${JSON.stringify(content, null, 2)}\n`)
  }

  /** Whether anything was measured of what it goes by, here or before. */
  get measured(): boolean {
    return this.#answers.size > 0
  }

  /** For other runs. A cache that can't be written costs them time, and this one nothing. */
  async #remember(question: string, candidate: string): Promise<void> {
    if (!this.#remembers) return
    try {
      await this.#cache.append(question, candidate)
    } catch (error) {
      this.#remembers = false
      warn(`Measured kernels are not remembered: ${this.#cache.path}: ${codeOf(error) ?? String(error)}`)
    }
  }
}
