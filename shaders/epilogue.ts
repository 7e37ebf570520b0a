// Epilogues: an expression that another kernel applies to each of its results before it stores them.
import { type Addressing, Scalars, addressing } from './addressing.ts'
import { type Body, addScalars, byVec4s, evaluate, inputsOf } from './expression.ts'
import { type FloatType, type Slot, type View, epilogueInput, epilogueOutput } from './kernel.ts'
import { functionsText } from './math.ts'
import { type Binding, LETTERS, type ScalarType, narrowed, paragraphs, typeName, wgsl, when, written } from './wgsl.ts'

export interface Epilogue {
  readonly label: string
  /** Of the result, and of all views. */
  readonly shape: readonly number[]
  /** What the expression reads besides, already broadcast to the result's shape. Bound as `in0 … inn`. */
  readonly inputs: readonly View[]
  /** Its lines may use `value`, the kernel's own result in f32, besides what `Body` says. */
  readonly body: Body
  readonly dtype: FloatType
  /** Whether the kernel's own result is stored too, for other readers. */
  readonly storesResult: boolean
  /** A function of `value` alone, stored in place of the kernel's own result and in its dtype. Needs `storesResult`. */
  readonly storedInstead?: Body
}

/** How a kernel ends: what it stores, with or without an epilogue. */
export interface Ending {
  /**
   * Inputs of the epilogue, then `out` (the kernel's own result, or what is stored instead), then `epilogueOut`, the
   * epilogue's result.
   */
  readonly bindings: Readonly<Record<string, Binding>>
  readonly uniforms: Readonly<Record<string, ScalarType>>
  readonly values: Readonly<Record<string, number>>
  /**
   * `fn epilogue(value: f32, i: u32) -> f32` for element `i` of `shape`, or `fn epilogue4(value: vec4f, i: u32) ->
   * vec4f` for elements i … i + 3, where `i` must be a multiple of four: rows are multiples of four long where they are
   * stored so. With `storedInstead` also `fn storedInstead(value: f32) -> f32`, or `storedInstead4`, of what replaces
   * the kernel's result.
   */
  readonly functions: string
  /**
   * Stores the f32 variable `value`, element number `i` (or four from there on, a multiple of four), at `index` of the
   * output.
   */
  store(value: string, index: string, i: string): string[]
}

/** Of a kernel that stores `dtype`, `width` elements at a time. */
export function endingOf(epilogue: Epilogue | undefined, dtype: FloatType, width: 1 | 4): Ending {
  const scalars = new Scalars()
  const out = written(typeName(dtype, width))
  const storeOut = (index: string, value: string): string => `out[${index}] = ${narrowed(value, dtype, width)};`
  if (!epilogue) {
    return { bindings: { out }, uniforms: {}, values: {}, functions: '', store: (value, at) => [storeOut(at, value)] }
  }
  const { shape, inputs, body, storesResult, storedInstead } = epilogue
  const at = addressing(shape, inputs, scalars)
  addScalars(body, scalars)
  const suffix = width === 4 ? '4' : ''
  return {
    bindings: {
      ...inputsOf(inputs, ({ dtype }, k) => typeName(dtype, width === 4 && at.asVec4[k] ? 4 : 1)),
      ...(storesResult ? { out } : {}),
      epilogueOut: written(typeName(epilogue.dtype, width)),
    },
    uniforms: scalars.types,
    values: scalars.values,
    functions: paragraphs(
      functionsText([...body.helpers, ...(storedInstead?.helpers ?? [])]),
      width === 4
        ? vec4Functions(body, inputs, at)
        : expressionFunction('epilogue(value: f32, i: u32)', evaluate(body, inputs, at), body.result),
      storedInstead && expressionFunction('storedInstead(value: f32)', storedInstead.lines, storedInstead.result),
      when(storedInstead !== undefined && width === 4)`
        fn storedInstead4(value: vec4f) -> vec4f {
          return vec4f(${LETTERS.map(letter => `storedInstead(value.${letter})`).join(', ')});
        }
      `,
    ),
    store: (value, index, i) => [
      ...(storesResult ? [storeOut(index, storedInstead ? `storedInstead${suffix}(${value})` : value)] : []),
      `epilogueOut[${index}] = ${narrowed(`epilogue${suffix}(${value}, ${i})`, epilogue.dtype, width)};`,
    ],
  }
}

const expressionFunction = (head: string, lines: readonly string[], result: string): string => wgsl`
  fn ${head} -> f32 {
    ${lines}
    return ${result};
  }
`

function vec4Functions(body: Body, inputs: readonly View[], at: Addressing): string {
  const vec4s = byVec4s(body, inputs, at, at.asVec4)
  return wgsl`
    ${expressionFunction(`epilogue(value: f32, i: u32${vec4s.parameters})`, vec4s.lines, body.result)}

    fn epilogue4(value: vec4f, i: u32) -> vec4f {
      ${vec4s.before}
      return vec4f(
        ${LETTERS.map((letter, q) => `epilogue(value.${letter}, ${vec4s.call(q)}),`)}
      );
    }
  `
}

/** The slots of `Ending.bindings`, where the kernel's own result is stored to `out`. */
export const endingSlots = (epilogue: Epilogue | undefined, out: Slot): Record<string, Slot> => ({
  ...inputsOf(epilogue?.inputs ?? [], (_, k) => epilogueInput(k)),
  out,
  epilogueOut: epilogueOutput,
})
