// What a run leaves to be used: the adapter or the model, with its tokenizer and what answers need.
import { join, resolve } from 'node:path'
import { ANSWERS_FILE, type Answers, answersJson } from '../../../../models/answers.ts'
import { type Origin, baseTensors, mergedTensors, originOf } from '../../../../models/index.ts'
import { exists, writeAtomic } from '../../../../models/node/files.ts'
import { saveModel } from '../../../../models/node/model.ts'
import { saveAdapter } from '../../../../models/node/peft.ts'
import { saveTokenizer } from '../../../../models/node/tokenizer.ts'
import { PROBLEM_OF } from '../../../tasks/index.ts'
import type { Reading } from '../../../tasks/results.ts'
import type { Options } from '../../cli/options.ts'
import type { Run } from '../../run/folder.ts'
import type { Data } from '../job.ts'
import { type OpenedModel, withOrigin } from '../model.ts'
import type { Prepared } from './prepare.ts'

/** What is kept beside the weights, to answer with. */
export function answersOf(
  { plan: { task, labels }, columns }: Data,
  { maxLength, window }: Options,
  reading: Reading,
): Answers {
  return {
    problem: PROBLEM_OF[task],
    labels,
    maxLength,
    ...(window !== undefined && { window }),
    pairs: columns.pair !== undefined,
    columns,
    ...reading,
  }
}

/** Writes the adapter, with its base where that is nowhere else, and then the whole model where that is asked for. */
export async function saveTrained(run: Run, { options, model, opened }: Prepared, answers: Answers): Promise<void> {
  const saveAnswers = (folder: string): Promise<void> =>
    writeAtomic(join(folder, ANSWERS_FILE), `${JSON.stringify(answersJson(answers), null, 2)}\n`)
  const save = (name: string, tensors: Parameters<typeof saveModel>[2]): Promise<void> =>
    run.writeFolder(name, async path => {
      await saveModel(path, model, tensors, answers.problem)
      await saveTokenizer(path, opened.tokenizer, model.config)
      await saveAnswers(path)
    })
  // Only what the GPU has rounded is read again from where it came from.
  const isRounded = model.parameters().some(({ dtype }) => dtype === 'f16')
  const withExact = (use: (origin: Origin) => Promise<void>): Promise<void> =>
    isRounded ? withOrigin(model, opened, options, use) : use(parameter => parameter.read())
  if (options.tune === 'lora') {
    if (opened.folder === undefined) await save('base', baseTensors(model, originOf(model, undefined, options.seed)))
    const [base, revision] = await baseOf(run, opened)
    await run.writeFolder('adapter', async path => {
      await withExact(origin => saveAdapter(path, model, base, revision, origin))
      // Other tokens than the base's own must travel with the adapter.
      if (opened.hasOtherTokenizer && opened.folder !== undefined)
        await saveTokenizer(path, opened.tokenizer, model.config)
      await saveAnswers(path)
    })
    if (!options.merge) return
  }
  await withExact(origin => save('model', mergedTensors(model, origin)))
}

/**
 * The adapter's base and its revision: what was asked for of the Hub, or else what that was; a folder by its whole
 * path.
 */
async function baseOf(
  run: Run,
  { name, revision, commit, folder }: OpenedModel,
): Promise<[string, string | undefined]> {
  if (folder === undefined) return [resolve(run.path('base')), undefined]
  return (await exists(name)) ? [resolve(name), undefined] : [name, revision ?? commit]
}
