// TensorBoard's event file of a run: what metrics.jsonl holds, in a folder of its own. It is written anew when a process
// begins to train, so that steps which a checkpoint took back are not in it, and appended to from then on.
import { appendFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { firstRecord, recordOf } from '../../tensorboard.ts'
import type { Metrics, Run } from './folder.ts'

export const EVENTS = 'tensorboard'

export class EventFile {
  readonly #path: string
  readonly #began: number

  private constructor(path: string, began: number) {
    this.#path = path
    this.#began = began
  }

  /** Writes all lines of metrics so far. The file has a new name, by which TensorBoard sees that it was replaced. */
  static async begin(run: Run, lines: readonly Metrics[], now = Date.now()): Promise<EventFile> {
    const created = Date.parse(String(run.config.created_at)) / 1000
    const began = Number.isFinite(created) ? created : now / 1000
    const name = `events.out.tfevents.${Math.floor(now / 1000)}.tilegrad`
    const records = lines.flatMap(line => recordOf(line, began) ?? [])
    await run.writeFolder(EVENTS, folder =>
      writeFile(join(folder, name), Buffer.concat([firstRecord(began), ...records])),
    )
    return new EventFile(run.path(EVENTS, name), began)
  }

  append(line: Metrics): void {
    const record = recordOf(line, this.#began)
    if (record) appendFileSync(this.#path, record)
  }
}
