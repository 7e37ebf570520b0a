// What attention's tiled kernels share: how a tile of scores is divided into blocks, one for each invocation, and what
// invocations do with their blocks.
//
// Invocation (x, y) of tx × ty computes the scores of rows y·rm … and columns x·cn …, and the sums of the same rows for
// the chunks x, x + tx, …. In workgroup memory, row y·rm + m is at place y + ty·m (columns likewise), so that
// neighbouring invocations read neighbouring places. To spread these over the banks, the chunks of place p are rotated
// by p mod 8 if their number is a multiple of eight, and padded to an odd number otherwise. Tiles are arrays of rows,
// and rotations are remainders: Dawn can prove that such indices are in bounds, and omits its checks.
import { MAIN, type Part, each, list, scope, wgsl } from '../wgsl.ts'
import { Columns, turnsOf } from './columns.ts'
import { type AttentionLayout, type Side, capital, chunksOf, statisticOf } from './common.ts'
import { declareOwned, declareSums, ownedChunks, storeOwned } from './owned.ts'
import { type Neighbours, closesScores, declareBias, isOpen, scoreOf } from './scores.ts'

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
export const rowVectorsOf = ({ rm }: Blocks): { width: 2 | 4; groups: number } =>
  rm === 2 ? { width: 2, groups: 1 } : { width: 4, groups: rm / 4 }

const swizzles = (headSize: number): boolean => chunksOf(headSize) % 8 === 0
export const pitchOf = (headSize: number): number => (swizzles(headSize) ? chunksOf(headSize) : chunksOf(headSize) | 1)

/** A vector of what `of` gives for the rows of group g. */
const gather = (g: number, of: (m: number) => string, config: Blocks): string => {
  const { width } = rowVectorsOf(config)
  return `vec${width}<f32>(${list(width, i => of(g * width + i))})`
}

/** Lines for each vector of a block: columns n, rows by groups. */
const block = (config: Blocks, lines: (n: number, g: number) => Part): string =>
  each(config.cn, n => each(rowVectorsOf(config).groups, g => lines(n, g)))

/** A block of scores, rows along vectors, all zero. */
export const zeroBlock = (score: string, config: Blocks): string =>
  block(config, (n, g) => `var ${score}${n}_${g} = vec${rowVectorsOf(config).width}<f32>();`)

/**
 * score[n] += a · bᵀ over the first `chunks` chunks of two tiles, where chunk `c` of a place is `tile` followed by `at`.
 * The sums accumulate over the chunks in place.
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
      ${each(cn, n => [
        `let b${n} = vec4<f32>(${columnTile}${at(`x + ${tx * n}u`, 'x')});`,
        each(4, e => each(groups, g => `${score}${n}_${g} += rows${e}_${g} * b${n}[${e}];`)),
      ])}
    }
  `
}

/** One sum over a tile's columns: sum[m][t] += left · the tile. */
interface Term {
  readonly sum: string
  /** Probabilities or dScores of the block: variables if `exchange`, else an array in workgroup memory. */
  readonly left: string
  readonly tile: string
}

/** Most vec4s that an invocation prefetches. */
const MOST_STAGED = 8
/** Columns per turn of the loop over a tile, if the left operand is in workgroup memory. */
const TURN = 4

export class TiledParts {
  readonly groups: number
  /** Type of a vector of the block. */
  readonly vector: string
  readonly #config: TiledConfig
  readonly #layout: AttentionLayout
  readonly #owned: number

  constructor(config: TiledConfig, layout: AttentionLayout) {
    const { width, groups } = rowVectorsOf(config)
    this.groups = groups
    this.vector = `vec${width}<f32>`
    this.#config = config
    this.#layout = layout
    this.#owned = ownedChunks(layout, config.tx)
  }

  main(place: string, steps: string): string {
    const { tx, exchange } = this.#config
    return wgsl`
      @compute @workgroup_size(${tiledThreads(this.#config)})
      fn main(${MAIN}${exchange && ', @builtin(subgroup_invocation_id) inSubgroup: u32'}) {
        ${place}
        let x = local % ${tx}u;
        let y = local / ${tx}u;
        ${exchange && 'let first = inSubgroup - x; // the first lane of those that have the same rows'}
        ${declareOwned('x', tx, this.#owned)}
        ${steps}
      }
    `
  }

  /** The scores of a vector of the block. */
  neighbours(side: Side): Neighbours {
    return { along: side === 'query' ? 'queries' : 'keys', width: rowVectorsOf(this.#config).width }
  }

  /**
   * Declares which scores of the block's column n, whose number is `column`, are open: in group g, `open(n, g)`; and
   * their bias.
   */
  declareOpen(side: Side, n: number, column: string): Part {
    if (!closesScores(this.#layout)) return `let open${n} = allowed(item, ${column}, extent);`
    return this.perGroup(g => {
      const row = this.row(rowVectorsOf(this.#config).width * g)
      const place = side === 'query' ? `${row}, ${column}` : `${column}, ${row}`
      return [
        declareBias(`added${n}_${g}`, place, this.#layout),
        `let open${n}_${g} = ${isOpen(place, `added${n}_${g}`, this.#layout)};`,
      ]
    })
  }
  open(n: number, g: number): string {
    return closesScores(this.#layout) ? `open${n}_${g}` : `open${n}`
  }

  /** The scores of the block's column n in group g, from their products. */
  score(n: number, g: number): string {
    return scoreOf(`s${n}_${g}`, `added${n}_${g}`, this.#layout)
  }

  /** Declares `lse` and `mean` of the block's rows, which are queries. */
  rowStatistics(): string {
    const of = (m: number): string => statisticOf(`headRow + min(${this.row(m)}, u.queries - 1u)`, this.#layout)
    return wgsl`
      ${each(this.#config.rm, m => `let statistic${m} = ${of(m)};`)}
      ${this.perGroup(g => [
        `let lse_${g} = ${this.gather(g, m => `statistic${m}.x`)};`,
        `let mean_${g} = ${this.gather(g, m => `statistic${m}.y`)};`,
      ])}
    `
  }

  /** Workgroup memory for rows or columns of an operand. */
  tile(name: string, rows: number): string {
    const { dtype, headSize } = this.#layout
    return `var<workgroup> ${name}: array<array<vec4<${dtype}>, ${pitchOf(headSize)}>, ${rows}>;`
  }

  /** Workgroup memory of what `putLeft` passes on. */
  left(name: string): Part {
    const { exchange, ty } = this.#config
    const size = ty * this.groups + 1
    return !exchange && `var<workgroup> ${name}: array<array<${this.vector}, ${size}>, ${tiledColumns(this.#config)}>;`
  }

  /** Chunk `c` of the row at `place` in a tile; `swizzle` is anything equal to the place modulo eight. */
  #chunkAt(place: string, c: string, swizzle: string): string {
    return `[${place}][${swizzles(this.#layout.headSize) ? `(${c} + ${swizzle} % 8u) % CHUNKS` : c}]`
  }

  /** Staging for the columns of this number of operands. */
  columns(operands: number): Columns {
    const { tx, cn } = this.#config
    const staging = {
      layout: this.#layout,
      invocations: tiledThreads(this.#config),
      columns: tiledColumns(this.#config),
    }
    return new Columns({
      ...staging,
      prefetch: Math.ceil(turnsOf(staging)) * operands <= MOST_STAGED,
      columnOf: n => `${n} % ${tx}u * ${cn}u + ${n} / ${tx}u`,
    })
  }

  /** What `Columns.put` does with each vec4. */
  putIn(tile: string): string {
    return `${tile}${this.#chunkAt('n', 'c', 'n')} = value;`
  }

  /** Copies the workgroup's own rows to their tile. */
  fillRows(tile: string, operand: string, bound: string): string {
    const { ty, rm } = this.#config
    const value = `vec4<${this.#layout.dtype}>(load${operand}(row${operand}(item, i, head), c))`
    return wgsl`
      for (var at = local; at < ${tiledRows(this.#config)}u * CHUNKS; at += ${tiledThreads(this.#config)}u) {
        let place = at / CHUNKS;
        let c = at % CHUNKS;
        let i = min(rowStart + (place % ${ty}u) * ${rm}u + place / ${ty}u, ${bound} - 1u);
        ${tile}${this.#chunkAt('place', 'c', 'place')} = ${value};
      }
    `
  }

  perGroup(lines: (g: number) => Part): string {
    return each(this.groups, lines)
  }

  /** Lines for each vector of the block: columns n, rows by groups. */
  perVector(lines: (n: number, g: number) => Part): string {
    return block(this.#config, lines)
  }

  /** Row m's component of the vectors `name_group`. */
  ofRow(name: string, m: number): string {
    const { width } = rowVectorsOf(this.#config)
    return `${name}_${Math.floor(m / width)}[${m % width}]`
  }

  /** A vector of what `of` gives for the rows of group g. */
  gather(g: number, of: (m: number) => string): string {
    return gather(g, of, this.#config)
  }

  /** The block of products of two tiles. */
  products(score: string, rowTile: string, columnTile: string): string {
    const at = (place: string, swizzle: string): string => this.#chunkAt(place, 'c', swizzle)
    return wgsl`
      ${zeroBlock(score, this.#config)}
      ${addProducts(score, [rowTile, columnTile], 'CHUNKS', at, this.#config)}
    `
  }

  declareSums(name: string): string {
    return declareSums(name, this.#config.rm, this.#owned)
  }

  /** A line for each sum: chunk t of row m. */
  perSum(line: (m: number, t: number) => string): string {
    return each(this.#config.rm, m => each(this.#owned, t => line(m, t)))
  }

  accumulate(...terms: readonly Term[]): string {
    const { tx, ty, cn, exchange } = this.#config
    const step = (column: string, swizzle: string, leftOf: (name: string, g: number) => string): Part =>
      terms.map(({ sum, left, tile }) =>
        scope([
          `let column = ${column};`,
          this.perGroup(g => `let left_${g} = ${leftOf(left, g)};`),
          each(this.#owned, t => `let chunk${t} = vec4<f32>(${tile}${this.#chunkAt('column', `own${t}`, swizzle)});`),
          this.perSum((m, t) => `${sum}${m}_${t} += ${this.ofRow('left', m)} * chunk${t};`),
        ]),
      )
    const shuffled = (n: number): Part =>
      step(
        `sourceLane + ${tx * n}u`,
        'sourceLane',
        (name, g) => `subgroupShuffle(${name}${n}_${g}, first + sourceLane)`,
      )
    const fromMemory = (n: number): Part =>
      step(`turn * ${TURN}u + ${n}u`, 'column', (name, g) => `${name}[column][y + ${ty * g}u]`)
    return exchange
      ? `for (var sourceLane = 0u; sourceLane < ${tx}u; sourceLane++) ${scope(each(cn, shuffled))}`
      : `for (var turn = 0u; turn < ${tiledColumns(this.#config) / TURN}u; turn++) ${scope(each(TURN, fromMemory))}`
  }

  /** Passes a vector of the block to `accumulate`, as a variable or through workgroup memory. */
  putLeft(left: string, n: number, g: number, value: string): string {
    const { tx, ty, exchange } = this.#config
    return exchange ? `let ${left}${n}_${g} = ${value};` : `${left}[x + ${tx * n}u][y + ${ty * g}u] = ${value};`
  }

  /**
   * Joins what the invocations of the same rows have, in the variables name_g: by halves in a subgroup, or through
   * `partial`, which is free after a barrier.
   */
  join(name: string, by: (a: string, b: string) => string): string {
    const { tx, exchange } = this.#config
    const { groups } = this
    const joined = (g: number, other: string): string => `${name}_${g} = ${by(`${name}_${g}`, other)};`
    if (exchange) {
      const half = (n: number): string =>
        this.perGroup(g => joined(g, `subgroupShuffleXor(${name}_${g}, ${tx >> (n + 1)}u)`))
      return each(Math.log2(tx), half)
    }
    return wgsl`
      ${this.perGroup(g => `partial[local * ${groups}u + ${g}u] = ${name}_${g};`)}
      workgroupBarrier();
      ${this.perGroup(g => `${name}_${g} = partial[y * ${tx * groups}u + ${g}u];`)}
      for (var other = 1u; other < ${tx}u; other++) {
        ${this.perGroup(g => joined(g, `partial[(y * ${tx}u + other) * ${groups}u + ${g}u]`))}
      }
    `
  }

  /** The block's row m, and its column n in the tile that begins at `start`. */
  row(m: number): string {
    return `rowStart + y * ${this.#config.rm}u + ${m}u`
  }
  column(n: number): string {
    return `start + x * ${this.#config.cn}u + ${n}u`
  }

  storeRow(name: string, m: number, value: (t: number) => string): string {
    return wgsl`
      let ${name}At${m} = row${capital(name)}(item, ${this.row(m)}, head);
      ${storeOwned(name, `${name}At${m}`, value, 'x', this.#config.tx, this.#owned)}
    `
  }

  /**
   * Dropout's factors of the block, as factor[n] with rows along vectors: a block of random numbers serves four keys of
   * a query.
   */
  factors(side: Side): Part {
    const { rm, cn } = this.#config
    const keep = (query: string, key: string): string => `keep4(headRow + ${query}, ${key})`
    if (side === 'query') {
      // Of two columns' four keys, a neighbour has the other two.
      const pair = cn === 2
      const ofRow = (m: number): string =>
        pair
          ? `let keep${m}_0 = ${keep(this.row(m), 'start + x / 2u * 4u')};`
          : each(cn / 4, q => `let keep${m}_${q} = ${keep(this.row(m), this.column(4 * q))};`)
      const of = (m: number, n: number): string =>
        pair
          ? `select(keep${m}_0[${n}], keep${m}_0[${n + 2}], x % 2u == 1u)`
          : `keep${m}_${Math.floor(n / 4)}[${n % 4}]`
      return [each(rm, ofRow), this.perVector((n, g) => `let factor${n}_${g} = ${this.gather(g, m => of(m, n))};`)]
    }
    if (rm > 2) return this.perVector((n, g) => `let factor${n}_${g} = ${keep(this.column(n), this.row(4 * g))};`)
    return each(cn, n => [
      `let keep${n} = ${keep(this.column(n), 'rowStart + y / 2u * 4u')};`,
      `let factor${n}_0 = select(keep${n}.xy, keep${n}.zw, y % 2u == 1u);`,
    ])
  }
}
