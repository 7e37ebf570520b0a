// Layers of convolutions: what they hold at first, and what they refuse. Their values are compared with PyTorch's in
// test/golden/layers.test.ts.
import { afterAll, expect, test } from 'vitest'
import { conv2d, currentDevice, ones, zeros } from '../../../engine/node/index.ts'
import { freshValues } from '../../../models/initialise.ts'
import { Conv1d, Conv2d, ConvTranspose2d, currentContext, inContext } from '../../../models/nn.ts'

afterAll(async () => (await currentDevice()).close())

test('weights and biases are drawn as in PyTorch, within the reciprocal root of what an output sums up', () => {
  const layer = new Conv2d(8, 6, [3, 2], { groups: 2 })
  expect([...layer.named()].map(([name, { shape, role }]) => [name, shape, role])).toEqual([
    ['weight', [6, 4, 3, 2], 'weight'],
    ['bias', [6], 'bias'],
  ])
  const largest = Math.max(...freshValues(layer.weight, 1).map(Math.abs))
  expect(largest).toBeLessThan(1 / Math.sqrt(24))
  expect(largest).toBeGreaterThan(0.9 / Math.sqrt(24))
  expect(new ConvTranspose2d(4, 6, 2, { groups: 2, bias: false }).parameters().map(({ shape }) => shape)).toEqual([
    [4, 3, 2, 2],
  ])
})

test('channels may come last', async () => {
  const layer = new Conv2d(2, 3, 2, { channels: 'last' })
  const x = ones([1, 3, 4, 2])
  const y = layer.forward(x)
  expect(y.shape).toEqual([1, 2, 3, 3])
  const same = conv2d(x.permute([0, 3, 1, 2]), layer.weight.tensor, { bias: layer.bias?.tensor })
  expect(await y.data()).toEqual(await same.permute([0, 2, 3, 1]).data())
})

test('activations in half precision stay so', () => {
  const mixed = { ...currentContext(), mixed: true }
  expect(inContext(mixed, () => new Conv1d(2, 3, 2).forward(zeros([1, 2, 4], 'f16')).dtype)).toBe('f16')
})

test('groups that do not divide the channels are refused', () => {
  expect(() => new Conv2d(3, 4, 2, { groups: 2 })).toThrow('Conv2d: weights cannot have the shape [4, 1.5, 2, 2]')
  expect(() => new Conv1d(2, 4, 2).forward(zeros([1, 3, 4]))).toThrow('conv1d: weights f32[4, 2, 2] in 1 group')
})
