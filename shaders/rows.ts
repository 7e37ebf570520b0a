// What the kernels that work row by row share (softmax, layer norm, cross entropy): how invocations divide a row of a
// contiguous [rows, width] matrix, and the WGSL around a row's own arithmetic.
//
// There are three ways to divide a row. One invocation per row needs no communication: for short rows, and as a
// fallback. One subgroup per row: neighbours read neighbouring vectors and combine by subgroup operations, without
// barriers; for CPUs and rows of medium length. One workgroup per row, for long rows on GPUs: by subgroup operations and
// a few words of workgroup memory, or by a tree in workgroup memory without subgroups.
import { LONG_SUM, blockedSum } from './blocks.ts'
import { type Traits, spread } from './kernel.ts'
import { MAIN, type ScalarType, Shader, type ShaderParts, type Width, paragraphs, typeName, wgsl } from './wgsl.ts'

export interface RowPlan {
  readonly share: 'invocation' | 'subgroup' | 'workgroup'
  /** Invocations in a workgroup: a power of two. */
  readonly workgroup: number
  /** Width of the subgroups whose operations are used; 0 where none are. */
  readonly subgroup: number
  /** Elements in one load or store; divides the row's width. */
  readonly vector: Width
  /** An invocation's share of a row is so long that it is summed in blocks. */
  readonly long?: true
}

/** Plans worth trying for rows of `width` elements on such an adapter, best guess first; never empty. */
export function rowPlans(width: number, traits: Traits): RowPlan[] {
  const isLong = (plan: RowPlan): boolean => width / plan.vector / lanesOf(plan) > LONG_SUM
  return sharings(width, traits).map(plan => (isLong(plan) ? { ...plan, long: true } : plan))
}

function sharings(width: number, traits: Traits): RowPlan[] {
  const vector = vectorOf(width)
  const vectors = width / vector
  const limit = traits.maxWorkgroupInvocations
  const subgroup = traits.subgroupSize
  const invocation: RowPlan = { share: 'invocation', workgroup: Math.min(64, limit), subgroup: 0, vector }
  const bySubgroup = (subgroups: number): RowPlan[] => {
    const workgroup = subgroup * subgroups
    return subgroup > 1 && workgroup <= limit ? [{ share: 'subgroup', workgroup, subgroup, vector }] : []
  }
  const byWorkgroup = (workgroup: number): RowPlan[] => {
    if (workgroup > limit) return []
    const tree: RowPlan = { share: 'workgroup', workgroup, subgroup: 0, vector }
    return subgroup > 1 && workgroup > subgroup ? [{ ...tree, subgroup }, tree] : [tree]
  }
  if (traits.cpu) {
    const shared = [...bySubgroup(4), ...bySubgroup(1)]
    return vectors < subgroup ? [invocation, ...shared] : [...shared, invocation]
  }
  if (vectors <= 8) return [invocation, ...bySubgroup(4), ...byWorkgroup(64)]
  if (vectors <= Math.max(subgroup, 8) * 8) {
    return [...bySubgroup(4), ...byWorkgroup(128), ...byWorkgroup(64), invocation]
  }
  return [...byWorkgroup(256), ...byWorkgroup(128), ...bySubgroup(4), invocation]
}

/** The widest vector that divides `width`. */
export function vectorOf(width: number): Width {
  return width % 4 === 0 ? 4 : width % 2 === 0 ? 2 : 1
}

/** For labels and the first line of the shader, e.g. `subgroup of 8, 4 rows per workgroup, vec4`. */
export function describePlan(plan: RowPlan): string {
  const by = plan.share === 'invocation' ? '' : ` of ${lanesOf(plan)}`
  const how = plan.share === 'workgroup' ? (plan.subgroup ? `, subgroups of ${plan.subgroup}` : ', by a tree') : ''
  const blocks = plan.long ? ', sums in blocks' : ''
  return `${plan.share}${by} per row, ${rowsOf(plan)} per workgroup${how}, vec${plan.vector}${blocks}`
}

/** Workgroup counts for `rows` rows. */
export function rowWorkgroups(rows: number, plan: RowPlan, traits: Traits): [number, number, number] {
  return spread(Math.ceil(rows / rowsOf(plan)), traits.maxWorkgroups)
}

function lanesOf(plan: RowPlan): number {
  return plan.share === 'invocation' ? 1 : plan.share === 'subgroup' ? plan.subgroup : plan.workgroup
}

function rowsOf(plan: RowPlan): number {
  return plan.workgroup / lanesOf(plan)
}

export interface RowShader {
  readonly kernel: string
  readonly plan: RowPlan
  readonly bindings: ShaderParts['bindings']
  /** Uniforms after `rows`, `vectors` (in a row) and `nan`. */
  readonly uniforms?: Readonly<Record<string, ScalarType>>
  /** The body calls `expOf(Floats)` or `isPositive(f32)`, or reads `u.nan`, which WGSL can't spell. */
  readonly exponentials?: boolean
  /** Which folds over a row the body calls: `rowSum(x, lane)`, `rowMax(x, lane)`; every lane gets the result. */
  readonly folds: readonly ('sum' | 'max')[]
  /**
   * Statements for one row. In scope: `row`, `lane` (this invocation's number among the row's LANES), `begin` (the
   * row's first vector), `live` (false past the last row: such invocations take part in folds, and write nothing),
   * VECTOR, type Floats (a vector in f32), sumOf(Floats), maxOf(Floats).
   */
  readonly body: string
}

/** Vectors in a block of a long sum, and such blocks in the next. */
const BLOCKS = [32, 8]

/**
 * Sums over the vectors of a row that belong to this invocation: declares a variable of type Floats for each. `value`
 * and the `statements` before it may use `i`, which counts from the row's first vector.
 */
export function vectorSums(
  { long }: RowPlan,
  sums: readonly (readonly [name: string, value: string])[],
  ...statements: readonly string[]
): string {
  if (long) {
    return blockedSum({
      index: 'i',
      begin: 'lane',
      end: 'u.vectors',
      step: 'LANES',
      sums,
      type: 'Floats',
      body: statements,
      blocks: BLOCKS,
    })
  }
  return wgsl`
    ${sums.map(([name]) => `var ${name} = Floats(0.0);`)}
    ${eachVector(...statements, ...sums.map(([name, value]) => `${name} += ${value};`))}
  `
}

/** Loop over the vectors of a row that belong to this invocation; `i` counts from the row's first vector. */
export const eachVector = (...statements: readonly string[]): string => wgsl`
  for (var i = lane; i < u.vectors; i += LANES) {
    ${statements}
  }
`

/**
 * Declares `largest`, the row's maximum, and `total`, Σ exp(x − largest). The maximum is at least the lowest finite
 * number, so −∞ adds nothing.
 */
export const exponentialSum = (plan: RowPlan, x: string, total: string): string => wgsl`
  var largestOfLane = Floats(LOWEST);
  ${eachVector(`largestOfLane = max(largestOfLane, Floats(${x}[begin + i]));`)}
  let largest = rowMax(maxOf(largestOfLane), lane);
  ${vectorSums(plan, [['sums', `expOf(Floats(${x}[begin + i]) - largest)`]])}
  let ${total} = rowSum(sumOf(sums), lane);
`

/** A row kernel. */
export function rowShader({ kernel, plan, bindings, uniforms, exponentials = false, folds, body }: RowShader): Shader {
  const { vector, workgroup, subgroup } = plan
  return new Shader({
    title: `${kernel}: ${describePlan(plan)}`,
    bindings,
    needs: { subgroups: subgroup > 0 },
    uniforms: { rows: 'u32', vectors: 'u32', ...(exponentials ? { nan: 'f32' } : {}), ...uniforms },
    code: wgsl`
      alias Floats = ${typeName('f32', vector)};
      const VECTOR = ${vector}u;
      const WORKGROUP = ${workgroup}u;
      const LANES = ${lanesOf(plan)}u; // invocations that share a row
      const ROWS = ${rowsOf(plan)}u; // rows in a workgroup
      const LOWEST = -0x1.fffffep+127f;

      ${paragraphs(withinVector(vector), exponentials && expFunctions(typeName('u32', vector)), ...folds.map(fold => rowFold(fold, plan)))}

      @compute @workgroup_size(WORKGROUP)
      fn main(${MAIN}) {
        let number = (group.x + group.y * groups.x) * ROWS + local / LANES;
        let lane = local % LANES;
        let live = number < u.rows;
        let row = min(number, u.rows - 1u);
        let begin = row * u.vectors;
        ${body}
      }
    `,
  })
}

/** What the uniforms of every row kernel begin with. */
export const rowUniforms = (
  rows: number,
  width: number,
  { vector }: RowPlan,
): { rows: number; vectors: number; nan: number } => ({ rows, vectors: width / vector, nan: NaN })

/** By bits: exp turns NaN into a number on some adapters, and compilers may invert comparisons with NaN. */
const expFunctions = (words: string): string => wgsl`
  // exp of numbers that are at most 0 (or little more, by rounding); NaN for NaN.
  fn expOf(v: Floats) -> Floats {
    let bits = bitcast<${words}>(v) & ${words}(0x7fffffffu);
    return bitcast<Floats>(select(bitcast<${words}>(exp(v)), bits, bits > ${words}(0x7f800000u)));
  }

  // For x that is not negative: neither 0 nor NaN.
  fn isPositive(x: f32) -> bool {
    return bitcast<u32>(x) - 1u < 0x7f800000u;
  }
`

function withinVector(vector: Width): string {
  const [sum, max] = {
    1: ['v', 'v'],
    2: ['v.x + v.y', 'max(v.x, v.y)'],
    4: ['(v.x + v.y) + (v.z + v.w)', 'max(max(v.x, v.y), max(v.z, v.w))'],
  }[vector]
  return wgsl`
    fn sumOf(v: Floats) -> f32 {
      return ${sum};
    }

    fn maxOf(v: Floats) -> f32 {
      return ${max};
    }
  `
}

const FOLDS = {
  sum: { name: 'rowSum', subgroup: 'subgroupAdd', none: '0.0', join: (a: string, b: string) => `${a} + ${b}` },
  max: { name: 'rowMax', subgroup: 'subgroupMax', none: 'LOWEST', join: (a: string, b: string) => `max(${a}, ${b})` },
}

/** One number of each lane to one number of the row, which every lane gets. */
function rowFold(kind: 'sum' | 'max', { share, subgroup, workgroup }: RowPlan): string {
  const { name, subgroup: operation, none, join } = FOLDS[kind]
  const scratch = `${name}Scratch`
  const byTree = share === 'workgroup' && !subgroup
  const steps =
    share === 'invocation'
      ? 'return x;'
      : share === 'subgroup'
        ? `return ${operation}(x);`
        : byTree
          ? wgsl`
      ${scratch}[lane] = x;
      workgroupBarrier();
      for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if (lane < half) {
          ${scratch}[lane] = ${join(`${scratch}[lane]`, `${scratch}[lane + half]`)};
        }
        workgroupBarrier();
      }
      let all = ${scratch}[0];
      workgroupBarrier(); // the next fold writes the same words
      return all;
    `
          : wgsl`
      let part = ${operation}(x);
      if (lane % ${subgroup}u == 0u) {
        ${scratch}[lane / ${subgroup}u] = part;
      }
      workgroupBarrier();
      var all = ${none};
      for (var k = 0u; k < ${workgroup / subgroup}u; k++) {
        all = ${join('all', `${scratch}[k]`)};
      }
      workgroupBarrier(); // the next fold writes the same words
      return all;
    `
  return wgsl`
    ${share === 'workgroup' && `var<workgroup> ${scratch}: array<f32, ${byTree ? 'WORKGROUP' : workgroup / subgroup}>;`}
    fn ${name}(x: f32, lane: u32) -> f32 {
      ${steps}
    }
  `
}
