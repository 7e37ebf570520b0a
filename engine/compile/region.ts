// Memory as dispatches see it: regions, whose buffers are chosen later, and the ranges of them that a dispatch
// binds.
import { type DType, type Launch, type View, bytesOf } from '../../shaders/kernel.ts'
import { type Node, type Value, specOf } from '../graph.ts'
import { sizeOf } from '../shape.ts'
import { type Located, keyOf } from './located.ts'
import type { Placement } from './placement.ts'

/** Offsets of bindings are multiples of this, in bytes: the largest alignment that any adapter requires. */
export const ALIGNMENT = 256

/** A range of memory that steps read and write: planned by liveness, or that of a source. */
export interface Region {
  readonly bytes: number
  /** That of its elements. */
  readonly dtype: DType
  readonly label: string
  /** The source that it holds; undefined for planned memory. */
  readonly source?: Node
  /** The larger region that it is part of: a value computed directly into a concat's output. */
  readonly within?: { readonly region: Region; readonly offset: number }
}

export interface Binding {
  readonly region: Region
  readonly offset: number
  readonly bytes: number
}

/** One dispatch with its bindings, in the order of its launch's slots. */
export interface Step {
  readonly launch: Launch
  readonly bindings: readonly Binding[]
}

/** A binding, and the view that it is read through, counted from the binding's start. */
export interface BoundView {
  readonly binding: Binding
  readonly view: View
}

/** A size in bytes, rounded up to that of a region. */
export function padded(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
}

export function bindWhole(region: Region): Binding {
  return outermost({ region, offset: 0, bytes: region.bytes })
}

/** The range of a region that a view reads, from the last aligned offset before it. Strides may be negative. */
function bindView(region: Region, view: View): BoundView {
  const bytes = bytesOf(view.dtype)
  const farthest = (along: (steps: number) => number): number =>
    view.shape.reduce((at, n, axis) => at + along((n - 1) * view.strides[axis]), view.offset)
  const first = farthest(steps => Math.min(steps, 0))
  const start = Math.floor((first * bytes) / ALIGNMENT) * ALIGNMENT
  const offset = view.offset - start / bytes
  const extent = farthest(steps => Math.max(steps, 0)) - start / bytes + 1
  const size = Math.min(Math.ceil((extent * bytes) / 16) * 16, region.bytes - start)
  return { binding: outermost({ region, offset: start, bytes: size }), view: { ...view, offset } }
}

/** The same binding in the region that has a buffer of its own. */
function outermost({ region, offset, bytes }: Binding): Binding {
  if (!region.within) return { region, offset, bytes }
  const { region: larger, offset: place } = region.within
  return outermost({ region: larger, offset: place + offset, bytes: Math.min(bytes, larger.bytes - place - offset) })
}

/** The regions of a graph's values. */
export class Regions {
  readonly #regions = new Map<string, Region>()
  readonly #placements: ReadonlyMap<string, Placement>

  constructor(placements: ReadonlyMap<string, Placement>) {
    this.#placements = placements
  }

  /** The region of a source, or of a value that an earlier step computes. */
  of(value: Value): Region {
    const found = this.#regions.get(keyOf(value))
    if (found) return found
    if (value.node.op.kind !== 'source')
      throw new Error(`${value.node.op.name} (${keyOf(value)}) is read before it is computed`)
    return this.#add(value, value.node)
  }

  /** The region of a value that is about to be computed. */
  make(value: Value): Region {
    return this.#regions.get(keyOf(value)) ?? this.#add(value)
  }

  /** Puts a value into a region of another. */
  share(value: Value, region: Region): void {
    this.#regions.set(keyOf(value), region)
  }

  bind({ base, view }: Located): BoundView {
    return bindView(this.of(base), view)
  }

  #add(value: Value, source?: Node): Region {
    const { shape, dtype } = specOf(value)
    const place = this.#placements.get(keyOf(value))
    const within = place && { region: this.make(place.within), offset: place.offset }
    const region: Region = {
      bytes: padded(sizeOf(shape) * bytesOf(dtype)),
      dtype,
      label: value.node.op.name,
      source,
      within,
    }
    this.#regions.set(keyOf(value), region)
    return region
  }
}
