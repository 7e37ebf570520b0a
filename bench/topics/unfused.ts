// DistilBERT's LoRA step in elementary operations alone: what it is before anything is fused, by hand or by the
// compiler. One operation is one dispatch: a matrix product, an elementwise operation, a reduction, a lookup. Views
// cost nothing, as they do in any framework. Used to count; a test sees that it computes the same as the step that the
// trainer runs.
import {
  type PlanSummary,
  type Variable,
  compile,
  dropout,
  grad,
  range,
  scalar,
  tensor,
  variable,
} from '../../engine/index.ts'
import type { Tensor } from '../../engine/tensor.ts'
import type { DistilBertForSequenceClassification } from '../../models/distilbert.ts'
import type { EncoderLayer } from '../../models/encoder.ts'
import type { ForwardContext, LayerNorm, Linear, Parameter } from '../../models/nn.ts'
import { forwardContext } from '../../models/index.ts'

/** Reduces over the last axis, which stays as 1. */
const meanOf = (x: Tensor): Tensor => x.mean(-1, true)

function softmax(scores: Tensor): Tensor {
  const powers = scores.sub(scores.max(-1, true).detach()).exp()
  return powers.div(powers.sum(-1, true))
}

function norm(x: Tensor, { weight, bias, epsilon }: LayerNorm): Tensor {
  const centred = x.sub(meanOf(x))
  const variance = meanOf(centred.square())
  return centred.mul(variance.add(epsilon).rsqrt()).mul(weight.tensor).add(bias.tensor)
}

function linear(x: Tensor, { weight, bias, lora }: Linear): Tensor {
  const product = x.matmul(weight.tensor.transpose())
  const y = bias ? product.add(bias.tensor) : product
  return lora ? y.add(x.matmul(lora.a.tensor.transpose()).matmul(lora.b.tensor.transpose()).mul(lora.scale)) : y
}

function drop(x: Tensor, rate: number, context: ForwardContext): Tensor {
  return dropout(x, rate, context.nextStream(), context.step, context.seed)
}

/** x [batch · sequence, hidden] to the same, or [batch, hidden] where only first tokens are wanted. */
function layer(
  x: Tensor,
  modules: EncoderLayer,
  mask: Tensor,
  batch: number,
  heads: number,
  rates: Rates,
  context: ForwardContext,
  firstOnly: boolean,
): Tensor {
  const [rows, hidden] = x.shape
  const sequence = rows / batch
  const split = (x: Tensor): Tensor => x.reshape([batch, -1, heads, hidden / heads]).permute([0, 2, 1, 3])
  const from = firstOnly ? x.reshape([batch, sequence, hidden]).slice([0, 0], [batch, 1]).reshape([batch, hidden]) : x
  const [queries, keys, values] = [linear(from, modules.query), linear(x, modules.key), linear(x, modules.value)].map(
    split,
  )
  const scores = queries
    .matmul(keys.transpose())
    .mul(1 / Math.sqrt(hidden / heads))
    .add(mask)
  const probabilities = drop(softmax(scores), rates.attention, context)
  const mixed = probabilities.matmul(values).permute([0, 2, 1, 3]).reshape([-1, hidden])
  const attended = norm(linear(mixed, modules.projection).add(from), modules.attentionNorm)
  const wide = linear(attended, modules.up).gelu()
  return norm(drop(linear(wide, modules.down), rates.hidden, context).add(attended), modules.outputNorm)
}

interface Rates {
  readonly hidden: number
  readonly attention: number
}

/** Mean cross-entropy f32 [] of ids and mask i32 [batch, sequence] and labels i32 [batch]. */
function loss(
  model: DistilBertForSequenceClassification,
  ids: Tensor,
  mask: Tensor,
  labels: Tensor,
  context: ForwardContext,
): Tensor {
  const {
    config,
    distilbert: { embeddings, layers },
  } = model
  const [batch, sequence] = ids.shape
  const rates = { hidden: config.dropout, attention: config.attentionDropout }
  const embedded = embeddings.words
    .forward(ids)
    .add(embeddings.positions.first(sequence))
    .reshape([batch * sequence, config.hidden])
  let x = drop(norm(embedded, embeddings.norm), rates.hidden, context)
  const hidden = mask.cast('f32').sub(1).mul(1e9).reshape([batch, 1, 1, sequence])
  layers.forEach((modules, i) => {
    x = layer(x, modules, hidden, batch, config.heads, rates, context, i === layers.length - 1)
  })
  const dense = drop(linear(x, model.preClassifier).relu(), config.classifierDropout, context)
  const logits = linear(dense, model.classifier)
  const shifted = logits.sub(logits.max(-1, true).detach())
  const logProbabilities = shifted.sub(shifted.exp().sum(-1, true).log())
  const right = labels.reshape([batch, 1]).equal(range(config.labels.length)).where(logProbabilities, 0)
  return right.sum().mul(-1 / batch)
}

interface Moments {
  readonly parameter: Parameter
  readonly value: Variable
  readonly m: Variable
  readonly v: Variable
}

/** AdamW for one tensor: `rates` f32 [3] has lr, and 1 / (1 − βᵗ) for both β. */
function adamw({ value, m, v }: Moments, gradient: Tensor, rates: Tensor, weightDecay: number): void {
  const [lr, first, second] = [0, 1, 2].map(i => rates.slice([i], [i + 1]).reshape([]))
  const nextM = m.tensor.mul(0.9).add(gradient.mul(0.1))
  const nextV = v.tensor.mul(0.999).add(gradient.square().mul(0.001))
  const change = nextM.mul(first).div(nextV.mul(second).sqrt().add(1e-8))
  value.assign(value.tensor.sub(value.tensor.mul(weightDecay).add(change).mul(lr)))
  m.assign(nextM)
  v.assign(nextV)
}

/** The step over a model whose adapters are attached, each parameter in a variable of its own. */
export class ElementaryStep {
  readonly #run

  constructor(
    model: DistilBertForSequenceClassification,
    { clip, weightDecay, seed }: { clip: number; weightDecay: number; seed: number },
  ) {
    const trained = model.trainable().map((parameter): Moments => {
      const { variable: value } = parameter
      if (!value) throw new Error(`${parameter.name} shares its memory`)
      const [m, v] = ['m', 'v'].map(part =>
        variable({ shape: parameter.shape, dtype: 'f32' }, `${parameter.name}.${part}`),
      )
      return { parameter, value, m, v }
    })
    this.#run = compile((ids: Tensor, mask: Tensor, labels: Tensor, step: Tensor, rates: Tensor) => {
      const value = loss(model, ids, mask, labels, forwardContext({ training: true, seed, step }))
      const gradients = grad(
        value,
        trained.map(({ parameter }) => parameter.tensor),
      )
      const squares = gradients.map(gradient => gradient.square().sum())
      const length = squares.reduce((a, b) => a.add(b)).sqrt()
      const scale = scalar(clip).div(length.add(1e-6)).minimum(1)
      trained.forEach((one, i) => adamw(one, gradients[i].mul(scale), rates, weightDecay))
      return { value, norm: length }
    })
  }

  /** What it costs over batches of this shape; `unfused` is the count of its operations. */
  async plan(batch: number, sequence: number): Promise<PlanSummary> {
    const size = batch * sequence
    return this.#run.prepare(
      ...inputs(
        { ids: new Int32Array(size), mask: new Int32Array(size), labels: new Int32Array(batch) },
        batch,
        0,
        1,
        0,
      ),
    )
  }

  /** Step `t` = 1, 2, … at rate `lr`, with dropout drawn for `micro`: the loss and the gradient's norm. */
  async run(batch: Arrays, micro: number, t: number, lr: number): Promise<{ loss: number; norm: number }> {
    const { value, norm } = await this.#run(...inputs(batch, batch.labels.length, micro, t, lr))
    return { loss: await value.item(), norm: await norm.item() }
  }
}

/** Ids and mask, row-major [batch, sequence], and labels [batch]. */
export interface Arrays {
  readonly ids: Int32Array
  readonly mask: Int32Array
  readonly labels: Int32Array
}

function inputs(
  { ids, mask, labels }: Arrays,
  batch: number,
  micro: number,
  t: number,
  lr: number,
): [Tensor, Tensor, Tensor, Tensor, Tensor] {
  const shape = [batch, ids.length / batch]
  return [
    tensor(ids, shape),
    tensor(mask, shape),
    tensor(labels),
    tensor(Uint32Array.of(micro), []),
    tensor(Float32Array.of(lr, 1 / (1 - 0.9 ** t), 1 / (1 - 0.999 ** t))),
  ]
}
