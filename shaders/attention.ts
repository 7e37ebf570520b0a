// Fused attention, forward and backward (FlashAttention, Dao et al. 2022): the candidates for an adapter, and the
// launches of one problem. The forward pass never writes scores to memory; the backward pass computes them again from
// lse. No atomics on floats: each row of a gradient has one owner, so the same inputs give the same bits.
//
// The ladder: register.ts (one invocation per row) → subgroup.ts (CPU adapters) → tiled.ts (GPUs) → matrix.ts (f16 on
// GPUs that have subgroup matrices). The gradient comes in two forms. Fused, one kernel gives dq and another dk and dv, in
// memory that is linear in the sequence. Stored (stored.ts, stored-matrix.ts; GPUs alone), the probabilities and
// dScores of some heads at a time are stored, for five products in place of seven.
import type { FloatType, Launch, Lowering, Slot, Spec, Traits, View } from './kernel.ts'
import { bytesOf, input, output, rowMajorStrides, temporary } from './kernel.ts'
import type {
  AttentionKind,
  AttentionLayout,
  AttentionProblem,
  Operand,
  Pairs,
  Side,
  StoredKind,
  StoredPart,
} from './attention/common.ts'
import { attentionLaunch, controlWords, layoutOf, rowTiles } from './attention/common.ts'
import { matrix } from './attention/matrix.ts'
import type { MatrixConfig } from './attention/matrix-config.ts'
import { type RegisterConfig, register } from './attention/register.ts'
import { maskLaunch, statisticsLaunch } from './attention/rows.ts'
import { storedMatrix } from './attention/stored-matrix.ts'
import { type StoredConfig, inBlocks, stored, storedBytes, storedValues } from './attention/stored.ts'
import { type SubgroupConfig, subgroup } from './attention/subgroup.ts'
import type { TiledConfig } from './attention/tiled-parts.ts'
import { tiled } from './attention/tiled.ts'

export type { AttentionProblem } from './attention/common.ts'

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
export function attentionCandidates(
  pass: 'forward' | Side,
  layout: AttentionLayout,
  traits: Traits,
): AttentionConfig[] {
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
  const { batch, heads, queries, headSize, dtype } = problem
  const operand = batch * heads * queries * headSize * bytesOf(dtype)
  const room = Math.floor(Math.min(scratchBytes, Math.max(LITTLE, OPERANDS * operand)) / storedBytes(problem))
  return room > 0 ? Math.ceil((batch * heads) / Math.ceil((batch * heads) / room)) : 0
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
export type ChooseAttention = <C>(question: 'forward' | Side | 'form' | StoredPart, candidates: readonly C[]) => C

/** The slots of mask and step; among the op's inputs they follow the tensors, in this order. */
function controlOf(problem: AttentionProblem, first: number) {
  const mask = problem.mask ? input(first) : undefined
  const step = problem.dropout ? input(first + (problem.mask ? 1 : 0)) : undefined
  return { mask, step }
}

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
const keyShape = (p: AttentionProblem): number[] => [p.batch, p.keys, p.heads, p.headSize]

/**
 * o and lse from q, k, v, mask [batch, keys] i32 where the problem has one, step [] u32 where it has dropout.
 * `views` are those of q, k, v.
 */
export function attentionForward(
  problem: AttentionProblem,
  views: readonly [View, View, View],
  traits: Traits,
  choose: ChooseAttention,
): Lowering {
  const layout = layoutOf(problem, views)
  const { mask, step } = controlOf(problem, 3)
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
    slots: { lse: output(1) },
    // Without a mask the control buffer is dropout's step alone, which needs no packing.
    control: mask ? temporary(0) : step,
  })
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

const named = (name: string, operand: Operand): Operand => ({ ...operand, name })

function fusedGradient(
  { problem, layout, traits, q, k, v, dO, dq, dk, dv, statistics, control }: Gradient,
  choose: ChooseAttention,
): Launch[] {
  const gradient = (side: Side, writes: readonly Operand[]): Launch => {
    const config = choose(side, attentionCandidates(side, layout, traits))
    const kind = kindOf(config)
    // Scores again and the gradient of the probabilities, then dq, or dk and dv.
    return attentionLaunch(problem, layout, {
      label: `attention gradient ${side} ${kind.name(config)}`,
      shader: kind.gradient(side, config, layout),
      tiles: rowTiles(problem, side, kind.rows(config)),
      operations: products(side === 'query' ? 3 : 4, problem),
      operands: [q, k, v, dO, ...writes],
      slots: { statistics },
      control,
    })
  }
  return [gradient('query', [dq]), gradient('key', [dk, dv])]
}

/** For `share` heads at a time: stores their probabilities and dScores in `scratch`, then computes the three sums. */
function storedGradient(
  { problem, layout, traits, q, k, v, dO, dq, dk, dv, statistics, control }: Gradient,
  scratch: Slot,
  share: number,
  choose: ChooseAttention,
): Launch[] {
  const config = choose('probabilities', storedCandidates('probabilities', layout, traits))
  const kind = storedKindOf(config)
  const sumsConfig = choose('sums', storedCandidates('sums', layout, traits))
  const sumsKind = storedKindOf(sumsConfig)
  const all = problem.batch * problem.heads
  // Dropout is applied to the stored probabilities and dScores.
  const plain = { ...layout, dropout: false }
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
        slots: { statistics, stored: scratch },
        control,
        pairs,
        uniforms,
        tiles: kind.tiles(config, problem),
      }),
    )
    const sum = (side: Side, other: Operand, result: Operand, part: 0 | 1, factor: number): Launch =>
      attentionLaunch(problem, layout, {
        label: `attention gradient ${result.name} ${sumsKind.name(sumsConfig)}`,
        shader: sumsKind.sums(side, sumsConfig, plain),
        tiles: rowTiles(problem, side, sumsKind.rows(sumsConfig)),
        operations,
        operands: [named('other', other), named('result', result)],
        slots: { stored: scratch },
        control: layout.mask ? control : undefined,
        pairs,
        uniforms: { ...uniforms, part, factor },
      })
    launches.push(sum('query', k, dq, 1, problem.scale), sum('key', q, dk, 1, problem.scale), sum('key', dO, dv, 0, 1))
  }
  return launches
}

/**
 * dq, dk, dv from q, k, v, o, lse, dO, then mask and step as in the forward pass. `views` are those of q, k, v, o, dO.
 */
export function attentionBackward(
  problem: AttentionProblem,
  views: readonly [View, View, View, View, View],
  traits: Traits,
  choose: ChooseAttention,
): Lowering {
  const [qView, kView, vView, oView, dOView] = views
  const layout = layoutOf(problem, views)
  const { mask, step } = controlOf(problem, 6)
  const result = (name: string, index: number, shape: readonly number[]): Operand => ({
    name,
    view: contiguous(shape, problem.dtype),
    slot: output(index),
  })
  const temporaries: Spec[] = []
  const scratch = (spec: Spec): Slot => temporary(temporaries.push(spec) - 1)
  const statistics = scratch({ shape: [problem.batch, problem.heads, problem.queries, 2], dtype: 'f32' })
  // Without a mask the control buffer is dropout's step alone, which needs no packing.
  const control = mask ? scratch({ shape: [controlWords(problem.batch, problem.keys)], dtype: 'u32' }) : step
  const gradient: Gradient = {
    problem,
    layout,
    traits,
    statistics,
    control,
    q: { name: 'q', view: qView, slot: input(0) },
    k: { name: 'k', view: kView, slot: input(1) },
    v: { name: 'v', view: vView, slot: input(2) },
    dO: { name: 'dO', view: dOView, slot: input(5) },
    dq: result('dq', 0, queryShape(problem)),
    dk: result('dk', 1, keyShape(problem)),
    dv: result('dv', 2, keyShape(problem)),
  }
  const before = [
    ...(mask && control ? [maskLaunch(problem, mask, control, step)] : []),
    statisticsLaunch(
      problem,
      layout,
      traits,
      { name: 'o', view: oView, slot: input(3) },
      gradient.dO,
      input(4),
      statistics,
    ),
  ]
  const forms = gradientForms(problem, layout, traits)
  if ((forms.length > 1 ? choose('form', forms) : forms[0]) === 'fused') {
    return { launches: [...before, ...fusedGradient(gradient, choose)], temporaries }
  }
  const share = pairsAtATime(problem, traits)
  const squares = scratch({
    shape: [2, share, inBlocks(problem.queries), inBlocks(problem.keys)],
    dtype: problem.dtype,
  })
  return { launches: [...before, ...storedGradient(gradient, squares, share, choose)], temporaries }
}
