// Matmul by register tiles, without workgroup memory. Every thread keeps a tile of outputs in registers and walks along
// K four at a time. There are two ways to read the left operand:
//   subgroup 0  each thread loads all rows of its tile itself. Loads for each FMA fall with the tile's area; works
//               anywhere.
//   subgroup S  a subgroup shares its rows: each lane loads one row's four elements along K, and subgroupBroadcast
//               distributes them, so a tile of S rows costs a lane one load of A instead of S. The fastest on CPU
//               adapters, where a load costs as much as several FMAs and workgroup memory is ordinary memory.
import { LETTERS, type Part, each, list, plus, wgsl, when } from '../wgsl.ts'
import type { Layout, MatmulKind, OperandLayout, Rated, SegmentLayout } from './text.ts'
import { alongK, biasAt, columnPlaces, load, productShader, rated, rowStart, store, wholeVec4s } from './text.ts'

export interface TileConfig {
  readonly kernel: 'tile'
  /** Width of the subgroup that shares rows, or 0: each thread loads its own. */
  readonly subgroup: number
  /** Output rows of one thread. A multiple of `subgroup` when rows are shared. */
  readonly rows: number
  /** Groups of four output columns of one thread. */
  readonly vec4s: number
  /** Threads side by side along N (the subgroup's width when rows are shared), and along M. */
  readonly across: number
  readonly down: number
  /**
   * Stores its rows in a loop that no compiler unrolls, for CPUs: unrolled stores take them longer to compile than all
   * sums (llvmpipe: 4.9 s of 5.3 with a bias and a residual). A GPU would have to move the sums out of its registers.
   */
  readonly rolled: boolean
}

const name = (c: TileConfig): string =>
  `${c.subgroup ? `sg${c.subgroup} ` : ''}${c.rows}x${c.vec4s * 4} by ${c.down}x${c.across}${c.rolled ? '' : ' unrolled'}`

const threads = ({ across, down }: TileConfig): number => across * down

export const tile: MatmulKind<TileConfig> = {
  name,
  size: ({ rows, vec4s, across, down }) => ({ rows: rows * down, columns: vec4s * 4 * across }),
  threads,
  storage: () => 0,
  // A lane that loads one row of A gains nothing from four rows at once.
  vec4s: ({ subgroup, rows }) => ({ a: subgroup === 0 && rows % 4 === 0, b: true, out: true }),
  configs: (_product, { cpu, compilesSlowly, subgroupSize }) =>
    cpu ? cpuConfigs(subgroupSize, compilesSlowly) : gpuConfigs(subgroupSize),
  shader(c, layout) {
    return productShader({
      name: name(c),
      layout,
      threads: threads(c),
      needs: { subgroups: c.subgroup > 0 },
      steps: wgsl`
        let lane = local % ${c.across}u;
        let row = (tileM * ${c.down}u + local / ${c.across}u) * ${c.rows}u;
        ${each(c.vec4s, j => `let column${j} = (tileN * ${c.vec4s}u + ${j}u) * ${c.across * 4}u + lane * 4u;`)}
        ${each(c.rows, i => each(c.vec4s, j => `var sum${i}_${j} = vec4f();`))}
        ${
          /* The last first: SwiftShader runs the long loop of a LoRA product up to a tenth slower where another one follows. */
          layout.segments.map((segment, s) => sumSegment(c, segment, s)).reverse()
        }

        ${storeRows(c, layout)}
      `,
    })
  },
}

type Row = readonly [rate: number, rows: number, vec4s: number, across: number, down: number]

const configsOf = (table: readonly Row[], subgroup: number, rolled: boolean): Rated<TileConfig>[] =>
  table.map(([rate, rows, vec4s, across, down]) =>
    rated(rate, { kernel: 'tile', subgroup, rows, vec4s, across, down, rolled }),
  )

/**
 * Rates on lavapipe, two cores, f32 768³, B in either layout: 20–22 GFLOP/s for the first, by processor time. Larger tiles
 * do no better and take longer to compile; without sharing rows it is 8, through workgroup memory 3. SwiftShader's
 * compiler keeps few sums in registers: 1024 × 128 · 128 × 512 takes 61 ms of processor time by tiles of 8 × 4, 95 by
 * those of 16 × 4, which also take half as long again to compile.
 */
function cpuConfigs(width: number, compilesSlowly = false): Rated<TileConfig>[] {
  const shared: Row[] = compilesSlowly
    ? [
        [1, 8, 1, width, 1],
        [0.98, 8, 1, width, 16],
        [0.75, 4, 1, width, 4],
        [0.7, 16, 2, width, 1],
        [0.62, 16, 1, width, 1],
        [0.61, 32, 1, width, 1],
        [0.6, 24, 1, width, 4],
      ]
    : [
        [1, 16, 1, width, 1],
        [0.97, 24, 1, width, 4],
        [0.96, 32, 1, width, 1],
        [0.85, 16, 2, width, 1],
        [0.74, 8, 1, width, 16],
        [0.7, 8, 1, width, 1],
        [0.45, 4, 1, width, 4],
      ]
  const own: Row[] = [
    [0.36, 8, 2, 8, 8],
    [0.3, 4, 1, 8, 4],
  ]
  const fitting = width > 16 ? [] : shared.filter(([, rows]) => rows % width === 0)
  return [...configsOf(fitting, width, true), ...configsOf(own, 0, true)].map(rated => ({
    ...rated,
    shortest: rated.config.subgroup > 0 && rated.config.rows === 4,
  }))
}

/** Rates relative to an H200's best, as of workgroup.ts. */
function gpuConfigs(width: number): Rated<TileConfig>[] {
  const own: Row[] = [
    [0.47, 8, 2, 8, 8],
    [0.46, 4, 1, 16, 8],
    [0.2, 1, 1, 64, 1],
  ]
  const shared: Row[] = width < 8 || width > 32 ? [] : [[0.55, width, 1, width, 4]]
  return [...configsOf(own, 0, false), ...configsOf(shared, width, false)]
}

function sumSegment(c: TileConfig, segment: SegmentLayout, s: number): string {
  const { begin, end } = segment
  return wgsl`

    {
      ${rowStarts(c, segment, s)}
      ${columnStarts(c, segment, s)}
      ${when(wholeVec4s(segment))`
        for (var k = ${begin}; k < ${end}; k += 4u) {
          ${step(c, segment, s, 4)}
        }
      `}
      ${when(!wholeVec4s(segment))`
        var k = ${begin};
        for (; k + 4u <= ${end}; k += 4u) {
          ${step(c, segment, s, 4)}
        }
        for (; k < ${end}; k++) {
          ${step(c, segment, s, 1)}
        }
      `}
    }
  `
}

/** Rolled: from a row that is not known when compiling, so that the loop stays one. */
function storeRows(c: TileConfig, whole: Layout): string {
  // A bias is the same for all rows: read once. CPUs read it element by element.
  const once = whole.outVec4 ? whole.bias : undefined
  const layout = once ? { ...whole, bias: undefined } : whole
  const storeSum = (row: string, j: number, sum: string): string =>
    store(layout, row, `column${j}`, once ? `${sum} + bias${j}` : sum, `place${j}`)
  return wgsl`
    ${once && each(c.vec4s, j => `let bias${j} = ${biasAt(once, whole, `column${j} / 4u`, 4)};`)}
    ${each(c.vec4s, j => columnPlaces(layout, `place${j}`, `column${j}`))}
    ${when(c.rolled)`
      ${each(c.vec4s, j => `var sums${j} = array<vec4f, ${c.rows}>(${list(c.rows, i => `sum${i}_${j}`)});`)}
      for (var at = row; at < min(row + ${c.rows}u, u.M); at++) {
        ${each(c.vec4s, j => storeSum('at', j, `sums${j}[at - row]`))}
      }
    `}
    ${!c.rolled && each(c.vec4s, j => each(c.rows, i => storeSum(`(row + ${i}u)`, j, `sum${i}_${j}`)))}
  `
}

/** Rows that a thread loads. */
const loadsOf = ({ subgroup, rows }: TileConfig): number => (subgroup > 0 ? rows / subgroup : rows)

function rowStarts(c: TileConfig, { a }: SegmentLayout, s: number): string {
  const width = a.major === 'row' && a.vec4 ? 4 : 1
  return each(loadsOf(c) / width, n => {
    const i = n * width
    return `let a${s}At${i} = ${rowStart(a, c.subgroup > 0 ? `row + ${i * c.subgroup}u + lane` : `row + ${i}u`)};`
  })
}

function columnStarts(c: TileConfig, { b }: SegmentLayout, s: number): string {
  return each(c.vec4s, j =>
    b.major === 'row' && b.vec4
      ? `let b${s}At${j} = ${rowStart(b, `column${j}`)};`
      : LETTERS.map((letter, q) => `let b${s}At${j}${letter} = ${rowStart(b, `column${j} + ${q}u`)};`),
  )
}

/** One step of `width` along K. */
function step(c: TileConfig, segment: SegmentLayout, s: number, width: 1 | 4): string {
  const patches = [segment.a, segment.b].find(operand => operand.patches)
  return wgsl`
    ${patches && each(patches.vec4 ? 1 : width, kk => `let offset${kk} = ${alongK(patches, plus('k', kk))};`)}
    ${loadRows(c, segment, s, width)}
    ${loadColumns(c, segment, s, width)}
    ${each(width, kk =>
      each(c.rows, i => {
        const name = c.subgroup > 0 ? `a${Math.floor(i / c.subgroup)}` : `a${i}`
        const element = width === 4 ? `${name}.${LETTERS[kk]}` : name
        const shared = c.subgroup > 0 ? `subgroupBroadcast(${element}, ${i % c.subgroup}u)` : element
        if (c.vec4s === 1) return `sum${i}_0 += ${shared} * b0_${kk};`
        return [`let x${i}_${kk} = ${shared};`, each(c.vec4s, j => `sum${i}_${j} += x${i}_${kk} * b${j}_${kk};`)]
      }),
    )}
  `
}

const elementsOf = (width: 1 | 4, element: (kk: number) => string): string =>
  width === 4 ? `vec4f(${list(4, element)})` : element(0)

/** Index of what begins `kk` elements after k in a row of an operand that lies along K. */
const inRow = (operand: OperandLayout, at: string, kk: number): string =>
  operand.patches ? `${at} + offset${kk}` : operand.vec4 ? `${at} + k / 4u` : `${at} + k + ${kk}u`

/** Declares a{i}: elements k … of row i (or of the lane's row). */
function loadRows(c: TileConfig, { a, times }: SegmentLayout, s: number, width: 1 | 4): Part {
  const loadAt = (at: string, kk: number): string =>
    load(a, a.major === 'k' ? inRow(a, at, kk) : `${at} + (k + ${kk}u) * ${a.stride}`)
  if (a.major === 'row' && a.vec4) {
    return each(loadsOf(c) / 4, n => [
      each(width, kk => `let rows${4 * n}_${kk} = ${loadAt(`a${s}At${4 * n}`, kk)}${times};`),
      LETTERS.map((letter, q) => `let a${4 * n + q} = ${elementsOf(width, kk => `rows${4 * n}_${kk}.${letter}`)};`),
    ])
  }
  const alongK = (at: string): string =>
    a.major === 'k' && a.vec4 ? load(a, inRow(a, at, 0)) : elementsOf(width, kk => loadAt(at, kk))
  return each(loadsOf(c), i => `let a${i} = ${alongK(`a${s}At${i}`)}${times};`)
}

/** Declares b{j}_{kk}: vec4f of four columns at k + kk. */
function loadColumns(c: TileConfig, { b }: SegmentLayout, s: number, width: 1 | 4): Part {
  const vec4Of = (element: (letter: string) => string): string => `vec4f(${LETTERS.map(element).join(', ')})`
  if (b.major === 'k' && b.vec4) {
    return each(c.vec4s, j => [
      LETTERS.map(letter => `let w${j}${letter} = ${load(b, inRow(b, `b${s}At${j}${letter}`, 0))};`),
      each(width, kk => `let b${j}_${kk} = ${vec4Of(letter => `w${j}${letter}.${LETTERS[kk]}`)};`),
    ])
  }
  return each(c.vec4s, j =>
    each(width, kk => {
      const loadAt = (letter: string): string => {
        const at = `b${s}At${j}${letter}`
        return load(b, b.major === 'k' ? inRow(b, at, kk) : `${at} + (k + ${kk}u) * ${b.stride}`)
      }
      return `let b${j}_${kk} = ${b.vec4 ? loadAt('') : vec4Of(loadAt)};`
    }),
  )
}
