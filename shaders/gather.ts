// Rows of a table by their ids (embeddings), and the gradient of the table: sums of the rows that shared an id.
//
// The gradient adds no floats by atomics and multiplies by no one-hot matrix. It sorts the positions by id (a counting
// sort that keeps equal ids in their order, so every run adds in the same order), sums whole chunks of the sorted list
// that belong to one id, then lets every row of the table add its few chunks and what is left at both ends. So an id
// that fills the batch costs as little as many rare ones, and rows that no id names are cleared by the same launch.
import {
  type DType, type Launch, type Lowering, type Slot, type Traits, input, output, spread, temporary, uniformWords,
} from './kernel.ts'
import { vectorOf, vectorType } from './rows.ts'

/** `positions` ids into a table of `rows` rows of `width` elements; `dtype` is the table's, in the gradient dy's. */
export interface GatherProblem {
  readonly positions: number
  readonly rows: number
  readonly width: number
  readonly dtype: DType
}

export interface GatherConfig {
  readonly dtype: DType
  readonly vector: 1 | 2 | 4
  readonly workgroup: number
  /** Vectors of one row that a workgroup covers: a power of two. The rest of its invocations take further rows. */
  readonly columns: number
}

/** Configs worth trying, best guess first. */
export function gatherCandidates({ width, dtype }: GatherProblem, traits: Traits): GatherConfig[] {
  const config = (vector: 1 | 2 | 4, workgroup: number): GatherConfig => {
    const columns = Math.min(64, workgroup, 2 ** Math.ceil(Math.log2(width / vector)))
    return { dtype, vector, workgroup, columns }
  }
  const sizes = [64, 256].filter(n => n <= traits.maxWorkgroupInvocations)
  const wide = sizes.map(workgroup => config(vectorOf(width), workgroup))
  return width % 2 === 0 ? [...wide, config(1, sizes[0])] : wide
}

/** `main` over the vectors of a matrix: `row` and `column` are a vector's place, `i` its number. A grid of rows and
 *  columns, so that nothing is divided by a number that the compiler does not know. */
function eachElement({ workgroup, columns }: GatherConfig, body: string): string {
  const rows = workgroup / columns
  return `const COLUMNS = ${columns}u; // in a workgroup
const ROWS = ${rows}u;

@compute @workgroup_size(${workgroup})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let row = (group.y + group.z * groups.y)${rows === 1 ? '' : ' * ROWS + local / COLUMNS'};
  let column = group.x * COLUMNS + local % COLUMNS;
  if (column >= sizes.vectors) {
    return;
  }
  let i = row * sizes.vectors + column;
${body.trim().split('\n').map(line => (line ? `  ${line}` : line)).join('\n')}
}
`
}

/** Workgroup counts of such a `main`. */
function gridOf(rows: number, vectors: number, config: GatherConfig, traits: Traits): [number, number, number] {
  const { workgroup, columns } = config
  const [y, z] = spread(Math.ceil(rows / (workgroup / columns)), traits.maxWorkgroups)
  return [Math.ceil(vectors / columns), y, z]
}

const enableHalf = (dtype: DType) => (dtype === 'f16' ? 'enable f16;\n' : '')

/** Bindings: table, ids, result [positions, width]. An id outside the table gives zeros. */
export function gatherWgsl(config: GatherConfig): string {
  const { dtype, vector, workgroup } = config
  const stored = vectorType(dtype, vector)
  return `// gather ${dtype}: an invocation a vec${vector}, ${workgroup} a workgroup
${enableHalf(dtype)}
struct Sizes {
  positions: u32,
  rows: u32, // of the table
  vectors: u32, // in a row
}
@group(0) @binding(0) var<storage, read> table: array<${stored}>;
@group(0) @binding(1) var<storage, read> ids: array<i32>;
@group(0) @binding(2) var<storage, read_write> result: array<${stored}>;
@group(0) @binding(3) var<uniform> sizes: Sizes;

${eachElement(config, `
if (row >= sizes.positions) {
  return;
}
let id = u32(ids[row]); // a negative one becomes too large
var value = ${stored}();
if (id < sizes.rows) {
  value = table[id * sizes.vectors + column];
}
result[i] = value;`)}`
}

export function gatherLaunch(problem: GatherProblem, config: GatherConfig, traits: Traits): Launch {
  const { positions, rows, width, dtype } = problem
  const vectors = width / config.vector
  return {
    label: `gather ${dtype} vec${config.vector}, ${config.workgroup} a workgroup`,
    wgsl: gatherWgsl(config),
    slots: [input(0), input(1), output(0)],
    writes: [2],
    uniforms: uniformWords([positions, rows, vectors]),
    workgroups: gridOf(positions, vectors, config, traits),
  }
}

export interface GatherGradientConfig extends GatherConfig {
  /** Positions that are ranked together, by as many invocations; the sort walks the list in such blocks. */
  readonly block: number
}

/** Configs worth trying, best guess first: ranking costs positions·block comparisons, sorting positions/block steps. */
export function gatherGradientCandidates(problem: GatherProblem, traits: Traits): GatherGradientConfig[] {
  const blocks = (traits.cpu ? [64, 128] : [256, 128]).filter(n => n <= traits.maxWorkgroupInvocations)
  const sums = gatherCandidates(problem, traits)
  return [...blocks.map(block => ({ ...sums[0], block })), ...sums.slice(1).map(sum => ({ ...sum, block: blocks[0] }))]
}

const CLEAR_WORKGROUP = 64

const clearWgsl = `// gatherGradient: no id counted yet
struct Sizes {
  rows: u32,
}
@group(0) @binding(0) var<storage, read_write> counts: array<u32>;
@group(0) @binding(1) var<uniform> sizes: Sizes;

@compute @workgroup_size(${CLEAR_WORKGROUP})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let row = (group.x + group.y * groups.x) * ${CLEAR_WORKGROUP}u + local;
  if (row < sizes.rows) {
    counts[row] = 0u;
  }
}
`

const rankConstants = `const SKIPPED = 0xffffffffu; // the rank of a position whose id is outside the table
const LAST = 0x80000000u; // marks the last position of its id in its block`

/** Each position's rank among those of its id in its block, and how often each id is there. Integer additions may
 *  come in any order: the counts are the same. */
function rankWgsl(block: number): string {
  return `// gatherGradient: ranks within blocks of ${block} positions
struct Sizes {
  positions: u32,
  rows: u32,
}
@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read_write> ranks: array<u32>;
@group(0) @binding(2) var<storage, read_write> counts: array<atomic<u32>>;
@group(0) @binding(3) var<uniform> sizes: Sizes;

const BLOCK = ${block}u;
${rankConstants}

@compute @workgroup_size(BLOCK)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let begin = (group.x + group.y * groups.x) * BLOCK;
  let position = begin + local;
  if (position >= sizes.positions) {
    return;
  }
  let id = ids[position];
  if (u32(id) >= sizes.rows) {
    ranks[position] = SKIPPED;
    return;
  }
  var rank = 0u;
  var all = 0u;
  let end = min(begin + BLOCK, sizes.positions);
  for (var other = begin; other < end; other++) {
    let same = select(0u, 1u, ids[other] == id);
    all += same;
    rank += select(0u, same, other < position);
  }
  if (rank + 1u == all) {
    ranks[position] = rank | LAST;
    atomicAdd(&counts[u32(id)], all);
  } else {
    ranks[position] = rank;
  }
}
`
}

/** One workgroup: counts become the row's first place in the sorted list, then block by block the positions take
 *  their places, and in the end `places[row]` is where the row's run ends. */
function placeWgsl(block: number): string {
  return `// gatherGradient: positions sorted by id, blocks of ${block}
struct Sizes {
  positions: u32,
  rows: u32,
}
@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read> ranks: array<u32>;
@group(0) @binding(2) var<storage, read_write> places: array<u32>;
@group(0) @binding(3) var<storage, read_write> order: array<u32>;
@group(0) @binding(4) var<uniform> sizes: Sizes;

const BLOCK = ${block}u;
${rankConstants}

var<workgroup> strips: array<u32, BLOCK>;

@compute @workgroup_size(BLOCK)
fn main(@builtin(local_invocation_index) local: u32) {
  let strip = (sizes.rows + BLOCK - 1u) / BLOCK;
  let begin = min(local * strip, sizes.rows);
  let end = min(begin + strip, sizes.rows);
  var counted = 0u;
  for (var row = begin; row < end; row++) {
    counted += places[row];
  }
  strips[local] = counted;
  workgroupBarrier();
  var place = 0u;
  for (var k = 0u; k < local; k++) {
    place += strips[k];
  }
  for (var row = begin; row < end; row++) {
    let count = places[row];
    places[row] = place;
    place += count;
  }
  storageBarrier();

  for (var first = 0u; first < sizes.positions; first += BLOCK) {
    let position = first + local;
    var rank = SKIPPED;
    if (position < sizes.positions) {
      rank = ranks[position];
    }
    var id = 0u;
    var slot = 0u;
    if (rank != SKIPPED) {
      id = u32(ids[position]);
      slot = places[id] + (rank & ~LAST);
      order[slot] = position;
    }
    storageBarrier(); // all have read the places of their ids
    if (rank != SKIPPED && (rank & LAST) != 0u) {
      places[id] = slot + 1u;
    }
    storageBarrier();
  }
}
`
}

/** Sums of those chunks of the sorted list that belong to one id; the other chunks are left alone. */
function chunkWgsl(config: GatherGradientConfig): string {
  const { dtype, vector, workgroup } = config
  const floats = vectorType('f32', vector)
  return `// gatherGradient ${dtype}: sums of whole chunks, an invocation a vec${vector}, ${workgroup} a workgroup
${enableHalf(dtype)}
struct Sizes {
  chunks: u32,
  chunk: u32, // places in a chunk
  rows: u32, // of the table
  vectors: u32, // in a row
}
@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read> ends: array<u32>;
@group(0) @binding(3) var<storage, read> dy: array<${vectorType(dtype, vector)}>;
@group(0) @binding(4) var<storage, read_write> sums: array<${floats}>;
@group(0) @binding(5) var<uniform> sizes: Sizes;

${eachElement(config, `
let begin = row * sizes.chunk;
let end = begin + sizes.chunk;
// Positions that were skipped leave the end of the list unwritten.
if (row >= sizes.chunks || end > ends[sizes.rows - 1u]) {
  return;
}
if (ids[order[begin]] != ids[order[end - 1u]]) {
  return;
}
var sum = ${floats}(0.0);
for (var place = begin; place < end; place++) {
  sum += ${floats}(dy[order[place] * sizes.vectors + column]);
}
sums[i] = sum;`)}`
}

/** Every row of the table: its chunks' sums and the places before and after them, in the order of the list. */
function tableWgsl(config: GatherGradientConfig): string {
  const { dtype, vector, workgroup } = config
  const floats = vectorType('f32', vector)
  return `// gatherGradient ${dtype}: rows of the table, an invocation a vec${vector}, ${workgroup} a workgroup
${enableHalf(dtype)}
struct Sizes {
  chunk: u32, // places in a chunk
  rows: u32, // of the table
  vectors: u32, // in a row
}
@group(0) @binding(0) var<storage, read> order: array<u32>;
@group(0) @binding(1) var<storage, read> ends: array<u32>;
@group(0) @binding(2) var<storage, read> dy: array<${vectorType(dtype, vector)}>;
@group(0) @binding(3) var<storage, read> sums: array<${floats}>;
@group(0) @binding(4) var<storage, read_write> dtable: array<${floats}>;
@group(0) @binding(5) var<uniform> sizes: Sizes;

${eachElement(config, `
if (row >= sizes.rows) {
  return;
}
var place = 0u;
if (row > 0u) {
  place = ends[row - 1u];
}
let end = ends[row];
var sum = ${floats}(0.0);
while (place < end) {
  if (place % sizes.chunk == 0u && place + sizes.chunk <= end) {
    sum += sums[place / sizes.chunk * sizes.vectors + column];
    place += sizes.chunk;
  } else {
    sum += ${floats}(dy[order[place] * sizes.vectors + column]);
    place++;
  }
}
dtable[i] = sum;`)}`
}

/** Inputs: ids, dy [positions, width]. Output: the table's gradient [rows, width], f32. */
export function gatherGradientLowering(problem: GatherProblem, config: GatherGradientConfig, traits: Traits): Lowering {
  const { positions, rows, width, dtype } = problem
  const { block, vector, workgroup } = config
  const vectors = width / vector
  // Near the square root, so that no row adds many more chunks than a chunk has places.
  const chunk = Math.max(16, 2 ** Math.round(Math.log2(positions) / 2))
  const chunks = Math.floor(positions / chunk)
  const [ids, dy] = [input(0), input(1)]
  const [counts, ranks, order, sums] = [temporary(0), temporary(1), temporary(2), temporary(3)]
  const step = (
    what: string, wgsl: string, slots: Slot[], written: Slot[], words: number[], workgroups: Launch['workgroups'],
  ): Launch => ({
    label: `gatherGradient ${what}`,
    wgsl,
    slots,
    writes: written.map(slot => slots.indexOf(slot)),
    uniforms: uniformWords(words),
    workgroups,
  })
  const line = (count: number, size: number) => spread(Math.ceil(count / size), traits.maxWorkgroups)
  const how = `${dtype} vec${vector}, ${workgroup} a workgroup`
  const dtable = output(0)
  return {
    temporaries: [
      { shape: [rows], dtype: 'u32' },
      { shape: [positions], dtype: 'u32' },
      { shape: [positions], dtype: 'u32' },
      { shape: [Math.max(chunks, 1), width], dtype: 'f32' },
    ],
    launches: [
      step('clear', clearWgsl, [counts], [counts], [rows], line(rows, CLEAR_WORKGROUP)),
      step(`rank, blocks of ${block}`, rankWgsl(block), [ids, ranks, counts], [ranks, counts],
        [positions, rows], line(positions, block)),
      step(`place, blocks of ${block}`, placeWgsl(block), [ids, ranks, counts, order], [counts, order],
        [positions, rows], [1, 1, 1]),
      ...(chunks > 0
        ? [step(`chunks of ${chunk}, ${how}`, chunkWgsl(config), [ids, order, counts, dy, sums], [sums],
          [chunks, chunk, rows, vectors], gridOf(chunks, vectors, config, traits))]
        : []),
      step(`table ${how}`, tableWgsl(config), [order, counts, dy, sums, dtable], [dtable],
        [chunk, rows, vectors], gridOf(rows, vectors, config, traits)),
    ],
  }
}
