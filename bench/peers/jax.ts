// The problems in jax-js on its WebGPU device, as its users write them: one jitted function per problem (for training:
// loss, gradients and Adam together), its own attention and GELU, linear weights as [in, out].
//
// Every use of an array but the last takes a `.ref`: jax-js counts references, and a call consumes its arguments.
import type * as Jax from '@jax-js/jax'
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

type Tensor = Jax.Array
/** A type, not an interface: jax-js wants trees to be plain. */
type Weights = { [name: string]: Tensor }

export const open: Open = async adapter => {
  await provideNavigatorGpu(adapter)
  const jax = await import('@jax-js/jax')
  const devices = await jax.init('webgpu')
  if (!devices.includes('webgpu')) throw new Error('jax-js does not start its WebGPU device')
  jax.defaultDevice('webgpu')
  return { name: 'jax-js', load: problem => new Problems(jax).load(problem) }
}

class Problems {
  readonly #jax: typeof Jax

  constructor(jax: typeof Jax) {
    this.#jax = jax
  }

  async load(problem: Problem): Promise<Loaded> {
    const { jit, lax, nn, numpy: np } = this.#jax
    switch (problem.kind) {
      case 'matmul': {
        const { m, k, n } = problem
        return this.#single(
          jit((a: Tensor, b: Tensor) => np.matmul(a, b)),
          await this.#resident({ a: [m, k], b: [k, n] }),
        )
      }
      case 'softmax':
        return this.#single(
          jit((x: Tensor) => nn.softmax(x, -1)),
          await this.#resident({ x: [problem.rows, problem.columns] }),
        )
      case 'layer norm': {
        const { rows, columns } = problem
        return this.#single(
          jit((x: Tensor, gamma: Tensor, beta: Tensor) => this.#norm(x, gamma, beta)),
          await this.#resident({ x: [rows, columns], gamma: [columns], beta: [columns] }),
        )
      }
      case 'gelu':
        return this.#single(
          jit((x: Tensor) => this.#gelu(x)),
          await this.#resident({ x: [problem.rows, problem.columns] }),
        )
      case 'argmax':
        return this.#single(
          jit((x: Tensor) => np.argmax(x, -1).astype(np.float32)),
          await this.#resident({ x: [problem.rows, problem.columns] }),
        )
      case 'cumsum':
        return this.#single(
          jit((x: Tensor) => np.cumsum(x, -1)),
          await this.#resident({ x: [problem.rows, problem.columns] }),
        )
      case 'top k':
        return this.#single(
          jit((x: Tensor) => {
            const [values, indices] = lax.topK(x, problem.k, -1)
            indices.dispose()
            return values
          }),
          await this.#resident({ x: [problem.rows, problem.columns] }),
        )
      case 'conv2d': {
        const { batch, channels, outputs, size, kernel, backward } = problem
        const held = await this.#resident({
          x: [batch, channels, size, size],
          w: [outputs, channels, kernel, kernel],
        })
        return this.#withGradients(['x', 'w'], held, (x, w) => lax.conv(x, w, [1, 1], 'SAME'), backward)
      }
      case 'causal attention': {
        const { batch, sequence, heads, headSize, backward } = problem
        const shape = [batch, sequence, heads, headSize]
        const held = await this.#resident({ q: shape, k: shape, v: shape })
        const attend = (q: Tensor, k: Tensor, v: Tensor): Tensor => nn.dotProductAttention(q, k, v, { isCausal: true })
        return this.#withGradients(['q', 'k', 'v'], held, attend, backward)
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

  async #resident(shapes: { readonly [name: string]: number[] }): Promise<Tensor[]> {
    const { numpy: np, blockUntilReady } = this.#jax
    return blockUntilReady(Object.entries(shapes).map(([name, shape]) => np.array(uniform(name, shape), { shape })))
  }

  #single(fn: Jax.OwnedFunction<(...args: Tensor[]) => Tensor>, held: readonly Tensor[]): Loaded {
    const read = async (): Promise<Float32Array> => floats(await fn(...held.map(one => one.ref)).data())
    return {
      async run() {
        await read()
      },
      async answers() {
        return { y: await read() }
      },
      dispose() {
        for (const one of held) one.dispose()
        fn.dispose()
      },
    }
  }

  /** y, or the gradients of Σ y² by what it depends on. */
  #withGradients(
    names: readonly string[],
    held: readonly Tensor[],
    fn: (...args: Tensor[]) => Tensor,
    backward: boolean,
  ): Loaded {
    const { jit, grad, numpy: np, blockUntilReady } = this.#jax
    if (!backward) return this.#single(jit(fn), held)
    const argnums = names.map((_, i) => i)
    const gradients = jit(grad((...args: Tensor[]) => np.square(fn(...args)).sum(), { argnums }))
    const read = async (): Promise<Float32Array[]> => {
      const found = gradients(...held.map(one => one.ref))
      // Arrays are lazy: what nobody waits for is not computed.
      await blockUntilReady(found)
      return Promise.all(found.map(async gradient => floats(await gradient.data())))
    }
    return {
      async run() {
        await read()
      },
      async answers() {
        const found = await read()
        return Object.fromEntries(names.map((name, i) => [`d${name}`, found[i]]))
      },
      dispose() {
        for (const one of held) one.dispose()
        gradients.dispose()
      },
    }
  }

  async #eager({ expression, shape, calls }: Extract<Problem, { kind: 'eager' }>): Promise<Loaded> {
    const { jit, nn, numpy: np } = this.#jax
    const [x] = await this.#resident({ x: [...shape] })
    // Jitted, with the number as an argument: otherwise jax-js compiles a shader for each number, and is twenty times
    // as slow.
    const fn = jit((x: Tensor, n: Tensor): Tensor => {
      switch (expression) {
        case 'addition':
          return x.add(n)
        case 'chain':
          return np.exp(
            np.tanh(
              np
                .sqrt(np.square(x.mul(n).add(1)))
                .sub(0.5)
                .mul(0.25),
            ),
          )
        case 'softmax of product': {
          n.dispose()
          return nn.softmax(np.matmul(x.ref, x.ref), -1).mul(x).sum()
        }
      }
    })
    const read = async (n: number): Promise<Float32Array> => floats(await fn(x.ref, np.array(n)).data())
    return {
      async run() {
        for (let i = 0; i < calls; i++) await read(numberOfCall(i))
      },
      async answers() {
        return { y: await read(numberOfCall(3)) }
      },
      dispose() {
        x.dispose()
        fn.dispose()
      },
    }
  }

  async #layerProblem(config: LayerConfig, backward: boolean): Promise<Loaded> {
    const { jit, numpy: np, valueAndGrad, tree, blockUntilReady } = this.#jax
    const { batch, sequence, hidden } = config
    const inputs = layerInputs(config)
    const shape = [batch * sequence, hidden]
    const [x, c] = [np.array(inputs.x, { shape }), np.array(inputs.c, { shape })]
    const weights = this.#weights(layerWeights(layerName(0), config))
    await blockUntilReady([x, c, weights])
    const forward = (x: Tensor, weights: Weights): Tensor => {
      const y = this.#layer(x, layerName(0), weights, config, undefined, false)
      tree.dispose(weights)
      return y
    }
    const dispose = (): void => {
      tree.dispose(weights)
      for (const held of [x, c]) held.dispose()
    }
    if (!backward) {
      const fn = jit(forward)
      const read = async (): Promise<Float32Array> => floats(await fn(x.ref, tree.ref(weights)).data())
      return {
        async run() {
          await read()
        },
        async answers() {
          return { y: await read() }
        },
        dispose() {
          dispose()
          fn.dispose()
        },
      }
    }
    const fn = jit(
      valueAndGrad((x: Tensor, weights: Weights, c: Tensor) => forward(x, weights).mul(c).sum(), { argnums: [0, 1] }),
    )
    const step = async (): Promise<{ loss: Tensor; dx: Tensor; gradients: Weights }> => {
      const [loss, [dx, gradients]] = fn(x.ref, tree.ref(weights), c.ref)
      // Arrays are lazy: what nobody waits for is not computed.
      await blockUntilReady([loss, dx, gradients])
      return { loss, dx, gradients }
    }
    return {
      async run() {
        const { loss, dx, gradients } = await step()
        await Promise.all([loss.data(), dx.data()])
        tree.dispose(gradients)
      },
      async answers() {
        const { loss, dx, gradients } = await step()
        loss.dispose()
        return { dx: floats(await dx.data()), ...(await read(gradients)) }
      },
      dispose() {
        dispose()
        fn.dispose()
      },
    }
  }

  async #training(config: BertConfig): Promise<Loaded> {
    const { nn, numpy: np, tree } = this.#jax
    const { batch, sequence, hidden, layers, lr } = config
    const { frozen, lora } = bertWeights(config)

    const loss = (weights: Weights, ids: Tensor, types: Tensor, mask: Tensor, labels: Tensor): Tensor => {
      const embedded = np
        .take(take(weights, 'bert.embeddings.word_embeddings.weight'), ids, 0)
        .add(take(weights, 'bert.embeddings.position_embeddings.weight').slice([0, sequence], []))
        .add(np.take(take(weights, 'bert.embeddings.token_type_embeddings.weight'), types, 0))
        .reshape([batch * sequence, hidden])
      let x = this.#norm(
        embedded,
        take(weights, 'bert.embeddings.LayerNorm.weight'),
        take(weights, 'bert.embeddings.LayerNorm.bias'),
      )
      // Hidden scores get a large negative number added.
      const bias = mask.astype(np.float32).sub(1).mul(1e9).reshape([batch, 1, 1, sequence])
      for (let i = 0; i < layers; i++) x = this.#layer(x, layerName(i), weights, config, bias.ref, i === layers - 1)
      const pooled = np.tanh(this.#linear(x, 'bert.pooler.dense', weights, config))
      const logits = this.#linear(pooled, 'classifier', weights, config)
      bias.dispose()
      tree.dispose(weights)
      return nn
        .logSoftmax(logits, -1)
        .mul(nn.oneHot(labels, 2))
        .sum()
        .mul(-1 / batch)
    }
    const inputs = (step: number): Tensor[] => {
      const tokens = tokenBatch(config, step)
      const rows = [tokens.ids, tokens.types, tokens.mask].map(data => np.array(data, { shape: [batch, sequence] }))
      return [...rows, np.array(tokens.labels)]
    }
    return this.#adam({ trained: lora, frozen, lr, loss, inputs })
  }

  async #gpt(config: GptConfig): Promise<Loaded> {
    const { nn, numpy: np, tree } = this.#jax
    const { batch, sequence, hidden, heads, layers, vocabulary, lr } = config
    const loss = (weights: Weights, ids: Tensor, next: Tensor): Tensor => {
      const linear = (x: Tensor, name: string): Tensor => this.#linear(x, name, weights, config)
      const norm = (x: Tensor, name: string): Tensor =>
        this.#norm(x, take(weights, `${name}.weight`), take(weights, `${name}.bias`))
      let x = np
        .take(take(weights, 'tokenEmbeddings.weight'), ids, 0)
        .add(take(weights, 'positionEmbeddings.weight'))
        .reshape([batch * sequence, hidden])
      for (let i = 0; i < layers; i++) {
        const block = `blocks.${i}`
        const [q, k, v] = np
          .split(linear(norm(x.ref, `${block}.attentionNorm`), `${block}.qkv`), 3, -1)
          .map(part => part.reshape([batch, sequence, heads, hidden / heads]))
        const mixed = nn.dotProductAttention(q, k, v, { isCausal: true }).reshape([batch * sequence, hidden])
        x = linear(mixed, `${block}.projection`).add(x)
        const wide = this.#gelu(linear(norm(x.ref, `${block}.mlpNorm`), `${block}.up`))
        x = linear(wide, `${block}.down`).add(x)
      }
      const logits = linear(norm(x, 'norm'), 'logits')
      tree.dispose(weights)
      return nn
        .logSoftmax(logits, -1)
        .mul(nn.oneHot(next, vocabulary))
        .sum()
        .mul(-1 / (batch * sequence))
    }
    const inputs = (step: number): Tensor[] => {
      const { ids, next } = textBatch(config, step)
      return [np.array(ids, { shape: [batch, sequence] }), np.array(next)]
    }
    return this.#adam({ trained: gptWeights(config), frozen: [], lr, loss, inputs })
  }

  /** Trains weights by Adam. `loss` owns the weights, trained and frozen, and the inputs of its step. */
  async #adam({
    trained: list,
    frozen: rest,
    lr,
    loss,
    inputs,
  }: {
    readonly trained: readonly Weight[]
    readonly frozen: readonly Weight[]
    readonly lr: number
    readonly loss: (weights: Weights, ...inputs: Tensor[]) => Tensor
    readonly inputs: (step: number) => Tensor[]
  }): Promise<Loaded> {
    const { jit, numpy: np, valueAndGrad, tree, blockUntilReady } = this.#jax
    const { beta1, beta2, epsilon } = ADAM
    const frozen = this.#weights(rest)
    let weights = this.#weights(list)
    const zeros = (): Weights =>
      Object.fromEntries(Object.entries(weights).map(([name, { shape }]) => [name, np.zeros(shape)]))
    let [m, v] = [zeros(), zeros()]
    await blockUntilReady([frozen, weights, m, v])

    const adam = (p: Tensor, m: Tensor, v: Tensor, g: Tensor, rates: Tensor): [Tensor, Tensor, Tensor] => {
      const first = m.mul(beta1).add(g.ref.mul(1 - beta1))
      const second = v.mul(beta2).add(np.square(g).mul(1 - beta2))
      const [rate, correction] = [rates.ref.slice(0), rates.slice(1)]
      const change = first.ref.mul(rate).div(np.sqrt(second.ref).mul(correction).add(epsilon))
      return [p.sub(change), first, second]
    }
    const lossOf = (weights: Weights, frozen: Weights, ...inputs: Tensor[]): Tensor =>
      loss({ ...frozen, ...weights }, ...inputs)
    const step = jit(
      (weights: Weights, m: Weights, v: Weights, frozen: Weights, rates: Tensor, ...inputs: Tensor[]) => {
        const [value, gradients] = valueAndGrad(lossOf)(tree.ref(weights), frozen, ...inputs)
        const next: { weights: Weights; m: Weights; v: Weights } = { weights: {}, m: {}, v: {} }
        for (const name of Object.keys(weights)) {
          ;[next.weights[name], next.m[name], next.v[name]] = adam(
            weights[name],
            m[name],
            v[name],
            gradients[name],
            rates.ref,
          )
        }
        rates.dispose()
        return { value, ...next }
      },
    )
    const losses: number[] = []
    return {
      async run() {
        const t = losses.length + 1
        // lr / (1 − β1ᵗ) and 1 / √(1 − β2ᵗ).
        const rates = np.array(Float32Array.of(lr / (1 - beta1 ** t), 1 / Math.sqrt(1 - beta2 ** t)))
        const { value, ...next } = step(weights, m, v, tree.ref(frozen), rates, ...inputs(losses.length))
        await blockUntilReady(next)
        ;({ weights, m, v } = next)
        losses.push(floats(await value.data())[0])
      },
      async answers() {
        const answers = Object.entries(await read(tree.ref(weights))).map(([name, values]) => [trained(name), values])
        return { losses: Float32Array.from(losses), ...Object.fromEntries(answers) }
      },
      dispose() {
        for (const held of [frozen, weights, m, v]) tree.dispose(held)
        step.dispose()
      },
    }
  }

  /**
   * x [batch · sequence, hidden] to the same, or to [batch, hidden] where only first tokens are asked for. Consumes x
   * and bias.
   */
  #layer(
    x: Tensor,
    prefix: string,
    weights: Weights,
    config: LayerConfig,
    bias: Tensor | undefined,
    firstOnly: boolean,
  ): Tensor {
    const { nn } = this.#jax
    const { batch, sequence, hidden, heads } = config
    const split = (rows: Tensor): Tensor => rows.reshape([batch, -1, heads, hidden / heads])
    const linear = (x: Tensor, name: string): Tensor => this.#linear(x, `${prefix}.${name}`, weights, config)
    const norm = (x: Tensor, name: string): Tensor =>
      this.#norm(x, take(weights, `${prefix}.${name}.weight`), take(weights, `${prefix}.${name}.bias`))

    const from = firstOnly ? x.ref.reshape([batch, sequence, hidden]).slice([], 0) : x.ref
    const queries = split(linear(from.ref, 'attention.self.query'))
    const keys = split(linear(x.ref, 'attention.self.key'))
    const values = split(linear(x, 'attention.self.value'))
    const mixed = nn.dotProductAttention(queries, keys, values, { bias }).reshape([-1, hidden])
    const attended = norm(linear(mixed, 'attention.output.dense').add(from), 'attention.output.LayerNorm')
    const wide = this.#gelu(linear(attended.ref, 'intermediate.dense'))
    return norm(linear(wide, 'output.dense').add(attended), 'output.LayerNorm')
  }

  /** x [rows, in] · W [in, out], and the bias and LoRA's part where there is one. Consumes x. */
  #linear(x: Tensor, name: string, weights: Weights, config: LayerConfig | BertConfig): Tensor {
    const { numpy: np } = this.#jax
    const w = take(weights, `${name}.weight`)
    if (!(`${name}.bias` in weights)) return np.matmul(x, w)
    const b = take(weights, `${name}.bias`)
    if (!('rank' in config) || !(`${name}.lora_A.weight` in weights)) return np.matmul(x, w).add(b)
    const low = np.matmul(x.ref, take(weights, `${name}.lora_A.weight`))
    return np
      .matmul(x, w)
      .add(b)
      .add(np.matmul(low, take(weights, `${name}.lora_B.weight`)).mul(config.alpha / config.rank))
  }

  #norm(x: Tensor, gamma: Tensor, beta: Tensor): Tensor {
    return this.#jax.nn.standardize(x, -1, { epsilon: EPSILON }).mul(gamma).add(beta)
  }

  #gelu(x: Tensor): Tensor {
    return this.#jax.nn.gelu(x, { approximate: false })
  }

  #weights(list: readonly Weight[]): Weights {
    const { numpy: np } = this.#jax
    return Object.fromEntries(
      list.map(({ name, shape, values }) => [
        name,
        turns(name, shape)
          ? np.array(transposed(values, shape[0], shape[1]), { shape: [shape[1], shape[0]] })
          : np.array(values, { shape: [...shape] }),
      ]),
    )
  }
}

/** Another reference to a weight. The function that owns the weights disposes of the last. */
function take(weights: Weights, name: string): Tensor {
  const found = weights[name]
  if (!found) throw new Error(`no weight ${name}`)
  return found.ref
}

/** Reads trees of weights, consuming them, back into PyTorch's layout. */
async function read(weights: Weights): Promise<Record<string, Float32Array>> {
  const answers: Record<string, Float32Array> = {}
  for (const [name, value] of Object.entries(weights)) {
    const { shape } = value
    const values = floats(await value.data())
    answers[name] = turns(name, shape) ? transposed(values, shape[0], shape[1]) : values
  }
  return answers
}

function floats(data: Awaited<ReturnType<Tensor['data']>>): Answers[string] {
  if (!(data instanceof Float32Array)) throw new Error('floats were expected')
  return data
}
