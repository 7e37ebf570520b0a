// Long sums in f32, as sums of sums: numbers are added up in blocks, those in blocks of blocks, and so on. Where
// n equal numbers are added one by one the relative error grows with n (to 2e-4 for n = 4·10⁴); here it grows with
// the sum of the blocks' lengths. Compensated summation would not survive: WGSL lets compilers reassociate, and
// Mesa's turns (a + b) - a into b.

import { wgsl } from './wgsl.ts'

/** Numbers that one invocation adds one by one, at the most. */
export const LONG_SUM = 32

export interface BlockedSum {
  /** Name of the index: from `begin` to before `end` by `step` (WGSL expressions, u32); end + step must fit, too. */
  readonly index: string
  readonly begin: string
  readonly end: string
  readonly step: string
  /** Variables that are declared here to hold the sums, and what is added to each. */
  readonly sums: readonly (readonly [name: string, value: string])[]
  /** Of the sums: f32 or a vector of it. */
  readonly type: string
  /** Statements of one step, before its values are added. */
  readonly body: readonly string[]
  /** Numbers in a block, blocks in one of the next level, and so on. There may be any number of the last. */
  readonly blocks: readonly number[]
}

/** WGSL statements. */
export function blockedSum({ index, begin, end, step, sums, type, body, blocks }: BlockedSum): string {
  // With an initializer: on some adapters, a variable declared in a loop without one keeps its previous value.
  const zero = (level: number): string[] => sums.map(([name]) => `var ${name}${level} = ${type}();`)
  const add = (level: string | number, values: readonly string[]): string[] =>
    sums.map(([name], i) => `${name}${level} += ${values[i]};`)
  const below = (level: number): string[] => sums.map(([name]) => `${name}${level - 1}`)
  const block = (level: number, within: string): string => {
    const length = blocks.slice(0, level + 1).reduce((n, m) => n * m)
    return wgsl`
      ${zero(level)}
      let end${level} = ${index} + min(${length}u * ${step}, ${within} - ${index});
      ${level === 0 ? `for (; ${index} < end0; ${index} += ${step}) {` : `while (${index} < end${level}) {`}
        ${
          level === 0
            ? [
                ...body,
                ...add(
                  0,
                  sums.map(([, value]) => value),
                ),
              ]
            : [block(level - 1, `end${level}`), ...add(level, below(level))]
        }
      }
    `
  }
  return wgsl`
    ${sums.map(([name]) => `var ${name} = ${type}();`)}
    for (var ${index} = ${begin}; ${index} < ${end};) {
      ${block(blocks.length - 1, end)}
      ${add('', below(blocks.length))}
    }
  `
}
