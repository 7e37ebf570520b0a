// Mistakes that only the compiler of TypeScript would tell a program in JavaScript of: misspelled options, arrays or
// numbers where tensors are expected and the other way round, dtypes that do not exist. None changes the result silently.
import { describe, expect, test } from 'vitest'
import * as engine from '../../engine/index.ts'
import { defineOp } from '../../engine/op.ts'
import { given } from '../../engine/tree.ts'

/** As a program in JavaScript sees it: whatever is passed, the call compiles. */
type Loose = {
  readonly [name: string]: (...given: readonly unknown[]) => Record<string, (...given: unknown[]) => unknown>
}
const js = { ...engine } as unknown as Loose

const m = js.ones([2, 3])
const ids = js.range(6)
const [images, kernels] = [js.ones([1, 2, 5, 5]), js.ones([3, 2, 3, 3])]
const [lines, taps] = [js.ones([1, 2, 9]), js.ones([3, 2, 3])]
const heads = js.ones([1, 3, 4, 8])
const key = { seed: 1 }
const twice = defineOp({
  name: 'test.mistakes.twice',
  kind: 'elementwise',
  inputs: 1,
  infer: ([x]) => [x],
  wgsl: ([x]) => `(2.0 * ${x})`,
  scalar: ([x]) => 2 * x,
}) as (inputs: readonly unknown[]) => unknown
const statistics = { mean: js.ones([2]), variance: js.ones([2]) }

function refuses(cases: readonly (readonly [message: string, act: () => unknown])[]): void {
  test.each(cases)('%s', (message, act) => {
    let thrown: unknown
    try {
      act()
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(engine.UserError)
    expect(String(thrown)).toContain(message)
  })
}

describe('a misspelled option is refused, with those that there are', () => {
  refuses([
    [
      'conv2d: there is no option strides, only bias, stride, padding, dilation, groups, channels',
      () => js.conv2d(images, kernels, { strides: 2 }),
    ],
    ['conv1d: there is no option strides', () => js.conv1d(lines, taps, { strides: 2 })],
    [
      'convTranspose2d: there is no option output_padding',
      () => js.convTranspose2d(images, js.ones([2, 3, 3, 3]), { output_padding: 1 }),
    ],
    ['convTranspose1d: there is no option pad', () => js.convTranspose1d(lines, js.ones([2, 3, 3]), { pad: 1 })],
    ['maxPool2d: there is no option strides', () => js.maxPool2d(images, 2, { strides: 1 })],
    ['maxPool1d: there is no option strides', () => js.maxPool1d(lines, 2, { strides: 1 })],
    ['avgPool2d: there is no option ceilMode', () => js.avgPool2d(images, 2, { ceilMode: true })],
    ['avgPool1d: there is no option dilation', () => js.avgPool1d(lines, 2, { dilation: 2 })],
    ['upsample: there is no option scaleFactor', () => js.upsample(images, { scaleFactor: 2 })],
    ['batchNorm: there is no option eps', () => js.batchNorm(images, statistics, { eps: 1e-3 })],
    ['attention: there is no option isCausal', () => js.attention(heads, heads, heads, { isCausal: true })],
    ['cumsum: there is no option exclusiv', () => m.cumsum(0, { exclusiv: true })],
    ['cumprod: there is no option reversed', () => m.cumprod(0, { reversed: true })],
    ['linearScan: there is no option exclusive', () => js.linearScan(m, m, 0, { exclusive: true })],
    ['random numbers: there is no option steps', () => js.randomUniform([2], { seed: 1, steps: 2 })],
    ['randomUniform: there is no option max', () => js.randomUniform([2], key, { max: 3 })],
    ['randomNormal: there is no option std', () => js.randomNormal([2], key, { std: 3 })],
    ['mseLoss: there is no option reduce', () => js.mseLoss(m, m, { reduce: 'sum' })],
    ['l1Loss: there is no option reduce', () => js.l1Loss(m, m, { reduce: 'sum' })],
    ['huberLoss: there is no option beta', () => js.huberLoss(m, m, { beta: 2 })],
    ['bceWithLogitsLoss: there is no option posWeight', () => js.bceWithLogitsLoss(m, m, { posWeight: [1, 1, 1] })],
    ['klDivLoss: there is no option logTarget,', () => js.klDivLoss(m, m, { logTarget: true })],
    ['crossEntropyLoss: there is no option weight,', () => js.crossEntropyLoss(m, js.range(2), { weight: [1, 2, 3] })],
  ])
})

describe('an option of another kind is refused', () => {
  refuses([
    ['conv2d: padding is SAME, not one of same, valid', () => js.conv2d(images, kernels, { padding: 'SAME' })],
    ['conv1d: padding is SAME, not one of same, valid', () => js.conv1d(lines, taps, { padding: 'SAME' })],
    ['conv2d: channels is Last, not one of first, last', () => js.conv2d(images, kernels, { channels: 'Last' })],
    ['upsample: mode is bicubic, not one of', () => js.upsample(images, { scale: 2, mode: 'bicubic' })],
    ['gelu: approximate is Tanh, not one of none, tanh', () => m.gelu('Tanh')],
    ['mseLoss: reduction is avg, not one of mean, sum, none', () => js.mseLoss(m, m, { reduction: 'avg' })],
    ['klDivLoss: reduction is batchmean, not one of', () => js.klDivLoss(m, m, { reduction: 'batchmean' })],
    ['crossEntropyLoss: reduction is avg, not one of', () => js.crossEntropyLoss(m, js.range(2), { reduction: 'avg' })],
    ['attention: dropout rate undefined is not in [0, 1)', () => js.attention(heads, heads, heads, { dropout: 0.1 })],
    ['mseLoss: options are an object, such as { reduction: … }', () => js.mseLoss(m, m, 'sum')],
    ['conv2d: options are an object, such as { bias: … }', () => js.conv2d(images, kernels, js.ones([3]))],
    ['huberLoss: delta is Infinity, but a finite', () => js.huberLoss(m, m, { delta: Infinity })],
    ['randomBernoulli: 2 is not a probability', () => js.randomBernoulli(2, key, [3])],
    ['random numbers: the seed is NaN, but an integer', () => js.randomUniform([2])],
    ['topK: undefined elements of axis -1', () => m.topK()],
  ])
})

describe('an operand that is neither a tensor nor a number is refused', () => {
  refuses([
    ['add: 1,2,3 is neither a tensor nor a number', () => m.add([1, 2, 3])],
    ['mul: undefined is neither', () => m.mul()],
    ['sub: 1 is neither a tensor nor a number', () => m.sub('1')],
    ['where: undefined is neither', () => ids.where(m)],
    ['[object Object] is neither', () => m.clamp({ min: 0 })],
    ['matmul: other must be a tensor, not [1,2,3]', () => m.matmul([1, 2, 3])],
    ['0,1 is not a tensor', () => m.take([0, 1])],
    ['the index (not a tensor) does not fit f32[2, 3]', () => m.gather(0, [[0, 1, 0]])],
    ['conv2d: x must be a tensor, not [1]', () => js.conv2d([[[[1]]]], kernels)],
    ['conv2d: the bias is (not a tensor), but [3]', () => js.conv2d(images, kernels, { bias: 1 })],
    ['mseLoss: targets must be a tensor, not [1,2,3]', () => js.mseLoss(m, [[1, 2, 3]])],
    ['crossEntropyLoss: labels must be a tensor, not [0,1]', () => js.crossEntropyLoss(m, [0, 1])],
  ])
})

describe('an argument that is missing, or another, is refused', () => {
  refuses([
    ['conv2d: weight must be a tensor, not undefined', () => js.conv2d(images)],
    ['attention: k must be a tensor, not undefined', () => js.attention(heads)],
    ['batchNorm: mean must be a tensor, not undefined', () => js.batchNorm(images)],
    ['scatterAdd: index must be a tensor, not undefined', () => m.scatterAdd(0)],
    ['einsum: equation must be a string, not f32[2, 3]', () => js.einsum(m, m)],
    ['einsum: element 1 must be a tensor, not undefined', () => js.einsum('ij,jk->ik', m, undefined)],
    ['grad: element 0 must be a tensor, not [object Object]', () => js.grad(m.sum(), [{ tensor: m }])],
    ['tensor(…) makes a tensor of numbers', () => Reflect.construct(engine.Tensor, [[1, 2, 3]]) as unknown],
    ['variable: shape must be an array, not undefined', () => js.variable()],
    ['hostTensor: read must be a function, not undefined', () => js.hostTensor({ shape: [2], dtype: 'f32' })],
    ['compile: fn must be a function, not f32[2, 3]', () => js.compile(m)],
    ['compile: there is no option trace, only traces', () => js.compile(() => m, { trace: 3 })],
    ['fixed: number must be a number, not f32[2, 3]', () => js.fixed(m)],
    ['bucketSize: NaN is not a length', () => js.bucketSize(NaN)],
    ['range: 1.5 is not representable as i32', () => js.range(0, 1.5)],
    ['not -4 in [-4]', () => js.range(5, 1)],
    ['not Infinity in [Infinity]', () => js.range(1, 5, 0)],
  ])

  test('by a promise where the result is one', async () => {
    await expect(js.readAll(m)).rejects.toThrow('readAll: an array of tensors was expected, not f32[2, 3]')
    await expect(js.openDevice({}, {})).rejects.toThrow('openDevice: adapter.requestDevice must be a function')
  })
})

test('an op of its own kind is applied to as many inputs as it takes', () => {
  expect(twice([m])).toHaveLength(1)
  expect(() => twice([m, m])).toThrow('test.mistakes.twice: 2 inputs were given, but it takes 1')
})

test('arguments of compiled functions are no typed arrays or Maps, whose numbers would be arguments one by one', () => {
  const pass = given as (args: unknown) => unknown
  const message = 'takes and returns tensors, arrays and plain objects, not a '
  expect(() => pass([m, { x: new Float32Array(2) }])).toThrow(`${message}Float32Array (at 1.x)`)
  expect(() => pass([new Map([['x', m]])])).toThrow(`${message}Map (at 0)`)
  expect(pass([m, { x: [m] }])).toEqual([m, { x: [m] }])
})

describe('a list that is none is refused', () => {
  refuses([
    ['reshape: an array of numbers was expected, not 3', () => m.reshape(3, 2)],
    ['permute: an array of numbers was expected, not 1', () => m.permute(1, 0)],
    ['sum: an array of numbers was expected, not [object Object]', () => m.sum({ axis: 1 })],
    ['tile: an array of numbers was expected, not 2', () => m.tile(2)],
    ['an array of numbers was expected, not 3', () => js.zeros(3)],
    ['tensor: an array of numbers was expected, not f32', () => js.tensor([1], 'f32')],
    ['random numbers: an array of numbers was expected, not 3', () => js.randomNormal(3, key)],
    ['pad: 1 before and 1 after do not fit f32[2, 3]', () => m.pad(1, 1)],
    ['slice: 1 is not an array of at most 2 numbers', () => m.slice(1, 2)],
    ['slice: [0, 0, 0] is not an array of at most 2', () => m.slice([0, 0, 0])],
    ['slice: [1, 1, 2] is not an array of at most 2', () => m.slice([0], [2], [1, 1, 2])],
    ['concat: an array of tensors was expected', () => js.concat(m, m)],
    ['stack: an array of tensors was expected', () => js.stack(m, m)],
    ['grad: an array of tensors was expected', () => js.grad(m.sum(), m)],
  ])
})

describe('a dtype or a length that does not exist is refused', () => {
  refuses([
    ['float32 is not a dtype: f32, f16, i32, u32 are', () => js.zeros([2], 'float32')],
    ['bool is not a dtype', () => js.tensor([1], undefined, 'bool')],
    ['undefined is not a dtype', () => ids.cast()],
    ['not undefined in [, ]', () => js.eye()],
    ['not -2 in [-2, -3]', () => m.reshape([-2, -3])],
    ['crossEntropyLoss: logits have no axis of classes', () => js.crossEntropyLoss(js.scalar(1), js.scalar(1, 'i32'))],
  ])
})
