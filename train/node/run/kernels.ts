// What the tuner found out, kept from run to run: a file in the user's cache for each adapter, driver and version of
// tilegrad, and in a run's folder what that run goes by, so that it can be resumed to the same bits: measuring ends
// before a run's first step, and a resumed run measures nothing.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import type { AdapterInfo, Answer, Device, TuningMode } from '../../../engine/index.ts'
import { printableLine } from '../../../engine/errors.ts'
import { userCache } from '../../../engine/node/installed.ts'
import { questionKey } from '../../../engine/tune.ts'
import { exists, readJson } from '../../../models/node/files.ts'
import { codeOf } from '../../../models/node/regular-file.ts'
import { AnswerFile, answerSchema } from './answers.ts'
import type { Run } from './folder.ts'

const file = z.object({ answers: z.array(answerSchema) })
const KERNELS = 'kernels.json'

/** The file of an adapter in the user's cache. */
export function answersFile({ name, backend = '', driver = '' }: AdapterInfo, version: string): string {
  const plain = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
  const exact = createHash('sha256')
    .update(JSON.stringify([name, backend, driver, version]))
    .digest('hex')
    .slice(0, 12)
  return join(userCache(), 'tilegrad', 'kernels', `${plain}-${exact}.jsonl`)
}

/** By `questionKey`. */
type Answers = Map<string, Answer>

function warn(sentence: string): void {
  process.stderr.write(`${printableLine(sentence)}.\n`)
}

/**
 * The answers that a run uses; none, with a line on stderr, if its file holds something else, such as the format of an
 * earlier version.
 */
async function readSettled(path: string): Promise<Answers> {
  try {
    return new Map(file.parse(await readJson(path)).answers.map(answer => [questionKey(answer), answer]))
  } catch {
    warn(
      `${path} is not a list of measured kernels in the format of this version: it is ignored, and kernels are chosen by best guess`,
    )
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
  readonly #version: string
  readonly #mode: TuningMode
  readonly #device: Device
  readonly #answers: Answers
  readonly #cache: AnswerFile
  #remembers = true

  private constructor(mode: TuningMode, device: Device, version: string, cache: AnswerFile, answers: Answers) {
    this.#cache = cache
    this.#mode = mode
    this.#device = device
    this.#version = version
    this.#answers = answers
  }

  /**
   * Configures how a device chooses from here on: by the answers that `run` used before, measuring nothing, or else by
   * those of the user's cache, measuring for at most `seconds` (when left out, the mode's own budget).
   */
  static async begin(
    mode: TuningMode,
    device: Device,
    version: string,
    run?: Run,
    seconds?: number,
  ): Promise<KernelChoices> {
    const settled = run !== undefined && (await exists(run.path(KERNELS)))
    const cache = new AnswerFile(answersFile(device.info, version))
    const answers: Answers =
      mode === 'off' ? new Map() : settled ? await readSettled(run.path(KERNELS)) : await readCache(cache)
    const choices = new KernelChoices(mode, device, version, cache, answers)
    device.tuning.configure({
      mode,
      known: answers.values(),
      budget: settled ? 0 : seconds,
      onAnswer: async answer => {
        choices.#answers.set(questionKey(answer), answer)
        await choices.#remember(answer)
      },
      onProgress: (done, total) => {
        if (mode === 'full')
          process.stderr.write(`measured kernels: ${done} of ${total}${done === total ? '\n' : '\r'}`)
      },
      onFailure: reason => {
        process.stderr.write(`${printableLine(reason)}\n`)
      },
    })
    return choices
  }

  /** Ends all measuring: from here on choices follow from what is known now. */
  settle(): void {
    this.#device.tuning.settle()
  }

  /** Writes what is known to the run's folder, once it is settled. */
  async keepIn(run: Run): Promise<void> {
    if (this.#mode === 'off') return
    const { name, driver = '' } = this.#device.info
    const content = { tilegrad: this.#version, adapter: name, driver, answers: [...this.#answers.values()] }
    await run.write(KERNELS, `${JSON.stringify(content, null, 2)}\n`)
  }

  /** Whether anything was measured of what it goes by, here or before. */
  get measured(): boolean {
    return this.#answers.size > 0
  }

  /** For other runs. A cache that can't be written costs them time, and this one nothing. */
  async #remember(answer: Answer): Promise<void> {
    if (!this.#remembers) return
    try {
      await this.#cache.append(answer)
    } catch (error) {
      this.#remembers = false
      warn(`Measured kernels are not remembered: ${this.#cache.path}: ${codeOf(error) ?? String(error)}`)
    }
  }
}
