// AdamW: every candidate against float64, several steps against a loop written from the paper, and skipped steps.
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { adamw } from '../../engine/ops/adamw.ts'
import { findOp } from '../../engine/graph.ts'
import type { Spec } from '../../shaders/kernel.ts'
import { checkOp, expectClose, noises, opInput, runCandidates } from '../support/ops.ts'
import { type TestDevice, openTestDevice } from '../support/launch.ts'
import { SEED } from '../support/seed.ts'

let bench: TestDevice
beforeAll(async () => {
  bench = await openTestDevice()
})
afterAll(() => bench.close())

const BETA1 = 0.9
const BETA2 = 0.999

function hyper(step: number, learningRate: number, weightDecay: number, epsilon = 1e-8): number[] {
  return [learningRate, 1 - BETA1, BETA2, 1 - BETA2, epsilon, weightDecay, 1 - BETA1 ** step, 1 - BETA2 ** step]
}

function inputsOf(count: number, seed: number, numbers: number[], scale: number) {
  return [
    opInput(noises(count, seed), [count]),
    opInput(noises(count, seed + 1, 0.01), [count]),
    opInput(
      noises(count, seed + 2, 0.01).map(x => x * x),
      [count],
    ),
    opInput(noises(count, seed + 3, 0.1), [count]),
    opInput(numbers, [8]),
    opInput([scale], []),
  ]
}

test('every candidate makes the float64 step on any count', async () => {
  const counts = fc.constantFrom<number[]>(1, 2, 3, 4, 63, 64, 65, 256, 257, 1022, 4096, 5003)
  await fc.assert(
    fc.asyncProperty(counts, fc.nat(1e6), fc.constantFrom(1, 0.25, 0, 1e-4), async (count, seed, scale) => {
      await checkOp(bench, 'adamw', inputsOf(count, seed, hyper(3, 1e-2, 0.1), scale), {}, 2e-6)
    }),
    { numRuns: 8, seed: SEED },
  )
})

test('several steps follow a plain float64 loop', async () => {
  const [count, steps, learningRate, weightDecay] = [7 * 4, 6, 0.05, 0.1]
  const start = noises(count, 1)
  const candidates = (await runCandidates(bench, 'adamw', inputsOf(count, 1, hyper(1, 1, 1), 1))).length
  for (let k = 0; k < candidates; k++) {
    let state = [start, new Float64Array(count), new Float64Array(count)].map(x => opInput(x, [count]))
    const p = Float64Array.from(state[0].data)
    const [m, v] = [new Float64Array(count), new Float64Array(count)]
    let label = ''
    for (let t = 1; t <= steps; t++) {
      const gradient = opInput(noises(count, 100 + t), [count])
      const runs = await runCandidates(bench, 'adamw', [
        ...state,
        gradient,
        opInput(hyper(t, learningRate, weightDecay), [8]),
        opInput([0.5], []),
      ])
      label = runs[k].label
      state = runs[k].outputs.map(x => opInput(x, [count]))
      for (let i = 0; i < count; i++) {
        const g = gradient.data[i] * 0.5
        m[i] = BETA1 * m[i] + (1 - BETA1) * g
        v[i] = BETA2 * v[i] + (1 - BETA2) * g * g
        const [mHat, vHat] = [m[i] / (1 - BETA1 ** t), v[i] / (1 - BETA2 ** t)]
        p[i] -= learningRate * (mHat / (Math.sqrt(vHat) + 1e-8) + weightDecay * p[i])
      }
    }
    expectClose(state[0].data, p, 1e-6, `${label}, parameters`)
    expectClose(state[1].data, m, 1e-6, `${label}, m`)
    expectClose(state[2].data, v, 1e-6, `${label}, v`)
  }
})

test('a scale of the gradient that is negative or not finite changes nothing, whatever the gradient', async () => {
  for (const scale of [NaN, Infinity, -Infinity, -1]) {
    const inputs = inputsOf(12, 5, hyper(2, 0.1, 0.1), scale)
    inputs[3].data.fill(NaN)
    for (const { outputs, label } of await runCandidates(bench, 'adamw', inputs)) {
      outputs.forEach((values, o) =>
        expect([...values], `${label}, output ${o}, scale ${scale}`).toEqual([...inputs[o].data]),
      )
    }
  }
})

test('it has no gradient and says why; wrong shapes are refused by name', () => {
  expect(adamw).toBeTypeOf('function')
  expect(findOp('adamw').noGradient).toContain('not differentiated')
  const spec = (shape: number[]): Spec => ({ shape, dtype: 'f32' })
  const infer =
    (...shapes: number[][]) =>
    () =>
      findOp('adamw').infer(shapes.map(spec), {})
  expect(infer([4], [4], [3], [4], [8], [])).toThrow('adamw: v is f32[3], but f32[4] was expected')
  expect(infer([4], [4], [4], [4], [6], [])).toThrow('adamw: hyper is f32[6], but f32[8] was expected')
  expect(infer([4], [4], [4], [4], [8], [1])).toThrow('adamw: gradientScale is f32[1], but f32[] was expected')
  expect(infer([2, 2], [4], [4], [4], [8], [])).toThrow('adamw: parameters are f32[2, 2]')
})
