// The teacher of a pretraining run: a larger masked-language model with the same vocabulary, which reads every batch that
// the student reads.
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { UserError } from '../../../../engine/index.ts'
import { createMaskedModel, initialise, loadWeights } from '../../../../models/index.ts'
import type { MaskedModel } from '../../../../models/masked.ts'
import { type Tokenizer, flagsOfBert } from '../../../../models/tokenizer.ts'
import { DistilledMaskedLM } from '../../../tasks/distilled-masked-lm.ts'
import type { PretrainOptions } from '../../cli/pretrain-options.ts'
import type { Progress } from '../../cli/progress.ts'
import { withWeights } from '../model.ts'
import { transformerAt } from '../predict.ts'
import { type Base, openBase } from './base.ts'

/** A pretrained model to learn from. */
export type Teacher = Base

/**
 * Opens the model of `--teacher`: a pretraining run's, or any with a masked-language head. Throws a UserError if it has
 * no such head, or reads fewer tokens than a row has.
 */
export async function openTeacher(
  name: string,
  { sequence }: Pick<PretrainOptions, 'sequence'>,
  progress: Progress,
): Promise<Teacher> {
  const teacher = await openBase(await transformerAt(name), { sequence, tokenizer: undefined, textLoss: 0 }, progress)
  const [missing] = teacher.drawn
  if (missing !== undefined) throw new UserError(`--teacher ${name} has no masked-language head (no ${missing})`)
  return teacher
}

/** Throws a UserError unless teacher and student number the same tokens in the same way, and split words alike. */
export function checkSameTokens({ tokenizer, config }: Teacher, own: Tokenizer, base: Base | undefined): void {
  const called = `--teacher ${config.name}`
  if (!isDeepStrictEqual(tokensOf(tokenizer), tokensOf(own))) {
    throw new UserError(`${called} has another tokenizer than the model that learns from it: they must be the same`)
  }
  if (base && base.config.vocabSize !== config.vocabSize) {
    const sizes = `${config.vocabSize} tokens, and ${base.config.name} for ${base.config.vocabSize}`
    throw new UserError(`${called} has embeddings for ${sizes}: they must be as many`)
  }
}

const vocabulary = z.object({ model: z.object({ vocab: z.record(z.string(), z.int()) }) })

/** What decides which tokens a text becomes: the vocabulary with BERT's flags, or all of a tokenizer of another kind. */
function tokensOf({ json }: Tokenizer): unknown {
  const flags = flagsOfBert(json)
  return flags ? [flags, vocabulary.parse(json).model.vocab] : json
}

/** The student with its teacher, which has no values yet; in f16 the teacher is stored and computed in half precision. */
export function withTeacher(
  student: MaskedModel,
  { config }: Teacher,
  { precision, distillHidden: hidden }: Pick<PretrainOptions, 'precision' | 'distillHidden'>,
): DistilledMaskedLM {
  const distilled = new DistilledMaskedLM(student, createMaskedModel(config), { hidden })
  if (precision === 'f16') distilled.teacher.storeFrozenAs('f16')
  return distilled
}

/** Gives the teacher its weights, and the projection fresh ones. */
export async function fillTeacher(
  { teacher, projection }: DistilledMaskedLM,
  { folder }: Teacher,
  seed: number,
): Promise<void> {
  await withWeights({ folder }, file => loadWeights(teacher, file, seed))
  await initialise(projection?.parameters() ?? [], seed)
}
