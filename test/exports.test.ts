// What the library exports, called as a program in JavaScript may call it by mistake: with nothing, or with one argument
// that is of no use. Each call works or throws a UserError, at once.
import { runInThisContext } from 'node:vm'
import { afterAll, describe, expect, test } from 'vitest'
import * as engine from '../engine/node/index.ts'
import * as models from '../models/index.ts'
import * as nn from '../models/nn/index.ts'
import * as train from '../train/index.ts'

afterAll(async () => (await engine.currentDevice()).close())

/** A call that takes longer, in milliseconds, is in a loop that does not end. */
const ENDLESS = 5000

/** What is not called, and why. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  Device: 'openDevice makes it',
  DeviceLost: 'it takes a message',
  NonFinite: 'it takes a message',
  UserError: 'it takes a message',
  setDeviceProvider: 'it changes what all tests run on',
  useDevice: 'it changes what all tests run on',
  'Parameter.bind': 'optimizers move parameters',
  'Parameter.moveTo': 'optimizers move parameters',
  'Variable.put': 'optimizers fill variables',
}

const ARGUMENTS: readonly (readonly [name: string, args: readonly unknown[]])[] = [
  ['', []],
  ['null', [null]],
  ['NaN', [NaN]],
  ['Infinity', [Infinity]],
  ['-1', [-1]],
  ['0.5', [0.5]],
  ["'x'", ['x']],
  ['{}', [{}]],
  ['[]', [[]]],
  ['[undefined]', [[undefined]]],
  ['() => 0', [() => 0]],
  ['ones([2, 3])', [engine.ones([2, 3])]],
  ['new Linear(2, 3)', [new nn.Linear(2, 3)]],
]

type Callable = (...args: readonly unknown[]) => unknown

function callable(value: unknown): Callable | undefined {
  if (typeof value !== 'function') return undefined
  const isClass = /^class\b/.test(Function.prototype.toString.call(value))
  return (...args) => (isClass ? Reflect.construct(value, args) : Reflect.apply(value, undefined, args)) as unknown
}

const shared = globalThis as { calledByTest?: () => unknown }

/** The error of a call, thrown or rejected; undefined if it works. */
async function errorOf(call: () => unknown): Promise<unknown> {
  shared.calledByTest = call
  try {
    await runInThisContext('calledByTest()', { timeout: ENDLESS })
    return undefined
  } catch (error) {
    return error
  } finally {
    delete shared.calledByTest
  }
}

async function check(calls: Readonly<Record<string, unknown>>): Promise<void> {
  const bare: string[] = []
  for (const [name, value] of Object.entries(calls)) {
    const call = name in EXCEPTIONS ? undefined : callable(value)
    if (!call) continue
    for (const [shown, args] of ARGUMENTS) {
      const error = await errorOf(() => call(...args))
      if (error !== undefined && !(error instanceof engine.UserError)) bare.push(`${name}(${shown}): ${String(error)}`)
    }
  }
  expect(bare).toEqual([])
}

/** Methods by name, each called on an object of its own. */
function methodsOf(name: string, make: () => object): Readonly<Record<string, Callable>> {
  const methods: Record<string, Callable> = {}
  for (let of = make(); of !== Object.prototype; of = Object.getPrototypeOf(of) as object) {
    for (const [key, { value }] of Object.entries(Object.getOwnPropertyDescriptors(of))) {
      const method: unknown = value
      if (typeof method === 'function' && key !== 'constructor')
        methods[`${name}.${key}`] = (...args) => Reflect.apply(method, make(), args) as unknown
    }
  }
  return methods
}

const vocabulary = '[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n'
const objects: Readonly<Record<string, () => object>> = {
  Tensor: () => engine.ones([2, 3]),
  Variable: () => engine.variable({ shape: [2, 3], dtype: 'f32' }, 'v'),
  Parameter: () => new nn.Parameter([2, 3]),
  Module: () => new nn.Linear(2, 3),
  KeyValueCache: () => new nn.KeyValueCache([1, 2, 3, 4]),
  tokenizer: () => models.tokenizerFromVocabulary(vocabulary, { lowercase: true }, 'vocab.txt'),
  DataLoader: () => new train.DataLoader(train.columns({ x: engine.ones([2, 3]) }), { batchSize: 1 }),
  MovingAverage: () => new train.MovingAverage(new nn.Linear(2, 3)),
  Random: () => train.stream(1, 'test'),
}

const layers: readonly (nn.Module & { forward(...args: readonly never[]): unknown })[] = [
  new nn.Linear(2, 3),
  new nn.Conv1d(1, 1, 1),
  new nn.Conv2d(1, 1, 1),
  new nn.ConvTranspose1d(1, 1, 1),
  new nn.ConvTranspose2d(1, 1, 1),
  new nn.Dropout(),
  new nn.Embedding(2, 2),
  new nn.LayerNorm(3),
  new nn.RMSNorm(3),
  new nn.GroupNorm(1, 3),
  new nn.BatchNorm(3),
  new nn.MultiHeadAttention(2, 1),
  new nn.Sequential(new nn.Dropout()),
]

const forwardOf =
  (layer: (typeof layers)[number]): Callable =>
  (...args) =>
    Reflect.apply(layer.forward, layer, args)

describe('a call with nothing, or with one argument that is of no use, works or throws a UserError', () => {
  test('tilegrad', () => check(engine))
  test('tilegrad/nn', () => check(nn))
  test('tilegrad/models', () => check(models))
  test('tilegrad/train', () => check(train))
  test('layers', () => check(Object.fromEntries(layers.map(layer => [layer.constructor.name, forwardOf(layer)]))))
  test.each(Object.entries(objects))('methods of a %s', (name, make) => check(methodsOf(name, make)))
})
