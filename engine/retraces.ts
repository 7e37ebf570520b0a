// Warns once if a compiled function is traced again and again, and says which argument differs.
import { Fixed, type Given, mapLeaves } from './tree.ts'
import { Tensor } from './tensor.ts'
import { showSpec } from './shape.ts'

/** Traces after which a function warns, unless it is told otherwise. */
export const MOST_TRACES = 10
/** Values that the warning shows. */
const SHOWN = 4

export class Retraces {
  readonly #fn: (...args: never) => unknown
  readonly #most: number
  #traces = 0
  /** By path of an argument: what it was in each trace, every value once. */
  readonly #seen = new Map<string, Set<string>>()

  constructor(fn: (...args: never) => unknown, most: number) {
    this.#fn = fn
    this.#most = most
  }

  /** Notes a trace for arguments that it hasn't seen. Returns the warning when it is time for it. */
  note(args: readonly Given[]): string | undefined {
    if (++this.#traces > this.#most) return undefined
    mapLeaves(args, (leaf, path) => {
      const values = this.#seen.get(path) ?? new Set()
      this.#seen.set(path, values.add(leaf instanceof Tensor ? showSpec(leaf) : textOf(leaf)))
    })
    return this.#traces === this.#most ? this.#warning() : undefined
  }

  #warning(): string {
    const [[path, values]] = [...this.#seen].sort(([, a], [, b]) => b.size - a.size)
    const shown = [...values].slice(-SHOWN).join(', ')
    const isFixed = [...values].some(value => value.startsWith('fixed('))
    const advice = isFixed
      ? 'pass a number without fixed() to use one plan for all'
      : 'pad it to a few sizes (bucketSize), or allow more with compile(fn, { traces })'
    const what = `${nameOf(this.#fn)} was traced ${this.#traces} times, because ${describe(path, this.#fn)} differs`
    return `tilegrad: ${what}: …, ${shown}. Each trace compiles a plan: ${advice}.`
  }
}

/** `the compiled function step`, or `a compiled function` if it has no name. */
export const nameOf = ({ name }: (...args: never) => unknown): string =>
  name === '' ? 'a compiled function' : `the compiled function ${name}`

function textOf(leaf: unknown): string {
  if (leaf instanceof Fixed) return `fixed(${leaf.number})`
  return typeof leaf === 'string' ? JSON.stringify(leaf) : String(leaf)
}

/** `argument 2 (batch.ids)` from `1.ids`. */
function describe(path: string, fn: (...args: never) => unknown): string {
  const [position, ...rest] = path.split('.')
  const name = namesOf(fn)?.[Number(position)]
  const place = `argument ${Number(position) + 1}`
  if (name === undefined) return rest.length === 0 ? place : `${rest.join('.')} of ${place}`
  return `${place} (${[name, ...rest].join('.')})`
}

/** The names of a function's parameters, if its text lists names and nothing else. */
function namesOf(fn: (...args: never) => unknown): string[] | undefined {
  const list = /^(?:function\b[^(]*)?\(([\w$\s,]*)\)/.exec(fn.toString()) ?? /^([\w$]+)\s*=>/.exec(fn.toString())
  return list?.[1].split(',').map(name => name.trim())
}
