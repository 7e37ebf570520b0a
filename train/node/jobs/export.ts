// `tilegrad export --merge`: a plain model folder from what was trained, which Transformers and others load without PEFT.
import { rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { UserError } from '../../../engine/errors.ts'
import { ANSWERS_FILE, answersJson } from '../../../models/answers.ts'
import { mergedTensors, originOf } from '../../../models/index.ts'
import { exists, openWeights, writeAtomic } from '../../../models/node/files.ts'
import { saveModel } from '../../../models/node/model.ts'
import { type OpenOptions, openTrained } from '../../../models/node/open-classifier.ts'
import { saveTokenizer } from '../../../models/node/tokenizer.ts'
import { trainedAt } from './predict.ts'

/** Nothing of a trained model is drawn, so the seed of fresh values is never used. */
const NO_SEED = 0

/**
 * Writes the model at `source` (a run, an adapter, a model) to `out`, its adapter merged into f32 weights. The folder is
 * written beside its place and renamed into it.
 * @throws UserError where `out` exists, and as `openTrained` does
 */
export async function exportMerged(source: string, out: string, options: OpenOptions = {}): Promise<void> {
  if (await exists(out)) throw new UserError(`${out} exists already: an export needs a folder of its own`)
  const { model, tokenizer, answers, folder } = await openTrained(await trainedAt(source), options)
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
