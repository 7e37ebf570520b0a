// The small vocabulary that shaders are written in: an indenting writer, type names, enables, uniform structs.
import { uniformWords } from './kernel.ts'
import type { DType } from './kernel.ts'

/** Collects lines of WGSL, indented by block. */
export class Writer {
  readonly #lines: string[] = []
  #depth = 0

  /** Adds lines at the present depth; an empty string leaves a blank line. */
  line(...texts: string[]): this {
    for (const text of texts) this.#lines.push(text === '' ? '' : '  '.repeat(this.#depth) + text)
    return this
  }

  /** `head {` … `}` around what `body` writes; a bare scope for an empty head. */
  block(head: string, body: () => void): this {
    this.line(head === '' ? '{' : `${head} {`)
    this.#depth++
    body()
    this.#depth--
    return this.line('}')
  }

  toString(): string {
    return this.#lines.join('\n') + '\n'
  }
}

/** Components of a vector. */
export const LETTERS = ['x', 'y', 'z', 'w'] as const

/** `f32`, `vec4<f16>`, … */
export function typeName(dtype: DType, width: 1 | 4 = 1): string {
  return width === 1 ? dtype : `vec4<${dtype}>`
}

/** An expression of `dtype` as f32 (sums and arithmetic are always f32). */
export function asF32(expression: string, dtype: DType, width: 1 | 4 = 1): string {
  if (dtype === 'f32') return expression
  return width === 1 ? `f32(${expression})` : `vec4f(${expression})`
}

/** An f32 expression as what a buffer of `dtype` stores. */
export function fromF32(expression: string, dtype: DType, width: 1 | 4 = 1): string {
  return dtype === 'f32' ? expression : `${typeName(dtype, width)}(${expression})`
}

/** The `enable` lines that a module must begin with. */
export function enables(needs: { readonly dtypes: readonly DType[]; readonly subgroups?: boolean; readonly matrices?: boolean }): string[] {
  const lines: string[] = []
  if (needs.dtypes.includes('f16') || needs.matrices) lines.push('enable f16;')
  if (needs.subgroups) lines.push('enable subgroups;')
  if (needs.matrices) {
    lines.push('enable chromium_experimental_subgroup_matrix;')
    // Places in memory that follow from a subgroup's number are equal in all of its lanes; the compiler knows of workgroups only.
    lines.push('diagnostic(off, chromium.subgroup_matrix_uniformity);')
  }
  return lines
}

/** A uniform word: an integer (u32) or a float. */
export type Word = number | { readonly f32: number }

/** Name and type of one word. */
export type UniformField = readonly [name: string, type: 'u32' | 'i32' | 'f32']

/** A uniform struct whose fields stand in one place: `text` for the shader, `pack` for the launch. */
export class Uniforms {
  readonly #fields: readonly UniformField[]

  constructor(fields: readonly UniformField[]) {
    this.#fields = fields
  }

  declare(writer: Writer, binding: number): void {
    writer.block('struct Uniforms', () => {
      for (const [name, type] of this.#fields) writer.line(`${name}: ${type},`)
    })
    writer.line(`@group(0) @binding(${binding}) var<uniform> u: Uniforms;`)
  }

  /** The words in the struct's order. Throws where a field has no value. */
  pack(values: Readonly<Record<string, number>>): Uint32Array<ArrayBuffer> {
    return uniformWords(this.#fields.map(([name, type]): Word => {
      const value = values[name]
      if (value === undefined) throw new Error(`uniform ${name} has no value`)
      return type === 'f32' ? { f32: value } : value
    }))
  }
}
