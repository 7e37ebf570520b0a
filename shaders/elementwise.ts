// Elementwise kernels: one thread an element, any chain of operations fused into one expression, inputs read through
// strides, the output written through strides. Reductions (reduce.ts) load their inputs the same way.
import { type DType, type Launch, type Traits, type View, input, output, spread, uniformWords } from './kernel.ts'
import { LETTERS } from './wgsl.ts'

/** A number that an expression reads from the uniform buffer. */
export interface UniformScalar {
  readonly type: 'f32' | 'i32' | 'u32'
  readonly value: number
}

/** Random words, one an element, by `randomWord` of random.ts: WGSL of its arguments besides the element's number. */
export interface Draw {
  readonly stream: string
  /** `xk`, an input that is one number for all elements. */
  readonly step: string
  readonly seed: string
}

/**
 * A fused expression. Its lines may use `x0 … xn` (the loaded inputs, f16 widened to f32), `u.s0 … u.sn` (its scalars),
 * `random0 … randomn` (what it draws) and `i` (the element's linear number, u32); `result` is an expression of the output's
 * type, f32 standing for f16.
 */
export interface Body {
  readonly draws: readonly Draw[]
  readonly lines: readonly string[]
  readonly result: string
  readonly helpers: readonly string[]
  readonly scalars: readonly UniformScalar[]
}

/** One elementwise launch over `output.shape`; inputs are views already broadcast to that shape. */
export interface ElementwiseProblem {
  readonly label: string
  readonly inputs: readonly View[]
  readonly output: View
  readonly body: Body
}

const WORKGROUP = 64

/**
 * Elements that one thread makes, a workgroup's width apart. A workgroup costs a CPU adapter as much as hundreds of
 * elements do; a few must be left to share among cores. A GPU begins one a clock or so, which is less than its memory could feed.
 */
function elementsEach(count: number, traits: Traits): number {
  if (!traits.cpu) return count >= MANY ? 4 : 1
  return Math.min(MOST_EACH, Math.max(1, Math.floor(count / (WORKGROUP * 16))))
}
/** Elements of which there are enough for any GPU with four a thread. */
const MANY = 2 ** 20
/** Of 1, 4, 8, 16 and 32: the best on lavapipe for x + 1, x + y, GELU and a bias, 2–3 times as fast as 1. */
const MOST_EACH = 16

/**
 * Named WGSL functions that expressions may call. Polynomials are fitted for the least relative error in f32.
 *
 * WGSL lets compilers assume that no float is NaN or infinite, and they do: SwiftShader's exp(NaN) is ∞ and its log(0)
 * is −88, Mesa's a − a is 0 for an infinite a, and everybody's max drops NaN. So these functions recognize such numbers
 * by their bits and write them into results as bits.
 */
export const helperSource: Readonly<Record<string, string>> = {
  erf_near: `
// erf on [-1, 1]: x · p(x²), relative error 1.2e-9 before rounding.
fn erf_near(x: f32) -> f32 {
  let z = x * x;
  return x * (1.1283791 + z * (-0.37612626 + z * (0.11283585 + z * (-0.02685381 + z * (0.0051883277
    + z * (-0.00080101925 + z * 0.000078538576))))));
}`,
  erfc_far: `
// erfc for x ≥ 1: exp(-x²) · p(1 / (1 + x/2)), relative error 5.6e-9 before rounding.
fn erfc_far(x: f32) -> f32 {
  let t = 1.0 / (1.0 + 0.5 * x);
  return exp(-x * x) * (-0.0000041034255 + t * (0.2821994 + t * (0.28099075 + t * (0.25296742 + t * (0.15804118
    + t * (0.10534301 + t * (0.02505987 + t * (-0.1850404 + t * 0.08089112))))))));
}`,
  erf_f32: `
fn erf_f32(x: f32) -> f32 {
  // By select, which passes NaN on: min and max may lose it.
  let a = select(abs(x), 6.0, abs(x) > 6.0);
  return select(sign(x) * (1.0 - erfc_far(select(a, 1.0, a < 1.0))), erf_near(clamp(x, -1.0, 1.0)), a < 1.0);
}`,
  // Φ(x) = erfc(-x/√2) / 2: from erfc on the negative side, where 1 + erf would cancel.
  normal_cdf: `
fn normal_cdf(x: f32) -> f32 {
  let z = x * 0.70710678;
  let tail = 0.5 * erfc_far(clamp(abs(z), 1.0, 10.0));
  return select(select(tail, 1.0 - tail, z > 0.0), 0.5 + 0.5 * erf_near(clamp(z, -1.0, 1.0)), abs(z) < 1.0);
}`,
  tanh_f32: `
// tanh without the cancellation near 0 and the overflow far out that a built-in one may have.
fn tanh_f32(x: f32) -> f32 {
  let z = x * x;
  let near = x * (1.0 + z * (-0.3333323 + z * (0.13330415 + z * (-0.05366528 + z * (0.020415189 + z * -0.0054682638)))));
  let far = sign(x) * (1.0 - 2.0 / (exp(2.0 * min(abs(x), 15.0)) + 1.0));
  return keep_nan(select(near, far, abs(x) >= 0.65), x);
}`,
  round_f16: `
// The nearest f16, of two the even one, by bits: compilers may take a conversion there and back for nothing at all, and
// quantizeToF16 makes 0 of all that is below the normal range, where halves lie 2^-24 apart.
fn round_f16(x: f32) -> f32 {
  let bits = bitcast<u32>(x) & 0x7fffffffu;
  let rounded = (bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u;
  let magnitude = select(select(rounded, 0x7f800000u, rounded > 0x477fe000u), bits, bits > 0x7f800000u);
  let normal = bitcast<f32>(magnitude | (bitcast<u32>(x) & 0x80000000u));
  return select(normal, round(x * 16777216.0) * 5.9604644775390625e-8, bits < 0x38800000u);
}`,
  is_nan: `
fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}`,
  ordered: `
// Neither is NaN.
fn ordered(a: f32, b: f32) -> bool {
  return max(bitcast<u32>(a) & 0x7fffffffu, bitcast<u32>(b) & 0x7fffffffu) <= 0x7f800000u;
}`,
  keep_nan: `
// NaN where x is NaN, else the value.
fn keep_nan(value: f32, x: f32) -> f32 {
  return bitcast<f32>(select(bitcast<u32>(value), bitcast<u32>(x), is_nan(x)));
}`,
  neg_f32: `
// Flips the sign bit, which comes as a uniform: if Mesa's compiler can see the negation, it turns a + (-a) into 0 and
// (a + b) + (-a) into b, for an infinite a too.
fn neg_f32(x: f32, signBit: u32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) ^ signBit);
}`,
  max_f32: `
// The bits of NaN and of any other number together are NaN.
fn max_f32(a: f32, b: f32) -> f32 {
  return bitcast<f32>(select(bitcast<u32>(a) | bitcast<u32>(b), bitcast<u32>(max(a, b)), ordered(a, b)));
}`,
  min_f32: `
fn min_f32(a: f32, b: f32) -> f32 {
  return bitcast<f32>(select(bitcast<u32>(a) | bitcast<u32>(b), bitcast<u32>(min(a, b)), ordered(a, b)));
}`,
  sign_f32: `
fn sign_f32(x: f32) -> f32 {
  return keep_nan(sign(x), x);
}`,
  relu_f32: `
// 0 for numbers from -∞ up to the one before -0; NaN of either sign stays.
fn relu_f32(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  return bitcast<f32>(select(bits, 0u, bits - 0x80000001u < 0x7f800000u));
}`,
  exp_f32: `
fn exp_f32(x: f32) -> f32 {
  return keep_nan(exp(x), x);
}`,
  sqrt_f32: `
fn sqrt_f32(x: f32) -> f32 {
  return outside_roots(sqrt(x), x);
}`,
  rsqrt_f32: `
fn rsqrt_f32(x: f32) -> f32 {
  return outside_roots(inverseSqrt(x), x);
}`,
  outside_roots: `
// NaN where x is NaN or below 0, else the value.
fn outside_roots(value: f32, x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  return bitcast<f32>(select(bitcast<u32>(value), bits | 0x7fc00000u, bits > 0x7f800000u && bits != 0x80000000u));
}`,
  log_f32: `
// log with full relative precision near 1, where the built-in promises only an absolute error. Subnormal numbers are
// taken as their bits, a whole number of 2^-149. -∞ for 0, NaN below it.
fn log_f32(x: f32) -> f32 {
  let d = x - 1.0;
  let s = d / (2.0 + d);
  let z = s * s;
  let near = 2.0 * s * (1.0 + z * (0.33333333 + z * (0.2 + z * (0.14285714 + z * 0.11111111))));
  let bits = bitcast<u32>(x);
  let tiny = bits < 0x00800000u;
  let far = log(select(x, f32(bits), tiny)) - select(0.0, 103.27893, tiny);
  let positive = bitcast<u32>(select(far, near, abs(d) < 0.25));
  let other = select(bits | 0x7fc00000u, 0xff800000u, (bits & 0x7fffffffu) == 0u);
  return bitcast<f32>(select(positive, select(other, bits, bits == 0x7f800000u), bits - 1u >= 0x7f7fffffu));
}`,
  pow_f32: `
// As in C: 1 to any power and anything to the power 0 are 1, NaN too; negative numbers have whole powers only,
// but -∞ has all.
fn pow_f32(x: f32, y: f32) -> f32 {
  let base = bitcast<u32>(x) & 0x7fffffffu;
  let exponent = bitcast<u32>(y) & 0x7fffffffu;
  let negative = bitcast<u32>(x) >= 0x80000000u;
  let grows = (base > 0x3f800000u) == (bitcast<u32>(y) < 0x80000000u);
  let extreme = base == 0u || base == 0x7f800000u || base == 0x3f800000u || exponent == 0x7f800000u;
  let limit = select(select(0u, 0x7f800000u, grows), 0x3f800000u, base == 0x3f800000u);
  let magnitude = select(bitcast<u32>(exp2(y * log_f32(abs(x)) * 1.44269504)), limit, extreme);
  let odd = exponent < 0x4b800000u && abs(y) % 2.0 == 1.0; // from 2^24 on all are even
  let real = !negative || base == 0u || base >= 0x7f800000u || exponent >= 0x4b800000u || y == floor(y);
  let power = select(magnitude | 0x7fc00000u, select(magnitude, magnitude | 0x80000000u, negative && odd), real);
  let defined = select(bitcast<u32>(x) | bitcast<u32>(y), power, ordered(x, y));
  return bitcast<f32>(select(defined, 0x3f800000u, exponent == 0u || bitcast<u32>(x) == 0x3f800000u));
}`,
  to_i32: `
// Truncated, clamped to what i32 holds; NaN becomes 0.
fn to_i32(x: f32) -> i32 {
  let kept = select(select(i32(x), 2147483647, x >= 2147483648.0), -2147483647 - 1, x <= -2147483648.0);
  return select(kept, 0, is_nan(x));
}`,
  to_u32: `
// Truncated, clamped to what u32 holds; NaN becomes 0.
fn to_u32(x: f32) -> u32 {
  return select(select(u32(x), 4294967295u, x >= 4294967296.0), 0u, x <= 0.0 || is_nan(x));
}`,
}

/** Which helpers a helper calls itself. */
const helperNeeds: Readonly<Record<string, readonly string[]>> = {
  erf_f32: ['erf_near', 'erfc_far'],
  normal_cdf: ['erf_near', 'erfc_far'],
  keep_nan: ['is_nan'],
  max_f32: ['ordered'],
  min_f32: ['ordered'],
  sign_f32: ['keep_nan'],
  tanh_f32: ['keep_nan'],
  exp_f32: ['keep_nan'],
  sqrt_f32: ['outside_roots'],
  rsqrt_f32: ['outside_roots'],
  pow_f32: ['log_f32', 'ordered'],
  to_i32: ['is_nan'],
  to_u32: ['is_nan'],
}

/** The text of the named helpers and of all that they call. */
export function helperText(names: readonly string[]): string {
  const all = new Set<string>()
  const visit = (name: string): void => {
    for (const needed of helperNeeds[name] ?? []) visit(needed)
    all.add(name)
  }
  names.forEach(visit)
  return [...all].map(name => helperSource[name] ?? name).join('\n')
}

/** How one input is addressed, after axes that lie together have been merged. */
type Access = 'linear' | 'single' | 'strided'

/** Axes merged where every operand steps through them as through one. `group` keeps unlike axes apart. */
export interface Axes {
  readonly sizes: number[]
  /** Strides of each operand, by operand and merged axis. */
  readonly strides: number[][]
  readonly groups: number[]
}

/** Merges neighbouring axes of `shape` (and drops those of length 1) as far as all `strides` allow. */
export function mergeAxes(shape: readonly number[], strides: readonly (readonly number[])[], group: readonly number[]): Axes {
  const axes: Axes = { sizes: [], strides: strides.map(() => []), groups: [] }
  for (let axis = 0; axis < shape.length; axis++) {
    if (shape[axis] === 1) continue
    const last = axes.sizes.length - 1
    const joins = last >= 0 && axes.groups[last] === group[axis] &&
      strides.every((s, k) => axes.strides[k][last] === s[axis] * shape[axis])
    if (joins) {
      axes.sizes[last] *= shape[axis]
      strides.forEach((s, k) => { axes.strides[k][last] = s[axis] })
    } else {
      axes.sizes.push(shape[axis])
      axes.groups.push(group[axis])
      strides.forEach((s, k) => axes.strides[k].push(s[axis]))
    }
  }
  return axes
}

/** Whether WGSL of a body speaks of a variable. */
export const mentions = ({ lines, result }: Body, name: string): boolean => {
  const whole = new RegExp(`\\b${name}\\b`)
  return lines.some(line => whole.test(line)) || whole.test(result)
}

/** Lines that draw the words of element `i` alone: a whole block for each. */
export const drawOne = ({ draws }: Body): string[] =>
  draws.map(({ stream, step, seed }, k) => `let random${k} = randomWord(i, ${stream}, ${step}, ${seed});`)

export const scalarType = (dtype: DType): string => (dtype === 'f16' ? 'f32' : dtype)
export const loaded = (dtype: DType, text: string): string => (dtype === 'f16' ? `f32(${text})` : text)
export const stored = (dtype: DType, text: string): string => (dtype === 'f16' ? `f16(${text})` : text)

function accessOf(strides: readonly number[], linear: readonly number[]): Access {
  if (strides.every(s => s === 0)) return 'single'
  return strides.every((s, i) => s === linear[i]) ? 'linear' : 'strided'
}

function rowMajor(sizes: readonly number[]): number[] {
  const strides = new Array<number>(sizes.length)
  for (let i = sizes.length - 1, stride = 1; i >= 0; i--) {
    strides[i] = stride
    stride *= sizes[i]
  }
  return strides
}

/** How the element number `i` of some shape is found in each of several views of that shape. */
interface Addressing {
  /** Uniform fields that the addresses read, and their words. */
  readonly fields: string[]
  readonly words: (number | { f32: number })[]
  /** WGSL statements that the addresses build upon. */
  readonly coordinates: readonly string[]
  /** A WGSL expression for each view. */
  readonly addresses: readonly string[]
  readonly access: readonly Access[]
  /** Variables of `coordinates`, the last one that of the row's elements; and whether rows are multiples of four long. */
  readonly names: readonly string[]
  readonly wholeFours: boolean
  /** Which views have four neighbours, the first of which has a multiple of four as its number, as one aligned vec4. */
  readonly together: readonly boolean[]
}

function addressing(shape: readonly number[], views: readonly View[]): Addressing {
  const axes = mergeAxes(shape, views.map(v => v.strides), shape.map(() => 0))
  const linear = rowMajor(axes.sizes)
  const access = axes.strides.map(strides => accessOf(strides, linear))
  const rank = axes.sizes.length
  const fields: string[] = []
  const words: (number | { f32: number })[] = []
  const coordinates: string[] = []
  const needed = access.includes('strided')
  if (needed) {
    coordinates.push('var rest = i;')
    for (let axis = rank - 1; axis > 0; axis--) {
      fields.push(`d${axis}: u32`)
      words.push(axes.sizes[axis])
      coordinates.push(`let c${axis} = rest % u.d${axis};`, `rest = rest / u.d${axis};`)
    }
    coordinates.push('let c0 = rest;')
  }
  const address = (k: number, offset: number): string => {
    const terms: string[] = []
    if (offset !== 0) {
      fields.push(`o${k}: u32`)
      words.push(offset)
      terms.push(`u.o${k}`)
    }
    if (access[k] === 'linear') terms.push('i')
    if (access[k] === 'strided') {
      for (let axis = 0; axis < rank; axis++) {
        if (axes.strides[k][axis] === 0) continue
        fields.push(`t${k}_${axis}: u32`)
        words.push(axes.strides[k][axis])
        terms.push(`c${axis} * u.t${k}_${axis}`)
      }
    }
    return terms.join(' + ') || '0u'
  }
  const wholeFours = rank > 0 && axes.sizes[rank - 1] % 4 === 0
  const together = views.map(({ offset }, k) => {
    const strides = axes.strides[k]
    const aligned = wholeFours && strides[rank - 1] === 1 && strides.slice(0, -1).every(stride => stride % 4 === 0)
    return offset % 4 === 0 && (access[k] === 'linear' || aligned)
  })
  return {
    fields, words, coordinates, addresses: views.map((view, k) => address(k, view.offset)), access,
    names: needed ? axes.sizes.map((_, axis) => `c${axis}`) : [], wholeFours, together,
  }
}

const indented = (line: string): string => `  ${line}`
const loadLines = (inputs: readonly View[], { addresses }: Addressing): string[] =>
  inputs.map((view, k) => `let x${k} = ${loaded(view.dtype, `in${k}[${addresses[k]}]`)};`)

/**
 * A body as a function that is called for four neighbours, the first of which has a multiple of four as its number. They
 * share a block of random words, of those that each would draw alone, what is read `together` by one load, and where rows are
 * multiples of four long all coordinates but the last: these are made once, and are arguments of the function besides `i`.
 */
interface Four {
  readonly parameters: string
  /** Lines of the function, before those of the body. */
  readonly lines: readonly string[]
  /** Lines before its calls. */
  readonly before: readonly string[]
  /** Arguments of its call number `q`, `i` among them. */
  call(q: number): string
}

function byFour(body: Body, inputs: readonly View[], at: Addressing, together: readonly boolean[] = []): Four {
  const loads = loadLines(inputs, at)
  const wide = inputs.flatMap((_, k) => (together[k] ? [k] : []))
  // A step's one number is loaded before the calls, and again where the body's own lines read it too.
  const isStep = (k: number): boolean => body.draws.some(({ step }) => step === `x${k}`)
  const names = at.wholeFours ? at.names : []
  return {
    parameters: [
      ...names.map(name => `, ${name}: u32`), ...wide.map(k => `, x${k}: ${scalarType(inputs[k].dtype)}`),
      ...body.draws.map((_, k) => `, random${k}: u32`),
    ].join(''),
    lines: [...(at.wholeFours ? [] : at.coordinates), ...loads.filter((_, k) => !together[k] && (!isStep(k) || mentions(body, `x${k}`)))],
    before: [
      ...(at.wholeFours ? at.coordinates : []),
      ...wide.map(k => `let four${k} = vec4<${scalarType(inputs[k].dtype)}>(in${k}[(${at.addresses[k]}) / 4u]);`),
      ...loads.filter((_, k) => isStep(k)),
      ...body.draws.map(({ stream, step, seed }, k) => `let random${k} = randomBlock(i / 4u, ${stream}, ${step}, ${seed});`),
    ],
    call: q => {
      const nth = (name: string): string => (q === 0 ? name : `${name} + ${q}u`)
      const coordinates = names.map((name, axis) => (axis === names.length - 1 ? nth(name) : name))
      const own = [...wide.map(k => `four${k}`), ...body.draws.map((_, k) => `random${k}`)].map(four => `${four}.${LETTERS[q]}`)
      return [nth('i'), ...coordinates, ...own].join(', ')
    },
  }
}

/** An expression that another kernel applies to each of its results before it stores them. */
export interface Epilogue {
  readonly label: string
  /** Of the result, and of all views upon it. */
  readonly shape: readonly number[]
  /** What the expression reads besides, already broadcast to the result's shape. Bound as `in0 … inn`. */
  readonly inputs: readonly View[]
  /** Of lines that may use `value`, the kernel's own result in f32, besides what `Body` says. */
  readonly body: Body
  readonly dtype: 'f32' | 'f16'
  /** Whether the kernel's own result is stored too, for other readers. */
  readonly storesResult: boolean
  /** A function of `value` alone, stored in place of the kernel's own result and in its dtype. Needs `storesResult`. */
  readonly storedInstead?: Body
}

/** An epilogue as WGSL, with the uniforms that it reads. */
export interface EpilogueText {
  /**
   * `fn epilogue(value: f32, i: u32) -> f32` for element `i` of `shape`, or `fn epilogue4(value: vec4f, i: u32) -> vec4f` for
   * elements i … i + 3, where `i` must be a multiple of four: rows are multiples of four long where they are stored so.
   * With `storedInstead` also `fn storedInstead(value: f32) -> f32`, or `storedInstead4`, of what replaces the kernel's result.
   */
  wgsl(width: 1 | 4): string
  /** Element types of the inputs' arrays: for fours, vec4 where an input has them together. */
  types(width: 1 | 4): string[]
  readonly fields: readonly (readonly [name: string, type: 'u32' | 'i32' | 'f32'])[]
  readonly words: Readonly<Record<string, number>>
}

export function epilogueText({ shape, inputs, body, storedInstead }: Epilogue): EpilogueText {
  const at = addressing(shape, inputs)
  const { fields, words } = at
  pushScalars(body.scalars, fields, words)
  const named = fields.map(field => field.split(': ') as [string, 'u32' | 'i32' | 'f32'])
  const epilogue = (parameters: string, lines: readonly string[]): string[] =>
    [`fn epilogue(value: f32, i: u32${parameters}) -> f32 {`, ...[...lines, ...body.lines, `return ${body.result};`].map(indented), '}']
  const epilogue4 = (): string[] => {
    const four = byFour(body, inputs, at, at.together)
    const calls = LETTERS.map((letter, q) => `  epilogue(value.${letter}, ${four.call(q)}),`)
    return [
      ...epilogue(four.parameters, four.lines),
      'fn epilogue4(value: vec4f, i: u32) -> vec4f {', ...[...four.before, 'return vec4f(', ...calls, ');'].map(indented), '}',
    ]
  }
  const replacement = (width: 1 | 4): string[] => (storedInstead
    ? [
      'fn storedInstead(value: f32) -> f32 {', ...[...storedInstead.lines, `return ${storedInstead.result};`].map(indented), '}',
      ...(width === 4 ? [`fn storedInstead4(value: vec4f) -> vec4f { return vec4f(${LETTERS.map(letter => `storedInstead(value.${letter})`).join(', ')}); }`] : []),
    ]
    : [])
  return {
    wgsl: width => [
      helperText([...body.helpers, ...storedInstead?.helpers ?? []]),
      ...(width === 4 ? epilogue4() : epilogue('', [...at.coordinates, ...loadLines(inputs, at), ...drawOne(body)])), ...replacement(width),
    ].filter(line => line !== '').join('\n'),
    types: width => inputs.map(({ dtype }, k) => (width === 4 && at.together[k] ? `vec4<${dtype}>` : dtype)),
    fields: named,
    words: Object.fromEntries(named.map(([name], k) => {
      const word = words[k]
      return [name, typeof word === 'number' ? word : word.f32]
    })),
  }
}

/** The launch of one fused elementwise expression. What draws random numbers makes four neighbours at a time, where they come out even. */
export function elementwiseLaunch(problem: ElementwiseProblem, traits: Traits): Launch {
  const { inputs, output: out, body } = problem
  const count = out.shape.reduce((n, m) => n * m, 1)
  const width = body.draws.length > 0 && count % 4 === 0 ? 4 : 1
  const each = Math.max(1, 2 ** Math.floor(Math.log2(elementsEach(count, traits))) / width)
  const at = addressing(out.shape, [...inputs, out])
  const fields = ['n: u32', ...at.fields]
  const words = [count / width, ...at.words]
  pushScalars(body.scalars, fields, words)
  const f16 = [...inputs, out].some(v => v.dtype === 'f16')
  const element = (lines: readonly string[]): string[] =>
    [...lines, ...body.lines, `out[${at.addresses[inputs.length]}] = ${stored(out.dtype, body.result)};`]
  const four = byFour(body, inputs, at)
  const thread = width === 1
    ? element([...at.coordinates, ...loadLines(inputs, at), ...drawOne(body)])
    : ['let i = four * 4u;', ...four.before, ...LETTERS.map((_, q) => `element(${four.call(q)});`)]
  const number = width === 1 ? 'i' : 'four'
  const makes = width * each === 1 ? 'one thread an element' : `${width * each} elements a thread${width === 1 ? '' : ', by fours'}`
  const place = each === 1
    ? '@builtin(global_invocation_id) id: vec3u'
    : '@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32'
  const wgsl = [
    ...(f16 ? ['enable f16;'] : []),
    `// elementwise ${problem.label}: ${makes}, ${at.access.join(' ')}`,
    `struct Uniforms { ${fields.join(', ')} }`,
    ...inputs.map((view, k) => `@group(0) @binding(${k}) var<storage, read> in${k}: array<${view.dtype}>;`),
    `@group(0) @binding(${inputs.length}) var<storage, read_write> out: array<${out.dtype}>;`,
    `@group(0) @binding(${inputs.length + 1}) var<uniform> u: Uniforms;`,
    helperText(body.helpers),
    ...(width === 1 ? [] : [`fn element(i: u32${four.parameters}) {`, ...element(four.lines).map(indented), '}']),
    `@compute @workgroup_size(${WORKGROUP})`,
    `fn main(${place}, @builtin(num_workgroups) groups: vec3u) {`,
    ...(each === 1
      ? [`  let ${number} = id.x + id.y * groups.x * ${WORKGROUP}u;`, `  if (${number} >= u.n) { return; }`, ...thread.map(indented), '}']
      : [
        `  let first = (group.x + group.y * groups.x) * ${each * WORKGROUP}u + local;`,
        `  let end = min(first + ${each * WORKGROUP}u, u.n);`,
        `  for (var ${number} = first; ${number} < end; ${number} += ${WORKGROUP}u) {`, ...thread.map(line => indented(indented(line))), '  }', '}',
      ]),
  ].join('\n')
  return {
    label: problem.label,
    wgsl,
    slots: [...inputs.map((_, k) => input(k)), output(0)],
    writes: [inputs.length],
    uniforms: uniformWords(words),
    workgroups: spread(Math.ceil(count / (WORKGROUP * width * each)), traits.maxWorkgroups),
  }
}

/** Appends the body's scalars to the uniform struct. */
export function pushScalars(scalars: readonly UniformScalar[], fields: string[], words: (number | { f32: number })[]): void {
  scalars.forEach((scalar, k) => {
    fields.push(`s${k}: ${scalar.type}`)
    words.push(scalar.type === 'f32' ? { f32: scalar.value } : scalar.value)
  })
}
