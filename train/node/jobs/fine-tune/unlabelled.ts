// Texts without labels in a distilled run: the student learns what the teacher answers to them, so that there may be many
// more of them than of labelled ones.
import { createHash } from 'node:crypto'
import { UserError } from '../../../../engine/index.ts'
import type { Tokenizer } from '../../../../models/tokenizer.ts'
import { count } from '../../../counts.ts'
import { TASK_TEXTS } from '../../../tasks/infer.ts'
import type { Options } from '../../cli/options.ts'
import type { Progress } from '../../cli/progress.ts'
import { type EncodedExample, encodeAll } from '../../data/encode.ts'
import type { Example } from '../../data/labelled.ts'
import { loadUnlabelled } from '../../data/unlabelled.ts'
import type { Data } from '../job.ts'
import { locate, tellNowAndThen } from '../pretrain/texts.ts'

export interface MoreTexts {
  /** Each has a target that says nothing. */
  readonly examples: readonly Example[]
  /** Where they come from, and how many were left out, in a few words. */
  readonly source: string
  /** SHA-256 of all of them. */
  readonly fingerprint: string
  /** `--unlabelled` as it repeats the run from any folder: whole paths, and commits of the Hub. */
  readonly located: readonly string[]
}

/**
 * Loads the texts of `--unlabelled`, each once, without those of the run's own sets; undefined where there are none.
 * Throws a UserError on texts that cannot be read, and if the run's texts are pairs or have labels of words.
 */
export async function openUnlabelled(
  { unlabelled, encoding, textColumn, skipBadRows }: Options,
  { plan, columns, train, validation, test }: Data,
  progress: Progress,
): Promise<MoreTexts | undefined> {
  if (unlabelled.length === 0) return undefined
  if (plan.task === 'tokens') throw new UserError(`--unlabelled is not for ${TASK_TEXTS.tokens}`)
  if (columns.pair !== undefined) throw new UserError('--unlabelled takes single texts, and the data are pairs')
  const places = await locate(unlabelled, progress)
  const loaded = await loadUnlabelled(
    places.map(({ path }) => path),
    {
      encoding,
      textColumn,
      skipBadRows,
      onRead: tellNowAndThen(read => progress.note(`${count(read)} texts without labels read`)),
    },
  )
  const known = new Set([train, validation, test].flatMap(set => set.map(({ text }) => text.trim())))
  const texts = [...new Set(loaded.texts)].filter(text => !known.has(text))
  if (texts.length === 0) throw new UserError(`${unlabelled.join(' and ')} has no text that the run has not already`)
  const left = loaded.dropped + loaded.texts.length - texts.length
  const named = places.reduce((source, { path, name }) => source.replaceAll(path, name), loaded.source)
  const fingerprint = createHash('sha256')
  for (const text of texts) fingerprint.update(`${JSON.stringify(text)}\n`)
  const target = plan.task === 'labels' ? new Float32Array(plan.labels.length) : 0
  return {
    examples: texts.map(text => ({ text, target })),
    source: `${named}; ${count(texts.length)} texts${left > 0 ? `; ${count(left)} left out that occur elsewhere` : ''}`,
    fingerprint: fingerprint.digest('hex'),
    located: places.map(({ recorded }) => recorded),
  }
}

/** The same as tokens. */
export async function tokenisedMore(
  { examples }: MoreTexts,
  tokenizer: Tokenizer,
  options: Options,
  progress: Progress,
): Promise<EncodedExample[]> {
  progress.start('tokenise texts without labels', examples.length)
  const encoded = await encodeAll(examples, tokenizer, options, done => progress.update(done))
  progress.stop()
  return encoded.map(example => ({ ...example, unlabelled: true }))
}
