// What all attention kernels share: the problem, the uniform struct, how rows of [batch, sequence, heads, headSize]
// operands are read and written, the key mask and the dropout of probabilities.
//
// A head's row is handled as vec4<f32> chunks whatever its storage: `loadQ(at, c)` gives elements 4c … 4c + 3 of the row
// that begins at `at`, zeros past headSize. Sums are all in f32.
import { type Launch, type Slot, type View, spread, uniformWords } from '../kernel.ts'
import { droppedBelow, randomWgsl } from '../random.ts'
import { enables } from '../writer.ts'

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
  readonly dtype: 'f32' | 'f16'
  readonly scale: number
  readonly mask: boolean
  readonly dropout: AttentionDropout | undefined
  readonly maxWorkgroups: number
}

/** What shapes the code of every attention kernel; all of a problem's numbers but headSize stay in the uniforms. */
export interface AttentionLayout {
  readonly dtype: 'f32' | 'f16'
  readonly headSize: number
  /** Rows begin at multiples of four elements and are read as vec4. */
  readonly vector: boolean
  readonly mask: boolean
  readonly dropout: boolean
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
export function readsVectors(views: readonly View[], headSize: number): boolean {
  const whole = (n: number): boolean => n % 4 === 0
  return whole(headSize) && views.every(view => whole(view.offset) && view.strides.slice(0, 3).every(whole))
}

export function layoutOf(problem: AttentionProblem, views: readonly View[]): AttentionLayout {
  const { dtype, headSize, mask } = problem
  return { dtype, headSize, vector: readsVectors(views, headSize), mask, dropout: problem.dropout !== undefined }
}

/** Count of vec4 chunks in a head's row. */
export const chunksOf = (headSize: number): number => Math.ceil(headSize / 4)

/** Words of the control buffer: dropout's step, then for each batch item its extent and its mask's bits. */
export const maskWords = (keys: number): number => Math.ceil(keys / 32)
export const controlWords = (batch: number, keys: number): number => 1 + batch * (1 + maskWords(keys))

/** Joins what `line` gives for 0 … count − 1. */
export function each(count: number, line: (i: number) => string, separator = '\n'): string {
  return Array.from({ length: count }, (_, i) => line(i)).join(separator)
}

/** Indents by nesting of braces, for text that is put together from pieces. */
export function tidy(text: string): string {
  let depth = 0
  const lines: string[] = []
  for (const raw of text.split('\n')) {
    const line = raw.trim()
    if (line === '' && (lines.length === 0 || lines[lines.length - 1] === '')) continue
    const code = line.replace(/\/\/.*/, '')
    const opened = (code.match(/[{(]/g) ?? []).length
    const closed = (code.match(/[})]/g) ?? []).length
    const leading = /^[})]+/.exec(code)?.[0].length ?? 0
    lines.push(line === '' ? '' : '  '.repeat(Math.max(0, depth - leading)) + line)
    depth += opened - closed
  }
  return lines.join('\n') + '\n'
}

const capital = (name: string): string => name[0].toUpperCase() + name.slice(1)
/** The buffer of an operand as functions name it: `q` of `Q`, `dO` of `DO`. */
export const bufferOf = (operand: string): string => operand[0].toLowerCase() + operand.slice(1)

export interface Declarations {
  /** First line of the shader: kernel and config. */
  readonly title: string
  readonly layout: AttentionLayout
  readonly reads: readonly string[]
  readonly writes: readonly string[]
  /** Further buffers after the operands. */
  readonly extra: readonly { readonly name: string; readonly type: string; readonly written?: boolean }[]
  readonly subgroups?: boolean
  /** Subgroup matrices, for f16 operands. */
  readonly matrices?: boolean
  /** Further fields of the uniform struct, as WGSL. */
  readonly fields?: string
}

/** Everything above `main`. Bindings: reads, writes, extra, `control` where there is mask or dropout, the uniforms. */
export function declarations({ title, layout, reads, writes, extra, subgroups, matrices, fields = '' }: Declarations): string {
  const { dtype, headSize, vector, mask, dropout } = layout
  const element = vector ? `vec4<${dtype}>` : dtype
  const operands = [...reads, ...writes]
  const buffers = [
    ...reads.map(name => ({ name, type: `array<${element}>`, written: false })),
    ...writes.map(name => ({ name, type: `array<${element}>`, written: true })),
    ...extra,
    ...(mask || dropout ? [{ name: 'control', type: 'array<u32>', written: false }] : []),
  ]
  return `// ${title}
${matrices ? enables({ dtypes: [dtype], subgroups: true, matrices }).join('\n') : `${dtype === 'f16' ? 'enable f16;' : ''}
${subgroups ? 'enable subgroups;' : ''}`}

struct Sizes {
queries: u32, keys: u32, heads: u32, maskWords: u32,
chunks: u32, // as CHUNKS: for loops that a CPU's compiler must not unroll, which takes it long
tiles: u32, workgroups: u32, firstPair: u32,
scale: f32, droppedBelow: u32, keepScale: f32, stream: u32, seed: u32,
${operands.map(name => `${name}Offset: u32, ${name}Batch: u32, ${name}Row: u32, ${name}Head: u32,`).join('\n')}
${fields}
}

${buffers.map(({ name, type, written }, i) =>
    `@group(0) @binding(${i}) var<storage, ${written ? 'read_write' : 'read'}> ${name}: ${type};`).join('\n')}
@group(0) @binding(${buffers.length}) var<uniform> sizes: Sizes;

const HEAD_SIZE = ${headSize}u;
const CHUNKS = ${chunksOf(headSize)}u; // vec4 chunks of a head's row
const LOWEST = -3.4e38; // stands for minus infinity, which WGSL has no literal for

${operands.map(name => rowFunction(name)).join('\n')}
${reads.map(name => loadFunction(name, layout)).join('\n')}
${writes.map(name => storeFunction(name, layout)).join('\n')}
${maskFunctions(mask)}
${dropout ? dropoutFunctions : ''}`
}

function rowFunction(name: string): string {
  return `fn row${capital(name)}(item: u32, i: u32, head: u32) -> u32 {
return sizes.${name}Offset + item * sizes.${name}Batch + i * sizes.${name}Row + head * sizes.${name}Head;
}`
}

function loadFunction(name: string, { headSize, vector }: AttentionLayout): string {
  const body = vector
    ? `return vec4<f32>(${name}[at + c]);`
    : `let d = 4u * c;
return vec4<f32>(${each(4, e => e === 0 || headSize % 4 === 0
      ? `f32(${name}[at + d + ${e}u])`
      : `select(0.0, f32(${name}[at + min(d + ${e}u, HEAD_SIZE - 1u)]), d + ${e}u < HEAD_SIZE)`, ', ')});`
  return `fn load${capital(name)}(at: u32, c: u32) -> vec4<f32> {
${body}
}`
}

function storeFunction(name: string, { dtype, headSize, vector }: AttentionLayout): string {
  const body = vector
    ? `${name}[at + c] = vec4<${dtype}>(x);`
    : `let d = 4u * c;
${each(4, e => `${e === 0 || headSize % 4 === 0 ? '' : `if (d + ${e}u < HEAD_SIZE) { `}${name}[at + d + ${e}u] = ${dtype}(x[${e}]);${
      e === 0 || headSize % 4 === 0 ? '' : ' }'}`)}`
  return `fn store${capital(name)}(at: u32, c: u32, x: vec4<f32>) {
${body}
}`
}

function maskFunctions(mask: boolean): string {
  return `// One past the last key that anybody attends to: loops over keys end there.
fn extentOf(item: u32) -> u32 {
return ${mask ? 'control[1u + item * (1u + sizes.maskWords)]' : 'sizes.keys'};
}
fn allowed(item: u32, key: u32, extent: u32) -> bool {
${mask ? `let word = min(key / 32u, sizes.maskWords - 1u);
return key < extent && ((control[2u + item * (1u + sizes.maskWords) + word] >> (key % 32u)) & 1u) != 0u;`
    : 'return key < extent;'}
}
// The same of keys key … key + 3; key is a multiple of four.
fn allowed4(item: u32, key: u32, extent: u32) -> vec4<bool> {
let keys = key + vec4<u32>(0u, 1u, 2u, 3u);
${mask ? `let word = control[2u + item * (1u + sizes.maskWords) + min(key / 32u, sizes.maskWords - 1u)];
return (keys < vec4<u32>(extent)) & (((vec4<u32>(word) >> (keys % 32u)) & vec4<u32>(1u)) != vec4<u32>(0u));`
    : 'return keys < vec4<u32>(extent);'}
}`
}

const dropoutFunctions = `${randomWgsl}
// Factors of the probabilities of one query row, 0 or 1 / (1 - rate).
fn keep(row: u32, key: u32) -> f32 {
return select(0.0, sizes.keepScale, randomWord(row * sizes.keys + key, sizes.stream, control[0], sizes.seed) >= sizes.droppedBelow);
}
// The same of keys key … key + 3: one block of words where they begin one, else the parts of two.
fn keep4(row: u32, key: u32) -> vec4<f32> {
let index = row * sizes.keys + key;
var words = randomBlock(index >> 2u, sizes.stream, control[0], sizes.seed);
let shift = index & 3u;
if (shift != 0u) {
let next = randomBlock((index + 4u) >> 2u, sizes.stream, control[0], sizes.seed);
if (shift == 1u) { words = vec4<u32>(words.yzw, next.x); }
else if (shift == 2u) { words = vec4<u32>(words.zw, next.xy); }
else { words = vec4<u32>(words.w, next.xyz); }
}
return select(vec4<f32>(0.0), vec4<f32>(sizes.keepScale), words >= vec4<u32>(sizes.droppedBelow));
}`

/** Where a workgroup stands: in tile `tileNumber` of one head of one batch item, a pair of these. */
export const placeOfPair = `let number = group.x + group.y * groups.x;
if (number >= sizes.workgroups) { return; }
let tileNumber = number % sizes.tiles;
let pair = sizes.firstPair + number / sizes.tiles;
let head = pair % sizes.heads;
let item = pair / sizes.heads;
let extent = extentOf(item);
let headRow = pair * sizes.queries; // the head's first in [batch, heads, queries]`

/** The same where a tile is so many rows. */
export const place = (rows: number): string => `${placeOfPair}
let rowStart = tileNumber * ${rows}u;`

export const builtins = '@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>'

/** Names and the columns' bound of the two operand pairs: s = a1 · b1ᵀ and dp = a2 · b2ᵀ. */
export function sides(side: Side) {
  return side === 'query'
    ? { a1: 'Q', a2: 'DO', b1: 'K', b2: 'V', rows: 'sizes.queries', columns: 'sizes.keys', writes: ['dq'] as const }
    : { a1: 'K', a2: 'V', b1: 'Q', b2: 'DO', rows: 'sizes.keys', columns: 'sizes.queries', writes: ['dk', 'dv'] as const }
}

/** Heads of all batch items, numbered item · heads + head, from the first of so many on. */
export interface Pairs {
  readonly first: number
  readonly count: number
}

/** One launch over tiles of every head, operands first. */
export function attentionLaunch(problem: AttentionProblem, layout: AttentionLayout, side: Side, options: {
  readonly label: string
  readonly wgsl: string
  /** Rows of a tile. */
  readonly rows: number
  readonly reads: readonly Operand[]
  readonly writes: readonly Operand[]
  readonly extra: readonly { readonly slot: Slot; readonly written?: boolean }[]
  readonly control: Slot | undefined
  /** All, where left out. */
  readonly pairs?: Pairs
  /** Tiles of one head; left out, those of its rows. */
  readonly tiles?: number
  /** Of the further fields. */
  readonly words?: readonly (number | { readonly f32: number })[]
}): Launch {
  const { label, wgsl, rows, reads, writes, extra, control, pairs = { first: 0, count: problem.heads * problem.batch } } = options
  const { tiles = Math.ceil((side === 'query' ? problem.queries : problem.keys) / rows), words = [] } = options
  const workgroups = tiles * pairs.count
  const unit = layout.vector ? 4 : 1
  const { rate, stream, seed } = problem.dropout ?? { rate: 0, stream: 0, seed: 0 }
  const slots = [...reads, ...writes, ...extra].map(({ slot }) => slot)
  const written = [...reads.map(() => false), ...writes.map(() => true), ...extra.map(e => e.written === true)]
  return {
    label,
    wgsl,
    slots: control ? [...slots, control] : slots,
    writes: written.flatMap((yes, i) => (yes ? [i] : [])),
    uniforms: uniformWords([
      problem.queries, problem.keys, problem.heads, maskWords(problem.keys), chunksOf(problem.headSize), tiles, workgroups, pairs.first,
      { f32: problem.scale }, droppedBelow(rate), { f32: 1 / (1 - rate) }, stream, seed,
      ...[...reads, ...writes].flatMap(({ view }) => [view.offset, ...view.strides.slice(0, 3)].map(n => n / unit)),
      ...words,
    ]),
    workgroups: spread(workgroups, problem.maxWorkgroups),
  }
}
