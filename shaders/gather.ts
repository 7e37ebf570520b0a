// Rows of a table by their ids (embeddings), and the gradient of the table: sums of the rows that shared an id.
//
// The gradient adds no floats by atomics and multiplies by no one-hot matrix. It sorts the positions by id (a counting
// sort that keeps equal ids in their order, so every run adds in the same order), sums whole chunks of the sorted list
// that belong to one id, then lets every row of the table add its few chunks and what is left at both ends. So an id
// that fills the batch costs as little as many rare ones, and rows that no id names are cleared by the same launch.
import {
  type DType,
  type Launch,
  type Lowering,
  type Slot,
  type Traits,
  input,
  output,
  spread,
  temporary,
} from './kernel.ts'
import { vectorOf } from './rows.ts'
import { MAIN, Shader, type Width, typeName, wgsl, written } from './wgsl.ts'

/** `positions` ids into a table of `rows` rows of `width` elements; `dtype` is the table's, in the gradient dy's. */
export interface GatherProblem {
  readonly positions: number
  readonly rows: number
  readonly width: number
  readonly dtype: DType
}

export interface GatherConfig {
  readonly dtype: DType
  readonly vector: Width
  readonly workgroup: number
  /** Vectors of one row that a workgroup covers: a power of two. The rest of its invocations take further rows. */
  readonly columns: number
}

/** Configs worth trying, best guess first. */
export function gatherCandidates({ width, dtype }: GatherProblem, traits: Traits): GatherConfig[] {
  const config = (vector: Width, workgroup: number): GatherConfig => {
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
  return wgsl`
    const COLUMNS = ${columns}u; // in a workgroup
    const ROWS = ${rows}u;

    @compute @workgroup_size(${workgroup})
    fn main(${MAIN}) {
      let row = (group.y + group.z * groups.y)${rows > 1 && ' * ROWS + local / COLUMNS'};
      let column = group.x * COLUMNS + local % COLUMNS;
      if (column >= u.vectors) {
        return;
      }
      let i = row * u.vectors + column;
      ${body}
    }
  `
}

/** Workgroup counts of such a `main`. */
function gridOf(rows: number, vectors: number, config: GatherConfig, traits: Traits): [number, number, number] {
  const { workgroup, columns } = config
  const [y, z] = spread(Math.ceil(rows / (workgroup / columns)), traits.maxWorkgroups)
  return [Math.ceil(vectors / columns), y, z]
}

/** An id outside the table gives zeros. */
function gatherShader(config: GatherConfig): Shader {
  const { dtype, vector, workgroup } = config
  const type = typeName(dtype, vector)
  return new Shader({
    title: `gather ${dtype}: one invocation per vec${vector}, ${workgroup} per workgroup`,
    bindings: { table: type, ids: 'i32', result: written(type) },
    // `rows` of the table; `vectors` per row.
    uniforms: { positions: 'u32', rows: 'u32', vectors: 'u32' },
    code: eachElement(
      config,
      wgsl`
      if (row >= u.positions) {
        return;
      }
      let id = u32(ids[row]); // a negative one becomes too large
      var value = ${type}();
      if (id < u.rows) {
        value = table[id * u.vectors + column];
      }
      result[i] = value;
    `,
    ),
  })
}

export function gatherLaunch({ positions, rows, width }: GatherProblem, config: GatherConfig, traits: Traits): Launch {
  const { dtype, vector, workgroup } = config
  const vectors = width / vector
  return gatherShader(config).launch({
    label: `gather ${dtype} vec${vector}, ${workgroup} per workgroup`,
    slots: { table: input(0), ids: input(1), result: output(0) },
    uniforms: { positions, rows, vectors },
    workgroups: gridOf(positions, vectors, config, traits),
  })
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

const clearShader = new Shader({
  title: 'gatherGradient: no id counted yet',
  bindings: { counts: written('u32') },
  uniforms: { rows: 'u32' },
  code: wgsl`
    const WORKGROUP = ${CLEAR_WORKGROUP}u;

    @compute @workgroup_size(WORKGROUP)
    fn main(${MAIN}) {
      let row = (group.x + group.y * groups.x) * WORKGROUP + local;
      if (row < u.rows) {
        counts[row] = 0u;
      }
    }
  `,
})

const rankConstants = (block: number): string => wgsl`
  const BLOCK = ${block}u;
  const SKIPPED = 0xffffffffu; // the rank of a position whose id is outside the table
  const LAST = 0x80000000u; // marks the last position of its id in its block
`

/** Each position's rank among those of its id in its block, and how often each id is there. Integer additions may
 *  come in any order: the counts are the same. */
const rankShader = (block: number): Shader =>
  new Shader({
    title: `gatherGradient: ranks within blocks of ${block} positions`,
    bindings: { ids: 'i32', ranks: written('u32'), counts: written('atomic<u32>') },
    uniforms: { positions: 'u32', rows: 'u32' },
    code: wgsl`
    ${rankConstants(block)}

    @compute @workgroup_size(BLOCK)
    fn main(${MAIN}) {
      let begin = (group.x + group.y * groups.x) * BLOCK;
      let position = begin + local;
      if (position >= u.positions) {
        return;
      }
      let id = ids[position];
      if (u32(id) >= u.rows) {
        ranks[position] = SKIPPED;
        return;
      }
      var rank = 0u;
      var all = 0u;
      let end = min(begin + BLOCK, u.positions);
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
  `,
  })

/** One workgroup: counts become the row's first place in the sorted list, then block by block the positions take
 *  their places, and in the end `places[row]` is where the row's run ends. */
const placeShader = (block: number): Shader =>
  new Shader({
    title: `gatherGradient: positions sorted by id, blocks of ${block}`,
    bindings: { ids: 'i32', ranks: 'u32', places: written('u32'), order: written('u32') },
    uniforms: { positions: 'u32', rows: 'u32' },
    code: wgsl`
    ${rankConstants(block)}

    var<workgroup> shareCounts: array<u32, BLOCK>;

    @compute @workgroup_size(BLOCK)
    fn main(@builtin(local_invocation_index) local: u32) {
      let share = (u.rows + BLOCK - 1u) / BLOCK;
      let begin = min(local * share, u.rows);
      let end = min(begin + share, u.rows);
      var counted = 0u;
      for (var row = begin; row < end; row++) {
        counted += places[row];
      }
      shareCounts[local] = counted;
      workgroupBarrier();
      var place = 0u;
      for (var k = 0u; k < local; k++) {
        place += shareCounts[k];
      }
      for (var row = begin; row < end; row++) {
        let count = places[row];
        places[row] = place;
        place += count;
      }
      storageBarrier();

      for (var first = 0u; first < u.positions; first += BLOCK) {
        let position = first + local;
        var rank = SKIPPED;
        if (position < u.positions) {
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
  `,
  })

/** Sums of those chunks of the sorted list that belong to one id; the other chunks are left alone. */
function chunkShader(config: GatherGradientConfig): Shader {
  const { dtype, vector, workgroup } = config
  const floats = typeName('f32', vector)
  return new Shader({
    title: `gatherGradient ${dtype}: sums of whole chunks, one invocation per vec${vector}, ${workgroup} per workgroup`,
    bindings: { ids: 'i32', order: 'u32', ends: 'u32', dy: typeName(dtype, vector), sums: written(floats) },
    // `chunk`: places per chunk; `rows` of the table; `vectors` per row.
    uniforms: { chunks: 'u32', chunk: 'u32', rows: 'u32', vectors: 'u32' },
    code: eachElement(
      config,
      wgsl`
      let begin = row * u.chunk;
      let end = begin + u.chunk;
      // Positions that were skipped leave the end of the list unwritten.
      if (row >= u.chunks || end > ends[u.rows - 1u]) {
        return;
      }
      if (ids[order[begin]] != ids[order[end - 1u]]) {
        return;
      }
      var sum = ${floats}(0.0);
      for (var place = begin; place < end; place++) {
        sum += ${floats}(dy[order[place] * u.vectors + column]);
      }
      sums[i] = sum;
    `,
    ),
  })
}

/** Every row of the table: its chunks' sums and the places before and after them, in the order of the list. */
function tableShader(config: GatherGradientConfig): Shader {
  const { dtype, vector, workgroup } = config
  const floats = typeName('f32', vector)
  return new Shader({
    title: `gatherGradient ${dtype}: rows of the table, one invocation per vec${vector}, ${workgroup} per workgroup`,
    bindings: { order: 'u32', ends: 'u32', dy: typeName(dtype, vector), sums: floats, dtable: written(floats) },
    uniforms: { chunk: 'u32', rows: 'u32', vectors: 'u32' },
    code: eachElement(
      config,
      wgsl`
      if (row >= u.rows) {
        return;
      }
      var place = 0u;
      if (row > 0u) {
        place = ends[row - 1u];
      }
      let end = ends[row];
      var sum = ${floats}(0.0);
      while (place < end) {
        if (place % u.chunk == 0u && place + u.chunk <= end) {
          sum += sums[place / u.chunk * u.vectors + column];
          place += u.chunk;
        } else {
          sum += ${floats}(dy[order[place] * u.vectors + column]);
          place++;
        }
      }
      dtable[i] = sum;
    `,
    ),
  })
}

/**
 * Inputs: ids, dy [positions, width]. Output: the table's gradient [rows, width], f32. The ids may be elsewhere; its
 * temporaries come after `taken` others.
 */
export function gatherGradientLowering(
  { positions, rows, width, dtype }: GatherProblem,
  config: GatherGradientConfig,
  traits: Traits,
  { ids = input(0), taken = 0 }: { readonly ids?: Slot; readonly taken?: number } = {},
): Lowering {
  const { block, vector, workgroup } = config
  const vectors = width / vector
  // Near the square root, so that no row adds many more chunks than a chunk has places.
  const chunk = Math.max(16, 2 ** Math.round(Math.log2(positions) / 2))
  const chunks = Math.floor(positions / chunk)
  const counts = temporary(taken)
  // The counts become the places where rows begin, and then those where they end.
  const slots = {
    ids,
    dy: input(1),
    counts,
    places: counts,
    ends: counts,
    ranks: temporary(taken + 1),
    order: temporary(taken + 2),
    sums: temporary(taken + 3),
    dtable: output(0),
  }
  const uniforms = { positions, rows, vectors, chunk, chunks }
  const step = (what: string, shader: Shader, workgroups: Launch['workgroups']): Launch =>
    shader.launch({ label: `gatherGradient ${what}`, slots, uniforms, workgroups })
  const line = (count: number, size: number) => spread(Math.ceil(count / size), traits.maxWorkgroups)
  const how = `${dtype} vec${vector}, ${workgroup} per workgroup`
  return {
    temporaries: [
      { shape: [rows], dtype: 'u32' },
      { shape: [positions], dtype: 'u32' },
      { shape: [positions], dtype: 'u32' },
      { shape: [Math.max(chunks, 1), width], dtype: 'f32' },
    ],
    launches: [
      step('clear', clearShader, line(rows, CLEAR_WORKGROUP)),
      step(`rank, blocks of ${block}`, rankShader(block), line(positions, block)),
      step(`place, blocks of ${block}`, placeShader(block), [1, 1, 1]),
      ...(chunks > 0
        ? [step(`chunks of ${chunk}, ${how}`, chunkShader(config), gridOf(chunks, vectors, config, traits))]
        : []),
      step(`table ${how}`, tableShader(config), gridOf(rows, vectors, config, traits)),
    ],
  }
}
