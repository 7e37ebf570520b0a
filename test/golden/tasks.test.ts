// Every kind of task against Transformers and PyTorch: logits, loss and the gradient of every parameter of one batch, with
// class weights and label smoothing, in f32 on this adapter.
import { readFile } from 'node:fs/promises'
import { afterAll, expect, test } from 'vitest'
import { type Tensor, compile, currentDevice, grad, tensor } from '../../engine/node/index.ts'
import { type ModelConfig, parseConfig } from '../../models/config.ts'
import { createModel, createTokenModel, meanOf } from '../../models/index.ts'
import type { Classifier, SequenceClassifier, TokenClassifier } from '../../models/model.ts'
import type { ForwardContext } from '../../models/nn.ts'
import type { Batch, Encoded, Forward, HostArray, TaskInputs } from '../../train/task.ts'
import { collateClasses, forwardClasses } from '../../train/tasks/classes.ts'
import { collateLabels, forwardLabels } from '../../train/tasks/labels.ts'
import { collateNumbers, forwardNumbers } from '../../train/tasks/regression.ts'
import { collateTokens, forwardTokens } from '../../train/tasks/tokens.ts'
import { expectWithin } from '../support/differences.ts'
import { evaluation } from '../support/models.ts'
import { type Description, type PatternBatch, differenceFrom, fillByPattern, patternBatch, patternUnits, patternWords } from '../support/pattern.ts'

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
}

const LONGEST = 17
const BAR = 1e-4
const SIZES = {
  bert: { vocab_size: 97, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 48 },
  distilbert: { vocab_size: 97, dim: 32, n_layers: 2, n_heads: 4, hidden_dim: 48 },
} as const

const read = async <T>(name: string): Promise<T> =>
  JSON.parse(await readFile(new URL(`tasks/${name}.json`, import.meta.url), 'utf8')) as T
const { cases } = await read<{ cases: Case[] }>('cases')
const expected = await read<Record<string, Expected>>('expected')

afterAll(async () => (await currentDevice()).close())

function configOf({ family, labels, name }: Case): ModelConfig {
  return parseConfig({ model_type: family, max_position_embeddings: 24, num_labels: labels, ...SIZES[family] }, name, name)
}

interface Given {
  readonly batch: Batch
  readonly forward: (model: Classifier, inputs: TaskInputs, context: ForwardContext) => Forward
}

/** A case's batch, its targets by the formula of test/golden/tasks/make.py, and its forward pass. */
function taskOf(one: Case, { ids, types, labels }: PatternBatch): Given {
  const size = { batch: one.lengths.length, sequence: LONGEST, padId: 0 }
  const examples = <Target>(targetOf: (row: number, length: number) => Target): Encoded<Target>[] => one.lengths.map((length, row) => ({
    ids: ids.subarray(row * LONGEST, row * LONGEST + length), typeIds: types.subarray(row * LONGEST, row * LONGEST + length),
    target: targetOf(row, length),
  }))
  switch (one.kind) {
    case 'classes': return {
      batch: collateClasses(examples(row => labels[row]), size, one),
      forward: (model, inputs, context) => forwardClasses(model as SequenceClassifier, inputs, context, one),
    }
    case 'labels': {
      const words = patternWords(`${one.name}.targets`, size.batch * one.labels)
      return {
        batch: collateLabels(examples(row => Array.from(words.subarray(row * one.labels, (row + 1) * one.labels), word => word % 2)), size, one.labels),
        forward: (model, inputs, context) => forwardLabels(model as SequenceClassifier, inputs, context, one),
      }
    }
    case 'regression': {
      const numbers = Array.from(patternUnits(`${one.name}.targets`, size.batch), unit => 2 * unit)
      return {
        batch: collateNumbers(examples(row => numbers[row]), size),
        forward: (model, inputs, context) => forwardNumbers(model as SequenceClassifier, inputs, context),
      }
    }
    case 'tokens': {
      const words = patternWords(`${one.name}.tokens`, size.batch * LONGEST)
      const later = patternWords(`${one.name}.subwords`, size.batch * LONGEST)
      return {
        batch: collateTokens(examples((row, length) => Array.from({ length }, (_, at) => {
          const i = row * LONGEST + at
          return at === 0 || at === length - 1 || later[i] % 3 === 0 ? -100 : words[i] % one.labels
        })), size, one),
        forward: (model, inputs, context) => forwardTokens(model as TokenClassifier, inputs, context, one),
      }
    }
  }
}

const tensorOf = ({ data, shape }: HostArray): Tensor => tensor(data, [...shape])

for (const one of cases) {
  test(`${one.name}: logits, loss and gradients are those of Transformers`, async context => {
    const config = configOf(one)
    const model: Classifier = one.kind === 'tokens' ? createTokenModel(config) : createModel(config)
    const parameters = model.parameters()
    await fillByPattern(parameters, one.seed)
    const pattern = patternBatch({ name: one.name, lengths: one.lengths, sequence: LONGEST, ignore: one.ignore },
      { vocabulary: config.vocabSize, types: config.typeVocab, classes: one.labels })
    const { batch, forward } = taskOf(one, pattern)
    const shape = [batch.batch, batch.sequence]
    const step = compile((ids: Tensor, mask: Tensor, types: Tensor, arrays: Record<string, Tensor>) => {
      const inputs = { ids, mask, types: config.typeVocab > 0 ? types : undefined, arrays }
      const { losses, outputs } = forward(model, inputs, evaluation())
      const loss = meanOf(losses)
      return { loss, outputs, weight: losses.weights.sum(), gradients: grad(loss, parameters.map(p => p.tensor)) }
    })
    const arrays = Object.fromEntries(Object.entries(batch.arrays).map(([name, array]) => [name, tensorOf(array)]))
    const { loss, outputs, weight, gradients } = await step(tensor(batch.ids, shape), tensor(batch.mask, shape), tensor(batch.typeIds, shape), arrays)
    const wanted = expected[one.name]
    const within = (what: string, at: string, worst: number): void => expectWithin(context, { what: `tasks: ${what}`, at: `${one.name}: ${at}`, worst, bar: BAR })
    within('logits', 'logits', differenceFrom(await outputs.data(), 'logits', wanted.logits))
    within('loss', 'loss', Math.abs(await loss.item() - wanted.loss))
    expect(await weight.item()).toBeCloseTo(batch.weight, 4)
    const used = parameters.filter(({ name }) => name in wanted.gradients)
    expect(used.map(({ name }) => name).sort()).toEqual(Object.keys(wanted.gradients).sort())
    for (const [i, { name }] of parameters.entries()) {
      if (name in wanted.gradients) within('gradients', name, differenceFrom(await gradients[i].data(), name, wanted.gradients[name]))
    }
  })
}
