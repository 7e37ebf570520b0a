// Kernels without communication: the same statements for each number of a range.
import { elementsEach } from './elementwise.ts'
import { type Launch, type Slot, type Traits, spread } from './kernel.ts'
import { type Binding, MAIN, type Part, type ScalarType, Shader, wgsl } from './wgsl.ts'

const WORKGROUP = 64

export interface PerElement {
  readonly title: string
  readonly bindings: Readonly<Record<string, Binding>>
  readonly uniforms: Readonly<Record<string, ScalarType>>
  /** Helper functions. */
  readonly functions?: string
  /** Statements for element `i`. */
  readonly body: Part
}

/** A launch with `body` for each i below `n`. */
export function perElement(
  { title, bindings, uniforms, functions, body }: PerElement,
  n: number,
  slots: Readonly<Record<string, Slot>>,
  values: Readonly<Record<string, number>>,
  traits: Traits,
): Launch {
  const each = elementsEach(n, traits)
  const block = WORKGROUP * 2 ** Math.floor(Math.log2(each))
  const shader = new Shader({
    title: `${title}, ${block} elements per workgroup`,
    bindings,
    uniforms: { n: 'u32', ...uniforms },
    code: wgsl`
      ${functions}

      @compute @workgroup_size(${WORKGROUP})
      fn main(${MAIN}) {
        let first = (group.x + group.y * groups.x) * ${block}u + local;
        let end = min(first + ${block}u, u.n);
        for (var i = first; i < end; i += ${WORKGROUP}u) {
          ${body}
        }
      }
    `,
  })
  return shader.launch({
    label: title,
    slots,
    uniforms: { n, ...values },
    workgroups: spread(Math.ceil(n / block), traits.maxWorkgroups),
  })
}
