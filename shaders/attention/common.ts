// What all attention kernels share: the problem, the uniform struct, how rows of [batch, sequence, heads, headSize]
// operands are read and written, which scores are open, and the dropout of probabilities.
//
// A head's row is handled as vec4<f32> chunks whatever its storage: `loadQ(at, c)` gives elements 4c … 4c + 3 of the
// row that begins at `at`, zeros past headSize. Sums are all in f32.
import { type FloatType, type Launch, type Slot, type Traits, type View, spread } from '../kernel.ts'
import { droppedBelow, randomWgsl } from '../random.ts'
import {
  type ScalarType,
  Shader,
  type ShaderParts,
  each,
  list,
  paragraphs,
  plus,
  typeName,
  when,
  wgsl,
  written,
} from '../wgsl.ts'

export interface AttentionDropout {
  /** Chance of a probability to be dropped, in (0, 1). */
  readonly rate: number
  readonly stream: number
  readonly seed: number
}

export interface AttentionProblem {
  readonly batch: number
  readonly heads: number
  readonly queries: number
  readonly keys: number
  readonly headSize: number
  readonly dtype: FloatType
  readonly scale: number
  readonly mask: boolean
  /** Query i attends to keys j ≤ i + keys − queries: the last query to all of them. Left out: no. */
  readonly causal?: boolean
  readonly dropout: AttentionDropout | undefined
  readonly maxWorkgroups: number
}

/** What shapes the code of every attention kernel; all of a problem's numbers but headSize stay in the uniforms. */
export interface AttentionLayout {
  readonly dtype: FloatType
  readonly headSize: number
  /** Rows begin at multiples of four elements and are read as vec4. */
  readonly vector: boolean
  readonly mask: boolean
  readonly causal?: boolean
  readonly dropout: boolean
}

/** Whether scores are closed one by one, and not just those of masked keys. */
export const closesScores = ({ causal = false }: AttentionLayout): boolean => causal

/** The neighbouring scores that `isOpen` speaks of: `width` keys of one query, or queries of one key. */
export interface Neighbours {
  readonly along: 'keys' | 'queries'
  readonly width: 1 | 2 | 4
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
    mask,
    causal,
    dropout: problem.dropout !== undefined,
  }
}

/** The tiled, matrix, … kernels of fused attention: all that is known of a kind of config. */
export interface AttentionKind<Config> {
  /**
   * Configs worth trying for a pass over such heads, best guess first. 'query' and 'key' are the gradient's two
   * kernels.
   */
  candidates(pass: 'forward' | Side, layout: AttentionLayout, traits: Traits): Config[]
  name(config: Config): string
  /** Rows of a tile. */
  rows(config: Config): number
  /** o and lse. */
  forward(config: Config, layout: AttentionLayout): Shader
  /** dq of a tile of queries (side 'query'), or dk and dv of a tile of keys (side 'key'). */
  gradient(side: Side, config: Config, layout: AttentionLayout): Shader
}

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

/** Words of the control buffer: dropout's step, then for each batch item its extent and its mask's bits. */
export const maskWords = (keys: number): number => Math.ceil(keys / 32)
export const controlWords = (batch: number, keys: number): number => 1 + batch * (1 + maskWords(keys))

/** `Q` of `q`, as names of functions have it. */
export const capital = (name: string): string => name[0].toUpperCase() + name.slice(1)
/** The buffer of an operand as functions name it: `q` of `Q`, `dO` of `DO`. */
export const bufferOf = (operand: string): string => operand[0].toLowerCase() + operand.slice(1)

/** What a kernel declares besides what all have. */
interface AttentionShader {
  readonly title: string
  readonly layout: AttentionLayout
  /** Operands, by name. */
  readonly reads: readonly string[]
  readonly writes: readonly string[]
  /** Further buffers after the operands. */
  readonly extra: ShaderParts['bindings']
  readonly needs?: ShaderParts['needs']
  readonly uniforms?: Readonly<Record<string, ScalarType>>
  /** Of a kernel that works on scores: those that an invocation takes together. */
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

/** Bindings: reads, writes, extra, `control` where there is mask or dropout. */
export function attentionShader(shader: AttentionShader): Shader {
  const { layout, reads, writes, extra, uniforms, scores, code, ...parts } = shader
  const { dtype, headSize, vector, mask, dropout } = layout
  const type = typeName(dtype, vector ? 4 : 1)
  const operands = [...reads, ...writes]
  return new Shader({
    ...parts,
    bindings: {
      ...Object.fromEntries(reads.map(name => [name, type])),
      ...Object.fromEntries(writes.map(name => [name, written(type)])),
      ...extra,
      ...(mask || dropout ? { control: 'u32' } : {}),
    },
    uniforms: {
      ...COMMON_UNIFORMS,
      ...Object.fromEntries(operands.flatMap(name => STRIDES.map(stride => [`${name}${stride}`, 'u32'] as const))),
      ...uniforms,
    },
    code: wgsl`
      const HEAD_SIZE = ${headSize}u;
      const CHUNKS = ${chunksOf(headSize)}u; // vec4 chunks of a head's row
      const LOWEST = -3.4e38; // stands for minus infinity, which WGSL has no literal for

      ${paragraphs(
        ...operands.map(rowFunction),
        ...reads.map(name => loadFunction(name, layout)),
        ...writes.map(name => storeFunction(name, layout)),
        maskFunctions(mask),
        layout.causal && causalFunctions,
        scores && closesScores(layout) && openFunction(layout, scores),
        dropout && dropoutFunctions,
        code,
      )}
    `,
  })
}

/** Of an operand: where it begins, and its strides along batch, sequence and heads. */
const STRIDES = ['Offset', 'Batch', 'Row', 'Head'] as const

function rowFunction(name: string): string {
  return wgsl`
    fn row${capital(name)}(item: u32, i: u32, head: u32) -> u32 {
      return u.${name}Offset + item * u.${name}Batch + i * u.${name}Row + head * u.${name}Head;
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

function maskFunctions(mask: boolean): string {
  return wgsl`
    // One past the last key that is attended to: loops over keys end there.
    fn extentOf(item: u32) -> u32 {
      return ${mask ? 'control[1u + item * (1u + u.maskWords)]' : 'u.keys'};
    }
    fn allowed(item: u32, key: u32, extent: u32) -> bool {
      ${!mask && 'return key < extent;'}
      ${when(mask)`
        let word = min(key / 32u, u.maskWords - 1u);
        return key < extent && ((control[2u + item * (1u + u.maskWords) + word] >> (key % 32u)) & 1u) != 0u;
      `}
    }
    // The same of keys key … key + 3; key is a multiple of four.
    fn allowed4(item: u32, key: u32, extent: u32) -> vec4<bool> {
      let keys = key + vec4<u32>(0u, 1u, 2u, 3u);
      ${!mask && 'return keys < vec4<u32>(extent);'}
      ${when(mask)`
        let word = control[2u + item * (1u + u.maskWords) + min(key / 32u, u.maskWords - 1u)];
        return (keys < vec4<u32>(extent)) & (((vec4<u32>(word) >> (keys % 32u)) & vec4<u32>(1u)) != vec4<u32>(0u));
      `}
    }
  `
}

const causalFunctions = wgsl`
  // One past the last key that the queries before \`end\` attend to.
  fn causalEnd(end: u32) -> u32 {
    return max(end + u.keys, u.queries) - u.queries;
  }
  // The first query that attends to a key.
  fn firstQuery(key: u32) -> u32 {
    return max(key + u.queries, u.keys) - u.keys;
  }
`

/** `f32`, or a vector of them. */
const vectorOf = (type: string, width: 1 | 2 | 4): string => (width === 1 ? type : `vec${width}<${type}>`)

/** Which of some neighbouring scores are open, of queries and keys that exist. */
function openFunction({ causal }: AttentionLayout, { along, width }: Neighbours): string {
  const byKeys = along === 'keys'
  const [bools, words] = [vectorOf('bool', width), vectorOf('u32', width)]
  const following = (first: string): string =>
    width === 1 ? first : `${first} + ${words}(${list(width, i => `${i}u`)})`
  const allowed = (i: number): string => `allowed(item, ${plus('key', i)}, extent)`
  const keysAllowed = width === 4 ? 'allowed4(item, key, extent)' : `${bools}(${list(width, allowed)})`
  const conditions = [
    byKeys ? keysAllowed : `${bools}(${allowed(0)})`,
    `(queries < ${words}(u.queries))`,
    causal && `(keys + u.queries <= queries + u.keys)`,
  ]
  return wgsl`
    // Whether ${byKeys ? 'a query attends to keys' : 'queries attend to a key'}: to ${width} from here on.
    fn isOpen(item: u32, head: u32, query: u32, key: u32, extent: u32) -> ${bools} {
      let queries = ${byKeys ? `${words}(query)` : following('query')};
      let keys = ${byKeys ? following('key') : `${words}(key)`};
      return ${conditions.filter(Boolean).join(' & ')};
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

const WHOLE_EXTENT = 'extentOf(item)'

/**
 * What a workgroup computes: tile `tileNumber` of a pair, which is a head of a batch item. Loops over keys end at
 * `extent`.
 */
export const placeOfPair = (extent = WHOLE_EXTENT): string => wgsl`
  let number = group.x + group.y * groups.x;
  if (number >= u.workgroups) { return; }
  let tileNumber = number % u.tiles;
  let pair = u.firstPair + number / u.tiles;
  let head = pair % u.heads;
  let item = pair / u.heads;
  let extent = ${extent};
  let headRow = pair * u.queries; // the head's first in [batch, heads, queries]
`

/** The same for tiles of `rows` rows. Left out: `extent` is that of the batch item. */
export const place = (rows: number, extent?: string): string => wgsl`
  ${placeOfPair(extent)}
  let rowStart = tileNumber * ${rows}u;
`

/** The extent of a tile of rows: queries have no keys past those of their last. */
export const extentOf = (side: Side, rows: number, { causal }: AttentionLayout): string =>
  causal && side === 'query' ? `min(${WHOLE_EXTENT}, causalEnd((tileNumber + 1u) * ${rows}u))` : WHOLE_EXTENT

/** Names and the columns' bound of the two operand pairs: s = a1 · b1ᵀ and dp = a2 · b2ᵀ. */
export function sides(side: Side) {
  return side === 'query'
    ? { a1: 'Q', a2: 'DO', b1: 'K', b2: 'V', rows: 'u.queries', columns: 'u.keys', writes: ['dq'] as const }
    : { a1: 'K', a2: 'V', b1: 'Q', b2: 'DO', rows: 'u.keys', columns: 'u.queries', writes: ['dk', 'dv'] as const }
}

/** The loop over the columns of a tile of rows, `columns` at a time: nothing is computed for padding. */
interface ColumnsLoop {
  /** Declares `end`, and `begin` if that is not 0. */
  readonly declare: string
  /** The first column. */
  readonly begin: '0u' | 'begin'
}

export function columnsLoop(side: Side, columns: number, { causal }: AttentionLayout): ColumnsLoop {
  if (side === 'query') return { declare: 'let end = extent;', begin: '0u' }
  return {
    declare: wgsl`
      var end = u.queries;
      if (rowStart >= extent) { end = 0u; } // all of its keys are padding
      ${causal && `let begin = firstQuery(rowStart) / ${columns}u * ${columns}u; // no query before attends to them`}
    `,
    begin: causal ? 'begin' : '0u',
  }
}

/** A range of pairs: heads of batch items, numbered item · heads + head. */
export interface Pairs {
  readonly first: number
  readonly count: number
}

/** How many tiles of `rows` rows a head has. */
export const rowTiles = ({ queries, keys }: AttentionProblem, side: Side, rows: number): number =>
  Math.ceil((side === 'query' ? queries : keys) / rows)

interface AttentionLaunch extends Pick<Launch, 'label' | 'operations'> {
  readonly shader: Shader
  /** Of one head. */
  readonly tiles: number
  readonly operands: readonly Operand[]
  /** Of the other buffers, by name. */
  readonly slots?: Readonly<Record<string, Slot>>
  readonly control?: Slot
  /** All, where left out. */
  readonly pairs?: Pairs
  /** Left out: one per tile. */
  readonly workgroups?: number
  /** Values of the further uniforms. */
  readonly uniforms?: Readonly<Record<string, number>>
}

/** One launch over tiles of every head. */
export function attentionLaunch(problem: AttentionProblem, layout: AttentionLayout, use: AttentionLaunch): Launch {
  const { queries, keys, heads, headSize, scale, maxWorkgroups } = problem
  const { label, operations, tiles, operands, control, pairs = { first: 0, count: heads * problem.batch } } = use
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
      ...(control ? { control } : {}),
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
      ...Object.fromEntries(operands.flatMap(placeOf)),
      ...use.uniforms,
    },
    workgroups: spread(workgroups, maxWorkgroups),
  })
}
