// What attention's kernels by subgroup matrices share: workgroup memory, products of fragments, and the turns in which
// threads work on what the matrices computed.
import { loadFragment, multiplyAdd, storeFragment, zeroFragment } from '../subgroup-matrix.ts'
import { MAIN, type Part, each, list, plus, scope, wgsl, when } from '../wgsl.ts'
import { Columns, type StagedOperand } from './columns.ts'
import { type AttentionLayout, bufferOf, capital, statisticOf } from './common.ts'
import type { MatrixConfig, Pass } from './matrix-config.ts'
import { blockElements, matrixRows, pitchOf, sharesOf, subgroupRows, threadsOf, tileElements } from './matrix-config.ts'
import type { Neighbours } from './scores.ts'

export const stagedOperand = (operand: string, bound: string): StagedOperand => ({
  operand,
  name: `staged${operand}`,
  bound,
})

/** A thread takes four keys of a query together. */
export const matrixScores: Neighbours = { along: 'keys', width: 4 }

export class MatrixParts {
  readonly columns: Columns
  /** Turns in which a thread works on its share of the scores. */
  readonly turns: number
  /** The head of a loop over the workgroup's rows, each of which one thread works on. */
  readonly everyRow: string
  readonly #pass: Pass
  readonly #config: MatrixConfig
  readonly #layout: AttentionLayout

  constructor(pass: Pass, config: MatrixConfig, layout: AttentionLayout) {
    this.#pass = pass
    this.#config = config
    this.#layout = layout
    this.columns = new Columns({ layout, invocations: threadsOf(config), columns: config.columns, prefetch: true })
    this.turns = sharesOf(pass, config).turns
    this.everyRow = `for (var row = local; row < ${matrixRows(config)}u; row += ${threadsOf(config)}u)`
  }

  main(place: string, steps: string): string {
    const { lanes } = this.#config.fragment
    return wgsl`
      @compute @workgroup_size(${threadsOf(this.#config)})
      fn main(${MAIN}) {
        ${place}
        let lane = local % ${lanes}u;
        let subgroupRow = local / ${lanes}u * ${subgroupRows(this.#config)}u; // the subgroup's first row of the tile
        ${this.#pass !== 'key' && `let quad = lane % ${sharesOf(this.#pass, this.#config).across}u;`}
        ${steps}
      }
    `
  }

  /** Workgroup memory, and how threads read and write their shares of it. */
  memory(): string {
    const [pass, config] = [this.#pass, this.#config]
    const scores = pass === 'forward' ? ['scores'] : ['scores', 'dProbabilities']
    const operands = {
      forward: ['probabilities'],
      query: ['dScores'],
      key: ['probabilities', 'dScores'],
      bias: [],
      probabilities: [],
    }[pass]
    const step = pass === 'key' ? 'BLOCK_PITCH' : `${sharesOf(pass, config).across}u`
    const places = ['at', 'at + STEP', 'at + 2u * STEP', 'at + 3u * STEP']
    const scoresAt = (name: string): string => wgsl`
      fn ${name}At(at: u32) -> vec4<f32> {
        return vec4<f32>(${places.map(at => `${name}[${at}]`).join(', ')});
      }
    `
    const put = (name: string): string => wgsl`
      fn put${capital(name)}(at: u32, x: vec4<f32>) {
        ${places.map((at, e) => `${name}[${at}] = f16(x[${e}]);`)}
      }
    `
    return wgsl`
      const PITCH = ${pitchOf(this.#layout.headSize)}u; // of the tile
      const BLOCK_PITCH = ${pitchOf(config.columns)}u; // of scores and what is computed from them
      const STEP = ${step}; // between a thread's four keys
      var<workgroup> tile: array<f16, ${tileElements(config, this.#layout)}>;
      ${scores.map(name => `var<workgroup> ${name}: array<f32, ${blockElements(config)}>;`)}
      ${operands.map(name => `var<workgroup> ${name}: array<f16, ${blockElements(config)}>;`)}
      ${pass !== 'key' && `var<workgroup> rowStatistics: array<vec2<f32>, ${matrixRows(config)}>;`}
      ${pass === 'forward' && 'var<workgroup> grown: array<atomic<u32>, 4>; // [0] is 1 if probabilities are too large; four words, since all arrays are multiples of sixteen bytes'}

      ${scores.map(scoresAt)}
      ${operands.map(put)}
      ${this.#rowFunction()}
    `
  }

  /** The row that a thread works on in a turn, where its share is quads along rows. */
  #rowFunction(): string {
    const { across, groups, turns } = sharesOf(this.#pass, this.#config)
    // Distance of the rows of one turn: their quads are in different banks.
    const distance = Math.max(1, across / 8)
    const sum =
      turns % distance === 0 && distance > 1
        ? `turn / ${distance}u * ${groups * distance}u + lane / ${across}u * ${distance}u + turn % ${distance}u`
        : `turn * ${groups}u + lane / ${across}u`
    return when(this.#pass !== 'key')`
      // The row, counted from the subgroup's first, that a thread works on in a turn
      fn rowOf(turn: u32, lane: u32) -> u32 {
        return ${sum};
      }
    `
  }

  /** The statistics of the workgroup's queries, to workgroup memory. */
  loadStatistics(): string {
    return wgsl`
      ${this.everyRow} {
        rowStatistics[row] = ${statisticOf('headRow + min(rowStart + row, u.queries - 1u)', this.#layout)};
      }
    `
  }

  /** The workgroup's own rows of an operand, by way of the tile, as each subgroup's left matrices `name…`. */
  keepRows(name: string, operand: string, bound: string): string {
    const { rows, fragment } = this.#config
    const { m, k } = fragment
    const left = (i: number, h: number): string =>
      loadFragment('left', 'tile', ofRow(i * m, 'PITCH', h * k), 'PITCH', fragment)
    // Rows past the end repeat the last one.
    return wgsl`
      for (var at = local; at < ${matrixRows(this.#config)}u * CHUNKS; at += ${threadsOf(this.#config)}u) {
        let i = min(rowStart + at / CHUNKS, ${bound} - 1u);
        let values = ${bufferOf(operand)}[row${operand}(item, i, head) + at % CHUNKS];
        let to = at / CHUNKS * PITCH + at % CHUNKS * 4u;
        ${each(4, e => `tile[${plus('to', e)}] = values[${e}];`)}
      }
      workgroupBarrier();
      ${each(rows, i => each(this.#layout.headSize / k, h => `let ${name}${i}_${h} = ${left(i, h)};`))}
      workgroupBarrier();
    `
  }

  /**
   * What `Columns.put` does with each vec4: writes it to the tile's n-th part. Where threads work on quads along rows, a
   * tile has its columns in the order 0, 4, 8, … 1, 5, 9, …, so that neighbouring threads find neighbouring elements.
   */
  putIn(part: number): string {
    const { columns } = this.#config
    const i = this.#pass === 'key' ? 'n' : `n % 4u * ${columns / 4}u + n / 4u`
    return wgsl`
      let to = ${part > 0 && `${part * columns}u * PITCH + `}(${i}) * PITCH + c * 4u;
      ${each(4, e => `tile[${plus('to', e)}] = value[${e}];`)}
    `
  }

  /** Sums of the subgroup's rows, as long as headSize, all zero. */
  zeroSums(name: string): string {
    return this.#zeroSums(name, this.#layout.headSize)
  }

  #zeroSums(name: string, columns: number): string {
    const { rows, fragment } = this.#config
    return each(rows, i => each(columns / fragment.n, j => `var ${name}${i}_${j} = ${zeroFragment(fragment)};`))
  }

  /** scores = left · (the tile's n-th part)ᵀ for the subgroup's rows, stored to `block`. */
  products(block: string, left: string, part: number): string {
    const { rows, columns, fragment } = this.#config
    const { m, n, k } = fragment
    const right = (j: number, h: number): string =>
      loadFragment('right turned', 'tile', plus(`${part * columns + j * n}u * PITCH`, h * k), 'PITCH', fragment)
    const step = (h: number): string =>
      scope(
        this.addProducts(
          's',
          columns,
          i => `${left}${i}_${h}`,
          j => right(j, h),
        ),
      )
    const place = (i: number, j: number): string => ofRow(i * m, 'BLOCK_PITCH', j * n)
    return scope([
      this.#zeroSums('s', columns),
      each(this.#layout.headSize / k, step),
      each(rows, i => each(columns / n, j => storeFragment(block, place(i, j), `s${i}_${j}`, 'BLOCK_PITCH'))),
    ])
  }

  /** sum += left · the tile's n-th part. */
  accumulate(sum: string, left: string, part: number): string {
    const { rows, columns, fragment } = this.#config
    const { m, k } = fragment
    const leftAt = (i: number, c: number): string =>
      loadFragment('left', left, ofRow(i * m, 'BLOCK_PITCH', c * k), 'BLOCK_PITCH', fragment)
    const step = (c: number): string =>
      scope([each(rows, i => `let left${i} = ${leftAt(i, c)};`), this.addTile(sum, i => `left${i}`, part, c)])
    return each(columns / k, step)
  }

  /** sum += left · a fragment's length of the tile's n-th part, from its c-th on. */
  addTile(sum: string, left: (i: number) => string, part: number, c: number): string {
    const { columns, fragment } = this.#config
    const row = part * columns + c * fragment.k
    const right = (j: number): string =>
      loadFragment('right', 'tile', plus(`${row}u * PITCH`, j * fragment.n), 'PITCH', fragment)
    return this.addProducts(sum, this.#layout.headSize, left, right)
  }

  /** sum{i}_{j} += left(i) · right(j), for `columns` columns of the sums. */
  addProducts(sum: string, columns: number, left: (i: number) => string, right: (j: number) => string): string {
    const { rows, fragment } = this.#config
    return each(columns / fragment.n, j => [
      `let right${j} = ${right(j)};`,
      each(rows, i => multiplyAdd(`${sum}${i}_${j}`, left(i), `right${j}`)),
    ])
  }

  /**
   * Stores the subgroup's sums to the memory of the scores, as many columns at a time as fit there. `body` runs for each
   * chunk of row `row`, whose elements start at `begin`. `back`: the values are loaded back into the matrices afterwards.
   */
  throughScores(sum: string, back: boolean, body: (chunk: string) => string): string {
    const { rows, columns, fragment } = this.#config
    const { m, n, lanes } = fragment
    const { headSize } = this.#layout
    return each(Math.ceil(headSize / columns), slice => {
      const first = slice * columns
      const width = Math.min(columns, headSize - first)
      const fragments = (line: (name: string, at: string) => string): string =>
        each(rows, i => each(width / n, j => line(`${sum}${i}_${first / n + j}`, ofRow(i * m, 'BLOCK_PITCH', j * n))))
      const load = (at: string): string => loadFragment('sum', 'scores', at, 'BLOCK_PITCH', fragment)
      return wgsl`
        workgroupBarrier();
        ${fragments((name, at) => storeFragment('scores', at, name, 'BLOCK_PITCH'))}
        workgroupBarrier();
        for (var at = lane; at < ${(subgroupRows(this.#config) * width) / 4}u; at += ${lanes}u) {
          let c = at % ${width / 4}u;
          let row = subgroupRow + at / ${width / 4}u;
          let begin = row * BLOCK_PITCH + 4u * c;
          ${body(`${first / 4}u + c`)}
        }
        ${when(back)`
          workgroupBarrier();
          ${fragments((name, at) => `${name} = ${load(at)};`)}
        `}
      `
    })
  }

  /** Stores the subgroup's sums to an operand. */
  storeSums(sum: string, name: string, bound: string, value: (sum: string) => string): string {
    const operand = capital(name)
    const elements = value(`vec4<f32>(${list(4, e => `scores[${plus('begin', e)}]`)})`)
    return this.throughScores(
      sum,
      false,
      chunk => wgsl`
      let i = rowStart + row;
      if (i < ${bound}) {
        store${operand}(row${operand}(item, i, head), ${chunk}, ${elements});
      }
    `,
    )
  }

  /**
   * Repeats what a thread does in a turn: unrolled for a few turns, whose instructions can overlap, in a loop for many.
   * Random numbers take some hundreds of instructions per turn, and many turns don't fit a GPU's instruction cache.
   *
   * Turn number n may store its result in the variable `result` followed by n. A loop rotates these variables, so that
   * each has its own turn's result in the end.
   */
  turnByTurn(body: (turn: string, n: number) => string, result?: string): string {
    const { turns } = this
    const together = turns % 4 === 0 && !this.#layout.dropout ? 4 : turns % 2 === 0 ? 2 : 1
    if (turns === together) return each(turns, t => scope(body(`${t}u`, t)))
    const rotated: Part = result !== undefined && [
      each(together, n => `let new${n} = ${result}${n};`),
      each(turns - together, t => `${result}${t} = ${result}${t + together};`),
      each(together, n => `${result}${turns - together + n} = new${n};`),
    ]
    return wgsl`
      for (var turn = 0u; turn < ${turns}u; turn += ${together}u) {
        ${together === 1 ? body('turn', 0) : each(together, t => scope(body(plus('turn', t), t)))}
        ${rotated}
      }
    `
  }
}

/** Of a row of the subgroup: where its elements from `column` on are in memory of such a pitch. */
const ofRow = (row: number, pitch: string, column: number): string =>
  plus(`(${plus('subgroupRow', row)}) * ${pitch}`, column)
