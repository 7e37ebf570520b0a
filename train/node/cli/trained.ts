// What the commands that use a trained model have in common: the options that say where the model is and where the
// texts are, and how both are opened.
import { UserError, printableLine } from '../../../engine/errors.ts'
import type { NamedColumns } from '../../../models/answers.ts'
import type { TextClassifier } from '../../../models/classifier.ts'
import type { BaselineClassifier } from '../../baseline/classifier.ts'
import { openBaseline, settingsAt } from '../jobs/baseline/saved.ts'
import { isBaseline } from '../jobs/named.ts'
import { type Named, trainedAt } from '../jobs/predict.ts'
import { adapterOption, encoding, window } from './kinds.ts'
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
    'as it was trained, else text, review, sentence or the like',
  ),
  'pair-column': optional(
    text('NAME', 'the name of a column'),
    'the column of second texts',
    "as it was trained, else by GLUE's names, such as sentence1 and sentence2",
  ),
  encoding: optional(
    encoding,
    'encoding of text files, such as windows-1252 or utf-16le',
    'UTF-8, unless a byte order mark says otherwise',
  ),
  'skip-bad-rows': flag('leave out rows that cannot be used, and say how many'),
}

export const DATA_SAYS = 'a .csv, .tsv, .json, .jsonl or .parquet file, a folder of them, or a Hub dataset'
export const TRANSFORMER_SAYS = "The model is a run's folder, an adapter's, a model's, or a model's name on the Hub."
export const MODEL_SAYS =
  "The model is a run's folder (also a baseline's), an adapter's, a model's, or a model's name on the Hub."

/** A classifier by the name that the user gave it: a transformer on a device, or a baseline, which needs none. */
export type Opened = Named &
  (
    | { readonly kind: 'transformer'; readonly classifier: TextClassifier }
    | { readonly kind: 'baseline'; readonly classifier: BaselineClassifier }
  )

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
 * Opens the classifiers, and the device if any of them needs one; the weights of a base that several adapters share are
 * once in memory. Throws a UserError as `openClassifier` does, before the device is opened where it can, and on options
 * that mean nothing where all models are baselines.
 */
export async function openAt(sources: readonly string[], options: ModelValues): Promise<Opened[]> {
  const places: string[] = []
  for (const source of sources) places.push(await trainedAt(source))
  const baselines = await Promise.all(places.map(isBaseline))
  const needsDevice = baselines.includes(false)
  if (!needsDevice) refuseForBaselines(sources[0], options)
  const openTransformer = needsDevice ? await transformers(options) : undefined
  const opened: Opened[] = []
  for (const [i, name] of sources.entries()) {
    opened.push(
      openTransformer === undefined || baselines[i]
        ? { name, kind: 'baseline', classifier: await openBaseline(places[i], options) }
        : { name, kind: 'transformer', classifier: await openTransformer(places[i]) },
    )
  }
  return opened
}

/**
 * The columns of the table that a model was trained on; undefined where its folder does not say, and for models on the
 * Hub. Throws a UserError as `trainedAt` does.
 */
export async function trainedColumns(source: string): Promise<NamedColumns | undefined> {
  const place = await trainedAt(source)
  if (await isBaseline(place)) return (await settingsAt(place)).answers.columns
  // Loaded only here, as in `transformers`.
  const { answersAt } = await import('../../../models/node/source.ts')
  return (await answersAt(place))?.columns
}

/** Opens the device, and gives what opens models on it. Loaded only here: a baseline answers without the engine. */
async function transformers({ adapter, ...options }: ModelValues): Promise<(place: string) => Promise<TextClassifier>> {
  const [{ openNamed }, { SharedWeights, openClassifier }] = await Promise.all([
    import('../device.ts'),
    import('../../../models/node/open-classifier.ts'),
  ])
  await openNamed(adapter, false)
  const shared = new SharedWeights()
  return place => openClassifier(place, { ...options, shared })
}

/** Options that a baseline has no use for, by their names in camelCase. */
const FOR_TRANSFORMERS = ['base', 'revision', 'maxLength', 'window', 'batchSize', 'adapter'] as const

function refuseForBaselines(name: string, options: ModelValues): void {
  const given = FOR_TRANSFORMERS.find(option => options[option] !== undefined)
  if (given === undefined) return
  const option = given.replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
  throw new UserError(`--${option} is for transformers, and ${name} is a baseline, which reads whole texts on the CPU`)
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
export function sayCut(opened: Opened, several = false): void {
  if (opened.kind === 'baseline') return
  const {
    name,
    classifier: {
      seen,
      maxLength,
      model: { config },
    },
  } = opened
  if (seen.cut === 0) return
  const share = `${seen.cut.toLocaleString('en-US')} of ${seen.texts.toLocaleString('en-US')} texts`
  const longer = config.maxPositions > maxLength ? ` or --max-length (up to ${config.maxPositions})` : ''
  const line = `${several ? `${name}: ` : ''}${share} were cut to ${maxLength} tokens; --window${longer} reads more of them`
  process.stderr.write(`${printableLine(`tilegrad: ${line}`)}\n`)
}
