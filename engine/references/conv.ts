// Convolution in float64, by its formula.
import type { Spec } from '../../shaders/kernel.ts'
import type { OpAttributes, References } from '../graph.ts'
import { sizeOf } from '../shape.ts'

function convolved(
  x: Float64Array,
  { shape: [, all, height, width] }: Spec,
  w: Float64Array,
  { shape: [outputs, channels, lines, columns] }: Spec,
  out: Spec,
  { size, stride, padding, dilation, groups, channelsLast }: OpAttributes['conv'],
): Float64Array {
  const pixels = size[0] * size[1]
  const y = new Float64Array(sizeOf(out.shape))
  for (let at = 0; at < y.length; at++) {
    const [image, o, pixel] = channelsLast
      ? [Math.floor(at / outputs / pixels), at % outputs, Math.floor(at / outputs) % pixels]
      : [Math.floor(at / pixels / outputs), Math.floor(at / pixels) % outputs, at % pixels]
    const [top, left] = [
      Math.floor(pixel / size[1]) * stride[0] - padding[0],
      (pixel % size[1]) * stride[1] - padding[1],
    ]
    const first = Math.floor(o / (outputs / groups)) * channels
    let sum = 0
    for (let c = 0; c < channels; c++) {
      for (let v = 0; v < lines; v++) {
        const line = top + v * dilation[0]
        if (line < 0 || line >= height) continue
        for (let h = 0; h < columns; h++) {
          const column = left + h * dilation[1]
          if (column < 0 || column >= width) continue
          const weight = w[((o * channels + c) * lines + v) * columns + h]
          sum += weight * x[((image * all + first + c) * height + line) * width + column]
        }
      }
    }
    y[at] = sum
  }
  return y
}

export const conv: References<'conv'> = {
  conv([x, w], { inputs: [xSpec, wSpec], outputs: [out] }, attributes) {
    return [convolved(x, xSpec, w, wSpec, out, attributes)]
  },
}
