// Reductions over any axes of a fused expression: one thread per output and share of the reduced elements, then the
// shares are folded the same way. Every thread sums its share in a fixed order, so a result has the same bits each
// time.
//
// Long sums are sums of blocks (blocks.ts), in steps of four. A maximum or minimum is NaN if any of the numbers is. The
// place of one is found by keys: unsigned numbers in the order of the elements, of which equal ones keep the first place.
import { Scalars, addressOf, coordinatesOf, mergeAxes } from './addressing.ts'
import { LONG_SUM, blockedSum } from './blocks.ts'
import { type Body, addScalars, copied, drawOne, inputsOf, loadInputs, mentions } from './expression.ts'
import type { DType, Launch, Lowering, Slot, Traits, View } from './kernel.ts'
import { input, output, rowMajorStrides, sizeOf, spread, temporary } from './kernel.ts'
import { functionsText } from './math.ts'
import { type ScalarType, Shader, computed, narrowed, paragraphs, wgsl, written } from './wgsl.ts'

export type Fold = 'sum' | 'prod' | 'max' | 'min' | 'argmax' | 'argmin'

/** Folds `body` over `axes` of the iteration space `shape`; inputs are views broadcast to `shape`. */
export interface ReduceProblem {
  readonly label: string
  readonly fold: Fold
  /** Of the elements. The output has it, too, except that places are i32. */
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly axes: readonly number[]
  readonly inputs: readonly View[]
  readonly output: View
  readonly body: Body
}

const WORKGROUP = 64
/** Threads that keep an adapter busy, and the fewest elements that are worth a thread of their own. */
const BUSY_CPU = 512
const BUSY_GPU = 32768
const LEAST_SHARE = 16
/** Of a long sum: steps of four in a block, blocks in a block of blocks, and so on. */
const BLOCKS = [16, 8, 8]
/** The most elements that one thread goes over: 16 of the largest blocks. */
const MOST_SHARE = 2 ** 16
/** Elements that a reduction may go over: they are counted in u32, and a last step of 4 · 2¹⁶ past the end must fit. */
export const MOST_REDUCED = 2 ** 32 - 2 ** 18

/** All launches of a reduction, with the partial results between them. */
export function reduceLowering(problem: ReduceProblem, traits: Traits): Lowering {
  const outputs = sizeOf(problem.output.shape)
  const reduced = sizeOf(problem.axes.map(axis => problem.shape[axis]))
  const launches: Launch[] = []
  const temporaries: { shape: number[]; dtype: ScalarType }[] = []
  const partials = partialsOf(problem)
  let current: ReduceProblem = problem
  let left = reduced
  for (;;) {
    const busy = traits.cpu ? BUSY_CPU : BUSY_GPU
    const useful = Math.min(Math.ceil(busy / outputs), Math.floor(left / LEAST_SHARE))
    const shares = Math.max(1, useful, Math.ceil(left / MOST_SHARE))
    const last = shares === 1
    const before = temporaries.length - partials.length
    const slots = {
      ...inputsOf(current.inputs, (_, k) => (launches.length === 0 ? input(k) : temporary(before + k))),
      ...(last
        ? { out: output(0) }
        : Object.fromEntries(partials.map(({ name }, k) => [name, temporary(temporaries.length + k)]))),
    }
    const sizes = { shares, outputs, reduced: left }
    launches.push(reduceLaunch(current, { sizes, isFirst: launches.length === 0, isLast: last, slots }, traits))
    if (last) return { launches, temporaries }
    temporaries.push(...partials.map(({ dtype }) => ({ shape: [shares, outputs], dtype })))
    current = {
      ...problem,
      label: `${problem.label} shares`,
      shape: [shares, outputs],
      axes: [0],
      inputs: partials.map(({ dtype }) => ({ shape: [shares, outputs], dtype, strides: [outputs, 1], offset: 0 })),
      body: copied,
    }
    left = shares
  }
}

/** What a share gives, by the names of its buffers: its fold, or the key of the element that it found and its place. */
interface Partial {
  readonly name: string
  readonly dtype: ScalarType
}

function partialsOf({ fold, dtype }: ReduceProblem): readonly Partial[] {
  if (!isPlace(fold)) return [{ name: 'out', dtype: computed(dtype) }]
  return [
    { name: 'keys', dtype: 'u32' },
    { name: 'places', dtype: 'u32' },
  ]
}

const isPlace = (fold: Fold): fold is 'argmax' | 'argmin' => fold === 'argmax' || fold === 'argmin'

/** One pass of a reduction. */
interface Pass {
  readonly sizes: { readonly shares: number; readonly outputs: number; readonly reduced: number }
  /** Whether it reads elements rather than what shares gave, and stores outputs rather than shares. */
  readonly isFirst: boolean
  readonly isLast: boolean
  readonly slots: Readonly<Record<string, Slot>>
}

/** How a thread folds its share: what it calls, statements, and what it stores, by the buffers' names. */
interface Folding {
  readonly helpers?: readonly string[]
  readonly loop: string
  readonly stored: Readonly<Record<string, string>>
}

function reduceLaunch(problem: ReduceProblem, { sizes: counts, isFirst, isLast, slots }: Pass, traits: Traits): Launch {
  const { label, inputs, shape, body, fold, output: out } = problem
  const { shares, outputs, reduced } = counts
  const type = computed(problem.dtype)
  // The last operand is the iteration space itself: its strides give the element's linear number.
  const { sizes, strides, groups } = mergeAxes(
    shape,
    [...inputs.map(view => view.strides), rowMajorStrides(shape)],
    shape.map((_, axis) => (problem.axes.includes(axis) ? 1 : 0)),
  )
  const uniforms = new Scalars()
  uniforms.add('outputs', outputs)
  uniforms.add('reduced', reduced)
  uniforms.add('shares', shares)
  const axesOf = (group: number): number[] => sizes.flatMap((_, axis) => (groups[axis] === group ? [axis] : []))
  const outer = coordinatesOf('o', axesOf(0), sizes, uniforms)
  const inner = coordinatesOf('k', axesOf(1), sizes, uniforms)
  const loads = loadInputs(
    inputs,
    inputs.map(({ offset }, k) => addressOf(k, offset, strides[k], uniforms)),
  )
  const needsIndex = body.draws.length > 0 || mentions(body, 'i')
  const index = needsIndex ? [`let i = ${addressOf(inputs.length, 0, strides[inputs.length], uniforms)};`] : []
  addScalars(body, uniforms)
  const offset = !isLast || out.offset === 0 ? '' : ` + ${uniforms.add('out_offset', out.offset)}`
  const element = [...inner, ...loads, ...index, ...drawOne(body), ...body.lines, `let value = ${body.result};`]
  const long = fold === 'sum' && type === 'f32' && Math.ceil(reduced / shares) > LONG_SUM
  const names = axesOf(0).map(axis => `c${axis}`)
  const parameters = ['k: u32', ...names.map(name => `${name}: u32`)].join(', ')
  const call = (of: string, k: string): string => `${of}(${[k, ...names].join(', ')})`
  const stored = { out: isLast ? narrowed('total', out.dtype) : 'total' }
  const folding: Folding = isPlace(fold)
    ? placeOf(fold, type, element, isFirst, isLast)
    : fold === 'max' || fold === 'min'
      ? { loop: extreme(fold, type, element), stored }
      : {
          stored,
          loop: long
            ? blockedSum({
                index: 'k',
                begin: 'share',
                end: 'u.reduced',
                step: '4u * u.shares',
                sums: [['total', call('sum4', 'k')]],
                type,
                body: [],
                blocks: BLOCKS,
              })
            : wgsl`
              var total: ${type}${fold === 'prod' && ' = 1'};
              for (var k = share; k < u.reduced; k += u.shares) {
                ${element}
                total ${fold === 'prod' ? '*' : '+'}= value;
              }
            `,
        }
  const given = isLast ? [{ name: 'out', dtype: out.dtype }] : partialsOf(problem)
  const shader = new Shader({
    title: `reduce ${label}: one thread per output and share, ${fold} of every shares-th element${long ? ', in blocks' : ''}`,
    bindings: {
      ...inputsOf(inputs, ({ dtype }) => dtype),
      ...Object.fromEntries(given.map(({ name, dtype }) => [name, written(dtype)])),
    },
    uniforms: uniforms.types,
    code: paragraphs(
      functionsText([...new Set([...body.helpers, ...(folding.helpers ?? [])])]),
      long &&
        wgsl`
        fn element(${parameters}) -> f32 {
          ${element}
          return value;
        }

        // Sum of element k and the next three of the share, or of as many as there are.
        fn sum4(${parameters}) -> f32 {
          let s = u.shares;
          if (u.reduced - k > 3u * s) {
            let first = ${call('element', 'k')} + ${call('element', 'k + s')};
            return first + (${call('element', 'k + 2u * s')} + ${call('element', 'k + 3u * s')});
          }
          var some = ${call('element', 'k')};
          for (var next = k + s; next < u.reduced; next += s) { some += ${call('element', 'next')}; }
          return some;
        }
      `,
      wgsl`
        @compute @workgroup_size(${WORKGROUP})
        fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
          let thread = id.x + id.y * groups.x * ${WORKGROUP}u;
          if (thread >= u.outputs * u.shares) { return; }
          let o = thread % u.outputs;
          let share = thread / u.outputs;
          ${outer}
          ${folding.loop}
          ${Object.entries(folding.stored).map(([name, value]) => `${name}[thread${offset}] = ${value};`)}
        }
      `,
    ),
  })
  return shader.launch({
    label,
    slots,
    uniforms: uniforms.values,
    workgroups: spread(Math.ceil((outputs * shares) / WORKGROUP), traits.maxWorkgroups),
  })
}

/**
 * The largest or least value of a share. max and min drop NaN, so the bits of the largest magnitude are kept as well.
 */
function extreme(fold: 'max' | 'min', type: ScalarType, element: readonly string[]): string {
  const float = type === 'f32'
  return wgsl`
    var total: ${type};
    ${float && 'var magnitude = 0u;'}
    for (var k = share; k < u.reduced; k += u.shares) {
      ${element}
      if (k == share) { total = value; } else { total = ${fold}(total, value); }
      ${float && 'magnitude = max(magnitude, bitcast<u32>(value) & 0x7fffffffu);'}
    }
    ${float && 'total = bitcast<f32>(select(bitcast<u32>(total), magnitude, magnitude > 0x7f800000u));'}
  `
}

/**
 * The place of the largest or least element of a share, the first of equal ones; NaN is before all others. Keys order
 * the elements, since comparisons of floats lose NaN; of a later pass, x0 and x1 are the keys and places of shares.
 */
function placeOf(
  fold: 'argmax' | 'argmin',
  type: ScalarType,
  element: readonly string[],
  isFirst: boolean,
  isLast: boolean,
): Folding {
  const sign = fold === 'argmin'
  const ordered = {
    f32: `order_key(${sign ? '-' : ''}value)`,
    i32: `(bitcast<u32>(${sign ? '~' : ''}value) ^ 0x80000000u)`,
    u32: `${sign ? '~' : ''}value`,
  }[type]
  return {
    helpers: isFirst && type === 'f32' ? ['order_key'] : [],
    loop: wgsl`
      var best = 0u;
      var place = 0u;
      for (var k = share; k < u.reduced; k += u.shares) {
        ${element}
        let key = ${isFirst ? ordered : 'value'};
        let at = ${isFirst ? 'k' : 'x1'};
        if (k == share || key > best || (key == best && at < place)) {
          best = key;
          place = at;
        }
      }
    `,
    stored: isLast ? { out: 'i32(place)' } : { keys: 'best', places: 'place' },
  }
}
