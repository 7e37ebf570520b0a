// Matmul with a narrow right side (LoRA's rank, a single vector). Its time is that of reading memory, so the long
// operand is read once, by neighbouring lanes side by side, with threads enough for many reads at a time. There are two
// forms, by how the long operand lies:
//
// Along K: lanes walk along K together, each with a vec4 of some rows, which is multiplied with all columns while the
// next one is read. Then the lanes add up their sums: a subgroup by exchanges that halve the number of sums each time,
// so that every lane ends with outputs of its own, others through workgroup memory. The right operand is staged in
// workgroup memory as vec4s along K, or read in place.
//
// Along rows: each lane has four rows and all columns, and walks along K alone: a vec4 per step, times columns that all
// lanes of its part read at the same address. Parts of the workgroup take turns along K, and their sums are added in
// workgroup memory, which saves most of the slices and the traffic of their sums.
//
// All sums are made in a fixed order.
import type { Traits } from '../kernel.ts'
import { LETTERS, type Part, type Shader, each, list, scope, wgsl, when } from '../wgsl.ts'
import type { Product } from './problem.ts'
import type { Layout, MatmulKind, OperandLayout, Rated, SegmentLayout } from './text.ts'
import { indexOf, load, productShader, rated, rowStart, storeOne, vec4AlongK, wholeVec4s } from './text.ts'

export interface NarrowAlongK {
  readonly kernel: 'narrow'
  readonly along: 'k'
  /** Threads that walk along K together: a subgroup if `exchange`. A power of two. */
  readonly lanes: number
  /** Sums are added by subgroup operations. */
  readonly exchange: boolean
  /** Rows of the lanes that walk together. A power of two, 4 or more. */
  readonly rows: number
  /** Columns of the workgroup. A power of two. */
  readonly columns: number
  /** Groups of such lanes and rows in a workgroup. */
  readonly groups: number
  /** Vec4s that a lane takes of each row in one step. */
  readonly vec4s: number
  /** Steps for which the right operand is staged in workgroup memory; 0 reads it where it lies. */
  readonly staged: number
}

export interface NarrowAlongRows {
  readonly kernel: 'narrow'
  readonly along: 'rows'
  /** Columns of the workgroup. A power of two. */
  readonly columns: number
  /** Shares of K that the workgroup adds up. */
  readonly parts: number
  /** Elements of K that are read before they are multiplied: a multiple of 4. */
  readonly depth: number
}

export type NarrowConfig = NarrowAlongK | NarrowAlongRows

/** Lanes side by side along rows: what they read at once is a cache line or more. */
const ACROSS = 32
/** Sums of a thread that pass through workgroup memory at once. */
const ROUND = 4

function name(c: NarrowConfig): string {
  if (c.along === 'rows') return `narrow rows ${ACROSS * 4}x${c.columns} by ${c.parts} depth ${c.depth}`
  const right = c.staged === 0 ? 'direct' : `staged ${c.staged}`
  return `narrow k ${c.exchange ? 'sg' : 'wg'}${c.lanes} ${c.rows}x${c.columns} by ${c.groups} step ${c.vec4s} ${right}`
}

const threadsOf = (c: NarrowConfig): number => (c.along === 'rows' ? ACROSS * c.parts : c.lanes * c.groups)

/** Vec4s along K of each column that are staged. */
const stagedVec4s = ({ staged, vec4s, lanes }: NarrowAlongK): number => staged * vec4s * lanes

/** Columns of which the parts add up their sums at once. */
const roundOf = ({ columns }: NarrowAlongRows): number => Math.min(ROUND, columns)

export const narrow: MatmulKind<NarrowConfig> = {
  name,
  size: c => ({ rows: c.along === 'rows' ? ACROSS * 4 : c.rows * c.groups, columns: c.columns }),
  threads: threadsOf,
  storage(c) {
    if (c.along === 'rows') return threadsOf(c) * roundOf(c) * 16
    return c.columns * stagedVec4s(c) * 16 + (c.exchange ? 0 : ROUND * (threadsOf(c) + 1) * 4)
  },
  vec4s: c =>
    c.along === 'rows'
      ? { a: true, b: c.columns >= 4, out: false }
      : { a: false, b: c.columns >= 4 && c.staged > 0, out: false },
  // A memory-bound kernel gains from more workgroups than fill the adapter: three times as many are worth a try, too.
  slicing: c => ({ shortest: c.along === 'rows' ? c.parts * 16 : c.lanes * 8, most: 256, times: [1, 3] }),
  configs,
  shader: (c, layout) => (c.along === 'rows' ? alongRows(c, layout) : alongK(c, layout)),
}

/**
 * Products with a right side so narrow that reading the left one is what they take: up to some 32 columns in f32. Rates
 * are guesses by the share of memory's speed, high enough to come first and low enough to leave the next best in.
 */
function configs({ m, n, segments: [{ a, b, k }, ...more] }: Product, traits: Traits): Rated<NarrowConfig>[] {
  if (traits.cpu || more.length > 0 || n < 1 || n > 64 || m < n || (m < 8 * n && k < 32 * n)) return []
  const most = 2 ** Math.ceil(Math.log2(Math.min(n, 32)))
  // Above 32 columns the left operand is read more than once; with 16 at a time more often, but with fewer sums each.
  const widths = most > 16 ? [most, 16] : [most]
  return widths.flatMap(columns => {
    const rate = 0.75 * (n <= 16 ? 1 : columns > 16 ? 0.9 : Math.sqrt(16 / n))
    const all: NarrowConfig[] =
      a.major === 'k' ? configsAlongK(columns, b.major === 'k', traits) : configsAlongRows(columns)
    return all.map((config, i) => rated(rate * (1 - 0.01 * i), config))
  })
}

function configsAlongRows(columns: number): NarrowAlongRows[] {
  // Long steps of many columns need more registers than there are.
  const ways = [
    { parts: 8, depth: 4, most: 32 },
    { parts: 8, depth: 8, most: 8 },
    { parts: 4, depth: 4, most: 16, least: 16 },
    { parts: 4, depth: 8, most: 8 },
  ]
  return ways
    .filter(({ most, least = 0 }) => columns <= most && columns >= least)
    .map(({ parts, depth }) => ({ kernel: 'narrow', along: 'rows', columns, parts, depth }))
}

/**
 * Rows, groups, steps at once: as many sums as registers hold. Workgroup memory holds 16 KB of the right operand, 8
 * where sums take some, too.
 */
function configsAlongK(columns: number, direct: boolean, { subgroupSize: width }: Traits): NarrowAlongK[] {
  const exchange = width >= 4 && width <= 64
  const lanes = exchange ? width : 32
  const all = [
    { rows: 4, most: 8, vec4s: 1 },
    { rows: 4, most: 8, vec4s: 2 },
    { rows: 8, most: 4, vec4s: 1 },
  ]
  const ways = (columns > 8 ? all.slice(0, 1) : all).map(({ rows, most, vec4s }) => {
    const groups = Math.min(most, 256 / lanes)
    return { kernel: 'narrow', along: 'k', lanes, exchange, rows, columns, groups, vec4s } as const
  })
  const steps = (vec4s: number): number => Math.min(8, Math.floor((exchange ? 1024 : 512) / (columns * vec4s * lanes)))
  const staged = ways.map(way => ({ ...way, staged: steps(way.vec4s) })).filter(config => config.staged > 0)
  return direct ? [...ways.slice(0, 2).map(way => ({ ...way, staged: 0 })), ...staged] : staged
}

function alongK(c: NarrowAlongK, layout: Layout): Shader {
  const threads = threadsOf(c)
  return productShader({
    name: name(c),
    layout,
    threads,
    needs: { subgroups: c.exchange },
    declarations: wgsl`
      const LANES = ${c.lanes}u;
      const STEP = ${c.lanes * c.vec4s * 4}u; // elements of K in a step of all lanes
      ${when(c.staged > 0)`
        const STAGED = ${stagedVec4s(c)}u; // vec4s along K of each column
        var<workgroup> rightTile: array<vec4f, ${c.columns * stagedVec4s(c)}>;
      `}
      ${when(!c.exchange)`
        const PITCH = ${threads + 1}u; // one more than threads, so that the threads that add up read different banks
        var<workgroup> shares: array<f32, ${ROUND * (threads + 1)}>;
      `}

      // Not dot(): its four products are a sum of their own, which costs an addition more than adding each to the sum.
      fn added(sum: f32, a: vec4f, b: vec4f) -> f32 {
        return sum + a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
      }
    `,
    // Rows past the edge read the last one instead; their sums are never stored.
    steps: wgsl`
      let lane = local % LANES;
      let row = (tileM * ${c.groups}u + local / LANES) * ${c.rows}u;
      let column = tileN * ${c.columns}u;
      ${each(c.rows, i => `let row${i} = min(row + ${i}u, u.M - 1u);`)}
      ${each(c.rows, i => each(c.columns, j => `var sum${i}_${j} = 0.0;`))}
      ${layout.segments.map(segment => '\n' + scope(sumAlongK(c, segment)))}

      ${c.exchange ? addByExchange(c, layout) : addByMemory(c, layout)}
    `,
  })
}

function sumAlongK(c: NarrowAlongK, segment: SegmentLayout): string {
  const { a, b, begin, end, times } = segment
  const own = (k: string, w: number): string => `${k} + ${w === 0 ? '' : `${w}u * LANES * 4u + `}lane * 4u`
  const nextOf = (w: number): string => each(c.rows, i => `next${i}_${w} = ${vec4AlongK(a, `row${i}`, `at${w}`, end)};`)
  const read = (k: string): string =>
    each(c.vec4s, w => [`let at${w} = ${own(k, w)};`, `if (at${w} < ${end}) ${scope(nextOf(w))}`])
  const names = (line: (name: string) => Part): string => each(c.rows, i => each(c.vec4s, w => line(`${i}_${w}`)))
  const add = (w: number, j: number): string =>
    each(c.rows, i => `sum${i}_${j} = added(sum${i}_${j}, a${i}_${w}, b${w}_${j});`)
  const takeAndPrefetch = wgsl`
    ${names(name => [`let a${name} = next${name};`, `next${name} = vec4f();`])}
    ${read('(k + STEP)')}
  `
  const columnsOf = (w: number): string =>
    each(c.columns, j => [`let b${w}_${j} = ${vec4AlongK(b, `column${j}`, `here${w}`, end)}${times};`, add(w, j)])
  const direct = (w: number): Part => [
    `let here${w} = ${own('k', w)};`,
    `if (here${w} < ${end}) ${scope(columnsOf(w))}`,
  ]
  const staged = (w: number): string =>
    each(c.columns, j => [
      `let b${w}_${j} = rightTile[${j}u * STAGED + staged${w === 0 ? '' : ` + ${w}u * LANES`}];`,
      add(w, j),
    ])
  return wgsl`
    ${names(name => `var next${name} = vec4f();`)}
    ${scope(read(begin))}
    ${when(c.staged === 0)`
      ${each(c.columns, j => `let column${j} = min(column + ${j}u, u.N - 1u);`)}
      for (var k = ${begin}; k < ${end}; k += STEP) {
        ${takeAndPrefetch}
        ${each(c.vec4s, direct)}
      }
    `}
    ${when(c.staged > 0)`
      for (var start = ${begin}; start < ${end}; start += STAGED * 4u) {
        workgroupBarrier();
        ${stageRight(c, segment)}
        workgroupBarrier();
        for (var k = start; k < min(start + STAGED * 4u, ${end}); k += STEP) {
          ${takeAndPrefetch}
          let staged = (k - start) / 4u + lane;
          ${each(c.vec4s, staged)}
        }
      }
    `}
  `
}

/**
 * Copies the right operand's columns from `start` on to workgroup memory, times the segment's scale, and zeros past the
 * end.
 */
function stageRight(c: NarrowAlongK, { b, end, times }: SegmentLayout): string {
  const threads = threadsOf(c)
  if (b.major === 'row' && b.vec4) {
    // Blocks of four columns and four of K are transposed on the way.
    const run = (kk: number): string => load(b, indexOf(b, 'min(column + j, u.N - 4u)', `(at + ${kk}u)`))
    return wgsl`
      for (var place = local; place < ${(c.columns / 4) * stagedVec4s(c)}u; place += ${threads}u) {
        let quad = place / ${c.columns / 4}u;
        let j = place % ${c.columns / 4}u * 4u;
        let at = start + quad * 4u;
        ${each(4, kk => [`var v${kk} = vec4f();`, `if (at + ${kk}u < ${end}) { v${kk} = ${run(kk)}${times}; }`])}
        ${LETTERS.map((letter, q) => `rightTile[(j + ${q}u) * STAGED + quad] = vec4f(${list(4, kk => `v${kk}.${letter}`)});`)}
      }
    `
  }
  // Neighbouring threads read neighbouring memory.
  const [quad, j] =
    b.major === 'k' ? ['place % STAGED', 'place / STAGED'] : [`place / ${c.columns}u`, `place % ${c.columns}u`]
  return wgsl`
    for (var place = local; place < ${c.columns * stagedVec4s(c)}u; place += ${threads}u) {
      let quad = ${quad};
      let j = ${j};
      let at = start + quad * 4u;
      var value = vec4f();
      let source = min(column + j, u.N - 1u);
      if (at < ${end}) { value = ${vec4AlongK(b, 'source', 'at', end)}${times}; }
      rightTile[j * STAGED + quad] = value;
    }
  `
}

const sumNames = ({ rows, columns }: NarrowAlongK): string[] =>
  Array.from({ length: rows * columns }, (_, n) => `sum${Math.floor(n / columns)}_${n % columns}`)

/**
 * Lanes in pairs: one keeps the first half of the sums and gives the other half away, and so on with half the distance.
 */
function addByExchange(c: NarrowAlongK, layout: Layout): string {
  let sums = sumNames(c)
  const outputs = sums.length
  const lines: string[] = []
  for (let distance = c.lanes / 2; distance >= 1; distance /= 2) {
    const half = sums.length / 2
    if (sums.length === 1) {
      lines.push(`let all${distance} = ${sums[0]} + subgroupShuffleXor(${sums[0]}, ${distance}u);`)
      sums = [`all${distance}`]
      continue
    }
    lines.push(`let upper${distance} = (lane & ${distance}u) != 0u;`)
    sums = sums.slice(0, half).map((first, i) => {
      const second = sums[i + half]
      const given = `subgroupShuffleXor(select(${second}, ${first}, upper${distance}), ${distance}u)`
      lines.push(`let by${distance}_${i} = select(${first}, ${second}, upper${distance}) + ${given};`)
      return `by${distance}_${i}`
    })
  }
  const place = (head: string, output: string, value: string): string => wgsl`
    ${head}{
      let output = ${output};
      ${storeOutput(c, layout, value)}
    }
  `
  // The first exchange decided on the highest bit of an output's number, by the highest bit of the lane's.
  const stores =
    outputs >= c.lanes
      ? sums.map((sum, i) => place('', `lane * ${sums.length}u + ${i}u`, sum))
      : place(`if (lane % ${c.lanes / outputs}u == 0u) `, `lane / ${c.lanes / outputs}u`, sums[0])
  return wgsl`
    ${lines}
    ${stores}
  `
}

const storeOutput = ({ columns }: NarrowAlongK, layout: Layout, value: string): string =>
  storeOne(layout, `(row + output / ${columns}u)`, `(column + output % ${columns}u)`, value)

function addByMemory(c: NarrowAlongK, layout: Layout): string {
  return inRounds(
    'f32',
    sumNames(c),
    ROUND,
    wgsl`
    ${each(ROUND, i => `shares[${i}u * PITCH + local] = sums[first + ${i}u];`)}
    workgroupBarrier();
    if (lane < ${ROUND}u) {
      var total = 0.0;
      for (var t = 0u; t < LANES; t++) { total += shares[lane * PITCH + local - lane + t]; }
      let output = first + lane;
      ${storeOutput(c, layout, 'total')}
    }
  `,
  )
}

/** A loop, for CPUs: they take very long to compile many barriers. GPUs unroll it, its bounds being known. */
const inRounds = (type: string, sums: readonly string[], round: number, body: string): string => wgsl`
  var sums = array<${type}, ${sums.length}>(${sums.join(', ')});
  for (var first = 0u; first < ${sums.length}u; first += ${round}u) {
    workgroupBarrier();
    ${body}
  }
`

function alongRows(c: NarrowAlongRows, layout: Layout): Shader {
  const threads = threadsOf(c)
  const round = roundOf(c)
  // Neighbouring threads write neighbouring memory.
  const [m, n] = layout.outTransposed
    ? ['output % (ACROSS * 4u)', 'output / (ACROSS * 4u)']
    : [`output / ${round}u`, `output % ${round}u`]
  return productShader({
    name: name(c),
    layout,
    threads,
    declarations: wgsl`
      const ACROSS = ${ACROSS}u;
      const PARTS = ${c.parts}u;
      var<workgroup> shares: array<vec4f, ${threads * round}>;
    `,
    steps: wgsl`
      let lane = local % ACROSS;
      let part = local / ACROSS;
      let row = (tileM * ACROSS + lane) * 4u;
      let column = tileN * ${c.columns}u;
      ${each(c.columns, j => `var sum${j} = vec4f();`)}
      ${layout.segments.map(segment => '\n' + scope(sumAlone(c, segment)))}

      ${inRounds(
        'vec4f',
        Array.from({ length: c.columns }, (_, j) => `sum${j}`),
        round,
        wgsl`
        ${each(round, j => `shares[(part * ${round}u + ${j}u) * ACROSS + lane] = sums[first + ${j}u];`)}
        workgroupBarrier();
        for (var output = local; output < ACROSS * ${4 * round}u; output += ${threads}u) {
          let m = ${m};
          let n = ${n};
          var total = 0.0;
          for (var p = 0u; p < PARTS; p++) { total += shares[(p * ${round}u + n) * ACROSS + m / 4u][m % 4u]; }
          ${storeOne(layout, '(tileM * ACROSS * 4u + m)', '(column + first + n)', 'total')}
        }
      `,
      )}
    `,
  })
}

/** Parts take `depth` elements of K in turns; the rest that is shorter goes to the part whose turn it is. */
function sumAlone(c: NarrowAlongRows, segment: SegmentLayout): string {
  const { a, b, begin, end } = segment
  const whole = wholeVec4s(segment)
  const byVec4s = ({ major, vec4 }: OperandLayout): boolean => major === 'row' && vec4
  const step = byVec4s(b) ? 4 : 1
  return wgsl`
    ${byVec4s(a) ? `let aRow = ${rowStart(a, 'row')};` : each(4, q => `let aRow${q} = ${rowStart(a, `row + ${q}u`)};`)}
    ${each(c.columns / step, n => `let bColumn${n * step} = ${rowStart(b, `column + ${n * step}u`)};`)}
    var k = ${begin} + part * ${c.depth}u;
    for (; k + ${c.depth}u <= ${end}; k += PARTS * ${c.depth}u) {
      ${stepAlone(c, segment, c.depth)}
    }
    ${when(whole && c.depth > 4)`
      for (; k < ${end}; k += 4u) {
        ${stepAlone(c, segment, 4)}
      }
    `}
    ${when(!whole)`
      for (; k < ${end}; k++) {
        ${stepAlone(c, segment, 1)}
      }
    `}
  `
}

/** `width` elements of K from k on: a multiple of 4, or 1. */
function stepAlone(c: NarrowAlongRows, { a, b, times }: SegmentLayout, width: number): string {
  const at = (kk: number): string => (kk === 0 ? 'k' : `(k + ${kk}u)`)
  /** Of the row that begins at `start`: element kk, or the vec4 that begins there. */
  const loadAt = (operand: OperandLayout, start: string, kk: number): string => {
    const along = operand.major === 'row' ? ` * ${operand.stride}` : operand.vec4 ? ' / 4u' : ''
    return load(operand, `${start} + ${at(kk)}${along}`)
  }
  const left =
    a.major === 'k' && a.vec4
      ? each(width / 4, n => [
          each(4, q => `let rows${4 * n}_${q} = ${loadAt(a, `aRow${q}`, 4 * n)}${times};`),
          LETTERS.map((letter, x) => `let a${4 * n + x} = vec4f(${list(4, q => `rows${4 * n}_${q}.${letter}`)});`),
        ])
      : each(width, kk => {
          const rows = a.vec4 ? loadAt(a, 'aRow', kk) : `vec4f(${list(4, q => loadAt(a, `aRow${q}`, kk))})`
          return `let a${kk} = ${rows}${times};`
        })
  const products =
    b.major === 'k' && b.vec4
      ? each(width / 4, n =>
          each(c.columns, j => [
            `let b${4 * n}_${j} = ${loadAt(b, `bColumn${j}`, 4 * n)};`,
            LETTERS.map((letter, x) => `sum${j} += a${4 * n + x} * b${4 * n}_${j}.${letter};`),
          ]),
        )
      : each(width, kk =>
          each(b.vec4 ? c.columns / 4 : c.columns, n => {
            const j = b.vec4 ? 4 * n : n
            const column = `b${kk}_${j}`
            return [
              `let ${column} = ${loadAt(b, `bColumn${j}`, kk)};`,
              b.vec4
                ? LETTERS.map((letter, x) => `sum${j + x} += a${kk} * ${column}.${letter};`)
                : `sum${j} += a${kk} * ${column};`,
            ]
          }),
        )
  return wgsl`
    ${left}
    ${products}
  `
}
