// WGSL of subgroup matrices (Chromium's experimental feature): the types of a product's operands and sums, and their
// loads.
import type { SubgroupMatrix } from './kernel.ts'

/** What shaders with subgroup matrices enable. */
export const MATRICES = { subgroups: true, matrices: true } as const

export type Fragment = 'left' | 'left turned' | 'right' | 'right turned' | 'sum'

const sumType = ({ m, n }: SubgroupMatrix): string => `subgroup_matrix_result<f32, ${n}, ${m}>`

/** Sums of products, all zero. */
export const zeroFragment = (fragment: SubgroupMatrix): string => `${sumType(fragment)}()`

/** sum += left · right */
export const multiplyAdd = (sum: string, left: string, right: string): string =>
  `${sum} = subgroupMatrixMultiplyAccumulate(${left}, ${right}, ${sum});`

export const storeFragment = (to: string, at: string, sum: string, pitch: string): string =>
  `subgroupMatrixStore<row_major>(&${to}, ${at}, ${sum}, ${pitch});`

/** A fragment from memory; if 'turned', with rows and columns exchanged; 'sum' in f32. */
export function loadFragment(
  side: Fragment,
  from: string,
  at: string,
  pitch: string,
  fragment: SubgroupMatrix,
): string {
  const { m, n, k } = fragment
  const type =
    side === 'sum'
      ? sumType(fragment)
      : side.startsWith('left')
        ? `subgroup_matrix_left<f16, ${k}, ${m}>`
        : `subgroup_matrix_right<f16, ${n}, ${k}>`
  return `subgroupMatrixLoad<${type}, ${side.endsWith('turned') ? 'col_major' : 'row_major'}>(&${from}, ${at}, ${pitch})`
}
