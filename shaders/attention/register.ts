// Attention with one invocation per row, all its numbers in registers: the plain version, right on every adapter, and
// the first rung of the ladder (subgroup.ts, tiled.ts).
import { MAIN, type Shader, wgsl, when, written } from '../wgsl.ts'
import { type AttentionKind, type AttentionLayout, type Side, attentionShader, sides, statisticOf } from './common.ts'
import { biasGradient, eachPairOfBias, placeOfBias, storeBias } from './bias.ts'
import { eachHead, place } from './place.ts'
import { type Neighbours, closesScores, declareBias, isOpen, scoreOf } from './scores.ts'

export interface RegisterConfig {
  readonly kind: 'register'
  readonly invocations: number
}

const zeros = 'array<vec4<f32>, CHUNKS>'

/** One score at a time. */
const scores: Neighbours = { along: 'keys', width: 1 }

const isAllowed = (query: string, key: string, layout: AttentionLayout): string =>
  closesScores(layout) ? isOpen(`${query}, ${key}`, 'added', layout) : `allowed(item, ${key}, extent)`

/** Forward (Dao et al. 2022): o and lse in one walk over the keys, the maximum and the sum rescaled as they grow. */
function registerForwardShader(config: RegisterConfig, layout: AttentionLayout): Shader {
  return attentionShader({
    title: `attention forward register x${config.invocations}, headSize ${layout.headSize} ${layout.dtype}`,
    layout,
    reads: ['q', 'k', 'v'],
    writes: ['o'],
    extra: { lse: written('f32') },
    scores,
    code: wgsl`
      @compute @workgroup_size(${config.invocations})
      fn main(${MAIN}) {
        ${place(config.invocations, 'query', layout)}
        let i = rowStart + local;
        if (i >= u.queries) { return; }
        var query = ${zeros}();
        var sum = ${zeros}();
        let queryAt = rowQ(item, i, head);
        for (var c = 0u; c < CHUNKS; c++) { query[c] = u.scale * loadQ(queryAt, c); }
        var rowMax = LOWEST;
        var total = 0.0;
        for (var key = 0u; key < extent; key++) {
          ${declareBias('added', 'i, key', layout)}
          if (!${isAllowed('i', 'key', layout)}) { continue; }
          let keyAt = rowK(item, key, head);
          var score = 0.0;
          for (var c = 0u; c < CHUNKS; c++) { score += dot(query[c], loadK(keyAt, c)); }
          ${layout.bias && 'score += added;'}
          if (score > rowMax) {
            let rescale = exp(rowMax - score);
            total *= rescale;
            for (var c = 0u; c < CHUNKS; c++) { sum[c] *= rescale; }
            rowMax = score;
          }
          let p = exp(score - rowMax);
          total += p;
          let probability = ${layout.dropout ? 'p * keep(headRow + i, key)' : 'p'};
          let valueAt = rowV(item, key, head);
          for (var c = 0u; c < CHUNKS; c++) { sum[c] += probability * loadV(valueAt, c); }
        }
        // A row that attends to nothing gives zeros.
        let inverse = select(0.0, 1.0 / total, total > 0.0);
        let oAt = rowO(item, i, head);
        for (var c = 0u; c < CHUNKS; c++) { storeO(oAt, c, inverse * sum[c]); }
        lse[headRow + i] = select(0.0, rowMax + log(total), total > 0.0);
      }
    `,
  })
}

/** dq of one query per invocation (side 'query'), or dk and dv of one key (side 'key'). */
function registerGradientShader(side: Side, config: RegisterConfig, layout: AttentionLayout): Shader {
  const { a1, a2, b1, b2, rows, columns, writes } = sides(side)
  const query = side === 'query'
  const factor = layout.dropout ? 'factor * ' : ''
  const pair: [query: string, key: string] = query ? ['i', 'j'] : ['j', 'i']
  const walk = wgsl`
    for (var j = ${!query && layout.causal ? 'firstQuery(i)' : '0u'}; j < end; j++) {
      ${declareBias('added', pair.join(', '), layout)}
      ${(query || closesScores(layout)) && `if (!${isAllowed(...pair, layout)}) { continue; }`}
      ${!query && `let statistic = ${statisticOf('headRow + j', layout)};`}
      let columnAt1 = row${b1}(item, j, head);
      let columnAt2 = row${b2}(item, j, head);
      var s = 0.0;
      var dp = 0.0;
      for (var c = 0u; c < CHUNKS; c++) {
        s += dot(row1[c], load${b1}(columnAt1, c));
        dp += dot(row2[c], load${b2}(columnAt2, c));
      }
      let p = exp(${scoreOf('s', 'added', layout)} - statistic.x);
      ${layout.dropout && `let factor = keep(headRow + ${pair.join(', ')});`}
      let ds = p * (${factor}dp - statistic.y);
      ${!query && `let probability = ${factor}p;`}
      for (var c = 0u; c < CHUNKS; c++) {
        sum1[c] += ds * load${b1}(columnAt1, c);
        ${!query && `sum2[c] += probability * load${b2}(columnAt2, c);`}
      }
    }
  `
  return attentionShader({
    title: `attention gradient of the ${side} side, register x${config.invocations}, headSize ${layout.headSize} ${layout.dtype}`,
    layout,
    reads: ['q', 'k', 'v', 'dO'],
    writes,
    statistics: true,
    extra: {},
    scores,
    code: wgsl`
      @compute @workgroup_size(${config.invocations})
      fn main(${MAIN}) {
        ${place(config.invocations, side, layout)}
        let i = rowStart + local;
        if (i >= ${rows}) { return; }
        let at1 = row${a1}(item, i, head);
        let at2 = row${a2}(item, i, head);
        var row1 = ${zeros}();
        var row2 = ${zeros}();
        for (var c = 0u; c < CHUNKS; c++) {
          row1[c] = load${a1}(at1, c);
          row2[c] = load${a2}(at2, c);
        }
        var sum1 = ${zeros}();
        ${query ? `let statistic = ${statisticOf('headRow + i', layout)};` : `var sum2 = ${zeros}();`}
        let end = ${query ? 'extent' : `select(0u, ${columns}, allowed(item, i, extent))`};
        ${eachHead(side, layout, walk)}
        ${when(query)`
          let dqAt = rowDq(item, i, head);
          for (var c = 0u; c < CHUNKS; c++) { storeDq(dqAt, c, u.scale * sum1[c]); }
        `}
        ${when(!query)`
          let dkAt = rowDk(item, i, head);
          let dvAt = rowDv(item, i, head);
          for (var c = 0u; c < CHUNKS; c++) {
            storeDk(dkAt, c, u.scale * sum1[c]);
            storeDv(dvAt, c, sum2[c]);
          }
        `}
      }
    `,
  })
}

/** Columns of a tile of the bias's gradient. */
const BIAS_COLUMNS = 16

/** Gradient of the bias: one query per invocation, and the keys of a tile one after the other. */
function registerBiasShader(config: RegisterConfig, layout: AttentionLayout): Shader {
  return attentionShader({
    title: `attention gradient of the bias, register x${config.invocations}, headSize ${layout.headSize} ${layout.dtype}`,
    layout,
    reads: ['q', 'k', 'v', 'dO'],
    writes: [],
    statistics: true,
    ...biasGradient,
    scores,
    code: wgsl`
      @compute @workgroup_size(${config.invocations})
      fn main(${MAIN}) {
        ${placeOfBias(config.invocations, BIAS_COLUMNS)}
        let i = rowStart + local;
        if (i >= u.queries) { return; }
        for (var key = columnStart; key < min(columnStart + ${BIAS_COLUMNS}u, u.keys); key++) {
          var sum = 0.0;
          ${eachPairOfBias(
            config.invocations,
            layout,
            wgsl`
            ${declareBias('added', 'i, key', layout)}
            if (${isAllowed('i', 'key', layout)}) {
              let queryAt = rowQ(item, i, head);
              let upstreamAt = rowDO(item, i, head);
              let keyAt = rowK(item, key, head);
              let valueAt = rowV(item, key, head);
              var s = 0.0;
              var dp = 0.0;
              for (var c = 0u; c < CHUNKS; c++) {
                s += dot(loadQ(queryAt, c), loadK(keyAt, c));
                dp += dot(loadDO(upstreamAt, c), loadV(valueAt, c));
              }
              let statistic = ${statisticOf('headRow + i', layout)};
              let p = exp(${scoreOf('s', 'added', layout)} - statistic.x);
              sum += p * (${layout.dropout && 'keep(headRow + i, key) * '}dp - statistic.y);
            }
          `,
          )}
          ${storeBias('i', 'key', 'sum')}
        }
      }
    `,
  })
}

export const register: AttentionKind<RegisterConfig> = {
  candidates: (_pass, _layout, { maxWorkgroupInvocations }) => [
    { kind: 'register', invocations: Math.min(64, maxWorkgroupInvocations) },
  ],
  name: ({ invocations }) => `register x${invocations}`,
  rows: ({ invocations }) => invocations,
  forward: registerForwardShader,
  gradient: registerGradientShader,
  biasGradient: registerBiasShader,
  biasTile: ({ invocations }) => [invocations, BIAS_COLUMNS],
}
