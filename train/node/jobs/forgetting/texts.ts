// The texts whose words are masked: those that the runs were tested on, or those of a data set that is named.
import { createHash } from 'node:crypto'
import { UserError } from '../../../../engine/errors.ts'
import type { TextInput } from '../../../../models/prediction.ts'
import type { MaskedTexts } from '../../../compare/forgetting.ts'
import { stream } from '../../../random.ts'
import { dataHash } from '../fingerprint.ts'
import { dataCommitOf, testSeedOf } from '../fine-tune/recorded.ts'
import { type Progress, openData } from '../job.ts'
import { namesOf } from '../model.ts'
import { type TextOptions, openTexts } from '../texts.ts'
import { SEED } from './masking.ts'
import type { Tuned } from './open.ts'

export interface TextChoices extends Pick<TextOptions, 'split' | 'textColumn'> {
  /** Where the texts are; the test set of the first run when left out. */
  readonly data?: string
  /** How many are drawn. */
  readonly texts: number
}

export interface DrawnTexts extends MaskedTexts {
  /** SHA-256 of the texts. */
  readonly fingerprint: string
}

/** Texts that a run was tested on. Throws a UserError if its data are out of reach, or have changed. */
export async function testTexts(
  { name, run, options, config }: Pick<Tuned, 'name' | 'run' | 'options' | 'config'>,
  { texts }: TextChoices,
  progress: Progress,
): Promise<DrawnTexts> {
  try {
    const choices = { ...options, testSeed: testSeedOf(run, options.seed) }
    const data = await openData(choices, progress, namesOf(config), dataCommitOf(run, options.data))
    const before = run.config.fingerprints?.data
    if (before !== undefined && before !== dataHash(data))
      throw new UserError(`the data in ${options.data} changed since the run began`)
    const all = data.test.flatMap(({ text, pair }) => (pair === undefined ? [text] : [text, pair]))
    return drawn(all, texts, `the test texts of ${name}`)
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    throw new UserError(`the test texts of ${name} cannot be masked (--data names others): ${error.message}`)
  }
}

/** Texts of a file, a folder or a Hub dataset. Throws a UserError as `openTexts` does, and if there is none. */
export async function namedTexts(data: string, { texts: count, split, textColumn }: TextChoices): Promise<DrawnTexts> {
  const { texts } = await openTexts(data, { split, textColumn })
  const all: string[] = []
  for await (const text of texts) all.push(...partsOf(text))
  return drawn(all, count, split === undefined ? data : `${data}, split ${split}`)
}

function partsOf(input: TextInput): string[] {
  if (typeof input === 'string') return [input]
  return 'words' in input ? [input.words.join(' ')] : [input.text, input.pair]
}

/** Each text once, in a seeded order. Line breaks in HTML are no words, as in pretraining. */
function drawn(all: readonly string[], count: number, source: string): DrawnTexts {
  const distinct = [...new Set(all.map(text => text.replaceAll('<br />', ' ').trim()))].filter(text => text !== '')
  if (distinct.length === 0) throw new UserError(`${source}: no text to mask`)
  const texts = stream(SEED, 'forgetting').shuffle(distinct).slice(0, count)
  const fingerprint = createHash('sha256').update(JSON.stringify(texts)).digest('hex')
  return { texts, of: distinct.length, source, fingerprint }
}
