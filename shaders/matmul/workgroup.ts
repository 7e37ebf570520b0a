// Matmul through workgroup memory, for GPUs, where that is fast. The workgroup copies a K-tile of both operands, `depth`
// long, into it as vec4s along M and N (a 4×4 block at a time, transposed in registers where the operand lies along K).
// Each thread then computes rows × columns outputs of the tile in registers. Each element is read from global memory
// once per tile instead of once per output; a CPU adapter gains nothing from the copy.
//   prefetch  each thread reads its share of the next K-tile into registers while the workgroup computes on this one,
//             which hides the latency of memory.
//   unrolled  the steps of a K-tile are written out, so that indices into it are constants.
import { LETTERS, type Part, each, list, scope, wgsl } from '../wgsl.ts'
import type { MatmulKind, OperandLayout, Rated, SegmentLayout } from './text.ts'
import { alongK, columnPlaces, indexOf, load, productShader, rated, rowStart, store } from './text.ts'

export interface WorkgroupConfig {
  readonly kernel: 'workgroup'
  /** Output tile of the workgroup. Multiples of 4. */
  readonly rows: number
  readonly columns: number
  /** Length of a K-tile, a multiple of 4. */
  readonly depth: number
  /** Groups of four rows and of four columns that each thread computes. */
  readonly rowVec4s: number
  readonly columnVec4s: number
  /** Reads the next K-tile while it computes. */
  readonly prefetch: boolean
  /** All steps of a K-tile are written out instead of looped over. */
  readonly unrolled: boolean
}

const name = (c: WorkgroupConfig): string =>
  `wg ${c.rows}x${c.columns}x${c.depth} ${c.rowVec4s * 4}x${c.columnVec4s * 4}${c.prefetch ? ' prefetch' : ''}${c.unrolled ? ' unrolled' : ''}`

/** Threads along N and along M. */
const across = ({ columns, columnVec4s }: WorkgroupConfig): number => columns / (columnVec4s * 4)
const down = ({ rows, rowVec4s }: WorkgroupConfig): number => rows / (rowVec4s * 4)
const threadsOf = (c: WorkgroupConfig): number => across(c) * down(c)

/** One vec4 more than the tile needs, so that the stores of transposed blocks fall on different banks. */
const pitch = (size: number): number => size / 4 + 1

/** Length of a K-tile of a low-rank part, whose K is its rank. */
const LOW_DEPTH = 8

/**
 * Threads of a subgroup are in a block so wide: what they read of both tiles together is least where it is about
 * square.
 */
const BLOCK_WIDTH = 8
const BLOCK_HEIGHT = 4
const BLOCK = BLOCK_WIDTH * BLOCK_HEIGHT

export const workgroup: MatmulKind<WorkgroupConfig> = {
  name,
  size: ({ rows, columns }) => ({ rows, columns }),
  threads: threadsOf,
  storage: ({ rows, columns, depth }) => depth * (pitch(rows) + pitch(columns)) * 16,
  vec4s: () => ({ a: true, b: true, out: true }),
  configs: (_product, { cpu }) => (cpu ? CPU_CONFIGS : GPU_CONFIGS),
  shader(c, layout) {
    const blocked = across(c) % BLOCK_WIDTH === 0 && down(c) % BLOCK_HEIGHT === 0 && across(c) > BLOCK_WIDTH
    const blocks = across(c) / BLOCK_WIDTH
    const [y, x] = blocked
      ? [
          `local / ${BLOCK_WIDTH}u % ${BLOCK_HEIGHT}u + local / ${BLOCK * blocks}u * ${BLOCK_HEIGHT}u`,
          `local % ${BLOCK_WIDTH}u + local / ${BLOCK}u % ${blocks}u * ${BLOCK_WIDTH}u`,
        ]
      : [`local / ${across(c)}u`, `local % ${across(c)}u`]
    return productShader({
      name: name(c),
      layout,
      threads: threadsOf(c),
      declarations: wgsl`
        const LEFT_PITCH = ${pitch(c.rows)}u;
        const RIGHT_PITCH = ${pitch(c.columns)}u;
        var<workgroup> leftTile: array<vec4f, ${c.depth * pitch(c.rows)}>;
        var<workgroup> rightTile: array<vec4f, ${c.depth * pitch(c.columns)}>;
      `,
      // Threads take vec4s in turn, so that neighbouring threads read neighbouring vec4s of the tiles.
      steps: wgsl`
        let y = ${y};
        let x = ${x};
        ${each(c.rowVec4s * 4, i => each(c.columnVec4s, j => `var sum${i}_${j} = vec4f();`))}
        ${layout.segments.map((segment, s) => {
          const own = s === 0 ? c : { ...c, depth: Math.min(c.depth, LOW_DEPTH) }
          return '\n' + scope((c.prefetch ? sumPrefetched : sumSegment)(own, segment))
        })}

        ${each(c.columnVec4s, j => `let column${j} = tileN * ${c.columns}u + (x + ${j * across(c)}u) * 4u;`)}
        ${each(c.columnVec4s, j => columnPlaces(layout, `place${j}`, `column${j}`))}
        ${each(c.rowVec4s, i => `let row${i} = tileM * ${c.rows}u + (y + ${i * down(c)}u) * 4u;`)}
        ${each(c.rowVec4s * 4, i => each(c.columnVec4s, j => store(layout, `(row${Math.floor(i / 4)} + ${i % 4}u)`, `column${j}`, `sum${i}_${j}`, `place${j}`)))}
      `,
    })
  },
}

type Row = readonly [number, number, number, number, number, number, how?: 'prefetch' | 'unrolled']

const configsOf = (table: readonly Row[]): Rated<WorkgroupConfig>[] =>
  table.map(([rate, rows, columns, depth, rowVec4s, columnVec4s, how]) => {
    const steps = { prefetch: how !== undefined, unrolled: how === 'unrolled' }
    return rated(rate, { kernel: 'workgroup', rows, columns, depth, rowVec4s, columnVec4s, ...steps })
  })

/** Relative to tile.ts's best. */
const CPU_CONFIGS = configsOf([[0.14, 32, 32, 16, 1, 1]])

/** Rates on an H200, f32 4096³: 45 TFLOP/s for the first; the second is as fast for some shapes. */
const GPU_CONFIGS = configsOf([
  [1, 128, 128, 16, 2, 4, 'unrolled'],
  [0.98, 128, 128, 16, 2, 2, 'unrolled'],
  [0.84, 128, 64, 16, 2, 2, 'prefetch'],
  [0.88, 64, 64, 16, 2, 2, 'prefetch'],
  [0.68, 64, 64, 16, 1, 1],
  [0.5, 32, 32, 32, 1, 1],
  [0.4, 128, 16, 16, 2, 1],
  [0.35, 128, 8, 32, 1, 1],
])

/** K-tile by K-tile: copy, wait, compute, wait. */
function sumSegment(c: WorkgroupConfig, segment: SegmentLayout): string {
  const { begin, end } = segment
  const threads = threadsOf(c)
  return wgsl`
    for (var k = ${begin}; k < ${end}; k += ${c.depth}u) {
      ${sidesOf(c, segment).map(
        side => wgsl`
        ${side.blocks === threads ? '{' : `for (var block = local; block < ${side.blocks}u; block += ${threads}u) {`}
          ${side.blocks === threads && 'let block = local;'}
          ${each(4, q => `var v${q} = vec4f();`)}
          ${loadBlock(side, 'block', 'k', end, '')}
          ${storeBlock(side, 'block', '')}
        }
      `,
      )}
      workgroupBarrier();
      ${multiply(c)}
      workgroupBarrier();
    }
  `
}

/** The same with the next K-tile read ahead: it is in registers before this one is multiplied. */
function sumPrefetched(c: WorkgroupConfig, segment: SegmentLayout): string {
  const { begin, end } = segment
  const threads = threadsOf(c)
  const [left, right] = sidesOf(c, segment)
  const total = left.blocks + right.blocks
  const turns = Math.ceil(total / threads)
  /** `body` for each block that a thread has, with its number on its side. */
  const share = (body: (side: TileSide, block: string, name: string) => string): string =>
    each(turns, turn => {
      const [first, next, name] = [turn * threads, (turn + 1) * threads, `_${turn}`]
      const ofLeft = (): string => body(left, `(local + ${first}u)`, name)
      const skipped = first - left.blocks
      const ofRight = (): string => body(right, skipped < 0 ? `(local - ${-skipped}u)` : `(local + ${skipped}u)`, name)
      const limit = next > total ? `if (local < ${total - first}u) ` : ''
      if (next <= left.blocks) return ofLeft()
      if (first >= left.blocks) return limit + scope(ofRight())
      return [`if (local < ${left.blocks - first}u) ${scope(ofLeft())}`, `else ${limit}${scope(ofRight())}`]
    })
  return wgsl`
    ${each(turns, turn => each(4, q => `var v${q}_${turn} = vec4f();`))}
    ${share((side, block, name) => loadBlock(side, block, begin, end, name))}
    for (var k = ${begin}; k < ${end}; k += ${c.depth}u) {
      ${share(storeBlock)}
      workgroupBarrier();
      ${each(turns, turn => each(4, q => `v${q}_${turn} = vec4f();`))}
      ${share((side, block, name) => loadBlock(side, block, `(k + ${c.depth}u)`, end, name))}
      ${multiply(c)}
      workgroupBarrier();
    }
  `
}

/** One operand's K-tile. */
interface TileSide {
  readonly operand: OperandLayout
  /** Rows of the tile, along M or N; blocks of 4×4 in it; the tile's number along that side. */
  readonly rows: number
  readonly blocks: number
  readonly number: string
  readonly depth: number
  readonly tile: string
  readonly pitch: string
  /** Applied to what is stored. */
  readonly times: string
}

function sidesOf({ rows, columns, depth }: WorkgroupConfig, { a, b, times }: SegmentLayout): [TileSide, TileSide] {
  const sizes = (rows: number) => ({ rows, depth, blocks: (rows / 4) * (depth / 4) })
  return [
    { ...sizes(rows), operand: a, number: 'tileM', tile: 'leftTile', pitch: 'LEFT_PITCH', times },
    { ...sizes(columns), operand: b, number: 'tileN', tile: 'rightTile', pitch: 'RIGHT_PITCH', times: '' },
  ]
}

/**
 * Adds the products of a K-tile to the thread's sums. Loops of kernels that prefetch have four steps per iteration,
 * because compilers do not unroll them.
 */
function multiply(c: WorkgroupConfig): string {
  const step = (kk: string): string => wgsl`
    ${each(c.rowVec4s, i => `let a${i} = leftTile[${kk} * LEFT_PITCH + y + ${i * down(c)}u];`)}
    ${each(c.columnVec4s, j => `let b${j} = rightTile[${kk} * RIGHT_PITCH + x + ${j * across(c)}u];`)}
    ${each(c.rowVec4s * 4, i =>
      each(c.columnVec4s, n => {
        // Back and forth: consecutive sums share a register operand, which an NVIDIA GPU then need not read again.
        const j = i % 2 === 0 ? n : c.columnVec4s - 1 - n
        return `sum${i}_${j} += a${Math.floor(i / 4)}.${LETTERS[i % 4]} * b${j};`
      }),
    )}
  `
  if (c.unrolled) return each(c.depth, kk => scope(step(`${kk}u`)))
  if (!c.prefetch) {
    return wgsl`
      for (var kk = 0u; kk < ${c.depth}u; kk++) {
        ${step('kk')}
      }
    `
  }
  // Counted by ones, so that Dawn can prove that indices are inside the tiles and omits its bounds checks.
  return wgsl`
    for (var kQuad = 0u; kQuad < ${c.depth / 4}u; kQuad++) {
      ${each(4, n => scope(step(`(kQuad * 4u + ${n}u)`)))}
    }
  `
}

/**
 * Where block number `block` is in a K-tile: its four rows and its four elements of K. Neighbouring threads take blocks
 * that are neighbours in memory.
 */
function placeOf({ operand, rows, depth }: TileSide, block: string): { quad: string; kQuad: string } {
  const perRun = operand.major === 'k' ? depth / 4 : rows / 4
  const [fast, slow] = [`${block} % ${perRun}u`, `${block} / ${perRun}u`]
  return operand.major === 'k' ? { quad: slow, kQuad: fast } : { quad: fast, kQuad: slow }
}

/**
 * Reads block `block` of the K-tile from `k` on into v0 … v3, which hold zeros: along K where the operand lies along
 * it, else along rows. Rows past the edge repeat the last (their sums are never stored); what is past the end of K
 * stays zero.
 */
function loadBlock(tileSide: TileSide, block: string, k: string, end: string, name: string): string {
  const { operand, rows, number } = tileSide
  const { quad, kQuad } = placeOf(tileSide, block)
  const ifInside = (kk: number, lines: Part): string => `if (at + ${kk}u < ${end}) ${scope(lines)}`
  const lines = (): Part => {
    if (operand.major === 'k' && operand.vec4) {
      const vec4Of = (q: number): string =>
        load(operand, `${rowStart(operand, `row + ${q}u`)} + ${alongK(operand, 'at')}`)
      return `if (at < ${end}) ${scope(each(4, q => `v${q}${name} = ${vec4Of(q)};`))}`
    }
    if (operand.major === 'k') {
      const { patches } = operand
      const element = (q: number, kk: number): string =>
        load(operand, patches ? `start${q} + ${alongK(operand, `at + ${kk}u`)}` : `start${q} + ${kk}u`)
      const elements = (kk: number): string => each(4, q => `v${q}${name}.${LETTERS[kk]} = ${element(q, kk)};`)
      return [
        each(4, q => `let start${q} = ${rowStart(operand, `row + ${q}u`)}${patches ? '' : ' + at'};`),
        each(4, kk => ifInside(kk, elements(kk))),
      ]
    }
    return each(4, kk => {
      const rowsFrom = (row: string): string => load(operand, indexOf(operand, row, `(at + ${kk}u)`))
      const value = operand.vec4
        ? rowsFrom(`min(row, ${operand.extent} - 4u)`)
        : `vec4f(${list(4, q => rowsFrom(`min(row + ${q}u, ${operand.extent} - 1u)`))})`
      return ifInside(kk, `v${kk}${name} = ${value};`)
    })
  }
  return wgsl`
    {
      let row = ${number} * ${rows}u + ${quad} * 4u;
      let at = ${k} + ${kQuad} * 4u;
      ${lines()}
    }
  `
}

/** Stores v0 … v3 as block `block` of the tile, transposed where the operand lies along K. */
function storeBlock(tileSide: TileSide, block: string, name: string): string {
  const { operand, tile, pitch, times } = tileSide
  const { quad, kQuad } = placeOf(tileSide, block)
  const column = (kk: number): string =>
    operand.major === 'k' ? `vec4f(${list(4, q => `v${q}${name}.${LETTERS[kk]}`)})` : `v${kk}${name}`
  return each(4, kk => `${tile}[(${kQuad} * 4u + ${kk}u) * ${pitch} + ${quad}] = ${column(kk)}${times};`)
}
