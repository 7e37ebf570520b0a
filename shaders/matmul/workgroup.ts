// Matmul through workgroup memory, the form of GPUs, where it is fast and shared by all threads of a workgroup. The
// workgroup copies a K-tile of both operands, `depth` long, into it as vec4s along M and N (a 4×4 block at a time,
// transposed in registers where the operand lies along K), and each thread then computes rows × columns outputs of it
// in registers. Reads of global memory fall by the tile's side; a CPU adapter gains nothing from the copy.
//   prefetch  each thread reads its share of the next K-tile into registers while the workgroup computes on this one,
//   which
//             hides the latency of memory.
//   unrolled  the steps of a K-tile are written out, so that places in its memory are constants.
import { LETTERS, type Part, each, wgsl } from '../wgsl.ts'
import {
  type Layout,
  type MatmulKind,
  type OperandLayout,
  type Rated,
  type SegmentLayout,
  type Side,
  bounds,
  load,
  productShader,
  rated,
  store,
  timesScale,
} from './text.ts'

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
  /** All steps of a K-tile are written out; else they are a loop's. */
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
  configs: (_product, { cpu }) => (cpu ? [CPU_CONFIG] : GPU_CONFIGS),
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
      // Threads take vec4s in turn, so that neighbours read neighbouring vec4s of the tiles.
      steps: wgsl`
        let y = ${y};
        let x = ${x};
        ${each(c.rowVec4s * 4, i => each(c.columnVec4s, j => `var sum${i}_${j} = vec4f();`))}
        ${layout.segments.map((segment, s) => {
          const own = s === 0 ? c : { ...c, depth: Math.min(c.depth, LOW_DEPTH) }
          return wgsl`

            {
              ${(c.prefetch ? sumPrefetched : sumSegment)(own, layout, segment, s)}
            }
          `
        })}

        ${each(c.columnVec4s, j => `let column${j} = tileN * ${c.columns}u + (x + ${j * across(c)}u) * 4u;`)}
        ${each(c.rowVec4s, i => `let row${i} = tileM * ${c.rows}u + (y + ${i * down(c)}u) * 4u;`)}
        ${each(c.rowVec4s * 4, i => each(c.columnVec4s, j => store(layout, `(row${Math.floor(i / 4)} + ${i % 4}u)`, `column${j}`, `sum${i}_${j}`)))}
      `,
    })
  },
}

/** Relative to tile.ts's best. */
const CPU_CONFIG: Rated<WorkgroupConfig> = rated(0.14, {
  kernel: 'workgroup',
  rows: 32,
  columns: 32,
  depth: 16,
  rowVec4s: 1,
  columnVec4s: 1,
  prefetch: false,
  unrolled: false,
})

/** Rates on an H200, f32 4096³: 45 TFLOP/s for the first; the second is as fast for some shapes. */
const GPU_CONFIGS = (
  [
    [1, 128, 128, 16, 2, 4, 2],
    [0.98, 128, 128, 16, 2, 2, 2],
    [0.84, 128, 64, 16, 2, 2, 1],
    [0.88, 64, 64, 16, 2, 2, 1],
    [0.68, 64, 64, 16, 1, 1, 0],
    [0.5, 32, 32, 32, 1, 1, 0],
    [0.4, 128, 16, 16, 2, 1, 0],
    [0.35, 128, 8, 32, 1, 1, 0],
  ] as const
).map(([rate, rows, columns, depth, rowVec4s, columnVec4s, how]) =>
  rated<WorkgroupConfig>(rate, {
    kernel: 'workgroup',
    rows,
    columns,
    depth,
    rowVec4s,
    columnVec4s,
    prefetch: how > 0,
    unrolled: how > 1,
  }),
)

/** K-tile by K-tile: copy, wait, compute, wait. */
function sumSegment(c: WorkgroupConfig, layout: Layout, segment: SegmentLayout, s: number): string {
  const { begin, end } = bounds(layout, s)
  const threads = threadsOf(c)
  return wgsl`
    for (var k = ${begin}; k < ${end}; k += ${c.depth}u) {
      ${sidesOf(c, segment).map(
        side => wgsl`
        ${side.blocks === threads ? '{' : `for (var block = local; block < ${side.blocks}u; block += ${threads}u) {`}
          ${side.blocks === threads && 'let block = local;'}
          ${each(4, q => `var v${q} = vec4f();`)}
          ${loadBlock(c, side, s, 'block', 'k', end, '')}
          ${storeBlock(c, side, 'block', '', timesScale(segment, s))}
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
function sumPrefetched(c: WorkgroupConfig, layout: Layout, segment: SegmentLayout, s: number): string {
  const { begin, end } = bounds(layout, s)
  const threads = threadsOf(c)
  const [left, right] = sidesOf(c, segment)
  const total = left.blocks + right.blocks
  const turns = Math.ceil(total / threads)
  /** `body` for each block that a thread has, with its number on its side. */
  const share = (body: (side: TileSide, block: string, name: string) => string): string =>
    each(turns, turn => {
      const [first, next, name] = [turn * threads, (turn + 1) * threads, `_${turn}`]
      const ofLeft = (): string => body(left, `(local + ${first}u)`, name)
      const ofRight = (): string =>
        body(
          right,
          first < left.blocks ? `(local - ${left.blocks - first}u)` : `(local + ${first - left.blocks}u)`,
          name,
        )
      const limit = next > total ? `if (local < ${total - first}u) ` : ''
      if (next <= left.blocks) return ofLeft()
      if (first >= left.blocks) {
        return wgsl`
        ${limit}{
          ${ofRight()}
        }
      `
      }
      return wgsl`
      if (local < ${left.blocks - first}u) {
        ${ofLeft()}
      }
      else ${limit}{
        ${ofRight()}
      }
    `
    })
  return wgsl`
    ${each(turns, turn => each(4, q => `var v${q}_${turn} = vec4f();`))}
    ${share((side, block, name) => loadBlock(c, side, s, block, begin, end, name))}
    for (var k = ${begin}; k < ${end}; k += ${c.depth}u) {
      ${share((side, block, name) => storeBlock(c, side, block, name, timesScale(segment, s)))}
      workgroupBarrier();
      ${each(turns, turn => each(4, q => `v${q}_${turn} = vec4f();`))}
      ${share((side, block, name) => loadBlock(c, side, s, block, `(k + ${c.depth}u)`, end, name))}
      ${multiply(c)}
      workgroupBarrier();
    }
  `
}

interface TileSide {
  readonly side: Side
  readonly operand: OperandLayout
  /** Rows of the tile, along M or N. */
  readonly rows: number
  /** Blocks of 4×4 in a K-tile of it. */
  readonly blocks: number
}

function sidesOf(c: WorkgroupConfig, { a, b }: SegmentLayout): [TileSide, TileSide] {
  const blocks = (rows: number): number => (rows / 4) * (c.depth / 4)
  return [
    { side: 'a', operand: a, rows: c.rows, blocks: blocks(c.rows) },
    { side: 'b', operand: b, rows: c.columns, blocks: blocks(c.columns) },
  ]
}

/**
 * Adds the products of a K-tile to the thread's sums. Loops of kernels that prefetch take four steps a turn: compilers
 * leave them as they are.
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
  const scope = (kk: string): string => wgsl`
    {
      ${step(kk)}
    }
  `
  if (c.unrolled) return each(c.depth, kk => scope(`${kk}u`))
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
      ${each(4, n => scope(`(kQuad * 4u + ${n}u)`))}
    }
  `
}

/**
 * Where block number `block` is in a K-tile: its four rows and its four elements of K. Neighbouring threads take blocks
 * that are neighbours in memory.
 */
function placeOf(c: WorkgroupConfig, { operand, rows }: TileSide, block: string): { quad: string; kQuad: string } {
  const perRun = operand.major === 'k' ? c.depth / 4 : rows / 4
  const [fast, slow] = [`${block} % ${perRun}u`, `${block} / ${perRun}u`]
  return operand.major === 'k' ? { quad: slow, kQuad: fast } : { quad: fast, kQuad: slow }
}

/**
 * Reads block `block` of the K-tile from `k` on into v0 … v3, which hold zeros: along K where the operand lies along
 * it, else along  rows. Rows past the edge repeat the last (their sums are never stored); what is past the end of K
 * stays zero.
 */
function loadBlock(
  c: WorkgroupConfig,
  tileSide: TileSide,
  s: number,
  block: string,
  k: string,
  end: string,
  name: string,
): string {
  const { side, operand, rows } = tileSide
  const [extent, tileNumber] = side === 'a' ? ['u.M', 'tileM'] : ['u.N', 'tileN']
  const start = `${side}Start${s}`
  const stride = `u.${side}${s}Stride`
  const { quad, kQuad } = placeOf(c, tileSide, block)
  const rowStart = (q: number): string => `${start} + min(row + ${q}u, ${extent} - 1u) * ${stride}`
  const ifInside = (kk: number, lines: Part): string => wgsl`
    if (at + ${kk}u < ${end}) {
      ${lines}
    }
  `
  const lines = (): Part => {
    if (operand.major === 'k' && operand.vec4) {
      return wgsl`
        if (at < ${end}) {
          ${each(4, q => `v${q}${name} = ${load(side, s, operand, `${rowStart(q)} + at / 4u`)};`)}
        }
      `
    }
    if (operand.major === 'k') {
      return [
        each(4, q => `let start${q} = ${rowStart(q)} + at;`),
        each(4, kk =>
          ifInside(
            kk,
            each(4, q => `v${q}${name}.${LETTERS[kk]} = ${load(side, s, operand, `start${q} + ${kk}u`)};`),
          ),
        ),
      ]
    }
    return each(4, kk => {
      const run = `${start} + (at + ${kk}u) * ${stride}`
      const value = operand.vec4
        ? load(side, s, operand, `${run} + min(row, ${extent} - 4u) / 4u`)
        : `vec4f(${LETTERS.map((_, q) => load(side, s, operand, `${run} + min(row + ${q}u, ${extent} - 1u)`)).join(', ')})`
      return ifInside(kk, `v${kk}${name} = ${value};`)
    })
  }
  return wgsl`
    {
      let row = ${tileNumber} * ${rows}u + ${quad} * 4u;
      let at = ${k} + ${kQuad} * 4u;
      ${lines()}
    }
  `
}

/** Stores v0 … v3 as block `block` of the tile, transposed where the operand lies along K. */
function storeBlock(c: WorkgroupConfig, tileSide: TileSide, block: string, name: string, times: string): string {
  const { side, operand } = tileSide
  const [tile, pitchName] = side === 'a' ? ['leftTile', 'LEFT_PITCH'] : ['rightTile', 'RIGHT_PITCH']
  const { quad, kQuad } = placeOf(c, tileSide, block)
  return each(4, kk => {
    const column =
      operand.major === 'k'
        ? `vec4f(${LETTERS.map((_, q) => `v${q}${name}.${LETTERS[kk]}`).join(', ')})`
        : `v${kk}${name}`
    return `${tile}[(${kQuad} * 4u + ${kk}u) * ${pitchName} + ${quad}] = ${column}${side === 'a' ? times : ''};`
  })
}
