// The two small kernels before attention's own: the mask packed to bits with the extent of each batch item, and the
// row statistics that the backward pass reads.
import { type Launch, type Slot, type Traits, spread } from '../kernel.ts'
import { MAIN, Shader, wgsl, written } from '../wgsl.ts'
import type { AttentionLayout, AttentionProblem, Operand } from './common.ts'
import { attentionLaunch, attentionShader, chunksOf, maskWords } from './common.ts'

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

export function maskLaunch(
  { batch, keys, maxWorkgroups }: AttentionProblem,
  mask: Slot,
  control: Slot,
  step: Slot | undefined,
): Launch {
  return maskShader(step !== undefined).launch({
    label: 'attention mask',
    slots: { mask, control, ...(step ? { step } : {}) },
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

/** Statistics [batch, heads, queries, 2]: lse, and D = Σ dO∘o, which stands for Σ p∘dp (Dao et al. 2022, B.4). */
const statisticsShader = (layout: AttentionLayout, share: number): Shader =>
  attentionShader({
    title: `attention statistics, headSize ${layout.headSize} ${layout.dtype}${share > 1 ? `, ${share} per row` : ''}`,
    layout: { ...layout, mask: false, dropout: false },
    reads: ['o', 'dO'],
    writes: [],
    extra: { lse: 'f32', statistics: written('vec2<f32>') },
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
      if (index < u.tiles) { statistics[row] = vec2<f32>(lse[row], sum); }
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
  statistics: Slot,
): Launch {
  const share = statisticsShare(layout, traits)
  const tiles = problem.batch * problem.heads * problem.queries
  return attentionLaunch(problem, layout, {
    label: 'attention statistics',
    shader: statisticsShader(layout, share),
    operands: [o, dO],
    slots: { lse, statistics },
    tiles,
    workgroups: Math.ceil((tiles * share) / STATISTICS_INVOCATIONS),
  })
}
