// Ops on shapes, indices and images against PyTorch: values and gradients, in float64 and on this adapter. All cases
// are read from the device in one run.
import { readFileSync } from 'node:fs'
import { afterAll, expect, test } from 'vitest'
import {
  type Sorted,
  type Tensor,
  avgPool1d,
  avgPool2d,
  batchNorm,
  batchStatistics,
  concat,
  conv1d,
  conv2d,
  convTranspose1d,
  convTranspose2d,
  currentDevice,
  einsum,
  eye,
  grad,
  groupNorm,
  linspace,
  maxPool1d,
  maxPool2d,
  oneHot,
  range,
  readAll,
  stack,
  tensor,
  upsample,
} from '../../engine/node/index.ts'
import { reference } from '../../engine/reference.ts'
import { isFloat } from '../../shaders/kernel.ts'
import { expectWithin } from '../support/differences.ts'
import { type Description, differenceFrom, patternUnits, patternWords } from '../support/pattern.ts'

type InputSpec =
  | readonly number[]
  | { readonly shape: readonly number[]; readonly below?: number; readonly turned?: number; readonly positive?: true }

interface Case {
  readonly name: string
  readonly inputs: readonly InputSpec[]
}

interface Expected {
  readonly shapes: readonly (readonly number[])[]
  readonly value: Description
  readonly gradients?: readonly Description[]
}

type Fn = (...inputs: Tensor[]) => Tensor | readonly Tensor[]

const both = ({ values, indices }: Sorted): Tensor[] => [values, indices]

/** By the names of the cases, as `ops` in arrays/make.py. */
const ops: Readonly<Record<string, Fn>> = {
  stack: (a, b) => stack([a, b]),
  'stack, last axis': (a, b) => stack([a, b], -1),
  split: x => x.split(2),
  'split by lengths': x => x.split([1, 3, 2], -1),
  chunk: x => x.chunk(3),
  narrow: x => x.narrow(1, -3, 2),
  squeeze: x => x.squeeze(),
  'squeeze, one axis': x => x.squeeze(-1),
  expandDims: x => x.expandDims(-2).mul(range(4).cast('f32').expandDims(-1)),
  flatten: x => x.flatten(1, -2).mul(range(6).cast('f32').expandDims(-1)),
  tile: x => x.tile([2, 3]),
  'tile, fewer entries': x => x.tile([2, 2]),
  repeat: x => x.repeat([2, 2]),
  repeatInterleave: x => x.repeatInterleave(3, 1),
  'repeatInterleave, flattened': x => x.repeatInterleave(2),
  flip: x => x.flip([0, -1]),
  'flip, all axes': x => x.flip(),
  'flip, matmul': (a, b) => a.flip(1).matmul(b.flip([0, 1])),
  roll: x => x.roll([1, -2], [0, 1]),
  'roll, flattened': x => x.roll(5),
  'slice, from the end': x => x.slice([-3, 1], [5, -1]),
  tril: x => x.tril(1),
  triu: x => x.triu(-1),
  diagonal: x => x.diagonal(1),
  'diagonal, batched': x => x.diagonal(-1, -2, -1),
  eye: x => x.mul(eye(3, 4)),
  linspace: x => x.mul(linspace(-1, 2, 7)),
  oneHot: (ids, x) => x.mul(oneHot(ids, 5)),
  'matmul, vector left': (a, b) => a.matmul(b),
  'matmul, vector right': (a, b) => a.matmul(b),
  'matmul, vectors': (a, b) => a.matmul(b),
  gather: (x, index) => x.gather(1, index),
  'gather, shorter index': (x, index) => x.gather(1, index),
  scatter: (x, index, source) => x.scatter(0, index, source),
  scatterAdd: (x, index, source) => x.scatterAdd(0, index, source),
  scatterMax: (x, index, source) => x.scatterMax(1, index, source),
  take: (x, ids) => x.take(ids),
  'take, middle axis': (x, ids) => x.take(ids, 1),
  'take, one of the last axis': (x, ids) => x.take(ids, -1),
  sort: x => both(x.sort()),
  'sort, descending along the first axis': x => both(x.sort(0, true)),
  argsort: x => x.argsort(),
  topK: x => both(x.topK(5)),
  'topK, smallest of the first axis': x => both(x.topK(2, 0, false)),
  'slice, with steps': x => x.slice([1], [6], [2, 3]),
  conv1d: (x, w, bias) => conv1d(x, w, { bias, stride: 2, padding: 1 }),
  conv2d: (x, w) => conv2d(x, w),
  'conv2d, one channel': (x, w, bias) => conv2d(x, w, { bias, padding: 1 }),
  'conv2d, strides and padding': (x, w, bias) => conv2d(x, w, { bias, stride: [2, 3], padding: [1, 2] }),
  'conv2d, dilation': (x, w) => conv2d(x, w, { dilation: [2, 3], padding: 1 }),
  'conv2d, strides and dilation': (x, w) => conv2d(x, w, { stride: [4, 2], dilation: 2, padding: [0, 1] }),
  'conv2d, groups': (x, w) => conv2d(x, w, { groups: 2, padding: 1, stride: 2 }),
  'conv2d, depthwise': (x, w) => conv2d(x, w, { groups: 4, padding: 1 }),
  'conv2d, single pixels': (x, w, bias) => conv2d(x, w, { bias }),
  'conv2d, single pixels with strides': (x, w) => conv2d(x, w, { stride: 2 }),
  'conv2d, same': (x, w) => conv2d(x, w, { padding: 'same' }),
  'conv2d, channels last': (x, w, bias) => conv2d(x, w, { bias, padding: 1, channels: 'last' }).relu(),
  'conv2d, channels last in groups': (x, w) => conv2d(x, w, { stride: 2, padding: 1, groups: 2, channels: 'last' }),
  convTranspose1d: (x, w, bias) => convTranspose1d(x, w, { bias, stride: 3, padding: 1, outputPadding: 2 }),
  convTranspose2d: (x, w) => convTranspose2d(x, w, { padding: [1, 0], dilation: 2 }),
  'convTranspose2d, strides': (x, w, bias) =>
    convTranspose2d(x, w, { bias, stride: [2, 3], padding: 1, outputPadding: [1, 0] }),
  maxPool1d: x => maxPool1d(x, 3, { stride: 2 }),
  maxPool2d: x => maxPool2d(x, 2),
  'maxPool2d, overlapping': x => maxPool2d(x, [3, 2], { stride: [2, 1], padding: 1, dilation: [1, 2] }),
  'maxPool2d, channels last': x => maxPool2d(x, 3, { stride: 2, padding: 1, channels: 'last' }),
  avgPool1d: x => avgPool1d(x, 3, { stride: 2, padding: 1 }),
  avgPool2d: x => avgPool2d(x, 2),
  'avgPool2d, overlapping': x => avgPool2d(x, 3, { stride: [2, 1], padding: 1 }),
  'avgPool2d, without padding': x => avgPool2d(x, [3, 2], { stride: 2, padding: 1, countIncludePad: false }),
  upsample: x => upsample(x, { scale: 2 }),
  'upsample, to a size': x => upsample(x, { size: [5, 3] }),
  'upsample, bilinear': x => upsample(x, { scale: [2, 1.5], mode: 'bilinear' }),
  'upsample, aligned corners': x => upsample(x, { size: [5, 7], mode: 'bilinear', alignCorners: true }),
  'softmax of another axis': x => x.softmax(1),
  'logSoftmax of another axis': x => x.logSoftmax(0),
  'layerNorm of another axis': (x, gamma, beta) => x.layerNorm(gamma, beta, 1e-5, 1),
  rmsNorm: (x, gamma) => x.rmsNorm(gamma, 1e-5),
  'rmsNorm of another axis': (x, gamma) => x.rmsNorm(gamma, 1e-5, 1),
  groupNorm: (x, gamma, beta) => groupNorm(x, 3, gamma, beta),
  batchNorm: (x, gamma, beta) => batchNorm(x, batchStatistics(x), { gamma, beta }),
  'batchNorm by other statistics': (x, mean, variance) => batchNorm(x, { mean, variance }),
  batchStatistics: x => {
    const { mean, variance } = batchStatistics(x)
    return [mean, variance]
  },
  'convTranspose2d, groups': (x, w) => convTranspose2d(x, w, { stride: 2, groups: 2 }),
}

function fnOf(name: string): Fn {
  if (name.startsWith('einsum ')) return (...tensors) => einsum(name.slice('einsum '.length), ...tensors)
  const found = ops[name]
  if (!found) throw new Error(`no op is called ${name}`)
  return found
}

function sourceOf(name: string, spec: InputSpec): Tensor {
  const { shape, below, turned, positive } = 'shape' in spec ? spec : { shape: spec }
  const count = shape.reduce((a, b) => a * b, 1)
  if (below)
    return tensor(
      Int32Array.from(patternWords(name, count), word => word % below),
      shape,
    )
  if (turned) {
    const sumAt = (i: number): number =>
      shape.reduceRight(([rest, sum], n) => [Math.floor(rest / n), sum + (rest % n)], [i, 0])[1]
    return tensor(
      Int32Array.from({ length: count }, (_, i) => sumAt(i) % turned),
      shape,
    )
  }
  const scaled = (unit: number): number => (positive ? 1 + unit : 2 * unit)
  return tensor(Float32Array.from(patternUnits(name, count), scaled), shape)
}

/** The results end to end, and the gradients of their weighted sum. */
function graphOf({ name, inputs }: Case): { results: readonly Tensor[]; judged: Tensor[] } {
  const sources = inputs.map((spec, i) => sourceOf(`${name}.${i}`, spec))
  const found = fnOf(name)(...sources)
  const results = 'value' in found ? [found] : found
  const flat = concat(results.map(y => y.cast('f32').reshape([y.size])))
  const wrt = sources.filter(x => isFloat(x.dtype))
  if (wrt.length === 0 || !results.some(y => isFloat(y.dtype))) return { results, judged: [flat] }
  const weights = tensor(Float32Array.from(patternUnits(`${name}.weights`, flat.size)), [flat.size])
  return { results, judged: [flat, ...grad(flat.mul(weights).sum(), wrt)] }
}

const { cases } = JSON.parse(readFileSync(new URL('arrays/cases.json', import.meta.url), 'utf8')) as { cases: Case[] }
const golden = JSON.parse(readFileSync(new URL('arrays/expected.json', import.meta.url), 'utf8')) as {
  cases: Record<string, Expected>
}
const graphs = cases.map(each => ({ ...each, ...graphOf(each), expected: golden.cases[each.name] }))

// Nothing here is so large that optimised shaders would pay for themselves.
process.env.GALLIVM_PERF ??= 'nopt'
let reading: Promise<ArrayLike<number>[]> | undefined
const onDevice = (): Promise<ArrayLike<number>[]> => (reading ??= readAll(graphs.flatMap(({ judged }) => judged)))
afterAll(async () => (await currentDevice()).close())

test.for(graphs)('$name', async ({ name, results, judged, expected }, context) => {
  expect(results.map(y => y.shape)).toEqual(expected.shapes)
  const wanted = [expected.value, ...(expected.gradients ?? [])]
  expect(judged.length).toBe(wanted.length)
  const first = graphs
    .slice(
      0,
      graphs.findIndex(graph => graph.name === name),
    )
    .flatMap(graph => graph.judged).length
  const read = await onDevice()
  const exact = reference(judged)
  wanted.forEach((description, k) => {
    const scale = Math.max(description.norm / Math.sqrt(judged[k].size), 1e-3)
    const compare = (what: string, found: ArrayLike<number>, bar: number): void => {
      const worst = differenceFrom(found, name, description) / scale
      expectWithin(context, { what: `arrays: ${k === 0 ? 'value' : 'gradient'}, ${what}`, worst, bar, at: name })
    }
    // PyTorch's numbers are kept with eight digits.
    compare('in float64', exact[k], 1e-6)
    compare('on the device', read[first + k], 1e-5)
  })
})
