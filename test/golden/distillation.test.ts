// The losses of distillation against PyTorch and Transformers: of tasks with their gradients in the outputs, of
// masked-language models with every gradient of the student and of the projection, in f32 on this adapter.
import { readFile } from 'node:fs/promises'
import { afterAll, expect, test } from 'vitest'
import { type Tensor, compile, currentDevice, grad, scalar, tensor } from '../../engine/node/index.ts'
import { createMaskedModel, meanOf, parseConfig } from '../../models/index.ts'
import { Classifier } from '../../models/model.ts'
import { forwardContext } from '../../models/nn.ts'
import { stream } from '../../train/random.ts'
import type { Batch, TaskInputs } from '../../train/task.ts'
import { DistilledMaskedLM, distilledMaskedTask, layerOf } from '../../train/tasks/distilled-masked-lm.ts'
import { createTask } from '../../train/tasks/index.ts'
import type { Target, TaskName } from '../../train/tasks/infer.ts'
import { expectWithin, largestDifference } from '../support/differences.ts'
import {
  type Description,
  differenceFrom,
  fillByPattern,
  patternBatch,
  patternUnits,
  patternWords,
} from '../support/pattern.ts'

interface TaskCase {
  readonly name: string
  /** Width of the outputs; 1 when left out. */
  readonly classes?: number
  readonly temperature?: number
  readonly weight: number
  readonly scale: number
}

interface Sizes {
  readonly hidden: number
  readonly layers: number
  readonly heads: number
}

interface MaskedCase {
  readonly name: string
  readonly seed: number
  readonly student: Sizes
  readonly teacher: Sizes
  readonly temperature: number
  readonly weight: number
  readonly hidden: number
}

interface Expected {
  readonly loss: number
  /** Of tasks: what distillation adds, and the gradient in the outputs. */
  readonly distance: number
  readonly gradient: readonly number[]
  readonly parts: Readonly<Record<string, number>>
  readonly gradients: Readonly<Record<string, Description>>
}

const read = async <T>(name: string): Promise<T> =>
  JSON.parse(await readFile(new URL(`distillation/${name}.json`, import.meta.url), 'utf8')) as T
const { rows, masked, ...tasks } = await read<
  { rows: number; masked: MaskedCase[] } & Record<'classes' | 'labels' | 'regression', TaskCase[]>
>('cases')
const expected = await read<Record<string, Expected>>('expected')
const BAR = 2e-5

afterAll(async () => (await currentDevice()).close())

const training = () => forwardContext({ training: true, seed: 1, step: scalar(0, 'u32') })
const tensorsOf = ({ arrays }: Batch): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(arrays).map(([name, { data, shape }]) => [name, tensor(data, [...shape])]))

/** A classifier whose outputs are a tensor, whatever it is asked. */
class Fixed extends Classifier {
  readonly architecture = 'Fixed'
  readonly outputs: Tensor

  constructor(outputs: Tensor) {
    super(
      parseConfig({ model_type: 'bert', vocab_size: 8, hidden_size: 8, num_attention_heads: 1 }, 'fixed', 'fixed'),
      '',
    )
    this.outputs = outputs
  }

  logits(): Tensor {
    return this.outputs
  }

  targets(): [] {
    return []
  }

  head(): [] {
    return []
  }
}

function targetsOf(kind: TaskName, { name, classes = 1 }: TaskCase): Target[] {
  if (kind === 'classes') return Array.from(patternWords(`${name}.labels`, rows), word => word % classes)
  if (kind === 'regression') return Array.from(patternUnits(`${name}.labels`, rows), unit => Math.fround(2 * unit))
  const wanted = Array.from(patternWords(`${name}.labels`, rows * classes), word => word % 2)
  return Array.from({ length: rows }, (_, row) => wanted.slice(row * classes, (row + 1) * classes))
}

for (const kind of ['classes', 'labels', 'regression'] as const) {
  test.each(tasks[kind])(`the loss of $name and its gradient are PyTorch's`, async one => {
    const { name, classes = 1, temperature = 2, weight, scale } = one
    const [student, teacher] = ['student', 'teacher'].map(side =>
      Float32Array.from(patternUnits(`${name}.${side}`, rows * classes), unit => scale * unit),
    )
    const labels = Array.from({ length: classes }, (_, i) => `LABEL_${i}`)
    const task = createTask(kind, { labels, distillation: { weight, temperature } })
    const examples = targetsOf(kind, one).map((target, row) => ({
      ids: [2, 3],
      target,
      taught: teacher.subarray(row * classes, (row + 1) * classes),
    }))
    // One row more than there are examples.
    const batch = task.collate(examples, { batch: rows + 1, sequence: 4, padId: 0 }, stream(0, 'none'))
    const padded = new Float32Array((rows + 1) * classes)
    padded.set(student)
    const step = compile((outputs: Tensor, ids: Tensor, mask: Tensor, arrays: Record<string, Tensor>) => {
      const inputs: TaskInputs = { ids, mask, types: undefined, arrays }
      const { losses, sums } = task.forward(new Fixed(outputs), inputs, training())
      const loss = meanOf(losses)
      return { loss, distance: sums.distill_loss, gradient: grad(loss, [outputs])[0] }
    })
    const texts = [batch.ids, batch.mask].map(data => tensor(data, [rows + 1, 4]))
    const found = await step(tensor(padded, [rows + 1, classes]), texts[0], texts[1], tensorsOf(batch))
    const wanted = expected[name]
    expect(Math.abs((await found.loss.item()) - wanted.loss) / wanted.loss).toBeLessThan(BAR)
    expect(Math.abs((await found.distance.item()) / rows - wanted.distance) / wanted.distance).toBeLessThan(BAR)
    const gradient = await found.gradient.data()
    expect(largestDifference(gradient.subarray(0, rows * classes), wanted.gradient)).toBeLessThan(BAR)
    expect([...gradient.subarray(rows * classes)].every(value => value === 0)).toBe(true)
  })
}

const LENGTHS = [9, 6, 3]
const VOCABULARY = 37

function modelOf({ hidden, layers, heads }: Sizes) {
  const json = {
    model_type: 'bert',
    vocab_size: VOCABULARY,
    hidden_size: hidden,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    intermediate_size: 2 * hidden,
    max_position_embeddings: 12,
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
  }
  return createMaskedModel(parseConfig(json, 'masked', 'masked'))
}

test.for(masked)('$name: loss, its parts and all gradients are those of Transformers', async (one, context) => {
  const { name, seed, weight, temperature, hidden } = one
  const model = new DistilledMaskedLM(modelOf(one.student), modelOf(one.teacher), { hidden })
  const parameters = model.parameters()
  await fillByPattern(parameters, seed)
  await fillByPattern(model.teacher.parameters(), seed + 100)
  const { ids, mask, types, batch, sequence } = patternBatch(
    { name, lengths: LENGTHS },
    { vocabulary: VOCABULARY, types: 2, classes: 2 },
  )
  const places = LENGTHS.flatMap((length, row) =>
    Array.from({ length: Math.ceil((length - 2) / 3) }, (_, i) => row * sequence + 1 + 3 * i),
  )
  const tokens = Array.from(patternWords(`${name}.tokens`, places.length), word => 4 + (word % (VOCABULARY - 4)))
  // Places that are not used do not count.
  const arrays = {
    positions: tensor(Int32Array.from([...places, 0, 0]), [places.length + 2]),
    labels: tensor(Int32Array.from([...tokens, -100, -100]), [places.length + 2]),
  }
  const task = distilledMaskedTask(
    { maskId: 4, special: new Set([0]), vocabSize: VOCABULARY },
    { weight, temperature, hidden },
  )
  const step = compile((ids: Tensor, mask: Tensor, types: Tensor, arrays: Record<string, Tensor>) => {
    const { losses, sums } = task.forward(model, { ids, mask, types, arrays }, training())
    const loss = meanOf(losses)
    const tensors = parameters.map(p => p.tensor)
    return { loss, sums: task.sums.slice(1).map(name => sums[name]), gradients: grad(loss, tensors) }
  })
  const texts = [ids, mask, types].map(data => tensor(data, [batch, sequence]))
  const { loss, sums, gradients } = await step(texts[0], texts[1], texts[2], arrays)
  const wanted = expected[name]
  const within = (what: string, at: string, worst: number): void =>
    expectWithin(context, { what: `distillation: ${what}`, at: `${name}: ${at}`, worst, bar: 1e-4 })
  within('loss', 'loss', Math.abs((await loss.item()) - wanted.loss))
  expect(task.sums).toEqual(['accuracy', 'task_loss', 'distill_loss', ...(hidden > 0 ? ['hidden_loss'] : [])])
  for (const [i, part] of task.sums.slice(1).entries()) {
    within('parts of the loss', part, Math.abs((await sums[i].item()) / places.length - wanted.parts[part]))
  }
  const used = parameters.filter(({ name }) => name in wanted.gradients)
  expect(used.map(({ name }) => name).sort()).toEqual(Object.keys(wanted.gradients).sort())
  for (const [i, { name }] of parameters.entries()) {
    within('gradients', name, differenceFrom(await gradients[i].data(), name, wanted.gradients[name]))
  }
})

test('layers are spread evenly, from the embeddings to the last', () => {
  const layers = (student: number, teacher: number): number[] =>
    Array.from({ length: student + 1 }, (_, state) => layerOf(state, student, teacher))
  expect(layers(4, 12)).toEqual([0, 3, 6, 9, 12])
  expect(layers(2, 5)).toEqual([0, 3, 5])
  expect(layers(3, 3)).toEqual([0, 1, 2, 3])
  expect(layers(4, 2)).toEqual([0, 1, 1, 2, 2])
})
