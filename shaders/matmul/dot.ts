// Matmul of few outputs and a long K (matrix times vector, a classifier's logits): all threads of a workgroup walk
// along K together for one small tile of outputs, then add up what they have through workgroup memory, in a fixed
// order.
import { each, wgsl } from '../wgsl.ts'
import { type MatmulKind, productShader, rated, storeOne, vec4AlongK } from './text.ts'

export interface DotConfig {
  readonly kernel: 'dot'
  readonly threads: number
  /** Output tile of the workgroup. */
  readonly rows: number
  readonly columns: number
}

const name = ({ threads, rows, columns }: DotConfig): string => `dot ${threads} ${rows}x${columns}`

export const dot: MatmulKind<DotConfig> = {
  name,
  size: ({ rows, columns }) => ({ rows, columns }),
  threads: ({ threads }) => threads,
  storage: ({ threads, rows, columns }) => (threads + 1) * rows * columns * 4,
  vec4s: () => ({ a: false, b: false, out: false }),
  // All of K is one workgroup's.
  slicing: () => ({ shortest: Infinity, most: 1, times: [] }),
  configs({ m, n, segments }, { cpu, subgroupSize }) {
    if (m * n > 16384) return []
    // Threads walk along K: an operand that does not lie along it is read one element at a time.
    const along = segments.every(({ a, b }) => a.major === 'k' && b.major === 'k')
    const threads = cpu ? Math.max(subgroupSize, 4) : 64
    return [rated(along ? 0.25 : 0.05, { kernel: 'dot', threads, rows: Math.min(4, m), columns: Math.min(4, n) })]
  },
  shader(config, layout) {
    const { threads, rows, columns } = config
    const outputs = rows * columns
    return productShader({
      name: name(config),
      layout,
      threads,
      // One place more than threads, so that the threads that add up read different banks.
      declarations: wgsl`
        const PITCH = ${threads + 1}u;
        var<workgroup> parts: array<f32, ${outputs * (threads + 1)}>;
      `,
      steps: wgsl`
        let row = tileM * ${rows}u;
        let column = tileN * ${columns}u;
        ${each(outputs, i => `var sum${i} = 0.0;`)}
        ${layout.segments.map(
          ({ a, b, begin, end, times }) => wgsl`
          for (var k = ${begin} + local * 4u; k < ${end}; k += ${threads * 4}u) {
            ${each(rows, i => `let a${i} = ${vec4AlongK(a, `min(row + ${i}u, u.M - 1u)`, 'k', end)}${times};`)}
            ${each(columns, j => `let b${j} = ${vec4AlongK(b, `min(column + ${j}u, u.N - 1u)`, 'k', end)};`)}
            ${each(rows, i => each(columns, j => `sum${i * columns + j} += dot(a${i}, b${j});`))}
          }
        `,
        )}
        ${each(outputs, i => `parts[${i}u * PITCH + local] = sum${i};`)}
        workgroupBarrier();
        for (var output = local; output < ${outputs}u; output += ${threads}u) {
          let m = row + output / ${columns}u;
          let n = column + output % ${columns}u;
          var sum = 0.0;
          for (var t = 0u; t < ${threads}u; t++) { sum += parts[output * PITCH + t]; }
          ${storeOne(layout, 'm', 'n', 'sum')}
        }
      `,
    })
  },
}
