// What the tuner found out, kept from run to run: a file in the user's cache for each adapter, driver and version of
// tilegrad, and in a run's folder what that run goes by, so that it can be gone on with to the same bits: measuring ends
// before a run's first step, and a run that goes on measures nothing.
import { createHash } from 'node:crypto'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { type AdapterInfo, type TuningMode, setKernelTuning, settleKernels } from '../../../engine/index.ts'
import { codeOf, exists, readJson, writeAtomic } from '../../../models/node/files.ts'
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
  return join(cacheFolder(), 'tilegrad', 'kernels', `${plain}-${exact}.json`)
}

type Answers = Readonly<Record<string, string>>

/** Answers in a file; none where there is no such file, or, said on stderr, where it holds something else. */
async function readAnswers(path: string): Promise<Answers> {
  if (!await exists(path)) return {}
  try {
    return file.parse(await readJson(path)).answers
  } catch {
    process.stderr.write(`${path} is no list of measured kernels and is not used.\n`)
    return {}
  }
}

/** The choices that one process goes by. */
export class KernelChoices {
  readonly #adapter: AdapterInfo
  readonly #version: string
  readonly #mode: TuningMode
  #answers: Answers
  #remembers = true

  private constructor(mode: TuningMode, adapter: AdapterInfo, version: string, answers: Answers) {
    this.#mode = mode
    this.#adapter = adapter
    this.#version = version
    this.#answers = answers
  }

  /**
   * Tells the engine how to choose from here on: by what `run` went by before, with nothing measured, or else by what the
   * user's cache knows, measuring for `seconds` at most (left out: as long as the mode has it).
   */
  static async begin(mode: TuningMode, adapter: AdapterInfo, version: string, run?: Run, seconds?: number): Promise<KernelChoices> {
    const settled = run !== undefined && await exists(run.path(KERNELS))
    const answers = mode === 'off' ? {} : await readAnswers(settled ? run.path(KERNELS) : answersFile(adapter, version))
    const choices = new KernelChoices(mode, adapter, version, answers)
    setKernelTuning({
      mode,
      known: new Map(Object.entries(answers)),
      budget: settled ? 0 : seconds,
      onAnswer: async (question, candidate) => {
        choices.#answers = { ...choices.#answers, [question]: candidate }
        await choices.#remember(question, candidate)
      },
      onProgress: (done, total) => { if (mode === 'full') process.stderr.write(`measured kernels: ${done} of ${total}${done === total ? '\n' : '\r'}`) },
      onFailure: reason => { process.stderr.write(`${reason}\n`) },
    })
    return choices
  }

  /** Ends all measuring: from here on choices follow from what is known now. */
  settle(): void {
    settleKernels()
  }

  /** Writes what is known to the run's folder, once it is settled. */
  async keepIn(run: Run): Promise<void> {
    if (this.#mode !== 'off') await this.#write(run.path(KERNELS), this.#answers)
  }

  /** Whether anything was measured of what it goes by, here or before. */
  get measured(): boolean {
    return Object.keys(this.#answers).length > 0
  }

  /** For other runs. A cache that can't be written costs them time, and this one nothing. */
  async #remember(question: string, candidate: string): Promise<void> {
    if (!this.#remembers) return
    const path = answersFile(this.#adapter, this.#version)
    try {
      // Another process may have written since.
      await this.#write(path, { ...await readAnswers(path), [question]: candidate })
    } catch (error) {
      this.#remembers = false
      process.stderr.write(`Measured kernels are not remembered: ${path}: ${codeOf(error) ?? String(error)}\n`)
    }
  }

  #write(path: string, answers: Answers): Promise<void> {
    const { name, driver = '' } = this.#adapter
    return writeAtomic(path, `${JSON.stringify({ tilegrad: this.#version, adapter: name, driver, answers }, null, 2)}\n`)
  }
}
