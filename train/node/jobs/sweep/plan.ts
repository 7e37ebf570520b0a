// What a sweep is, as its folder's sweep.json and the database have it: the search, and the command whose options it
// searches.
import { z } from 'zod'
import type { Values } from '../../../search/types.ts'
import { argumentsOf, settingText } from './check.ts'
import { COMMANDS, COMMAND_NAMES } from './commands.ts'

const value = z.union([z.string(), z.number(), z.boolean()])
/** The options of one setting. */
export const settingSchema = z.record(z.string(), value)
const range = z.object({
  min: z.number(),
  max: z.number(),
  scale: z.enum(['log', 'linear']).optional(),
  step: z.number().optional(),
  integer: z.boolean().optional(),
})
const parameter = z.union([z.object({ values: z.array(value).readonly() }), range])

export const specSchema = z.object({
  search: z.enum(['grid', 'random', 'tpe']),
  spaces: z.array(z.record(z.string(), parameter)).readonly(),
  settings: z.int().optional(),
  seeds: z.array(z.number()).readonly(),
  metric: z.string(),
  direction: z.enum(['maximize', 'minimize']),
  halving: z.object({ grace: z.number(), factor: z.number() }).optional(),
  tpe: z
    .object({
      startup: z.number().optional(),
      candidates: z.number().optional(),
      multivariate: z.boolean().optional(),
    })
    .optional(),
  seed: z.number(),
})

export const planSchema = z.object({
  /** What each trial runs. */
  command: z.enum(COMMAND_NAMES),
  spec: specSchema,
  /** Arguments that all trials share. */
  arguments: z.array(z.string()).readonly(),
})
export type Plan = Readonly<z.output<typeof planSchema>>

/** A trial as arguments of its command. */
export const trialArguments = (plan: Plan, { values, seed }: { values: Values; seed: number }): string[] => [
  ...plan.arguments,
  ...argumentsOf(values, COMMANDS[plan.command].flags),
  `--seed=${seed}`,
]

/** A trial for people: `lr=0.0001 lora-rank=8 seed=1`. */
export const trialText = ({ values, seed }: { values: Values; seed: number }): string =>
  settingText({ ...values, seed })
