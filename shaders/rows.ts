// What the kernels that work row by row share (softmax, layer norm, cross entropy): how one row of a contiguous
// [rows, width] matrix is given out among invocations, and the WGSL around a row's own arithmetic.
//
// Three ways to share a row. An invocation a row: no talk at all; good for short rows, and for any row where nothing
// better is there. A subgroup a row: neighbours read neighbouring vectors and talk by subgroup operations, no barriers;
// good on CPUs and for middling rows. A workgroup a row: for long rows on GPUs, by subgroup operations and a few words
// of workgroup memory, or by a tree in workgroup memory where subgroups are missing.
import { LONG_SUM, blockedSum } from './blocks.ts'
import { type DType, type Traits, spread } from './kernel.ts'

export interface RowPlan {
  readonly share: 'invocation' | 'subgroup' | 'workgroup'
  /** Invocations in a workgroup: a power of two. */
  readonly workgroup: number
  /** Width of the subgroups whose operations are used; 0 where none are. */
  readonly subgroup: number
  /** Elements in one load or store; divides the row's width. */
  readonly vector: 1 | 2 | 4
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
export function vectorOf(width: number): 1 | 2 | 4 {
  return width % 4 === 0 ? 4 : width % 2 === 0 ? 2 : 1
}

/** For labels and the first line of the shader, e.g. `subgroup of 8, 4 rows a workgroup, vec4`. */
export function describePlan(plan: RowPlan): string {
  const by = plan.share === 'invocation' ? '' : ` of ${lanesOf(plan)}`
  const how = plan.share === 'workgroup' ? (plan.subgroup ? `, subgroups of ${plan.subgroup}` : ', by a tree') : ''
  const blocks = plan.long ? ', sums in blocks' : ''
  return `${plan.share}${by} a row, ${rowsOf(plan)} a workgroup${how}, vec${plan.vector}${blocks}`
}

/** Workgroup counts for so many rows. */
export function rowWorkgroups(rows: number, plan: RowPlan, traits: Traits): [number, number, number] {
  return spread(Math.ceil(rows / rowsOf(plan)), traits.maxWorkgroups)
}

function lanesOf(plan: RowPlan): number {
  return plan.share === 'invocation' ? 1 : plan.share === 'subgroup' ? plan.subgroup : plan.workgroup
}

function rowsOf(plan: RowPlan): number {
  return plan.workgroup / lanesOf(plan)
}

/** `f32`, `vec4<f16>`, … */
export function vectorType(dtype: DType, vector: 1 | 2 | 4): string {
  return vector === 1 ? dtype : `vec${vector}<${dtype}>`
}

export interface RowBinding {
  readonly name: string
  readonly dtype: DType
  /** 'elements': read and written a vector at a time; 'scalars': a number at a time. */
  readonly as: 'elements' | 'scalars'
  readonly write?: boolean
}

export interface RowShader {
  readonly kernel: string
  readonly plan: RowPlan
  readonly bindings: readonly RowBinding[]
  /** Fields of the uniform struct after `rows`, `vectors` (and `nan`), e.g. `epsilon: f32`. */
  readonly uniforms?: readonly string[]
  /** The body calls `weightOf(Floats)` or `isPositive(f32)`; the third uniform word is NaN, which WGSL can't spell. */
  readonly weights?: boolean
  /** Which folds over a row the body asks for: `rowSum(x, lane)`, `rowMax(x, lane)`; every lane gets the result. */
  readonly folds: readonly ('sum' | 'max')[]
  /**
   * Statements for one row. In scope: `row`, `lane` (this invocation's number among the row's LANES), `begin` (the
   * row's first vector), `live` (false past the last row: work along, for the folds need everybody, but write
   * nothing), `sizes`, VECTOR, type Floats (a vector in f32), sumOf(Floats), maxOf(Floats).
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
  { long }: RowPlan, sums: readonly (readonly [name: string, value: string])[], statements: readonly string[] = [],
): string {
  if (long) {
    const type = 'Floats'
    const range = { index: 'i', begin: 'lane', end: 'sizes.vectors', step: 'LANES' }
    return blockedSum({ ...range, sums, type, body: statements, blocks: BLOCKS }).join('\n')
  }
  const add = sums.map(([name, value]) => `${name} += ${value};`)
  const loop = eachVector([...statements, ...add].join('\n  '))
  return [...sums.map(([name]) => `var ${name} = Floats(0.0);`), loop].join('\n')
}

/** Loop over the vectors of a row that belong to this invocation; `i` counts from the row's first vector. */
export function eachVector(statement: string): string {
  return `for (var i = lane; i < sizes.vectors; i += LANES) {\n  ${statement}\n}`
}

/** Statements that only the lanes of a real row do (see RowShader.body). */
export function whenLive(statements: string): string {
  return `if (live) {\n${statements.split('\n').map(line => `  ${line}`).join('\n')}\n}`
}

/** The whole WGSL text of a row kernel. */
export function rowShader(shader: RowShader): string {
  const { plan, bindings } = shader
  const declared = bindings.map((binding, k) => {
    const element = vectorType(binding.dtype, binding.as === 'elements' ? plan.vector : 1)
    const access = binding.write ? 'read_write' : 'read'
    return `@group(0) @binding(${k}) var<storage, ${access}> ${binding.name}: array<${element}>;`
  })
  const fields = ['rows: u32', 'vectors: u32', ...(shader.weights ? ['nan: f32'] : []), ...(shader.uniforms ?? [])]
  return [
    `// ${shader.kernel}: ${describePlan(plan)}`,
    ...(bindings.some(b => b.dtype === 'f16') ? ['enable f16;'] : []),
    ...(plan.subgroup ? ['enable subgroups;'] : []),
    '',
    'struct Sizes {',
    ...fields.map(field => `  ${field},`),
    '}',
    ...declared,
    `@group(0) @binding(${bindings.length}) var<uniform> sizes: Sizes;`,
    '',
    `alias Floats = ${vectorType('f32', plan.vector)};`,
    `const VECTOR = ${plan.vector}u;`,
    `const WORKGROUP = ${plan.workgroup}u;`,
    `const LANES = ${lanesOf(plan)}u; // invocations that share a row`,
    `const ROWS = ${rowsOf(plan)}u; // rows in a workgroup`,
    'const LOWEST = -0x1.fffffep+127f;',
    '',
    ...insideVector(plan.vector),
    ...(shader.weights ? weights(vectorType('u32', plan.vector)) : []),
    ...shader.folds.flatMap(fold => rowFold(fold, plan)),
    '@compute @workgroup_size(WORKGROUP)',
    'fn main(',
    '  @builtin(workgroup_id) group: vec3u,',
    '  @builtin(num_workgroups) groups: vec3u,',
    '  @builtin(local_invocation_index) local: u32,',
    ') {',
    '  let number = (group.x + group.y * groups.x) * ROWS + local / LANES;',
    '  let lane = local % LANES;',
    '  let live = number < sizes.rows;',
    '  let row = min(number, sizes.rows - 1u);',
    '  let begin = row * sizes.vectors;',
    ...shader.body.trim().split('\n').map(line => `  ${line}`),
    '}',
    '',
  ].join('\n')
}

/** By bits: exp turns NaN into a number on some adapters, and compilers may invert comparisons with NaN. */
const weights = (words: string): string[] => [
  '// exp of numbers that are at most 0 (or little more, by rounding); NaN for NaN.',
  'fn weightOf(v: Floats) -> Floats {',
  `  let bits = bitcast<${words}>(v) & ${words}(0x7fffffffu);`,
  `  return bitcast<Floats>(select(bitcast<${words}>(exp(v)), bits, bits > ${words}(0x7f800000u)));`,
  '}',
  '',
  '// For x that is not negative: neither 0 nor NaN.',
  'fn isPositive(x: f32) -> bool {',
  '  return bitcast<u32>(x) - 1u < 0x7f800000u;',
  '}',
  '',
]

function insideVector(vector: 1 | 2 | 4): string[] {
  const [sum, max] = {
    1: ['v', 'v'],
    2: ['v.x + v.y', 'max(v.x, v.y)'],
    4: ['(v.x + v.y) + (v.z + v.w)', 'max(max(v.x, v.y), max(v.z, v.w))'],
  }[vector]
  return [
    'fn sumOf(v: Floats) -> f32 {',
    `  return ${sum};`,
    '}',
    '',
    'fn maxOf(v: Floats) -> f32 {',
    `  return ${max};`,
    '}',
    '',
  ]
}

const FOLDS = {
  sum: { name: 'rowSum', subgroup: 'subgroupAdd', none: '0.0', join: (a: string, b: string) => `${a} + ${b}` },
  max: { name: 'rowMax', subgroup: 'subgroupMax', none: 'LOWEST', join: (a: string, b: string) => `max(${a}, ${b})` },
}

/** One number of each lane to one number of the row, known to every lane. */
function rowFold(kind: 'sum' | 'max', plan: RowPlan): string[] {
  const fold = FOLDS[kind]
  const head = `fn ${fold.name}(x: f32, lane: u32) -> f32 {`
  if (plan.share === 'invocation') return [head, '  return x;', '}', '']
  if (plan.share === 'subgroup') return [head, `  return ${fold.subgroup}(x);`, '}', '']
  const scratch = `${fold.name}Scratch`
  if (plan.subgroup) {
    return [
      `var<workgroup> ${scratch}: array<f32, ${plan.workgroup / plan.subgroup}>;`,
      head,
      `  let part = ${fold.subgroup}(x);`,
      `  if (lane % ${plan.subgroup}u == 0u) {`,
      `    ${scratch}[lane / ${plan.subgroup}u] = part;`,
      '  }',
      '  workgroupBarrier();',
      `  var all = ${fold.none};`,
      `  for (var k = 0u; k < ${plan.workgroup / plan.subgroup}u; k++) {`,
      `    all = ${fold.join('all', `${scratch}[k]`)};`,
      '  }',
      '  workgroupBarrier(); // the next fold writes the same words',
      '  return all;',
      '}',
      '',
    ]
  }
  return [
    `var<workgroup> ${scratch}: array<f32, WORKGROUP>;`,
    head,
    `  ${scratch}[lane] = x;`,
    '  workgroupBarrier();',
    '  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {',
    '    if (lane < half) {',
    `      ${scratch}[lane] = ${fold.join(`${scratch}[lane]`, `${scratch}[lane + half]`)};`,
    '    }',
    '    workgroupBarrier();',
    '  }',
    `  let all = ${scratch}[0];`,
    '  workgroupBarrier(); // the next fold writes the same words',
    '  return all;',
    '}',
    '',
  ]
}
