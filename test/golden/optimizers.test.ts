// Optimizers and schedules against torch.optim: the cases of golden/optimizers, given parameters and gradients.
import { readFile } from 'node:fs/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { type Tensor, compile, currentDevice, tensor } from '../../engine/node/index.ts'
import { Module, Parameter } from '../../models/nn.ts'
import { Adam, AdamW } from '../../train/optimizers/adamw.ts'
import { Lion } from '../../train/optimizers/lion.ts'
import { Muon } from '../../train/optimizers/muon.ts'
import type { Optimizer } from '../../train/optimizers/optimizer.ts'
import { SGD } from '../../train/optimizers/sgd.ts'
import {
  type Schedule,
  cosineRestarts,
  exponential,
  inverseSquareRoot,
  oneCycle,
  polynomial,
  stepped,
} from '../../train/schedules.ts'
import { expectWithin, largestDifference } from '../support/differences.ts'
import { patternUnits } from '../support/pattern.ts'

type Options = Readonly<Record<string, number | boolean | string>> & { readonly lr: number }

interface Case {
  readonly name: string
  readonly kind: 'sgd' | 'adam' | 'adamw' | 'lion' | 'muon'
  readonly options: Options
  readonly groups?: readonly ({ readonly of: readonly string[] } & Options)[]
  /** What the rate is multiplied by at each step. */
  readonly gamma?: number
}

interface Cases {
  readonly parameters: readonly { readonly name: string; readonly shape: number[] }[]
  readonly steps: number
  readonly optimizers: readonly Case[]
  readonly schedules: readonly {
    readonly name: string
    readonly args: readonly never[]
    readonly steps: number
  }[]
}

interface Expected {
  readonly optimizers: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>
  readonly schedules: readonly (readonly number[])[]
}

const schedules: Readonly<Record<string, (...args: readonly never[]) => Schedule>> = {
  exponential,
  stepped,
  polynomial,
  inverseSquareRoot,
  cosineRestarts,
  oneCycle,
}

const readGolden = async <T>(name: string): Promise<T> =>
  JSON.parse(await readFile(new URL(`optimizers/${name}.json`, import.meta.url), 'utf8')) as T

const cases = await readGolden<Cases>('cases')
const expected = await readGolden<Expected>('expected')

afterAll(async () => (await currentDevice()).close())

class Parameters extends Module {
  constructor() {
    super()
    for (const { name, shape } of cases.parameters)
      this.add(name, new Parameter(shape, { role: name === 'bias' ? 'bias' : 'weight' }))
  }
}

const values = (name: string, shape: readonly number[]): Float32Array<ArrayBuffer> =>
  new Float32Array(
    patternUnits(
      name,
      shape.reduce((a, b) => a * b, 1),
    ),
  )

function make({ kind, options, groups, gamma }: Case, module: Module): Optimizer {
  const lr = gamma === undefined ? options.lr : (step: number) => options.lr * gamma ** step
  // As in torch, all decays.
  const settings = { ...options, lr, decays: () => true }
  const named = module.named()
  const trained =
    groups?.map(({ of, ...own }) => ({ ...own, parameters: of.flatMap(name => named.get(name) ?? []) })) ?? module
  switch (kind) {
    case 'sgd':
      return new SGD(trained, settings)
    case 'adam':
      return new Adam(trained, settings)
    case 'adamw':
      return new AdamW(trained, settings)
    case 'lion':
      return new Lion(trained, settings)
    case 'muon':
      return new Muon(trained, settings)
  }
}

describe('optimizers step as those of torch.optim do', () => {
  for (const one of cases.optimizers) {
    test(one.name, async context => {
      const module = new Parameters()
      for (const parameter of module.parameters()) await parameter.write(values(parameter.name, parameter.shape))
      const optimizer = make(one, module)
      const { parameters } = optimizer
      const step = compile((gradients: readonly Tensor[]) => optimizer.apply(gradients))
      for (let t = 0; t < cases.steps; t++) {
        const norm = await step(
          parameters.map(({ name, shape }) => tensor(values(`${one.name}: ${t}: ${name}`, shape), shape)),
        )
        expect(await norm.item()).toBeGreaterThan(1)
      }
      expect(optimizer.steps).toBe(cases.steps)
      for (const parameter of parameters) {
        expectWithin(context, {
          what: `${one.kind}: parameters`,
          at: `${one.name}: ${parameter.name}`,
          worst: largestDifference(await parameter.read(), expected.optimizers[one.name][parameter.name]),
          bar: 1e-6,
        })
      }
    })
  }
})

describe('schedules are those of torch and Transformers', () => {
  for (const [i, { name, args, steps }] of cases.schedules.entries()) {
    test(`${name}(${JSON.stringify(args).slice(1, -1)})`, context => {
      const factor = schedules[name](...args)
      const worst = Math.max(...expected.schedules[i].map((wanted, step) => Math.abs(factor(step) - wanted)))
      expect(expected.schedules[i]).toHaveLength(steps)
      expectWithin(context, { what: `schedule: ${name}`, at: JSON.stringify(args), worst, bar: 1e-7 })
    })
  }
})
