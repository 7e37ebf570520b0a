// The launches of every kernel, each candidate of it, for problems like those that tests and benches run. No device is
// used.
import { type AdamWProblem, adamwCandidates, adamwLaunch } from '../../../shaders/adamw.ts'
import {
  type AttentionProblem,
  type ChooseAttention,
  attentionBackward,
  attentionForward,
} from '../../../shaders/attention.ts'
import { type ConvProblem, convCandidates, convLowering } from '../../../shaders/conv.ts'
import { type CrossEntropyProblem, crossEntropyCandidates, crossEntropyLaunch } from '../../../shaders/cross-entropy.ts'
import { type DivergenceProblem, divergenceCandidates, divergenceLaunch } from '../../../shaders/divergence.ts'
import type { Epilogue } from '../../../shaders/epilogue.ts'
import type { Body } from '../../../shaders/expression.ts'
import { finiteLaunch } from '../../../shaders/finite.ts'
import {
  type GatherProblem,
  gatherCandidates,
  gatherGradientCandidates,
  gatherGradientLowering,
  gatherLaunch,
} from '../../../shaders/gather.ts'
import {
  type DType,
  type FloatType,
  type Launch,
  type Traits,
  type View,
  input,
  output,
  rowMajorStrides,
} from '../../../shaders/kernel.ts'
import {
  type LayerNormProblem,
  layerNormCandidates,
  layerNormLaunch,
  layerNormParameterCandidates,
  layerNormParameterLowering,
} from '../../../shaders/layer-norm.ts'
import { candidates, configName, lower, rankedCandidates } from '../../../shaders/matmul.ts'
import { type Product, productOf, tuningProblem } from '../../../shaders/matmul/problem.ts'
import {
  type PoolProblem,
  averagePoolGradientLaunch,
  averagePoolLaunch,
  maxPoolGradientLaunch,
  maxPoolLaunch,
} from '../../../shaders/pool.ts'
import { type RmsNormProblem, rmsNormCandidates, rmsNormLaunch } from '../../../shaders/rms-norm.ts'
import {
  type AlongProblem,
  gatherAlongLaunch,
  scatterAddCandidates,
  scatterAddLowering,
  scatterMaxLowering,
} from '../../../shaders/scatter.ts'
import { type SortProblem, sortCandidates, sortLowering } from '../../../shaders/sort.ts'
import { type ScanProblem, scanCandidates, scanLowering } from '../../../shaders/scan.ts'
import { type SoftmaxKernel, softmaxCandidates, softmaxLaunch } from '../../../shaders/softmax.ts'
import { adapters, fragments } from './adapters.ts'
import { recordedPlans } from './plans.ts'

/** Launches under a name that is a path: adapter, kernel, problem and, where configs differ much, config. */
export interface Recorded {
  readonly name: string
  readonly launches: readonly Launch[]
  /** What else is recorded. */
  readonly notes?: readonly string[]
}

/** Everything that is recorded. */
export async function* recordedKernels(): AsyncGenerator<Recorded> {
  for (const [adapter, traits] of Object.entries(adapters)) {
    yield* named(adapter, matmuls(traits))
    yield* named(adapter, attentions(traits))
    yield* named(adapter, rowKernels(traits))
    yield* named(adapter, otherKernels(traits))
    yield* named(adapter, rmsNormKernels(traits))
    yield* named(adapter, imageKernels(traits))
    yield* named(adapter, recordedPlans(traits))
  }
  for (const subgroupMatrix of fragments) {
    const traits: Traits = { ...adapters.nvidia, subgroupSize: subgroupMatrix.lanes, subgroupMatrix }
    const { m, n, k, lanes } = subgroupMatrix
    yield* named(
      `matrices ${m}x${n}x${k} of ${lanes}`,
      only('matrix', matmuls(traits, ['72x64x36 f16·f16 k·k', '72x64x36 f16·f16 r·r', 'LoRA f16'])),
    )
    yield* named(`matrices ${m}x${n}x${k} of ${lanes}`, attentions(traits, ['f16']))
  }
}

async function* named(prefix: string, all: Iterable<Recorded> | AsyncIterable<Recorded>): AsyncGenerator<Recorded> {
  for await (const one of all) yield { ...one, name: `${prefix}/${one.name}` }
}

function* only(word: string, all: Iterable<Recorded>): Generator<Recorded> {
  for (const one of all) if (one.name.includes(word)) yield one
}

// --- Matmul ---

/** A matrix [rows, columns] with batch axes before it, or the transpose of one as it lies in memory. */
function matrix(shape: readonly number[], dtype: DType, transposed = false): View {
  const order = shape.map((_, axis) => axis)
  if (transposed) order.push(...order.splice(-2).reverse())
  const lying = rowMajorStrides(order.map(axis => shape[axis]))
  return { shape, dtype, offset: 0, strides: shape.map((_, axis) => lying[order.indexOf(axis)]) }
}

interface ProductCase {
  readonly sizes: readonly [m: number, k: number, n: number]
  readonly dtypes?: readonly [a: FloatType, b: FloatType]
  readonly out?: FloatType
  /** Whether M or N, rather than K, is the axis of stride 1, for a and b. */
  readonly rows?: readonly [a: boolean, b: boolean]
  readonly batch?: readonly [a: readonly number[], b: readonly number[]]
  readonly scale?: number
}

function product({
  sizes: [m, k, n],
  dtypes: [a, b] = ['f32', 'f32'],
  out = 'f32',
  rows = [false, true],
  batch = [[], []],
  scale = 1,
}: ProductCase): Product {
  return productOf(
    { slot: input(0), view: matrix([...batch[0], m, k], a, rows[0]) },
    { slot: input(1), view: matrix([...batch[1], k, n], b, !rows[1]) },
    { slot: output(0), dtype: out },
    scale,
  )
}

const nameOf = ({
  sizes,
  dtypes = ['f32', 'f32'],
  out = 'f32',
  rows = [false, true],
  batch = [[], []],
  scale,
}: ProductCase): string =>
  [
    sizes.join('x'),
    dtypes.join('·'),
    rows.map(row => (row ? 'r' : 'k')).join('·'),
    ...(out === 'f32' ? [] : [`to ${out}`]),
    ...(batch.flat().length > 0 ? [`batch ${batch.map(axes => axes.join('x')).join('·')}`] : []),
    ...(scale ? [`scale ${scale}`] : []),
  ].join(' ')

const sides = [
  [false, false],
  [false, true],
  [true, false],
  [true, true],
] as const
const half = ['f16', 'f16'] as const

const productCases: readonly ProductCase[] = [
  ...sides.map(rows => ({ sizes: [72, 64, 36], rows }) as const),
  ...sides.map(rows => ({ sizes: [72, 64, 36], dtypes: half, rows }) as const),
  ...sides.map(rows => ({ sizes: [35, 51, 70], rows }) as const),
  { sizes: [35, 51, 70], dtypes: half, out: 'f16' },
  { sizes: [72, 64, 36], dtypes: ['f16', 'f32'], scale: 0.5 },
  {
    sizes: [24, 40, 56],
    batch: [
      [2, 3],
      [2, 3],
    ],
  },
  { sizes: [24, 40, 56], batch: [[2, 3], [3]], rows: [true, false] },
  {
    sizes: [24, 40, 56],
    batch: [
      [4, 1, 5],
      [4, 3, 5],
    ],
    dtypes: half,
  },
  ...sides.map(rows => ({ sizes: [4096, 768, 8], rows }) as const),
  { sizes: [4096, 768, 8], dtypes: half, rows: [false, false] },
  { sizes: [4096, 767, 2], rows: [false, false] },
  { sizes: [4096, 768, 33] },
  { sizes: [8, 4096, 768], rows: [true, true] },
  { sizes: [768, 4096, 16], rows: [true, true] },
  { sizes: [2048, 768, 768] },
  { sizes: [2048, 768, 3072], dtypes: half, out: 'f16', rows: [false, false] },
  { sizes: [1, 768, 768] },
  { sizes: [4, 3, 5] },
]

const body: Body = {
  draws: [{ stream: 'u.s0', step: 'x2', seed: 'u.s1' }],
  lines: [
    'let v0: f32 = value + x0;',
    'let v1: f32 = exp_f32(v0) * x1;',
    'let v2: f32 = select(0.0, v1, random0 > u.s2);',
  ],
  result: 'v2',
  helpers: ['exp_f32'],
  scalars: [
    { type: 'u32', value: 3 },
    { type: 'u32', value: 7 },
    { type: 'u32', value: 1000 },
  ],
}

/** A bias, a residual and dropout. */
function epilogueOf(
  shape: readonly number[],
  dtype: FloatType,
  more: Pick<Epilogue, 'storesResult' | 'storedInstead'>,
): Epilogue {
  const along = rowMajorStrides(shape)
  return {
    label: 'bias residual dropout',
    shape,
    dtype,
    body,
    inputs: [
      { shape, dtype: 'f32', offset: 0, strides: shape.map((_, axis) => (axis === shape.length - 1 ? 1 : 0)) },
      { shape, dtype, offset: 0, strides: along },
      { shape, dtype: 'u32', offset: 0, strides: shape.map(() => 0) },
    ],
    ...more,
  }
}

const square: Body = { draws: [], lines: ['let w0: f32 = value * value;'], result: 'w0', helpers: [], scalars: [] }

/** x·Wᵀ + bias + scale · low·Bᵀ. */
function lora([m, k, n]: readonly [number, number, number], dtype: FloatType): Product {
  const whole = product({ sizes: [m, k, n], dtypes: [dtype, dtype], out: dtype, rows: [false, false] })
  const low = productOf(
    { slot: input(2), view: matrix([m, 8], 'f32') },
    { slot: input(3), view: matrix([8, n], 'f32', true) },
    { slot: output(0), dtype },
    2,
  )
  return { ...whole, segments: [...whole.segments, ...low.segments], bias: { slot: input(4), dtype } }
}

function* products(): Generator<readonly [name: string, product: Product]> {
  for (const one of productCases) yield [nameOf(one), product(one)]
  const kinds = {
    stored: { storesResult: true },
    'not stored': { storesResult: false },
    replaced: { storesResult: true, storedInstead: square },
  }
  for (const [how, more] of Object.entries(kinds)) {
    for (const [m, k, n] of [
      [72, 2048, 36],
      [35, 51, 70],
    ] as const) {
      for (const dtype of ['f32', 'f16'] as const) {
        const whole = product({ sizes: [m, k, n], dtypes: [dtype, dtype], out: dtype })
        yield [
          `${m}x${k}x${n} ${dtype}, epilogue, result ${how}`,
          { ...whole, epilogue: epilogueOf([m, n], dtype, more) },
        ]
      }
    }
  }
  yield [
    'batch, epilogue',
    {
      ...product({
        sizes: [24, 40, 56],
        batch: [
          [2, 3],
          [2, 3],
        ],
      }),
      epilogue: epilogueOf([2, 3, 24, 56], 'f32', { storesResult: false }),
    },
  ]
  for (const dtype of ['f32', 'f16'] as const) {
    yield [`LoRA ${dtype}`, lora([256, 768, 768], dtype)]
    yield [`LoRA ${dtype} of a long K`, lora([8, 4096, 96], dtype)]
    yield [
      `LoRA ${dtype} with an epilogue`,
      { ...lora([66, 50, 30], dtype), epilogue: epilogueOf([66, 30], dtype, { storesResult: false }) },
    ]
  }
}

function* matmuls(traits: Traits, names?: readonly string[]): Generator<Recorded> {
  for (const [name, one] of products()) {
    if (names && !names.includes(name)) continue
    const configs = new Map<string, Launch[]>()
    for (const { candidate } of rankedCandidates(one, traits)) {
      const config = configName(candidate.config)
      configs.set(config, [...(configs.get(config) ?? []), ...lower(one, candidate, traits).launches])
    }
    for (const [config, launches] of configs) yield { name: `matmul/${name}/${config}`, launches }
    const order = candidates(one, traits).map(
      ({ config, slices, transpose }) => `${configName(config)} / ${slices}${transpose ? ' transposed' : ''}`,
    )
    yield { name: `matmul/${name}/order`, launches: [], notes: [JSON.stringify(tuningProblem(one)), ...order] }
  }
}

// --- Attention ---

interface AttentionCase {
  readonly headSize: number
  readonly dtype: 'f32' | 'f16'
  readonly mask?: 'keys' | 'scores'
  readonly causal?: boolean
  readonly bias?: boolean
  readonly keyHeads?: number
  readonly rate?: number
  /** Slices of one projection, heads before the sequence. */
  readonly strided?: boolean
  readonly sequence?: readonly [queries: number, keys: number]
}

const attentionCases: readonly AttentionCase[] = [
  { headSize: 64, dtype: 'f32' },
  { headSize: 64, dtype: 'f32', mask: 'keys' },
  { headSize: 64, dtype: 'f32', mask: 'keys', rate: 0.1 },
  { headSize: 64, dtype: 'f16', mask: 'keys', rate: 0.1 },
  { headSize: 64, dtype: 'f16' },
  { headSize: 32, dtype: 'f16', rate: 0.5 },
  { headSize: 64, dtype: 'f16', mask: 'keys', rate: 0.1, sequence: [128, 512] },
  { headSize: 16, dtype: 'f32', mask: 'keys', rate: 0.1 },
  { headSize: 5, dtype: 'f32', mask: 'keys', rate: 0.1 },
  { headSize: 30, dtype: 'f16' },
  { headSize: 128, dtype: 'f32', rate: 0.1 },
  { headSize: 64, dtype: 'f32', strided: true },
  { headSize: 64, dtype: 'f32', causal: true },
  { headSize: 64, dtype: 'f16', mask: 'keys', causal: true, rate: 0.1, sequence: [128, 512] },
  { headSize: 64, dtype: 'f32', causal: true, keyHeads: 2 },
  { headSize: 32, dtype: 'f16', mask: 'scores', bias: true, rate: 0.1, keyHeads: 1 },
  { headSize: 64, dtype: 'f32', bias: true },
]

function* attentions(traits: Traits, dtypes: readonly string[] = ['f32', 'f16']): Generator<Recorded> {
  for (const {
    headSize,
    dtype,
    mask,
    causal = false,
    bias = false,
    keyHeads = 4,
    rate = 0,
    strided = false,
    sequence: [queries, keys] = [70, 70],
  } of attentionCases) {
    if (!dtypes.includes(dtype)) continue
    const [batch, heads] = [3, 4]
    const problem: AttentionProblem = {
      batch,
      heads,
      keyHeads,
      queries,
      keys,
      headSize,
      dtype,
      scale: 1 / Math.sqrt(headSize),
      mask: mask === 'scores' ? { of: mask, lengths: [batch, 1, queries] } : mask && { of: mask },
      causal,
      bias: bias ? matrix([1, heads, queries, keys], 'f32') : undefined,
      dropout: rate > 0 ? { rate, stream: 9, seed: 11 } : undefined,
      maxWorkgroups: traits.maxWorkgroups,
    }
    const view = (length: number, part: number, heads: number): View => ({
      shape: [batch, length, heads, headSize],
      dtype,
      offset: strided ? part * heads * headSize : 0,
      strides: strided
        ? [3 * length * heads * headSize, 3 * heads * headSize, headSize, 1]
        : rowMajorStrides([batch, length, heads, headSize]),
    })
    const [q, k, v, o] = [
      view(queries, 0, heads),
      view(keys, 1, keyHeads),
      view(keys, 2, keyHeads),
      matrix([batch, queries, heads, headSize], dtype),
    ]
    const name = [
      `headSize ${headSize} ${dtype}`,
      ...(mask ? [mask === 'keys' ? 'mask' : 'mask of scores'] : []),
      ...(causal ? ['causal'] : []),
      ...(bias ? ['bias'] : []),
      ...(keyHeads < heads ? ['shared keys'] : []),
      ...(rate > 0 ? ['dropout'] : []),
      ...(strided ? ['strided'] : []),
      ...(queries === 70 ? [] : [`${queries}x${keys}`]),
    ].join(' ')
    yield* each(`attention/${name}`, choose => attentionForward(problem, [q, k, v], traits, choose).launches)
    for (const form of ['fused', 'stored'] as const) {
      if (form === 'stored' && traits.cpu) continue
      yield* each(
        `attention gradient ${form}/${name}`,
        choose =>
          attentionBackward(
            problem,
            [q, k, v, o, o],
            traits,
            (question, candidates) =>
              question === 'form'
                ? (candidates.find(one => one === form) ?? candidates[0])
                : choose(question, candidates),
            bias,
          ).launches,
      )
    }
  }
}

/** Every candidate; where a lowering chooses several times, the k-th of each. */
function* each(name: string, lowered: (choose: ChooseAttention) => readonly Launch[]): Generator<Recorded> {
  for (let k = 0, most = 1; k < most; k++) {
    yield {
      name: `${name}/${k}`,
      launches: lowered((_, candidates) => {
        most = Math.max(most, candidates.length)
        return candidates[Math.min(k, candidates.length - 1)]
      }),
    }
  }
}

/** The candidates of a kernel that are much alike. */
const allOf = (name: string, candidates: readonly (readonly Launch[])[]): Recorded => ({
  name,
  launches: candidates.flat(),
})

// --- Kernels that work row by row ---

const WIDTHS = [1, 2, 5, 30, 64, 768, 4099, 30522, 40000]

function* rowKernels(traits: Traits): Generator<Recorded> {
  for (const dtype of ['f32', 'f16'] as const) {
    for (const width of WIDTHS) {
      const rows = 37
      const name = `${rows}x${width} ${dtype}`
      for (const kernel of [
        'softmax',
        'logSoftmax',
        'softmaxGradient',
        'logSoftmaxGradient',
      ] satisfies SoftmaxKernel[]) {
        const problem = { kernel, rows, width, dtype }
        yield allOf(
          `${kernel}/${name}`,
          softmaxCandidates(problem, traits).map(config => [softmaxLaunch(problem, config, traits)]),
        )
      }
      for (const kernel of ['layerNorm', 'layerNormGradient'] as const) {
        for (const gammaDtype of new Set(['f32', dtype] as const)) {
          const problem: LayerNormProblem = { kernel, rows, width, dtype, gammaDtype, betaDtype: dtype, epsilon: 1e-12 }
          yield allOf(
            `${kernel}/${name}, gamma ${gammaDtype}`,
            layerNormCandidates(problem, traits).map(config => [layerNormLaunch(problem, config, traits)]),
          )
        }
      }
      for (const kernel of ['crossEntropy', 'crossEntropyGradient'] as const) {
        const problem: CrossEntropyProblem = { kernel, rows, classes: width, dtype, ignoreIndex: -100 }
        yield allOf(
          `${kernel}/${name}`,
          crossEntropyCandidates(problem, traits).map(config => [crossEntropyLaunch(problem, config, traits)]),
        )
      }
      for (const kernel of ['divergence', 'divergenceGradient'] as const) {
        const problem: DivergenceProblem = { kernel, rows, classes: width, dtype, temperature: 2 }
        yield allOf(
          `${kernel}/${name}`,
          divergenceCandidates(problem, traits).map(config => [divergenceLaunch(problem, config, traits)]),
        )
      }
      if (width > 4096) continue
      for (const rows of [5, 4096]) {
        const problem = { rows, width, dtype }
        yield allOf(
          `layerNormParameterGradient/${rows}x${width} ${dtype}`,
          layerNormParameterCandidates(problem, traits).map(
            config => layerNormParameterLowering(problem, config).launches,
          ),
        )
      }
    }
  }
}

/** Axes [batch, channels, height, width] of images, which may lie with their channels last. */
function images(shape: readonly number[], dtype: DType, last = false): View {
  const order = last ? [0, 2, 3, 1] : [0, 1, 2, 3]
  const lying = rowMajorStrides(order.map(axis => shape[axis]))
  return { shape, dtype, offset: 0, strides: shape.map((_, axis) => lying[order.indexOf(axis)]) }
}

function* imageKernels(traits: Traits): Generator<Recorded> {
  const sizes = [
    {
      name: '3 channels, stride 2',
      x: [2, 3, 32, 32],
      w: [16, 3, 3, 3],
      size: [16, 16],
      stride: [2, 2],
      padding: [1, 1],
    },
    { name: '64 channels', x: [4, 64, 16, 16], w: [96, 64, 3, 3], size: [16, 16], padding: [1, 1] },
    { name: '64 channels last', x: [4, 64, 16, 16], w: [96, 64, 3, 3], size: [14, 14], last: true },
    { name: 'one channel', x: [2, 1, 9, 9], w: [5, 1, 3, 3], size: [7, 7] },
    { name: 'groups', x: [2, 6, 9, 9], w: [8, 3, 3, 3], size: [7, 7], groups: 2 },
    { name: 'a group for each channel', x: [2, 32, 9, 9], w: [32, 1, 3, 3], size: [9, 9], padding: [1, 1], groups: 32 },
    { name: 'long sums', x: [64, 32, 18, 18], w: [96, 32, 16, 16], size: [3, 3] },
  ] as const
  for (const dtype of ['f32', 'f16'] as const) {
    for (const { name, x, w, size, ...rest } of sizes) {
      const own = { stride: [1, 1], padding: [0, 0], groups: 1, last: false, ...rest } as const
      const problem: ConvProblem = {
        x: images(x, dtype, own.last),
        w: images(w, dtype),
        size,
        stride: own.stride,
        padding: own.padding,
        dilation: [1, 1],
        groups: own.groups,
        channelsLast: own.last,
        dtype: 'f32',
        inputDtypes: [dtype, dtype],
      }
      yield allOf(
        `conv/${name} ${dtype}`,
        convCandidates(problem, traits).map(config => convLowering(problem, config, traits).launches),
      )
    }
    for (const inner of [1, 6]) {
      const problem: PoolProblem = {
        outer: 4,
        inner,
        height: 9,
        width: 8,
        size: [5, 4],
        kernel: [3, 2],
        stride: [2, 2],
        padding: [1, 1],
        dilation: [1, 1],
        dtype,
      }
      yield {
        name: `pool/${inner === 1 ? 'channels first' : 'channels last'} ${dtype}`,
        launches: [
          maxPoolLaunch(problem, traits),
          maxPoolGradientLaunch(problem, traits),
          ...[true, false].flatMap(counts => [
            averagePoolLaunch(problem, counts, traits),
            averagePoolGradientLaunch(problem, counts, traits),
          ]),
        ],
      }
    }
  }
}

function* rmsNormKernels(traits: Traits): Generator<Recorded> {
  for (const dtype of ['f32', 'f16'] as const) {
    for (const width of [1, 30, 64, 4096]) {
      for (const kernel of ['rmsNorm', 'rmsNormGradient'] as const) {
        const problem: RmsNormProblem = { kernel, rows: 33, width, dtype, gammaDtype: 'f32', epsilon: 1e-6 }
        yield allOf(
          `${kernel}/33x${width} ${dtype}`,
          rmsNormCandidates(problem, traits).map(config => [rmsNormLaunch(problem, config, traits)]),
        )
      }
    }
  }
}

function* otherKernels(traits: Traits): Generator<Recorded> {
  for (const dtype of ['f32', 'f16'] as const) {
    for (const [positions, rows, width] of [
      [5, 3, 1],
      [130, 40, 30],
      [4096, 30522, 768],
      [64, 2, 33],
    ]) {
      const problem: GatherProblem = { positions, rows, width, dtype }
      const name = `${positions} of ${rows}x${width} ${dtype}`
      yield allOf(
        `gather/${name}`,
        gatherCandidates(problem, traits).map(config => [gatherLaunch(problem, config, traits)]),
      )
      yield allOf(
        `gatherGradient/${name}`,
        gatherGradientCandidates(problem, traits).map(
          config => gatherGradientLowering(problem, config, traits).launches,
        ),
      )
    }
    for (const [outer, length, count, inner] of [
      [2, 7, 5, 1],
      [64, 1000, 40, 33],
    ]) {
      const problem: AlongProblem = { outer, length, count, inner, dtype }
      const name = `${outer}x${length}x${inner} by ${count} ${dtype}`
      yield { name: `gatherAlong/${name}`, launches: [gatherAlongLaunch(problem, traits)] }
      yield { name: `scatterMax/${name}`, launches: scatterMaxLowering(problem, traits).launches }
      const ways = [false, true].flatMap(unique => scatterAddCandidates(problem, unique, traits))
      yield allOf(
        `scatterAdd/${name}`,
        ways.map(config => scatterAddLowering(problem, config, traits).launches),
      )
    }
    for (const [rows, length, keep] of [
      [1000, 7, 7],
      [64, 300, 300],
      [2, 50257, 50257],
      [2, 50257, 5],
      [64, 1000, 50],
    ]) {
      const problem: SortProblem = { rows, length, keep, dtype, descending: keep < length }
      yield allOf(
        `sort/${keep} of ${rows}x${length} ${dtype}`,
        sortCandidates(problem, traits).map(config => sortLowering(problem, config, traits).launches),
      )
    }
    yield {
      name: `finite/${dtype}`,
      launches: [1, 129, 2 ** 20].map(count => finiteLaunch({ count, dtype, at: 3 }, traits)),
    }
  }
  for (const dtype of ['i32', 'u32'] as const) {
    const problem: AlongProblem = { outer: 3, length: 9, count: 40, inner: 2, dtype }
    const [config] = scatterAddCandidates(problem, false, traits)
    yield {
      name: `scatter/${dtype}`,
      launches: [
        gatherAlongLaunch(problem, traits),
        ...scatterAddLowering(problem, config, traits).launches,
        ...scatterMaxLowering(problem, traits).launches,
      ],
    }
  }
  const scans: readonly ScanProblem[] = [
    { kernel: 'cumsum', outer: 3, length: 100, inner: 1, dtype: 'f16', exclusive: true, reverse: false },
    { kernel: 'cumsum', outer: 1, length: 1_000_000, inner: 1, dtype: 'f32', exclusive: false, reverse: false },
    { kernel: 'cumsum', outer: 8, length: 500, inner: 64, dtype: 'i32', exclusive: false, reverse: true },
    { kernel: 'cumprod', outer: 1024, length: 1024, inner: 1, dtype: 'f32', exclusive: true, reverse: true },
    { kernel: 'linearScan', outer: 2, length: 50_000, inner: 1, dtype: 'f32', exclusive: false, reverse: false },
    { kernel: 'linearScan', outer: 4, length: 30, inner: 768, dtype: 'f32', exclusive: true, reverse: true },
  ]
  for (const problem of scans) {
    const { kernel, outer, length, inner, dtype } = problem
    yield allOf(
      `${kernel}/${outer}x${length}x${inner} ${dtype}`,
      scanCandidates(problem, traits).map(config => scanLowering(problem, config, traits).launches),
    )
  }
  for (const count of [1, 6, 516096]) {
    const problem: AdamWProblem = { count }
    yield allOf(
      `adamw/${count}`,
      adamwCandidates(problem, traits).map(config => [adamwLaunch(problem, config, traits)]),
    )
  }
}
