// Attention by workgroups, for GPUs (FlashAttention, Dao et al. 2022, Dao 2023): a workgroup owns a tile of rows, walks
// over tiles of columns in workgroup memory, and each invocation keeps a small block of scores and sums in registers.
//
// Invocation (x, y) of tx × ty has scores of rows y·rm … and columns x·cn …, and sums of the same rows and of the
// chunks x, x + tx, …. In workgroup memory row y·rm + m stands at y + ty·m (columns likewise), so that neighbouring
// invocations read neighbouring places, spread over the banks: chunk c of place p stands at (c + p mod 8) mod chunks of
// its row, or with odd pitches if rows are not a multiple of eight chunks. Tiles are arrays of rows, rotated by
// remainders: Dawn can prove that such indices are inside, and omits its bounds checks.
//
// Invocations of the same rows (the same y) exchange their probabilities, or dScores, by subgroup shuffles or through
// workgroup memory. If an invocation copies few vectors, the next columns are prefetched into registers.
import { bytesOf } from '../kernel.ts'
import { type Shader, MAIN, each, list, wgsl, written } from '../wgsl.ts'
import { type StagedOperand, Columns, turnsOf } from './columns.ts'
import type { AttentionKind, AttentionLayout, Side } from './common.ts'
import { attentionShader, capital, chunksOf, columnsEnd, place, sides } from './common.ts'
import { declareOwned, declareSums, ownedChunks, storeOwned } from './owned.ts'

/** How a workgroup shares out a tile of scores. */
export interface Blocks {
  /** Invocations along columns and along rows: multiples of eight. */
  readonly tx: number
  readonly ty: number
  /** Rows and columns of an invocation's block of scores. */
  readonly rm: 2 | 4 | 8
  readonly cn: 2 | 4 | 8
}

export interface TiledConfig extends Blocks {
  readonly kind: 'tiled'
  /**
   * Probabilities and maxima go from invocation to invocation by shuffles, not through workgroup memory: tx divides the
   * subgroup's width. Consecutive invocations are taken to be consecutive lanes.
   */
  readonly exchange: boolean
}

export const tiledRows = ({ ty, rm }: Blocks): number => ty * rm
export const tiledColumns = ({ tx, cn }: Blocks): number => tx * cn
export const tiledThreads = ({ tx, ty }: Blocks): number => tx * ty

/** Rows of a block are kept in vec4s, or in one vec2. */
const rowVectorsOf = ({ rm }: Blocks): { width: 2 | 4; groups: number } =>
  rm === 2 ? { width: 2, groups: 1 } : { width: 4, groups: rm / 4 }

const swizzles = (headSize: number): boolean => chunksOf(headSize) % 8 === 0
const pitchOf = (headSize: number): number => (swizzles(headSize) ? chunksOf(headSize) : chunksOf(headSize) | 1)

/** Bytes of workgroup memory, forward and for each side of the gradient. */
export function tiledBytes(config: TiledConfig, layout: AttentionLayout, pass: 'forward' | Side): number {
  const { ty, rm, exchange } = config
  const tileRow = pitchOf(layout.headSize) * 4 * bytesOf(layout.dtype)
  const tiles = (tiledRows(config) + tiledColumns(config)) * tileRow * (pass === 'forward' ? 1 : 2)
  if (exchange) return tiles
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

/** Chunk `c` of the row at `place` in a tile; `swizzle` is anything equal to the place modulo eight. */
const chunkAt = (place: string, c: string, swizzle: string, { headSize }: AttentionLayout): string =>
  `[${place}][${swizzles(headSize) ? `(${c} + ${swizzle} % 8u) % CHUNKS` : c}]`

/** Row m's component of the vectors `name_group`. */
const ofRow = (name: string, m: number, config: TiledConfig): string => {
  const { width } = rowVectorsOf(config)
  return `${name}_${Math.floor(m / width)}[${m % width}]`
}

/** A vector of what `of` gives for the rows of group g. */
const gather = (g: number, of: (m: number) => string, config: Blocks): string => {
  const { width } = rowVectorsOf(config)
  return `vec${width}<f32>(${list(width, i => of(g * width + i))})`
}

/** Most vec4s that an invocation prefetches. */
const MOST_STAGED = 8

/** Columns of so many operands, staged together. */
function columnsOf(operands: number, config: TiledConfig, layout: AttentionLayout): Columns {
  const { tx, cn } = config
  const staging = { layout, invocations: tiledThreads(config), columns: tiledColumns(config) }
  return new Columns({
    ...staging,
    prefetch: Math.ceil(turnsOf(staging)) * operands <= MOST_STAGED,
    columnOf: n => `${n} % ${tx}u * ${cn}u + ${n} / ${tx}u`,
  })
}

const putIn = (tile: string, layout: AttentionLayout): string => `${tile}${chunkAt('n', 'c', 'n', layout)} = value;`

/** Copies the workgroup's own rows to their tile. */
function fillRows(tile: string, operand: string, bound: string, config: TiledConfig, layout: AttentionLayout): string {
  const { ty, rm } = config
  return wgsl`
    for (var at = local; at < ${tiledRows(config)}u * CHUNKS; at += ${tiledThreads(config)}u) {
      let place = at / CHUNKS;
      let c = at % CHUNKS;
      let i = min(rowStart + (place % ${ty}u) * ${rm}u + place / ${ty}u, ${bound} - 1u);
      ${tile}${chunkAt('place', 'c', 'place', layout)} = vec4<${layout.dtype}>(load${operand}(row${operand}(item, i, head), c));
    }
  `
}

/** A line for each vector of a block: columns n, rows by groups. */
function block(config: Blocks, line: (n: number, g: number) => string): string {
  return each(config.cn, n => each(rowVectorsOf(config).groups, g => line(n, g)))
}

/** A block of scores, rows along vectors, all zero. */
export function zeroBlock(score: string, config: Blocks): string {
  return block(config, (n, g) => `var ${score}${n}_${g} = vec${rowVectorsOf(config).width}<f32>();`)
}

/**
 * score[n] += a · bᵀ over so many chunks of two tiles, where chunk `c` of a place is `tile` and then `at`. Sums
 * accumulate over the chunks in place.
 */
export function addProducts(
  score: string,
  [rowTile, columnTile]: readonly [string, string],
  chunks: string,
  at: (place: string, swizzle: string) => string,
  config: Blocks,
): string {
  const { tx, ty, rm, cn } = config
  const { groups } = rowVectorsOf(config)
  return wgsl`
    for (var c = 0u; c < ${chunks}; c++) {
      ${each(rm, m => `let a${m} = vec4<f32>(${rowTile}${at(`y + ${ty * m}u`, 'y')});`)}
      ${each(4, e => each(groups, g => `let rows${e}_${g} = ${gather(g, m => `a${m}[${e}]`, config)};`))}
      ${each(
        cn,
        n => wgsl`
        let b${n} = vec4<f32>(${columnTile}${at(`x + ${tx * n}u`, 'x')});
        ${each(4, e => each(groups, g => `${score}${n}_${g} += rows${e}_${g} * b${n}[${e}];`))}
      `,
      )}
    }
  `
}

/** The block of products of two tiles. */
const products = (
  score: string,
  rowTile: string,
  columnTile: string,
  config: TiledConfig,
  layout: AttentionLayout,
): string =>
  wgsl`
    ${zeroBlock(score, config)}
    ${addProducts(score, [rowTile, columnTile], 'CHUNKS', (place, swizzle) => chunkAt(place, 'c', swizzle, layout), config)}
  `

/** One sum over a tile's columns: sum[m][t] += left · the tile. */
interface Term {
  readonly sum: string
  /** Probabilities or dScores of the block: variables if `exchange`, else an array in workgroup memory. */
  readonly left: string
  readonly tile: string
}

/** Columns per turn of the loop over a tile, if the left operand is in workgroup memory. */
const TURN = 4

function accumulate(terms: readonly Term[], config: TiledConfig, owned: number, layout: AttentionLayout): string {
  const { tx, ty, rm, cn, exchange } = config
  const { groups } = rowVectorsOf(config)
  const step = (column: string, swizzle: string, leftOf: (name: string, g: number) => string): string =>
    terms
      .map(
        ({ sum, left, tile }) => wgsl`
    {
      let column = ${column};
      ${each(groups, g => `let left_${g} = ${leftOf(left, g)};`)}
      ${each(owned, t => `let chunk${t} = vec4<f32>(${tile}${chunkAt('column', `own${t}`, swizzle, layout)});`)}
      ${each(rm, m => each(owned, t => `${sum}${m}_${t} += ${ofRow('left', m, config)} * chunk${t};`))}
    }
  `,
      )
      .join('\n')
  if (exchange) {
    return wgsl`
      for (var sourceLane = 0u; sourceLane < ${tx}u; sourceLane++) {
        ${each(cn, n => step(`sourceLane + ${tx * n}u`, 'sourceLane', (name, g) => `subgroupShuffle(${name}${n}_${g}, first + sourceLane)`))}
      }
    `
  }
  return wgsl`
    for (var turn = 0u; turn < ${tiledColumns(config) / TURN}u; turn++) {
      ${each(TURN, n => step(`turn * ${TURN}u + ${n}u`, 'column', (name, g) => `${name}[column][y + ${ty * g}u]`))}
    }
  `
}

/** Passes a vector of the block to `accumulate`, as a variable or through workgroup memory. */
function putLeft(left: string, n: number, g: number, value: string, config: TiledConfig): string {
  const { tx, ty } = config
  return config.exchange ? `let ${left}${n}_${g} = ${value};` : `${left}[x + ${tx * n}u][y + ${ty * g}u] = ${value};`
}

/**
 * Joins what the invocations of the same rows have, in the variables name_g: by halves in a subgroup, or through
 * `partial`, which is free after a barrier.
 */
function join(name: string, by: (a: string, b: string) => string, config: TiledConfig): string {
  const { tx, exchange } = config
  const { groups } = rowVectorsOf(config)
  if (exchange) {
    return each(Math.log2(tx), n =>
      each(groups, g => {
        const value = `${name}_${g}`
        return `${value} = ${by(value, `subgroupShuffleXor(${value}, ${tx >> (n + 1)}u)`)};`
      }),
    )
  }
  return wgsl`
    ${each(groups, g => `partial[local * ${groups}u + ${g}u] = ${name}_${g};`)}
    workgroupBarrier();
    ${each(groups, g => `${name}_${g} = partial[y * ${tx * groups}u + ${g}u];`)}
    for (var other = 1u; other < ${tx}u; other++) {
      ${each(groups, g => `${name}_${g} = ${by(`${name}_${g}`, `partial[(y * ${tx}u + other) * ${groups}u + ${g}u]`)};`)}
    }
  `
}

function storeRow(
  name: string,
  m: number,
  value: (t: number) => string,
  owned: number,
  { tx, rm }: TiledConfig,
): string {
  return wgsl`
    let ${name}At${m} = row${capital(name)}(item, rowStart + y * ${rm}u + ${m}u, head);
    ${storeOwned(name, `${name}At${m}`, value, 'x', tx, owned)}
  `
}

/**
 * Dropout's factors of the block, as factor[n] with rows along vectors: a block of random numbers serves four keys of a
 * query.
 */
function factors(side: Side, start: string, config: TiledConfig): string {
  const { rm, cn } = config
  const rowOf = (m: number): string => `rowStart + y * ${rm}u + ${m}u`
  const columnOf = (n: number): string => `${start} + x * ${cn}u + ${n}u`
  if (side === 'query') {
    // Of two columns' four keys, a neighbour has the other two.
    const factorsOfRows = each(rm, m =>
      cn === 2
        ? `let keep${m}_0 = keep4(headRow + ${rowOf(m)}, ${start} + x / 2u * 4u);`
        : each(cn / 4, q => `let keep${m}_${q} = keep4(headRow + ${rowOf(m)}, ${columnOf(4 * q)});`),
    )
    const of = (m: number, n: number): string =>
      cn === 2
        ? `select(keep${m}_0[${n}], keep${m}_0[${n + 2}], x % 2u == 1u)`
        : `keep${m}_${Math.floor(n / 4)}[${n % 4}]`
    return wgsl`
      ${factorsOfRows}
      ${block(config, (n, g) => `let factor${n}_${g} = ${gather(g, m => of(m, n), config)};`)}
    `
  }
  if (rm === 2) {
    return each(
      cn,
      n => wgsl`
      let keep${n} = keep4(headRow + ${columnOf(n)}, rowStart + y / 2u * 4u);
      let factor${n}_0 = select(keep${n}.xy, keep${n}.zw, y % 2u == 1u);
    `,
    )
  }
  return block(config, (n, g) => `let factor${n}_${g} = keep4(headRow + ${columnOf(n)}, ${rowOf(4 * g)});`)
}

const main = (config: TiledConfig, steps: string): string => wgsl`
  @compute @workgroup_size(${tiledThreads(config)})
  fn main(${MAIN}${config.exchange ? ', @builtin(subgroup_invocation_id) inSubgroup: u32' : ''}) {
    ${steps}
  }
`

const invocation = ({ tx, exchange }: TiledConfig, owned: number): string => wgsl`
  let x = local % ${tx}u;
  let y = local / ${tx}u;
  ${exchange ? 'let first = inSubgroup - x; // of those that have the same rows' : ''}
  ${declareOwned('x', tx, owned)}
`

function workgroupTile(name: string, rows: number, layout: AttentionLayout): string {
  return `var<workgroup> ${name}: array<array<vec4<${layout.dtype}>, ${pitchOf(layout.headSize)}>, ${rows}>;`
}

function workgroupLeft(name: string, config: TiledConfig): string {
  const { width, groups } = rowVectorsOf(config)
  return config.exchange
    ? ''
    : `var<workgroup> ${name}: array<array<vec${width}<f32>, ${config.ty * groups + 1}>, ${tiledColumns(config)}>;`
}

/** Forward: o and lse. */
function tiledForwardShader(config: TiledConfig, layout: AttentionLayout): Shader {
  const { tx, rm, cn, exchange } = config
  const { width, groups } = rowVectorsOf(config)
  const owned = ownedChunks(layout, tx)
  const rows = tiledRows(config)
  const vector = `vec${width}<f32>`
  const next = `start + ${tiledColumns(config)}u`
  const columns = columnsOf(1, config, layout)
  // One after the other, in one tile.
  const [keys, values] = ['K', 'V'].map((operand): StagedOperand => ({ operand, name: 'staged', bound: 'u.keys' }))
  const put = putIn('columnTile', layout)
  const perGroup = (line: (g: number) => string): string => each(groups, line)
  const largest = (g: number): string =>
    Array.from({ length: cn - 1 }, (_, n) => `s${n + 1}_${g}`).reduce((inner, s) => `max(${inner}, ${s})`, `s0_${g}`)
  return attentionShader({
    title: `attention forward ${describe(config, layout)}`,
    layout,
    reads: ['q', 'k', 'v'],
    writes: ['o'],
    extra: { lse: written('f32') },
    needs: { subgroups: exchange },
    code: wgsl`
      ${workgroupTile('rowTile', rows, layout)}
      ${workgroupTile('columnTile', tiledColumns(config), layout)}
      ${workgroupLeft('probabilities', config)}
      ${exchange ? '' : `var<workgroup> partial: array<${vector}, ${tiledThreads(config) * groups}>;`}

      ${main(
        config,
        wgsl`
        ${place(rows)}
        ${invocation(config, owned)}
        ${fillRows('rowTile', 'Q', 'u.queries', config, layout)}
        ${declareSums('sum', rm, owned)}
        ${perGroup(
          g => wgsl`
          var rowMax_${g} = ${vector}(LOWEST);
          var total_${g} = ${vector}(); // of this invocation's columns
        `,
        )}
        ${columns.declare(keys)}
        ${columns.read('0u', keys)}
        for (var start = 0u; start < extent; start += ${tiledColumns(config)}u) {
          workgroupBarrier();
          ${columns.put(keys, 'start', put)}
          workgroupBarrier();
          ${columns.read('start', values)}
          ${products('s', 'rowTile', 'columnTile', config, layout)}
          ${each(
            cn,
            n => wgsl`
            let open${n} = allowed(item, start + x * ${cn}u + ${n}u, extent);
            ${perGroup(g => `s${n}_${g} = select(${vector}(LOWEST), u.scale * s${n}_${g}, open${n});`)}
          `,
          )}
          ${perGroup(g => `var next_${g} = max(rowMax_${g}, ${largest(g)});`)}
          ${exchange ? 'workgroupBarrier();' : ''}
          ${join('next', (a, b) => `max(${a}, ${b})`, config)}
          ${columns.put(values, 'start', put)}
          ${perGroup(
            g => wgsl`
            let rescale_${g} = exp(rowMax_${g} - next_${g});
            rowMax_${g} = next_${g};
            total_${g} *= rescale_${g};
          `,
          )}
          ${layout.dropout ? factors('query', 'start', config) : ''}
          ${block(
            config,
            (n, g) => wgsl`
            let p${n}_${g} = select(${vector}(), exp(s${n}_${g} - next_${g}), open${n});
            total_${g} += p${n}_${g};
            ${putLeft('probabilities', n, g, `${layout.dropout ? `factor${n}_${g} * ` : ''}p${n}_${g}`, config)}
          `,
          )}
          ${each(rm, m => each(owned, t => `sum${m}_${t} *= ${ofRow('rescale', m, config)};`))}
          workgroupBarrier();
          ${columns.read(next, keys)}
          ${accumulate([{ sum: 'sum', left: 'probabilities', tile: 'columnTile' }], config, owned, layout)}
        }
        ${join('total', (a, b) => `${a} + ${b}`, config)}
        // A row that attends to nothing gives zeros.
        ${perGroup(
          g => wgsl`
          let inverse_${g} = select(${vector}(), 1.0 / total_${g}, total_${g} > ${vector}());
          let logSum_${g} = select(${vector}(), rowMax_${g} + log(total_${g}), total_${g} > ${vector}());
        `,
        )}
        ${each(
          rm,
          m => wgsl`
          if (rowStart + y * ${rm}u + ${m}u < u.queries) {
            ${storeRow('o', m, t => `${ofRow('inverse', m, config)} * sum${m}_${t}`, owned, config)}
            if (x == 0u) { lse[headRow + rowStart + y * ${rm}u + ${m}u] = ${ofRow('logSum', m, config)}; }
          }
        `,
        )}
      `,
      )}
    `,
  })
}

/** dq of a tile of queries (side 'query'), or dk and dv of a tile of keys (side 'key'). */
function tiledGradientShader(side: Side, config: TiledConfig, layout: AttentionLayout): Shader {
  const { tx, rm, cn, exchange } = config
  const { width, groups } = rowVectorsOf(config)
  const { a1, a2, b1, b2, rows: rowBound, columns: bound, writes } = sides(side)
  const owned = ownedChunks(layout, tx)
  const rows = tiledRows(config)
  const vector = `vec${width}<f32>`
  const query = side === 'query'
  const columns = columnsOf(2, config, layout)
  const one: StagedOperand = { operand: b1, name: 'stagedOne', bound }
  const two: StagedOperand = { operand: b2, name: 'stagedTwo', bound }
  const next = `start + ${tiledColumns(config)}u`
  const rowOf = (m: number): string => `rowStart + y * ${rm}u + ${m}u`
  const factor = (n: number, g: number): string => (layout.dropout ? `factor${n}_${g} * ` : '')
  return attentionShader({
    title: `attention gradient of the ${side} side, ${describe(config, layout)}`,
    layout,
    reads: ['q', 'k', 'v', 'dO'],
    writes,
    extra: { statistics: 'vec2<f32>' },
    needs: { subgroups: exchange },
    code: wgsl`
      ${workgroupTile('rowTile1', rows, layout)}
      ${workgroupTile('rowTile2', rows, layout)}
      ${workgroupTile('columnTile1', tiledColumns(config), layout)}
      ${workgroupTile('columnTile2', tiledColumns(config), layout)}
      ${workgroupLeft('dScores', config)}
      ${query ? '' : workgroupLeft('probabilities', config)}

      ${main(
        config,
        wgsl`
        ${place(rows)}
        ${invocation(config, owned)}
        ${fillRows('rowTile1', a1, rowBound, config, layout)}
        ${fillRows('rowTile2', a2, rowBound, config, layout)}
        ${
          query
            ? wgsl`
          ${each(rm, m => `let statistic${m} = statistics[headRow + min(${rowOf(m)}, u.queries - 1u)];`)}
          ${each(
            groups,
            g => wgsl`
            let lse_${g} = ${gather(g, m => `statistic${m}.x`, config)};
            let mean_${g} = ${gather(g, m => `statistic${m}.y`, config)};
          `,
          )}
        `
            : ''
        }
        ${declareSums('sumOne', rm, owned)}
        ${query ? '' : declareSums('sumTwo', rm, owned)}
        ${columnsEnd(side)}
        ${columns.declare(one, two)}
        ${columns.read('0u', one, two)}
        for (var start = 0u; start < end; start += ${tiledColumns(config)}u) {
          workgroupBarrier();
          ${columns.put(one, 'start', putIn('columnTile1', layout))}
          ${columns.put(two, 'start', putIn('columnTile2', layout))}
          workgroupBarrier();
          ${columns.read(next, one, two)}
          ${products('s', 'rowTile1', 'columnTile1', config, layout)}
          ${products('d', 'rowTile2', 'columnTile2', config, layout)}
          ${layout.dropout ? factors(side, 'start', config) : ''}
          ${each(
            cn,
            n => wgsl`
            let column${n} = start + x * ${cn}u + ${n}u;
            ${
              query
                ? wgsl`
            let open${n} = allowed(item, column${n}, extent);
            ${each(
              groups,
              g => wgsl`
              let p${n}_${g} = select(${vector}(), exp(u.scale * s${n}_${g} - lse_${g}), open${n});
              ${putLeft('dScores', n, g, `p${n}_${g} * (${factor(n, g)}d${n}_${g} - mean_${g})`, config)}
            `,
            )}
          `
                : wgsl`
            let statistic${n} = statistics[headRow + min(column${n}, u.queries - 1u)];
            ${each(
              groups,
              g => wgsl`
              let p${n}_${g} = select(${vector}(), exp(u.scale * s${n}_${g} - statistic${n}.x), column${n} < ${bound});
              ${putLeft('dScores', n, g, `p${n}_${g} * (${factor(n, g)}d${n}_${g} - statistic${n}.y)`, config)}
              ${putLeft('probabilities', n, g, `${factor(n, g)}p${n}_${g}`, config)}
            `,
            )}
          `
            }
          `,
          )}
          ${exchange ? '' : 'workgroupBarrier();'}
          ${accumulate(
            [
              { sum: 'sumOne', left: 'dScores', tile: 'columnTile1' },
              ...(query ? [] : [{ sum: 'sumTwo', left: 'probabilities', tile: 'columnTile2' }]),
            ],
            config,
            owned,
            layout,
          )}
        }
        ${each(
          rm,
          m => wgsl`
          if (${rowOf(m)} < ${rowBound}) {
            ${
              query
                ? storeRow('dq', m, t => `u.scale * sumOne${m}_${t}`, owned, config)
                : wgsl`
            // What a masked key gathered may be anything.
            let open = allowed(item, ${rowOf(m)}, extent);
            ${storeRow('dk', m, t => `select(vec4<f32>(), u.scale * sumOne${m}_${t}, open)`, owned, config)}
            ${storeRow('dv', m, t => `select(vec4<f32>(), sumTwo${m}_${t}, open)`, owned, config)}
          `
            }
          }
        `,
        )}
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
const tiles: Readonly<Record<'forward' | 'gradient', readonly Tile[]>> = {
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
}

export const tiled: AttentionKind<TiledConfig> = {
  candidates: (pass, layout, { subgroupSize: lanes, maxWorkgroupStorage, maxWorkgroupInvocations }) =>
    tiles[pass === 'forward' ? 'forward' : 'gradient']
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
}
