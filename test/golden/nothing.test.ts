// Tensors without elements against PyTorch: values and gradients, read one by one, from a compiled function, and in
// float64; and what PyTorch refuses is refused. Nothing of them reaches the device.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  type Device,
  type Sorted,
  Tensor,
  UserError,
  attention,
  avgPool2d,
  compile,
  concat,
  conv1d,
  conv2d,
  convTranspose2d,
  crossEntropyLoss,
  currentDevice,
  einsum,
  eye,
  grad,
  groupNorm,
  linspace,
  maxPool2d,
  mseLoss,
  oneHot,
  readAll,
  stack,
  tensor,
  upsample,
} from '../../engine/node/index.ts'
import { reachable, specOf } from '../../engine/graph.ts'
import { reference } from '../../engine/reference.ts'
import { isEmpty, sizeOf } from '../../engine/shape.ts'
import { isFloat } from '../../shaders/kernel.ts'

interface Input {
  readonly shape: readonly number[]
  readonly indices?: true
}

interface Numbers {
  readonly shape: readonly number[]
  readonly values: readonly (number | string)[]
}

interface Case {
  readonly inputs: readonly Input[]
  readonly results: readonly Numbers[]
  readonly gradients: readonly Numbers[]
}

type Fn = (...inputs: Tensor[]) => Tensor | readonly Tensor[]

const both = ({ values, indices }: Sorted): Tensor[] => [values, indices]

/** [batch, heads, sequence, headSize], as PyTorch has it. */
const heads = (q: Tensor, k: Tensor, v: Tensor): Tensor => {
  const turned = (x: Tensor): Tensor => x.transpose(1, 2)
  return turned(attention(turned(q), turned(k), turned(v)))
}

/** By the names of the cases in nothing/make.py. */
const ops: Readonly<Record<string, Fn>> = {
  add: (a, b) => a.add(b),
  'add, 1 against 0': (a, b) => a.add(b),
  exp: x => x.exp(),
  where: (a, b) => a.greater(0).where(a, b),
  sum: x => x.sum(),
  'sum of rows': x => x.sum(0),
  'sum of columns': x => x.sum(1),
  'sum beside others': (x, y) => x.sum(0).add(y),
  prod: x => x.prod(0),
  any: x => x.any(0),
  all: x => x.all(0),
  mean: x => x.mean(),
  'mean of rows': x => x.mean(0),
  variance: x => x.variance(0),
  std: x => x.std(0),
  norm: x => x.norm(0),
  logSumExp: x => x.logSumExp(0),
  'max of rows': x => x.max(1),
  'argmax of rows': x => x.argmax(1),
  'matmul, no rows': (a, b) => a.matmul(b),
  'matmul, no columns': (a, b) => a.matmul(b),
  'matmul, nothing to sum': (a, b) => a.matmul(b),
  'matmul, no matrices': (a, b) => a.matmul(b),
  'matmul, nothing to sum in rows that are shared': (a, b) => a.matmul(b),
  'matmul, vectors': (a, b) => a.matmul(b),
  concat: (...parts) => concat(parts),
  'concat, one is left': (a, b) => concat([a, b], 1),
  'concat, nothing': (a, b) => concat([a, b], 1),
  stack: (a, b) => stack([a, b]),
  split: x => x.split(2),
  'split by lengths': x => x.split([0, 2, 0]),
  chunk: x => x.chunk(2),
  narrow: x => x.narrow(0, 2, 0),
  slice: x => x.slice([1], [1]),
  'slice of nothing': x => x.slice([0, 1]),
  reshape: x => x.reshape([3, -1]),
  flatten: x => x.flatten(),
  squeeze: x => x.squeeze(),
  expandDims: x => x.expandDims(1),
  permute: x => x.permute([1, 2, 0]),
  broadcastTo: x => x.broadcastTo([0, 3]),
  tile: x => x.tile([0, 2]),
  repeatInterleave: x => x.repeatInterleave(0, 1),
  flip: x => x.flip(0),
  roll: x => x.roll(1, 0),
  pad: x => x.pad([1], [2], 7),
  tril: x => x.tril(),
  diagonal: x => x.diagonal(),
  'diagonal, at the corner': x => x.diagonal(3),
  'diagonal, past the corner': x => x.diagonal(-9),
  gather: (x, i) => x.gather(0, i),
  scatter: (x, i, source) => x.scatter(0, i, source),
  scatterAdd: (x, i, source) => x.scatterAdd(0, i, source),
  scatterMax: (x, i, source) => x.scatterMax(0, i, source),
  take: (x, i) => x.take(i),
  'take, last axis': (x, i) => x.take(i, 1),
  'embedding of no width': (x, i) => x.gather(i),
  oneHot: i => oneHot(i, 4),
  sort: x => both(x.sort(0)),
  topK: x => both(x.topK(0)),
  cumsum: x => x.cumsum(0),
  cumprod: x => x.cumprod(1),
  einsum: (a, b) => einsum('ij,jk->ik', a, b),
  'einsum, a sum': x => einsum('ij->j', x),
  softmax: x => x.softmax(),
  logSoftmax: x => x.logSoftmax(),
  layerNorm: (x, gamma, beta) => x.layerNorm(gamma, beta),
  'layerNorm, no width': (x, gamma, beta) => x.layerNorm(gamma, beta),
  rmsNorm: (x, gamma) => x.rmsNorm(gamma),
  groupNorm: x => groupNorm(x, 2),
  conv2d: (x, w) => conv2d(x, w),
  'conv2d, of pixels': (x, w) => conv2d(x, w),
  'conv2d, in groups': (x, w) => conv2d(x, w, { stride: 2, padding: 1, groups: 2 }),
  conv1d: (x, w) => conv1d(x, w),
  convTranspose2d: (x, w) => convTranspose2d(x, w, { stride: 2 }),
  maxPool2d: x => maxPool2d(x, 2),
  avgPool2d: x => avgPool2d(x, 2),
  upsample: x => upsample(x, { scale: 2 }),
  'upsample, bilinear': x => upsample(x, { scale: 2, mode: 'bilinear' }),
  attention: heads,
  'attention, no queries': heads,
  'attention, no keys': heads,
  mseLoss: (a, b) => mseLoss(a, b),
  'mseLoss, sum': (a, b) => mseLoss(a, b, { reduction: 'sum' }),
  'crossEntropyLoss, sum': (x, i) => crossEntropyLoss(x, i, { reduction: 'sum' }),
  eye: x => x.mul(eye(0, 3)),
  linspace: x => x.mul(linspace(0, 1, 0)),
}

/** What PyTorch refuses, by name, with words of the error. */
const refused: Readonly<Record<string, readonly [Fn, string]>> = {
  max: [x => x.max(0), 'max: f32[0, 3] has no elements along axes 0'],
  min: [x => x.min(), 'min: f32[0, 3] has no elements along axes 0, 1'],
  argmax: [x => x.argmax(0), 'argmax: f32[0, 3] has no elements along axes 0'],
  argmin: [x => x.argmin(), 'argmin: f32[0, 3] has no elements along axes 0, 1'],
  'norm, the largest': [x => x.norm(undefined, false, Infinity), 'f32[0, 3] has no elements along axes 0, 1'],
  reshape: [x => x.reshape([0, -1]), 'the 0 elements of f32[0, 3] do not divide into [0, -1]'],
  'reshape to nothing': [x => x.reshape([0, 3]), 'f32[2, 3] has 6 elements, [0, 3] has 0'],
  add: [(a, b) => a.add(b), 'add: shapes [0] and [3] do not broadcast'],
  broadcastTo: [x => x.broadcastTo([3]), 'broadcastTo: shapes [0] and [3] do not broadcast'],
  concat: [(a, b) => concat([a, b]), 'concat along axis 0: f32[2, 2] does not fit beside f32[0, 3]'],
  narrow: [x => x.narrow(0, 0, 1), 'narrow: 1 elements from 0 on are not within axis 0 of f32[0, 3]'],
  'narrow, past the end': [x => x.narrow(0, 3, 0), 'narrow: 0 elements from 3 on are not within axis 0 of f32[2, 3]'],
  'split by lengths': [x => x.split([0, 1]), 'split: parts of 0, 1 do not fill axis 0 of f32[0, 3]'],
  matmul: [(a, b) => a.matmul(b), 'the left operand has 0 columns, the right one 3 rows'],
  topK: [x => x.topK(1).values, 'topK: 1 elements of axis -1 of f32[2, 0] were asked for, which has 0'],
  maxPool2d: [x => maxPool2d(x, 2, { padding: 1 }), 'maxPool of f32[1, 1, 0, 2]: no elements to compute'],
  conv2d: [(x, w) => conv2d(x, w), 'conv2d: the kernel of f32[1, 1, 0, 2] has no pixels'],
  upsample: [x => upsample(x, { size: 2 }), 'upsample: size 2, 2 gives no image of 0 by 2 pixels'],
  grad: [x => grad(x.exp(), [x])[0], 'grad: the loss is f32[0, 3], but one element was expected'],
}

const golden = JSON.parse(readFileSync(new URL('nothing/expected.json', import.meta.url), 'utf8')) as {
  cases: Record<string, Case>
  refused: Record<string, Input[]>
}

const source = ({ shape, indices }: Input): Tensor => {
  const numbers = Array.from({ length: sizeOf(shape) }, (_, i) => (i % 5) - 2)
  return indices ? tensor(new Int32Array(numbers.length), shape) : tensor(Float32Array.from(numbers), shape)
}

/** A case's results, and the gradients of the sum of all their floats. */
function judgedOf(name: string, inputs: readonly Tensor[]): Tensor[] {
  const given = ops[name](...inputs)
  const results = given instanceof Tensor ? [given] : given
  if (golden.cases[name].gradients.length === 0) return [...results]
  const sums = results.filter(y => isFloat(y.dtype)).map(y => y.sum())
  const loss = sums.reduce((a, b) => a.add(b))
  return [
    ...results,
    ...grad(
      loss,
      inputs.filter(x => isFloat(x.dtype)),
    ),
  ]
}

const names = Object.keys(golden.cases)
const inputs = names.map(name => golden.cases[name].inputs.map(source))

// Nothing here is so large that optimised shaders would pay for themselves.
process.env.GALLIVM_PERF ??= 'nopt'
let device: Device
beforeAll(async () => {
  device = await currentDevice()
  vi.spyOn(device.buffers, 'acquire')
  vi.spyOn(device.buffers, 'acquireReadback')
})
afterAll(() => {
  const taken = [vi.mocked(device.buffers.acquire).mock.calls, vi.mocked(device.buffers.acquireReadback).mock.calls]
  const sizes = taken.flat().map(([bytes]) => bytes)
  vi.restoreAllMocks()
  device.close()
  expect(sizes.length).toBeGreaterThan(0)
  expect(Math.min(...sizes), 'the smallest buffer').toBeGreaterThan(0)
})

test('the cases are those of PyTorch', () => {
  expect(Object.keys(ops)).toEqual(names)
  expect(Object.keys(refused)).toEqual(Object.keys(golden.refused))
})

describe('as in PyTorch:', () => {
  const graphs = names.map((name, i) => judgedOf(name, inputs[i]))
  let reading: Promise<ArrayLike<number>[]> | undefined
  const eager = (): Promise<ArrayLike<number>[]> => (reading ??= readAll(graphs.flat()))
  const compiled = compile((all: readonly (readonly Tensor[])[]) => names.map((name, i) => judgedOf(name, all[i])))
  let running: Promise<readonly (readonly Tensor[])[]> | undefined

  test.for(names.map((name, i) => [name, i] as const))('%s', async ([name, at]) => {
    const { results, gradients } = golden.cases[name]
    const wanted = [...results, ...gradients]
    const first = graphs.slice(0, at).flat().length
    const traced = (await (running ??= compiled(inputs)))[at]
    const given = graphs[at]
    expect(given.map(y => y.shape)).toEqual(wanted.map(({ shape }) => shape))
    expect(traced.map(y => y.shape)).toEqual(wanted.map(({ shape }) => shape))
    expect(traced.map(y => y.dtype)).toEqual(given.map(y => y.dtype))
    const inFloat64 = reference(given)
    for (const [k, { values }] of wanted.entries()) {
      const numbers = values.map(Number)
      expect(Array.from((await eager())[first + k]), 'eager').toEqual(numbers)
      expect(Array.from(await traced[k].data()), 'compiled').toEqual(numbers)
      expect(Array.from(inFloat64[k]), 'in float64').toEqual(numbers)
    }
  })

  test('nothing is computed of tensors without elements', () => {
    const made = reachable(graphs.flat().map(y => y.value)).filter(({ op }) => op.kind !== 'source')
    expect(made.length).toBeGreaterThan(10)
    for (const { op, inputs: from, outputs } of made)
      expect([...from.map(specOf), ...outputs].some(isEmpty), op.name).toBe(false)
  })
})

describe('refused, as by PyTorch:', () => {
  test.each(Object.keys(golden.refused))('%s', name => {
    const [fn, message] = refused[name]
    const act = (): unknown => fn(...golden.refused[name].map(source))
    expect(act).toThrow(UserError)
    expect(act).toThrow(message)
  })
})
