// The examples of a run: paths that lead nowhere, rows without a label, samples that are too small, and options that do not
// fit the task.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { UserError } from '../../../../engine/errors.ts'
import {
  BUNDLED,
  type Data,
  checkPaths,
  checkTraining,
  openData,
  taskOf,
  weightsOf,
} from '../../../../train/node/jobs/job.ts'
import type { Example } from '../../../../train/node/data/labelled.ts'
import type { TaskName } from '../../../../train/tasks/infer.ts'
import { parseOptions } from '../../../../train/node/cli/options.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tilegrad-job-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

describe('a path that leads nowhere', () => {
  test.each([
    'aclImdb.tgz',
    'aclImdb_v1.tar.gz',
    'reviews.tar',
    'reviews.CSV',
    'reviews.tsv',
    'data/reviews.JSONL',
    'train.Parquet',
    './reviews',
    '../missing-reviews',
    '/no/where',
    'a/b/c',
    'reviews.zip',
    'model.safetensors',
  ])('%s is a missing file, and no name on the Hub', async path => {
    const where = path === 'model.safetensors' ? { model: path } : { data: path }
    await expect(checkPaths({ ...parseOptions([]), ...where })).rejects.toThrow(
      new UserError(`No file or folder at ${path}`),
    )
  })

  test.each(['imdb', 'stanfordnlp/imdb', 'some-body/data.set_v1.5', 'some/data@refs/pr/1'])(
    '%s is a name',
    async name => {
      await expect(checkPaths({ ...parseOptions([]), data: name })).resolves.toBeUndefined()
    },
  )
})

describe('rows without a label', () => {
  test.each([
    [0, ''],
    [1, '; 1 row without'],
    [1200, '; 1,200 rows without'],
  ])('%i of them are counted, and the source says so', async (count, said) => {
    const path = join(folder, 'reviews.csv')
    const labelled = Array.from({ length: 20 }, (_, i) => `review ${i},${i % 2}\n`)
    await writeFile(path, `text,label\n${labelled.join('')}${'nobody knows,-1\n'.repeat(count)}`)
    const data = await openData(parseOptions(['--data', path]), () => undefined)
    expect([data.unlabelled, data.all.length + data.test.length]).toEqual([count, 20])
    const columns = 'texts from column "text", labels from "label"'
    const left = said === '' ? '' : `${said} a label (-1) left out (--minus-one label takes -1 for a class)`
    expect(data.source).toBe(`${path} (split 80/20); ${columns}${left}`)
  })
})

describe('rows that are drawn', () => {
  const open = async (seed: number, testSeed?: number) => {
    const options = ['--limit-train', '30', '--limit-test', '8', '--val-split', '6', '--seed', String(seed)]
    const path = join(folder, 'reviews.csv')
    const rows = Array.from({ length: 100 }, (_, i) => `review ${i},${i % 2}\n`)
    await writeFile(path, `text,label\n${rows.join('')}`)
    const data = await openData({ ...parseOptions(['--data', path, ...options]), testSeed }, () => undefined)
    return { ...data, texts: (set: 'train' | 'validation' | 'test') => data[set].map(({ text }) => text).toSorted() }
  }

  test('for training and validation depend on the seed, those for the test never do', async () => {
    const [one, two] = [await open(1), await open(2)]
    expect(one.texts('test')).toHaveLength(8)
    expect(two.texts('test')).toEqual(one.texts('test'))
    expect(two.texts('train')).not.toEqual(one.texts('train'))
    expect(two.texts('validation')).not.toEqual(one.texts('validation'))
  })

  test('for the test are those of an older run where they were drawn by its seed', async () => {
    const [old, same] = [await open(1, 1), await open(2, 1)]
    expect(old.texts('test')).not.toEqual((await open(1)).texts('test'))
    expect(same.texts('test')).toEqual(old.texts('test'))
    expect(old.testSeed).toBe(1)
  })
})

describe('a sample that leaves nothing to train on, or one class,', () => {
  test.each([
    ['--limit-train 1', '--limit-train 1, --val-split 0.1: Cannot set 1 of 1 examples aside'],
    ['--limit-train 1 --val-split 0', 'data/reviews with --limit-train 1 has only the label "positive" to train on'],
    ['--limit-train 1000000', '--limit-train 1000000: Cannot draw'],
    ['--val-split 1000000', '--val-split 1000000: Cannot set 1000000 of'],
  ])('%s is named', async (options, message) => {
    const data = openData(parseOptions(['--data', BUNDLED.data, ...options.split(' ')]), () => undefined)
    await expect(data).rejects.toThrow(message.replace('data/reviews', BUNDLED.data))
  })
})

describe('options for training', () => {
  const example = (target: Example['target']): Example => ({ text: 'a film', target })
  /** Data of a task with three classes, or a number. */
  const dataOf = (
    task: TaskName,
    train: readonly Example[] = [],
    validation: readonly Example[] = [example(0)],
  ): Pick<Data, 'plan' | 'columns' | 'train' | 'validation'> => ({
    plan: { task, labels: task === 'regression' ? ['stars'] : ['a', 'b', 'c'], namedBy: 'data', why: 'of a test' },
    columns: { text: 'text', pair: undefined, label: 'label' },
    train,
    validation,
  })

  test.for<[TaskName, string[], RegExp]>([
    ['classes', ['--best-metric', 'spearman'], /^--best-metric spearman: this task has loss, accuracy, .*f1_macro/],
    ['labels', ['--best-metric', 'matthews'], /^--best-metric matthews: this task has loss, f1_micro, /],
    ['regression', ['--best-metric', 'accuracy'], /^--best-metric accuracy: this task has loss, mse, .*spearman/],
    ['tokens', ['--best-metric', 'mse'], /^--best-metric mse: this task has loss, f1, /],
    ['regression', ['--class-weights', 'balanced'], /^--class-weights is for tasks with classes, not for regression$/],
    ['regression', ['--label-smoothing', '0.1'], /^--label-smoothing is for tasks with classes, not for regression$/],
    [
      'regression',
      ['--compare-with', 'random,lr'],
      /^--compare-with lr: a baseline .* and this is one number per text/,
    ],
    ['tokens', ['--compare-with', 'nb'], /^--compare-with nb: a baseline .* and this is one label per word/],
  ])('of %s refuse %j', ([task, args, refused]) => {
    expect(() => checkTraining(parseOptions(args), dataOf(task))).toThrow(refused)
    expect(() => checkTraining(parseOptions(args), dataOf(task))).toThrow(UserError)
  })

  test('take texts to try one by one, not in pairs', () => {
    const data = dataOf('classes')
    checkTraining(parseOptions(['--try', 'a']), data)
    expect(() =>
      checkTraining(parseOptions(['--try', 'a']), { ...data, columns: { ...data.columns, pair: 'answer' } }),
    ).toThrow('--try takes one text, and this data has pairs (second texts in column "answer")')
  })

  test.for(['--patience', '--evaluate-every', '--keep-best'])('%s needs a validation set', option => {
    expect(() => checkTraining(parseOptions([option, '2']), dataOf('classes', [], []))).toThrow(
      `${option} needs a validation set: give --val-split`,
    )
    checkTraining(parseOptions([option, '2']), dataOf('classes'))
  })

  test('that only a validation set gives a meaning to are not asked for by their defaults', () => {
    expect(() => checkTraining(parseOptions(['--best-metric', 'loss']), dataOf('classes', [], []))).toThrow(
      '--best-metric needs a validation set',
    )
    checkTraining(parseOptions([]), dataOf('classes', [], []))
  })

  test.for<[TaskName, string, string]>([
    ['classes', '1,2', '--class-weights 1,2: 2 weights for 3 classes (a, b, c)'],
    ['labels', '1', '--class-weights 1: 1 weight for 3 classes (a, b, c)'],
    ['tokens', '1,2,3,4', '--class-weights 1,2,3,4: 4 weights for 3 classes (a, b, c)'],
    ['classes', '0,0,0', 'all of them are 0'],
  ])('of %s refuse the weights %s', ([task, weights, refused]) => {
    expect(() => taskOf(parseOptions(['--class-weights', weights]), dataOf(task))).toThrow(refused)
  })

  test('weigh each of several labels against its own absence, and one that all texts have, or none, not at all', () => {
    const targets = [
      [1, 1, 0],
      [0, 1, 0],
      [0, 1, 0],
      [0, 1, 0],
    ]
    const { plan, train } = dataOf(
      'labels',
      targets.map(target => example(target)),
    )
    expect(weightsOf('balanced', plan, train)).toEqual([3, 1, 1])
    expect(weightsOf('1,2,0.5', plan, train)).toEqual([1, 2, 0.5])
  })
})
