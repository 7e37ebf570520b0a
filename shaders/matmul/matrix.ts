// Matmul by subgroup matrices (tensor cores): f16 fragments, sums in f32. A workgroup copies a K-tile of both operands,
// `depth` long, into its memory as f16, laid out as it was; each of its subgroups multiplies fragments of the tiles
// into a block of its own. Meanwhile each thread reads its share of the next K-tile into registers, if it is read by
// vec4s. In the end the blocks go through workgroup memory, a fragment at a time, and threads apply the epilogue and
// store, cutting off at edges. Needs Chromium's experimental subgroup matrices.
import type { SubgroupMatrix } from '../kernel.ts'
import { type Fragment, MATRICES, loadFragment, multiplyAdd, storeFragment, zeroFragment } from '../subgroup-matrix.ts'
import { type Part, each, scope, typeName, wgsl, widened } from '../wgsl.ts'
import type { Layout, MatmulKind, OperandLayout, SegmentLayout, Side } from './text.ts'
import { SIDES, indexOf, productShader, rated, store } from './text.ts'

export interface MatrixConfig {
  readonly kernel: 'matrix'
  readonly fragment: SubgroupMatrix
  /** Fragments of one subgroup, along M and along N. */
  readonly rows: number
  readonly columns: number
  /** Subgroups of the workgroup, along M and along N. */
  readonly down: number
  readonly across: number
  /** Length of a K-tile: a multiple of the fragment's. */
  readonly depth: number
}

function name(c: MatrixConfig): string {
  const { rows, columns } = size(c)
  return `matrix ${rows}x${columns}x${c.depth} by ${c.down}x${c.across} of ${c.fragment.m}x${c.fragment.n}x${c.fragment.k}`
}

const size = ({ fragment, rows, columns, down, across }: MatrixConfig) => ({
  rows: fragment.m * rows * down,
  columns: fragment.n * columns * across,
})

const threadsOf = ({ fragment, down, across }: MatrixConfig): number => fragment.lanes * down * across

/**
 * Elements at each place of a side's tile: four, filled by one store, if all operands of the side are read as vec4s.
 */
const tileWidth = (side: Side, layout: Layout): 1 | 4 => (layout.segments.every(segment => segment[side].vec4) ? 4 : 1)

/** Elements of padding after each run of a tile, so that runs begin in different banks. */
const PADDING = 8

/** Elements of workgroup memory that hold a K-tile of `rows` rows in either layout. */
const tileElements = (rows: number, depth: number): number =>
  Math.max(rows * (depth + PADDING), depth * (rows + PADDING))

/** Elements of the memory through which a subgroup stores a fragment. */
const blockSize = ({ fragment: { m, n } }: MatrixConfig): number => m * n

/** Operands that are not f16 are rounded to it. */
export const matrix: MatmulKind<MatrixConfig> = {
  name,
  size,
  threads: threadsOf,
  storage(c) {
    const { rows, columns } = size(c)
    return (tileElements(rows, c.depth) + tileElements(columns, c.depth)) * 2 + blockSize(c) * c.down * c.across * 4
  },
  vec4s: () => ({ a: true, b: true, out: true }),
  /**
   * Where the operands are f16 to begin with; a low-rank part in f32 is rounded to f16. Rates relative to f32 kernels
   * on an H200, of 45 TFLOP/s: 16384 × 768 · 768 × 3072 with a low-rank part 190 by the first, 4096³ 211 by the second.
   */
  configs({ segments: [{ a, b }] }, { subgroupMatrix: fragment }) {
    if (!fragment || a.dtype !== 'f16' || b.dtype !== 'f16') return []
    const list = (
      [
        [4.1, 128, 128, 2, 2, 2],
        [4, 256, 128, 4, 2, 2],
        [3.7, 128, 128, 2, 4, 4],
        [3.2, 128, 64, 2, 2, 2],
        [2.6, 64, 64, 1, 2, 4],
        [2.3, 64, 64, 2, 2, 2],
        [1.8, 64, 32, 2, 1, 2],
        [1.4, 32, 32, 1, 1, 2],
      ] as const
    ).map(([rate, rows, columns, down, across, depth]) =>
      rated<MatrixConfig>(rate, {
        kernel: 'matrix',
        fragment,
        down,
        across,
        depth: depth * fragment.k,
        rows: rows / fragment.m / down,
        columns: columns / fragment.n / across,
      }),
    )
    const whole = (count: number): boolean => Number.isInteger(count) && count > 0
    return list.filter(({ config }) => whole(config.rows) && whole(config.columns))
  },
  shader(c, layout) {
    const { fragment } = c
    const { m, n, lanes } = fragment
    const { rows, columns } = size(c)
    const tile = (side: Side, name: string, along: number): string => {
      const width = tileWidth(side, layout)
      return `var<workgroup> ${name}: array<${typeName('f16', width)}, ${tileElements(along, c.depth) / width}>;`
    }
    return productShader({
      name: name(c),
      layout,
      threads: threadsOf(c),
      needs: MATRICES,
      declarations: wgsl`
        ${tile('a', 'leftTile', rows)}
        ${tile('b', 'rightTile', columns)}
        var<workgroup> block: array<f32, ${blockSize(c) * c.down * c.across}>;
      `,
      steps: wgsl`
        let subgroup = local / ${lanes}u;
        let lane = local % ${lanes}u;
        let down = subgroup / ${c.across}u * ${c.rows * m}u;
        let across = subgroup % ${c.across}u * ${c.columns * n}u;
        ${fragments(c, (i, j) => `var sum${i}_${j} = ${zeroFragment(fragment)};`)}
        ${
          /* A low-rank part is no longer than a fragment or two: whole K-tiles of it would be mostly zeros. */
          layout.segments.map(
            (segment, s) => '\n' + scope(sumSegment(s === 0 ? c : { ...c, depth: c.fragment.k }, layout, segment)),
          )
        }

        ${storeBlocks(c, layout)}
      `,
    })
  },
}

const fragments = (c: MatrixConfig, line: (i: number, j: number) => Part): string =>
  each(c.rows, i => each(c.columns, j => line(i, j)))

/** The fragments' view of a side's tile. */
interface Source {
  readonly name: string
  readonly major: 'k' | 'row'
  /** Places of the tile from one run to the next. */
  readonly stride: string
  /** The place where fragment number i, at `k` along K, begins. */
  readonly at: (i: number, k: number) => string
}

/** Multiplies the fragments of one step along K. */
function multiply(c: MatrixConfig, left: Source, right: Source, kk: number): string {
  const load = (side: Fragment, { name, stride, at }: Source, i: number): string =>
    loadFragment(side, name, at(i, kk), stride, c.fragment)
  return wgsl`
    {
      ${each(c.rows, i => `let left${i}x = ${load(left.major === 'k' ? 'left' : 'left turned', left, i)};`)}
      ${each(c.columns, j => `let right${j}x = ${load(right.major === 'k' ? 'right turned' : 'right', right, j)};`)}
      ${fragments(c, (i, j) => multiplyAdd(`sum${i}_${j}`, `left${i}x`, `right${j}x`))}
    }
  `
}

/** A side of a K-tile, and how threads divide the copying of its elements: `width` at a time, along memory. */
interface TileSide {
  readonly operand: OperandLayout
  readonly tile: string
  readonly tileWidth: 1 | 4
  /** The first of its rows in the operand. */
  readonly first: string
  readonly width: 1 | 4
  /** Pieces in a run of memory, and of all. */
  readonly run: number
  readonly pieces: number
  readonly pitch: number
  /** Applied to what is loaded. */
  readonly times: string
  readonly source: Source
}

function sideOf(c: MatrixConfig, side: Side, segment: SegmentLayout, layout: Layout): TileSide {
  const { m, n } = c.fragment
  const { rows, columns } = size(c)
  const [tile, along, first, own, times] =
    side === 'a'
      ? ['leftTile', rows, `tileM * ${rows}u`, (i: number) => `down + ${i * m}u`, segment.times]
      : ['rightTile', columns, `tileN * ${columns}u`, (i: number) => `across + ${i * n}u`, '']
  const operand = segment[side]
  const { major } = operand
  const width = operand.vec4 ? 4 : 1
  const unit = tileWidth(side, layout)
  const [length, other] = major === 'k' ? [c.depth, along] : [along, c.depth]
  const pitch = length + PADDING
  const at = (i: number, kk: number): string =>
    major === 'k'
      ? `(${own(i)}) * ${pitch / unit}u + ${kk / unit}u`
      : `${(kk * pitch) / unit}u + (${own(i)})${unit === 4 ? ' / 4u' : ''}`
  const source = { name: tile, major, stride: `${pitch / unit}u`, at }
  const share = { run: length / width, pieces: (length * other) / width }
  return { operand, tile, tileWidth: unit, first, width, ...share, pitch, times, source }
}

function sumSegment(c: MatrixConfig, layout: Layout, segment: SegmentLayout): string {
  const { begin, end } = segment
  const { k } = c.fragment
  const sides = SIDES.map(side => sideOf(c, side, segment, layout))
  const [left, right] = sides.map(({ source }) => source)
  const threads = threadsOf(c)
  const products = each(c.depth / k, kk => multiply(c, left, right, kk * k))
  // Single elements are too many for registers.
  if (sides.every(({ width, pieces }) => width === 4 && pieces % threads === 0)) {
    const pieces = (line: (side: TileSide, piece: string, name: string) => Part): string[] =>
      sides.map((side, i) =>
        each(side.pieces / threads, turn => line(side, `(local + ${turn * threads}u)`, `${SIDES[i]}${turn}`)),
      )
    return wgsl`
      ${pieces((_side, _piece, name) => `var ${name} = vec4<f16>();`)}
      ${pieces((side, piece, name) => loadPiece(side, piece, begin, end, name))}
      for (var k = ${begin}; k < ${end}; k += ${c.depth}u) {
        ${pieces(storePiece)}
        workgroupBarrier();
        ${pieces((side, piece, name) => [
          `${name} = vec4<f16>();`,
          loadPiece(side, piece, `(k + ${c.depth}u)`, end, name),
        ])}
        ${products}
        workgroupBarrier();
      }
    `
  }
  const copy = (side: TileSide, piece: string): string =>
    scope([
      `var value = ${typeName('f16', side.width)}();`,
      loadPiece(side, piece, 'k', end, 'value'),
      storePiece(side, piece, 'value'),
    ])
  return wgsl`
    for (var k = ${begin}; k < ${end}; k += ${c.depth}u) {
      ${sides.map(side =>
        side.pieces % threads === 0 && side.width === 4
          ? each(side.pieces / threads, turn => copy(side, `(local + ${turn * threads}u)`))
          : `for (var piece = local; piece < ${side.pieces}u; piece += ${threads}u) ${copy(side, 'piece')}`,
      )}
      workgroupBarrier();
      ${products}
      workgroupBarrier();
    }
  `
}

/** Row and place along K of a piece in its K-tile. */
function placeOf({ operand, run, width }: TileSide, piece: string): { row: string; at: string } {
  const [along, across] = [`${piece} % ${run}u${width === 4 ? ' * 4u' : ''}`, `${piece} / ${run}u`]
  return operand.major === 'k' ? { row: across, at: along } : { row: along, at: across }
}

/**
 * Reads a piece of the K-tile from `k` on into `name`, which holds zeros. Rows past the edge repeat the last; past the
 * end of K stays zero.
 */
function loadPiece(side: TileSide, piece: string, k: string, end: string, name: string): string {
  const { operand, first, width, times } = side
  const { buffer, dtype, extent } = operand
  const { row, at } = placeOf(side, piece)
  const clamped = `min(${first} + ${row}, ${extent} - ${operand.major === 'k' ? 1 : width}u)`
  const element = `${buffer}[${indexOf(operand, clamped, `(${k} + ${at})`)}]`
  const rounded =
    dtype === 'f16' && !times ? element : `${typeName('f16', width)}(${widened(element, dtype, width)}${times})`
  return `if (${k} + ${at} < ${end}) { ${name} = ${rounded}; }`
}

function storePiece(side: TileSide, piece: string, name: string): string {
  const { tile, tileWidth, operand, width, pitch } = side
  const { row, at } = placeOf(side, piece)
  const place = operand.major === 'k' ? `(${row}) * ${pitch}u + ${at}` : `(${at}) * ${pitch}u + ${row}`
  if (tileWidth === 4) return `${tile}[(${place}) / 4u] = ${name};`
  return each(width, q => `${tile}[${place} + ${q}u] = ${width === 4 ? `${name}[${q}]` : name};`)
}

/**
 * Stores one fragment after the other: several at a time would take memory that other workgroups could use. A thread's
 * shares of a fragment are unrolled if they divide evenly, so that Dawn knows their indices.
 */
function storeBlocks(c: MatrixConfig, layout: Layout): string {
  const { m, n, lanes } = c.fragment
  const { rows, columns } = size(c)
  const vec4s = (m * n) / 4
  const share = (i: number, j: number): string => wgsl`
    let at = own + quad * 4u;
    let row = tileM * ${rows}u + down + ${i * m}u + quad / ${n / 4}u;
    let column = tileN * ${columns}u + across + ${j * n}u + quad % ${n / 4}u * 4u;
    ${store(layout, 'row', 'column', 'vec4f(block[at], block[at + 1u], block[at + 2u], block[at + 3u])')}
  `
  const shares = (body: string): string =>
    vec4s % lanes === 0
      ? each(vec4s / lanes, turn => scope([`let quad = lane + ${turn * lanes}u;`, body]))
      : `for (var quad = lane; quad < ${vec4s}u; quad += ${lanes}u) ${scope(body)}`
  return wgsl`
    let own = subgroup * ${blockSize(c)}u;
    ${fragments(c, (i, j) => [
      storeFragment('block', 'own', `sum${i}_${j}`, `${n}u`),
      'workgroupBarrier();',
      shares(share(i, j)),
      'workgroupBarrier();',
    ])}
  `
}
