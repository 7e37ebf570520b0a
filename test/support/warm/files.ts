// A set-up file of vitest for the processes that run many test files: each file gets a device of its own, which ends with
// it, but shares what was compiled (webgpu.ts).
import './register.ts'
import { afterAll } from 'vitest'

afterAll(async () => {
  const { closeDevices, useDevice } = await import('../../../engine/runtime/device.ts')
  closeDevices()
  useDevice(undefined)
})
