// What is kept of a baseline besides its numbers, as JSON: the steps that its texts go through, how its features are
// weighted, and how scores become answers.
import { z } from 'zod'
import { UserError } from '../../engine/errors.ts'
import { columnsSchema } from '../../models/columns-schema.ts'
import { checkFields } from '../../models/plain-issue.ts'
import { MODELS } from './model.ts'
import { STOP_WORDS } from './steps.ts'
import { WEIGHTINGS } from './weighting.ts'

const FORMAT = 1

const schema = z.object({
  /** Of these files: a later version that reads texts in another way has another number. */
  format: z.literal(FORMAT),
  model: z.enum(MODELS),
  steps: z.object({
    html: z.boolean(),
    urls: z.boolean(),
    emojis: z.boolean(),
    punctuation: z.boolean(),
    chatWords: z.boolean(),
    spelling: z.boolean(),
    lowerCase: z.boolean(),
    stopWords: z.enum(STOP_WORDS),
    lemmatise: z.boolean(),
    stem: z.boolean(),
  }),
  features: z.object({ weighting: z.enum(WEIGHTINGS), sublinear: z.boolean() }),
  answers: z.object({
    problem: z.enum(['single_label_classification', 'multi_label_classification']),
    labels: z.array(z.string()).min(2),
    pairs: z.boolean(),
    columns: columnsSchema.optional(),
    temperature: z.number().positive().optional(),
    thresholds: z.array(z.number().min(0).max(1)).optional(),
  }),
})

export type BaselineSettings = Readonly<Omit<z.output<typeof schema>, 'format'>>

export const settingsJson = (settings: BaselineSettings): Record<string, unknown> => ({ format: FORMAT, ...settings })

/** Reads the object in a baseline.json. Throws a UserError naming `where` and the field. */
export function parseSettings(json: unknown, where: string): BaselineSettings {
  const { format: _format, ...settings } = checkFields(schema, json, where)
  const { labels, thresholds } = settings.answers
  if (thresholds && thresholds.length !== labels.length)
    throw new UserError(`${where}: ${thresholds.length} thresholds for ${labels.length} labels`)
  return settings
}
