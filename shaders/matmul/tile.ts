// Matmul by register tiles, without workgroup memory. Every thread keeps a tile of outputs in registers and walks along
// K four at a time. Two ways to get at the left operand:
//   subgroup 0  each thread loads all rows of its tile itself. Loads a FMA fall with the tile's area; works anywhere.
//   subgroup S  a subgroup shares its rows: each lane loads one row's four elements along K, and subgroupBroadcast hands
//               them round, so a tile of S rows costs a lane one load of A in place of S. The winner on CPU adapters,
//               where a load costs as much as several FMAs and workgroup memory is ordinary memory.
import { Writer } from '../writer.ts'
import { LETTERS, biasAt, bounds, declare, entryPoint, load, store, wholeFours } from './text.ts'
import type { Layout, SegmentLayout, TileSize } from './text.ts'

export interface TileConfig {
  readonly kernel: 'tile'
  /** Width of the subgroup that shares rows, or 0: each thread loads its own. */
  readonly subgroup: number
  /** Output rows of one thread. A multiple of `subgroup` when rows are shared. */
  readonly rows: number
  /** Groups of four output columns of one thread. */
  readonly fours: number
  /** Threads side by side along N (the subgroup's width when rows are shared), and stacked along M. */
  readonly across: number
  readonly stacked: number
  /**
   * Stores its rows in a loop that no compiler unrolls, for CPUs: unrolled stores take them longer to compile than all
   * sums (llvmpipe: 4.9 s of 5.3 with a bias and a residual). A GPU would have to move the sums out of its registers.
   */
  readonly rolled: boolean
}

export function tileName(c: TileConfig): string {
  return `${c.subgroup ? `sg${c.subgroup} ` : ''}${c.rows}x${c.fours * 4} by ${c.stacked}x${c.across}${c.rolled ? '' : ' unrolled'}`
}

/** What a workgroup makes. */
export function tileSize(c: TileConfig): TileSize {
  return { rows: c.rows * c.stacked, columns: c.fours * 4 * c.across }
}

export function tileThreads(c: TileConfig): number {
  return c.across * c.stacked
}

/** The shader of one config and layout. */
export function tileWgsl(c: TileConfig, layout: Layout): string {
  const writer = new Writer()
  declare(writer, `matmul ${tileName(c)}`, layout, { subgroups: c.subgroup > 0 })
  entryPoint(writer, tileThreads(c), layout, () => {
    writer.line(`let lane = local % ${c.across}u;`)
    writer.line(`let row = (tileM * ${c.stacked}u + local / ${c.across}u) * ${c.rows}u;`)
    for (let j = 0; j < c.fours; j++) writer.line(`let column${j} = (tileN * ${c.fours}u + ${j}u) * ${c.across * 4}u + lane * 4u;`)
    for (let i = 0; i < c.rows; i++) {
      for (let j = 0; j < c.fours; j++) writer.line(`var sum${i}_${j} = vec4f();`)
    }
    // The last first: SwiftShader runs the long loop of a LoRA product up to a tenth slower where another one follows.
    for (const [s, segment] of [...layout.segments.entries()].reverse()) {
      writer.line('')
      writer.block('', () => {
        prepareRows(writer, c, segment, s)
        prepareColumns(writer, c, segment, s)
        const { begin, end } = bounds(layout, s)
        if (wholeFours(segment)) {
          writer.block(`for (var k = ${begin}; k < ${end}; k += 4u)`, () => step(writer, c, segment, s, 4))
          return
        }
        writer.line(`var k = ${begin};`)
        writer.block(`for (; k + 4u <= ${end}; k += 4u)`, () => step(writer, c, segment, s, 4))
        writer.block(`for (; k < ${end}; k++)`, () => step(writer, c, segment, s, 1))
      })
    }
    writer.line('')
    storeRows(writer, c, layout)
  })
  return writer.toString()
}

/** Rolled: from a row that is not known when compiling, so that the loop stays one. */
function storeRows(writer: Writer, c: TileConfig, whole: Layout): void {
  const rows = Array.from({ length: c.rows }, (_, i) => i)
  // A bias is the same for all rows: read once. CPUs read it element by element.
  const { bias } = whole
  const once = bias !== undefined && whole.outVec4
  const layout = once ? { ...whole, bias: undefined } : whole
  if (once) for (let j = 0; j < c.fours; j++) writer.line(`let bias${j} = ${biasAt(whole, bias, `column${j} / 4u`, 4)};`)
  const sum = (text: string, j: number): string => (once ? `${text} + bias${j}` : text)
  if (!c.rolled) {
    for (let j = 0; j < c.fours; j++) for (const i of rows) store(writer, layout, `(row + ${i}u)`, `column${j}`, sum(`sum${i}_${j}`, j))
    return
  }
  for (let j = 0; j < c.fours; j++) writer.line(`var sums${j} = array<vec4f, ${c.rows}>(${rows.map(i => `sum${i}_${j}`).join(', ')});`)
  writer.block(`for (var at = row; at < min(row + ${c.rows}u, u.M); at++)`, () => {
    for (let j = 0; j < c.fours; j++) store(writer, layout, 'at', `column${j}`, sum(`sums${j}[at - row]`, j))
  })
}

/** Rows past the edge read the last one instead; their sums are never stored. */
function prepareRows(writer: Writer, c: TileConfig, segment: SegmentLayout, s: number): void {
  const { major, vec4 } = segment.a
  const loads = c.subgroup > 0 ? c.rows / c.subgroup : c.rows
  const grouped = major === 'row' && vec4
  for (let i = 0; i < loads; i += grouped ? 4 : 1) {
    const at = c.subgroup > 0 ? `row + ${i * c.subgroup}u + lane` : `row + ${i}u`
    const clamped = `min(${at}, u.M - ${grouped ? 4 : 1}u)`
    if (major === 'k') writer.line(`let a${s}At${i} = aStart${s} + ${clamped} * u.a${s}Stride;`)
    else writer.line(`let a${s}At${i} = aStart${s} + ${clamped}${grouped ? ' / 4u' : ''};`)
  }
}

function prepareColumns(writer: Writer, c: TileConfig, segment: SegmentLayout, s: number): void {
  const { major, vec4 } = segment.b
  for (let j = 0; j < c.fours; j++) {
    if (major === 'row' && vec4) {
      writer.line(`let b${s}At${j} = bStart${s} + min(column${j}, u.N - 4u) / 4u;`)
      continue
    }
    for (let q = 0; q < 4; q++) {
      const clamped = `min(column${j} + ${q}u, u.N - 1u)`
      writer.line(`let b${s}At${j}${LETTERS[q]} = bStart${s} + ${major === 'k' ? `${clamped} * u.b${s}Stride` : clamped};`)
    }
  }
}

/** One step of `width` (4 or 1) along K. */
function step(writer: Writer, c: TileConfig, segment: SegmentLayout, s: number, width: 1 | 4): void {
  loadRows(writer, c, segment, s, width)
  loadColumns(writer, c, segment, s, width)
  for (let kk = 0; kk < width; kk++) {
    for (let i = 0; i < c.rows; i++) {
      const name = c.subgroup > 0 ? `a${Math.floor(i / c.subgroup)}` : `a${i}`
      const element = width === 4 ? `${name}.${LETTERS[kk]}` : name
      const shared = c.subgroup > 0 ? `subgroupBroadcast(${element}, ${i % c.subgroup}u)` : element
      if (c.fours === 1) writer.line(`sum${i}_0 += ${shared} * b0_${kk};`)
      else {
        writer.line(`let x${i}_${kk} = ${shared};`)
        for (let j = 0; j < c.fours; j++) writer.line(`sum${i}_${j} += x${i}_${kk} * b${j}_${kk};`)
      }
    }
  }
}

/** Declares a0, a1, … : vec4f along K (or one element), of this thread's rows or of its lane's share of them. */
function loadRows(writer: Writer, c: TileConfig, segment: SegmentLayout, s: number, width: 1 | 4): void {
  const { a, scaled } = segment
  const loads = c.subgroup > 0 ? c.rows / c.subgroup : c.rows
  const times = scaled ? ` * u.scale${s}` : ''
  const ks = width === 4 ? [0, 1, 2, 3] : [0]
  if (a.major === 'row' && a.vec4) {
    for (let i = 0; i < loads; i += 4) {
      for (const kk of ks) writer.line(`let rows${i}_${kk} = ${load('a', s, a, `a${s}At${i} + (k + ${kk}u) * u.a${s}Stride`)}${times};`)
      for (let q = 0; q < 4 && i + q < loads; q++) {
        const elements = ks.map(kk => `rows${i}_${kk}.${LETTERS[q]}`)
        writer.line(`let a${i + q} = ${width === 4 ? `vec4f(${elements.join(', ')})` : elements[0]};`)
      }
    }
    return
  }
  for (let i = 0; i < loads; i++) {
    if (a.major === 'k' && a.vec4) {
      writer.line(`let a${i} = ${load('a', s, a, `a${s}At${i} + k / 4u`)}${times};`)
      continue
    }
    const elements = ks.map(kk => load('a', s, a, a.major === 'k' ? `a${s}At${i} + k + ${kk}u` : `a${s}At${i} + (k + ${kk}u) * u.a${s}Stride`))
    writer.line(`let a${i} = ${width === 4 ? `vec4f(${elements.join(', ')})` : elements[0]}${times};`)
  }
}

/** Declares b{j}_{kk}: vec4f of four columns at k + kk. */
function loadColumns(writer: Writer, c: TileConfig, segment: SegmentLayout, s: number, width: 1 | 4): void {
  const { b } = segment
  const ks = width === 4 ? [0, 1, 2, 3] : [0]
  for (let j = 0; j < c.fours; j++) {
    if (b.major === 'k' && b.vec4) {
      for (const letter of LETTERS) writer.line(`let w${j}${letter} = ${load('b', s, b, `b${s}At${j}${letter} + k / 4u`)};`)
      for (const kk of ks) writer.line(`let b${j}_${kk} = vec4f(${LETTERS.map(letter => `w${j}${letter}.${LETTERS[kk]}`).join(', ')});`)
      continue
    }
    for (const kk of ks) {
      if (b.major === 'row' && b.vec4) {
        writer.line(`let b${j}_${kk} = ${load('b', s, b, `b${s}At${j} + (k + ${kk}u) * u.b${s}Stride`)};`)
        continue
      }
      const elements = LETTERS.map(letter => {
        const at = `b${s}At${j}${letter}`
        return load('b', s, b, b.major === 'k' ? `${at} + k + ${kk}u` : `${at} + (k + ${kk}u) * u.b${s}Stride`)
      })
      writer.line(`let b${j}_${kk} = vec4f(${elements.join(', ')});`)
    }
  }
}
