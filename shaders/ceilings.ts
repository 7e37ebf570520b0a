// Shaders that reach an adapter's limits: fused multiply-adds on numbers in registers, and copies between buffers.
import { each, list, wgsl } from './wgsl.ts'

/** Threads of a workgroup, in both. */
export const CEILING_WORKGROUP = 64
/** Multiply-adds of each accumulator in one iteration of the loop. */
export const CEILING_UNROLLED = 8

/**
 * `iterations` × CEILING_UNROLLED multiply-adds of vec4s on each of `accumulators` registers of a thread. How many
 * accumulators hide the latency without running out of registers depends on the adapter.
 */
export function multiplyAddShader(accumulators: number, iterations: number, type: 'f32' | 'f16'): string {
  // The accumulator is read twice: reading a third register takes an H200 half as long again.
  const step = list(accumulators, i => `a${i} = fma(a${i}, factor, a${i});`, ' ')
  return wgsl`
    // ${accumulators} vec4<${type}> accumulators of multiply-adds in registers
    ${type === 'f16' && 'enable f16;'}
    alias vec = vec4<${type}>;
    @group(0) @binding(0) var<storage, read_write> data: array<vec>;
    @compute @workgroup_size(${CEILING_WORKGROUP})
    fn main(@builtin(global_invocation_id) id: vec3u) {
      let factor = data[0];
      ${each(accumulators, i => `var a${i} = data[${i}] * ${type}(id.x);`)}
      for (var i = 0u; i < ${iterations}u; i++) {
        ${each(CEILING_UNROLLED, () => step)}
      }
      data[id.x] = ${list(accumulators, i => `a${i}`, ' + ')};
    }
  `
}

export type CopyElement = 'f32' | 'vec4<f32>'

/**
 * `elements` per thread, from one buffer to another. `contiguous`: the elements of a thread are adjacent; otherwise
 * those that a workgroup copies at the same time are. Which is faster depends on the adapter.
 */
export function copyShader(elements: number, element: CopyElement, contiguous: boolean): string {
  const [own, stride] = contiguous ? [`i * ${elements}u`, 1] : ['i', CEILING_WORKGROUP]
  return wgsl`
    // ${elements} ${element} per thread from one buffer to another
    @group(0) @binding(0) var<storage, read_write> copied: array<${element}>;
    @group(0) @binding(1) var<storage, read> original: array<${element}>;
    @compute @workgroup_size(${CEILING_WORKGROUP})
    fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) n: vec3u, @builtin(local_invocation_index) i: u32) {
      let at = (w.y * n.x + w.x) * ${CEILING_WORKGROUP * elements}u + ${own};
      ${each(elements, k => `copied[at + ${k * stride}u] = original[at + ${k * stride}u];`)}
    }
  `
}
