// Attention by subgroups, for adapters on CPUs: a subgroup owns a tile of rows; in the score products each lane computes
// four consecutive columns, in the sums chunks of headSize. What lanes share is loaded by one of them and distributed by
// subgroupBroadcast: such adapters load lane by lane, so there are fewer loads per multiply-add.
import { type Part, type Shader, each, list, wgsl, when, written } from '../wgsl.ts'
import type { AttentionKind, AttentionLayout, Side } from './common.ts'
import { biasGradient, eachPairOfBias, placeOfBias, storeBias } from './bias.ts'
import { attentionShader, capital, sides, statisticOf } from './common.ts'
import { declareOwned, declareSums, ownedChunks, storeOwned } from './owned.ts'
import { columnsLoop, eachHead, place } from './place.ts'
import { closesScores, declareBias, isOpen, scoreOf } from './scores.ts'

export interface SubgroupConfig {
  readonly kind: 'subgroup'
  /** Lanes of a subgroup, and the workgroup's size: one subgroup each, so that no order of lanes is assumed. */
  readonly lanes: number
  /** Rows a subgroup owns; a multiple of four. */
  readonly rows: number
}

/** What row r's lane has in `name0`, `name1`, …, one for each group of lanes. */
const fromHolder = (name: string, r: number, lanes: number, component = ''): string =>
  `subgroupBroadcast(${name}${Math.floor(r / lanes)}${component}, ${r % lanes}u)`

/** `score[r] += a[r] · b[0 … 3]` for all rows: the lane's four columns as vec4s across columns. */
function products(score: string, a: string, b: string, { rows, lanes }: SubgroupConfig): string {
  const sum = (r: number): string =>
    [0, 1, 2, 3].reduce((inner, e) => `fma(vec4<f32>(${a}Row${r}[${e}]), ${b}x${e}, ${inner})`, `${score}${r}`)
  return wgsl`
    ${each(4, e => `let ${b}x${e} = vec4<f32>(${list(4, j => `${b}${j}[${e}]`)});`)}
    ${each(rows, r => [`let ${a}Row${r} = ${fromHolder(a, r, lanes)};`, `${score}${r} = ${sum(r)};`])}
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

/** One sum: `sum[r][t] += left[r] · row`. */
interface Term {
  readonly left: string
  readonly sum: string
  readonly operand: string
}

/**
 * Adds every column of the tile from `start` to before `end` to one sum, or to two at once. Loops with a shuffle, not
 * unrolled broadcasts: as fast, and a tenth of the code to compile.
 */
function accumulate(terms: readonly Term[], end: string, bound: string, config: SubgroupConfig, owned: number): string {
  const { rows, lanes } = config
  const add = ({ left, sum, operand }: Term): string => wgsl`
    {
      let at = row${operand}(item, j, head);
      ${each(owned, t => `let chunk${t} = load${operand}(at, own${t});`)}
      ${each(rows, r => [
        `let share${r} = vec4<f32>(subgroupShuffle(${left}E${r}, sourceLane));`,
        each(owned, t => `${sum}${r}_${t} = fma(share${r}, chunk${t}, ${sum}${r}_${t});`),
      ])}
    }
  `
  return wgsl`
    let sourceLanes = min(${lanes}u, (${end} - start + 3u) / 4u);
    for (var e = 0u; e < 4u; e++) {
      ${terms.map(({ left }) => each(rows, r => `let ${left}E${r} = ${left}${r}[e];`))}
      for (var sourceLane = 0u; sourceLane < sourceLanes; sourceLane++) {
        let j = min(start + 4u * sourceLane + e, ${bound} - 1u);
        ${terms.map(add)}
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
 * Runs `body` for each row r of the tile that exists, in a loop: a CPU's compiler would take longer for
 * unrolled stores than for all sums. `arrays` declares arrays of the rows' variables for it.
 */
function forRows(rows: number, bound: string, arrays: readonly string[], body: string): string {
  return wgsl`
    ${arrays}
    for (var row = rowStart; row < min(rowStart + ${rows}u, ${bound}); row++) {
      let r = row - rowStart;
      ${body}
    }
  `
}

/** Declares `names[r]` of the variables name0, name1, …. */
const perRow = (name: string, rows: number): string =>
  `var ${name}s = array<f32, ${rows}>(${list(rows, r => `${name}${r}`)});`

/** Declares `names[r * owned + t]` of the variables name0_0, name0_1, …. */
const perChunk = (name: string, rows: number, owned: number): string =>
  `var ${name}s = array<vec4<f32>, ${rows * owned}>(${list(rows, r => list(owned, t => `${name}${r}_${t}`))});`

/** Writes the chunks of row r that a lane owns. */
function storeRow(name: string, value: (t: number) => string, owned: number, lanes: number): string {
  return wgsl`
    let ${name}At = row${capital(name)}(item, row, head);
    ${storeOwned(name, `${name}At`, value, 'lane', lanes, owned)}
  `
}

const main = ({ lanes }: SubgroupConfig, place: string, steps: string): string => wgsl`
  @compute @workgroup_size(${lanes})
  fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
    ${place}
    ${steps}
  }
`

/** Forward: o and lse. */
function subgroupForwardShader(config: SubgroupConfig, layout: AttentionLayout): Shader {
  const { lanes, rows } = config
  const owned = ownedChunks(layout, lanes)
  const closes = closesScores(layout)
  const open = (r: number): string => (closes ? `open${r}` : 'open')
  const softmax = (r: number): Part => [
    declareBias(`added${r}`, `rowStart + ${r}u, key`, layout),
    closes && `let open${r} = ${isOpen(`rowStart + ${r}u, key`, `added${r}`, layout)};`,
    `s${r} = select(vec4<f32>(LOWEST), ${scoreOf(`s${r}`, `added${r}`, layout)}, ${open(r)});`,
    `var next${r} = max(max(s${r}.x, s${r}.y), max(s${r}.z, s${r}.w));`,
    fold(lanes, `next${r}`, (a, b) => `max(${a}, ${b})`),
    `next${r} = max(rowMax${r}, next${r});`,
    `let rescale${r} = exp(rowMax${r} - next${r});`,
    `rowMax${r} = next${r};`,
    `var p${r} = select(vec4<f32>(), exp(s${r} - vec4<f32>(next${r})), ${open(r)});`,
    `total${r} = fma(total${r}, rescale${r}, dot(p${r}, vec4<f32>(1.0)));`,
    layout.dropout && `p${r} *= factors[${r}];`,
    each(owned, t => `sum${r}_${t} *= rescale${r};`),
  ]
  const store = wgsl`
    let total = totals[r];
    // A row that attends to nothing gives zeros.
    let inverse = select(0.0, 1.0 / total, total > 0.0);
    ${storeRow('o', t => `inverse * sums[r * ${owned}u + ${t}u]`, owned, lanes)}
    if (lane == 0u) { lse[headRow + row] = select(0.0, rowMaxs[r] + log(total), total > 0.0); }
  `
  const arrays = [perRow('rowMax', rows), perRow('total', rows), perChunk('sum', rows, owned)]
  return attentionShader({
    title: `attention forward subgroup ${lanes} lanes x ${rows} rows, headSize ${layout.headSize} ${layout.dtype}`,
    layout,
    reads: ['q', 'k', 'v'],
    writes: ['o'],
    extra: { lse: written('f32') },
    needs: { subgroups: true },
    scores: { along: 'keys', width: 4 },
    code: main(
      config,
      place(rows, 'query', layout),
      wgsl`
      ${rowPlaces('queryAt', 'Q', 'u.queries', config)}
      ${declareOwned('lane', lanes, owned)}
      ${declareSums('sum', rows, owned)}
      ${each(rows, r => [`var rowMax${r} = LOWEST;`, `var total${r} = 0.0; // of this lane's columns`])}
      for (var start = 0u; start < extent; start += ${4 * lanes}u) {
        let key = start + 4u * lane;
        ${each(4, e => `let keyAt${e} = rowK(item, min(key + ${e}u, u.keys - 1u), head);`)}
        ${each(rows, r => `var s${r} = vec4<f32>();`)}
        for (var c = 0u; c < CHUNKS; c++) {
          ${loads(Math.ceil(rows / lanes), 'query', 'Q', 'queryAt')}
          ${loads(4, 'k', 'K', 'keyAt')}
          ${products('s', 'query', 'k', config)}
        }
        ${!closes && 'let open = allowed4(item, key, extent);'}
        ${layout.dropout && draw(rows, 'headRow + rowStart + n, key')}
        ${each(rows, softmax)}

        ${accumulate([{ left: 'p', sum: 'sum', operand: 'V' }], 'extent', 'u.keys', config, owned)}
      }
      ${each(rows, r => fold(lanes, `total${r}`, (a, b) => `${a} + ${b}`))}
      ${forRows(rows, 'u.queries', arrays, store)}
    `,
    ),
  })
}

/** Declares `lse` and `mean` of each row of a tile of queries. */
function rowStatistics({ lanes, rows }: SubgroupConfig, layout: AttentionLayout): string {
  const held = (g: number): string =>
    statisticOf(`headRow + min(rowStart + ${g * lanes}u + lane, u.queries - 1u)`, layout)
  return wgsl`
    ${each(Math.ceil(rows / lanes), g => `let statistic${g} = ${held(g)};`)}
    ${each(rows, r => [
      `let lse${r} = ${fromHolder('statistic', r, lanes, '.x')};`,
      `let mean${r} = ${fromHolder('statistic', r, lanes, '.y')};`,
    ])}
  `
}

/** Declares `lse` and `mean` of the lane's four queries from `column` on. */
const columnStatistics = (layout: AttentionLayout): string => wgsl`
  ${each(4, e => `let statistic${e} = ${statisticOf(`headRow + min(column + ${e}u, u.queries - 1u)`, layout)};`)}
  let lse = vec4<f32>(statistic0.x, statistic1.x, statistic2.x, statistic3.x);
  let mean = vec4<f32>(statistic0.y, statistic1.y, statistic2.y, statistic3.y);
`

/**
 * Declares `ds`, the gradients of the scores of each row and the lane's columns of the tile from `start` on, and on the
 * side of keys `probability`.
 */
function slopes(side: Side, config: SubgroupConfig, layout: AttentionLayout): string {
  const { lanes, rows } = config
  const { a1, a2, b1, b2, columns } = sides(side)
  const groups = Math.ceil(rows / lanes)
  const query = side === 'query'
  const closes = closesScores(layout)
  const of = (name: string, r: number): string => (query ? `vec4<f32>(${name}${r})` : name)
  // Dropout's factors come four keys at a time: columns on the query side, rows on the key side.
  const factorOf = (r: number): string =>
    query ? `factors[${r}]` : `vec4<f32>(${list(4, e => `factors[${r - (r % 4) + e}][${r % 4}]`)})`
  const factor = (r: number): string => (layout.dropout ? `factor${r} * ` : '')
  const pair = (r: number): string => (query ? `rowStart + ${r}u, column` : `column, rowStart + ${r}u`)
  const dScores = (r: number): Part => [
    declareBias(`added${r}`, pair(r), layout),
    closes && `let open${r} = ${isOpen(pair(r), `added${r}`, layout)};`,
    `let p${r} = select(vec4<f32>(), exp(${scoreOf(`s${r}`, `added${r}`, layout)} - ${of('lse', r)}), ${closes ? `open${r}` : 'open'});`,
    `let ds${r} = p${r} * (${factor(r)}d${r} - ${of('mean', r)});`,
    !query && `let probability${r} = ${factor(r)}p${r};`,
  ]
  return wgsl`
    let column = start + 4u * lane;
    ${each(4, e => [
      `let columnAt1_${e} = row${b1}(item, min(column + ${e}u, ${columns} - 1u), head);`,
      `let columnAt2_${e} = row${b2}(item, min(column + ${e}u, ${columns} - 1u), head);`,
    ])}
    ${each(rows, r => [`var s${r} = vec4<f32>();`, `var d${r} = vec4<f32>();`])}
    for (var c = 0u; c < CHUNKS; c++) {
      ${loads(groups, 'one', a1, 'rowAt1_')}
      ${loads(4, 'columnOne', b1, 'columnAt1_')}
      ${products('s', 'one', 'columnOne', config)}
      ${loads(groups, 'two', a2, 'rowAt2_')}
      ${loads(4, 'columnTwo', b2, 'columnAt2_')}
      ${products('d', 'two', 'columnTwo', config)}
    }
    ${query && !closes && 'let open = allowed4(item, column, extent);'}
    ${!query && !closes && `let open = column + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(${columns});`}
    ${!query && columnStatistics(layout)}
    ${when(layout.dropout)`
      ${draw(rows, query ? 'headRow + rowStart + n, column' : 'headRow + column + n % 4u, rowStart + n / 4u * 4u')}
      ${each(rows, r => `let factor${r} = ${factorOf(r)};`)}
    `}
    ${each(rows, dScores)}
  `
}

/** dq of a tile of queries (side 'query'), or dk and dv of a tile of keys (side 'key'). */
function subgroupGradientShader(side: Side, config: SubgroupConfig, layout: AttentionLayout): Shader {
  const { lanes, rows } = config
  const { a1, a2, b1, b2, rows: rowBound, columns, writes } = sides(side)
  const owned = ownedChunks(layout, lanes)
  const query = side === 'query'
  const terms: Term[] = [{ left: 'ds', sum: 'sumOne', operand: b1 }]
  if (!query) terms.push({ left: 'probability', sum: 'sumTwo', operand: b2 })
  const arrays = terms.map(({ sum }) => perChunk(sum, rows, owned))
  const loop = columnsLoop(side, 4 * lanes, layout)
  const sumOne = (t: number): string => `u.scale * sumOnes[r * ${owned}u + ${t}u]`
  const store = query
    ? storeRow('dq', sumOne, owned, lanes)
    : wgsl`
    // The sums of a masked key may be anything: zeros are stored.
    let open = allowed(item, row, extent);
    ${storeRow('dk', t => `select(vec4<f32>(), ${sumOne(t)}, open)`, owned, lanes)}
    ${storeRow('dv', t => `select(vec4<f32>(), sumTwos[r * ${owned}u + ${t}u], open)`, owned, lanes)}
  `
  const walk = wgsl`
    for (var start = ${loop.begin}; start < end; start += ${4 * lanes}u) {
      ${slopes(side, config, layout)}

      ${accumulate(terms, 'end', columns, config, owned)}
    }
  `
  return attentionShader({
    title: `attention gradient of the ${side} side, subgroup ${lanes} lanes x ${rows} rows, headSize ${layout.headSize} ${layout.dtype}`,
    layout,
    reads: ['q', 'k', 'v', 'dO'],
    writes,
    statistics: true,
    extra: {},
    needs: { subgroups: true },
    scores: { along: query ? 'keys' : 'queries', width: 4 },
    code: main(
      config,
      place(rows, side, layout),
      wgsl`
      ${rowPlaces('rowAt1_', a1, rowBound, config)}
      ${rowPlaces('rowAt2_', a2, rowBound, config)}
      ${declareOwned('lane', lanes, owned)}
      ${query && rowStatistics(config, layout)}
      ${terms.map(({ sum }) => declareSums(sum, rows, owned))}
      ${loop.declare}
      ${eachHead(side, layout, walk)}
      ${forRows(rows, rowBound, arrays, store)}
    `,
    ),
  })
}

/** Gradient of the bias of a tile of queries and of four keys for each lane. */
function subgroupBiasShader(config: SubgroupConfig, layout: AttentionLayout): Shader {
  const { lanes, rows } = config
  const storeKey = (e: number): string =>
    `if (key + ${e}u < u.keys) { ${storeBias('row', `key + ${e}u`, `sums[r][${e}]`)} }`
  return attentionShader({
    title: `attention gradient of the bias, subgroup ${lanes} lanes x ${rows} rows, headSize ${layout.headSize} ${layout.dtype}`,
    layout,
    reads: ['q', 'k', 'v', 'dO'],
    writes: [],
    statistics: true,
    ...biasGradient,
    needs: { subgroups: true },
    scores: { along: 'keys', width: 4 },
    code: main(
      config,
      placeOfBias(rows, 4 * lanes),
      wgsl`
      let start = columnStart;
      ${each(rows, r => `var sum${r} = vec4<f32>();`)}
      ${eachPairOfBias(
        rows,
        layout,
        wgsl`
        ${rowPlaces('rowAt1_', 'Q', 'u.queries', config)}
        ${rowPlaces('rowAt2_', 'DO', 'u.queries', config)}
        ${rowStatistics(config, layout)}
        ${slopes('query', config, layout)}
        ${each(rows, r => `sum${r} += ds${r};`)}
      `,
      )}
      let key = start + 4u * lane;
      ${forRows(
        rows,
        'u.queries',
        [`var sums = array<vec4<f32>, ${rows}>(${list(rows, r => `sum${r}`)});`],
        each(4, storeKey),
      )}
    `,
    ),
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
  biasGradient: subgroupBiasShader,
  biasTile: ({ lanes, rows }) => [rows, 4 * lanes],
}
