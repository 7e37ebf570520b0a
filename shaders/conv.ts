// Convolutions as matrix products that never store the matrix of patches: outputs times pixels, or pixels times outputs if
// channels come last. A row of the patches begins where its pixel does; what K adds to that is a short table of offsets,
// since it is the same for all pixels.
//
// Input and weights are first laid out for that: the input with channels last, zeros around it and channels padded to
// vec4s; the weights in the same order. An input without padding and with few channels is read where it lies. For
// products of one or two rows, such as those of depthwise convolutions, `direct` sums each output by itself.
import { type Epilogue, endingOf, endingSlots } from './epilogue.ts'
import { perElement } from './each.ts'
import { type FloatType, type Launch, type Lowering, type Slot, type Spec, type Traits, type View } from './kernel.ts'
import { input, output, temporary } from './kernel.ts'
import { type MatmulCandidate, candidates, lower } from './matmul.ts'
import { type Operand, type Product, tuningProblem } from './matmul/problem.ts'
import { LETTERS, typeName, wgsl, when, widened, written } from './wgsl.ts'

type Pair = readonly [vertical: number, horizontal: number]

/**
 * out[b, o, y, x] = Σ w[o, c, v, h] · in[b, g·channels + c, y·stride + v·dilation − padding, …] over c, v and h, where g is
 * the group of output o; zeros outside of the input.
 */
export interface ConvProblem {
  /** [batch, groups · channels, height, width] and [groups · outputs, channels, height, width], with any strides. */
  readonly x: View
  readonly w: View
  /** Height and width of the output. */
  readonly size: Pair
  readonly stride: Pair
  /** Zeros above and to the left; what is missing below and to the right follows from the size. May be negative. */
  readonly padding: Pair
  readonly dilation: Pair
  readonly groups: number
  /** The output is [batch, height, width, groups · outputs] instead of [batch, groups · outputs, height, width]. */
  readonly channelsLast: boolean
  readonly dtype: FloatType
  readonly inputDtypes: readonly [x: FloatType, w: FloatType]
  readonly epilogue?: Epilogue
}

export type ConvConfig = { readonly way: 'product'; readonly candidate: MatmulCandidate } | { readonly way: 'direct' }

/** What both ways know of a problem. */
interface Sizes {
  readonly batch: number
  readonly channels: number
  readonly outputs: number
  readonly height: number
  readonly width: number
  readonly kernel: Pair
  readonly taps: number
  /** Pixels of an output image. */
  readonly pixels: number
}

function sizesOf({ x, w, size, groups }: ConvProblem): Sizes {
  const [batch, , height, width] = x.shape
  const [outputs, channels, ...kernel] = w.shape
  return {
    batch,
    channels,
    outputs: outputs / groups,
    height,
    width,
    kernel: [kernel[0], kernel[1]],
    taps: kernel[0] * kernel[1],
    pixels: size[0] * size[1],
  }
}

/** How the operands of the product lie in memory. */
interface Layout {
  /** Channels of a group as the kernel sees them. */
  readonly channels: number
  readonly vec4: boolean
  /** Sizes of the padded input [batch, height, width, groups, channels]; undefined if it is read where it lies. */
  readonly padded?: Pair
  /** Elements between images, lines, columns and channels of what is read. */
  readonly strides: readonly [image: number, line: number, column: number, channel: number]
  readonly offset: number
}

/** Channels from which on a copy with channels last is worth its time. */
const LEAST_CHANNELS = 3

function layoutOf(problem: ConvProblem): Layout {
  const { x, size, stride, padding, dilation, groups } = problem
  const { channels, height, width, kernel } = sizesOf(problem)
  const spanOf = (axis: 0 | 1): number => (size[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1
  const [image, channel, line, column] = x.strides
  const isInside = padding.every((n, i) => n <= 0 && spanOf(i === 0 ? 0 : 1) - n <= [height, width][i])
  const vec4 = channels >= LEAST_CHANNELS
  const isLaidOut = channel === 1 && [image, line, column, x.offset, channels].every(n => n % 4 === 0)
  if (isInside && (isLaidOut || !vec4)) {
    const offset = x.offset - padding[0] * line - padding[1] * column
    return { channels, vec4, strides: [image, line, column, channel], offset }
  }
  const laid = vec4 ? Math.ceil(channels / 4) * 4 : channels
  const padded: Pair = [spanOf(0), spanOf(1)]
  const all = laid * groups
  return { channels: laid, vec4, padded, strides: [padded[0] * padded[1] * all, padded[1] * all, all, 1], offset: 0 }
}

const offsetsSlot = temporary(0)

/** The product of a problem, whose operands come from these slots. */
function productOf(problem: ConvProblem, layout: Layout, xSlot: Slot, wSlot: Slot): Product {
  const { stride, size, groups, channelsLast, dtype, epilogue, inputDtypes } = problem
  const { batch, outputs, taps, pixels } = sizesOf(problem)
  const { channels, vec4, strides, offset } = layout
  const [image, line, column, channel] = strides
  const k = channels * taps
  const grouped = groups > 1
  const patches: Operand = {
    slot: xSlot,
    dtype: inputDtypes[0],
    major: 'k',
    offset,
    stride: 0,
    batch: grouped ? [channels * channel] : [],
    patches: {
      pixels,
      width: size[1],
      image,
      line: line * stride[0],
      pixel: column * stride[1],
      offsets: offsetsSlot,
      vec4,
    },
  }
  const weights: Operand = {
    slot: wSlot,
    dtype: inputDtypes[1],
    major: 'k',
    offset: 0,
    stride: k,
    batch: grouped ? [outputs * k] : [],
  }
  const ofBoth = { batch: grouped ? [groups] : [], out: { slot: output(0), dtype }, epilogue }
  const rows = batch * pixels
  if (channelsLast && !grouped) {
    return { ...ofBoth, m: rows, n: outputs, segments: [{ k, a: patches, b: weights, scale: 1 }] }
  }
  return {
    ...ofBoth,
    m: outputs,
    n: rows,
    segments: [{ k, a: weights, b: patches, scale: 1 }],
    images: { pixels, stride: groups * outputs * pixels },
  }
}

/** Outputs of a group up to which summing each output by itself is worth a try, and up to which it is guessed to win. */
const MOST_DIRECT = 8
const MOST_SURELY_DIRECT = 2

/** Ways worth trying, best guess first. */
export function convCandidates(problem: ConvProblem, traits: Traits): ConvConfig[] {
  const products = candidates(convProduct(problem), traits).map((candidate): ConvConfig => ({
    way: 'product',
    candidate,
  }))
  const { outputs } = sizesOf(problem)
  const direct: ConvConfig[] = outputs <= MOST_DIRECT ? [{ way: 'direct' }] : []
  return outputs <= MOST_SURELY_DIRECT ? [...direct, ...products] : [...products, ...direct]
}

/** The product, for the choice among its kernels. */
const convProduct = (problem: ConvProblem): Product => productOf(problem, layoutOf(problem), input(0), input(1))

/** What the tuner is asked. */
export function convQuestion(problem: ConvProblem): ReturnType<typeof tuningProblem> {
  const { sizes, options } = tuningProblem(convProduct(problem))
  return { sizes, options: { ...options, last: problem.channelsLast } }
}

/** Inputs: x, w. Output: the convolution. */
export function convLowering(problem: ConvProblem, config: ConvConfig, traits: Traits): Lowering {
  if (config.way === 'direct') return { launches: [directLaunch(problem, traits)] }
  const layout = layoutOf(problem)
  const launches = [offsetsLaunch(problem, layout, traits)]
  const { x, w } = problem
  const { taps, batch } = sizesOf(problem)
  const temporaries: Spec[] = [{ shape: [taps, layout.channels], dtype: 'u32' }]
  let [xSlot, wSlot] = [input(0), input(1)]
  if (layout.padded) {
    const [height, width] = layout.padded
    temporaries.push({ shape: [batch, height, width, layout.channels * problem.groups], dtype: x.dtype })
    xSlot = temporary(temporaries.length - 1)
    launches.push(layInput(problem, layout, layout.padded, xSlot, traits))
  }
  if (!isLaidOut(problem, layout)) {
    temporaries.push({ shape: [w.shape[0], taps, layout.channels], dtype: w.dtype })
    wSlot = temporary(temporaries.length - 1)
    launches.push(layWeights(problem, layout, wSlot, traits))
  }
  const product = productOf(problem, layout, xSlot, wSlot)
  const own = lower(product, config.candidate, traits, temporaries.length)
  return {
    launches: [
      ...launches,
      ...own.launches.map(launch => ({ ...launch, label: launch.label.replace('matmul', 'conv') })),
    ],
    temporaries: [...temporaries, ...(own.temporaries ?? [])],
  }
}

/** Whether the weights are in the product's order as they are. */
function isLaidOut({ w }: ConvProblem, { channels }: Layout): boolean {
  const [, own, ...kernel] = w.shape
  const taps = kernel[0] * kernel[1]
  const strides = [own * taps, taps, kernel[1], 1]
  const isContiguous = w.strides.every((stride, axis) => w.shape[axis] === 1 || stride === strides[axis])
  return isContiguous && w.offset === 0 && channels === own && (own === 1 || taps === 1)
}

/** The offset of each element (or vec4) of K from the start of a patch. */
function offsetsLaunch(problem: ConvProblem, { channels, vec4, strides }: Layout, traits: Traits): Launch {
  const { kernel, taps } = sizesOf(problem)
  const [, line, column, channel] = strides
  const unit = vec4 ? 4 : 1
  return perElement(
    {
      title: 'conv: offsets in a patch',
      bindings: { offsets: written('u32') },
      uniforms: { channels: 'u32', columns: 'u32', line: 'u32', column: 'u32', channel: 'u32' },
      body: wgsl`
        let tap = i / u.channels;
        let place = tap / u.columns * u.line + tap % u.columns * u.column;
        offsets[i] = place + i % u.channels * u.channel;
      `,
    },
    (taps * channels) / unit,
    { offsets: offsetsSlot },
    {
      channels: channels / unit,
      columns: kernel[1],
      line: (line * problem.dilation[0]) / unit,
      column: (column * problem.dilation[1]) / unit,
      channel: vec4 ? 1 : channel,
    },
    traits,
  )
}

/** Vec4s of channels that one invocation moves. */
const QUADS = 8

/** WGSL of a vec4 of channels (or of one), those past the last of their group being 0. */
function channelsAt(
  from: string,
  dtype: FloatType,
  { vec4, isPartial }: { vec4: boolean; isPartial: boolean },
): string {
  if (!vec4) return `${from}[at + quad * u.channel]`
  const elements = LETTERS.map((_, j) => {
    if (!isPartial) return `${from}[at + (quad * 4u + ${j}u) * u.channel]`
    const inside = `${from}[at + (first + min(own + ${j}u, u.channels - 1u)) * u.channel]`
    return `select(${dtype}(0), ${inside}, own + ${j}u < u.channels)`
  })
  return `vec4<${dtype}>(${elements.join(', ')})`
}

/** The input with zeros around it and channels last. */
function layInput(
  problem: ConvProblem,
  { channels: laid, vec4 }: Layout,
  [height, width]: Pair,
  to: Slot,
  traits: Traits,
): Launch {
  const { x, groups, padding, inputDtypes } = problem
  const { channels, batch, ...sizes } = sizesOf(problem)
  const [image, channel, line, column] = x.strides
  const [dtype] = inputDtypes
  const type = typeName(dtype, vec4 ? 4 : 1)
  const quads = (laid * groups) / (vec4 ? 4 : 1)
  const isPartial = channels !== laid
  const pixels = batch * height * width
  return perElement(
    {
      title: `conv: input laid out, ${type}${isPartial ? ', channels padded' : ''}`,
      bindings: { x: dtype, laid: written(type) },
      uniforms: {
        pixels: 'u32',
        width: 'u32',
        height: 'u32',
        top: 'u32',
        left: 'u32',
        lines: 'u32',
        columns: 'u32',
        offset: 'u32',
        image: 'u32',
        line: 'u32',
        column: 'u32',
        channel: 'u32',
        quads: 'u32',
        ...(isPartial ? { channels: 'u32', groupQuads: 'u32' } : {}),
      },
      body: wgsl`
        let pixel = i % u.pixels;
        // Above and left of the input these are too large.
        let line = pixel / u.width % u.height - u.top;
        let column = pixel % u.width - u.left;
        let isInside = line < u.lines && column < u.columns;
        let at = u.offset + pixel / u.width / u.height * u.image + line * u.line + column * u.column;
        let begin = i / u.pixels * ${QUADS}u;
        for (var quad = begin; quad < min(begin + ${QUADS}u, u.quads); quad++) {
          var value = ${type}();
          if (isInside) {
            ${when(isPartial)`
              let own = quad % u.groupQuads * 4u;
              let first = quad / u.groupQuads * u.channels;
            `}
            value = ${channelsAt('x', dtype, { vec4, isPartial })};
          }
          laid[pixel * u.quads + quad] = value;
        }
      `,
    },
    pixels * Math.ceil(quads / QUADS),
    { x: input(0), laid: to },
    {
      pixels,
      width,
      height,
      top: padding[0],
      left: padding[1],
      lines: sizes.height,
      columns: sizes.width,
      offset: x.offset,
      image,
      line,
      column,
      channel,
      quads,
      channels,
      groupQuads: laid / 4,
    },
    traits,
  )
}

/** The weights with the channels of each tap together. */
function layWeights(problem: ConvProblem, { channels: laid, vec4 }: Layout, to: Slot, traits: Traits): Launch {
  const { w, inputDtypes } = problem
  const { channels, kernel, taps } = sizesOf(problem)
  const [ofOutput, channel, line, column] = w.strides
  const [, dtype] = inputDtypes
  const type = typeName(dtype, vec4 ? 4 : 1)
  const quads = laid / (vec4 ? 4 : 1)
  const isPartial = channels !== laid
  return perElement(
    {
      title: `conv: weights laid out, ${type}${isPartial ? ', channels padded' : ''}`,
      bindings: { w: dtype, laid: written(type) },
      uniforms: {
        quads: 'u32',
        lines: 'u32',
        columns: 'u32',
        offset: 'u32',
        output: 'u32',
        line: 'u32',
        column: 'u32',
        channel: 'u32',
        taps: 'u32',
        ...(isPartial ? { channels: 'u32' } : {}),
      },
      body: wgsl`
        let quad = i % u.quads;
        ${when(isPartial)`
          let own = quad * 4u;
          const first = 0u;
        `}
        var to = i / u.quads * u.taps * u.quads + quad;
        for (var line = 0u; line < u.lines; line++) {
          for (var column = 0u; column < u.columns; column++) {
            let at = u.offset + i / u.quads * u.output + line * u.line + column * u.column;
            laid[to] = ${channelsAt('w', dtype, { vec4, isPartial })};
            to += u.quads;
          }
        }
      `,
    },
    w.shape[0] * quads,
    { w: input(1), laid: to },
    {
      quads,
      lines: kernel[0],
      columns: kernel[1],
      offset: w.offset,
      output: ofOutput,
      line,
      column,
      channel,
      taps,
      channels,
    },
    traits,
  )
}

/** Each output by itself, with the input and the weights read where they lie. */
function directLaunch(problem: ConvProblem, traits: Traits): Launch {
  const { x, w, size, stride, padding, dilation, channelsLast, dtype, epilogue, inputDtypes } = problem
  const { batch, channels, outputs, kernel, pixels, ...sizes } = sizesOf(problem)
  const all = w.shape[0]
  const count = batch * all * pixels
  const ending = endingOf(epilogue, dtype, 1)
  const [ofX, ofW] = inputDtypes
  const sides = ['x', 'w'] as const
  const strides = { x: x.strides, w: w.strides }
  return perElement(
    {
      title: `conv ${ofX}·${ofW} -> ${dtype}: each output by itself${channelsLast ? ', channels last' : ''}${epilogue ? `, ${epilogue.label}` : ''}`,
      bindings: { x: ofX, w: ofW, ...ending.bindings },
      uniforms: {
        all: 'u32',
        outputs: 'u32',
        channels: 'u32',
        pixels: 'u32',
        width: 'u32',
        lines: 'u32',
        columns: 'u32',
        taps0: 'u32',
        taps1: 'u32',
        top: 'u32',
        left: 'u32',
        stride0: 'u32',
        stride1: 'u32',
        dilation0: 'u32',
        dilation1: 'u32',
        ...Object.fromEntries(
          sides.flatMap(side => [
            [`${side}Offset`, 'u32' as const],
            ...strides[side].map((_, axis) => [`${side}Stride${axis}`, 'u32' as const] as const),
          ]),
        ),
        ...ending.uniforms,
      },
      functions: ending.functions,
      body: wgsl`
        ${
          channelsLast
            ? ['let own = i % u.all;', 'let pixel = i / u.all % u.pixels;', 'let image = i / u.all / u.pixels;']
            : ['let own = i / u.pixels % u.all;', 'let pixel = i % u.pixels;', 'let image = i / u.pixels / u.all;']
        }
        let line = pixel / u.width * u.stride0 - u.top;
        let column = pixel % u.width * u.stride1 - u.left;
        var xAt = u.xOffset + image * u.xStride0 + own / u.outputs * u.channels * u.xStride1;
        var wAt = u.wOffset + own * u.wStride0;
        var value = 0.0;
        for (var c = 0u; c < u.channels; c++) {
          var ofChannel = 0.0;
          for (var v = 0u; v < u.taps0; v++) {
            let y = line + v * u.dilation0; // too large above the input
            if (y < u.lines) {
              var ofLine = 0.0;
              for (var h = 0u; h < u.taps1; h++) {
                let z = column + h * u.dilation1;
                if (z < u.columns) {
                  let factor = ${widened('w[wAt + v * u.wStride2 + h * u.wStride3]', ofW)};
                  ofLine += ${widened('x[xAt + y * u.xStride2 + z * u.xStride3]', ofX)} * factor;
                }
              }
              ofChannel += ofLine;
            }
          }
          value += ofChannel;
          xAt += u.xStride1;
          wAt += u.wStride1;
        }
        ${ending.store('value', 'i', 'i')}
      `,
    },
    count,
    { x: input(0), w: input(1), ...endingSlots(epilogue, output(0)) },
    {
      all,
      outputs,
      channels,
      pixels,
      width: size[1],
      lines: sizes.height,
      columns: sizes.width,
      taps0: kernel[0],
      taps1: kernel[1],
      top: padding[0],
      left: padding[1],
      stride0: stride[0],
      stride1: stride[1],
      dilation0: dilation[0],
      dilation1: dilation[1],
      ...Object.fromEntries(
        sides.flatMap(side => [
          [`${side}Offset`, problem[side].offset],
          ...strides[side].map((value, axis) => [`${side}Stride${axis}`, value] as const),
        ]),
      ),
      ...ending.values,
    },
    traits,
  )
}
