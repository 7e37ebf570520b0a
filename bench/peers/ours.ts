// The problems in tilegrad.
import {
  attention,
  compile,
  conv2d,
  crossEntropyLoss,
  grad,
  openDevice,
  scalar,
  tensor,
  useDevice,
  variable,
  type Variable,
} from '../../engine/index.ts'
import { openAdapter } from '../../engine/node/adapters.ts'
import type { Tensor } from '../../engine/tensor.ts'
import { BertForSequenceClassification } from '../../models/bert.ts'
import {
  attachLora,
  createModel,
  forwardContext,
  parseConfig,
  type ModelConfig,
  type Parameter,
} from '../../models/index.ts'
import { Embedding, LayerNorm, Linear, Module } from '../../models/nn/index.ts'
import { Adam, AdamW } from '../../train/optimizers/adamw.ts'
import { TrainingSteps } from '../../train/steps.ts'
import { classesTask } from '../../train/tasks/classes.ts'
import { chooseKernels } from '../adapter.ts'
import { type Answers, type Loaded, type Open, TUNING, trained } from './engine.ts'
import {
  type Weight,
  bertWeights,
  gptWeights,
  layerInputs,
  layerName,
  layerWeights,
  textBatch,
  tokenBatch,
  uniform,
} from './inputs.ts'
import {
  ADAM,
  EPSILON,
  type BertConfig,
  type GptConfig,
  type LayerConfig,
  type Problem,
  numberOfCall,
} from './problems.ts'

export const open: Open = async adapter => {
  const opened = await openAdapter({ name: adapter })
  const device = await openDevice(opened.adapter, opened.info)
  useDevice(device)
  await chooseKernels(TUNING, device)
  return { name: 'tilegrad', load }
}

/** A problem on the current device. */
export async function load(problem: Problem): Promise<Loaded> {
  switch (problem.kind) {
    case 'matmul': {
      const { m, k, n } = problem
      const [a, b] = [await resident('a', [m, k]), await resident('b', [k, n])]
      return single([a, b], () => a.tensor.matmul(b.tensor))
    }
    case 'softmax': {
      const x = await resident('x', [problem.rows, problem.columns])
      return single([x], () => x.tensor.softmax())
    }
    case 'layer norm': {
      const x = await resident('x', [problem.rows, problem.columns])
      const [gamma, beta] = [await resident('gamma', [problem.columns]), await resident('beta', [problem.columns])]
      return single([x, gamma, beta], () => x.tensor.layerNorm(gamma.tensor, beta.tensor, EPSILON))
    }
    case 'gelu': {
      const x = await resident('x', [problem.rows, problem.columns])
      return single([x], () => x.tensor.gelu())
    }
    case 'argmax': {
      const x = await resident('x', [problem.rows, problem.columns])
      return single([x], () => x.tensor.argmax(1).cast('f32'))
    }
    case 'cumsum': {
      const x = await resident('x', [problem.rows, problem.columns])
      return single([x], () => x.tensor.cumsum(1))
    }
    case 'top k': {
      const x = await resident('x', [problem.rows, problem.columns])
      return single([x], () => x.tensor.topK(problem.k, 1).values)
    }
    case 'conv2d': {
      const { batch, channels, outputs, size, kernel, backward } = problem
      const x = await resident('x', [batch, channels, size, size])
      const w = await resident('w', [outputs, channels, kernel, kernel])
      return withGradients({ x, w }, () => conv2d(x.tensor, w.tensor, { padding: 'same' }), backward)
    }
    case 'causal attention': {
      const { batch, sequence, heads, headSize, backward } = problem
      const shape = [batch, sequence, heads, headSize]
      const [q, k, v] = [await resident('q', shape), await resident('k', shape), await resident('v', shape)]
      return withGradients({ q, k, v }, () => attention(q.tensor, k.tensor, v.tensor, { causal: true }), backward)
    }
    case 'eager':
      return eager(problem)
    case 'encoder layer':
      return layer(problem.config, problem.backward)
    case 'lora step':
      return training(problem.config)
    case 'gpt step':
      return gpt(problem.config)
  }
}

async function resident(name: string, shape: readonly number[], values?: Float32Array<ArrayBuffer>): Promise<Variable> {
  const made = variable({ shape, dtype: 'f32' }, name)
  await made.write(values ?? uniform(name, shape))
  return made
}

/** One result of a few residents. */
function single(held: readonly Variable[], fn: () => Tensor): Loaded {
  const call = compile(() => ({ y: fn() }))
  const read = async (): Promise<Float32Array> => floats(await (await call()).y.data())
  return {
    async run() {
      await read()
    },
    async answers() {
      return { y: await read() }
    },
    dispose() {
      for (const one of held) one.release()
    },
  }
}

/** y, or the gradients of Σ y² by what it depends on. */
function withGradients(held: Readonly<Record<string, Variable>>, fn: () => Tensor, backward: boolean): Loaded {
  const [names, variables] = [Object.keys(held), Object.values(held)]
  const forward = single(variables, fn)
  if (!backward) return forward
  const call = compile(() => {
    const wrt = variables.map(({ tensor }) => tensor)
    return grad(fn().square().sum(), wrt)
  })
  const read = async (): Promise<Float32Array[]> => {
    const gradients = await call()
    return Promise.all(gradients.map(async gradient => floats(await gradient.data())))
  }
  return {
    async run() {
      await read()
    },
    async answers() {
      const gradients = await read()
      return Object.fromEntries(names.map((name, i) => [`d${name}`, gradients[i]]))
    },
    dispose: () => forward.dispose(),
  }
}

async function eager({ expression, shape, calls }: Extract<Problem, { kind: 'eager' }>): Promise<Loaded> {
  const x = await resident('x', shape)
  const { tensor: t } = x
  const make = (n: number): Tensor => {
    switch (expression) {
      case 'addition':
        return t.add(n)
      case 'chain':
        return t.mul(n).add(1).square().sqrt().sub(0.5).mul(0.25).tanh().exp()
      case 'softmax of product':
        return t.matmul(t).softmax().mul(t).sum()
    }
  }
  return {
    async run() {
      for (let i = 0; i < calls; i++) await make(numberOfCall(i)).data()
    },
    async answers() {
      return { y: floats(await make(numberOfCall(3)).data()) }
    },
    dispose() {
      x.release()
    },
  }
}

async function layer(config: LayerConfig, backward: boolean): Promise<Loaded> {
  const { batch, sequence, hidden } = config
  const inputs = layerInputs(config)
  const shape = [batch * sequence, hidden]
  const [x, c] = [await resident('layer x', shape, inputs.x), await resident('layer c', shape, inputs.c)]
  const model = new BertForSequenceClassification(
    modelConfig({ ...config, layers: 1, vocabulary: 2, positions: sequence }),
  )
  const [encoder] = model.bert.layers
  const parameters = encoder.parameters()
  await fill(parameters, layerWeights(layerName(0), config))
  const forward = (): Tensor =>
    encoder.forward(x.tensor, undefined, batch, forwardContext({ training: false, seed: 0, step: scalar(0, 'u32') }))
  const dispose = (): void => {
    for (const held of [x, c, ...parameters.map(parameter => parameter.variable)]) held?.release()
  }
  if (!backward) return { ...single([], forward), dispose }
  const call = compile(() => {
    const loss = forward().mul(c.tensor).sum()
    const [dx, ...gradients] = grad(loss, [x.tensor, ...parameters.map(parameter => parameter.tensor)])
    return { loss, dx, gradients }
  })
  return {
    // One submit holds it all: what is read comes last.
    async run() {
      const { loss, dx } = await call()
      await Promise.all([loss.data(), dx.data()])
    },
    async answers() {
      const { dx, gradients } = await call()
      const answers: Record<string, Float32Array> = { dx: floats(await dx.data()) }
      for (const [i, { name }] of parameters.entries()) answers[name] = floats(await gradients[i].data())
      return answers
    },
    dispose,
  }
}

async function training(config: BertConfig): Promise<Loaded> {
  const model = createModel(modelConfig(config))
  attachLora(model, { rank: config.rank, alpha: config.alpha, dropout: 0, targets: ['query', 'value', 'mlp'] })
  const parameters = model.trainable()
  const { frozen, lora } = bertWeights(config)
  await fill(model.parameters(), [...frozen, ...lora])
  const optimizer = await AdamW.over(parameters, {
    ...ADAM,
    weightDecay: 0,
  })
  const steps = await TrainingSteps.over(model, classesTask(), parameters, optimizer, {
    seed: 0,
    accumulate: 1,
    scaleLoss: false,
  })
  const losses: number[] = []
  return {
    async run() {
      const { batch, sequence } = config
      const { types, labels, ...tokens } = tokenBatch(config, losses.length)
      const arrays = { labels: { data: labels, shape: [batch] } }
      const whole = {
        ...tokens,
        typeIds: types,
        arrays,
        weight: batch,
        count: batch,
        rows: batch,
        batch,
        windows: batch,
        starts: Array.from({ length: batch }, (_, row) => row),
        sequence,
        tokens: batch * sequence,
      }
      const {
        parts: [told],
      } = await steps.run([whole], losses.length, losses.length + 1, config.lr)
      losses.push((await told.data())[0])
    },
    answers: () => trainedAnswers(losses, parameters),
    dispose() {
      for (const { variable } of optimizer.state()) variable.release()
      for (const parameter of model.parameters()) if (!parameter.trainable) parameter.variable?.release()
    },
  }
}

class Block extends Module {
  readonly attentionNorm: LayerNorm
  readonly qkv: Linear
  readonly projection: Linear
  readonly mlpNorm: LayerNorm
  readonly up: Linear
  readonly down: Linear
  readonly #heads: number

  constructor({ hidden, heads, intermediate }: GptConfig) {
    super()
    this.attentionNorm = new LayerNorm(hidden, { epsilon: EPSILON })
    this.qkv = new Linear(hidden, 3 * hidden, { bias: false })
    this.projection = new Linear(hidden, hidden)
    this.mlpNorm = new LayerNorm(hidden, { epsilon: EPSILON })
    this.up = new Linear(hidden, intermediate)
    this.down = new Linear(intermediate, hidden)
    this.#heads = heads
  }

  forward(x: Tensor): Tensor {
    const [batch, sequence, hidden] = x.shape
    const parts = this.qkv.forward(this.attentionNorm.forward(x)).chunk(3, -1)
    const [q, k, v] = parts.map(part => part.reshape([batch, sequence, this.#heads, hidden / this.#heads]))
    const mixed = x.add(this.projection.forward(attention(q, k, v, { causal: true }).reshape(x.shape)))
    return mixed.add(this.down.forward(this.up.forward(this.mlpNorm.forward(mixed)).gelu()))
  }
}

class Gpt extends Module {
  readonly tokenEmbeddings: Embedding
  readonly positionEmbeddings: Embedding
  readonly blocks: readonly Block[]
  readonly norm: LayerNorm
  readonly logits: Linear

  constructor(config: GptConfig) {
    super()
    const { hidden, layers, sequence, vocabulary } = config
    this.tokenEmbeddings = new Embedding(vocabulary, hidden)
    this.positionEmbeddings = new Embedding(sequence, hidden)
    this.blocks = Array.from({ length: layers }, () => new Block(config))
    this.norm = new LayerNorm(hidden, { epsilon: EPSILON })
    this.logits = new Linear(hidden, vocabulary, { bias: false })
  }

  /** The mean loss of the tokens `next`, i32 like ids: [batch, sequence]. */
  loss(ids: Tensor, next: Tensor): Tensor {
    const x = this.tokenEmbeddings.forward(ids).add(this.positionEmbeddings.weight.tensor)
    const hidden = this.norm.forward(this.blocks.reduce((h, block) => block.forward(h), x))
    return crossEntropyLoss(this.logits.forward(hidden).flatten(0, 1), next.flatten())
  }
}

async function gpt(config: GptConfig): Promise<Loaded> {
  const model = new Gpt(config)
  const parameters = model.parameters()
  await fill(parameters, gptWeights(config))
  const optimizer = new Adam(model, { ...ADAM, lr: config.lr })
  const step = compile((ids: Tensor, next: Tensor) => optimizer.minimize(() => model.loss(ids, next)))
  const losses: number[] = []
  return {
    async run() {
      const { ids, next } = textBatch(config, losses.length)
      const shape = [config.batch, config.sequence]
      losses.push(await (await step(tensor(ids, shape), tensor(next, shape))).item())
    },
    answers: () => trainedAnswers(losses, parameters),
    dispose() {
      for (const { variable } of optimizer.state()) variable.release()
    },
  }
}

function modelConfig(
  config: Pick<BertConfig, 'hidden' | 'heads' | 'intermediate' | 'layers' | 'vocabulary' | 'positions'>,
): ModelConfig {
  return parseConfig(
    {
      model_type: 'bert',
      vocab_size: config.vocabulary,
      hidden_size: config.hidden,
      num_hidden_layers: config.layers,
      num_attention_heads: config.heads,
      intermediate_size: config.intermediate,
      max_position_embeddings: config.positions,
      layer_norm_eps: EPSILON,
      hidden_dropout_prob: 0,
      attention_probs_dropout_prob: 0,
    },
    'the compared model',
    'the compared model',
  )
}

/** The losses of a training so far, and its weights. */
async function trainedAnswers(losses: readonly number[], parameters: readonly Parameter[]): Promise<Answers> {
  const answers: Record<string, Float32Array> = { losses: Float32Array.from(losses) }
  for (const parameter of parameters) answers[trained(parameter.name)] = await parameter.read()
  return answers
}

/** Writes every parameter's weight, by name. */
async function fill(parameters: readonly Parameter[], weights: readonly Weight[]): Promise<void> {
  const named = new Map(weights.map(weight => [weight.name, weight.values]))
  for (const parameter of parameters) {
    const values = named.get(parameter.name)
    if (!values) throw new Error(`no weight for ${parameter.name}`)
    await parameter.write(values)
  }
}

function floats(data: Answers[string] | Int32Array | Uint32Array): Float32Array {
  if (!(data instanceof Float32Array)) throw new Error('floats were expected')
  return data
}
