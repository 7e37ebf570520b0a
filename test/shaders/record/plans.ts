// What the scheduler makes: elementwise expressions and reductions one by one, and whole training steps of tiny models.
import {
  concat,
  crossEntropy,
  dropout,
  grad,
  randomNormal,
  randomUniform,
  scalar,
  variable,
} from '../../../engine/index.ts'
import { schedule } from '../../../engine/compile/schedule.ts'
import { traceGraph } from '../../../engine/evaluate.ts'
import { loadKernels, registeredOps } from '../../../engine/graph.ts'
import type { Tree } from '../../../engine/tree.ts'
import type { Tensor } from '../../../engine/tensor.ts'
import { createModel, forwardContext, meanOf, setTuning } from '../../../models/index.ts'
import type { DType, Launch, Traits } from '../../../shaders/kernel.ts'
import { AdamW } from '../../../train/optimizers/adamw.ts'
import { forwardClasses } from '../../../train/tasks/classes.ts'
import { tinyModelConfig } from '../../support/tiny.ts'
import type { Recorded } from './kernels.ts'

const given = (shape: readonly number[], dtype: DType = 'f32'): Tensor => variable({ shape, dtype }, 'given').tensor

function launchesOf(fn: () => Tree, traits: Traits): Launch[] {
  const { outputs, assignments } = traceGraph(fn, [])
  return schedule(outputs, assignments, traits).steps.map(({ launch }) => launch)
}

export async function* recordedPlans(traits: Traits): AsyncGenerator<Recorded> {
  await loadKernels(registeredOps())
  // Adapters differ in how many elements a thread makes, on CPUs and on GPUs.
  if (['llvmpipe', 'NVIDIA'].includes(traits.name))
    for (const [name, make] of Object.entries(expressions))
      yield { name: `expression/${name}`, launches: launchesOf(make, traits) }
  for (const model of Object.keys(models)) {
    for (const precision of traits.f16 ? (['f32', 'f16'] as const) : (['f32'] as const)) {
      for (const tuning of ['lora', 'full'] as const) {
        // Frozen values alone are stored in f16.
        if (precision === 'f16' && tuning === 'full') continue
        yield {
          name: `step/${model} ${tuning} ${precision}`,
          launches: await stepLaunches(model, tuning, precision, traits),
        }
      }
    }
  }
}

const [x, y] = [given([6, 20]), given([6, 20])]
const h = given([6, 20], 'f16')
const [n, m] = [given([6, 20], 'i32'), given([6, 20], 'u32')]
const step = given([], 'u32')
const row = given([20])
const cube = given([4, 5, 12])
const long = given([100_000])
const wide = given([2, 70_000])

const unary = [
  'neg',
  'abs',
  'sign',
  'exp',
  'log',
  'sqrt',
  'rsqrt',
  'reciprocal',
  'tanh',
  'sigmoid',
  'relu',
  'erf',
  'gelu',
  'square',
  'isFinite',
  'isInfinite',
  'isNaN',
] as const
const binary = [
  'add',
  'sub',
  'mul',
  'div',
  'pow',
  'maximum',
  'minimum',
  'equal',
  'notEqual',
  'less',
  'lessEqual',
  'greater',
  'greaterEqual',
] as const

/** Functions that call others of shaders/math: in f32 alone. */
const functions = [
  'exp2',
  'expm1',
  'log2',
  'log1p',
  'sin',
  'cos',
  'tan',
  'asin',
  'acos',
  'atan',
  'sinh',
  'cosh',
  'asinh',
  'acosh',
  'atanh',
  'round',
  'silu',
  'softplus',
  'selu',
  'hardSwish',
  'mish',
] as const

const expressions: Readonly<Record<string, () => Tree>> = {
  ...Object.fromEntries(
    unary.flatMap(op => [
      [`${op} f32`, () => x[op]()],
      [`${op} f16`, () => h[op]()],
    ]),
  ),
  ...Object.fromEntries(
    binary.flatMap(op => [
      [`${op} f32`, () => x[op](y)],
      [`${op} f16 with a number`, () => h[op](2)],
    ]),
  ),
  ...Object.fromEntries(
    binary
      .filter(op => op !== 'pow')
      .flatMap(op => [
        [`${op} i32`, () => n[op](3)],
        [`${op} u32`, () => m[op](m.transpose().reshape([6, 20]))],
      ]),
  ),
  ...Object.fromEntries(functions.map(op => [`${op} f32`, () => x[op]()])),
  'mod and atan2': () => [x.mod(y), n.mod(3), m.mod(5), x.atan2(y)],
  'operations on bits': () => [n.bitwiseAnd(3), m.bitwiseXor(5), n.leftShift(m.cast('i32')), m.rightShift(2)],
  'gelu, tanh approximation': () => x.gelu('tanh'),
  'cast f32 to i32 to u32 to f16': () => [x.cast('i32'), n.cast('u32'), m.cast('f16'), x.cast('u32'), h.cast('i32')],
  'where, broadcast': () => m.where(row, x),
  'chain of f32 and f16': () => x.add(row).gelu().mul(h).sub(y.exp()).cast('f16'),
  'transposed operand': () =>
    cube
      .permute([2, 0, 1])
      .reshape([12, 20])
      .add(given([20, 12]).transpose()),
  'slice with an offset': () => cube.slice([1, 1, 4], [3, 4, 12]).mul(2),
  'slice with steps': () => cube.slice([1, 0, 0], [], [1, 2, 3]).mul(2),
  dropout: () => dropout(x, 0.1, 3, step, 5),
  'dropout in f16, odd length': () => dropout(given([3, 7], 'f16'), 0.5, 3, step, 5).add(1),
  'dropout of a transpose': () => dropout(given([20, 12]).transpose(), 0.1, 3, step, 5).add(given([20])),
  'random numbers': () => [randomUniform([3, 7], { seed: 3, step }), x.add(randomNormal([6, 20], { seed: 3, step }))],
  'large, several elements a thread': () => given([1024, 1024]).add(given([1024])),
  'large dropout': () => dropout(given([1024, 1024]), 0.1, 1, step, 0),
  'product, its shares and those of integers': () => [long.prod(), n.prod(1), h.prod()],
  'places of extremes': () => [long.argmax(), h.argmin(1), n.argmin(0), m.argmin(), x.mul(y).argmax(1)],
  statistics: () => [x.logSumExp(1), x.std(0), n.any(1)],
  concat: () => concat([x, y], 1),
  'concat in place': () => concat([given([64]).exp(), given([128]).exp()]),
  pad: () => cube.pad([1, 0, 2], [0, 1, 3], 7),
  'sum of all': () => x.sum(),
  'sum of rows': () => x.sum(0),
  'sum along rows': () => x.sum(1),
  'mean of f16': () => h.mean(1),
  'max along rows': () => x.max(1),
  'min of all': () => x.min(),
  'max of i32': () => n.max(0),
  'sum of u32': () => m.sum(),
  'long sum': () => long.square().sum(),
  'long sums': () => wide.add(1).sum(1),
  'long sum of dropout': () => dropout(long, 0.1, 2, step, 3).sum(),
  'long maximum': () => long.abs().max(),
  'sum of the outer and inner axes': () => cube.mul(cube).sum([0, 2]),
  'matmul, bias, GELU and its gradient': () => {
    const [a, b] = [given([32, 24]), given([24, 16])]
    const y = a
      .matmul(b)
      .add(given([16]))
      .gelu()
    return [y, ...grad(y.sum(), [a, b])]
  },
  'softmax of a mask and cross-entropy': () => {
    const logits = given([6, 5])
    const loss = crossEntropy(logits.add(x.slice([0, 0], [6, 5])).softmax(), given([6], 'i32')).sum()
    return [loss, ...grad(loss, [logits])]
  },
}

const models: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  bert: {},
  distilbert: {
    model_type: 'distilbert',
    architectures: ['DistilBertForSequenceClassification'],
    dim: 32,
    hidden_dim: 64,
    n_layers: 2,
    n_heads: 2,
    activation: 'gelu',
    dropout: 0.1,
    attention_dropout: 0.1,
    seq_classif_dropout: 0.2,
    sinusoidal_pos_embds: false,
  },
}

/** Forward, backward and AdamW, with dropout. */
async function stepLaunches(
  name: string,
  tuning: 'lora' | 'full',
  precision: 'f32' | 'f16',
  traits: Traits,
): Promise<Launch[]> {
  const model = createModel(tinyModelConfig(models[name]))
  setTuning(
    model,
    tuning,
    tuning === 'lora'
      ? { rank: 4, alpha: 8, dropout: 0.1, targets: ['query', 'value', 'mlp'], trainHead: true }
      : undefined,
  )
  if (precision === 'f16') model.storeFrozenAs('f16')
  const parameters = model.parameters().filter(({ trainable }) => trainable)
  const optimizer = await AdamW.over(parameters, { weightDecay: 0.01, clip: 1, maxArenaBytes: 2 ** 27 })
  const [batch, sequence] = [4, 16]
  const inputs = {
    ids: given([batch, sequence], 'i32'),
    mask: given([batch, sequence], 'i32'),
    labels: given([batch], 'i32'),
    step: given([], 'u32'),
  }
  const { outputs, assignments } = traceGraph(
    ({ ids, mask, labels, step }: typeof inputs, hyper: Tensor) => {
      const types = model.config.typeVocab > 0 ? ids.mul(0) : undefined
      const context = forwardContext({ training: true, seed: 5, step })
      const { losses, sums } = forwardClasses(model, { ids, mask, types, arrays: { labels } }, context)
      const loss = meanOf(losses)
      const flat = optimizer.flatten(
        parameters,
        grad(
          loss.mul(1024),
          parameters.map(({ tensor }) => tensor),
        ),
      )
      return { loss, sums, norm: optimizer.update(flat, hyper, scalar(1024)) }
    },
    [inputs, optimizer.hyper(1, 1e-3)],
  )
  return schedule(outputs, assignments, traits).steps.map(({ launch }) => launch)
}
