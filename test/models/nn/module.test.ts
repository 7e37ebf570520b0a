// Modules of one's own: parameters are named by where they stand, hold fresh values by those names, and may move.
import { afterAll, describe, expect, test } from 'vitest'
import { compile, currentDevice, tensor, variable } from '../../../engine/node/index.ts'
import type { Tensor } from '../../../engine/tensor.ts'
import { freshValues, initialise } from '../../../models/initialise.ts'
import {
  Dropout,
  Embedding,
  LayerNorm,
  Linear,
  Module,
  Parameter,
  forwardContext,
  inContext,
} from '../../../models/nn.ts'
import { scalar } from '../../../engine/index.ts'

afterAll(async () => (await currentDevice()).close())

class Net extends Module {
  hidden = new Linear(3, 4)
  out = new Linear(4, 2, { bias: false })

  forward(x: Tensor): Tensor {
    return this.out.forward(this.hidden.forward(x).relu())
  }
}

const names = (module: Module): string[] => [...module.named().keys()]

describe('parameters are named', () => {
  test('by the properties in which they and their modules stand', () => {
    const net = new Net()
    expect(names(net)).toEqual(['hidden.weight', 'hidden.bias', 'out.weight'])
    expect(net.parameters().map(({ name }) => name)).toEqual(names(net))
    expect(net.modules().map(({ path }) => path)).toEqual(['', 'hidden', 'out'])
  })

  test('by their place in arrays and plain objects, in any nesting', () => {
    class Deep extends Module {
      layers = [new Net(), new LayerNorm(2)]
      heads = { left: new Linear(1, 1), right: [new Embedding(2, 3)] }
      scale = new Parameter([2])
      config = { sizes: [1, 2], name: 'deep', nothing: null, made: new Date(0) }
    }
    expect(names(new Deep())).toEqual([
      'scale',
      ...['layers.0.hidden.weight', 'layers.0.hidden.bias', 'layers.0.out.weight', 'layers.1.weight', 'layers.1.bias'],
      ...['heads.left.weight', 'heads.left.bias', 'heads.right.0.weight'],
    ])
  })

  test('even if nobody asked their model before', () => {
    const net = new Net()
    expect(net.out.weight.name).toBe('out.weight')
    expect(net.hidden.path).toBe('hidden')
    expect(names(net.hidden), 'relative to the module that is asked').toEqual(['weight', 'bias'])
    expect(net.hidden.weight.name).toBe('hidden.weight')
  })

  test('when modules are added later, and by their first place when they stand in two', () => {
    class Tied extends Module {
      table = new Embedding(5, 4)
      out = new Linear(4, 5)
      extra: Module | undefined

      constructor() {
        super()
        Object.assign(this.out, { weight: this.table.weight })
      }
    }
    const tied = new Tied()
    expect(names(tied)).toEqual(['table.weight', 'out.bias'])
    tied.extra = new Linear(1, 1)
    expect(tied.extra.parameters()[0].name).toBe('extra.weight')
    expect(tied.parameters()[0].name).toBe('table.weight')
  })

  test('once each where properties lead back up, and not at all where private', () => {
    class Child extends Module {
      up: Module | undefined
      weight = new Parameter([1])
      readonly #hidden = new Linear(1, 1)
      get outside(): Linear {
        return this.#hidden
      }
    }
    class Up extends Module {
      child = new Child()
      again = this.child

      constructor() {
        super()
        this.child.up = this
      }
    }
    const up = new Up()
    expect(names(up)).toEqual(['child.weight'])
    expect(names(up.child)).toEqual(['weight'])
    expect(up.child.outside.weight.name).toBe('weight')
  })

  test('otherwise than by their property where a model says so, and an error names what is there twice', () => {
    class Renamed extends Module {
      readonly query = this.add('attention.self.query', new Linear(2, 2, { bias: false }))
      readonly all = this.add('', new Linear(2, 2))
    }
    expect(names(new Renamed())).toEqual(['attention.self.query.weight', 'weight', 'bias'])
    class Twice extends Module {
      a = this.add('x', new Parameter([1]))
      b = this.add('x', new Parameter([1]))
    }
    expect(() => new Twice().named()).toThrow('two parameters are called x')
  })
})

describe('values', () => {
  test('are drawn by name when they are first needed, as PyTorch draws them', async () => {
    const net = new Net()
    const x = tensor([[1, 2, 3]])
    const made = await (await compile((t: Tensor) => net.forward(t))(x)).data()
    const values = await net.hidden.weight.read()
    expect(values).toEqual(freshValues(new Net().named().get('hidden.weight') ?? net.hidden.weight, 0))
    expect(values.every(value => Math.abs(value) <= 1 / Math.sqrt(3))).toBe(true)
    expect(new Set([...values, ...(await net.out.weight.read())]).size, 'all different').toBe(20)
    await initialise(net.parameters(), 0)
    expect(await net.forward(x).data()).toEqual(made)
    await initialise(net.parameters(), 1)
    expect(await net.hidden.weight.read()).not.toEqual(values)
  })

  test('are not drawn where something was written, even a part', async () => {
    const parameter = new Parameter([4], { initial: { kind: 'constant', value: 7 } })
    await parameter.write(Float32Array.of(1), 1)
    expect([...(await parameter.read())]).toEqual([0, 1, 0, 0])
    expect([...(await new Parameter([2], { initial: { kind: 'constant', value: 7 } }).read())]).toEqual([7, 7])
  })

  test('move to other memory, written or not, and compiled functions follow', async () => {
    const [one, two, three] = [2, 3, 4].map(n => new Parameter([n], { initial: { kind: 'constant', value: n } }))
    await one.write(Float32Array.of(8, 9))
    const sum = compile(() => [one, two, three].map(({ tensor: t }) => t.sum()))
    const sums = async (): Promise<number[]> => Promise.all((await sum()).map(t => t.item()))
    expect(await sums()).toEqual([17, 9, 16])
    const moves = [one, two, three].map((parameter, i) => ({ parameter, i }))
    const home = variable({ shape: [192], dtype: 'f32' }, 'home', () => contents.flatMap(move => move.contents()))
    const contents = moves.map(({ parameter, i }) => parameter.moveTo(home, 64 * i))
    expect(await sums()).toEqual([17, 9, 16])
    await two.write(Float32Array.of(1, 1, 1))
    expect(await sums()).toEqual([17, 3, 16])
    expect([...(await home.read(0, 3))]).toEqual([8, 9, 0])
    expect(contents.map(({ isPending }) => isPending)).toEqual([true, true, true])
    for (const move of contents) move.finish()
    expect(contents.map(({ isPending }) => isPending)).toEqual([false, false, false])
    expect(await sums()).toEqual([17, 3, 16])
    expect(one.variable).toBeUndefined()
  })
})

describe('layers', () => {
  test('take any number of leading axes, and refuse other widths', async () => {
    const net = new Net()
    const x = tensor(
      Float32Array.from({ length: 18 }, (_, i) => Math.sin(i)),
      [2, 3, 3],
    )
    const [cube, rows, row] = [
      net.forward(x),
      net.forward(x.reshape([6, 3])),
      net.forward(x.reshape([18]).slice([0], [3])),
    ]
    expect([cube.shape, row.shape]).toEqual([[2, 3, 2], [2]])
    expect(await cube.data()).toEqual(await rows.data())
    expect([...(await row.data())]).toEqual([...(await rows.data())].slice(0, 2))
    expect(() => net.forward(tensor([[1, 2]]))).toThrow('hidden takes [..., 3], not [1, 2]')
  })

  test('drop out where a context says that they train, and nowhere else', async () => {
    const drop = new Dropout(0.5)
    const x = tensor(new Float32Array(64).fill(1))
    const zerosIn = async (y: Tensor): Promise<number> => [...(await y.data())].filter(value => value === 0).length
    expect(await zerosIn(drop.forward(x))).toBe(0)
    const training = forwardContext({ training: true, seed: 1, step: scalar(0, 'u32') })
    expect(await zerosIn(inContext(training, () => drop.forward(x)))).toBeGreaterThan(10)
    expect(() =>
      inContext(training, () => {
        throw new Error('stop')
      }),
    ).toThrow('stop')
    expect(await zerosIn(drop.forward(x))).toBe(0)
  })
})
