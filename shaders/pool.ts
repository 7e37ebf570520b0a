// Largest and mean elements of windows that are moved over images, and their gradients. Images are [outer, height, width,
// inner]: inner is 1 if channels come first, and the channels if they come last.
//
// A gradient is not scattered: each element of the input goes through the windows that it is part of, in a fixed order.
import { perElement } from './each.ts'
import { keyFunctions } from './keys.ts'
import { type DType, type Launch, type Traits, input, output } from './kernel.ts'
import { type ScalarType, narrowed, wgsl, widened, written } from './wgsl.ts'

type Pair = readonly [vertical: number, horizontal: number]

export interface PoolProblem {
  readonly outer: number
  readonly inner: number
  /** Of the input. */
  readonly height: number
  readonly width: number
  /** Height and width of the output. */
  readonly size: Pair
  readonly kernel: Pair
  readonly stride: Pair
  /** Above and to the left: elements that are never the largest, and 0 in means. */
  readonly padding: Pair
  readonly dilation: Pair
  readonly dtype: DType
}

const UNIFORMS: Readonly<Record<string, ScalarType>> = Object.fromEntries(
  ['inner', 'height', 'width', 'rows', 'columns', 'top', 'left'].map(name => [name, 'u32' as const]),
)
const PAIRS: Readonly<Record<string, ScalarType>> = Object.fromEntries(
  ['kernel', 'stride', 'dilation'].flatMap(name => [0, 1].map(axis => [`${name}${axis}`, 'u32' as const])),
)

function valuesOf({
  inner,
  height,
  width,
  size,
  kernel,
  stride,
  padding,
  dilation,
}: PoolProblem): Record<string, number> {
  const pairs = Object.entries({ kernel, stride, dilation }).flatMap(([name, both]) =>
    both.map((n, axis) => [`${name}${axis}`, n] as const),
  )
  const [rows, columns] = size
  return { inner, height, width, rows, columns, top: padding[0], left: padding[1], ...Object.fromEntries(pairs) }
}

/** WGSL: where window i begins. Above and left of the image, coordinates are too large. */
const WINDOW = wgsl`
  let channel = i % u.inner;
  let place = i / u.inner % (u.rows * u.columns);
  let image = i / u.inner / (u.rows * u.columns) * u.height * u.width;
  let line = place / u.columns * u.stride0 - u.top;
  let column = place % u.columns * u.stride1 - u.left;
`

/** WGSL: `body` for each element (y, x) of the window, whose number in its image is `at`. */
const eachElement = (body: string): string => wgsl`
  for (var v = 0u; v < u.kernel0; v++) {
    let y = line + v * u.dilation0;
    for (var h = 0u; h < u.kernel1; h++) {
      let x = column + h * u.dilation1;
      if (y < u.height && x < u.width) {
        let at = y * u.width + x;
        ${body}
      }
    }
  }
`

/** WGSL: `body` for each window, number `window` of its image, that element i is part of. */
const eachWindow = (body: string): string => wgsl`
  let channel = i % u.inner;
  let own = i / u.inner % (u.height * u.width);
  let image = i / u.inner / (u.height * u.width) * u.rows * u.columns;
  for (var v = 0u; v < u.kernel0; v++) {
    let y = own / u.width + u.top - v * u.dilation0; // too large above the first window
    for (var h = 0u; h < u.kernel1; h++) {
      let x = own % u.width + u.left - h * u.dilation1;
      let row = y / u.stride0;
      let column = x / u.stride1;
      if (y % u.stride0 == 0u && x % u.stride1 == 0u && row < u.rows && column < u.columns) {
        let window = row * u.columns + column;
        ${body}
      }
    }
  }
`

/** Input: x. Outputs: the largest element of each window, the first of equal ones, and its number in the image (i32). */
export function maxPoolLaunch(problem: PoolProblem, traits: Traits): Launch {
  const { outer, inner, size, dtype } = problem
  return perElement(
    {
      title: `maxPool ${dtype}`,
      bindings: { input: dtype, result: written(dtype), indices: written('i32') },
      uniforms: { ...UNIFORMS, ...PAIRS },
      functions: keyFunctions(dtype),
      body: wgsl`
        ${WINDOW}
        var best = 0u;
        var found = 0u;
        ${eachElement(wgsl`
          let value = ${widened('input[(image + at) * u.inner + channel]', dtype)};
          // Both zeros are one number.
          let key = keyOf(bitcast<f32>(select(bitcast<u32>(value), 0u, (bitcast<u32>(value) << 1u) == 0u)));
          if (key > best) {
            best = key;
            found = at;
          }
        `)}
        result[i] = input[(image + found) * u.inner + channel];
        indices[i] = i32(found);
      `,
    },
    outer * size[0] * size[1] * inner,
    { input: input(0), result: output(0), indices: output(1) },
    valuesOf(problem),
    traits,
  )
}

/** Inputs: indices, dy. Output: dx. */
export function maxPoolGradientLaunch(problem: PoolProblem, traits: Traits): Launch {
  const { outer, inner, height, width, dtype } = problem
  return perElement(
    {
      title: `maxPoolGradient ${dtype}`,
      bindings: { indices: 'i32', dy: dtype, dx: written(dtype) },
      uniforms: { ...UNIFORMS, ...PAIRS },
      body: wgsl`
        var sum = 0.0;
        ${eachWindow(wgsl`
          let from0 = (image + window) * u.inner + channel;
          if (u32(indices[from0]) == own) {
            sum += ${widened('dy[from0]', dtype)};
          }
        `)}
        dx[i] = ${narrowed('sum', dtype)};
      `,
    },
    outer * height * width * inner,
    { indices: input(0), dy: input(1), dx: output(0) },
    valuesOf(problem),
    traits,
  )
}

/** WGSL of the number that the sum of a window is divided by: its elements, or those of them within the image. */
function divisorOf(countsPadding: boolean, row: string, column: string): string {
  if (countsPadding) return 'f32(u.kernel0 * u.kernel1)'
  const rows = `inside(${row}, u.stride0, u.top, u.kernel0, u.height)`
  return `f32(${rows} * inside(${column}, u.stride1, u.left, u.kernel1, u.width))`
}

const INSIDE = wgsl`
  // Of a window's elements along one axis, those within the image.
  fn inside(window: u32, stride: u32, before: u32, kernel: u32, length: u32) -> u32 {
    let begin = window * stride;
    return min(begin + kernel, before + length) - max(begin, before);
  }
`

/** Input: x. Output: the mean of each window. */
export function averagePoolLaunch(problem: PoolProblem, countsPadding: boolean, traits: Traits): Launch {
  const { outer, inner, size, dtype } = problem
  return perElement(
    {
      title: `averagePool ${dtype}${countsPadding ? '' : ', without padding'}`,
      bindings: { input: dtype, result: written(dtype) },
      uniforms: { ...UNIFORMS, ...PAIRS },
      functions: countsPadding ? undefined : INSIDE,
      body: wgsl`
        ${WINDOW}
        var sum = 0.0;
        ${eachElement(`sum += ${widened('input[(image + at) * u.inner + channel]', dtype)};`)}
        result[i] = ${narrowed(`sum / ${divisorOf(countsPadding, 'place / u.columns', 'place % u.columns')}`, dtype)};
      `,
    },
    outer * size[0] * size[1] * inner,
    { input: input(0), result: output(0) },
    valuesOf(problem),
    traits,
  )
}

/** Input: dy. Output: dx. */
export function averagePoolGradientLaunch(problem: PoolProblem, countsPadding: boolean, traits: Traits): Launch {
  const { outer, inner, height, width, dtype } = problem
  return perElement(
    {
      title: `averagePoolGradient ${dtype}${countsPadding ? '' : ', without padding'}`,
      bindings: { dy: dtype, dx: written(dtype) },
      uniforms: { ...UNIFORMS, ...PAIRS },
      functions: countsPadding ? undefined : INSIDE,
      body: wgsl`
        var sum = 0.0;
        ${eachWindow(
          `sum += ${widened('dy[(image + window) * u.inner + channel]', dtype)} / ${divisorOf(countsPadding, 'row', 'column')};`,
        )}
        dx[i] = ${narrowed('sum', dtype)};
      `,
    },
    outer * height * width * inner,
    { dy: input(0), dx: output(0) },
    valuesOf(problem),
    traits,
  )
}
