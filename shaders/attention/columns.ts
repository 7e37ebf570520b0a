// Copies the columns that a workgroup walks over from their operands to tiles in workgroup memory. Each invocation
// copies vec4s through registers, either prefetched while the previous tile is computed, or read right before they are
// stored.
import { type Part, wgsl } from '../wgsl.ts'
import { type AttentionLayout, bufferOf, chunksOf } from './common.ts'

/** An operand whose columns are staged in registers. */
export interface StagedOperand {
  readonly operand: string
  /** Prefix of the variables that hold them. */
  readonly name: string
  /** Their count; reads past the end repeat the last column. */
  readonly bound: string
  /** The first chunk to copy. Left out: 0. */
  readonly chunk?: number
}

export interface Staging {
  readonly layout: AttentionLayout
  /** Of the workgroup. */
  readonly invocations: number
  /** Columns of a tile. */
  readonly columns: number
  /** Columns are prefetched into registers. */
  readonly prefetch: boolean
  /** Chunks of each column that are copied at a time. Left out: all. */
  readonly chunks?: number
  /** The column, counted from the tile's first, that is copied to place n. Left out: the n-th. */
  readonly columnOf?: (n: string) => string
}

export class Columns {
  readonly #staging: Staging
  readonly #turns: number
  readonly #ragged: boolean

  constructor(staging: Staging) {
    const turns = turnsOf(staging)
    this.#staging = staging
    this.#turns = Math.ceil(turns)
    this.#ragged = !Number.isInteger(turns)
  }

  #turn(t: number, body: string): string {
    const { invocations, chunks } = this.#staging
    const count = chunks === undefined ? 'CHUNKS' : `${chunks}u`
    return wgsl`
      {
        let at = local${t === 0 ? '' : ` + ${t * invocations}u`};
        let n = at / ${count};
        let c = at % ${count};
        ${body}
      }
    `
  }

  #load({ operand, bound, chunk = 0 }: StagedOperand, start: string): string {
    const {
      layout: { dtype, vector },
      columnOf = (n: string) => n,
    } = this.#staging
    const row = `row${operand}(item, min(${start} + ${columnOf('n')}, ${bound} - 1u), head)`
    const c = chunk === 0 ? 'c' : `c + ${chunk}u`
    return vector ? `${bufferOf(operand)}[${row} + ${c}]` : `vec4<${dtype}>(load${operand}(${row}, ${c}))`
  }

  #declare({ name }: StagedOperand, turns: readonly number[]): string {
    return turns.map(t => `var ${name}${t}: vec4<${this.#staging.layout.dtype}>;`).join('\n')
  }

  #read(staged: StagedOperand, start: string, turns: readonly number[]): string {
    return turns.map(t => this.#turn(t, `${staged.name}${t} = ${this.#load(staged, start)};`)).join('\n')
  }

  /** Declares the registers of a prefetch. */
  declare(...operands: readonly StagedOperand[]): Part {
    return this.#staging.prefetch && operands.map(operand => this.#declare(operand, numbers(this.#turns)))
  }

  /** Prefetches the columns from `start` on. Nothing without `prefetch`. */
  read(start: string, ...operands: readonly StagedOperand[]): Part {
    return this.#staging.prefetch && operands.map(operand => this.#read(operand, start, numbers(this.#turns)))
  }

  /** Runs `body` for each vec4 of the columns from `start` on: `value` is chunk `c` of the tile's column `n`. */
  put(operand: StagedOperand, start: string, body: string): string {
    const { prefetch, columns } = this.#staging
    const use = (t: number): string =>
      this.#turn(
        t,
        wgsl`
      ${this.#ragged && t === this.#turns - 1 ? `if (n < ${columns}u) ` : ''}{
        let value = ${operand.name}${t};
        ${body}
      }
    `,
      )
    const all = numbers(this.#turns)
    if (prefetch) return all.map(use).join('\n')
    // Several loads are issued before the first result is used, so that their latencies overlap.
    return all
      .filter(t => t % LOADS_IN_FLIGHT === 0)
      .map(first => {
        const some = all.slice(first, first + LOADS_IN_FLIGHT)
        return wgsl`
        {
          ${this.#declare(operand, some)}
          ${this.#read(operand, start, some)}
          ${some.map(use)}
        }
      `
      })
      .join('\n')
  }
}

/** Loads that are issued before the first result is used. */
const LOADS_IN_FLIGHT = 8

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

/** vec4s of one operand that an invocation copies. */
export const turnsOf = ({
  columns,
  layout,
  invocations,
  chunks = chunksOf(layout.headSize),
}: Pick<Staging, 'columns' | 'layout' | 'invocations' | 'chunks'>): number => (columns * chunks) / invocations
