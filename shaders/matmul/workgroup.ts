// Matmul through workgroup memory: the form of GPUs, where it is fast and shared by all threads of a workgroup. The
// workgroup copies a slab of both operands, `depth` long, into it as groups of four along M and N (a 4×4 block a time,
// turned round in registers where the operand lies along K), and each thread then makes rows × columns outputs of it in
// registers. Reads of global memory fall by the tile's side; on a CPU adapter all this is copying for nothing.
//   ahead   each thread reads its share of the next slab into registers while the workgroup computes on this one, so that
//           the wait for memory is hidden.
//   written the steps of a slab are written out, so that places in its memory are constants.
import { Writer } from '../writer.ts'
import { LETTERS, bounds, declare, entryPoint, load, store } from './text.ts'
import type { Layout, OperandLayout, SegmentLayout, TileSize } from './text.ts'

export interface WorkgroupConfig {
  readonly kernel: 'workgroup'
  /** Output tile of the workgroup. Multiples of 4. */
  readonly rows: number
  readonly columns: number
  /** Length of a slab along K, a multiple of 4. */
  readonly depth: number
  /** Groups of four rows and of four columns that each thread makes. */
  readonly rowFours: number
  readonly columnFours: number
  /** Reads the next slab while it computes. */
  readonly ahead: boolean
  /** All steps of a slab are written out; else they are a loop's. */
  readonly written: boolean
}

export function workgroupName(c: WorkgroupConfig): string {
  return `wg ${c.rows}x${c.columns}x${c.depth} ${c.rowFours * 4}x${c.columnFours * 4}${c.ahead ? ' ahead' : ''}${c.written ? ' written' : ''}`
}

export function workgroupSize(c: WorkgroupConfig): TileSize {
  return { rows: c.rows, columns: c.columns }
}

export function workgroupThreads(c: WorkgroupConfig): number {
  return (c.rows / (c.rowFours * 4)) * (c.columns / (c.columnFours * 4))
}

/** One more group than the tile needs, so that the stores of turned blocks fall on different banks. */
function pitch(size: number): number {
  return size / 4 + 1
}

/** Bytes of workgroup memory. */
export function workgroupStorage(c: WorkgroupConfig): number {
  return c.depth * (pitch(c.rows) + pitch(c.columns)) * 16
}

/** Length of a slab of a low-rank part, whose K is its rank. */
const LOW_DEPTH = 8

/** Threads of a subgroup stand in a block so wide: what they read of both tiles together is least where it is about square. */
const BLOCK_WIDTH = 8
const BLOCK_HEIGHT = 4
const BLOCK = BLOCK_WIDTH * BLOCK_HEIGHT

/** The shader of one config and layout. */
export function workgroupWgsl(c: WorkgroupConfig, layout: Layout): string {
  const writer = new Writer()
  const threads = workgroupThreads(c)
  const across = c.columns / (c.columnFours * 4)
  const down = c.rows / (c.rowFours * 4)
  declare(writer, `matmul ${workgroupName(c)}`, layout)
  writer.line(`const LEFT_PITCH = ${pitch(c.rows)}u;`, `const RIGHT_PITCH = ${pitch(c.columns)}u;`)
  writer.line(`var<workgroup> leftTile: array<vec4f, ${c.depth * pitch(c.rows)}>;`, `var<workgroup> rightTile: array<vec4f, ${c.depth * pitch(c.columns)}>;`)
  writer.line('')
  entryPoint(writer, threads, layout, () => {
    const blocked = across % BLOCK_WIDTH === 0 && down % BLOCK_HEIGHT === 0 && across > BLOCK_WIDTH
    const blocks = across / BLOCK_WIDTH
    const [y, x] = blocked
      ? [`local / ${BLOCK_WIDTH}u % ${BLOCK_HEIGHT}u + local / ${BLOCK * blocks}u * ${BLOCK_HEIGHT}u`,
        `local % ${BLOCK_WIDTH}u + local / ${BLOCK}u % ${blocks}u * ${BLOCK_WIDTH}u`]
      : [`local / ${across}u`, `local % ${across}u`]
    // Threads take groups of four in turn, so that neighbours read neighbouring groups of the tiles.
    writer.line(`let y = ${y};`, `let x = ${x};`)
    for (let i = 0; i < c.rowFours * 4; i++) {
      for (let j = 0; j < c.columnFours; j++) writer.line(`var sum${i}_${j} = vec4f();`)
    }
    layout.segments.forEach((segment, s) => {
      writer.line('')
      const own = s === 0 ? c : { ...c, depth: Math.min(c.depth, LOW_DEPTH) }
      writer.block('', () => (c.ahead ? walkAhead : walk)(writer, own, layout, segment, s))
    })
    writer.line('')
    for (let j = 0; j < c.columnFours; j++) writer.line(`let column${j} = tileN * ${c.columns}u + (x + ${j * across}u) * 4u;`)
    for (let i = 0; i < c.rowFours; i++) writer.line(`let row${i} = tileM * ${c.rows}u + (y + ${i * down}u) * 4u;`)
    for (let i = 0; i < c.rowFours * 4; i++) {
      for (let j = 0; j < c.columnFours; j++) store(writer, layout, `(row${Math.floor(i / 4)} + ${i % 4}u)`, `column${j}`, `sum${i}_${j}`)
    }
  })
  return writer.toString()
}

/** Slab by slab: copy, wait, compute, wait. */
function walk(writer: Writer, c: WorkgroupConfig, layout: Layout, segment: SegmentLayout, s: number): void {
  const { begin, end } = bounds(layout, s)
  const threads = workgroupThreads(c)
  writer.block(`for (var k = ${begin}; k < ${end}; k += ${c.depth}u)`, () => {
    for (const side of sidesOf(c, segment)) {
      const body = (): void => {
        for (let q = 0; q < 4; q++) writer.line(`var v${q} = vec4f();`)
        loadBlock(writer, c, side, s, 'block', 'k', end, '')
        storeBlock(writer, c, side, 'block', '', segment.scaled ? ` * u.scale${s}` : '')
      }
      if (side.blocks === threads) writer.block('', () => { writer.line('let block = local;'); body() })
      else writer.block(`for (var block = local; block < ${side.blocks}u; block += ${threads}u)`, body)
    }
    writer.line('workgroupBarrier();')
    multiply(writer, c)
    writer.line('workgroupBarrier();')
  })
}

/** The same with the next slab on its way: it is in registers before this one is multiplied. */
function walkAhead(writer: Writer, c: WorkgroupConfig, layout: Layout, segment: SegmentLayout, s: number): void {
  const { begin, end } = bounds(layout, s)
  const threads = workgroupThreads(c)
  const [left, right] = sidesOf(c, segment)
  const total = left.blocks + right.blocks
  const turns = Math.ceil(total / threads)
  /** Writes `body` for each block that a thread has, with its number on its side. */
  const share = (body: (side: TileSide, block: string, name: string) => void): void => {
    for (let turn = 0; turn < turns; turn++) {
      const [first, next, name] = [turn * threads, (turn + 1) * threads, `_${turn}`]
      const ofRight = first < left.blocks ? `(local - ${left.blocks - first}u)` : `(local + ${first - left.blocks}u)`
      const limited = next > total ? `if (local < ${total - first}u)` : ''
      if (next <= left.blocks) body(left, `(local + ${first}u)`, name)
      else if (first >= left.blocks) writer.block(limited, () => body(right, ofRight, name))
      else {
        writer.block(`if (local < ${left.blocks - first}u)`, () => body(left, `(local + ${first}u)`, name))
        writer.block(`else${limited && ` ${limited}`}`, () => body(right, ofRight, name))
      }
    }
  }
  for (let turn = 0; turn < turns; turn++) for (let q = 0; q < 4; q++) writer.line(`var v${q}_${turn} = vec4f();`)
  share((side, block, name) => loadBlock(writer, c, side, s, block, begin, end, name))
  writer.block(`for (var k = ${begin}; k < ${end}; k += ${c.depth}u)`, () => {
    share((side, block, name) => storeBlock(writer, c, side, block, name, segment.scaled ? ` * u.scale${s}` : ''))
    writer.line('workgroupBarrier();')
    for (let turn = 0; turn < turns; turn++) for (let q = 0; q < 4; q++) writer.line(`v${q}_${turn} = vec4f();`)
    share((side, block, name) => loadBlock(writer, c, side, s, block, `(k + ${c.depth}u)`, end, name))
    multiply(writer, c)
    writer.line('workgroupBarrier();')
  })
}

interface TileSide {
  readonly side: 'a' | 'b'
  readonly operand: OperandLayout
  /** Rows of the tile, along M or N. */
  readonly rows: number
  /** Blocks of 4×4 in a slab of it. */
  readonly blocks: number
}

function sidesOf(c: WorkgroupConfig, { a, b }: SegmentLayout): [TileSide, TileSide] {
  const blocks = (rows: number): number => (rows / 4) * (c.depth / 4)
  return [{ side: 'a', operand: a, rows: c.rows, blocks: blocks(c.rows) }, { side: 'b', operand: b, rows: c.columns, blocks: blocks(c.columns) }]
}

/** Adds the products of a slab to the thread's sums. Of loops, those of kernels that read ahead take four steps a turn: compilers leave them as they are. */
function multiply(writer: Writer, c: WorkgroupConfig): void {
  const across = c.columns / (c.columnFours * 4)
  const down = c.rows / (c.rowFours * 4)
  const step = (kk: string): void => {
    for (let i = 0; i < c.rowFours; i++) writer.line(`let a${i} = leftTile[${kk} * LEFT_PITCH + y + ${i * down}u];`)
    for (let j = 0; j < c.columnFours; j++) writer.line(`let b${j} = rightTile[${kk} * RIGHT_PITCH + x + ${j * across}u];`)
    for (let i = 0; i < c.rowFours * 4; i++) {
      // To and fro: what one sum took from registers, the next takes, too, and NVIDIA's need not read it again.
      const columns = Array.from({ length: c.columnFours }, (_, j) => (i % 2 === 0 ? j : c.columnFours - 1 - j))
      for (const j of columns) writer.line(`sum${i}_${j} += a${Math.floor(i / 4)}.${LETTERS[i % 4]} * b${j};`)
    }
  }
  if (c.written) for (let kk = 0; kk < c.depth; kk++) writer.block('', () => step(`${kk}u`))
  else if (!c.ahead) writer.block(`for (var kk = 0u; kk < ${c.depth}u; kk++)`, () => step('kk'))
  else {
    // Counted by ones: of these Dawn knows that places in the tiles are inside, and leaves out its checks.
    writer.block(`for (var kFour = 0u; kFour < ${c.depth / 4}u; kFour++)`, () => {
      for (let n = 0; n < 4; n++) writer.block('', () => step(`(kFour * 4u + ${n}u)`))
    })
  }
}

/** Where block number `block` stands in a slab: its four of rows and its four of K. Neighbouring threads take blocks that are neighbours in memory. */
function placeOf(c: WorkgroupConfig, { operand, rows }: TileSide, block: string): { four: string, kFour: string } {
  const perRun = operand.major === 'k' ? c.depth / 4 : rows / 4
  const [fast, slow] = [`${block} % ${perRun}u`, `${block} / ${perRun}u`]
  return operand.major === 'k' ? { four: slow, kFour: fast } : { four: fast, kFour: slow }
}

/** Reads block `block` of the slab from `k` on into v0 … v3, which hold zeros: along K where the operand lies along it, else along
 *  rows. Rows past the edge repeat the last (their sums are never stored); what is past the end of K stays zero. */
function loadBlock(writer: Writer, c: WorkgroupConfig, tileSide: TileSide, s: number, block: string, k: string, end: string, name: string): void {
  const { side, operand, rows } = tileSide
  const extent = side === 'a' ? 'u.M' : 'u.N'
  const start = `${side}Start${s}`
  const stride = `u.${side}${s}Stride`
  const { four, kFour } = placeOf(c, tileSide, block)
  writer.block('', () => {
    writer.line(`let row = ${side === 'a' ? 'tileM' : 'tileN'} * ${rows}u + ${four} * 4u;`, `let at = ${k} + ${kFour} * 4u;`)
    if (operand.major === 'k') {
      const rowStart = (q: number): string => `${start} + min(row + ${q}u, ${extent} - 1u) * ${stride}`
      if (operand.vec4) {
        writer.block(`if (at < ${end})`, () => {
          for (let q = 0; q < 4; q++) writer.line(`v${q}${name} = ${load(side, s, operand, `${rowStart(q)} + at / 4u`)};`)
        })
        return
      }
      for (let q = 0; q < 4; q++) writer.line(`let start${q} = ${rowStart(q)} + at;`)
      for (let kk = 0; kk < 4; kk++) {
        writer.block(`if (at + ${kk}u < ${end})`, () => {
          for (let q = 0; q < 4; q++) writer.line(`v${q}${name}.${LETTERS[kk]} = ${load(side, s, operand, `start${q} + ${kk}u`)};`)
        })
      }
      return
    }
    const last = operand.vec4 ? 4 : 1
    for (let kk = 0; kk < 4; kk++) {
      writer.block(`if (at + ${kk}u < ${end})`, () => {
        const run = `${start} + (at + ${kk}u) * ${stride}`
        if (operand.vec4) writer.line(`v${kk}${name} = ${load(side, s, operand, `${run} + min(row, ${extent} - ${last}u) / 4u`)};`)
        else {
          const elements = LETTERS.map((_, q) => load(side, s, operand, `${run} + min(row + ${q}u, ${extent} - 1u)`))
          writer.line(`v${kk}${name} = vec4f(${elements.join(', ')});`)
        }
      })
    }
  })
}

/** Stores v0 … v3 as block `block` of the tile, turned round where the operand lies along K. */
function storeBlock(writer: Writer, c: WorkgroupConfig, tileSide: TileSide, block: string, name: string, scaled: string): void {
  const { side, operand } = tileSide
  const [tile, pitchName] = side === 'a' ? ['leftTile', 'LEFT_PITCH'] : ['rightTile', 'RIGHT_PITCH']
  const times = side === 'a' ? scaled : ''
  const { four, kFour } = placeOf(c, tileSide, block)
  for (let kk = 0; kk < 4; kk++) {
    const column = operand.major === 'k' ? `vec4f(${LETTERS.map((_, q) => `v${q}${name}.${LETTERS[kk]}`).join(', ')})` : `v${kk}${name}`
    writer.line(`${tile}[(${kFour} * 4u + ${kk}u) * ${pitchName} + ${four}] = ${column}${times};`)
  }
}
