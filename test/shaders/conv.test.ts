// Convolutions as on CPUs and as on GPUs, against float64, for layouts and sizes that do not fit the tiles.
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Tensor,
  avgPool1d,
  avgPool2d,
  compile,
  conv1d,
  conv2d,
  convTranspose2d,
  groupNorm,
  maxPool1d,
  maxPool2d,
  upsample,
  zeros,
} from '../../engine/node/index.ts'
import type { DType, Traits } from '../../shaders/kernel.ts'
import { expectClose, noises, opInput, referenceOf, runCandidates } from '../support/ops.ts'
import { type TestDevice, openTestDevice } from '../support/launch.ts'

let bench: TestDevice
beforeAll(async () => {
  bench = await openTestDevice()
})
afterAll(() => bench.close())

interface ConvCase {
  readonly x: readonly number[]
  readonly w: readonly number[]
  readonly size: readonly number[]
  readonly stride?: readonly number[]
  readonly padding?: readonly number[]
  readonly dilation?: readonly number[]
  readonly groups?: number
  readonly channelsLast?: boolean
  readonly dtype?: DType
}

/** Checks some of the candidates, from the first to the last: compiling them all takes long. */
async function check(traits: Traits, { x, w, dtype = 'f32', ...rest }: ConvCase): Promise<string[]> {
  const attributes = {
    stride: [1, 1],
    padding: [0, 0],
    dilation: [1, 1],
    groups: 1,
    channelsLast: false,
    outputDtype: 'f32',
    ...rest,
  } as const
  const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1)
  const inputs = [opInput(noises(count(x), 1), x, dtype), opInput(noises(count(w), 2), w, dtype)]
  const [expected] = referenceOf('conv', inputs, attributes)
  const runs = await runCandidates(bench, 'conv', inputs, attributes, traits, 4)
  for (const { outputs, again, label } of runs) {
    expectClose(outputs[0], expected, 1e-5, label)
    expect(again[0], label).toEqual(outputs[0])
  }
  return runs.map(({ label }) => label)
}

const cases: Readonly<Record<string, ConvCase>> = {
  'images whose pixels are no multiple of four': { x: [2, 8, 9, 7], w: [20, 8, 3, 3], size: [7, 5] },
  'padding, an epilogue of vec4s': { x: [3, 8, 8, 8], w: [18, 8, 3, 3], size: [8, 8], padding: [1, 1] },
  'one channel': { x: [2, 1, 9, 8], w: [9, 1, 3, 3], size: [9, 8], padding: [1, 1] },
  'three channels in groups, padded to four': {
    x: [2, 6, 7, 6],
    w: [8, 3, 2, 3],
    size: [4, 4],
    stride: [2, 2],
    padding: [1, 2],
    groups: 2,
  },
  dilation: { x: [1, 4, 11, 12], w: [5, 4, 3, 2], size: [6, 4], stride: [1, 2], dilation: [2, 3] },
  'long sums in slices': { x: [4, 8, 18, 18], w: [6, 8, 16, 16], size: [3, 3] },
  'long sums in groups': { x: [2, 16, 18, 18], w: [6, 8, 16, 16], size: [3, 3], groups: 2 },
  'a group for each channel': { x: [2, 12, 9, 9], w: [12, 1, 3, 3], size: [9, 9], padding: [1, 1], groups: 12 },
  'places outside of the input': { x: [1, 4, 5, 5], w: [4, 4, 3, 3], size: [9, 3], padding: [4, -2] },
}

test.each(Object.keys(cases))('%s: right in several ways on a CPU', async name => {
  const labels = await check({ ...bench.traits, cpu: true }, cases[name])
  expect(labels.length).toBeGreaterThan(1)
})

test.each(['images whose pixels are no multiple of four', 'one channel', 'long sums in groups'])(
  '%s: right in several ways on a GPU',
  async name => {
    const labels = await check({ ...bench.traits, cpu: false }, cases[name])
    expect(labels.join()).toContain('conv wg')
  },
)

test('channels that come last are read where they lie, if they need no padding', async () => {
  const own = { x: [2, 8, 7, 6], w: [12, 8, 3, 3], size: [5, 4], channelsLast: true } as const
  const labels = await check(bench.traits, own)
  expect(labels.join()).toContain('input laid out')
  // As the permuted view that conv2d makes of them.
  const [images, weights] = [zeros([2, 7, 6, 8]), zeros([12, 8, 3, 3])]
  const kernels = await compile((x: Tensor, w: Tensor) => conv2d(x, w, { channels: 'last' })).kernels(images, weights)
  expect(kernels.join()).toContain('weights laid out')
  expect(kernels.join()).not.toContain('input laid out')
})

test('half precision is summed in f32', async ({ skip }) => {
  skip(!bench.traits.f16, 'no shader-f16')
  await check(bench.traits, { ...cases['padding, an epilogue of vec4s'], dtype: 'f16' })
  await check(bench.traits, { ...cases['a group for each channel'], dtype: 'f16' })
})

test('bias and activation are part of the product', async () => {
  const [x, w, bias] = [zeros([2, 4, 6, 6]), zeros([8, 4, 3, 3]), zeros([8])]
  const activated = compile((...[images, weights, numbers]: Tensor[]) =>
    conv2d(images, weights, { bias: numbers, padding: 1 }).relu(),
  )
  const kernels = await activated.kernels(x, w, bias)
  expect(kernels.at(-1)).toMatch(/^conv .*relu/)
  expect(kernels.filter(label => label.includes('relu')).length).toBe(1)
})

const x = zeros([2, 4, 5, 5])
test.each<[string, () => unknown]>([
  [
    'conv2d: x is f32[4, 5, 5], but floats [batch, channels, height, width] were expected',
    () => conv2d(zeros([4, 5, 5]), x),
  ],
  [
    'conv2d: weights f32[3, 2, 3, 3] in 1 group do not fit the 4 channels of f32[2, 4, 5, 5]',
    () => conv2d(x, zeros([3, 2, 3, 3])),
  ],
  ['conv2d: weights f32[3, 2, 3, 3] in 2 groups do not fit', () => conv2d(x, zeros([3, 2, 3, 3]), { groups: 2 })],
  ['conv2d: the kernel of f32[3, 4, 6, 1] is larger than f32[2, 4, 5, 5]', () => conv2d(x, zeros([3, 4, 6, 1]))],
  [
    'conv2d: stride is [0, 1], but one or two integers of at least 1 were expected',
    () => conv2d(x, zeros([3, 4, 1, 1]), { stride: [0, 1] }),
  ],
  ['conv2d: the bias is f32[4], but [3] was expected', () => conv2d(x, zeros([3, 4, 1, 1]), { bias: zeros([4]) })],
  [
    'conv2d: x is i32[1, 1, 2, 2], but floats [batch, channels',
    () => conv2d(zeros([1, 1, 2, 2], 'i32'), zeros([1, 1, 1, 1])),
  ],
  [
    'conv1d: stride is [2, 3], but an integer of at least 1 was expected',
    () => conv1d(zeros([2, 4, 5]), zeros([3, 4, 1]), { stride: [2, 3] }),
  ],
  [
    'conv1d: x is f32[2, 4, 5, 5], but floats [batch, channels, length] were expected',
    () => conv1d(x, zeros([3, 4, 3])),
  ],
  ['conv1d: the weights are f32[3, 4, 3, 3], but floats with 3', () => conv1d(zeros([2, 4, 5]), zeros([3, 4, 3, 3]))],
  ['conv1d: the kernel of f32[3, 4, 6] is larger than f32[2, 4, 5]', () => conv1d(zeros([2, 4, 5]), zeros([3, 4, 6]))],
  [
    'convTranspose2d: weights f32[3, 4, 3, 3] in 1 group do not fit the 4 channels of f32[2, 4, 5, 5]',
    () => convTranspose2d(x, zeros([3, 4, 3, 3])),
  ],
  [
    'convTranspose2d: weights f32[4, 4, 3, 3] in 0.5 groups',
    () => convTranspose2d(x, zeros([4, 4, 3, 3]), { groups: 0.5 }),
  ],
  [
    'convTranspose2d: outputPadding 1, 1 is not less than stride or dilation',
    () => convTranspose2d(x, zeros([4, 4, 3, 3]), { outputPadding: 1 }),
  ],
  ['maxPool2d: the window 6 is larger than f32[2, 4, 5, 5]', () => maxPool2d(x, 6)],
  ['maxPool1d: the window 6 is larger than f32[2, 4, 5]', () => maxPool1d(zeros([2, 4, 5]), 6)],
  ['maxPool1d: stride is 0, but an integer of at least 1', () => maxPool1d(zeros([2, 4, 5]), 2, { stride: 0 })],
  ['maxPool1d: x is i32[2, 4, 5], but floats [batch, channels, length]', () => maxPool1d(zeros([2, 4, 5], 'i32'), 2)],
  [
    'avgPool1d: x is f32[4, 5], but floats [batch, length, channels]',
    () => avgPool1d(zeros([4, 5]), 2, { channels: 'last' }),
  ],
  ['maxPool2d: padding 2 is more than half of the window 3', () => maxPool2d(x, 3, { padding: 2 })],
  ['avgPool2d: x is i32[2, 4, 5, 5], but floats [batch, channels, height, width]', () => avgPool2d(x.cast('i32'), 2)],
  ['upsample: a scale or a size was expected', () => upsample(x, {})],
  ['upsample: scale 0.1, 1 gives no image of 5 by 5 pixels', () => upsample(x, { scale: [0.1, 1] })],
  ['groupNorm: 3 groups do not divide the channels of f32[2, 4, 5, 5]', () => groupNorm(x, 3)],
  ['groupNorm: beta is f32[5], but [4] was expected', () => groupNorm(x, 2, undefined, zeros([5]))],
])('%s', (message, act) => {
  expect(act).toThrow(message)
})
