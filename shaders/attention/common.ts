// What all attention kernels share: the problem, the uniform struct, how rows of [batch, sequence, heads, headSize]
// operands are read and written, and the dropout of probabilities.
//
// A head's row is handled as vec4<f32> chunks whatever its storage: `loadQ(at, c)` gives elements 4c … 4c + 3 of the
// row that begins at `at`, zeros past headSize. Sums are all in f32.
import { type FloatType, type Launch, type Slot, type Traits, type View, sizeOf, spread } from '../kernel.ts'
import { droppedBelow, randomWgsl } from '../random.ts'
import { type Neighbours, scoreFunctions } from './scores.ts'
import { type ScalarType, Shader, type ShaderParts, each, list, paragraphs, typeName, wgsl, written } from '../wgsl.ts'

export interface AttentionDropout {
  /** Chance of a probability to be dropped, in (0, 1). */
  readonly rate: number
  readonly stream: number
  readonly seed: number
}

export interface AttentionProblem {
  readonly batch: number
  /** Of queries. */
  readonly heads: number
  /** Of keys and values: heads of queries share them, as many in a row as there are for each. */
  readonly keyHeads: number
  readonly queries: number
  readonly keys: number
  readonly headSize: number
  readonly dtype: FloatType
  readonly scale: number
  readonly mask: AttentionMask | undefined
  /** Query i attends to keys j ≤ i + keys − queries: the last query to all of them. */
  readonly causal: boolean
  /** What is added to the scores: f32 [batch or 1, heads or 1, queries or 1, keys or 1]. */
  readonly bias: View | undefined
  readonly dropout: AttentionDropout | undefined
  readonly maxWorkgroups: number
}

/** `keys`: i32 [batch, keys]. `scores`: i32 [batch or 1, heads or 1, queries or 1, keys], with its first three lengths. */
export type AttentionMask =
  | { readonly of: 'keys' }
  | { readonly of: 'scores'; readonly lengths: readonly [batch: number, heads: number, queries: number] }

/** What shapes the code of every attention kernel; all of a problem's numbers but headSize stay in the uniforms. */
export interface AttentionLayout {
  readonly dtype: FloatType
  readonly headSize: number
  /** Rows begin at multiples of four elements and are read as vec4. */
  readonly vector: boolean
  readonly mask: AttentionMask['of'] | undefined
  readonly dropout: boolean
  readonly causal?: boolean
  readonly bias?: boolean
  /** Heads of queries share keys and values. */
  readonly grouped?: boolean
  /**
   * The gradient's row statistics are at the end of the control buffer. With a bias, and with mask or dropout, dk and
   * dv would take nine buffers, and WebGPU promises eight.
   */
  readonly packed?: boolean
}

/** 'query': rows are queries and columns keys (gives o or dq). 'key': the other way round (gives dk and dv). */
export type Side = 'query' | 'key'

/** A [batch, sequence, heads, headSize] operand: rows anywhere (strides in elements), the last stride 1. */
export interface Operand {
  readonly name: string
  readonly view: View
  readonly slot: Slot
}

/** Whether rows of all views can be read as vec4. */
function readsVectors(views: readonly View[], headSize: number): boolean {
  const whole = (n: number): boolean => n % 4 === 0
  return whole(headSize) && views.every(view => whole(view.offset) && view.strides.slice(0, 3).every(whole))
}

export function layoutOf(problem: AttentionProblem, views: readonly View[]): AttentionLayout {
  const { dtype, headSize, mask, causal } = problem
  return {
    dtype,
    headSize,
    vector: readsVectors(views, headSize),
    mask: mask?.of,
    dropout: problem.dropout !== undefined,
    causal,
    bias: problem.bias !== undefined,
    grouped: problem.keyHeads < problem.heads,
  }
}

/** The tiled, matrix, … kernels of fused attention: all that is known of a kind of config. */
export interface AttentionKind<Config> {
  /** Configs worth trying for a pass over such heads, best guess first. */
  candidates(pass: AttentionPass, layout: AttentionLayout, traits: Traits): Config[]
  name(config: Config): string
  /** Rows of a tile. */
  rows(config: Config): number
  /** o and lse. */
  forward(config: Config, layout: AttentionLayout): Shader
  /** dq of a tile of queries (side 'query'), or dk and dv of a tile of keys (side 'key'). */
  gradient(side: Side, config: Config, layout: AttentionLayout): Shader
  /** dScores of a tile, summed over the pairs that share a bias (bias.ts). */
  biasGradient(config: Config, layout: AttentionLayout): Shader
  /** Rows and columns of such a tile. */
  biasTile(config: Config): readonly [rows: number, columns: number]
}

/** 'query', 'key' and 'bias' are the gradient's. */
export type AttentionPass = 'forward' | Side | 'bias'

/** Kernels of the stored gradient: 'probabilities' stores probabilities and dScores, 'sums' multiplies with them. */
export type StoredPart = 'probabilities' | 'sums'

/** The same of the stored gradient's kernels. */
export interface StoredKind<Config> {
  /** `blocked`: whether stored matrices have the blocked layout, which subgroup matrices read. */
  candidates(part: StoredPart, layout: AttentionLayout, traits: Traits, blocked: boolean): Config[]
  name(config: Config): string
  rows(config: Config): number
  /** Tiles of one head's square. */
  tiles(config: Config, problem: AttentionProblem): number
  /** Probabilities and dScores, stored. */
  probabilities(config: Config, layout: AttentionLayout): Shader
  /** A tile of rows of factor · stored matrix · the other side's operand. */
  sums(side: Side, config: Config, layout: AttentionLayout): Shader
}

/** Count of vec4 chunks in a head's row. */
export const chunksOf = (headSize: number): number => Math.ceil(headSize / 4)

/** Words of a row of a mask's bits. */
export const maskWords = (keys: number): number => Math.ceil(keys / 32)

/**
 * Words of the control buffer: dropout's step, then the mask's rows. Each row of a mask of keys begins with the extent
 * of its batch item.
 */
export function controlWords({ batch, keys, mask }: AttentionProblem): number {
  if (mask?.of === 'scores') return 1 + sizeOf(mask.lengths) * maskWords(keys)
  return 1 + (mask ? batch * (1 + maskWords(keys)) : 0)
}

/** `Q` of `q`, as names of functions have it. */
export const capital = (name: string): string => name[0].toUpperCase() + name.slice(1)
/** The buffer of an operand as functions name it: `q` of `Q`, `dO` of `DO`. */
export const bufferOf = (operand: string): string => operand[0].toLowerCase() + operand.slice(1)

/** Tensors that have the heads of keys. */
const OF_KEYS = ['k', 'v', 'dk', 'dv']

/** What a kernel declares besides what all have. */
interface AttentionShader {
  readonly title: string
  readonly layout: AttentionLayout
  /** Operands, by name. */
  readonly reads: readonly string[]
  readonly writes: readonly string[]
  /** Those that have the heads of keys, if not by their names. */
  readonly ofKeys?: readonly string[]
  /** Reads the row statistics of the gradient, by `statisticOf`. */
  readonly statistics?: boolean
  /** Further buffers after the operands. */
  readonly extra: ShaderParts['bindings']
  readonly needs?: ShaderParts['needs']
  readonly uniforms?: Readonly<Record<string, ScalarType>>
  /** Of a kernel that works on scores: those that it takes together. */
  readonly scores?: Neighbours
  readonly code: string
}

const COMMON_UNIFORMS = {
  queries: 'u32',
  keys: 'u32',
  heads: 'u32',
  maskWords: 'u32',
  // CHUNKS as a uniform, for loops that a CPU's compiler must not unroll, because that takes it long.
  chunks: 'u32',
  tiles: 'u32',
  workgroups: 'u32',
  firstPair: 'u32',
  scale: 'f32',
  droppedBelow: 'u32',
  keepScale: 'f32',
  stream: 'u32',
  seed: 'u32',
} as const

/** Uniforms of what not every problem has. */
const MASK_UNIFORMS = { maskItem: 'u32', maskHead: 'u32', maskQuery: 'u32' } as const
const BIAS_UNIFORMS = { biasOffset: 'u32', biasItem: 'u32', biasHead: 'u32', biasQuery: 'u32', biasKey: 'u32' } as const

/** Row statistics of query `index` in [batch, heads, queries]. */
export const statisticOf = (index: string, { packed }: AttentionLayout): string =>
  packed ? `statisticOf(${index})` : `statistics[${index}]`

const packedStatistics = wgsl`
  fn statisticOf(index: u32) -> vec2<f32> {
    let at = u.statisticsAt + 2u * index;
    return vec2<f32>(bitcast<f32>(control[at]), bitcast<f32>(control[at + 1u]));
  }
`

/** Bindings: reads, writes, `statistics`, extra, `bias`, `control` where there is mask or dropout. */
export function attentionShader(shader: AttentionShader): Shader {
  const { layout, reads, writes, ofKeys = OF_KEYS, statistics, extra, uniforms, scores, code, ...parts } = shader
  const { dtype, headSize, vector, mask, dropout, grouped, packed } = layout
  const bias = layout.bias && scores !== undefined
  const type = typeName(dtype, vector ? 4 : 1)
  const operands = [...reads, ...writes]
  return new Shader({
    ...parts,
    bindings: {
      ...Object.fromEntries(reads.map(name => [name, type])),
      ...Object.fromEntries(writes.map(name => [name, written(type)])),
      ...(statistics && !packed ? { statistics: 'vec2<f32>' } : {}),
      ...extra,
      ...(bias ? { bias: 'f32' } : {}),
      ...(mask || dropout ? { control: 'u32' } : {}),
    },
    uniforms: {
      ...COMMON_UNIFORMS,
      ...Object.fromEntries(operands.flatMap(name => STRIDES.map(stride => [`${name}${stride}`, 'u32'] as const))),
      ...uniforms,
      ...(grouped ? { group: 'u32' } : {}),
      ...(mask === 'scores' ? MASK_UNIFORMS : {}),
      ...(bias ? BIAS_UNIFORMS : {}),
      ...(statistics && packed ? { statisticsAt: 'u32' } : {}),
    },
    code: wgsl`
      const HEAD_SIZE = ${headSize}u;
      const CHUNKS = ${chunksOf(headSize)}u; // vec4 chunks of a head's row
      const LOWEST = -3.4e38; // stands for minus infinity, which WGSL has no literal for

      ${paragraphs(
        ...operands.map(name => rowFunction(name, grouped === true && ofKeys.includes(name))),
        ...reads.map(name => loadFunction(name, layout)),
        ...writes.map(name => storeFunction(name, layout)),
        ...scoreFunctions(layout, scores),
        statistics && packed && packedStatistics,
        dropout && dropoutFunctions,
        code,
      )}
    `,
  })
}

/** Of an operand: where it begins, and its strides along batch, sequence and heads. */
const STRIDES = ['Offset', 'Batch', 'Row', 'Head'] as const

/** `head` is always one of queries. */
function rowFunction(name: string, grouped: boolean): string {
  return wgsl`
    fn row${capital(name)}(item: u32, i: u32, head: u32) -> u32 {
      return u.${name}Offset + item * u.${name}Batch + i * u.${name}Row + head${grouped && ' / u.group'} * u.${name}Head;
    }
  `
}

/** Whether element e of a chunk may be past the end of its row. */
const mayBePast = (e: number, headSize: number): boolean => e > 0 && headSize % 4 !== 0

function loadFunction(name: string, { headSize, vector }: AttentionLayout): string {
  const element = (e: number): string =>
    mayBePast(e, headSize)
      ? `select(0.0, f32(${name}[at + min(d + ${e}u, HEAD_SIZE - 1u)]), d + ${e}u < HEAD_SIZE)`
      : `f32(${name}[at + d + ${e}u])`
  return wgsl`
    fn load${capital(name)}(at: u32, c: u32) -> vec4<f32> {
      ${vector && `return vec4<f32>(${name}[at + c]);`}
      ${!vector && ['let d = 4u * c;', `return vec4<f32>(${list(4, element)});`]}
    }
  `
}

function storeFunction(name: string, { dtype, headSize, vector }: AttentionLayout): string {
  const store = (e: number): string => {
    const line = `${name}[at + d + ${e}u] = ${dtype}(x[${e}]);`
    return mayBePast(e, headSize) ? `if (d + ${e}u < HEAD_SIZE) { ${line} }` : line
  }
  return wgsl`
    fn store${capital(name)}(at: u32, c: u32, x: vec4<f32>) {
      ${vector && `${name}[at + c] = vec4<${dtype}>(x);`}
      ${!vector && ['let d = 4u * c;', each(4, store)]}
    }
  `
}

const dropoutFunctions = wgsl`
  ${randomWgsl}

  // Factors of the probabilities of one query row, 0 or 1 / (1 - rate).
  fn keep(row: u32, key: u32) -> f32 {
    return select(0.0, u.keepScale, randomWord(row * u.keys + key, u.stream, control[0], u.seed) >= u.droppedBelow);
  }
  // The same of keys key … key + 3: one block of words where they begin one, else the parts of two.
  fn keep4(row: u32, key: u32) -> vec4<f32> {
    let index = row * u.keys + key;
    var words = randomBlock(index >> 2u, u.stream, control[0], u.seed);
    let shift = index & 3u;
    if (shift != 0u) {
      let next = randomBlock((index + 4u) >> 2u, u.stream, control[0], u.seed);
      if (shift == 1u) { words = vec4<u32>(words.yzw, next.x); }
      else if (shift == 2u) { words = vec4<u32>(words.zw, next.xy); }
      else { words = vec4<u32>(words.w, next.xyz); }
    }
    return select(vec4<f32>(0.0), vec4<f32>(u.keepScale), words >= vec4<u32>(u.droppedBelow));
  }
`

/** Names and the columns' bound of the two operand pairs: s = a1 · b1ᵀ and dp = a2 · b2ᵀ. */
export function sides(side: Side) {
  return side === 'query'
    ? { a1: 'Q', a2: 'DO', b1: 'K', b2: 'V', rows: 'u.queries', columns: 'u.keys', writes: ['dq'] as const }
    : { a1: 'K', a2: 'V', b1: 'Q', b2: 'DO', rows: 'u.keys', columns: 'u.queries', writes: ['dk', 'dv'] as const }
}

/** A range of pairs: heads of batch items, numbered item · heads + head. Those that share keys are not parted. */
export interface Pairs {
  readonly first: number
  readonly count: number
}

/** How many tiles of `rows` rows a head has. */
export const rowTiles = ({ queries, keys }: AttentionProblem, side: Side, rows: number): number =>
  Math.ceil((side === 'query' ? queries : keys) / rows)

/** How many heads of queries share those of keys. */
export const groupOf = ({ heads, keyHeads }: AttentionProblem): number => heads / keyHeads

interface AttentionLaunch extends Pick<Launch, 'label' | 'operations'> {
  readonly shader: Shader
  /** Of one head. */
  readonly tiles: number
  readonly operands: readonly Operand[]
  /** Of the other buffers, by name. */
  readonly slots: Readonly<Record<string, Slot>>
  /** All, where left out. */
  readonly pairs?: Pairs
  /** Left out: one per tile. */
  readonly workgroups?: number
  /** Values of the further uniforms. */
  readonly uniforms?: Readonly<Record<string, number>>
}

/** In rows of the mask's bits. */
function maskStrides([batch, heads, queries]: readonly [number, number, number]): Record<
  keyof typeof MASK_UNIFORMS,
  number
> {
  return {
    maskItem: batch > 1 ? heads * queries : 0,
    maskHead: heads > 1 ? queries : 0,
    maskQuery: queries > 1 ? 1 : 0,
  }
}

function biasStrides({ shape, strides, offset }: View): Record<keyof typeof BIAS_UNIFORMS, number> {
  const [biasItem, biasHead, biasQuery, biasKey] = shape.map((n, axis) => (n > 1 ? strides[axis] : 0))
  return { biasOffset: offset, biasItem, biasHead, biasQuery, biasKey }
}

/** One launch over tiles of every head. */
export function attentionLaunch(problem: AttentionProblem, layout: AttentionLayout, use: AttentionLaunch): Launch {
  const { batch, queries, keys, heads, headSize, scale, mask, bias, maxWorkgroups } = problem
  const { label, operations, tiles, operands, pairs = { first: 0, count: heads * batch } } = use
  const { rate, stream, seed } = problem.dropout ?? { rate: 0, stream: 0, seed: 0 }
  const { workgroups = tiles * pairs.count } = use
  const unit = layout.vector ? 4 : 1
  const placeOf = ({ name, view }: Operand): [string, number][] =>
    [view.offset, ...view.strides.slice(0, 3)].map((n, k) => [`${name}${STRIDES[k]}`, n / unit])
  return use.shader.launch({
    label,
    operations,
    slots: {
      ...Object.fromEntries(operands.map(({ name, slot }) => [name, slot])),
      ...use.slots,
    },
    uniforms: {
      queries,
      keys,
      heads,
      maskWords: maskWords(keys),
      chunks: chunksOf(headSize),
      tiles,
      workgroups,
      firstPair: pairs.first,
      scale,
      droppedBelow: droppedBelow(rate),
      keepScale: 1 / (1 - rate),
      stream,
      seed,
      group: groupOf(problem),
      ...(mask?.of === 'scores' ? maskStrides(mask.lengths) : {}),
      ...(bias ? biasStrides(bias) : {}),
      statisticsAt: controlWords(problem),
      ...Object.fromEntries(operands.flatMap(placeOf)),
      ...use.uniforms,
    },
    workgroups: spread(workgroups, maxWorkgroups),
  })
}
