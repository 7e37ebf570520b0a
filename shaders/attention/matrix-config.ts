// What a kernel of attention by subgroup matrices may be: its tiles, who has which share of them, the workgroup memory that they
// take, and which are offered for an adapter. The kernels are in matrix.ts.
import type { AttentionLayout, Side } from './common.ts'
import type { SubgroupMatrix, Traits } from '../kernel.ts'

export interface MatrixConfig {
  readonly kind: 'matrix'
  readonly fragment: SubgroupMatrix
  /** Fragments along the rows of a subgroup's strip. */
  readonly rows: number
  /** Subgroups of the workgroup, one strip each. */
  readonly down: number
  /** Columns of a tile. */
  readonly columns: number
}

export type Pass = 'forward' | Side

export const stripRows = ({ fragment, rows }: MatrixConfig): number => fragment.m * rows
export const matrixRows = (config: MatrixConfig): number => stripRows(config) * config.down
export const threadsOf = ({ fragment, down }: MatrixConfig): number => fragment.lanes * down
/** Elements from one row to the next in workgroup memory: rows begin in different banks, and at 16 bytes, as Vulkan asks. */
export const pitchOf = (width: number): number => width + 8

/** Elements of the f16 tile: two tiles of columns, or in the beginning one of rows. */
export const tileElements = (config: MatrixConfig, { headSize }: AttentionLayout): number =>
  Math.max(matrixRows(config), 2 * config.columns) * pitchOf(headSize)
/** Elements of a tile of scores or weights. */
export const blockElements = (config: MatrixConfig): number => matrixRows(config) * pitchOf(config.columns)

/** Bytes of workgroup memory. */
export function matrixBytes(config: MatrixConfig, layout: AttentionLayout, pass: Pass): number {
  const scores = pass === 'forward' ? 1 : 2
  const weights = pass === 'key' ? 2 : 1
  const statistics = pass === 'key' ? 0 : matrixRows(config) * 8
  return tileElements(config, layout) * 2 + blockElements(config) * (scores * 4 + weights * 2) + statistics
}

/** How a subgroup shares out its strip of scores, four keys a thread and turn. */
interface Shares {
  /** Threads side by side along the columns: a quad each (side 'query'), or one column each (side 'key'). */
  readonly across: number
  /** Groups of so many threads, on rows (or quads of rows) of their own. */
  readonly groups: number
  readonly turns: number
}

export function sharesOf(pass: Pass, config: MatrixConfig): Shares {
  const { columns, fragment: { lanes } } = config
  const across = pass === 'key' ? Math.min(columns, lanes) : columns / 4
  const groups = lanes / across
  return { across, groups, turns: stripRows(config) / groups / (pass === 'key' ? 4 : 1) }
}

/** `text + number`, as short as it may be. */
export const plus = (text: string, number: number): string => (number === 0 ? text : `${text} + ${number}u`)

const whole = (...numbers: number[]): boolean => numbers.every(n => Number.isInteger(n) && n > 0)

/** Sums, in registers, that a strip of more than one fragment may have for each thread. */
const MOST_SUMS = 64

/** Whether a layout has such a kernel and an adapter has room for it. */
export function matrixFits(config: MatrixConfig, layout: AttentionLayout, pass: Pass, traits: Traits): boolean {
  const { fragment: { m, n, k, lanes }, rows, columns } = config
  const { headSize } = layout
  const { groups, turns } = sharesOf(pass, config)
  const sums = (pass === 'key' ? 2 : 1) * stripRows(config) * headSize / lanes
  return layout.dtype === 'f16' && layout.vector
    && whole(rows, m / 4, n / 4, headSize / n, headSize / k, columns / n, columns / k, columns / 4, groups, turns)
    && (rows === 1 || sums <= MOST_SUMS)
    && threadsOf(config) <= traits.maxWorkgroupInvocations
    && matrixBytes(config, layout, pass) <= traits.maxWorkgroupStorage
}

/** Rows × columns of the workgroup's tile, and by how many subgroups, in the order of an H200's times. */
const SHAPES: readonly (readonly [rows: number, columns: number, down: number])[] = [[64, 64, 4], [64, 32, 4], [32, 64, 2], [64, 32, 2]]

/** Configs for an adapter with subgroup matrices. */
export function matrixConfigs(pass: Pass, layout: AttentionLayout, traits: Traits): MatrixConfig[] {
  const { subgroupMatrix: fragment } = traits
  if (!fragment) return []
  return SHAPES.map(([rows, columns, down]): MatrixConfig => ({ kind: 'matrix', fragment, rows: rows / down / fragment.m, down, columns }))
    .filter(config => matrixFits(config, layout, pass, traits))
}

export const matrixName = (config: MatrixConfig): string => `matrix ${matrixRows(config)}x${config.columns} by ${config.down}`

export const describe = (config: MatrixConfig, { headSize, dtype }: AttentionLayout): string => {
  const { m, n, k, lanes } = config.fragment
  return `${matrixName(config)} subgroups of ${lanes}, fragments ${m}x${n}x${k}, headSize ${headSize} ${dtype}`
}
