// tilegrad.json, beside a model's or an adapter's files: what their own formats have no place for. Which task it is,
// what the classes are called, how long texts may be, and how scores become answers.
import { z } from 'zod'
import { UserError } from '../engine/errors.ts'
import { columnsSchema } from './columns-schema.ts'
import { checkFields } from './plain-issue.ts'
import type { Calibration, Problem } from './prediction.ts'

export const ANSWERS_FILE = 'tilegrad.json'

/** What a trained classifier needs besides its weights. */
export interface Answers extends Calibration {
  readonly problem: Problem
  /** Names of the classes by their number. */
  readonly labels: readonly string[]
  /** Longest text, or window of one, in tokens, as it was trained. */
  readonly maxLength: number
  /** Tokens that neighbouring windows of a longer text share; longer texts are cut when left out. */
  readonly window?: number
  /** Whether it was trained on pairs of texts; undefined where that is not known. */
  readonly pairs?: boolean
  /** The columns of the table that it was trained on; undefined where they are not known. */
  readonly columns?: NamedColumns
}

/** Names of a table's columns: of texts, of the second texts of pairs, of labels. */
export interface NamedColumns {
  readonly text: string
  readonly pair?: string | undefined
  readonly label?: string | undefined
}

const MOST_LABELS = 100_000
const PROBLEMS = [
  'single_label_classification',
  'multi_label_classification',
  'regression',
  'token_classification',
] as const

const schema = z.object({
  problem_type: z.enum(PROBLEMS),
  labels: z.array(z.string()).min(1).max(MOST_LABELS),
  max_length: z.int().min(3).max(1_000_000),
  window: z.int().min(0).max(1_000_000).optional(),
  pairs: z.boolean().optional(),
  columns: columnsSchema.optional(),
  temperature: z.number().positive().optional(),
  thresholds: z.array(z.number().min(0).max(1)).optional(),
})

/** Reads the object in a tilegrad.json. Throws a UserError naming `where` and the field. */
export function parseAnswers(json: unknown, where: string): Answers {
  const fields = checkFields(schema, json, where)
  const {
    problem_type: problem,
    labels,
    max_length: maxLength,
    window,
    pairs,
    columns,
    temperature,
    thresholds,
  } = fields
  if (thresholds && thresholds.length !== labels.length) {
    throw new UserError(`${where}: ${thresholds.length} thresholds for ${labels.length} labels`)
  }
  return {
    problem,
    labels,
    maxLength,
    ...(window !== undefined && { window }),
    ...(pairs !== undefined && { pairs }),
    ...(columns && { columns }),
    ...(temperature !== undefined && { temperature }),
    ...(thresholds && { thresholds }),
  }
}

/** The object of a tilegrad.json: `parseAnswers` of it gives the same again. */
export function answersJson({
  problem,
  labels,
  maxLength,
  window,
  pairs,
  columns,
  temperature,
  thresholds,
}: Answers): Record<string, unknown> {
  return { problem_type: problem, labels, max_length: maxLength, window, pairs, columns, temperature, thresholds }
}

/** Class names that say nothing but their number, which Transformers gives if there are no others. */
export function isGeneric(labels: readonly string[]): boolean {
  return labels.every((label, i) => label === `LABEL_${i}`)
}

/** What a model's own config.json says of its task, if there is no tilegrad.json. */
export function problemOf(config: unknown, labels: number): Problem {
  return statedProblem(config) ?? (labels === 1 ? 'regression' : 'single_label_classification')
}

/** The task that a model's own config.json names; undefined where it leaves that open. */
export function statedProblem(config: unknown): Problem | undefined {
  const { architectures, problem_type: problem } = (config ?? {}) as { architectures?: unknown; problem_type?: unknown }
  const [architecture] = Array.isArray(architectures) ? architectures.map(String) : []
  if (architecture?.endsWith('ForTokenClassification')) return 'token_classification'
  return PROBLEMS.find(name => name === problem)
}
