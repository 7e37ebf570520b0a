// Checkpoints: everything that a run needs to go on to the same bits. A folder a checkpoint, `step-000120/`, written under
// another name and renamed, so that one that can be seen is whole.
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { UserError } from '../../../engine/errors.ts'
import { exists, openSafetensors, readJson, writeAtomic, writeSafetensors } from '../../../models/node/files.ts'
import type { StateEntry } from '../../adamw.ts'
import { finiteJson } from './json.ts'
import type { CheckpointStore, Position } from '../../checkpoint-store.ts'

const KEPT = 2
/** The folder of one that is being written: what a killed run leaves there, the next one clears. */
const MAKING = 'partial'
const STATE = 'state.safetensors'
const POSITION = 'position.json'
const BEST = 'best.safetensors'

const folderName = (step: number): string => `step-${String(step).padStart(6, '0')}`

async function writeState(path: string, entries: readonly StateEntry[]): Promise<void> {
  await writeSafetensors(path, entries.map(({ name, variable }) => ({
    name, dtype: 'F32', shape: variable.shape,
    read: async () => Float32Array.from(await variable.read()),
  })), {})
}

async function readState(path: string, entries: readonly StateEntry[]): Promise<void> {
  const file = await openSafetensors(path)
  try {
    for (const { name, variable } of entries) {
      if (!file.has(name) || file.info(name).shape.join() !== variable.shape.join()) {
        throw new UserError(`${path}: no ${name} of [${variable.shape.join(', ')}]: the checkpoint is of another model or other options`)
      }
    }
    for (const { name, variable } of entries) {
      for await (const { elementOffset, data } of file.chunks(name)) await variable.write(data, elementOffset)
    }
  } finally {
    await file.close()
  }
}

/** The checkpoints of one run, in a folder. */
export class Checkpoints implements CheckpointStore {
  readonly folder: string

  constructor(folder: string) {
    this.folder = folder
  }

  /** Writes one, then drops all but the last two. One of this step that is there already is the same, and stays. */
  async save(position: Position, entries: readonly StateEntry[]): Promise<void> {
    const target = join(this.folder, folderName(position.step))
    if (await exists(target)) return
    const making = join(this.folder, MAKING)
    await rm(making, { recursive: true, force: true })
    await mkdir(making, { recursive: true })
    await writeState(join(making, STATE), entries)
    await writeAtomic(join(making, POSITION), `${finiteJson(position, join(making, POSITION), 2)}\n`)
    await rename(making, target)
    const steps = await this.#steps()
    for (const step of steps.slice(0, -KEPT)) await rm(join(this.folder, folderName(step)), { recursive: true, force: true })
  }

  /** The last one's position; undefined where there is none. Throws a UserError on a damaged one. */
  async latest(): Promise<Position | undefined> {
    const step = (await this.#steps()).at(-1)
    if (step === undefined) return undefined
    const path = join(this.folder, folderName(step), POSITION)
    return checkPosition(await readJson(path), path)
  }

  /** Puts the state of the checkpoint at `position` back. */
  async load(position: Position, entries: readonly StateEntry[]): Promise<void> {
    await readState(join(this.folder, folderName(position.step), STATE), entries)
  }

  /** Keeps the values that evaluated best. */
  async saveBest(entries: readonly StateEntry[]): Promise<void> {
    await mkdir(this.folder, { recursive: true })
    await writeState(join(this.folder, BEST), entries)
  }

  /** Puts the best values back. */
  async loadBest(entries: readonly StateEntry[]): Promise<void> {
    await readState(join(this.folder, BEST), entries)
  }

  async #steps(): Promise<number[]> {
    const names = await readdir(this.folder).catch(() => [])
    return names.flatMap(name => (/^step-\d+$/.test(name) ? [Number(name.slice(5))] : [])).sort((a, b) => a - b)
  }
}

function checkPosition(json: unknown, where: string): Position {
  const position = json as Partial<Position> | null
  const whole = (value: unknown): boolean => Number.isInteger(value) && Number(value) >= 0
  const fits = typeof position === 'object' && position !== null && whole(position.step) && whole(position.epoch)
    && whole(position.stepInEpoch) && whole(position.batches) && position.best !== undefined
  if (!fits) throw new UserError(`${where} is no checkpoint's position`)
  return position as Position
}
