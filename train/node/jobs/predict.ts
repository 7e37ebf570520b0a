// `tilegrad predict`: answers for texts from the command line, from standard input, or from a table, in their order. Lines
// from a pipe are answered as they come; a file of any length takes no more memory than some hundred texts.
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { UserError } from '../../../engine/errors.ts'
import type { Prediction, TextClassifier, TextInput } from '../../../models/classifier.ts'
import { ADAPTER_CONFIG } from '../../../models/node/peft.ts'
import { exists, isFolder, readJson } from '../../../models/node/files.ts'

/** How answers are written: for people, or an object or a row each. */
export type PredictionFormat = 'text' | 'json' | 'csv'

/** Texts that are classified together: enough to sort them by length into full batches, few enough to wait little. */
const CHUNK = 256

/**
 * The folder or name to open for what the user calls a model: of a run, the adapter or the model that it saved.
 * @throws UserError on a run that has saved neither yet
 */
export async function trainedAt(source: string): Promise<string> {
  if (!await isFolder(source) || await exists(join(source, ADAPTER_CONFIG)) || !await isRun(source)) return source
  for (const part of ['adapter', 'model']) if (await isFolder(join(source, part))) return join(source, part)
  throw new UserError(`${source} is a run that has not finished: it has saved no adapter and no model yet`)
}

/** Whether a folder's config.json is a run's rather than a model's. */
async function isRun(folder: string): Promise<boolean> {
  const path = join(folder, 'config.json')
  if (!await exists(path)) return false
  const config = await readJson(path)
  return typeof config === 'object' && config !== null && 'tilegrad' in config && 'arguments' in config
}

/** Lines of a stream in groups: all that have come, up to a chunk, without waiting for more once there is one. */
export async function* lineChunks(input: NodeJS.ReadableStream, most = CHUNK): AsyncGenerator<string[]> {
  const lines: string[] = []
  let wake: (() => void) | undefined
  let ended = false
  let failure: Error | undefined
  const reader = createInterface({ input, crlfDelay: Infinity })
  const done = (error?: Error): void => {
    ended = true
    failure ??= error
    wake?.()
  }
  reader.on('line', line => {
    lines.push(line)
    // Reading waits while the model is behind.
    if (lines.length >= 4 * most) reader.pause()
    wake?.()
  }).on('close', () => done())
  input.on('error', done)
  try {
    for (;;) {
      if (lines.length === 0 && !ended) await new Promise<void>(resolve => { wake = resolve })
      wake = undefined
      if (failure) throw failure
      if (lines.length > 0) yield lines.splice(0, most)
      else if (ended) return
      if (lines.length < most) reader.resume()
      // Lines that came in one piece of input are events of one turn: let all of them arrive.
      await new Promise(resolve => setImmediate(resolve))
    }
  } finally {
    reader.close()
  }
}

/** A file of texts, one a line. */
export const textFile = (path: string): NodeJS.ReadableStream => createReadStream(path)

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

/** Classifies chunk by chunk and gives what is to be written for each, in order. */
export async function* predictions(
  classifier: TextClassifier, chunks: AsyncIterable<readonly TextInput[]>, format: PredictionFormat,
): AsyncGenerator<string> {
  if (format === 'csv') yield csvHeader(classifier)
  for await (const texts of chunks) {
    const answers = await classifier.classify(texts)
    yield texts.map((text, i) => `${formatted(text, answers[i], format, classifier)}\n`).join('')
  }
}

const percent = (fraction: number): string => `${(100 * fraction).toFixed(2).padStart(6)} %`

const textOf = (input: TextInput): string => (typeof input === 'string' ? input : `${input.text} | ${input.pair}`)

function formatted(input: TextInput, answer: Prediction, format: PredictionFormat, { options: { labels } }: TextClassifier): string {
  if (format === 'json') return JSON.stringify({ ...(typeof input === 'string' ? { text: input } : input), ...jsonOf(answer) })
  if (format === 'csv') return [textOf(input), ...cellsOf(answer, labels)].map(csvCell).join(',')
  const text = textOf(input).replaceAll(/\s+/g, ' ')
  switch (answer.kind) {
    case 'label': return `${answer.label.padEnd(longest(labels))}  ${percent(answer.probability)}  ${text}`
    case 'labels': return `${answer.labels.join(', ') || '(none)'}  ${text}`
    case 'number': return `${answer.value.toFixed(4).padStart(10)}  ${text}`
    case 'words': return `${entitiesOf(answer).map(({ label, text }) => `${label}: ${text}`).join('; ') || '(none)'}  ${text}`
  }
}

function jsonOf(answer: Prediction): object {
  switch (answer.kind) {
    case 'label': return { label: answer.label, probability: answer.probability, probabilities: answer.probabilities }
    case 'labels': return { labels: answer.labels, probabilities: answer.probabilities }
    case 'number': return { value: answer.value }
    case 'words': return { words: answer.words, entities: entitiesOf(answer) }
  }
}

function csvHeader({ options: { problem, labels } }: TextClassifier): string {
  const columns = {
    single_label_classification: ['label', 'probability', ...labels], multi_label_classification: ['labels', ...labels],
    regression: ['value'], token_classification: ['entities'],
  }[problem]
  return `${['text', ...columns].map(csvCell).join(',')}\n`
}

function cellsOf(answer: Prediction, labels: readonly string[]): string[] {
  switch (answer.kind) {
    case 'label': return [answer.label, String(answer.probability), ...labels.map(label => String(answer.probabilities[label]))]
    case 'labels': return [answer.labels.join(';'), ...labels.map(label => String(answer.probabilities[label]))]
    case 'number': return [String(answer.value)]
    case 'words': return [entitiesOf(answer).map(({ label, text }) => `${label}: ${text}`).join('; ')]
  }
}

/** RFC 4180. */
const csvCell = (cell: string): string => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)

const longest = (labels: readonly string[]): number => Math.max(...labels.map(label => label.length))

/** A stretch of words that make one entity: `B-PER I-PER` is one of kind `PER`. */
export interface Entity {
  readonly label: string
  readonly text: string
  readonly start: number
  readonly end: number
}

/** Entities of labelled words, by the tags B-, I- and O (Ramshaw and Marcus 1995); a tag without a prefix stands alone. */
export function entitiesOf({ words }: Extract<Prediction, { kind: 'words' }>): Entity[] {
  const found: Entity[] = []
  let open: { label: string, start: number, end: number, text: string } | undefined
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
