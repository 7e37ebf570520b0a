// The stored gradient (stored.ts) by subgroup matrices, for f16. A subgroup owns some of a tile's rows.
//
// weights   rows are queries, whose matrices are kept while the loop runs over the keys; threads read scores and their
//           gradients from workgroup memory and store probabilities and dScores.
// sums      the stored matrices are loaded once, straight from storage, as left operands; transposed where rows are
// keys. The
//           other side's operand is staged in workgroup memory and shared by all subgroups.
import { MATRICES, loadFragment } from '../subgroup-matrix.ts'
import { type Shader, each, plus, wgsl, written } from '../wgsl.ts'
import { type AttentionLayout, type Side, type StoredKind, attentionShader, columnsEnd } from './common.ts'
import {
  type MatrixConfig,
  KEY_BLOCK,
  blockElements,
  describe,
  matrixConfigs,
  matrixName,
  matrixRows,
  matrixSumsConfigs,
  pitchOf,
  sharesOf,
  threadsOf,
} from './matrix-config.ts'
import {
  columnsOf,
  stagedOperand,
  keepRows,
  main,
  memory,
  products,
  putIn,
  storeSums,
  turnByTurn,
  zeroSums,
} from './matrix.ts'
import { BLOCK, inBlocks, storedAt, storedUniforms } from './stored.ts'

/** Probabilities and dScores of a tile of queries, one block of keys at a time. */
function matrixProbabilitiesShader(config: MatrixConfig, layout: AttentionLayout): Shader {
  const { columns } = config
  const { turns } = sharesOf('weights', config)
  const staging = columnsOf(config, layout)
  const [keys, values] = [stagedOperand('K', 'u.keys'), stagedOperand('V', 'u.keys')]
  const factor = layout.dropout ? 'factor * ' : ''
  return attentionShader({
    title: `attention gradient's weights, ${describe(config, layout)}`,
    layout,
    reads: ['q', 'k', 'v', 'dO'],
    writes: [],
    extra: { statistics: 'vec2<f32>', stored: written('vec4<f16>') },
    needs: MATRICES,
    uniforms: storedUniforms,
    code: wgsl`
      ${storedAt(true)}
      ${memory('weights', config, layout)}

      ${main(
        'weights',
        config,
        wgsl`
        for (var row = local; row < ${matrixRows(config)}u; row += ${threadsOf(config)}u) {
          rowStatistics[row] = statistics[headRow + min(rowStart + row, u.queries - 1u)];
        }
        ${keepRows('query', 'Q', 'u.queries', config, layout)}
        ${keepRows('upstream', 'DO', 'u.queries', config, layout)}
        let square = (pair - u.firstPair) * (u.storedQueries * u.storedKeys / 4u);
        let half = u.pairs * (u.storedQueries * u.storedKeys / 4u);
        let end = (extent + ${BLOCK - 1}u) / ${BLOCK}u * ${BLOCK}u;
        ${staging.declare(keys)}
        ${staging.declare(values)}
        ${staging.read(keys, '0u')}
        ${staging.read(values, '0u')}
        for (var start = 0u; start < end; start += ${columns}u) {
          workgroupBarrier();
          ${staging.put(keys, 'start', putIn(0, 'query', config))}
          ${staging.put(values, 'start', putIn(1, 'query', config))}
          workgroupBarrier();
          ${staging.read(keys, `start + ${columns}u`)}
          ${staging.read(values, `start + ${columns}u`)}
          ${products('scores', 'query', 0, config, layout)}
          ${products('dProbabilities', 'upstream', 1, config, layout)}
          workgroupBarrier();
          let key = start + 4u * quad;
          let open = allowed4(item, key, extent);
          ${turnByTurn(
            turns,
            layout,
            turn => wgsl`
            let row = subgroupRow + rowOf(${turn}, lane);
            let query = rowStart + row;
            let at = row * BLOCK_PITCH + quad;
            let statistic = rowStatistics[row];
            let p = select(vec4<f32>(), exp(u.scale * scoresAt(at) - statistic.x), open & vec4<bool>(query < u.queries));
            ${layout.dropout ? 'let factor = keep4(headRow + query, key);' : ''}
            if (query < u.storedQueries) {
              let to = square + storedAt(query, key / 4u);
              stored[to] = vec4<f16>(${factor}p);
              stored[half + to] = vec4<f16>(p * (${factor}dProbabilitiesAt(at) - statistic.y));
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
  const { m, n, k } = fragment
  const staging = columnsOf(config, layout)
  const [rowBound, bound, stored] =
    side === 'query' ? ['u.queries', 'u.keys', 'u.storedQueries'] : ['u.keys', 'u.queries', 'u.storedKeys']
  const other = stagedOperand('Other', bound)
  // Rows past the edge repeat the last, and are not stored.
  const row = (i: number): string => `min(rowStart + ${plus('subgroupRow', i * m)}, ${stored} - ${m}u)`
  // Offset of a fragment's first key in a stored matrix: no fragment is wider than a block of keys.
  const ofKey = (key: string): string => `(${key}) / ${KEY_BLOCK}u * keyBlockSize + (${key}) % ${KEY_BLOCK}u`
  const left = (i: number, c: number): string =>
    side === 'query'
      ? loadFragment('left', 'stored', `from${i} + ${ofKey(plus('start', c * k))}`, 'KEY_BLOCK', fragment)
      : loadFragment('left turned', 'stored', `from${i} + (${plus('start', c * k)}) * KEY_BLOCK`, 'KEY_BLOCK', fragment)
  return attentionShader({
    title: `attention gradient's sums of the ${side} side, ${describe(config, layout)}`,
    layout,
    reads: ['other'],
    writes: ['result'],
    extra: { stored: 'f16' },
    needs: MATRICES,
    uniforms: { ...storedUniforms, part: 'u32', factor: 'f32' },
    code: wgsl`
      const PITCH = ${pitchOf(layout.headSize)}u; // of the tile
      const BLOCK_PITCH = ${pitchOf(columns)}u; // of the memory that sums are stored through
      const KEY_BLOCK = ${KEY_BLOCK}u; // keys of a block, side by side
      var<workgroup> tile: array<f16, ${columns * pitchOf(layout.headSize)}>;
      var<workgroup> scores: array<f32, ${blockElements(config)}>;

      ${main(
        'key',
        config,
        wgsl`
        let keyBlockSize = u.storedQueries * KEY_BLOCK;
        let square = (u.part * u.pairs + pair - u.firstPair) * (u.storedQueries * u.storedKeys);
        ${each(
          rows,
          i => wgsl`
          let row${i} = ${row(i)};
          let from${i} = square + ${side === 'query' ? `row${i} * KEY_BLOCK` : ofKey(`row${i}`)};
        `,
        )}
        ${zeroSums('sum', rows, layout.headSize / n, config)}
        ${columnsEnd(side)}
        ${staging.declare(other)}
        ${staging.read(other, '0u')}
        for (var start = 0u; start < end; start += ${columns}u) {
          ${each(columns / k, c => each(rows, i => `let left${i}_${c} = ${left(i, c)};`))}
          workgroupBarrier();
          ${staging.put(other, 'start', putIn(0, 'key', config))}
          workgroupBarrier();
          ${staging.read(other, `start + ${columns}u`)}
          ${each(
            columns / k,
            c => wgsl`
            {
              ${each(
                layout.headSize / n,
                j => wgsl`
                let right${j} = ${loadFragment('right', 'tile', plus(`${c * k}u * PITCH`, j * n), 'PITCH', fragment)};
                ${each(rows, i => `sum${i}_${j} = subgroupMatrixMultiplyAccumulate(left${i}_${c}, right${j}, sum${i}_${j});`)}
              `,
              )}
            }
          `,
          )}
        }
        ${storeSums(
          'sum',
          'result',
          rowBound,
          value =>
            side === 'query'
              ? `u.factor * ${value}`
              : `select(vec4<f32>(), u.factor * ${value}, allowed(item, i, extent))`,
          config,
          layout,
        )}
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
  weights: matrixProbabilitiesShader,
  sums: matrixSumsShader,
}
