// Shaders that reach an adapter's limits: fused multiply-adds on numbers in registers, and copies between buffers.

/** Threads of a workgroup, in both. */
export const CEILING_WORKGROUP = 64
/** Multiply-adds of each accumulator in one iteration of the loop. */
export const CEILING_UNROLLED = 8

/**
 * `iterations` × CEILING_UNROLLED multiply-adds of vec4s on each of `accumulators` registers of a thread. How many
 * accumulators hide the latency without running out of registers depends on the adapter.
 */
export function multiplyAddShader(accumulators: number, iterations: number, type: 'f32' | 'f16'): string {
  const names = Array.from({ length: accumulators }, (_, i) => `a${i}`)
  // The accumulator is read twice: reading a third register takes an H200 half as long again.
  const step = names.map(name => `${name} = fma(${name}, factor, ${name});`).join(' ')
  return `// ${accumulators} vec4<${type}> accumulators of multiply-adds in registers
${type === 'f16' ? 'enable f16;\n' : ''}alias vec = vec4<${type}>;
@group(0) @binding(0) var<storage, read_write> data: array<vec>;
@compute @workgroup_size(${CEILING_WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let factor = data[0];
${names.map((name, i) => `  var ${name} = data[${i}] * ${type}(id.x);`).join('\n')}
  for (var i = 0u; i < ${iterations}u; i++) {
${Array.from({ length: CEILING_UNROLLED }, () => `    ${step}`).join('\n')}
  }
  data[id.x] = ${names.join(' + ')};
}
`
}

export type CopyElement = 'f32' | 'vec4<f32>'

/**
 * `each` elements a thread, from one buffer to another. `contiguous`: a thread's elements lie side by side, else those of a
 * workgroup do. Which is faster depends on the adapter.
 */
export function copyShader(each: number, element: CopyElement, contiguous: boolean): string {
  const [own, stride] = contiguous ? [`i * ${each}u`, 1] : ['i', CEILING_WORKGROUP]
  return `// ${each} ${element} a thread from one buffer to another
@group(0) @binding(0) var<storage, read_write> copied: array<${element}>;
@group(0) @binding(1) var<storage, read> original: array<${element}>;
@compute @workgroup_size(${CEILING_WORKGROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) n: vec3u, @builtin(local_invocation_index) i: u32) {
  let at = (w.y * n.x + w.x) * ${CEILING_WORKGROUP * each}u + ${own};
${Array.from({ length: each }, (_, k) => `  copied[at + ${k * stride}u] = original[at + ${k * stride}u];`).join('\n')}
}
`
}
