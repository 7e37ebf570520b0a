// Tensors as text: `f32[2, 3]` and the elements, nested as the axes are and in columns, of long axes the first and last
// three.
import type { Spec } from '../shaders/kernel.ts'
import { isFloat } from '../shaders/kernel.ts'
import { isEmpty, showSpec, sizeOf } from './shape.ts'

/** Tensors of more elements are shown without the middle of long axes. */
export const SHOWN_WHOLE = 1000
const EDGE = 3
const ELLIPSIS = '…'

/** `elements` in row-major order, undefined where they are not at hand. */
export function showTensor(spec: Spec, elements: ArrayLike<number> | undefined): string {
  if (isEmpty(spec)) return `${showSpec(spec)} []`
  if (!elements) return `${showSpec(spec)}, not read: await data()`
  const { shape } = spec
  const cut = sizeOf(shape) > SHOWN_WHOLE
  const places = shape.map(length => placesOf(length, cut))
  const texts = new Map<number, string>()
  const note = (axis: number, at: number): void => {
    if (axis === shape.length) texts.set(at, spelled(elements[at], spec))
    else for (const i of places[axis]) if (i !== undefined) note(axis + 1, at * shape[axis] + i)
  }
  note(0, 0)
  const width = Math.max(...Array.from(texts.values(), text => text.length))
  const rows = (axis: number, at: number): string => {
    if (axis === shape.length) return (texts.get(at) ?? '').padStart(shape.length > 0 ? width : 0)
    const parts = places[axis].map(i => (i === undefined ? ELLIPSIS : rows(axis + 1, at * shape[axis] + i)))
    const below = shape.length - axis - 1
    return `[${parts.join(below === 0 ? ', ' : `,${'\n'.repeat(below)}${' '.repeat(axis + 1)}`)}]`
  }
  return `${showSpec(spec)}${shape.length > 1 ? '\n' : ' '}${rows(0, 0)}`
}

/** The indices that are shown of an axis, undefined for those left out. */
function placesOf(length: number, cut: boolean): (number | undefined)[] {
  if (!cut || length <= 2 * EDGE) return Array.from({ length }, (_, i) => i)
  return [...[0, 1, 2], undefined, ...[length - 3, length - 2, length - 1]]
}

/** Six digits are enough to tell numbers apart in a table. */
function spelled(number: number, { dtype }: Spec): string {
  return isFloat(dtype) ? String(Number(number.toPrecision(6))) : String(number)
}
