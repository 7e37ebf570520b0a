// Cases of convolutions and pooling, and of their gradients' kernels as functions in their own right.
import fc from 'fast-check'
import { apply, applyAll } from '../../../engine/tensor.ts'
import { type OpCase, distinct, layout, opCase } from '../draw.ts'

const pairOf = (...numbers: readonly number[]): fc.Arbitrary<[number, number]> =>
  fc.tuple(fc.constantFrom(...numbers), fc.constantFrom(...numbers))

const convCase = opCase(
  'conv',
  fc.record({
    batch: fc.constantFrom(1, 2, 4),
    groups: fc.constantFrom(1, 1, 2),
    channels: fc.constantFrom(1, 2, 3, 4, 5, 8),
    outputs: fc.constantFrom(1, 2, 4, 9),
    from: pairOf(1, 3, 5, 8),
    // Any size is a convolution: places outside of the input are zeros.
    size: pairOf(1, 2, 4, 5),
    kernel: pairOf(1, 2, 3),
    stride: fc.constantFrom([1, 1], [1, 1], [2, 1], [1, 3], [2, 2]),
    padding: pairOf(0, 1, 2, -1),
    dilation: pairOf(1, 1, 2),
    last: fc.boolean(),
    layouts: fc.tuple(layout, layout),
    mixed: fc.nat(3),
  }),
  ({
    batch,
    groups,
    channels,
    outputs,
    from,
    size,
    kernel,
    stride,
    padding,
    dilation,
    last,
    layouts,
    mixed,
    dtype,
  }) => {
    const all = groups * channels
    return {
      slots: [
        { shape: last ? [batch, ...from, all] : [batch, all, ...from], layout: layouts[0], values: 'small' },
        {
          shape: [groups * outputs, channels, ...kernel],
          layout: layouts[1],
          dtype: mixed === 0 ? 'f32' : dtype,
        },
        { shape: [groups * outputs, 1, 1] },
      ],
      fn: (x, w, bias) => {
        const channelsLast = last && groups === 1
        const attributes = { size, stride, padding, dilation, groups, channelsLast }
        const y = apply('conv', [last ? x.permute([0, 3, 1, 2]) : x, w], attributes)
        // Every other draw with an epilogue.
        return mixed % 2 === 0 ? y : y.add(channelsLast ? bias.reshape([groups * outputs]) : bias).tanh()
      },
      options: { sumLength: Math.max(channels * kernel[0] * kernel[1], batch * size[0] * size[1] * outputs) },
    }
  },
  { share: 1 / 3, rounds: 1 / 2 },
)

const poolParams = fc.record({
  batch: fc.constantFrom(1, 2),
  channels: fc.constantFrom(1, 3),
  from: pairOf(3, 5, 8),
  kernel: pairOf(1, 2, 3),
  stride: pairOf(1, 2, 3),
  padded: fc.boolean(),
  dilation: pairOf(1, 1, 2),
  last: fc.boolean(),
  layout,
  counts: fc.boolean(),
})
type Pool = typeof poolParams extends fc.Arbitrary<infer P> ? P : never

/** The attributes of a pool, whose windows fit. */
function attributesOf({ from, kernel, stride, padded, dilation, last }: Pool, dilates: boolean) {
  const apart = dilates ? dilation : [1, 1]
  const window = kernel.map((n, axis) => ((n - 1) * apart[axis] + 1 > from[axis] ? 1 : n))
  const padding = window.map(n => (padded ? Math.floor(n / 2) : 0))
  const size = from.map(
    (n, axis) => Math.floor((n + 2 * padding[axis] - (window[axis] - 1) * apart[axis] - 1) / stride[axis]) + 1,
  )
  return { channelsLast: last, from, size, kernel: window, stride, padding, dilation: apart }
}

const shapeOf = ({ batch, channels, last }: Pool, size: readonly number[]): number[] =>
  last ? [batch, ...size, channels] : [batch, channels, ...size]

const poolCases: readonly OpCase[] = [
  opCase('maxPool', poolParams, draw => ({
    slots: [{ shape: shapeOf(draw, draw.from), layout: draw.layout, values: distinct(draw.seed) }],
    fn: x => {
      const [y, indices] = applyAll('maxPool', [x], attributesOf(draw, true))
      return y.add(indices.cast(y.dtype).mul(0.125))
    },
  })),
  opCase('maxPoolGradient', poolParams, draw => {
    const attributes = attributesOf(draw, true)
    return {
      slots: [
        { shape: shapeOf(draw, draw.from), dtype: 'f32', values: distinct(draw.seed) },
        { shape: shapeOf(draw, attributes.size), layout: draw.layout },
      ],
      fn: (x, dy) => apply('maxPoolGradient', [applyAll('maxPool', [x], attributes)[1], dy], attributes),
      options: { wrt: [1], sumLength: 9 },
    }
  }),
  opCase('averagePool', poolParams, draw => ({
    slots: [{ shape: shapeOf(draw, draw.from), layout: draw.layout }],
    fn: x => apply('averagePool', [x], { ...attributesOf(draw, false), countsPadding: draw.counts }),
    options: { sumLength: 9 },
  })),
  opCase('averagePoolGradient', poolParams, draw => {
    const attributes = { ...attributesOf(draw, false), countsPadding: draw.counts }
    return {
      slots: [{ shape: shapeOf(draw, attributes.size), layout: draw.layout }],
      fn: dy => apply('averagePoolGradient', [dy], attributes),
      options: { sumLength: 9 },
    }
  }),
]

export const imageCases: readonly OpCase[] = [convCase, ...poolCases.map(of => ({ ...of, share: 1 / 2 }))]
