// Layer norm and its gradients: every candidate against float64, and the gradients against differences.
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import '../../engine/ops/layer-norm.ts'
import { type Attributes, findOp } from '../../engine/graph.ts'
import { findReference } from '../../engine/references/index.ts'
import type { DType } from '../../shaders/kernel.ts'
import {
  type OpInput,
  checkOp,
  expectClose,
  expectDirectional,
  noises,
  opInput,
  referenceOf,
  rootMeanSquare,
  runCandidates,
} from '../support/ops.ts'
import { type TestDevice, openTestDevice } from '../support/launch.ts'
import { SEED } from '../support/seed.ts'

let bench: TestDevice
beforeAll(async () => {
  bench = await openTestDevice()
})
afterAll(() => bench.close())

const EPSILON = 1e-12
const cases = fc.record({
  width: fc.constantFrom<number[]>(1, 2, 3, 5, 8, 31, 32, 33, 128, 257, 766, 768, 769, 3072),
  rows: fc.constantFrom<number[]>(1, 2, 5, 16, 17, 33, 67),
  halfX: fc.boolean(),
  halfGamma: fc.boolean(),
  scale: fc.constantFrom(0.02, 1, 20),
  shift: fc.constantFrom(0, -3),
  seed: fc.nat(1e6),
})
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

/** x, gamma, beta, mean, rstd and dy of a case. */
function inputsOf({ width, rows, halfX, halfGamma, scale, shift, seed }: Case) {
  const xType: DType = halfX && bench.traits.f16 ? 'f16' : 'f32'
  const gammaType: DType = halfGamma && bench.traits.f16 ? 'f16' : 'f32'
  const x = opInput(noises(rows * width, seed, scale, shift * scale), [rows, width], xType)
  const gamma = opInput(noises(width, seed + 1, 0.3, 1), [width], gammaType)
  const beta = opInput(noises(width, seed + 2, 0.3), [width])
  const dy = opInput(noises(rows * width, seed + 3), [rows, width], xType)
  const [, mean, rstd] = referenceOf('layerNorm', [x, gamma, beta], { epsilon: EPSILON })
  return { x, gamma, beta, dy, mean: opInput(mean, [rows]), rstd: opInput(rstd, [rows]), xType }
}

const tolerance = (dtype: DType, width: number) => (dtype === 'f16' ? 1e-2 : 1e-5 * Math.max(1, Math.sqrt(width) / 4))

test('every candidate of the forward kernel gives the float64 result on any shape, to the same bits each time', async () => {
  await fc.assert(
    fc.asyncProperty(cases, async c => {
      const { x, gamma, beta, xType } = inputsOf(c)
      const t = tolerance(xType, c.width)
      // A mean is a sum that may cancel, of elements of size `scale`.
      await checkOp(
        bench,
        'layerNorm',
        [x, gamma, beta],
        { epsilon: EPSILON },
        [t, 1e-6, tolerance('f32', c.width)],
        [0, c.scale],
      )
    }),
    { numRuns: 10, seed: SEED },
  )
})

test('every candidate of the gradient kernel gives the float64 result on any shape, to the same bits each time', async () => {
  await fc.assert(
    fc.asyncProperty(cases, async c => {
      const { x, gamma, mean, rstd, dy, xType } = inputsOf(c)
      // In short rows the three terms of dx cancel (all of them, where a row has one element or two).
      const terms = rootMeanSquare(
        dy.data.map((g, i) => g * gamma.data[i % c.width] * rstd.data[Math.floor(i / c.width)]),
      )
      await checkOp(bench, 'layerNormGradient', [x, gamma, mean, rstd, dy], {}, tolerance(xType, c.width), [terms])
    }),
    { numRuns: 10, seed: SEED },
  )
})

test('every candidate of the gradients of gamma and beta gives the float64 result, to the same bits each time', async () => {
  await fc.assert(
    fc.asyncProperty(cases, fc.constantFrom(1, 8, 61), async (c, more) => {
      const { x, mean, rstd, dy } = inputsOf({ ...c, width: Math.min(c.width, 129), rows: c.rows * more })
      await checkOp(
        bench,
        'layerNormParameterGradient',
        [x, mean, rstd, dy],
        {},
        1e-5 * Math.max(1, Math.sqrt(c.rows * more) / 4),
      )
    }),
    { numRuns: 10, seed: SEED },
  )
})

test('a constant row gives beta exactly, whatever its value, and gradients stay finite', async () => {
  const width = 36
  const values = [0, 0.1, -1e4 / 3, 12345.678]
  const x = opInput(
    values.flatMap(v => new Array<number>(width).fill(v)),
    [values.length, width],
  )
  const gamma = opInput(noises(width, 1), [width])
  const beta = opInput(noises(width, 2), [width])
  for (const run of await runCandidates(bench, 'layerNorm', [x, gamma, beta], { epsilon: EPSILON })) {
    const [y, mean, rstd] = run.outputs
    values.forEach((v, r) => {
      expect([...y.subarray(r * width, (r + 1) * width)], run.label).toEqual([...beta.data])
      expect(mean[r], run.label).toBe(Math.fround(v))
      expect(rstd[r] / 1e6, run.label).toBeCloseTo(1, 6)
    })
    const dy = opInput(noises(values.length * width, 3), [values.length, width])
    await checkOp(bench, 'layerNormGradient', [x, gamma, opInput(mean, [4]), opInput(rstd, [4]), dy], {}, 1e-5)
  }
})

test('NaN or ∞ in a row makes the whole row NaN, and no other', async () => {
  const [rows, width] = [3, 24]
  const values = noises(rows * width, 4)
  values[3] = NaN
  values[width + 1] = -Infinity
  const parameters = opInput(noises(width, 5), [width])
  const inputs = [opInput(values, [rows, width]), parameters, parameters]
  for (const { outputs, label } of await runCandidates(bench, 'layerNorm', inputs, { epsilon: EPSILON })) {
    expect(Array.from(outputs[0], Number.isNaN), label).toEqual(
      Array.from({ length: rows * width }, (_, i) => i < 2 * width),
    )
  }
})

test('a large common offset costs no digits', async () => {
  const [rows, width] = [3, 768]
  const x = opInput(noises(rows * width, 7, 1, 1e4), [rows, width])
  const ones = opInput(new Array<number>(width).fill(1), [width])
  const zeros = opInput(new Array<number>(width).fill(0), [width])
  const [expected] = referenceOf('layerNorm', [x, ones, zeros], { epsilon: EPSILON })
  for (const run of await runCandidates(bench, 'layerNorm', [x, ones, zeros], { epsilon: EPSILON })) {
    expectClose(run.outputs[0], expected, 1e-5, run.label)
  }
})

test('its gradients agree with central differences in float64, statistics included', () => {
  const small = fc.record({
    width: fc.integer({ min: 2, max: 9 }),
    rows: fc.integer({ min: 1, max: 4 }),
    seed: fc.nat(1e6),
  })
  fc.assert(
    fc.property(small, ({ width, rows, seed }) => {
      const shape = [rows, width]
      const f32 = (s: number[]) => ({ shape: s, dtype: 'f32' as const })
      const run = (name: string, values: Float64Array[], shapes: number[][], epsilon = 1e-3) => {
        const op = findOp(name)
        if (op.kind !== 'kernel') throw new Error(name)
        const inputs = shapes.map(f32)
        const attributes: Attributes = name === 'layerNorm' ? { epsilon } : {}
        return findReference(op)(values, { inputs, outputs: op.infer(inputs, attributes) }, attributes)
      }
      const [x, gamma, beta, weights] = [
        noises(rows * width, seed),
        noises(width, seed + 1),
        noises(width, seed + 2),
        noises(rows * width, seed + 3),
      ]
      const forward = (a: Float64Array, b: Float64Array, c: Float64Array) =>
        run('layerNorm', [a, b, c], [shape, [width], [width]])
      const loss = (y: Float64Array) => y.reduce((sum, v, i) => sum + v * weights[i], 0)
      const [, mean, rstd] = forward(x, gamma, beta)
      const [dx] = run('layerNormGradient', [x, gamma, mean, rstd, weights], [shape, [width], [rows], [rows], shape])
      const [dgamma, dbeta] = run(
        'layerNormParameterGradient',
        [x, mean, rstd, weights],
        [shape, [rows], [rows], shape],
      )
      const what = `layerNorm [${shape.join(', ')}]`
      expectDirectional(
        point => loss(forward(point, gamma, beta)[0]),
        x,
        dx,
        noises(rows * width, seed + 4),
        `${what} x`,
      )
      expectDirectional(
        point => loss(forward(x, point, beta)[0]),
        gamma,
        dgamma,
        noises(width, seed + 5),
        `${what} gamma`,
      )
      expectDirectional(
        point => loss(forward(x, gamma, point)[0]),
        beta,
        dbeta,
        noises(width, seed + 6),
        `${what} beta`,
      )
    }),
    { seed: SEED },
  )
})

test('wrong shapes and dtypes are refused by name', () => {
  const spec = (shape: number[], dtype: DType = 'f32'): OpInput => ({ shape, dtype, data: new Float64Array(0) })
  const infer = (name: string, inputs: OpInput[]) => () => findOp(name).infer(inputs, { epsilon: EPSILON })
  expect(infer('layerNorm', [spec([2, 4]), spec([3]), spec([4])])).toThrow(
    'layerNorm: gamma is f32[3], but floats of shape [4]',
  )
  expect(infer('layerNorm', [spec([2, 4]), spec([4]), spec([4], 'i32')])).toThrow('layerNorm: beta is i32[4]')
  expect(infer('layerNorm', [spec([2, 4], 'u32'), spec([4]), spec([4])])).toThrow('layerNorm: x is u32[2, 4]')
  expect(infer('layerNormGradient', [spec([2, 4]), spec([4]), spec([3]), spec([2]), spec([2, 4])])).toThrow(
    'mean is f32[3]',
  )
})
