// Every config that the kernels know, by kernel: what a run of the property tests must have tried. Found by asking the
// kernels' own lists for problems of all kinds, on the adapter as it is and as if it were of the other kind.
import { type AttentionConfig, attentionCandidates, storedCandidates } from '../../shaders/attention.ts'
import type { ConvConfig } from '../../shaders/conv.ts'
import { adamwCandidates } from '../../shaders/adamw.ts'
import { gatherCandidates, gatherGradientCandidates } from '../../shaders/gather.ts'
import { type FloatType, type Traits, input, output } from '../../shaders/kernel.ts'
import { layerNormParameterCandidates } from '../../shaders/layer-norm.ts'
import { type MatmulCandidate, type MatmulConfig, configName, rankedCandidates } from '../../shaders/matmul.ts'
import { type Product, productOf } from '../../shaders/matmul/problem.ts'
import type { Question } from '../../engine/tune.ts'
import { type SortConfig, sortCandidates } from '../../shaders/sort.ts'
import { scatterAddCandidates } from '../../shaders/scatter.ts'
import type { ScanConfig } from '../../shaders/scan.ts'
import { type RowPlan, describePlan, rowPlans } from '../../shaders/rows.ts'

/** The adapter's traits, and those of the same as the other kind: a CPU that passes for a GPU, or a GPU for a CPU. */
export const guises = (traits: Traits): Traits[] => [traits, { ...traits, cpu: !traits.cpu }]

const ROW_KERNELS = [
  'softmax',
  'softmaxGradient',
  'logSoftmax',
  'logSoftmaxGradient',
  'layerNorm',
  'layerNormGradient',
  'rmsNorm',
  'rmsNormGradient',
  'crossEntropy',
  'crossEntropyGradient',
  'divergence',
  'divergenceGradient',
] as const
const ATTENTION_PASSES = {
  forward: 'attention',
  query: 'attention gradient query',
  key: 'attention gradient key',
  bias: 'attention gradient bias',
} as const
const SCANS = ['cumsum', 'cumprod', 'linearScan'] as const
const WIDTHS = [1, 2, 3, 4, 7, 16, 33, 64, 65, 129, 1000, 1024]

/** A config in a few words: what is tried whatever the dtype and, of rows, whatever the vector. */
export function showConfig(kernel: string, config: unknown): string {
  if (kernel === 'matmul') return configName((config as MatmulCandidate).config)
  if ((ROW_KERNELS as readonly string[]).includes(kernel))
    return describePlan(config as RowPlan).replace(/, vec\d(?=,|$)/, '')
  if (kernel === 'conv') return showConv(config as ConvConfig)
  if (kernel === 'sort') return showSort(config as SortConfig)
  if (kernel.startsWith('attention')) return JSON.stringify(config)
  if ((SCANS as readonly string[]).includes(kernel)) {
    const { share, workgroup, subgroup, chunked } = config as ScanConfig
    return JSON.stringify({ share, workgroup, subgroup, chunked })
  }
  // A gather's columns follow from the width of its rows, and so does the vector with which shares are summed.
  const { dtype: _dtype, columns: _columns, vector, ...rest } = config as Record<string, unknown>
  return JSON.stringify(kernel === 'layerNormParameterGradient' ? rest : { vector, ...rest })
}

/** The kernels of the product are those of matmul. */
const showConv = (config: ConvConfig): string => (config.way === 'direct' ? config.way : config.candidate.config.kernel)

/** Sizes follow from those of the rows. */
const showSort = (config: SortConfig): string =>
  config.way === 'select' ? `select ${config.keep > 16 ? 'in arrays' : 'in registers'}` : config.way

/** The product of contiguous matrices. */
function productOfSizes(m: number, k: number, n: number, dtype: FloatType): Product {
  const view = (rows: number, columns: number) => ({ shape: [rows, columns], dtype, strides: [columns, 1], offset: 0 })
  return productOf(
    { slot: input(0), view: view(m, k) },
    { slot: input(1), view: view(k, n) },
    { slot: output(0), dtype: 'f32' },
  )
}

/** Every config of matmul that the adapter can run at all. */
export function matmulConfigs(traits: Traits): readonly MatmulConfig[] {
  const key = JSON.stringify(traits)
  const known = knownConfigs.get(key)
  if (known) return known
  const found = new Map<string, MatmulConfig>()
  const products = (['f32', ...(traits.f16 ? (['f16'] as const) : [])] as const).flatMap(dtype =>
    [
      [512, 512, 512],
      [64, 512, 64],
      [512, 512, 8],
      [8, 512, 512],
      [512, 512, 1],
    ].map(([m, k, n]) => productOfSizes(m, k, n, dtype)),
  )
  for (const guise of guises(traits)) {
    for (const product of products) {
      for (const {
        candidate: { config },
      } of rankedCandidates(product, guise))
        found.set(configName(config), config)
    }
  }
  const configs = [...found.values()]
  knownConfigs.set(key, configs)
  return configs
}

const knownConfigs = new Map<string, readonly MatmulConfig[]>()

/**
 * Everything that matmul may choose for the tuner's question: every config, with K in slices and transposed as far as
 * the problem allows, whatever the guesses say.
 */
export function matmulWays({ sizes, options }: Question, traits: Traits): MatmulCandidate[] {
  // A slice is a multiple of 32 long.
  const slices = Math.min(3, Math.ceil(sizes.k0 / 32))
  const isHalf = [options.a0, options.b0].every(layout => String(layout).startsWith('f16'))
  const ways = (config: MatmulConfig): MatmulCandidate[] => {
    if (config.kernel === 'matrix' && !isHalf) return []
    // With a low-rank part the engine's own choice on a CPU, which runs besides, is never in slices: these come first.
    const both = 'k1' in sizes ? [slices, 1] : [1, slices]
    const counts = config.kernel === 'dot' || slices <= 1 ? [1] : both
    const sides = options.bias ? [false] : [false, true]
    return counts.flatMap(count => sides.map(transpose => ({ config, slices: count, transpose })))
  }
  // First those that few problems allow.
  return matmulConfigs(traits)
    .toSorted((a, b) => Number(b.kernel === 'matrix') - Number(a.kernel === 'matrix'))
    .flatMap(ways)
}

/** All configs that drawn problems can meet, as `kernel: config`. */
export function everyConfig(traits: Traits): Set<string> {
  const all = new Set<string>()
  const add = (kernel: string, configs: readonly unknown[]): void =>
    configs.forEach(config => all.add(`${kernel}: ${showConfig(kernel, config)}`))
  add(
    'matmul',
    matmulConfigs(traits).map(config => ({ config })),
  )
  for (const guise of guises(traits)) {
    for (const width of WIDTHS) for (const kernel of ROW_KERNELS) add(kernel, rowPlans(width, guise))
    for (const [pass, kernel] of Object.entries(ATTENTION_PASSES)) {
      const layout = { dtype: 'f32', headSize: 4, vector: true, mask: 'keys', dropout: true } as const
      add(kernel, attentionCandidates(pass as keyof typeof ATTENTION_PASSES, layout, guise) satisfies AttentionConfig[])
      for (const part of ['probabilities', 'sums'] as const)
        add(`attention gradient ${part}`, storedCandidates(part, layout, guise))
    }
    for (const width of [1, 2, 4, 8, 64]) {
      const problem = { positions: 33, rows: 33, width, dtype: 'f32' } as const
      add('gather', gatherCandidates(problem, guise))
      add('gatherGradient', gatherGradientCandidates(problem, guise))
      add('layerNormParameterGradient', layerNormParameterCandidates(problem, guise))
      for (const count of [5, 33])
        for (const kind of ['f32', 'i32'] as const)
          add('scatterAdd', scatterAddCandidates({ outer: 1, length: 7, count, inner: 1, dtype: kind }, false, guise))
      for (const [length, keep] of [
        [17, 17],
        [300, 20],
        [300, 1],
      ])
        add('sort', sortCandidates({ rows: 2, length, keep }, guise))
      add('adamw', adamwCandidates({ count: width }, guise))
    }
  }
  for (const way of ['direct', 'tile', 'workgroup']) all.add(`conv: ${way}`)
  return all
}
