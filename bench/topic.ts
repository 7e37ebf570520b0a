// What the runner passes to a topic, and what a topic returns.
import type { Device } from '../engine/index.ts'
import type { Ceilings } from '../engine/runtime/ceilings.ts'
import type { Effort } from './measure.ts'

export interface Context {
  readonly device: Device
  readonly scale: Scale
  readonly effort: Effort
  /** Measured when a topic first asks for them. */
  ceilings(): Promise<Ceilings>
  /** Shows what is being measured; `done` of `total` parts of the topic are finished. */
  progress(what: string, done: number, total: number): void
  /** Keeps what a long topic has measured so far, in case the run is interrupted. */
  savePart(data: object): Promise<void>
}

/**
 * `full` on a GPU, `reduced` on an adapter that computes on the CPU, `quick` on a slow one or to see that everything
 * works.
 */
export type Scale = 'quick' | 'reduced' | 'full'

export type Float = 'f32' | 'f16'

/** The float types that a device has. */
export const floatsOf = ({ traits }: Device): readonly Float[] => (traits.f16 ? ['f32', 'f16'] : ['f32'])

/** A limit that the product promises to keep, and what was measured. */
export interface Bar {
  readonly what: string
  readonly measured: number
  readonly limit: number
  /** The unit of both numbers. */
  readonly unit: string
  readonly met: boolean
}

export interface Section {
  readonly title: string
  /** Rows of text, the first of them headings. */
  readonly rows: readonly (readonly string[])[]
}

export interface Findings {
  /** Rows of text, the first of them headings. */
  readonly rows: readonly (readonly string[])[]
  readonly notes: readonly string[]
  /** Further tables. */
  readonly more?: readonly Section[]
  readonly bars: readonly Bar[]
  /** The same numbers for the JSON file: bytes, milliseconds, operations. */
  readonly data: object
  /** Parts that this adapter could not do, with the reason; the run's exit status is 1 then. */
  readonly failed?: Readonly<Record<string, string>>
}

export interface Topic {
  readonly title: string
  run(context: Context): Promise<Findings>
}

/** A bar as a line below the table. */
export function barText({ what, measured, limit, unit, met }: Bar): string {
  const number = (x: number): string => (Number.isInteger(x) ? `${x}` : x.toFixed(2))
  return `${met ? '✓' : '✗'} ${what}: ${number(measured)} ${unit}, at most ${number(limit)}`
}

/** A bar with an upper limit. */
export function bar(what: string, measured: number, limit: number, unit: string): Bar {
  return { what, measured, limit, unit, met: measured <= limit }
}
