// What a topic of `npm run bench` gets and gives.
import type { Device } from '../engine/index.ts'
import type { Ceilings } from './ceilings.ts'
import type { Effort } from './measure.ts'

export interface Context {
  readonly device: Device
  /** `full` on a GPU, `reduced` on an adapter that computes on the CPU, `quick` on a slow one or to see that all of it works. */
  readonly scale: Scale
  readonly effort: Effort
  /** Measured when a topic first asks. */
  ceilings(): Promise<Ceilings>
  /** Tells what is being done, and how much of it there is. */
  progress(what: string, done: number, total: number): void
}

export type Scale = 'quick' | 'reduced' | 'full'

/** A promise of the product's, and what was measured. */
export interface Bar {
  readonly what: string
  readonly measured: number
  readonly limit: number
  /** Of both numbers. */
  readonly unit: string
  readonly met: boolean
}

export interface Findings {
  /** Rows of text, the first of them headings. */
  readonly rows: readonly (readonly string[])[]
  readonly notes: readonly string[]
  readonly bars: readonly Bar[]
  /** The same numbers for the JSON file: bytes, milliseconds, operations. */
  readonly data: object
}

export interface Topic {
  readonly title: string
  run(context: Context): Promise<Findings>
}

/** A bar for the table's reader. */
export function barText({ what, measured, limit, unit, met }: Bar): string {
  const number = (x: number): string => (Number.isInteger(x) ? `${x}` : x.toFixed(2))
  return `${met ? '✓' : '✗'} ${what}: ${number(measured)} ${unit}, at most ${number(limit)}`
}

/** At most so much. */
export function bar(what: string, measured: number, limit: number, unit: string): Bar {
  return { what, measured, limit, unit, met: measured <= limit }
}
