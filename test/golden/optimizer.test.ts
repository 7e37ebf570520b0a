// AdamW alone against torch.optim.AdamW with clip_grad_norm_, and the schedules alone against Transformers'
// get_scheduler: the cases of golden/optimizer, given parameters and gradients rather than a model.
import { readFile } from 'node:fs/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { type Tensor, compile, currentDevice, tensor } from '../../engine/node/index.ts'
import { Parameter } from '../../models/nn.ts'
import { AdamW } from '../../train/optimizers/adamw.ts'
import { type ScheduleName, schedule, warmupSteps } from '../../train/schedules.ts'
import { expectWithin, largestDifference } from '../support/differences.ts'
import { patternUnits, patternWords } from '../support/pattern.ts'

interface AdamWCase {
  readonly name: string
  readonly steps: number
  readonly lr: number
  readonly weightDecay?: number
  readonly beta1?: number
  readonly beta2?: number
  readonly epsilon?: number
  readonly clip?: number
  readonly schedule?: ScheduleName
  readonly warmup?: number
  readonly gradient: number
  readonly growth?: number
  readonly sparse?: boolean
}

interface Cases {
  readonly parameters: readonly { readonly name: string; readonly shape: number[]; readonly decays: boolean }[]
  readonly adamw: readonly AdamWCase[]
  readonly schedules: readonly { readonly name: ScheduleName; readonly warmup: number; readonly steps: number }[]
  readonly warmups: readonly (readonly [number, number])[]
}

interface Expected {
  readonly adamw: Readonly<
    Record<
      string,
      {
        readonly norms: readonly number[]
        /** Parameters after some of the steps. */
        readonly snapshots: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>
      }
    >
  >
  readonly schedules: readonly { readonly at: readonly number[]; readonly factors: readonly number[] }[]
  readonly warmups: readonly number[]
}

const BAR = 1e-6

const readGolden = async <T>(name: string): Promise<T> =>
  JSON.parse(await readFile(new URL(`optimizer/${name}.json`, import.meta.url), 'utf8')) as T

const cases = await readGolden<Cases>('cases')
const expected = await readGolden<Expected>('expected')

afterAll(async () => (await currentDevice()).close())

/** As make.py says it. */
function gradientOf(
  { name, gradient, growth = 1, sparse = false }: AdamWCase,
  step: number,
  parameter: Parameter,
): Tensor {
  const stream = `${name}: ${step}: ${parameter.name}`
  const kept = sparse ? patternWords(`${stream}: kept`, parameter.size) : undefined
  const scale = gradient * growth ** step
  const values = patternUnits(stream, parameter.size).map((unit, i) => (kept && kept[i] % 3 !== 0 ? 0 : unit * scale))
  return tensor(new Float32Array(values), parameter.shape)
}

describe('AdamW steps as torch.optim.AdamW does', () => {
  for (const one of cases.adamw) {
    test(one.name, async context => {
      const { steps, lr, weightDecay = 0, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, clip = 0 } = one
      const parameters = cases.parameters.map(
        ({ name, shape, decays }) =>
          new Parameter(shape, { name, role: decays ? 'weight' : name.startsWith('norm') ? 'norm' : 'bias' }),
      )
      for (const parameter of parameters)
        await parameter.write(new Float32Array(patternUnits(parameter.name, parameter.size)))
      const optimizer = await AdamW.over(parameters, {
        weightDecay,
        beta1,
        beta2,
        epsilon,
        clip,
      })
      const step = compile((gradients: readonly Tensor[], hyper: Tensor) => ({
        norm: optimizer.update(optimizer.flatten(parameters, gradients), hyper),
      }))
      const factor = one.schedule ? schedule(one.schedule, { warmup: one.warmup ?? 0, steps }) : () => 1
      const { norms, snapshots } = expected.adamw[one.name]
      expect(norms).toHaveLength(steps)
      for (let t = 1; t <= steps; t++) {
        const { norm } = await step(
          parameters.map(parameter => gradientOf(one, t, parameter)),
          optimizer.hyper(t, lr * factor(t - 1)),
        )
        const wanted = norms[t - 1]
        expectWithin(context, {
          what: 'AdamW: norms of the gradient, relative',
          at: `${one.name}: step ${t}`,
          worst: Math.abs((await norm.item()) - wanted) / wanted,
          bar: BAR,
        })
        for (const parameter of snapshots[t] ? parameters : []) {
          const worst = largestDifference(await parameter.read(), snapshots[t][parameter.name])
          expectWithin(context, {
            what: 'AdamW: parameters',
            at: `${one.name}: step ${t}: ${parameter.name}`,
            worst,
            bar: BAR,
          })
        }
      }
      expect(Object.keys(snapshots)).toContain(String(steps))
    })
  }
})

describe('learning rates are those of get_scheduler', () => {
  for (const [i, { name, warmup, steps }] of cases.schedules.entries()) {
    const what = `${name}, ${warmup} of ${steps} steps warm-up`
    test(what, context => {
      const factor = schedule(name, { warmup, steps })
      const { at, factors } = expected.schedules[i]
      expect(at.at(-1)).toBe(steps)
      const worst = Math.max(...at.map((step, k) => Math.abs(factor(step) - factors[k])))
      expectWithin(context, { what: `schedule: ${name}`, at: what, worst, bar: BAR })
    })
  }

  test('and warm-ups as long as those of TrainingArguments', () => {
    expect(cases.warmups.map(([warmup, steps]) => warmupSteps(warmup, steps))).toEqual(expected.warmups)
  })
})
