// Cases of convolutions.
import fc from 'fast-check'
import { apply } from '../../../engine/tensor.ts'
import { type OpCase, layout, opCase } from '../draw.ts'

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

export const imageCases: readonly OpCase[] = [convCase]
