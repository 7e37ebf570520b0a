import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readThrough } from '../../engine/view.ts'
import { matmulReference } from '../../engine/references/matmul.ts'
import { broadcastShapes } from '../../engine/shape.ts'
import { input, output } from '../../shaders/kernel.ts'
import type { FloatType, Traits, View } from '../../shaders/kernel.ts'
import { candidates, configName, lower, rankedCandidates } from '../../shaders/matmul.ts'
import type { MatmulCandidate } from '../../shaders/matmul.ts'
import { productOf, tuningProblem } from '../../shaders/matmul/problem.ts'
import type { Product } from '../../shaders/matmul/problem.ts'
import { openTestDevice, runLowering } from '../support/launch.ts'
import type { TestDevice } from '../support/launch.ts'
import { noises } from '../support/ops.ts'
import { SEED } from '../support/seed.ts'

let bench: TestDevice
/** The adapter as it is, and as if it were a GPU: together they offer every kernel there is. */
let guises: Traits[]
beforeAll(async () => {
  bench = await openTestDevice()
  guises = [bench.traits, { ...bench.traits, cpu: !bench.traits.cpu }]
})
afterAll(() => bench.close())

interface Matrix {
  readonly view: View
  readonly data: Float64Array
}

interface Layout {
  readonly transposed: boolean
  /** Elements left out before the first one, and after every row. */
  readonly offset: number
  readonly gap: number
}
const plain: Layout = { transposed: false, offset: 0, gap: 0 }

/** Random numbers laid out as asked; axes of `repeated` are read with stride 0. */
function matrix(
  shape: readonly number[],
  dtype: FloatType,
  layout: Layout,
  seed: number,
  repeated: readonly number[] = [],
): Matrix {
  const rank = shape.length
  const order = shape.map((_, i) => i)
  if (layout.transposed) order.splice(rank - 2, 2, rank - 1, rank - 2)
  const strides = new Array<number>(rank).fill(0)
  let stride = 1
  for (let i = rank - 1; i >= 0; i--) {
    const axis = order[i]
    if (repeated.includes(axis)) continue
    strides[axis] = stride
    stride *= shape[axis] + (i === rank - 1 ? layout.gap : 0)
  }
  const round = dtype === 'f16' ? Math.f16round : Math.fround
  const data = noises(layout.offset + stride, seed).map(round)
  return { view: { shape, dtype, strides, offset: layout.offset }, data }
}

interface Case {
  readonly a: Matrix
  readonly b: Matrix
  readonly out: FloatType
  readonly scale: number
}

function productIn({ a, b, out, scale }: Case): Product {
  return productOf(
    { slot: input(0), view: a.view },
    { slot: input(1), view: b.view },
    { slot: output(0), dtype: out },
    scale,
  )
}

/** Runs one candidate and holds every element to float64, within an error in proportion to Σ |a||b|. */
async function check(c: Case, candidate: MatmulCandidate, traits: Traits): Promise<void> {
  const { a, b, out, scale } = c
  const product = productIn(c)
  const batch = broadcastShapes('test', [a.view.shape.slice(0, -2), b.view.shape.slice(0, -2)])
  const spec = {
    shape: [...batch, a.view.shape[a.view.shape.length - 2], b.view.shape[b.view.shape.length - 1]],
    dtype: out,
  }
  const [x, y] = [readThrough(a.data, a.view), readThrough(b.data, b.view)]
  const expected = matmulReference(x, a.view, y, b.view, spec, scale)
  const size = matmulReference(x.map(Math.abs), a.view, y.map(Math.abs), b.view, spec, Math.abs(scale))
  const [actual] = await runLowering(
    bench.device,
    lower(product, candidate, traits),
    [
      { data: a.data, spec: a.view },
      { data: b.data, spec: b.view },
    ],
    [spec],
  )
  const k = a.view.shape[a.view.shape.length - 1]
  const tolerance = out === 'f16' ? 1e-2 : 1e-6 * Math.sqrt(k)
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i] - expected[i])
    if (!(error <= tolerance * size[i] + 1e-30)) {
      throw new Error(
        `${configName(candidate.config)} / ${candidate.slices}${candidate.transpose ? ' transposed' : ''} on ${JSON.stringify(tuningProblem(product))}: ` +
          `element ${i} is ${actual[i]}, not ${expected[i]} (error ${(error / size[i]).toExponential(2)} of Σ|a||b|)`,
      )
    }
  }
}

/**
 * Every config on a case, each in one of its ways (K whole or in slices, as it is or transposed): the n-th config in
 * the way number n + turn, so that cases of other turns try other ways. Compiling all ways of all takes a CPU ten
 * minutes.
 */
async function checkAll(
  c: Case,
  turn: number,
  keep: (candidate: MatmulCandidate) => boolean = () => true,
): Promise<Set<string>> {
  const ways = new Map<string, { candidate: MatmulCandidate; traits: Traits }[]>()
  for (const traits of guises) {
    for (const { candidate } of rankedCandidates(productIn(c), traits)) {
      if (!keep(candidate)) continue
      const name = configName(candidate.config)
      ways.set(name, [...(ways.get(name) ?? []), { candidate, traits }])
    }
  }
  for (const [n, list] of [...ways.values()].entries()) {
    const { candidate, traits } = list[(n + turn) % list.length]
    await check(c, candidate, traits)
  }
  return new Set(ways.keys())
}

/**
 * Of the kernels for GPUs, which take a CPU's compiler seconds each, those that such an adapter tries in one of two
 * tests; all that are for it.
 */
const inTurn =
  (turn: 0 | 1) =>
  ({ config }: MatmulCandidate): boolean => {
    const forCpu = config.kernel === 'dot' || (config.kernel === 'tile' && config.rolled)
    const name = configName(config)
    const sum = Array.from(name, (_, i) => name.charCodeAt(i)).reduce((a, b) => a + b)
    return !bench.traits.cpu || forCpu || sum % 2 === turn
  }

/** Sizes that catch edges: 1, primes, tiles and their neighbours. */
const length = fc.constantFrom(1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 31, 32, 33, 36, 63, 64, 65, 67, 100)
const layouts = fc.record({
  transposed: fc.boolean(),
  offset: fc.constantFrom(0, 0, 3, 4),
  gap: fc.constantFrom(0, 0, 1, 4),
})

describe('matmul', () => {
  test('every config is right where nothing is a multiple of four', async () => {
    const a = matrix([37, 261], 'f32', { ...plain, gap: 1 }, 1)
    const b = matrix([261, 29], 'f32', { ...plain, offset: 3 }, 2)
    expect((await checkAll({ a, b, out: 'f32', scale: 1 }, 0, inTurn(0))).size).toBeGreaterThan(12)
  })

  test('every config is right on groups of four, with tiles that stick out', async () => {
    const a = matrix([36, 260], 'f32', { ...plain, gap: 4 }, 3)
    const b = matrix([260, 44], 'f32', plain, 4)
    expect((await checkAll({ a, b, out: 'f32', scale: 0.5 }, 1, inTurn(1))).size).toBeGreaterThan(12)
  })

  test('transposed operands are read as they lie', async () => {
    const a = matrix([36, 132], 'f32', { ...plain, transposed: true }, 5)
    const b = matrix([132, 12], 'f32', { ...plain, transposed: true }, 6)
    let number = 0
    // Every third of them: the property tests in gradcheck/ try all configs on all layouts.
    await checkAll({ a, b, out: 'f32', scale: 1 }, 2, ({ transpose }) => !transpose && number++ % 3 === 0)
  })

  test('any candidate is right on any shape, batch, layout and dtype', async () => {
    const dtypes = fc.constantFrom<FloatType>(...(bench.traits.f16 ? (['f32', 'f16'] as const) : (['f32'] as const)))
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          m: length,
          n: length,
          k: fc.oneof(length, fc.constantFrom(129, 256, 300)),
          batch: fc.array(fc.constantFrom(1, 2, 3), { maxLength: 3 }),
          aRepeats: fc.array(fc.nat(2), { maxLength: 2 }),
          bRepeats: fc.array(fc.nat(2), { maxLength: 3 }),
          bRank: fc.nat(3),
          aLayout: layouts,
          bLayout: layouts,
          aType: dtypes,
          bType: dtypes,
          out: dtypes,
          pick: fc.nat(1000),
          guise: fc.nat(1),
          seed: fc.nat(1000),
        }),
        async ({
          m,
          n,
          k,
          batch,
          aRepeats,
          bRepeats,
          bRank,
          aLayout,
          bLayout,
          aType,
          bType,
          out,
          pick,
          guise,
          seed,
        }) => {
          const inBatch = (axes: readonly number[], rank: number): number[] => axes.filter(axis => axis < rank)
          const bBatch = batch.slice(batch.length - Math.min(bRank, batch.length))
          const a = matrix([...batch, m, k], aType, aLayout, seed, inBatch(aRepeats, batch.length))
          const b = matrix([...bBatch, k, n], bType, bLayout, seed + 1, inBatch(bRepeats, bBatch.length))
          const c = { a, b, out, scale: seed % 3 === 0 ? -1.5 : 1 }
          const ranked = rankedCandidates(productIn(c), guises[guise])
          await check(c, ranked[pick % ranked.length].candidate, guises[guise])
        },
      ),
      { numRuns: 14, seed: SEED },
    )
  })

  describe('a narrow side', () => {
    const isNarrow = ({ config }: MatmulCandidate): boolean => config.kernel === 'narrow'
    const turned = { ...plain, transposed: true }
    /** M, K, N, how the operands lie, and how many configs are offered. */
    const narrow = [
      ['both along K', [70, 300, 8], plain, turned, 5],
      ['the left along K, the right along rows', [68, 260, 8], plain, plain, 3],
      ['along K, nothing a multiple of four', [67, 301, 3], { ...plain, offset: 3 }, { ...plain, gap: 1 }, 3],
      ['along K, one column', [75, 129, 1], { ...plain, gap: 4 }, plain, 5],
      ['along K, twelve columns', [100, 388, 12], plain, plain, 1],
      ['along K, 64 columns', [520, 72, 64], plain, plain, 2],
      ['both along rows', [132, 264, 8], turned, plain, 3],
      ['the left along rows, the right along K', [36, 1028, 4], turned, turned, 3],
      ['along rows, nothing a multiple of four', [131, 269, 3], turned, { ...plain, offset: 3 }, 3],
      ['along rows, two columns', [140, 77, 2], turned, plain, 3],
      ['along rows, 36 columns', [300, 152, 36], turned, turned, 3],
      ['few rows, along K', [8, 516, 100], plain, turned, 5],
      ['few rows, along rows, a long K', [8, 2052, 100], turned, plain, 3],
      ['one row, along rows', [1, 260, 136], plain, plain, 3],
    ] as const
    test.each(narrow)('every form is right: %s', async (_, [m, k, n], left, right, configs) => {
      const [a, b] = [matrix([m, k], 'f32', left, m), matrix([k, n], 'f32', right, n)]
      expect((await checkAll({ a, b, out: 'f32', scale: m % 2 === 0 ? 0.5 : 1 }, m + n, isNarrow)).size).toBe(configs)
    })

    test('every form is right without subgroups', async () => {
      const a = matrix([70, 300], 'f32', plain, 1)
      for (const right of [plain, turned]) {
        const c: Case = { a, b: matrix([300, 8], 'f32', right, 2), out: 'f32', scale: 1 }
        const traits: Traits = { ...bench.traits, cpu: false, subgroupSize: 0 }
        // The first of those that read the right operand where it lies, then of those that hold it.
        const found = rankedCandidates(productIn(c), traits).find(
          ({ candidate }) => isNarrow(candidate) && candidate.slices === 1,
        )
        expect(found && configName(found.candidate.config)).toMatch(
          right.transposed ? /^narrow k wg32 .* direct$/ : /^narrow k wg32 .* staged/,
        )
        if (found) await check(c, found.candidate, traits)
      }
    })

    test('f16 and f32 mix in both forms, in batches', async () => {
      if (!bench.traits.f16) return
      for (const [left, right, out] of [
        ['f16', 'f32', 'f32'],
        ['f32', 'f16', 'f16'],
        ['f16', 'f16', 'f32'],
      ] as const) {
        for (const layout of [plain, turned]) {
          const a = matrix([2, 3, 68, 264], left, layout, 3, [1])
          const b = matrix([2, 3, 264, 8], right, { ...plain, gap: 4 }, 4, [0])
          await checkAll({ a, b, out, scale: -1.5 }, left.length + right.length + out.length, isNarrow)
        }
      }
    })

    test("LoRA's narrow products are guessed to be its own on a GPU, and no others are", () => {
      const gpu: Traits = {
        ...bench.traits,
        cpu: false,
        subgroupSize: 32,
        maxWorkgroupInvocations: 256,
        maxWorkgroupStorage: 32768,
      }
      // No data: only sizes and strides are asked.
      const view = (rows: number, columns: number, { transposed: t }: Layout): View => ({
        shape: [rows, columns],
        dtype: 'f32',
        strides: t ? [1, rows] : [columns, 1],
        offset: 0,
      })
      const first = (m: number, k: number, n: number, left: Layout, right: Layout, traits: Traits): string => {
        const product = productOf(
          { slot: input(0), view: view(m, k, left) },
          { slot: input(1), view: view(k, n, right) },
          { slot: output(0), dtype: 'f32' },
        )
        const [{ config }] = candidates(product, traits)
        return config.kernel === 'narrow' ? `along ${config.along}` : 'other'
      }
      expect(first(8192, 768, 8, plain, turned, gpu)).toBe('along k')
      expect(first(8192, 3072, 8, plain, plain, gpu)).toBe('along k')
      expect(first(8, 8192, 768, turned, plain, gpu)).toBe('along rows')
      expect(first(3072, 8192, 8, turned, plain, gpu)).toBe('along rows')
      expect(first(8192, 768, 768, plain, turned, gpu)).toBe('other')
      expect(first(64, 197, 64, plain, plain, gpu)).toBe('other')
      expect(first(8192, 768, 8, plain, turned, { ...gpu, cpu: true })).toBe('other')
    })
  })

  test('rows of a batch become one matrix where the right operand has no batch', () => {
    const a = matrix([4, 6, 8], 'f32', plain, 1)
    const b = matrix([8, 5], 'f32', plain, 2)
    const product = productIn({ a, b, out: 'f32', scale: 1 })
    expect([product.m, product.n, product.batch]).toEqual([24, 5, []])
  })

  test('heads split by strides keep two batch axes, and contiguous ones become one', () => {
    const heads: View = { shape: [2, 3, 5, 4], dtype: 'f32', strides: [60, 4, 12, 1], offset: 0 }
    const straight: View = { shape: [2, 3, 4, 5], dtype: 'f32', strides: [60, 20, 5, 1], offset: 0 }
    const of = (view: View) => ({ slot: input(0), view })
    const out = { slot: output(0), dtype: 'f32' } as const
    expect(productOf(of(heads), of(straight), out).batch).toEqual([2, 3])
    expect(
      productOf(of({ ...straight, shape: [2, 3, 5, 4], strides: [60, 20, 4, 1] }), of(straight), out).batch,
    ).toEqual([6])
  })

  test('any number of slices is added up', async () => {
    const c: Case = {
      a: matrix([7, 1100], 'f32', plain, 1),
      b: matrix([1100, 12], 'f32', plain, 2),
      out: 'f32',
      scale: 1,
    }
    const [{ config }] = candidates(productIn(c), bench.traits)
    for (const slices of [2, 8, 9, 10, 17, 31]) await check(c, { config, slices, transpose: false }, bench.traits)
  })

  describe('of slices, the first has the low-rank part and the bias', () => {
    const kinds = [
      ['through workgroup memory', (name: string) => name.startsWith('wg 32x32')],
      ['through workgroup memory, prefetch', (name: string) => /^wg 64x64.* prefetch/.test(name)],
      ['in registers', (name: string) => name.startsWith('1x4 by')],
    ] as const
    for (const [kind, matches] of kinds) {
      for (const [m, n] of [
        [36, 44],
        [7, 45],
      ]) {
        test(`${kind}, ${m} × ${n}`, async () => {
          const gpu = { ...bench.traits, cpu: false, subgroupSize: 0 }
          const [k, rank] = [1060, 5]
          const [x, w, low, b, bias] = [
            [m, k],
            [k, n],
            [m, rank],
            [rank, n],
            [1, n],
          ].map((shape, i) => matrix(shape, 'f32', plain, i + 1))
          const of = (left: Matrix, right: Matrix, from: number, scale: number): Product =>
            productOf(
              { slot: input(from), view: left.view },
              { slot: input(from + 1), view: right.view },
              { slot: output(0), dtype: 'f32' },
              scale,
            )
          const whole = of(x, w, 0, 1)
          const product: Product = {
            ...whole,
            segments: [...whole.segments, ...of(low, b, 2, 0.5).segments],
            bias: { slot: input(4), dtype: 'f32' },
          }
          const found = rankedCandidates(product, gpu).find(
            ({ candidate }) => candidate.slices > 1 && matches(configName(candidate.config)),
          )
          if (!found) throw new Error('no such candidate takes slices')
          const spec = { shape: [m, n], dtype: 'f32' } as const
          const inputs = [x, w, low, b, bias].map(({ data, view }) => ({ data, spec: view }))
          const [actual] = await runLowering(bench.device, lower(product, found.candidate, gpu), inputs, [spec])
          const [large, small] = [
            matmulReference(x.data, x.view, w.data, w.view, spec),
            matmulReference(low.data, low.view, b.data, b.view, spec),
          ]
          large.forEach((value, i) =>
            expect(actual[i], `element ${i}`).toBeCloseTo(value + 0.5 * small[i] + bias.data[i % n], 4),
          )
        })
      }
    }
  })

  test('an adapter that compiles slowly is given the shortest kernel for little work', () => {
    const slow: Traits = { ...bench.traits, cpu: true, subgroupSize: 4, compilesSlowly: true }
    const ofSizes = (m: number, k: number, n: number): Product =>
      productIn({ a: matrix([m, k], 'f32', plain, 1), b: matrix([k, n], 'f32', plain, 2), out: 'f32', scale: 1 })
    const lengthOf = (product: Product, { config }: MatmulCandidate): number =>
      lower(product, { config, slices: 1, transpose: false }, slow).launches[0].wgsl.length
    /** By how many characters the best guess is longer than the shortest of the kernels that share rows in a subgroup. */
    const excessOf = (product: Product): number => {
      const [first, ...others] = rankedCandidates(product, slow).map(({ candidate }) => candidate)
      const shared = others.filter(({ config }) => config.kernel === 'tile' && config.subgroup > 0)
      return lengthOf(product, first) - Math.min(...shared.map(other => lengthOf(product, other)))
    }
    for (const [m, k, n] of [
      [16, 32, 64],
      [5, 7, 3],
      [1, 32, 2],
    ] as const) {
      const product = ofSizes(m, k, n)
      expect(candidates(product, slow)[0]).toMatchObject({ slices: 1, transpose: false })
      expect(excessOf(product)).toBeLessThanOrEqual(0)
      expect(candidates(product, slow).length).toBeGreaterThan(1)
    }
    expect(excessOf(ofSizes(256, 64, 128))).toBeGreaterThan(0)
  })

  test('a small output with a long K is cut in slices on a GPU', () => {
    const a = matrix([8, 4096], 'f32', { ...plain, transposed: true }, 1)
    const b = matrix([4096, 768], 'f32', plain, 2)
    const gpu: Traits = { ...bench.traits, cpu: false, maxWorkgroupStorage: 32768 }
    expect(candidates(productIn({ a, b, out: 'f32', scale: 1 }), gpu)[0].slices).toBeGreaterThan(4)
    // Of a layer with a low-rank part, where K is long enough to be worth a second dispatch; on a CPU never.
    const layer = (k: number): Product => {
      const [whole, low] = [k, 8].map(inner =>
        productIn({
          a: matrix([32, inner], 'f32', plain, 1),
          b: matrix([inner, 768], 'f32', plain, 2),
          out: 'f32',
          scale: 1,
        }),
      )
      return { ...whole, segments: [...whole.segments, ...low.segments], bias: { slot: input(4), dtype: 'f32' } }
    }
    expect(candidates(layer(3072), gpu)[0].slices).toBeGreaterThan(4)
    for (const [k, traits] of [
      [768, gpu],
      [3072, { ...gpu, cpu: true }],
    ] as const) {
      expect(new Set(candidates(layer(k), traits).map(({ slices }) => slices))).toEqual(new Set([1]))
    }
  })
})
