// Ways to come to NaN or ∞ in training and evaluation: each ends with one line that says where, none with a result, and
// no file holds a number that is not finite.
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { NonFinite, UserError, currentDevice } from '../../engine/node/index.ts'
import type { SequenceClassifier } from '../../models/model.ts'
import { AdamW } from '../../train/optimizers/adamw.ts'
import type { StateEntry } from '../../train/state.ts'
import type { CheckpointStore } from '../../train/checkpoint-store.ts'
import { Checkpoints } from '../../train/node/run/checkpoints.ts'
import { TrainingSteps } from '../../train/steps.ts'
import type { Encoded } from '../../train/task.ts'
import { classesTask } from '../../train/tasks/classes.ts'
import { type SkippedStep, type StepMetrics, Trainer, type TrainerOptions } from '../../train/trainer.ts'
import { notFiniteBelow } from '../support/finite.ts'
import { temporaryFolder } from '../support/folder.ts'
import { TINY_WORDS } from '../support/tiny.ts'
import { NO_DROPOUT, ONE_LAYER, OPTIONS, type Tune, collate, reviews, tinyModel } from '../support/training.ts'

const root = await temporaryFolder('nonfinite')
afterAll(async () => (await currentDevice()).close())

/** A word that no review has, unless it is put there. */
const [SPOILT, OTHER] = ['after', 'the'].map(word => TINY_WORDS.indexOf(word))
const LENGTHS = { shortest: 4, longest: 4 }

/** Reviews of one length, of which those in `spoilt` have the word. */
function texts(count: number, seed: number, spoilt: readonly number[] = []): Encoded<number>[] {
  return reviews(count, seed, LENGTHS).map(({ ids, target }, i) => {
    const plain = Array.from(ids, id => (id === SPOILT ? OTHER : id))
    if (spoilt.includes(i)) plain[1] = SPOILT
    return { ids: plain, target }
  })
}

async function change(model: SequenceClassifier, name: RegExp, edit: (values: Float32Array) => void): Promise<void> {
  const parameter = model.parameters().find(each => name.test(each.name))
  if (!parameter) throw new Error(`no parameter ${name}`)
  const values = Float32Array.from(await parameter.read())
  edit(values)
  await parameter.write(values)
}

const HIDDEN = 32
const spoil = (model: SequenceClassifier, value = NaN): Promise<void> =>
  change(model, /word_embeddings/, values => void values.fill(value, SPOILT * HIDDEN, (SPOILT + 1) * HIDDEN))
/** Values of this size and both signs: rows of equal ones would meet a layer norm's output, whose sum is 0. */
const fill =
  (name: RegExp, size: number) =>
  (model: SequenceClassifier): Promise<void> =>
    change(model, name, values =>
      values.forEach((_, i) => {
        values[i] = i % 3 === 0 ? -size : size
      }),
    )
const set =
  (name: RegExp, value: number) =>
  (model: SequenceClassifier): Promise<void> =>
    change(model, name, values => {
      values[3 % values.length] = value
    })

interface Way {
  readonly tune?: Tune
  readonly precision?: 'f16'
  readonly config?: Readonly<Record<string, unknown>>
  readonly options?: Partial<TrainerOptions>
  /** Spoils the model before training. */
  readonly spoils?: (model: SequenceClassifier) => Promise<void>
  readonly train?: readonly Encoded<number>[]
  readonly validation?: readonly Encoded<number>[]
  readonly test?: readonly Encoded<number>[]
  /** The line. */
  readonly says: RegExp
}

const STEP = /^step \d+ is not finite: loss [^,]+, gradient norm [^,]+, learning rate [^,;]+; /
const then = (before: RegExp, after: RegExp): RegExp => new RegExp(before.source + after.source)
const KERNEL =
  /first kernel with an output that is not finite: ".+" \((NaN|∞|-∞)( and (NaN|∞|-∞))*; dispatch \d+ of \d+(, at \S+)?\)$/

const ways: Record<string, Way> = {
  'a rate of 1e30, every parameter tuned': { tune: 'full', options: { lr: 1e30 }, says: then(STEP, KERNEL) },
  'a rate of 1e30 on adapters': { options: { lr: 1e30 }, says: then(STEP, KERNEL) },
  'a rate that overflows in the last update': {
    tune: 'full',
    options: { lr: 1e38, epochs: 1, schedule: 'constant', warmup: 0 },
    train: texts(8, 1),
    says: then(STEP, /its update overflowed \(adamw\): bert\.\S+ is (NaN|-?∞) in element \d+$/),
  },
  'a decay that turns weights': {
    tune: 'full',
    options: { lr: 1e15, weightDecay: 1e15, schedule: 'constant', warmup: 0, epochs: 3 },
    says: then(STEP, /./),
  },
  'NaN in a frozen weight': {
    spoils: set(/query\.weight$/, NaN),
    says: /^validation before training is not finite: example 1 of 8 has loss NaN and outputs NaN, NaN; bert\.\S+query\.weight held NaN before any kernel ran, first in element 3$/,
  },
  'NaN in a weight, without validation': {
    validation: [],
    spoils: set(/key\.weight$/, NaN),
    says: then(STEP, /bert\.\S+key\.weight held NaN before any kernel ran, first in element 3$/),
  },
  '∞ in a norm': {
    spoils: set(/LayerNorm\.weight$/, Infinity),
    says: /LayerNorm\.weight held ∞ before any kernel ran/,
  },
  '∞ in the bias of the head': {
    spoils: set(/^classifier\.bias$/, Infinity),
    says: /outputs .*∞.*; classifier\.bias held ∞/,
  },
  'NaN in an adapter': {
    spoils: set(/lora_A\.weight$/, NaN),
    says: /lora_A\.weight held NaN before any kernel ran, first in element 3$/,
  },
  'a word of the validation set alone': {
    spoils: spoil,
    validation: texts(8, 2, [5]),
    says: /^validation before training is not finite: example 6 of 8 /,
  },
  'a word of the test set alone': {
    spoils: spoil,
    test: texts(8, 3, [2]),
    says: /^the test is not finite: example 3 of 8 .+word_embeddings\.weight held NaN/,
  },
  'a word of the training set alone': {
    spoils: spoil,
    train: texts(16, 1, [9]),
    says: then(STEP, /bert\.\S+word_embeddings\.weight held NaN/),
  },
  "a word of a step's second batch alone": {
    spoils: spoil,
    train: texts(32, 1, [9]),
    options: { accumulate: 2 },
    says: then(STEP, /bert\.\S+word_embeddings\.weight held NaN/),
  },
  'a gradient whose norm overflows': {
    spoils: fill(/lora_A\.weight$/, 1e25),
    validation: [],
    options: { clip: 0 },
    says: then(STEP, KERNEL),
  },
  'activations that overflow': { spoils: fill(/intermediate\.dense\.weight$/, 3e38), says: KERNEL },
  'a norm of equal numbers without an epsilon': {
    config: { layer_norm_eps: 1e-45 },
    says: KERNEL,
    spoils: async model => {
      for (const name of [/word_embeddings/, /position_embeddings/, /token_type_embeddings/])
        await change(model, name, values => void values.fill(0))
    },
  },
  'more bad steps than may be left out': {
    spoils: spoil,
    train: texts(24, 1, [1, 9, 17]),
    options: { skipBadSteps: 1, epochs: 4 },
    says: /^step \d+ is not finite, after 1 step left out: loss NaN, gradient norm NaN, .+word_embeddings\.weight held NaN/,
  },
  'weights that half precision does not hold': {
    precision: 'f16',
    spoils: set(/query\.weight$/, 70_000),
    says: /query\.weight held ∞ before any kernel ran, first in element 3$/,
  },
  'activations that half precision does not hold': {
    precision: 'f16',
    spoils: fill(/intermediate\.dense\.weight$/, 6e4),
    says: KERNEL,
  },
  // 2¹⁵ is halved 15 times.
  'a gradient that half precision does not hold at the least loss scale': {
    precision: 'f16',
    options: { epochs: 20 },
    spoils: fill(/^classifier\.weight$/, 1e7),
    says: then(
      /^step 16 is not finite: loss [\d.e+]+, gradient norm (∞|NaN), learning rate [^,;]+, loss scale 1; /,
      KERNEL,
    ),
  },
}

/** Trains, and tests; gives what it ended with. */
async function ending(way: Way, store: Checkpoints, told: (StepMetrics | SkippedStep)[]): Promise<unknown> {
  const {
    tune = 'lora',
    precision,
    config,
    options,
    spoils,
    train = texts(16, 1),
    validation = texts(8, 2),
    test,
  } = way
  const model = await tinyModel(tune, { ...ONE_LAYER, ...NO_DROPOUT, ...config }, precision)
  await spoils?.(model)
  const trainer = await Trainer.over(model, classesTask(), {
    ...OPTIONS,
    maxLength: 8,
    warmup: 0,
    precision: precision ?? 'f32',
    checkpointEvery: 0,
    ...options,
  })
  try {
    await trainer.train(train, validation, store, {
      onStep: metrics => void told.push(metrics),
      onSkippedStep: step => void told.push(step),
      onEvaluation: (_epoch, _step, { loss, figures, outputs }) => {
        expect([loss, figures.accuracy, ...outputs.flatMap(output => [...output])].every(Number.isFinite)).toBe(true)
      },
    })
    if (test) await trainer.evaluate(test, {}, 'the test')
  } catch (error) {
    return error
  }
  return undefined
}

describe('a run ends in one line, and leaves finite numbers alone, after', () => {
  for (const [name, way] of Object.entries(ways)) {
    test(name, async ({ skip }) => {
      const { traits, info } = await currentDevice()
      skip(way.precision === 'f16' && !traits.f16, `${info.name} has no shader-f16`)
      const folder = await mkdtemp(join(root, 'run-'))
      const told: (StepMetrics | SkippedStep)[] = []
      const error = await ending(way, new Checkpoints(folder), told)
      expect(error).toBeInstanceOf(NonFinite)
      const { message } = error as NonFinite
      expect(message).toMatch(way.says)
      expect(message.length).toBeLessThan(480)
      expect(message).not.toContain('\n')
      expect(await notFiniteBelow(folder)).toEqual([])
      for (const line of told)
        expect(
          Object.values(line)
            .filter(value => typeof value === 'number')
            .every(Number.isFinite),
          JSON.stringify(line),
        ).toBe(true)
    })
  }
})

async function valuesOf(entries: readonly StateEntry[]): Promise<Record<string, number[]>> {
  const values: Record<string, number[]> = {}
  for (const { name, variable } of entries) values[name] = Array.from(await variable.read())
  return values
}

const RUN: TrainerOptions = { ...OPTIONS, maxLength: 8, warmup: 0 }
const spoiltModel = async (): Promise<SequenceClassifier> => {
  const model = await tinyModel('lora', ONE_LAYER)
  await spoil(model)
  return model
}
/** Three steps an epoch, one of them bad. */
const ONE_BAD = texts(24, 1, [9])

test('after a bad step no step changes anything, though some were queued before it was seen', async () => {
  const store = new Checkpoints(join(root, 'before'))
  const states: Record<string, number[]>[] = []
  for (const [checkpointEvery, checkpoints] of [
    [0, store],
    [1e6, new Checkpoints(join(root, 'first alone'))],
  ] as const) {
    const trainer = await Trainer.over(await spoiltModel(), classesTask(), {
      ...RUN,
      epochs: 4,
      schedule: 'constant',
      seed: 5,
      checkpointEvery,
    })
    // Two epochs of six steps over good texts, and then one that has a bad text in a step with three more after it.
    const changing = texts(48, 1)
    const training = trainer.train(changing, texts(8, 2), checkpoints, {
      onEvaluation: epoch => {
        if (epoch === 2) changing.splice(0, 48, ...texts(48, 1, [9]))
      },
    })
    await expect(training).rejects.toThrow(/^step 1[345] is not finite/)
    states.push(await valuesOf(trainer.state()))
  }
  expect(states[1], 'with steps queued').toEqual(states[0])
  // The checkpoint of the step before has what is on the device.
  const again = await Trainer.over(await spoiltModel(), classesTask(), RUN)
  const last = await store.latest()
  if (!last) throw new Error('no checkpoint')
  expect(last.step).toBeGreaterThanOrEqual(12)
  await store.load(last, again.state())
  expect(await valuesOf(again.state())).toEqual(states[0])
})

test('steps that are left out are counted, and a run that goes on does as one that never stopped', async () => {
  const options = { ...RUN, epochs: 3, skipBadSteps: 3, checkpointEvery: 0 }
  const run = async (
    trainer: Trainer<number>,
    store: Checkpoints,
    told: (StepMetrics | SkippedStep)[],
    stopAt?: number,
  ): Promise<void> => {
    await trainer.train(
      ONE_BAD,
      texts(8, 2),
      store,
      {
        onStep: line => {
          told.push(line)
          if (line.step === stopAt) trainer.stop()
        },
        onSkippedStep: line => void told.push(line),
      },
      await store.latest(),
    )
  }
  const whole = await Trainer.over(await spoiltModel(), classesTask(), options)
  const lines: (StepMetrics | SkippedStep)[] = []
  await run(whole, new Checkpoints(join(root, 'whole')), lines)
  const skipped = lines.filter(line => 'skipped' in line)
  expect(skipped.length).toBe(3)
  for (const line of skipped) {
    expect(line).toMatchObject({ skipped: 'not finite' })
    expect(Object.keys(line)).not.toContain('loss')
  }
  expect(lines.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
  expect(await new Checkpoints(join(root, 'whole')).latest()).toMatchObject({ step: 9, skipped: 3 })

  const stopAt = Math.max(
    ...lines
      .filter(line => !('skipped' in line) && line.step > skipped[0].step && line.step < skipped[2].step)
      .map(({ step }) => step),
  )
  const store = new Checkpoints(join(root, 'stopped'))
  const again: (StepMetrics | SkippedStep)[] = []
  await run(await Trainer.over(await spoiltModel(), classesTask(), options), store, again, stopAt)
  expect(again.length).toBe(stopAt)
  const second = await Trainer.over(await spoiltModel(), classesTask(), options)
  await run(second, store, again)
  expect(await valuesOf(second.state())).toEqual(await valuesOf(whole.state()))
  expect(again.map(({ step, lr, accuracy }) => [step, lr, accuracy])).toEqual(
    lines.map(({ step, lr, accuracy }) => [step, lr, accuracy]),
  )
  expect(await notFiniteBelow(root)).toEqual([])

  const fewer = await Trainer.over(await spoiltModel(), classesTask(), { ...options, skipBadSteps: 2 })
  await expect(run(fewer, new Checkpoints(join(root, 'fewer')), [])).rejects.toThrow(
    / is not finite, after 2 steps left out: /,
  )
})

test('a step that is left out might as well not have been', async () => {
  const good = collate(texts(8, 1), [0, 1, 2, 3, 4, 5, 6, 7], { padId: 0, sequence: 8, batchSize: 8 })
  const bad = collate(texts(8, 1, [3]), [0, 1, 2, 3, 4, 5, 6, 7], { padId: 0, sequence: 8, batchSize: 8 })
  const valuesAfter = async (accumulate: number, steps: readonly boolean[]): Promise<Record<string, number[]>> => {
    const model = await tinyModel('lora', { ...ONE_LAYER, ...NO_DROPOUT })
    await spoil(model)
    const optimizer = await AdamW.over(model.trainable(), { weightDecay: 0.01, clip: 1 })
    const training = await TrainingSteps.over(model, classesTask(), model.trainable(), optimizer, {
      seed: 1,
      accumulate,
      scaleLoss: false,
      skipBadSteps: 9,
    })
    for (const [t, isBad] of steps.entries()) {
      const { norm } = await training.run(
        accumulate === 1 ? [isBad ? bad : good] : [good, isBad ? bad : good],
        0,
        t + 1,
        1e-3,
      )
      expect(Number.isFinite(await norm.item())).toBe(!isBad)
    }
    return valuesOf(optimizer.state())
  }
  for (const accumulate of [1, 2]) {
    expect(await valuesAfter(accumulate, [true, false, false, true, false]), `${accumulate}`).toEqual(
      await valuesAfter(accumulate, [false, false, false]),
    )
  }
})

test('a checkpoint that holds NaN is refused with the parameter that has it, whatever the store', async () => {
  const trainer = await Trainer.over(await tinyModel('lora', ONE_LAYER), classesTask(), RUN)
  const nothing = async (): Promise<void> => undefined
  const position = { step: 7, epoch: 0, stepInEpoch: 0, batches: 7, best: null }
  for (const [part, where] of [
    ['values', ''],
    ['v', ' (moment v)'],
  ]) {
    const store: CheckpointStore = {
      save: nothing,
      saveBest: nothing,
      loadBest: nothing,
      load: async (_, entries) => {
        for (const { name, variable } of entries)
          await variable.write(Float32Array.of(name.endsWith(`.${part}`) ? NaN : 0), 1)
      },
    }
    const error: unknown = await trainer.train(texts(8, 1), [], store, {}, position).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(UserError)
    expect((error as UserError).message).toMatch(/^the checkpoint of step 7 is damaged: bert\.\S+lora_A\.weight/)
    expect((error as UserError).message).toContain(`lora_A.weight${where} is NaN in element 1`)
  }
})
