// The second half of split-K: adds the partial products of all slices, always in the same order.
import { Writer, enables, fromF32, typeName, Uniforms } from '../wgsl.ts'
import { spread } from '../kernel.ts'
import type { Launch, Slot, Traits } from '../kernel.ts'
import type { FloatType } from './problem.ts'

const THREADS = 64

/** out[i] = Σ over slices partials[slice, i], for `count` elements. */
export function sumSlices(partials: Slot, out: { readonly slot: Slot; readonly dtype: FloatType }, count: number, slices: number, traits: Traits): Launch {
  const width = count % 4 === 0 ? 4 : 1
  const uniforms = new Uniforms([['count', 'u32'], ['slices', 'u32']])
  const writer = new Writer()
  const label = `matmul sum of slices vec${width} -> ${out.dtype}`
  writer.line(`// ${label}`, ...enables({ dtypes: [out.dtype] }), '')
  writer.line(`@group(0) @binding(0) var<storage, read> partials: array<${typeName('f32', width)}>;`)
  writer.line(`@group(0) @binding(1) var<storage, read_write> out: array<${typeName(out.dtype, width)}>;`)
  uniforms.declare(writer, 2)
  writer.line('', `@compute @workgroup_size(${THREADS})`)
  writer.block('fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32)', () => {
    writer.line(`let i = (group.x + group.y * groups.x) * ${THREADS}u + local;`, 'if (i >= u.count) { return; }')
    writer.line('var sum = partials[i];')
    writer.line('for (var slice = 1u; slice < u.slices; slice++) { sum += partials[slice * u.count + i]; }')
    writer.line(`out[i] = ${fromF32('sum', out.dtype, width)};`)
  })
  return {
    label, wgsl: writer.toString(), slots: [partials, out.slot], writes: [1],
    uniforms: uniforms.pack({ count: count / width, slices }),
    workgroups: spread(Math.ceil(count / width / THREADS), traits.maxWorkgroups),
  }
}
