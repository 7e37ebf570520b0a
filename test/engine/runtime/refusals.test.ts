// What an adapter can't do, and how it is said: shaders that do not compile, buffers and steps that are too large.
import { showBytes } from '../../../engine/bytes.ts'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import {
  type Device,
  type Tensor,
  UserError,
  compile,
  currentDevice,
  tensor,
  zeros,
} from '../../../engine/node/index.ts'
import { ShaderError } from '../../../engine/runtime/pipelines.ts'

let device: Device
beforeAll(async () => {
  device = await currentDevice()
})
afterEach(() => vi.restoreAllMocks())
afterAll(() => device.close())

test("a shader that does not compile is shown with line numbers and the compiler's messages", async () => {
  const wgsl = '@compute @workgroup_size(1)\nfn main() {\n  let x: nothing = 1;\n}'
  const error = await device.pipelines
    .get({ wgsl, label: 'my kernel', slots: [], writes: [] })
    .catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(ShaderError)
  const [first, second, ...rest] = (error as ShaderError).message.split('\n')
  expect(first).toBe('my kernel: the shader does not compile')
  expect(second).toMatch(/^error at 3:10: .*nothing/)
  expect(rest).toEqual(['   1 @compute @workgroup_size(1)', '   2 fn main() {', '   3   let x: nothing = 1;', '   4 }'])
})

test('a value larger than the largest buffer is rejected before anything is compiled or allocated', async () => {
  const { maxBufferSize, maxStorageBufferBindingSize } = device.gpu.limits
  const most = Math.min(maxBufferSize, maxStorageBufferBindingSize)
  const mebibytes = Math.ceil(most / 1024 ** 2) + 1
  const before = [device.buffers.count, device.pipelines.count]
  const tooLarge = new UserError(
    `add: ${showBytes(mebibytes * 1024 ** 2)} is more than one buffer holds on this adapter ` +
      `(${showBytes(most)}): use a smaller batch or length`,
  )
  const step = compile((x: Tensor) => ({ y: zeros([mebibytes, 1024 * 256]).add(x) }))
  await expect(step.prepare(tensor(1))).rejects.toThrow(tooLarge)
  expect([device.buffers.count, device.pipelines.count]).toEqual(before)
})

test('a step that runs out of memory frees what it allocated, and can be tried again', async () => {
  const x = tensor(
    Float32Array.from({ length: 64 * 64 }, (_, i) => i % 7),
    [64, 64],
  )
  const step = compile((t: Tensor) => ({ y: t.matmul(t).softmax().matmul(t).sum() }))
  const { peakBytes } = await step.prepare(x)
  const { gpu, scratch } = device
  // No adapter runs out of memory on demand: the result of the first scope is replaced, and again when the step is
  // retried after a collection.
  const scope = gpu.popErrorScope.bind(gpu)
  let calls = 0
  const full = vi.spyOn(gpu, 'popErrorScope').mockImplementation(async () => {
    const isMemory = [0, 2].includes(calls++)
    expect(await scope()).toBeNull()
    return isMemory ? { message: 'out of memory' } : null
  })
  const { generation } = scratch
  await expect(step(x)).rejects.toThrow(
    new UserError(
      `the adapter's memory does not hold this step of ${showBytes(peakBytes)}: use a smaller batch or length`,
    ),
  )
  expect(full).toHaveBeenCalledTimes(4)
  expect(scratch.generation).not.toBe(generation)
  const [again, whole] = [
    await (await step(x)).y.item(),
    await compile((t: Tensor) => t.matmul(t).softmax().matmul(t).sum())(x),
  ]
  expect(again).toBe(await whole.item())
})
