// Fused attention, forward and backward (FlashAttention, Dao et al. 2022): what an adapter may try, and the launches of
// one problem. Scores are never written to memory; the backward pass makes them again from lse. No atomics on floats:
// one kernel gives dq, another dk and dv, each row by one owner, so the same inputs give the same bits.
//
// The ladder: register.ts (a row an invocation) → subgroup.ts (CPU adapters) → tiled.ts (GPUs) → matrix.ts (f16 on GPUs
// that have subgroup matrices).
import { type Launch, type Lowering, type Traits, input, output, temporary } from './kernel.ts'
import {
  type AttentionLayout, type AttentionProblem, type Operand, type Side, attentionLaunch, controlWords, layoutOf,
} from './attention/common.ts'
import { matrixForwardWgsl, matrixGradientWgsl } from './attention/matrix.ts'
import { type MatrixConfig, matrixConfigs, matrixName, matrixRows } from './attention/matrix-config.ts'
import { type RegisterConfig, registerForwardWgsl, registerGradientWgsl } from './attention/register.ts'
import { maskLaunch, statisticsLaunch } from './attention/rows.ts'
import { type SubgroupConfig, subgroupForwardWgsl, subgroupGradientWgsl } from './attention/subgroup.ts'
import { type TiledConfig, tiledBytes, tiledForwardWgsl, tiledGradientWgsl, tiledName, tiledRows, tiledThreads } from './attention/tiled.ts'
import type { View } from './kernel.ts'

export type { AttentionProblem } from './attention/common.ts'

export type AttentionConfig = RegisterConfig | SubgroupConfig | TiledConfig | MatrixConfig

/** A tiled kernel: tx, ty, rm, cn and how weights go round. */
type Tile = readonly [tx: number, ty: number, rm: 2 | 4 | 8, cn: 2 | 4 | 8, by: 'shuffles' | 'memory']

/**
 * Best guess first. Those by way of memory stand in the order of an H200's times with heads of 64, where a gradient's tiles leave room
 * for few workgroups, so that it wants many invocations in each. What shuffles save in memory goes to larger blocks, which read less for
 * each multiply-add (4·(rm + cn) words for 4·rm·cn); no GPU has timed them yet, so they come second.
 */
const tiles: Readonly<Record<'forward' | 'gradient', readonly Tile[]>> = {
  forward: [
    [8, 8, 4, 4, 'memory'], [8, 8, 8, 8, 'shuffles'], [8, 8, 8, 4, 'shuffles'], [8, 16, 4, 4, 'shuffles'],
    [8, 8, 4, 2, 'memory'], [8, 8, 2, 2, 'memory'],
  ],
  gradient: [
    [8, 16, 2, 4, 'memory'], [8, 8, 8, 4, 'shuffles'], [8, 16, 4, 4, 'shuffles'], [8, 8, 4, 8, 'shuffles'],
    [8, 8, 4, 2, 'memory'], [8, 8, 2, 2, 'memory'],
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

function rowsOf(config: AttentionConfig): number {
  if (config.kind === 'register') return config.invocations
  if (config.kind === 'matrix') return matrixRows(config)
  return config.kind === 'subgroup' ? config.rows : tiledRows(config)
}

function describe(config: AttentionConfig): string {
  if (config.kind === 'register') return `register x${config.invocations}`
  if (config.kind === 'matrix') return matrixName(config)
  if (config.kind === 'subgroup') return `sg${config.lanes}x${config.rows}`
  return tiledName(config)
}

/** Chooses a config for a pass. */
export type ChooseAttention = (pass: 'forward' | Side, candidates: readonly AttentionConfig[]) => AttentionConfig

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

/** dq, dk, dv from q, k, v, o, lse, dO, then mask and step as in the forward pass. `views` are those of q, k, v, o, dO. */
export function attentionBackward(
  problem: AttentionProblem, views: readonly [View, View, View, View, View], traits: Traits, choose: ChooseAttention,
): Lowering {
  const [qView, kView, vView, oView, dOView] = views
  const layout = layoutOf(problem, views)
  const { mask, step } = controlOf(problem, 6)
  const o: Operand = { name: 'o', view: oView, slot: input(3) }
  const dO: Operand = { name: 'dO', view: dOView, slot: input(5) }
  const reads: Operand[] = [
    { name: 'q', view: qView, slot: input(0) }, { name: 'k', view: kView, slot: input(1) },
    { name: 'v', view: vView, slot: input(2) }, dO,
  ]
  const statistics = temporary(0)
  const gradient = (side: Side, writes: readonly Operand[]): Launch => {
    const config = choose(side, attentionCandidates(side, layout, traits))
    // Scores again and the weights' gradient, then dq, or dk and dv.
    return { operations: products(side === 'query' ? 3 : 4, problem), ...attentionLaunch(problem, layout, side, {
      label: `attention gradient ${side} ${describe(config)}`,
      wgsl: attentionGradientWgsl(side, config, layout),
      rows: rowsOf(config),
      reads,
      writes,
      extra: [{ slot: statistics }],
      control: mask ? temporary(1) : step,
    }) }
  }
  return {
    launches: [
      ...(mask ? [maskLaunch(problem, mask, temporary(1), step)] : []),
      statisticsLaunch(problem, layout, o, dO, input(4), statistics),
      gradient('query', [{ name: 'dq', view: contiguous(queryShape(problem), problem.dtype), slot: output(0) }]),
      gradient('key', [
        { name: 'dk', view: contiguous(keyShape(problem), problem.dtype), slot: output(1) },
        { name: 'dv', view: contiguous(keyShape(problem), problem.dtype), slot: output(2) },
      ]),
    ],
    temporaries: [
      { shape: [problem.batch, problem.heads, problem.queries, 2], dtype: 'f32' },
      ...(mask ? [{ shape: [controlWords(problem.batch, problem.keys)], dtype: 'u32' as const }] : []),
    ],
  }
}
