// Folders as finished runs leave them, without a model: what `tilegrad compare` reads.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { writeAtomic } from '../../models/node/files.ts'

export interface WrittenRun {
  readonly seed?: number
  /** By their names in config.json, such as `loraRank`. */
  readonly options?: Readonly<Record<string, unknown>>
  /** Names of the options that were given. */
  readonly given?: readonly string[]
  /** Which test rows are answered right. */
  readonly right: readonly boolean[]
  /** What the texts of the test set begin with: runs with another are tested on other rows. */
  readonly texts?: string
  readonly labels?: readonly string[]
  readonly job?: string
  readonly trainable?: number
  readonly seconds?: number
  readonly withPredictions?: boolean
  readonly task?: string
  /** That repeat it, besides its seed. */
  readonly args?: readonly string[]
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16)

/** Writes config.json, metrics.jsonl, result.json and predictions.jsonl of a run with two classes. */
export async function writeRun(folder: string, run: WrittenRun): Promise<void> {
  const { seed = 1, options = {}, given = [], right, texts = 'text', labels = ['bad', 'good'], trainable = 1000 } = run
  const accuracy = right.filter(Boolean).length / right.length
  const { seconds = 10, task = 'classes', job, withPredictions = true, args = ['--lr=0.001'] } = run
  const settings = { tune: 'lora', loraRank: 8, lr: 1e-3, epochs: 3, seed, out: folder, ...options, given }
  await writeAtomic(
    join(folder, 'config.json'),
    JSON.stringify({
      ...(job !== undefined && { job }),
      created_at: '2026-11-30T03:00:00.000Z',
      arguments: [`--seed=${seed}`, ...args],
      options: { ...settings, preset: 'tilegrad' },
      data: { labels, test: { rows: right.length } },
    }),
  )
  const line = (step: number, values: object): string =>
    `${JSON.stringify({ step, epoch: 1, ...values, gpu_bytes: 2 ** 24 + trainable, wall_seconds: (seconds * step) / 20 })}\n`
  const lines = [10, 20].flatMap(step => [
    line(step, { loss: 0.7 - step / 100, lr: 1e-3 }),
    line(step, { split: 'validation', loss: 0.6, accuracy: accuracy - (20 - step) / 100 }),
  ])
  await writeAtomic(join(folder, 'metrics.jsonl'), lines.join(''))
  await writeAtomic(join(folder, 'adapter', 'adapter_model.safetensors'), Buffer.alloc(4 * trainable))
  const answers = right.map((isRight, row) => {
    const [label, other] = [labels[row % 2], labels[1 - (row % 2)]]
    return { row, text: hash(`${texts} ${row}`), label, predicted: isRight ? label : other }
  })
  if (withPredictions) {
    await writeAtomic(join(folder, 'predictions.jsonl'), answers.map(one => `${JSON.stringify(one)}\n`).join(''))
  }
  await writeAtomic(
    join(folder, 'result.json'),
    JSON.stringify({
      task,
      test_accuracy: accuracy,
      test_metrics: { accuracy, f1: accuracy },
      parameters: { total: 100_000, trainable },
      wall_seconds: seconds,
      gpu_bytes: 2 ** 20,
      adapter: 'Some adapter',
    }),
  )
}

/** `count` rows of which each `every`-th is wrong, beginning with `from`. */
export const rightBut = (count: number, every: number, from = 0): boolean[] =>
  Array.from({ length: count }, (_, row) => row % every !== from)
