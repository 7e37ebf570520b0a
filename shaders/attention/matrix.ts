// Attention by subgroup matrices (tensor cores), for GPUs with f16 operands: f16 fragments, sums in f32. A workgroup owns
// a tile of rows and walks over tiles of columns in workgroup memory; a subgroup owns a strip of whole rows, whose
// operands stay in its matrices all along, as do its sums.
//
// The next tile's columns are on their way, in registers, while this one's are worked on.
//
// Nobody can reach into a matrix, so scores go through workgroup memory: matrices store them, threads turn them into
// weights in f16, matrices multiply those. For the same reason sums can't be mended as the softmax's peak grows: the
// forward pass walks over the keys twice, first for each row's peak and total, then for the sums.
//
// Random numbers come for four keys of one query at a time, so a thread's share is four keys: of a row where columns are
// keys (rowOf), of a column where rows are (side 'key'). A tile has its columns in the order 0, 4, 8, … 1, 5, 9, … where
// quads lie along rows, so that neighbouring threads, at neighbouring quads, find neighbouring elements.
import { type Coming, Columns } from './columns.ts'
import { type AttentionLayout, type Side, bufferOf, builtins, declarations, each, place, sides, tidy } from './common.ts'
import {
  type MatrixConfig, type Pass, blockElements, describe, matrixRows, pitchOf, plus, sharesOf, stripRows, threadsOf, tileElements,
} from './matrix-config.ts'

/** Copies rows of an operand to the tile; what stands past the end repeats the last. */
function fillRows(operand: string, bound: string, config: MatrixConfig): string {
  return `for (var at = local; at < ${matrixRows(config)}u * CHUNKS; at += ${threadsOf(config)}u) {
let i = min(rowStart + at / CHUNKS, ${bound} - 1u);
let values = ${bufferOf(operand)}[row${operand}(item, i, head) + at % CHUNKS];
let to = at / CHUNKS * PITCH + at % CHUNKS * 4u;
${each(4, e => `tile[${plus('to', e)}] = values[${e}];`)}
}`
}

/** The workgroup's own rows, kept by each subgroup as the left matrices `name…` of its strip. */
function keepRows(name: string, operand: string, bound: string, config: MatrixConfig, { headSize }: AttentionLayout): string {
  const { rows, fragment: { m, k } } = config
  return `${fillRows(operand, bound, config)}
workgroupBarrier();
${each(rows, i => each(headSize / k, h =>
    `let ${name}${i}_${h} = ${load('left', 'tile', plus(`(${plus('strip', i * m)}) * PITCH`, h * k), 'PITCH', config)};`))}
workgroupBarrier();`
}

/** A fragment from workgroup memory; 'right' as it stands, 'turned' with rows and columns exchanged. */
function load(side: 'left' | 'right' | 'turned', from: string, at: string, pitch: string, { fragment: { m, n, k } }: MatrixConfig): string {
  const type = side === 'left' ? `subgroup_matrix_left<f16, ${k}, ${m}>` : `subgroup_matrix_right<f16, ${n}, ${k}>`
  return `subgroupMatrixLoad<${type}, ${side === 'turned' ? 'col_major' : 'row_major'}>(&${from}, ${at}, ${pitch})`
}

const comingOf = (operand: string, bound: string): Coming => ({ operand, name: `coming${operand}`, bound })

const columnsOf = (config: MatrixConfig, layout: AttentionLayout): Columns =>
  new Columns({ layout, invocation: 'local', invocations: threadsOf(config), columns: config.columns, ahead: true })

/** Writes to the tile's n-th part, of four columns the first to the first quarter and so on, or as they come. */
function putIn(part: number, side: Side, { columns }: MatrixConfig): string {
  const i = side === 'query' ? `n % 4u * ${columns / 4}u + n / 4u` : 'n'
  return `let to = ${part > 0 ? `${part * columns}u * PITCH + ` : ''}(${i}) * PITCH + c * 4u;
${each(4, e => `tile[${plus('to', e)}] = value[${e}];`)}`
}

const zeroSums = (name: string, rows: number, count: number, { fragment: { m, n } }: MatrixConfig): string =>
  each(rows, i => each(count, j => `var ${name}${i}_${j} = subgroup_matrix_result<f32, ${n}, ${m}>();`))

/** scores = left · (the tile's n-th part)ᵀ for the strip, stored to `block`. */
function products(block: string, left: string, part: number, config: MatrixConfig, { headSize }: AttentionLayout): string {
  const { rows, columns, fragment: { m, n, k } } = config
  return `{
${zeroSums('s', rows, columns / n, config)}
${each(headSize / k, h => `{
${each(columns / n, j => `let right${j} = ${load('turned', 'tile', plus(`${part * columns + j * n}u * PITCH`, h * k), 'PITCH', config)};
${each(rows, i => `s${i}_${j} = subgroupMatrixMultiplyAccumulate(${left}${i}_${h}, right${j}, s${i}_${j});`)}`)}
}`)}
${each(rows, i => each(columns / n, j =>
    `subgroupMatrixStore<row_major>(&${block}, ${plus(`(${plus('strip', i * m)}) * BLOCK_PITCH`, j * n)}, s${i}_${j}, BLOCK_PITCH);`))}
}`
}

/** sum += weights · the tile's n-th part. */
function accumulate(sum: string, weights: string, part: number, config: MatrixConfig, { headSize }: AttentionLayout): string {
  const { rows, columns, fragment: { m, n, k } } = config
  return each(columns / k, c => `{
${each(rows, i => `let left${i} = ${load('left', weights, plus(`(${plus('strip', i * m)}) * BLOCK_PITCH`, c * k), 'BLOCK_PITCH', config)};`)}
${each(headSize / n, j => `let right${j} = ${load('right', 'tile', plus(`${part * columns + c * k}u * PITCH`, j * n), 'PITCH', config)};
${each(rows, i => `${sum}${i}_${j} = subgroupMatrixMultiplyAccumulate(left${i}, right${j}, ${sum}${i}_${j});`)}`)}
}`)
}

/** Stores a strip's sums to an operand through the scores' memory, as many columns at a time as that is wide. */
function storeSums(sum: string, name: string, bound: string, value: (four: string) => string, config: MatrixConfig, { headSize }: AttentionLayout): string {
  const { rows, columns, fragment: { m, n, lanes } } = config
  const operand = name[0].toUpperCase() + name.slice(1)
  return each(Math.ceil(headSize / columns), slice => {
    const first = slice * columns
    const width = Math.min(columns, headSize - first)
    return `workgroupBarrier();
${each(rows, i => each(width / n, j =>
      `subgroupMatrixStore<row_major>(&scores, ${plus(`(${plus('strip', i * m)}) * BLOCK_PITCH`, j * n)}, ${sum}${i}_${first / n + j}, BLOCK_PITCH);`))}
workgroupBarrier();
for (var at = lane; at < ${stripRows(config) * width / 4}u; at += ${lanes}u) {
let c = at % ${width / 4}u;
let row = strip + at / ${width / 4}u;
let i = rowStart + row;
if (i < ${bound}) {
let four = row * BLOCK_PITCH + 4u * c;
store${operand}(row${operand}(item, i, head), ${first / 4}u + c, ${value(`vec4<f32>(${each(4, e => `scores[${plus('four', e)}]`, ', ')})`)});
}
}`
  })
}

/**
 * Repeats what a thread does in a turn: written out for a few turns, which run side by side, in a loop for many. Random
 * numbers take some hundreds of instructions a turn, and many of those don't fit a GPU's instruction cache.
 */
function turnByTurn(turns: number, { dropout }: AttentionLayout, body: (turn: string) => string): string {
  const together = turns % 4 === 0 && !dropout ? 4 : turns % 2 === 0 ? 2 : 1
  if (turns === together) return each(turns, t => `{\n${body(`${t}u`)}\n}`)
  return `for (var turn = 0u; turn < ${turns}u; turn += ${together}u) {
${together === 1 ? body('turn') : each(together, t => `{\n${body(t === 0 ? 'turn' : `turn + ${t}u`)}\n}`)}
}`
}

/** The row of a strip that a thread has in a turn, where its share is quads of rows. */
function rowFunction(pass: Pass, config: MatrixConfig): string {
  if (pass === 'key') return ''
  const { across, groups, turns } = sharesOf(pass, config)
  // Rows of one turn so far apart that their quads are in different banks.
  const apart = Math.max(1, across / 8)
  const sum = turns % apart === 0 && apart > 1
    ? `turn / ${apart}u * ${groups * apart}u + lane / ${across}u * ${apart}u + turn % ${apart}u`
    : `turn * ${groups}u + lane / ${across}u`
  return `// The row of its subgroup's strip that a thread works on in a turn
fn rowOf(turn: u32, lane: u32) -> u32 {
return ${sum};
}`
}

/** Workgroup memory, and how threads read and write their shares of it. */
function memory(pass: Pass, config: MatrixConfig, layout: AttentionLayout): string {
  const scores = pass === 'forward' ? ['scores'] : ['scores', 'slopes']
  const weights = pass === 'key' ? ['weights', 'slopeWeights'] : ['weights']
  const capital = (name: string): string => name[0].toUpperCase() + name.slice(1)
  const places = ['at', 'at + STEP', 'at + 2u * STEP', 'at + 3u * STEP']
  return `const PITCH = ${pitchOf(layout.headSize)}u; // of the tile
const BLOCK_PITCH = ${pitchOf(config.columns)}u; // of scores and weights
const STEP = ${pass === 'key' ? 'BLOCK_PITCH' : `${sharesOf(pass, config).across}u`}; // between the keys of a thread's four
var<workgroup> tile: array<f16, ${tileElements(config, layout)}>;
${scores.map(name => `var<workgroup> ${name}: array<f32, ${blockElements(config)}>;`).join('\n')}
${weights.map(name => `var<workgroup> ${name}: array<f16, ${blockElements(config)}>;`).join('\n')}
${pass === 'key' ? '' : `var<workgroup> rowStatistics: array<vec2<f32>, ${matrixRows(config)}>;`}

${scores.map(name => `fn ${name}At(at: u32) -> vec4<f32> {
return vec4<f32>(${places.map(at => `${name}[${at}]`).join(', ')});
}`).join('\n')}
${weights.map(name => `fn put${capital(name)}(at: u32, x: vec4<f32>) {
${places.map((at, e) => `${name}[${at}] = f16(x[${e}]);`).join('\n')}
}`).join('\n')}
${rowFunction(pass, config)}`
}

const main = (pass: Pass, config: MatrixConfig): string => {
  const { across } = sharesOf(pass, config)
  return `@compute @workgroup_size(${threadsOf(config)})
fn main(${builtins}, @builtin(local_invocation_index) local: u32) {
${place(matrixRows(config))}
let lane = local % ${config.fragment.lanes}u;
let strip = local / ${config.fragment.lanes}u * ${stripRows(config)}u; // the subgroup's rows of the tile
${pass === 'key' ? '' : `let quad = lane % ${across}u;`}`
}

/** Forward: o and lse. */
export function matrixForwardWgsl(config: MatrixConfig, layout: AttentionLayout): string {
  const { rows, columns, fragment: { n } } = config
  const { turns } = sharesOf('forward', config)
  const moved = columnsOf(config, layout)
  const everyRow = `for (var row = local; row < ${matrixRows(config)}u; row += ${threadsOf(config)}u)`
  const keys = [comingOf('K', 'sizes.keys')]
  const both = [...keys, comingOf('V', 'sizes.keys')]
  const readAll = (all: readonly Coming[], start: string): string => all.map(coming => moved.read(coming, start)).join('\n')
  const scoresOfTile = (all: readonly Coming[]): string => `workgroupBarrier();
${all.map((coming, part) => moved.put(coming, 'start', putIn(part, 'query', config))).join('\n')}
workgroupBarrier();
${readAll(all, `start + ${columns}u`)}
${products('scores', 'query', 0, config, layout)}
workgroupBarrier();`
  const keysOfQuad = `let key = start + 4u * quad;
let open = allowed4(item, key, extent);`
  return tidy(`${declarations({
    title: `attention forward ${describe(config, layout)}`,
    layout, reads: ['q', 'k', 'v'], writes: ['o'], extra: [{ name: 'lse', type: 'array<f32>', written: true }], matrices: true,
  })}
${memory('forward', config, layout)}

${main('forward', config)}
${keepRows('query', 'Q', 'sizes.queries', config, layout)}

// Each row's peak and total, of this thread's quads first
${each(turns, t => `var peak${t} = LOWEST;
var total${t} = 0.0;`)}
${both.map(coming => moved.hold(coming)).join('\n')}
${readAll(keys, '0u')}
for (var start = 0u; start < extent; start += ${columns}u) {
${scoresOfTile(keys)}
${keysOfQuad}
${each(turns, t => `{
let row = strip + rowOf(${t}u, lane);
let at = row * BLOCK_PITCH + quad;
let s = select(vec4<f32>(LOWEST), sizes.scale * scoresAt(at), open);
let next = max(peak${t}, max(max(s.x, s.y), max(s.z, s.w)));
total${t} = fma(total${t}, exp(peak${t} - next), dot(select(vec4<f32>(), exp(s - next), open), vec4<f32>(1.0)));
peak${t} = next;
}`)}
}
workgroupBarrier();
${each(turns, t => `{
let row = strip + rowOf(${t}u, lane);
let at = row * BLOCK_PITCH + quad;
scores[at] = peak${t};
scores[at + STEP] = total${t};
}`)}
workgroupBarrier();
${everyRow} {
let at = row * BLOCK_PITCH;
var peak = LOWEST;
for (var other = 0u; other < STEP; other++) { peak = max(peak, scores[at + other]); }
var total = 0.0;
for (var other = 0u; other < STEP; other++) { total = fma(scores[at + STEP + other], exp(scores[at + other] - peak), total); }
// A row that attends to nothing gives zeros.
rowStatistics[row] = vec2<f32>(peak, select(0.0, 1.0 / total, total > 0.0));
let i = rowStart + row;
if (i < sizes.queries) { lse[headRow + i] = select(0.0, peak + log(total), total > 0.0); }
}
workgroupBarrier();

// Weights relative to the peak, at most 1 but for dropout's factor, and the sums of values
${zeroSums('sum', rows, layout.headSize / n, config)}
${readAll(both, '0u')}
for (var start = 0u; start < extent; start += ${columns}u) {
${scoresOfTile(both)}
${keysOfQuad}
${turnByTurn(turns, layout, turn => `let row = strip + rowOf(${turn}, lane);
let at = row * BLOCK_PITCH + quad;
let p = select(vec4<f32>(), exp(sizes.scale * scoresAt(at) - rowStatistics[row].x), open);
${layout.dropout ? 'let weight = keep4(headRow + rowStart + row, key) * p;' : 'let weight = p;'}
putWeights(at, weight);`)}
workgroupBarrier();
${accumulate('sum', 'weights', 1, config, layout)}
}
${storeSums('sum', 'o', 'sizes.queries', four => `rowStatistics[row].y * ${four}`, config, layout)}
}`)
}

/** dq of a tile of queries (side 'query'), or dk and dv of a tile of keys (side 'key'). */
export function matrixGradientWgsl(side: Side, config: MatrixConfig, layout: AttentionLayout): string {
  const { rows, columns, fragment: { n } } = config
  const { a1, a2, b1, b2, rows: rowBound, columns: columnBound, writes } = sides(side)
  const query = side === 'query'
  const moved = columnsOf(config, layout)
  const [one, two] = [comingOf(b1, columnBound), comingOf(b2, columnBound)]
  return tidy(`${declarations({
    title: `attention gradient of the ${side} side, ${describe(config, layout)}`,
    layout, reads: ['q', 'k', 'v', 'dO'], writes, extra: [{ name: 'statistics', type: 'array<vec2<f32>>' }], matrices: true,
  })}
${memory(side, config, layout)}

${main(side, config)}
${query ? `for (var row = local; row < ${matrixRows(config)}u; row += ${threadsOf(config)}u) {
rowStatistics[row] = statistics[headRow + min(rowStart + row, sizes.queries - 1u)];
}` : ''}
${keepRows('one', a1, rowBound, config, layout)}
${keepRows('two', a2, rowBound, config, layout)}
${zeroSums('sumOne', rows, layout.headSize / n, config)}
${query ? 'let end = extent;' : `${zeroSums('sumTwo', rows, layout.headSize / n, config)}
var end = ${columnBound};
if (rowStart >= extent) { end = 0u; } // keys of padding alone`}
${moved.hold(one)}
${moved.hold(two)}
${moved.read(one, '0u')}
${moved.read(two, '0u')}
for (var start = 0u; start < end; start += ${columns}u) {
workgroupBarrier();
${moved.put(one, 'start', putIn(0, side, config))}
${moved.put(two, 'start', putIn(1, side, config))}
workgroupBarrier();
${moved.read(one, `start + ${columns}u`)}
${moved.read(two, `start + ${columns}u`)}
${products('scores', 'one', 0, config, layout)}
${products('slopes', 'two', 1, config, layout)}
workgroupBarrier();
${query ? queryWeights(config, layout) : keyWeights(config, layout)}
workgroupBarrier();
${query ? accumulate('sumOne', 'weights', 0, config, layout) : `${accumulate('sumOne', 'slopeWeights', 0, config, layout)}
${accumulate('sumTwo', 'weights', 1, config, layout)}`}
}
${query
    ? storeSums('sumOne', 'dq', rowBound, four => `sizes.scale * ${four}`, config, layout)
    : `// What a masked key gathered may be anything.
${storeSums('sumOne', 'dk', rowBound, four => `select(vec4<f32>(), sizes.scale * ${four}, allowed(item, i, extent))`, config, layout)}
${storeSums('sumTwo', 'dv', rowBound, four => `select(vec4<f32>(), ${four}, allowed(item, i, extent))`, config, layout)}`}
}`)
}

/** Slopes of the scores, of four keys of a query at a time: p · (z · dp − mean). */
function queryWeights(config: MatrixConfig, layout: AttentionLayout): string {
  const { turns } = sharesOf('query', config)
  return `let key = start + 4u * quad;
let open = allowed4(item, key, extent);
${turnByTurn(turns, layout, turn => `let row = strip + rowOf(${turn}, lane);
let at = row * BLOCK_PITCH + quad;
let statistic = rowStatistics[row];
let p = select(vec4<f32>(), exp(sizes.scale * scoresAt(at) - statistic.x), open);
let slope = p * (${layout.dropout ? 'keep4(headRow + rowStart + row, key) * ' : ''}slopesAt(at) - statistic.y);
putWeights(at, slope);`)}`
}

/** The same with keys along rows, and the weights themselves. */
function keyWeights(config: MatrixConfig, layout: AttentionLayout): string {
  const { across, groups, turns } = sharesOf('key', config)
  const factor = layout.dropout ? 'factor * ' : ''
  const group = groups === 1 ? '' : ` + lane / ${across}u`
  return `for (var column = lane % ${across}u; column < ${config.columns}u; column += ${across}u) {
let query = start + column;
let statistic = statistics[headRow + min(query, sizes.queries - 1u)];
let open = query < sizes.queries;
${turnByTurn(turns, layout, turn => `let row = strip + 4u * (${groups === 1 ? turn : `(${turn}) * ${groups}u`}${group});
let at = row * BLOCK_PITCH + column;
let p = select(vec4<f32>(), exp(sizes.scale * scoresAt(at) - statistic.x), open);
${layout.dropout ? 'let factor = keep4(headRow + query, rowStart + row);' : ''}
let slope = p * (${factor}slopesAt(at) - statistic.y);
let weight = ${factor}p;
putSlopeWeights(at, slope);
putWeights(at, weight);`)}
}`
}
