// Tasks with a teacher: which examples have its share of the loss, that evaluations do not, and what a step of
// pretraining takes of memory. That the losses are right is test/golden/distillation.test.ts'.
import { afterAll, describe, expect, test } from 'vitest'
import { currentDevice } from '../../../engine/node/index.ts'
import { createMaskedModel } from '../../../models/index.ts'
import type { Encoded } from '../../../train/task.ts'
import { DistilledMaskedLM, distilledMaskedTask } from '../../../train/tasks/distilled-masked-lm.ts'
import { createTask } from '../../../train/tasks/index.ts'
import type { Target, TaskName } from '../../../train/tasks/infer.ts'
import { type MaskedOptions, maskedTask } from '../../../train/tasks/masked-lm.ts'
import { stream } from '../../../train/random.ts'
import { type StepMetrics, Trainer } from '../../../train/trainer.ts'
import { tinyModelConfig } from '../../support/tiny.ts'
import { NO_DROPOUT, ONE_LAYER, OPTIONS, reviews, tinyModel } from '../../support/training.ts'

afterAll(async () => (await currentDevice()).close())

const labels = ['negative', 'positive']
const distillation = { weight: 0.5, temperature: 2 }

/** The figures of the first step on examples, and their loss in an evaluation before it. */
async function firstStep(examples: readonly Encoded<Target>[], taught: boolean, kind: TaskName = 'classes') {
  const names = kind === 'regression' ? ['LABEL_0'] : labels
  const model = await tinyModel('lora', { ...ONE_LAYER, ...NO_DROPOUT, num_labels: names.length })
  const task = createTask(kind, { labels: names, ...(taught && { distillation }) })
  const trainer = await Trainer.over(model, task, { ...OPTIONS, epochs: 1, steps: 1 })
  const { loss } = await trainer.evaluate(examples)
  const steps: StepMetrics[] = []
  await trainer.train(examples, [], undefined, { onStep: step => void steps.push(step) })
  return { evaluated: loss, step: steps[0] }
}

describe('a step with a teacher', () => {
  const examples = reviews(8, 3)
  const answered = examples.map((example, i) => (i < 6 ? { ...example, taught: [i / 3, -1] } : example))

  test('has the loss of the labels where there is no answer, and evaluations have it everywhere', async () => {
    const plain = await firstStep(examples, false)
    const untaught = await firstStep(examples, true)
    expect(untaught.step.loss).toBeCloseTo(plain.step.loss, 6)
    const { evaluated, step } = await firstStep(answered, true)
    expect(evaluated).toBeCloseTo(plain.evaluated, 6)
    expect(step.task_loss).toBeCloseTo(plain.step.loss, 6)
    expect(Math.abs(step.loss - plain.step.loss)).toBeGreaterThan(0.01)
  })

  test.each(['classes', 'labels', 'regression'] as const)(
    'learns texts without labels from it alone: %s',
    async kind => {
      const targetOf = (label: number): Target => (kind === 'labels' ? [label, 1 - label] : label)
      const all = examples.map(({ target, ...text }, i) => ({
        ...text,
        target: targetOf(target),
        taught: kind === 'regression' ? [i / 4] : [i / 4, -1],
      }))
      const some = all.map((example, i) => (i < 2 ? { ...example, unlabelled: true } : example))
      const { step } = await firstStep(some, true, kind)
      expect(step.loss).toBeCloseTo(0.5 * step.task_loss * (6 / 8) + 0.5 * step.distill_loss, 5)
      expect(step.distill_loss).toBeCloseTo((await firstStep(all, true, kind)).step.distill_loss, 5)
      const labelled = await firstStep(all.slice(2), true, kind)
      expect(step.task_loss).toBeCloseTo(labelled.step.task_loss, 5)
      if (kind !== 'regression') expect(step.accuracy).toBeCloseTo(labelled.step.accuracy, 5)
    },
  )

  test('of labels of tokens has an answer for each token of each window', () => {
    const task = createTask('tokens', { labels, distillation })
    const windows = [
      { ids: [2, 5, 6, 3], target: [-100, 0, 1, -100, -100, 1, -100], further: [{ ids: [2, 7, 3] }] },
      { ids: [2, 8, 3], target: [-100, 1, -100] },
    ]
    const examples = windows.map(example => ({
      ...example,
      taught: example.target.flatMap(label => (label < 0 ? [NaN, NaN] : [10 + label, label])),
    }))
    const size = { batch: 2, windows: 4, sequence: 6, padId: 0 }
    const { arrays, counts } = task.collate(examples, size, stream(0, 'none'))
    const wanted = Array.from(arrays.labels.data, label => (label < 0 ? [0, 0] : [10 + label, label]))
    expect([...arrays.teacher.data]).toEqual(wanted.flat())
    expect([...arrays.taught.data]).toEqual(Array.from(arrays.labels.data, label => (label < 0 ? 0 : 1)))
    expect(counts).toEqual({ distill_loss: 4 })
  })

  test('refuses an answer of another width', async () => {
    const wide = examples.map(example => ({ ...example, taught: [1, 2, 3] }))
    await expect(firstStep(wide, true)).rejects.toThrow("a teacher's answer of 3 numbers, not 2")
  })
})

test('a step of pretraining takes hardly more memory than one without a teacher and the logits of the teacher', async () => {
  const vocabSize = 8000
  const config = tinyModelConfig({ ...ONE_LAYER, ...NO_DROPOUT, vocab_size: vocabSize, hidden_size: 8 })
  const masked: MaskedOptions = { maskId: 4, special: new Set([0, 1, 2, 3, 4]), vocabSize }
  const options = { ...OPTIONS, batchSize: 16, maxLength: 32 }
  const plain = await Trainer.over(createMaskedModel(config), maskedTask(masked), options)
  const teacher = createMaskedModel({ ...config, hidden: 16 })
  const distilled = new DistilledMaskedLM(createMaskedModel(config), teacher, { hidden: 1 })
  const task = distilledMaskedTask(masked, { ...distillation, hidden: 1 })
  const taught = await Trainer.over(distilled, task, options)
  const [{ peakBytes: less }, { peakBytes: more }] = [await plain.plan(32), await taught.plan(32)]
  const places = task.collate([], { batch: 16, sequence: 32, padId: 0 }, stream(0, 'none')).arrays.labels.shape[0]
  const matrix = 4 * places * vocabSize
  // Any step has the logits and their gradient; that of the divergence stands where what was read before is dead.
  expect(less / matrix).toBeGreaterThan(2)
  expect((more - less) / matrix).toBeGreaterThan(1)
  expect((more - less) / matrix).toBeLessThan(1.5)
})
