// The divergence of two softmaxes and its gradient: every candidate against float64, and the gradient against
// differences.
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import '../../engine/index.ts'
import { findOp } from '../../engine/graph.ts'
import { findReference } from '../../engine/references/index.ts'
import type { DType, Spec } from '../../shaders/kernel.ts'
import { type TestDevice, openTestDevice } from '../support/launch.ts'
import {
  type OpInput,
  checkOp,
  expectDirectional,
  noises,
  opInput,
  referenceOf,
  rootMeanSquare,
} from '../support/ops.ts'
import { SEED } from '../support/seed.ts'

let bench: TestDevice
beforeAll(async () => {
  bench = await openTestDevice()
})
afterAll(() => bench.close())

/** The forward op's outputs as the gradient takes them, rounded to f32. */
const normalizersOf = (logits: OpInput, teacher: OpInput, temperature: number): OpInput =>
  opInput(referenceOf('divergence', [logits, teacher], { temperature })[1], [logits.shape[0], 4])

interface Operands {
  readonly logits: OpInput
  readonly teacher: OpInput
  readonly dlosses: OpInput
  readonly temperature: number
}

async function checkBoth({ logits, teacher, dlosses, temperature }: Operands, tolerance: number): Promise<void> {
  // The loss is what is left of logs of sums that nearly cancel where both sides are alike; so is its gradient.
  await checkOp(bench, 'divergence', [logits, teacher], { temperature }, tolerance, [1])
  const inputs = [logits, teacher, normalizersOf(logits, teacher, temperature), dlosses]
  const gradientTolerance = logits.dtype === 'f16' ? 1e-2 : tolerance
  await checkOp(bench, 'divergenceGradient', inputs, { temperature }, gradientTolerance, [
    0.1 * rootMeanSquare(dlosses.data),
  ])
}

const cases = fc.record({
  classes: fc.constantFrom<number[]>(2, 3, 4, 7, 33, 128, 255, 1022, 3072),
  rows: fc.constantFrom<number[]>(1, 2, 5, 31, 33, 67),
  half: fc.boolean(),
  scale: fc.constantFrom(0.1, 1, 20),
  temperature: fc.constantFrom(1, 2, 0.7),
  seed: fc.nat(1e6),
})

test('every candidate gives the float64 losses and gradients on any shape, to the same bits each time', async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ classes, rows, half, scale, temperature, seed }) => {
      const dtype: DType = half && bench.traits.f16 ? 'f16' : 'f32'
      const [logits, teacher] = [0, 1].map(side =>
        opInput(noises(rows * classes, seed + side, scale), [rows, classes], dtype),
      )
      const dlosses = opInput(noises(rows, seed + 2), [rows])
      await checkBoth({ logits, teacher, dlosses, temperature }, 1e-5 * Math.max(1, Math.sqrt(classes) / 4))
    }),
    { numRuns: 8, seed: SEED },
  )
})

test('a whole vocabulary of 30,522 classes', async () => {
  const [rows, classes] = [2, 30522]
  const [logits, teacher] = [0, 1].map(side => opInput(noises(rows * classes, side, 3), [rows, classes]))
  await checkBoth({ logits, teacher, dlosses: opInput([1, 0.25], [rows]), temperature: 2 }, 3e-5)
})

test('equal logits have loss 0 and gradient 0, exactly', async () => {
  const [rows, classes] = [3, 65]
  const logits = opInput(noises(rows * classes, 5, 4), [rows, classes])
  const [losses] = referenceOf('divergence', [logits, logits], { temperature: 2 })
  expect([...losses]).toEqual([0, 0, 0])
  await checkOp(bench, 'divergence', [logits, logits], { temperature: 2 }, [0, 1e-6])
  const inputs = [logits, logits, normalizersOf(logits, logits, 2), opInput([1, 2, 3], [rows])]
  await checkOp(bench, 'divergenceGradient', inputs, { temperature: 2 }, 0)
})

test('its gradient agrees with central differences in float64', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 9 }), fc.integer({ min: 1, max: 4 }), fc.nat(1e6), (classes, rows, seed) => {
      const attributes = { temperature: 1 + (seed % 3) }
      const [logits, teacher] = [0, 1].map(side => noises(rows * classes, seed + side, 2))
      const weights = noises(rows, seed + 2)
      const specs = [[rows, classes], [rows, classes], [rows, 4], [rows]].map((shape): Spec => ({
        shape,
        dtype: 'f32',
      }))
      const run = (name: string, values: Float64Array[]) => {
        const op = findOp(name)
        if (op.kind !== 'kernel') throw new Error(name)
        const inputs = specs.slice(0, values.length)
        return findReference(op)(values, { inputs, outputs: op.infer(inputs, attributes) }, attributes)
      }
      const loss = (point: Float64Array) =>
        run('divergence', [point, teacher])[0].reduce((sum, l, i) => sum + l * weights[i], 0)
      const [, kept] = run('divergence', [logits, teacher])
      const [dlogits] = run('divergenceGradient', [logits, teacher, kept, weights])
      expectDirectional(loss, logits, dlogits, noises(rows * classes, seed + 3), `divergence [${rows}, ${classes}]`)
    }),
    { seed: SEED },
  )
})
