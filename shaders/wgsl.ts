// How every kernel is written: WGSL in template literals, indented as it reads, and one declaration of what a kernel
// binds, from which both its text and its launches are made.
import type { DType, Launch, Slot } from './kernel.ts'

/** What a template may hold: text, numbers, lists (a line each), and nothing (`undefined`, `false`, `''`). */
export type Part = string | number | false | undefined | readonly Part[]

/**
 * A piece of WGSL. The common indentation of the template's lines is removed, and a part of several lines is indented
 * like the line that it is inserted into. A line with nothing but empty parts is left out. There is no newline at the
 * end.
 */
export function wgsl(template: TemplateStringsArray, ...parts: readonly Part[]): string {
  const texts = textsOf(template)
  let [done, line] = ['', '']
  const append = (text: string): void => {
    const end = text.lastIndexOf('\n') + 1
    if (end > 0) done += line + text.slice(0, end)
    line = end > 0 ? text.slice(end) : line + text
  }
  append(texts[0])
  parts.forEach((part, k) => {
    const text = textOf(part)
    const next = texts[k + 1]
    const isEmptyLine = text === '' && line.trim() === ''
    if (isEmptyLine && next.startsWith('\n')) {
      line = ''
      append(next.slice(1))
    } else if (isEmptyLine && next === '' && k === parts.length - 1) {
      line = ''
      done = done.slice(0, -1)
    } else {
      append(text.includes('\n') ? text.replace(/\n(?=[^\n])/g, `\n${/^ */.exec(line)?.[0] ?? ''}`) : text)
      append(next)
    }
  })
  return done + line
}

function textOf(part: Part): string {
  if (typeof part === 'string') return part
  if (part === undefined || part === false) return ''
  return typeof part === 'number' ? String(part) : joined(part, '\n')
}

const joined = (parts: readonly Part[], separator: string): string =>
  parts
    .map(textOf)
    .filter(text => text !== '')
    .join(separator)

const dedented = new WeakMap<TemplateStringsArray, readonly string[]>()

/** The strings of a template without their common indentation, and without the line breaks at its ends. */
function textsOf(template: TemplateStringsArray): readonly string[] {
  const known = dedented.get(template)
  if (known) return known
  const whole = template.join('\0').replace(/^\n/, '').replace(/\n *$/, '')
  const margin = Math.min(...Array.from(whole.matchAll(/^( *)[^ \n]/gm), ([, spaces]) => spaces.length))
  const texts = whole.replace(new RegExp(`^ {${Number.isFinite(margin) ? margin : 0}}`, 'gm'), '').split('\0')
  dedented.set(template, texts)
  return texts
}

/** The tag `wgsl` if the condition holds, else one that leaves the text out. */
export const when = (condition: boolean | undefined): typeof wgsl => (condition ? wgsl : () => '')

/** Parts with a blank line between them. */
export const paragraphs = (...parts: readonly Part[]): string => joined(parts, '\n\n')

/** A scope of its own, or what follows an `if (…) ` or `for (…) `. */
export const scope = (lines: Part): string => wgsl`
  {
    ${lines}
  }
`

/** A line (or several) for each number below `count`. */
export const each = (count: number, line: (i: number) => Part): string =>
  textOf(Array.from({ length: count }, (_, i) => line(i)))

/** The same in one line, `separator` between them. */
export const list = (count: number, item: (i: number) => string, separator = ', '): string =>
  Array.from({ length: count }, (_, i) => item(i)).join(separator)

/** `text + number`, or `text` alone for 0. */
export const plus = (text: string, number: number): string => (number === 0 ? text : `${text} + ${number}u`)

/** Components of a vector. */
export const LETTERS = ['x', 'y', 'z', 'w'] as const

export type Width = 1 | 2 | 4

/** `f32`, `vec4<f16>`, … */
export const typeName = (dtype: DType, width: Width = 1): string => (width === 1 ? dtype : `vec${width}<${dtype}>`)

/** What expressions compute in: f32 for f16. */
export const computed = (dtype: DType): ScalarType => (dtype === 'f16' ? 'f32' : dtype)

/** A loaded value as what expressions compute in. */
export const widened = (expression: string, dtype: DType, width: Width = 1): string =>
  dtype === 'f16' ? `${typeName('f32', width)}(${expression})` : expression

/** A computed value as what a buffer of `dtype` stores. */
export const narrowed = (expression: string, dtype: DType, width: Width = 1): string =>
  dtype === 'f16' ? `${typeName('f16', width)}(${expression})` : expression

export type ScalarType = 'f32' | 'i32' | 'u32'

/**
 * One storage buffer of a kernel, by the type of its elements (`f32`, `vec4<f16>`, `atomic<u32>`): read only, or what
 * `written` or `updated` gives.
 */
export type Binding = string | { readonly type: string; readonly access: 'write' | 'update' }

export const written = (type: string): Binding => ({ type, access: 'write' })

/** Each element is read once and written. */
export const updated = (type: string): Binding => ({ type, access: 'update' })

export interface ShaderParts {
  /** Kernel and config: the text's first line. */
  readonly title: string
  /** By name, in the order of their numbers. */
  readonly bindings: Readonly<Record<string, Binding>>
  /** Scalars that shape no code. They are read as `u.name`. */
  readonly uniforms: Readonly<Record<string, ScalarType>>
  readonly needs?: { readonly subgroups?: boolean; readonly matrices?: boolean }
  /** Everything after the declarations. */
  readonly code: string
}

/** What a launch says besides its shader's own. */
interface Use extends Pick<Launch, 'label' | 'workgroups' | 'operations'> {
  /** By the bindings' names. */
  readonly slots: Readonly<Record<string, Slot>>
  readonly uniforms: Readonly<Record<string, number>>
}

/** A kernel with its bindings and uniforms. */
export class Shader {
  readonly text: string
  readonly #buffers: readonly { readonly name: string; readonly type: string; readonly access?: 'write' | 'update' }[]
  readonly #uniforms: Readonly<Record<string, ScalarType>>

  constructor({ title, bindings, uniforms, needs = {}, code }: ShaderParts) {
    this.#buffers = Object.entries(bindings).map(([name, binding]) =>
      typeof binding === 'string' ? { name, type: binding } : { name, ...binding },
    )
    this.#uniforms = uniforms
    const half = needs.matrices || this.#buffers.some(({ type }) => type.includes('f16'))
    const declared = this.#buffers.map(
      ({ name, type, access }, k) =>
        `@group(0) @binding(${k}) var<storage, ${access ? 'read_write' : 'read'}> ${name}: array<${type}>;`,
    )
    this.text =
      wgsl`
      // ${title}
      ${half && 'enable f16;'}
      ${needs.subgroups && 'enable subgroups;'}
      ${when(needs.matrices)`
        enable chromium_experimental_subgroup_matrix;
        // Offsets that depend on the subgroup's number are uniform in it; the compiler only proves that of workgroups.
        diagnostic(off, chromium.subgroup_matrix_uniformity);
      `}

      struct Uniforms {
        ${Object.entries(uniforms).map(([name, type]) => `${name}: ${type},`)}
      }
      ${declared}
      @group(0) @binding(${declared.length}) var<uniform> u: Uniforms;

      ${code}
    ` + '\n'
  }

  /** A dispatch. Throws if a binding has no slot or a uniform no value. */
  launch({ slots, uniforms, ...use }: Use): Launch {
    const numbersOf = (...accesses: readonly unknown[]): number[] =>
      this.#buffers.flatMap(({ access }, k) => (accesses.includes(access) ? [k] : []))
    const updates = numbersOf('update')
    return {
      ...use,
      wgsl: this.text,
      writes: numbersOf('write', 'update'),
      ...(updates.length > 0 ? { updates } : {}),
      slots: this.#buffers.map(({ name }) => valueOf(slots, name)),
      uniforms: packed(Object.entries(this.#uniforms).map(([name, type]) => [type, valueOf(uniforms, name)])),
    }
  }
}

function valueOf<T>(values: Readonly<Record<string, T>>, name: string): T {
  const value = values[name]
  if (value === undefined) throw new Error(`${name} has no value`)
  return value
}

/** The 32-bit words of scalars. */
export function packed(scalars: readonly (readonly [type: ScalarType, value: number])[]): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(scalars.length)
  const floats = new Float32Array(words.buffer)
  scalars.forEach(([type, value], i) => {
    if (type === 'f32') floats[i] = value
    else words[i] = value
  })
  return words
}

/**
 * Arguments of `main` in kernels whose workgroups are spread over x and y: their number is `group.x + group.y *
 * groups.x`.
 */
export const MAIN =
  '@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32'
