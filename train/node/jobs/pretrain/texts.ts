// What a pretraining run reads: its texts, on disk or from the Hub, with some held out, and its tokenizer.
import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { UserError } from '../../../../engine/index.ts'
import { exists, readJson } from '../../../../models/node/files.ts'
import { resolveDataset } from '../../../../models/node/hub.ts'
import { loadTokenizer } from '../../../../models/node/tokenizer.ts'
import { type Tokenizer, tokenizerFromJson, tokenizerFromVocabulary } from '../../../../models/tokenizer.ts'
import { count } from '../../../counts.ts'
import { stream } from '../../../random.ts'
import { countWords, learnVocabulary } from '../../../wordpiece.ts'
import type { Console } from '../../cli/console.ts'
import type { PretrainOptions } from '../../cli/pretrain-options.ts'
import { type Progress, downloadsOn } from '../../cli/progress.ts'
import { loadUnlabelled } from '../../data/unlabelled.ts'
import type { Run } from '../../run/folder.ts'
import { isOnDisk, pinnedName } from '../named.ts'

/** The tokenizer in a run's folder: a resumed run reads it rather than learning it again. */
export const TOKENIZER = 'tokenizer.json'
/** Texts whose words are counted between two updates of the progress. */
const TEXTS_AT_ONCE = 200
/** Milliseconds between lines that say how many texts were read. */
const READING_MS = 5000

/** Texts to train on and texts held out. */
export interface Texts {
  readonly train: readonly string[]
  readonly held: readonly string[]
  /** Where they come from, and how many were left out, in a few words. */
  readonly source: string
  /** SHA-256 of all of them. */
  readonly fingerprint: string
  /** `--data` and `--exclude` as they repeat the run from any folder: whole paths, and commits of the Hub. */
  readonly located: Readonly<Record<'data' | 'exclude', readonly string[]>>
}

/** Loads the texts, draws as many as are wanted, and holds some out. Throws a UserError. */
export async function openTexts(options: PretrainOptions, console: Console, progress: Progress): Promise<Texts> {
  const { data, exclude, split, seed, texts, valSplit } = options
  if (data.length === 0) throw new UserError('pretrain needs --data: a text file, a table, a folder or a Hub dataset')
  const places = { data: await locate(data, progress), exclude: await locate(exclude, progress) }
  const loaded = await loadUnlabelled(
    places.data.map(({ path }) => path),
    {
      ...options,
      splits: split?.split(',').map(name => name.trim()),
      exclude: places.exclude.map(({ path }) => path),
      onRead: tellNowAndThen(read => progress.note(`${count(read)} texts read`)),
    },
  )
  const drawn = stream(seed, 'pretrain')
    .shuffle(loaded.texts)
    .slice(0, texts)
    .map(text => text.replaceAll('<br />', ' '))
  const held = valSplit < 1 ? Math.ceil(valSplit * drawn.length) : valSplit
  if (held >= drawn.length) {
    throw new UserError(`--val-split ${valSplit} leaves none of ${drawn.length} texts to train on`)
  }
  const left = [
    ...(loaded.dropped > 0 ? [`${count(loaded.dropped)} left out that are also in the data held out`] : []),
    ...(loaded.skipped > 0 ? [`${count(loaded.skipped)} rows without a text left out`] : []),
  ]
  const named = places.data.reduce((text, { path, name }) => text.replaceAll(path, name), loaded.source)
  const source = [named, `${count(loaded.texts.length)} texts`, ...left].join('; ')
  console.say(`Data: ${source}`)
  const fingerprint = createHash('sha256')
  for (const text of drawn) fingerprint.update(`${JSON.stringify(text)}\n`)
  return {
    train: drawn.slice(held),
    held: drawn.slice(0, held),
    source,
    fingerprint: fingerprint.digest('hex'),
    located: {
      data: places.data.map(({ recorded }) => recorded),
      exclude: places.exclude.map(({ recorded }) => recorded),
    },
  }
}

/** Calls `tell` every few seconds: the total is not known, so there is no progress to show. */
export function tellNowAndThen(tell: (count: number) => void): (count: number) => void {
  let last = performance.now()
  return read => {
    if (read % 100 !== 0 || performance.now() - last < READING_MS) return
    last = performance.now()
    tell(read)
  }
}

/** Where data lie on disk, fetched from the Hub if need be, and the name by which they are found again. */
export async function locate(
  names: readonly string[],
  progress: Progress,
): Promise<readonly { readonly path: string; readonly name: string; readonly recorded: string }[]> {
  const places: { path: string; name: string; recorded: string }[] = []
  for (const name of names) {
    if (await isOnDisk(name)) {
      places.push({ path: name, name, recorded: resolve(name) })
      continue
    }
    const { folder, commit } = await resolveDataset(name, { progress: downloadsOn(progress) })
    places.push({ path: folder, name, recorded: pinnedName(name, commit) })
  }
  progress.stop()
  return places
}

/** The tokenizer that the run has, or that is given; undefined where there is neither. */
export async function existingTokenizer(
  { tokenizer: given }: PretrainOptions,
  run: Run | undefined,
): Promise<Tokenizer | undefined> {
  const kept = run?.path(TOKENIZER)
  if (kept !== undefined && (await exists(kept))) return tokenizerFromJson(await readJson(kept), kept)
  return given === undefined ? undefined : loadTokenizer(given)
}

/** A tokenizer learned from the texts. */
export async function learnTokenizer(
  { vocabulary, cased }: PretrainOptions,
  { train, held }: Texts,
  console: Console,
  progress: Progress,
): Promise<Tokenizer> {
  const texts = [...held, ...train]
  console.say(`Learning ${count(vocabulary)} tokens from ${count(texts.length)} texts.`)
  const options = { lowercase: !cased }
  const words = new Map<string, number>()
  progress.start('count words', texts.length)
  for (let at = 0; at < texts.length; at += TEXTS_AT_ONCE) {
    countWords(texts.slice(at, at + TEXTS_AT_ONCE), options, words)
    progress.update(Math.min(texts.length, at + TEXTS_AT_ONCE))
    await new Promise(done => setImmediate(done))
  }
  progress.stop()
  const tokens = learnVocabulary(words, { size: vocabulary })
  if (tokens.length > vocabulary) {
    const least = `special tokens and characters alone are ${count(tokens.length)}`
    throw new UserError(`--vocabulary ${vocabulary} is too small for these texts: ${least}`)
  }
  return tokenizerFromVocabulary(`${tokens.join('\n')}\n`, options, 'the learned vocabulary')
}
