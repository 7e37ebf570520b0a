// What all matmul kernels write alike: the uniform struct, the bindings, which tile a workgroup has, loads and stores.
import { type Ending, type Epilogue, endingOf, endingSlots } from '../epilogue.ts'
import { LETTERS, type UniformField, Uniforms, type Writer, asF32, enables, typeName } from '../writer.ts'
import { batchCount, isVec4 } from './problem.ts'
import type { FloatType, Slot } from '../kernel.ts'
import type { Operand, Product } from './problem.ts'

export { LETTERS }

/** What of an operand shapes the code. */
export interface OperandLayout {
  readonly dtype: FloatType
  readonly major: 'k' | 'row'
  /** Loaded four at a time along the major axis. */
  readonly vec4: boolean
}

export interface SegmentLayout {
  readonly a: OperandLayout
  readonly b: OperandLayout
  readonly scaled: boolean
}

/** All of a product that shapes the code; its sizes, strides and offsets are uniforms. */
export interface Layout {
  readonly segments: readonly SegmentLayout[]
  readonly bias?: FloatType
  readonly out: FloatType
  readonly outVec4: boolean
  /** Stored as [..., N, M]. */
  readonly outTransposed: boolean
  readonly batchAxes: number
  /** The first segment's K is cut in slices, and `out` is f32 partial sums [slices, ...out]. Other segments and the bias are the first slice's. */
  readonly split: boolean
  /** What becomes of each element before it is stored. */
  readonly epilogue?: Epilogue
}

/** Sizes of what one workgroup makes. */
export interface TileSize {
  readonly rows: number
  readonly columns: number
}

/** `rowVec4`: for which operands the kernel can use groups of four along rows (along K it always can). */
export function layoutOf(product: Product, split: boolean, rowVec4: { readonly a: boolean; readonly b: boolean }): Layout {
  return {
    segments: product.segments.map(({ k, a, b, scale }) => {
      return {
        a: operandLayout(a, product.m, k, rowVec4.a),
        b: operandLayout(b, product.n, k, rowVec4.b),
        scaled: scale !== 1,
      }
    }),
    bias: product.bias?.dtype,
    out: split ? 'f32' : product.out.dtype,
    outVec4: product.n % 4 === 0 && !product.outTransposed,
    outTransposed: product.outTransposed === true,
    batchAxes: product.batch.length,
    split,
    epilogue: split ? undefined : product.epilogue,
  }
}

function operandLayout(operand: Operand, rows: number, k: number, rowVec4: boolean): OperandLayout {
  return { dtype: operand.dtype, major: operand.major, vec4: isVec4(operand, rows, k) && (operand.major === 'k' || rowVec4) }
}

/** `f32 k4 · f16 r1`: the layout in a label. */
export function showLayout(layout: Layout): string {
  const show = (o: OperandLayout): string => `${o.dtype}${o.major === 'k' ? 'k' : 'r'}${o.vec4 ? 4 : 1}`
  const sum = layout.segments.map(s => `${show(s.a)}·${show(s.b)}${s.scaled ? '·s' : ''}`).join(' + ')
  const end = `${layout.bias ? ' + bias' : ''}${layout.epilogue ? `, ${layout.epilogue.label}` : ''}`
  const how = `${layout.outTransposed ? 't' : ''}${layout.split ? ' split' : ''}${layout.batchAxes > 0 ? ` batch ${layout.batchAxes}` : ''}`
  return `${sum}${end} -> ${layout.out}${how}`
}

export function uniformsOf(layout: Layout): Uniforms {
  const names: UniformField[] = ['M', 'N', 'tilesM', 'tilesN', 'tiles'].map((name): UniformField => [name, 'u32'])
  if (layout.split) names.push(['chunk', 'u32'])
  if (layout.split && layout.batchAxes > 0) names.push(['batches', 'u32'])
  layout.segments.forEach((segment, s) => {
    names.push([`K${s}`, 'u32'])
    for (const side of ['a', 'b']) {
      names.push([`${side}${s}Offset`, 'u32'], [`${side}${s}Stride`, 'u32'])
      for (let x = 0; x < layout.batchAxes; x++) names.push([`${side}${s}Batch${x}`, 'u32'])
    }
    if (segment.scaled) names.push([`scale${s}`, 'f32'])
  })
  for (let x = 0; x < layout.batchAxes; x++) names.push([`batch${x}`, 'u32'])
  names.push(...Object.entries(ending(layout).uniforms))
  return new Uniforms(names)
}

/** Uniform words of one problem. `chunk` is the length of a slice of K, `slices` how many there are. */
export function uniformWordsOf(layout: Layout, product: Product, tile: TileSize, slices = 1, chunk = 0): Uint32Array<ArrayBuffer> {
  const tilesM = Math.ceil(product.m / tile.rows)
  const tilesN = Math.ceil(product.n / tile.columns)
  const values: Record<string, number> = {
    M: product.m, N: product.n, tilesM, tilesN, tiles: tileCount(product, tile, slices), chunk, batches: batchCount(product),
  }
  product.segments.forEach((segment, s) => {
    values[`K${s}`] = segment.k
    values[`scale${s}`] = segment.scale
    for (const side of ['a', 'b'] as const) {
      // Addresses count what the buffer is declared of: elements, or groups of four.
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
  Object.assign(values, ending(layout).values)
  return uniformsOf(layout).pack(values)
}

export function tileCount(product: Product, tile: TileSize, slices = 1): number {
  return Math.ceil(product.m / tile.rows) * Math.ceil(product.n / tile.columns) * batchCount(product) * slices
}

/** Slots in the order of the bindings that `declare` writes. */
export function slotsOf(product: Product, split: boolean, partials: Slot): { slots: Slot[]; writes: number[] } {
  const slots = product.segments.flatMap(({ a, b }) => [a.slot, b.slot])
  if (product.bias) slots.push(product.bias.slot)
  if (split) return { slots: [...slots, partials], writes: [slots.length] }
  const { slots: last, writes } = epilogueSlots(product)
  return { slots: [...slots, ...last], writes: writes.map(at => slots.length + at) }
}

/** What a product's last launch binds after its operands, in the order of `Ending.bindings`. */
export function epilogueSlots({ epilogue, out }: Product): { slots: Slot[]; writes: number[] } {
  const { bindings } = endingOf(epilogue, out.dtype, 1)
  const slots = endingSlots(epilogue, out.slot)
  return { slots: bindings.map(({ name }) => slots[name]), writes: bindings.flatMap(({ access }, k) => (access === 'write' ? [k] : [])) }
}

export const ending = ({ epilogue, out, outVec4 }: Pick<Layout, 'epilogue' | 'out' | 'outVec4'>): Ending => endingOf(epilogue, out, outVec4 ? 4 : 1)

/** Declares the bindings that `epilogueSlots` lists, from number `binding` on. Returns the next number. */
export function declareEpilogue(writer: Writer, layout: Pick<Layout, 'epilogue' | 'out' | 'outVec4'>, binding: number): number {
  for (const { name, type, access } of ending(layout).bindings) {
    writer.line(`@group(0) @binding(${binding++}) var<storage, ${access ? 'read_write' : 'read'}> ${name}: array<${type}>;`)
  }
  return binding
}

/** Everything above `main`. */
export function declare(
  writer: Writer, title: string, layout: Layout, features: { readonly subgroups?: boolean; readonly matrices?: boolean } = {},
): void {
  const ofEpilogue = layout.epilogue ? [layout.epilogue.dtype, ...layout.epilogue.inputs.map(({ dtype }) => dtype)] : []
  const dtypes = [layout.out, ...ofEpilogue, ...layout.segments.flatMap(s => [s.a.dtype, s.b.dtype]), ...(layout.bias ? [layout.bias] : [])]
  writer.line(`// ${title}: ${showLayout(layout)}`, ...enables({ dtypes, ...features }), '')
  let binding = 0
  const bind = (access: string, name: string, dtype: FloatType, vec4: boolean): void => {
    writer.line(`@group(0) @binding(${binding++}) var<storage, ${access}> ${name}: array<${typeName(dtype, vec4 ? 4 : 1)}>;`)
  }
  layout.segments.forEach((segment, s) => {
    bind('read', `left${s}`, segment.a.dtype, segment.a.vec4)
    bind('read', `right${s}`, segment.b.dtype, segment.b.vec4)
  })
  if (layout.bias) bind('read', 'bias', layout.bias, layout.outVec4)
  binding = declareEpilogue(writer, layout, binding)
  uniformsOf(layout).declare(writer, binding)
  writer.line(...ending(layout).functions.split('\n'))
  writer.line('')
}

/** `main` with its built-ins: `local` is the thread in the workgroup, `tileM`, `tileN` and `slice` say what it makes.
 *  Opens with the return of workgroups past the end, which `spread` may launch. */
export function entryPoint(writer: Writer, threads: number, layout: Layout, body: () => void): void {
  writer.line(`@compute @workgroup_size(${threads})`)
  writer.block('fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32)', () => {
    writer.line('let tile = group.x + group.y * groups.x;')
    writer.line('if (tile >= u.tiles) { return; }')
    writer.line('let tileM = tile % u.tilesM;', 'let tileN = tile / u.tilesM % u.tilesN;')
    if (layout.split || layout.batchAxes > 0) writer.line('let slice = tile / (u.tilesN * u.tilesM);')
    if (layout.split) {
      writer.line(`let kBegin = ${layout.batchAxes > 0 ? 'slice / u.batches' : 'slice'} * u.chunk;`, 'let kEnd = min(kBegin + u.chunk, u.K0);')
      layout.segments.forEach((_, s) => { if (s > 0) writer.line(`let kEnd${s} = select(0u, u.K${s}, kBegin == 0u);`) })
    }
    for (const [s] of layout.segments.entries()) writer.line(`var aStart${s} = u.a${s}Offset;`, `var bStart${s} = u.b${s}Offset;`)
    if (layout.batchAxes > 0) {
      writer.line(layout.split ? 'var batch = slice % u.batches;' : 'var batch = slice;')
      for (let x = layout.batchAxes - 1; x >= 0; x--) {
        for (const [s] of layout.segments.entries()) {
          for (const side of ['a', 'b']) writer.line(`${side}Start${s} += batch % u.batch${x} * u.${side}${s}Batch${x};`)
        }
        if (x > 0) writer.line(`batch /= u.batch${x};`)
      }
    }
    body()
  })
}

/** Bounds of segment s along K, as WGSL. */
export function bounds(layout: Layout, s: number): { begin: string; end: string } {
  if (!layout.split) return { begin: '0u', end: `u.K${s}` }
  return s === 0 ? { begin: 'kBegin', end: 'kEnd' } : { begin: '0u', end: `kEnd${s}` }
}

/** The bias at `index`, one or four of it as f32, where its dtype is given: zeros but in the first slice. */
export function biasAt({ split }: Layout, dtype: FloatType, index: string, width: 1 | 4 = 1): string {
  const bias = asF32(`bias[${index}]`, dtype, width)
  return split ? `select(${width === 4 ? 'vec4f()' : '0.0'}, ${bias}, kBegin == 0u)` : bias
}

/** True where K is known to be a multiple of 4. */
export function wholeFours(segment: SegmentLayout): boolean {
  return [segment.a, segment.b].some(o => o.major === 'k' && o.vec4)
}

/** Loads the element or group of four at `index` as f32. */
export function load(side: 'a' | 'b', s: number, layout: OperandLayout, index: string): string {
  return asF32(`${side === 'a' ? 'left' : 'right'}${s}[${index}]`, layout.dtype, layout.vec4 ? 4 : 1)
}

/** Four elements of row `row` along K from `k` on (which is before `end`), zero past the end. For operands without groups of four along rows. */
export function fourAlongK(side: 'a' | 'b', s: number, operand: OperandLayout, row: string, k: string, end: string): string {
  const start = `${side}Start${s}`
  const stride = `u.${side}${s}Stride`
  if (operand.vec4) return load(side, s, operand, `${start} + ${row} * ${stride} + ${k} / 4u`)
  const elements = LETTERS.map((_, q) => {
    const at = `min(${k} + ${q}u, ${end} - 1u)`
    const index = operand.major === 'k' ? `${start} + ${row} * ${stride} + ${at}` : `${start} + ${at} * ${stride} + ${row}`
    return `select(0.0, ${load(side, s, operand, index)}, ${k} + ${q}u < ${end})`
  })
  return `vec4f(${elements.join(', ')})`
}

/** Stores `value` (a vec4f of columns column … column + 3) at (row, column), leaving out what is past the edge. */
export function store(writer: Writer, layout: Layout, row: string, column: string, value: string): void {
  const base = layout.split || layout.batchAxes > 0 ? 'slice * u.M * u.N + ' : ''
  if (layout.outVec4) {
    const sum = layout.bias ? `${value} + ${biasAt(layout, layout.bias, `${column} / 4u`, 4)}` : value
    writer.block(`if (${row} < u.M && ${column} < u.N)`, () => {
      writer.line(`let i = ${base}${row} * u.N + ${column};`, `let value = ${sum};`)
      writer.line(...ending(layout).store('value', 'i / 4u', 'i'))
    })
    return
  }
  LETTERS.forEach((letter, i) => {
    const at = i === 0 ? column : `${column} + ${i}u`
    storeOne(writer, layout, row, at, layout.bias ? `${value}.${letter} + ${biasAt(layout, layout.bias, at)}` : `${value}.${letter}`)
  })
}

/** Stores the f32 `value`, bias included, at (row, column), unless that is past the edge. */
export function storeOne(writer: Writer, layout: Layout, row: string, column: string, value: string): void {
  const base = layout.split || layout.batchAxes > 0 ? 'slice * u.M * u.N + ' : ''
  const index = layout.outTransposed ? `(${column}) * u.M + ${row}` : `${row} * u.N + ${column}`
  writer.block(`if (${row} < u.M && ${column} < u.N)`, () => {
    writer.line(`let i = ${base}${index};`, `let value = ${value};`)
    writer.line(...ending(layout).store('value', 'i', 'i'))
  })
}
