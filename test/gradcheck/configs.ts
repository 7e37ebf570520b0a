// Every config that the kernels know, by kernel: what a run of the property tests must have tried. Found by asking the
// kernels' own lists for problems of all kinds, on the adapter as it is and as if it were of the other kind.
import { type AttentionConfig, attentionCandidates } from '../../shaders/attention.ts'
import { adamwCandidates } from '../../shaders/adamw.ts'
import { gatherCandidates, gatherGradientCandidates } from '../../shaders/gather.ts'
import { type Traits, input, output } from '../../shaders/kernel.ts'
import { layerNormParameterCandidates } from '../../shaders/layer-norm.ts'
import { type MatmulCandidate, type MatmulConfig, configName, rankedCandidates } from '../../shaders/matmul.ts'
import { type Product, productOf } from '../../shaders/matmul/problem.ts'
import { type RowPlan, describePlan, rowPlans } from '../../shaders/rows.ts'

/** The adapter's traits, and those of the same as the other kind: a CPU that passes for a GPU, or a GPU for a CPU. */
export const guises = (traits: Traits): Traits[] => [traits, { ...traits, cpu: !traits.cpu }]

const ROW_KERNELS = [
  'softmax', 'softmaxGradient', 'logSoftmax', 'logSoftmaxGradient', 'layerNorm', 'layerNormGradient', 'crossEntropy', 'crossEntropyGradient',
] as const
const ATTENTION_PASSES = { forward: 'attention', query: 'attention gradient query', key: 'attention gradient key' } as const
const WIDTHS = [1, 2, 3, 4, 7, 16, 33, 64, 65, 129, 1000, 1024]

/** A config in a few words: what is tried whatever the dtype and, of rows, whatever the vector. */
export function showConfig(kernel: string, config: unknown): string {
  if (kernel === 'matmul') return configName((config as MatmulCandidate).config)
  if ((ROW_KERNELS as readonly string[]).includes(kernel)) return describePlan(config as RowPlan).replace(/, vec\d$/, '')
  if (kernel.startsWith('attention')) return JSON.stringify(config)
  const { dtype: _, ...rest } = config as Record<string, unknown>
  return JSON.stringify(rest)
}

/** The product of contiguous f32 matrices. */
function productOfSizes(m: number, k: number, n: number): Product {
  const view = (rows: number, columns: number) => ({ shape: [rows, columns], dtype: 'f32', strides: [columns, 1], offset: 0 }) as const
  return productOf({ slot: input(0), view: view(m, k) }, { slot: input(1), view: view(k, n) }, { slot: output(0), dtype: 'f32' })
}

/** Every config of matmul that the adapter can run at all. */
export function matmulConfigs(traits: Traits): MatmulConfig[] {
  const found = new Map<string, MatmulConfig>()
  for (const guise of guises(traits)) {
    for (const product of [productOfSizes(512, 512, 512), productOfSizes(64, 512, 64)]) {
      for (const { candidate: { config } } of rankedCandidates(product, guise)) found.set(configName(config), config)
    }
  }
  return [...found.values()]
}

/**
 * What matmul may choose for a problem (named as its tuner's key names it): every config, as far as the problem allows
 * with K in slices and transposed, whatever the guesses say.
 */
export function matmulWays(problem: string, traits: Traits): MatmulCandidate[] {
  const [sum] = problem.split(' -> ')
  const [first, ...further] = sum.split(' + ')
  const slices = further.length > 0 ? 1 : Math.min(3, Math.max(1, Math.floor(Number(first.split('·').at(-1)) / 128)))
  const ways = (config: MatmulConfig): MatmulCandidate[] => {
    const counts = config.kernel === 'dot' || slices === 1 ? [1] : [1, slices]
    const sides = further.includes('bias') ? [false] : [false, true]
    return counts.flatMap(count => sides.map(transpose => ({ config, slices: count, transpose })))
  }
  return matmulConfigs(traits).flatMap(ways)
}

/** All configs that drawn problems can meet, as `kernel: config`. */
export function everyConfig(traits: Traits): Set<string> {
  const all = new Set<string>()
  const add = (kernel: string, configs: readonly unknown[]): void => configs.forEach(config => all.add(`${kernel}: ${showConfig(kernel, config)}`))
  add('matmul', matmulConfigs(traits).map(config => ({ config })))
  for (const guise of guises(traits)) {
    for (const width of WIDTHS) for (const kernel of ROW_KERNELS) add(kernel, rowPlans(width, guise))
    for (const [pass, kernel] of Object.entries(ATTENTION_PASSES)) {
      const layout = { dtype: 'f32', headSize: 4, vector: true, mask: true, dropout: true } as const
      add(kernel, attentionCandidates(pass as keyof typeof ATTENTION_PASSES, layout, guise) satisfies AttentionConfig[])
    }
    for (const width of [1, 2, 4, 8, 64]) {
      const problem = { positions: 33, rows: 33, width, dtype: 'f32' } as const
      add('gather', gatherCandidates(problem, guise))
      add('gatherGradient', gatherGradientCandidates(problem, guise))
      add('layerNormParameterGradient', layerNormParameterCandidates(problem, guise))
      add('adamw', adamwCandidates({ count: width }, guise))
    }
  }
  return all
}
