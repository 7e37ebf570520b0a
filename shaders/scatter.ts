// Gathering and scattering along an axis: [outer, length, inner] indexed by [outer, count, inner]. An index outside of
// the axis gathers 0 and scatters nothing.
//
// Several elements may go to one place. Floats are not added by atomics, whose order changes from run to run. There are
// three ways to sum them, each in a fixed order:
//   lines   one invocation per line along the axis clears it and adds to it, element by element; for many lines
//   search  one invocation per result looks through all indices of its line; for short lines
//   sort    the indices are sorted as the gradient of a gather sorts its ids (gather.ts); for few and long lines
// Where no two indices are equal (`unique`), each element is stored where it belongs. Integers are added by atomics: any
// order gives the same sum. So is the largest of several elements found, as integers whose order is that of the floats.
import { blockedSum } from './blocks.ts'
import { perElement } from './each.ts'
import { gatherGradientCandidates, gatherGradientLowering } from './gather.ts'
import { keyFunctions } from './keys.ts'
import type { DType, Launch, Lowering, Slot, Traits } from './kernel.ts'
import { input, isFloat, output, temporary } from './kernel.ts'
import { narrowed, wgsl, widened, written } from './wgsl.ts'

export interface AlongProblem {
  readonly outer: number
  /** Of the axis that is indexed. */
  readonly length: number
  /** Indices in each line. */
  readonly count: number
  readonly inner: number
  readonly dtype: DType
}

const linesOf = ({ outer, inner }: AlongProblem): number => outer * inner

/** Inputs: x, index. Output: the elements of x that the indices name. */
export function gatherAlongLaunch(problem: AlongProblem, traits: Traits): Launch {
  const { length, count, inner, dtype } = problem
  return perElement(
    {
      title: `gatherAlong ${dtype}`,
      bindings: { x: dtype, index: 'i32', result: written(dtype) },
      uniforms: { length: 'u32', inner: 'u32', slab: 'u32' },
      body: wgsl`
        let id = u32(index[i]); // a negative one becomes too large
        var value = ${dtype}();
        if (id < u.length) {
          value = x[(i / u.slab * u.length + id) * u.inner + i % u.inner];
        }
        result[i] = value;
      `,
    },
    linesOf(problem) * count,
    { x: input(0), index: input(1), result: output(0) },
    { length, inner, slab: count * inner },
    traits,
  )
}

/** How several elements become one sum. */
export interface ScatterConfig {
  readonly way: 'lines' | 'search' | 'sort' | 'unique' | 'atomic'
  /** Of a search: the sum is made in blocks. */
  readonly long?: true
}

/** Elements that one invocation adds to one result one by one. */
const MOST_IN_LINE = 1024
/** Numbers in a block of a search's sum, and such blocks in the next. */
const BLOCKS = [32, 32]
/** Invocations that an adapter runs side by side, for guesses. */
const AT_ONCE = { cpu: 16, gpu: 32768 }

/** Ways worth trying, best guess first. */
export function scatterAddCandidates(problem: AlongProblem, unique: boolean, traits: Traits): ScatterConfig[] {
  if (unique) return [{ way: 'unique' }]
  if (!isFloat(problem.dtype)) return [{ way: 'atomic' }]
  const { length, count, inner } = problem
  const lines = linesOf(problem)
  const atOnce = traits.cpu ? AT_ONCE.cpu : AT_ONCE.gpu
  // Neighbouring lines share cache lines if they are side by side in memory.
  const apart = inner < 16 && !traits.cpu ? 8 : 1
  const guesses: { config: ScatterConfig; time: number }[] = [
    { config: { way: 'lines' }, time: Math.max(1, lines / atOnce) * (length + count) * apart },
    {
      config: count > BLOCKS[0] ? { way: 'search', long: true } : { way: 'search' },
      time: Math.max(1, (lines * length) / atOnce) * count,
    },
    // Launches, and a pass of one workgroup over all indices.
    { config: { way: 'sort' }, time: 4000 + (lines * (count + length)) / (traits.cpu ? 2 : 64) },
  ]
  return guesses
    .filter(({ config }) => config.way !== 'lines' || count <= MOST_IN_LINE)
    .sort((a, b) => a.time - b.time)
    .map(({ config }) => config)
}

/** Inputs: index, source. Output: sums [outer, length, inner], f32 of floats. */
export function scatterAddLowering(problem: AlongProblem, config: ScatterConfig, traits: Traits): Lowering {
  const { length, dtype } = problem
  const lines = linesOf(problem)
  switch (config.way) {
    case 'lines':
      return { launches: [addByLines(problem, traits)] }
    case 'search':
      return { launches: [addBySearch(problem, config, traits)] }
    case 'sort': {
      const rows = { positions: lines * problem.count, rows: lines * length, width: 1, dtype }
      const [sorting] = gatherGradientCandidates(rows, traits)
      const own = temporary(0)
      const { launches, temporaries = [] } = gatherGradientLowering(rows, sorting, traits, { ids: own, taken: 1 })
      return {
        launches: [placesLaunch(problem, own, traits), ...launches],
        temporaries: [{ shape: [rows.positions], dtype: 'i32' }, ...temporaries],
      }
    }
    case 'unique': {
      const type = isFloat(dtype) ? 'f32' : dtype
      const place = scatterEach(
        problem,
        'scatterAdd: stored',
        type,
        at => `sums[${at}] = ${widened('source[i]', dtype)};`,
        traits,
      )
      // As many different indices as places leave none out.
      return { launches: problem.count === length ? [place] : [clearLaunch(lines * length, type, traits), place] }
    }
    case 'atomic': {
      const add = (at: string): string => `atomicAdd(&sums[${at}], source[i]);`
      return {
        launches: [
          clearLaunch(lines * length, dtype, traits),
          scatterEach(problem, 'scatterAdd: atomic', `atomic<${dtype}>`, add, traits),
        ],
      }
    }
  }
}

const clearLaunch = (n: number, type: string, traits: Traits): Launch =>
  perElement(
    {
      title: `scatterAdd: cleared ${type}`,
      bindings: { sums: written(type) },
      uniforms: {},
      body: `sums[i] = ${type}();`,
    },
    n,
    { sums: output(0) },
    {},
    traits,
  )

/** Statements for element i of the source, whose place in the result is given. */
function scatterEach(
  problem: AlongProblem,
  title: string,
  type: string,
  store: (at: string) => string,
  traits: Traits,
): Launch {
  const { length, count, inner, dtype } = problem
  return perElement(
    {
      title: `${title} ${dtype}`,
      bindings: { index: 'i32', source: dtype, sums: written(type) },
      uniforms: { length: 'u32', inner: 'u32', slab: 'u32' },
      body: wgsl`
        let id = u32(index[i]);
        if (id < u.length) {
          ${store('(i / u.slab * u.length + id) * u.inner + i % u.inner')}
        }
      `,
    },
    linesOf(problem) * count,
    { index: input(0), source: input(1), sums: output(0) },
    { length, inner, slab: count * inner },
    traits,
  )
}

/** The place of every element in the result; −1 for none. */
function placesLaunch(problem: AlongProblem, places: Slot, traits: Traits): Launch {
  const { length, count, inner } = problem
  return perElement(
    {
      title: 'scatterAdd: places',
      bindings: { index: 'i32', places: written('i32') },
      uniforms: { length: 'u32', inner: 'u32', slab: 'u32' },
      body: wgsl`
        let id = u32(index[i]);
        places[i] = select(-1, i32((i / u.slab * u.length + id) * u.inner + i % u.inner), id < u.length);
      `,
    },
    linesOf(problem) * count,
    { index: input(0), places },
    { length, inner, slab: count * inner },
    traits,
  )
}

function addByLines(problem: AlongProblem, traits: Traits): Launch {
  const { length, count, inner, dtype } = problem
  return perElement(
    {
      title: `scatterAdd ${dtype}: one invocation per line`,
      bindings: { index: 'i32', source: dtype, sums: written('f32') },
      uniforms: { length: 'u32', count: 'u32', inner: 'u32' },
      body: wgsl`
        let line = i / u.inner * u.count * u.inner + i % u.inner;
        let base = i / u.inner * u.length * u.inner + i % u.inner;
        for (var r = 0u; r < u.length; r++) {
          sums[base + r * u.inner] = 0.0;
        }
        for (var j = 0u; j < u.count; j++) {
          let id = u32(index[line + j * u.inner]);
          if (id < u.length) {
            sums[base + id * u.inner] += ${widened('source[line + j * u.inner]', dtype)};
          }
        }
      `,
    },
    linesOf(problem),
    { index: input(0), source: input(1), sums: output(0) },
    { length, count, inner },
    traits,
  )
}

function addBySearch(problem: AlongProblem, { long }: ScatterConfig, traits: Traits): Launch {
  const { length, count, inner, dtype } = problem
  const value = [
    'let at = line + j * u.inner;',
    'var value = 0.0;',
    `if (u32(index[at]) == r) { value = ${widened('source[at]', dtype)}; }`,
  ]
  const loop = long
    ? blockedSum({
        index: 'j',
        begin: '0u',
        end: 'u.count',
        step: '1u',
        sums: [['sum', 'value']],
        type: 'f32',
        body: value,
        blocks: BLOCKS,
      })
    : wgsl`
      var sum = 0.0;
      for (var j = 0u; j < u.count; j++) {
        ${value}
        sum += value;
      }
    `
  return perElement(
    {
      title: `scatterAdd ${dtype}: one invocation per sum${long ? ', in blocks' : ''}`,
      bindings: { index: 'i32', source: dtype, sums: written('f32') },
      uniforms: { length: 'u32', count: 'u32', inner: 'u32' },
      body: wgsl`
        let r = i / u.inner % u.length;
        let line = i / u.inner / u.length * u.count * u.inner + i % u.inner;
        ${loop}
        sums[i] = sum;
      `,
    },
    linesOf(problem) * length,
    { index: input(0), source: input(1), sums: output(0) },
    { length, count, inner },
    traits,
  )
}

/** Inputs: x, index, source. Output: the largest of each element of x and those that are scattered to it. */
export function scatterMaxLowering(problem: AlongProblem, traits: Traits): Lowering {
  const { length, count, inner, dtype } = problem
  const size = linesOf(problem) * length
  const functions = keyFunctions(dtype)
  const keys = temporary(0)
  const begin = perElement(
    {
      title: `scatterMax ${dtype}: keys`,
      bindings: { x: dtype, keys: written('u32') },
      uniforms: {},
      functions,
      body: `keys[i] = keyOf(${widened('x[i]', dtype)});`,
    },
    size,
    { x: input(0), keys },
    {},
    traits,
  )
  const scatter = perElement(
    {
      title: `scatterMax ${dtype}`,
      bindings: { index: 'i32', source: dtype, keys: written('atomic<u32>') },
      uniforms: { length: 'u32', inner: 'u32', slab: 'u32' },
      functions,
      body: wgsl`
        let id = u32(index[i]);
        if (id < u.length) {
          atomicMax(&keys[(i / u.slab * u.length + id) * u.inner + i % u.inner], keyOf(${widened('source[i]', dtype)}));
        }
      `,
    },
    linesOf(problem) * count,
    { index: input(1), source: input(2), keys },
    { length, inner, slab: count * inner },
    traits,
  )
  const end = perElement(
    {
      title: `scatterMax ${dtype}: numbers`,
      bindings: { keys: 'u32', result: written(dtype) },
      uniforms: {},
      functions,
      body: `result[i] = ${narrowed('numberOf(keys[i])', dtype)};`,
    },
    size,
    { keys, result: output(0) },
    {},
    traits,
  )
  return { launches: [begin, scatter, end], temporaries: [{ shape: [size], dtype: 'u32' }] }
}
