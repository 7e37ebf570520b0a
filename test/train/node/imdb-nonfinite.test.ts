// `node train/imdb.ts` where numbers go wrong: one line, status 3, the last good checkpoint, and no result.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createModel } from '../../../models/index.ts'
import { freshValues } from '../../../models/initialise.ts'
import { writeSafetensors } from '../../../models/node/files.ts'
import { type Workplace, filesBelow, makeWorkplace, resultOf } from '../../support/command.ts'
import { notFiniteBelow } from '../../support/finite.ts'
import {
  type Ended,
  TINY_WORDS,
  imdb,
  tinyModelConfig,
  tinyReviews,
  toCsv,
  writeTinyModel,
} from '../../support/tiny.ts'

let place: Workplace
beforeAll(async () => {
  place = await makeWorkplace('nonfinite')
})
afterAll(() => place.remove())

const lines = ({ stderr }: Ended): string[] => stderr.split('\n').filter(line => line.startsWith('tilegrad: '))

/** Sees that a run ended with status 3 and this line, and left nothing that looks like a result. */
async function endsBadly(ended: Ended, folder: string, says: RegExp): Promise<void> {
  expect(ended.status, ended.stderr).toBe(3)
  expect(lines(ended)).toEqual([expect.stringMatching(says)])
  expect(ended.stdout).toBe('')
  expect(ended.stderr).not.toMatch(/best so far/)
  const files = await filesBelow(folder)
  expect(files.filter(name => /^(result\.json|report\.html|adapter|model|lock|checkpoints\/best)/.test(name))).toEqual(
    [],
  )
  expect(await notFiniteBelow(folder)).toEqual([])
}

test('a rate of 1e30 ends at the first step that is not finite, and again when it is gone on with', async () => {
  const cwd = await place.folder()
  const args = [
    '--model',
    place.model,
    '--data',
    place.reviews,
    '--max-length',
    '8',
    '--batch-size',
    '8',
    '--epochs',
    '1',
    '--limit-train',
    '48',
    '--tune',
    'full',
    '--lr',
    '1e30',
    '--out',
    'run',
    '--json',
  ]
  const says =
    /^tilegrad: step \d+ is not finite: loss \S+, gradient norm \S+, learning rate \d\S*e\+\d\d; first kernel .+; the checkpoint of step 0 in run is the last good one$/
  await endsBadly(await imdb(args, { cwd, env: place.env, ownProcess: true }), join(cwd, 'run'), says)
  await endsBadly(await imdb(['--resume', 'run', '--json'], { cwd, env: place.env }), join(cwd, 'run'), says)
})

test('a bad step can be left out when the run is gone on with, and a report that fails costs no result', async () => {
  const cwd = await place.folder()
  // Weights so large that the layer norm of its row overflows; one review of the training set alone has the word.
  const model = await writeTinyModel(join(cwd, 'model'), { changes: { num_hidden_layers: 1 } })
  const word = TINY_WORDS.indexOf('after')
  await writeSafetensors(
    join(model, 'model.safetensors'),
    createModel(tinyModelConfig({ num_hidden_layers: 1 }))
      .parameters()
      .map(parameter => ({
        name: parameter.name,
        dtype: 'F32',
        shape: parameter.shape,
        read: async () => {
          const values = freshValues(parameter, 7)
          const width = parameter.shape[1]
          if (/word_embeddings/.test(parameter.name))
            values.set(
              Array.from({ length: width }, (_, i) => (i % 3 === 0 ? -3e38 : 3e38)),
              word * width,
            )
          return values
        },
      })),
    { format: 'pt' },
  )
  const reviews = (count: number, seed: number) =>
    tinyReviews(count, { seed, shortest: 3, longest: 3 }).map(review => ({
      ...review,
      text: review.text.replaceAll('after', 'the'),
    }))
  await mkdir(join(cwd, 'data'))
  const [first, ...rest] = reviews(24, 1)
  await writeFile(join(cwd, 'data/train.csv'), toCsv([{ ...first, text: `after ${first.text}` }, ...rest]))
  await writeFile(join(cwd, 'data/test.csv'), toCsv(reviews(8, 2)))
  const args = [
    '--model',
    'model',
    '--data',
    'data/train.csv',
    '--val-split',
    '0',
    '--max-length',
    '8',
    '--batch-size',
    '8',
    '--epochs',
    '2',
    '--lora-targets',
    'query',
    '--checkpoint-every',
    '0',
    '--out',
    'run',
    '--json',
  ]
  const says =
    /^tilegrad: step [123] is not finite: loss NaN, .+ the checkpoint of step [012] in run is the last good one$/
  await endsBadly(await imdb(args, { cwd, env: place.env, report: true }), join(cwd, 'run'), says)

  // Nobody can put a report where a folder is.
  await mkdir(join(cwd, 'run/report.html/there'), { recursive: true })
  const ended = await imdb(['--resume', 'run', '--skip-bad-steps', '2', '--json'], {
    cwd,
    env: place.env,
    report: true,
  })
  expect(resultOf(ended)).toMatchObject({ steps: 6, skipped_steps: 2 })
  expect(lines(ended)).toEqual([
    expect.stringMatching(/^tilegrad: no report was written \(.+\); everything else is in run$/),
  ])
  expect(ended.stderr).toMatch(/step \d is not finite and was left out \(--skip-bad-steps 2\)/)
  expect(JSON.parse(await readFile(join(cwd, 'run/result.json'), 'utf8'))).toMatchObject({ steps: 6, skipped_steps: 2 })
  expect(await notFiniteBelow(join(cwd, 'run'))).toEqual([])
})
