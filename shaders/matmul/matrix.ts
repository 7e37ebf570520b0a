// Matmul by subgroup matrices (tensor cores): f16 fragments, sums in f32. A workgroup copies a slab of both operands,
// `depth` long, into its memory as f16 with K side by side; each of its subgroups multiplies fragments of the slabs into a
// block of its own. In the end the blocks go through memory once more, a fragment at a time, to be finished and stored
// by threads, which is also where edges are cut. Needs Chromium's experimental subgroup matrices.
import { Writer } from '../wgsl.ts'
import { bounds, declare, entryPoint, load, store } from './text.ts'
import type { Layout, OperandLayout, TileSize } from './text.ts'
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
  return `matrix ${rows}x${columns}x${c.depth} of ${c.fragment.m}x${c.fragment.n}x${c.fragment.k}`
}

export function matrixSize({ fragment, rows, columns, down, across }: MatrixConfig): TileSize {
  return { rows: fragment.m * rows * down, columns: fragment.n * columns * across }
}

export function matrixThreads({ fragment, down, across }: MatrixConfig): number {
  return fragment.lanes * down * across
}

/** Elements from one row of a slab to the next: a few more than it has, so that rows begin in different banks. */
const pitch = ({ depth }: MatrixConfig): number => depth + 8

/** Bytes of workgroup memory. */
export function matrixStorage(c: MatrixConfig): number {
  const { rows, columns } = matrixSize(c)
  return (rows + columns) * pitch(c) * 2 + c.fragment.m * c.fragment.n * c.down * c.across * 4
}

/** The shader of one config and layout. Operands that are not f16 are rounded to it. */
export function matrixWgsl(c: MatrixConfig, layout: Layout): string {
  const writer = new Writer()
  const { m, n, k, lanes } = c.fragment
  const { rows, columns } = matrixSize(c)
  declare(writer, `matmul ${matrixName(c)}`, layout, { subgroups: true, matrices: true })
  writer.line(
    `const PITCH = ${pitch(c)}u;`,
    `var<workgroup> leftTile: array<f16, ${rows * pitch(c)}>;`, `var<workgroup> rightTile: array<f16, ${columns * pitch(c)}>;`,
    `var<workgroup> block: array<f32, ${m * n * c.down * c.across}>;`, '',
  )
  const fragments = (each: (i: number, j: number) => void): void => {
    for (let i = 0; i < c.rows; i++) for (let j = 0; j < c.columns; j++) each(i, j)
  }
  entryPoint(writer, matrixThreads(c), layout, () => {
    writer.line(`let subgroup = local / ${lanes}u;`, `let lane = local % ${lanes}u;`)
    writer.line(`let down = subgroup / ${c.across}u * ${c.rows * m}u;`, `let across = subgroup % ${c.across}u * ${c.columns * n}u;`)
    fragments((i, j) => writer.line(`var sum${i}_${j} = subgroup_matrix_result<f32, ${n}, ${m}>();`))
    layout.segments.forEach((segment, s) => {
      const { begin, end } = bounds(layout, s)
      writer.line('')
      writer.block(`for (var k = ${begin}; k < ${end}; k += ${c.depth}u)`, () => {
        copySlab(writer, 'a', s, segment.a, rows, c, end, segment.scaled ? ` * u.scale${s}` : '')
        copySlab(writer, 'b', s, segment.b, columns, c, end, '')
        writer.line('workgroupBarrier();')
        for (let kk = 0; kk < c.depth; kk += k) {
          writer.block('', () => {
            for (let i = 0; i < c.rows; i++) {
              const at = `(down + ${i * m}u) * PITCH + ${kk}u`
              writer.line(`let left${i} = subgroupMatrixLoad<subgroup_matrix_left<f16, ${k}, ${m}>, row_major>(&leftTile, ${at}, PITCH);`)
            }
            for (let j = 0; j < c.columns; j++) {
              const at = `(across + ${j * n}u) * PITCH + ${kk}u`
              writer.line(`let right${j} = subgroupMatrixLoad<subgroup_matrix_right<f16, ${n}, ${k}>, col_major>(&rightTile, ${at}, PITCH);`)
            }
            fragments((i, j) => writer.line(`sum${i}_${j} = subgroupMatrixMultiplyAccumulate(left${i}, right${j}, sum${i}_${j});`))
          })
        }
        writer.line('workgroupBarrier();')
      })
    })
    writer.line('')
    fragments((i, j) => {
      writer.line(`subgroupMatrixStore<row_major>(&block, subgroup * ${m * n}u, sum${i}_${j}, ${n}u);`, 'workgroupBarrier();')
      writer.block(`for (var four = lane; four < ${m * n / 4}u; four += ${lanes}u)`, () => {
        writer.line(`let at = subgroup * ${m * n}u + four * 4u;`)
        writer.line(`let row = tileM * ${rows}u + down + ${i * m}u + four / ${n / 4}u;`)
        writer.line(`let column = tileN * ${columns}u + across + ${j * n}u + four % ${n / 4}u * 4u;`)
        store(writer, layout, 'row', 'column', 'vec4f(block[at], block[at + 1u], block[at + 2u], block[at + 3u])')
      })
      writer.line('workgroupBarrier();')
    })
  })
  return writer.toString()
}

/** Copies rows × depth of one operand to its tile. Rows past the edge repeat the last; past the end of K stands zero. */
function copySlab(writer: Writer, side: 'a' | 'b', s: number, operand: OperandLayout, rows: number, c: MatrixConfig, end: string, times: string): void {
  const tile = side === 'a' ? 'leftTile' : 'rightTile'
  const extent = side === 'a' ? 'u.M' : 'u.N'
  const first = `${side === 'a' ? 'tileM' : 'tileN'} * ${rows}u`
  const [start, stride] = [`${side}Start${s}`, `u.${side}${s}Stride`]
  const alongK = operand.major === 'k'
  const width = operand.vec4 ? 4 : 1
  // Neighbouring threads read neighbours in memory.
  const run = (alongK ? c.depth : rows) / width
  writer.block(`for (var piece = local; piece < ${rows * c.depth / width}u; piece += ${matrixThreads(c)}u)`, () => {
    const [along, across] = [`piece % ${run}u${width === 4 ? ' * 4u' : ''}`, `piece / ${run}u`]
    writer.line(`let row = ${alongK ? across : along};`, `let at = ${alongK ? along : across};`)
    const clamped = `min(${first} + row, ${extent} - ${alongK ? 1 : width}u)`
    const index = alongK
      ? `${start} + ${clamped} * ${stride} + (k + at)${width === 4 ? ' / 4u' : ''}`
      : `${start} + (k + at) * ${stride} + ${clamped}${width === 4 ? ' / 4u' : ''}`
    writer.line(`var value = ${width === 4 ? 'vec4f()' : '0.0'};`, `if (k + at < ${end}) { value = ${load(side, s, operand, index)}${times}; }`)
    for (let q = 0; q < width; q++) {
      const place = alongK ? `row * PITCH + at + ${q}u` : `(row + ${q}u) * PITCH + at`
      writer.line(`${tile}[${place}] = f16(${width === 4 ? `value[${q}]` : 'value'});`)
    }
  })
}
