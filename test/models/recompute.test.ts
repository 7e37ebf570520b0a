// Recomputation gives the same gradients from less memory, dropout included.
import { afterAll, expect, test } from 'vitest'
import { type Tensor, compile, currentDevice, grad, tensor } from '../../engine/node/index.ts'
import { reference } from '../../engine/reference.ts'
import { parseConfig } from '../../models/config.ts'
import { createModel, initialise, parseTargets, setTuning } from '../../models/index.ts'
import type { SequenceClassifier } from '../../models/model.ts'
import { forwardContext } from '../../models/nn.ts'
import { feedsFor, integers } from '../support/models.ts'
import { noises } from '../support/ops.ts'

afterAll(async () => (await currentDevice()).close())

const FIELDS = {
  model_type: 'bert',
  vocab_size: 13,
  hidden_size: 16,
  num_hidden_layers: 4,
  num_attention_heads: 2,
  intermediate_size: 32,
  max_position_embeddings: 16,
  hidden_dropout_prob: 0.1,
  attention_probs_dropout_prob: 0.1,
}
const [batch, sequence] = [3, 16]
const ids = integers(
  Array.from({ length: batch }, (_, i) => Array.from({ length: sequence }, (_, j) => (i * 5 + j * 3) % 13)),
)
const mask = integers(
  Array.from({ length: batch }, (_, i) => Array.from({ length: sequence }, (_, j) => (j < 16 - 5 * i ? 1 : 0))),
)
const labels = tensor(Int32Array.of(0, 1, 0), [3])

function model(tune: 'lora' | 'full'): SequenceClassifier {
  const made = createModel(parseConfig(FIELDS, 'test', 'tiny'))
  setTuning(
    made,
    tune,
    tune === 'lora'
      ? { rank: 2, alpha: 3, dropout: 0.1, targets: parseTargets('query,value,mlp'), trainHead: true }
      : undefined,
  )
  return made
}

/** The loss and every gradient. */
function outputs(of: SequenceClassifier, recompute: boolean): Tensor[] {
  const layers: Tensor[] = []
  const context = forwardContext({
    training: true,
    seed: 3,
    step: tensor(Uint32Array.of(5), []),
    onLayer: hidden => {
      layers.push(hidden)
    },
  })
  const loss = of.loss(ids, mask, undefined, labels, context)
  expect(layers.length).toBe(5)
  return [
    loss,
    ...grad(
      loss,
      of.trainable().map(p => p.tensor),
      undefined,
      recompute ? layers.slice(0, -1) : [],
    ),
  ]
}

test.each(['lora', 'full'] as const)('the gradients of BERT tuned by %s are the same, in float64 to the bit', tune => {
  const made = model(tune)
  const feeds = feedsFor(
    made,
    new Map(made.parameters().map((p, i) => [p.name, Float64Array.from(noises(p.size, i), x => 0.3 * x)])),
  )
  const [kept, again] = [reference(outputs(made, false), feeds), reference(outputs(made, true), feeds)]
  expect(kept.slice(1).every(gradient => gradient.some(x => x !== 0))).toBe(true)
  expect(again).toEqual(kept)
})

test('on the device too, with less memory', async () => {
  const made = model('lora')
  await initialise(made.parameters(), 1)
  const [keeping, recomputing] = [compile(() => outputs(made, false)), compile(() => outputs(made, true))]
  const [kept, again] = [await keeping(), await recomputing()]
  for (const [i, tensor] of kept.entries()) {
    const [x, y] = [await tensor.data(), await again[i].data()]
    const size = Math.max(...x.map(Math.abs))
    y.forEach((value, at) => expect(Math.abs(value - x[at])).toBeLessThanOrEqual(1e-5 * size))
  }
  const [full, less] = [await keeping.prepare(), await recomputing.prepare()]
  expect(less.liveBytes).toBeLessThan(0.7 * full.liveBytes)
  expect(less.dispatches).toBeGreaterThan(full.dispatches)
})
