// Sorting rows [rows, length], and the first `keep` of each sorted row: values, and where they were. Sorting is stable:
// elements are pairs of a key (keys.ts), inverted for descending order, and of their index, and no two pairs are equal.
// NaN counts as the largest number.
//
// There are four ways:
//   rank    one invocation per element counts the pairs before its own; for short rows
//   block   a workgroup sorts a block of pairs in its memory by a bitonic network
//   runs    one invocation sorts 16 pairs in registers by Batcher's odd-even network; for CPUs
//   select  one invocation goes over a share of a row and keeps its first `keep` pairs in registers
// Blocks and runs shorter than a row are merged, two by two: an invocation finds by a binary search where its part of
// the merged run begins (Green, McColl & Bader 2012, "GPU merge path"). If few elements are kept, only those of each
// block or share go on, and are sorted as a shorter row.
import { perElement } from './each.ts'
import { keyFunctions } from './keys.ts'
import {
  type DType,
  type Launch,
  type Lowering,
  type Slot,
  type Spec,
  type Traits,
  input,
  output,
  spread,
  temporary,
} from './kernel.ts'
import { MAIN, type Part, Shader, each, wgsl, widened, when, written } from './wgsl.ts'

export interface SortProblem {
  readonly rows: number
  readonly length: number
  /** Elements of each sorted row that are stored. */
  readonly keep: number
  readonly dtype: DType
  readonly descending: boolean
}

export type SortConfig =
  | { readonly way: 'rank' }
  /** Pairs in a workgroup's memory, a power of two, and its invocations. */
  | { readonly way: 'block'; readonly size: number; readonly workgroup: number }
  | { readonly way: 'runs' }
  /** `keep` shapes the code; the kept pairs of all shares are sorted as `after` says. */
  | { readonly way: 'select'; readonly keep: number; readonly shares: number; readonly after: SortConfig }

/** Bytes of a pair. */
const PAIR = 8
const RUN = 16
/** Most elements that a `select` keeps, and up to how many of them are in registers. */
const MOST_SELECTED = 128
const MOST_IN_REGISTERS = 16
/** Elements of a row up to which comparing all with all is worth a try. */
const MOST_RANKED = 512
/** Pairs that one invocation merges. */
const MERGED = 8

const powerAbove = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(n, 2)))

/** Configs worth trying, best guess first. */
export function sortCandidates(
  { rows, length, keep }: Omit<SortProblem, 'dtype' | 'descending'>,
  traits: Traits,
): SortConfig[] {
  const fits = Math.min(traits.maxWorkgroupStorage / PAIR, 2048)
  const size = Math.min(powerAbove(length), 2 ** Math.floor(Math.log2(fits)))
  const workgroup = Math.min(traits.cpu ? 32 : 256, traits.maxWorkgroupInvocations, Math.max(size / 2, 32))
  const block: SortConfig = { way: 'block', size: Math.max(size, traits.cpu ? 64 : 256), workgroup }
  const rank: SortConfig[] = length <= MOST_RANKED ? [{ way: 'rank' }] : []
  const whole: SortConfig[] = traits.cpu ? [{ way: 'runs' }, block] : [block, { way: 'runs' }]
  const sorted = length <= (traits.cpu ? 8 : 64) ? [...rank, ...whole] : [...whole, ...rank]
  if (keep > MOST_SELECTED || length < 8 * keep || length <= 32) return sorted
  const busy = Math.ceil((traits.cpu ? 32 : 16384) / rows)
  const shares = (least: number): number =>
    Math.max(1, Math.min(Math.max(busy, least), Math.floor(length / (4 * keep)), Math.floor(fits / keep)))
  const counts = [...new Set([shares(1), shares(32)])]
  const selects = counts.map((count): SortConfig => {
    const [after] = sortCandidates({ rows, length: count * keep, keep }, traits).filter(({ way }) => way !== 'select')
    return { way: 'select', keep, shares: count, after }
  })
  return traits.cpu || length > 256 ? [...selects, ...sorted] : [...sorted, ...selects]
}

/** Where a step takes its pairs from: the elements of x, or pairs of temporaries. */
interface Source {
  readonly length: number
  readonly pairs?: Pairs
}

interface Pairs {
  readonly keys: Slot
  readonly ids: Slot
}

/** Inputs: x. Outputs: values and indices (i32), both [rows, keep]. */
export function sortLowering(problem: SortProblem, config: SortConfig, traits: Traits): Lowering {
  return new Sort(problem, traits).sorted({ length: problem.length }, config)
}

/** The steps of one problem, with the temporaries between them. */
class Sort {
  readonly #problem: SortProblem
  readonly #traits: Traits
  readonly #temporaries: Spec[] = []

  constructor(problem: SortProblem, traits: Traits) {
    this.#problem = problem
    this.#traits = traits
  }

  sorted(source: Source, config: SortConfig): Lowering {
    return { launches: this.#steps(source, config), temporaries: this.#temporaries }
  }

  #steps(source: Source, config: SortConfig): Launch[] {
    const { keep } = this.#problem
    const { length } = source
    switch (config.way) {
      case 'rank':
        return [this.#rank(source)]
      case 'select': {
        const pairs = this.#pairs(config.shares * keep)
        return [
          this.#select(config.shares, pairs),
          ...this.#steps({ length: config.shares * keep, pairs }, config.after),
        ]
      }
      case 'runs': {
        const pairs = this.#pairs(length)
        return [this.#runs(source, pairs), ...this.#merges(length, RUN, pairs)]
      }
      case 'block': {
        if (length <= config.size) return [this.#block(source, config)]
        const blocks = Math.ceil(length / config.size)
        if (2 * keep <= config.size) {
          const pairs = this.#pairs(blocks * keep)
          return [
            this.#block(source, config, { pairs, stride: blocks * keep, kept: keep }),
            ...this.#steps({ length: blocks * keep, pairs }, config),
          ]
        }
        const pairs = this.#pairs(length)
        const first = this.#block(source, config, { pairs, stride: length, kept: config.size })
        return [first, ...this.#merges(length, config.size, pairs)]
      }
    }
  }

  #pairs(length: number): Pairs {
    const next = (): Slot =>
      temporary(this.#temporaries.push({ shape: [this.#problem.rows, length], dtype: 'u32' }) - 1)
    return { keys: next(), ids: next() }
  }

  get #functions(): string {
    const { dtype } = this.#problem
    const float = dtype === 'f32' || dtype === 'f16'
    return wgsl`
      ${keyFunctions(dtype)}

      // In the order asked for: inverted for descending order.${float && ' Both zeros are one number.'}
      fn sortKey(x: ${widenedType(dtype)}) -> u32 {
        ${
          float
            ? 'return keyOf(bitcast<f32>(select(bitcast<u32>(x), 0u, (bitcast<u32>(x) << 1u) == 0u))) ^ u.flip;'
            : 'return keyOf(x) ^ u.flip;'
        }
      }

      fn isBefore(key: u32, id: u32, otherKey: u32, otherId: u32) -> bool {
        return key < otherKey || (key == otherKey && id < otherId);
      }
    `
  }

  get #flip(): number {
    return this.#problem.descending ? 0xffffffff : 0
  }

  /** Declarations and slots of what a step reads: pairs, or x, from which the last step takes the values. */
  #reads({ pairs }: Source, isLast: boolean): { bindings: Record<string, string>; slots: Record<string, Slot> } {
    const { dtype } = this.#problem
    return {
      bindings: { ...(isLast || !pairs ? { x: dtype } : {}), ...(pairs ? { keys: 'u32', ids: 'u32' } : {}) },
      slots: { x: input(0), ...pairs },
    }
  }

  #rank(source: Source): Launch {
    const { rows, length: width, keep, dtype } = this.#problem
    const { length, pairs } = source
    const { bindings, slots } = this.#reads(source, true)
    const keyAt = (at: string): string => (pairs ? `keys[${at}]` : `sortKey(${widened(`x[${at}]`, dtype)})`)
    const idAt = (at: string, index: string): string => (pairs ? `ids[${at}]` : index)
    return perElement(
      {
        title: `sort ${dtype}: rank of ${pairs ? 'pairs' : 'elements'}`,
        bindings: { ...bindings, values: written(dtype), indices: written('i32') },
        uniforms: { length: 'u32', width: 'u32', keep: 'u32', flip: 'u32' },
        functions: this.#functions,
        body: wgsl`
          let row = i / u.length;
          let begin = row * u.length;
          let key = ${keyAt('i')};
          let id = ${idAt('i', 'i - begin')};
          var rank = 0u;
          for (var j = 0u; j < u.length; j++) {
            rank += select(0u, 1u, isBefore(${keyAt('begin + j')}, ${idAt('begin + j', 'j')}, key, id));
          }
          if (rank < u.keep) {
            values[row * u.keep + rank] = x[row * u.width + id];
            indices[row * u.keep + rank] = i32(id);
          }
        `,
      },
      rows * length,
      { ...slots, values: output(0), indices: output(1) },
      { length, width, keep, flip: this.#flip },
      this.#traits,
    )
  }

  #runs(source: Source, pairs: Pairs): Launch {
    const { rows, dtype } = this.#problem
    const { length } = source
    const perRow = Math.ceil(length / RUN)
    const load = source.pairs
      ? (i: number): Part => [`key${i} = keys[at];`, `id${i} = ids[at];`]
      : (i: number): Part => [`key${i} = sortKey(${widened('x[at]', dtype)});`, `id${i} = begin + ${i}u;`]
    const { bindings, slots } = this.#reads(source, false)
    return perElement(
      {
        title: `sort ${dtype}: runs of ${RUN} ${source.pairs ? 'pairs' : 'elements'}`,
        bindings: { ...bindings, sortedKeys: written('u32'), sortedIds: written('u32') },
        uniforms: { length: 'u32', perRow: 'u32', flip: 'u32' },
        functions: this.#functions,
        body: wgsl`
          let row = i / u.perRow;
          let begin = i % u.perRow * ${RUN}u;
          ${each(RUN, k => [`var key${k} = 0xffffffffu;`, `var id${k} = 0xffffffffu;`])}
          ${each(
            RUN,
            k => wgsl`
            if (begin + ${k}u < u.length) {
              let at = row * u.length + begin + ${k}u;
              ${load(k)}
            }
          `,
          )}
          ${network(RUN).map(([a, b]) => exchange(a, b))}
          ${each(
            RUN,
            k => wgsl`
            if (begin + ${k}u < u.length) {
              sortedKeys[row * u.length + begin + ${k}u] = key${k};
              sortedIds[row * u.length + begin + ${k}u] = id${k};
            }
          `,
          )}
        `,
      },
      rows * perRow,
      { ...slots, sortedKeys: pairs.keys, sortedIds: pairs.ids },
      { length, perRow, flip: this.#flip },
      this.#traits,
    )
  }

  #select(shares: number, pairs: Pairs): Launch {
    const { rows, length, keep, dtype } = this.#problem
    const { declared, insert, lastKey, lastId, stored } = keep <= MOST_IN_REGISTERS ? inRegisters(keep) : inArrays(keep)
    return perElement(
      {
        title: `sort ${dtype}: the first ${keep} of a share`,
        bindings: { x: dtype, keptKeys: written('u32'), keptIds: written('u32') },
        uniforms: { length: 'u32', shares: 'u32', flip: 'u32' },
        functions: this.#functions,
        body: wgsl`
          let row = i / u.shares;
          ${declared}
          for (var at = i % u.shares; at < u.length; at += u.shares) {
            let key = sortKey(${widened('x[row * u.length + at]', dtype)});
            if (isBefore(key, at, ${lastKey}, ${lastId})) {
              ${insert}
            }
          }
          ${stored}
        `,
      },
      rows * shares,
      { x: input(0), keptKeys: pairs.keys, keptIds: pairs.ids },
      { length, shares, flip: this.#flip },
      this.#traits,
    )
  }

  /** Sorts blocks; rows that are shorter share one. Without `to`, what is kept of each row is the result. */
  #block(
    source: Source,
    { size, workgroup }: SortConfig & { readonly way: 'block' },
    to?: { readonly pairs: Pairs; readonly stride: number; readonly kept: number },
  ): Launch {
    const { rows, length: width, keep, dtype } = this.#problem
    const { length } = source
    const segment = Math.min(powerAbove(length), size)
    const perRow = Math.ceil(length / segment)
    const blocks = Math.ceil((rows * perRow) / (size / segment))
    const { bindings, slots } = this.#reads(source, !to)
    const title = `sort ${dtype}: ${source.pairs ? 'pairs' : 'elements'} in blocks of ${size}${to ? '' : ', to the end'}`
    const shader = new Shader({
      title: `${title}, ${workgroup} invocations per workgroup`,
      bindings: {
        ...bindings,
        ...(to
          ? { sortedKeys: written('u32'), sortedIds: written('u32') }
          : { values: written(dtype), indices: written('i32') }),
      },
      // `length` of the rows that are sorted, `width` of the rows of x; `kept` of each segment, `stride` of their rows.
      uniforms: {
        rows: 'u32',
        length: 'u32',
        width: 'u32',
        perRow: 'u32',
        segment: 'u32',
        kept: 'u32',
        stride: 'u32',
        flip: 'u32',
      },
      code: wgsl`
        ${this.#functions}

        const SIZE = ${size}u;
        const WORKGROUP = ${workgroup}u;
        var<workgroup> blockKeys: array<u32, SIZE>;
        var<workgroup> blockIds: array<u32, SIZE>;

        fn order(a: u32, b: u32) {
          let keyA = blockKeys[a];
          let keyB = blockKeys[b];
          let idA = blockIds[a];
          let idB = blockIds[b];
          if (isBefore(keyB, idB, keyA, idA)) {
            blockKeys[a] = keyB;
            blockKeys[b] = keyA;
            blockIds[a] = idB;
            blockIds[b] = idA;
          }
        }

        @compute @workgroup_size(WORKGROUP)
        fn main(${MAIN}) {
          let first = (group.x + group.y * groups.x) * (SIZE / u.segment);
          for (var t = local; t < SIZE; t += WORKGROUP) {
            let number = first + t / u.segment;
            let row = number / u.perRow;
            let at = number % u.perRow * u.segment + t % u.segment;
            var key = 0xffffffffu;
            var id = 0xffffffffu;
            if (row < u.rows && at < u.length) {
              ${
                source.pairs
                  ? ['key = keys[row * u.length + at];', 'id = ids[row * u.length + at];']
                  : [`key = sortKey(${widened('x[row * u.length + at]', dtype)});`, 'id = at;']
              }
            }
            blockKeys[t] = key;
            blockIds[t] = id;
          }
          workgroupBarrier();
          for (var half = 1u; half < u.segment; half *= 2u) {
            // Both halves of each run are sorted: the first of the one meets the last of the other.
            for (var t = local; t < SIZE / 2u; t += WORKGROUP) {
              let a = 2u * t - (t & (half - 1u));
              order(a, a ^ (2u * half - 1u));
            }
            workgroupBarrier();
            for (var distance = half / 2u; distance > 0u; distance /= 2u) {
              for (var t = local; t < SIZE / 2u; t += WORKGROUP) {
                let a = 2u * t - (t & (distance - 1u));
                order(a, a + distance);
              }
              workgroupBarrier();
            }
          }
          for (var t = local; t < SIZE; t += WORKGROUP) {
            let number = first + t / u.segment;
            let row = number / u.perRow;
            let place = t % u.segment;
            let at = number % u.perRow * u.kept + place;
            if (row < u.rows && place < u.kept && at < u.stride) {
              ${
                to
                  ? ['sortedKeys[row * u.stride + at] = blockKeys[t];', 'sortedIds[row * u.stride + at] = blockIds[t];']
                  : [
                      'values[row * u.stride + at] = x[row * u.width + blockIds[t]];',
                      'indices[row * u.stride + at] = i32(blockIds[t]);',
                    ]
              }
            }
          }
        }
      `,
    })
    return shader.launch({
      label: title,
      slots: {
        ...slots,
        ...(to ? { sortedKeys: to.pairs.keys, sortedIds: to.pairs.ids } : { values: output(0), indices: output(1) }),
      },
      uniforms: {
        rows,
        length,
        width,
        perRow,
        segment,
        kept: to ? to.kept : keep,
        stride: to ? to.stride : keep,
        flip: this.#flip,
      },
      workgroups: spread(blocks, this.#traits.maxWorkgroups),
    })
  }

  /** Merges runs of `run` pairs until each row is one. */
  #merges(length: number, run: number, pairs: Pairs): Launch[] {
    const launches: Launch[] = []
    const others = 2 * run < length ? this.#pairs(length) : pairs
    let [from, to] = [pairs, others]
    for (let n = run; n < length || launches.length === 0; n *= 2) {
      launches.push(this.#merge(length, n, from, 2 * n < length ? to : undefined))
      ;[from, to] = [to, from]
    }
    return launches
  }

  /** Without `to`, the kept elements of each row are the result. */
  #merge(length: number, run: number, from: Pairs, to: Pairs | undefined): Launch {
    const { rows, length: width, keep, dtype } = this.#problem
    const end = to ? length : keep
    const perRow = Math.ceil(end / MERGED)
    return perElement(
      {
        title: `sort ${to ? 'pairs' : dtype}: runs merged${to ? '' : ', to the end'}`,
        bindings: {
          ...(to ? {} : { x: dtype }),
          keys: 'u32',
          ids: 'u32',
          ...(to
            ? { sortedKeys: written('u32'), sortedIds: written('u32') }
            : { values: written(dtype), indices: written('i32') }),
        },
        uniforms: { length: 'u32', run: 'u32', end: 'u32', perRow: 'u32', width: 'u32' },
        functions: wgsl`
          fn isBefore(a: u32, b: u32) -> bool {
            return keys[a] < keys[b] || (keys[a] == keys[b] && ids[a] < ids[b]);
          }
        `,
        body: wgsl`
          let row = i / u.perRow;
          let start = i % u.perRow * ${MERGED}u; // of what this invocation stores, in the row
          let pair = start / (2u * u.run) * (2u * u.run);
          let middle = min(pair + u.run, u.length);
          let last = min(pair + 2u * u.run, u.length);
          let begin = row * u.length;
          let before = start - pair;
          // How many of the elements before come from the first run.
          var least = before - min(before, last - middle);
          var most = min(before, middle - pair);
          while (least < most) {
            let half = (least + most) / 2u;
            if (isBefore(begin + pair + half, begin + middle + before - 1u - half)) {
              least = half + 1u;
            } else {
              most = half;
            }
          }
          var a = pair + least;
          var b = middle + before - least;
          let stop = min(min(start + ${MERGED}u, u.end), last);
          for (var at = start; at < stop; at++) {
            var next = b;
            if (b >= last || (a < middle && isBefore(begin + a, begin + b))) {
              next = a;
              a++;
            } else {
              b++;
            }
            ${when(to !== undefined)`
              sortedKeys[begin + at] = keys[begin + next];
              sortedIds[begin + at] = ids[begin + next];
            `}
            ${when(to === undefined)`
              let id = ids[begin + next];
              values[row * u.end + at] = x[row * u.width + id];
              indices[row * u.end + at] = i32(id);
            `}
          }
        `,
      },
      rows * perRow,
      {
        x: input(0),
        keys: from.keys,
        ids: from.ids,
        ...(to ? { sortedKeys: to.keys, sortedIds: to.ids } : { values: output(0), indices: output(1) }),
      },
      { length, run, end, perRow, width },
      this.#traits,
    )
  }
}

const widenedType = (dtype: DType): string => (dtype === 'f16' ? 'f32' : dtype)

/** How the pairs that an invocation keeps are held: declared, extended by `key` and `at`, and stored. */
interface Kept {
  readonly declared: string
  readonly insert: string
  readonly lastKey: string
  readonly lastId: string
  readonly stored: string
}

/** The new pair goes through all that are kept, and is exchanged from its place on. */
const inRegisters = (keep: number): Kept => ({
  declared: each(keep, k => [`var key${k} = 0xffffffffu;`, `var id${k} = 0xffffffffu;`]),
  insert: wgsl`
    var newKey = key;
    var newId = at;
    ${each(
      keep,
      k => wgsl`
        if (isBefore(newKey, newId, key${k}, id${k})) {
          let nextKey = key${k};
          let nextId = id${k};
          key${k} = newKey;
          id${k} = newId;
          newKey = nextKey;
          newId = nextId;
        }
      `,
    )}
  `,
  lastKey: `key${keep - 1}`,
  lastId: `id${keep - 1}`,
  stored: each(keep, k => [`keptKeys[i * ${keep}u + ${k}u] = key${k};`, `keptIds[i * ${keep}u + ${k}u] = id${k};`]),
})

/** Larger pairs move up, from the last on. */
const inArrays = (keep: number): Kept => ({
  declared: wgsl`
    var bestKeys: array<u32, ${keep}>;
    var bestIds: array<u32, ${keep}>;
    for (var k = 0u; k < ${keep}u; k++) {
      bestKeys[k] = 0xffffffffu;
      bestIds[k] = 0xffffffffu;
    }
  `,
  insert: wgsl`
    var place = ${keep - 1}u;
    while (place > 0u && isBefore(key, at, bestKeys[place - 1u], bestIds[place - 1u])) {
      bestKeys[place] = bestKeys[place - 1u];
      bestIds[place] = bestIds[place - 1u];
      place--;
    }
    bestKeys[place] = key;
    bestIds[place] = at;
  `,
  lastKey: `bestKeys[${keep - 1}u]`,
  lastId: `bestIds[${keep - 1}u]`,
  stored: wgsl`
    for (var k = 0u; k < ${keep}u; k++) {
      keptKeys[i * ${keep}u + k] = bestKeys[k];
      keptIds[i * ${keep}u + k] = bestIds[k];
    }
  `,
})

/** Puts the pairs a and b, which are in variables, in order. */
const exchange = (a: number, b: number): string => wgsl`
  if (isBefore(key${b}, id${b}, key${a}, id${a})) {
    let key = key${a};
    key${a} = key${b};
    key${b} = key;
    let id = id${a};
    id${a} = id${b};
    id${b} = id;
  }
`

/** Batcher's odd-even merge sort of n (a power of two): the pairs of places that it puts in order, one after another. */
function network(n: number): [number, number][] {
  const steps: [number, number][] = []
  for (let p = 1; p < n; p *= 2) {
    for (let k = p; k >= 1; k /= 2) {
      for (let j = k % p; j + k < n; j += 2 * k) {
        for (let i = 0; i < Math.min(k, n - j - k); i++) {
          if (Math.floor((i + j) / (p * 2)) === Math.floor((i + j + k) / (p * 2))) steps.push([i + j, i + j + k])
        }
      }
    }
  }
  return steps
}
