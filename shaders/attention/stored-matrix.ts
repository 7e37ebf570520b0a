// The stored gradient (stored.ts) by subgroup matrices, for f16. A subgroup owns some of a tile's rows.
//
// probabilities  rows are queries, whose matrices are kept while the loop runs over the keys; threads read scores and
//                the gradients of the probabilities from workgroup memory, and store probabilities and dScores.
// sums           the stored matrices are loaded once, straight from storage, as left operands; transposed where rows
//                are keys. The other side's operand is staged in workgroup memory and shared by all subgroups.
import { MATRICES, loadFragment } from '../subgroup-matrix.ts'
import { type Part, type Shader, each, plus, scope, wgsl, written } from '../wgsl.ts'
import { type AttentionLayout, type Side, type StoredKind, attentionShader } from './common.ts'
import type { MatrixConfig } from './matrix-config.ts'
import {
  KEY_BLOCK,
  blockElements,
  describe,
  matrixConfigs,
  matrixName,
  matrixRows,
  matrixSumsConfigs,
  pitchOf,
} from './matrix-config.ts'
import { MatrixParts, matrixScores, stagedOperand } from './matrix-parts.ts'
import { columnsLoop, eachHead, place, sharesRows } from './place.ts'
import { closesScores, declareBias, isOpen, scoreOf } from './scores.ts'
import { inBlocks, storedAt, storedEnd, storedUniforms } from './stored.ts'

/** Probabilities and dScores of a tile of queries, one block of keys at a time. */
function matrixProbabilitiesShader(config: MatrixConfig, layout: AttentionLayout): Shader {
  const { columns } = config
  const parts = new MatrixParts('probabilities', config, layout)
  const staging = parts.columns
  const [keys, values] = [stagedOperand('K', 'u.keys'), stagedOperand('V', 'u.keys')]
  const factor = layout.dropout ? 'factor * ' : ''
  const closes = closesScores(layout)
  const open = closes ? isOpen('query, key', 'added', layout) : 'open & vec4<bool>(query < u.queries)'
  return attentionShader({
    title: `attention gradient's probabilities, ${describe(config, layout)}`,
    layout,
    reads: ['q', 'k', 'v', 'dO'],
    writes: [],
    statistics: true,
    extra: { stored: written('vec4<f16>') },
    needs: MATRICES,
    uniforms: storedUniforms,
    scores: matrixScores,
    code: wgsl`
      ${storedAt(true)}
      ${parts.memory()}

      ${parts.main(
        place(matrixRows(config), 'stored', layout),
        wgsl`
        ${parts.loadStatistics()}
        ${parts.keepRows('query', 'Q', 'u.queries')}
        ${parts.keepRows('upstream', 'DO', 'u.queries')}
        let square = (pair - u.firstPair) * (u.storedQueries * u.storedKeys / 4u);
        let dScores = u.pairs * (u.storedQueries * u.storedKeys / 4u);
        ${storedEnd(layout)}
        ${staging.declare(keys, values)}
        ${staging.read('0u', keys, values)}
        for (var start = 0u; start < end; start += ${columns}u) {
          workgroupBarrier();
          ${staging.put(keys, 'start', parts.putIn(0))}
          ${staging.put(values, 'start', parts.putIn(1))}
          workgroupBarrier();
          ${staging.read(`start + ${columns}u`, keys, values)}
          ${parts.products('scores', 'query', 0)}
          ${parts.products('dProbabilities', 'upstream', 1)}
          workgroupBarrier();
          let key = start + 4u * quad;
          ${!closes && 'let open = allowed4(item, key, extent);'}
          ${parts.turnByTurn(
            turn => wgsl`
            let row = subgroupRow + rowOf(${turn}, lane);
            let query = rowStart + row;
            let at = row * BLOCK_PITCH + quad;
            let statistic = rowStatistics[row];
            ${declareBias('added', 'query, key', layout)}
            let p = select(vec4<f32>(), exp(${scoreOf('scoresAt(at)', 'added', layout)} - statistic.x), ${open});
            ${layout.dropout && 'let factor = keep4(headRow + query, key);'}
            if (query < u.storedQueries) {
              let to = square + storedAt(query, key / 4u);
              stored[to] = vec4<f16>(${factor}p);
              stored[dScores + to] = vec4<f16>(p * (${factor}dProbabilitiesAt(at) - statistic.y));
            }
          `,
          )}
        }
      `,
      )}
    `,
  })
}

/** A tile of rows of factor · stored matrix · the other side's operand, as in stored.ts. */
function matrixSumsShader(side: Side, config: MatrixConfig, layout: AttentionLayout): Shader {
  const { rows, columns, fragment } = config
  const { m, k } = fragment
  const query = side === 'query'
  const parts = new MatrixParts('key', config, layout)
  const staging = parts.columns
  const [rowBound, bound, stored] = query
    ? ['u.queries', 'u.keys', 'u.storedQueries']
    : ['u.keys', 'u.queries', 'u.storedKeys']
  const other = stagedOperand('Other', bound)
  const loop = columnsLoop(side, columns, layout)
  // Offset of a fragment's first key in a stored matrix: no fragment is wider than a block of keys.
  const ofKey = (key: string): string => `(${key}) / ${KEY_BLOCK}u * keyBlockSize + (${key}) % ${KEY_BLOCK}u`
  // Rows past the edge repeat the last, and are not stored.
  const from = (i: number): string[] => [
    `let row${i} = min(rowStart + ${plus('subgroupRow', i * m)}, ${stored} - ${m}u);`,
    `let from${i} = square + ${query ? `row${i} * KEY_BLOCK` : ofKey(`row${i}`)};`,
  ]
  const left = (i: number, c: number): string => {
    const column = plus('start', c * k)
    const at = query ? ofKey(column) : `(${column}) * KEY_BLOCK`
    return loadFragment(query ? 'left' : 'left turned', 'stored', `from${i} + ${at}`, 'KEY_BLOCK', fragment)
  }
  const result = (sum: string): string =>
    query ? `u.factor * ${sum}` : `select(vec4<f32>(), u.factor * ${sum}, allowed(item, i, extent))`
  const shares = sharesRows(side, layout)
  const square = (pair: string): Part => [
    `let square = (u.part * u.pairs + ${pair} - u.firstPair) * (u.storedQueries * u.storedKeys);`,
    each(rows, from),
  ]
  const walk = wgsl`
    ${shares && square('pair + member')}
    ${staging.declare(other)}
    ${staging.read(loop.begin, other)}
    for (var start = ${loop.begin}; start < end; start += ${columns}u) {
      ${each(columns / k, c => each(rows, i => `let left${i}_${c} = ${left(i, c)};`))}
      workgroupBarrier();
      ${staging.put(other, 'start', parts.putIn(0))}
      workgroupBarrier();
      ${staging.read(`start + ${columns}u`, other)}
      ${each(columns / k, c => scope(parts.addTile('sum', i => `left${i}_${c}`, 0, c)))}
    }
  `
  return attentionShader({
    title: `attention gradient's sums of the ${side} side, ${describe(config, layout)}`,
    layout,
    reads: ['other'],
    writes: ['result'],
    ofKeys: [query ? 'other' : 'result'],
    extra: { stored: 'f16' },
    needs: MATRICES,
    uniforms: { ...storedUniforms, part: 'u32', factor: 'f32' },
    code: wgsl`
      const PITCH = ${pitchOf(layout.headSize)}u; // of the tile
      const BLOCK_PITCH = ${pitchOf(columns)}u; // of the memory that sums are stored through
      const KEY_BLOCK = ${KEY_BLOCK}u; // keys of a block, side by side
      var<workgroup> tile: array<f16, ${columns * pitchOf(layout.headSize)}>;
      var<workgroup> scores: array<f32, ${blockElements(config)}>;

      ${parts.main(
        place(matrixRows(config), side, layout),
        wgsl`
        let keyBlockSize = u.storedQueries * KEY_BLOCK;
        ${!shares && square('pair')}
        ${parts.zeroSums('sum')}
        ${loop.declare}
        ${eachHead(side, layout, walk)}
        ${parts.storeSums('sum', 'result', rowBound, result)}
      `,
      )}
    `,
  })
}

export const storedMatrix: StoredKind<MatrixConfig> = {
  candidates: (part, layout, traits) =>
    part === 'sums' ? matrixSumsConfigs(layout, traits) : matrixConfigs(part, layout, traits),
  name: matrixName,
  rows: matrixRows,
  tiles: (config, { queries }) => Math.ceil(inBlocks(queries) / matrixRows(config)),
  probabilities: matrixProbabilitiesShader,
  sums: matrixSumsShader,
}
