// Gradients of scans at the edges; their kernels are tested in test/shaders/scan.test.ts, their rules by gradcheck.
import { afterAll, expect, test } from 'vitest'
import { currentDevice, grad, tensor } from '../../../engine/node/index.ts'

afterAll(async () => (await currentDevice()).close())

test('the gradient of a product of one element is the upstream one, whatever the element', async () => {
  const x = tensor([[Infinity], [0], [NaN]])
  const [dx] = grad(x.cumprod(1).sum(), [x])
  expect(Array.from(await dx.data())).toEqual([1, 1, 1])
})
