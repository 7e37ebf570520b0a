// Matmul with a narrow right side (LoRA's rank, a single vector): memory is what it takes, so the long operand is read
// once, by neighbouring lanes side by side, and there are threads enough to keep many reads on their way. Two forms, by
// how the long operand lies:
//   along k     lanes walk along K together, each with a group of four of some rows; a step is multiplied with all columns
//               while the next one is read. In the end the lanes add up what they have: a subgroup by exchanges that halve
//               the sums each time, so that every lane ends with its own outputs, others through workgroup memory. The
//               right operand stands in workgroup memory as groups of four along K, or is read where it lies.
//   along rows  each lane owns four rows and all columns, and walks along K alone: one group of four a step, times columns
//               that all lanes of its part read at one place. Parts of the workgroup take K in turns, and their sums are
//               added through workgroup memory, which saves most of the slices and the traffic of their sums.
// All sums are made in a fixed order.
import { Writer } from '../writer.ts'
import { LETTERS, biasAt, bounds, declare, entryPoint, fourAlongK, load, storeOne, wholeFours } from './text.ts'
import type { Layout, SegmentLayout, TileSize } from './text.ts'

export interface NarrowAlongK {
  readonly kernel: 'narrow'
  readonly along: 'k'
  /** Threads that walk along K together: a subgroup where `exchange`, else any so many. A power of two. */
  readonly lanes: number
  /** Sums are added by subgroup operations. */
  readonly exchange: boolean
  /** Rows of the lanes that walk together. A power of two, 4 or more. */
  readonly rows: number
  /** Columns of the workgroup. A power of two. */
  readonly columns: number
  /** How many times so many lanes and rows a workgroup has. */
  readonly groups: number
  /** Groups of four that a lane takes of each row in one step. */
  readonly fours: number
  /** Steps for which workgroup memory holds the right operand; 0 reads it where it lies. */
  readonly held: number
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

export function narrowName(c: NarrowConfig): string {
  if (c.along === 'rows') return `narrow rows ${ACROSS * 4}x${c.columns} by ${c.parts} depth ${c.depth}`
  const right = c.held === 0 ? 'direct' : `held ${c.held}`
  return `narrow k ${c.exchange ? 'sg' : 'wg'}${c.lanes} ${c.rows}x${c.columns} by ${c.groups} step ${c.fours} ${right}`
}

export function narrowSize(c: NarrowConfig): TileSize {
  return { rows: c.along === 'rows' ? ACROSS * 4 : c.rows * c.groups, columns: c.columns }
}

export function narrowThreads(c: NarrowConfig): number {
  return c.along === 'rows' ? ACROSS * c.parts : c.lanes * c.groups
}

/** Bytes of workgroup memory. */
export function narrowStorage(c: NarrowConfig): number {
  if (c.along === 'rows') return narrowThreads(c) * roundOf(c) * 16
  return c.columns * heldFours(c) * 16 + (c.exchange ? 0 : ROUND * (narrowThreads(c) + 1) * 4)
}

/** The fewest elements of K that are worth a slice of their own. */
export function narrowShortest(c: NarrowConfig): number {
  return c.along === 'rows' ? c.parts * 16 : c.lanes * 8
}

/** The shader of one config and layout; along K, the layout has no groups of four along the left operand's rows. */
export function narrowWgsl(c: NarrowConfig, layout: Layout): string {
  return c.along === 'rows' ? alongRows(c, { ...layout, outVec4: false }) : alongK(c, { ...layout, outVec4: false })
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

/** Groups of four along K of each column that workgroup memory holds. */
function heldFours(c: NarrowAlongK): number {
  return c.held * c.fours * c.lanes
}

function alongK(c: NarrowAlongK, layout: Layout): string {
  const writer = new Writer()
  const threads = narrowThreads(c)
  declare(writer, `matmul ${narrowName(c)}`, layout, { subgroups: c.exchange })
  writer.line(`const LANES = ${c.lanes}u;`, '// Elements of K in a step of all lanes.', `const STEP = ${c.lanes * c.fours * 4}u;`)
  if (c.held > 0) {
    writer.line('// Groups of four along K that are held of each column.', `const HELD = ${heldFours(c)}u;`)
    writer.line(`var<workgroup> rightTile: array<vec4f, ${c.columns * heldFours(c)}>;`)
  }
  // One place more than threads, so that the threads that add up read different banks.
  if (!c.exchange) writer.line(`const PITCH = ${threads + 1}u;`, `var<workgroup> shares: array<f32, ${ROUND * (threads + 1)}>;`)
  writer.line('')
  // Not dot(): its four products are a sum of their own, which costs an addition more than adding each to the sum.
  writer.block('fn added(sum: f32, a: vec4f, b: vec4f) -> f32', () => writer.line('return sum + a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;'))
  writer.line('')
  entryPoint(writer, threads, layout, () => {
    writer.line('let lane = local % LANES;', `let row = (tileM * ${c.groups}u + local / LANES) * ${c.rows}u;`, `let column = tileN * ${c.columns}u;`)
    // Rows past the edge read the last one instead; their sums are never stored.
    for (const i of upTo(c.rows)) writer.line(`let row${i} = min(row + ${i}u, u.M - 1u);`)
    for (const i of upTo(c.rows)) for (const j of upTo(c.columns)) writer.line(`var sum${i}_${j} = 0.0;`)
    layout.segments.forEach((segment, s) => {
      writer.line('')
      writer.block('', () => walkAlongK(writer, c, layout, segment, s))
    })
    writer.line('')
    if (c.exchange) addByExchange(writer, c, layout)
    else addByMemory(writer, c, layout)
  })
  return writer.toString()
}

function walkAlongK(writer: Writer, c: NarrowAlongK, layout: Layout, segment: SegmentLayout, s: number): void {
  const { begin, end } = bounds(layout, s)
  const mine = (k: string, w: number): string => `${k} + ${w === 0 ? '' : `${w}u * LANES * 4u + `}lane * 4u`
  const read = (k: string): void => {
    for (const w of upTo(c.fours)) {
      writer.line(`let at${w} = ${mine(k, w)};`)
      writer.block(`if (at${w} < ${end})`, () => {
        for (const i of upTo(c.rows)) writer.line(`next${i}_${w} = ${fourAlongK('a', s, segment.a, `row${i}`, `at${w}`, end)};`)
      })
    }
  }
  const names = upTo(c.rows).flatMap(i => upTo(c.fours).map(w => `${i}_${w}`))
  const columns = upTo(c.columns)
  const add = (w: number, j: number): void => {
    for (const i of upTo(c.rows)) writer.line(`sum${i}_${j} = added(sum${i}_${j}, a${i}_${w}, b${w}_${j});`)
  }
  const takeAndReadAhead = (): void => {
    for (const name of names) writer.line(`let a${name} = next${name};`, `next${name} = vec4f();`)
    read('(k + STEP)')
  }
  for (const name of names) writer.line(`var next${name} = vec4f();`)
  writer.block('', () => read(begin))
  if (c.held === 0) {
    for (const j of columns) writer.line(`let column${j} = min(column + ${j}u, u.N - 1u);`)
    writer.block(`for (var k = ${begin}; k < ${end}; k += STEP)`, () => {
      takeAndReadAhead()
      for (const w of upTo(c.fours)) {
        writer.line(`let here${w} = ${mine('k', w)};`)
        writer.block(`if (here${w} < ${end})`, () => {
          for (const j of columns) {
            writer.line(`let b${w}_${j} = ${fourAlongK('b', s, segment.b, `column${j}`, `here${w}`, end)}${segment.scaled ? ` * u.scale${s}` : ''};`)
            add(w, j)
          }
        })
      }
    })
    return
  }
  writer.block(`for (var start = ${begin}; start < ${end}; start += HELD * 4u)`, () => {
    writer.line('workgroupBarrier();')
    holdRight(writer, c, segment, s, end)
    writer.line('workgroupBarrier();')
    writer.block(`for (var k = start; k < min(start + HELD * 4u, ${end}); k += STEP)`, () => {
      takeAndReadAhead()
      writer.line('let held = (k - start) / 4u + lane;')
      for (const w of upTo(c.fours)) {
        for (const j of columns) {
          writer.line(`let b${w}_${j} = rightTile[${j}u * HELD + held${w === 0 ? '' : ` + ${w}u * LANES`}];`)
          add(w, j)
        }
      }
    })
  })
}

/** Copies the right operand's columns from `start` on to workgroup memory, times the segment's scale, and zeros past the end. */
function holdRight(writer: Writer, c: NarrowAlongK, { b, scaled }: SegmentLayout, s: number, end: string): void {
  const threads = narrowThreads(c)
  const times = scaled ? ` * u.scale${s}` : ''
  const each = (count: number, body: () => void): void => {
    writer.block(`for (var place = local; place < ${count}u; place += ${threads}u)`, body)
  }
  if (b.major === 'row' && b.vec4) {
    // Blocks of four columns and four of K are turned round on the way.
    each(c.columns / 4 * heldFours(c), () => {
      writer.line(`let four = place / ${c.columns / 4}u;`, `let j = place % ${c.columns / 4}u * 4u;`, 'let at = start + four * 4u;')
      for (let kk = 0; kk < 4; kk++) {
        writer.line(`var v${kk} = vec4f();`)
        const index = `bStart${s} + (at + ${kk}u) * u.b${s}Stride + min(column + j, u.N - 4u) / 4u`
        writer.line(`if (at + ${kk}u < ${end}) { v${kk} = ${load('b', s, b, index)}${times}; }`)
      }
      LETTERS.forEach((letter, q) => writer.line(`rightTile[(j + ${q}u) * HELD + four] = vec4f(v0.${letter}, v1.${letter}, v2.${letter}, v3.${letter});`))
    })
    return
  }
  each(c.columns * heldFours(c), () => {
    // Neighbouring threads read what are neighbours in memory.
    if (b.major === 'k') writer.line('let four = place % HELD;', 'let j = place / HELD;')
    else writer.line(`let four = place / ${c.columns}u;`, `let j = place % ${c.columns}u;`)
    writer.line('let at = start + four * 4u;', 'var value = vec4f();')
    writer.line('let source = min(column + j, u.N - 1u);')
    writer.line(`if (at < ${end}) { value = ${fourAlongK('b', s, b, 'source', 'at', end)}${times}; }`)
    writer.line('rightTile[j * HELD + four] = value;')
  })
}

/** Lanes in pairs: one keeps the first half of the sums and gives the other half away, and so on with half the distance. */
function addByExchange(writer: Writer, c: NarrowAlongK, layout: Layout): void {
  let sums = upTo(c.rows).flatMap(i => upTo(c.columns).map(j => `sum${i}_${j}`))
  const outputs = sums.length
  for (let distance = c.lanes / 2; distance >= 1; distance /= 2) {
    const half = sums.length / 2
    if (sums.length === 1) {
      writer.line(`let all${distance} = ${sums[0]} + subgroupShuffleXor(${sums[0]}, ${distance}u);`)
      sums = [`all${distance}`]
      continue
    }
    writer.line(`let upper${distance} = (lane & ${distance}u) != 0u;`)
    sums = upTo(half).map(i => {
      const [first, second] = [sums[i], sums[i + half]]
      const given = `subgroupShuffleXor(select(${second}, ${first}, upper${distance}), ${distance}u)`
      writer.line(`let by${distance}_${i} = select(${first}, ${second}, upper${distance}) + ${given};`)
      return `by${distance}_${i}`
    })
  }
  const place = (output: string, value: string): void => {
    writer.block('', () => {
      writer.line(`let output = ${output};`)
      storeOutput(writer, layout, `(row + output / ${c.columns}u)`, `(column + output % ${c.columns}u)`, value)
    })
  }
  // The first exchange decided on the highest bit of an output's number, by the highest bit of the lane's.
  if (outputs >= c.lanes) sums.forEach((sum, i) => place(`lane * ${sums.length}u + ${i}u`, sum))
  else writer.block(`if (lane % ${c.lanes / outputs}u == 0u)`, () => place(`lane / ${c.lanes / outputs}u`, sums[0]))
}

function addByMemory(writer: Writer, c: NarrowAlongK, layout: Layout): void {
  const sums = upTo(c.rows).flatMap(i => upTo(c.columns).map(j => `sum${i}_${j}`))
  inRounds(writer, 'f32', sums, ROUND, () => {
    for (const i of upTo(ROUND)) writer.line(`shares[${i}u * PITCH + local] = sums[first + ${i}u];`)
    writer.line('workgroupBarrier();')
    writer.block(`if (lane < ${ROUND}u)`, () => {
      writer.line('var total = 0.0;')
      writer.line('for (var t = 0u; t < LANES; t++) { total += shares[lane * PITCH + local - lane + t]; }')
      writer.line('let output = first + lane;')
      storeOutput(writer, layout, `(row + output / ${c.columns}u)`, `(column + output % ${c.columns}u)`, 'total')
    })
  })
}

/** A loop, for CPUs: they take very long to compile many barriers. GPUs unroll it, its bounds being known. */
function inRounds(writer: Writer, type: string, sums: readonly string[], round: number, body: () => void): void {
  writer.line(`var sums = array<${type}, ${sums.length}>(${sums.join(', ')});`)
  writer.block(`for (var first = 0u; first < ${sums.length}u; first += ${round}u)`, () => {
    writer.line('workgroupBarrier();')
    body()
  })
}

/** Stores a sum, with the bias where there is one. */
function storeOutput(writer: Writer, layout: Layout, row: string, column: string, sum: string): void {
  storeOne(writer, layout, row, column, layout.bias ? `${sum} + ${biasAt(layout, layout.bias, column)}` : sum)
}

/** Columns of which the parts add up their sums at once. */
function roundOf(c: NarrowAlongRows): number {
  return Math.min(ROUND, c.columns)
}

function alongRows(c: NarrowAlongRows, layout: Layout): string {
  const writer = new Writer()
  const threads = narrowThreads(c)
  const round = roundOf(c)
  declare(writer, `matmul ${narrowName(c)}`, layout)
  writer.line(`const ACROSS = ${ACROSS}u;`, `const PARTS = ${c.parts}u;`, `var<workgroup> shares: array<vec4f, ${threads * round}>;`, '')
  entryPoint(writer, threads, layout, () => {
    writer.line('let lane = local % ACROSS;', 'let part = local / ACROSS;')
    writer.line('let row = (tileM * ACROSS + lane) * 4u;', `let column = tileN * ${c.columns}u;`)
    for (const j of upTo(c.columns)) writer.line(`var sum${j} = vec4f();`)
    layout.segments.forEach((segment, s) => {
      writer.line('')
      writer.block('', () => walkAlone(writer, c, layout, segment, s))
    })
    writer.line('')
    // Neighbouring threads store what are neighbours in memory.
    const [m, n] = layout.outTransposed ? ['output % (ACROSS * 4u)', 'output / (ACROSS * 4u)'] : [`output / ${round}u`, `output % ${round}u`]
    inRounds(writer, 'vec4f', upTo(c.columns).map(j => `sum${j}`), round, () => {
      for (const j of upTo(round)) writer.line(`shares[(part * ${round}u + ${j}u) * ACROSS + lane] = sums[first + ${j}u];`)
      writer.line('workgroupBarrier();')
      writer.block(`for (var output = local; output < ACROSS * ${4 * round}u; output += ${threads}u)`, () => {
        writer.line(`let m = ${m};`, `let n = ${n};`, 'var total = 0.0;')
        writer.line(`for (var p = 0u; p < PARTS; p++) { total += shares[(p * ${round}u + n) * ACROSS + m / 4u][m % 4u]; }`)
        storeOutput(writer, layout, '(tileM * ACROSS * 4u + m)', '(column + first + n)', 'total')
      })
    })
  })
  return writer.toString()
}

/** Parts take `depth` elements of K in turns; the rest that is shorter goes to the part whose turn it is. */
function walkAlone(writer: Writer, c: NarrowAlongRows, layout: Layout, segment: SegmentLayout, s: number): void {
  const { begin, end } = bounds(layout, s)
  const { a, b } = segment
  if (a.major === 'row' && a.vec4) writer.line(`let aRow = aStart${s} + min(row, u.M - 4u) / 4u;`)
  else for (const q of upTo(4)) writer.line(`let aRow${q} = aStart${s} + min(row + ${q}u, u.M - 1u)${a.major === 'k' ? ` * u.a${s}Stride` : ''};`)
  if (b.major === 'row' && b.vec4) for (let j = 0; j < c.columns; j += 4) writer.line(`let bColumn${j} = bStart${s} + min(column + ${j}u, u.N - 4u) / 4u;`)
  else for (const j of upTo(c.columns)) writer.line(`let bColumn${j} = bStart${s} + min(column + ${j}u, u.N - 1u)${b.major === 'k' ? ` * u.b${s}Stride` : ''};`)
  writer.line(`var k = ${begin} + part * ${c.depth}u;`)
  writer.block(`for (; k + ${c.depth}u <= ${end}; k += PARTS * ${c.depth}u)`, () => stepAlone(writer, c, segment, s, c.depth))
  if (wholeFours(segment)) {
    if (c.depth > 4) writer.block(`for (; k < ${end}; k += 4u)`, () => stepAlone(writer, c, segment, s, 4))
  } else writer.block(`for (; k < ${end}; k++)`, () => stepAlone(writer, c, segment, s, 1))
}

/** `width` elements of K from k on: a multiple of 4, or 1. */
function stepAlone(writer: Writer, c: NarrowAlongRows, { a, b, scaled }: SegmentLayout, s: number, width: number): void {
  const ks = upTo(width)
  const times = scaled ? ` * u.scale${s}` : ''
  const at = (kk: number): string => (kk === 0 ? 'k' : `(k + ${kk}u)`)
  if (a.major === 'k' && a.vec4) {
    for (let kk = 0; kk < width; kk += 4) {
      for (const q of upTo(4)) writer.line(`let rows${kk}_${q} = ${load('a', s, a, `aRow${q} + ${at(kk)} / 4u`)}${times};`)
      LETTERS.forEach((letter, x) => writer.line(`let a${kk + x} = vec4f(${upTo(4).map(q => `rows${kk}_${q}.${letter}`).join(', ')});`))
    }
  } else {
    for (const kk of ks) {
      const elements = upTo(4).map(q => load('a', s, a, a.major === 'k' ? `aRow${q} + ${at(kk)}` : `aRow${q} + ${at(kk)} * u.a${s}Stride`))
      const four = a.vec4 ? load('a', s, a, `aRow + ${at(kk)} * u.a${s}Stride`) : `vec4f(${elements.join(', ')})`
      writer.line(`let a${kk} = ${four}${times};`)
    }
  }
  if (b.major === 'k' && b.vec4) {
    for (let kk = 0; kk < width; kk += 4) {
      for (const j of upTo(c.columns)) {
        writer.line(`let b${kk}_${j} = ${load('b', s, b, `bColumn${j} + ${at(kk)} / 4u`)};`)
        LETTERS.forEach((letter, x) => writer.line(`sum${j} += a${kk + x} * b${kk}_${j}.${letter};`))
      }
    }
    return
  }
  for (const kk of ks) {
    for (let j = 0; j < c.columns; j += b.vec4 ? 4 : 1) {
      const index = b.major === 'k' ? `bColumn${j} + ${at(kk)}` : `bColumn${j} + ${at(kk)} * u.b${s}Stride`
      writer.line(`let b${kk}_${j} = ${load('b', s, b, index)};`)
      if (b.vec4) LETTERS.forEach((letter, x) => writer.line(`sum${j + x} += a${kk} * b${kk}_${j}.${letter};`))
      else writer.line(`sum${j} += a${kk} * b${kk}_${j};`)
    }
  }
}
