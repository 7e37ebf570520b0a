// What all matmul kernels share: bindings and uniforms, which tile a workgroup has, loads and stores.
import { type Ending, type Epilogue, endingOf, endingSlots } from '../epilogue.ts'
import type { FloatType, Slot, Traits } from '../kernel.ts'
import type { Part, ScalarType, ShaderParts } from '../wgsl.ts'
import { LETTERS, MAIN, Shader, each, paragraphs, plus, typeName, wgsl, when, widened } from '../wgsl.ts'
import { type Operand, type Product, batchCount, isVec4 } from './problem.ts'

/** A kind of matmul kernel: all that is known of its configs. */
export interface MatmulKind<Config> {
  name(config: Config): string
  /** Which outputs one workgroup makes. */
  size(config: Config): TileSize
  /** Of a workgroup. */
  threads(config: Config): number
  /** Bytes of workgroup memory. */
  storage(config: Config): number
  /** Where the kernel can use vec4s along rows of the operands (along K it always can), and of the output. */
  vec4s(config: Config): Vec4s
  shader(config: Config, layout: Layout): Shader
  /** How K may be cut in slices; SLICING when left out. */
  slicing?(config: Config): Slicing
  /** Configs for a product on an adapter, with their speed on large sizes relative to the adapter's best. */
  configs(product: Product, traits: Traits): Rated<Config>[]
}

export interface Slicing {
  /** The fewest elements of K that are worth a slice of their own. */
  readonly shortest: number
  readonly most: number
  /** How many times the workgroups that fill the adapter are worth a try. */
  readonly times: readonly number[]
}

export const SLICING: Slicing = { shortest: 128, most: 64, times: [1] }

export interface Rated<Config> {
  readonly config: Config
  readonly rate: number
  /** Of the configs for the adapter, the one with the least code. */
  readonly shortest?: boolean
}

interface Vec4s {
  readonly a: boolean
  readonly b: boolean
  readonly out: boolean
}

/** What of an operand shapes the code, with the names that its WGSL has. */
export interface OperandLayout {
  readonly dtype: FloatType
  readonly major: 'k' | 'row'
  /** Loaded four at a time along the major axis. */
  readonly vec4: boolean
  /** Its rows are patches of images, found by the functions of `patchFunctions`. */
  readonly patches: boolean
  readonly buffer: string
  /** Where the matrix of the workgroup begins, and its stride, in what the buffer is declared of: elements or vec4s. */
  readonly start: string
  readonly stride: string
  /** How many rows it has: M or N. */
  readonly extent: string
}

export interface SegmentLayout {
  readonly a: OperandLayout
  readonly b: OperandLayout
  readonly scaled: boolean
  /** What the left operand is multiplied by: ` * u.scale0`, or nothing. */
  readonly times: string
  /** Bounds along K of what the workgroup sums, in WGSL. */
  readonly begin: string
  readonly end: string
}

/** Everything about a product that shapes the code; sizes, strides and offsets are uniforms. */
export interface Layout {
  readonly segments: readonly SegmentLayout[]
  readonly bias?: FloatType
  readonly out: FloatType
  readonly outVec4: boolean
  /** Stored as [..., N, M]. */
  readonly outTransposed: boolean
  /** Stored as [images, ..., M, pixels]. */
  readonly images: boolean
  readonly batchAxes: number
  /**
   * The first segment's K is cut in slices, and `out` is f32 partial sums [slices, ...out]. Other segments and the bias
   * are the first slice's.
   */
  readonly split: boolean
  /** What becomes of each element before it is stored, and how. */
  readonly epilogue?: Epilogue
  readonly ending: Ending
}

/** Sizes of what one workgroup makes. */
export interface TileSize {
  readonly rows: number
  readonly columns: number
}

export function layoutOf(product: Product, split: boolean, vec4s: Vec4s): Layout {
  const [out, epilogue] = split ? ['f32' as const, undefined] : [product.out.dtype, product.epilogue]
  const outVec4 = vec4s.out && (product.images?.pixels ?? product.n) % 4 === 0 && !product.outTransposed
  return {
    segments: product.segments.map(({ k, a, b, scale }, s) => ({
      a: operandLayout('a', s, a, product.m, k, vec4s.a),
      b: operandLayout('b', s, b, product.n, k, vec4s.b),
      scaled: scale !== 1,
      times: scale === 1 ? '' : ` * u.scale${s}`,
      begin: split && s === 0 ? 'kBegin' : '0u',
      end: !split ? `u.K${s}` : s === 0 ? 'kEnd' : `kEnd${s}`,
    })),
    bias: product.bias?.dtype,
    out,
    outVec4,
    outTransposed: product.outTransposed === true,
    images: product.images !== undefined,
    batchAxes: product.batch.length,
    split,
    epilogue,
    ending: endingOf(epilogue, out, outVec4 ? 4 : 1),
  }
}

function operandLayout(
  side: Side,
  s: number,
  operand: Operand,
  rows: number,
  k: number,
  rowVec4: boolean,
): OperandLayout {
  const { dtype, major } = operand
  const vec4 = isVec4(operand, rows, k) && (major === 'k' || rowVec4)
  const [buffer, extent] = side === 'a' ? [`left${s}`, 'u.M'] : [`right${s}`, 'u.N']
  const names = { buffer, start: `${side}Start${s}`, stride: `u.${side}${s}Stride`, extent }
  return { dtype, major, vec4, patches: operand.patches !== undefined, ...names }
}

/** `f32 k4 · f16 r1`: the layout in a label. */
function showLayout(layout: Layout): string {
  const show = (o: OperandLayout): string =>
    `${o.dtype}${o.patches ? 'p' : o.major === 'k' ? 'k' : 'r'}${o.vec4 ? 4 : 1}`
  const sum = layout.segments.map(s => `${show(s.a)}·${show(s.b)}${s.scaled ? '·s' : ''}`).join(' + ')
  const end = `${layout.bias ? ' + bias' : ''}${layout.epilogue ? `, ${layout.epilogue.label}` : ''}`
  const how = `${layout.outTransposed ? 't' : ''}${layout.images ? ' images' : ''}${layout.split ? ' split' : ''}${layout.batchAxes > 0 ? ` batch ${layout.batchAxes}` : ''}`
  return `${sum}${end} -> ${layout.out}${how}`
}

export const SIDES = ['a', 'b'] as const
export type Side = (typeof SIDES)[number]

/** The uniforms of a layout; `valuesOf` gives their values. */
function uniformsOf(layout: Layout): Record<string, ScalarType> {
  const { split, batchAxes, segments, ending, images } = layout
  const types: Record<string, ScalarType> = { M: 'u32', N: 'u32', tilesM: 'u32', tilesN: 'u32', tiles: 'u32' }
  if (split) types.chunk = 'u32'
  if (split && batchAxes > 0) types.batches = 'u32'
  segments.forEach(({ scaled }, s) => {
    types[`K${s}`] = 'u32'
    for (const side of SIDES) {
      types[`${side}${s}Offset`] = 'u32'
      types[`${side}${s}Stride`] = 'u32'
      for (let x = 0; x < batchAxes; x++) types[`${side}${s}Batch${x}`] = 'u32'
    }
    if (scaled) types[`scale${s}`] = 'f32'
  })
  for (let x = 0; x < batchAxes; x++) types[`batch${x}`] = 'u32'
  if (patchesOf(layout)) for (const name of PATCH_UNIFORMS) types[name] = 'u32'
  if (images) for (const name of ['imagePixels', 'imageStride', ...(split ? ['count'] : [])]) types[name] = 'u32'
  return { ...types, ...ending.uniforms }
}

/** Of one problem. `chunk` is the length of a slice of K, `slices` how many there are. */
function valuesOf(
  layout: Layout,
  product: Product,
  tile: TileSize,
  slices: number,
  chunk: number,
): Record<string, number> {
  const values: Record<string, number> = {
    M: product.m,
    N: product.n,
    tilesM: Math.ceil(product.m / tile.rows),
    tilesN: Math.ceil(product.n / tile.columns),
    tiles: tileCount(product, tile, slices),
    chunk,
    batches: batchCount(product),
    ...layout.ending.values,
  }
  product.segments.forEach((segment, s) => {
    values[`K${s}`] = segment.k
    values[`scale${s}`] = segment.scale
    for (const side of SIDES) {
      // Addresses count elements of the buffer's declared type, scalars or vec4s.
      const unit = layout.segments[s][side].vec4 ? 4 : 1
      values[`${side}${s}Offset`] = segment[side].offset / unit
      values[`${side}${s}Stride`] = segment[side].stride / unit
      segment[side].batch.forEach((stride, x) => {
        values[`${side}${s}Batch${x}`] = stride / unit
      })
    }
  })
  product.batch.forEach((n, x) => {
    values[`batch${x}`] = n
  })
  const side = patchesOf(layout)
  const patches = side && product.segments[0][side].patches
  if (patches) {
    const unit = patches.vec4 ? 4 : 1
    values.patchPixels = patches.pixels
    values.patchWidth = patches.width
    values.patchImage = patches.image / unit
    values.patchLine = patches.line / unit
    values.patchPixel = patches.pixel / unit
  }
  if (product.images) {
    values.imagePixels = product.images.pixels
    values.imageStride = product.images.stride
    values.count = batchCount(product) * product.m * product.n
  }
  return values
}

export function tileCount(product: Product, tile: TileSize, slices = 1): number {
  return Math.ceil(product.m / tile.rows) * Math.ceil(product.n / tile.columns) * batchCount(product) * slices
}

/** Slots and uniforms of a product's first launch; slices of K go to `partials`. */
export function useOf(
  layout: Layout,
  product: Product,
  tile: TileSize,
  slices: number,
  chunk: number,
  partials: Slot,
): { slots: Record<string, Slot>; uniforms: Record<string, number> } {
  return {
    slots: {
      ...ofOperands(layout, (s, side) => product.segments[s][side].slot),
      ...offsetSlots(product),
      ...(product.bias ? { bias: product.bias.slot } : {}),
      ...endingSlots(layout.epilogue, layout.split ? partials : product.out.slot),
    },
    uniforms: valuesOf(layout, product, tile, slices, chunk),
  }
}

/** The side of the first segment whose rows are patches. */
const patchesOf = ({ segments: [first] }: Layout): Side | undefined => SIDES.find(side => first[side].patches)

const PATCH_UNIFORMS = ['patchPixels', 'patchWidth', 'patchImage', 'patchLine', 'patchPixel']

function offsetSlots({ segments: [first] }: Product): Record<string, Slot> {
  const patches = first.a.patches ?? first.b.patches
  return patches ? { offsets: patches.offsets } : {}
}

/** Something of each operand, by the name of its buffer. */
const ofOperands = <T>({ segments }: Layout, of: (s: number, side: Side) => T): Record<string, T> =>
  Object.fromEntries(segments.flatMap((segment, s) => SIDES.map(side => [segment[side].buffer, of(s, side)] as const)))

interface ProductShader {
  /** Kernel and config. */
  readonly name: string
  readonly layout: Layout
  readonly threads: number
  readonly needs?: ShaderParts['needs']
  /** Constants, workgroup memory and functions. */
  readonly declarations?: Part
  /** `main`: `local` is the thread in the workgroup, `tileM`, `tileN` and `slice` say what it makes. */
  readonly steps: Part
}

/** A matmul kernel. */
export function productShader({ name, layout, threads, needs, declarations, steps }: ProductShader): Shader {
  const { segments, bias, outVec4, ending } = layout
  return new Shader({
    title: `matmul ${name}: ${showLayout(layout)}`,
    needs,
    bindings: {
      ...ofOperands(layout, (s, side) => typeName(segments[s][side].dtype, segments[s][side].vec4 ? 4 : 1)),
      ...(patchesOf(layout) ? { offsets: 'u32' } : {}),
      ...(bias ? { bias: typeName(bias, outVec4 ? 4 : 1) } : {}),
      ...ending.bindings,
    },
    uniforms: uniformsOf(layout),
    code: paragraphs(
      ending.functions,
      placeFunctions(layout),
      declarations,
      wgsl`
      @compute @workgroup_size(${threads})
      fn main(${MAIN}) {
        let tile = group.x + group.y * groups.x;
        if (tile >= u.tiles) { return; }
        let tileM = tile % u.tilesM;
        let tileN = tile / u.tilesM % u.tilesN;
        ${startOf(layout)}
        ${steps}
      }
    `,
    ),
  })
}

/** Where pixels are: of an operand that consists of patches, and of the output if it holds images. */
const placeFunctions = (layout: Layout): string =>
  paragraphs(
    when(patchesOf(layout) !== undefined)`
      fn patchAt(row: u32) -> u32 {
        let pixel = row % u.patchPixels;
        let line = pixel / u.patchWidth * u.patchLine + pixel % u.patchWidth * u.patchPixel;
        return row / u.patchPixels * u.patchImage + line;
      }
    `,
    when(layout.images)`
      fn imageAt(column: u32) -> u32 {
        return column / u.imagePixels * u.imageStride + column % u.imagePixels;
      }
    `,
  )

/** Where a workgroup's slice of K and its matrices begin. */
function startOf({ split, batchAxes, segments }: Layout): string {
  return wgsl`
    ${(split || batchAxes > 0) && 'let slice = tile / (u.tilesN * u.tilesM);'}
    ${when(split)`
      let kBegin = ${batchAxes > 0 ? 'slice / u.batches' : 'slice'} * u.chunk;
      let kEnd = min(kBegin + u.chunk, u.K0);
      ${segments.map(({ end }, s) => s > 0 && `let ${end} = select(0u, u.K${s}, kBegin == 0u);`)}
    `}
    ${segments.map((segment, s) => SIDES.map(side => `var ${segment[side].start} = u.${side}${s}Offset;`))}
    ${batchAxes > 0 && `var batch = ${split ? 'slice % u.batches' : 'slice'};`}
    ${each(batchAxes, n => {
      const x = batchAxes - 1 - n
      const add = (side: Side, s: number): string =>
        `${segments[s][side].start} += batch % u.batch${x} * u.${side}${s}Batch${x};`
      return [segments.map((_, s) => SIDES.map(side => add(side, s))), x > 0 && `batch /= u.batch${x};`]
    })}
  `
}

/** The bias at `index`, one or four of it as f32; zeros except in the first slice. */
export function biasAt(bias: FloatType, { split }: Layout, index: string, width: 1 | 4): string {
  const value = widened(`bias[${index}]`, bias, width)
  return split ? `select(${width === 4 ? 'vec4f()' : '0.0'}, ${value}, kBegin == 0u)` : value
}

const plusBias = (layout: Layout, index: string, width: 1 | 4): string =>
  layout.bias ? ` + ${biasAt(layout.bias, layout, index, width)}` : ''

/** True where K is known to be a multiple of 4. */
export function wholeVec4s(segment: SegmentLayout): boolean {
  return [segment.a, segment.b].some(o => o.major === 'k' && o.vec4)
}

/** Loads the element or vec4 at `index` as f32. */
export const load = ({ buffer, dtype, vec4 }: OperandLayout, index: string): string =>
  widened(`${buffer}[${index}]`, dtype, vec4 ? 4 : 1)

/**
 * What is added to the start of a row of an operand that lies along K: for element `k`, or for the vec4 that begins
 * there.
 */
export function alongK({ patches, vec4 }: OperandLayout, k: string): string {
  const number = vec4 ? `${k} / 4u` : k
  return patches ? `offsets[${number}]` : number
}

/** Index of element (row, k) of an operand, or of the vec4 that begins there. */
export function indexOf({ start, stride, major, vec4 }: OperandLayout, row: string, k: string): string {
  const [slow, fast] = major === 'k' ? [row, k] : [k, row]
  return `${start} + ${slow} * ${stride} + ${fast}${vec4 ? ' / 4u' : ''}`
}

/**
 * Index of the first element of a row, or of four rows where the operand has vec4s along them. Rows past the edge read
 * the last one instead; their sums are never stored.
 */
export function rowStart({ start, stride, major, vec4, extent, patches }: OperandLayout, row: string): string {
  if (patches) return `${start} + patchAt(min(${row}, ${extent} - 1u))`
  if (major === 'row' && vec4) return `${start} + min(${row}, ${extent} - 4u) / 4u`
  return `${start} + min(${row}, ${extent} - 1u)${major === 'k' ? ` * ${stride}` : ''}`
}

/**
 * Four elements of row `row` along K from `k` on (which is before `end`), zero past the end. For operands without vec4s
 * along rows.
 */
export function vec4AlongK(operand: OperandLayout, row: string, k: string, end: string): string {
  if (operand.vec4) return load(operand, indexOf(operand, row, k))
  const elements = LETTERS.map((_, q) => {
    const at = `min(${k} + ${q}u, ${end} - 1u)`
    return `select(0.0, ${load(operand, indexOf(operand, row, at))}, ${k} + ${q}u < ${end})`
  })
  return `vec4f(${elements.join(', ')})`
}

function baseOf({ split, batchAxes, images }: Layout): string {
  if (!split && batchAxes === 0) return ''
  if (!images) return 'slice * u.M * u.N + '
  if (batchAxes === 0) return 'slice * u.count + '
  return split
    ? 'slice / u.batches * u.count + slice % u.batches * u.M * u.imagePixels + '
    : 'slice * u.M * u.imagePixels + '
}

/**
 * Declares where the columns column … column + 3 are stored in images, as `name` or, if they are stored one by one,
 * `name`x … `name`w: once for all rows, since it takes divisions. Nothing for other outputs.
 */
export function columnPlaces({ images, outVec4 }: Layout, name: string, column: string): Part {
  if (!images) return undefined
  if (outVec4) return `let ${name} = imageAt(${column});`
  return LETTERS.map((letter, i) => `let ${name}${letter} = imageAt(${plus(column, i)});`)
}

/**
 * Stores `value` (a vec4f of columns column … column + 3) at (row, column), leaving out what is past the edge. In images,
 * `place` is what `columnPlaces` declared.
 */
export function store(layout: Layout, row: string, column: string, value: string, place = ''): string {
  if (!layout.outVec4) {
    return each(4, i => storeOne(layout, row, plus(column, i), `${value}.${LETTERS[i]}`, `${place}${LETTERS[i]}`))
  }
  const at = layout.images ? `${row} * u.imagePixels + ${place}` : `${row} * u.N + ${column}`
  return wgsl`
    if (${row} < u.M && ${column} < u.N) {
      let i = ${baseOf(layout)}${at};
      let value = ${value}${plusBias(layout, `${column} / 4u`, 4)};
      ${layout.ending.store('value', 'i / 4u', 'i')}
    }
  `
}

/** Stores the f32 `value` at (row, column), unless that is past the edge. */
export function storeOne(layout: Layout, row: string, column: string, value: string, place = ''): string {
  const index = layout.outTransposed
    ? `(${column}) * u.M + ${row}`
    : layout.images
      ? `${row} * u.imagePixels + ${place}`
      : `${row} * u.N + ${column}`
  return wgsl`
    if (${row} < u.M && ${column} < u.N) {
      let i = ${baseOf(layout)}${index};
      let value = ${value}${plusBias(layout, column, 1)};
      ${layout.ending.store('value', 'i', 'i')}
    }
  `
}

export const rated = <Config>(rate: number, config: Config): Rated<Config> => ({ config, rate })
