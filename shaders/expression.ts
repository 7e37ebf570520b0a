// Fused elementwise expressions, as the scheduler writes them: what they read, and how kernels evaluate them, one
// element or four neighbours at a time.
import type { Addressing, Scalars } from './addressing.ts'
import type { View } from './kernel.ts'
import { LETTERS, type ScalarType, computed, widened } from './wgsl.ts'

/** A number that an expression reads from the uniform buffer. */
export interface UniformScalar {
  readonly type: ScalarType
  readonly value: number
}

/** Random words, one per element, by `randomWord` of random.ts: WGSL of its arguments besides the element's number. */
export interface Draw {
  readonly stream: string
  /** `xk`, an input that is one number for all elements. */
  readonly step: string
  readonly seed: string
}

/**
 * A fused expression. Its lines may use `x0 … xn` (the loaded inputs, f16 widened to f32), `u.s0 … u.sn` (its scalars),
 * `random0 … randomn` (what it draws) and `i` (the element's linear number, u32); `result` is an expression of the
 * output's type, f32 standing for f16.
 */
export interface Body {
  readonly draws: readonly Draw[]
  readonly lines: readonly string[]
  readonly result: string
  readonly helpers: readonly string[]
  readonly scalars: readonly UniformScalar[]
}

/** An input as it is. */
export const copied: Body = { draws: [], lines: [], result: 'x0', helpers: [], scalars: [] }

/** Whether the WGSL of a body mentions a variable. */
export const mentions = ({ lines, result }: Body, name: string): boolean => {
  const whole = new RegExp(`\\b${name}\\b`)
  return lines.some(line => whole.test(line)) || whole.test(result)
}

/** Statements that draw the words of element `i` alone: a whole block for each. */
export const drawOne = ({ draws }: Body): string[] =>
  draws.map(({ stream, step, seed }, k) => `let random${k} = randomWord(i, ${stream}, ${step}, ${seed});`)

/** Something of each input, by the names `in0 … inn` of their bindings. */
export const inputsOf = <T>(inputs: readonly View[], of: (view: View, k: number) => T): Record<string, T> =>
  Object.fromEntries(inputs.map((view, k) => [`in${k}`, of(view, k)]))

export const loadInputs = (inputs: readonly View[], addresses: readonly string[]): string[] =>
  inputs.map(({ dtype }, k) => `let x${k} = ${widened(`in${k}[${addresses[k]}]`, dtype)};`)

/** Everything before a body's own lines, for element `i`. */
export const evaluate = (body: Body, inputs: readonly View[], { coordinates, addresses }: Addressing): string[] => [
  ...coordinates,
  ...loadInputs(inputs, addresses),
  ...drawOne(body),
  ...body.lines,
]

/** Adds a body's own scalars to the uniforms. */
export function addScalars({ scalars }: Body, to: Scalars): void {
  scalars.forEach(({ type, value }, k) => to.add(`s${k}`, value, type))
}

/**
 * A body as a function that is called for each of the elements i … i + 3, where i is a multiple of four. These share a
 * block of random words (each gets the word that it would draw alone), the loads of what is read `asVec4` and, if rows
 * are multiples of four long, all coordinates but the last. What they share is computed once, and passed to the
 * function besides `i`.
 */
export interface ByVec4s {
  readonly parameters: string
  /** The function's statements. */
  readonly lines: readonly string[]
  /** Statements before its calls. */
  readonly before: readonly string[]
  /** Arguments of its `q`-th call, beginning with `i`. */
  call(q: number): string
}

export function byVec4s(body: Body, inputs: readonly View[], at: Addressing, asVec4: readonly boolean[] = []): ByVec4s {
  const loads = loadInputs(inputs, at.addresses)
  const wide = inputs.flatMap((_, k) => (asVec4[k] ? [k] : []))
  // A step's one number is loaded before the calls, and again where the body's own lines read it too.
  const isStep = (k: number): boolean => body.draws.some(({ step }) => step === `x${k}`)
  const names = at.wholeVec4s ? at.names : []
  return {
    parameters: [
      ...names.map(name => `, ${name}: u32`),
      ...wide.map(k => `, x${k}: ${computed(inputs[k].dtype)}`),
      ...body.draws.map((_, k) => `, random${k}: u32`),
    ].join(''),
    lines: [
      ...(at.wholeVec4s ? [] : at.coordinates),
      ...loads.filter((_, k) => !asVec4[k] && (!isStep(k) || mentions(body, `x${k}`))),
      ...body.lines,
    ],
    before: [
      ...(at.wholeVec4s ? at.coordinates : []),
      ...wide.map(k => `let wide${k} = vec4<${computed(inputs[k].dtype)}>(in${k}[(${at.addresses[k]}) / 4u]);`),
      ...loads.filter((_, k) => isStep(k)),
      ...body.draws.map(
        ({ stream, step, seed }, k) => `let random${k} = randomBlock(i / 4u, ${stream}, ${step}, ${seed});`,
      ),
    ],
    call: q => {
      const nth = (name: string): string => (q === 0 ? name : `${name} + ${q}u`)
      const coordinates = names.map((name, axis) => (axis === names.length - 1 ? nth(name) : name))
      const own = [...wide.map(k => `wide${k}`), ...body.draws.map((_, k) => `random${k}`)].map(
        name => `${name}.${LETTERS[q]}`,
      )
      return [nth('i'), ...coordinates, ...own].join(', ')
    },
  }
}
