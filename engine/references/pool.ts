// Pooling and its gradients in float64, window by window.
import type { PoolProblem } from '../../shaders/pool.ts'
import type { References } from '../graph.ts'
import { problemOf } from '../ops/pool.ts'
import { sizeOf } from '../shape.ts'

/** Calls `visit` for each element of each window, with their numbers, and that of the element in its image. */
function eachElement(
  { outer, inner, height, width, size, kernel, stride, padding, dilation }: PoolProblem,
  visit: (window: number, element: number, at: number) => void,
): void {
  for (let window = 0; window < outer * size[0] * size[1] * inner; window++) {
    const place = Math.floor(window / inner) % (size[0] * size[1])
    const image = Math.floor(window / inner / (size[0] * size[1]))
    for (let v = 0; v < kernel[0]; v++) {
      const y = Math.floor(place / size[1]) * stride[0] - padding[0] + v * dilation[0]
      for (let h = 0; h < kernel[1]; h++) {
        const x = (place % size[1]) * stride[1] - padding[1] + h * dilation[1]
        if (y < 0 || y >= height || x < 0 || x >= width) continue
        const at = y * width + x
        visit(window, (image * height * width + at) * inner + (window % inner), at)
      }
    }
  }
}

/** How many elements each window has, in the image or, if padding counts, in all. */
function counts(problem: PoolProblem, countsPadding: boolean): Float64Array {
  const { outer, inner, size, kernel } = problem
  const found = new Float64Array(outer * size[0] * size[1] * inner).fill(countsPadding ? kernel[0] * kernel[1] : 0)
  if (!countsPadding) eachElement(problem, window => found[window]++)
  return found
}

export const pool: References<'maxPool' | 'maxPoolGradient' | 'averagePool' | 'averagePoolGradient'> = {
  maxPool([x], { inputs: [spec], outputs: [out] }, attributes) {
    const values = new Float64Array(sizeOf(out.shape)).fill(-Infinity)
    const indices = new Float64Array(values.length).fill(-1)
    eachElement(problemOf(spec, attributes), (window, element, at) => {
      const isLarger = x[element] > values[window] || (Number.isNaN(x[element]) && !Number.isNaN(values[window]))
      if (indices[window] >= 0 && !isLarger) return
      values[window] = x[element]
      indices[window] = at
    })
    return [values, indices]
  },
  maxPoolGradient([indices, dy], { inputs: [, spec], outputs: [out] }, attributes) {
    const dx = new Float64Array(sizeOf(out.shape))
    eachElement(problemOf(spec, attributes), (window, element, at) => {
      if (indices[window] === at) dx[element] += dy[window]
    })
    return [dx]
  },
  averagePool([x], { inputs: [spec], outputs: [out] }, attributes) {
    const problem = problemOf(spec, attributes)
    const sums = new Float64Array(sizeOf(out.shape))
    eachElement(problem, (window, element) => {
      sums[window] += x[element]
    })
    const divisors = counts(problem, attributes.countsPadding)
    return [sums.map((sum, window) => sum / divisors[window])]
  },
  averagePoolGradient([dy], { inputs: [spec], outputs: [out] }, attributes) {
    const problem = problemOf(spec, attributes)
    const divisors = counts(problem, attributes.countsPadding)
    const dx = new Float64Array(sizeOf(out.shape))
    eachElement(problem, (window, element) => {
      dx[element] += dy[window] / divisors[window]
    })
    return [dx]
  },
}
