// Attention by subgroup matrices (tensor cores), for GPUs with f16 operands: f16 fragments, sums in f32. A workgroup
// owns a tile of rows and walks over tiles of columns in workgroup memory; a subgroup owns some of the rows; their
// operands and sums stay in its matrices.
//
// The next tile's columns are prefetched into registers while this tile is computed.
//
// Single elements of a matrix can't be accessed, so scores go through workgroup memory: matrices store them, threads
// compute probabilities in f16, matrices multiply those. For the same reason the forward pass does not rescale its sums
// whenever a row's maximum grows: probabilities are relative to a reference, at first the maximum of the row's first
// keys. Only when they would overflow are references raised and the sums rescaled through workgroup memory.
//
// Random numbers come for four keys of one query at a time, so a thread's share is four keys: of a row where columns
// are keys (rowOf), of a column where rows are (side 'key').
import { MATRICES } from '../subgroup-matrix.ts'
import { type Shader, each, plus, wgsl, when, written } from '../wgsl.ts'
import { biasGradient, eachPairOfBias, placeOfBias, storeBias } from './bias.ts'
import { type AttentionKind, type AttentionLayout, type Side, attentionShader, sides, statisticOf } from './common.ts'
import { type MatrixConfig, describe, matrixConfigs, matrixName, matrixRows, sharesOf } from './matrix-config.ts'
import { MatrixParts, matrixScores, stagedOperand } from './matrix-parts.ts'
import { columnsLoop, eachHead, place } from './place.ts'
import { closesScores, declareBias, isOpen, scoreOf } from './scores.ts'

/** Bound on the sum of a thread's four probabilities: about e⁸, so that each fits f16 with a margin. */
const LARGEST_PROBABILITIES = '2980.0'

/** Forward: o and lse. */
function matrixForwardShader(config: MatrixConfig, layout: AttentionLayout): Shader {
  const { columns } = config
  const parts = new MatrixParts('forward', config, layout)
  const { columns: staging, turns, everyRow } = parts
  const [keys, values] = [stagedOperand('K', 'u.keys'), stagedOperand('V', 'u.keys')]
  const putKeys = staging.put(keys, 'start', parts.putIn(0))
  const rescale = wgsl`
    let factor = rowStatistics[row].y;
    ${each(4, e => `scores[${plus('begin', e)}] *= factor;`)}
  `
  const ofTurn = (t: number): string => `subgroupRow + rowOf(${t}u, lane)`
  const largest = Array.from({ length: turns }, (_, t) => `added${t}`).reduce((all, one) => `max(${all}, ${one})`)
  const closes = closesScores(layout)
  const placeOf = (key: string): string => `rowStart + row, ${key}`
  return attentionShader({
    title: `attention forward ${describe(config, layout)}`,
    layout,
    reads: ['q', 'k', 'v'],
    writes: ['o'],
    extra: { lse: written('f32') },
    needs: MATRICES,
    scores: matrixScores,
    code: wgsl`
      ${parts.memory()}

      ${parts.main(
        place(matrixRows(config), 'query', layout),
        wgsl`
        ${staging.declare(keys, values)}
        ${staging.read('0u', keys, values)}
        // Each row's reference, and the factor that rescales its sums
        ${everyRow} { rowStatistics[row].x = LOWEST; }
        ${parts.keepRows('query', 'Q', 'u.queries')}
        ${parts.zeroSums('sum')}
        // Totals of this thread's quads
        ${each(turns, t => `var total${t} = 0.0;`)}
        ${putKeys}
        ${staging.read(`${columns}u`, keys)}
        workgroupBarrier();
        for (var start = 0u; start < extent; start += ${columns}u) {
          ${parts.products('scores', 'query', 0)}
          workgroupBarrier();
          // This tile's values, and the next one's keys: those before are no longer needed.
          ${staging.put(values, 'start', parts.putIn(1))}
          ${putKeys}
          ${staging.read(`start + ${columns}u`, values)}
          ${staging.read(`start + ${2 * columns}u`, keys)}
          let key = start + 4u * quad;
          ${!closes && 'let open = allowed4(item, key, extent);'}
          ${each(turns, t => `var added${t}: f32;`)}
          var raised = start == 0u;
          loop {
            if (raised) {
              // References become the row maxima so far.
              ${everyRow} {
                let before = rowStatistics[row].x;
                var rowMax = before;
                for (var n = 0u; n < STEP; n++) {
                  let other = (n + row) % STEP; // neighbours read different banks
                  ${declareBias('added', placeOf('start + 4u * other'), layout)}
                  let open = ${closes ? isOpen(placeOf('start + 4u * other'), 'added', layout) : 'allowed4(item, start + 4u * other, extent)'};
                  let s = select(vec4<f32>(LOWEST), ${scoreOf('scoresAt(row * BLOCK_PITCH + other)', 'added', layout)}, open);
                  rowMax = max(rowMax, max(max(s.x, s.y), max(s.z, s.w)));
                }
                rowStatistics[row] = vec2<f32>(rowMax, exp(before - rowMax));
              }
              if (local == 0u) { atomicStore(&grown[0], 0u); }
              workgroupBarrier();
            }
            ${parts.turnByTurn(
              (turn, n) => wgsl`
              let row = subgroupRow + rowOf(${turn}, lane);
              let at = row * BLOCK_PITCH + quad;
              ${declareBias('added', placeOf('key'), layout)}
              ${closes && `let open = ${isOpen(placeOf('key'), 'added', layout)};`}
              let p = select(vec4<f32>(), exp(${scoreOf('scoresAt(at)', 'added', layout)} - rowStatistics[row].x), open);
              added${n} = dot(p, vec4<f32>(1.0));
              let probability = ${layout.dropout ? 'select(vec4<f32>(), p, keep4(headRow + rowStart + row, key) > vec4<f32>())' : 'p'};
              putProbabilities(at, probability);
            `,
              'added',
            )}
            if (${largest} > ${LARGEST_PROBABILITIES}) { atomicStore(&grown[0], 1u); }
            // Once at most: NaN would ask for it again and again.
            if (workgroupUniformLoad(&grown[0]) == 0u || raised) { break; }
            raised = true;
          }
          if (raised && start > 0u) {
            ${each(turns, t => `total${t} *= rowStatistics[${ofTurn(t)}].y;`)}
            ${parts.throughScores('sum', true, () => rescale)}
            workgroupBarrier();
          }
          ${each(turns, t => `total${t} += added${t};`)}
          ${parts.accumulate('sum', 'probabilities', 1)}
        }
        ${each(turns, t => `scores[(${ofTurn(t)}) * BLOCK_PITCH + quad] = total${t};`)}
        workgroupBarrier();
        ${everyRow} {
          var total = 0.0;
          for (var other = 0u; other < STEP; other++) { total += scores[row * BLOCK_PITCH + other]; }
          let reference = rowStatistics[row].x;
          // A row that attends to nothing gives zeros.
          rowStatistics[row].y = select(0.0, ${layout.dropout ? 'u.keepScale' : '1.0'} / total, total > 0.0);
          let i = rowStart + row;
          if (i < u.queries) { lse[headRow + i] = select(0.0, reference + log(total), total > 0.0); }
        }
        ${parts.storeSums('sum', 'o', 'u.queries', value => `rowStatistics[row].y * ${value}`)}
      `,
      )}
    `,
  })
}

/** dq of a tile of queries (side 'query'), or dk and dv of a tile of keys (side 'key'). */
function matrixGradientShader(side: Side, config: MatrixConfig, layout: AttentionLayout): Shader {
  const { columns } = config
  const { a1, a2, b1, b2, rows: rowBound, columns: bound, writes } = sides(side)
  const query = side === 'query'
  const parts = new MatrixParts(side, config, layout)
  const staging = parts.columns
  const [one, two] = [stagedOperand(b1, bound), stagedOperand(b2, bound)]
  const loop = columnsLoop(side, columns, layout)
  const ifAllowed = (value: string): string => `select(vec4<f32>(), ${value}, allowed(item, i, extent))`
  const walk = wgsl`
    ${staging.declare(one, two)}
    ${staging.read(loop.begin, one, two)}
    for (var start = ${loop.begin}; start < end; start += ${columns}u) {
      workgroupBarrier();
      ${staging.put(one, 'start', parts.putIn(0))}
      ${staging.put(two, 'start', parts.putIn(1))}
      workgroupBarrier();
      ${staging.read(`start + ${columns}u`, one, two)}
      ${parts.products('scores', 'one', 0)}
      ${parts.products('dProbabilities', 'two', 1)}
      workgroupBarrier();
      ${query ? queryDScores(parts, layout, () => 'putDScores(at, dScore);') : keyDScores(parts, config, layout)}
      workgroupBarrier();
      ${parts.accumulate('sumOne', 'dScores', 0)}
      ${!query && parts.accumulate('sumTwo', 'probabilities', 1)}
    }
  `
  return attentionShader({
    title: `attention gradient of the ${side} side, ${describe(config, layout)}`,
    layout,
    reads: ['q', 'k', 'v', 'dO'],
    writes,
    statistics: true,
    extra: {},
    needs: MATRICES,
    scores: matrixScores,
    code: wgsl`
      ${parts.memory()}

      ${parts.main(
        place(matrixRows(config), side, layout),
        wgsl`
        ${query && parts.loadStatistics()}
        ${parts.keepRows('one', a1, rowBound)}
        ${parts.keepRows('two', a2, rowBound)}
        ${parts.zeroSums('sumOne')}
        ${!query && parts.zeroSums('sumTwo')}
        ${loop.declare}
        ${eachHead(side, layout, walk)}
        ${when(query)`
          ${parts.storeSums('sumOne', 'dq', rowBound, value => `u.scale * ${value}`)}
        `}
        ${when(!query)`
          // The sums of a masked key may be anything: zeros are stored.
          ${parts.storeSums('sumOne', 'dk', rowBound, value => ifAllowed(`u.scale * ${value}`))}
          ${parts.storeSums('sumTwo', 'dv', rowBound, ifAllowed)}
        `}
      `,
      )}
    `,
  })
}

/** Gradient of the bias of a tile of queries and keys. */
function matrixBiasShader(config: MatrixConfig, layout: AttentionLayout): Shader {
  const { columns } = config
  const parts = new MatrixParts('bias', config, layout)
  const { columns: staging, turns } = parts
  const [keys, values] = [stagedOperand('K', 'u.keys'), stagedOperand('V', 'u.keys')]
  const storeTurn = (t: number): string => wgsl`
    {
      let query = rowStart + subgroupRow + rowOf(${t}u, lane);
      let key = start + 4u * quad;
      ${each(4, e => `if (query < u.queries && ${plus('key', e)} < u.keys) { ${storeBias('query', plus('key', e), `sum${t}[${e}]`)} }`)}
    }
  `
  return attentionShader({
    title: `attention gradient of the bias, ${describe(config, layout)}`,
    layout,
    reads: ['q', 'k', 'v', 'dO'],
    writes: [],
    statistics: true,
    ...biasGradient,
    needs: MATRICES,
    scores: matrixScores,
    code: wgsl`
      ${parts.memory()}

      ${parts.main(
        placeOfBias(matrixRows(config), columns),
        wgsl`
        let start = columnStart;
        ${each(turns, t => `var sum${t} = vec4<f32>();`)}
        ${eachPairOfBias(
          matrixRows(config),
          layout,
          wgsl`
          ${staging.declare(keys, values)}
          ${staging.read('start', keys, values)}
          workgroupBarrier();
          ${parts.loadStatistics()}
          ${parts.keepRows('query', 'Q', 'u.queries')}
          ${parts.keepRows('upstream', 'DO', 'u.queries')}
          ${staging.put(keys, 'start', parts.putIn(0))}
          ${staging.put(values, 'start', parts.putIn(1))}
          workgroupBarrier();
          ${parts.products('scores', 'query', 0)}
          ${parts.products('dProbabilities', 'upstream', 1)}
          workgroupBarrier();
          ${queryDScores(parts, layout, n => `sum${n} += dScore;`, 'sum')}
        `,
        )}
        ${each(turns, storeTurn)}
      `,
      )}
    `,
  })
}

/**
 * Gradients of the scores, for four keys of a query at a time: dScore = p · (z · dp − mean), and what is done with it,
 * which may be adding it to a variable of the turn's (`turnByTurn`).
 */
function queryDScores(parts: MatrixParts, layout: AttentionLayout, use: (n: number) => string, sum?: string): string {
  return wgsl`
    let key = start + 4u * quad;
    ${!closesScores(layout) && 'let open = allowed4(item, key, extent);'}
    ${parts.turnByTurn(
      (turn, n) => wgsl`
      let row = subgroupRow + rowOf(${turn}, lane);
      let at = row * BLOCK_PITCH + quad;
      ${declareBias('added', 'rowStart + row, key', layout)}
      ${closesScores(layout) && `let open = ${isOpen('rowStart + row, key', 'added', layout)};`}
      let statistic = rowStatistics[row];
      let p = select(vec4<f32>(), exp(${scoreOf('scoresAt(at)', 'added', layout)} - statistic.x), open);
      let dScore = p * (${layout.dropout && 'keep4(headRow + rowStart + row, key) * '}dProbabilitiesAt(at) - statistic.y);
      ${use(n)}
    `,
      sum,
    )}
  `
}

/** The same with keys along rows, and the probabilities. */
function keyDScores(parts: MatrixParts, config: MatrixConfig, layout: AttentionLayout): string {
  const { dropout } = layout
  const { across, groups } = sharesOf('key', config)
  const factor = dropout ? 'factor * ' : ''
  const closes = closesScores(layout)
  const rowOf = (turn: string): string =>
    groups === 1 ? `4u * (${turn})` : `4u * ((${turn}) * ${groups}u + lane / ${across}u)`
  return wgsl`
    for (var column = lane % ${across}u; column < ${config.columns}u; column += ${across}u) {
      let query = start + column;
      let statistic = ${statisticOf('headRow + min(query, u.queries - 1u)', layout)};
      ${!closes && 'let open = query < u.queries;'}
      ${parts.turnByTurn(
        turn => wgsl`
        let row = subgroupRow + ${rowOf(turn)};
        let at = row * BLOCK_PITCH + column;
        ${declareBias('added', 'query, rowStart + row', layout)}
        ${closes && `let open = ${isOpen('query, rowStart + row', 'added', layout)};`}
        let p = select(vec4<f32>(), exp(${scoreOf('scoresAt(at)', 'added', layout)} - statistic.x), open);
        ${dropout && 'let factor = keep4(headRow + query, rowStart + row);'}
        let dScore = p * (${factor}dProbabilitiesAt(at) - statistic.y);
        let probability = ${factor}p;
        putDScores(at, dScore);
        putProbabilities(at, probability);
      `,
      )}
    }
  `
}

export const matrix: AttentionKind<MatrixConfig> = {
  candidates: matrixConfigs,
  name: matrixName,
  rows: matrixRows,
  forward: matrixForwardShader,
  gradient: matrixGradientShader,
  biasGradient: matrixBiasShader,
  biasTile: config => [matrixRows(config), config.columns],
}
