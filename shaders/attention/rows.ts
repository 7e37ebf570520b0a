// The two small kernels before attention's own: the mask packed to bits with the extent of each batch item, and the
// row statistics that the backward pass reads.
import { type Launch, type Slot, type Traits, spread, uniformWords } from '../kernel.ts'
import { type AttentionLayout, type AttentionProblem, type Operand, attentionLaunch, builtins, chunksOf, declarations, maskWords, tidy } from './common.ts'

const MASK_INVOCATIONS = 64

/**
 * WGSL that packs a mask [batch, keys] (i32, attended where not 0) into the control buffer, with one past the last
 * attended key of each item: kernels loop to there, so padding at the end costs nothing. Dropout's step rides along.
 */
export function maskWgsl(step: boolean): string {
  return tidy(`// attention mask to bits, one workgroup a batch item
struct Sizes { batch: u32, keys: u32, maskWords: u32 }
@group(0) @binding(0) var<storage, read> mask: array<i32>;
@group(0) @binding(1) var<storage, read_write> control: array<u32>;
${step ? '@group(0) @binding(2) var<storage, read> step: array<u32>;' : ''}
@group(0) @binding(${step ? 3 : 2}) var<uniform> sizes: Sizes;

var<workgroup> extent: atomic<u32>;

@compute @workgroup_size(${MASK_INVOCATIONS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
let item = group.x + group.y * groups.x;
if (item >= sizes.batch) { return; }
let at = 1u + item * (1u + sizes.maskWords);
for (var word = lane; word < sizes.maskWords; word += ${MASK_INVOCATIONS}u) {
let first = word * 32u;
var bits = 0u;
for (var key = first; key < min(first + 32u, sizes.keys); key++) {
bits |= select(0u, 1u << (key - first), mask[item * sizes.keys + key] != 0);
}
control[at + 1u + word] = bits;
if (bits != 0u) { atomicMax(&extent, first + 32u - countLeadingZeros(bits)); }
}
workgroupBarrier();
if (lane == 0u) { control[at] = atomicLoad(&extent); }
${step ? 'if (item == 0u && lane == 0u) { control[0] = step[0]; }' : ''}
}`)
}

export function maskLaunch(problem: AttentionProblem, mask: Slot, control: Slot, step: Slot | undefined): Launch {
  return {
    label: 'attention mask',
    wgsl: maskWgsl(step !== undefined),
    slots: step ? [mask, control, step] : [mask, control],
    writes: [1],
    uniforms: uniformWords([problem.batch, problem.keys, maskWords(problem.keys)]),
    workgroups: spread(problem.batch, problem.maxWorkgroups),
  }
}

const STATISTICS_INVOCATIONS = 64

/** Invocations that share a row: on a GPU as many as it has chunks, up to 16, so that neighbours read neighbouring memory; on a CPU one. */
const statisticsShare = ({ headSize }: AttentionLayout, { cpu }: Pick<Traits, 'cpu'>): number =>
  (cpu ? 1 : Math.min(16, 2 ** Math.floor(Math.log2(chunksOf(headSize)))))

/** WGSL of statistics [batch, heads, queries, 2]: lse, and D = Σ dO∘o, which stands for Σ p∘dp (Dao et al. 2022, B.4). */
export function statisticsWgsl(layout: AttentionLayout, share: number): string {
  const plain = { ...layout, mask: false, dropout: false }
  return tidy(`${declarations({
    title: `attention statistics, headSize ${layout.headSize} ${layout.dtype}${share > 1 ? `, ${share} a row` : ''}`,
    layout: plain,
    reads: ['o', 'dO'],
    writes: [],
    extra: [{ name: 'lse', type: 'array<f32>' }, { name: 'statistics', type: 'array<vec2<f32>>', written: true }],
  })}
${share > 1 ? `var<workgroup> shares: array<f32, ${STATISTICS_INVOCATIONS}>;` : ''}

@compute @workgroup_size(${STATISTICS_INVOCATIONS})
fn main(${builtins}, @builtin(local_invocation_index) lane: u32) {
let number = group.x + group.y * groups.x;
if (number >= sizes.workgroups) { return; }
// Heads stand innermost in memory, so neighbours read neighbours.
let index = number * ${STATISTICS_INVOCATIONS / share}u + lane${share > 1 ? ` / ${share}u` : ''};
let head = index % sizes.heads;
let i = (index / sizes.heads) % sizes.queries;
let item = index / (sizes.heads * sizes.queries);
var sum = 0.0;
if (index < sizes.tiles) {
let oAt = rowO(item, i, head);
let dOAt = rowDO(item, i, head);
for (var c = ${share > 1 ? `lane % ${share}u` : '0u'}; c < sizes.chunks; c += ${share}u) { sum += dot(loadO(oAt, c), loadDO(dOAt, c)); }
}
${share > 1 ? `shares[lane] = sum;
workgroupBarrier();
if (lane % ${share}u > 0u) { return; }
for (var other = 1u; other < ${share}u; other++) { sum += shares[lane + other]; }` : ''}
let row = (item * sizes.heads + head) * sizes.queries + i;
if (index < sizes.tiles) { statistics[row] = vec2<f32>(lse[row], sum); }
}`)
}

export function statisticsLaunch(
  problem: AttentionProblem, layout: AttentionLayout, traits: Traits, o: Operand, dO: Operand, lse: Slot, statistics: Slot,
): Launch {
  const share = statisticsShare(layout, traits)
  const total = problem.batch * problem.heads * problem.queries
  const workgroups = Math.ceil(total * share / STATISTICS_INVOCATIONS)
  const launch = attentionLaunch(problem, layout, 'query', {
    label: 'attention statistics', wgsl: statisticsWgsl(layout, share), rows: STATISTICS_INVOCATIONS,
    reads: [o, dO], writes: [], extra: [{ slot: lse }, { slot: statistics, written: true }], control: undefined,
  })
  // This kernel's rows run over all heads and items, so its two tile fields count those.
  const uniforms = launch.uniforms.slice()
  uniforms[5] = total
  uniforms[6] = workgroups
  return { ...launch, uniforms, workgroups: spread(workgroups, problem.maxWorkgroups) }
}
