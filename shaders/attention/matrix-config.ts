// Configs of attention by subgroup matrices: tiles, how threads share them, the workgroup memory that they take, and
// the candidates for an adapter. The kernels are in matrix.ts.
import type { AttentionLayout, AttentionPass } from './common.ts'
import type { SubgroupMatrix, Traits } from '../kernel.ts'

export interface MatrixConfig {
  readonly kind: 'matrix'
  readonly fragment: SubgroupMatrix
  /** Fragments along a subgroup's rows. */
  readonly rows: number
  /** Subgroups of the workgroup, each with rows of its own. */
  readonly down: number
  /** Columns of a tile. */
  readonly columns: number
}

/** The kernels that work on scores: those of fused attention, and the stored gradient's probabilities. */
export type Pass = AttentionPass | 'probabilities'

export const subgroupRows = ({ fragment, rows }: MatrixConfig): number => fragment.m * rows
export const matrixRows = (config: MatrixConfig): number => subgroupRows(config) * config.down
export const threadsOf = ({ fragment, down }: MatrixConfig): number => fragment.lanes * down
/**
 * Elements from one row to the next in workgroup memory: rows begin in different banks, and at 16 bytes, as Vulkan
 * asks.
 */
export const pitchOf = (width: number): number => width + 8

/** Elements of the f16 tile: two tiles of columns, or in the beginning one of rows. */
export const tileElements = (config: MatrixConfig, { headSize }: AttentionLayout): number =>
  Math.max(matrixRows(config), 2 * config.columns) * pitchOf(headSize)
/** Elements of a tile of scores, probabilities or their gradients. */
export const blockElements = (config: MatrixConfig): number => matrixRows(config) * pitchOf(config.columns)

/** Sums along headSize that a pass makes: o, dq, or dk and dv. */
const SUMS = { forward: 1, query: 1, key: 2, bias: 0, probabilities: 0 } as const

/**
 * Bytes of workgroup memory. Every array takes a multiple of sixteen: matrices are read at such addresses only, and
 * NVIDIA's driver rounds others down without an error.
 */
export function matrixBytes(config: MatrixConfig, layout: AttentionLayout, pass: Pass): number {
  const scores = pass === 'forward' ? 1 : 2
  const operands = SUMS[pass] // f16 blocks that matrices multiply
  const statistics = pass === 'key' ? 0 : matrixRows(config) * 8
  const flag = pass === 'forward' ? 16 : 0
  return tileElements(config, layout) * 2 + blockElements(config) * (scores * 4 + operands * 2) + statistics + flag
}

/** How the threads of a subgroup divide its scores: each takes four keys per turn. */
interface Shares {
  /** Threads side by side along the columns: a quad each (side 'query'), or one column each (side 'key'). */
  readonly across: number
  /** Groups of `across` threads, each with its own rows (or quads of rows). */
  readonly groups: number
  readonly turns: number
}

export function sharesOf(pass: Pass, config: MatrixConfig): Shares {
  const { columns } = config
  const { lanes } = config.fragment
  const across = pass === 'key' ? Math.min(columns, lanes) : columns / 4
  const groups = lanes / across
  return { across, groups, turns: subgroupRows(config) / groups / (pass === 'key' ? 4 : 1) }
}

const whole = (...numbers: number[]): boolean => numbers.every(n => Number.isInteger(n) && n > 0)

/** Most sums per thread, in registers, for subgroups with one fragment of rows, or with more. */
const mostSums = (rows: number): number => (rows === 1 ? 128 : 64)

/** Whether the layout divides into whole fragments and whole `counts`, and the adapter can hold the sums and bytes. */
function fits(
  config: MatrixConfig,
  { dtype, vector, headSize }: AttentionLayout,
  traits: Traits,
  sums: number,
  bytes: number,
  ...counts: readonly number[]
): boolean {
  const { rows, columns } = config
  const { m, n, k, lanes } = config.fragment
  return (
    dtype === 'f16' &&
    vector &&
    whole(rows, m / 4, n / 4, headSize / n, headSize / k, columns / n, columns / k, ...counts) &&
    (sums * subgroupRows(config) * headSize) / lanes <= mostSums(rows) &&
    threadsOf(config) <= traits.maxWorkgroupInvocations &&
    bytes <= traits.maxWorkgroupStorage
  )
}

/** Keys per block of the stored gradient's blocked layout; a fragment's width divides it. */
export const KEY_BLOCK = 16

/** Bytes of workgroup memory of the stored gradient's sums. */
export const matrixSumsBytes = (config: MatrixConfig, { headSize }: AttentionLayout): number =>
  config.columns * pitchOf(headSize) * 2 + blockElements(config) * 4

/** Rows × columns of the workgroup's tile, and by how many subgroups. */
type Shape = readonly [rows: number, columns: number, down: number]

/** In the order of an H200's times. */
const SHAPES: readonly Shape[] = [
  [32, 16, 2],
  [64, 16, 4],
  [32, 32, 2],
  [64, 32, 4],
]
const SUMS_SHAPES: readonly Shape[] = [
  [128, 16, 4],
  [64, 16, 4],
  [64, 32, 4],
  [64, 32, 2],
]

const shaped = (shapes: readonly Shape[], { subgroupMatrix: fragment }: Traits): MatrixConfig[] =>
  shapes.flatMap(([rows, columns, down]): MatrixConfig[] =>
    fragment ? [{ kind: 'matrix', fragment, rows: rows / down / fragment.m, down, columns }] : [],
  )

/** Configs for an adapter with subgroup matrices. */
export const matrixConfigs = (pass: Pass, layout: AttentionLayout, traits: Traits): MatrixConfig[] =>
  shaped(SHAPES, traits).filter(config => {
    const { groups, turns } = sharesOf(pass, config)
    const bytes = matrixBytes(config, layout, pass)
    return fits(config, layout, traits, SUMS[pass], bytes, config.columns / 4, groups, turns)
  })

/** The same of the stored gradient's sums. */
export const matrixSumsConfigs = (layout: AttentionLayout, traits: Traits): MatrixConfig[] =>
  shaped(SUMS_SHAPES, traits).filter(config => {
    const { m, k } = config.fragment
    return fits(config, layout, traits, 1, matrixSumsBytes(config, layout), KEY_BLOCK / m, KEY_BLOCK / k)
  })

export const matrixName = (config: MatrixConfig): string =>
  `matrix ${matrixRows(config)}x${config.columns} by ${config.down}`

export const describe = (config: MatrixConfig, { headSize, dtype }: AttentionLayout): string => {
  const { m, n, k, lanes } = config.fragment
  return `${matrixName(config)} subgroups of ${lanes}, fragments ${m}x${n}x${k}, headSize ${headSize} ${dtype}`
}
