// LoRA on a module of one's own.
import { afterAll, expect, test } from 'vitest'
import { type Tensor, compile, currentDevice, tensor } from '../../../engine/node/index.ts'
import { attachLora, loraParameters, mergeLora, unmergeLora } from '../../../models/lora.ts'
import { Linear, Module } from '../../../models/nn.ts'
import { countParameters } from '../../../models/summary.ts'
import { SGD } from '../../../train/optimizers/sgd.ts'

afterAll(async () => (await currentDevice()).close())

class Net extends Module {
  up = new Linear(3, 6)
  down = new Linear(6, 2, { bias: false })
  head = new Linear(2, 1)

  forward(x: Tensor): Tensor {
    return this.head.forward(this.down.forward(this.up.forward(x).relu()))
  }
}
const shape = { rank: 2, alpha: 4, dropout: 0 }

test('adapters on linear layers of any module are trained alone, and merge into their weights', async () => {
  const net = new Net()
  const x = tensor([
    [1, 2, 3],
    [-1, 0.5, 2],
  ])
  const frozen = await Promise.all(net.parameters().map(parameter => parameter.read()))
  const before = await net.forward(x).data()
  const added = attachLora(net, { ...shape, targets: [/^(up|down)$/] })
  expect(added.map(({ name }) => name)).toEqual(
    ['up', 'down'].flatMap(layer => [`${layer}.lora_A.weight`, `${layer}.lora_B.weight`]),
  )
  expect(loraParameters(net)).toEqual(added)
  expect(countParameters(net)).toMatchObject({ trainable: 2 * (3 + 6) + 2 * (6 + 2) })
  expect(await net.forward(x).data(), 'B begins as 0').toEqual(before)
  net.head.unfreeze()
  const optimizer = new SGD(net, { lr: 0.02 })
  const step = compile((t: Tensor) => optimizer.minimize(() => net.forward(t).square().mean()))
  const losses = []
  for (let i = 0; i < 8; i++) losses.push(await (await step(x)).item())
  expect(losses[7]).toBeLessThan(losses[0])
  const plain = net.parameters().filter(({ role }) => role !== 'lora')
  const after = await Promise.all(plain.map(parameter => parameter.read()))
  expect(after.slice(0, 3)).toEqual(frozen.slice(0, 3))
  expect(after[3], 'the head was unfrozen').not.toEqual(frozen[3])

  const adapted = [...(await net.forward(x).data())]
  const close = async (): Promise<void> =>
    [...(await net.forward(x).data())].forEach((value, i) => expect(value).toBeCloseTo(adapted[i], 5))
  await mergeLora(net)
  await close()
  expect(await net.up.weight.read()).not.toEqual(frozen[0])
  await unmergeLora(net)
  await close()
  expect(adapted).not.toEqual([...before])
})

test('what a module of its own does not have is refused', () => {
  const attach =
    (options: Partial<Parameters<typeof attachLora>[1]>): (() => unknown) =>
    () =>
      attachLora(new Net(), { ...shape, targets: [/up/], ...options })
  expect(attach({ targets: ['query'] })).toThrow('LoRA target query is a word for models of this package')
  expect(attach({ targets: [/none/] })).toThrow('matches no linear module of the model, such as up')
  expect(attach({ trainHead: true })).toThrow('unfreeze the layers to be trained whole')
})
