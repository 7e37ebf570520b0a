// Cases of the ops with kernels of their own, and of their gradients' kernels as functions in their own right.
import fc from 'fast-check'
import {
  attention,
  concat,
  crossEntropy,
  divergence,
  dropout,
  grad,
  loraLinear,
  ones,
  zeros,
} from '../../../engine/index.ts'
import { matmul } from '../../../engine/ops/matmul.ts'
import { adamw } from '../../../engine/ops/adamw.ts'
import { apply, applyAll, type Tensor } from '../../../engine/tensor.ts'
import type { Net } from '../../../engine/gradcheck.ts'
import { sizeOf } from '../../../engine/shape.ts'
import { type OpCase, type Values, distinct, factors, fitting, layout, length, opCase } from '../draw.ts'

const matmulCase = opCase(
  'matmul',
  fc.record({
    m: length,
    k: fc.oneof(length, fc.constantFrom(127, 129, 257, 300, 301)),
    n: length,
    batch: fc.constantFrom<readonly (readonly number[])[]>(
      [[], []],
      [[], []],
      [[3], []],
      [[], [2]],
      [[2], [2]],
      [[1], [3]],
      [[2, 1], [3]],
      [
        [2, 3],
        [2, 1],
      ],
    ),
    layouts: fc.tuple(layout, layout),
    scale: fc.constantFrom(1, 1, 0.125),
    mixed: fc.nat(3),
    widened: fc.nat(3),
  }),
  ({ m, k, n, batch: [left, right], layouts, scale, mixed, widened, dtype }) => {
    // Few multiplications in all: every candidate runs each.
    const [rows, columns] = fitting([m, n], Math.max(1, Math.floor(60_000 / k / (left.length + right.length + 1))))
    const other = mixed === 0 ? 'f32' : dtype
    return {
      slots: [
        { shape: [...left, rows, k], layout: layouts[0] },
        { shape: [...right, k, columns], layout: layouts[1], dtype: other },
      ],
      // Half precision in and f32 out shows whether sums are f32.
      fn: (a, b) => matmul(a, b, widened > 0 ? { scale, outputDtype: 'f32' } : { scale }),
      options: { sumLength: Math.max(k, rows * 6, columns) },
    }
  },
)

/**
 * What layers do with a product, each in one kernel with it: few, since each is a kernel to compile with every config
 * that it meets.
 */
const endings: Readonly<Record<string, (product: Tensor, bias: Tensor, rest: Tensor, step: Tensor) => Tensor>> = {
  'bias, GELU': (product, bias) => product.add(bias).gelu(),
  GELU: product => product.gelu(),
  'bias, dropout, residual': (product, bias, rest, step) => dropout(product.add(bias), 0.25, 2, step, 7).add(rest),
  'sum of gradients': (product, _, rest) => rest.add(product),
}

const finishedCase = opCase(
  'matmul',
  fc.record({
    // The epilogue of rows of multiples of four works on vec4s.
    m: length,
    k: fc.constantFrom(1, 4, 31, 64),
    n: fc.oneof(length, fc.constantFrom(4, 8, 32, 64)),
    batch: fc.constantFrom([], [], [2]),
    layout: fc.constantFrom('plain', 'transposed'),
    rest: layout,
    ending: fc.constantFrom(...Object.keys(endings)),
  }),
  ({ m, k, n, batch, layout: right, rest, ending, seed }) => {
    const [rows, columns] = fitting([m, n], Math.max(1, Math.floor(20_000 / k / (batch.length + 1))))
    return {
      slots: [
        { shape: [...batch, rows, k] },
        { shape: [k, columns], layout: right, values: 'small' },
        { shape: [columns] },
        { shape: [...batch, rows, columns], layout: rest },
        { shape: [], dtype: 'u32', values: () => seed % 9 },
      ],
      fn: (a, b, bias, residual, step) => endings[ending](a.matmul(b), bias, residual, step),
      options: { sumLength: Math.max(k, rows * 6, columns) },
    }
  },
  { of: 'a layer', rounds: 0.5 },
)

const loraSizes = fc.record({
  rows: fc.constantFrom(1, 2, 7, 17, 33),
  inner: fc.constantFrom(1, 3, 31, 64, 65, 97),
  outer: fc.constantFrom(1, 2, 15, 32, 33),
  low: fc.constantFrom(1, 2, 4, 8, 9),
  bias: fc.constantFrom(true, true, false),
  layout,
  scale: fc.constantFrom(1, 0.125, 2),
  deep: fc.boolean(),
})

const loraCases: readonly OpCase[] = [
  opCase(
    'loraLinear',
    loraSizes,
    ({ rows, inner, outer, low, bias, layout: as, scale, deep }) => ({
      slots: [
        { shape: deep ? [2, rows, inner] : [rows, inner], layout: as },
        { shape: [outer, inner], values: 'small' },
        { shape: [low, inner], dtype: 'f32', values: 'small' },
        { shape: [outer, low], dtype: 'f32', values: 'small' },
        ...(bias ? [{ shape: [outer] }] : []),
      ],
      fn: (x, weight, a, b, added) => loraLinear(x, weight, added, a, b, scale),
      options: { sumLength: Math.max(inner, outer, rows * 2) * 4 },
    }),
    { rounds: 1 },
  ),
  opCase(
    'loraLinearGradient',
    loraSizes,
    ({ rows, inner, outer, low, layout: as, scale }) => ({
      slots: [
        { shape: [rows, outer], layout: as },
        { shape: [outer, inner], values: 'small' },
        { shape: [low, inner], dtype: 'f32', values: 'small' },
        { shape: [rows, low], dtype: 'f32' },
      ],
      fn: (dy, weight, a, dyB) => apply('loraLinearGradient', [dy, weight, a, dyB], { scale }),
      options: { sumLength: Math.max(inner, outer, rows) * 4 },
    }),
    { rounds: 0.5 },
  ),
]

const rowsAndWidth = fc.record({
  rows: fc.constantFrom(1, 2, 3, 7, 17),
  width: fc.constantFrom(1, 2, 3, 7, 16, 30, 33, 64, 65, 129, 130, 257),
})
const rank = fc.constantFrom(1, 2, 2, 3, 4)
/** Rows of a width under any number of axes. */
const rowsUnder = (axes: number, rows: number, width: number): number[] =>
  axes === 1 ? [width] : axes === 2 ? [rows, width] : axes === 3 ? [rows, 2, width] : [2, 1, rows, width]

/** Logits by a drawn number: peaked, with ties, past what exp can hold, or usual ones. */
const logits = (hard: number): Values => (hard === 0 ? 'wide' : hard === 1 ? 'whole' : hard === 2 ? 'huge' : 'normal')
/** Differences in f32 say nothing of probabilities that are all 0 and 1. */
const logitNets = (hard: number): Net[] | undefined => (hard === 0 || hard === 2 ? [1, 2] : undefined)

const softmaxCases = (['softmax', 'logSoftmax'] as const).flatMap((op): OpCase[] => [
  opCase(
    op,
    fc.record({ size: rowsAndWidth, rank, layout, hard: fc.nat(5) }),
    ({ size: { rows, width }, rank: axes, layout: as, hard }) => ({
      slots: [{ shape: rowsUnder(axes, rows, width), layout: as, values: logits(hard) }],
      fn: x => x[op](),
      options: { sumLength: width },
      nets: logitNets(hard),
    }),
  ),
  opCase(
    `${op}Gradient`,
    fc.record({ size: rowsAndWidth, layouts: fc.tuple(layout, layout) }),
    ({ size: { rows, width }, layouts }) => ({
      slots: layouts.map(as => ({ shape: [rows, width], layout: as })),
      fn: (y, dy) => apply(`${op}Gradient`, [op === 'softmax' ? y.sigmoid() : y.sigmoid().mul(-2), dy]),
      options: { sumLength: width },
    }),
  ),
])

const layerNormCases: readonly OpCase[] = [
  opCase(
    'layerNorm',
    fc.record({
      size: rowsAndWidth,
      layout,
      epsilon: fc.constantFrom(1e-12, 1e-5, 1e-1),
      hard: fc.nat(5),
      statistics: fc.nat(3),
    }),
    ({ size: { rows, width }, layout: as, epsilon, hard, statistics }) => {
      // Of one or two numbers a row nothing is left but ±1, and of equal ones nothing at all; differences see cliffs
      // there.
      const steep = width < 3 || hard === 0 || hard === 2
      // Equal numbers, few different ones, and numbers far from zero, whose squares have no digits left for the
      // variance.
      const values = hard === 0 ? () => 0.75 : hard === 1 ? (i: number) => 3 + (i % 5) : hard === 2 ? 'far' : 'normal'
      return {
        slots: [{ shape: [rows, width], layout: as, values }, { shape: [width] }, { shape: [width] }],
        fn: (x, gamma, beta) => {
          if (statistics !== 0 || steep) return x.layerNorm(gamma, beta, epsilon)
          const [y, mean, rstd] = applyAll('layerNorm', [x, gamma, beta], { epsilon })
          return y.add(mean.mul(rstd).reshape([rows, 1]))
        },
        options: { sumLength: Math.max(width, rows) },
        nets: steep ? [2] : undefined,
      }
    },
  ),
  // They are f32 whatever x is, and show how they were summed.
  opCase(
    'layerNorm',
    fc.record({ size: rowsAndWidth, layout, epsilon: fc.constantFrom(1e-5, 1e-1) }),
    ({ size: { rows, width }, layout: as, epsilon }) => ({
      slots: [{ shape: [rows, width], layout: as }],
      fn: x => {
        const [, mean, rstd] = applyAll('layerNorm', [x, ones([width]), zeros([width])], { epsilon })
        return mean.mul(rstd)
      },
      options: { sumLength: width },
      nets: width < 3 ? [2] : undefined,
    }),
    { of: 'statistics' },
  ),
  opCase(
    'layerNormGradient',
    fc.record({ size: rowsAndWidth, layouts: fc.tuple(layout, layout) }),
    ({ size: { rows, width }, layouts }) => ({
      slots: [
        { shape: [rows, width], layout: layouts[0] },
        { shape: [width] },
        { shape: [rows], dtype: 'f32' },
        { shape: [rows], dtype: 'f32', values: 'positive' },
        { shape: [rows, width], layout: layouts[1] },
      ],
      fn: (x, gamma, mean, rstd, dy) => apply('layerNormGradient', [x, gamma, mean, rstd, dy]),
      options: { sumLength: Math.max(width, rows) },
    }),
  ),
  opCase(
    'layerNormParameterGradient',
    fc.record({ size: rowsAndWidth, layouts: fc.tuple(layout, layout), only: fc.nat(2) }),
    ({ size: { rows, width }, layouts, only }) => ({
      slots: [
        { shape: [rows, width], layout: layouts[0] },
        { shape: [rows], dtype: 'f32' },
        { shape: [rows], dtype: 'f32', values: 'positive' },
        { shape: [rows, width], layout: layouts[1] },
      ],
      fn: (x, mean, rstd, dy) => {
        const [gamma, beta] = applyAll('layerNormParameterGradient', [x, mean, rstd, dy])
        return only === 0 ? gamma : only === 1 ? beta : gamma.mul(beta.add(0.5))
      },
      options: { sumLength: Math.max(rows, width) },
    }),
  ),
]

const rmsNormCases: readonly OpCase[] = [
  opCase(
    'rmsNorm',
    fc.record({ size: rowsAndWidth, layout, epsilon: fc.constantFrom(1e-5, 1e-1), statistics: fc.nat(3) }),
    ({ size: { rows, width }, layout: as, epsilon, statistics }) => ({
      slots: [{ shape: [rows, width], layout: as }, { shape: [width] }],
      fn: (x, gamma) => {
        const [y, rstd] = applyAll('rmsNorm', [x, gamma], { epsilon })
        return statistics === 0 ? y.add(rstd.reshape([rows, 1])) : y
      },
      options: { sumLength: Math.max(width, rows) },
      // One or two numbers of a row, divided by their own size, are steep near 0.
      nets: width < 3 ? [2] : undefined,
    }),
    { share: 1 / 2 },
  ),
  opCase(
    'rmsNormGradient',
    fc.record({ size: rowsAndWidth, layouts: fc.tuple(layout, layout) }),
    ({ size: { rows, width }, layouts }) => ({
      slots: [
        { shape: [rows, width], layout: layouts[0] },
        { shape: [width] },
        { shape: [rows], dtype: 'f32', values: 'positive' },
        { shape: [rows, width], layout: layouts[1] },
      ],
      fn: (x, gamma, rstd, dy) => apply('rmsNormGradient', [x, gamma, rstd, dy]),
      options: { sumLength: Math.max(width, rows) },
    }),
    { share: 1 / 2 },
  ),
]

/** Labels of any class, and every third the ignored one. */
const labels =
  (classes: number) =>
  (index: number): number =>
    index % 3 === 1 ? -100 : (index * 7) % classes

const crossEntropyCases: readonly OpCase[] = [
  opCase(
    'crossEntropy',
    fc.record({ size: rowsAndWidth, layout, hard: fc.nat(5) }),
    ({ size: { rows, width }, layout: as, hard }) => ({
      slots: [
        { shape: [rows, width], layout: as, values: logits(hard) },
        { shape: [rows], dtype: 'i32', values: labels(width) },
      ],
      // A loss near 0 is the log of a sum near 1, and no more exact than that sum.
      fn: (scores, classes) => crossEntropy(scores, classes).add(1),
      options: { sumLength: width },
      nets: logitNets(hard),
    }),
  ),
  opCase(
    'crossEntropyGradient',
    fc.record({ size: rowsAndWidth, layout }),
    ({ size: { rows, width }, layout: as }) => ({
      slots: [
        { shape: [rows, width], layout: as },
        { shape: [rows], dtype: 'i32', values: labels(width) },
        { shape: [rows], dtype: 'f32' },
      ],
      fn: (logits, classes, dlosses) => {
        const [, kept] = applyAll('crossEntropy', [logits, classes], { ignoreIndex: -100 })
        return apply('crossEntropyGradient', [logits, classes, kept, dlosses], { ignoreIndex: -100 })
      },
      options: { sumLength: width },
    }),
  ),
]

const temperature = fc.constantFrom(1, 2, 0.5, 3)

const divergenceCases: readonly OpCase[] = [
  opCase(
    'divergence',
    fc.record({ size: rowsAndWidth, layouts: fc.tuple(layout, layout), temperature, hard: fc.nat(5) }),
    ({ size: { rows, width }, layouts, temperature: t, hard }) => ({
      slots: [
        { shape: [rows, width], layout: layouts[0], values: logits(hard) },
        { shape: [rows, width], layout: layouts[1], values: logits(hard) },
      ],
      // As with cross entropy: of alike sides nothing is left but what rounding leaves.
      fn: (student, teacher) => divergence(student, teacher, t).add(1),
      options: { sumLength: width },
      nets: logitNets(hard),
    }),
  ),
  opCase(
    'divergenceGradient',
    fc.record({ size: rowsAndWidth, layouts: fc.tuple(layout, layout), temperature }),
    ({ size: { rows, width }, layouts, temperature: t }) => ({
      slots: [
        { shape: [rows, width], layout: layouts[0] },
        { shape: [rows, width], layout: layouts[1] },
        { shape: [rows], dtype: 'f32' },
      ],
      fn: (student, teacher, dlosses) => {
        const [, kept] = applyAll('divergence', [student, teacher], { temperature: t })
        return apply('divergenceGradient', [student, teacher, kept, dlosses], { temperature: t })
      },
      options: { sumLength: width },
    }),
  ),
]

/** What is scanned: usual sizes for all nets, and rows that are divided. All candidates run in shaders/scan.test.ts. */
const scanned = fc.record({
  outer: fc.constantFrom(1, 2, 3),
  length: fc.constantFrom(1, 2, 7, 16, 33, 65, 129, 300, 2000),
  inner: fc.constantFrom(1, 1, 1, 3, 33),
  exclusive: fc.boolean(),
  reverse: fc.boolean(),
  layout,
})

const scanCases: readonly OpCase[] = (['cumsum', 'cumprod', 'linearScan'] as const).flatMap(op => {
  const many = 400
  return [
    opCase(
      op,
      scanned,
      ({ outer, length: n, inner, exclusive, reverse, layout: as }) => {
        const shape = n > many ? [1, n, 1] : fitting([outer, n, inner], 900)
        const attributes = { axis: 1, exclusive, reverse }
        const slot = { shape, layout: n > many ? 'plain' : as } as const
        return {
          slots: op === 'linearScan' ? [{ ...slot, values: 'unit' }, slot] : [slot],
          fn: (x, ...rest) => apply(op, [op === 'cumprod' ? factors(x) : x, ...rest], attributes),
          options: { sumLength: shape[1] },
          nets: n > many ? [2] : undefined,
        }
      },
      { share: 1 / 3, rounds: 1 / 4 },
    ),
    ...(op === 'linearScan'
      ? []
      : [
          opCase(
            op,
            scanned,
            ({ outer, length: n, inner, exclusive, reverse, layout: as }) => ({
              slots: [{ shape: fitting([outer, n, inner], 900), layout: as, dtype: 'i32', values: 'whole' }],
              fn: x => apply(op, [x], { axis: 1, exclusive, reverse }),
            }),
            { nets: [2], why: 'integers have no gradient', of: 'integers', share: 1 / 4 },
          ),
        ]),
  ]
})

const attentionParams = fc.record({
  batch: fc.constantFrom(1, 2, 3),
  heads: fc.constantFrom(1, 2, 3),
  queries: fc.constantFrom(1, 2, 7, 8, 9, 16, 17, 33),
  keys: fc.constantFrom(70, 3, 65, 17, 16, 33, 1, 15),
  headSize: fc.constantFrom(1, 3, 4, 8, 16, 20),
  mask: fc.constantFrom('none', 'some', 'row'),
  rate: fc.constantFrom(0, 0.25),
  merged: fc.boolean(),
  hard: fc.nat(4),
  step: fc.nat(100),
})

const attentionCase = (op: 'attention' | 'attentionGradient'): OpCase =>
  opCase(
    op,
    attentionParams,
    draw => {
      const { batch, heads, mask, rate, merged, hard, step, seed } = draw
      const [queries, keys, headSize] = [draw.queries, draw.keys, draw.headSize]
      // Heads inside a linear layer's output, as models have them, or in tensors of four axes.
      const shape = (sequence: number): number[] =>
        merged ? [batch, sequence, heads * headSize] : [batch, sequence, heads, headSize]
      const allowed = (index: number): number =>
        mask === 'row' && Math.floor(index / keys) === 0 ? 0 : (index * 5 + seed) % 7 > 1 ? 1 : 0
      return {
        slots: [
          { shape: shape(queries), values: hard === 0 ? 'wide' : 'normal' },
          { shape: shape(keys) },
          { shape: shape(keys) },
          ...(mask === 'none' ? [] : [{ shape: [batch, keys], dtype: 'i32', values: allowed } as const]),
          ...(rate === 0 ? [] : [{ shape: [], dtype: 'u32', values: () => step } as const]),
        ],
        fn: (q, k, v, ...rest) => {
          const split = (t: Tensor, sequence: number): Tensor => t.reshape([batch, sequence, heads, headSize])
          const masks = mask === 'none' ? undefined : rest[0]
          const now = rest[mask === 'none' ? 0 : 1]
          const out = attention(split(q, queries), split(k, keys), split(v, keys), {
            mask: masks,
            dropout: rate === 0 ? undefined : { rate, stream: 3, step: now, seed },
          })
          return merged ? out.reshape(shape(queries)) : out
        },
        options: { sumLength: Math.max(queries, keys, headSize) },
        nets: hard === 0 ? [1, 2] : undefined,
      }
      // The gradient's forms take turns.
    },
    { rounds: op === 'attentionGradient' ? 0.75 : 0.5 },
  )

/** What of [batch, heads, queries, keys] a mask or a bias tells apart. */
const axesApart = fc.constantFrom([1, 1, 1, 1], [0, 1, 1, 1], [1, 0, 1, 1], [0, 0, 1, 1], [0, 1, 0, 1])
const lengthsOf = (all: readonly number[], apart: readonly number[]): number[] => all.map((n, i) => (apart[i] ? n : 1))

interface DecoderForm {
  readonly heads: readonly [queries: number, keys: number]
  readonly causal?: boolean
  readonly mask?: 'keys' | 'scores'
  readonly bias?: boolean
  readonly rate?: number
}

const decoderParams = fc.record({
  // Few, each of which has kernels of its own.
  form: fc.constantFrom<DecoderForm>(
    { heads: [2, 2], causal: true, mask: 'keys', bias: true },
    { heads: [4, 2], causal: true },
    { heads: [4, 2], mask: 'scores', bias: true, rate: 0.25 },
  ),
  batch: fc.constantFrom(1, 2),
  // Whole sequences, some queries at the end of a cache, one, and more queries than keys.
  sequence: fc.constantFrom([17, 17], [9, 33], [66, 70], [1, 16], [20, 15], [5, 70], [8, 8]),
  apart: fc.tuple(axesApart, axesApart),
  step: fc.nat(100),
})

const decoderCase = opCase(
  'attentionGradient',
  decoderParams,
  ({ form, batch, sequence: [queries, keys], apart, step, seed }) => {
    const { causal, mask, bias, rate = 0 } = form
    const [heads, keyHeads] = form.heads
    const headSize = 4
    const scores = [batch, heads, queries, keys]
    const maskShape = lengthsOf(scores, mask === 'keys' ? [1, 0, 0, 1] : apart[0])
    // Every seventh row is closed.
    const open = (at: number): number =>
      (Math.floor(at / maskShape[3]) + seed) % 7 === 0 ? 0 : (at * 5 + seed) % 7 > 1 ? 1 : 0
    return {
      slots: [
        { shape: [batch, queries, heads, headSize] },
        { shape: [batch, keys, keyHeads, headSize] },
        { shape: [batch, keys, keyHeads, headSize] },
        ...(bias ? [{ shape: lengthsOf(scores, apart[1]), dtype: 'f32' } as const] : []),
        ...(mask ? [{ shape: maskShape, dtype: 'i32', values: open } as const] : []),
        ...(rate === 0 ? [] : [{ shape: [], dtype: 'u32', values: () => step } as const]),
      ],
      fn: (q, k, v, ...rest) =>
        attention(q, k, v, {
          causal,
          bias: bias ? rest[0] : undefined,
          mask: mask && rest[bias ? 1 : 0],
          dropout: rate === 0 ? undefined : { rate, stream: 3, step: rest[rest.length - 1], seed },
        }),
      options: { sumLength: Math.max(queries, keys) },
    }
  },
  { of: 'decoders' },
)

const twiceCase = opCase(
  'attentionGradient',
  fc.record({
    heads: fc.constantFrom([2, 2], [4, 2], [2, 1]),
    queries: fc.constantFrom(1, 3, 5),
    keys: fc.constantFrom(4, 5),
    // Few forms, each of which has kernels of its own.
    options: fc.constantFrom<{ causal?: boolean; mask?: boolean; bias?: readonly number[]; rate?: number }>(
      {},
      { causal: true, bias: [0, 1, 1, 1] },
      { mask: true, rate: 0.25, bias: [1, 0, 0, 1] },
      { causal: true, mask: true },
    ),
    step: fc.nat(100),
  }),
  ({ heads: [heads, keyHeads], queries, keys, options, step, seed }) => {
    const { causal, mask = false, bias, rate = 0 } = options
    const [batch, headSize] = [2, 3]
    return {
      slots: [
        { shape: [batch, queries, heads, headSize] },
        { shape: [batch, keys, keyHeads, headSize] },
        { shape: [batch, keys, keyHeads, headSize] },
        { shape: [batch, queries, heads, headSize] },
        ...(bias ? [{ shape: lengthsOf([batch, heads, queries, keys], bias), dtype: 'f32' } as const] : []),
        ...(mask
          ? [{ shape: [batch, 1, 1, keys], dtype: 'i32', values: (at: number) => (at + seed) % 3 } as const]
          : []),
        ...(rate === 0 ? [] : [{ shape: [], dtype: 'u32', values: () => step } as const]),
      ],
      // All first gradients in one vector.
      fn: (q, k, v, upstream, ...rest) => {
        const o = attention(q, k, v, {
          causal,
          bias: bias && rest[0],
          mask: mask ? rest[bias ? 1 : 0] : undefined,
          dropout: rate === 0 ? undefined : { rate, stream: 3, step: rest[rest.length - 1], seed },
        })
        const by = [q, k, v, ...(bias ? [rest[0]] : [])]
        return concat(grad(o, by, upstream).map(gradient => gradient.cast('f32').reshape([gradient.size])))
      },
      options: { sumLength: 40 },
      // They are made of ops that have cases of their own, so few draws run on the device.
      nets: seed % 4 === 0 ? [1, 2, 3] : [1],
    }
  },
  { of: 'second derivatives', rounds: 0, floats: 'f32' },
)

const gatherParams = fc.record({
  rows: fc.constantFrom(1, 2, 7, 33),
  width: fc.constantFrom(1, 2, 4, 8, 33, 64),
  ids: fc.constantFrom([1], [7], [33], [2, 5], [3, 1, 4]),
  layout,
})
/** Some rows many times, some never, and a few outside of the table. */
const ids =
  (rows: number) =>
  (index: number): number =>
    index % 6 === 5 ? (index % 4 < 2 ? -1 : rows) : Math.floor((index * index) / 3) % rows

const alongParams = fc.record({
  outer: fc.constantFrom<readonly number[]>([], [1], [3], [2, 2]),
  length: fc.constantFrom(1, 2, 7, 33),
  count: fc.constantFrom(1, 5, 33, 40),
  inner: fc.constantFrom<readonly number[]>([], [1], [5], [17]),
  layouts: fc.tuple(layout, layout),
  integer: fc.nat(2),
})
const along = ({ outer, inner }: { outer: readonly number[]; inner: readonly number[] }, n: number): number[] => [
  ...outer,
  n,
  ...inner,
]
/** No two nearer than 1/16, and with another `offset` (of 1/32) none nearer than 1/32. */
const apartBy = (seed: number, offset: number): ((index: number, count: number) => number) => {
  const numbers = distinct(seed)
  return (index, count) => numbers(index, count) + (count % 2) / 32 + offset
}

const scatterCases: readonly OpCase[] = [
  opCase('gatherAlong', alongParams, ({ length: n, count, layouts, integer, ...rest }) => ({
    slots: [
      { shape: along(rest, n), layout: layouts[0], ...(integer === 0 ? { dtype: 'u32', values: 'natural' } : {}) },
      { shape: along(rest, count), dtype: 'i32', values: ids(n), layout: layouts[1] },
    ],
    fn: (x, index) => x.gather(rest.outer.length, index),
    options: { sumLength: 40 },
    nets: integer === 0 ? [2] : undefined,
  })),
  opCase('scatterAdd', alongParams, ({ length: n, count, layouts, integer, ...rest }) => ({
    slots: [
      { shape: along(rest, count), dtype: 'i32', values: ids(n) },
      { shape: along(rest, count), layout: layouts[0], ...(integer === 0 ? { dtype: 'i32', values: 'whole' } : {}) },
    ],
    fn: (index, source) => apply('scatterAdd', [index, source], { axis: rest.outer.length, length: n, unique: false }),
    options: { sumLength: 40 },
    nets: integer === 0 ? [2] : undefined,
  })),
  opCase(
    'scatterAdd',
    alongParams,
    ({ length: n, count, layouts, ...rest }) => ({
      slots: [
        {
          shape: along(rest, Math.min(n, count)),
          dtype: 'i32',
          // No two of a line are equal: n and the factor have no common divisor.
          values: i => {
            const inner = sizeOf(rest.inner)
            return (Math.floor(i / inner) * (n % 2 === 0 ? 1 : 2) + (i % inner)) % n
          },
        },
        { shape: along(rest, Math.min(n, count)), layout: layouts[0] },
      ],
      fn: (index, source) => apply('scatterAdd', [index, source], { axis: rest.outer.length, length: n, unique: true }),
    }),
    { of: 'different indices' },
  ),
  opCase('scatterMax', alongParams, ({ length: n, count, layouts, integer, seed, ...rest }) => {
    const spec = (values: Values) => (integer === 0 ? { dtype: 'i32' as const, values: 'whole' as const } : { values })
    return {
      slots: [
        { shape: along(rest, n), layout: layouts[0], ...spec(apartBy(seed, 1 / 32)) },
        { shape: along(rest, count), dtype: 'i32', values: ids(n) },
        { shape: along(rest, count), layout: layouts[1], ...spec(apartBy(seed, 0)) },
      ],
      fn: (x, index, source) => apply('scatterMax', [x, index, source], { axis: rest.outer.length }),
      options: { sumLength: 40 },
      nets: integer === 0 ? [2] : undefined,
    }
  }),
]

const sortCase = opCase(
  'sort',
  fc.record({
    rows: fc.constantFrom(1, 2, 5),
    width: fc.constantFrom(1, 2, 17, 65, 130, 300),
    keep: fc.constantFrom(1, 3, 20, 300, 300),
    axis: fc.constantFrom(0, 1, 1),
    layout,
    descending: fc.boolean(),
    ties: fc.nat(1),
    integer: fc.nat(5),
  }),
  ({ rows, width, keep, axis, layout: as, descending, ties, integer, seed }) => {
    const shape = axis === 0 ? [width, rows] : [rows, width]
    const isTied = ties === 0 || integer === 0
    return {
      slots: [
        {
          shape,
          layout: as,
          values: isTied ? 'whole' : distinct(seed),
          ...(integer === 0 ? ({ dtype: 'i32' } as const) : {}),
        },
      ],
      fn: x => {
        const { values, indices } = keep >= width ? x.sort(axis, descending) : x.topK(keep, axis, descending)
        return values.add(indices.cast(values.dtype))
      },
      nets: isTied ? [2] : undefined,
    }
  },
)

/** Apart, since their many configs take as long to compile as all others. */
export const matmulCases: readonly OpCase[] = [matmulCase, finishedCase, ...loraCases]
export const attentionCases: readonly OpCase[] = [
  attentionCase('attention'),
  attentionCase('attentionGradient'),
  decoderCase,
  twiceCase,
]

/** Small kernels with many ways to share a row. */
export const rowCases: readonly OpCase[] = [
  ...softmaxCases,
  ...layerNormCases,
  ...rmsNormCases,
  ...crossEntropyCases,
  ...divergenceCases,
  ...scatterCases,
  sortCase,
  ...scanCases,
  opCase('gather', gatherParams, ({ rows, width, ids: shape, layout: as }) => ({
    slots: [
      { shape: [rows, width], layout: as },
      { shape, dtype: 'i32', values: ids(rows) },
    ],
    fn: (table, at) => table.gather(at),
    options: { sumLength: 33 },
  })),
  opCase('gatherGradient', gatherParams, ({ rows, width, ids: shape, layout: as }) => ({
    slots: [
      { shape, dtype: 'i32', values: ids(rows) },
      { shape: [...shape, width], layout: as },
    ],
    fn: (at, dy) => apply('gatherGradient', [at, dy], { rows }),
    options: { sumLength: 33 },
  })),
  opCase(
    'adamw',
    fc.record({
      count: fc.constantFrom(1, 2, 63, 64, 66, 257),
      step: fc.integer({ min: 1, max: 1000 }),
      scale: fc.constantFrom('1', '0', '0.25', 'Infinity'),
    }),
    ({ count, step, scale }) => ({
      slots: [
        { shape: [count] },
        { shape: [count] },
        { shape: [count], values: 'positive' },
        { shape: [count] },
        { shape: [8], values: i => [1e-2, 0.1, 0.999, 0.001, 1e-8, 0.1, 1 - 0.9 ** step, 1 - 0.999 ** step][i] },
        { shape: [], values: () => Number(scale) },
      ],
      fn: (...inputs) => concat(adamw(inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], inputs[5])),
      options: { wrt: [] },
    }),
    { nets: [2], why: 'a step of the optimizer is not differentiated through', floats: 'f32' },
  ),
].map(of => ({ ...of, rounds: 2 * of.rounds }))
