// The loss scale at half precision: how it grows and shrinks, and that a step which an overflow skips leaves no trace.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Compiled, type Tensor, compile, currentDevice, scalar, tensor } from '../../engine/node/index.ts'
import { AdamW } from '../../train/optimizers/adamw.ts'
import { classesTask } from '../../train/tasks/classes.ts'
import { LOSS_SCALE, LossScaler, TrainingSteps } from '../../train/steps.ts'
import { NO_DROPOUT, ONE_LAYER, collate, reviews, tinyModel } from '../support/training.ts'

afterAll(async () => (await currentDevice()).close())

describe('the loss scale', () => {
  let scaler: LossScaler
  let update: Compiled<[Tensor], Record<string, never>>
  beforeAll(async () => {
    scaler = new LossScaler()
    await scaler.initialise()
    update = compile((norm: Tensor) => {
      scaler.update(norm)
      return {}
    })
  })

  /** The scale and its counters after steps with gradients of such norms. */
  async function after(...norms: number[]): Promise<{ scale: number; good: number; taken: number }> {
    for (const norm of norms) await update(tensor(Float32Array.of(norm), []))
    const [[scale], [good], [taken]] = await Promise.all(
      [scaler.scale, scaler.good, scaler.taken].map(each => each.read()),
    )
    return { scale, good, taken }
  }
  async function put(scale: number, good: number, taken = 0): Promise<void> {
    await scaler.scale.write(Float32Array.of(scale))
    await scaler.good.write(Float32Array.of(good))
    await scaler.taken.write(Float32Array.of(taken))
  }
  const good = (count: number): number[] => new Array<number>(count).fill(1)

  test('doubles after 200 good steps in a row, not before, and counts anew', async () => {
    expect(LOSS_SCALE.growthInterval).toBe(200)
    expect(await after(...good(199))).toEqual({ scale: LOSS_SCALE.initial, good: 199, taken: 199 })
    expect(await after(1)).toEqual({ scale: 2 * LOSS_SCALE.initial, good: 0, taken: 200 })
    expect(await after(1)).toEqual({ scale: 2 * LOSS_SCALE.initial, good: 1, taken: 201 })
  })

  test('halves on an overflow, which begins the count again and is no step taken', async () => {
    for (const norm of [Infinity, NaN]) {
      await put(1024, 199, 300)
      expect(await after(norm)).toEqual({ scale: 512, good: 0, taken: 300 })
      expect(await after(1)).toEqual({ scale: 512, good: 1, taken: 301 })
    }
  })

  test('never passes its bounds', async () => {
    await put(LOSS_SCALE.most, 199)
    expect(await after(1)).toMatchObject({ scale: LOSS_SCALE.most, good: 0 })
    await put(LOSS_SCALE.most / 2, 199)
    expect(await after(1)).toMatchObject({ scale: LOSS_SCALE.most })
    await put(LOSS_SCALE.least, 3)
    expect(await after(Infinity)).toMatchObject({ scale: LOSS_SCALE.least, good: 0 })
  })
})

describe('AdamW', () => {
  test('corrects its bias by the steps that were taken: one that an overflow skipped might as well not have been', async () => {
    const batch = collate(reviews(8, 1), [0, 1, 2, 3, 4, 5, 6, 7], { padId: 0, sequence: 16, batchSize: 8 })
    /** Trained values and moments after some steps of which those in `overflowing` are skipped. */
    const valuesAfter = async (steps: number, overflowing: readonly number[]): Promise<number[][]> => {
      const model = await tinyModel('lora', { ...ONE_LAYER, ...NO_DROPOUT, initializer_range: 2 })
      for (const { lora } of model.linears()) {
        await lora?.b.write(Float32Array.from({ length: lora.b.size }, (_, i) => 0.1 * Math.sin(i)))
      }
      const optimizer = await AdamW.over(model.trainable(), { weightDecay: 0.01, clip: 1 })
      const training = await TrainingSteps.over(model, classesTask(), model.trainable(), optimizer, {
        seed: 1,
        accumulate: 1,
        scaleLoss: true,
      })
      const scale = training.state().find(({ name }) => name === 'loss_scale')
      for (let t = 1; t <= steps; t++) {
        await scale?.variable.write(Float32Array.of(overflowing.includes(t) ? 3e38 : 1024))
        const { norm } = await training.run([batch], 0, t, 1e-3)
        expect(Number.isFinite(await norm.item())).toBe(!overflowing.includes(t))
      }
      return Promise.all(optimizer.state().map(async ({ variable }) => Array.from(await variable.read())))
    }
    const [plain, skipping] = [await valuesAfter(3, []), await valuesAfter(5, [1, 4])]
    expect(skipping).toEqual(plain)
  })

  test('corrects by a count on the GPU as by one on the host', async () => {
    const [beta1, beta2] = [0.9, 0.999]
    /** The one parameter that a step numbered `t` leaves, from a gradient of 1: what of it is the correction shows. */
    const stepped = async (t: number, where: 'host' | 'GPU'): Promise<number> => {
      const model = await tinyModel('lora', ONE_LAYER)
      const [parameter] = model.trainable()
      const optimizer = await AdamW.over([parameter], { weightDecay: 0, beta1, beta2 })
      await parameter.write(new Float32Array(parameter.size))
      const gradient = optimizer.flatten([parameter], [scalar(1).broadcastTo(parameter.shape)])
      const step = compile((hyper: Tensor, count: Tensor) => ({
        norm: optimizer.update(gradient, hyper, scalar(1), where === 'GPU' ? count : undefined),
      }))
      await step(optimizer.hyper(where === 'GPU' ? 1e6 : t, 1), tensor(Float32Array.of(t), []))
      return (await parameter.read())[0]
    }
    for (const t of [1, 2, 4, 5, 30, 499, 500, 501, 20_000]) {
      const wanted = -((1 - beta1) / (1 - beta1 ** t)) / Math.sqrt((1 - beta2) / (1 - beta2 ** t))
      for (const where of ['host', 'GPU'] as const) {
        expect(Math.abs((await stepped(t, where)) / wanted - 1), `step ${t} on the ${where}`).toBeLessThan(2e-6)
      }
    }
  })
})
