// The gradient of attention with its weights in memory, for GPUs. The fused kernels make scores and their slopes twice, once
// for dq and once for dk and dv: seven products. Here one kernel makes both and stores them, and another multiplies them
// with dO, q and k: five. What is stored grows with the square of the sequence, so heads come by turns, as many as
// a bound has room for.
//
// Stored, in the operands' type: [2, pairs, queries, keys], first the weights that dv sums, then the slopes that dk and dq
// sum; both sizes of a square in whole blocks, with zeros past the last query, past the last key and where the mask is.
// Of keys, only blocks that hold one that is attended to are written, or read. Where subgroups read squares as matrices,
// they are [keys / 16, queries, 16]: fragments take whole lines of memory.
//
// weights   a workgroup makes a tile of keys × queries, by two products over the head's size.
// sums      a workgroup owns a tile of the result's rows and walks over the other side, weights and operand in its memory.
import { bytesOf } from '../kernel.ts'
import { MAIN, type Shader, each, list, wgsl } from '../wgsl.ts'
import { Columns, type Moving, turnsOf } from './columns.ts'
import {
  type AttentionLayout, type AttentionProblem, type Pairs, type Side, type StoredKind, type StoredPart, attentionShader, chunksOf, place, placeOfPair,
} from './common.ts'
import { STRIP } from './matrix-config.ts'
import { type Blocks, addProducts, sums, tiledColumns, tiledRows, tiledThreads, zeroBlock } from './tiled.ts'

/** Both sizes of a head's square are whole in these: every tile's sides divide it, or are multiples of it. */
export const BLOCK = 64

export const inBlocks = (n: number): number => Math.ceil(n / BLOCK) * BLOCK

/** Bytes that one head stores. */
export const storedBytes = ({ queries, keys, dtype }: AttentionProblem): number => 2 * inBlocks(queries) * inBlocks(keys) * bytesOf(dtype)

/** Uniforms beside the others: where the stored squares are. */
export const storedUniforms = { pairs: 'u32', storedQueries: 'u32', storedKeys: 'u32' } as const
export const storedValues = ({ queries, keys }: AttentionProblem, { count }: Pairs): Record<keyof typeof storedUniforms, number> =>
  ({ pairs: count, storedQueries: inBlocks(queries), storedKeys: inBlocks(keys) })

/** Of the sums, tx·cn is the count of columns that are in workgroup memory at a time. */
export interface StoredConfig extends Blocks {
  readonly kind: 'stored'
  readonly rm: 4 | 8
  /** Whether squares lie in strips of keys, as subgroup matrices have them, or row by row. */
  readonly strips: boolean
}

/** A function for the place of four keys of a query in a square, counted in fours. */
export const storedAt = (strips: boolean): string => wgsl`
  fn storedAt(query: u32, four: u32) -> u32 {
    return ${strips ? `(four / ${STRIP / 4}u * u.storedQueries + query) * ${STRIP / 4}u + four % ${STRIP / 4}u` : 'query * (u.storedKeys / 4u) + four'};
  }
`

export const storedName = (config: StoredConfig): string => `stored ${tiledRows(config)}x${tiledColumns(config)} of ${config.rm}x${config.cn}`

/** Bytes of workgroup memory. */
export function storedStorage(part: 'weights' | 'sums', config: StoredConfig, layout: AttentionLayout): number {
  const vector = 4 * bytesOf(layout.dtype)
  if (part === 'weights') return (tiledRows(config) + tiledColumns(config)) * slabPitch(layout) * vector
  return tiledColumns(config) * (chunksOf(layout.headSize) * vector + (tiledRows(config) / 4 + 1) * 16)
}

const describe = (config: StoredConfig, { headSize, dtype }: AttentionLayout): string => `${storedName(config)}, headSize ${headSize} ${dtype}`

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

/** For the weights, a subgroup of 32 stands 4 columns wide and 8 fours of rows high: in f32, each row that it stores takes whole lines of 128 bytes. */
const upright = ({ tx }: StoredConfig): string => wgsl`
  let x = local % 4u + local / 32u % ${tx / 4}u * 4u;
  let y = local / 4u % 8u + local / ${8 * tx}u * 8u;
`

/** Chunks of the head's size that are in workgroup memory at a time, for the weights: their place in a row of eight is changed by the row's. */
const slabOf = ({ headSize }: AttentionLayout): number => (chunksOf(headSize) % SWING === 0 ? SWING : chunksOf(headSize))
const SWING = 8

/** Vectors from one row of the slab to the next: odd, where chunks don't change places. */
const slabPitch = (layout: AttentionLayout): number => (slabOf(layout) === SWING ? SWING : slabOf(layout) | 1)

/** Vectors that an invocation may hold on their way. */
const MOST_HELD = 12

/** Chunk `c` of a place in a slab; `swing` is anything equal to the place modulo eight. */
const slabAt = (place: string, swing: string, layout: AttentionLayout): string =>
  `[${place}][${slabOf(layout) === SWING ? `(c + ${swing}) % ${SWING}u` : 'c'}]`

/** Weights and slopes of the scores of a tile of keys (rows) and queries (columns). */
function storedWeightsShader(config: StoredConfig, layout: AttentionLayout): Shader {
  const { tx, ty, rm, cn, strips } = config
  const fours = rm / 4
  // The first of four rows that follow each other, of an invocation's group g.
  const fourOf = (g: number): string => `rowStart + 4u * (y + ${ty * g}u)`
  const slab = slabOf(layout)
  const sideOf = (columns: number): Moving => ({ layout, invocation: 'local', invocations: tiledThreads(config), columns, chunks: slab, ahead: false })
  const [rowSide, columnSide] = [sideOf(tiledRows(config)), sideOf(tiledColumns(config))]
  const ahead = Math.ceil(turnsOf(rowSide)) + Math.ceil(turnsOf(columnSide)) <= MOST_HELD
  // Place y + ty·m has a row of invocation y: fours of rows that follow each other are one invocation's.
  const rowOf = (n: string): string => `4u * (${n} % ${ty}u + ${n} / ${4 * ty}u * ${ty}u) + ${n} / ${ty}u % 4u`
  const rows = new Columns({ ...rowSide, ahead, columnOf: rowOf })
  const columns = new Columns({ ...columnSide, ahead })
  const phases = [['s', 'K', 'Q'], ['d', 'V', 'DO']].flatMap(([score, key, query]) =>
    Array.from({ length: chunksOf(layout.headSize) / slab }, (_, s) => ({
      score, first: s === 0,
      keys: { operand: key, name: 'row', bound: 'u.keys', chunk: s * slab },
      queries: { operand: query, name: 'column', bound: 'u.queries', chunk: s * slab },
    })))
  const read = (p: number): string => (p < phases.length ? wgsl`
    ${rows.read(phases[p].keys, 'rowStart')}
    ${columns.read(phases[p].queries, 'columnStart')}
  ` : '')
  const put = (tile: string): string => `${tile}${slabAt('n', 'n', layout)} = value;`
  const factor = (n: number, g: number): string => (layout.dropout ? `keep${n}_${g} * ` : '')
  return attentionShader({
    title: `attention gradient's weights ${describe(config, layout)}`,
    layout, reads: ['q', 'k', 'v', 'dO'], writes: [],
    extra: [{ name: 'statistics', type: 'vec2<f32>' }, { name: 'stored', type: `vec4<${layout.dtype}>`, access: 'write' }],
    uniforms: storedUniforms,
    code: wgsl`
      ${storedAt(strips)}
      var<workgroup> rowTile: array<array<vec4<${layout.dtype}>, ${slabPitch(layout)}>, ${tiledRows(config)}>;
      var<workgroup> columnTile: array<array<vec4<${layout.dtype}>, ${slabPitch(layout)}>, ${tiledColumns(config)}>;

      ${main(config, wgsl`
        ${placeOfPair}
        let keyTiles = (u.storedKeys + ${tiledRows(config) - 1}u) / ${tiledRows(config)}u;
        let rowStart = tileNumber % keyTiles * ${tiledRows(config)}u;
        let columnStart = tileNumber / keyTiles * ${tiledColumns(config)}u;
        // Blocks of keys that nobody attends to are not read either.
        if (rowStart / ${BLOCK}u * ${BLOCK}u >= extent) { return; }
        ${upright(config)}
        ${rows.hold(phases[0].keys)}
        ${columns.hold(phases[0].queries)}
        ${read(0)}
        ${phases.map(({ score, first, keys, queries }, p) => wgsl`
          ${first ? zeroBlock(score, config) : ''}
          ${p > 0 ? 'workgroupBarrier();' : ''}
          ${rows.put(keys, 'rowStart', put('rowTile'))}
          ${columns.put(queries, 'columnStart', put('columnTile'))}
          workgroupBarrier();
          ${read(p + 1)}
          ${addProducts(score, ['rowTile', 'columnTile'], `${slab}u`, (place, swing) => slabAt(place, swing, layout), config)}
        `)}
        ${each(fours, g => `let open${g} = allowed4(item, ${fourOf(g)}, extent);`)}
        let square = (pair - u.firstPair) * (u.storedQueries * u.storedKeys / 4u);
        let slopes = u.pairs * (u.storedQueries * u.storedKeys / 4u);
        ${each(cn, n => wgsl`
          {
            let query = columnStart + x + ${tx * n}u;
            let statistic = statistics[headRow + min(query, u.queries - 1u)];
            if (query < u.storedQueries) {
              ${each(fours, g => wgsl`
                if (${fourOf(g)} < u.storedKeys) {
                  ${layout.dropout ? `let keep${n}_${g} = keep4(headRow + query, ${fourOf(g)});` : ''}
                  let p = select(vec4<f32>(), exp(u.scale * s${n}_${g} - statistic.x), open${g} & vec4<bool>(query < u.queries));
                  let at = square + storedAt(query, rowStart / 4u + y + ${ty * g}u);
                  stored[at] = vec4<${layout.dtype}>(${factor(n, g)}p);
                  stored[slopes + at] = vec4<${layout.dtype}>(p * (${factor(n, g)}d${n}_${g} - statistic.y));
                }
              `)}
            }
          }
        `)}
      `)}
    `,
  })
}

/** What is on its way from the stored square to workgroup memory, `weights[column][four rows]`, one piece a turn of an invocation. */
function movedWeights(side: Side, config: StoredConfig, layout: AttentionLayout) {
  const fours = tiledRows(config) / 4
  const threads = tiledThreads(config)
  const zero = `vec4<${layout.dtype}>()`
  const turns = fours * tiledColumns(config) / threads / (side === 'query' ? 4 : 1)
  if (!Number.isInteger(turns)) throw new Error(`${storedName(config)}: no whole count of pieces for each of ${threads} invocations`)
  const every = (body: (t: number) => string): string => each(turns, t => wgsl`
    {
      let at = local + ${t * threads}u;
      ${body(t)}
    }
  `)
  if (side === 'key') {
    // Rows lie side by side.
    return {
      hold: each(turns, t => `var moved${t} = ${zero};`),
      read: (start: string) => every(t => wgsl`
        let i = min(${start} + at / ${fours}u, u.storedQueries - 1u);
        let four = min(rowStart / 4u + at % ${fours}u, u.storedKeys / 4u - 1u);
        moved${t} = stored[square + storedAt(i, four)];
      `),
      put: every(t => `weights[at / ${fours}u][at % ${fours}u] = vec4<f32>(moved${t});`),
    }
  }
  // Columns do: blocks of four by four are turned round. Two blocks side by side, so that what eight invocations put is in eight banks.
  const column = `at % 2u + at / ${2 * fours}u * 2u`
  const four = `at / 2u % ${fours}u`
  return {
    hold: each(turns, t => each(4, e => `var moved${t}_${e} = ${zero};`)),
    read: (start: string) => every(t => wgsl`
      let four = min(${start} / 4u + ${column}, u.storedKeys / 4u - 1u);
      ${each(4, e => `moved${t}_${e} = stored[square + storedAt(min(rowStart + 4u * (${four}) + ${e}u, u.storedQueries - 1u), four)];`)}
    `),
    put: every(t => each(4, e =>
      `weights[4u * (${column}) + ${e}u][${four}] = vec4<f32>(vec4<${layout.dtype}>(${list(4, q => `moved${t}_${q}[${e}]`)}));`)),
  }
}

/** Columns that are added in a turn of the loop over a tile's. */
const TURN = 8

/**
 * A tile of rows of factor · stored weights · the other side's operand: dq (side 'query') from slopes and k, dk and dv (side 'key')
 * from slopes and q, weights and dO.
 */
function storedSumsShader(side: Side, config: StoredConfig, layout: AttentionLayout): Shader {
  const { tx, ty, rm } = config
  const depth = tiledColumns(config)
  const fours = rm / 4
  const pitch = tiledRows(config) / 4 + 1
  const chunks = chunksOf(layout.headSize)
  const owned = Math.ceil(chunks / tx)
  const columns = new Columns({ layout, invocation: 'local', invocations: tiledThreads(config), columns: depth, ahead: true })
  const [rowBound, bound] = side === 'query' ? ['u.queries', 'u.keys'] : ['u.keys', 'u.queries']
  const coming = { operand: 'Other', name: 'coming', bound }
  const weights = movedWeights(side, config, layout)
  const rowOf = (m: number): string => `rowStart + 4u * (y + ${ty * Math.floor(m / 4)}u) + ${m % 4}u`
  return attentionShader({
    title: `attention gradient's sums of the ${side} side, ${describe(config, layout)}`,
    layout, reads: ['other'], writes: ['result'], extra: [{ name: 'stored', type: `vec4<${layout.dtype}>` }],
    uniforms: { ...storedUniforms, part: 'u32', factor: 'f32' },
    code: wgsl`
      ${storedAt(config.strips)}
      var<workgroup> columnTile: array<array<vec4<${layout.dtype}>, ${chunks}>, ${depth}>;
      var<workgroup> weights: array<array<vec4<f32>, ${pitch}>, ${depth}>;

      ${main(config, wgsl`
        ${place(tiledRows(config))}
        ${invocation(config)}
        ${each(owned, t => `let own${t} = min(x + ${tx * t}u, CHUNKS - 1u);`)}
        let square = (u.part * u.pairs + pair - u.firstPair) * (u.storedQueries * u.storedKeys / 4u);
        ${side === 'query' ? 'let end = extent;' : wgsl`
          var end = ${bound};
          if (rowStart >= extent) { end = 0u; } // keys of padding alone
        `}
        ${sums('sum', rm, owned)}
        ${weights.hold}
        ${columns.hold(coming)}
        ${weights.read('0u')}
        ${columns.read(coming, '0u')}
        for (var start = 0u; start < end; start += ${depth}u) {
          workgroupBarrier();
          ${weights.put}
          ${columns.put(coming, 'start', 'columnTile[n][c] = value;')}
          workgroupBarrier();
          ${weights.read(`(start + ${depth}u)`)}
          ${columns.read(coming, `start + ${depth}u`)}
          for (var turn = 0u; turn < ${depth / TURN}u; turn++) {
            ${each(TURN, n => wgsl`
              {
                let column = turn * ${TURN}u + ${n}u;
                ${each(fours, g => `let weight${g} = weights[column][y + ${ty * g}u];`)}
                ${each(owned, t => `let chunk${t} = vec4<f32>(columnTile[column][own${t}]);`)}
                ${each(rm, m => each(owned, t => `sum${m}_${t} += weight${Math.floor(m / 4)}[${m % 4}] * chunk${t};`))}
              }
            `)}
          }
        }
        ${each(rm, m => wgsl`
          if (${rowOf(m)} < ${rowBound}) {
            ${side === 'key' ? wgsl`
              // What a masked key gathered may be anything.
              let open = allowed(item, ${rowOf(m)}, extent);
            ` : ''}
            let at = rowResult(item, ${rowOf(m)}, head);
            ${each(owned, t => {
        const sum = `u.factor * sum${m}_${t}`
        return `if (x + ${tx * t}u < CHUNKS) { storeResult(at, own${t}, ${side === 'key' ? `select(vec4<f32>(), ${sum}, open)` : sum}); }`
      })}
          }
        `)}
      `)}
    `,
  })
}

/** Tiles: invocations and blocks, in the order of an H200's times. A tile of sums has tx·cn columns, too. */
const tiles: Readonly<Record<StoredPart, readonly (readonly [tx: number, ty: number, rm: 4 | 8, cn: 2 | 4 | 8])[]>> = {
  weights: [[16, 16, 8, 4], [16, 8, 8, 4], [8, 16, 8, 8], [8, 8, 4, 4]],
  sums: [[8, 16, 8, 2], [8, 8, 8, 2], [8, 8, 8, 4], [8, 8, 4, 4]],
}

export const stored: StoredKind<StoredConfig> = {
  candidates: (part, layout, { maxWorkgroupStorage, maxWorkgroupInvocations }, strips) => tiles[part]
    .map(([tx, ty, rm, cn]): StoredConfig => ({ kind: 'stored', tx, ty, rm, cn, strips }))
    .filter(config => storedStorage(part, config, layout) <= maxWorkgroupStorage && tiledThreads(config) <= maxWorkgroupInvocations),
  name: storedName,
  rows: tiledRows,
  tiles: (config, { queries, keys }) => Math.ceil(inBlocks(keys) / tiledRows(config)) * Math.ceil(inBlocks(queries) / tiledColumns(config)),
  weights: storedWeightsShader,
  sums: storedSumsShader,
}
