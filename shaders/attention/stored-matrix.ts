// The stored gradient (stored.ts) by subgroup matrices, for f16: a subgroup owns a strip of rows in both kernels.
//
// weights   rows are queries, whose matrices are kept while the keys pass; scores and slopes go through workgroup memory to
//           threads, which store them.
// sums      a strip's stored weights are read as matrices, each once, straight from where they lie: as left operands, turned
//           round where rows are keys. The other side's operand comes by way of workgroup memory, and serves all strips.
import { type AttentionLayout, type Side, declarations, each, tidy } from './common.ts'
import {
  type MatrixConfig, STRIP, blockElements, describe, matrixRows, pitchOf, plus, sharesOf, threadsOf,
} from './matrix-config.ts'
import {
  columnsOf, comingOf, load, keepRows, main, memory, products, putIn, storeSums, turnByTurn, zeroSums,
} from './matrix.ts'
import { BLOCK, storedAt, storedFields } from './stored.ts'

/** Weights and slopes of the scores of a tile of queries, block by block of the keys. */
export function matrixWeightsWgsl(config: MatrixConfig, layout: AttentionLayout): string {
  const { columns } = config
  const { turns } = sharesOf('weights', config)
  const moved = columnsOf(config, layout)
  const [keys, values] = [comingOf('K', 'sizes.keys'), comingOf('V', 'sizes.keys')]
  const factor = layout.dropout ? 'factor * ' : ''
  return tidy(`${declarations({
    title: `attention gradient's weights, ${describe(config, layout)}`,
    layout, reads: ['q', 'k', 'v', 'dO'], writes: [],
    extra: [{ name: 'statistics', type: 'array<vec2<f32>>' }, { name: 'stored', type: 'array<vec4<f16>>', written: true }],
    matrices: true, fields: storedFields,
  })}
${storedAt(true)}
${memory('weights', config, layout)}

${main('weights', config)}
for (var row = local; row < ${matrixRows(config)}u; row += ${threadsOf(config)}u) {
rowStatistics[row] = statistics[headRow + min(rowStart + row, sizes.queries - 1u)];
}
${keepRows('query', 'Q', 'sizes.queries', config, layout)}
${keepRows('slope', 'DO', 'sizes.queries', config, layout)}
let square = (pair - sizes.firstPair) * (sizes.storedQueries * sizes.storedKeys / 4u);
let half = sizes.pairs * (sizes.storedQueries * sizes.storedKeys / 4u);
let end = (extent + ${BLOCK - 1}u) / ${BLOCK}u * ${BLOCK}u;
${moved.hold(keys)}
${moved.hold(values)}
${moved.read(keys, '0u')}
${moved.read(values, '0u')}
for (var start = 0u; start < end; start += ${columns}u) {
workgroupBarrier();
${moved.put(keys, 'start', putIn(0, 'query', config))}
${moved.put(values, 'start', putIn(1, 'query', config))}
workgroupBarrier();
${moved.read(keys, `start + ${columns}u`)}
${moved.read(values, `start + ${columns}u`)}
${products('scores', 'query', 0, config, layout)}
${products('slopes', 'slope', 1, config, layout)}
workgroupBarrier();
let key = start + 4u * quad;
let open = allowed4(item, key, extent);
${turnByTurn(turns, layout, turn => `let row = strip + rowOf(${turn}, lane);
let query = rowStart + row;
let at = row * BLOCK_PITCH + quad;
let statistic = rowStatistics[row];
let p = select(vec4<f32>(), exp(sizes.scale * scoresAt(at) - statistic.x), open & vec4<bool>(query < sizes.queries));
${layout.dropout ? 'let factor = keep4(headRow + query, key);' : ''}
if (query < sizes.storedQueries) {
let to = square + storedAt(query, key / 4u);
stored[to] = vec4<f16>(${factor}p);
stored[half + to] = vec4<f16>(p * (${factor}slopesAt(at) - statistic.y));
}`)}
}
}`)
}

/** A tile of rows of factor · stored weights · the other side's operand, as of stored.ts. */
export function matrixSumsWgsl(side: Side, config: MatrixConfig, layout: AttentionLayout): string {
  const { rows, columns, fragment: { m, n, k } } = config
  const moved = columnsOf(config, layout)
  const [rowBound, bound, stored] = side === 'query'
    ? ['sizes.queries', 'sizes.keys', 'sizes.storedQueries'] : ['sizes.keys', 'sizes.queries', 'sizes.storedKeys']
  const other = comingOf('Other', bound)
  // Rows past the edge repeat the last, and are not stored.
  const row = (i: number): string => `min(rowStart + ${plus('strip', i * m)}, ${stored} - ${m}u)`
  // Where a fragment's first key stands in a square: no fragment is wider than a strip.
  const ofKey = (key: string): string => `(${key}) / ${STRIP}u * stripSize + (${key}) % ${STRIP}u`
  const weights = (i: number, c: number): string => (side === 'query'
    ? load('left', 'stored', `from${i} + ${ofKey(plus('start', c * k))}`, 'STRIP', config)
    : load('left turned', 'stored', `from${i} + (${plus('start', c * k)}) * STRIP`, 'STRIP', config))
  return tidy(`${declarations({
    title: `attention gradient's sums of the ${side} side, ${describe(config, layout)}`,
    layout, reads: ['other'], writes: ['result'], extra: [{ name: 'stored', type: 'array<f16>' }],
    matrices: true, fields: `${storedFields} part: u32, factor: f32,`,
  })}
const PITCH = ${pitchOf(layout.headSize)}u; // of the tile
const BLOCK_PITCH = ${pitchOf(columns)}u; // of the memory that sums are stored through
const STRIP = ${STRIP}u; // keys side by side
var<workgroup> tile: array<f16, ${columns * pitchOf(layout.headSize)}>;
var<workgroup> scores: array<f32, ${blockElements(config)}>;

${main('key', config)}
let stripSize = sizes.storedQueries * STRIP;
let square = (sizes.part * sizes.pairs + pair - sizes.firstPair) * (sizes.storedQueries * sizes.storedKeys);
${each(rows, i => `let row${i} = ${row(i)};
let from${i} = square + ${side === 'query' ? `row${i} * STRIP` : ofKey(`row${i}`)};`)}
${zeroSums('sum', rows, layout.headSize / n, config)}
${side === 'query' ? 'let end = extent;' : `var end = ${bound};
if (rowStart >= extent) { end = 0u; } // keys of padding alone`}
${moved.hold(other)}
${moved.read(other, '0u')}
for (var start = 0u; start < end; start += ${columns}u) {
${each(columns / k, c => each(rows, i => `let left${i}_${c} = ${weights(i, c)};`))}
workgroupBarrier();
${moved.put(other, 'start', putIn(0, 'key', config))}
workgroupBarrier();
${moved.read(other, `start + ${columns}u`)}
${each(columns / k, c => `{
${each(layout.headSize / n, j => `let right${j} = ${load('right', 'tile', plus(`${c * k}u * PITCH`, j * n), 'PITCH', config)};
${each(rows, i => `sum${i}_${j} = subgroupMatrixMultiplyAccumulate(left${i}_${c}, right${j}, sum${i}_${j});`)}`)}
}`)}
}
${storeSums('sum', 'result', rowBound, four => (side === 'query'
    ? `sizes.factor * ${four}`
    : `select(vec4<f32>(), sizes.factor * ${four}, allowed(item, i, extent))`), config, layout)}
}`)
}
