// Memory as dispatches see it: regions, whose buffers are chosen later, and the stretches of them that a dispatch binds.
import { type Launch, type View, bytesOf } from '../../shaders/kernel.ts'
import type { Node } from '../graph.ts'

/** Where bindings may begin within a buffer, in bytes: the most that any adapter asks for. */
export const ALIGNMENT = 256

/** A stretch of memory that steps read and write: planned by liveness, or given from outside. */
export interface Region {
  readonly bytes: number
  readonly label: string
  /** What stands behind it: a source's node, or nothing for planned memory. */
  readonly source?: Node
  /** The stretch of a larger region that it is: a value that was made right where a concat wants it. */
  readonly within?: { readonly region: Region, readonly offset: number }
}

export interface Binding {
  readonly region: Region
  readonly offset: number
  readonly bytes: number
}

/** One dispatch with what it binds, in the order of its launch's slots. */
export interface Step {
  readonly launch: Launch
  readonly bindings: readonly Binding[]
}

/** The size of a region that holds so many bytes. */
export function padded(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
}

export function whole(region: Region): Binding {
  return resolved({ region, offset: 0, bytes: region.bytes })
}

/** What a view reads of its region, from the last place before it where a binding may begin; the view, counted from there. */
export function bindView(region: Region, view: View): { binding: Binding; view: View } {
  const bytes = bytesOf(view.dtype)
  const start = Math.floor(view.offset * bytes / ALIGNMENT) * ALIGNMENT
  const offset = view.offset - start / bytes
  const extent = view.shape.reduce((last, n, axis) => last + (n - 1) * view.strides[axis], offset) + 1
  const size = Math.min(Math.ceil(extent * bytes / 16) * 16, region.bytes - start)
  return { binding: resolved({ region, offset: start, bytes: size }), view: { ...view, offset } }
}

/** A binding of the memory itself, where its region is a stretch of a larger one. */
function resolved({ region, offset, bytes }: Binding): Binding {
  if (!region.within) return { region, offset, bytes }
  const { region: larger, offset: place } = region.within
  return resolved({ region: larger, offset: place + offset, bytes: Math.min(bytes, larger.bytes - place - offset) })
}
