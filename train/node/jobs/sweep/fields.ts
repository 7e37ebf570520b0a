// The fields of a sweep's spec: which there are, what each takes, and one line of error for what it does not.
import { z } from 'zod'
import { UserError } from '../../../../engine/errors.ts'
import { nearest } from '../../cli/table.ts'
import { COMMAND_NAMES } from './commands.ts'
import type { Path, Source } from './source.ts'

/** Most trials of a sweep. */
export const MOST_TRIALS = 10_000
/** Most elements of any list. */
const MOST_ELEMENTS = 1000

const takes = (what: string) => ({ error: `takes ${what}` })

function whole(least: number, most = Number.MAX_SAFE_INTEGER) {
  const says = takes(
    `a whole number ${most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`}`,
  )
  return z.int(says).min(least, says).max(most, says)
}

const oneOf = <const T extends readonly [string, ...string[]]>(...words: T) =>
  z.enum(words, takes(`${words.slice(0, -1).join(', ')} or ${words.at(-1)}`))
const flag = z.boolean(takes('true or false'))
const number = z.number(takes('a number'))

export const valueSchema = z.union([z.string(), number, flag], takes('a text, a number, true or false'))
export const valuesSchema = z
  .array(valueSchema, takes('a list of values'))
  .min(1, 'has no value')
  .max(MOST_ELEMENTS, `has more than ${MOST_ELEMENTS} values`)
export const rangeSchema = z.strictObject(
  {
    min: number,
    max: number,
    scale: oneOf('log', 'linear').optional(),
    step: number.optional(),
    integer: flag.optional(),
  },
  takes('min and max'),
)

const parameters = z.record(z.string(), z.unknown(), takes('parameters by the names of their options'))
const schema = z.strictObject(
  {
    /** What each trial runs. */
    command: oneOf(...COMMAND_NAMES).default('fine-tune'),
    search: oneOf('grid', 'random', 'tpe').default('grid'),
    settings: whole(1, MOST_TRIALS).optional(),
    seeds: z
      .array(whole(0, 2 ** 32 - 1), takes('a list of whole numbers'))
      .min(1, 'has no seed')
      .max(MOST_ELEMENTS, `has more than ${MOST_ELEMENTS} seeds`)
      .default([42]),
    seed: whole(0).default(0),
    metric: z.string(takes('the name of a metric')).default('accuracy'),
    direction: oneOf('maximize', 'minimize').optional(),
    /** Options that all trials share. */
    options: z.record(z.string(), valueSchema, takes('options by their names')).default({}),
    parameters: z.union(
      [parameters, z.array(parameters).min(1).max(MOST_ELEMENTS)],
      takes('parameters by the names of their options, or a list of such spaces'),
    ),
    halving: z
      .strictObject({ grace: whole(1, 1e6).default(1), factor: whole(2, 1e6).default(3) }, takes('grace and factor'))
      .optional(),
    tpe: z
      .strictObject(
        {
          startup: whole(1, MOST_TRIALS).optional(),
          candidates: whole(1, MOST_TRIALS).optional(),
          multivariate: flag.optional(),
        },
        takes('startup, candidates and multivariate'),
      )
      .optional(),
  },
  takes('fields such as parameters, options and search'),
)
export type Fields = Readonly<z.output<typeof schema>>

/** What is held under a path, undefined if nothing is. */
export function heldAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (held, key) => (typeof held === 'object' && held !== null ? Reflect.get(held, key) : undefined),
    value,
  )
}

/** A value in an error, shortened. */
export function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

/** An error of one field: the place, then what is wrong. */
export const fieldError = (source: Source, path: Path, says: string): UserError =>
  new UserError(`${source.where(path)}: ${says}`)

/** Fields of other tools, with what they are called here. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  trials: 'settings says how many are tried; each is one trial per seed',
  max: 'min and max belong to a parameter',
  method: 'it is called search',
  epochs: 'options that all trials share belong in options',
  model: 'options that all trials share belong in options',
  data: 'options that all trials share belong in options',
}

/** Reads what stands at `root` of a source by a schema. Throws a UserError on the first thing that is wrong. */
export function readBy<T extends z.ZodType>(type: T, source: Source, root: Path = []): z.output<T> {
  const { success, data, error } = type.safeParse(heldAt(source.value, root))
  if (success) return data
  // A misspelt field explains the one that is missing.
  const issue = error.issues.find(({ code }) => code === 'unrecognized_keys') ?? error.issues[0]
  const path = [...root, ...issue.path]
  if (issue.code === 'unrecognized_keys') {
    const [key] = issue.keys
    const inside = heldAt(type, ['def', 'shape'])
    const names =
      path.length === root.length && typeof inside === 'object' && inside !== null ? Object.keys(inside) : []
    const meant = nearest(key, names.length > 0 ? names : [key])
    const hint =
      (root.length === 0 && ELSEWHERE[key]) || (meant && meant !== key ? `did you mean ${meant}?` : undefined)
    throw fieldError(source, [...path, key], `unknown field${hint ? `: ${hint}` : ''}`)
  }
  const held = heldAt(source.value, path)
  throw fieldError(source, path, issue.message + (issue.message.startsWith('takes') ? `; got ${show(held)}` : ''))
}

export const readFields = (source: Source): Fields => readBy(schema, source)
