// About how long a sweep will take, before it begins: from a few measured steps of its first trial, on a model that is
// thrown away.
import { z } from 'zod'
import { Trainer, settingsAmong } from '../../../trainer.ts'
import { SilentConsole } from '../../cli/console.ts'
import type { Options } from '../../cli/options.ts'
import type { Progress } from '../../cli/progress.ts'
import { version } from '../../package.ts'
import { openJob, prepare } from '../fine-tune/prepare.ts'
import { taskOf } from '../job.ts'
import { buildModel, fillModel } from '../model.ts'
import type { Shared } from '../shared.ts'

/** Steps before any counts: drivers compile in the first ones. */
const WARM_UP = 2
/** Steps that are measured. */
const STEPS = 5
/** Batches of an evaluation that is measured. */
const BATCHES = 2

const measuredSchema = z.object({
  training: z.number(),
  evaluation: z.number(),
  opening: z.number(),
  train: z.number(),
  validation: z.number(),
  test: z.number(),
  maxLength: z.number(),
})

/** What a message of a worker that has measured holds; undefined for other messages. */
export function measuredIn(message: unknown): Measured | undefined {
  return z.object({ measured: measuredSchema }).safeParse(message).data?.measured
}

/** What a few steps took, of a trial with these sets. */
export interface Measured {
  /** Seconds per training text, and per text of an evaluation. */
  readonly training: number
  readonly evaluation: number
  /** Seconds before the first step: what was loaded, and a plan made. */
  readonly opening: number
  /** Texts of each set. */
  readonly train: number
  readonly validation: number
  readonly test: number
  /** As the trial asked for it, which may be more than its model takes. */
  readonly maxLength: number
}

/** Measures a trial with these options, and fills `shared` with what its trials have in common. */
export async function measure(options: Options, shared: Shared, progress: Progress): Promise<Measured> {
  const silent = new SilentConsole()
  const job = await openJob(options, silent, progress, version, undefined, { shared })
  const began = performance.now()
  const [, texts] = await prepare(job, silent, progress)
  const { model } = await buildModel(job.options, job.opened, job.data.plan.task)
  await fillModel(model, job.opened, job.options)
  const opening = (performance.now() - began) / 1000
  const trainer = await Trainer.over(model, taskOf(job.options, job.data), {
    ...settingsAmong(job.options),
    padId: job.opened.tokenizer.padId,
    steps: WARM_UP + STEPS,
  })
  const told: { at: number; texts: number }[] = []
  await trainer.train(texts.train, [], undefined, {
    onStep: ({ examples }) => told.push({ at: performance.now(), texts: examples }),
  })
  // A run of fewer steps counts from its first.
  const from = told[Math.min(WARM_UP, told.length) - 1]
  const timed = told.slice(told.indexOf(from) + 1)
  const some = texts.test.slice(0, BATCHES * options.batchSize)
  await trainer.evaluate(some)
  const evaluated = performance.now()
  await trainer.evaluate(some)
  const evaluation = (performance.now() - evaluated) / 1000 / Math.max(1, some.length)
  const seen = timed.reduce((sum, { texts }) => sum + texts, 0)
  return {
    training: seen > 0 ? ((timed.at(-1)?.at ?? 0) - from.at) / 1000 / seen : 3 * evaluation,
    evaluation,
    opening,
    train: texts.train.length,
    validation: texts.validation.length,
    test: texts.test.length,
    maxLength: options.maxLength,
  }
}

/** Seconds of a trial: those that were measured, for its epochs and its evaluations. */
export function secondsOf(
  measured: Measured,
  { epochs, evaluateEvery, batchSize, accumulate, maxLength }: Options,
): number {
  // Most of a step's time is proportional to its tokens.
  const longer = maxLength / measured.maxLength
  const steps = Math.ceil(measured.train / (batchSize * accumulate))
  const evaluations = 1 + epochs * (evaluateEvery === undefined ? 1 : Math.max(1, Math.floor(steps / evaluateEvery)))
  const texts = measured.validation * (evaluations + 1) + measured.test
  return measured.opening + longer * (measured.train * epochs * measured.training + texts * measured.evaluation)
}
