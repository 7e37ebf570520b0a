// Kinds of files that people bring, and what each gives: read, with what was understood of it, or refused in one line.
// The files themselves are not part of the repository; each kind has tests of its own beside its reader.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../../../engine/errors.ts'
import { parseOptions } from '../../../../train/node/cli/options.ts'
import { openData, taskOf } from '../../../../train/node/jobs/job.ts'
import { SHARED } from '../../../support/shared.ts'

const folder = join(SHARED, 'reports')
const open = (file: string, args: readonly string[]) => {
  const options = parseOptions(['--data', join(folder, file), ...args])
  return openData(options, () => undefined).then(data => ({ ...data, made: taskOf(options, data) }))
}

interface Kind {
  readonly args?: readonly string[]
  /** What is understood. */
  readonly labels?: readonly string[]
  readonly source?: RegExp
  /** Or why it is refused. */
  readonly refused?: RegExp
}

const kinds: readonly (readonly [string, Kind])[] = [
  ['three-labels.csv', { labels: ['negative', 'neutral', 'positive'] }],
  ['sentence-column.csv', { source: /texts from column "sentence"/ }],
  [
    'sentence-column.csv',
    { args: ['--text-column', 'nowhere'], refused: /has no column "nowhere" for texts; its columns are / },
  ],
  ['nested-column-first.parquet', {}],
  ['list-label.parquet', { refused: /list-label\.parquet.*a list of one: choose --task classes .* or --task labels/ }],
  ['list-label.parquet', { args: ['--task', 'classes'], labels: ['0', '1'] }],
  ['list-label.parquet', { args: ['--task', 'labels'] }],
  ['classlabel-pos-first.parquet', { labels: ['pos', 'neg'] }],
  ['excel-latin1.csv', { refused: /excel-latin1\.csv.*byte.*--encoding/ }],
  ['excel-latin1.csv', { args: ['--encoding', 'windows-1252'] }],
  ['float-labels.csv', {}],
  ['minus-one-labels.csv', { refused: /rows labelled -1 were read as unlabelled: --minus-one label/ }],
  ['minus-one-labels.csv', { args: ['--minus-one', 'label'], labels: ['-1', '1'] }],
  ['empty-text.csv', { refused: /empty-text\.csv, data row \d+/ }],
  ['empty-text.csv', { args: ['--skip-bad-rows'], source: /left out: no text/ }],
  ['lines.ndjson', {}],
  ['semicolon.csv', {}],
  ['kaggle-competition/train.csv', { source: /split 80\/20.*test has no labels/ }],
  ['three-rows.csv', { refused: /has only the label|only the label/ }],
  ['imbalanced.csv', { labels: ['negative', 'positive'] }],
  ['imbalanced.csv', { args: ['--class-weights', 'balanced'], labels: ['negative', 'positive'] }],
  ['hang-962-bytes.parquet', { refused: /not a Parquet file, or is cut short or damaged/ }],
]

describe.skipIf(!existsSync(folder))('a file of a kind that people bring', () => {
  for (const [file, { args = [], labels, source, refused }] of kinds) {
    test([file, ...args].join(' '), async () => {
      const started = performance.now()
      const found = await open(file, args).catch((error: unknown) => error)
      if (refused) {
        expect(found).toBeInstanceOf(UserError)
        expect((found as UserError).message).toMatch(refused)
        expect(performance.now() - started).toBeLessThan(20_000)
        return
      }
      if (found instanceof Error) throw found
      const data = found as Awaited<ReturnType<typeof open>>
      expect(data.train.length).toBeGreaterThan(1)
      if (labels) expect(data.plan.labels).toEqual(labels)
      if (source) expect(data.source).toMatch(source)
    })
  }
})
