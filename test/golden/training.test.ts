// Fifty steps of LoRA with the trainer's own parts against PEFT and PyTorch: every loss, every norm and every rate on
// the way, every trained number in the end. And the same with one thing left out or slightly wrong, which must not
// pass.
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { currentDevice } from '../../engine/node/index.ts'
import { parseConfig } from '../../models/config.ts'
import { createModel, setTuning } from '../../models/index.ts'
import type { SequenceClassifier, TargetWord } from '../../models/model.ts'
import { openSafetensors } from '../../models/node/files.ts'
import { AdamW, type AdamWOptions } from '../../train/optimizers/adamw.ts'
import { padLength } from '../../train/batches.ts'
import type { Encoded } from '../../train/task.ts'
import { classesTask } from '../../train/tasks/classes.ts'
import { schedule } from '../../train/schedules.ts'
import { TrainingSteps } from '../../train/steps.ts'
import { type StepMetrics, Trainer } from '../../train/trainer.ts'
import { expectWithin, largestDifference } from '../support/differences.ts'
import { fillByPattern, patternBatch, patternWords } from '../support/pattern.ts'
import { collate } from '../support/training.ts'

interface Case {
  readonly name: string
  readonly family: string
  readonly seed: number
  readonly config: Readonly<Record<string, unknown>>
  readonly lora: {
    readonly rank: number
    readonly alpha: number
    readonly targets: readonly TargetWord[]
    readonly trainHead: boolean
  }
  readonly examples: number
  readonly longest: number
  readonly clip?: number
}

interface Curve {
  readonly losses: readonly number[]
  readonly norms: readonly number[]
  readonly rates: readonly number[]
}

const BAR = 1e-4

const readGolden = async <T>(name: string): Promise<T> =>
  JSON.parse(await readFile(new URL(`training/${name}.json`, import.meta.url), 'utf8')) as T

const { optimizer: OPTIONS, cases } = await readGolden<{
  optimizer: {
    lr: number
    weightDecay: number
    clip: number
    warmup: number
    steps: number
    accumulate: number
    rows: number
  }
  cases: Case[]
}>('cases')
const { expected } = await readGolden<{ expected: Record<string, Curve> }>('expected')

afterAll(async () => (await currentDevice()).close())

function caseOf(name: string): Case {
  const found = cases.find(one => one.name === name)
  if (!found) throw new Error(`no case is called ${name}`)
  return found
}

/** The base model by formula, A of each adapter too, B zero. */
async function modelOf({ name, family, seed, config, lora: { targets, ...lora } }: Case): Promise<SequenceClassifier> {
  const model = createModel(parseConfig({ model_type: family, ...config }, name, name))
  setTuning(model, 'lora', { ...lora, dropout: 0, targets })
  await fillByPattern(
    model.parameters().filter(parameter => !parameter.name.includes('lora_B')),
    seed,
  )
  return model
}

function examplesOf({ name, examples, longest }: Case, { config }: SequenceClassifier): Encoded<number>[] {
  const lengths = Array.from(patternWords(`${name}.lengths`, examples), word => 3 + (word % (longest - 2)))
  const all = patternBatch(
    { name, lengths, sequence: longest },
    { vocabulary: config.vocabSize, types: config.typeVocab, classes: config.labels.length },
  )
  return lengths.map((length, row) => ({
    ids: all.ids.subarray(row * longest, row * longest + length),
    typeIds: all.types.subarray(row * longest, row * longest + length),
    target: all.labels[row],
  }))
}

/** The trained numbers by name. */
async function trainedOf(model: SequenceClassifier): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>()
  for (const parameter of model.trainable()) values.set(parameter.name, await parameter.read())
  return values
}

/** What PEFT saved in the end, under our names. */
async function savedByPeft(name: string): Promise<Map<string, Float32Array>> {
  const file = await openSafetensors(
    fileURLToPath(new URL(`training/${name.replaceAll(',', '').replaceAll(' ', '-')}.safetensors`, import.meta.url)),
  )
  const values = new Map<string, Float32Array>()
  for (const tensor of file.names()) values.set(tensor.replace('base_model.model.', ''), await file.read(tensor))
  await file.close()
  return values
}

/** Something that a run does otherwise than it should. */
interface Slip {
  readonly optimizer?: Partial<AdamWOptions>
  readonly warmup?: number
  /** Counts optimizer steps from here, not from 1. */
  readonly firstStep?: number
  /** Batches a step. */
  readonly accumulate?: number
}

async function train(
  one: Case,
  slip: Slip = {},
  until = OPTIONS.steps,
): Promise<{ losses: number[]; norms: number[]; trained: Map<string, Float32Array>; moved: number }> {
  const model = await modelOf(one)
  const before = await trainedOf(model)
  const data = examplesOf(one, model)
  const parameters = model.trainable()
  const optimizer = await AdamW.over(parameters, {
    weightDecay: OPTIONS.weightDecay,
    clip: one.clip ?? OPTIONS.clip,
    ...slip.optimizer,
  })
  const accumulate = slip.accumulate ?? OPTIONS.accumulate
  const steps = await TrainingSteps.over(model, classesTask(), parameters, optimizer, {
    seed: 0,
    accumulate,
    scaleLoss: false,
  })
  const factor = schedule('linear', { warmup: slip.warmup ?? OPTIONS.warmup, steps: OPTIONS.steps })
  const losses: number[] = []
  const norms: number[] = []
  let at = 0
  for (let step = 0; step < until; step++) {
    const batches = Array.from({ length: accumulate }, () => {
      const indices = Array.from({ length: Math.min(OPTIONS.rows, data.length - at) }, (_, i) => at + i)
      at = (at + indices.length) % data.length
      const sequence = padLength(Math.max(...indices.map(i => data[i].ids.length)), one.longest)
      return collate(data, indices, { padId: 0, sequence, batchSize: OPTIONS.rows })
    })
    const { parts, norm } = await steps.run(batches, 0, step + (slip.firstStep ?? 1), OPTIONS.lr * factor(step))
    const told = await Promise.all(parts.map(part => part.data()))
    losses.push(told.reduce((sum, [loss]) => sum + loss, 0))
    norms.push(await norm.item())
  }
  const trained = await trainedOf(model)
  return {
    losses,
    norms,
    trained,
    moved: Math.min(...[...trained].map(([name, values]) => largestDifference(values, before.get(name) ?? []))),
  }
}

const relative = (found: readonly number[], wanted: readonly number[]): number => {
  if (found.length !== wanted.length) throw new Error(`${found.length} steps were made, ${wanted.length} expected`)
  return Math.max(...found.map((value, i) => Math.abs(value - wanted[i]) / Math.abs(wanted[i])))
}

function furthest(trained: ReadonlyMap<string, Float32Array>, saved: ReadonlyMap<string, Float32Array>): number {
  expect([...trained.keys()].sort()).toEqual([...saved.keys()].sort())
  return Math.max(...[...trained].map(([name, values]) => largestDifference(values, saved.get(name) ?? [])))
}

/** PEFT saves the head of a sequence classifier even where it is frozen. */
async function wantedOf({ name, lora }: Case): Promise<Map<string, Float32Array>> {
  return new Map([...(await savedByPeft(name))].filter(([parameter]) => lora.trainHead || parameter.includes('lora_')))
}

describe('fifty steps with PEFT and PyTorch', () => {
  for (const one of cases) {
    test(`${one.name}: losses, norms and what is learnt`, async context => {
      const { losses, norms, trained, moved } = await train(one)
      const wanted = expected[one.name]
      expect(wanted.losses).toHaveLength(50)
      expectWithin(context, {
        what: '50 steps of LoRA: losses, relative',
        at: one.name,
        worst: relative(losses, wanted.losses),
        bar: BAR,
      })
      expectWithin(context, {
        what: '50 steps of LoRA: norms, relative',
        at: one.name,
        worst: relative(norms, wanted.norms),
        bar: BAR,
      })
      const worst = furthest(trained, await wantedOf(one))
      expectWithin(context, { what: '50 steps of LoRA: trained weights', at: one.name, worst, bar: BAR })
      // Of every parameter some number went a hundred times as far as it may be off.
      expect(moved).toBeGreaterThan(100 * BAR)
      expect(wanted.losses.at(-1)).toBeLessThan(0.9 * wanted.losses[0])
    })
  }

  test('clipping binds in some steps and not in others', () => {
    const binds = cases.map(({ name, clip = OPTIONS.clip }) => expected[name].norms.filter(norm => norm > clip).length)
    expect(Math.min(...binds)).toBeGreaterThan(5)
    expect(binds.filter(count => count < 45).length).toBeGreaterThan(1)
  })

  const one = caseOf('bert, 7 examples')

  test('would not pass without weight decay', async () => {
    const { losses, trained } = await train(one, { optimizer: { weightDecay: 0 } })
    expect(furthest(trained, await wantedOf(one))).toBeGreaterThan(10 * BAR)
    expect(relative(losses, expected[one.name].losses)).toBeGreaterThan(10 * BAR)
  })

  const slips: Readonly<Record<string, Slip>> = {
    'without clipping': { optimizer: { clip: 0 } },
    'with a warm-up one step longer': { warmup: OPTIONS.warmup + 1 },
    'with another β₂': { optimizer: { beta2: 0.99 } },
    'with moments corrected for one step too many': { firstStep: 2 },
    'with one batch a step': { accumulate: 1 },
  }
  for (const [what, slip] of Object.entries(slips)) {
    test(`would not pass ${what}`, async () => {
      const { losses } = await train(one, slip, 15)
      expect(relative(losses, expected[one.name].losses.slice(0, 15))).toBeGreaterThan(10 * BAR)
    })
  }
})

test('the training loop itself goes the same way where each epoch is one step over all examples', async context => {
  const one = caseOf('bert, 7 examples')
  const model = await modelOf(one)
  const trainer = await Trainer.over(model, classesTask(), {
    lr: OPTIONS.lr,
    weightDecay: OPTIONS.weightDecay,
    accumulate: OPTIONS.accumulate,
    clip: one.clip ?? OPTIONS.clip,
    schedule: 'linear',
    warmup: OPTIONS.warmup / OPTIONS.steps,
    epochs: OPTIONS.steps,
    batchSize: OPTIONS.rows,
    maxLength: one.longest,
    seed: 3,
    precision: 'f32',
    padId: 0,
  })
  const told: StepMetrics[] = []
  const outcome = await trainer.train(examplesOf(one, model), [], undefined, { onStep: metrics => told.push(metrics) })
  expect(outcome).toMatchObject({ kind: 'finished' })
  const { losses, norms, rates } = expected[one.name]
  const what = '50 epochs of the trainer'
  expectWithin(context, {
    what: `${what}: losses, relative`,
    at: one.name,
    worst: relative(
      told.map(({ loss }) => loss),
      losses,
    ),
    bar: BAR,
  })
  expectWithin(context, {
    what: `${what}: norms, relative`,
    at: one.name,
    worst: relative(
      told.map(each => each.grad_norm),
      norms,
    ),
    bar: BAR,
  })
  expectWithin(context, {
    what: `${what}: rates`,
    at: one.name,
    worst: largestDifference(
      told.map(({ lr }) => lr),
      rates,
    ),
    bar: 1e-6,
  })
  const worst = furthest(await trainedOf(model), await wantedOf(one))
  expectWithin(context, { what: `${what}: trained weights`, at: one.name, worst, bar: BAR })
})
