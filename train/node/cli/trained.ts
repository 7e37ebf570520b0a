// What the commands that use a trained model have in common: the options that say where the model is and where the
// texts are, and how both are opened.
import { UserError, printableLine } from '../../../engine/errors.ts'
import type { TextClassifier } from '../../../models/classifier.ts'
import { SharedWeights, openClassifier } from '../../../models/node/open-classifier.ts'
import { type Named, trainedAt } from '../jobs/predict.ts'
import { openNamed } from '../device.ts'
import { adapterOption } from './adapters.ts'
import { encoding, window } from './options.ts'
import { count, flag, optional, text } from './table.ts'

export const modelOptions = {
  base: optional(
    text('PATH|NAME', 'a folder or the name of a Hub model'),
    'the base model of an adapter',
    'the one that it names',
  ),
  revision: optional(text('NAME', 'a branch, a tag or a commit'), "a Hub model's branch, tag or commit", 'main'),
  'max-length': optional(
    count(4),
    'longest text in tokens; longer ones are cut, or read in windows',
    'as it was trained',
  ),
  window: optional(
    window,
    'read longer texts in windows of which neighbours share N tokens, and average their scores; off: cut them',
    'as it was trained',
  ),
  'batch-size': optional(count(1), 'texts per batch', '32'),
  uncalibrated: flag('use the scores as trained: no temperature, the most probable class, thresholds of 50 %'),
  adapter: adapterOption,
}

export const tableOptions = {
  split: optional(text('NAME', 'the name of a split'), 'the split of a data set to take', 'the only one'),
  'text-column': optional(
    text('NAME', 'the name of a column'),
    'the column of texts',
    'text, review, sentence or the like',
  ),
  'pair-column': optional(
    text('NAME', 'the name of a column'),
    'the column of second texts',
    "those of GLUE's names, such as sentence1 and sentence2",
  ),
  encoding: optional(
    encoding,
    'encoding of text files, such as windows-1252 or utf-16le',
    'UTF-8, unless a byte order mark says otherwise',
  ),
  'skip-bad-rows': flag('leave out rows that cannot be used, and say how many'),
}

export const DATA_SAYS = 'texts: a .csv, .tsv, .json, .jsonl or .parquet file, a folder of them, or a Hub dataset'
export const MODEL_SAYS = "The model is a run's folder, an adapter's, a model's, or a model's name on the Hub."

/** A classifier by the name that the user gave it. */
export interface Opened extends Named {
  readonly classifier: TextClassifier
}

/** The values of `modelOptions`. */
export interface ModelValues {
  readonly base: string | undefined
  readonly revision: string | undefined
  readonly maxLength: number | undefined
  readonly window: number | 'off' | undefined
  readonly batchSize: number | undefined
  readonly uncalibrated: boolean
  readonly adapter: string | undefined
}

/** The model that a command line names first. */
export function modelOf(command: string, [source]: readonly string[]): string {
  if (source === undefined)
    throw new UserError(`${command} needs a model: a run's folder, an adapter's, a model's, or a name on the Hub`)
  return source
}

/**
 * Opens the device and the classifiers, with the weights of a base that several adapters share once in memory. Throws a
 * UserError as `openClassifier` does, before the device is opened where it can.
 */
export async function openAt(sources: readonly string[], { adapter, ...options }: ModelValues): Promise<Opened[]> {
  const places: string[] = []
  for (const source of sources) places.push(await trainedAt(source))
  await openNamed(adapter, false)
  const shared = new SharedWeights()
  const opened: Opened[] = []
  for (const [i, place] of places.entries())
    opened.push({ name: sources[i], classifier: await openClassifier(place, { ...options, shared }) })
  return opened
}

/**
 * Says on stderr that a model was trained on pairs and is given single texts, or the reverse; nothing where it is not
 * known.
 */
export function sayPairs(
  { name, classifier: { options } }: { name: string; classifier: Pick<TextClassifier, 'options'> },
  pairs: boolean,
): void {
  if (options.pairs === undefined || options.pairs === pairs) return
  const line = pairs
    ? 'was trained on single texts, and is given pairs'
    : 'was trained on pairs of texts, and is given single ones'
  process.stderr.write(`${printableLine(`tilegrad: ${name} ${line}: its answers may mean little`)}\n`)
}

/**
 * Says on stderr how many of the texts that a model was given were cut, and what reads more of them; nothing where none
 * was.
 */
export function sayCut(
  {
    name,
    classifier: {
      seen,
      maxLength,
      model: { config },
    },
  }: Opened,
  several = false,
): void {
  if (seen.cut === 0) return
  const share = `${seen.cut.toLocaleString('en-US')} of ${seen.texts.toLocaleString('en-US')} texts`
  const longer = config.maxPositions > maxLength ? ` or --max-length (up to ${config.maxPositions})` : ''
  const line = `${several ? `${name}: ` : ''}${share} were cut to ${maxLength} tokens; --window${longer} reads more of them`
  process.stderr.write(`${printableLine(`tilegrad: ${line}`)}\n`)
}
