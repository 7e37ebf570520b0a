// Attention by workgroups, for GPUs (FlashAttention, Dao et al. 2022, Dao 2023): a workgroup owns a tile of rows, walks
// over tiles of columns in workgroup memory, and each invocation keeps a small block of scores and sums in registers.
//
// Invocation (x, y) of tx × ty has scores of rows y·rm … and columns x·cn …, and sums of the same rows and of the chunks
// x, x + tx, …. In workgroup memory row y·rm + m stands at y + ty·m (columns likewise), so that neighbouring invocations
// read neighbouring places; odd pitches spread those over the banks. The next columns are on their way, in registers, while
// these are worked on.
import { type AttentionLayout, type Side, builtins, chunksOf, declarations, each, place, sides, tidy } from './common.ts'
import { bytesOf } from '../kernel.ts'

export interface TiledConfig {
  readonly kind: 'tiled'
  /** Invocations along columns and along rows. */
  readonly tx: number
  readonly ty: number
  /** Rows and columns of an invocation's block of scores. */
  readonly rm: 2 | 4
  readonly cn: 2 | 4
}

export const tiledRows = ({ ty, rm }: TiledConfig): number => ty * rm
const tiledColumns = ({ tx, cn }: TiledConfig): number => tx * cn

const pitchOf = (headSize: number): number => chunksOf(headSize) | 1

/** Bytes of workgroup memory, forward and for each side of the gradient. */
export function tiledBytes(config: TiledConfig, layout: AttentionLayout, pass: 'forward' | Side): number {
  const { tx, ty, rm } = config
  const tileRow = pitchOf(layout.headSize) * 4 * bytesOf(layout.dtype)
  const tiles = (tiledRows(config) + tiledColumns(config)) * tileRow
  // WGSL aligns vec2 to 8 bytes and vec4 to 16; both are multiples of what they hold.
  const weights = tiledColumns(config) * (ty + 1) * rm * 4
  if (pass === 'forward') return tiles + weights + tx * ty * rm * 4
  return 2 * tiles + (pass === 'key' ? 2 : 1) * weights
}

const describe = ({ tx, ty, rm, cn }: TiledConfig, layout: AttentionLayout): string =>
  `tiled ${ty * rm}x${tx * cn} by ${tx}x${ty}, headSize ${layout.headSize} ${layout.dtype}`

/** Rows of an operand on their way to a tile in workgroup memory. */
interface Coming {
  readonly operand: string
  readonly start: string
  /** Their count; what stands past the end repeats the last. */
  readonly bound: string
  /** How the tile's rows are shared out: so many invocations, so many rows each. */
  readonly along: number
  readonly each: number
}

/** Groups of four that an invocation moves, and whether the last turn is not for all. */
function share({ along, each: rows }: Coming, { tx, ty }: TiledConfig, { headSize }: AttentionLayout): { turns: number; ragged: boolean } {
  const turns = along * rows * chunksOf(headSize) / (tx * ty)
  return { turns: Math.ceil(turns), ragged: !Number.isInteger(turns) }
}

/** The group that an invocation moves in turn t: its place in the tile, and its chunk. */
const moved = (t: number, { tx, ty }: TiledConfig): string => `let at = lane + ${t * tx * ty}u;
let place = at / CHUNKS;
let c = at % CHUNKS;`

const hold = (name: string, coming: Coming, config: TiledConfig, layout: AttentionLayout): string =>
  each(share(coming, config, layout).turns, t => `var ${name}${t}: vec4<${layout.dtype}>;`)

function read(name: string, coming: Coming, config: TiledConfig, layout: AttentionLayout): string {
  const { operand, start, bound, along } = coming
  return each(share(coming, config, layout).turns, t => `{
${moved(t, config)}
let i = min(${start} + place % ${along}u * ${coming.each}u + place / ${along}u, ${bound} - 1u);
${name}${t} = vec4<${layout.dtype}>(load${operand}(row${operand}(item, i, head), c));
}`)
}

function put(tile: string, name: string, coming: Coming, config: TiledConfig, layout: AttentionLayout): string {
  const { turns, ragged } = share(coming, config, layout)
  const guard = (t: number): string => (ragged && t === turns - 1 ? `if (place < ${coming.along * coming.each}u) ` : '')
  return each(turns, t => `{
${moved(t, config)}
${guard(t)}{ ${tile}[place * PITCH + c] = ${name}${t}; }
}`)
}

/** Copies the workgroup's own rows to their tile. */
function fillRows(tile: string, operand: string, bound: string, { tx, ty, rm }: TiledConfig, { dtype }: AttentionLayout): string {
  return `for (var at = lane; at < ${ty * rm}u * CHUNKS; at += ${tx * ty}u) {
let place = at / CHUNKS;
let c = at % CHUNKS;
let i = min(rowStart + (place % ${ty}u) * ${rm}u + place / ${ty}u, ${bound} - 1u);
${tile}[place * PITCH + c] = vec4<${dtype}>(load${operand}(row${operand}(item, i, head), c));
}`
}

/** The block of products of two tiles: score[n] (rows along the vector) += a · bᵀ. Sums go on from chunk to chunk, with no addition apart. */
function products(score: string, rowTile: string, columnTile: string, { tx, ty, rm, cn }: TiledConfig): string {
  return `for (var c = 0u; c < CHUNKS; c++) {
${each(rm, m => `let a${m} = vec4<f32>(${rowTile}[(y + ${ty * m}u) * PITCH + c]);`)}
${each(4, e => `let rows${e} = vec${rm}<f32>(${each(rm, m => `a${m}[${e}]`, ', ')});`)}
${each(cn, n => `let b${n} = vec4<f32>(${columnTile}[(x + ${tx * n}u) * PITCH + c]);
${each(4, e => `${score}${n} += rows${e} * b${n}[${e}];`)}`)}
}`
}

/** Columns that are added in a turn of the loop over a tile's. */
const TURN = 4

/** sum[m][t] += weights · columnTile over the tile's columns. */
function accumulate(
  terms: readonly { sum: string; weights: string; tile: string }[], { rm, ty, ...config }: TiledConfig, owned: number,
): string {
  const step = (n: number): string => terms.map(({ sum, weights, tile }) => `{
let weight = ${weights}[(turn * ${TURN}u + ${n}u) * ${ty + 1}u + y];
${each(owned, t => `let chunk${t} = vec4<f32>(${tile}[(turn * ${TURN}u + ${n}u) * PITCH + own${t}]);
${each(rm, m => `${sum}${m}_${t} += weight[${m}] * chunk${t};`)}`)}
}`).join('\n')
  return `for (var turn = 0u; turn < ${config.tx * config.cn / TURN}u; turn++) {
${each(TURN, step)}
}`
}

const sums = (name: string, rm: number, owned: number): string =>
  each(rm, m => each(owned, t => `var ${name}${m}_${t} = vec4<f32>();`))

function storeRow(name: string, m: number, value: (t: number) => string, owned: number, { tx, rm }: TiledConfig): string {
  const operand = name[0].toUpperCase() + name.slice(1)
  return `let ${name}At${m} = row${operand}(item, rowStart + y * ${rm}u + ${m}u, head);
${each(owned, t => `if (x + ${tx * t}u < CHUNKS) { store${operand}(${name}At${m}, own${t}, ${value(t)}); }`)}`
}

/** Dropout's factors of the block, as factor[n] with rows along the vector. */
function factors(side: Side, start: string, { rm, cn }: TiledConfig): string {
  const rowOf = (m: number): string => `rowStart + y * ${rm}u + ${m}u`
  const columnOf = (n: number): string => `${start} + x * ${cn}u + ${n}u`
  if (side === 'query' && cn === 4) {
    return `${each(rm, m => `let keep${m} = keep4(headRow + ${rowOf(m)}, ${columnOf(0)});`)}
${each(cn, n => `let factor${n} = vec${rm}<f32>(${each(rm, m => `keep${m}[${n}]`, ', ')});`)}`
  }
  // A block of random numbers serves four keys: two threads' pairs of columns, or of rows.
  if (side === 'query' && cn === 2) {
    return `${each(rm, m => `let keep${m} = keep4(headRow + ${rowOf(m)}, ${start} + x / 2u * 4u);`)}
${each(cn, n => `let factor${n} = vec${rm}<f32>(${each(rm, m => `select(keep${m}[${n}], keep${m}[${n + 2}], x % 2u == 1u)`, ', ')});`)}`
  }
  if (side === 'key' && rm === 2) {
    return each(cn, n => `let keep${n} = keep4(headRow + ${columnOf(n)}, rowStart + y / 2u * 4u);
let factor${n} = select(keep${n}.xy, keep${n}.zw, y % 2u == 1u);`)
  }
  return each(cn, n => `let factor${n} = keep4(headRow + ${columnOf(n)}, ${rowOf(0)});`)
}

const main = ({ tx, ty }: TiledConfig): string => `@compute @workgroup_size(${tx * ty})
fn main(${builtins}, @builtin(local_invocation_index) lane: u32) {`

const invocation = ({ tx }: TiledConfig, owned: number): string => `let x = lane % ${tx}u;
let y = lane / ${tx}u;
${each(owned, t => `let own${t} = min(x + ${tx * t}u, CHUNKS - 1u);`)}`

function workgroupTile(name: string, rows: number, layout: AttentionLayout): string {
  return `var<workgroup> ${name}: array<vec4<${layout.dtype}>, ${rows * pitchOf(layout.headSize)}>;`
}

const workgroupWeights = (name: string, config: TiledConfig): string =>
  `var<workgroup> ${name}: array<vec${config.rm}<f32>, ${tiledColumns(config) * (config.ty + 1)}>;`

/** Forward: o and lse. */
export function tiledForwardWgsl(config: TiledConfig, layout: AttentionLayout): string {
  const { tx, ty, rm, cn } = config
  const owned = Math.ceil(chunksOf(layout.headSize) / tx)
  const rows = tiledRows(config)
  const vector = `vec${rm}<f32>`
  const columns = (operand: string, start: string): Coming => ({ operand, start, bound: 'sizes.keys', along: tx, each: cn })
  return tidy(`${declarations({
    title: `attention forward ${describe(config, layout)}`,
    layout, reads: ['q', 'k', 'v'], writes: ['o'], extra: [{ name: 'lse', type: 'array<f32>', written: true }],
  })}
const PITCH = ${pitchOf(layout.headSize)}u;
${workgroupTile('rowTile', rows, layout)}
${workgroupTile('columnTile', tiledColumns(config), layout)}
${workgroupWeights('weights', config)}
var<workgroup> partial: array<${vector}, ${tx * ty}>;

${main(config)}
${place(rows)}
${invocation(config, owned)}
${fillRows('rowTile', 'Q', 'sizes.queries', config, layout)}
${sums('sum', rm, owned)}
var peak = ${vector}(LOWEST);
var total = ${vector}(); // of this invocation's columns
${hold('coming', columns('K', '0u'), config, layout)}
${read('coming', columns('K', '0u'), config, layout)}
for (var start = 0u; start < extent; start += ${tiledColumns(config)}u) {
workgroupBarrier();
${put('columnTile', 'coming', columns('K', 'start'), config, layout)}
workgroupBarrier();
${read('coming', columns('V', 'start'), config, layout)}
${each(cn, n => `var s${n} = ${vector}();`)}
${products('s', 'rowTile', 'columnTile', config)}
${each(cn, n => `let open${n} = allowed(item, start + x * ${cn}u + ${n}u, extent);
s${n} = select(${vector}(LOWEST), sizes.scale * s${n}, open${n});`)}
partial[lane] = ${[...Array(cn - 1).keys()].reduce((inner, n) => `max(${inner}, s${n + 1})`, 's0')};
workgroupBarrier();
${put('columnTile', 'coming', columns('V', 'start'), config, layout)}
var next = peak;
for (var other = 0u; other < ${tx}u; other++) { next = max(next, partial[y * ${tx}u + other]); }
let mend = exp(peak - next);
peak = next;
total *= mend;
${layout.dropout ? factors('query', 'start', config) : ''}
${each(cn, n => `let p${n} = select(${vector}(), exp(s${n} - next), open${n});
total += p${n};
weights[(x + ${tx * n}u) * ${ty + 1}u + y] = ${layout.dropout ? `factor${n} * ` : ''}p${n};`)}
${each(rm, m => each(owned, t => `sum${m}_${t} *= mend[${m}];`))}
workgroupBarrier();
${read('coming', columns('K', `start + ${tiledColumns(config)}u`), config, layout)}
${accumulate([{ sum: 'sum', weights: 'weights', tile: 'columnTile' }], config, owned)}
}
workgroupBarrier();
partial[lane] = total;
workgroupBarrier();
total = ${vector}();
for (var other = 0u; other < ${tx}u; other++) { total += partial[y * ${tx}u + other]; }
// A row that attends to nothing gives zeros.
let inverse = select(${vector}(), 1.0 / total, total > ${vector}());
let logSum = select(${vector}(), peak + log(total), total > ${vector}());
${each(rm, m => `if (rowStart + y * ${rm}u + ${m}u < sizes.queries) {
${storeRow('o', m, t => `inverse[${m}] * sum${m}_${t}`, owned, config)}
if (x == 0u) { lse[headRow + rowStart + y * ${rm}u + ${m}u] = logSum[${m}]; }
}`)}
}`)
}

/** dq of a tile of queries (side 'query'), or dk and dv of a tile of keys (side 'key'). */
export function tiledGradientWgsl(side: Side, config: TiledConfig, layout: AttentionLayout): string {
  const { tx, ty, rm, cn } = config
  const { a1, a2, b1, b2, rows: rowBound, columns, writes } = sides(side)
  const owned = Math.ceil(chunksOf(layout.headSize) / tx)
  const rows = tiledRows(config)
  const vector = `vec${rm}<f32>`
  const query = side === 'query'
  const coming = (operand: string, start: string): Coming => ({ operand, start, bound: columns, along: tx, each: cn })
  const next = `start + ${tiledColumns(config)}u`
  const rowOf = (m: number): string => `rowStart + y * ${rm}u + ${m}u`
  return tidy(`${declarations({
    title: `attention gradient of the ${side} side, ${describe(config, layout)}`,
    layout, reads: ['q', 'k', 'v', 'dO'], writes, extra: [{ name: 'statistics', type: 'array<vec2<f32>>' }],
  })}
const PITCH = ${pitchOf(layout.headSize)}u;
${workgroupTile('rowTile1', rows, layout)}
${workgroupTile('rowTile2', rows, layout)}
${workgroupTile('columnTile1', tiledColumns(config), layout)}
${workgroupTile('columnTile2', tiledColumns(config), layout)}
${workgroupWeights('weights1', config)}
${query ? '' : workgroupWeights('weights2', config)}

${main(config)}
${place(rows)}
${invocation(config, owned)}
${fillRows('rowTile1', a1, rowBound, config, layout)}
${fillRows('rowTile2', a2, rowBound, config, layout)}
${query ? `${each(rm, m => `let statistic${m} = statistics[headRow + min(${rowOf(m)}, sizes.queries - 1u)];`)}
let lse = ${vector}(${each(rm, m => `statistic${m}.x`, ', ')});
let mean = ${vector}(${each(rm, m => `statistic${m}.y`, ', ')});` : ''}
${sums('sumOne', rm, owned)}
${query ? '' : sums('sumTwo', rm, owned)}
${query ? 'let end = extent;' : `var end = ${columns};
if (rowStart >= extent) { end = 0u; } // keys of padding alone`}
${hold('comingOne', coming(b1, '0u'), config, layout)}
${hold('comingTwo', coming(b2, '0u'), config, layout)}
${read('comingOne', coming(b1, '0u'), config, layout)}
${read('comingTwo', coming(b2, '0u'), config, layout)}
for (var start = 0u; start < end; start += ${tiledColumns(config)}u) {
workgroupBarrier();
${put('columnTile1', 'comingOne', coming(b1, 'start'), config, layout)}
${put('columnTile2', 'comingTwo', coming(b2, 'start'), config, layout)}
workgroupBarrier();
${read('comingOne', coming(b1, next), config, layout)}
${read('comingTwo', coming(b2, next), config, layout)}
${each(cn, n => `var s${n} = ${vector}();
var d${n} = ${vector}();`)}
${products('s', 'rowTile1', 'columnTile1', config)}
${products('d', 'rowTile2', 'columnTile2', config)}
${layout.dropout ? factors(side, 'start', config) : ''}
${each(cn, n => {
    const factor = layout.dropout ? `factor${n} * ` : ''
    const at = `(x + ${tx * n}u) * ${ty + 1}u + y`
    return `let column${n} = start + x * ${cn}u + ${n}u;
${query
      ? `let p${n} = select(${vector}(), exp(sizes.scale * s${n} - lse), allowed(item, column${n}, extent));
weights1[${at}] = p${n} * (${factor}d${n} - mean);`
      : `let statistic${n} = statistics[headRow + min(column${n}, sizes.queries - 1u)];
let p${n} = select(${vector}(), exp(sizes.scale * s${n} - statistic${n}.x), column${n} < ${columns});
weights1[${at}] = p${n} * (${factor}d${n} - statistic${n}.y);
weights2[${at}] = ${factor}p${n};`}`
  })}
workgroupBarrier();
${accumulate([
    { sum: 'sumOne', weights: 'weights1', tile: 'columnTile1' },
    ...(query ? [] : [{ sum: 'sumTwo', weights: 'weights2', tile: 'columnTile2' }]),
  ], config, owned)}
}
${each(rm, m => `if (${rowOf(m)} < ${rowBound}) {
${query
      ? storeRow('dq', m, t => `sizes.scale * sumOne${m}_${t}`, owned, config)
      : `// What a masked key gathered may be anything.
let open = allowed(item, ${rowOf(m)}, extent);
${storeRow('dk', m, t => `select(vec4<f32>(), sizes.scale * sumOne${m}_${t}, open)`, owned, config)}
${storeRow('dv', m, t => `select(vec4<f32>(), sumTwo${m}_${t}, open)`, owned, config)}`}
}`)}
}`)
}
