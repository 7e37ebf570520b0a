// The subgroup-matrix kernel: as it is, on an adapter that has subgroup matrices; and two halves of a proof where there
// is none. Dawn's compiler takes its WGSL as it is, on the backend that executes nothing; and with the four matrix
// operations written out in plain WGSL, one lane making the whole fragment, it computes what float64 computes, on the
// adapter at hand.
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { matmulReference } from '../../engine/references/matmul.ts'
import {
  type FloatType,
  type Lowering,
  type SubgroupMatrix,
  type Traits,
  type View,
  input,
  output,
  rowMajorStrides,
} from '../../shaders/kernel.ts'
import { type MatmulCandidate, candidates, isLegal, layoutFor, lower, rankedCandidates } from '../../shaders/matmul.ts'
import { type MatrixConfig, matrix } from '../../shaders/matmul/matrix.ts'
import { type Product, productOf } from '../../shaders/matmul/problem.ts'
import { type TestDevice, openTestDevice, runLowering } from '../support/launch.ts'
import { NULL_LANES, expectCompiled, writtenOut } from '../support/matrices.ts'
import { noises } from '../support/ops.ts'
import { SEED } from '../support/seed.ts'
import { workgroupArrays } from '../support/workgroup.ts'

let bench: TestDevice
beforeAll(async () => {
  bench = await openTestDevice()
})
afterAll(() => bench.close())

const half: Product = productIn({ m: 70, n: 36, k: 50, dtype: 'f16' })

function productIn({
  m,
  n,
  k,
  dtype,
  aTurned = false,
  bTurned = false,
}: {
  m: number
  n: number
  k: number
  dtype: FloatType
  aTurned?: boolean
  bTurned?: boolean
}): Product {
  return productOf(
    { slot: input(0), view: view([m, k], dtype, aTurned) },
    { slot: input(1), view: view([k, n], dtype, bTurned) },
    { slot: output(0), dtype: 'f32' },
  )
}

function view(shape: readonly [number, number], dtype: FloatType, turned: boolean): View {
  const [rows, columns] = shape
  return { shape, dtype, offset: 0, strides: turned ? [1, rows] : rowMajorStrides([rows, columns]) }
}

const traitsWith = (subgroupMatrix: SubgroupMatrix): Traits => ({
  name: 'with matrices',
  cpu: false,
  f16: true,
  subgroupSize: subgroupMatrix.lanes,
  subgroupMatrix,
  maxWorkgroupInvocations: 1024,
  maxWorkgroupStorage: 49152,
  maxStorageBuffers: 16,
  maxWorkgroups: 65535,
})

describe('is offered', () => {
  const traits = traitsWith({ m: 16, n: 16, k: 16, lanes: 32 })
  test('first, for large products of f16 on adapters that have the matrices', () => {
    const large = productIn({ m: 2048, n: 768, k: 768, dtype: 'f16' })
    expect(candidates(large, traits)[0].config).toMatchObject({ kernel: 'matrix' })
    expect(candidates(large, traits).every(({ config }) => isLegal(config, traits))).toBe(true)
  })
  test('and nowhere else', () => {
    const kernels = (product: Product, of: Traits): string[] =>
      candidates(product, of).map(({ config }) => config.kernel)
    expect(kernels(productIn({ m: 2048, n: 768, k: 768, dtype: 'f32' }), traits)).not.toContain('matrix')
    expect(kernels(half, { ...traits, subgroupMatrix: undefined })).not.toContain('matrix')
  })
})

test('Dawn compiles it, for every layout and with slices, bias, a low-rank part and an epilogue', async () => {
  const config: MatrixConfig = {
    kernel: 'matrix',
    fragment: { m: 16, n: 16, k: 16, lanes: NULL_LANES },
    rows: 2,
    columns: 2,
    down: 2,
    across: 1,
    depth: 32,
  }
  const low: Product = productIn({ m: 70, n: 36, k: 8, dtype: 'f32' })
  const products: Product[] = [true, false].flatMap(aTurned =>
    [true, false].map(bTurned => productIn({ m: 72, n: 36, k: 64, dtype: 'f16', aTurned, bTurned })),
  )
  products.push(
    half,
    {
      ...half,
      bias: { slot: input(4), dtype: 'f32' },
      segments: [...half.segments, { ...low.segments[0], scale: 0.5 }],
    },
    {
      ...half,
      epilogue: {
        label: 'twice',
        shape: [70, 36],
        inputs: [],
        dtype: 'f16',
        storesResult: true,
        body: { draws: [], lines: ['let v0: f32 = value * 2.0;'], result: 'v0', helpers: [], scalars: [] },
      },
    },
  )
  await expectCompiled(
    products.flatMap(product =>
      [false, true].map(split => matrix.shader(config, layoutFor(config, product, split)).text),
    ),
  )
})

test('its arrays in workgroup memory take whole sixteens of bytes, as all are counted', () => {
  for (const fragment of [
    { m: 16, n: 16, k: 16, lanes: 32 },
    { m: 16, n: 8, k: 8, lanes: 32 },
    { m: 8, n: 8, k: 8, lanes: 32 },
  ]) {
    for (const bTurned of [false, true]) {
      for (const k of [64, 65]) {
        const product = productIn({ m: 512, n: 512, k, dtype: 'f16', bTurned })
        const configs = rankedCandidates(product, traitsWith(fragment)).flatMap(({ candidate: { config } }) =>
          config.kernel === 'matrix' ? [config] : [],
        )
        expect(configs.length).toBeGreaterThan(4)
        for (const config of configs) {
          const bytes = workgroupArrays(matrix.shader(config, layoutFor(config, product, false)).text)
          expect(bytes.length).toBe(3)
          expect(bytes.filter(size => size % 16 !== 0)).toEqual([])
          expect(bytes.reduce((sum, size) => sum + size)).toBe(matrix.storage(config))
        }
      }
    }
  }
})

/** Products of any size that the kernel makes, against float64; `change` is what becomes of its text before that. */
async function expectRight(
  config: MatrixConfig,
  dtype: FloatType,
  change: (lowering: Lowering) => Lowering,
): Promise<void> {
  const length = fc.constantFrom(1, 3, 4, 8, 15, 16, 17, 31, 32, 33, 40)
  const draws = fc.record({
    m: length,
    n: length,
    k: fc.oneof(length, fc.constantFrom(65, 128)),
    aTurned: fc.boolean(),
    bTurned: fc.boolean(),
    slices: fc.constantFrom(1, 1, 3),
    transpose: fc.boolean(),
    rank: fc.constantFrom(0, 3, 8, 20),
  })
  await fc.assert(
    fc.asyncProperty(draws, async ({ m, n, k, aTurned, bTurned, slices, transpose, rank }) => {
      const plain = productIn({ m, n, k, dtype, aTurned, bTurned })
      // A low-rank part, in f32: its scale is a power of two, so that the product is rounded as its factors were.
      const [low] = productIn({ m, n, k: rank, dtype: 'f32', bTurned }).segments
      const added = { ...low, scale: 0.5, a: { ...low.a, slot: input(2) }, b: { ...low.b, slot: input(3) } }
      const product = rank > 0 ? { ...plain, segments: [...plain.segments, added] } : plain
      const candidate: MatmulCandidate = { config, slices, transpose }
      const lowering = change(lower(product, candidate, bench.traits))
      const [a, b] = [noises(m * k, 1).map(Math.f16round), noises(k * n, 2).map(Math.f16round)]
      const [aView, bView] = [view([m, k], dtype, aTurned), view([k, n], dtype, bTurned)]
      const row = (data: Float64Array, { shape: [rows, columns], strides: [down, across] }: View): Float64Array =>
        Float64Array.from(
          { length: rows * columns },
          (_, i) => data[Math.floor(i / columns) * down + (i % columns) * across],
        )
      const spec = { shape: [m, n], dtype: 'f32' } as const
      const [lowA, lowB] = [noises(m * rank, 3).map(Math.f16round), noises(rank * n, 4).map(Math.f16round)]
      const [lowAView, lowBView] = [view([m, rank], 'f32', false), view([rank, n], 'f32', bTurned)]
      const [whole, part] = [
        matmulReference(row(a, aView), aView, row(b, bView), bView, spec),
        matmulReference(row(lowA, lowAView), lowAView, row(lowB, lowBView), lowBView, spec),
      ]
      const expected = whole.map((value, i) => value + 0.5 * part[i])
      const inputs = [
        { data: a, spec: aView },
        { data: b, spec: bView },
        ...(rank > 0
          ? [
              { data: lowA, spec: lowAView },
              { data: lowB, spec: lowBView },
            ]
          : []),
      ]
      const [actual] = await runLowering(bench.device, lowering, inputs, [spec])
      const scale = Math.sqrt(k)
      expected.forEach((value, i) => expect(Math.abs(actual[i] - value), `element ${i}`).toBeLessThan(2e-5 * scale))
    }),
    { numRuns: 6, seed: SEED },
  )
}

describe('gives what float64 gives, with the matrix operations written out', () => {
  beforeEach(context => {
    if (bench.traits.subgroupMatrix) context.skip('this adapter has subgroup matrices, and runs the kernel as it is')
  })
  const fragments: readonly SubgroupMatrix[] = [
    { m: 8, n: 8, k: 8, lanes: 32 },
    { m: 8, n: 4, k: 16, lanes: 16 },
  ]
  const forms = [
    { rows: 1, columns: 2, down: 2, across: 1 },
    { rows: 2, columns: 1, down: 1, across: 2 },
  ]
  for (const fragment of fragments) {
    for (const form of forms) {
      const config: MatrixConfig = { kernel: 'matrix', fragment, ...form, depth: 2 * fragment.k }
      test(matrix.name(config), () => {
        const dtype = bench.traits.f16 ? 'f16' : 'f32'
        return expectRight(config, dtype, lowering => writtenOut(lowering, fragment, dtype))
      })
    }
  }
})

test('gives what float64 gives, as it is', async context => {
  if (!bench.traits.subgroupMatrix) return context.skip('this adapter has no subgroup matrices')
  const offered = candidates(productIn({ m: 2048, n: 768, k: 768, dtype: 'f16' }), bench.traits)
  const configs = new Map(
    offered.flatMap(({ config }) => (config.kernel === 'matrix' ? [[matrix.name(config), config] as const] : [])),
  )
  expect(configs.size).toBeGreaterThan(0)
  for (const config of configs.values()) await expectRight(config, 'f16', lowering => lowering)
})
