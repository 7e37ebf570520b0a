// Matmul by subgroup matrices (tensor cores): f16 fragments, sums in f32. A workgroup copies a slab of both operands, `depth`
// long, into its memory as f16, laid out as it was; each of its subgroups multiplies fragments of the slabs into a block of
// its own. Meanwhile each thread reads its share of the next slab into registers, where it comes by fours. In the end the
// blocks go through workgroup memory, a fragment at a time, to be finished and stored by threads, which is also where
// edges are cut. Needs Chromium's experimental subgroup matrices.
import { Writer, asF32 } from '../writer.ts'
import { bounds, declare, entryPoint, store } from './text.ts'
import type { Layout, OperandLayout, SegmentLayout, TileSize } from './text.ts'
import type { SubgroupMatrix } from '../kernel.ts'

export interface MatrixConfig {
  readonly kernel: 'matrix'
  readonly fragment: SubgroupMatrix
  /** Fragments of one subgroup, along M and along N. */
  readonly rows: number
  readonly columns: number
  /** Subgroups of the workgroup, along M and along N. */
  readonly down: number
  readonly across: number
  /** Length of a slab along K: a multiple of the fragment's. */
  readonly depth: number
}

export function matrixName(c: MatrixConfig): string {
  const { rows, columns } = matrixSize(c)
  return `matrix ${rows}x${columns}x${c.depth} by ${c.down}x${c.across} of ${c.fragment.m}x${c.fragment.n}x${c.fragment.k}`
}

export function matrixSize({ fragment, rows, columns, down, across }: MatrixConfig): TileSize {
  return { rows: fragment.m * rows * down, columns: fragment.n * columns * across }
}

export function matrixThreads({ fragment, down, across }: MatrixConfig): number {
  return fragment.lanes * down * across
}

type Side = 'a' | 'b'

/** Elements of one place of a side's tile: four, which one store fills, where all its operands come by fours. */
const tileWidth = (side: Side, layout: Layout): 1 | 4 => (layout.segments.every(segment => segment[side].vec4) ? 4 : 1)

/** Elements that a run of a slab is longer in memory than it has, so that runs begin in different banks. */
const PADDING = 8

/** Elements of workgroup memory for a slab of so many rows, however it lies. */
const slabSize = (rows: number, depth: number): number => Math.max(rows * (depth + PADDING), depth * (rows + PADDING))

/** Elements of the memory through which a subgroup stores a fragment. */
const blockSize = ({ fragment: { m, n } }: MatrixConfig): number => m * n

/** Bytes of workgroup memory. */
export function matrixStorage(c: MatrixConfig): number {
  const { rows, columns } = matrixSize(c)
  return (slabSize(rows, c.depth) + slabSize(columns, c.depth)) * 2 + blockSize(c) * c.down * c.across * 4
}

/** The shader of one config and layout. Operands that are not f16 are rounded to it. */
export function matrixWgsl(c: MatrixConfig, layout: Layout): string {
  const writer = new Writer()
  const { m, n, lanes } = c.fragment
  const { rows, columns } = matrixSize(c)
  declare(writer, `matmul ${matrixName(c)}`, layout, { subgroups: true, matrices: true })
  const tile = (side: Side, name: string, along: number): string => {
    const width = tileWidth(side, layout)
    return `var<workgroup> ${name}: array<${width === 4 ? 'vec4<f16>' : 'f16'}, ${slabSize(along, c.depth) / width}>;`
  }
  writer.line(tile('a', 'leftTile', rows), tile('b', 'rightTile', columns))
  writer.line(`var<workgroup> block: array<f32, ${blockSize(c) * c.down * c.across}>;`, '')
  entryPoint(writer, matrixThreads(c), layout, () => {
    writer.line(`let subgroup = local / ${lanes}u;`, `let lane = local % ${lanes}u;`)
    writer.line(`let down = subgroup / ${c.across}u * ${c.rows * m}u;`, `let across = subgroup % ${c.across}u * ${c.columns * n}u;`)
    fragments(c, (i, j) => writer.line(`var sum${i}_${j} = subgroup_matrix_result<f32, ${n}, ${m}>();`))
    layout.segments.forEach((segment, s) => {
      writer.line('')
      // A low-rank part is no longer than a fragment or two: whole slabs of it would be zeros.
      const own = s === 0 ? c : { ...c, depth: c.fragment.k }
      writer.block('', () => walkSlabs(writer, own, layout, segment, s))
    })
    writer.line('')
    storeBlocks(writer, c, layout)
  })
  return writer.toString()
}

function fragments(c: MatrixConfig, each: (i: number, j: number) => void): void {
  for (let i = 0; i < c.rows; i++) for (let j = 0; j < c.columns; j++) each(i, j)
}

interface Source {
  readonly name: string
  readonly major: 'k' | 'row'
  /** Places of the tile from one run to the next. */
  readonly stride: string
  /** The place where fragment number i, at `k` along K, begins. */
  readonly at: (i: number, k: number) => string
}

/** Multiplies one fragment's length of K. */
function multiply(writer: Writer, c: MatrixConfig, left: Source, right: Source, kk: number): void {
  const { m, n, k } = c.fragment
  writer.block('', () => {
    for (let i = 0; i < c.rows; i++) {
      const order = left.major === 'k' ? 'row_major' : 'col_major'
      writer.line(`let left${i}x = subgroupMatrixLoad<subgroup_matrix_left<f16, ${k}, ${m}>, ${order}>(&${left.name}, ${left.at(i, kk)}, ${left.stride});`)
    }
    for (let j = 0; j < c.columns; j++) {
      const order = right.major === 'k' ? 'col_major' : 'row_major'
      writer.line(`let right${j}x = subgroupMatrixLoad<subgroup_matrix_right<f16, ${n}, ${k}>, ${order}>(&${right.name}, ${right.at(j, kk)}, ${right.stride});`)
    }
    fragments(c, (i, j) => writer.line(`sum${i}_${j} = subgroupMatrixMultiplyAccumulate(left${i}x, right${j}x, sum${i}_${j});`))
  })
}

/** A side of a slab, and how its elements are shared out to be copied: `width` at a time, along memory. */
interface Slab {
  readonly side: Side
  readonly tile: string
  readonly tileWidth: 1 | 4
  readonly operand: OperandLayout
  readonly rows: number
  readonly width: 1 | 4
  /** Pieces in a run of memory, and of all. */
  readonly run: number
  readonly pieces: number
  readonly pitch: number
}

function slabOf(c: MatrixConfig, side: Side, operand: OperandLayout, layout: Layout): Slab {
  const { rows, columns } = matrixSize(c)
  const along = side === 'a' ? rows : columns
  const width = operand.vec4 ? 4 : 1
  const [length, other] = operand.major === 'k' ? [c.depth, along] : [along, c.depth]
  const tile = side === 'a' ? 'leftTile' : 'rightTile'
  return {
    side, tile, tileWidth: tileWidth(side, layout), operand, rows: along, width,
    run: length / width, pieces: length * other / width, pitch: length + PADDING,
  }
}

function walkSlabs(writer: Writer, c: MatrixConfig, layout: Layout, segment: SegmentLayout, s: number): void {
  const { m, n, k } = c.fragment
  const { begin, end } = bounds(layout, s)
  const slabs = [slabOf(c, 'a', segment.a, layout), slabOf(c, 'b', segment.b, layout)]
  const [left, right] = slabs.map(({ side, tile, tileWidth: width, operand: { major }, pitch }): Source => {
    const first = (i: number): string => (side === 'a' ? `down + ${i * m}u` : `across + ${i * n}u`)
    return {
      name: tile, major, stride: `${pitch / width}u`,
      at: (i, kk) => (major === 'k'
        ? `(${first(i)}) * ${pitch / width}u + ${kk / width}u`
        : `${kk * pitch / width}u + (${first(i)})${width === 4 ? ' / 4u' : ''}`),
    }
  })
  const scaled = (slab: Slab): string => (slab.side === 'a' && segment.scaled ? ` * u.scale${s}` : '')
  const threads = matrixThreads(c)
  const multiplySlab = (): void => {
    for (let kk = 0; kk < c.depth; kk += k) multiply(writer, c, left, right, kk)
  }
  // Single elements are too many to be held.
  if (slabs.every(({ width, pieces }) => width === 4 && pieces % threads === 0)) {
    const each = (body: (slab: Slab, piece: string, name: string) => void): void => {
      for (const slab of slabs) {
        for (let turn = 0; turn < slab.pieces / threads; turn++) body(slab, `(local + ${turn * threads}u)`, `${slab.side}${turn}`)
      }
    }
    each((_, __, name) => writer.line(`var ${name} = vec4<f16>();`))
    each((slab, piece, name) => loadPiece(writer, slab, s, piece, begin, end, name, scaled(slab)))
    writer.block(`for (var k = ${begin}; k < ${end}; k += ${c.depth}u)`, () => {
      each((slab, piece, name) => storePiece(writer, slab, piece, name))
      writer.line('workgroupBarrier();')
      each((slab, piece, name) => {
        writer.line(`${name} = vec4<f16>();`)
        loadPiece(writer, slab, s, piece, `(k + ${c.depth}u)`, end, name, scaled(slab))
      })
      multiplySlab()
      writer.line('workgroupBarrier();')
    })
    return
  }
  writer.block(`for (var k = ${begin}; k < ${end}; k += ${c.depth}u)`, () => {
    for (const slab of slabs) {
      const body = (piece: string): void => {
        writer.line(`var value = ${slab.width === 4 ? 'vec4<f16>' : 'f16'}();`)
        loadPiece(writer, slab, s, piece, 'k', end, 'value', scaled(slab))
        storePiece(writer, slab, piece, 'value')
      }
      if (slab.pieces % threads === 0 && slab.width === 4) {
        for (let turn = 0; turn < slab.pieces / threads; turn++) writer.block('', () => body(`(local + ${turn * threads}u)`))
      } else writer.block(`for (var piece = local; piece < ${slab.pieces}u; piece += ${threads}u)`, () => body('piece'))
    }
    writer.line('workgroupBarrier();')
    multiplySlab()
    writer.line('workgroupBarrier();')
  })
}

/** Row and place along K of a piece in its slab. */
function placeOf({ operand, run, width }: Slab, piece: string): { row: string, at: string } {
  const [along, across] = [`${piece} % ${run}u${width === 4 ? ' * 4u' : ''}`, `${piece} / ${run}u`]
  return operand.major === 'k' ? { row: across, at: along } : { row: along, at: across }
}

/** Reads a piece of the slab from `k` on into `name`, which holds zeros. Rows past the edge repeat the last; past the end of K stays zero. */
function loadPiece(writer: Writer, slab: Slab, s: number, piece: string, k: string, end: string, name: string, scaled: string): void {
  const { side, operand, rows, width } = slab
  const { row, at } = placeOf(slab, piece)
  const alongK = operand.major === 'k'
  const [buffer, start, stride] = [`${side === 'a' ? 'left' : 'right'}${s}`, `${side}Start${s}`, `u.${side}${s}Stride`]
  const [extent, first] = side === 'a' ? ['u.M', `tileM * ${rows}u`] : ['u.N', `tileN * ${rows}u`]
  const clamped = `min(${first} + ${row}, ${extent} - ${alongK ? 1 : width}u)`
  const index = alongK
    ? `${start} + ${clamped} * ${stride} + (${k} + ${at})${width === 4 ? ' / 4u' : ''}`
    : `${start} + (${k} + ${at}) * ${stride} + ${clamped}${width === 4 ? ' / 4u' : ''}`
  const element = `${buffer}[${index}]`
  const rounded = operand.dtype === 'f16' && !scaled ? element : `${width === 4 ? 'vec4<f16>' : 'f16'}(${asF32(element, operand.dtype, width)}${scaled})`
  writer.line(`if (${k} + ${at} < ${end}) { ${name} = ${rounded}; }`)
}

function storePiece(writer: Writer, slab: Slab, piece: string, name: string): void {
  const { tile, tileWidth, operand, width, pitch } = slab
  const { row, at } = placeOf(slab, piece)
  const place = operand.major === 'k' ? `(${row}) * ${pitch}u + ${at}` : `(${at}) * ${pitch}u + ${row}`
  if (tileWidth === 4) writer.line(`${tile}[(${place}) / 4u] = ${name};`)
  else for (let q = 0; q < width; q++) writer.line(`${tile}[${place} + ${q}u] = ${width === 4 ? `${name}[${q}]` : name};`)
}

/**
 * Stores one fragment after the other: more at a time take memory that other workgroups could have. A thread's shares of one are
 * written out where they come out even, at places that Dawn knows.
 */
function storeBlocks(writer: Writer, c: MatrixConfig, layout: Layout): void {
  const { m, n, lanes } = c.fragment
  const { rows, columns } = matrixSize(c)
  writer.line(`let own = subgroup * ${blockSize(c)}u;`)
  fragments(c, (i, j) => {
    writer.line(`subgroupMatrixStore<row_major>(&block, own, sum${i}_${j}, ${n}u);`)
    writer.line('workgroupBarrier();')
    const share = (): void => {
      writer.line('let at = own + four * 4u;')
      writer.line(`let row = tileM * ${rows}u + down + ${i * m}u + four / ${n / 4}u;`)
      writer.line(`let column = tileN * ${columns}u + across + ${j * n}u + four % ${n / 4}u * 4u;`)
      store(writer, layout, 'row', 'column', 'vec4f(block[at], block[at + 1u], block[at + 2u], block[at + 3u])')
    }
    if (m * n / 4 % lanes === 0) {
      for (let first = 0; first < m * n / 4; first += lanes) {
        writer.block('', () => {
          writer.line(`let four = lane + ${first}u;`)
          share()
        })
      }
    } else writer.block(`for (var four = lane; four < ${m * n / 4}u; four += ${lanes}u)`, share)
    writer.line('workgroupBarrier();')
  })
}
