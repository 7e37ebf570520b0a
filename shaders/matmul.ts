// Matmul: which kernels are worth trying for a product on an adapter, and the launches of one of them. The kernels
// are in matmul/: register tiles, alone or shared in a subgroup (tile.ts), workgroup memory (workgroup.ts), subgroup
// matrices (matrix.ts), dot products (dot.ts), a narrow side (narrow.ts); any of them may take K in slices, summed by
// sum.ts.
import { type Lowering, type Traits, favorsShortKernels, spread, temporary } from './kernel.ts'
import { type DotConfig, dot } from './matmul/dot.ts'
import { type MatrixConfig, matrix } from './matmul/matrix.ts'
import { type NarrowConfig, narrow } from './matmul/narrow.ts'
import { type Product, batchCount, transposed } from './matmul/problem.ts'
import { sumSlices } from './matmul/sum.ts'
import { type Layout, type MatmulKind, type Rated, SLICING, layoutOf, tileCount, useOf } from './matmul/text.ts'
import { type TileConfig, tile } from './matmul/tile.ts'
import { type WorkgroupConfig, workgroup } from './matmul/workgroup.ts'

export type MatmulConfig = TileConfig | WorkgroupConfig | MatrixConfig | DotConfig | NarrowConfig

const kinds = { workgroup, tile, narrow, matrix, dot }

/** All that is known of a config's own kind. */
export const kindOf = <Config extends MatmulConfig>({ kernel }: Config): MatmulKind<Config> =>
  kinds[kernel] as MatmulKind<never>

/** One way to compute a product. */
export interface MatmulCandidate {
  readonly config: MatmulConfig
  /** How many slices K is cut into; with 1, the kernel writes the output itself. */
  readonly slices: number
  /** Computes the transpose, so that a narrow output lies along the side on which lanes share loads. */
  readonly transpose: boolean
}

export const configName = (config: MatmulConfig): string => kindOf(config).name(config)

/** The product's layout as this config reads it. */
export const layoutFor = (config: MatmulConfig, product: Product, split: boolean): Layout =>
  layoutOf(product, split, kindOf(config).vec4s(config))

/** Whether an adapter can run the config at all. */
export function isLegal(config: MatmulConfig, { maxWorkgroupInvocations, maxWorkgroupStorage }: Traits): boolean {
  const kind = kindOf(config)
  return kind.threads(config) <= maxWorkgroupInvocations && kind.storage(config) <= maxWorkgroupStorage
}

/** Best guess first: by rate, by how much of the tiles falls inside the output, and by whether there are workgroups
 *  enough to fill the adapter. Those that are guessed to be much slower are left out. */
export function candidates(product: Product, traits: Traits): MatmulCandidate[] {
  // If both sides are long, a GPU gains nothing from the transpose.
  const long = !traits.cpu && Math.min(product.m, product.n) >= 128
  const all = rankedCandidates(product, traits).filter(({ candidate }) => !long || !candidate.transpose)
  const best = Math.max(...all.map(r => r.score))
  return all
    .filter((r, i) => i === 0 || r.score >= best * 0.4)
    .slice(0, 12)
    .map(r => r.candidate)
}

/**
 * Everything that an adapter could run, best guess first: for little work on an adapter that compiles slowly, the
 * shortest kernel.
 */
export function rankedCandidates(product: Product, traits: Traits): { candidate: MatmulCandidate; score: number }[] {
  const ways = product.bias || isOfImages(product) ? [false] : [false, true]
  const favorsShort = favorsShortKernels(traits, multiplyAdds(product))
  const ranked = ways.flatMap(transpose => {
    const turned = transpose ? transposed(product) : product
    return configs(turned, traits)
      .filter(({ config }) => isLegal(config, traits))
      .flatMap(({ config, rate, shortest = false }) =>
        sliceCounts(config, turned, traits).map(slices => ({
          candidate: { config, slices, transpose },
          score: rate * score(config, turned, slices, traits) * (transpose ? 0.97 : 1),
          isShort: favorsShort && shortest && slices === 1 && !transpose,
        })),
      )
  })
  return ranked.sort((a, b) => Number(b.isShort) - Number(a.isShort) || b.score - a.score)
}

const configs = (product: Product, traits: Traits): Rated<MatmulConfig>[] =>
  Object.values(isOfImages(product) ? { workgroup, tile } : kinds).flatMap((kind): Rated<MatmulConfig>[] =>
    kind.configs(product, traits),
  )

/** Whether it reads patches or stores images (conv.ts), which not all kinds of kernels can. */
const isOfImages = ({ segments, images }: Product): boolean =>
  images !== undefined || segments.some(({ a, b }) => a.patches !== undefined || b.patches !== undefined)

const multiplyAdds = (product: Product): number =>
  batchCount(product) * product.m * product.n * product.segments.reduce((sum, { k }) => sum + k, 0)

/** Workgroups that keep an adapter busy. */
function wantedWorkgroups(traits: Traits): number {
  return traits.cpu ? 8 : 256
}

/** K from which on a GPU a layer's product of few rows is worth a second dispatch. */
const LONG_LAYER = 1024

/** Slices worth trying: none, and as many as fill the adapter. */
function sliceCounts(config: MatmulConfig, product: Product, traits: Traits): number[] {
  const kind = kindOf(config)
  const [{ k }] = product.segments
  // A layer's low-rank part and bias are computed by the product's kernel, in one dispatch, unless K is so long that
  // few workgroups would take far longer than a second dispatch does.
  const layer = product.segments.length > 1 || product.bias !== undefined
  if (layer && (traits.cpu || k < LONG_LAYER)) return [1]
  const tiles = tileCount(product, kind.size(config))
  const { shortest, most, times } = kind.slicing?.(config) ?? SLICING
  const longest = Math.min(Math.floor(k / shortest), most)
  const counts = times.map(n => Math.min(Math.ceil((n * wantedWorkgroups(traits)) / Math.max(tiles, 1)), longest))
  return [...new Set([1, ...counts.filter(count => count > 1)])]
}

function score(config: MatmulConfig, product: Product, slices: number, traits: Traits): number {
  const size = kindOf(config).size(config)
  const tiles = tileCount(product, size)
  const useful = (product.m * product.n * batchCount(product)) / (tiles * size.rows * size.columns)
  const busy = Math.min(1, (tiles * slices) / wantedWorkgroups(traits))
  return useful * busy * (slices > 1 ? 0.9 : 1)
}

/** The dispatches of one candidate. Its temporaries come after `taken` others. */
export function lower(product: Product, candidate: MatmulCandidate, traits: Traits, taken = 0): Lowering {
  const { config } = candidate
  const turned = candidate.transpose ? transposed(product) : product
  const k = turned.segments[0].k
  // A multiple of every kernel's step along K, so that no vec4 is split.
  const chunk = Math.ceil(k / candidate.slices / 32) * 32
  const slices = k === 0 ? 1 : Math.ceil(k / chunk)
  const split = slices > 1
  const layout = layoutFor(config, turned, split)
  const kind = kindOf(config)
  const size = kind.size(config)
  const count = batchCount(turned) * turned.m * turned.n
  const main = kind.shader(config, layout).launch({
    label: `matmul ${kind.name(config)}${split ? ` / ${slices}` : turned.epilogue ? `, ${turned.epilogue.label}` : ''}`,
    ...useOf(layout, turned, size, slices, chunk, temporary(taken)),
    workgroups: spread(tileCount(turned, size, slices), traits.maxWorkgroups),
    operations: 2 * multiplyAdds(turned),
  })
  if (!split) return { launches: [main] }
  return {
    launches: [main, sumSlices(temporary(taken), turned, count, slices, traits)],
    temporaries: [{ shape: [slices, count], dtype: 'f32' }],
  }
}
