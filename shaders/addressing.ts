// Where the elements of strided views are in memory: WGSL of addresses, and the uniforms that they read.
import { type View, rowMajorStrides } from './kernel.ts'
import type { ScalarType } from './wgsl.ts'

/** Uniforms, with their values, in the order in which they are added. */
export class Scalars {
  readonly types: Record<string, ScalarType> = {}
  readonly values: Record<string, number> = {}

  /** Gives the WGSL that reads it. */
  add(name: string, value: number, type: ScalarType = 'u32'): string {
    this.types[name] = type
    this.values[name] = value
    return `u.${name}`
  }
}

/** Axes merged where every operand steps through them as through one. */
export interface Axes {
  readonly sizes: number[]
  /** Strides of each operand, by operand and merged axis. */
  readonly strides: number[][]
  readonly groups: number[]
}

/**
 * Merges neighbouring axes of `shape` (and drops those of length 1) as far as all `strides` allow. Axes of different
 * groups are not merged.
 */
export function mergeAxes(
  shape: readonly number[],
  strides: readonly (readonly number[])[],
  group: readonly number[] = shape.map(() => 0),
): Axes {
  const axes: Axes = { sizes: [], strides: strides.map(() => []), groups: [] }
  for (let axis = 0; axis < shape.length; axis++) {
    if (shape[axis] === 1) continue
    const last = axes.sizes.length - 1
    const joins =
      last >= 0 &&
      axes.groups[last] === group[axis] &&
      strides.every((s, k) => axes.strides[k][last] === s[axis] * shape[axis])
    if (joins) {
      axes.sizes[last] *= shape[axis]
      strides.forEach((s, k) => {
        axes.strides[k][last] = s[axis]
      })
    } else {
      axes.sizes.push(shape[axis])
      axes.groups.push(group[axis])
      strides.forEach((s, k) => axes.strides[k].push(s[axis]))
    }
  }
  return axes
}

/** Statements that split `number` into its coordinates `c…` along some of the axes. */
export function coordinatesOf(
  number: string,
  axes: readonly number[],
  sizes: readonly number[],
  scalars: Scalars,
): string[] {
  const lines: string[] = []
  let rest = number
  for (const axis of axes.slice(1).reverse()) {
    const size = scalars.add(`d${axis}`, sizes[axis])
    lines.push(`let c${axis} = ${rest} % ${size};`, `let r${axis} = ${rest} / ${size};`)
    rest = `r${axis}`
  }
  return axes.length > 0 ? [...lines, `let c${axes[0]} = ${rest};`] : []
}

/** The address of an element by its coordinates, in operand `k`. */
export function addressOf(k: number, offset: number, strides: readonly number[], scalars: Scalars): string {
  const terms = offset === 0 ? [] : [scalars.add(`o${k}`, offset)]
  strides.forEach((stride, axis) => {
    if (stride !== 0) terms.push(`c${axis} * ${scalars.add(`t${k}_${axis}`, stride)}`)
  })
  return terms.join(' + ') || '0u'
}

/** How the element number `i` of some shape is found in each of several views of that shape. */
export interface Addressing {
  /** WGSL statements before the addresses, which use their variables. */
  readonly coordinates: readonly string[]
  /** A WGSL expression for each view. */
  readonly addresses: readonly string[]
  readonly access: readonly ('linear' | 'single' | 'strided')[]
  /** Variables of `coordinates`, the last one that of the row's elements. */
  readonly names: readonly string[]
  /** Whether rows are multiples of four long. */
  readonly wholeVec4s: boolean
  /** From which views elements i … i + 3, for i a multiple of four, can be read as one aligned vec4. */
  readonly asVec4: readonly boolean[]
}

/** Adds what it needs to `scalars`. */
export function addressing(shape: readonly number[], views: readonly View[], scalars: Scalars): Addressing {
  const { sizes, strides } = mergeAxes(
    shape,
    views.map(view => view.strides),
  )
  const linear = rowMajorStrides(sizes)
  const access = strides.map(own =>
    own.every(s => s === 0) ? 'single' : own.every((s, i) => s === linear[i]) ? 'linear' : 'strided',
  )
  const all = sizes.map((_, axis) => axis)
  const needed = access.includes('strided')
  const coordinates = needed ? coordinatesOf('i', all, sizes, scalars) : []
  const addresses = views.map(({ offset }, k) => {
    if (access[k] !== 'linear') return addressOf(k, offset, strides[k], scalars)
    return offset === 0 ? 'i' : `${scalars.add(`o${k}`, offset)} + i`
  })
  const last = sizes.length - 1
  const wholeVec4s = last >= 0 && sizes[last] % 4 === 0
  const asVec4 = views.map(({ offset }, k) => {
    const aligned = wholeVec4s && strides[k][last] === 1 && strides[k].slice(0, -1).every(stride => stride % 4 === 0)
    return offset % 4 === 0 && (access[k] === 'linear' || aligned)
  })
  return { coordinates, addresses, access, names: needed ? all.map(axis => `c${axis}`) : [], wholeVec4s, asVec4 }
}
