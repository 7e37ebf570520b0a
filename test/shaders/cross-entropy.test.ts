// Cross entropy and its gradient: every candidate against float64, and the gradient against differences.
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { crossEntropy } from '../../engine/ops/cross-entropy.ts'
import { findOp } from '../../engine/graph.ts'
import { findReference } from '../../engine/references/index.ts'
import type { DType, Spec } from '../../shaders/kernel.ts'
import {
  type OpInput,
  checkOp,
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

const IGNORE = -100
const attributes = { ignoreIndex: IGNORE }

/** The forward op's outputs as the gradient takes them, rounded to f32. */
function normalizersOf(logits: OpInput, labels: OpInput): OpInput {
  return opInput(referenceOf('crossEntropy', [logits, labels], attributes)[1], [logits.shape[0], 2])
}

async function checkBoth(logits: OpInput, labels: OpInput, dlosses: OpInput, tolerance: number): Promise<void> {
  // A label with nearly all the probability has loss log(1 + little), and a gradient where 1 and nearly 1 cancel.
  await checkOp(bench, 'crossEntropy', [logits, labels], attributes, tolerance, [0.1])
  const inputs = [logits, labels, normalizersOf(logits, labels), dlosses]
  const gradientTolerance = logits.dtype === 'f16' ? 1e-2 : tolerance
  await checkOp(bench, 'crossEntropyGradient', inputs, attributes, gradientTolerance, [
    0.1 * rootMeanSquare(dlosses.data),
  ])
}

const cases = fc.record({
  classes: fc.constantFrom<number[]>(2, 3, 4, 7, 32, 33, 128, 255, 1022, 3072),
  rows: fc.constantFrom<number[]>(1, 2, 5, 31, 33, 67),
  half: fc.boolean(),
  scale: fc.constantFrom(0.1, 1, 20),
  seed: fc.nat(1e6),
})

test('every candidate gives the float64 losses and gradients on any shape, to the same bits each time', async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ classes, rows, half, scale, seed }) => {
      const dtype: DType = half && bench.traits.f16 ? 'f16' : 'f32'
      const logits = opInput(noises(rows * classes, seed, scale), [rows, classes], dtype)
      const drawn = noises(rows, seed + 1).map(z => (z > 1.5 ? IGNORE : Math.floor(Math.abs(z) * 1e6) % classes))
      const labels = opInput(drawn, [rows], 'i32')
      const dlosses = opInput(noises(rows, seed + 2), [rows])
      await checkBoth(logits, labels, dlosses, 1e-5 * Math.max(1, Math.sqrt(classes) / 4))
    }),
    { numRuns: 8, seed: SEED },
  )
})

test('a whole vocabulary of 30,522 classes', async () => {
  const [rows, classes] = [3, 30522]
  const logits = opInput(noises(rows * classes, 1, 3), [rows, classes])
  await checkBoth(logits, opInput([30521, IGNORE, 0], [rows], 'i32'), opInput([1, 1, 0.25], [rows]), 3e-5)
})

test('hurting rows: huge logits, equal maxima, −∞ entries, a row of nothing but −∞, an ignored row of NaN', async () => {
  const classes = 12
  const rows = [
    Array.from({ length: classes }, (_, i) => (i % 2 ? 1e4 : -1e4)),
    Array.from({ length: classes }, (_, i) => 1e4 + i / 64),
    new Array<number>(classes).fill(-1e4),
    Array.from({ length: classes }, (_, i) => (i < 5 ? -Infinity : i / 7)),
    new Array<number>(classes).fill(-Infinity),
    new Array<number>(classes).fill(NaN),
  ]
  const logits = opInput(rows.flat(), [rows.length, classes])
  const labels = opInput([0, 3, 4, 11, 1, IGNORE], [rows.length], 'i32')
  const dlosses = opInput(noises(rows.length, 4), [rows.length])
  const [losses] = referenceOf('crossEntropy', [logits, labels], attributes)
  expect(losses[4]).toBeNaN()
  for (const run of await runCandidates(bench, 'crossEntropy', [logits, labels], attributes)) {
    run.outputs[0].forEach((loss, r) => {
      if (r === 4) expect(loss, run.label).toBeNaN()
      else expect(Math.abs(loss - losses[r]) / (1 + losses[r]), `${run.label}, row ${r}`).toBeLessThan(1e-5)
    })
  }
  const kept = normalizersOf(logits, labels)
  const [dlogits] = referenceOf('crossEntropyGradient', [logits, labels, kept, dlosses], attributes)
  for (const run of await runCandidates(bench, 'crossEntropyGradient', [logits, labels, kept, dlosses], attributes)) {
    run.outputs[0].forEach((d, i) => {
      if (Math.floor(i / classes) === 4) expect(d, run.label).toBeNaN()
      else expect(Math.abs(d - dlogits[i]), `${run.label}, element ${i}`).toBeLessThan(1e-6)
    })
  }
})

test('a label outside the classes gives loss NaN and a gradient of NaN in its row alone', async () => {
  const [rows, classes] = [4, 6]
  const logits = opInput(noises(rows * classes, 2), [rows, classes])
  const labels = opInput([6, -1, 2147483647, 5], [rows], 'i32')
  await checkBoth(logits, labels, opInput([1, 1, 1, 1], [rows]), 1e-5)
  const [losses] = referenceOf('crossEntropy', [logits, labels], attributes)
  expect([...losses].map(Number.isNaN)).toEqual([true, true, true, false])
})

test('a logit that is NaN or +∞ gives loss NaN and a gradient of NaN in its row alone', async () => {
  const [rows, classes] = [3, 8]
  const values = noises(rows * classes, 2)
  values[5] = NaN
  values[classes + 2] = Infinity
  const logits = opInput(values, [rows, classes])
  const labels = opInput([1, 1, 1], [rows], 'i32')
  const runs = await runCandidates(bench, 'crossEntropy', [logits, labels], attributes)
  for (const { outputs, label } of runs)
    expect(Array.from(outputs[0], Number.isNaN), label).toEqual([true, true, false])
  const inputs = [logits, labels, opInput(runs[0].outputs[1], [rows, 2]), opInput([1, 1, 1], [rows])]
  for (const { outputs, label } of await runCandidates(bench, 'crossEntropyGradient', inputs, attributes)) {
    expect(Array.from(outputs[0], Number.isNaN), label).toEqual(
      Array.from({ length: rows * classes }, (_, i) => i < 2 * classes),
    )
  }
})

test('a class may be the ignored one', async () => {
  const logits = opInput(noises(12, 2), [3, 4])
  const labels = opInput([0, 1, 0], [3], 'i32')
  for (const run of await runCandidates(bench, 'crossEntropy', [logits, labels], { ignoreIndex: 0 })) {
    expect(
      [...run.outputs[0]].map(loss => loss === 0),
      run.label,
    ).toEqual([true, false, true])
  }
})

test('its gradient agrees with central differences in float64', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 9 }), fc.integer({ min: 1, max: 4 }), fc.nat(1e6), (classes, rows, seed) => {
      const logits = noises(rows * classes, seed, 2)
      const labels = noises(rows, seed + 1).map(z => (z > 1 ? IGNORE : Math.floor(Math.abs(z) * 1e6) % classes))
      const weights = noises(rows, seed + 2)
      const shapes = [[rows, classes], [rows], [rows, 2], [rows]]
      const specs = shapes.map((shape, i): Spec => ({ shape, dtype: i === 1 ? 'i32' : 'f32' }))
      const run = (name: string, values: Float64Array[]) => {
        const op = findOp(name)
        if (op.kind !== 'kernel') throw new Error(name)
        const inputs = specs.slice(0, values.length)
        return findReference(op)(values, { inputs, outputs: op.infer(inputs, attributes) }, attributes)
      }
      const loss = (point: Float64Array) =>
        run('crossEntropy', [point, labels])[0].reduce((sum, l, i) => sum + l * weights[i], 0)
      const [, kept] = run('crossEntropy', [logits, labels])
      const [dlogits] = run('crossEntropyGradient', [logits, labels, kept, weights])
      expectDirectional(loss, logits, dlogits, noises(rows * classes, seed + 3), `crossEntropy [${rows}, ${classes}]`)
    }),
    { seed: SEED },
  )
})

test('wrong shapes and dtypes are refused by name', () => {
  const infer =
    (logits: number[], labels: number[], dtype: DType = 'i32') =>
    () =>
      findOp('crossEntropy').infer(
        [
          { shape: logits, dtype: 'f32' },
          { shape: labels, dtype },
        ],
        attributes,
      )
  expect(crossEntropy).toBeTypeOf('function')
  expect(infer([2, 3, 4], [2])).toThrow('crossEntropy: logits are f32[2, 3, 4], but [rows, classes] was expected')
  expect(infer([2, 3], [3])).toThrow('crossEntropy: labels is i32[3], but i32[2] was expected')
  expect(infer([2, 3], [2], 'f32')).toThrow('crossEntropy: labels is f32[2]')
})
