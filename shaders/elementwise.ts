// Elementwise kernels: any chain of operations fused into one expression, inputs read through strides, the output
// written through strides.
import { Scalars, addressing } from './addressing.ts'
import { type Body, addScalars, byVec4s, evaluate, inputsOf } from './expression.ts'
import { type Launch, type Traits, type View, input, output, sizeOf, spread } from './kernel.ts'
import { functionsText } from './math.ts'
import { LETTERS, MAIN, Shader, narrowed, paragraphs, wgsl, when, written } from './wgsl.ts'

/** One elementwise launch over `output.shape`; inputs are views already broadcast to that shape. */
export interface ElementwiseProblem {
  readonly label: string
  readonly inputs: readonly View[]
  readonly output: View
  readonly body: Body
}

const WORKGROUP = 64

/**
 * Elements that one thread computes, a workgroup's width apart. Starting a workgroup costs a CPU adapter as much as
 * hundreds of elements, but there must be enough workgroups for all cores. A GPU starts about one per clock, fewer than
 * its memory could feed.
 */
export function elementsEach(count: number, traits: Traits): number {
  if (!traits.cpu) return count >= MANY ? 4 : 1
  return Math.min(MOST_EACH, Math.max(1, Math.floor(count / (WORKGROUP * 16))))
}
/** From this number of elements on, four per thread leave enough threads for any GPU. */
const MANY = 2 ** 20
/** Of 1, 4, 8, 16 and 32: the best on lavapipe for x + 1, x + y, GELU and a bias, 2–3 times as fast as 1. */
const MOST_EACH = 16

/**
 * The launch of one fused elementwise expression. One that draws random numbers computes four neighbours at a time, if
 * the count is a multiple of four.
 */
export function elementwiseLaunch({ label, inputs, output: out, body }: ElementwiseProblem, traits: Traits): Launch {
  const count = sizeOf(out.shape)
  const width = body.draws.length > 0 && count % 4 === 0 ? 4 : 1
  const each = Math.max(1, 2 ** Math.floor(Math.log2(elementsEach(count, traits))) / width)
  const uniforms = new Scalars()
  uniforms.add('n', count / width)
  const at = addressing(out.shape, [...inputs, out], uniforms)
  addScalars(body, uniforms)
  const store = `out[${at.addresses[inputs.length]}] = ${narrowed(body.result, out.dtype)};`
  const vec4s = byVec4s(body, inputs, at)
  const number = width === 1 ? 'i' : 'quad'
  const perThread =
    width === 1
      ? [...evaluate(body, inputs, at), store]
      : ['let i = quad * 4u;', ...vec4s.before, ...LETTERS.map((_, q) => `element(${vec4s.call(q)});`)]
  const how =
    width * each === 1
      ? 'one thread per element'
      : `${width * each} elements per thread${width === 1 ? '' : ', by vec4s'}`
  const shader = new Shader({
    title: `elementwise ${label}: ${how}, ${at.access.join(' ')}`,
    bindings: { ...inputsOf(inputs, ({ dtype }) => dtype), out: written(out.dtype) },
    uniforms: uniforms.types,
    code: paragraphs(
      functionsText(body.helpers),
      when(width === 4)`
        fn element(i: u32${vec4s.parameters}) {
          ${vec4s.lines}
          ${store}
        }
      `,
      each === 1
        ? wgsl`
          @compute @workgroup_size(${WORKGROUP})
          fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
            let ${number} = id.x + id.y * groups.x * ${WORKGROUP}u;
            if (${number} >= u.n) { return; }
            ${perThread}
          }
        `
        : wgsl`
          @compute @workgroup_size(${WORKGROUP})
          fn main(${MAIN}) {
            let first = (group.x + group.y * groups.x) * ${each * WORKGROUP}u + local;
            let end = min(first + ${each * WORKGROUP}u, u.n);
            for (var ${number} = first; ${number} < end; ${number} += ${WORKGROUP}u) {
              ${perThread}
            }
          }
        `,
    ),
  })
  return shader.launch({
    label,
    slots: { ...inputsOf(inputs, (_, k) => input(k)), out: output(0) },
    uniforms: uniforms.values,
    workgroups: spread(Math.ceil(count / (WORKGROUP * width * each)), traits.maxWorkgroups),
  })
}
