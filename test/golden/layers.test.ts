// Layers against torch.nn: the cases of golden/layers, with outputs, gradients, and what is kept between batches.
import { readFile } from 'node:fs/promises'
import { afterAll, expect, test } from 'vitest'
import { type Tensor, compile, currentDevice, grad, maxPool2d, scalar, tensor } from '../../engine/node/index.ts'
import {
  BatchNorm,
  Conv1d,
  Conv2d,
  ConvTranspose1d,
  ConvTranspose2d,
  GroupNorm,
  LayerNorm,
  Linear,
  type Module,
  MultiHeadAttention,
  RMSNorm,
  Sequential,
  forwardContext,
  inContext,
} from '../../models/nn.ts'
import { expectWithin, largestDifference } from '../support/differences.ts'
import { patternUnits } from '../support/pattern.ts'

interface Expected {
  readonly cases: Readonly<
    Record<
      string,
      {
        readonly y: readonly number[]
        readonly dx: readonly number[]
        readonly gradients: Readonly<Record<string, readonly number[]>>
        readonly kept?: Readonly<Record<string, readonly number[]>>
        readonly evaluated?: readonly number[]
      }
    >
  >
}

const OTHER = 'MultiHeadAttention of another sequence'

/** The last key of the second item is masked. */
class Crossing extends MultiHeadAttention {
  override forward(x: Tensor): Tensor {
    const source = tensor(values(`${OTHER}: source`, 2 * 4 * 6), [2, 4, 6])
    const mask = tensor(Int32Array.of(1, 1, 1, 1, 1, 1, 1, 0), [2, 4])
    return this.attend(x, { source, mask })
  }
}

type Made = Module & { forward(x: Tensor): Tensor }

/** The modules of make.py with the shapes of their inputs. */
const made: Readonly<Record<string, readonly [module: Made, ...shape: number[]]>> = {
  LayerNorm: [new LayerNorm(5), 3, 5],
  RMSNorm: [new RMSNorm(5), 2, 3, 5],
  GroupNorm: [new GroupNorm(2, 6), 2, 6, 3],
  'BatchNorm of rows': [new BatchNorm(3), 5, 3],
  'BatchNorm of images': [new BatchNorm(2, { momentum: 0.3 }), 3, 2, 2, 2],
  Sequential: [new Sequential(new Linear(3, 4), x => x.relu(), new Linear(4, 2, { bias: false })), 5, 3],
  Conv1d: [new Conv1d(2, 3, 3, { padding: 1 }), 2, 2, 5],
  Conv2d: [new Conv2d(4, 6, [3, 2], { stride: 2, padding: 1, groups: 2 }), 2, 4, 5, 4],
  ConvTranspose1d: [new ConvTranspose1d(3, 2, 4, { stride: 2, bias: false }), 2, 3, 4],
  ConvTranspose2d: [new ConvTranspose2d(3, 4, 3, { stride: 2, outputPadding: 1 }), 1, 3, 3, 2],
  'a small CNN': [
    new Sequential(
      new Conv2d(1, 4, 3, { padding: 1 }),
      new BatchNorm(4),
      x => x.relu(),
      x => maxPool2d(x, 2),
      new Conv2d(4, 3, 3, { stride: 2, bias: false }),
      x => x.reshape([x.shape[0], 3]),
      new Linear(3, 2),
    ),
    ...[3, 1, 6, 7],
  ],
  'MultiHeadAttention, causal': [new MultiHeadAttention(6, 2, { causal: true }), 2, 5, 6],
  [OTHER]: [new Crossing(6, 3), 2, 3, 6],
}

const expected = JSON.parse(await readFile(new URL('layers/expected.json', import.meta.url), 'utf8')) as Expected
const BAR = 2e-6
afterAll(async () => (await currentDevice()).close())

const values = (name: string, size: number): Float32Array<ArrayBuffer> => new Float32Array(patternUnits(name, size))

test('the cases are those of torch', () => expect(Object.keys(made)).toEqual(Object.keys(expected.cases)))

for (const [name, [module, ...shape]] of Object.entries(made)) {
  test(`${name} as torch.nn has it`, async context => {
    const wanted = expected.cases[name]
    const trained = [...module.named()].filter(([, { trainable }]) => trainable)
    for (const [key, parameter] of trained) await parameter.write(values(`${name}: ${key}`, parameter.size))
    const x = tensor(
      values(
        `${name}: x`,
        shape.reduce((a, b) => a * b, 1),
      ),
      shape,
    )
    const training = forwardContext({ training: true, seed: 0, step: scalar(0, 'u32') })
    const step = compile((input: Tensor) => {
      const y = inContext(training, () => module.forward(input))
      const dy = tensor(values(`${name}: dy`, y.size), y.shape)
      const wrt = [input, ...trained.map(([, parameter]) => parameter.tensor)]
      return [y, ...grad(y.mul(dy).sum(), wrt)]
    })
    const within = async (what: string, found: Tensor | Float32Array, numbers: readonly number[]): Promise<void> => {
      const worst = largestDifference(found instanceof Float32Array ? found : await found.data(), numbers)
      expectWithin(context, { what: `layers: ${what}`, at: name, worst, bar: BAR })
    }
    const [y, dx, ...gradients] = await step(x)
    await within('outputs', y, wanted.y)
    await within('gradients of inputs', dx, wanted.dx)
    expect(trained.map(([key]) => key)).toEqual(Object.keys(wanted.gradients))
    for (const [i, [key]] of trained.entries())
      await within('gradients of parameters', gradients[i], wanted.gradients[key])
    const kept = [...module.named()].filter(([, { role }]) => role === 'statistic')
    expect(kept.map(([key]) => key)).toEqual(Object.keys(wanted.kept ?? {}))
    for (const [key, parameter] of kept) await within('statistics', await parameter.read(), wanted.kept?.[key] ?? [])
    if (wanted.evaluated) await within('evaluations', module.forward(x), wanted.evaluated)
  })
}
