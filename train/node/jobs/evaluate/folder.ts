// The folder of an evaluation: config.json, predictions.jsonl and result.json, as `compare` reads them of a run.
import { resolve } from 'node:path'
import { exists } from '../../../../models/node/files.ts'
import { textOf } from '../../../../models/prediction.ts'
import { version } from '../../package.ts'
import { EVALUATE } from '../../run/config.ts'
import { createRun } from '../../run/folder.ts'
import { nullable } from '../../run/json.ts'
import { predictionsOf, writePredictions } from '../../run/predictions.ts'
import type { Evaluated, Labelled } from '../evaluate.ts'

/** What an evaluation is written from, beside its answers. */
export interface EvaluationFacts {
  /** What the user calls the model. */
  readonly model: string
  /** The arguments after the model that repeat it. */
  readonly arguments: readonly string[]
  /** The options by their names in camelCase. */
  readonly options: object
  readonly columns: Labelled['facts']['columns']
  /** What the model computed on; `CPU` for a baseline. */
  readonly adapter: string
  /** Parameters of the model. */
  readonly parameters: number
  readonly gpuBytes?: number
  readonly seconds: number
}

/**
 * Writes an evaluation into a folder of its own; `result` is what `--json` prints. Throws a UserError if the folder is
 * taken or cannot be written.
 */
export async function writeEvaluation(
  folder: string,
  result: Readonly<Record<string, unknown>>,
  { plan, results, summary, inputs }: Evaluated,
  facts: EvaluationFacts,
): Promise<void> {
  const { model, columns, adapter, parameters, gpuBytes, seconds } = facts
  const run = await createRun(folder, {
    job: EVALUATE,
    tilegrad: version,
    node: process.version,
    created_at: new Date().toISOString(),
    arguments: [(await exists(model)) ? resolve(model) : model, ...facts.arguments],
    options: { ...facts.options, model },
    adapter: { name: adapter },
    data: { test: { rows: summary.rows }, columns, task: plan.task, labels: plan.labels },
  })
  const texts = inputs.map(input => ({
    text: textOf(input),
    ...(typeof input !== 'string' && 'pair' in input && { pair: input.pair }),
  }))
  await writePredictions(run, predictionsOf(results, texts))
  await run.writeResult({
    ...result,
    test_metrics: nullable(summary.metrics),
    parameters: { total: parameters },
    wall_seconds: seconds,
    ...(gpuBytes !== undefined && { gpu_bytes: gpuBytes }),
    adapter,
    tilegrad: version,
  })
}
