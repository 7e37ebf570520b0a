// What tests of sweeps share: a sweep of a tiny model, and what of its results no clock tells.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { Workplace } from './command.ts'

/** Options of a trial of 24 steps with 3 evaluations and a checkpoint after each step. */
export const trialOptions = (place: Workplace): Record<string, string | number | boolean> => ({
  model: place.model,
  data: place.reviews,
  'max-length': 8,
  'batch-size': 4,
  epochs: 2,
  'limit-train': 64,
  'limit-test': 16,
  'val-split': 16,
  'lora-targets': 'query,value',
  'lora-dropout': 0.1,
  'evaluate-every': 8,
  'checkpoint-every': 0,
  'tune-kernels': 'off',
  'no-report': true,
})

const trial = z.looseObject({
  number: z.number(),
  values: z.record(z.string(), z.unknown()),
  seed: z.number(),
  state: z.string(),
  value: z.number().nullable(),
  intermediate: z.array(z.unknown()),
  attempts: z.number(),
  error: z.string().nullable(),
  result: z.record(z.string(), z.unknown()).nullable(),
})
export type SweptTrial = z.output<typeof trial>

/** The trials of trials.json in a sweep's folder. */
export async function trialsOf(folder: string): Promise<SweptTrial[]> {
  const json: unknown = JSON.parse(await readFile(join(folder, 'trials.json'), 'utf8'))
  return z.object({ trials: z.array(trial) }).parse(json).trials
}

/** Figures of a result that a clock or the driver tells, or that name its folder. */
const CLOCK = ['examples_per_second', 'wall_seconds', 'gpu_bytes', 'gpu_buffers']

/** What of a trial must be the same whoever made it, and however often its worker was killed. */
export const bitsOf = ({ number, values, seed, state, value, intermediate, result }: SweptTrial) => ({
  number,
  values,
  seed,
  state,
  value,
  intermediate,
  result: result && Object.fromEntries(Object.entries(result).filter(([name]) => !CLOCK.includes(name))),
})
