// Matmul: which kernels are worth trying for a product on an adapter, and the launches of one of them. The kernels
// stand side by side in matmul/: register tiles, alone or shared in a subgroup (tile.ts), workgroup memory
// (workgroup.ts), subgroup matrices (matrix.ts), dot products (dot.ts), a narrow side (narrow.ts); any of them may take K in
// slices, summed by sum.ts.
import { spread, temporary } from './kernel.ts'
import type { Lowering, Traits } from './kernel.ts'
import { batchCount, transposed } from './matmul/problem.ts'
import type { Product } from './matmul/problem.ts'
import { layoutOf, slotsOf, tileCount, uniformWordsOf } from './matmul/text.ts'
import type { Layout, TileSize } from './matmul/text.ts'
import { tileName, tileSize, tileThreads, tileWgsl } from './matmul/tile.ts'
import type { TileConfig } from './matmul/tile.ts'
import { workgroupName, workgroupSize, workgroupStorage, workgroupThreads, workgroupWgsl } from './matmul/workgroup.ts'
import type { WorkgroupConfig } from './matmul/workgroup.ts'
import { dotName, dotSize, dotStorage, dotWgsl } from './matmul/dot.ts'
import type { DotConfig } from './matmul/dot.ts'
import { matrixName, matrixSize, matrixStorage, matrixThreads, matrixWgsl } from './matmul/matrix.ts'
import type { MatrixConfig } from './matmul/matrix.ts'
import { narrowName, narrowShortest, narrowSize, narrowStorage, narrowThreads, narrowWgsl } from './matmul/narrow.ts'
import type { NarrowAlongK, NarrowAlongRows, NarrowConfig } from './matmul/narrow.ts'
import { sumSlices } from './matmul/sum.ts'

export type MatmulConfig = TileConfig | WorkgroupConfig | MatrixConfig | DotConfig | NarrowConfig

/** One way to make a product. */
export interface MatmulCandidate {
  readonly config: MatmulConfig
  /** How many slices K is cut in; 1 writes the output at once. */
  readonly slices: number
  /** Makes the transpose, so that a narrow output lies along the side where lanes are shared. */
  readonly transpose: boolean
}

interface Rated {
  readonly config: MatmulConfig
  /** Speed on large sizes relative to the adapter's best. */
  readonly rate: number
}

/** The shader's text. */
export function wgsl(config: MatmulConfig, layout: Layout): string {
  if (config.kernel === 'tile') return tileWgsl(config, layout)
  if (config.kernel === 'matrix') return matrixWgsl(config, layout)
  if (config.kernel === 'narrow') return narrowWgsl(config, layout)
  return config.kernel === 'workgroup' ? workgroupWgsl(config, layout) : dotWgsl(config, layout)
}

export function configName(config: MatmulConfig): string {
  if (config.kernel === 'tile') return tileName(config)
  if (config.kernel === 'matrix') return matrixName(config)
  if (config.kernel === 'narrow') return narrowName(config)
  return config.kernel === 'workgroup' ? workgroupName(config) : dotName(config)
}

/** Which outputs one workgroup makes. */
export function sizeOfTile(config: MatmulConfig): TileSize {
  if (config.kernel === 'tile') return tileSize(config)
  if (config.kernel === 'matrix') return matrixSize(config)
  if (config.kernel === 'narrow') return narrowSize(config)
  return config.kernel === 'workgroup' ? workgroupSize(config) : dotSize(config)
}

/** The product's layout as this config reads it. */
export function layoutFor(config: MatmulConfig, product: Product, split: boolean): Layout {
  // A lane that loads one row of A, or a thread that walks along K, gains nothing from four rows at once.
  if (config.kernel === 'tile') return layoutOf(product, split, { a: config.subgroup === 0 && config.rows % 4 === 0, b: true })
  if (config.kernel === 'narrow') {
    const fours = config.columns >= 4
    return layoutOf(product, split, config.along === 'rows' ? { a: true, b: fours } : { a: false, b: fours && config.held > 0 })
  }
  const grouped = config.kernel !== 'dot'
  return layoutOf(product, split, { a: grouped, b: grouped })
}

/** Whether an adapter can run the config at all. */
export function isLegal(config: MatmulConfig, traits: Traits): boolean {
  if (config.kernel === 'tile') return tileThreads(config) <= traits.maxWorkgroupInvocations
  const [threads, bytes] = config.kernel === 'workgroup' ? [workgroupThreads(config), workgroupStorage(config)]
    : config.kernel === 'matrix' ? [matrixThreads(config), matrixStorage(config)]
      : config.kernel === 'narrow' ? [narrowThreads(config), narrowStorage(config)] : [config.threads, dotStorage(config)]
  return threads <= traits.maxWorkgroupInvocations && bytes <= traits.maxWorkgroupStorage
}

/** Best guess first: by rate, by how much of the tiles falls inside the output, and by whether there are workgroups
 *  enough to fill the adapter. What guesses put far behind is left out. */
export function candidates(product: Product, traits: Traits): MatmulCandidate[] {
  // Where both sides are long, no tile of a GPU lies better the other way round.
  const long = !traits.cpu && Math.min(product.m, product.n) >= 128
  const all = rankedCandidates(product, traits).filter(({ candidate }) => !long || !candidate.transpose)
  return all.filter(r => r.score >= all[0].score * 0.4).slice(0, 12).map(r => r.candidate)
}

/** Everything that an adapter could run, best guess first. */
export function rankedCandidates(product: Product, traits: Traits): { candidate: MatmulCandidate; score: number }[] {
  const ways = product.bias ? [false] : [false, true]
  const ranked = ways.flatMap(transpose => {
    const turned = transpose ? transposed(product) : product
    return configs(turned, traits).filter(({ config }) => isLegal(config, traits))
      .flatMap(({ config, rate }) => sliceCounts(config, turned, traits).map(slices => ({
        candidate: { config, slices, transpose },
        score: rate * score(config, turned, slices, traits) * (transpose ? 0.97 : 1),
      })))
  })
  return ranked.sort((a, b) => b.score - a.score)
}

function configs(product: Product, traits: Traits): Rated[] {
  const own = traits.cpu ? cpuConfigs(traits) : [...gpuConfigs(traits), ...narrowConfigs(product, traits)]
  return [...own, ...matrixConfigs(product, traits), ...dotConfigs(product, traits)]
}

/** Rates on lavapipe, two cores, f32 768³, B in either layout: 20–22 GFLOP/s for the first, by processor time. Larger
 *  tiles do no better and take longer to compile; without sharing rows it is 8, through workgroup memory 3. */
function cpuConfigs(traits: Traits): Rated[] {
  const width = traits.subgroupSize
  const own = [
    rated(0.36, { kernel: 'tile', subgroup: 0, rows: 8, fours: 2, across: 8, stacked: 8, rolled: true }),
    rated(0.3, { kernel: 'tile', subgroup: 0, rows: 4, fours: 1, across: 8, stacked: 4, rolled: true }),
    rated(0.14, { kernel: 'workgroup', rows: 32, columns: 32, depth: 16, rowFours: 1, columnFours: 1, ahead: false, written: false }),
  ]
  if (width === 0 || width > 16) return own
  const shared = ([
    [1, 16, 1, 1], [0.97, 24, 1, 4], [0.96, 32, 1, 1], [0.85, 16, 2, 1], [0.74, 8, 1, 16], [0.7, 8, 1, 1], [0.45, 4, 1, 4],
  ] as const)
    .filter(([, rows]) => rows % width === 0)
    .map(([rate, rows, fours, stacked]) => rated(rate, { kernel: 'tile', subgroup: width, rows, fours, across: width, stacked, rolled: true }))
  return [...shared, ...own]
}

/** Rates on an H200, f32 4096³: 45 TFLOP/s for the first; by the shape of the product the second is level. */
function gpuConfigs(traits: Traits): Rated[] {
  const width = traits.subgroupSize
  const list = [
    ...([
      [1, 128, 128, 16, 2, 4, 2], [0.98, 128, 128, 16, 2, 2, 2], [0.84, 128, 64, 16, 2, 2, 1], [0.88, 64, 64, 16, 2, 2, 1],
      [0.68, 64, 64, 16, 1, 1, 0], [0.5, 32, 32, 32, 1, 1, 0], [0.4, 128, 16, 16, 2, 1, 0], [0.35, 128, 8, 32, 1, 1, 0],
    ] as const).map(([rate, rows, columns, depth, rowFours, columnFours, how]) =>
      rated(rate, { kernel: 'workgroup', rows, columns, depth, rowFours, columnFours, ahead: how > 0, written: how > 1 })),
    rated(0.47, { kernel: 'tile', subgroup: 0, rows: 8, fours: 2, across: 8, stacked: 8, rolled: false }),
    rated(0.46, { kernel: 'tile', subgroup: 0, rows: 4, fours: 1, across: 16, stacked: 8, rolled: false }),
    rated(0.2, { kernel: 'tile', subgroup: 0, rows: 1, fours: 1, across: 64, stacked: 1, rolled: false }),
  ]
  if (width >= 8 && width <= 32) list.push(rated(0.55, { kernel: 'tile', subgroup: width, rows: width, fours: 1, across: width, stacked: 4, rolled: false }))
  return list
}

/**
 * Where the operands are f16 to begin with; a low-rank part in f32 that rides along is rounded to f16. Rates relative to f32 kernels
 * on an H200, of 45 TFLOP/s: 16384 × 768 · 768 × 3072 with a low-rank part 190 by the first, 4096³ 211 by the second.
 */
function matrixConfigs({ segments: [{ a, b }] }: Product, { subgroupMatrix: fragment }: Traits): Rated[] {
  if (!fragment || a.dtype !== 'f16' || b.dtype !== 'f16') return []
  const list = ([
    [4.1, 128, 128, 2, 2, 2], [4, 256, 128, 4, 2, 2], [3.7, 128, 128, 2, 4, 4], [3.2, 128, 64, 2, 2, 2],
    [2.6, 64, 64, 1, 2, 4], [2.3, 64, 64, 2, 2, 2], [1.8, 64, 32, 2, 1, 2], [1.4, 32, 32, 1, 1, 2],
  ] as const).map(([rate, rows, columns, down, across, depth]): Rated & { config: MatrixConfig } => ({
    rate,
    config: { kernel: 'matrix', fragment, down, across, depth: depth * fragment.k, rows: rows / fragment.m / down, columns: columns / fragment.n / across },
  }))
  const whole = (count: number): boolean => Number.isInteger(count) && count > 0
  return list.filter(({ config }) => whole(config.rows) && whole(config.columns))
}

function dotConfigs(product: Product, traits: Traits): Rated[] {
  if (product.m * product.n > 16384) return []
  const threads = traits.cpu ? Math.max(traits.subgroupSize, 4) : 64
  const config = { kernel: 'dot', threads, rows: Math.min(4, product.m), columns: Math.min(4, product.n) } as const
  // Threads walk along K: an operand that does not lie along it is read one lonely element at a time.
  const along = product.segments.every(({ a, b }) => a.major === 'k' && b.major === 'k')
  return [rated(along ? 0.25 : 0.05, config)]
}

/**
 * Products with a right side so narrow that reading the left one is what they take: up to some 32 columns in f32. Rates
 * are guesses by the share of memory's speed, high enough to come first and low enough to leave the next best in.
 */
function narrowConfigs({ m, n, segments: [{ a, b, k }, ...more] }: Product, traits: Traits): Rated[] {
  if (more.length > 0 || n < 1 || n > 64 || m < n || (m < 8 * n && k < 32 * n)) return []
  const most = 2 ** Math.ceil(Math.log2(Math.min(n, 32)))
  // More than 32 columns read the left operand again; so do fewer at a time, with more sums a thread to spare.
  const widths = most > 16 ? [most, 16] : [most]
  return widths.flatMap(columns => {
    const rate = 0.75 * (n <= 16 ? 1 : columns > 16 ? 0.9 : Math.sqrt(16 / n))
    const list = a.major === 'k' ? alongK(columns, b.major === 'k', traits) : alongRows(columns)
    return list.map((config, i) => rated(rate * (1 - 0.01 * i), config))
  })
}

function alongRows(columns: number): NarrowAlongRows[] {
  // Long steps of many columns want more registers than there are.
  const ways = columns > 16 ? [[8, 4]] as const : columns > 8 ? [[8, 4], [4, 4]] as const : [[8, 4], [8, 8], [4, 8]] as const
  return ways.map(([parts, depth]) => ({ kernel: 'narrow', along: 'rows', columns, parts, depth }))
}

/** Rows, groups, steps at once: as many sums as registers hold. Workgroup memory holds 16 KB of the right operand, 8 where sums take some, too. */
function alongK(columns: number, direct: boolean, { subgroupSize: width }: Traits): NarrowAlongK[] {
  const exchange = width >= 4 && width <= 64
  const lanes = exchange ? width : 32
  const ways = columns > 8 ? [[4, 8, 1]] as const : [[4, 8, 1], [4, 8, 2], [8, 4, 1]] as const
  const of = ([rows, groups, fours]: readonly [number, number, number], held: number): NarrowAlongK =>
    ({ kernel: 'narrow', along: 'k', lanes, exchange, rows, columns, groups: Math.min(groups, 256 / lanes), fours, held })
  const heldSteps = (fours: number): number => Math.min(8, Math.floor((exchange ? 1024 : 512) / (columns * fours * lanes)))
  const held = ways.map(way => of(way, heldSteps(way[2]))).filter(config => config.held > 0)
  return direct ? [...ways.slice(0, 2).map(way => of(way, 0)), ...held] : held
}

function rated(rate: number, config: MatmulConfig): Rated {
  return { config, rate }
}

/** Workgroups that keep an adapter busy. */
function wantedWorkgroups(traits: Traits): number {
  return traits.cpu ? 8 : 256
}

/** K from which on a GPU a layer's product of few rows is worth a second dispatch. */
const LONG_LAYER = 1024

/** Slices worth trying: none, and as many as fill the adapter with slices of 128 or longer. */
function sliceCounts(config: MatmulConfig, product: Product, traits: Traits): number[] {
  if (config.kernel === 'dot') return [1]
  // What else a layer adds is one kernel's with the product, unless K is so long that few workgroups would take far longer than a second dispatch.
  const layer = product.segments.length > 1 || product.bias !== undefined
  if (layer && (traits.cpu || product.segments[0].k < LONG_LAYER)) return [1]
  const tiles = tileCount(product, sizeOfTile(config))
  if (config.kernel === 'narrow') {
    // What waits for memory gains from more workgroups than one a processor: three times as many are worth a try, too.
    const longest = Math.min(Math.floor(product.segments[0].k / narrowShortest(config)), 256)
    const counts = [1, 3].map(times => Math.min(Math.ceil(times * wantedWorkgroups(traits) / Math.max(tiles, 1)), longest))
    return [...new Set([1, ...counts.filter(count => count > 1)])]
  }
  const most = Math.floor(product.segments[0].k / 128)
  const slices = Math.min(Math.ceil(wantedWorkgroups(traits) / Math.max(tiles, 1)), most, 64)
  return slices > 1 ? [1, slices] : [1]
}

function score(config: MatmulConfig, product: Product, slices: number, traits: Traits): number {
  const tile = sizeOfTile(config)
  const tiles = tileCount(product, tile)
  const useful = product.m * product.n * batchCount(product) / (tiles * tile.rows * tile.columns)
  const busy = Math.min(1, tiles * slices / wantedWorkgroups(traits))
  return useful * busy * (slices > 1 ? 0.9 : 1)
}

/** The dispatches of one candidate. */
export function lower(product: Product, candidate: MatmulCandidate, traits: Traits): Lowering {
  const { config } = candidate
  const turned = candidate.transpose ? transposed(product) : product
  const k = turned.segments[0].k
  // Slices are whole steps of every kernel long, so that groups of four stay whole.
  const chunk = Math.ceil(k / candidate.slices / 32) * 32
  const slices = k === 0 ? 1 : Math.ceil(k / chunk)
  const split = slices > 1
  const layout = layoutFor(config, turned, split)
  const tile = sizeOfTile(config)
  const count = batchCount(turned) * turned.m * turned.n
  const main = {
    label: `matmul ${configName(config)}${split ? ` / ${slices}` : turned.epilogue ? `, ${turned.epilogue.label}` : ''}`,
    wgsl: wgsl(config, layout),
    ...slotsOf(turned, split, temporary(0)),
    uniforms: uniformWordsOf(layout, turned, tile, slices, chunk),
    workgroups: spread(tileCount(turned, tile, slices), traits.maxWorkgroups),
    operations: 2 * count * turned.segments.reduce((sum, segment) => sum + segment.k, 0),
  }
  if (!split) return { launches: [main] }
  return {
    launches: [main, sumSlices(temporary(0), turned, count, slices, traits)],
    temporaries: [{ shape: [slices, count], dtype: 'f32' }],
  }
}
