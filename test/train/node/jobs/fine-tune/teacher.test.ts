// Fine-tuning with a teacher: what is learned from it, that a run which is killed ends with the same bits when it is
// resumed, and that teachers of something else are refused.
import { cp, mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { UserError } from '../../../../../engine/errors.ts'
import { currentDevice } from '../../../../../engine/node/index.ts'
import { createModel } from '../../../../../models/index.ts'
import { freshValues } from '../../../../../models/initialise.ts'
import { readJson, writeSafetensors } from '../../../../../models/node/files.ts'
import { Console } from '../../../../../train/node/cli/console.ts'
import { parseOptions } from '../../../../../train/node/cli/options.ts'
import { Progress } from '../../../../../train/node/cli/progress.ts'
import { startRun } from '../../../../../train/node/jobs/fine-tune.ts'
import { openJob, prepare } from '../../../../../train/node/jobs/fine-tune/prepare.ts'
import { openBaseline } from '../../../../../train/node/jobs/baseline/saved.ts'
import { byToken } from '../../../../../train/node/jobs/fine-tune/teacher.ts'
import { keepAnswers, keptAnswers } from '../../../../../train/node/jobs/fine-tune/taught.ts'
import { createShared } from '../../../../../train/node/jobs/shared.ts'
import { openRun } from '../../../../../train/node/run/folder.ts'
import { type Line, figuresOf } from '../../../../support/metrics.ts'
import { type Workplace, filesBelow, makeWorkplace, resultOf, tinyRun } from '../../../../support/command.ts'
import { signalledAfter } from '../../../../support/interrupted.ts'
import { loadReviews } from '../../../../support/reviews.ts'
import { TINY_WORDS, startTilegrad, tilegrad, tinyModelConfig, writeTinyModel } from '../../../../support/tiny.ts'

let place: Workplace
/** Another model of two layers, which has never been trained: what it answers is as good to learn as anything. */
let teacher: string
/** Texts without labels: two new ones, one of them twice, and one that the run has already. */
let more: string
/** The run that was never stopped. */
let whole: string

const NO_DROPOUT = { hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 }
const args = (): string[] => [
  ...['fine-tune', ...tinyRun(place), '--teacher', teacher, '--distill-weight', '0.75'],
  ...['--unlabelled', more, '--batch-size', '1'],
]

/** A run in this process, which listens for no signals before it trains. */
async function fineTune(argv: readonly string[]): Promise<number> {
  const startup = { beforeStop: () => undefined, end: () => undefined }
  return startRun(parseOptions(argv, 'tilegrad'), new Console(true), 'test', startup)
}

beforeAll(async () => {
  place = await makeWorkplace('teacher', NO_DROPOUT)
  teacher = await writeTinyModel(join(place.root, 'teacher'), { seed: 3, changes: NO_DROPOUT })
  const cwd = await place.folder()
  const {
    test: [known],
  } = await loadReviews(place.reviews)
  more = join(place.root, 'more.txt')
  await writeFile(more, ['the film was great', 'an awful plot', 'the film was great', known.text, ''].join('\n'))
  whole = join(cwd, 'run')
  const ended = await tilegrad([...args(), '--json'], { cwd, env: place.env })
  resultOf(ended)
  expect(ended.stderr).toContain('teacher 82/82')
})
afterAll(async () => {
  await place.remove()
  ;(await currentDevice()).close()
})

test('the student learns what the teacher answers, and the run says from whom', async () => {
  const steps = (await figuresOf(whole)).filter(line => line.split === undefined)
  // Two epochs of 80 reviews and of the two new texts, which have no loss of their own.
  expect(steps.length).toBe(2 * 82)
  expect(steps.filter(({ task_loss }) => task_loss === 0).length).toBe(2 * 2)
  for (const { loss, task_loss, distill_loss } of steps) {
    expect(loss).toBeCloseTo(0.25 * task_loss + 0.75 * distill_loss, 5)
  }
  const mean = (lines: readonly Line[]): number =>
    lines.reduce((sum, { distill_loss }) => sum + distill_loss, 0) / lines.length
  expect(mean(steps.slice(-41))).toBeLessThan(0.8 * mean(steps.slice(0, 41)))
  const config = await readJson(join(whole, 'config.json'))
  expect(config).toMatchObject({
    fingerprints: {
      teacher: expect.stringMatching(/^[0-9a-f]{64}$/),
      unlabelled: expect.stringMatching(/^[0-9a-f]{64}$/),
    },
    arguments: expect.arrayContaining([`--teacher=${teacher}`, '--distill-weight=0.75', `--unlabelled=${more}`]),
    teacher: { name: teacher, family: 'bert', parameters: expect.any(Number) },
  })
})

test('killed outright, the run is resumed to the same bits, but not with another teacher or other texts', async () => {
  const cwd = await place.folder()
  const env = await signalledAfter(place, 1, 'SIGKILL')
  const { signal } = await startTilegrad([...args(), '--checkpoint-every', '0'], { cwd, env }).ended
  expect(signal).toBe('SIGKILL')
  const resume = () => tilegrad(['fine-tune', '--resume', 'run'], { cwd, env: place.env })
  const vocabulary = join(teacher, 'vocab.txt')
  const words = await readFile(vocabulary, 'utf8')
  await writeFile(vocabulary, words.replace('good\ngreat\n', 'great\ngood\n'))
  const refused = await resume()
  expect(refused).toMatchObject({
    status: 2,
    stderr: `tilegrad: the teacher ${teacher} changed since run began: restore it, or start another run\n`,
  })
  await writeFile(vocabulary, words)
  const texts = await readFile(more, 'utf8')
  await writeFile(more, `${texts}one more\n`)
  expect(await resume()).toMatchObject({
    status: 2,
    stderr: `tilegrad: the texts of ${more} changed since run began: restore it, or start another run\n`,
  })
  await writeFile(more, texts)
  const { status, stderr } = await resume()
  expect(status, stderr).toBe(0)
  expect(stderr, 'the teacher is not asked again').not.toContain('teacher 82/82')
  expect(await figuresOf(join(cwd, 'run'))).toEqual(await figuresOf(whole))
  for (const file of (await filesBelow(whole)).filter(path => path.startsWith('adapter/'))) {
    const [ours, theirs] = await Promise.all([join(cwd, 'run'), whole].map(folder => readFile(join(folder, file))))
    if (!file.endsWith('.json')) expect(ours.equals(theirs), file).toBe(true)
  }
})

test('jobs of one process ask a teacher once, unless the texts are others', async () => {
  const lines: string[] = []
  const stream = new Writable({ write: (chunk, _encoding, done) => (lines.push(String(chunk)), done()) })
  const progress = new Progress({ stream, interval: 0 })
  const shared = createShared()
  const taughtIn = async (...more: string[]) => {
    const options = parseOptions([...args().slice(1), '--out', 'unused', ...more], 'tilegrad')
    const job = await openJob(options, new Console(true), progress, 'test', undefined, { shared })
    const [, { train }] = await prepare(job, new Console(true), progress)
    return train.map(({ taught }) => taught)
  }
  const first = await taughtIn()
  expect(first).toHaveLength(82)
  expect(await taughtIn('--lr', '1e-3')).toEqual(first)
  const asked = (): number => lines.filter(line => /^teacher (\d+)\/\1\b/.test(line)).length
  expect(asked()).toBe(1)
  await taughtIn('--max-length', '7')
  expect(asked()).toBe(2)
})

test('answers that are damaged, or to other texts, are asked for again', async () => {
  const run = await openRun(whole)
  const notes: string[] = []
  const note = (line: string): void => void notes.push(line)
  const lengths = new Array<number>(82).fill(2)
  const kept = await keptAnswers(run, lengths, note)
  expect(kept?.map(({ length }) => length)).toEqual(lengths)
  const path = run.path('teacher.bin')
  const bytes = await readFile(path)
  expect(await keptAnswers(run, lengths.slice(1), note)).toBeUndefined()
  expect(await keptAnswers(run, lengths, note), 'the file is gone').toBeUndefined()
  await writeFile(path, bytes.with(bytes.length - 1, bytes[bytes.length - 1] ^ 1))
  expect(await keptAnswers(run, lengths, note)).toBeUndefined()
  const damaged = `${path} is damaged: the teacher answers the texts again`
  expect(notes).toEqual([damaged, damaged])
  await keepAnswers(run, kept?.map(taught => ({ taught })) ?? [])
  expect((await readFile(path)).equals(bytes)).toBe(true)
})

/** The workplace's model with other ids: its words stand in another order, and so do their embeddings. */
async function renumbered(): Promise<string> {
  const folder = join(place.root, 'renumbered')
  await cp(place.model, folder, { recursive: true })
  const special = TINY_WORDS.filter(word => word.startsWith('['))
  const order = [...special, ...TINY_WORDS.slice(special.length).toReversed()]
  await writeFile(join(folder, 'vocab.txt'), order.map(word => `${word}\n`).join(''))
  const model = createModel(tinyModelConfig({ num_hidden_layers: 1, ...NO_DROPOUT }))
  const tensors = model.parameters().map(parameter => {
    const values = freshValues(parameter, 7)
    const width = parameter.shape[1]
    const read = async () =>
      parameter.name.endsWith('word_embeddings.weight')
        ? Float32Array.from(
            values,
            (_, i) => values[TINY_WORDS.indexOf(order[Math.floor(i / width)]) * width + (i % width)],
          )
        : values
    return { name: parameter.name, dtype: 'F32' as const, shape: parameter.shape, read }
  })
  await writeSafetensors(join(folder, 'model.safetensors'), tensors, { format: 'pt' })
  return folder
}

test('a teacher reads the texts by its own tokenizer: one that is the student has nothing to teach', async () => {
  const cwd = await place.folder()
  const own = ['fine-tune', ...tinyRun(place), '--epochs', '1', '--limit-train', '20', '--teacher', await renumbered()]
  const run = join(cwd, 'run')
  await fineTune([...own.slice(1), '--out', run, '--tune', 'head', '--json'].filter(isNoLora))
  const [first] = (await figuresOf(run)).filter(line => line.split === undefined)
  expect(first.task_loss).toBeGreaterThan(0.01)
  expect(Math.abs(first.distill_loss ?? NaN)).toBeLessThan(1e-6)
})

test('a baseline teaches, too: what it answers is learned', async () => {
  const cwd = await place.folder()
  const baseline = join(cwd, 'baseline')
  resultOf(await tilegrad(['baseline', '--data', place.reviews, '--out', baseline, '--json'], { cwd, env: place.env }))
  const run = join(cwd, 'run')
  const taught = ['--teacher', baseline, '--epochs', '1', '--limit-train', '40', '--unlabelled', more]
  await fineTune([...tinyRun(place), '--out', run, ...taught, '--json'])
  const classifier = await openBaseline(join(baseline, 'baseline'))
  const answersTo = async (texts: readonly string[]): Promise<string[]> =>
    (await classifier.score(texts)).map(({ logits }) => logits.join())
  // 24 reviews, after 16 for validation, and the two new texts.
  const lengths = new Array<number>(26).fill(2)
  const kept = (await keptAnswers(await openRun(run), lengths, line => expect.fail(line)))?.map(logits => logits.join())
  expect(kept?.slice(-2)).toEqual(await answersTo(['the film was great', 'an awful plot']))
  const { train } = await loadReviews(place.reviews)
  expect(await answersTo(train.map(({ text }) => text))).toEqual(expect.arrayContaining(kept?.slice(0, -2) ?? []))
  const steps = (await figuresOf(run)).filter(line => line.split === undefined)
  for (const { distill_loss } of steps) expect(distill_loss).toBeGreaterThan(0)
  expect(await readJson(join(run, 'config.json'))).toMatchObject({
    fingerprints: { teacher: expect.stringMatching(/^[0-9a-f]{64}$/) },
    teacher: { name: baseline, family: 'nb-svm', parameters: classifier.parameters },
  })
})

test('answers to words stand where the words begin for the student', () => {
  // [CLS], three words of which the first has two pieces and the last was cut, [SEP].
  const firstOf = [-1, 0, -1, 1, -1]
  const logits = Float32Array.from({ length: 2 * firstOf.length }, (_, i) => i)
  const none = [NaN, NaN]
  expect([...byToken({ logits, firstOf }, [-1, 0, 1, -1, -1, 2, -1])]).toEqual(
    [none, [2, 3], [6, 7], none, none, none, none].flat(),
  )
})

test('labels of words are learned word by word, whatever tokens a word has for the teacher', async () => {
  const data = join(place.root, 'words')
  const rows = Array.from({ length: 24 }, (_, i) => {
    const tokens =
      i % 2 === 0 ? ['the', 'good', 'film'] : ['bad', 'music', 'in', 'the', 'end', 'and', 'on', 'and', 'on']
    return { tokens, tags: tokens.map(word => (word === 'good' || word === 'bad' ? 'X' : 'O')) }
  })
  await mkdir(data)
  for (const [name, some] of Object.entries({ train: rows.slice(0, 16), test: rows.slice(16) })) {
    await writeFile(join(data, `${name}.ndjson`), some.map(row => `${JSON.stringify(row)}\n`).join(''))
  }
  const cwd = await place.folder()
  const train = (name: string, ...more: readonly string[]): Promise<number> =>
    fineTune([
      ...['--model', place.model, '--data', data, '--tune', 'full', '--epochs', '1', '--val-split', '0'],
      ...[
        '--text-column',
        'tokens',
        '--label-column',
        'tags',
        '--batch-size',
        '8',
        '--tune-kernels',
        'off',
        '--json',
        '--out',
        join(cwd, name),
        ...more,
      ],
    ])
  await train('large', '--max-length', '8')
  await train('small', '--max-length', '16', '--teacher', join(cwd, 'large'), '--distill-weight', '1')
  const [first] = await figuresOf(join(cwd, 'small'))
  expect(first.loss).toBeGreaterThan(1e-3)
  // The teacher cuts the longer texts after six of their nine words.
  const run = await openRun(join(cwd, 'small'))
  const lengths = Array.from({ length: 16 }, (_, i) => 2 * (i % 2 === 0 ? 5 : 11))
  const kept = await keptAnswers(run, lengths, line => expect.fail(line))
  const told = kept?.map(answer => Array.from({ length: answer.length / 2 }, (_, at) => !Number.isNaN(answer[2 * at])))
  const wordsOf = (said: number, all: number): boolean[] =>
    Array.from({ length: all + 2 }, (_, at) => at > 0 && at <= said)
  expect(told).toEqual(Array.from({ length: 16 }, (_, i) => (i % 2 === 0 ? wordsOf(3, 3) : wordsOf(6, 9))))
})

/** Whether an argument of `tinyRun` is neither an option of LoRA nor its value. */
const isNoLora = (argument: string, at: number, all: readonly string[]): boolean =>
  !argument.startsWith('--lora-') && !all[at - 1]?.startsWith('--lora-')

describe('a teacher is refused in one line', () => {
  const refused = async (more: readonly string[], why: string): Promise<void> => {
    const cwd = await place.folder()
    const tried = fineTune([...tinyRun(place), '--out', join(cwd, 'run'), ...more])
    await expect(tried).rejects.toThrow(new UserError(why))
    expect(await readdir(cwd), 'nothing is written').toEqual([])
  }
  const model = (name: string, changes: Readonly<Record<string, unknown>>): Promise<string> =>
    writeTinyModel(join(place.root, name), { changes: { num_hidden_layers: 1, ...changes } })

  test('if it is not there, or another option needs one', async () => {
    await refused(['--teacher', 'nowhere/at/all'], 'No file or folder at nowhere/at/all')
    await refused(['--distill-weight', '0.1'], '--distill-weight requires --teacher')
    await refused(['--unlabelled', more], '--unlabelled requires --teacher')
    await refused(['--teacher', teacher, '--unlabelled', 'nowhere.txt'], 'No file or folder at nowhere.txt')
    const known = join(place.root, 'known.txt')
    await writeFile(known, `${(await loadReviews(place.reviews)).test[0].text}\n`)
    await refused(['--teacher', teacher, '--unlabelled', known], `${known} has no text that the run has not already`)
    await refused(
      ['--teacher', teacher, '--distill-weight', '1.5'],
      '--distill-weight takes a number from 0 to 1; got "1.5"',
    )
    await refused(
      ['--teacher', teacher, '--distill-temperature', '0'],
      '--distill-temperature takes a number from 0.01 to 1000; got "0"',
    )
    const pairs = join(place.root, 'pairs.csv')
    const rows = Array.from({ length: 120 }, (_, i) => `good ${i},bad ${i},${i % 2}\n`)
    await writeFile(pairs, `text,sentence2,label\n${rows.join('')}`)
    await refused(
      ['--data', pairs, '--pair-column', 'sentence2', '--teacher', teacher, '--unlabelled', known],
      '--unlabelled takes single texts, and the data are pairs',
    )
  })

  test('if it was trained for other labels or another task', async () => {
    const other = await model('other-labels', { id2label: { 0: 'calm', 1: 'angry' }, label2id: { calm: 0, angry: 1 } })
    await refused(
      ['--teacher', other],
      `--teacher ${other} was trained for other labels (calm, angry) than negative, positive`,
    )
    const several = await model('several', { problem_type: 'multi_label_classification' })
    await refused(
      ['--teacher', several],
      `--teacher ${several} was trained for several labels at once, but the task is one label per text`,
    )
  })

  test('if it has no trained classifier', async () => {
    const base = join(import.meta.dirname, '../../../../golden/pretrained/model')
    await refused(
      ['--teacher', base],
      `${base} has no trained classifier (no bert.pooler.dense.weight): fine-tune it first`,
    )
  })
})
