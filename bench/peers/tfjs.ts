// The problems in TensorFlow.js on its WebGPU backend, as its users write them: eager, tidied, linear weights as [in,
// out], bias fused into the product where its gradient allows, Adam from the library.
import type * as TensorFlow from '@tensorflow/tfjs'
import { type Answers, type Loaded, type Open, trained } from './engine.ts'
import {
  type Weight,
  bertWeights,
  gptWeights,
  layerInputs,
  layerName,
  layerWeights,
  textBatch,
  tokenBatch,
  transposed,
  turns,
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
import { provideNavigatorGpu } from './webgpu.ts'

type Tensor = TensorFlow.Tensor
type Weights = ReadonlyMap<string, Tensor>

export const open: Open = async adapter => {
  await provideNavigatorGpu(adapter)
  const tf = await import('@tensorflow/tfjs')
  await import('@tensorflow/tfjs-backend-webgpu')
  if (!(await tf.setBackend('webgpu'))) throw new Error('TensorFlow.js does not start its WebGPU backend')
  await tf.ready()
  return { name: 'tfjs', load: async problem => new Problems(tf).load(problem) }
}

class Problems {
  readonly #tf: typeof TensorFlow

  constructor(tf: typeof TensorFlow) {
    this.#tf = tf
  }

  load(problem: Problem): Loaded {
    const tf = this.#tf
    switch (problem.kind) {
      case 'matmul': {
        const { m, k, n } = problem
        const [a, b] = [this.#resident('a', [m, k]), this.#resident('b', [k, n])]
        return this.#single([a, b], () => tf.matMul(a, b))
      }
      case 'softmax': {
        const x = this.#resident('x', [problem.rows, problem.columns])
        return this.#single([x], () => tf.softmax(x))
      }
      case 'layer norm': {
        const x = this.#resident('x', [problem.rows, problem.columns])
        const [gamma, beta] = [this.#resident('gamma', [problem.columns]), this.#resident('beta', [problem.columns])]
        return this.#single([x, gamma, beta], () => this.#norm(x, gamma, beta))
      }
      case 'gelu': {
        const x = this.#resident('x', [problem.rows, problem.columns])
        return this.#single([x], () => this.#gelu(x))
      }
      case 'argmax': {
        const x = this.#resident('x', [problem.rows, problem.columns])
        return this.#single([x], () => tf.argMax(x, 1).toFloat())
      }
      case 'cumsum': {
        const x = this.#resident('x', [problem.rows, problem.columns])
        return this.#single([x], () => tf.cumsum(x, 1))
      }
      case 'top k': {
        const x = this.#resident('x', [problem.rows, problem.columns])
        return this.#single([x], () => tf.topk(x, problem.k).values)
      }
      case 'conv2d': {
        const { batch, channels, outputs, size, kernel, backward } = problem
        // Channels come last: [batch, height, width, channels] and [kernel, kernel, channels, outputs].
        const turned = (name: string, shape: number[], order: number[]): Tensor =>
          tf.tidy(() => this.#resident(name, shape).transpose(order))
        const x = turned('x', [batch, channels, size, size], [0, 2, 3, 1])
        const w = turned('w', [outputs, channels, kernel, kernel], [2, 3, 1, 0])
        const convolve = (x: Tensor, w: Tensor): Tensor =>
          tf.conv2d(x as TensorFlow.Tensor4D, w as TensorFlow.Tensor4D, 1, 'same')
        return this.#withGradients({ x, w }, convolve, backward, {
          y: [0, 3, 1, 2],
          dx: [0, 3, 1, 2],
          dw: [3, 2, 0, 1],
        })
      }
      case 'causal attention': {
        const { batch, sequence, heads, headSize, backward } = problem
        const shape = [batch, sequence, heads, headSize]
        const [q, k, v] = ['q', 'k', 'v'].map(name => this.#resident(name, shape))
        const later = this.#later(sequence)
        const attend = (q: Tensor, k: Tensor, v: Tensor): Tensor => this.#causal(q, k, v, headSize, later)
        return this.#withGradients({ q, k, v }, attend, backward, {}, [later])
      }
      case 'eager':
        return this.#eager(problem)
      case 'encoder layer':
        return this.#layerProblem(problem.config, problem.backward)
      case 'lora step':
        return this.#training(problem.config)
      case 'gpt step':
        return this.#gpt(problem.config)
    }
  }

  #resident(name: string, shape: number[], values?: Float32Array): Tensor {
    return this.#tf.tensor(values ?? uniform(name, shape), shape)
  }

  #single(held: readonly Tensor[], fn: () => Tensor): Loaded {
    const read = async (): Promise<Float32Array> => {
      const y = this.#tf.tidy(fn)
      const data = await y.data<'float32'>()
      y.dispose()
      return data
    }
    return {
      async run() {
        await read()
      },
      async answers() {
        return { y: await read() }
      },
      dispose() {
        for (const one of held) one.dispose()
      },
    }
  }

  /** y, or the gradients of Σ y² by what it depends on; `orders` are those of the axes of answers. */
  #withGradients(
    of: Readonly<Record<string, Tensor>>,
    fn: (...args: Tensor[]) => Tensor,
    backward: boolean,
    orders: Readonly<Record<string, number[]>> = {},
    others: readonly Tensor[] = [],
  ): Loaded {
    const tf = this.#tf
    const held = Object.values(of)
    const gradients = tf.grads((...args: Tensor[]) =>
      fn(...args)
        .square()
        .sum(),
    )
    const results = (): Record<string, Tensor> => {
      if (!backward) return { y: fn(...held) }
      const found = gradients(held)
      return Object.fromEntries(Object.keys(of).map((name, i) => [`d${name}`, found[i]]))
    }
    const read = async (make: () => Record<string, Tensor>): Promise<Record<string, Float32Array>> => {
      const made = tf.tidy(make)
      const answers = await Promise.all(
        Object.entries(made).map(async ([name, one]) => [name, await one.data<'float32'>()] as const),
      )
      for (const one of Object.values(made)) one.dispose()
      return Object.fromEntries(answers)
    }
    const inOrder = (): Record<string, Tensor> =>
      Object.fromEntries(
        Object.entries(results()).map(([name, one]) => [name, orders[name] ? one.transpose(orders[name]) : one]),
      )
    return {
      async run() {
        await read(results)
      },
      answers: () => read(inOrder),
      dispose() {
        for (const one of [...held, ...others]) one.dispose()
      },
    }
  }

  #eager({ expression, shape, calls }: Extract<Problem, { kind: 'eager' }>): Loaded {
    const tf = this.#tf
    const x = this.#resident('x', [...shape])
    const make = (n: number): Tensor => {
      switch (expression) {
        case 'addition':
          return x.add(n)
        case 'chain':
          return x.mul(n).add(1).square().sqrt().sub(0.5).mul(0.25).tanh().exp()
        case 'softmax of product':
          return tf
            .softmax(tf.matMul(x as TensorFlow.Tensor2D, x as TensorFlow.Tensor2D))
            .mul(x)
            .sum()
      }
    }
    const read = async (n: number): Promise<Float32Array> => {
      const y = tf.tidy(() => make(n))
      const data = await y.data<'float32'>()
      y.dispose()
      return data
    }
    return {
      async run() {
        for (let i = 0; i < calls; i++) await read(numberOfCall(i))
      },
      async answers() {
        return { y: await read(numberOfCall(3)) }
      },
      dispose() {
        x.dispose()
      },
    }
  }

  #layerProblem(config: LayerConfig, backward: boolean): Loaded {
    const tf = this.#tf
    const { batch, sequence, hidden } = config
    const inputs = layerInputs(config)
    const shape = [batch * sequence, hidden]
    const [x, c] = [this.#resident('x', shape, inputs.x), this.#resident('c', shape, inputs.c)]
    const weights = this.#weights(layerWeights(layerName(0), config))
    const names = [...weights.keys()]
    const forward = (x: Tensor, weights: Weights): Tensor =>
      this.#layer(x, layerName(0), weights, config, undefined, false)
    if (!backward) return this.#single([x, c, ...weights.values()], () => forward(x, weights))
    const call = tf.valueAndGrads((x: Tensor, ...values: Tensor[]) =>
      forward(x, new Map(names.map((name, i) => [name, values[i]])))
        .mul(c)
        .sum(),
    )
    const step = (): { value: Tensor; grads: Tensor[] } => tf.tidy(() => call([x, ...weights.values()]))
    return {
      // Everything is queued by then: what is read comes last.
      async run() {
        const { value, grads } = step()
        await Promise.all([value.data(), grads[0].data()])
        tf.dispose([value, ...grads])
      },
      async answers() {
        const { value, grads } = step()
        const [dx, ...rest] = await Promise.all(grads.map(g => g.data<'float32'>()))
        const turned = Object.fromEntries(names.map((name, i) => [name, untwist(name, grads[i + 1].shape, rest[i])]))
        tf.dispose([value, ...grads])
        return { dx, ...turned }
      },
      dispose: () => tf.dispose([x, c, ...weights.values()]),
    }
  }

  #training(config: BertConfig): Loaded {
    const tf = this.#tf
    const { batch, sequence, lr, layers } = config
    const { frozen, lora } = bertWeights(config)
    const loss = (weights: Weights, ids: Tensor, types: Tensor, mask: Tensor, labels: Tensor): TensorFlow.Scalar => {
      const of = (name: string): Tensor => take(weights, name)
      const embedded = tf
        .gather(of('bert.embeddings.word_embeddings.weight'), ids)
        .add(of('bert.embeddings.position_embeddings.weight').slice([0, 0], [sequence, config.hidden]))
        .add(tf.gather(of('bert.embeddings.token_type_embeddings.weight'), types))
        .reshape([batch * sequence, config.hidden])
      let x: Tensor = this.#norm(embedded, of('bert.embeddings.LayerNorm.weight'), of('bert.embeddings.LayerNorm.bias'))
      // Hidden scores get a large negative number added.
      const bias = mask.cast('float32').sub(1).mul(1e9).reshape([batch, 1, 1, sequence])
      for (let i = 0; i < layers; i++) x = this.#layer(x, layerName(i), weights, config, bias, i === layers - 1)
      const pooled = this.#linear(x, 'bert.pooler.dense', weights, config).tanh()
      const logits = this.#linear(pooled, 'classifier', weights, config)
      return tf.losses.softmaxCrossEntropy(tf.oneHot(labels, 2), logits).asScalar()
    }
    const inputs = (step: number): Tensor[] => {
      const tokens = tokenBatch(config, step)
      const rows = [tokens.ids, tokens.types, tokens.mask].map(data => tf.tensor2d(data, [batch, sequence], 'int32'))
      return [...rows, tf.tensor1d(tokens.labels, 'int32')]
    }
    return this.#adam({ trained: lora, frozen, lr, loss, inputs })
  }

  #gpt(config: GptConfig): Loaded {
    const tf = this.#tf
    const { batch, sequence, hidden, heads, layers, vocabulary, lr } = config
    const later = this.#later(sequence)
    const loss = (weights: Weights, ids: Tensor, next: Tensor): TensorFlow.Scalar => {
      const linear = (x: Tensor, name: string): Tensor => this.#linear(x, name, weights, config)
      const norm = (x: Tensor, name: string): Tensor =>
        this.#norm(x, take(weights, `${name}.weight`), take(weights, `${name}.bias`))
      let x: Tensor = tf
        .gather(take(weights, 'tokenEmbeddings.weight'), ids)
        .add(take(weights, 'positionEmbeddings.weight'))
        .reshape([batch * sequence, hidden])
      for (let i = 0; i < layers; i++) {
        const block = `blocks.${i}`
        const [q, k, v] = tf
          .split(linear(norm(x, `${block}.attentionNorm`), `${block}.qkv`), 3, -1)
          .map(part => part.reshape([batch, sequence, heads, hidden / heads]))
        x = x.add(
          linear(
            this.#causal(q, k, v, hidden / heads, later).reshape([batch * sequence, hidden]),
            `${block}.projection`,
          ),
        )
        const wide = this.#gelu(linear(norm(x, `${block}.mlpNorm`), `${block}.up`))
        x = x.add(linear(wide, `${block}.down`))
      }
      const logits = linear(norm(x, 'norm'), 'logits')
      return tf.losses.softmaxCrossEntropy(tf.oneHot(next, vocabulary), logits).asScalar()
    }
    const inputs = (step: number): Tensor[] => {
      const { ids, next } = textBatch(config, step)
      return [tf.tensor2d(ids, [batch, sequence], 'int32'), tf.tensor1d(next, 'int32')]
    }
    return this.#adam({ trained: gptWeights(config), frozen: [], others: [later], lr, loss, inputs })
  }

  /** Trains weights by Adam; `others` are given back with them. */
  #adam({
    trained: list,
    frozen,
    others = [],
    lr,
    loss,
    inputs,
  }: {
    readonly trained: readonly Weight[]
    readonly frozen: readonly Weight[]
    readonly others?: readonly Tensor[]
    readonly lr: number
    readonly loss: (weights: Weights, ...inputs: Tensor[]) => TensorFlow.Scalar
    readonly inputs: (step: number) => Tensor[]
  }): Loaded {
    const tf = this.#tf
    const variables = new Map([...this.#weights(list)].map(([name, value]) => [name, tf.variable(value, true, name)]))
    const weights: Weights = new Map([...this.#weights(frozen), ...variables])
    const optimizer = tf.train.adam(lr, ADAM.beta1, ADAM.beta2, ADAM.epsilon)
    const losses: number[] = []
    return {
      async run() {
        const given = inputs(losses.length)
        const value = optimizer.minimize(() => loss(weights, ...given), true, [...variables.values()])
        if (!value) throw new Error('no loss came back')
        losses.push((await value.data())[0])
        tf.dispose([...given, value])
      },
      async answers() {
        const answers: Record<string, Float32Array> = { losses: Float32Array.from(losses) }
        for (const [name, value] of variables) {
          answers[trained(name)] = untwist(name, value.shape, await value.data<'float32'>())
        }
        return answers
      },
      dispose: () => {
        optimizer.dispose()
        tf.dispose([...weights.values(), ...others])
      },
    }
  }

  /** x [batch · sequence, hidden] to the same, or to [batch, hidden] where only first tokens are asked for. */
  #layer(
    x: Tensor,
    prefix: string,
    weights: Weights,
    config: LayerConfig,
    bias: Tensor | undefined,
    firstOnly: boolean,
  ): Tensor {
    const tf = this.#tf
    const { batch, sequence, hidden, heads } = config
    const split = (rows: Tensor): Tensor => rows.reshape([batch, -1, heads, hidden / heads]).transpose([0, 2, 1, 3])
    const linear = (x: Tensor, name: string): Tensor => this.#linear(x, `${prefix}.${name}`, weights, config)
    const norm = (x: Tensor, name: string): Tensor =>
      this.#norm(x, take(weights, `${prefix}.${name}.weight`), take(weights, `${prefix}.${name}.bias`))

    const from = firstOnly
      ? x.reshape([batch, sequence, hidden]).slice([0, 0, 0], [batch, 1, hidden]).reshape([batch, hidden])
      : x
    const queries = split(linear(from, 'attention.self.query'))
    const keys = split(linear(x, 'attention.self.key'))
    const values = split(linear(x, 'attention.self.value'))
    const scores = tf.matMul(queries, keys, false, true).mul(1 / Math.sqrt(hidden / heads))
    const mixed = tf
      .matMul(tf.softmax(bias ? scores.add(bias) : scores), values)
      .transpose([0, 2, 1, 3])
      .reshape([-1, hidden])
    const attended = norm(linear(mixed, 'attention.output.dense').add(from), 'attention.output.LayerNorm')
    const wide = this.#gelu(linear(attended, 'intermediate.dense'))
    return norm(linear(wide, 'output.dense').add(attended), 'output.LayerNorm')
  }

  /** What is added to scores [queries, keys]: a large negative number for keys after the query. */
  #later(sequence: number): Tensor {
    const tf = this.#tf
    return tf.tidy(() => tf.sub(tf.linalg.bandPart(tf.ones([sequence, sequence]), -1, 0), 1).mul(1e9))
  }

  /** Of q, k and v [batch, sequence, heads, headSize]. */
  #causal(q: Tensor, k: Tensor, v: Tensor, headSize: number, later: Tensor): Tensor {
    const tf = this.#tf
    const [queries, keys, values] = [q, k, v].map(one => one.transpose([0, 2, 1, 3]))
    const scores = tf.matMul(queries, keys, false, true).mul(1 / Math.sqrt(headSize))
    return tf.matMul(tf.softmax(scores.add(later)), values).transpose([0, 2, 1, 3])
  }

  /** x [rows, in] · W [in, out], and the bias and LoRA's part where there is one. */
  #linear(x: Tensor, name: string, weights: Weights, config: LayerConfig | BertConfig): Tensor {
    const tf = this.#tf
    const y = tf.fused.matMul({
      a: x as TensorFlow.Tensor2D,
      b: take(weights, `${name}.weight`) as TensorFlow.Tensor2D,
      bias: weights.get(`${name}.bias`),
    })
    const [a, b] = [weights.get(`${name}.lora_A.weight`), weights.get(`${name}.lora_B.weight`)]
    if (!a || !b || !('rank' in config)) return y
    return y.add(tf.matMul(tf.matMul(x, a), b).mul(config.alpha / config.rank))
  }

  #norm(x: Tensor, gamma: Tensor, beta: Tensor): Tensor {
    const { mean, variance } = this.#tf.moments(x, -1, true)
    return x.sub(mean).mul(variance.add(EPSILON).rsqrt()).mul(gamma).add(beta)
  }

  #gelu(x: Tensor): Tensor {
    return x.mul(0.5).mul(this.#tf.erf(x.mul(Math.SQRT1_2)).add(1))
  }

  #weights(list: readonly Weight[]): Map<string, Tensor> {
    return new Map(
      list.map(({ name, shape, values }) => [
        name,
        turns(name, shape)
          ? this.#tf.tensor(transposed(values, shape[0], shape[1]), [shape[1], shape[0]])
          : this.#tf.tensor(values, [...shape]),
      ]),
    )
  }
}

function take(weights: Weights, name: string): Tensor {
  const found = weights.get(name)
  if (!found) throw new Error(`no weight ${name}`)
  return found
}

/** From [in, out] back to PyTorch's layout. */
function untwist(name: string, shape: readonly number[], values: Answers[string]): Answers[string] {
  return turns(name, shape) ? transposed(values, shape[0], shape[1]) : values
}
