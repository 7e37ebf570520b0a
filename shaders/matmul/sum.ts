// The second half of split-K: adds the partial products of all slices, always in the same order, and applies the
// epilogue.
import { endingOf, endingSlots } from '../epilogue.ts'
import { type Launch, type Slot, type Traits, spread } from '../kernel.ts'
import { MAIN, Shader, each, paragraphs, typeName, wgsl } from '../wgsl.ts'
import type { Product } from './problem.ts'

const THREADS = 64
/** Slices that are read together, since a few threads on a large GPU do little but wait for memory. */
const TOGETHER = 8

/** out[i] = Σ over slices partials[slice, i], for `count` elements. */
export function sumSlices(
  partials: Slot,
  { out, epilogue }: Product,
  count: number,
  slices: number,
  traits: Traits,
): Launch {
  const width = count % 4 === 0 ? 4 : 1
  const ending = endingOf(epilogue, out.dtype, width)
  const label = `matmul sum of slices${epilogue ? `, ${epilogue.label},` : ''} vec${width} -> ${out.dtype}`
  const shader = new Shader({
    title: label,
    bindings: { partials: typeName('f32', width), ...ending.bindings },
    uniforms: { count: 'u32', slices: 'u32', ...ending.uniforms },
    code: paragraphs(
      ending.functions,
      wgsl`
      @compute @workgroup_size(${THREADS})
      fn main(${MAIN}) {
        let at = (group.x + group.y * groups.x) * ${THREADS}u + local;
        if (at >= u.count) { return; }
        var sum = partials[at];
        var slice = 1u;
        for (; slice + ${TOGETHER}u <= u.slices; slice += ${TOGETHER}u) {
          ${each(TOGETHER, i => `let part${i} = partials[(slice + ${i}u) * u.count + at];`)}
          ${each(TOGETHER, i => `sum += part${i};`)}
        }
        for (; slice < u.slices; slice++) { sum += partials[slice * u.count + at]; }
        ${ending.store('sum', 'at', width === 4 ? 'at * 4u' : 'at')}
      }
    `,
    ),
  })
  return shader.launch({
    label,
    slots: { partials, ...endingSlots(epilogue, out.slot) },
    uniforms: { count: count / width, slices, ...ending.values },
    workgroups: spread(Math.ceil(count / width / THREADS), traits.maxWorkgroups),
  })
}
