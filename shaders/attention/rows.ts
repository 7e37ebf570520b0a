// The two small kernels before attention's own: the mask packed to bits with the extent of each batch item, and the
// row statistics that the backward pass reads.
import { type Launch, type Slot, type Traits, spread } from '../kernel.ts'
import { MAIN, Shader, wgsl, when, written } from '../wgsl.ts'
import type { AttentionLayout, AttentionProblem, Operand } from './common.ts'
import { attentionLaunch, attentionShader, chunksOf, controlWords, maskWords } from './common.ts'

const MASK_INVOCATIONS = 64

/**
 * Packs a mask [batch, keys] (i32, attended where not 0) into the control buffer, with one past the last attended key
 * of each item: kernels loop to there, so padding at the end costs nothing. Dropout's step is copied, too.
 */
const maskShader = (step: boolean): Shader =>
  new Shader({
    title: 'attention mask to bits, one workgroup per batch item',
    bindings: { mask: 'i32', control: written('u32'), ...(step ? { step: 'u32' } : {}) },
    uniforms: { batch: 'u32', keys: 'u32', maskWords: 'u32' },
    code: wgsl`
    var<workgroup> extent: atomic<u32>;

    @compute @workgroup_size(${MASK_INVOCATIONS})
    fn main(${MAIN}) {
      let item = group.x + group.y * groups.x;
      if (item >= u.batch) { return; }
      let at = 1u + item * (1u + u.maskWords);
      for (var word = local; word < u.maskWords; word += ${MASK_INVOCATIONS}u) {
        let first = word * 32u;
        var bits = 0u;
        for (var key = first; key < min(first + 32u, u.keys); key++) {
          bits |= select(0u, 1u << (key - first), mask[item * u.keys + key] != 0);
        }
        control[at + 1u + word] = bits;
        if (bits != 0u) { atomicMax(&extent, first + 32u - countLeadingZeros(bits)); }
      }
      workgroupBarrier();
      if (local == 0u) { control[at] = atomicLoad(&extent); }
      ${step && 'if (item == 0u && local == 0u) { control[0] = step[0]; }'}
    }
  `,
  })

/** The same of a mask of scores, i32 [rows, keys]: its bits, and no extents. */
const scoreMaskShader = (step: boolean): Shader =>
  new Shader({
    title: 'attention mask of scores to bits, one word per invocation',
    bindings: { mask: 'i32', control: written('u32'), ...(step ? { step: 'u32' } : {}) },
    uniforms: { words: 'u32', keys: 'u32', maskWords: 'u32' },
    code: wgsl`
    @compute @workgroup_size(${MASK_INVOCATIONS})
    fn main(${MAIN}) {
      let word = (group.x + group.y * groups.x) * ${MASK_INVOCATIONS}u + local;
      ${step && 'if (word == 0u) { control[0] = step[0]; }'}
      if (word >= u.words) { return; }
      let first = word % u.maskWords * 32u;
      let row = word / u.maskWords * u.keys;
      var bits = 0u;
      for (var key = first; key < min(first + 32u, u.keys); key++) {
        bits |= select(0u, 1u << (key - first), mask[row + key] != 0);
      }
      control[1u + word] = bits;
    }
  `,
  })

export function maskLaunch(problem: AttentionProblem, mask: Slot, control: Slot, step: Slot | undefined): Launch {
  const { batch, keys, maxWorkgroups } = problem
  const slots = { mask, control, ...(step ? { step } : {}) }
  if (problem.mask?.of === 'scores') {
    const words = controlWords(problem) - 1
    return scoreMaskShader(step !== undefined).launch({
      label: 'attention mask of scores',
      slots,
      uniforms: { words, keys, maskWords: maskWords(keys) },
      workgroups: spread(Math.ceil(words / MASK_INVOCATIONS), maxWorkgroups),
    })
  }
  return maskShader(step !== undefined).launch({
    label: 'attention mask',
    slots,
    uniforms: { batch, keys, maskWords: maskWords(keys) },
    workgroups: spread(batch, maxWorkgroups),
  })
}

const STATISTICS_INVOCATIONS = 64

/**
 * Invocations that share a row: on a GPU as many as it has chunks, up to 16, so that neighbours read neighbouring
 * memory; on a CPU one.
 */
const statisticsShare = ({ headSize }: AttentionLayout, { cpu }: Pick<Traits, 'cpu'>): number =>
  cpu ? 1 : Math.min(16, 2 ** Math.floor(Math.log2(chunksOf(headSize))))

/**
 * Statistics [batch, heads, queries, 2]: lse, and D = Σ dO∘o, which stands for Σ p∘dp (Dao et al. 2022, B.4). Packed,
 * they are the end of the control buffer, whose first word is dropout's step: `step` copies it.
 */
const statisticsShader = (layout: AttentionLayout, share: number, step: boolean): Shader =>
  attentionShader({
    title: `attention statistics, headSize ${layout.headSize} ${layout.dtype}${share > 1 ? `, ${share} per row` : ''}`,
    layout: { dtype: layout.dtype, headSize: layout.headSize, vector: layout.vector, mask: undefined, dropout: false },
    reads: ['o', 'dO'],
    writes: [],
    extra: {
      lse: 'f32',
      ...(layout.packed ? { control: written('u32') } : { statistics: written('vec2<f32>') }),
      ...(step ? { step: 'u32' } : {}),
    },
    uniforms: layout.packed ? { statisticsAt: 'u32' } : {},
    code: wgsl`
    ${share > 1 && `var<workgroup> shares: array<f32, ${STATISTICS_INVOCATIONS}>;`}

    @compute @workgroup_size(${STATISTICS_INVOCATIONS})
    fn main(${MAIN}) {
      let number = group.x + group.y * groups.x;
      if (number >= u.workgroups) { return; }
      // Heads are innermost in memory, so neighbours read neighbours.
      let index = number * ${STATISTICS_INVOCATIONS / share}u + local${share > 1 && ` / ${share}u`};
      let head = index % u.heads;
      let i = (index / u.heads) % u.queries;
      let item = index / (u.heads * u.queries);
      var sum = 0.0;
      if (index < u.tiles) {
        let oAt = rowO(item, i, head);
        let dOAt = rowDO(item, i, head);
        for (var c = ${share > 1 ? `local % ${share}u` : '0u'}; c < u.chunks; c += ${share}u) { sum += dot(loadO(oAt, c), loadDO(dOAt, c)); }
      }
      ${
        share > 1 &&
        wgsl`
        shares[local] = sum;
        workgroupBarrier();
        if (local % ${share}u > 0u) { return; }
        for (var other = 1u; other < ${share}u; other++) { sum += shares[local + other]; }
      `
      }
      let row = (item * u.heads + head) * u.queries + i;
      ${!layout.packed && 'if (index < u.tiles) { statistics[row] = vec2<f32>(lse[row], sum); }'}
      ${when(layout.packed)`
        if (index < u.tiles) {
          let at = u.statisticsAt + 2u * row;
          control[at] = bitcast<u32>(lse[row]);
          control[at + 1u] = bitcast<u32>(sum);
        }
      `}
      ${step && 'if (index == 0u) { control[0] = step[0]; }'}
    }
  `,
  })

/** Its tiles are rows of all heads and items, several to a workgroup. */
export function statisticsLaunch(
  problem: AttentionProblem,
  layout: AttentionLayout,
  traits: Traits,
  o: Operand,
  dO: Operand,
  lse: Slot,
  { statistics, step }: { readonly statistics: Slot; readonly step?: Slot },
): Launch {
  const share = statisticsShare(layout, traits)
  const tiles = problem.batch * problem.heads * problem.queries
  return attentionLaunch(problem, layout, {
    label: 'attention statistics',
    shader: statisticsShader(layout, share, step !== undefined),
    operands: [o, dO],
    slots: { lse, [layout.packed ? 'control' : 'statistics']: statistics, ...(step ? { step } : {}) },
    tiles,
    workgroups: Math.ceil((tiles * share) / STATISTICS_INVOCATIONS),
  })
}
