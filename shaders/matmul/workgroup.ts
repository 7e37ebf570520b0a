// Matmul through workgroup memory: the form of GPUs, where it is fast and shared by all threads of a workgroup. The
// workgroup copies a slab of both operands, `depth` long, into it as groups of four along M and N (a 4×4 block a time,
// turned round in registers where the operand lies along K), and each thread then makes rows × columns outputs of it in
// registers. Reads of global memory fall by the tile's side; on a CPU adapter all this is copying for nothing.
import { Writer } from '../wgsl.ts'
import { LETTERS, bounds, declare, entryPoint, load, store } from './text.ts'
import type { Layout, OperandLayout, TileSize } from './text.ts'

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
}

export function workgroupName(c: WorkgroupConfig): string {
  return `wg ${c.rows}x${c.columns}x${c.depth} ${c.rowFours * 4}x${c.columnFours * 4}`
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
    // Threads take groups of four in turn, so that neighbours read neighbouring groups of the tiles.
    for (let i = 0; i < c.rowFours; i++) writer.line(`let rowFour${i} = local / ${across}u + ${i * down}u;`)
    for (let j = 0; j < c.columnFours; j++) writer.line(`let columnFour${j} = local % ${across}u + ${j * across}u;`)
    for (let i = 0; i < c.rowFours * 4; i++) {
      for (let j = 0; j < c.columnFours; j++) writer.line(`var sum${i}_${j} = vec4f();`)
    }
    layout.segments.forEach((segment, s) => {
      const { begin, end } = bounds(layout, s)
      writer.line('')
      writer.block(`for (var k = ${begin}; k < ${end}; k += ${c.depth}u)`, () => {
        copySlab(writer, 'a', s, segment.a, c.rows, c.depth, threads, end, segment.scaled ? ` * u.scale${s}` : '')
        copySlab(writer, 'b', s, segment.b, c.columns, c.depth, threads, end, '')
        writer.line('workgroupBarrier();')
        writer.block(`for (var kk = 0u; kk < ${c.depth}u; kk++)`, () => {
          for (let i = 0; i < c.rowFours; i++) writer.line(`let a${i} = leftTile[kk * LEFT_PITCH + rowFour${i}];`)
          for (let j = 0; j < c.columnFours; j++) writer.line(`let b${j} = rightTile[kk * RIGHT_PITCH + columnFour${j}];`)
          for (let i = 0; i < c.rowFours * 4; i++) {
            for (let j = 0; j < c.columnFours; j++) writer.line(`sum${i}_${j} += a${Math.floor(i / 4)}.${LETTERS[i % 4]} * b${j};`)
          }
        })
        writer.line('workgroupBarrier();')
      })
    })
    writer.line('')
    for (let j = 0; j < c.columnFours; j++) writer.line(`let column${j} = tileN * ${c.columns}u + columnFour${j} * 4u;`)
    for (let i = 0; i < c.rowFours; i++) writer.line(`let row${i} = tileM * ${c.rows}u + rowFour${i} * 4u;`)
    for (let i = 0; i < c.rowFours * 4; i++) {
      for (let j = 0; j < c.columnFours; j++) store(writer, layout, `(row${Math.floor(i / 4)} + ${i % 4}u)`, `column${j}`, `sum${i}_${j}`)
    }
  })
  return writer.toString()
}

/** Copies rows × depth of one operand to its tile in blocks of 4×4. Rows past the edge repeat the last (their sums are
 *  never stored); what is past the end of K is zero. */
function copySlab(
  writer: Writer, side: 'a' | 'b', s: number, operand: OperandLayout, rows: number, depth: number, threads: number, end: string, times: string,
): void {
  const name = side === 'a' ? 'left' : 'right'
  const extent = side === 'a' ? 'u.M' : 'u.N'
  const tile = side === 'a' ? 'tileM' : 'tileN'
  const blocks = (rows / 4) * (depth / 4)
  const start = `${side}Start${s}`
  const stride = `u.${side}${s}Stride`
  const body = (): void => {
    // Neighbouring threads take blocks that are neighbours in memory.
    const perRun = operand.major === 'k' ? depth / 4 : rows / 4
    const [fast, slow] = operand.major === 'k' ? ['kFour', 'four'] : ['four', 'kFour']
    writer.line(`let ${fast} = block % ${perRun}u;`, `let ${slow} = block / ${perRun}u;`)
    writer.line(`let row = ${tile} * ${rows}u + four * 4u;`, 'let at = k + kFour * 4u;')
    for (let q = 0; q < 4; q++) writer.line(`var v${q} = vec4f();`)
    if (operand.major === 'k') {
      const rowStart = (q: number): string => `${start} + min(row + ${q}u, ${extent} - 1u) * ${stride}`
      if (operand.vec4) {
        writer.block(`if (at < ${end})`, () => {
          for (let q = 0; q < 4; q++) writer.line(`v${q} = ${load(side, s, operand, `${rowStart(q)} + at / 4u`)};`)
        })
      } else {
        for (let q = 0; q < 4; q++) writer.line(`let start${q} = ${rowStart(q)} + at;`)
        for (let kk = 0; kk < 4; kk++) {
          writer.block(`if (at + ${kk}u < ${end})`, () => {
            for (let q = 0; q < 4; q++) writer.line(`v${q}.${LETTERS[kk]} = ${load(side, s, operand, `start${q} + ${kk}u`)};`)
          })
        }
      }
    } else {
      const last = operand.vec4 ? 4 : 1
      for (let kk = 0; kk < 4; kk++) {
        writer.block(`if (at + ${kk}u < ${end})`, () => {
          const run = `${start} + (at + ${kk}u) * ${stride}`
          if (operand.vec4) writer.line(`v${kk} = ${load(side, s, operand, `${run} + min(row, ${extent} - ${last}u) / 4u`)};`)
          else {
            const elements = LETTERS.map((_, q) => load(side, s, operand, `${run} + min(row + ${q}u, ${extent} - 1u)`))
            writer.line(`v${kk} = vec4f(${elements.join(', ')});`)
          }
        })
      }
    }
    for (let kk = 0; kk < 4; kk++) {
      const column = operand.major === 'k' ? `vec4f(${LETTERS.map((_, q) => `v${q}.${LETTERS[kk]}`).join(', ')})` : `v${kk}`
      writer.line(`${name}Tile[(kFour * 4u + ${kk}u) * ${name.toUpperCase()}_PITCH + four] = ${column}${times};`)
    }
  }
  if (blocks === threads) writer.block('', () => { writer.line('let block = local;'); body() })
  else writer.block(`for (var block = local; block < ${blocks}u; block += ${threads}u)`, body)
}
