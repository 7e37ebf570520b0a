// The training loop and its parts on small models: AdamW against PyTorch's, accumulation, loss scaling, what is learnt,
// what is kept, and going on from a checkpoint.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type Tensor, compile, currentDevice, grad, tensor } from '../../engine/node/index.ts'
import { createModel, loadWeights } from '../../models/index.ts'
import { openWeights } from '../../models/node/files.ts'
import { openAdapter } from '../../models/node/peft.ts'
import { AdamW } from '../../train/optimizers/adamw.ts'
import type { ValueEntry } from '../../train/state.ts'
import type { Position } from '../../train/checkpoint-store.ts'
import { Checkpoints, loadKept } from '../../train/node/run/checkpoints.ts'
import { schedule } from '../../train/schedules.ts'
import { TrainingSteps } from '../../train/steps.ts'
import { classesTask } from '../../train/tasks/classes.ts'
import {
  type Outcome,
  type StepMetrics,
  Trainer,
  type TrainerEvents,
  type TrainerOptions,
} from '../../train/trainer.ts'
import { temporaryFolder } from '../support/folder.ts'
import { evaluation, golden, goldenConfig, goldenJson, integers } from '../support/models.ts'
import { NO_DROPOUT, ONE_LAYER, OPTIONS, type Tune, collate, reviews, tinyModel } from '../support/training.ts'

const folder = await temporaryFolder('trainer')
afterAll(async () => (await currentDevice()).close())

async function valuesOf(entries: readonly ValueEntry[]): Promise<Record<string, number[]>> {
  const values: Record<string, number[]> = {}
  for (const { name, variable } of entries) values[name] = Array.from(await variable.read())
  return values
}

interface Curve {
  readonly [name: string]: unknown
  readonly ids: number[][]
  readonly mask: number[][]
  readonly types: number[][]
  readonly labels: number[]
  readonly adapter: { readonly losses: number[]; readonly norms: number[] }
}

describe('AdamW', () => {
  for (const family of ['bert', 'distilbert']) {
    test(`tunes ${family} with a PEFT adapter along PyTorch's losses and gradient norms, decay and clipping included`, async () => {
      const { ids, mask, types, labels, adapter } = await goldenJson<Curve>(`${family}/expected.json`)
      const model = createModel(await goldenConfig(family))
      const file = await openWeights(golden(family))
      await loadWeights(model, file, 0)
      await file.close()
      await openAdapter(golden(`${family}/adapter`), model)
      const parameters = model.trainable()
      const optimizer = await AdamW.over(parameters, {
        weightDecay: 0.1,
        clip: 0.5,
      })
      const step = compile((hyper: Tensor) => {
        const loss = model.loss(
          integers(ids),
          integers(mask),
          integers(types),
          tensor(Int32Array.from(labels), [labels.length]),
          evaluation(),
        )
        const norm = optimizer.update(
          optimizer.flatten(
            parameters,
            grad(
              loss,
              parameters.map(p => p.tensor),
            ),
          ),
          hyper,
        )
        return { loss, norm }
      })
      expect(adapter.losses.length).toBe(10)
      for (const [i, wanted] of adapter.losses.entries()) {
        const { loss, norm } = await step(optimizer.hyper(i + 1, 0.02))
        expect(Math.abs((await loss.item()) - wanted) / wanted, `loss of step ${i + 1}`).toBeLessThan(1e-4)
        expect(
          Math.abs((await norm.item()) - adapter.norms[i]) / adapter.norms[i],
          `norm of step ${i + 1}`,
        ).toBeLessThan(1e-3)
      }
    })
  }

  test('does not decay biases and norms', async () => {
    const model = await tinyModel('full')
    const free = model
      .parameters()
      .filter(p => !p.decays)
      .map(p => p.name)
    const wanted = model
      .parameters()
      .map(p => p.name)
      .filter(name => /\.bias$|LayerNorm\.weight$/.test(name))
    expect(free.sort()).toEqual(wanted.sort())
  })
})

test('two batches accumulated make the step that one of both would', async () => {
  const train = reviews(24, 1)
  const run = async (batchSize: number, accumulate: number): Promise<Record<string, number[]>> => {
    const model = await tinyModel('full', NO_DROPOUT)
    const parameters = model.trainable()
    const optimizer = await AdamW.over(parameters, {
      weightDecay: 0.01,
      clip: 1,
    })
    const steps = await TrainingSteps.over(model, classesTask(), parameters, optimizer, {
      seed: 1,
      accumulate,
      scaleLoss: false,
    })
    for (let t = 1; t <= 3; t++) {
      const batches = Array.from({ length: accumulate }, (_, i) => {
        const first = (t - 1) * 8 + i * batchSize
        return collate(
          train,
          Array.from({ length: batchSize }, (_, k) => first + k),
          { padId: 0, sequence: 16, batchSize },
        )
      })
      await steps.run(batches, 0, t, 1e-3)
    }
    // Moments, not values: AdamW's first updates are signs, which rounding may turn where a gradient is nothing but
    // rounding.
    return valuesOf(optimizer.state().filter(({ name }) => name.endsWith('.m')))
  }
  const [whole, parts] = [await run(8, 1), await run(4, 2)]
  for (const [name, wanted] of Object.entries(whole)) {
    const most = Math.max(...wanted.map(Math.abs))
    expect(most).toBeGreaterThan(0)
    wanted.forEach((value, i) => expect(Math.abs(parts[name][i] - value), `${name}[${i}]`).toBeLessThan(1e-3 * most))
  }
})

test('a short last batch counts by its examples', async () => {
  const train = reviews(12, 4)
  const norms: number[] = []
  for (const [batchSize, accumulate] of [
    [12, 1],
    [8, 2],
  ]) {
    const model = await tinyModel('full', NO_DROPOUT)
    const parameters = model.trainable()
    const optimizer = await AdamW.over(parameters, {
      weightDecay: 0,
    })
    const steps = await TrainingSteps.over(model, classesTask(), parameters, optimizer, {
      seed: 1,
      accumulate,
      scaleLoss: false,
    })
    const batches = Array.from({ length: accumulate }, (_, i) =>
      collate(
        train,
        Array.from({ length: Math.min(batchSize, 12 - i * batchSize) }, (_, k) => i * batchSize + k),
        { padId: 0, sequence: 16, batchSize },
      ),
    )
    const { norm, parts } = await steps.run(batches, 0, 1, 1e-3)
    norms.push(
      await norm.item(),
      (await Promise.all(parts.map(part => part.data()))).reduce((sum, [loss]) => sum + loss, 0),
    )
  }
  expect(norms[2]).toBeCloseTo(norms[0], 4)
  expect(norms[3]).toBeCloseTo(norms[1], 4)
})

test('an overflow of the scaled loss skips the step and halves the scale, and training goes on', async () => {
  const model = await tinyModel('lora', { initializer_range: 2 }) // so that some gradient is above 1
  const parameters = model.trainable()
  const optimizer = await AdamW.over(parameters, {
    weightDecay: 0.01,
    clip: 1,
  })
  const steps = await TrainingSteps.over(model, classesTask(), parameters, optimizer, {
    seed: 1,
    accumulate: 1,
    scaleLoss: true,
  })
  const scale = steps.state().find(({ name }) => name === 'loss_scale')
  if (!scale) throw new Error('no loss scale')
  const batch = collate(reviews(8, 1), [0, 1, 2, 3, 4, 5, 6, 7], { padId: 0, sequence: 16, batchSize: 8 })
  await scale.variable.write(Float32Array.of(3e38))
  const before = await valuesOf(optimizer.state())
  const { norm } = await steps.run([batch], 0, 1, 1e-3)
  expect(await norm.item()).not.toSatisfy(Number.isFinite)
  expect(await valuesOf(optimizer.state())).toEqual(before)
  expect((await scale.variable.read())[0]).toBe(Math.fround(3e38) / 2)

  await scale.variable.write(Float32Array.of(1024))
  const { norm: finite } = await steps.run([batch], 1, 2, 1e-3)
  expect(await finite.item()).toSatisfy(Number.isFinite)
  expect(await valuesOf(optimizer.state())).not.toEqual(before)
  expect((await scale.variable.read())[0]).toBe(1024)
})

describe('half precision', () => {
  /** 40 steps over the same batches in the same order; `scale` is the loss scale to begin with. */
  async function losses(
    precision: 'f32' | 'f16',
    scale?: number,
  ): Promise<{ losses: number[]; scale: number; norms: number[] }> {
    const model = await tinyModel('lora', NO_DROPOUT, precision)
    const parameters = model.trainable()
    const optimizer = await AdamW.over(parameters, {
      weightDecay: 0.01,
      clip: 1,
    })
    const steps = await TrainingSteps.over(model, classesTask(), parameters, optimizer, {
      seed: 1,
      accumulate: 1,
      scaleLoss: precision === 'f16',
    })
    const lossScale = steps.state().find(({ name }) => name === 'loss_scale')
    if (scale !== undefined) await lossScale?.variable.write(Float32Array.of(scale))
    const train = reviews(64, 1)
    const curve: number[] = []
    const norms: number[] = []
    for (let t = 1; t <= 40; t++) {
      const rows = Array.from({ length: 8 }, (_, k) => ((t - 1) * 8 + k) % 64)
      const { parts, norm } = await steps.run(
        [collate(train, rows, { padId: 0, sequence: 16, batchSize: 8 })],
        t,
        t,
        2e-3,
      )
      curve.push((await parts[0].data())[0])
      norms.push(await norm.item())
    }
    return { losses: curve, norms, scale: (await lossScale?.variable.read())?.[0] ?? 1 }
  }

  test('follows the losses of single precision within 2 %', async ({ skip }) => {
    const { traits, info } = await currentDevice()
    skip(!traits.f16, `${info.name} has no shader-f16`)
    const [single, half] = [await losses('f32'), await losses('f16')]
    expect(half.norms.every(Number.isFinite)).toBe(true)
    expect(single.losses[39]).toBeLessThan(0.8 * single.losses[0])
    single.losses.forEach((loss, i) =>
      expect(Math.abs(half.losses[i] - loss) / loss, `step ${i + 1}`).toBeLessThan(0.02),
    )
  })

  test('recovers from a loss scale that overflows, and then learns', async ({ skip }) => {
    const { traits, info } = await currentDevice()
    skip(!traits.f16, `${info.name} has no shader-f16`)
    const { losses: curve, norms, scale } = await losses('f16', 2 ** 24)
    const skipped = norms.filter(norm => !Number.isFinite(norm)).length
    expect(skipped).toBeGreaterThan(2)
    expect(skipped).toBeLessThan(20)
    expect(norms.slice(skipped).every(Number.isFinite)).toBe(true)
    expect(scale).toBe(2 ** (24 - skipped))
    expect(curve[39]).toBeLessThan(curve[0])
  })
})

describe('the trainer', () => {
  test.each<[Tune, number, number]>([
    ['full', 2e-3, 8],
    ['lora', 1e-2, 12],
  ])('learns a small task, tuning %s', async (tune, lr, epochs) => {
    const trainer = await Trainer.over(await tinyModel(tune, ONE_LAYER), classesTask(), { ...OPTIONS, lr, epochs })
    const told: StepMetrics[] = []
    const evaluations: { epoch: number; accuracy: number; best: boolean }[] = []
    const [train, validation, test] = [reviews(256, 1), reviews(64, 2), reviews(64, 3)]
    const { kind, ...outcome } = await trainer.train(train, validation, undefined, {
      onStep: metrics => void told.push(metrics),
      onEvaluation: (epoch, _, { figures: { accuracy = NaN } }, best) =>
        void evaluations.push({ epoch, accuracy, best }),
    })
    expect(kind).toBe('finished')
    expect(told.map(({ step }) => step)).toEqual(Array.from({ length: 32 * epochs }, (_, i) => i + 1))
    expect(told[0].loss).toBeGreaterThan(0.4)
    expect(told.slice(0, 3).map(line => (line.lr * Math.ceil(3.2 * epochs)) / lr)).toEqual([
      0,
      expect.closeTo(1),
      expect.closeTo(2),
    ])
    expect(evaluations.map(({ epoch }) => epoch)).toEqual(Array.from({ length: epochs + 1 }, (_, i) => i))
    expect(evaluations[0].accuracy).toBeLessThan(0.75)
    const { figures, outputs } = await trainer.evaluate(test)
    expect(figures.accuracy).toBeGreaterThanOrEqual(0.95)
    const right = test.filter(({ target }, i) => Number(outputs[i][1] > outputs[i][0]) === target).length
    expect(figures.accuracy).toBe(right / test.length)
    const best = Math.max(...evaluations.slice(1).map(e => e.accuracy))
    expect(outcome).toMatchObject({ best: { score: best }, early: false })
  })

  test('keeps the best values of all epochs', async () => {
    const trainer = await Trainer.over(await tinyModel('full'), classesTask(), { ...OPTIONS, epochs: 3 })
    const checkpoints = new Checkpoints(join(folder, 'best'))
    const validation = reviews(32, 2)
    let atBest: Record<string, number[]> = {}
    // The labels turn round after the first epoch: what is learnt then is worse by the validation set.
    const train = reviews(256, 1)
    const labelled = train.map(text => ({ ...text }))
    const outcome = await trainer.train(labelled, validation, checkpoints, {
      onEvaluation: async (epoch, _step, _evaluation, best) => {
        if (epoch > 0 && best) atBest = await valuesOf(trainer.values())
        if (epoch === 1)
          labelled.forEach((text, i) => {
            text.target = 1 - train[i].target
          })
      },
    })
    expect(outcome.kind).toBe('finished')
    expect(outcome.kind === 'finished' && outcome.best?.epoch).toBe(1)
    expect(await valuesOf(trainer.values())).toEqual(atBest)
  })

  test('stopped and gone on with from its checkpoint, ends with the same bits', async () => {
    const train = reviews(128, 1)
    const validation = reviews(16, 2)
    const options = { ...OPTIONS, accumulate: 2 }
    const whole = await Trainer.over(await tinyModel('lora'), classesTask(), options)
    const lines: StepMetrics[] = []
    await whole.train(train, validation, new Checkpoints(join(folder, 'whole')), {
      onStep: line => void lines.push(line),
    })

    const checkpoints = new Checkpoints(join(folder, 'stopped'))
    const first = await Trainer.over(await tinyModel('lora'), classesTask(), options)
    const again: StepMetrics[] = []
    // Told of a step, the trainer has begun some more, which it finishes.
    const stopped = await first.train(train, validation, checkpoints, {
      onStep: line => {
        again.push(line)
        if (line.step === 2) first.stop()
      },
    })
    if (stopped.kind !== 'stopped') throw new Error('it did not stop')
    expect(stopped.position.step).toBeLessThan(lines.length)
    expect(stopped.position.stepInEpoch).toBeGreaterThan(0)
    expect(await checkpoints.latest()).toEqual(stopped.position)

    const second = await Trainer.over(await tinyModel('lora'), classesTask(), options)
    await second.train(train, validation, checkpoints, { onStep: line => void again.push(line) }, stopped.position)
    expect(await valuesOf(second.state())).toEqual(await valuesOf(whole.state()))
    const facts = ({ step, epoch, loss, accuracy, lr, grad_norm }: StepMetrics) => ({
      step,
      epoch,
      loss,
      accuracy,
      lr,
      grad_norm,
    })
    expect(again.map(facts)).toEqual(lines.map(facts))
  })

  test('keeps the last two checkpoints, and never half of one', async () => {
    const checkpoints = new Checkpoints(join(folder, 'kept'))
    const trainer = await Trainer.over(await tinyModel('lora'), classesTask(), {
      ...OPTIONS,
      epochs: 1,
      checkpointEvery: 0,
    })
    const seen: Position[] = []
    await trainer.train(reviews(32, 1), [], checkpoints, { onCheckpoint: position => void seen.push(position) })
    expect(seen.map(({ step }) => step)).toEqual([0, 1, 2, 3, 4])
    expect((await readdir(checkpoints.folder)).sort()).toEqual(['step-000003', 'step-000004'])
  })
})

describe('options of a run', () => {
  interface Told {
    readonly lines: StepMetrics[]
    readonly evaluations: { step: number; epoch: number; loss: number; best: boolean }[]
  }

  const listen = ({ lines, evaluations }: Told): TrainerEvents => ({
    onStep: line => void lines.push(line),
    onEvaluation: (epoch, step, { loss }, best) => void evaluations.push({ step, epoch, loss, best }),
  })

  /** 32 reviews of 3 to 14 tokens: without other options 8 steps in two epochs. */
  const train = reviews(32, 1, { shortest: 1 })

  /** Trains a tiny model on them. */
  async function run(
    changes: Partial<TrainerOptions>,
    task = classesTask(),
    validation = reviews(16, 2),
  ): Promise<Told & { outcome: Outcome }> {
    const told: Told = { lines: [], evaluations: [] }
    const trainer = await Trainer.over(await tinyModel('full', ONE_LAYER), task, { ...OPTIONS, ...changes })
    const outcome = await trainer.train(train, validation, undefined, listen(told))
    return { ...told, outcome }
  }

  const resumable: readonly (readonly [string, Partial<TrainerOptions>, readonly number[]])[] = [
    ['evaluations every 3 steps', { evaluateEvery: 3 }, [0, 3, 6, 8]],
    ['a count of steps', { steps: 7 }, [0, 4, 7]],
    ['a count of steps, two batches each', { steps: 3, accumulate: 2 }, [0, 2, 3]],
    ['batches by tokens', { batchTokens: 64 }, [0, 8, 16]],
    ['batches by tokens, three each step', { batchTokens: 64, accumulate: 3 }, [0, 3, 6]],
  ]
  test.each(resumable)('%s: evaluated as asked for, resumed to the same bits', async (name, changes, steps) => {
    const options = { ...OPTIONS, ...changes }
    const validation = reviews(16, 2)
    const whole: Told = { lines: [], evaluations: [] }
    const first = await Trainer.over(await tinyModel('lora', ONE_LAYER), classesTask(), options)
    const finished = await first.train(train, validation, undefined, listen(whole))
    expect(finished).toMatchObject({ kind: 'finished', early: false })
    expect(whole.evaluations.map(({ step }) => step)).toEqual(steps)
    const total = steps[steps.length - 1]
    expect([first.totalSteps(train), whole.lines.length]).toEqual([total, total])
    const factor = schedule(options.schedule, { warmup: options.warmup, steps: total })
    const factors = whole.lines.map((_, step) => expect.closeTo(factor(step), 12))
    expect(whole.lines.map(({ lr }) => lr / options.lr)).toEqual(factors)

    const checkpoints = new Checkpoints(join(folder, name.replaceAll(/\W+/g, '-')))
    const again: Told = { lines: [], evaluations: [] }
    const stopping = await Trainer.over(await tinyModel('lora', ONE_LAYER), classesTask(), options)
    const { onStep, ...others } = listen(again)
    const stopped = await stopping.train(train, validation, checkpoints, {
      ...others,
      onStep: line => {
        onStep?.(line)
        if (line.step === 1) stopping.stop()
      },
    })
    if (stopped.kind !== 'stopped') throw new Error('it did not stop')
    expect(stopped.position.step).toBeLessThan(total)
    const second = await Trainer.over(await tinyModel('lora', ONE_LAYER), classesTask(), options)
    await second.train(train, validation, checkpoints, listen(again), stopped.position)
    const facts = ({ step, epoch, loss, accuracy, lr, grad_norm }: StepMetrics) => ({
      step,
      epoch,
      loss,
      accuracy,
      lr,
      grad_norm,
    })
    expect(again.lines.map(facts)).toEqual(whole.lines.map(facts))
    expect(again.evaluations).toEqual(whole.evaluations)
    // Not the values: of a run that keeps checkpoints they are the best ones in the end.
    const moments = (trainer: typeof first) => valuesOf(trainer.state().filter(({ name }) => /\.[mv]$/.test(name)))
    expect(await moments(second)).toEqual(await moments(first))
    // The last checkpoint, too, is one that such a run comes to.
    expect(await checkpoints.find(second.shapeOf(train))).toMatchObject({ position: { step: total }, damaged: [] })
  })

  test('batches by tokens hold as many texts as fit, and each text once an epoch', async () => {
    const task = classesTask()
    const sizes: { readonly rows: number; readonly batch: number; readonly sequence: number }[] = []
    const { lines } = await run(
      { batchTokens: 64, epochs: 1 },
      {
        ...task,
        collate: (examples, size, random) => {
          sizes.push({ rows: examples.length, batch: size.batch, sequence: size.sequence })
          return task.collate(examples, size, random)
        },
      },
      [],
    )
    expect(sizes).toHaveLength(lines.length)
    expect(sizes.reduce((sum, { rows }) => sum + rows, 0)).toBe(32)
    expect(sizes.every(({ batch, sequence }) => batch === Math.floor(64 / sequence))).toBe(true)
    expect(new Set(sizes.map(({ sequence }) => sequence))).toEqual(new Set([8, 16]))
  })

  test('patience ends a run after so many evaluations that are no better, in the middle of an epoch too', async () => {
    // At a rate of 0 no evaluation is better than the first after training began.
    const stuck = { lr: 0, patience: 2 }
    const within = await run({ ...stuck, epochs: 4, evaluateEvery: 2 })
    expect(within.outcome).toMatchObject({ kind: 'finished', early: true, best: { step: 2 } })
    expect(within.evaluations.map(({ step }) => step)).toEqual([0, 2, 4, 6])
    expect(within.evaluations.map(({ best }) => best)).toEqual([false, true, false, false])
    const epochs = await run({ ...stuck, epochs: 5 })
    expect(epochs.outcome).toMatchObject({ kind: 'finished', early: true, best: { step: 4 } })
    expect(epochs.evaluations.map(({ step }) => step)).toEqual([0, 4, 8, 12])
    // A resumed run goes on counting.
    const checkpoints = new Checkpoints(join(folder, 'patience'))
    const options = { ...OPTIONS, ...stuck, epochs: 4, evaluateEvery: 2 }
    const first = await Trainer.over(await tinyModel('full', ONE_LAYER), classesTask(), options)
    const stopped = await first.train(train, reviews(16, 2), checkpoints, {
      onEvaluation: (_epoch, step) => {
        if (step === 4) first.stop()
      },
    })
    if (stopped.kind !== 'stopped') throw new Error('it did not stop')
    expect(stopped.position).toMatchObject({ step: 4, stale: 1 })
    const second = await Trainer.over(await tinyModel('full', ONE_LAYER), classesTask(), options)
    const told: Told = { lines: [], evaluations: [] }
    const outcome = await second.train(train, reviews(16, 2), checkpoints, listen(told), stopped.position)
    expect(outcome).toEqual(within.outcome)
    expect(told.evaluations).toEqual(within.evaluations.slice(3))

    const learning = await run({ patience: 1, bestMetric: 'loss' })
    expect(learning.outcome).toMatchObject({ kind: 'finished', early: false })
    expect(learning.evaluations.map(({ step }) => step)).toEqual([0, 4, 8])
  })

  test('the values of the best evaluations are kept in order, of a resumed run too', async () => {
    const scores = [0, 0.5, 0.9, 0.7, 0.6]
    /** What an evaluation says is made up, by how many there were before. */
    const scripted = (done: number): ReturnType<typeof classesTask> => {
      const figures = scores.slice(done).map(accuracy => ({ accuracy }))
      return { ...classesTask(), summarise: () => figures.splice(0, 1)[0] }
    }
    const options = { ...OPTIONS, epochs: 4, keepBest: 3 }
    const checkpoints = new Checkpoints(join(folder, 'ranked'))
    const first = await Trainer.over(await tinyModel('full', ONE_LAYER), scripted(0), options)
    const after: Record<number, Record<string, number[]>> = {}
    const remember = (trainer: typeof first): TrainerEvents => ({
      onEvaluation: async (epoch, step) => {
        after[step] = await valuesOf(trainer.values())
        if (epoch === 2) first.stop()
      },
    })
    const stopped = await first.train(train, reviews(16, 2), checkpoints, remember(first))
    if (stopped.kind !== 'stopped') throw new Error('it did not stop')
    expect(checkpoints.best.map(({ step }) => step)).toEqual([8, 4])
    const second = await Trainer.over(await tinyModel('full', ONE_LAYER), scripted(3), options)
    const resumed = new Checkpoints(checkpoints.folder)
    const outcome = await second.train(train, reviews(16, 2), resumed, remember(second), stopped.position)
    expect(outcome).toMatchObject({ kind: 'finished', best: { step: 8, score: 0.9 } })
    expect(resumed.best.map(({ step, score }) => [step, score])).toEqual([
      [8, 0.9],
      [12, 0.7],
      [16, 0.6],
    ])
    expect(await valuesOf(second.values()), 'the best are in place').toEqual(after[8])
    for (const { step, file } of resumed.best) {
      await loadKept(join(resumed.folder, file), second.values())
      expect(await valuesOf(second.values()), file).toEqual(after[step])
    }
  })

  test('the best evaluation is the best by the metric that was asked for', async () => {
    // What an evaluation says is made up: first the highest accuracy, then the smallest error; the real loss falls.
    const scripted = (): ReturnType<typeof classesTask> => {
      const figures = [
        [0, 0],
        [0.9, 3],
        [0.5, 1],
        [0.7, 2],
      ].map(([accuracy, error]) => ({ accuracy, error }))
      return { ...classesTask(), lessIsBetter: ['error'], summarise: () => figures.splice(0, 1)[0] }
    }
    const bestOf = async (bestMetric: string | undefined): Promise<[Outcome, Told]> => {
      const { outcome, ...told } = await run({ epochs: 3, bestMetric }, scripted())
      return [outcome, told]
    }
    expect((await bestOf(undefined))[0]).toMatchObject({ best: { step: 4, epoch: 1, score: 0.9 } })
    expect((await bestOf('error'))[0]).toMatchObject({ best: { step: 8, epoch: 2, score: 1 } })
    const [outcome, { evaluations }] = await bestOf('loss')
    const least = evaluations.slice(1).toSorted((a, b) => a.loss - b.loss)[0]
    expect(least.step).toBe(12)
    expect(outcome).toMatchObject({ best: { step: least.step, score: least.loss, loss: least.loss } })
  })
})
