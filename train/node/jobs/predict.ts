// `tilegrad predict`: answers for texts from the command line, from standard input, or from a table, in their order.
// Lines from a pipe are answered as they come; a file of any length takes no more memory than some hundred texts.
import { join } from 'node:path'
import { UserError, printable, printableJson } from '../../../engine/errors.ts'
import type { Attributor } from '../../../models/attribution.ts'
import type { TextClassifier } from '../../../models/classifier.ts'
import { ADAPTER_CONFIG, exists, isFolder, readJson } from '../../../models/node/files.ts'
import { fileError } from '../../../models/node/regular-file.ts'
import { type Prediction, type TextInput, textOf } from '../../../models/prediction.ts'
import type { WordShare } from '../../../models/word-shares.ts'
import { MAX_RECORD_BYTES } from '../../data/bytes.ts'
import { csvField } from '../../data/csv.ts'
import { EVALUATE, type RunConfig, parseRunConfig } from '../run/config.ts'
import { decidingWords, wordsRecord, wordsText } from './explain.ts'
import { isBaseline, isOnDisk } from './named.ts'

/** How answers are written: for people, or an object or a row each. */
export type PredictionFormat = 'text' | 'json' | 'csv'

/** Texts that are classified together: enough to sort them by length into full batches, few enough to wait little. */
const CHUNK = 256

/**
 * The folder or name to open for what the user calls a model: of a run, the adapter, model or baseline that it saved.
 * @throws UserError on a run that has saved neither yet, and on a path that leads nowhere
 */
export async function trainedAt(source: string): Promise<string> {
  await isOnDisk(source)
  if (!(await isFolder(source)) || (await exists(join(source, ADAPTER_CONFIG)))) return source
  const run = await runConfigIn(source)
  if (!run) return source
  if (run.job === EVALUATE)
    throw new UserError(`${source} is an evaluation, which has no model: name the model that it evaluated`)
  for (const part of ['adapter', 'model', 'baseline']) if (await isFolder(join(source, part))) return join(source, part)
  throw new UserError(`${source} is a run that has not finished: it has saved no adapter and no model yet`)
}

/** The same for what only a transformer can do, such as to be exported. Throws a UserError on a baseline. */
export async function transformerAt(source: string): Promise<string> {
  const place = await trainedAt(source)
  if (await isBaseline(place)) {
    throw new UserError(`${source} is a baseline: it has no transformer to train further or to export`)
  }
  return place
}

/** A folder's config.json, if it is a run's rather than a model's. */
async function runConfigIn(folder: string): Promise<RunConfig | undefined> {
  const path = join(folder, 'config.json')
  if (!(await exists(path))) return undefined
  const config = await readJson(path)
  const isRun = typeof config === 'object' && config !== null && 'tilegrad' in config && 'arguments' in config
  return isRun ? parseRunConfig(config, folder, path) : undefined
}

/**
 * Texts of a stream, one a line, in groups: what has come so far, up to a chunk, without waiting for more once there is
 * a line. Lines end in \n or \r\n; `encoding` is a label of the Encoding Standard.
 * @throws UserError on bytes that are not in the encoding, on a line without end, and where the stream can't be read
 */
export async function* lineChunks(
  input: AsyncIterable<Uint8Array>,
  { encoding = 'utf-8', most = CHUNK, where = 'standard input' } = {},
): AsyncGenerator<string[]> {
  let begun = ''
  let count = 0
  for await (const text of decoded(input, encoding, where, () => count + 1)) {
    const lines = text.split('\n')
    lines[0] = begun + lines[0]
    begun = lines.pop() ?? ''
    if (begun.length > MAX_RECORD_BYTES)
      throw new UserError(`${where}, line ${count + lines.length + 1} is longer than ${MAX_RECORD_BYTES} characters`)
    for (let at = 0; at < lines.length; at += most) {
      const group = lines.slice(at, at + most).map(line => (line.endsWith('\r') ? line.slice(0, -1) : line))
      count += group.length
      yield group
    }
  }
  if (begun !== '') yield [begun.endsWith('\r') ? begun.slice(0, -1) : begun]
}

async function* decoded(
  input: AsyncIterable<Uint8Array>,
  encoding: string,
  where: string,
  line: () => number,
): AsyncGenerator<string> {
  const decoder = new TextDecoder(encoding, { fatal: true })
  const decode = (piece?: Uint8Array): string => {
    try {
      return decoder.decode(piece, { stream: piece !== undefined })
    } catch {
      throw new UserError(
        `${where}, line ${line()} or one soon after it, is not ${encoding}: name what it is with --encoding`,
      )
    }
  }
  try {
    for await (const piece of input) yield decode(piece)
  } catch (error) {
    throw fileError(where, error)
  }
  yield decode()
}

/** Whether a text, or both of a pair, are nothing but blanks. */
export const isEmpty = (input: TextInput): boolean => `${textOf(input)}${pairOf(input, '')}`.trim() === ''

/** Texts in chunks, from wherever they come. */
export async function* chunksOf<T>(texts: Iterable<T> | AsyncIterable<T>, most = CHUNK): AsyncGenerator<T[]> {
  let chunk: T[] = []
  for await (const text of texts) {
    chunk.push(text)
    if (chunk.length < most) continue
    yield chunk
    chunk = []
  }
  if (chunk.length > 0) yield chunk
}

/** A classifier and what the user calls it. */
export interface Named {
  readonly name: string
  readonly classifier: Pick<TextClassifier, 'classify' | 'options'>
  /** Tells which words decided an answer; the answers are written with them. */
  readonly explain?: Attributor
}

/** How answers are written. */
export interface Written {
  readonly format: PredictionFormat
  /** Whether the texts are pairs. */
  readonly pairs?: boolean
}

/**
 * Classifies chunk by chunk and gives what is to be written for each, in order: a line for each text and classifier,
 * which is named if there are several.
 * @throws UserError where classifiers of different labels are to share a CSV file's columns
 */
export async function* predictions(
  classifiers: readonly Named[],
  chunks: AsyncIterable<readonly TextInput[]>,
  { format, pairs = false }: Written,
): AsyncGenerator<string> {
  const [first, ...others] = classifiers
  const several = others.length > 0
  if (format === 'csv') {
    const header = csvHeader(first, several, pairs)
    const other = others.find(one => csvHeader(one, several, pairs) !== header)
    if (other)
      throw new UserError(
        `--csv: ${other.name} and ${first.name} have different labels, and so different columns: use --json`,
      )
    yield header
  }
  for await (const texts of chunks) {
    const answers: Answered[][] = []
    for (const one of classifiers) answers.push(await answered(one, texts))
    yield texts
      .flatMap((text, i) =>
        classifiers.map(({ name, classifier }, c) => {
          const { labels } = classifier.options
          return `${formatted(text, answers[c][i], labels, { format, pairs, name: several ? name : undefined })}\n`
        }),
      )
      .join('')
  }
}

/** An answer, and where it is explained the words that decided it. */
interface Answered {
  readonly answer: Prediction
  readonly words?: readonly WordShare[]
}

async function answered({ classifier, explain }: Named, texts: readonly TextInput[]): Promise<Answered[]> {
  const answers = await classifier.classify(texts)
  if (!explain) return answers.map(answer => ({ answer }))
  const words = await decidingWords(explain, texts, answers, classifier.options.labels)
  return answers.map((answer, i) => ({ answer, words: words[i] }))
}

const percent = (fraction: number): string => `${(100 * fraction).toFixed(2).padStart(6)} %`

/** The pair of an input, or what stands for it if there is none. */
const pairOf = <T>(input: TextInput, none: T): string | T =>
  typeof input !== 'string' && 'pair' in input ? input.pair : none

function formatted(
  input: TextInput,
  { answer, words }: Answered,
  labels: readonly string[],
  { format, pairs, name }: Required<Written> & { readonly name: string | undefined },
): string {
  const text = textOf(input)
  if (format === 'json') {
    const explained = words && { decided_by: wordsRecord(words) }
    return printableJson({ model: name, text, pair: pairOf(input, undefined), ...jsonOf(answer), ...explained })
  }
  const own = name === undefined ? [] : [name]
  if (format === 'csv') {
    const cells = [...cellsOf(answer, labels), ...(words ? [wordsText(words)] : [])]
    return [...own, text, ...(pairs ? [pairOf(input, '')] : []), ...cells].map(csvField).join(',')
  }
  const whole = pairs ? `${text} | ${pairOf(input, '')}` : text
  const line = printable([...own, saidOf(answer, labels), whole].join('  ').replaceAll(/\s/g, ' '))
  return words && words.length > 0 ? `${line}\n    ${printable(wordsText(words))}` : line
}

/** An answer for people. */
function saidOf(answer: Prediction, labels: readonly string[]): string {
  switch (answer.kind) {
    case 'label':
      return `${answer.label.padEnd(longest(labels))}  ${percent(answer.probability)}`
    case 'labels':
      return answer.labels.join(', ') || '(none)'
    case 'number':
      return answer.value.toFixed(4).padStart(10)
    case 'words':
      return (
        entitiesOf(answer)
          .map(({ label, text }) => `${label}: ${text}`)
          .join('; ') || '(none)'
      )
  }
}

/** The fields of an answer in JSON. */
export function jsonOf(answer: Prediction): object {
  switch (answer.kind) {
    case 'label':
      return { label: answer.label, probability: answer.probability, probabilities: answer.probabilities }
    case 'labels':
      return { labels: answer.labels, probabilities: answer.probabilities }
    case 'number':
      return { value: answer.value }
    case 'words':
      return { words: answer.words, entities: entitiesOf(answer) }
  }
}

function csvHeader({ classifier, explain }: Named, several: boolean, pairs: boolean): string {
  const { problem, labels } = classifier.options
  const columns = {
    single_label_classification: ['label', 'probability', ...labels],
    multi_label_classification: ['labels', ...labels],
    regression: ['value'],
    token_classification: ['entities'],
  }[problem]
  const all = [
    ...(several ? ['model'] : []),
    'text',
    ...(pairs ? ['pair'] : []),
    ...columns,
    ...(explain ? ['decided_by'] : []),
  ]
  return `${all.map(csvField).join(',')}\n`
}

function cellsOf(answer: Prediction, labels: readonly string[]): string[] {
  switch (answer.kind) {
    case 'label':
      return [answer.label, String(answer.probability), ...labels.map(label => String(answer.probabilities[label]))]
    case 'labels':
      return [answer.labels.join(';'), ...labels.map(label => String(answer.probabilities[label]))]
    case 'number':
      return [String(answer.value)]
    case 'words':
      return [
        entitiesOf(answer)
          .map(({ label, text }) => `${label}: ${text}`)
          .join('; '),
      ]
  }
}

/** Names longer than this are not what texts are lined up by. */
const LONGEST_PADDED = 24
const longest = (labels: readonly string[]): number =>
  Math.min(
    LONGEST_PADDED,
    labels.reduce((most, { length }) => Math.max(most, length), 0),
  )

/** A stretch of words that make one entity: `B-PER I-PER` is one of kind `PER`. */
export interface Entity {
  readonly label: string
  readonly text: string
  readonly start: number
  readonly end: number
}

/**
 * Entities of labelled words, by the tags B-, I- and O (Ramshaw and Marcus 1995); a tag without a prefix stands alone.
 */
export function entitiesOf({ words }: Extract<Prediction, { kind: 'words' }>): Entity[] {
  const found: Entity[] = []
  let open: { label: string; start: number; end: number; text: string } | undefined
  let before = 'O'
  for (const word of words) {
    const [, prefix = '', kind] = /^(?:([BI])-)?(.*)$/.exec(word.label) ?? []
    const goesOn = prefix === 'I' && open?.label === kind && before !== 'O'
    if (goesOn && open) {
      open.text += `${' '.repeat(Math.max(0, word.start - open.end))}${word.text}`
      open.end = word.end
    } else {
      if (open) found.push(open)
      open = word.label === 'O' ? undefined : { label: kind, start: word.start, end: word.end, text: word.text }
    }
    before = word.label
  }
  if (open) found.push(open)
  return found
}
