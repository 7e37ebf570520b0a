// Every kind of task against Transformers, PEFT and PyTorch: logits, loss and the gradient of every parameter of one
// batch, then twenty steps of LoRA with a trained head on it, all with class weights and label smoothing, in f32 on
// this adapter. And the same with one of them left out, which must not pass.
import { readFile } from 'node:fs/promises'
import { type TestContext, afterAll, describe, expect, test } from 'vitest'
import { type Tensor, compile, currentDevice, grad, tensor } from '../../engine/node/index.ts'
import { type ModelConfig, parseConfig } from '../../models/config.ts'
import { createModel, createTokenModel, meanOf, setTuning } from '../../models/index.ts'
import type { Classifier } from '../../models/model.ts'
import { AdamW } from '../../train/optimizers/adamw.ts'
import { stream } from '../../train/random.ts'
import { schedule } from '../../train/schedules.ts'
import { TrainingSteps } from '../../train/steps.ts'
import type { Batch, Encoded, HostArray, Task } from '../../train/task.ts'
import { createTask } from '../../train/tasks/index.ts'
import type { Target } from '../../train/tasks/infer.ts'
import { expectWithin } from '../support/differences.ts'
import { evaluation } from '../support/models.ts'
import {
  type Description,
  differenceFrom,
  fillByPattern,
  patternBatch,
  patternUnits,
  patternWords,
} from '../support/pattern.ts'

interface Case {
  readonly name: string
  readonly kind: 'classes' | 'labels' | 'regression' | 'tokens'
  readonly family: 'bert' | 'distilbert'
  readonly labels: number
  readonly seed: number
  readonly lengths: readonly number[]
  readonly ignore: readonly number[]
  readonly classWeights?: readonly number[]
  readonly positiveWeights?: readonly number[]
  readonly labelSmoothing?: number
}

interface Expected {
  readonly logits: Description
  readonly loss: number
  readonly gradients: Readonly<Record<string, Description>>
  readonly steps: {
    readonly losses: readonly number[]
    readonly norms: readonly number[]
    readonly trained: Readonly<Record<string, Description>>
  }
}

const LONGEST = 17
const BAR = 1e-4
const SIZES = {
  bert: {
    vocab_size: 97,
    hidden_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 48,
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
  },
  distilbert: {
    vocab_size: 97,
    dim: 32,
    n_layers: 2,
    n_heads: 4,
    hidden_dim: 48,
    dropout: 0,
    attention_dropout: 0,
    seq_classif_dropout: 0,
  },
} as const

const read = async <T>(name: string): Promise<T> =>
  JSON.parse(await readFile(new URL(`tasks/${name}.json`, import.meta.url), 'utf8')) as T
const {
  optimizer: OPTIMIZER,
  lora: LORA,
  cases,
} = await read<{
  optimizer: { lr: number; weightDecay: number; clip: number; warmup: number; steps: number }
  lora: { rank: number; alpha: number }
  cases: Case[]
}>('cases')
const expected = await read<Record<string, Expected>>('expected')

afterAll(async () => (await currentDevice()).close())

function caseOf(name: string): Case {
  const found = cases.find(one => one.name === name)
  if (!found) throw new Error(`no case is called ${name}`)
  return found
}

function modelOf({ family, labels, name, kind }: Case): Classifier {
  const json = { model_type: family, max_position_embeddings: 24, num_labels: labels, ...SIZES[family] }
  const config: ModelConfig = parseConfig(json, name, name)
  return kind === 'tokens' ? createTokenModel(config) : createModel(config)
}

function taskOf({ kind, labels, classWeights, positiveWeights, labelSmoothing }: Case): Task<Target, Classifier> {
  const names = Array.from({ length: labels }, (_, i) => `LABEL_${i}`)
  return createTask(kind, { labels: names, classWeights: classWeights ?? positiveWeights, labelSmoothing })
}

/** A case's texts and targets, by the formulas of test/golden/tasks/make.py. */
function examplesOf(one: Case, { config }: Classifier): Encoded<Target>[] {
  const { name, kind, lengths, ignore } = one
  const batch = lengths.length
  const { ids, types, labels } = patternBatch(
    { name, lengths, sequence: LONGEST, ignore },
    { vocabulary: config.vocabSize, types: config.typeVocab, classes: one.labels },
  )
  const wanted = patternWords(`${name}.targets`, batch * one.labels)
  const numbers = patternUnits(`${name}.targets`, batch)
  const tags = patternWords(`${name}.tokens`, batch * LONGEST)
  const later = patternWords(`${name}.subwords`, batch * LONGEST)
  const targetOf = (row: number, length: number): Target => {
    if (kind === 'classes') return labels[row]
    if (kind === 'labels') {
      return Array.from(wanted.subarray(row * one.labels, (row + 1) * one.labels), word => word % 2)
    }
    if (kind === 'regression') return 2 * numbers[row]
    return Array.from({ length }, (_, at) => {
      const i = row * LONGEST + at
      return at === 0 || at === length - 1 || later[i] % 3 === 0 ? -100 : tags[i] % one.labels
    })
  }
  return lengths.map((length, row) => ({
    ids: ids.subarray(row * LONGEST, row * LONGEST + length),
    typeIds: types.subarray(row * LONGEST, row * LONGEST + length),
    target: targetOf(row, length),
  }))
}

const collated = (task: Task<Target, Classifier>, examples: readonly Encoded<Target>[]): Batch =>
  task.collate(examples, { batch: examples.length, sequence: LONGEST, padId: 0 }, stream(0, 'none'))

const tensorOf = ({ data, shape }: HostArray): Tensor => tensor(data, [...shape])

for (const one of cases) {
  test(`${one.name}: logits, loss and gradients are those of Transformers`, async context => {
    const model = modelOf(one)
    const parameters = model.parameters()
    await fillByPattern(parameters, one.seed)
    const task = taskOf(one)
    const batch = collated(task, examplesOf(one, model))
    const shape = [batch.batch, batch.sequence]
    const step = compile((ids: Tensor, mask: Tensor, types: Tensor, arrays: Record<string, Tensor>) => {
      const inputs = { ids, mask, types: model.config.typeVocab > 0 ? types : undefined, arrays }
      const { losses, outputs } = task.forward(model, inputs, evaluation())
      const loss = meanOf(losses)
      return {
        loss,
        outputs,
        weight: losses.weights.sum(),
        gradients: grad(
          loss,
          parameters.map(p => p.tensor),
        ),
      }
    })
    const arrays = Object.fromEntries(Object.entries(batch.arrays).map(([name, array]) => [name, tensorOf(array)]))
    const texts = [batch.ids, batch.mask, batch.typeIds].map(data => tensor(data, shape))
    const { loss, outputs, weight, gradients } = await step(texts[0], texts[1], texts[2], arrays)
    const wanted = expected[one.name]
    const within = (what: string, at: string, worst: number): void =>
      expectWithin(context, { what: `tasks: ${what}`, at: `${one.name}: ${at}`, worst, bar: BAR })
    within('logits', 'logits', differenceFrom(await outputs.data(), 'logits', wanted.logits))
    within('loss', 'loss', Math.abs((await loss.item()) - wanted.loss))
    expect(await weight.item()).toBeCloseTo(batch.weight, 4)
    const used = parameters.filter(({ name }) => name in wanted.gradients)
    expect(used.map(({ name }) => name).sort()).toEqual(Object.keys(wanted.gradients).sort())
    for (const [i, { name }] of parameters.entries()) {
      if (!(name in wanted.gradients)) continue
      within('gradients', name, differenceFrom(await gradients[i].data(), name, wanted.gradients[name]))
    }
  })
}

interface Trained {
  readonly losses: readonly number[]
  readonly norms: readonly number[]
  readonly trained: ReadonlyMap<string, Float32Array>
}

/** LoRA with a trained head: steps over all examples of a case at once, or over so many of them a batch. */
async function train(one: Case, { until = OPTIMIZER.steps, rows = one.lengths.length } = {}): Promise<Trained> {
  const model = modelOf(one)
  setTuning(model, 'lora', { ...LORA, dropout: 0, targets: ['query', 'value'], trainHead: true })
  await fillByPattern(
    model.parameters().filter(({ name }) => !name.includes('lora_B')),
    one.seed,
  )
  const task = taskOf(one)
  const examples = examplesOf(one, model)
  const batches = Array.from({ length: examples.length / rows }, (_, i) =>
    collated(task, examples.slice(i * rows, (i + 1) * rows)),
  )
  const parameters = model.trainable()
  const { weightDecay, clip, lr, warmup, steps: total } = OPTIMIZER
  const optimizer = await AdamW.over(parameters, { weightDecay, clip })
  const steps = await TrainingSteps.over(model, task, parameters, optimizer, {
    seed: 0,
    accumulate: batches.length,
    scaleLoss: false,
  })
  const factor = schedule('linear', { warmup, steps: total })
  const losses: number[] = []
  const norms: number[] = []
  for (let step = 0; step < until; step++) {
    const { parts, norm } = await steps.run(batches, 0, step + 1, lr * factor(step))
    const told = await Promise.all(parts.map(part => part.data()))
    losses.push(told.reduce((sum, [loss]) => sum + loss, 0))
    norms.push(await norm.item())
  }
  const trained = new Map<string, Float32Array>()
  for (const parameter of parameters) trained.set(parameter.name, await parameter.read())
  return { losses, norms, trained }
}

/** Largest difference by the size of what is wanted, of as many as were found. */
const relative = (found: readonly number[], wanted: readonly number[]): number =>
  Math.max(...found.map((value, i) => Math.abs(value - wanted[i]) / Math.abs(wanted[i])))

/** Throws unless a run's losses, norms and trained weights are those of PEFT. */
function expectWanted(
  context: TestContext,
  at: string,
  { losses, norms, trained }: Trained,
  wanted: Expected['steps'],
): void {
  const within = (what: string, worst: number): void =>
    expectWithin(context, { what: `tasks, 20 steps of LoRA: ${what}`, at, worst, bar: BAR })
  expect([losses.length, norms.length]).toEqual([wanted.losses.length, wanted.norms.length])
  within('losses, relative', relative(losses, wanted.losses))
  within('norms, relative', relative(norms, wanted.norms))
  expect([...trained.keys()].sort()).toEqual(Object.keys(wanted.trained).sort())
  const differences = [...trained].map(([name, values]) => differenceFrom(values, name, wanted.trained[name]))
  within('trained weights', Math.max(...differences))
}

describe('twenty steps of LoRA with a trained head', () => {
  for (const one of cases) {
    test(`${one.name}: losses, norms and trained weights are those of PEFT`, async context => {
      const { steps } = expected[one.name]
      expect([steps.losses.length, steps.losses[19] < steps.losses[0]]).toEqual([20, true])
      expectWanted(context, one.name, await train(one), steps)
    })
  }

  test('of two batches each are those of one whole batch, by the weight of the labels in each', async context => {
    const one = caseOf('bert, a label a token')
    expectWanted(context, `${one.name}, in two batches`, await train(one, { rows: 4 }), expected[one.name].steps)
  })

  const slips: readonly (readonly [string, string, Partial<Case>])[] = [
    ['bert, three classes', 'class weights', { classWeights: undefined }],
    ['bert, three classes', 'label smoothing', { labelSmoothing: undefined }],
    ['bert, five labels at once', 'positive weights', { positiveWeights: undefined }],
    ['bert, five labels at once', 'label smoothing', { labelSmoothing: undefined }],
  ]
  test.each(slips)('%s: would not pass without %s', async (name, _what, slip) => {
    const { losses } = await train({ ...caseOf(name), ...slip }, { until: 1 })
    expect(relative(losses, expected[name].steps.losses)).toBeGreaterThan(10 * BAR)
  })
})
