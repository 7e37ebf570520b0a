// Matmul of few outputs and a long K (matrix times vector, a classifier's logits): all threads of a workgroup walk along
// K together for one small tile of outputs, then add up what they have through workgroup memory, in a fixed order.
import { Writer } from '../writer.ts'
import { biasAt, bounds, declare, entryPoint, fourAlongK, storeOne } from './text.ts'
import type { Layout, TileSize } from './text.ts'

export interface DotConfig {
  readonly kernel: 'dot'
  readonly threads: number
  /** Output tile of the workgroup. */
  readonly rows: number
  readonly columns: number
}

export function dotName(c: DotConfig): string {
  return `dot ${c.threads} ${c.rows}x${c.columns}`
}

export function dotSize(c: DotConfig): TileSize {
  return { rows: c.rows, columns: c.columns }
}

export function dotStorage(c: DotConfig): number {
  return (c.threads + 1) * c.rows * c.columns * 4
}

/** The shader of one config and layout (without groups of four along rows). */
export function dotWgsl(c: DotConfig, layout: Layout): string {
  const writer = new Writer()
  const outputs = c.rows * c.columns
  declare(writer, `matmul ${dotName(c)}`, { ...layout, outVec4: false })
  // One place more than threads, so that the threads that add up read different banks.
  writer.line(`const PITCH = ${c.threads + 1}u;`, `var<workgroup> parts: array<f32, ${outputs * (c.threads + 1)}>;`, '')
  entryPoint(writer, c.threads, layout, () => {
    writer.line(`let row = tileM * ${c.rows}u;`, `let column = tileN * ${c.columns}u;`)
    for (let i = 0; i < outputs; i++) writer.line(`var sum${i} = 0.0;`)
    layout.segments.forEach((segment, s) => {
      const { begin, end } = bounds(layout, s)
      writer.block(`for (var k = ${begin} + local * 4u; k < ${end}; k += ${c.threads * 4}u)`, () => {
        const times = segment.scaled ? ` * u.scale${s}` : ''
        for (let i = 0; i < c.rows; i++) writer.line(`let a${i} = ${fourAlongK('a', s, segment.a, `min(row + ${i}u, u.M - 1u)`, 'k', end)}${times};`)
        for (let j = 0; j < c.columns; j++) writer.line(`let b${j} = ${fourAlongK('b', s, segment.b, `min(column + ${j}u, u.N - 1u)`, 'k', end)};`)
        for (let i = 0; i < c.rows; i++) {
          for (let j = 0; j < c.columns; j++) writer.line(`sum${i * c.columns + j} += dot(a${i}, b${j});`)
        }
      })
    })
    for (let i = 0; i < outputs; i++) writer.line(`parts[${i}u * PITCH + local] = sum${i};`)
    writer.line('workgroupBarrier();')
    writer.block(`for (var output = local; output < ${outputs}u; output += ${c.threads}u)`, () => {
      writer.line(`let m = row + output / ${c.columns}u;`, `let n = column + output % ${c.columns}u;`)
      writer.line('var sum = 0.0;')
      writer.line(`for (var t = 0u; t < ${c.threads}u; t++) { sum += parts[output * PITCH + t]; }`)
      const total = layout.bias ? `sum + ${biasAt(layout, layout.bias, 'n')}` : 'sum'
      storeOne(writer, { ...layout, outVec4: false }, 'm', 'n', total)
    })
  })
  return writer.toString()
}
