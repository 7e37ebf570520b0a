// How the columns that a workgroup walks over come from their operands to tiles in workgroup memory: each invocation moves
// groups of four, by way of registers that are filled while the columns before are worked on, or at once.
import { wgsl } from '../wgsl.ts'
import { type AttentionLayout, bufferOf, chunksOf } from './common.ts'

/** An operand's columns on their way. */
export interface Coming {
  readonly operand: string
  /** Variables that hold them on the way. */
  readonly name: string
  /** Their count; what stands past the end repeats the last. */
  readonly bound: string
  /** The first chunk that comes, where not all do. */
  readonly chunk?: number
}

export interface Moving {
  readonly layout: AttentionLayout
  /** The invocation's number in its workgroup, as WGSL, and how many there are. */
  readonly invocation: string
  readonly invocations: number
  /** Columns of a tile. */
  readonly columns: number
  /** Columns are read ahead, into registers. */
  readonly ahead: boolean
  /** Chunks of each column that come together. Left out: all. */
  readonly chunks?: number
  /** The column, counted from the tile's first, that comes as number n. Left out: the n-th. */
  readonly columnOf?: (n: string) => string
}

export class Columns {
  readonly #moving: Moving
  readonly #turns: number
  readonly #ragged: boolean

  constructor(moving: Moving) {
    const turns = turnsOf(moving)
    this.#moving = moving
    this.#turns = Math.ceil(turns)
    this.#ragged = !Number.isInteger(turns)
  }

  #turn(t: number, body: string): string {
    const { invocation, invocations, chunks } = this.#moving
    const count = chunks === undefined ? 'CHUNKS' : `${chunks}u`
    return wgsl`
      {
        let at = ${invocation}${t === 0 ? '' : ` + ${t * invocations}u`};
        let n = at / ${count};
        let c = at % ${count};
        ${body}
      }
    `
  }

  #load({ operand, bound, chunk = 0 }: Coming, start: string): string {
    const { layout: { dtype, vector }, columnOf = (n: string) => n } = this.#moving
    const row = `row${operand}(item, min(${start} + ${columnOf('n')}, ${bound} - 1u), head)`
    const c = chunk === 0 ? 'c' : `c + ${chunk}u`
    return vector ? `${bufferOf(operand)}[${row} + ${c}]` : `vec4<${dtype}>(load${operand}(${row}, ${c}))`
  }

  #declare({ name }: Coming, turns: readonly number[]): string {
    return turns.map(t => `var ${name}${t}: vec4<${this.#moving.layout.dtype}>;`).join('\n')
  }

  #read(coming: Coming, start: string, turns: readonly number[]): string {
    return turns.map(t => this.#turn(t, `${coming.name}${t} = ${this.#load(coming, start)};`)).join('\n')
  }

  /** Declares what is held ahead. */
  hold(coming: Coming): string {
    return this.#moving.ahead ? this.#declare(coming, numbers(this.#turns)) : ''
  }

  /** Begins to read the columns from `start` on, where they are read ahead. */
  read(coming: Coming, start: string): string {
    return this.#moving.ahead ? this.#read(coming, start, numbers(this.#turns)) : ''
  }

  /** Runs `body` for each group of four of the columns from `start` on: chunk `c` of the tile's column number `n` has come as `value`. */
  put(coming: Coming, start: string, body: string): string {
    const { ahead, columns } = this.#moving
    const use = (t: number): string => this.#turn(t, wgsl`
      ${this.#ragged && t === this.#turns - 1 ? `if (n < ${columns}u) ` : ''}{
        let value = ${coming.name}${t};
        ${body}
      }
    `)
    const all = numbers(this.#turns)
    if (ahead) return all.map(use).join('\n')
    // Many are on their way together: one wait for memory, not one for each.
    return all.filter(t => t % TOGETHER === 0).map(first => {
      const some = all.slice(first, first + TOGETHER)
      return wgsl`
        {
          ${this.#declare(coming, some)}
          ${this.#read(coming, start, some)}
          ${some.map(use)}
        }
      `
    }).join('\n')
  }
}

/** Groups of four that are read before the first of them is put. */
const TOGETHER = 8

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

/** Groups of four that an invocation moves of one operand. */
export const turnsOf = ({ columns, layout, invocations, chunks = chunksOf(layout.headSize) }: Pick<Moving, 'columns' | 'layout' | 'invocations' | 'chunks'>): number =>
  columns * chunks / invocations
