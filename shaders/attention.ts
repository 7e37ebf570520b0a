// Fused attention, forward and backward (FlashAttention, Dao et al. 2022): what an adapter may try, and the launches of
// one problem. The forward pass never writes scores to memory; the backward pass makes them again from lse. No atomics on
// floats: each row of a gradient has one owner, so the same inputs give the same bits.
//
// The ladder: register.ts (a row an invocation) → subgroup.ts (CPU adapters) → tiled.ts (GPUs) → matrix.ts (f16 on GPUs
// that have subgroup matrices). The gradient comes in two forms. Fused, one kernel gives dq and another dk and dv, in memory
// that is linear in the sequence. Stored (stored.ts, stored-matrix.ts; GPUs alone), the weights of some heads at a time are
// written down, for five products in place of seven.
import { type Launch, type Lowering, type Slot, type Spec, type Traits, type View, bytesOf, input, output, temporary } from './kernel.ts'
import {
  type AttentionLayout, type AttentionProblem, type Operand, type Pairs, type Side, attentionLaunch, controlWords, layoutOf,
} from './attention/common.ts'
import { matrixForwardWgsl, matrixGradientWgsl } from './attention/matrix.ts'
import { type MatrixConfig, matrixConfigs, matrixName, matrixRows, matrixSumsConfigs } from './attention/matrix-config.ts'
import { type RegisterConfig, registerForwardWgsl, registerGradientWgsl } from './attention/register.ts'
import {
  type StoredConfig, inBlocks, storedBytes, storedName, storedStorage, storedSumsWgsl, storedWeightsWgsl, storedWords, weightTiles,
} from './attention/stored.ts'
import { matrixSumsWgsl, matrixWeightsWgsl } from './attention/stored-matrix.ts'
import { maskLaunch, statisticsLaunch } from './attention/rows.ts'
import { type SubgroupConfig, subgroupForwardWgsl, subgroupGradientWgsl } from './attention/subgroup.ts'
import { type TiledConfig, tiledBytes, tiledForwardWgsl, tiledGradientWgsl, tiledName, tiledRows, tiledThreads } from './attention/tiled.ts'

export type { AttentionProblem } from './attention/common.ts'

export type AttentionConfig = RegisterConfig | SubgroupConfig | TiledConfig | MatrixConfig

/** A tiled kernel: tx, ty, rm, cn and how weights go round. */
type Tile = readonly [tx: number, ty: number, rm: 2 | 4 | 8, cn: 2 | 4 | 8, by: 'shuffles' | 'memory']

/**
 * In the order of an H200's times with heads of 64, then what a smaller workgroup memory or no subgroups leave. Larger blocks read less for
 * each multiply-add, 4·(rm + cn) words for 4·rm·cn, and what shuffles save in memory goes to more rows.
 */
const tiles: Readonly<Record<'forward' | 'gradient', readonly Tile[]>> = {
  forward: [
    [16, 16, 8, 4, 'shuffles'], [8, 16, 4, 4, 'shuffles'], [8, 8, 4, 4, 'shuffles'], [8, 8, 4, 4, 'memory'],
    [8, 8, 4, 2, 'memory'], [8, 8, 2, 2, 'memory'],
  ],
  gradient: [
    [16, 16, 4, 2, 'shuffles'], [8, 16, 4, 4, 'shuffles'], [16, 8, 4, 2, 'memory'], [8, 8, 4, 2, 'memory'],
  ],
}

/** Widest subgroup that the subgroup kernels make sense for: past it, lanes outnumber the chunks of a head. */
const WIDEST_SUBGROUP = 16

/** Configs worth trying for a pass over such heads, best guess first. 'query' and 'key' are the gradient's two kernels. */
export function attentionCandidates(pass: 'forward' | Side, layout: AttentionLayout, traits: Traits): AttentionConfig[] {
  const plain: AttentionConfig = { kind: 'register', invocations: Math.min(64, traits.maxWorkgroupInvocations) }
  const lanes = traits.subgroupSize
  const subgroups: AttentionConfig[] = lanes < 4 || lanes > WIDEST_SUBGROUP
    ? []
    : [{ kind: 'subgroup', lanes, rows: 8 }]
  if (traits.cpu) return [...subgroups, plain]
  const all = tiles[pass === 'forward' ? 'forward' : 'gradient']
    .map(([tx, ty, rm, cn, by]): TiledConfig => ({ kind: 'tiled', tx, ty, rm, cn, exchange: by === 'shuffles' }))
  const fitting = all.filter(config => tiledBytes(config, layout, pass) <= traits.maxWorkgroupStorage
    && tiledThreads(config) <= traits.maxWorkgroupInvocations && (!config.exchange || (lanes > 0 && lanes % config.tx === 0)))
  return [...matrixConfigs(pass, layout, traits), ...fitting, ...subgroups, plain]
}

/** A kernel of the stored gradient. */
export type StoredGradientConfig = StoredConfig | MatrixConfig

export type GradientForm = 'stored' | 'fused'

/** Tiles of the stored gradient's kernels: invocations and blocks, in the order of an H200's times. A tile of sums has tx·cn columns, too. */
const storedTiles: Readonly<Record<StoredPart, readonly (readonly [tx: number, ty: number, rm: 4 | 8, cn: 2 | 4 | 8])[]>> = {
  weights: [[16, 16, 8, 4], [16, 8, 8, 4], [8, 16, 8, 8], [8, 8, 4, 4]],
  sums: [[8, 16, 8, 2], [8, 8, 8, 2], [8, 8, 8, 4], [8, 8, 4, 4]],
}

export type StoredPart = 'weights' | 'sums'

/** Configs worth trying for a part of the stored gradient, best guess first. */
export function storedCandidates(part: StoredPart, layout: AttentionLayout, traits: Traits): StoredGradientConfig[] {
  if (traits.cpu) return []
  const matrices = { weights: matrixConfigs('weights', layout, traits), sums: matrixSumsConfigs(layout, traits) }
  // One kind of kernel may write what another reads.
  const strips = matrices.weights.length + matrices.sums.length > 0
  const tiled = storedTiles[part].map(([tx, ty, rm, cn]): StoredConfig => ({ kind: 'stored', tx, ty, rm, cn, strips }))
  const fitting = tiled.filter(config => storedStorage(part, config, layout) <= traits.maxWorkgroupStorage
    && tiledThreads(config) <= traits.maxWorkgroupInvocations)
  return [...matrices[part], ...fitting]
}

export const storedWeights = (config: StoredGradientConfig, layout: AttentionLayout): string =>
  (config.kind === 'matrix' ? matrixWeightsWgsl(config, layout) : storedWeightsWgsl(config, layout))

export const storedSums = (side: Side, config: StoredGradientConfig, layout: AttentionLayout): string =>
  (config.kind === 'matrix' ? matrixSumsWgsl(side, config, layout) : storedSumsWgsl(side, config, layout))

/** Bytes that the stored gradient may take where the adapter says nothing: what any WebGPU device binds. */
const SCRATCH_BYTES = 128 * 2 ** 20
/** It takes no more than so many of its operands do, so that it grows as they do with the sequence; or so many bytes, which are little anywhere. */
const OPERANDS = 8
const LITTLE = 16 * 2 ** 20

/** Heads at a time of the stored gradient, in even shares: as few times as it has room for; 0 where one has none. */
function pairsAtATime(problem: AttentionProblem, { scratchBytes = SCRATCH_BYTES }: Traits): number {
  const { batch, heads, queries, headSize, dtype } = problem
  const operand = batch * heads * queries * headSize * bytesOf(dtype)
  const room = Math.floor(Math.min(scratchBytes, Math.max(LITTLE, OPERANDS * operand)) / storedBytes(problem))
  return room > 0 ? Math.ceil(batch * heads / Math.ceil(batch * heads / room)) : 0
}

/** Shortest side of scores that stored blocks are guessed to serve. */
const SHORTEST_STORED = 64

/** Forms of the gradient for an adapter, best guess first. */
export function gradientForms(problem: AttentionProblem, layout: AttentionLayout, traits: Traits): GradientForm[] {
  const offered = pairsAtATime(problem, traits) > 0 && (['weights', 'sums'] as const).every(part => storedCandidates(part, layout, traits).length > 0)
  if (!offered) return ['fused']
  return Math.min(problem.queries, problem.keys) >= SHORTEST_STORED ? ['stored', 'fused'] : ['fused', 'stored']
}

export function attentionForwardWgsl(config: AttentionConfig, layout: AttentionLayout): string {
  if (config.kind === 'register') return registerForwardWgsl(config, layout)
  if (config.kind === 'matrix') return matrixForwardWgsl(config, layout)
  return config.kind === 'subgroup' ? subgroupForwardWgsl(config, layout) : tiledForwardWgsl(config, layout)
}

export function attentionGradientWgsl(side: Side, config: AttentionConfig, layout: AttentionLayout): string {
  if (config.kind === 'register') return registerGradientWgsl(side, config, layout)
  if (config.kind === 'matrix') return matrixGradientWgsl(side, config, layout)
  return config.kind === 'subgroup' ? subgroupGradientWgsl(side, config, layout) : tiledGradientWgsl(side, config, layout)
}

function rowsOf(config: AttentionConfig | StoredConfig): number {
  if (config.kind === 'register') return config.invocations
  if (config.kind === 'matrix') return matrixRows(config)
  return config.kind === 'subgroup' ? config.rows : tiledRows(config)
}

function describe(config: AttentionConfig | StoredConfig): string {
  if (config.kind === 'stored') return storedName(config)
  if (config.kind === 'register') return `register x${config.invocations}`
  if (config.kind === 'matrix') return matrixName(config)
  if (config.kind === 'subgroup') return `sg${config.lanes}x${config.rows}`
  return tiledName(config)
}

/** Chooses a config for a pass, the gradient's form, or a config for a part of the stored form. */
export type ChooseAttention = <C>(question: 'forward' | Side | 'form' | StoredPart, candidates: readonly C[]) => C

/** Where mask and step stand among the op's inputs; they follow the tensors, in this order. */
function controlOf(problem: AttentionProblem, first: number) {
  const mask = problem.mask ? input(first) : undefined
  const step = problem.dropout ? input(first + (problem.mask ? 1 : 0)) : undefined
  return { mask, step }
}

/** Operations of so many products of queries with keys over the head's size. */
const products = (count: number, { batch, heads, queries, keys, headSize }: AttentionProblem): number =>
  2 * count * batch * heads * queries * keys * headSize

const contiguous = (shape: readonly number[], dtype: AttentionProblem['dtype']): View => ({
  shape, dtype, offset: 0, strides: [shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1],
})

const queryShape = (p: AttentionProblem): number[] => [p.batch, p.queries, p.heads, p.headSize]
const keyShape = (p: AttentionProblem): number[] => [p.batch, p.keys, p.heads, p.headSize]

/**
 * o and lse from q, k, v, mask [batch, keys] i32 where the problem has one, step [] u32 where it has dropout.
 * `views` are those of q, k, v.
 */
export function attentionForward(
  problem: AttentionProblem, views: readonly [View, View, View], traits: Traits, choose: ChooseAttention,
): Lowering {
  const layout = layoutOf(problem, views)
  const { mask, step } = controlOf(problem, 3)
  const config = choose('forward', attentionCandidates('forward', layout, traits))
  const reads = ['q', 'k', 'v'].map((name, i): Operand => ({ name, view: views[i], slot: input(i) }))
  // Scores and the weighted sum of values.
  const attend = { operations: products(2, problem), ...attentionLaunch(problem, layout, 'query', {
    label: `attention ${describe(config)}`,
    wgsl: attentionForwardWgsl(config, layout),
    rows: rowsOf(config),
    reads,
    writes: [{ name: 'o', view: contiguous(queryShape(problem), problem.dtype), slot: output(0) }],
    extra: [{ slot: output(1), written: true }],
    // Without a mask the control buffer is dropout's step alone, which needs no packing.
    control: mask ? temporary(0) : step,
  }) }
  if (!mask) return { launches: [attend] }
  return {
    launches: [maskLaunch(problem, mask, temporary(0), step), attend],
    temporaries: [{ shape: [controlWords(problem.batch, problem.keys)], dtype: 'u32' }],
  }
}

/** The gradient's operands and where its launches find mask and dropout's step. */
interface Gradient {
  readonly problem: AttentionProblem
  readonly layout: AttentionLayout
  readonly traits: Traits
  readonly q: Operand
  readonly k: Operand
  readonly v: Operand
  readonly dO: Operand
  readonly dq: Operand
  readonly dk: Operand
  readonly dv: Operand
  readonly statistics: Slot
  readonly control: Slot | undefined
}

function fusedGradient({ problem, layout, traits, q, k, v, dO, dq, dk, dv, statistics, control }: Gradient, choose: ChooseAttention): Launch[] {
  const gradient = (side: Side, writes: readonly Operand[]): Launch => {
    const config = choose(side, attentionCandidates(side, layout, traits))
    // Scores again and the weights' gradient, then dq, or dk and dv.
    return { operations: products(side === 'query' ? 3 : 4, problem), ...attentionLaunch(problem, layout, side, {
      label: `attention gradient ${side} ${describe(config)}`,
      wgsl: attentionGradientWgsl(side, config, layout),
      rows: rowsOf(config),
      reads: [q, k, v, dO],
      writes,
      extra: [{ slot: statistics }],
      control,
    }) }
  }
  return [gradient('query', [dq]), gradient('key', [dk, dv])]
}

/** So many heads at a time, which `stored` is the scratch of: their weights and slopes, then the three sums. */
function storedGradient(
  { problem, layout, traits, q, k, v, dO, dq, dk, dv, statistics, control }: Gradient, stored: Slot, share: number, choose: ChooseAttention,
): Launch[] {
  const weights = choose('weights', storedCandidates('weights', layout, traits))
  const sums = choose('sums', storedCandidates('sums', layout, traits))
  const all = problem.batch * problem.heads
  // Dropout is in the weights.
  const plain = { ...layout, dropout: false }
  const launches: Launch[] = []
  for (let first = 0; first < all; first += share) {
    const pairs: Pairs = { first, count: Math.min(share, all - first) }
    const words = storedWords(problem, pairs)
    const operations = products(1, problem) * pairs.count / all
    launches.push({ operations: 2 * operations, ...attentionLaunch(problem, layout, 'key', {
      label: `attention gradient weights ${describe(weights)}`,
      wgsl: storedWeights(weights, layout),
      rows: rowsOf(weights),
      reads: [q, k, v, dO], writes: [], extra: [{ slot: statistics }, { slot: stored, written: true }],
      control, pairs, words,
      tiles: weights.kind === 'matrix' ? Math.ceil(inBlocks(problem.queries) / matrixRows(weights)) : weightTiles(weights, problem),
    }) })
    const sum = (side: Side, x: Operand, y: Operand, part: 0 | 1, factor: number): Launch =>
      ({ operations, ...attentionLaunch(problem, layout, side, {
        label: `attention gradient ${y.name} ${describe(sums)}`,
        wgsl: storedSums(side, sums, plain),
        rows: rowsOf(sums),
        reads: [x], writes: [y], extra: [{ slot: stored }],
        control: layout.mask ? control : undefined, pairs, words: [...words, part, { f32: factor }],
      }) })
    launches.push(sum('query', k, dq, 1, problem.scale), sum('key', q, dk, 1, problem.scale), sum('key', dO, dv, 0, 1))
  }
  return launches
}

/** dq, dk, dv from q, k, v, o, lse, dO, then mask and step as in the forward pass. `views` are those of q, k, v, o, dO. */
export function attentionBackward(
  problem: AttentionProblem, views: readonly [View, View, View, View, View], traits: Traits, choose: ChooseAttention,
): Lowering {
  const [qView, kView, vView, oView, dOView] = views
  const layout = layoutOf(problem, views)
  const { mask, step } = controlOf(problem, 6)
  const result = (name: string, index: number, shape: readonly number[]): Operand => ({ name, view: contiguous(shape, problem.dtype), slot: output(index) })
  const temporaries: Spec[] = []
  const scratch = (spec: Spec): Slot => temporary(temporaries.push(spec) - 1)
  const statistics = scratch({ shape: [problem.batch, problem.heads, problem.queries, 2], dtype: 'f32' })
  // Without a mask the control buffer is dropout's step alone, which needs no packing.
  const control = mask ? scratch({ shape: [controlWords(problem.batch, problem.keys)], dtype: 'u32' }) : step
  const gradient: Gradient = {
    problem, layout, traits, statistics, control,
    q: { name: 'q', view: qView, slot: input(0) }, k: { name: 'k', view: kView, slot: input(1) }, v: { name: 'v', view: vView, slot: input(2) },
    dO: { name: 'dO', view: dOView, slot: input(5) },
    dq: result('dq', 0, queryShape(problem)), dk: result('dk', 1, keyShape(problem)), dv: result('dv', 2, keyShape(problem)),
  }
  const before = [
    ...(mask && control ? [maskLaunch(problem, mask, control, step)] : []),
    statisticsLaunch(problem, layout, traits, { name: 'o', view: oView, slot: input(3) }, gradient.dO, input(4), statistics),
  ]
  const forms = gradientForms(problem, layout, traits)
  if ((forms.length > 1 ? choose('form', forms) : forms[0]) === 'fused') {
    return { launches: [...before, ...fusedGradient(gradient, choose)], temporaries }
  }
  const share = pairsAtATime(problem, traits)
  const stored = scratch({ shape: [2, share, inBlocks(problem.queries), inBlocks(problem.keys)], dtype: problem.dtype })
  return { launches: [...before, ...storedGradient(gradient, stored, share, choose)], temporaries }
}
