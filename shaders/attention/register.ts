// Attention with one invocation per row, all its numbers in registers: the plain version, right on every adapter, and
// the first rung of the ladder (subgroup.ts, tiled.ts).
import { MAIN, type Shader, wgsl, when, written } from '../wgsl.ts'
import {
  type AttentionKind,
  type AttentionLayout,
  type Neighbours,
  type Side,
  attentionShader,
  closesScores,
  extentOf,
  place,
  sides,
} from './common.ts'

export interface RegisterConfig {
  readonly kind: 'register'
  readonly invocations: number
}

const zeros = 'array<vec4<f32>, CHUNKS>'

/** One score at a time. */
const scores: Neighbours = { along: 'keys', width: 1 }

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
        ${place(config.invocations, extentOf('query', config.invocations, layout))}
        let i = rowStart + local;
        if (i >= u.queries) { return; }
        var query = ${zeros}();
        var sum = ${zeros}();
        let queryAt = rowQ(item, i, head);
        for (var c = 0u; c < CHUNKS; c++) { query[c] = u.scale * loadQ(queryAt, c); }
        var rowMax = LOWEST;
        var total = 0.0;
        for (var key = 0u; key < extent; key++) {
          if (!${closesScores(layout) ? 'isOpen(item, head, i, key, extent)' : 'allowed(item, key, extent)'}) { continue; }
          let keyAt = rowK(item, key, head);
          var score = 0.0;
          for (var c = 0u; c < CHUNKS; c++) { score += dot(query[c], loadK(keyAt, c)); }
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
  const closes = closesScores(layout)
  return attentionShader({
    title: `attention gradient of the ${side} side, register x${config.invocations}, headSize ${layout.headSize} ${layout.dtype}`,
    layout,
    reads: ['q', 'k', 'v', 'dO'],
    writes,
    extra: { statistics: 'vec2<f32>' },
    scores,
    code: wgsl`
      @compute @workgroup_size(${config.invocations})
      fn main(${MAIN}) {
        ${place(config.invocations, extentOf(side, config.invocations, layout))}
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
        ${query ? 'let statistic = statistics[headRow + i];' : `var sum2 = ${zeros}();`}
        let end = ${query ? 'extent' : `select(0u, ${columns}, allowed(item, i, extent))`};
        for (var j = ${!query && layout.causal ? 'firstQuery(i)' : '0u'}; j < end; j++) {
          ${query && !closes && 'if (!allowed(item, j, extent)) { continue; }'}
          ${closes && `if (!isOpen(item, head, ${query ? 'i, j' : 'j, i'}, extent)) { continue; }`}
          ${!query && 'let statistic = statistics[headRow + j];'}
          let columnAt1 = row${b1}(item, j, head);
          let columnAt2 = row${b2}(item, j, head);
          var s = 0.0;
          var dp = 0.0;
          for (var c = 0u; c < CHUNKS; c++) {
            s += dot(row1[c], load${b1}(columnAt1, c));
            dp += dot(row2[c], load${b2}(columnAt2, c));
          }
          let p = exp(u.scale * s - statistic.x);
          ${layout.dropout && `let factor = keep(headRow + ${query ? 'i, j' : 'j, i'});`}
          let ds = p * (${factor}dp - statistic.y);
          ${!query && `let probability = ${factor}p;`}
          for (var c = 0u; c < CHUNKS; c++) {
            sum1[c] += ds * load${b1}(columnAt1, c);
            ${!query && `sum2[c] += probability * load${b2}(columnAt2, c);`}
          }
        }
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

export const register: AttentionKind<RegisterConfig> = {
  candidates: (_pass, _layout, { maxWorkgroupInvocations }) => [
    { kind: 'register', invocations: Math.min(64, maxWorkgroupInvocations) },
  ],
  name: ({ invocations }) => `register x${invocations}`,
  rows: ({ invocations }) => invocations,
  forward: registerForwardShader,
  gradient: registerGradientShader,
}
