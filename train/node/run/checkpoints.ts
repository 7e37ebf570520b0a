// Checkpoints: everything that a run needs to resume to the same bits. Each is a folder, `step-000120/`, that is
// written under another name, synced, read back and renamed, so that one that can be seen is whole. Checksums tell one
// that was damaged since; the one before it is used then. The values that evaluated best lie beside them, by the names
// of the parameters, in files that are named by their checksums. A checkpoint lists those that it needs, so none is
// deleted before the last checkpoint that lists it.
import { createHash } from 'node:crypto'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { z } from 'zod'
import { UserError } from '../../../engine/errors.ts'
import { exists, readJson, syncFolder, temporaryName, writeAtomic } from '../../../models/node/files.ts'
import { codeOf } from '../../../models/node/regular-file.ts'
import type { StateEntry, ValueEntry } from '../../state.ts'
import type { Best, CheckpointStore, Position, Ranking, RunShape } from '../../checkpoint-store.ts'
import { finiteJson } from './json.ts'
import { digestOf, readState, writeState } from './state-file.ts'

const KEPT = 2
/** The folder of one that is being written. What a killed run leaves there, the next one clears. */
const PARTIAL = 'partial'
const STATE = 'state.safetensors'
const POSITION = 'position.json'

const folderName = (step: number): string => `step-${String(step).padStart(6, '0')}`
const bestName = (digest: string): string => `best-${digest.slice(0, 12)}.safetensors`

const count = z.int().nonnegative()
const digest = z.string().regex(/^[0-9a-f]{64}$/)
const bestSchema = z.strictObject({ step: count, epoch: count, score: z.number(), loss: z.number() })
const recordSchema = z.strictObject({
  step: count,
  epoch: count,
  stepInEpoch: count,
  batches: count,
  skipped: count.optional(),
  stale: count.optional(),
  best: bestSchema.nullable(),
  runnersUp: z.array(bestSchema).min(1).readonly().optional(),
  /** SHA-256 of state.safetensors. */
  state: digest,
  /** SHA-256 of the best values; null while there are none. */
  best_values: digest.nullable(),
  /** The same of those of `runnersUp`. */
  runners_up_values: z.array(digest).min(1).readonly().optional(),
})
type Entry = z.infer<typeof recordSchema>

/** SHA-256 of all values that a checkpoint needs, best first. */
const valuesOf = ({ best_values: best, runners_up_values: others = [] }: Entry): string[] =>
  best === null ? [] : [best, ...others]

/** A checkpoint that was found, and those after it that are damaged, newest first. */
export interface Found {
  /** Undefined where none is undamaged. */
  readonly position: Position | undefined
  readonly damaged: readonly { readonly step: number; readonly reason: string }[]
}

/** Why a checkpoint can't be used. */
class Damage extends UserError {}

/** The checkpoints of one run, in a folder. */
export class Checkpoints implements CheckpointStore {
  readonly folder: string
  readonly #check: () => void
  /** SHA-256 of the values that evaluated best, in order. */
  #best: readonly string[] = []
  /** Their evaluations, as of the last checkpoint. */
  #evaluations: readonly Best[] = []
  #saved = 0
  /** What is known of a step's checkpoint, so that it is read once. */
  readonly #known = new Map<number, Promise<Entry>>()

  /** `check` is called before anything is written, and throws where nothing may be. */
  constructor(folder: string, check: () => void = () => {}) {
    this.folder = folder
    this.#check = check
  }

  /** How many were written by this object. */
  get saved(): number {
    return this.#saved
  }

  /** Writes one, then drops all but the last two. One of this step that is there already is the same, and stays. */
  async save(position: Position, entries: readonly StateEntry[]): Promise<void> {
    const target = join(this.folder, folderName(position.step))
    this.#evaluations = bestOf(position)
    if (await exists(target)) return
    finiteJson(position, join(target, POSITION))
    const making = join(this.folder, PARTIAL)
    await rm(making, { recursive: true, force: true })
    await this.#makeFolder()
    await mkdir(making)
    const state = await writeState(join(making, STATE), entries)
    const path = join(making, POSITION)
    const [best_values = null, ...others] = this.#best
    const entry = { ...position, state, best_values, ...(others.length > 0 && { runners_up_values: others }) }
    const text = `${JSON.stringify(withChecksum(entry), null, 2)}\n`
    await writeAtomic(path, text, { makeFolder: false })
    await readEntry(making)
    this.#check()
    await rename(making, target)
    await syncFolder(this.folder)
    this.#saved++
    await this.#dropOld()
  }

  /** Whether there is any, damaged or not. */
  async any(): Promise<boolean> {
    return (await this.#steps()).length > 0
  }

  /**
   * The last one that is undamaged: its checksums hold, and its position is one of the run's. Throws a UserError on one
   * that an earlier version wrote, without a checksum.
   */
  async find(shape?: RunShape): Promise<Found> {
    const damaged: { step: number; reason: string }[] = []
    for (const step of (await this.#steps()).reverse()) {
      try {
        const { state, best_values, runners_up_values, ...position } = await this.#entry(step)
        if (shape) refuseOutside(position, shape)
        return { position, damaged }
      } catch (error) {
        if (!(error instanceof Damage)) throw error
        damaged.push({ step, reason: error.message })
      }
    }
    return { position: undefined, damaged }
  }

  /** The position of the last one that is undamaged; undefined if there is none. */
  async latest(shape?: RunShape): Promise<Position | undefined> {
    return (await this.find(shape)).position
  }

  /** Removes checkpoints of these steps, and what a run that was killed had no time to delete. */
  async discard(steps: readonly number[]): Promise<void> {
    this.#check()
    for (const step of steps) await this.#remove(step)
    await this.#dropOld()
  }

  /** The files of the checkpoint of a step, and of the best values that it needs, by their paths from the folder. */
  async files(step: number): Promise<string[]> {
    const name = folderName(step)
    const entry = await readEntry(join(this.folder, name))
    return [join(name, STATE), join(name, POSITION), ...valuesOf(entry).map(bestName)]
  }

  /** Puts the state of the checkpoint at `position` back. */
  async load({ step }: Position, entries: readonly StateEntry[]): Promise<void> {
    const folder = join(this.folder, folderName(step))
    const entry = await readEntry(folder)
    this.#best = valuesOf(entry)
    this.#evaluations = bestOf(entry)
    await readState(join(folder, STATE), entries)
  }

  /** Keeps values among those that evaluated best. What they displace is deleted once no checkpoint needs it. */
  async saveBest(entries: readonly ValueEntry[], { place, most }: Ranking): Promise<void> {
    await this.#makeFolder()
    const making = join(this.folder, temporaryName('best'))
    const written = await writeState(making, entries)
    this.#check()
    await rename(making, join(this.folder, bestName(written)))
    await syncFolder(this.folder)
    this.#best = this.#best.toSpliced(place, 0, written).slice(0, most)
  }

  /** Puts the best values back. Throws a UserError if they are damaged. */
  async loadBest(entries: readonly ValueEntry[]): Promise<void> {
    if (this.#best.length === 0) throw new Error('no values were kept as the best')
    await loadKept(join(this.folder, bestName(this.#best[0])), entries)
  }

  /**
   * The evaluations whose values are kept as of the checkpoint that was saved or loaded last, with the files of these,
   * best first.
   */
  get best(): (Best & { readonly file: string })[] {
    return this.#evaluations.map((evaluation, i) => ({ ...evaluation, file: bestName(this.#best[i]) }))
  }

  async #makeFolder(): Promise<void> {
    this.#check()
    // Not recursive: a run's folder that is gone is not made anew.
    await mkdir(this.folder).catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error
    })
  }

  #entry(step: number): Promise<Entry> {
    const known = this.#known.get(step) ?? this.#verify(step)
    this.#known.set(step, known)
    return known
  }

  async #verify(step: number): Promise<Entry> {
    const folder = join(this.folder, folderName(step))
    const entry = await readEntry(folder)
    if (entry.step !== step) throw new Damage(`its position says step ${entry.step}`)
    const found = await readable(digestOf(join(folder, STATE)))
    if (found !== entry.state) throw new Damage(`the checksum of ${STATE} does not match`)
    const values = valuesOf(entry)
    if (values.length !== bestOf(entry).length)
      throw new Damage('it names best values without their evaluation, or the reverse')
    for (const wanted of values) {
      if ((await readable(digestOf(join(this.folder, bestName(wanted))))) !== wanted) {
        throw new Damage(`the checksum of ${bestName(wanted)} does not match`)
      }
    }
    return entry
  }

  async #remove(step: number): Promise<void> {
    this.#known.delete(step)
    await rm(join(this.folder, folderName(step)), { recursive: true, force: true })
  }

  /** Removes all but the last two checkpoints, then best values that neither one of these nor the run itself needs. */
  async #dropOld(): Promise<void> {
    const steps = await this.#steps()
    for (const step of steps.slice(0, -KEPT)) await this.#remove(step)
    const kept = steps.slice(-KEPT).map(step => readEntry(join(this.folder, folderName(step))).then(valuesOf, () => []))
    const wanted = new Set([this.#best, ...(await Promise.all(kept))].flat().map(bestName))
    for (const name of await readdir(this.folder).catch(() => [])) {
      if (/^best-[0-9a-f]{12}\.safetensors$/.test(name) && !wanted.has(name))
        await rm(join(this.folder, name), { force: true })
    }
  }

  async #steps(): Promise<number[]> {
    const names = await readdir(this.folder).catch(() => [])
    return names.flatMap(name => (/^step-\d+$/.test(name) ? [Number(name.slice(5))] : [])).sort((a, b) => a - b)
  }
}

/** The evaluations whose values are kept, best first. */
export const bestOf = ({ best, runnersUp = [] }: Pick<Position, 'best' | 'runnersUp'>): Best[] =>
  best === null ? [] : [best, ...runnersUp]

/** Reads a file of best values, which its name has the checksum of. Throws a UserError if that does not match. */
export async function loadKept(path: string, entries: readonly ValueEntry[]): Promise<void> {
  if (bestName(await digestOf(path)) !== basename(path))
    throw new UserError(`${path} is damaged: its checksum does not match`)
  await readState(path, entries)
}

/** SHA-256 of a value's JSON. */
const checksumOf = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('hex')

/** The keys in the schema's order, so that a resumed run writes the same bytes. */
function withChecksum(entry: Entry): object {
  const ordered = recordSchema.parse(entry)
  return { ...ordered, checksum: checksumOf(ordered) }
}

/** A checkpoint's position.json. Throws a Damage if it is not what was written. */
async function readEntry(folder: string): Promise<Entry> {
  const path = join(folder, POSITION)
  const json = await readable(readJson(path))
  if (typeof json !== 'object' || json === null) throw new Damage(`${POSITION} is not a JSON object`)
  if (!('checksum' in json))
    throw new UserError(`${path} has no checksum: an earlier version of tilegrad wrote it, and can resume it`)
  const { checksum, ...rest } = json
  const parsed = recordSchema.safeParse(rest)
  // The order of the keys is the schema's, whatever the file's is.
  if (!parsed.success || checksumOf(parsed.data) !== checksum)
    throw new Damage(`the checksum of ${POSITION} does not match`)
  return parsed.data
}

/** What a read gives; a file that is missing or is not what it should be is damage. */
async function readable<T>(reading: Promise<T>): Promise<T> {
  return reading.catch((error: unknown) => {
    throw error instanceof UserError ? new Damage(error.message) : error
  })
}

/** Throws a Damage if a position is not one that the run comes to. */
function refuseOutside(position: Position, { batches, accumulate }: RunShape): void {
  const { step, epoch, stepInEpoch, skipped = 0 } = position
  const stepsOf = (count: number): number => Math.ceil(count / accumulate)
  const sum = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0)
  const done = batches.slice(0, epoch)
  const current = batches.at(epoch) ?? 0
  const isInside =
    epoch <= batches.length &&
    stepInEpoch < Math.max(1, stepsOf(current)) &&
    step === sum(done.map(stepsOf)) + stepInEpoch &&
    position.batches === sum(done) + stepInEpoch * accumulate &&
    skipped <= step &&
    bestOf(position).every(best => best.step <= step && best.epoch <= epoch + (stepInEpoch > 0 ? 1 : 0))
  if (isInside) return
  throw new Damage(
    `step ${step} (epoch ${epoch}, ${stepInEpoch} steps into the next, ${position.batches} batches) is not a position ` +
      `of this run of ${batches.length} epochs and ${sum(batches.map(stepsOf))} steps`,
  )
}
