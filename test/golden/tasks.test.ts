// Every kind of task against Transformers and PyTorch: logits, loss and the gradient of every parameter of one batch, with
// class weights and label smoothing, in f32 on this adapter.
import { readFile } from 'node:fs/promises'
import { afterAll, expect, test } from 'vitest'
import { type Tensor, compile, currentDevice, grad, tensor } from '../../engine/node/index.ts'
import { type ModelConfig, parseConfig } from '../../models/config.ts'
import { createModel, createTokenModel, meanOf } from '../../models/index.ts'
import type { Classifier, SequenceClassifier, TokenClassifier } from '../../models/model.ts'
import type { ForwardContext } from '../../models/nn.ts'
import type { Forward, HostArray, TaskInputs, Targets } from '../../train/task.ts'
import { classForward, classTargets } from '../../train/tasks/classes.ts'
import { labelForward, labelTargets } from '../../train/tasks/labels.ts'
import { numberTargets, regressionForward } from '../../train/tasks/regression.ts'
import { tokenForward, tokenTargets } from '../../train/tasks/tokens.ts'
import { expectWithin } from '../support/differences.ts'
import { evaluation } from '../support/models.ts'
import { type Description, differenceFrom, fillByPattern, patternBatch, patternUnits, patternWords } from '../support/pattern.ts'

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

/** A case's targets, by the formula of test/golden/tasks/make.py, and its forward pass. */
function taskOf(one: Case, labels: Int32Array): { targets: Targets, forward: (model: Classifier, inputs: TaskInputs, context: ForwardContext) => Forward } {
  const batch = one.lengths.length
  const shape = { batch, sequence: LONGEST }
  switch (one.kind) {
    case 'classes': return {
      targets: classTargets([...labels], shape, one),
      forward: (model, inputs, context) => classForward(model as SequenceClassifier, inputs, context, one),
    }
    case 'labels': {
      const words = patternWords(`${one.name}.targets`, batch * one.labels)
      const rows = one.lengths.map((_, row) => Array.from(words.subarray(row * one.labels, (row + 1) * one.labels), word => word % 2))
      return {
        targets: labelTargets(rows, shape, one.labels),
        forward: (model, inputs, context) => labelForward(model as SequenceClassifier, inputs, context, one),
      }
    }
    case 'regression': return {
      targets: numberTargets(Array.from(patternUnits(`${one.name}.targets`, batch), unit => 2 * unit), shape),
      forward: (model, inputs, context) => regressionForward(model as SequenceClassifier, inputs, context),
    }
    case 'tokens': {
      const ids = patternWords(`${one.name}.tokens`, batch * LONGEST)
      const later = patternWords(`${one.name}.subwords`, batch * LONGEST)
      const rows = one.lengths.map((length, row) => Array.from({ length }, (_, at) => {
        const i = row * LONGEST + at
        return at === 0 || at === length - 1 || later[i] % 3 === 0 ? -100 : ids[i] % one.labels
      }))
      return {
        targets: tokenTargets(rows, shape, one),
        forward: (model, inputs, context) => tokenForward(model as TokenClassifier, inputs, context, one),
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
    const batch = patternBatch({ name: one.name, lengths: one.lengths, sequence: LONGEST, ignore: one.ignore },
      { vocabulary: config.vocabSize, types: config.typeVocab, classes: one.labels })
    const { targets, forward } = taskOf(one, batch.labels)
    const shape = [batch.batch, batch.sequence]
    const step = compile((ids: Tensor, mask: Tensor, types: Tensor, given: Record<string, Tensor>) => {
      const inputs = { ids, mask, types: config.typeVocab > 0 ? types : undefined, targets: given }
      const { losses, outputs } = forward(model, inputs, evaluation())
      const loss = meanOf(losses)
      return { loss, outputs, weight: losses.weights.sum(), gradients: grad(loss, parameters.map(p => p.tensor)) }
    })
    const given = Object.fromEntries(Object.entries(targets.arrays).map(([name, array]) => [name, tensorOf(array)]))
    const { loss, outputs, weight, gradients } = await step(tensor(batch.ids, shape), tensor(batch.mask, shape), tensor(batch.types, shape), given)
    const wanted = expected[one.name]
    const within = (what: string, at: string, worst: number): void => expectWithin(context, { what: `tasks: ${what}`, at: `${one.name}: ${at}`, worst, bar: BAR })
    within('logits', 'logits', differenceFrom(await outputs.data(), 'logits', wanted.logits))
    within('loss', 'loss', Math.abs(await loss.item() - wanted.loss))
    expect(await weight.item()).toBeCloseTo(targets.weight, 4)
    const used = parameters.filter(({ name }) => name in wanted.gradients)
    expect(used.map(({ name }) => name).sort()).toEqual(Object.keys(wanted.gradients).sort())
    for (const [i, { name }] of parameters.entries()) {
      if (name in wanted.gradients) within('gradients', name, differenceFrom(await gradients[i].data(), name, wanted.gradients[name]))
    }
  })
}
