// The step in elementary operations that fusion is counted against is the trainer's own step.
import { afterAll, expect, test } from 'vitest'
import { ElementaryStep } from '../../../bench/topics/unfused.ts'
import { currentDevice } from '../../../engine/node/index.ts'
import { DistilBertForSequenceClassification, attachLora, initialise, parseConfig } from '../../../models/index.ts'
import { AdamW } from '../../../train/optimizers/adamw.ts'
import { TrainingSteps } from '../../../train/steps.ts'
import { classesTask } from '../../../train/tasks/classes.ts'

afterAll(async () => (await currentDevice()).close())

const config = parseConfig(
  {
    model_type: 'distilbert',
    vocab_size: 50,
    dim: 32,
    n_layers: 2,
    n_heads: 2,
    hidden_dim: 64,
    max_position_embeddings: 16,
    dropout: 0,
    attention_dropout: 0,
    seq_classif_dropout: 0,
    initializer_range: 0.2,
  },
  'tiny',
  'tiny',
)
/** Small enough to bite. */
const CLIP = 0.05

async function model(): Promise<DistilBertForSequenceClassification> {
  const made = new DistilBertForSequenceClassification(config)
  attachLora(made, { rank: 4, alpha: 8, dropout: 0, targets: ['query', 'value', 'mlp'] })
  await initialise(made.parameters(), 3)
  for (const parameter of made.trainable())
    await parameter.write(
      Float32Array.from({ length: parameter.size }, (_, i) => 0.1 * Math.sin(i * i + parameter.size)),
    )
  return made
}

test('losses and gradient norms of five steps agree, and there are three times as many dispatches at least', async () => {
  const [plain, fused] = [await model(), await model()]
  const parameters = fused.trainable()
  const optimizer = await AdamW.over(parameters, {
    weightDecay: 0.01,
    clip: CLIP,
  })
  const steps = await TrainingSteps.over(fused, classesTask(), parameters, optimizer, {
    seed: 0,
    accumulate: 1,
    scaleLoss: false,
  })
  const elementary = new ElementaryStep(plain, { clip: CLIP, weightDecay: 0.01, seed: 0 })

  const [rows, sequence] = [3, 8]
  const ids = Int32Array.from({ length: rows * sequence }, (_, i) => (7 * i + 3) % 50)
  const mask = Int32Array.from(ids, (_, i) => (i % sequence < 5 + Math.floor(i / sequence) ? 1 : 0))
  const labels = Int32Array.of(0, 1, 1)
  const batch = {
    ids,
    mask,
    typeIds: new Int32Array(ids.length),
    arrays: { labels: { data: labels, shape: [rows] } },
    weight: rows,
    count: rows,
    rows,
    batch: rows,
    windows: rows,
    starts: [0, 1, 2],
    sequence,
    tokens: ids.length,
  }
  for (let t = 1; t <= 5; t++) {
    const {
      parts: [told],
      norm,
    } = await steps.run([batch], t, t, 0.01)
    const wanted = { loss: (await told.data())[0], norm: await norm.item() }
    const got = await elementary.run({ ...batch, labels }, t, t, 0.01)
    expect(wanted.norm).toBeGreaterThan(CLIP)
    expect(Math.abs(got.loss - wanted.loss) / wanted.loss, `loss of step ${t}`).toBeLessThan(1e-5)
    expect(Math.abs(got.norm - wanted.norm) / wanted.norm, `norm of step ${t}`).toBeLessThan(1e-4)
  }
  const [whole, parts] = [await steps.prepare(batch), await elementary.plan(rows, sequence)]
  expect(whole.dispatches).toBeLessThanOrEqual(parts.unfused / 3)
})
