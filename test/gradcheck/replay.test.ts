// Each op's values and gradients have the same bits whenever and however they run.
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Device, type Tensor, compile, currentDevice, grad, readAll } from '../../engine/node/index.ts'
import { SEED } from '../support/seed.ts'
import { isFloat } from '../../shaders/kernel.ts'
import { cases } from './cases.ts'
import type { Drawn } from './draw.ts'
import { inForm } from './run.ts'

let device: Device
beforeAll(async () => {
  device = await currentDevice()
})
afterAll(() => device.close())

/** The function's value in the middle of a graph, and its gradients. */
function everything(drawn: Drawn): (...inputs: Tensor[]) => Tensor[] {
  return (...inputs) => {
    const y = inForm(drawn, 'middle')(...inputs)
    const wrt = inputs.filter((t, i) => isFloat(t.dtype) && (drawn.options.wrt?.includes(i) ?? true))
    return [y, ...(isFloat(y.dtype) ? grad(y.cast('f32').square().sum(), wrt) : [])]
  }
}

const bits = (arrays: readonly ArrayBufferView[]): Uint8Array[] =>
  arrays.map(a => new Uint8Array(a.buffer as ArrayBuffer, a.byteOffset, a.byteLength))

describe('a compiled function gives the bits of the one-off run, and the same ones again', () => {
  for (const of of cases) {
    test(of.name, { timeout: 600_000 }, async () => {
      const [drawn] = fc.sample(of.draws(device.traits.f16), { numRuns: 1, seed: SEED + 1 })
      const build = everything(drawn)
      const once = bits(await readAll(build(...drawn.inputs)))
      const again = bits(await readAll(build(...drawn.inputs)))
      const compiled = compile(build)
      const replays = [await compiled(...drawn.inputs), await compiled(...drawn.inputs)]
      for (const other of [again, ...(await Promise.all(replays.map(async results => bits(await readAll(results)))))])
        expect(other, drawn.text).toEqual(once)
    })
  }
})
