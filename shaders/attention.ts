// Fused attention, forward and backward (FlashAttention, Dao et al. 2022): the candidates for an adapter, and the
// launches of one problem. The forward pass never writes scores to memory; the backward pass computes them again from
// lse. No atomics on floats: each row of a gradient has one owner, so the same inputs give the same bits. Keys that are
// shared by several heads of queries are read where they are, and their gradients are sums over these heads.
//
// The ladder: register.ts (one invocation per row) → subgroup.ts (CPU adapters) → tiled.ts (GPUs) → matrix.ts (f16 on
// GPUs that have subgroup matrices). The gradient comes in two forms. Fused, one kernel gives dq and another dk and dv, in
// memory that is linear in the sequence. Stored (stored.ts, stored-matrix.ts; GPUs alone), the probabilities and
// dScores of some heads at a time are stored, for five products in place of seven.
import type { FloatType, Launch, Lowering, Slot, Spec, Traits, View } from './kernel.ts'
import { bytesOf, input, output, rowMajorStrides, temporary } from './kernel.ts'
import { biasSumLaunch, divisionOf } from './attention/bias.ts'
import type {
  AttentionKind,
  AttentionLayout,
  AttentionPass,
  AttentionProblem,
  Operand,
  Pairs,
  Side,
  StoredKind,
  StoredPart,
} from './attention/common.ts'
import { attentionLaunch, controlWords, groupOf, layoutOf, rowTiles } from './attention/common.ts'
import { matrix } from './attention/matrix.ts'
import type { MatrixConfig } from './attention/matrix-config.ts'
import { type RegisterConfig, register } from './attention/register.ts'
import { maskLaunch, statisticsLaunch } from './attention/rows.ts'
import { storedMatrix } from './attention/stored-matrix.ts'
import { type StoredConfig, inBlocks, stored, storedBytes, storedValues } from './attention/stored.ts'
import { type SubgroupConfig, subgroup } from './attention/subgroup.ts'
import type { TiledConfig } from './attention/tiled-parts.ts'
import { tiled } from './attention/tiled.ts'

export type { AttentionMask, AttentionProblem } from './attention/common.ts'

export type AttentionConfig = RegisterConfig | SubgroupConfig | TiledConfig | MatrixConfig

/** A config of fused attention, or of the stored gradient's kernels. */
export type StoredGradientConfig = StoredConfig | MatrixConfig

const kinds = { matrix, tiled, subgroup, register }
const storedKinds = { matrix: storedMatrix, stored }

/** Of a config's own kind. */
export const kindOf = <Config extends AttentionConfig>({ kind }: Config): AttentionKind<Config> =>
  kinds[kind] as AttentionKind<never>
export const storedKindOf = <Config extends StoredGradientConfig>({ kind }: Config): StoredKind<Config> =>
  storedKinds[kind] as StoredKind<never>

/** Configs worth trying for a pass over such heads, best guess first. */
export function attentionCandidates(pass: AttentionPass, layout: AttentionLayout, traits: Traits): AttentionConfig[] {
  const tried = traits.cpu ? [subgroup, register] : Object.values(kinds)
  return tried.flatMap(({ candidates }): AttentionConfig[] => candidates(pass, layout, traits))
}

export type GradientForm = 'stored' | 'fused'

/** Configs worth trying for a part of the stored gradient, best guess first. */
export function storedCandidates(part: StoredPart, layout: AttentionLayout, traits: Traits): StoredGradientConfig[] {
  if (traits.cpu) return []
  // One kind of kernel may read what another kind wrote.
  const blocked = (['probabilities', 'sums'] as const).some(
    part => storedMatrix.candidates(part, layout, traits, true).length > 0,
  )
  return Object.values(storedKinds).flatMap(({ candidates }): StoredGradientConfig[] =>
    candidates(part, layout, traits, blocked),
  )
}

/** Scratch bytes of the stored gradient if the adapter gives no limit: a binding that every WebGPU device allows. */
const SCRATCH_BYTES = 128 * 2 ** 20
/**
 * Scratch memory is at most this many times an operand's bytes, so that it grows linearly with the sequence, or LITTLE
 * bytes if that is more.
 */
const OPERANDS = 8
const LITTLE = 16 * 2 ** 20

/**
 * How many heads the stored gradient processes at a time: as many as the scratch memory holds, in even shares; 0 if it
 * can't hold one.
 */
function pairsAtATime(problem: AttentionProblem, { scratchBytes = SCRATCH_BYTES }: Traits): number {
  const { batch, heads, keyHeads, queries, headSize, dtype } = problem
  const operand = batch * heads * queries * headSize * bytesOf(dtype)
  // Heads that share keys are processed together.
  const group = groupOf(problem)
  const groups = batch * keyHeads
  const bytes = group * storedBytes(problem)
  const room = Math.floor(Math.min(scratchBytes, Math.max(LITTLE, OPERANDS * operand)) / bytes)
  return room > 0 ? group * Math.ceil(groups / Math.ceil(groups / room)) : 0
}

/** Shortest side of scores that stored blocks are guessed to serve. */
const SHORTEST_STORED = 64

/** Forms of the gradient for an adapter, best guess first. */
function gradientForms(problem: AttentionProblem, layout: AttentionLayout, traits: Traits): GradientForm[] {
  const offered =
    pairsAtATime(problem, traits) > 0 &&
    (['probabilities', 'sums'] as const).every(part => storedCandidates(part, layout, traits).length > 0)
  if (!offered) return ['fused']
  return Math.min(problem.queries, problem.keys) >= SHORTEST_STORED ? ['stored', 'fused'] : ['fused', 'stored']
}

/** Chooses a config for a pass, the gradient's form, or a config for a part of the stored form. */
export type ChooseAttention = <C>(question: AttentionPass | 'form' | StoredPart, candidates: readonly C[]) => C

/** The slots of mask, bias and step; among the op's inputs they follow the tensors, in this order. */
function optionsOf({ mask, bias, dropout }: AttentionProblem, first: number) {
  let next = first
  const slotIf = (given: unknown): Slot | undefined => (given ? input(next++) : undefined)
  return { mask: slotIf(mask), bias: slotIf(bias), step: slotIf(dropout) }
}

/** Slots by the names that kernels have for them. */
const named = (slots: Readonly<Record<string, Slot | undefined>>): Record<string, Slot> =>
  Object.fromEntries(Object.entries(slots).flatMap(([name, slot]) => (slot ? [[name, slot]] : [])))

/** Operations of `count` products of queries with keys over the head's size. */
const products = (count: number, { batch, heads, queries, keys, headSize }: AttentionProblem): number =>
  2 * count * batch * heads * queries * keys * headSize

const contiguous = (shape: readonly number[], dtype: FloatType): View => ({
  shape,
  dtype,
  offset: 0,
  strides: rowMajorStrides(shape),
})

const queryShape = (p: AttentionProblem): number[] => [p.batch, p.queries, p.heads, p.headSize]
const keyShape = (p: AttentionProblem): number[] => [p.batch, p.keys, p.keyHeads, p.headSize]

/**
 * o and lse from q, k, v, then, where the problem has them, mask i32, bias f32 and, with dropout, step [] u32. `views`
 * are those of q, k, v.
 */
export function attentionForward(
  problem: AttentionProblem,
  views: readonly [View, View, View],
  traits: Traits,
  choose: ChooseAttention,
): Lowering {
  const layout = layoutOf(problem, views)
  const { mask, bias, step } = optionsOf(problem, 3)
  const config = choose('forward', attentionCandidates('forward', layout, traits))
  const kind = kindOf(config)
  const operands = ['q', 'k', 'v'].map((name, i): Operand => ({ name, view: views[i], slot: input(i) }))
  // Scores and the weighted sum of values.
  const attend = attentionLaunch(problem, layout, {
    label: `attention ${kind.name(config)}`,
    shader: kind.forward(config, layout),
    tiles: rowTiles(problem, 'query', kind.rows(config)),
    operations: products(2, problem),
    operands: [...operands, { name: 'o', view: contiguous(queryShape(problem), problem.dtype), slot: output(0) }],
    slots: named({
      lse: output(1),
      bias,
      // Without a mask the control buffer is dropout's step alone, which needs no packing.
      control: mask ? temporary(0) : step,
    }),
  })
  if (!mask) return { launches: [attend] }
  return {
    launches: [maskLaunch(problem, mask, temporary(0), step), attend],
    temporaries: [{ shape: [controlWords(problem)], dtype: 'u32' }],
  }
}

/** The gradient's operands, and the other buffers of its launches. */
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
  /** By name: row statistics, mask and dropout's step, bias. */
  readonly slots: Readonly<Record<string, Slot>>
}

const renamed = (name: string, operand: Operand): Operand => ({ ...operand, name })

/** Workgroups of tiles of keys, whose heads of queries are `pairs`. */
const keyWorkgroups = (problem: AttentionProblem, tiles: number, { count }: Pairs): number =>
  (tiles * count) / groupOf(problem)

function fusedGradient(
  { problem, layout, traits, q, k, v, dO, dq, dk, dv, slots }: Gradient,
  choose: ChooseAttention,
): Launch[] {
  const pairs = { first: 0, count: problem.batch * problem.heads }
  const gradient = (side: Side, writes: readonly Operand[]): Launch => {
    const config = choose(side, attentionCandidates(side, layout, traits))
    const kind = kindOf(config)
    const tiles = rowTiles(problem, side, kind.rows(config))
    // Scores again and the gradient of the probabilities, then dq, or dk and dv.
    return attentionLaunch(problem, layout, {
      label: `attention gradient ${side} ${kind.name(config)}`,
      shader: kind.gradient(side, config, layout),
      tiles,
      workgroups: side === 'key' ? keyWorkgroups(problem, tiles, pairs) : undefined,
      operations: products(side === 'query' ? 3 : 4, problem),
      operands: [q, k, v, dO, ...writes],
      slots,
    })
  }
  return [gradient('query', [dq]), gradient('key', [dk, dv])]
}

/** For `share` heads at a time: stores their probabilities and dScores in `scratch`, then computes the three sums. */
function storedGradient(
  { problem, layout, traits, q, k, v, dO, dq, dk, dv, slots }: Gradient,
  scratch: Slot,
  share: number,
  choose: ChooseAttention,
): Launch[] {
  const config = choose('probabilities', storedCandidates('probabilities', layout, traits))
  const kind = storedKindOf(config)
  const sumsConfig = choose('sums', storedCandidates('sums', layout, traits))
  const sumsKind = storedKindOf(sumsConfig)
  const all = problem.batch * problem.heads
  // All that concerns single scores is in the stored probabilities and dScores.
  const plain: AttentionLayout = {
    ...layout,
    mask: layout.mask === 'keys' ? 'keys' : undefined,
    dropout: false,
    bias: false,
  }
  const launches: Launch[] = []
  for (let first = 0; first < all; first += share) {
    const pairs: Pairs = { first, count: Math.min(share, all - first) }
    const uniforms = storedValues(problem, pairs)
    const operations = (products(1, problem) * pairs.count) / all
    launches.push(
      attentionLaunch(problem, layout, {
        label: `attention gradient probabilities ${kind.name(config)}`,
        shader: kind.probabilities(config, layout),
        operations: 2 * operations,
        operands: [q, k, v, dO],
        slots: { ...slots, stored: scratch },
        pairs,
        uniforms,
        tiles: kind.tiles(config, problem),
      }),
    )
    const sum = (side: Side, other: Operand, result: Operand, part: 0 | 1, factor: number): Launch => {
      const tiles = rowTiles(problem, side, sumsKind.rows(sumsConfig))
      return attentionLaunch(problem, layout, {
        label: `attention gradient ${result.name} ${sumsKind.name(sumsConfig)}`,
        shader: sumsKind.sums(side, sumsConfig, plain),
        tiles,
        workgroups: side === 'key' ? keyWorkgroups(problem, tiles, pairs) : undefined,
        operations,
        operands: [renamed('other', other), renamed('result', result)],
        slots: { ...slots, stored: scratch },
        pairs,
        uniforms: { ...uniforms, part, factor },
      })
    }
    launches.push(sum('query', k, dq, 1, problem.scale), sum('key', q, dk, 1, problem.scale), sum('key', dO, dv, 0, 1))
  }
  return launches
}

/** The gradient of the bias; `scratch` makes a temporary. */
function biasGradientLaunches(
  { problem, layout, traits, q, k, v, dO, slots }: Gradient,
  scratch: (spec: Spec) => Slot,
  choose: ChooseAttention,
): Launch[] {
  const config = choose('bias', attentionCandidates('bias', layout, traits))
  const kind = kindOf(config)
  const [rows, columns] = kind.biasTile(config)
  const rowTiles = Math.ceil(problem.queries / rows)
  const tiles = rowTiles * Math.ceil(problem.keys / columns)
  const { shares, ...division } = divisionOf(problem, tiles, traits.cpu)
  const dBias = output(3)
  const partial =
    shares > 1 ? scratch({ shape: [shares, division.places, problem.queries, problem.keys], dtype: 'f32' }) : undefined
  return [
    attentionLaunch(problem, layout, {
      label: `attention gradient bias ${kind.name(config)}`,
      shader: kind.biasGradient(config, layout),
      tiles,
      workgroups: tiles * division.places * shares,
      operations: products(2, problem),
      operands: [q, k, v, dO],
      slots: { ...slots, dBias: partial ?? dBias },
      uniforms: { ...division, rowTiles },
    }),
    ...(partial ? [biasSumLaunch(problem, shares, partial, dBias)] : []),
  ]
}

/**
 * dq, dk, dv from q, k, v, o, lse, dO, then mask, bias and step as in the forward pass. `views` are those of q, k, v, o,
 * dO. With `biasGradient`, the bias's, too: f32 [batch or 1, heads or 1, queries, keys], the first two as in the bias.
 */
export function attentionBackward(
  problem: AttentionProblem,
  views: readonly [View, View, View, View, View],
  traits: Traits,
  choose: ChooseAttention,
  biasGradient = false,
): Lowering {
  const [qView, kView, vView, oView, dOView] = views
  const { mask, bias, step } = optionsOf(problem, 6)
  const packed = bias !== undefined && (mask !== undefined || step !== undefined)
  const layout: AttentionLayout = { ...layoutOf(problem, views), packed }
  const result = (name: string, index: number, shape: readonly number[]): Operand => ({
    name,
    view: contiguous(shape, problem.dtype),
    slot: output(index),
  })
  const temporaries: Spec[] = []
  const scratch = (spec: Spec): Slot => temporary(temporaries.push(spec) - 1)
  const rows = problem.batch * problem.heads * problem.queries
  const words = controlWords(problem)
  const statistics = packed
    ? scratch({ shape: [words + 2 * rows], dtype: 'u32' })
    : scratch({ shape: [problem.batch, problem.heads, problem.queries, 2], dtype: 'f32' })
  // Without a mask the control buffer is dropout's step alone, which needs no packing.
  const control = packed ? statistics : mask ? scratch({ shape: [words], dtype: 'u32' }) : step
  const gradient: Gradient = {
    problem,
    layout,
    traits,
    slots: named({ statistics, control, bias }),
    q: { name: 'q', view: qView, slot: input(0) },
    k: { name: 'k', view: kView, slot: input(1) },
    v: { name: 'v', view: vView, slot: input(2) },
    dO: { name: 'dO', view: dOView, slot: input(5) },
    dq: result('dq', 0, queryShape(problem)),
    dk: result('dk', 1, keyShape(problem)),
    dv: result('dv', 2, keyShape(problem)),
  }
  const launches = [
    ...(mask && control ? [maskLaunch(problem, mask, control, step)] : []),
    statisticsLaunch(problem, layout, traits, { name: 'o', view: oView, slot: input(3) }, gradient.dO, input(4), {
      statistics,
      step: packed && !mask ? step : undefined,
    }),
    ...(biasGradient ? biasGradientLaunches(gradient, scratch, choose) : []),
  ]
  const forms = gradientForms(problem, layout, traits)
  if ((forms.length > 1 ? choose('form', forms) : forms[0]) === 'fused') {
    return { launches: [...launches, ...fusedGradient(gradient, choose)], temporaries }
  }
  const share = pairsAtATime(problem, traits)
  const squares = scratch({
    shape: [2, share, inBlocks(problem.queries), inBlocks(problem.keys)],
    dtype: problem.dtype,
  })
  return { launches: [...launches, ...storedGradient(gradient, squares, share, choose)], temporaries }
}
