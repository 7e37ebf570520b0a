// Devices that were lost or closed are collected with all that belongs to them, once nobody uses them: a run that
// continues on another device keeps no memory of the lost ones.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect, test } from 'vitest'
import {
  DeviceLost,
  compile,
  currentDevice,
  openDevice,
  tensor,
  useDevice,
  variable,
  type Tensor,
} from '../../../engine/node/index.ts'
import { openAdapter } from '../../../engine/node/adapters.ts'
import { collected } from '../../support/collect.ts'

afterAll(async () => {
  ;(await currentDevice()).close()
})

/** Works on a device of its own, and loses it. */
async function lose(): Promise<WeakRef<object>[]> {
  const { adapter, info } = await openAdapter()
  const device = await openDevice(adapter, info)
  useDevice(device)
  const w = variable({ shape: [64], dtype: 'f32' }, 'w')
  const step = compile((x: Tensor) => {
    w.assign(w.tensor.add(x))
    return { sum: w.tensor.mul(x).sum() }
  })
  await (await step(tensor(new Float32Array(64).fill(1)))).sum.item()
  device.gpu.destroy()
  // Not by `expect`, which keeps what it was given.
  const reason: unknown = await device.checkSoon().catch((error: unknown) => error)
  if (!(reason instanceof DeviceLost)) throw new Error('it was not lost')
  return [new WeakRef(device), new WeakRef(device.gpu)]
}

test('only the device in use is held', async () => {
  const devices: WeakRef<object>[] = []
  for (let i = 0; i < 3; i++) devices.push(...(await lose()))
  const held = (): number => devices.slice(0, -2).filter(device => device.deref()).length
  // Native code lets go of its own a little later.
  for (let i = 0; i < 50 && held() > 0; i++) {
    await collected()
    await sleep(20)
  }
  expect(held()).toBe(0)
})
