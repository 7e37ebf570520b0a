// Running sums, products and first-order recurrences along one axis: scans of an associative join (Blelloch 1990).
//
// A row is scanned by one invocation, a subgroup or a workgroup, tile by tile with a carry. Few long rows are divided into
// chunks: a first launch folds each chunk, the second begins a chunk with the folds of those before it.
//
// Carries are joined in blocks of sixteen tiles and blocks of sixteen of those, as long sums are (blocks.ts), so that
// rounding errors don't grow with the number of tiles.
import { type DType, type Launch, type Lowering, type Traits, input, output, spread, temporary } from './kernel.ts'
import { functionsText } from './math.ts'
import { MAIN, Shader, computed, narrowed, paragraphs, plus, wgsl, when, widened, written } from './wgsl.ts'

export type ScanKernel = 'cumsum' | 'cumprod' | 'linearScan'

/** The scan of [outer, length, inner] along its middle axis. */
export interface ScanProblem {
  readonly kernel: ScanKernel
  readonly outer: number
  readonly length: number
  readonly inner: number
  readonly dtype: DType
  /** Each result is that of the elements before its own. */
  readonly exclusive: boolean
  /** From the end of the axis to its start. */
  readonly reverse: boolean
}

export interface ScanConfig extends Pick<ScanProblem, 'kernel' | 'dtype' | 'exclusive' | 'reverse'> {
  /** What scans a chunk of a row. */
  readonly share: 'invocation' | 'subgroup' | 'workgroup'
  /** Invocations in a workgroup. */
  readonly workgroup: number
  /** Width of the subgroups whose operations are used; 0 where none are. */
  readonly subgroup: number
  /** Neighbouring elements that an invocation joins before the others'. */
  readonly each: number
  /** Rows are divided into chunks. */
  readonly chunked: boolean
}

/** Invocations that keep an adapter busy. */
const BUSY_CPU = 512
const BUSY_GPU = 65536
/** A chunk has at least this many tiles, and a row at most this many chunks. */
const LEAST_TILES = 8
const MOST_CHUNKS = 256

/** Configs worth trying, best guess first. */
export function scanCandidates(problem: ScanProblem, traits: Traits): ScanConfig[] {
  const { kernel, dtype, exclusive, reverse, outer, length, inner } = problem
  const common = { kernel, dtype, exclusive, reverse }
  const { subgroupSize, maxWorkgroupInvocations: limit } = traits
  const configs: Omit<ScanConfig, 'chunked'>[] = []
  const alone = { ...common, share: 'invocation', workgroup: Math.min(64, limit), subgroup: 0, each: 16 } as const
  const bySubgroup =
    subgroupSize > 1 && subgroupSize * 4 <= limit
      ? [{ ...common, share: 'subgroup', workgroup: subgroupSize * 4, subgroup: subgroupSize, each: 4 } as const]
      : []
  // By memory where there are no subgroups.
  const byWorkgroup = [
    {
      ...common,
      share: 'workgroup',
      workgroup: Math.min(256, limit),
      subgroup: bySubgroup.length > 0 ? subgroupSize : 0,
      each: 4,
    } as const,
  ]
  if (traits.cpu) configs.push(...(outer * inner >= BUSY_CPU ? [alone, ...bySubgroup] : [...bySubgroup, alone]))
  else if (inner >= 32 || length <= 32) configs.push(alone, ...bySubgroup, ...byWorkgroup)
  else if (length <= 256) configs.push(...bySubgroup, ...byWorkgroup, alone)
  else configs.push(...byWorkgroup, ...bySubgroup, alone)
  return configs.map(config => ({ ...config, chunked: chunksOf(problem, config, traits) > 1 }))
}

const lanesOf = ({ share, workgroup, subgroup }: Omit<ScanConfig, 'chunked'>): number =>
  share === 'invocation' ? 1 : share === 'subgroup' ? subgroup : workgroup

/** Into how many chunks a row is divided. */
function chunksOf({ outer, inner, length }: ScanProblem, config: Omit<ScanConfig, 'chunked'>, traits: Traits): number {
  const lanes = lanesOf(config)
  const wanted = Math.floor((traits.cpu ? BUSY_CPU : BUSY_GPU) / lanes / (outer * inner))
  const useful = Math.floor(length / (lanes * config.each * LEAST_TILES))
  // A workgroup reads the folds of all chunks before its own at once.
  const most = config.share === 'workgroup' ? Math.min(MOST_CHUNKS, lanes) : MOST_CHUNKS
  return Math.max(1, Math.min(wanted, useful, most))
}

/** How states are joined: what elements are lifted to, and what a result is. */
interface Monoid {
  readonly state: string
  readonly unit: string
  readonly join: string
  readonly inputs: readonly string[]
  readonly helpers?: readonly string[]
  readonly lift: (elements: readonly string[]) => string
  readonly value: (state: string) => string
}

function monoidOf({ kernel, dtype }: Pick<ScanConfig, 'kernel' | 'dtype'>): Monoid {
  const type = computed(dtype)
  if (kernel === 'linearScan') {
    // y ↦ x·y + z is kept as (x, z). What is 0 stays 0 even if a product of factors overflows.
    return {
      state: 'vec2<f32>',
      unit: 'State(1.0, 0.0)',
      join: 'State(times(first.x, then.x), times(first.y, then.x) + then.y)',
      inputs: ['a', 'b'],
      helpers: ['is_nan', 'ordered', TIMES],
      lift: ([a, b]) => `State(${a}, ${b})`,
      value: state => `${state}.y`,
    }
  }
  const sum = kernel === 'cumsum'
  return {
    state: type,
    unit: `State(${sum ? 0 : 1})`,
    join: sum ? 'first + then' : 'first * then',
    inputs: ['x'],
    lift: ([x]) => x,
    value: state => state,
  }
}

const TIMES = `
fn times(a: f32, b: f32) -> f32 {
  let product = a * b;
  return select(product, 0.0, is_nan(product) && ordered(a, b));
}`

/** `scanLanes(x, lane)`: the join of the lanes before one, and that of all. Declares what it calls. */
function scanLanes({ share, workgroup, subgroup }: ScanConfig): string {
  if (share === 'invocation') return ''
  const steps = Array.from({ length: Math.log2(subgroup || 1) }, (_, k) => 2 ** k)
  const bySubgroup = wgsl`
    fn scanSubgroup(x: State, lane: u32) -> Lanes {
      var state = x;
      ${steps.map(
        step => wgsl`
        let from${step} = subgroupShuffleUp(state, ${step}u);
        if (lane >= ${step}u) { state = join(from${step}, state); }
      `,
      )}
      var before = subgroupShuffleUp(state, 1u);
      if (lane == 0u) { before = UNIT; }
      return Lanes(before, subgroupShuffle(state, ${subgroup - 1}u));
    }
  `
  const acrossSubgroups = wgsl`
    var<workgroup> scratch: array<State, ${workgroup / subgroup}>;
    fn scanLanes(x: State, lane: u32) -> Lanes {
      let own = scanSubgroup(x, lane % ${subgroup}u);
      let number = lane / ${subgroup}u;
      if (lane % ${subgroup}u == 0u) { scratch[number] = own.total; }
      workgroupBarrier();
      var before = UNIT;
      var total = UNIT;
      for (var k = 0u; k < ${workgroup / subgroup}u; k++) {
        if (k == number) { before = total; }
        total = join(total, scratch[k]);
      }
      workgroupBarrier(); // the next scan writes the same words
      return Lanes(join(before, own.before), total);
    }
  `
  const byMemory = wgsl`
    var<workgroup> scratch: array<State, ${workgroup}>;
    fn scanLanes(x: State, lane: u32) -> Lanes {
      var state = x;
      scratch[lane] = state;
      workgroupBarrier();
      for (var step = 1u; step < ${workgroup}u; step *= 2u) {
        if (lane >= step) { state = join(scratch[lane - step], state); }
        workgroupBarrier();
        scratch[lane] = state;
        workgroupBarrier();
      }
      var before = UNIT;
      if (lane > 0u) { before = scratch[lane - 1u]; }
      let total = scratch[${workgroup - 1}u];
      workgroupBarrier(); // the next scan writes the same words
      return Lanes(before, total);
    }
  `
  return paragraphs(
    wgsl`
      struct Lanes {
        before: State,
        total: State,
      }
    `,
    share === 'workgroup' && !subgroup
      ? byMemory
      : paragraphs(
          bySubgroup,
          share === 'workgroup'
            ? acrossSubgroups
            : 'fn scanLanes(x: State, lane: u32) -> Lanes { return scanSubgroup(x, lane); }',
        ),
  )
}

/** Declares `carry`: the join of the row's chunks before this one. */
function carryOf({ share }: ScanConfig): string {
  // A workgroup has a lane for each.
  if (share === 'workgroup') return 'var carry = scanLanes(chunkTotal(row, local, chunk), local).total;'
  return wgsl`
    var carry = UNIT;
    var some = UNIT;
    for (var k = 0u; k < u.chunks; k++) {
      some = join(some, chunkTotal(row, k, chunk));
      if (k % 16u == 15u) {
        carry = join(carry, some);
        some = UNIT;
      }
    }
    carry = join(carry, some);
  `
}

/** Statements for a tile: stores its results, if these are wanted, and declares its `total`. */
function tileOf(config: ScanConfig, value: (state: string) => string, stores: boolean): string {
  const { dtype, share, each: count, exclusive } = config
  const store = (i: string, state: string): string =>
    `if (${i} < end) { out[addressOf(base, ${i})] = ${narrowed(value(state), dtype)}; }`
  const start = 'let start = join(join(carry, older), recent);'
  if (share === 'invocation')
    return wgsl`
      ${stores && start}
      var total = UNIT;
      for (var i = first; i < min(first + ${count}u, end); i++) {
        ${stores && exclusive && store('i', 'join(start, total)')}
        total = join(total, element(base, i, end));
        ${stores && !exclusive && store('i', 'join(start, total)')}
      }
    `
  const places = Array.from({ length: count }, (_, k) => plus('first', k))
  return wgsl`
    let own0 = element(base, first, end);
    ${places.slice(1).map((place, k) => `let own${k + 1} = join(own${k}, element(base, ${place}, end));`)}
    let lanes = scanLanes(own${count - 1}, lane);
    let total = lanes.total;
    ${when(stores)`
      ${start}
      let before = join(start, lanes.before);
      ${places.map((place, k) => {
        const through = exclusive ? k - 1 : k
        return store(place, through < 0 ? 'before' : `join(before, own${through})`)
      })}
    `}
  `
}

/** One pass: the folds of chunks, or the results. */
function scanShader(config: ScanConfig, pass: 'totals' | 'results'): Shader {
  const { kernel, dtype, workgroup, subgroup, each: count, reverse, exclusive, chunked } = config
  const { state, unit, join, inputs, helpers = [], lift, value } = monoidOf(config)
  const lanes = lanesOf(config)
  const stores = pass === 'results'
  const order = `${exclusive ? 'exclusive ' : ''}${reverse ? 'reversed ' : ''}`
  return new Shader({
    title: `${order}${kernel} ${dtype}, ${pass}${chunked ? ' of chunks' : ''}: ${describe(config)}`,
    bindings: {
      ...Object.fromEntries(inputs.map(name => [name, dtype])),
      ...(stores ? { ...(chunked ? { totals: state } : {}), out: written(dtype) } : { totals: written(state) }),
    },
    needs: { subgroups: subgroup > 0 },
    uniforms: { units: 'u32', chunks: 'u32', chunk: 'u32', length: 'u32', inner: 'u32' },
    code: paragraphs(
      functionsText(helpers),
      wgsl`
        alias State = ${state};
        const UNIT = ${unit};

        fn join(first: State, then: State) -> State {
          return ${join};
        }

        fn addressOf(base: u32, i: u32) -> u32 {
          return base + ${reverse ? '(u.length - 1u - i)' : 'i'} * u.inner;
        }

        fn element(base: u32, i: u32, end: u32) -> State {
          if (i >= end) { return UNIT; }
          let at = addressOf(base, i);
          return ${lift(inputs.map(name => widened(`${name}[at]`, dtype)))};
        }
      `,
      when(stores && chunked)`
        fn chunkTotal(row: u32, k: u32, chunk: u32) -> State {
          if (k >= chunk) { return UNIT; }
          let at = row * u.chunks + k;
          return totals[at];
        }
      `,
      scanLanes(config),
      wgsl`
        @compute @workgroup_size(${workgroup})
        fn main(${MAIN}) {
          let number = (group.x + group.y * groups.x) * ${workgroup / lanes}u + local / ${lanes}u;
          let lane = local % ${lanes}u;
          let live = number < u.units;
          let row = min(number, u.units - 1u) / u.chunks;
          let chunk = min(number, u.units - 1u) % u.chunks;
          let base = row / u.inner * u.length * u.inner + row % u.inner;
          let begin = chunk * u.chunk;
          let end = select(begin, min(begin + u.chunk, u.length), live);
          ${stores && chunked ? carryOf(config) : 'var carry = UNIT;'}
          // Of up to 16 · 16 tiles, and of up to 16.
          var older = UNIT;
          var recent = UNIT;
          for (var tile = 0u; tile * ${lanes * count}u < u.chunk; tile++) {
            let first = begin + tile * ${lanes * count}u + lane * ${count}u;
            ${tileOf(config, value, stores)}
            recent = join(recent, total);
            if (tile % 16u == 15u) {
              older = join(older, recent);
              recent = UNIT;
            }
            if (tile % 256u == 255u) {
              carry = join(carry, older);
              older = UNIT;
            }
          }
          ${!stores && 'if (live && lane == 0u) { totals[number] = join(join(carry, older), recent); }'}
        }
      `,
    ),
  })
}

/** For labels and the first line of the shader. */
function describe(config: ScanConfig): string {
  const { share, subgroup, each: count } = config
  const lanes = lanesOf(config)
  const by = lanes === 1 ? share : `${share} of ${lanes}`
  return `${by}${share === 'workgroup' && subgroup ? `, subgroups of ${subgroup}` : ''}, tiles of ${lanes * count}`
}

/** One launch, or two where rows are divided into chunks. */
export function scanLowering(problem: ScanProblem, config: ScanConfig, traits: Traits): Lowering {
  const { kernel, outer, length, inner, dtype } = problem
  const { chunked, workgroup } = config
  const lanes = lanesOf(config)
  const rows = outer * inner
  const tile = lanes * config.each
  const chunk = Math.ceil(length / chunksOf(problem, config, traits) / tile) * tile
  const chunks = Math.ceil(length / chunk)
  const units = rows * chunks
  const inputs = Object.fromEntries(monoidOf(config).inputs.map((name, k) => [name, input(k)]))
  const launch = (pass: 'totals' | 'results'): Launch =>
    scanShader(config, pass).launch({
      label: `${kernel} ${dtype} ${pass}${chunked ? ' of chunks' : ''}, ${describe(config)}`,
      slots: { ...inputs, totals: temporary(0), out: output(0) },
      uniforms: { units, chunks, chunk, length, inner },
      workgroups: spread(Math.ceil((units * lanes) / workgroup), traits.maxWorkgroups),
    })
  if (!chunked) return { launches: [launch('results')] }
  const shape = kernel === 'linearScan' ? [units, 2] : [units]
  return { launches: [launch('totals'), launch('results')], temporaries: [{ shape, dtype: computed(dtype) }] }
}
