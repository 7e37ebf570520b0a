// Ops that move elements: what they cost, and what they refuse. Their values are compared with PyTorch's in
// golden/arrays.test.ts.
import { afterAll, expect, test } from 'vitest'
import {
  type Tensor,
  compile,
  currentDevice,
  einsum,
  eye,
  grad,
  oneHot,
  range,
  stack,
  tensor,
  zeros,
} from '../../../engine/node/index.ts'

afterAll(async () => (await currentDevice()).close())

const x = zeros([4, 6])
const dispatches = async (fn: (x: Tensor) => Tensor): Promise<number> =>
  (await compile(fn).prepare(tensor(new Float32Array(24), [4, 6]))).dispatches

test('views take no work: their reader is the only dispatch', async () => {
  expect(await dispatches(t => t.flip().narrow(0, 1, 2).expandDims(1).squeeze().diagonal().exp())).toBe(1)
  expect(await dispatches(t => t.flip(0).sum())).toBe(1)
})

test.each([
  [[4], [0, 1, 2, 3]],
  [
    [1, 5],
    [1, 2, 3, 4],
  ],
  [
    [-2, 7, 4],
    [-2, 2, 6],
  ],
  [
    [5, 0, -2],
    [5, 3, 1],
  ],
  [[3, 3], []],
  [[3, 3, -1], []],
] as const)('range(%j) counts as torch.arange does', async ([start, end, step]: readonly number[], expected) => {
  const numbers = range(start, end, step)
  expect([numbers.dtype, numbers.shape, [...(await numbers.data())]]).toEqual(['i32', [expected.length], expected])
})

test('triangles, one-hot rows and the identity are part of their reader', async () => {
  expect(await dispatches(t => t.tril().add(t.triu(1)).mul(eye(4, 6)).exp())).toBe(1)
  expect(await dispatches(t => t.add(oneHot(tensor([0, 1, 2, 3], [4], 'i32'), 6)))).toBe(1)
})

test('a contraction is one product, with no copy of operands that strides describe', async () => {
  const scores = (t: Tensor): Tensor => einsum('bhqd,bhkd->bhqk', t.reshape([1, 2, 4, 3]), t.reshape([1, 2, 4, 3]))
  expect(await dispatches(scores)).toBe(1)
  expect(await dispatches(t => einsum('ij,kj->ki', t, t.mul(1)))).toBe(2)
  // Multiplied in the order that makes the smaller products: [4, 6]·[6, 1] first.
  const labels = await compile((t: Tensor) => einsum('ab,bc,cd->ad', t, t.transpose(), t.narrow(1, 0, 1))).kernels(
    tensor(new Float32Array(24), [4, 6]),
  )
  expect(labels.length).toBe(2)
})

test('the gradient of a triangle reads nothing but its upstream gradient', async () => {
  expect(await dispatches(t => grad(t.tril().mul(3).sum(), [t])[0])).toBe(1)
})

test.each<[string, () => unknown]>([
  ['squeeze: axis 1 of f32[4, 6] is not of length 1', () => x.squeeze(1)],
  ['expandDims: axis 3 is not one of 3 axes', () => x.expandDims(3)],
  ['flatten: axis 1 of f32[4, 6] is after axis 0', () => x.flatten(1, 0)],
  ['narrow: 3 elements from -2 on are not within axis 0 of f32[4, 6]', () => x.narrow(0, -2, 3)],
  ['split: parts of 1, 2 do not fill axis 0 of f32[4, 6]', () => x.split([1, 2])],
  ['split: parts of 0.5 elements were asked for, but a positive integer was expected', () => x.split(0.5)],
  ['chunk: 0 parts were asked for, but a positive integer was expected', () => x.chunk(0)],
  ['roll: shifts 1 are not one integer for each of axes 0, 1', () => x.roll(1, [0, 1])],
  ['tile: [2, 1.5] are not 0 or positive integers', () => x.tile([2, 1.5])],
  ['repeat: [2] has fewer entries than f32[4, 6] has axes', () => x.repeat([2])],
  ['repeatInterleave: -1 is neither 0 nor a positive integer', () => x.repeatInterleave(-1, 0)],
  ['stack: f32[6, 4] does not fit beside f32[4, 6]', () => stack([x, x.transpose()])],
  ['stack: no tensors to join', () => stack([])],
  ['slice: [-1, 0] to [4, 6] is not within f32[4, 6]', () => x.slice([-5])],
  ['tril: f32[24] is not a matrix', () => x.flatten().tril()],
  ['triu: the diagonal is 0.5, but a 32-bit integer was expected', () => x.triu(0.5)],
  ['diagonal: the offset 0.5 is not an integer', () => x.diagonal(0.5)],
  ['diagonal: axes 0, -2 name one axis twice', () => x.diagonal(0, 0, -2)],
  ['oneHot: ids are f32[4, 6], not integers', () => oneHot(x, 3)],
  [
    'matmul: f32[1, 6] · f32[4, 6]: the left operand has 6 columns, the right one 4 rows',
    () => range(6).cast('f32').matmul(x),
  ],
  ["einsum 'ij,jk': it has 2 operands, but 1 were given", () => einsum('ij,jk', x)],
  ["einsum 'ij->->': -> occurs twice", () => einsum('ij->->', x)],
  ["einsum 'i!->i': 'i!' is not letters with at most one '...' among them", () => einsum('i!->i', x)],
  ["einsum 'ijk->i': 'ijk' does not fit f32[4, 6]", () => einsum('ijk->i', x)],
  ["einsum 'ij->ii': the result has 'i' twice", () => einsum('ij->ii', x)],
  ["einsum 'ij->k': no operand has the result's 'k'", () => einsum('ij->k', x)],
  ["einsum 'ij,ij->ij': 'i' has lengths 4 and 6", () => einsum('ij,ij->ij', x, x.transpose())],
])('%s', (message, act) => {
  expect(act).toThrow(message)
})
