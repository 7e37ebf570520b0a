// What config.json of a run's folder says: written once, when the run begins, and read through this schema ever after.
import { z } from 'zod'
import { UserError } from '../../../engine/errors.ts'
import type { AdapterInfo } from '../../../engine/index.ts'

/** The job that config.json names in the folder of an evaluation. */
export const EVALUATE = 'evaluate'

const text = z.string().optional()
const texts = z.union([z.string(), z.array(z.string())]).optional()

const schema = z.looseObject({
  /** The kind of job, where it is not fine-tuning. */
  job: text,
  /** What a model that was measured beside a run is. */
  title: text,
  /** The version of tilegrad that began the run. */
  tilegrad: text,
  /** The command-line arguments that repeat the run, with absolute paths. */
  arguments: z.array(z.string()).optional(),
  /** What the arguments were resolved to. */
  options: z
    .looseObject({ preset: text, data: texts, exclude: texts, model: text, tokenizer: text, teacher: text })
    .optional(),
  /** Where the texts of pretraining come from, in a few words. */
  source: text,
  /** Commits of the Hub's model (or adapter, with its base), data set and teacher. */
  commits: z.looseObject({ model: text, base: text, data: text, teacher: text }).optional(),
  /** By which the rows of the test set were drawn. */
  test_seed: z.int().optional(),
  /** Hashes of what the run reads. */
  fingerprints: z.record(z.string(), z.string()).optional(),
  /** The adapter that the run began on. */
  adapter: z.looseObject({ name: text, driver: text }).optional(),
})

export type RunConfig = Readonly<z.output<typeof schema>>

/** Checks the JSON of a config.json. Throws a UserError that names the file and the field. */
export function parseRunConfig(json: unknown, folder: string, path: string): RunConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new UserError(`${folder} is not a run folder: ${path} holds no JSON object`)
  }
  const { success, data, error } = schema.safeParse(json)
  if (success) return data
  const [{ path: field, message }] = error.issues
  throw new UserError(`${folder} is not a run folder: ${path}: ${field.join('.')}: ${message}`)
}

/** The arguments that repeat a run, with the Hub's models and data as the commits that they were. */
export function pinnedArguments({ arguments: given = [], commits = {} }: RunConfig): string[] {
  return given.map(argument => {
    const [, what, name] = /^--(model|data|teacher)=([^@]+)/.exec(argument) ?? []
    const commit = what === 'model' || what === 'data' || what === 'teacher' ? commits[what] : undefined
    return commit === undefined ? argument : `--${what}=${name}@${commit}`
  })
}

/** An adapter as `config.json` and the result record it. */
export function describeAdapter({
  name,
  vendor,
  architecture,
  backend,
  driver,
  fallback,
}: AdapterInfo): Record<string, unknown> {
  return { name, vendor, architecture, backend, driver, software: fallback }
}
