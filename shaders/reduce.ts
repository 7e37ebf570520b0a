// Reductions over any axes of a fused expression: one thread an output and a share of the reduced elements, then the
// shares are folded the same way. Every thread sums its share in a fixed order, so a result has the same bits each time.
//
// Long sums are sums of blocks (blocks.ts), in steps of four. An extreme of numbers with NaN among them is NaN.
import {
  type Body, drawOne, helperText, loaded, mentions, mergeAxes, pushScalars, stored,
} from './elementwise.ts'
import { LONG_SUM, blockedSum } from './blocks.ts'
import { type Launch, type Lowering, type Traits, type View, input, output, spread, temporary, uniformWords } from './kernel.ts'

export type Fold = 'sum' | 'max' | 'min'

/** Folds `body` over `axes` of the iteration space `shape`; inputs are views broadcast to `shape`. */
export interface ReduceProblem {
  readonly label: string
  readonly fold: Fold
  readonly shape: readonly number[]
  readonly axes: readonly number[]
  readonly inputs: readonly View[]
  readonly output: View
  readonly body: Body
}

const WORKGROUP = 64
/** Threads that keep an adapter busy, and the fewest elements that are worth a thread of their own. */
const BUSY_CPU = 512
const BUSY_GPU = 32768
const LEAST_SHARE = 16
/** Of a long sum: steps of four in a block, blocks in a block of blocks, and so on. */
const BLOCKS = [16, 8, 8]
/** The most elements that one thread goes over: 16 of the largest blocks. */
const MOST_SHARE = 2 ** 16
/** Elements that a reduction may go over: they are counted in u32, and a last step of 4 · 2¹⁶ past the end must fit. */
export const MOST_REDUCED = 2 ** 32 - 2 ** 18

const plain: Body = { draws: [], lines: [], result: 'x0', helpers: [], scalars: [] }

/** All launches of a reduction, with the partial results between them. */
export function reduceLowering(problem: ReduceProblem, traits: Traits): Lowering {
  const outputs = problem.output.shape.reduce((n, m) => n * m, 1)
  const reduced = problem.axes.reduce((n, axis) => n * problem.shape[axis], 1)
  const launches: Launch[] = []
  const temporaries: { shape: number[]; dtype: 'f32' | 'i32' | 'u32' }[] = []
  const dtype = problem.output.dtype === 'f16' ? 'f32' : problem.output.dtype
  let current: ReduceProblem = problem
  let left = reduced
  for (;;) {
    const busy = traits.cpu ? BUSY_CPU : BUSY_GPU
    const useful = Math.min(Math.ceil(busy / outputs), Math.floor(left / LEAST_SHARE))
    const shares = Math.max(1, useful, Math.ceil(left / MOST_SHARE))
    const last = shares === 1
    const reading = launches.length === 0 ? null : temporary(temporaries.length - 1)
    const shareView: View = { shape: [shares, outputs], dtype, strides: [outputs, 1], offset: 0 }
    const launch = reduceLaunch({ ...current, output: last ? { ...problem.output } : shareView }, shares, outputs, left, traits)
    const inputs = reading ? [reading] : current.inputs.map((_, k) => input(k))
    launches.push({ ...launch, slots: [...inputs, last ? output(0) : temporary(temporaries.length)] })
    if (last) return { launches, temporaries }
    temporaries.push({ shape: [shares, outputs], dtype })
    current = {
      label: `${problem.label} shares`, fold: problem.fold, shape: [shares, outputs], axes: [0],
      inputs: [shareView], output: problem.output, body: plain,
    }
    left = shares
  }
}

function reduceLaunch(problem: ReduceProblem, shares: number, outputs: number, reduced: number, traits: Traits): Launch {
  const { inputs, shape, body, fold } = problem
  const group = shape.map((_, axis) => (problem.axes.includes(axis) ? 1 : 0))
  // The last operand is the iteration space itself: its strides give the element's linear number.
  const whole: number[] = []
  for (let axis = shape.length - 1, stride = 1; axis >= 0; axis--) {
    whole[axis] = stride
    stride *= shape[axis]
  }
  const axes = mergeAxes(shape, [...inputs.map(v => v.strides), whole], group)
  const fields = ['outputs: u32', 'reduced: u32', 'shares: u32']
  const words: (number | { f32: number })[] = [outputs, reduced, shares]
  const coordinates = (from: string, of: number): string[] => {
    const mine = axes.sizes.map((_, axis) => axis).filter(axis => axes.groups[axis] === of)
    const lines: string[] = []
    let rest = from
    for (let at = mine.length - 1; at > 0; at--) {
      const axis = mine[at]
      fields.push(`d${axis}: u32`)
      words.push(axes.sizes[axis])
      lines.push(`let c${axis} = ${rest} % u.d${axis};`)
      lines.push(`let r${axis} = ${rest} / u.d${axis};`)
      rest = `r${axis}`
    }
    if (mine.length > 0) lines.push(`let c${mine[0]} = ${rest};`)
    return lines
  }
  const kept = coordinates('o', 0)
  const folded = coordinates('k', 1)
  const address = (k: number, offset: number): string => {
    const terms: string[] = []
    if (offset !== 0) {
      fields.push(`o${k}: u32`)
      words.push(offset)
      terms.push(`u.o${k}`)
    }
    axes.sizes.forEach((_, axis) => {
      if (axes.strides[k][axis] === 0) return
      fields.push(`t${k}_${axis}: u32`)
      words.push(axes.strides[k][axis])
      terms.push(`c${axis} * u.t${k}_${axis}`)
    })
    return terms.join(' + ') || '0u'
  }
  const type = problem.output.dtype === 'f16' ? 'f32' : problem.output.dtype
  const loads = inputs.map((view, k) => `let x${k} = ${loaded(view.dtype, `in${k}[${address(k, view.offset)}]`)};`)
  const needsIndex = body.draws.length > 0 || mentions(body, 'i')
  const index = needsIndex ? [`let i = ${address(inputs.length, 0)};`] : []
  pushScalars(body.scalars, fields, words)
  const offset = problem.output.offset
  if (offset !== 0) {
    fields.push('out_offset: u32')
    words.push(offset)
  }
  const element = [...folded, ...loads, ...index, ...drawOne(body), ...body.lines, `let value = ${body.result};`]
  const long = fold === 'sum' && type === 'f32' && Math.ceil(reduced / shares) > LONG_SUM
  const names = kept.flatMap(line => /^let (c\d+) =/.exec(line)?.[1] ?? [])
  const parameters = ['k: u32', ...names.map(name => `${name}: u32`)].join(', ')
  const call = (of: string, k: string): string => `${of}(${[k, ...names].join(', ')})`
  const loop = fold !== 'sum' ? extreme(fold, type, element) : long
    ? blockedSum({
      index: 'k', begin: 'share', end: 'u.reduced', step: '4u * u.shares',
      sums: [['total', call('four', 'k')]], type, body: [], blocks: BLOCKS,
    }).split('\n')
    : [
      `var total: ${type};`,
      'for (var k = share; k < u.reduced; k += u.shares) {', ...[...element, 'total += value;'].map(indented), '}',
    ]
  const how = long ? ', in blocks' : ''
  const functions = long ? [
    `fn element(${parameters}) -> f32 {`, ...[...element, 'return value;'].map(indented), '}',
    '// Of the element k and the next three of the share, as far as there are so many.',
    `fn four(${parameters}) -> f32 {`,
    '  let s = u.shares;',
    '  if (u.reduced - k > 3u * s) {',
    `    let first = ${call('element', 'k')} + ${call('element', 'k + s')};`,
    `    return first + (${call('element', 'k + 2u * s')} + ${call('element', 'k + 3u * s')});`,
    '  }',
    `  var some = ${call('element', 'k')};`,
    `  for (var next = k + s; next < u.reduced; next += s) { some += ${call('element', 'next')}; }`,
    '  return some;',
    '}',
  ] : []
  const f16 = [...inputs, problem.output].some(v => v.dtype === 'f16')
  const wgsl = [
    ...(f16 ? ['enable f16;'] : []),
    `// reduce ${problem.label}: a thread an output and share, ${fold} of every shares-th element${how}`,
    `struct Uniforms { ${fields.join(', ')} }`,
    ...inputs.map((view, k) => `@group(0) @binding(${k}) var<storage, read> in${k}: array<${view.dtype}>;`),
    `@group(0) @binding(${inputs.length}) var<storage, read_write> out: array<${problem.output.dtype}>;`,
    `@group(0) @binding(${inputs.length + 1}) var<uniform> u: Uniforms;`,
    helperText(body.helpers),
    ...functions,
    `@compute @workgroup_size(${WORKGROUP})`,
    'fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {',
    `  let thread = id.x + id.y * groups.x * ${WORKGROUP}u;`,
    '  if (thread >= u.outputs * u.shares) { return; }',
    '  let o = thread % u.outputs;',
    '  let share = thread / u.outputs;',
    ...kept.map(line => `  ${line}`),
    ...loop.map(indented),
    `  out[thread${offset !== 0 ? ' + u.out_offset' : ''}] = ${stored(problem.output.dtype, 'total')};`,
    '}',
  ].join('\n')
  return {
    label: problem.label,
    wgsl,
    slots: [],
    writes: [inputs.length],
    uniforms: uniformWords(words),
    workgroups: spread(Math.ceil((outputs * shares) / WORKGROUP), traits.maxWorkgroups),
  }
}

const indented = (line: string): string => `  ${line}`

/** The largest or least value of a share. max and min drop NaN, so the largest magnitude's bits are kept beside. */
function extreme(fold: 'max' | 'min', type: 'f32' | 'i32' | 'u32', element: readonly string[]): string[] {
  const float = type === 'f32'
  return [
    `var total: ${type};`,
    ...(float ? ['var magnitude = 0u;'] : []),
    'for (var k = share; k < u.reduced; k += u.shares) {',
    ...[
      ...element,
      `if (k == share) { total = value; } else { total = ${fold}(total, value); }`,
      ...(float ? ['magnitude = max(magnitude, bitcast<u32>(value) & 0x7fffffffu);'] : []),
    ].map(indented),
    '}',
    ...(float ? ['total = bitcast<f32>(select(bitcast<u32>(total), magnitude, magnitude > 0x7f800000u));'] : []),
  ]
}
