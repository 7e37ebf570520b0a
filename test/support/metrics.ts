// The lines of a run's metrics.jsonl.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A step, or with `split` an evaluation. A line has some of the figures; each test knows which. */
export interface Line {
  readonly step: number
  readonly epoch: number
  readonly split?: string
  readonly loss: number
  readonly lr: number
  readonly grad_norm: number
  readonly accuracy: number
  readonly task_loss: number
  readonly distill_loss: number
  readonly hidden_loss: number
  readonly wall_seconds: number
}

export async function linesOf(run: string): Promise<Line[]> {
  const text = await readFile(join(run, 'metrics.jsonl'), 'utf8')
  return text
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Line)
}

const BY_THE_CLOCK = ['examples_per_second', 'tokens_per_second', 'gpu_bytes', 'wall_seconds']

/** The lines without what differs from run to run: times, and the memory that a device happens to keep. */
export async function figuresOf(run: string): Promise<Line[]> {
  const kept = (line: Line): Line =>
    Object.fromEntries(Object.entries(line).filter(([name]) => !BY_THE_CLOCK.includes(name))) as unknown as Line
  return (await linesOf(run)).map(kept)
}
