// `tilegrad export --merge`: a plain model folder from what was trained, which Transformers and others load without
// PEFT. Of a run that kept several evaluations' values (`--keep-best`), any of these.
import { rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { UserError } from '../../../engine/errors.ts'
import { ANSWERS_FILE, answersJson } from '../../../models/answers.ts'
import { type Classifier, mergedTensors, originOf } from '../../../models/index.ts'
import { exists, openSafetensors, openWeights, readJson, writeAtomic } from '../../../models/node/files.ts'
import { saveModel } from '../../../models/node/model.ts'
import { type OpenOptions, openTrained } from '../../../models/node/open-classifier.ts'
import { saveTokenizer } from '../../../models/node/tokenizer.ts'
import { loadKept } from '../run/checkpoints.ts'
import { transformerAt } from './predict.ts'

/** Nothing of a trained model is drawn, so the seed of fresh values is never used. */
const NO_SEED = 0

/** Which of a run's kept values: those after a step, or the best (1), the second best (2) and so on. */
export type Chosen = { readonly step: number } | { readonly best: number }

/** What result.json says of the values that a run kept, best first. */
const resultSchema = z.object({
  best_checkpoints: z.array(
    z.object({ step: z.int(), file: z.string().regex(/^checkpoints\/best-[0-9a-f]+\.safetensors$/) }),
  ),
})

/** The file of the chosen values. Throws a UserError if the run did not keep them. */
async function keptAt(source: string, chosen: Chosen): Promise<string> {
  const option = 'step' in chosen ? `--step ${chosen.step}` : `--best ${chosen.best}`
  const path = join(source, 'result.json')
  if (!(await exists(path))) throw new UserError(`${option} is for a finished run, and ${source} has no result.json`)
  const parsed = resultSchema.safeParse(await readJson(path))
  const kept = parsed.success ? parsed.data.best_checkpoints : []
  const found = 'step' in chosen ? kept.find(({ step }) => step === chosen.step) : kept.at(chosen.best - 1)
  if (found) return join(source, found.file)
  const steps = kept.map(({ step }) => step).join(', ')
  throw new UserError(
    `${option}: ${source} kept the values of ${kept.length === 0 ? 'no evaluation' : `these steps, best first: ${steps}`}` +
      ' (--keep-best K keeps more)',
  )
}

/** Puts kept values into a trained model. Throws a UserError if they are damaged or of another model. */
async function putBack(model: Classifier, path: string): Promise<void> {
  const file = await openSafetensors(path)
  const names = new Set(file.names())
  await file.close()
  const entries = model
    .parameters()
    .filter(({ name }) => names.delete(name))
    .map(parameter => ({ name: parameter.name, variable: parameter }))
  const [unknown] = names
  if (unknown !== undefined) throw new UserError(`${path} has ${unknown}, which the run's model does not have`)
  await loadKept(path, entries)
}

/**
 * Writes the model at `source` (a run, an adapter, a model) to `out`, its adapter merged into f32 weights. The folder
 * is written beside its place and renamed into it. With `chosen`, the values that the run at `source` kept of that
 * evaluation; a temperature or thresholds, which were fitted to the best one, are left out then.
 * @throws UserError where `out` exists or the run did not keep what was chosen, and as `openTrained` does
 */
export async function exportMerged(
  source: string,
  out: string,
  options: OpenOptions = {},
  chosen?: Chosen,
): Promise<void> {
  if (await exists(out)) throw new UserError(`${out} exists already: an export needs a folder of its own`)
  const kept = chosen && (await keptAt(source, chosen))
  const { model, tokenizer, answers: fitted, folder } = await openTrained(await transformerAt(source), options)
  if (kept !== undefined) await putBack(model, kept)
  const answers = kept === undefined ? fitted : { ...fitted, temperature: undefined, thresholds: undefined }
  const making = join(dirname(out), `.${process.pid}.export.tmp`)
  const weights = await openWeights(folder)
  try {
    await saveModel(making, model, mergedTensors(model, originOf(model, weights, NO_SEED)), answers.problem)
    await saveTokenizer(making, tokenizer, model.config)
    await writeAtomic(join(making, ANSWERS_FILE), `${JSON.stringify(answersJson(answers), null, 2)}\n`)
    await rename(making, out)
  } finally {
    await weights.close()
    await rm(making, { recursive: true, force: true })
  }
}
