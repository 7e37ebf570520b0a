// What ops promise of numbers that hurt: infinities, NaN, ties, zeros, logits past what exp holds, numbers too small to
// be normal. Each promise is a graph and the numbers that it gives, by every kernel that the op has.
//
// NaN, infinities and zeros give what NumPy gives (golden/numpy), and gradients what PyTorch's rules give. WGSL lets a
// compiler assume that floats are finite, so kernels look at bits. Nothing is promised of infinities in matmul, of
// masked keys and values that are not finite, or of numbers below 2⁻¹²⁶, which hardware may flush to 0.
import { readFileSync } from 'node:fs'
import {
  type Tensor,
  attention,
  concat,
  crossEntropy,
  divergence,
  dropout,
  full,
  grad,
  maxPool2d,
  ones,
  range,
  tensor,
  zeros,
} from '../../engine/index.ts'
import { reference } from '../../engine/reference.ts'
import { adamw } from '../../engine/ops/adamw.ts'
import type { PlainOpName } from '../../engine/graph.ts'
import { apply, applyAll } from '../../engine/tensor.ts'

type Float = 'f32' | 'f16'

export interface Promised {
  readonly op: string
  readonly says: string
  /** f32 alone, where numbers or an op do not fit into f16. */
  readonly only?: Float
  /** Numbers below 2⁻¹²⁶ may come out as 0. */
  readonly tiny?: boolean
  /** Relative, on the device; the bar of the dtype where left out. */
  readonly tolerance?: number
  /** On the device alone: in float64 it would take seconds. */
  readonly deviceOnly?: boolean
  /** What it gives, and the numbers that it must be; NaN means NaN. */
  readonly make: (dtype: Float) => readonly (readonly [given: Tensor, expected: readonly number[]])[]
}

const INF = Infinity
const ids = (...numbers: number[]): Tensor => tensor(Int32Array.from(numbers), [numbers.length], 'i32')
const bits = (...numbers: number[]): Tensor => tensor(Uint32Array.from(numbers), [numbers.length], 'u32')
const flat = (numbers: readonly (readonly number[])[]): number[] => numbers.flat()

/** A row of each of the lists. */
const rows = (dtype: Float, ...lists: readonly (readonly number[])[]): Tensor =>
  tensor(
    lists.map(list => [...list]),
    undefined,
    dtype,
  )

const gradientOf = (y: Tensor, x: Tensor, upstream: readonly number[]): Tensor =>
  grad(y, [x], tensor(Float32Array.from(upstream), y.shape).cast(y.dtype))[0]

const TINY = Array.from(Float32Array.of(1e-40, -3e-39, 1.4e-45, 1.1754944e-38, 2))

const softmaxes: readonly Promised[] = [
  {
    op: 'softmax',
    says: 'an entry of −∞ has probability 0 and gradient 0, and others share the rest',
    make: dtype => {
      const x = rows(dtype, [0, -INF, 0, -INF, 0], [-INF, -INF, 3, -INF, -INF])
      const y = x.softmax()
      return [
        [y, [1 / 3, 0, 1 / 3, 0, 1 / 3, 0, 0, 1, 0, 0]],
        [gradientOf(y, x, [3, 9, 0, 9, 0, 9, 9, 9, 9, 9]), [2 / 3, 0, -1 / 3, 0, -1 / 3, 0, 0, 0, 0, 0]],
      ]
    },
  },
  {
    op: 'softmax',
    says: 'a row of nothing but −∞ is NaN, and so is one with NaN in it; its neighbours are not',
    make: dtype => [
      [
        rows(dtype, [-INF, -INF, -INF, -INF], [1, 1, 1, 1], [1, NaN, 2, 3], [7, 7, -INF, -INF]).softmax(),
        flat([
          [NaN, NaN, NaN, NaN],
          [0.25, 0.25, 0.25, 0.25],
          [NaN, NaN, NaN, NaN],
          [0.5, 0.5, 0, 0],
        ]),
      ],
    ],
  },
  {
    op: 'softmax',
    says: 'the largest of huge logits has it all, equal ones share',
    make: dtype => {
      const x = rows(dtype, [6e4, 1, -6e4], [-6e4, -6e4, -6e4], [6e4, 6e4, 0])
      const y = x.softmax()
      return [
        [y, [1, 0, 0, 1 / 3, 1 / 3, 1 / 3, 0.5, 0.5, 0]],
        [gradientOf(y, x, [5, 2, 1, 3, 0, 0, 1, 0, 9]), [0, 0, 0, 2 / 3, -1 / 3, -1 / 3, 0.25, -0.25, 0]],
      ]
    },
  },
  {
    op: 'softmax',
    says: 'logits as large as f32 goes',
    only: 'f32',
    make: dtype => [[rows(dtype, [3e38, 0, -3e38], [-3e38, -3e38, -3.2e38]).softmax(), [1, 0, 0, 0.5, 0.5, 0]]],
  },
  {
    op: 'logSoftmax',
    says: 'an entry of −∞ is −∞ and passes its own upstream gradient on; huge logits stay exact',
    make: dtype => {
      const x = rows(dtype, [0, -INF, 0], [6e4, 6e4, 0])
      const y = x.logSoftmax()
      return [
        [y, [-Math.LN2, -INF, -Math.LN2, -Math.LN2, -Math.LN2, -6e4 - Math.LN2]],
        [gradientOf(y, x, [1, 0, 3, 2, 0, 0]), [-1, 0, 1, 1, -1, 0]],
      ]
    },
  },
  {
    op: 'logSoftmax',
    says: 'a row of nothing but −∞ is NaN',
    make: dtype => [[rows(dtype, [-INF, -INF], [1, 1]).logSoftmax(), [NaN, NaN, -Math.LN2, -Math.LN2]]],
  },
  {
    op: 'crossEntropy',
    says: 'an ignored row has loss 0 and gradient 0, whatever it holds',
    make: dtype => {
      const x = rows(dtype, [NaN, INF, 1], [0, 0, 0], [-INF, -INF, -INF])
      const losses = crossEntropy(x, ids(-100, 1, -100))
      return [
        [losses, [0, Math.log(3), 0]],
        [gradientOf(losses, x, [1, 3, 1]), [0, 0, 0, 1, -2, 1, 0, 0, 0]],
      ]
    },
  },
  {
    op: 'crossEntropy',
    says: 'a label that is no class gives NaN in its row, and nowhere else',
    make: dtype => {
      const x = rows(dtype, [0, 0], [0, 0], [0, 0], [0, 0])
      const losses = crossEntropy(x, ids(2, 0, -1, 1))
      return [
        [losses, [NaN, Math.LN2, NaN, Math.LN2]],
        [gradientOf(losses, x, [1, 2, 1, 4]), [NaN, NaN, -1, 1, NaN, NaN, 2, -2]],
      ]
    },
  },
  {
    op: 'crossEntropy',
    says: 'huge logits give huge losses, not NaN; −∞ beside the label weighs nothing',
    make: dtype => {
      const x = rows(dtype, [3e4, -3e4, 0], [-INF, 5, -INF])
      const losses = crossEntropy(x, ids(1, 1))
      return [
        [losses, [6e4, 0]],
        [gradientOf(losses, x, [1, 1]), [1, -1, 0, 0, 0, 0]],
      ]
    },
  },
  {
    op: 'crossEntropy',
    says: 'a row whose logits are all −∞ is NaN',
    make: dtype => [[crossEntropy(rows(dtype, [-INF, -INF], [0, 0]), ids(0, 0)), [NaN, Math.LN2]]],
  },
  {
    op: 'divergence',
    says: 'what the teacher rules out counts nothing; what the student alone rules out counts without end',
    make: dtype => {
      const x = rows(dtype, [0, 0, -INF], [0, -INF, 0], [0, 0, 0])
      const teacher = rows(dtype, [0, -INF, -INF], [0, 0, 0], [0, 0, 0])
      const losses = divergence(x, teacher)
      return [
        [losses, [Math.LN2, INF, 0]],
        [gradientOf(losses, x, [1, 6, 5]), [-0.5, 0.5, 0, 1, -2, 1, 0, 0, 0]],
      ]
    },
  },
  {
    op: 'divergence',
    says: 'huge logits give huge losses, not NaN, and equal ones nothing',
    make: dtype => {
      const x = rows(dtype, [3e4, -3e4], [3e4, -3e4], [3e4, 3e4])
      const losses = divergence(x, rows(dtype, [-3e4, 3e4], [3e4, -3e4], [-3e4, -3e4]), 2)
      return [
        [losses, [3e4, 0, 0]],
        [gradientOf(losses, x, [2, 2, 2]), [1, -1, 0, 0, 0, 0]],
      ]
    },
  },
  {
    op: 'divergence',
    says: 'NaN, +∞ or nothing but −∞ on either side gives NaN in its row, and nowhere else',
    make: dtype => {
      const x = rows(dtype, [NaN, 0], [0, 1], [INF, 0], [0, 1], [-INF, -INF], [0, 1], [1, 1])
      const teacher = rows(dtype, [0, 1], [0, NaN], [0, 1], [0, INF], [0, 1], [-INF, -INF], [1, 1])
      const losses = divergence(x, teacher)
      const spoiled = [NaN, NaN, NaN, NaN, NaN, NaN]
      return [
        [losses, [...spoiled, 0]],
        [gradientOf(losses, x, [1, 1, 1, 1, 1, 1, 1]), [...spoiled, ...spoiled, 0, 0]],
      ]
    },
  },
]

/** [1, length, 1, 4] with one number in each row. */
const sequence = (dtype: Float, numbers: readonly number[]): Tensor =>
  tensor(Float32Array.from(numbers.flatMap(v => [v, 0, 0, 0])), [1, numbers.length, 1, 4]).cast(dtype)
const perRow = (numbers: readonly number[]): number[] => numbers.flatMap(v => [v, 0, 0, 0])

const attentions: readonly Promised[] = [
  {
    op: 'attention',
    says: 'a batch item whose keys are all masked gives zeros, and zero gradients',
    make: dtype => {
      const [q, k, v] = [sequence(dtype, [1, 2]), sequence(dtype, [3, 4, 5]), sequence(dtype, [6, 7, 8])]
      const o = attention(q, k, v, { mask: tensor([[0, 0, 0]], undefined, 'i32') })
      const gradients = grad(o.cast('f32').add(1).sum(), [q, k, v])
      return [[o, perRow([0, 0])], ...gradients.map((g, i) => [g, perRow(i === 0 ? [0, 0] : [0, 0, 0])] as const)]
    },
  },
  {
    op: 'attention',
    says: 'masked keys weigh nothing, however large they are, and have no gradient',
    make: dtype => {
      const [q, k, v] = [sequence(dtype, [1]), sequence(dtype, [200, 0, 0, 6e4]), sequence(dtype, [6e4, 2, 4, -6e4])]
      const o = attention(q, k, v, { mask: tensor([[0, 1, 1, 0]], undefined, 'i32') })
      const [dq, dk, dv] = grad(o.cast('f32').sum(), [q, k, v])
      // 0.5·(2 and 4): p·(dp − 3)/2 = ∓0.25; the gradient of v reaches all four elements of a head.
      return [
        [o, perRow([3])],
        [dq, perRow([0])],
        [dk, perRow([0, -0.25, 0.25, 0])],
        [dv, [0, 0, 0, 0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0]],
      ]
    },
  },
  {
    op: 'attention',
    says: 'huge scores pick the largest, equal ones share',
    make: dtype => {
      const o = attention(sequence(dtype, [200, -200]), sequence(dtype, [200, 100, 200]), sequence(dtype, [1, 2, 3]), {
        mask: tensor([[1, 1, 1]], undefined, 'i32'),
      })
      return [[o, perRow([2, 2])]]
    },
  },
  {
    op: 'attention',
    says: 'if causal, queries before the first key give zeros, and zero gradients',
    make: dtype => {
      const [q, k, v] = [sequence(dtype, [1, 2, 3]), sequence(dtype, [0, 0]), sequence(dtype, [6, 8])]
      const o = attention(q, k, v, { causal: true })
      const [dq, dk, dv] = grad(o.cast('f32').sum(), [q, k, v])
      // The last query attends to both keys: 0.5·3·p·(dp − 7).
      return [
        [o, perRow([0, 6, 7])],
        [dq, perRow([0, 0, 0])],
        [dk, perRow([-0.75, 0.75])],
        [dv, [1.5, 1.5, 1.5, 1.5, 0.5, 0.5, 0.5, 0.5]],
      ]
    },
  },
  {
    op: 'attention',
    says: 'a bias of −∞ closes a score, and a query with no others gives zeros; there, the bias has gradient 0',
    make: dtype => {
      const [q, k, v] = [sequence(dtype, [1, 2]), sequence(dtype, [0, 0, 0]), sequence(dtype, [6, 8, 10])]
      const bias = tensor([-INF, 0, 0, -INF, -INF, -INF], [1, 1, 2, 3])
      const o = attention(q, k, v, { bias })
      return [
        [o, perRow([9, 0])],
        [grad(o.cast('f32').sum(), [bias])[0], [0, -0.5, 0.5, 0, 0, 0]],
      ]
    },
  },
]

/** What dropout keeps of six elements, as 0 and 1. */
const step = bits(3).reshape([])
const dropped = (x: Tensor): Tensor => dropout(x, 0.5, 1, step, 9)
const kept = (): number[] => Array.from(reference([dropped(tensor([1, 1, 1, 1, 1, 1]))])[0], v => (v > 0 ? 1 : 0))

const picking: readonly Promised[] = [
  {
    op: 'where',
    says: 'what is not picked does not matter, nor does its upstream gradient',
    make: dtype => {
      const [yes, no] = [tensor([1, NaN, INF, 4], undefined, dtype), tensor([NaN, 2, 3, -INF], undefined, dtype)]
      const y = bits(1, 0, 0, 7).where(yes, no)
      return [
        [y, [1, 2, 3, 4]],
        [gradientOf(y, yes, [5, NaN, INF, 8]), [5, 0, 0, 8]],
        [gradientOf(y, no, [NaN, 6, 7, -INF]), [0, 6, 7, 0]],
      ]
    },
  },
  {
    op: 'dropout',
    says: 'what is dropped is 0, whatever it was, and has gradient 0, whatever arrives',
    make: dtype => {
      const keeps = kept()
      const x = tensor(
        keeps.map((keep, i) => (keep ? i + 1 : [NaN, INF, -INF][i % 3])),
        undefined,
        dtype,
      )
      return [
        [dropped(x), keeps.map((keep, i) => keep * 2 * (i + 1))],
        [
          gradientOf(
            dropped(x),
            x,
            keeps.map((keep, i) => (keep ? i + 2 : NaN)),
          ),
          keeps.map((keep, i) => keep * 2 * (i + 2)),
        ],
      ]
    },
  },
  {
    op: 'gather',
    says: 'a row comes as it is; ids outside of the table give zeros; other rows do not matter',
    make: dtype => [
      [rows(dtype, [1, 2], [NaN, INF], [5, 6]).gather(ids(2, -1, 0, 3, 2)), [5, 6, 0, 0, 1, 2, 0, 0, 5, 6]],
    ],
  },
  {
    op: 'gatherGradient',
    says: 'NaN stays in the row that it belongs to; what arrives at ids outside of the table is left out',
    make: dtype => {
      const table = rows(dtype, [1, 2], [3, 4], [5, 6])
      return [
        [
          gradientOf(table.gather(ids(0, 7, 2, 0, -1)), table, [1, 2, NaN, NaN, NaN, 4, 5, 6, INF, INF]),
          [6, 8, 0, 0, NaN, 4],
        ],
      ]
    },
  },
  {
    op: 'sort',
    says: 'NaN is the largest number, equal elements and both zeros stay in order, and each gets its own gradient',
    make: dtype => {
      const x = tensor([0, NaN, -INF, 1, -0, INF, NaN, 1, -3], [9], dtype)
      const { values, indices } = x.sort()
      const top = x.topK(4)
      return [
        [values, [-INF, -3, 0, 0, 1, 1, INF, NaN, NaN]],
        [indices, [2, 8, 0, 4, 3, 7, 5, 1, 6]],
        [gradientOf(values, x, [1, 2, 3, 4, 5, 6, 7, 8, 9]), [3, 8, 1, 5, 4, 7, 9, 6, 2]],
        [top.values, [NaN, NaN, INF, 1]],
        [top.indices, [1, 6, 5, 3]],
        [gradientOf(top.values, x, [1, 2, 3, 4]), [0, 1, 0, 4, 0, 3, 2, 0, 0]],
      ]
    },
  },
  {
    op: 'maxPool',
    says: 'NaN is the largest element of its windows, −∞ the least, and the first of equal ones has the gradient',
    make: dtype => {
      const x = tensor([1, 1, -INF, -INF, NaN, 2, 0, -0], [1, 1, 1, 8], dtype)
      const y = maxPool2d(x, [1, 2])
      return [
        [y, [1, -INF, NaN, 0]],
        [gradientOf(y, x, [1, 2, 4, 8]), [1, 0, 2, 0, 4, 0, 8, 0]],
      ]
    },
  },
  {
    op: 'rmsNorm',
    says: 'a row of zeros stays zero, with a gradient; NaN spoils its own row alone',
    make: dtype => {
      const x = rows(dtype, [0, 0], [NaN, 1], [3, 3])
      const y = x.rmsNorm(tensor([1, 2], [2], dtype), 1)
      const scale = 1 / Math.sqrt(10)
      return [
        [y, [0, 0, NaN, NaN, 3 * scale, 6 * scale]],
        [gradientOf(y, x, [1, 2, 0, 0, 0, 0]), [1, 4, NaN, NaN, 0, 0]],
      ]
    },
  },
  {
    op: 'gatherAlong',
    says: 'elements come as they are; an index outside of the axis gives 0; other elements do not matter',
    make: dtype => [
      [tensor([1, NaN, INF, -INF, 5], [5], dtype).gather(0, ids(2, -1, 3, 5, 1, 0)), [INF, 0, -INF, 0, NaN, 1]],
    ],
  },
  {
    op: 'scatterAdd',
    says: 'NaN stays in its place; what an index outside of the axis names is left out',
    make: dtype => [
      [
        tensor([1, 2, 3], [3], dtype).scatterAdd(0, ids(0, 2, 2, -1, 3), tensor([5, NaN, 1, INF, INF], [5], dtype)),
        [6, 2, NaN],
      ],
    ],
  },
  {
    op: 'scatterMax',
    says: 'NaN on either side wins and takes the gradient; equal numbers share it',
    make: dtype => {
      const x = tensor([1, NaN, -INF, -3, 0], [5], dtype)
      const source = tensor([NaN, 2, -INF, -2, -2, INF], [6], dtype)
      const y = x.scatterMax(0, ids(0, 1, 2, 3, 3, 4), source)
      return [
        [y, [NaN, NaN, -INF, -2, INF]],
        [gradientOf(y, x, [1, 2, 4, 6, 8]), [0, 2, 2, 0, 0]],
        [gradientOf(y, source, [1, 2, 4, 6, 8]), [1, 0, 2, 3, 3, 8]],
      ]
    },
  },
  {
    op: 'isFinite',
    says: 'infinities and NaN are not finite; the largest and the smallest numbers are',
    make: dtype => [
      [tensor([1, INF, -INF, NaN, 65504, -0, 2 ** -24], undefined, dtype).isFinite(), [1, 0, 0, 0, 1, 1, 1]],
    ],
  },
]

interface Golden {
  readonly values: readonly (number | string)[]
  readonly unary: Readonly<Record<string, readonly (number | string)[]>>
  readonly binary: Readonly<Record<string, readonly (number | string)[]>>
}

const golden = JSON.parse(readFileSync(new URL('../golden/numpy/expected.json', import.meta.url), 'utf8')) as Golden
const listed = golden.values.map(Number)
const count = listed.length
const grid = (dtype: Float): Tensor => tensor(listed, undefined, dtype)

/** Every elementwise op of each number of NumPy's list, or of each pair. */
const everywhere: readonly Promised[] = [
  ...Object.entries(golden.unary).map(([op, expected]): Promised => ({
    op,
    says: 'NaN, infinities and zeros are as in NumPy',
    tiny: true,
    make: dtype => [[apply(op as PlainOpName, [grid(dtype)]), expected.map(Number)]],
  })),
  ...Object.entries(golden.binary).map(([op, expected]): Promised => ({
    op,
    says: 'every pair of NaN, infinities and zeros is as in NumPy',
    tiny: true,
    make: dtype => [
      [
        apply(op as PlainOpName, [grid(dtype).reshape([count, 1]), grid(dtype).reshape([1, count])]),
        expected.map(Number),
      ],
    ],
  })),
]

/** Ones, and `special` in the middle of them. */
const among = (dtype: Float, special: readonly number[], length: number): Tensor =>
  tensor(
    Array.from({ length }, (_, i) => special[i - (length >> 1)] ?? 1),
    undefined,
    dtype,
  )

const notFinite: readonly Promised[] = [
  {
    op: 'sub',
    says: 'an infinite number less itself is NaN, by whatever way it comes',
    make: dtype => {
      const x = tensor([INF, -INF, NaN, 3], undefined, dtype)
      return [
        [x.sub(x), [NaN, NaN, NaN, 0]],
        [x.add(x.neg()), [NaN, NaN, NaN, 0]],
        [x.neg().add(x), [NaN, NaN, NaN, 0]],
        [x.sub(1).sub(x), [NaN, NaN, NaN, -1]],
        [x.mul(2).sub(x.mul(2)), [NaN, NaN, NaN, 0]],
        [x.mul(0), [NaN, NaN, NaN, 0]],
        [x.div(x), [NaN, NaN, NaN, 1]],
        [x.equal(x), [1, 1, 0, 1]],
        [x.notEqual(x), [0, 0, 1, 0]],
        [x.greaterEqual(x), [1, 1, 0, 1]],
        [x.neg().log().exp(), [NaN, INF, NaN, NaN]],
        [x.square().neg().sqrt().square(), [NaN, NaN, NaN, NaN]],
      ]
    },
  },
  {
    op: 'cast',
    says: 'to integers it cuts toward 0 and keeps to the range, and NaN becomes 0',
    only: 'f32',
    make: () => {
      const x = tensor([
        NaN,
        INF,
        -INF,
        3e9,
        -3e9,
        5e9,
        2.9,
        -2.9,
        -0,
        2147483648,
        2147483520,
        -2147483648,
        4294967296,
        4294967040,
      ])
      return [
        [
          x.cast('i32'),
          [
            0, 2147483647, -2147483648, 2147483647, -2147483648, 2147483647, 2, -2, 0, 2147483647, 2147483520,
            -2147483648, 2147483647, 2147483647,
          ],
        ],
        [
          x.cast('u32'),
          [0, 4294967295, 0, 3000000000, 0, 4294967295, 2, 0, 0, 2147483648, 2147483520, 0, 4294967295, 4294967040],
        ],
        [tensor([-1, 5], undefined, 'i32').cast('u32'), [4294967295, 5]],
        [tensor([4294967295, 5], undefined, 'u32').cast('i32'), [-1, 5]],
      ]
    },
  },
  {
    op: 'cast',
    says: 'to f16 NaN and infinities stay and 65520 becomes infinite, in an expression, too',
    only: 'f32',
    make: () => {
      const x = tensor([NaN, INF, -INF, 65519, 65520, -65520, 3e38])
      return [[x.cast('f16').cast('f32').mul(1), [NaN, INF, -INF, 65504, INF, -INF, INF]]]
    },
    tolerance: 3e-4,
  },
  {
    op: 'div',
    says: 'of integers it cuts toward 0 and gives 0 where the divisor is 0',
    only: 'f32',
    make: () => [
      [
        tensor([7, -7, 5, -2147483648], undefined, 'i32').div(tensor([2, 2, 0, -1], undefined, 'i32')),
        [3, -3, 0, -2147483648],
      ],
      [bits(7, 5, 4294967295).div(bits(2, 0, 1)), [3, 0, 4294967295]],
    ],
  },
  {
    op: 'mul',
    says: 'integers keep their low 32 bits',
    only: 'f32',
    make: () => [
      [tensor([123456789], undefined, 'i32').mul(987654321), [-67153019]],
      [bits(4294967295).mul(bits(4294967295)), [1]],
    ],
  },
  {
    op: 'log',
    says: 'numbers too small to be normal have their own',
    only: 'f32',
    make: () => {
      // What is flushed to 0 before it comes here has −∞.
      const x = tensor([...TINY.slice(0, 1), ...TINY.slice(2, 4)])
      return [[x.log(), [1e-40, 2 ** -149, 2 ** -126].map(Math.log)]]
    },
    tolerance: 1e-5,
  },
  ...[3, 5000].flatMap((length): Promised[] => [
    {
      op: 'max',
      says: `NaN anywhere among ${length} is the largest and the least, and takes the gradient`,
      make: dtype => {
        const x = among(dtype, [NaN], length)
        const y = [x.max(), x.min(), x.reshape([1, length]).max(1), x.reshape([length, 1]).min(0)]
        const slopes = listOf(length, (i, middle) => (i === middle ? 1 : 0))
        return [
          ...y.map(t => [t, [NaN]] as const),
          [gradientOf(x.max(), x, [1]), slopes],
          [gradientOf(x.min(), x, [1]), slopes],
        ]
      },
    },
    {
      op: 'max',
      says: `several NaN among ${length} share the gradient, and infinities are no NaN`,
      make: dtype => {
        const x = among(dtype, [NaN, NaN], length)
        const y = among(dtype, [INF, -INF], length)
        return [
          [gradientOf(x.max(), x, [1]), listOf(length, (i, middle) => (i === middle || i === middle + 1 ? 0.5 : 0))],
          [y.max(), [INF]],
          [y.min(), [-INF]],
          [y.neg().max(), [INF]],
        ]
      },
    },
    {
      op: 'sum',
      says: `infinities and NaN among ${length} come through`,
      make: dtype => [
        [among(dtype, [NaN], length).sum(), [NaN]],
        [among(dtype, [INF], length).sum(), [INF]],
        [among(dtype, [-INF], length).mean(), [-INF]],
        [among(dtype, [INF, -INF], length).sum(), [NaN]],
        [among(dtype, [INF, -INF], length).square().mean(), [INF]],
      ],
    },
  ]),
  {
    op: 'maximum',
    says: 'where an operand is NaN both have the gradient, as in PyTorch; so with minimum',
    make: dtype => {
      const [a, b] = [
        tensor([NaN, 1, NaN, INF, -INF], undefined, dtype),
        tensor([1, NaN, NaN, 1, -INF], undefined, dtype),
      ]
      return [
        [gradientOf(a.maximum(b), a, [3, 3, 3, 3, 4]), [3, 3, 3, 3, 2]],
        [gradientOf(a.maximum(b), b, [3, 3, 3, 3, 4]), [3, 3, 3, 0, 2]],
        [gradientOf(a.minimum(b), a, [3, 3, 3, 3, 4]), [3, 3, 3, 0, 2]],
        [gradientOf(a.minimum(b), b, [3, 3, 3, 3, 4]), [3, 3, 3, 3, 2]],
      ]
    },
  },
  {
    op: 'relu',
    says: 'NaN passes its gradient on, as in PyTorch; abs gives it NaN',
    make: dtype => {
      const x = tensor([NaN, INF, -INF, -0], undefined, dtype)
      return [
        [gradientOf(x.relu(), x, [3, 3, 3, 3]), [3, 3, 0, 0]],
        [gradientOf(x.abs(), x, [3, 3, 3, 3]), [NaN, 3, -3, 0]],
      ]
    },
  },
  {
    op: 'log',
    says: 'gradients at 0 and beyond are those of IEEE arithmetic; so of sqrt, rsqrt, reciprocal, exp, div and pow',
    make: dtype => {
      const x = tensor([0, INF, NaN], undefined, dtype)
      const slope = (y: Tensor): Tensor => gradientOf(y, x, [1, 1, 1])
      const [a, b] = [tensor([0, 0, 0], undefined, dtype), tensor([2, 0, -1], undefined, dtype)]
      return [
        [slope(x.log()), [INF, 0, NaN]],
        [slope(x.sqrt()), [INF, 0, NaN]],
        [slope(x.rsqrt()), [-INF, 0, NaN]],
        [slope(x.reciprocal()), [-INF, 0, NaN]],
        [slope(x.exp()), [1, INF, NaN]],
        [slope(x.sigmoid()), [0.25, 0, NaN]],
        [slope(x.tanh()), [1, 0, NaN]],
        [slope(x.square()), [0, INF, NaN]],
        [slope(x.div(2)), [0.5, 0.5, 0.5]],
        [gradientOf(a.pow(b), a, [1, 1, 1]), [0, 0, -INF]],
        [gradientOf(a.pow(b), b, [1, 1, 1]), [0, 0, -INF]],
      ]
    },
  },
  {
    op: 'where',
    says: 'NaN and infinities that are picked come as they are',
    make: dtype => [
      [
        bits(1, 0, 1, 0).where(tensor([NaN, 1, INF, 1], undefined, dtype), tensor([1, NaN, 1, -INF], undefined, dtype)),
        [NaN, NaN, INF, -INF],
      ],
    ],
  },
  {
    op: 'softmax',
    says: 'a row with ∞ in it is NaN, and so is its gradient; its neighbours are not',
    make: dtype => {
      const x = rows(dtype, [1, INF, 2], [1, 1, 1], [NaN, -INF, 1])
      const y = x.softmax()
      return [
        [
          y,
          flat([
            [NaN, NaN, NaN],
            [1 / 3, 1 / 3, 1 / 3],
            [NaN, NaN, NaN],
          ]),
        ],
        [
          x.logSoftmax(),
          flat([
            [NaN, NaN, NaN],
            [-Math.log(3), -Math.log(3), -Math.log(3)],
            [NaN, NaN, NaN],
          ]),
        ],
        [
          gradientOf(y, x, [1, 0, 0, 3, 0, 0, 1, 0, 0]),
          flat([
            [NaN, NaN, NaN],
            [2 / 3, -1 / 3, -1 / 3],
            [NaN, NaN, NaN],
          ]),
        ],
      ]
    },
  },
  {
    op: 'crossEntropy',
    says: 'NaN or ∞ among the logits gives NaN in its row; a label at −∞ an infinite loss',
    make: dtype => {
      const x = rows(dtype, [NaN, 0, 1], [INF, 0, 1], [-INF, 0, 0], [0, 0, 0])
      const losses = crossEntropy(x, ids(1, 1, 0, 0))
      return [
        [losses, [NaN, NaN, INF, Math.log(3)]],
        [
          gradientOf(losses, x, [1, 1, 1, 3]),
          flat([
            [NaN, NaN, NaN],
            [NaN, NaN, NaN],
            [-1, 0.5, 0.5],
            [-2, 1, 1],
          ]),
        ],
      ]
    },
  },
  {
    op: 'layerNorm',
    says: 'a row with NaN or ∞ in it is NaN, wherever that stands, and its neighbours are not',
    make: dtype => {
      const x = rows(dtype, [NaN, 1, 1, 1], [1, 2, 3, NaN], [INF, 1, 1, 1], [1, 1, -INF, 1], [1, -1, 1, -1])
      const [gamma, beta] = [tensor([1, 1, 1, 1], undefined, dtype), tensor([0, 0, 0, 0], undefined, dtype)]
      const spoiled = Array.from({ length: 16 }, () => NaN)
      const y = x.layerNorm(gamma, beta, 0)
      return [
        [y, [...spoiled, 1, -1, 1, -1]],
        [gradientOf(y, x, [...spoiled.map(() => 1), 1, 1, 1, 1]), [...spoiled, 0, 0, 0, 0]],
      ]
    },
  },
]

function listOf(length: number, of: (i: number, middle: number) => number): number[] {
  return Array.from({ length }, (_, i) => of(i, length >> 1))
}

/** Of a third and a tenth, which f32 doesn't hold: sums of many round at every step. */
const parts = [1 / 3, 0.1, 0.7].map(Math.fround)
const WIDTH = 50_000

/** Sums in which errors of many steps would pile up, to 1e-6. */
const longSums: readonly Promised[] = [
  {
    op: 'sum',
    says: '2·10⁷ equal numbers, their mean and the mean of their squares',
    only: 'f32',
    tolerance: 1e-6,
    deviceOnly: true,
    make: () =>
      parts.flatMap(part => {
        const x = full([2e7], part)
        return [
          [x.sum(), [part * 2e7]],
          [x.mean(), [part]],
          [x.square().mean(), [part ** 2]],
        ] as const
      }),
  },
  {
    op: 'sum',
    says: 'rows and columns of 50,000, by few and by many threads',
    only: 'f32',
    tolerance: 1e-6,
    deviceOnly: true,
    make: () =>
      [1, 3, 700].flatMap(n =>
        parts.flatMap(
          part =>
            [
              [full([n, WIDTH], part).sum(1), Array.from({ length: n }, () => part * WIDTH)],
              [full([WIDTH, n], part).mean(0), Array.from({ length: n }, () => part)],
            ] as const,
        ),
      ),
  },
  {
    op: 'cumsum',
    says: 'running sums of 300,000 equal numbers, of one row and of many',
    only: 'f32',
    tolerance: 1e-6,
    deviceOnly: true,
    make: () =>
      [1, 40].map(n => {
        const length = 300_000 / n
        const last = full([n, length], parts[0])
          .cumsum(1)
          .slice([0, length - 1], [n, length])
        return [last, Array.from({ length: n }, () => parts[0] * length)] as const
      }),
  },
  {
    op: 'layerNorm',
    says: "rows of 50,000, and columns of its parameters' gradients",
    only: 'f32',
    tolerance: 1e-6,
    make: () => {
      const x = range(WIDTH)
        .cast('f32')
        .mul(0.5)
        .sub(range(WIDTH).cast('f32').mul(0.5).cast('i32').cast('f32'))
        .mul(2)
        .add(parts[0])
        .reshape([1, WIDTH])
      const [, mean, rstd] = applyAll('layerNorm', [x, ones([WIDTH]), zeros([WIDTH])], { epsilon: 0 })
      const [dgamma, dbeta] = applyAll('layerNormParameterGradient', [
        full([WIDTH, 3], 2),
        zeros([WIDTH]),
        ones([WIDTH]),
        full([WIDTH, 3], parts[0]),
      ])
      return [
        [mean, [parts[0] + 0.5]],
        [rstd, [2]],
        [dgamma, [0, 0, 0].map(() => 2 * parts[0] * WIDTH)],
        [dbeta, [0, 0, 0].map(() => parts[0] * WIDTH)],
      ]
    },
  },
  {
    op: 'softmax',
    says: 'rows of 50,000; so with its logarithm, the gradients and cross entropy',
    only: 'f32',
    tolerance: 1e-6,
    make: () => {
      const part = parts[0]
      const [x, dy] = [full([1, WIDTH], part), full([1, WIDTH], part)]
      const first = (t: Tensor): Tensor => t.slice([0, 0], [1, 1])
      return [
        [first(x.softmax()), [1 / WIDTH]],
        [first(x.logSoftmax()), [-Math.log(WIDTH)]],
        [crossEntropy(x, ids(3)), [Math.log(WIDTH)]],
        [divergence(x, zeros([1, WIDTH])).add(1), [1]],
        [first(apply('softmaxGradient', [x, dy])), [part * (part - WIDTH * part ** 2)]],
        [first(apply('logSoftmaxGradient', [full([1, WIDTH], -1), dy])), [part * (1 - WIDTH / Math.E)]],
      ]
    },
  },
]

const ordering: readonly Promised[] = [
  {
    op: 'argmax',
    says: 'of equal extremes the first, of NaN the first before all others; zeros of both signs are equal',
    make: dtype => {
      const x = rows(
        dtype,
        [2, 1, 2, 1],
        [-0, 0, -0, 0],
        [-INF, INF, 7, INF],
        [1, NaN, INF, NaN],
        [-INF, -INF, -INF, -INF],
      )
      return [
        [x.argmax(1), [0, 0, 1, 1, 0]],
        [x.argmin(1), [1, 0, 0, 1, 0]],
        [x.argmax(), [13]],
        [x.slice([0, 0], [3, 4]).transpose().argmax(), [5]],
        [tensor([-5, 3, -2147483648, 2147483647], undefined, 'i32').argmin(), [2]],
        [bits(4294967295, 3, 0).argmax(), [0]],
        [bits(4294967295, 3, 0).argmin(), [2]],
      ]
    },
  },
  ...[3, 5000].map((length): Promised => ({
    op: 'argmin',
    says: `the place of an extreme or of NaN among ${length}`,
    make: dtype => {
      const middle = length >> 1
      return [
        [among(dtype, [7], length).argmax(), [middle]],
        [among(dtype, [-7, -7], length).argmin(), [middle]],
        [among(dtype, [NaN, NaN], length).argmin(), [middle]],
        [among(dtype, [7], length).argmin(), [0]],
      ]
    },
  })),
  {
    op: 'prod',
    says: 'zeros have the product of the others as gradient; integers keep their low 32 bits',
    make: dtype => {
      const x = rows(dtype, [2, 0, 3, 4], [0, 5, 0, 1], [1, 2, 3, 4])
      const y = x.prod(1)
      return [
        [y, [0, 0, 24]],
        [gradientOf(y, x, [1, 1, 2]), [0, 24, 0, 0, 0, 0, 0, 0, 48, 24, 16, 12]],
        [tensor([65537, 65537, -3], undefined, 'i32').prod(), [-393219]],
      ]
    },
  },
  {
    op: 'cumprod',
    says: 'zeros have the products of the others as gradient',
    make: dtype => {
      const x = rows(dtype, [2, 0, 3, 4], [0, 5, 0, 1])
      return [
        [x.cumprod(1), [2, 0, 0, 0, 0, 0, 0, 0]],
        // Of y₁ + 10 y₂ + 100 y₃ + 1000 y₄.
        [
          gradientOf(x.cumprod(1), x, [1, 10, 100, 1000, 1, 10, 100, 1000]),
          [1, 2 * (10 + 300 + 12000), 0, 0, 1 + 50, 0, 0, 0],
        ],
      ]
    },
  },
  {
    op: 'max',
    says: 'infinities are ordered as numbers are',
    make: dtype => [[rows(dtype, [-INF, -INF], [1, INF], [-INF, -5]).max(1), [-INF, INF, -5]]],
  },
  {
    op: 'min',
    says: 'infinities are ordered as numbers are',
    make: dtype => [[rows(dtype, [INF, INF], [1, -INF], [INF, 5]).min(1), [INF, -INF, 5]]],
  },
  {
    op: 'max',
    says: 'equal extremes share the gradient',
    make: dtype => {
      const x = rows(dtype, [2, 1, 2, 2], [0, 0, 0, 0], [-1, -2, -3, -4])
      return [[gradientOf(x.max(1), x, [3, 4, 5]), [1, 0, 1, 1, 1, 1, 1, 1, 5, 0, 0, 0]]]
    },
  },
  {
    op: 'maximum',
    says: 'equal operands share the gradient, half each; so with minimum',
    make: dtype => {
      const [a, b] = [tensor([1, 2, 3], undefined, dtype), tensor([1, 3, 2], undefined, dtype)]
      const [most, least] = [a.maximum(b), a.minimum(b)]
      return [
        [gradientOf(most, a, [4, 4, 4]), [2, 0, 4]],
        [gradientOf(most, b, [4, 4, 4]), [2, 4, 0]],
        [gradientOf(least, a, [4, 4, 4]), [2, 4, 0]],
        [gradientOf(least, b, [4, 4, 4]), [2, 0, 4]],
      ]
    },
  },
  {
    op: 'relu',
    says: 'at 0 the gradient is 0, and abs has none there either',
    make: dtype => {
      const x = tensor([-1, 0, 2], undefined, dtype)
      return [
        [x.relu(), [0, 0, 2]],
        [gradientOf(x.relu(), x, [3, 3, 3]), [0, 0, 3]],
        [gradientOf(x.abs(), x, [3, 3, 3]), [-3, 0, 3]],
      ]
    },
  },
]

const FAR = [3e4, -3e4, 100, -100] as const

const saturating: readonly Promised[] = (
  [
    ['tanh', [1, -1, 1, -1], [0, 0, 0, 0]],
    ['sigmoid', [1, 0, 1, 0], [0, 0, 0, 0]],
    ['erf', [1, -1, 1, -1], [0, 0, 0, 0]],
    ['gelu', [3e4, 0, 100, 0], [1, 0, 1, 0]],
    ['silu', [3e4, 0, 100, 0], [1, 0, 1, 0]],
    ['softplus', [3e4, 0, 100, 0], [1, 0, 1, 0]],
  ] as const
).map(([op, values, slopes]): Promised => ({
  op,
  says: 'far out it saturates, and so does its gradient',
  tiny: true,
  make: dtype => {
    const x = tensor([...FAR], undefined, dtype)
    return [
      [x[op](), values],
      [gradientOf(x[op](), x, [1, 1, 1, 1]), slopes],
    ]
  },
}))

const edges: readonly Promised[] = [
  { op: 'exp', says: 'far below 0 it is 0', make: dtype => [[tensor([-3e4, 0], undefined, dtype).exp(), [0, 1]]] },
  {
    op: 'pow',
    says: '0⁰ is 1, a negative base has whole powers, and the exponent has no gradient where the base is 0',
    make: dtype => {
      const [a, b] = [tensor([0, 0, -2, -2, 3], undefined, dtype), tensor([0, 2, 3, 2, 0], undefined, dtype)]
      return [
        [a.pow(b), [1, 0, -8, 4, 1]],
        [gradientOf(tensor([0, 2], undefined, dtype).pow(b.slice([1], [3])), b, [1, 1]), [0, 0, 8 * Math.LN2, 0, 0]],
      ]
    },
  },
  {
    op: 'layerNorm',
    says: 'equal numbers give beta and no NaN, with the smallest epsilon, too',
    make: dtype => {
      const [x, gamma, beta] = [
        rows(dtype, [7, 7, 7, 7], [0, 0, 0, 0]),
        tensor([1, 2, 3, 4], undefined, dtype),
        tensor([5, 6, 7, 8], undefined, dtype),
      ]
      const y = x.layerNorm(gamma, beta, 1e-12)
      const [, mean, rstd] = applyAll('layerNorm', [x, gamma, beta], { epsilon: 1e-12 })
      return [
        [y, [5, 6, 7, 8, 5, 6, 7, 8]],
        [mean, [7, 0]],
        [rstd, [1e6, 1e6]],
        [gradientOf(y, gamma, [1, 2, 3, 4, 5, 6, 7, 8]), [0, 0, 0, 0]],
      ]
    },
  },
  {
    op: 'layerNorm',
    says: 'as large as squares fit into f32',
    only: 'f32',
    make: dtype => [
      [rows(dtype, [1e18, -1e18, 1e18, -1e18]).layerNorm(tensor([1, 1, 1, 1]), tensor([0, 0, 0, 0])), [1, -1, 1, -1]],
    ],
  },
  {
    op: 'adamw',
    says: 'a scale that is negative or not finite leaves everything as it was',
    only: 'f32',
    make: () =>
      [-1, INF, NaN].flatMap(scale => {
        const [p, m, v] = [tensor([1, 2, 3, 4]), tensor([5, 6, 7, 8]), tensor([9, 10, 11, 12])]
        const after = adamw(
          p,
          m,
          v,
          tensor([NaN, INF, 1, 0]),
          tensor([0.1, 0.1, 0.9, 0.1, 1e-8, 0.1, 1, 1]),
          tensor(Float32Array.of(scale), []),
        )
        return [[concat(after), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]] as const]
      }),
  },
  {
    op: 'adamw',
    says: 'a gradient of 0 at moments of 0 moves nothing, and NaN spoils its own element alone',
    only: 'f32',
    make: () => {
      const zeros = (): Tensor => tensor([0, 0, 0, 0])
      const [p] = adamw(
        tensor([1, 2, 3, 4]),
        zeros(),
        zeros(),
        tensor([0, NaN, 0, 0]),
        tensor([0.1, 0.1, 0.9, 0.1, 1e-8, 0, 0.1, 0.1]),
        tensor(Float32Array.of(1), []),
      )
      return [[p, [1, NaN, 3, 4]]]
    },
  },
  {
    op: 'add',
    says: 'integers go round at 2³²',
    make: () => [
      [
        tensor(Int32Array.of(2147483647, -2147483648), [2], 'i32').add(tensor(Int32Array.of(1, -1), [2], 'i32')),
        [-2147483648, 2147483647],
      ],
      [bits(4294967295, 0).add(bits(1, 0)), [0, 0]],
      [bits(0, 5).sub(bits(1, 5)), [4294967295, 0]],
    ],
  },
  ...(['neg', 'abs', 'relu'] as const).map((op): Promised => ({
    op,
    says: 'numbers too small to be normal come through or become 0',
    only: 'f32',
    tiny: true,
    make: dtype => [
      [
        tensor([...TINY], undefined, dtype)[op](),
        TINY.map(v => (op === 'neg' ? -v : op === 'abs' ? Math.abs(v) : Math.max(v, 0))),
      ],
    ],
  })),
  {
    op: 'mul',
    says: 'numbers too small to be normal come through or become 0: multiplied, added, moved, summed',
    only: 'f32',
    tiny: true,
    make: dtype => {
      const x = tensor([...TINY], undefined, dtype)
      return [
        [x.mul(1), TINY],
        [x.add(0), TINY],
        [x.reshape([5, 1]).transpose().pad([0, 1], [0, 0]), [0, ...TINY]],
        [x.reshape([5, 1]).sum(1), TINY],
        [rows(dtype, TINY).gather(ids(0)), TINY],
      ]
    },
  },
  {
    op: 'softmax',
    says: 'probabilities too small for f32 are 0, or small',
    only: 'f32',
    tiny: true,
    make: dtype => [[rows(dtype, [0, -95, -200], [0, -1e4, 0]).softmax(), [1, Math.exp(-95), 0, 0.5, 0, 0.5]]],
  },
]

export const promises: readonly Promised[] = [
  ...softmaxes,
  ...attentions,
  ...picking,
  ...ordering,
  ...saturating,
  ...edges,
  ...everywhere,
  ...notFinite,
  ...longSums,
]
