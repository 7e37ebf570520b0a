// Attention by subgroups, for adapters on CPUs: a subgroup owns a tile of rows; in the score products its lanes stand
// for columns (four consecutive ones each), in the sums for chunks of headSize. What lanes share is loaded by one of
// them and distributed by subgroupBroadcast, so that loads, which such adapters do lane by lane, are few for each
// multiply-add.
import { type Shader, each, list, wgsl, written } from '../wgsl.ts'
import type { AttentionKind, AttentionLayout, Side } from './common.ts'
import { attentionShader, capital, columnsEnd, place, sides } from './common.ts'
import { declareOwned, declareSums, ownedChunks, storeOwned } from './owned.ts'

export interface SubgroupConfig {
  readonly kind: 'subgroup'
  /** Lanes of a subgroup, and the workgroup's size: one subgroup each, so that no order of lanes is assumed. */
  readonly lanes: number
  /** Rows a subgroup owns; a multiple of four. */
  readonly rows: number
}

/** Group of lanes, and lane in it, that hold row r. */
const holder = (r: number, lanes: number) => ({ group: Math.floor(r / lanes), lane: r % lanes })

/** `score[r] += a[r] · b[0 … 3]` for all rows: the lane's four columns as vec4s across columns. */
function products(score: string, a: string, b: string, { rows, lanes }: SubgroupConfig): string {
  return wgsl`
    ${each(4, e => `let ${b}x${e} = vec4<f32>(${list(4, j => `${b}${j}[${e}]`)});`)}
    ${each(rows, r => {
      const { group, lane } = holder(r, lanes)
      const name = `${a}Row${r}`
      const sum = [0, 1, 2, 3].reduce(
        (inner, e) => `fma(vec4<f32>(${name}[${e}]), ${b}x${e}, ${inner})`,
        `${score}${r}`,
      )
      return wgsl`
      let ${name} = subgroupBroadcast(${a}${group}, ${lane}u);
      ${score}${r} = ${sum};
    `
    })}
  `
}

function rowPlaces(name: string, operand: string, bound: string, { rows, lanes }: SubgroupConfig): string {
  return each(
    Math.ceil(rows / lanes),
    g => `let ${name}${g} = row${operand}(item, min(rowStart + ${g * lanes}u + lane, ${bound} - 1u), head);`,
  )
}

const loads = (count: number, name: string, operand: string, at: string): string =>
  each(count, g => `let ${name}${g} = load${operand}(${at}${g}, c);`)

/**
 * `sum[r][t] += left[r] · row` of every column of the tile, for one or two (left, sum, operand) at once. Loops with a
 * shuffle, not unrolled broadcasts: as fast, and a tenth of the code to compile.
 */
function accumulate(
  terms: readonly { left: string; sum: string; operand: string }[],
  start: string,
  end: string,
  bound: string,
  { rows, lanes }: SubgroupConfig,
  owned: number,
): string {
  return wgsl`
    let sourceLanes = min(${lanes}u, (${end} - ${start} + 3u) / 4u);
    for (var e = 0u; e < 4u; e++) {
      ${terms.map(({ left }) => each(rows, r => `let ${left}E${r} = ${left}${r}[e];`))}
      for (var sourceLane = 0u; sourceLane < sourceLanes; sourceLane++) {
        let j = min(${start} + 4u * sourceLane + e, ${bound} - 1u);
        ${terms.map(
          ({ left, sum, operand }) => wgsl`
          {
            let at = row${operand}(item, j, head);
            ${each(owned, t => `let chunk${t} = load${operand}(at, own${t});`)}
            ${each(
              rows,
              r => wgsl`
              let share${r} = vec4<f32>(subgroupShuffle(${left}E${r}, sourceLane));
              ${each(owned, t => `${sum}${r}_${t} = fma(share${r}, chunk${t}, ${sum}${r}_${t});`)}
            `,
            )}
          }
        `,
        )}
      }
    }
  `
}

/** Folds a lane's value over the subgroup, by halves (lavapipe's own reductions go lane by lane). */
function fold(lanes: number, value: string, join: (a: string, b: string) => string): string {
  return each(Math.log2(lanes), n => `${value} = ${join(value, `subgroupShuffleXor(${value}, ${lanes >> (n + 1)}u)`)};`)
}

/** Draws `rows` times four of dropout's factors, in a loop: the generator is long and would be inlined each time. */
function draw(rows: number, place: string): string {
  return wgsl`
    var factors = array<vec4<f32>, ${rows}>();
    for (var n = 0u; n < ${rows}u; n++) { factors[n] = keep4(${place}); }
  `
}

/**
 * Runs `body` for each row r of the tile that exists, in a loop: a CPU's compiler would take longer for so many
 * unrolled stores than for all sums. The rows' variables name0, name1, … are name[r] there.
 */
function forRows(
  rows: number,
  bound: string,
  held: readonly { name: string; type: string; names: readonly string[] }[],
  body: string,
): string {
  return wgsl`
    ${held.map(({ name, type, names }) => `var ${name} = array<${type}, ${names.length}>(${names.join(', ')});`)}
    for (var row = rowStart; row < min(rowStart + ${rows}u, ${bound}); row++) {
      let r = row - rowStart;
      ${body}
    }
  `
}

const perRow = (name: string, rows: number): { name: string; type: string; names: string[] } => ({
  name: `${name}s`,
  type: 'f32',
  names: Array.from({ length: rows }, (_, r) => `${name}${r}`),
})

const perChunk = (name: string, rows: number, owned: number): { name: string; type: string; names: string[] } => ({
  name: `${name}s`,
  type: 'vec4<f32>',
  names: Array.from({ length: rows * owned }, (_, n) => `${name}${Math.floor(n / owned)}_${n % owned}`),
})

/** Writes the chunks of row r that a lane owns. */
function storeRow(name: string, value: (t: number) => string, owned: number, lanes: number): string {
  return wgsl`
    let ${name}At = row${capital(name)}(item, row, head);
    ${storeOwned(name, `${name}At`, value, 'lane', lanes, owned)}
  `
}

/** Forward: o and lse. */
function subgroupForwardShader(config: SubgroupConfig, layout: AttentionLayout): Shader {
  const { lanes, rows } = config
  const owned = ownedChunks(layout, lanes)
  const groups = Math.ceil(rows / lanes)
  return attentionShader({
    title: `attention forward subgroup ${lanes} lanes x ${rows} rows, headSize ${layout.headSize} ${layout.dtype}`,
    layout,
    reads: ['q', 'k', 'v'],
    writes: ['o'],
    extra: { lse: written('f32') },
    needs: { subgroups: true },
    code: wgsl`
      @compute @workgroup_size(${lanes})
      fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
        ${place(rows)}
        ${rowPlaces('queryAt', 'Q', 'u.queries', config)}
        ${declareOwned('lane', lanes, owned)}
        ${declareSums('sum', rows, owned)}
        ${each(
          rows,
          r => wgsl`
          var rowMax${r} = LOWEST;
          var total${r} = 0.0; // of this lane's columns
        `,
        )}
        for (var start = 0u; start < extent; start += ${4 * lanes}u) {
          let key = start + 4u * lane;
          ${each(4, e => `let keyAt${e} = rowK(item, min(key + ${e}u, u.keys - 1u), head);`)}
          ${each(rows, r => `var s${r} = vec4<f32>();`)}
          for (var c = 0u; c < CHUNKS; c++) {
            ${loads(groups, 'query', 'Q', 'queryAt')}
            ${loads(4, 'k', 'K', 'keyAt')}
            ${products('s', 'query', 'k', config)}
          }
          let open = allowed4(item, key, extent);
          ${layout.dropout ? draw(rows, 'headRow + rowStart + n, key') : ''}
          ${each(
            rows,
            r => wgsl`
            s${r} = select(vec4<f32>(LOWEST), u.scale * s${r}, open);
            var next${r} = max(max(s${r}.x, s${r}.y), max(s${r}.z, s${r}.w));
            ${fold(lanes, `next${r}`, (a, b) => `max(${a}, ${b})`)}
            next${r} = max(rowMax${r}, next${r});
            let rescale${r} = exp(rowMax${r} - next${r});
            rowMax${r} = next${r};
            var p${r} = select(vec4<f32>(), exp(s${r} - vec4<f32>(next${r})), open);
            total${r} = fma(total${r}, rescale${r}, dot(p${r}, vec4<f32>(1.0)));
            ${layout.dropout ? `p${r} *= factors[${r}];` : ''}
            ${each(owned, t => `sum${r}_${t} *= rescale${r};`)}
          `,
          )}

          ${accumulate([{ left: 'p', sum: 'sum', operand: 'V' }], 'start', 'extent', 'u.keys', config, owned)}
        }
        ${each(rows, r => fold(lanes, `total${r}`, (a, b) => `${a} + ${b}`))}
        ${forRows(
          rows,
          'u.queries',
          [perRow('rowMax', rows), perRow('total', rows), perChunk('sum', rows, owned)],
          wgsl`
          let total = totals[r];
          // A row that attends to nothing gives zeros.
          let inverse = select(0.0, 1.0 / total, total > 0.0);
          ${storeRow('o', t => `inverse * sums[r * ${owned}u + ${t}u]`, owned, lanes)}
          if (lane == 0u) { lse[headRow + row] = select(0.0, rowMaxs[r] + log(total), total > 0.0); }
        `,
        )}
      }
    `,
  })
}

/** dq of a tile of queries (side 'query'), or dk and dv of a tile of keys (side 'key'). */
function subgroupGradientShader(side: Side, config: SubgroupConfig, layout: AttentionLayout): Shader {
  const { lanes, rows } = config
  const { a1, a2, b1, b2, rows: rowBound, columns, writes } = sides(side)
  const owned = ownedChunks(layout, lanes)
  const groups = Math.ceil(rows / lanes)
  const query = side === 'query'
  const rowStatistics = wgsl`
    ${each(groups, g => `let statistic${g} = statistics[headRow + min(rowStart + ${g * lanes}u + lane, u.queries - 1u)];`)}
    ${each(rows, r => {
      const { group, lane } = holder(r, lanes)
      return wgsl`
      let lse${r} = subgroupBroadcast(statistic${group}.x, ${lane}u);
      let mean${r} = subgroupBroadcast(statistic${group}.y, ${lane}u);
    `
    })}
  `
  const columnStatistics = wgsl`
    ${each(4, e => `let statistic${e} = statistics[headRow + min(column + ${e}u, u.queries - 1u)];`)}
    let lse = vec4<f32>(statistic0.x, statistic1.x, statistic2.x, statistic3.x);
    let mean = vec4<f32>(statistic0.y, statistic1.y, statistic2.y, statistic3.y);
  `
  const of = (name: string, r: number): string => (query ? `vec4<f32>(${name}${r})` : name)
  // Dropout's factors come four keys at a time: columns on the query side, rows on the key side.
  const factorOf = (r: number): string =>
    query ? `factors[${r}]` : `vec4<f32>(${list(4, e => `factors[${r - (r % 4) + e}][${r % 4}]`)})`
  const factor = (r: number): string => (layout.dropout ? `factor${r} * ` : '')
  return attentionShader({
    title: `attention gradient of the ${side} side, subgroup ${lanes} lanes x ${rows} rows, headSize ${layout.headSize} ${layout.dtype}`,
    layout,
    reads: ['q', 'k', 'v', 'dO'],
    writes,
    extra: { statistics: 'vec2<f32>' },
    needs: { subgroups: true },
    code: wgsl`
      @compute @workgroup_size(${lanes})
      fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
        ${place(rows)}
        ${rowPlaces('rowAt1_', a1, rowBound, config)}
        ${rowPlaces('rowAt2_', a2, rowBound, config)}
        ${declareOwned('lane', lanes, owned)}
        ${query ? rowStatistics : ''}
        ${declareSums('sumOne', rows, owned)}
        ${query ? '' : declareSums('sumTwo', rows, owned)}
        ${columnsEnd(side)}
        for (var start = 0u; start < end; start += ${4 * lanes}u) {
          let column = start + 4u * lane;
          ${each(
            4,
            e => wgsl`
            let columnAt1_${e} = row${b1}(item, min(column + ${e}u, ${columns} - 1u), head);
            let columnAt2_${e} = row${b2}(item, min(column + ${e}u, ${columns} - 1u), head);
          `,
          )}
          ${each(
            rows,
            r => wgsl`
            var s${r} = vec4<f32>();
            var d${r} = vec4<f32>();
          `,
          )}
          for (var c = 0u; c < CHUNKS; c++) {
            ${loads(groups, 'one', a1, 'rowAt1_')}
            ${loads(4, 'columnOne', b1, 'columnAt1_')}
            ${products('s', 'one', 'columnOne', config)}
            ${loads(groups, 'two', a2, 'rowAt2_')}
            ${loads(4, 'columnTwo', b2, 'columnAt2_')}
            ${products('d', 'two', 'columnTwo', config)}
          }
          ${
            query
              ? 'let open = allowed4(item, column, extent);'
              : wgsl`
            let open = column + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(${columns});
            ${columnStatistics}
          `
          }
          ${
            layout.dropout
              ? wgsl`
            ${draw(rows, query ? 'headRow + rowStart + n, column' : 'headRow + column + n % 4u, rowStart + n / 4u * 4u')}
            ${each(rows, r => `let factor${r} = ${factorOf(r)};`)}
          `
              : ''
          }
          ${each(
            rows,
            r => wgsl`
            let p${r} = select(vec4<f32>(), exp(u.scale * s${r} - ${of('lse', r)}), open);
            let ds${r} = p${r} * (${factor(r)}d${r} - ${of('mean', r)});
            ${query ? '' : `let probability${r} = ${factor(r)}p${r};`}
          `,
          )}

          ${accumulate(
            [
              { left: 'ds', sum: 'sumOne', operand: b1 },
              ...(query ? [] : [{ left: 'probability', sum: 'sumTwo', operand: b2 }]),
            ],
            'start',
            'end',
            columns,
            config,
            owned,
          )}
        }
        ${
          query
            ? forRows(
                rows,
                rowBound,
                [perChunk('sumOne', rows, owned)],
                storeRow('dq', t => `u.scale * sumOnes[r * ${owned}u + ${t}u]`, owned, lanes),
              )
            : forRows(
                rows,
                rowBound,
                [perChunk('sumOne', rows, owned), perChunk('sumTwo', rows, owned)],
                wgsl`
        // What a masked key gathered may be anything.
        let open = allowed(item, row, extent);
        ${storeRow('dk', t => `select(vec4<f32>(), u.scale * sumOnes[r * ${owned}u + ${t}u], open)`, owned, lanes)}
        ${storeRow('dv', t => `select(vec4<f32>(), sumTwos[r * ${owned}u + ${t}u], open)`, owned, lanes)}
      `,
              )
        }
      }
    `,
  })
}

/** Widest subgroup that these kernels make sense for: past it, lanes outnumber the chunks of a head. */
const WIDEST_SUBGROUP = 16

export const subgroup: AttentionKind<SubgroupConfig> = {
  candidates: (_pass, _layout, { subgroupSize: lanes }) =>
    lanes < 4 || lanes > WIDEST_SUBGROUP ? [] : [{ kind: 'subgroup', lanes, rows: 8 }],
  name: ({ lanes, rows }) => `sg${lanes}x${rows}`,
  rows: ({ rows }) => rows,
  forward: subgroupForwardShader,
  gradient: subgroupGradientShader,
}
