// A program of someone who installed the package: test/package.test.ts compiles it with the strictest settings, and runs
// it with every program that can run it here.
import { type Tensor, compile, currentDevice, grad, tensor, variable } from 'tilegrad'
import { Parameter } from 'tilegrad/nn'
import { tokenizerFromVocabulary, type Tokenizer } from 'tilegrad/models'
import { SCHEDULES, type TrainerOptions } from 'tilegrad/train'
import { defineOp } from 'tilegrad/op'
import { listAdapters, type AdapterDescription } from 'tilegrad/node'

/** x³·scale, elementwise. */
const cube = defineOp<{ readonly scale: number }>({
  name: 'consumer.cube',
  kind: 'elementwise',
  infer: inputs => inputs.slice(0, 1),
  wgsl: ([x = ''], { attributes }) => `(${x} * ${x} * ${x} * f32(${attributes.scale}))`,
  scalar: ([x = NaN], { scale }) => scale * x ** 3,
  gradient: ({ inputs: [x], upstream: [dy], attributes: { scale } }) => [
    x && dy ? dy.mul(x.square()).mul(3 * scale) : undefined,
  ],
})

const w = variable({ shape: [2, 1], dtype: 'f32' }, 'w')
const step = compile((x: Tensor, wanted: Tensor) => {
  const loss = x.matmul(w.tensor).sub(wanted).square().mean()
  const [dw] = grad(loss, [w.tensor])
  w.assign(w.tensor.sub(dw.mul(0.1)))
  return { loss }
})
const x = tensor([
  [1, 0],
  [0, 1],
])
const losses: number[] = []
for (let i = 0; i < 3; i++) losses.push(await (await step(x, tensor([[1], [2]]))).loss.item())

const cubes = cube([tensor([1, 2, 3])], { scale: 2 })
const parameter = new Parameter([2])
const tokenizer: Tokenizer = tokenizerFromVocabulary(
  '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na',
  { lowercase: true },
  'vocab.txt',
)
const options: Pick<TrainerOptions, 'lr' | 'schedule'> = { lr: 1e-3, schedule: SCHEDULES[0] }
const adapters: readonly AdapterDescription[] = await listAdapters()
const device = await currentDevice()
console.log(
  JSON.stringify({
    losses: losses.map(loss => Number(loss.toFixed(3))),
    cubes: Array.from((await cubes[0]?.data()) ?? []),
    size: parameter.size,
    ids: Array.from(tokenizer.encode('a', { maxLength: 8 }).ids),
    schedule: options.schedule,
    hasAdapter: adapters.some(({ name }) => name === device.info.name),
  }),
)
device.close()
