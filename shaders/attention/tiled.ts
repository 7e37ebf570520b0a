// Attention by workgroups, for GPUs (FlashAttention, Dao et al. 2022, Dao 2023): a workgroup owns a tile of rows, walks
// over tiles of columns in workgroup memory, and each invocation keeps a small block of scores and sums in registers
// (tiled-parts.ts).
//
// Invocations of the same rows exchange their probabilities, or dScores, by subgroup shuffles or through workgroup
// memory. If an invocation copies few vectors, the next columns are prefetched into registers.
import { bytesOf } from '../kernel.ts'
import { type Shader, each, wgsl, when, written } from '../wgsl.ts'
import { biasGradient, eachPairOfBias, placeOfBias, storeBias } from './bias.ts'
import type { StagedOperand } from './columns.ts'
import type { AttentionKind, AttentionLayout, AttentionPass, Side } from './common.ts'
import { attentionShader, sides, statisticOf } from './common.ts'
import { columnsLoop, eachHead, place } from './place.ts'
import { closesScores } from './scores.ts'
import type { TiledConfig } from './tiled-parts.ts'
import { TiledParts, pitchOf, rowVectorsOf, tiledColumns, tiledRows, tiledThreads } from './tiled-parts.ts'

/** Bytes of workgroup memory of a pass. */
export function tiledBytes(config: TiledConfig, layout: AttentionLayout, pass: AttentionPass): number {
  const { ty, rm, exchange } = config
  const tileRow = pitchOf(layout.headSize) * 4 * bytesOf(layout.dtype)
  const tiles = (tiledRows(config) + tiledColumns(config)) * tileRow * (pass === 'forward' ? 1 : 2)
  if (exchange || pass === 'bias') return tiles
  const { width, groups } = rowVectorsOf(config)
  const exchanged = tiledColumns(config) * (ty * groups + 1) * width * 4
  if (pass === 'forward') return tiles + exchanged + tiledThreads(config) * rm * 4
  return tiles + (pass === 'key' ? 2 : 1) * exchanged
}

/** For labels, e.g. `tiled 64x32 of 8x4 sg`: the workgroup's tile, an invocation's block, by subgroups. */
const tiledName = (config: TiledConfig): string =>
  `tiled ${tiledRows(config)}x${tiledColumns(config)} of ${config.rm}x${config.cn}${config.exchange ? ' sg' : ''}`

const describe = (config: TiledConfig, { headSize, dtype }: AttentionLayout): string =>
  `${tiledName(config)}, headSize ${headSize} ${dtype}`

/** Forward: o and lse. */
function tiledForwardShader(config: TiledConfig, layout: AttentionLayout): Shader {
  const { rm, cn, exchange } = config
  const parts = new TiledParts(config, layout)
  const { groups, vector } = parts
  const columns = parts.columns(1)
  const tileColumns = tiledColumns(config)
  // One after the other, in one tile.
  const [keys, values] = ['K', 'V'].map((operand): StagedOperand => ({ operand, name: 'staged', bound: 'u.keys' }))
  const put = parts.putIn('columnTile')
  const largest = (g: number): string =>
    Array.from({ length: cn - 1 }, (_, n) => `s${n + 1}_${g}`).reduce((inner, s) => `max(${inner}, ${s})`, `s0_${g}`)
  const storeRow = (m: number): string => wgsl`
    if (${parts.row(m)} < u.queries) {
      ${parts.storeRow('o', m, t => `${parts.ofRow('inverse', m)} * sum${m}_${t}`)}
      if (x == 0u) { lse[headRow + ${parts.row(m)}] = ${parts.ofRow('logSum', m)}; }
    }
  `
  return attentionShader({
    title: `attention forward ${describe(config, layout)}`,
    layout,
    reads: ['q', 'k', 'v'],
    writes: ['o'],
    extra: { lse: written('f32') },
    needs: { subgroups: exchange },
    scores: parts.neighbours('query'),
    code: wgsl`
      ${parts.tile('rowTile', tiledRows(config))}
      ${parts.tile('columnTile', tileColumns)}
      ${parts.left('probabilities')}
      ${!exchange && `var<workgroup> partial: array<${vector}, ${tiledThreads(config) * groups}>;`}

      ${parts.main(
        place(tiledRows(config), 'query', layout),
        wgsl`
        ${parts.fillRows('rowTile', 'Q', 'u.queries')}
        ${parts.declareSums('sum')}
        ${parts.perGroup(g => [
          `var rowMax_${g} = ${vector}(LOWEST);`,
          `var total_${g} = ${vector}(); // of this invocation's columns`,
        ])}
        ${columns.declare(keys)}
        ${columns.read('0u', keys)}
        for (var start = 0u; start < extent; start += ${tileColumns}u) {
          workgroupBarrier();
          ${columns.put(keys, 'start', put)}
          workgroupBarrier();
          ${columns.read('start', values)}
          ${parts.products('s', 'rowTile', 'columnTile')}
          ${each(cn, n => [
            parts.declareOpen('query', n, parts.column(n)),
            parts.perGroup(g => `s${n}_${g} = select(${vector}(LOWEST), ${parts.score(n, g)}, ${parts.open(n, g)});`),
          ])}
          ${parts.perGroup(g => `var next_${g} = max(rowMax_${g}, ${largest(g)});`)}
          ${exchange && 'workgroupBarrier();'}
          ${parts.join('next', (a, b) => `max(${a}, ${b})`)}
          ${columns.put(values, 'start', put)}
          ${parts.perGroup(g => [
            `let rescale_${g} = exp(rowMax_${g} - next_${g});`,
            `rowMax_${g} = next_${g};`,
            `total_${g} *= rescale_${g};`,
          ])}
          ${layout.dropout && parts.factors('query')}
          ${parts.perVector((n, g) => [
            `let p${n}_${g} = select(${vector}(), exp(s${n}_${g} - next_${g}), ${parts.open(n, g)});`,
            `total_${g} += p${n}_${g};`,
            parts.putLeft('probabilities', n, g, `${layout.dropout ? `factor${n}_${g} * ` : ''}p${n}_${g}`),
          ])}
          ${parts.perSum((m, t) => `sum${m}_${t} *= ${parts.ofRow('rescale', m)};`)}
          workgroupBarrier();
          ${columns.read(`start + ${tileColumns}u`, keys)}
          ${parts.accumulate({ sum: 'sum', left: 'probabilities', tile: 'columnTile' })}
        }
        ${parts.join('total', (a, b) => `${a} + ${b}`)}
        // A row that attends to nothing gives zeros.
        ${parts.perGroup(g => [
          `let inverse_${g} = select(${vector}(), 1.0 / total_${g}, total_${g} > ${vector}());`,
          `let logSum_${g} = select(${vector}(), rowMax_${g} + log(total_${g}), total_${g} > ${vector}());`,
        ])}
        ${each(rm, storeRow)}
      `,
      )}
    `,
  })
}

/** dq of a tile of queries (side 'query'), or dk and dv of a tile of keys (side 'key'). */
function tiledGradientShader(side: Side, config: TiledConfig, layout: AttentionLayout): Shader {
  const { rm, cn, exchange } = config
  const { a1, a2, b1, b2, rows: rowBound, columns: bound, writes } = sides(side)
  const parts = new TiledParts(config, layout)
  const { vector } = parts
  const query = side === 'query'
  const columns = parts.columns(2)
  const [rows, tileColumns] = [tiledRows(config), tiledColumns(config)]
  const loop = columnsLoop(side, tileColumns, layout)
  const one: StagedOperand = { operand: b1, name: 'stagedOne', bound }
  const two: StagedOperand = { operand: b2, name: 'stagedTwo', bound }
  const factor = (n: number, g: number): string => (layout.dropout ? `factor${n}_${g} * ` : '')
  const closes = closesScores(layout)
  const p = (n: number, g: number, lse: string, open: string): string =>
    `let p${n}_${g} = select(${vector}(), exp(${parts.score(n, g)} - ${lse}), ${open});`
  const dScores = (n: number, g: number, mean: string): string =>
    parts.putLeft('dScores', n, g, `p${n}_${g} * (${factor(n, g)}d${n}_${g} - ${mean})`)
  const ofQueries = (n: number): string => wgsl`
    ${parts.declareOpen('query', n, `column${n}`)}
    ${parts.perGroup(g => [p(n, g, `lse_${g}`, parts.open(n, g)), dScores(n, g, `mean_${g}`)])}
  `
  const ofKeys = (n: number): string => wgsl`
    let statistic${n} = ${statisticOf(`headRow + min(column${n}, u.queries - 1u)`, layout)};
    ${closes && parts.declareOpen('key', n, `column${n}`)}
    ${parts.perGroup(g => [
      p(n, g, `statistic${n}.x`, closes ? parts.open(n, g) : `column${n} < ${bound}`),
      dScores(n, g, `statistic${n}.y`),
      parts.putLeft('probabilities', n, g, `${factor(n, g)}p${n}_${g}`),
    ])}
  `
  const storeRow = (m: number): string => wgsl`
    if (${parts.row(m)} < ${rowBound}) {
      ${query && parts.storeRow('dq', m, t => `u.scale * sumOne${m}_${t}`)}
      ${when(!query)`
        // The sums of a masked key may be anything: zeros are stored.
        let open = allowed(item, ${parts.row(m)}, extent);
        ${parts.storeRow('dk', m, t => `select(vec4<f32>(), u.scale * sumOne${m}_${t}, open)`)}
        ${parts.storeRow('dv', m, t => `select(vec4<f32>(), sumTwo${m}_${t}, open)`)}
      `}
    }
  `
  const walk = wgsl`
    ${columns.declare(one, two)}
    ${columns.read(loop.begin, one, two)}
    for (var start = ${loop.begin}; start < end; start += ${tileColumns}u) {
      workgroupBarrier();
      ${columns.put(one, 'start', parts.putIn('columnTile1'))}
      ${columns.put(two, 'start', parts.putIn('columnTile2'))}
      workgroupBarrier();
      ${columns.read(`start + ${tileColumns}u`, one, two)}
      ${parts.products('s', 'rowTile1', 'columnTile1')}
      ${parts.products('d', 'rowTile2', 'columnTile2')}
      ${layout.dropout && parts.factors(side)}
      ${each(cn, n => [`let column${n} = ${parts.column(n)};`, query ? ofQueries(n) : ofKeys(n)])}
      ${!exchange && 'workgroupBarrier();'}
      ${parts.accumulate(
        { sum: 'sumOne', left: 'dScores', tile: 'columnTile1' },
        ...(query ? [] : [{ sum: 'sumTwo', left: 'probabilities', tile: 'columnTile2' }]),
      )}
    }
  `
  return attentionShader({
    title: `attention gradient of the ${side} side, ${describe(config, layout)}`,
    layout,
    reads: ['q', 'k', 'v', 'dO'],
    writes,
    statistics: true,
    extra: {},
    needs: { subgroups: exchange },
    scores: parts.neighbours(side),
    code: wgsl`
      ${parts.tile('rowTile1', rows)}
      ${parts.tile('rowTile2', rows)}
      ${parts.tile('columnTile1', tileColumns)}
      ${parts.tile('columnTile2', tileColumns)}
      ${parts.left('dScores')}
      ${!query && parts.left('probabilities')}

      ${parts.main(
        place(rows, side, layout),
        wgsl`
        ${parts.fillRows('rowTile1', a1, rowBound)}
        ${parts.fillRows('rowTile2', a2, rowBound)}
        ${query && parts.rowStatistics()}
        ${parts.declareSums('sumOne')}
        ${!query && parts.declareSums('sumTwo')}
        ${loop.declare}
        ${eachHead(side, layout, walk)}
        ${each(rm, storeRow)}
      `,
      )}
    `,
  })
}

/** Gradient of the bias of a tile of queries and keys. */
function tiledBiasShader(config: TiledConfig, layout: AttentionLayout): Shader {
  const { rm, cn } = config
  const parts = new TiledParts(config, layout)
  const { vector } = parts
  const columns = parts.columns(2)
  const [rows, tileColumns] = [tiledRows(config), tiledColumns(config)]
  const one: StagedOperand = { operand: 'K', name: 'stagedOne', bound: 'u.keys' }
  const two: StagedOperand = { operand: 'V', name: 'stagedTwo', bound: 'u.keys' }
  const factor = (n: number, g: number): string => (layout.dropout ? `factor${n}_${g} * ` : '')
  const addSlopes = (n: number): string => wgsl`
    let column${n} = ${parts.column(n)};
    ${parts.declareOpen('query', n, `column${n}`)}
    ${parts.perGroup(g => [
      `let p${n}_${g} = select(${vector}(), exp(${parts.score(n, g)} - lse_${g}), ${parts.open(n, g)});`,
      `sum${n}_${g} += p${n}_${g} * (${factor(n, g)}d${n}_${g} - mean_${g});`,
    ])}
  `
  const storeRow = (m: number): string => wgsl`
    if (${parts.row(m)} < u.queries) {
      ${each(
        cn,
        n =>
          `if (${parts.column(n)} < u.keys) { ${storeBias(parts.row(m), parts.column(n), parts.ofRow(`sum${n}`, m))} }`,
      )}
    }
  `
  return attentionShader({
    title: `attention gradient of the bias, ${describe(config, layout)}`,
    layout,
    reads: ['q', 'k', 'v', 'dO'],
    writes: [],
    statistics: true,
    ...biasGradient,
    scores: parts.neighbours('query'),
    code: wgsl`
      ${parts.tile('rowTile1', rows)}
      ${parts.tile('rowTile2', rows)}
      ${parts.tile('columnTile1', tileColumns)}
      ${parts.tile('columnTile2', tileColumns)}

      ${parts.main(
        placeOfBias(rows, tileColumns),
        wgsl`
        let start = columnStart;
        ${parts.perVector((n, g) => `var sum${n}_${g} = ${vector}();`)}
        ${eachPairOfBias(
          rows,
          layout,
          wgsl`
          ${columns.declare(one, two)}
          ${columns.read('start', one, two)}
          workgroupBarrier();
          ${parts.fillRows('rowTile1', 'Q', 'u.queries')}
          ${parts.fillRows('rowTile2', 'DO', 'u.queries')}
          ${columns.put(one, 'start', parts.putIn('columnTile1'))}
          ${columns.put(two, 'start', parts.putIn('columnTile2'))}
          ${parts.rowStatistics()}
          workgroupBarrier();
          ${parts.products('s', 'rowTile1', 'columnTile1')}
          ${parts.products('d', 'rowTile2', 'columnTile2')}
          ${layout.dropout && parts.factors('query')}
          ${each(cn, addSlopes)}
        `,
        )}
        ${each(rm, storeRow)}
      `,
      )}
    `,
  })
}

/** A tiled kernel: tx, ty, rm, cn and how probabilities are exchanged. */
type Tile = readonly [tx: number, ty: number, rm: 2 | 4 | 8, cn: 2 | 4 | 8, by: 'shuffles' | 'memory']

/**
 * In the order of an H200's times with heads of 64, then what a smaller workgroup memory or no subgroups leave. Larger
 * blocks read less for each multiply-add, 4·(rm + cn) words for 4·rm·cn, and what shuffles save in memory goes to more
 * rows.
 */
const tiles: Readonly<Record<'forward' | 'gradient' | 'bias', readonly Tile[]>> = {
  forward: [
    [16, 16, 8, 4, 'shuffles'],
    [8, 16, 4, 4, 'shuffles'],
    [8, 8, 4, 4, 'shuffles'],
    [8, 8, 4, 4, 'memory'],
    [8, 8, 4, 2, 'memory'],
    [8, 8, 2, 2, 'memory'],
  ],
  gradient: [
    [16, 16, 4, 2, 'shuffles'],
    [8, 16, 4, 4, 'shuffles'],
    [16, 8, 4, 2, 'memory'],
    [8, 8, 4, 2, 'memory'],
  ],
  // Nothing is exchanged.
  bias: [
    [16, 16, 4, 2, 'memory'],
    [8, 16, 4, 4, 'memory'],
    [8, 8, 4, 2, 'memory'],
  ],
}

export const tiled: AttentionKind<TiledConfig> = {
  candidates: (pass, layout, { subgroupSize: lanes, maxWorkgroupStorage, maxWorkgroupInvocations }) =>
    tiles[pass === 'forward' || pass === 'bias' ? pass : 'gradient']
      .map(([tx, ty, rm, cn, by]): TiledConfig => ({ kind: 'tiled', tx, ty, rm, cn, exchange: by === 'shuffles' }))
      .filter(
        config =>
          tiledBytes(config, layout, pass) <= maxWorkgroupStorage &&
          tiledThreads(config) <= maxWorkgroupInvocations &&
          (!config.exchange || (lanes > 0 && lanes % config.tx === 0)),
      ),
  name: tiledName,
  rows: tiledRows,
  forward: tiledForwardShader,
  gradient: tiledGradientShader,
  biasGradient: tiledBiasShader,
  biasTile: config => [tiledRows(config), tiledColumns(config)],
}
