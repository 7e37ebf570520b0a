// Cases of the ops that move elements, and of reductions.
import fc from 'fast-check'
import { concat } from '../../../engine/index.ts'
import { coordinates } from '../../../engine/ops/coordinates.ts'
import type { DType } from '../../../shaders/kernel.ts'
import {
  type OpCase,
  LENGTHS,
  broadcastable,
  distinct,
  factors,
  fitting,
  layout,
  length,
  opCase,
  shapes,
} from '../draw.ts'

const shuffledAxes = (rank: number): fc.Arbitrary<number[]> => {
  const axes = Array.from({ length: rank }, (_, i) => i)
  return fc.shuffledSubarray(axes, { minLength: rank, maxLength: rank })
}

/** Two ways to group the same elements. */
const regrouped = fc
  .record({
    factors: fc.array(fc.constantFrom(1, 2, 3, 4, 5, 7), { minLength: 1, maxLength: 5 }),
    cuts: fc.array(fc.boolean(), { minLength: 10, maxLength: 10 }),
  })
  .map(({ factors, cuts }) => {
    const fit = fitting(
      factors.map(n => (n === 4 ? 8 : n)),
      400,
    )
    const grouped = (from: number): number[] =>
      fit.reduce<number[]>((shape, n, i) => {
        if (i === 0 || cuts[from + i]) return [...shape, n]
        return [...shape.slice(0, -1), shape[shape.length - 1] * n]
      }, [])
    return { from: grouped(0), to: grouped(5) }
  })

const reduced = shapes(1, 4, 900).chain(shape =>
  fc.record({
    shape: fc.constant(shape),
    layout,
    keep: fc.boolean(),
    ties: fc.nat(3),
    axes: fc.subarray(
      shape.map((_, i) => i),
      { minLength: 1 },
    ),
  }),
)

const reductions: readonly OpCase[] = (['sum', 'max', 'min'] as const).flatMap(op => {
  const params = reduced
  return [
    opCase(op, params, ({ shape, layout: as, keep, ties, axes, seed }) => {
      const tied = op !== 'sum' && ties === 0
      return {
        slots: [{ shape, layout: as, values: op === 'sum' ? 'normal' : tied ? 'whole' : distinct(seed) }],
        // A product first, so that the reduction has an expression to carry.
        fn: x => (op === 'sum' ? x.mul(1.5) : x)[op](axes, keep),
        options: { sumLength: axes.reduce((n, axis) => n * shape[axis], 1) },
        nets: tied ? [2] : undefined,
      }
    }),
    opCase(
      op,
      params,
      ({ shape, layout: as, keep, axes, ties }) => ({
        slots: [{ shape, layout: as, dtype: ties % 2 ? 'u32' : 'i32', values: ties % 2 ? 'natural' : 'whole' }],
        fn: x => x[op](axes, keep),
      }),
      { nets: [2], why: 'integers have no gradient', of: 'integers' },
    ),
  ]
})

const products: readonly OpCase[] = [
  opCase(
    'prod',
    reduced,
    ({ shape, layout: as, keep, axes }) => ({
      slots: [{ shape, layout: as }],
      fn: x => factors(x).prod(axes, keep),
      options: { sumLength: axes.reduce((n, axis) => n * shape[axis], 1) },
    }),
    { share: 1 / 2 },
  ),
  opCase(
    'prod',
    reduced,
    ({ shape, layout: as, keep, axes, ties }) => ({
      slots: [{ shape, layout: as, dtype: ties % 2 ? 'u32' : 'i32', values: i => 1 + (i % 3) }],
      fn: x => x.prod(axes, keep),
    }),
    { nets: [2], why: 'integers have no gradient', of: 'integers', share: 1 / 4 },
  ),
]

const places: readonly OpCase[] = (['argmax', 'argmin'] as const).map(op =>
  opCase(
    op,
    fc.record({
      of: reduced,
      whole: fc.boolean(),
      type: fc.constantFrom<DType | 'float'>('float', 'float', 'i32', 'u32'),
    }),
    ({ of: { shape, layout: as, keep, axes }, whole, type, dtype }) => ({
      slots: [
        { shape, layout: as, dtype: type === 'float' ? dtype : type, values: type === 'u32' ? 'natural' : 'whole' },
      ],
      fn: x => x[op](whole ? undefined : axes[0], keep),
    }),
    { nets: [2], why: 'places have no gradient', share: 2 / 3 },
  ),
)

export const shapeCases: readonly OpCase[] = [
  ...reductions,
  ...products,
  ...places,
  opCase('reshape', fc.record({ group: regrouped, layout }), ({ group: { from, to }, layout: as }) => ({
    slots: [{ shape: from, layout: as }],
    fn: x => x.reshape(to),
  })),
  opCase(
    'permute',
    shapes(1, 4).chain(shape => fc.record({ shape: fc.constant(shape), order: shuffledAxes(shape.length), layout })),
    ({ shape, order, layout: as }) => ({ slots: [{ shape, layout: as }], fn: x => x.permute(order) }),
  ),
  opCase(
    'slice',
    shapes(1, 4).chain(shape =>
      fc.record({
        shape: fc.constant(shape),
        layout,
        ranges: fc.tuple(
          ...shape.map(n =>
            fc.tuple(fc.nat(n - 1), fc.nat(n - 1)).map(([a, b]) => [Math.min(a, b), Math.max(a, b) + 1] as const),
          ),
        ),
      }),
    ),
    ({ shape, ranges, layout: as }) => ({
      slots: [{ shape, layout: as }],
      fn: x =>
        x.slice(
          ranges.map(r => r[0]),
          ranges.map(r => r[1]),
        ),
    }),
  ),
  opCase(
    'broadcast',
    shapes(1, 4).chain(shape => fc.record({ shape: fc.constant(shape), from: broadcastable(shape), layout })),
    ({ shape, from, layout: as }) => ({
      slots: [{ shape: from, layout: as }],
      fn: x => x.broadcastTo(shape),
      options: { sumLength: 400 },
    }),
  ),
  opCase(
    'flip',
    shapes(1, 4).chain(shape =>
      fc.record({ shape: fc.constant(shape), axes: fc.subarray(shape.map((_, i) => i)), layout, inner: fc.nat(3) }),
    ),
    ({ shape, axes, layout: as, inner }) => ({
      slots: [{ shape, layout: as }],
      // Read by an op, by a reduction, and by a view that may not follow it.
      fn: x => {
        const y = x.flip(axes)
        if (inner === 0) return y.mul(x.mean())
        if (inner === 1) return y.sum(0, true).add(x)
        if (inner === 2) return y.reshape([x.size])
        return y
          .reshape([1, x.size])
          .matmul(y.reshape([x.size, 1]))
          .mul(0.125)
      },
      options: { sumLength: 400 },
    }),
  ),
  opCase(
    'diagonal',
    fc.record({
      square: length.map(n => Math.min(n, 17)),
      batch: fc.constantFrom([], [1], [3], [2, 3]),
      axes: fc.constantFrom([0, -1], [-1, 0]),
      wider: fc.nat(3),
      offset: fc.constantFrom(0, 0, 1, -2),
      layout,
    }),
    ({ square, batch, axes: [a, b], wider, offset, layout: as }) => ({
      slots: [{ shape: [square + wider + 3, ...batch, square + 3], layout: as }],
      fn: x => x.diagonal(offset, a, b),
    }),
  ),
  opCase(
    'coordinates',
    shapes(1, 4).chain(shape => fc.record({ shape: fc.constant(shape), axis: fc.nat(shape.length - 1), layout })),
    ({ shape, axis, layout: as }) => ({
      slots: [{ shape, layout: as }],
      fn: x => x.mul(coordinates(shape, axis).cast('f32').mul(0.125)),
      options: { sumLength: 65 },
    }),
    { floats: 'f32' },
  ),
  opCase(
    'triangle',
    shapes(2, 4).chain(shape =>
      fc.record({ shape: fc.constant(shape), layout, diagonal: fc.integer({ min: -9, max: 9 }), upper: fc.boolean() }),
    ),
    ({ shape, layout: as, diagonal, upper }) => ({
      slots: [{ shape, layout: as }],
      fn: x => (upper ? x.triu(diagonal) : x.tril(diagonal)),
    }),
  ),
  opCase(
    'concat',
    fc.record({
      shape: shapes(1, 3, 100),
      axis: fc.nat(2),
      pieces: fc.array(fc.tuple(fc.constantFrom(...LENGTHS.slice(0, 9)), layout), { minLength: 2, maxLength: 4 }),
      integer: fc.nat(5),
    }),
    ({ shape, axis, pieces, integer }) => {
      const at = axis % shape.length
      const dtype: DType | undefined = integer === 0 ? 'i32' : undefined
      return {
        slots: pieces.map(
          ([n, as]) => ({ shape: shape.with(at, n), layout: as, dtype, values: dtype ? 'whole' : 'normal' }) as const,
        ),
        fn: (...parts) => concat(parts, at),
        nets: dtype ? [2] : undefined,
      }
    },
  ),
  opCase(
    'pad',
    shapes(1, 4, 100).chain(shape =>
      fc.record({
        shape: fc.constant(shape),
        layout,
        fill: fc.constantFrom(0, -1.5, 3),
        sides: fc.array(fc.tuple(fc.nat(3), fc.nat(3)), { minLength: shape.length, maxLength: shape.length }),
      }),
    ),
    ({ shape, layout: as, fill, sides }) => ({
      slots: [{ shape, layout: as }],
      fn: x =>
        x.pad(
          sides.map(s => s[0]),
          sides.map(s => s[1]),
          fill,
        ),
    }),
  ),
]
