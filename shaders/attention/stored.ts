// The gradient of attention with probabilities and dScores in memory, for GPUs. The fused kernels compute both twice,
// once for dq and once for dk and dv: seven products. Here one kernel computes and stores them, and another multiplies
// them with dO, q and k: five. Their size grows with the square of the sequence, so heads are processed in groups, as
// many at a time as fit the scratch memory.
//
// Stored, in the operands' type: [2, pairs, queries, keys], first the probabilities (for dv), then the dScores (for dk
// and dq). Both sides are padded to whole blocks, with zeros past the last query, past the last key and for masked
// keys. Blocks of keys that are not attended to are neither written nor read. If subgroup matrices read them, the
// layout is blocked, [keys / 16, queries, 16]: each fragment covers whole cache lines.
//
// probabilities  a workgroup computes a tile of keys × queries, by two products over headSize.
// sums           a workgroup owns a tile of the result's rows and loops over the other side, both operands in
//                workgroup memory.
import { bytesOf } from '../kernel.ts'
import { MAIN, type Part, type Shader, each, list, scope, when, wgsl, written } from '../wgsl.ts'
import { Columns, turnsOf } from './columns.ts'
import type { AttentionLayout, AttentionProblem, Pairs, Side, StoredKind, StoredPart } from './common.ts'
import { attentionShader, chunksOf, statisticOf } from './common.ts'
import { KEY_BLOCK } from './matrix-config.ts'
import { declareOwned, declareSums, ownedChunks, storeOwned } from './owned.ts'
import { columnsLoop, eachHead, place, placeOfPair, sharesRows } from './place.ts'
import { closesScores, declareBias, isOpen, scoreOf } from './scores.ts'
import { type Blocks, addProducts, tiledColumns, tiledRows, tiledThreads, zeroBlock } from './tiled-parts.ts'

/**
 * Both sides of a head's stored matrix are padded to multiples of this. Every tile's side divides it, or is a multiple
 * of it.
 */
export const BLOCK = 64

/**
 * In causal attention, blocks of so many queries and keys are neither written nor read if all of their keys come after
 * all of their queries. Every tile's side divides it.
 */
const CAUSAL_BLOCK = 128

/** Declares `end`, past the last key that a tile of queries stores. */
export const storedEnd = ({ causal }: AttentionLayout): string => {
  const rounded = (n: string, block: number): string => `(${n} + ${block - 1}u) / ${block}u * ${block}u`
  const past = `causalEnd((rowStart / ${CAUSAL_BLOCK}u + 1u) * ${CAUSAL_BLOCK}u)`
  const all = rounded('extent', BLOCK)
  return `let end = ${causal ? `min(${all}, ${rounded(past, CAUSAL_BLOCK)})` : all};`
}

export const inBlocks = (n: number): number => Math.ceil(n / BLOCK) * BLOCK

/** Bytes that one head stores. */
export const storedBytes = ({ queries, keys, dtype }: AttentionProblem): number =>
  2 * inBlocks(queries) * inBlocks(keys) * bytesOf(dtype)

/** Further uniforms: where the stored matrices are. */
export const storedUniforms = { pairs: 'u32', storedQueries: 'u32', storedKeys: 'u32' } as const
export const storedValues = (
  { queries, keys }: AttentionProblem,
  { count }: Pairs,
): Record<keyof typeof storedUniforms, number> => ({
  pairs: count,
  storedQueries: inBlocks(queries),
  storedKeys: inBlocks(keys),
})

/** For the sums, tx·cn columns are in workgroup memory at a time. */
export interface StoredConfig extends Blocks {
  readonly kind: 'stored'
  readonly rm: 4 | 8
  /** Blocked layout, which subgroup matrices read, instead of row-major. */
  readonly blocked: boolean
}

/** A function for the offset of a quad of keys of a query in a stored matrix, counted in vec4s. */
export const storedAt = (blocked: boolean): string => wgsl`
  fn storedAt(query: u32, quad: u32) -> u32 {
    return ${blocked ? `(quad / ${KEY_BLOCK / 4}u * u.storedQueries + query) * ${KEY_BLOCK / 4}u + quad % ${KEY_BLOCK / 4}u` : 'query * (u.storedKeys / 4u) + quad'};
  }
`

const storedName = (config: StoredConfig): string =>
  `stored ${tiledRows(config)}x${tiledColumns(config)} of ${config.rm}x${config.cn}`

/** Bytes of workgroup memory. */
export function storedStorage(part: 'probabilities' | 'sums', config: StoredConfig, layout: AttentionLayout): number {
  const vector = 4 * bytesOf(layout.dtype)
  if (part === 'probabilities') return (tiledRows(config) + tiledColumns(config)) * kTilePitch(layout) * vector
  return tiledColumns(config) * (chunksOf(layout.headSize) * vector + (tiledRows(config) / 4 + 1) * 16)
}

const describe = (config: StoredConfig, { headSize, dtype }: AttentionLayout): string =>
  `${storedName(config)}, headSize ${headSize} ${dtype}`

const main = (config: StoredConfig, steps: string): string => wgsl`
  @compute @workgroup_size(${tiledThreads(config)})
  fn main(${MAIN}) {
    ${steps}
  }
`

const invocation = ({ tx }: StoredConfig): string => wgsl`
  let x = local % ${tx}u;
  let y = local / ${tx}u;
`

/**
 * In the first kernel a subgroup of 32 covers 4 columns and 8 quads of rows: in f32, each row that it stores fills
 * whole lines of 128 bytes.
 */
const upright = ({ tx }: StoredConfig): string => wgsl`
  let x = local % 4u + local / 32u % ${tx / 4}u * 4u;
  let y = local / 4u % 8u + local / ${8 * tx}u * 8u;
`

/**
 * Chunks of a K-tile, the part of headSize that is in workgroup memory at a time; rows of eight chunks are swizzled.
 */
const kTileOf = ({ headSize }: AttentionLayout): number =>
  chunksOf(headSize) % SWIZZLE === 0 ? SWIZZLE : chunksOf(headSize)
const SWIZZLE = 8

/** Vectors from one row of a K-tile to the next: odd, unless chunks are swizzled. */
const kTilePitch = (layout: AttentionLayout): number => (kTileOf(layout) === SWIZZLE ? SWIZZLE : kTileOf(layout) | 1)

/** Most vectors that an invocation prefetches. */
const MOST_STAGED = 12

/** Chunk `c` of a place in a K-tile; `swizzle` is anything equal to the place modulo eight. */
const kTileAt = (place: string, swizzle: string, layout: AttentionLayout): string =>
  `[${place}][${kTileOf(layout) === SWIZZLE ? `(c + ${swizzle}) % ${SWIZZLE}u` : 'c'}]`

/** Probabilities and dScores of a tile of keys (rows) and queries (columns). */
function storedProbabilitiesShader(config: StoredConfig, layout: AttentionLayout): Shader {
  const { tx, ty, rm, cn, blocked } = config
  const quads = rm / 4
  // The first row of an invocation's quad g.
  const quadOf = (g: number): string => `rowStart + 4u * (y + ${ty * g}u)`
  const kTile = kTileOf(layout)
  const common = { layout, invocations: tiledThreads(config), chunks: kTile }
  const [rowSide, columnSide] = [tiledRows(config), tiledColumns(config)].map(columns => ({ ...common, columns }))
  const prefetch = Math.ceil(turnsOf(rowSide)) + Math.ceil(turnsOf(columnSide)) <= MOST_STAGED
  // Place y + ty·m has a row of invocation y, which owns quads of consecutive rows.
  const rowOf = (n: string): string => `4u * (${n} % ${ty}u + ${n} / ${4 * ty}u * ${ty}u) + ${n} / ${ty}u % 4u`
  const rows = new Columns({ ...rowSide, prefetch, columnOf: rowOf })
  const columns = new Columns({ ...columnSide, prefetch })
  const phases = [
    ['s', 'K', 'Q'],
    ['d', 'V', 'DO'],
  ].flatMap(([score, key, query]) =>
    Array.from({ length: chunksOf(layout.headSize) / kTile }, (_, s) => ({
      score,
      first: s === 0,
      keys: { operand: key, name: 'row', bound: 'u.keys', chunk: s * kTile },
      queries: { operand: query, name: 'column', bound: 'u.queries', chunk: s * kTile },
    })),
  )
  const read = (p: number): Part =>
    p < phases.length && [rows.read('rowStart', phases[p].keys), columns.read('columnStart', phases[p].queries)]
  const put = (tile: string): string => `${tile}${kTileAt('n', 'n', layout)} = value;`
  const at = (place: string, swizzle: string): string => kTileAt(place, swizzle, layout)
  const closes = closesScores(layout)
  const storeQuad = (n: number, g: number): string => {
    const factor = layout.dropout ? `keep${n}_${g} * ` : ''
    const place = `query, ${quadOf(g)}`
    const open = closes ? isOpen(place, 'added', layout) : `open${g} & vec4<bool>(query < u.queries)`
    return wgsl`
      if (${quadOf(g)} < u.storedKeys) {
        ${layout.dropout && `let keep${n}_${g} = keep4(headRow + query, ${quadOf(g)});`}
        ${declareBias('added', place, layout)}
        let p = select(vec4<f32>(), exp(${scoreOf(`s${n}_${g}`, 'added', layout)} - statistic.x), ${open});
        let at = square + storedAt(query, rowStart / 4u + y + ${ty * g}u);
        stored[at] = vec4<${layout.dtype}>(${factor}p);
        stored[dScores + at] = vec4<${layout.dtype}>(p * (${factor}d${n}_${g} - statistic.y));
      }
    `
  }
  const storeColumn = (n: number): string => wgsl`
    {
      let query = columnStart + x + ${tx * n}u;
      let statistic = ${statisticOf('headRow + min(query, u.queries - 1u)', layout)};
      if (query < u.storedQueries) {
        ${each(quads, g => storeQuad(n, g))}
      }
    }
  `
  return attentionShader({
    title: `attention gradient's probabilities ${describe(config, layout)}`,
    layout,
    reads: ['q', 'k', 'v', 'dO'],
    writes: [],
    statistics: true,
    extra: { stored: written(`vec4<${layout.dtype}>`) },
    uniforms: storedUniforms,
    scores: { along: 'keys', width: 4 },
    code: wgsl`
      ${storedAt(blocked)}
      var<workgroup> rowTile: array<array<vec4<${layout.dtype}>, ${kTilePitch(layout)}>, ${tiledRows(config)}>;
      var<workgroup> columnTile: array<array<vec4<${layout.dtype}>, ${kTilePitch(layout)}>, ${tiledColumns(config)}>;

      ${main(
        config,
        wgsl`
        ${placeOfPair()}
        let keyTiles = (u.storedKeys + ${tiledRows(config) - 1}u) / ${tiledRows(config)}u;
        let rowStart = tileNumber % keyTiles * ${tiledRows(config)}u;
        let columnStart = tileNumber / keyTiles * ${tiledColumns(config)}u;
        // Blocks of keys that are not attended to are not read either.
        if (rowStart / ${BLOCK}u * ${BLOCK}u >= extent) { return; }
        ${layout.causal && `if (rowStart / ${CAUSAL_BLOCK}u * ${CAUSAL_BLOCK}u >= causalEnd((columnStart / ${CAUSAL_BLOCK}u + 1u) * ${CAUSAL_BLOCK}u)) { return; }`}
        ${upright(config)}
        ${rows.declare(phases[0].keys)}
        ${columns.declare(phases[0].queries)}
        ${read(0)}
        ${phases.map(({ score, first, keys, queries }, p) => [
          first && zeroBlock(score, config),
          p > 0 && 'workgroupBarrier();',
          rows.put(keys, 'rowStart', put('rowTile')),
          columns.put(queries, 'columnStart', put('columnTile')),
          'workgroupBarrier();',
          read(p + 1),
          addProducts(score, ['rowTile', 'columnTile'], `${kTile}u`, at, config),
        ])}
        ${!closes && each(quads, g => `let open${g} = allowed4(item, ${quadOf(g)}, extent);`)}
        let square = (pair - u.firstPair) * (u.storedQueries * u.storedKeys / 4u);
        let dScores = u.pairs * (u.storedQueries * u.storedKeys / 4u);
        ${each(cn, storeColumn)}
      `,
      )}
    `,
  })
}

/** Stages stored values in workgroup memory, as `left[column][quad of rows]`; a turn is one piece per invocation. */
function stagedLeft(side: Side, config: StoredConfig, layout: AttentionLayout) {
  const quads = tiledRows(config) / 4
  const threads = tiledThreads(config)
  const zero = `vec4<${layout.dtype}>()`
  const turns = (quads * tiledColumns(config)) / threads / (side === 'query' ? 4 : 1)
  if (!Number.isInteger(turns))
    throw new Error(`${storedName(config)}: no whole count of pieces for each of ${threads} invocations`)
  const every = (body: (t: number) => Part): string =>
    each(turns, t => scope([`let at = local + ${t * threads}u;`, body(t)]))
  if (side === 'key') {
    // Rows lie side by side.
    return {
      declare: each(turns, t => `var stagedLeft${t} = ${zero};`),
      read: (start: string) =>
        every(t => [
          `let i = min(${start} + at / ${quads}u, u.storedQueries - 1u);`,
          `let quad = min(rowStart / 4u + at % ${quads}u, u.storedKeys / 4u - 1u);`,
          `stagedLeft${t} = stored[square + storedAt(i, quad)];`,
        ]),
      put: every(t => `left[at / ${quads}u][at % ${quads}u] = vec4<f32>(stagedLeft${t});`),
    }
  }
  // Columns lie side by side: blocks of four by four are transposed. Two blocks side by side, so that eight invocations
  // write to eight banks.
  const column = `at % 2u + at / ${2 * quads}u * 2u`
  const rowQuad = `at / 2u % ${quads}u`
  const row = (e: number): string => `min(rowStart + 4u * (${rowQuad}) + ${e}u, u.storedQueries - 1u)`
  const transposed = (t: number, e: number): string =>
    `vec4<f32>(vec4<${layout.dtype}>(${list(4, q => `stagedLeft${t}_${q}[${e}]`)}))`
  return {
    declare: each(turns, t => each(4, e => `var stagedLeft${t}_${e} = ${zero};`)),
    read: (start: string) =>
      every(t => [
        `let quad = min(${start} / 4u + ${column}, u.storedKeys / 4u - 1u);`,
        each(4, e => `stagedLeft${t}_${e} = stored[square + storedAt(${row(e)}, quad)];`),
      ]),
    put: every(t => each(4, e => `left[4u * (${column}) + ${e}u][${rowQuad}] = ${transposed(t, e)};`)),
  }
}

/** Columns per turn of the loop over a tile. */
const TURN = 8

/**
 * A tile of rows of factor · stored matrix · the other side's operand: dq (side 'query') from dScores and k, dk and dv
 * (side 'key') from dScores and q, probabilities and dO.
 */
function storedSumsShader(side: Side, config: StoredConfig, layout: AttentionLayout): Shader {
  const { tx, ty, rm } = config
  const depth = tiledColumns(config)
  const quads = rm / 4
  const pitch = tiledRows(config) / 4 + 1
  const chunks = chunksOf(layout.headSize)
  const owned = ownedChunks(layout, tx)
  const columns = new Columns({ layout, invocations: tiledThreads(config), columns: depth, prefetch: true })
  const [rowBound, bound] = side === 'query' ? ['u.queries', 'u.keys'] : ['u.keys', 'u.queries']
  const other = { operand: 'Other', name: 'staged', bound }
  const left = stagedLeft(side, config, layout)
  const loop = columnsLoop(side, depth, layout)
  const step = (n: number): string => wgsl`
    {
      let column = turn * ${TURN}u + ${n}u;
      ${each(quads, g => `let left${g} = left[column][y + ${ty * g}u];`)}
      ${each(owned, t => `let chunk${t} = vec4<f32>(columnTile[column][own${t}]);`)}
      ${each(rm, m => each(owned, t => `sum${m}_${t} += left${Math.floor(m / 4)}[${m % 4}] * chunk${t};`))}
    }
  `
  const storeRow = (m: number): string => {
    const row = `rowStart + 4u * (y + ${ty * Math.floor(m / 4)}u) + ${m % 4}u`
    const sum = (t: number): string => `u.factor * sum${m}_${t}`
    const value = (t: number): string => (side === 'key' ? `select(vec4<f32>(), ${sum(t)}, open)` : sum(t))
    return wgsl`
      if (${row} < ${rowBound}) {
        ${when(side === 'key')`
          // The sums of a masked key may be anything: zeros are stored.
          let open = allowed(item, ${row}, extent);
        `}
        let at = rowResult(item, ${row}, head);
        ${storeOwned('result', 'at', value, 'x', tx, owned)}
      }
    `
  }
  const shares = sharesRows(side, layout)
  const square = (pair: string): string =>
    `let square = (u.part * u.pairs + ${pair} - u.firstPair) * (u.storedQueries * u.storedKeys / 4u);`
  const walk = wgsl`
    ${shares && square('pair + member')}
    ${left.declare}
    ${columns.declare(other)}
    ${left.read(loop.begin)}
    ${columns.read(loop.begin, other)}
    for (var start = ${loop.begin}; start < end; start += ${depth}u) {
      workgroupBarrier();
      ${left.put}
      ${columns.put(other, 'start', 'columnTile[n][c] = value;')}
      workgroupBarrier();
      ${left.read(`(start + ${depth}u)`)}
      ${columns.read(`start + ${depth}u`, other)}
      for (var turn = 0u; turn < ${depth / TURN}u; turn++) {
        ${each(TURN, step)}
      }
    }
  `
  return attentionShader({
    title: `attention gradient's sums of the ${side} side, ${describe(config, layout)}`,
    layout,
    reads: ['other'],
    writes: ['result'],
    ofKeys: [side === 'query' ? 'other' : 'result'],
    extra: { stored: `vec4<${layout.dtype}>` },
    uniforms: { ...storedUniforms, part: 'u32', factor: 'f32' },
    code: wgsl`
      ${storedAt(config.blocked)}
      var<workgroup> columnTile: array<array<vec4<${layout.dtype}>, ${chunks}>, ${depth}>;
      var<workgroup> left: array<array<vec4<f32>, ${pitch}>, ${depth}>;

      ${main(
        config,
        wgsl`
        ${place(tiledRows(config), side, layout)}
        ${invocation(config)}
        ${declareOwned('x', tx, owned)}
        ${!shares && square('pair')}
        ${loop.declare}
        ${declareSums('sum', rm, owned)}
        ${eachHead(side, layout, walk)}
        ${each(rm, storeRow)}
      `,
      )}
    `,
  })
}

/** Tiles: invocations and blocks, in the order of an H200's times. A tile of sums has tx·cn columns, too. */
const tiles: Readonly<Record<StoredPart, readonly (readonly [tx: number, ty: number, rm: 4 | 8, cn: 2 | 4 | 8])[]>> = {
  probabilities: [
    [16, 16, 8, 4],
    [16, 8, 8, 4],
    [8, 16, 8, 8],
    [8, 8, 4, 4],
  ],
  sums: [
    [8, 16, 8, 2],
    [8, 8, 8, 2],
    [8, 8, 8, 4],
    [8, 8, 4, 4],
  ],
}

export const stored: StoredKind<StoredConfig> = {
  candidates: (part, layout, { maxWorkgroupStorage, maxWorkgroupInvocations }, blocked) =>
    tiles[part]
      .map(([tx, ty, rm, cn]): StoredConfig => ({ kind: 'stored', tx, ty, rm, cn, blocked }))
      .filter(
        config =>
          storedStorage(part, config, layout) <= maxWorkgroupStorage && tiledThreads(config) <= maxWorkgroupInvocations,
      ),
  name: storedName,
  rows: tiledRows,
  tiles: (config, { queries, keys }) =>
    Math.ceil(inBlocks(keys) / tiledRows(config)) * Math.ceil(inBlocks(queries) / tiledColumns(config)),
  probabilities: storedProbabilitiesShader,
  sums: storedSumsShader,
}
