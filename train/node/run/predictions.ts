// predictions.jsonl of a run's folder: each test row's label and answer, by which runs on the same rows are compared.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { UserError } from '../../../engine/errors.ts'
import { exists, readText } from '../../../models/node/files.ts'
import { type Results, predictClasses } from '../../metrics/summary.ts'
import { decide } from '../../metrics/thresholds.ts'

export const PREDICTIONS = 'predictions.jsonl'

/** A larger file is not read. */
const MOST_BYTES = 1024 ** 3

/** A class; a number for regression; names where there are several labels; tags where each word has one. */
const answer = z.union([z.string(), z.number(), z.array(z.string())])

const schema = z.object({
  /** Its place in the test set, from 0. */
  row: z.int().nonnegative(),
  /** `textHash` of the text, by which rows of different runs are matched. */
  text: z.string().regex(/^[0-9a-f]{16}$/),
  label: answer,
  predicted: answer,
  /** Of classes, in the order of the labels. */
  probabilities: z.array(z.number().min(0).max(1)).optional(),
})

/** One line of predictions.jsonl. */
export type Prediction = Readonly<z.output<typeof schema>>

/** A text, with the second one of a pair. */
interface HashedText {
  readonly text: string
  readonly pair?: string
}

/** The first 16 hexadecimal digits of the SHA-256 of a text; of a pair, of both with a NUL between. */
export const textHash = ({ text, pair }: HashedText): string =>
  createHash('sha256')
    .update(pair === undefined ? text : `${text}\0${pair}`)
    .digest('hex')
    .slice(0, 16)

/** The answers to the test set, in its order. Throws a RangeError unless there is a text for each. */
export function predictionsOf(results: Results, texts: readonly HashedText[]): Prediction[] {
  const answers = answersOf(results)
  if (answers.length !== texts.length) throw new RangeError(`${answers.length} answers to ${texts.length} texts`)
  return answers.map((one, row) => ({ row, text: textHash(texts[row]), ...one }))
}

function answersOf(results: Results): Pick<Prediction, 'label' | 'predicted' | 'probabilities'>[] {
  switch (results.kind) {
    case 'classes': {
      const { names, truth, probabilities } = results
      const predicted = predictClasses(results)
      return Array.from({ length: truth.length }, (_, row) => ({
        label: names[truth[row]],
        predicted: names[predicted[row]],
        probabilities: names.map((_, i) => sixDigits(probabilities[row * names.length + i])),
      }))
    }
    case 'labels': {
      const { names, truth, probabilities, thresholds } = results
      const predicted = decide(probabilities, names.length, thresholds)
      const named = (given: ArrayLike<number>, row: number): string[] =>
        names.filter((_, i) => given[row * names.length + i] > 0.5)
      return Array.from({ length: truth.length / names.length }, (_, row) => ({
        label: named(truth, row),
        predicted: named(predicted, row),
      }))
    }
    case 'regression':
      return Array.from({ length: results.truth.length }, (_, row) => ({
        label: results.truth[row],
        predicted: results.predicted[row],
      }))
    case 'tokens':
      return results.truth.map((tags, row) => ({ label: [...tags], predicted: [...results.predicted[row]] }))
  }
}

const sixDigits = (value: number): number => Math.round(value * 1e6) / 1e6

/** Writes predictions.jsonl into a run's folder, through `Run.write` or anything that writes a whole file at once. */
export async function writePredictions(
  run: { write(name: string, content: string): Promise<void> },
  predictions: readonly Prediction[],
): Promise<void> {
  await run.write(PREDICTIONS, predictions.map(one => `${JSON.stringify(one)}\n`).join(''))
}

/**
 * The answers in a run's folder, in the order of the test set; undefined if it has no such file. Throws a UserError,
 * naming the line, on anything else.
 */
export async function readPredictions(folder: string): Promise<Prediction[] | undefined> {
  const path = join(folder, PREDICTIONS)
  if (!(await exists(path))) return undefined
  const lines = (await readText(path, MOST_BYTES)).split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines.map((line, i) => {
    const where = `${path}, line ${i + 1}`
    const prediction = parseLine(line, where)
    if (prediction.row !== i) throw new UserError(`${where}: this is row ${prediction.row}, not row ${i}`)
    return prediction
  })
}

function parseLine(line: string, where: string): Prediction {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    throw new UserError(`${where}: not JSON`)
  }
  const { success, data, error } = schema.safeParse(value)
  if (success) return data
  const [{ path, message }] = error.issues
  throw new UserError(`${where}: ${path.length > 0 ? `${path.join('.')}: ` : ''}${message}`)
}
