// Cases of the elementwise ops.
import fc from 'fast-check'
import { dropout, range, scalar } from '../../../engine/index.ts'
import type { PlainOpName } from '../../../engine/graph.ts'
import { type Tensor, apply } from '../../../engine/tensor.ts'
import type { DType } from '../../../shaders/kernel.ts'
import { type OpCase, type Values, broadcastable, layout, opCase, shapes } from '../draw.ts'

/** So many elements that a thread of a CPU adapter makes several; too many for differences. */
const long = fc.constantFrom([2053], [3, 1409], [2, 5, 1709])
const isLong = ({ shape }: { readonly shape: readonly number[] }): boolean => shape.reduce((n, m) => n * m, 1) > 2000

const one = fc.record({
  shape: fc.oneof({ weight: 7, arbitrary: shapes(0, 4) }, { weight: 1, arbitrary: long }),
  layout,
})

/** Draws of a function whose kernels are those of others but for its formula, as a share of theirs. */
const FEW = 1 / 4

/** By op: usual numbers (all nets), and others at which differences say nothing (net 2 alone). */
type Cases<V> = Partial<Record<PlainOpName, { readonly usual: V; readonly hard?: V }>>
const entriesOf = <V>(of: Cases<V>): [PlainOpName, { readonly usual: V; readonly hard?: V }][] =>
  Object.entries(of) as never

const unaries = {
  neg: { usual: 'normal' },
  square: { usual: 'normal', hard: 'wide' },
  abs: { usual: 'apart', hard: 'whole' },
  sign: { usual: 'apart', hard: 'whole' },
  exp: { usual: 'normal' },
  log: { usual: 'positive' },
  sqrt: { usual: 'positive' },
  rsqrt: { usual: 'positive' },
  reciprocal: { usual: 'divisor' },
  tanh: { usual: 'normal', hard: 'wide' },
  sigmoid: { usual: 'normal', hard: 'wide' },
  relu: { usual: 'apart', hard: 'whole' },
  erf: { usual: 'normal', hard: 'wide' },
  gelu: { usual: 'normal', hard: 'wide' },
  geluDerivative: { usual: 'normal', hard: 'wide' },
  geluTanh: { usual: 'normal', hard: 'wide' },
} satisfies Cases<Values>

/** Functions that differ from those in their formulas alone. What they promise of every f32 is in shaders/math.test.ts. */
const functions = {
  exp2: { usual: 'normal' },
  expm1: { usual: 'normal' },
  log2: { usual: 'positive' },
  log1p: { usual: 'positive' },
  sin: { usual: 'normal', hard: 'huge' },
  cos: { usual: 'normal', hard: 'huge' },
  tan: { usual: 'unit', hard: 'huge' },
  asin: { usual: 'unit' },
  acos: { usual: 'unit' },
  atan: { usual: 'normal', hard: 'wide' },
  sinh: { usual: 'normal' },
  cosh: { usual: 'normal' },
  asinh: { usual: 'normal', hard: 'huge' },
  acosh: { usual: 'aboveOne' },
  atanh: { usual: 'unit' },
  floor: { usual: 'eighths', hard: 'quarters' },
  ceil: { usual: 'eighths', hard: 'quarters' },
  round: { usual: 'eighths', hard: 'quarters' },
  trunc: { usual: 'eighths', hard: 'quarters' },
  silu: { usual: 'normal', hard: 'wide' },
  siluDerivative: { usual: 'normal', hard: 'wide' },
  softplus: { usual: 'normal', hard: 'wide' },
  huber: { usual: 'eighths', hard: 'whole' },
} satisfies Cases<Values>

const unary = (cases: Cases<Values>, share: number): OpCase[] =>
  entriesOf<Values>(cases).map(([op, { usual, hard }]) =>
    opCase(
      op,
      fc.record({ x: one, hard: fc.nat(3) }),
      draw => {
        const isHard = hard !== undefined && draw.hard === 0
        return {
          slots: [{ ...draw.x, values: isHard ? hard : usual }],
          fn: x => apply(op, [x]),
          nets: isHard || isLong(draw.x) ? [2] : undefined,
        }
      },
      { share },
    ),
  )

/** Two shapes that broadcast, each in a layout of its own. */
const two = fc.oneof({ weight: 7, arbitrary: shapes(0, 4) }, { weight: 1, arbitrary: long }).chain(shape =>
  fc.record({
    a: fc.record({ shape: fc.oneof(fc.constant(shape), broadcastable(shape)), layout }),
    b: fc.record({ shape: fc.oneof(fc.constant(shape), broadcastable(shape)), layout }),
  }),
)

const binaries = {
  add: { usual: ['normal', 'normal'] },
  sub: { usual: ['normal', 'normal'] },
  mul: { usual: ['normal', 'normal'] },
  div: { usual: ['normal', 'divisor'] },
  pow: { usual: ['positive', 'normal'], hard: ['divisor', 'natural'] },
  maximum: { usual: ['quarters', 'eighths'], hard: ['whole', 'whole'] },
  minimum: { usual: ['quarters', 'eighths'], hard: ['whole', 'whole'] },
} satisfies Cases<readonly [Values, Values]>

const binaryFunctions = {
  // No remainder is near 0 or its divisor, since multiples of quarters are never eighths.
  mod: { usual: ['eighths', i => [1, -1.25, 1.5, -2][i % 4]], hard: ['wide', 'divisor'] },
  atan2: { usual: ['divisor', 'divisor'], hard: ['wide', 'wide'] },
  elu: { usual: ['apart', 'positive'], hard: ['whole', 'positive'] },
  prelu: { usual: ['apart', 'normal'], hard: ['whole', 'normal'] },
} satisfies Cases<readonly [Values, Values]>

const binary = (cases: Cases<readonly [Values, Values]>, share: number): OpCase[] =>
  entriesOf<readonly [Values, Values]>(cases).map(([op, { usual, hard }]) =>
    opCase(
      op,
      fc.record({ pair: two, hard: fc.nat(3) }),
      ({ pair: { a, b }, ...draw }) => {
        const isHard = hard !== undefined && draw.hard === 0
        const [left, right] = isHard ? hard : usual
        return {
          slots: [
            { ...a, values: left },
            { ...b, values: right },
          ],
          fn: (x, y) => apply(op, [x, y]),
          // Terms of a broadcast operand's gradient: at most the other's elements.
          options: { sumLength: 400, ...(isHard && op === 'pow' ? { wrt: [] } : {}) },
          nets: isHard || isLong(a) || isLong(b) ? [2] : undefined,
        }
      },
      { share },
    ),
  )

const comparisonCases = (['equal', 'notEqual', 'less', 'lessEqual', 'greater', 'greaterEqual'] as const).map(op =>
  opCase(
    op,
    fc.record({ pair: two, type: fc.constantFrom<DType | 'float'>('float', 'i32', 'u32') }),
    ({ pair: { a, b }, type, dtype }) => {
      const slot = { values: type === 'u32' ? 'natural' : 'whole', dtype: type === 'float' ? dtype : type } as const
      return {
        slots: [
          { ...a, ...slot },
          { ...b, ...slot },
        ],
        fn: (x, y) => apply(op, [x, y]),
      }
    },
    { nets: [2], why: 'a comparison gives integers, which have no gradient' },
  ),
)

/** Integers under the arithmetic that takes them. */
const integers =
  (share: number, values?: (index: number) => number) =>
  (op: PlainOpName): OpCase =>
    opCase(
      op,
      fc.record({ pair: two, type: fc.constantFrom<'i32' | 'u32'>('i32', 'u32') }),
      ({ pair: { a, b }, type }) => ({
        slots: [a, b].map(
          slot => ({ ...slot, values: values ?? (type === 'i32' ? 'whole' : 'natural'), dtype: type }) as const,
        ),
        fn: (x, y) => apply(op, [x, y]),
      }),
      { nets: [2], why: 'integers have no gradient', of: 'integers', share },
    )

/** Whole numbers of all sizes, among them every count of bits that a shift may have. */
const words = (i: number): number => [i % 40, -1 - (i % 40), Math.imul(i + 1, 0x9e3779b1), 2 ** 31 - 1 - i][i % 4] | 0

/** Undefined: spread over all 32-bit words. */
const WORDS = [0, undefined, 1, undefined, 2 ** 32 - 1, undefined, 2 ** 31, 2 ** 31 - 1, undefined, 12345, undefined]

export const elementwiseCases: readonly OpCase[] = [
  ...unary(unaries, 1),
  ...unary(functions, FEW),
  ...binary(binaries, 1),
  ...binary(binaryFunctions, FEW),
  ...comparisonCases,
  ...(['add', 'sub', 'mul', 'div', 'maximum', 'minimum'] as const).map(integers(1)),
  ...(['mod'] as const).map(integers(FEW)),
  ...(['bitwiseAnd', 'bitwiseOr', 'bitwiseXor', 'leftShift', 'rightShift'] as const).map(integers(FEW, words)),
  opCase(
    'where',
    shapes(0, 4).chain(shape =>
      fc.record({
        c: fc.oneof(fc.constant(shape), broadcastable(shape)),
        a: fc.oneof(fc.constant(shape), broadcastable(shape)),
        b: fc.oneof(fc.constant(shape), broadcastable(shape)),
        condition: fc.constantFrom<'i32' | 'u32'>('i32', 'u32'),
        layouts: fc.tuple(layout, layout, layout),
      }),
    ),
    ({ c, a, b, condition, layouts }) => ({
      slots: [
        { shape: c, dtype: condition, values: 'natural', layout: layouts[0] },
        { shape: a, layout: layouts[1] },
        { shape: b, layout: layouts[2] },
      ],
      fn: (condition, yes, no) => condition.where(yes, no),
      options: { sumLength: 400 },
    }),
  ),
  opCase(
    'cast',
    one,
    ({ shape, layout: as, dtype }) => ({
      slots: [{ shape, layout: as, dtype: 'f32' }],
      // Through f16 only where the adapter has it.
      fn: x => (dtype === 'f16' ? x.cast('f16') : x.mul(1.5).cast('i32').cast('f32').add(x)),
      nets: dtype === 'f16' ? [1, 2] : [2],
    }),
    { nets: [1, 2], why: 'a cast to f16 is a staircase to differences in f32' },
  ),
  opCase(
    'cast',
    fc.record({ x: one, from: fc.constantFrom<DType>('i32', 'u32'), to: fc.constantFrom<DType>('f32', 'i32', 'u32') }),
    ({ x, from, to }) => ({
      slots: [{ ...x, dtype: from, values: from === 'i32' ? 'whole' : 'natural' }],
      fn: t => t.cast(to).add(t.cast(to)),
      options: { wrt: [] },
    }),
    { nets: [2], why: 'integers have no gradient', of: 'integers' },
  ),
  ...(['isFinite', 'isInfinite', 'isNaN'] as const).map(op =>
    opCase(
      op,
      one,
      ({ shape, layout: as, dtype, seed }) => ({
        slots: [
          { shape, layout: as, dtype, values: i => [1, -Infinity, 0, NaN, -2.5, Infinity, 60000][(i + seed) % 7] },
        ],
        fn: x => x[op](),
        options: { wrt: [] },
      }),
      { nets: [2], why: 'it gives integers, which have no gradient' },
    ),
  ),
  opCase('detach', one, draw => ({ slots: [draw], fn: x => x.detach().mul(x) }), {
    nets: [2],
    why: 'its gradient is none by design, so differences disagree',
  }),
  opCase('scalar', fc.record({ x: one, number: fc.integer({ min: -40, max: 40 }) }), ({ x, number, dtype }) => ({
    slots: [x],
    fn: t => t.add(scalar(number / 8, dtype)).mul(t),
  })),
  opCase(
    'range',
    fc.record({ length: fc.constantFrom(1, 2, 7, 64, 65), rows: fc.constantFrom(1, 3) }),
    ({ length, rows }) => ({
      slots: [{ shape: [rows, length] }],
      fn: x => x.mul(range(length).cast('f32').mul(0.125)),
      options: { sumLength: length },
    }),
    { floats: 'f32' },
  ),
  opCase(
    'randomBits',
    fc.record({ x: one, stream: fc.nat(7), step: fc.nat(1000), seedOf: fc.nat(0xffffffff), kind: fc.nat(2) }),
    ({ x: { shape }, stream, step, seedOf }) => ({
      slots: [{ shape: [], dtype: 'u32', values: () => step }],
      fn: now => apply('randomBits', [now], { shape, stream, seed: seedOf }),
    }),
    { nets: [2], why: 'it gives integers, which have no gradient', share: 1 / 2 },
  ),
  ...(['fractionOfBits', 'normalOfBits'] as const).map(op =>
    opCase(
      op,
      fc.record({ x: one, high: fc.nat(3) }),
      ({ x, high }) => ({
        // Also the smallest and the largest words.
        slots: [
          { ...x, dtype: 'u32', values: (i, n) => WORDS[(i + high) % WORDS.length] ?? Math.floor((i / n) * 2 ** 32) },
        ],
        fn: bits => apply(op, [bits]),
      }),
      { nets: [2], why: 'integers have no gradient', share: FEW },
    ),
  ),
  opCase('source', one, draw => ({ slots: [draw], fn: x => x })),
  opCase(
    'dropout',
    fc.record({
      x: one,
      rate: fc.constantFrom(0.1, 0.5, 0.9),
      stream: fc.nat(7),
      step: fc.nat(1000),
      seedOf: fc.nat(0xffffffff),
    }),
    ({ x, rate, stream, step, seedOf }) => ({
      slots: [x, { shape: [], dtype: 'u32', values: () => step }],
      fn: (t: Tensor, now: Tensor) => dropout(t, rate, stream, now, seedOf),
    }),
  ),
]
