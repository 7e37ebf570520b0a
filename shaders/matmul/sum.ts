// The second half of split-K: adds the partial products of all slices, always in the same order, and applies the epilogue.
import { epilogueText } from '../elementwise.ts'
import { Writer, enables, typeName, Uniforms } from '../writer.ts'
import { spread } from '../kernel.ts'
import type { Launch, Slot, Traits } from '../kernel.ts'
import type { Product } from './problem.ts'
import { declareEpilogue, epilogueSlots, storeResult } from './text.ts'

const THREADS = 64
/** Slices that are read together, since a few threads on a large GPU do little but wait for memory. */
const TOGETHER = 8

/** out[i] = Σ over slices partials[slice, i], for `count` elements. */
export function sumSlices(partials: Slot, product: Product, count: number, slices: number, traits: Traits): Launch {
  const { out, epilogue } = product
  const width = count % 4 === 0 ? 4 : 1
  const text = epilogue && epilogueText(epilogue)
  const uniforms = new Uniforms([['count', 'u32'], ['slices', 'u32'], ...(text?.fields ?? [])])
  const writer = new Writer()
  const label = `matmul sum of slices${epilogue ? `, ${epilogue.label},` : ''} vec${width} -> ${out.dtype}`
  const dtypes = [out.dtype, ...(epilogue ? [epilogue.dtype, ...epilogue.inputs.map(({ dtype }) => dtype)] : [])]
  const layout = { epilogue, out: out.dtype, outVec4: width === 4 }
  writer.line(`// ${label}`, ...enables({ dtypes }), '')
  writer.line(`@group(0) @binding(0) var<storage, read> partials: array<${typeName('f32', width)}>;`)
  uniforms.declare(writer, declareEpilogue(writer, layout, 1))
  if (text) writer.line(...text.wgsl(width).split('\n'))
  writer.line('', `@compute @workgroup_size(${THREADS})`)
  writer.block('fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32)', () => {
    writer.line(`let at = (group.x + group.y * groups.x) * ${THREADS}u + local;`, 'if (at >= u.count) { return; }')
    writer.line('var sum = partials[at];', 'var slice = 1u;')
    writer.block(`for (; slice + ${TOGETHER}u <= u.slices; slice += ${TOGETHER}u)`, () => {
      const all = Array.from({ length: TOGETHER }, (_, i) => i)
      for (const i of all) writer.line(`let part${i} = partials[(slice + ${i}u) * u.count + at];`)
      for (const i of all) writer.line(`sum += part${i};`)
    })
    writer.line('for (; slice < u.slices; slice++) { sum += partials[slice * u.count + at]; }')
    storeResult(writer, layout, width, 'sum', 'at', width === 4 ? 'at * 4u' : 'at')
  })
  const { slots, writes } = epilogueSlots(product)
  return {
    label, wgsl: writer.toString(), slots: [partials, ...slots], writes: writes.map(at => at + 1),
    uniforms: uniforms.pack({ count: count / width, slices, ...text?.words }),
    workgroups: spread(Math.ceil(count / width / THREADS), traits.maxWorkgroups),
  }
}
