// What ops promise of numbers that hurt (promises.ts), in float64 and by every kernel on the device.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Device, type Tensor, type TensorData, currentDevice, readAll } from '../../engine/node/index.ts'
import { reference } from '../../engine/reference.ts'
import { Explorer } from './explore.ts'
import { type Promised, promises } from './promises.ts'
import { inEveryWay, inTwoWays } from './run.ts'

let device: Device
const shared = new Explorer()
beforeAll(async () => {
  device = await currentDevice()
})
afterAll(() => device.close())

/** Below this f32 is not normal, and may be flushed to 0. */
const NORMAL = 2 ** -126

function isAsPromised(actual: number, expected: number, tolerance: number, tiny: boolean): boolean {
  if (Number.isNaN(expected)) return Number.isNaN(actual)
  if (actual === expected) return true
  if (tiny && Math.abs(expected) <= NORMAL && actual === 0) return true
  // Past the end of the numbers there is nothing near, and what is 0 is exactly 0.
  if (!Number.isFinite(expected) || expected === 0) return tiny && Math.abs(actual) < NORMAL
  return Math.abs(actual - expected) <= tolerance * Math.abs(expected)
}

/** Numbers as a tensor of the dtype holds them: past its largest they are infinite. */
function asHeld({ dtype }: Tensor, numbers: ArrayLike<number>): number[] {
  const rounded = dtype === 'f16' ? Float16Array.from(numbers) : dtype === 'f32' ? Float32Array.from(numbers) : numbers
  return Array.from(rounded)
}

function expectPromised(
  given: readonly Tensor[],
  data: readonly ArrayLike<number>[],
  expected: readonly (readonly number[])[],
  { tiny = false }: Promised,
  tolerance: number,
  by: string,
): void {
  given.forEach((t, k) => {
    expect(t.size, `${by}: output ${k}`).toBe(expected[k].length)
    const wrong = expected[k].findIndex((v, i) => !isAsPromised(data[k][i], v, tolerance, tiny))
    if (wrong >= 0)
      throw new Error(
        `${by}: output ${k}, element ${wrong} is ${data[k][wrong]}, not ${expected[k][wrong]}: [${Array.from(data[k]).join(', ')}]`,
      )
  })
}

for (const dtype of ['f32', 'f16'] as const) {
  describe(`in ${dtype}`, () => {
    for (const promise of promises.filter(({ only }) => only === undefined || only === dtype)) {
      test(`${promise.op}: ${promise.says}`, async ({ skip }) => {
        skip(dtype === 'f16' && !device.traits.f16, `${device.info.name} has no shader-f16`)
        const pairs = promise.make(dtype)
        const given = pairs.map(([t]) => t)
        const expected = pairs.map(([t, numbers]) => asHeld(t, numbers))
        if (!promise.deviceOnly) {
          const exact = reference(given).map((numbers, k) => asHeld(given[k], numbers))
          expectPromised(
            given,
            exact,
            expected,
            promise,
            dtype === 'f16' ? 1e-3 : (promise.tolerance ?? 1e-6),
            'in float64',
          )
        }
        const read = (): Promise<TensorData[]> => readAll(given)
        // Attention's kernels take long to compile: its promises share them out among each other.
        for await (const { way, result } of promise.op === 'attention' ? inTwoWays(read, shared) : inEveryWay(read)) {
          expectPromised(given, result, expected, promise, promise.tolerance ?? (dtype === 'f16' ? 2e-3 : 1e-5), way)
        }
      })
    }
  })
}
