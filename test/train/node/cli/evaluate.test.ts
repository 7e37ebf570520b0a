// `tilegrad evaluate`: labels as data has them against the answers of a model, for every kind of task.
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClassifierOptions } from '../../../../models/classifier.ts'
import { type Scored, type TextInput, textOf } from '../../../../models/prediction.ts'
import { compareRuns } from '../../../../train/compare/compare.ts'
import { evaluate } from '../../../../train/node/cli/evaluate.ts'
import { openRuns } from '../../../../train/node/jobs/compare.ts'
import { writeEvaluation } from '../../../../train/node/jobs/evaluate/folder.ts'
import { recordedOptions } from '../../../../train/node/jobs/fine-tune.ts'
import { trainedAt } from '../../../../train/node/jobs/predict.ts'
import { openTexts } from '../../../../train/node/jobs/texts.ts'
import { type EvaluateOptions, type Evaluated, evaluateOn, openLabelled } from '../../../../train/node/jobs/evaluate.ts'
import { openRun } from '../../../../train/node/run/folder.ts'
import { readPredictions, textHash } from '../../../../train/node/run/predictions.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tilegrad-evaluate-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function file(name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text)
  return join(folder, name)
}

/** A model whose logits are numbers in the text: "3 -1" scores 3 and −1. */
function scorer(options: Pick<ClassifierOptions, 'labels'> & Partial<ClassifierOptions>) {
  const score = (input: TextInput): Scored => {
    const words = typeof input !== 'string' && 'words' in input ? input.words : undefined
    const logits = Float32Array.from(textOf(input).split(' '), Number)
    // Three tokens: [CLS], the first word, [SEP]; then none of a second word.
    return { answer: { kind: 'number', value: 0 }, logits, ...(words && { firstOf: [-1, 0, -1] }) }
  }
  return {
    options: { problem: 'single_label_classification' as const, ...options },
    score: async (texts: readonly TextInput[]) => texts.map(score),
  }
}

const said: string[] = []
async function evaluated(
  path: string,
  model: ReturnType<typeof scorer>,
  { labels, ...options }: EvaluateOptions = {},
): Promise<Evaluated> {
  said.length = 0
  return evaluateOn(model, await openLabelled(path, options), { labels }, { say: line => said.push(line) })
}

describe('labels of the data', () => {
  const two = scorer({ labels: ['negative', 'positive'] })

  test('count by name, by number, or as --labels spells them', async () => {
    // Right, right, wrong, right.
    const rows = (no: string, yes: string): string => `text,label\n2 1,${no}\n0 1,${yes}\n0 1,${no}\n-1 4,${yes}\n`
    for (const [i, [no, yes, labels]] of (
      [
        ['negative', 'positive'],
        ['0', '1'],
        ['NEGATIVE', 'Positive'],
        ['bad', 'good', ['bad', 'good']],
      ] as const
    ).entries()) {
      const { summary, main, interval } = await evaluated(await file(`two-${i}.csv`, rows(no, yes)), two, { labels })
      expect(summary.metrics).toMatchObject({ accuracy: 0.75, f1: 0.8 })
      expect(summary.confusion).toEqual([
        [1, 1],
        [0, 2],
      ])
      expect(main).toBe('accuracy')
      // Wilson's, for 3 of 4.
      expect([interval?.low, interval?.high].map(value => value?.toFixed(4))).toEqual(['0.3006', '0.9544'])
    }
  })

  test('that the model does not know are refused by row', async () => {
    const path = await file('other.csv', 'text,label\n2 1,positive\n0 1,great\n')
    await expect(evaluated(path, two)).rejects.toThrow(
      `${path}, data row 2: the label "great" is not one of negative, positive`,
    )
    await expect(evaluated(path, two, { labels: ['a'] })).rejects.toThrow(
      '--labels gives 1 names, but the model has 2 labels',
    )
    await expect(evaluated(await file('none.csv', 'text,other\nx,1\n'), two)).rejects.toThrow('has no label column')
  })

  test('in a folder are those of the test split, or of validation where test has none', async () => {
    const splits = join(folder, 'splits')
    await mkdir(splits)
    await file('splits/train.csv', 'text,label\n1 0,negative\n0 1,positive\n')
    await file('splits/validation.csv', 'text,label\n0 1,positive\n')
    await file('splits/test.csv', 'text,label\n1 0,-1\n0 1,-1\n')
    const { notes, examples } = await openLabelled(splits, {})
    expect(examples).toHaveLength(1)
    expect(notes.join('\n')).toMatch(
      /^The split test has no labels\.\nData: .+, split validation: 1 row; texts from column "text", labels from "label"$/,
    )
    expect((await openLabelled(splits, { split: 'train' })).examples).toHaveLength(2)
    expect(
      (await openLabelled(join(splits, 'train.csv'), {})).examples,
      'a file that is named is that file',
    ).toHaveLength(2)
    expect((await openTexts(join(splits, 'test.csv'), {})).source).toBe(
      `${join(splits, 'test.csv')}, texts from column "text"`,
    )
    await expect(openTexts(splits, {})).rejects.toThrow(
      `${splits} has several splits, name one with --split: train, validation, test`,
    )
    await expect(openLabelled(splits, { split: 'dev' })).rejects.toThrow(
      `${splits} has no labelled split dev; its splits: train, validation, test`,
    )
  })
})

describe('every kind of task', () => {
  test('two classes with a threshold and a temperature', async () => {
    const path = await file('threshold.csv', 'text,label\n0 1,a\n0 1,b\n0 3,b\n')
    const model = scorer({ labels: ['a', 'b'], thresholds: [0.5, 0.8], temperature: 1 })
    // 1/(1 + e⁻¹) = 0.73 is below the threshold.
    expect((await evaluated(path, model)).summary.confusion).toEqual([
      [1, 0],
      [1, 1],
    ])
    expect(
      (await evaluated(path, { ...model, options: { ...model.options, temperature: 0.5 } })).summary.confusion,
    ).toEqual([
      [0, 1],
      [0, 2],
    ])
  })

  test('several labels at once', async () => {
    const path = await file(
      'several.jsonl',
      '{"text": "1 -1 1", "label": ["a", "c"]}\n{"text": "-1 -1 1", "label": []}\n',
    )
    const { summary, task } = await evaluated(
      path,
      scorer({ labels: ['a', 'b', 'c'], problem: 'multi_label_classification' }),
    )
    expect(task).toBe('labels')
    expect(summary.metrics).toMatchObject({ subset_accuracy: 0.5, f1_micro: 0.8 })
  })

  test('numbers', async () => {
    const path = await file('numbers.csv', 'text,label\n1,1.5\n2,2\n3,3\n')
    const { summary } = await evaluated(path, scorer({ labels: ['LABEL_0'], problem: 'regression' }))
    expect(summary.metrics.mse).toBeCloseTo(0.25 / 3, 12)
  })

  test('one label per word, where only the first token of each counts and what was cut does not', async () => {
    // Logits of three tokens by two labels; the second word did not fit.
    const path = await file('words.jsonl', '{"tokens": ["9 9 1 2 9 9", "7"], "ner_tags": ["B-PER", "B-PER"]}\n')
    const model = scorer({ labels: ['O', 'B-PER'], problem: 'token_classification' })
    const { summary } = await evaluated(path, model)
    expect(summary.classes).toMatchObject([{ name: 'PER', precision: 1, recall: 1, support: 1 }])
    await expect(evaluated(await file('flat.jsonl', '{"text": "a b", "label": ["O", "O"]}\n'), model)).rejects.toThrow(
      'the model labels words, but the text is not a list of words',
    )
  })
})

describe('the folder of an evaluation', () => {
  const labels = ['a', 'b']
  const [lenient, strict] = [scorer({ labels }), scorer({ labels, thresholds: [0.5, 0.8] })]
  const facts = {
    options: { minusOne: 'unlabelled' },
    columns: { text: 'text', pair: undefined, label: 'label' },
    adapter: 'CPU',
  }
  const rows = 'text,label\n0 1,a\n0 1,b\n3 0,a\n'

  /** Evaluates a model into a folder of that name. */
  async function kept(name: string, data: string, model: ReturnType<typeof scorer>): Promise<string> {
    const out = join(folder, name)
    const result = await evaluated(data, model)
    const command = { model: name, arguments: [`--data=${data}`] }
    const { task } = result
    await writeEvaluation(out, { task }, result, { ...facts, ...command, parameters: 2, seconds: 1 })
    return out
  }

  test('has the answers of every row as a run has them', async () => {
    const out = await kept('answers', await file('answers.csv', rows), strict)
    const answers = await readPredictions(out)
    expect(answers?.map(({ row, label, predicted }) => [row, label, predicted])).toEqual([
      [0, 'a', 'a'],
      [1, 'b', 'a'],
      [2, 'a', 'a'],
    ])
    expect(answers?.[1]).toMatchObject({ text: textHash({ text: '0 1' }), probabilities: [0.268941, 0.731059] })
    expect(JSON.parse(await readFile(join(out, 'result.json'), 'utf8'))).toMatchObject({
      task: 'classes',
      test_metrics: { accuracy: 2 / 3 },
      parameters: { total: 2 },
      wall_seconds: 1,
    })
  })

  test('is taken by compare: McNemar for two models on one set, a line where the texts differ', async () => {
    const data = await file('one-set.csv', rows)
    const folders = [
      await kept('lenient', data, lenient),
      await kept('strict', data, strict),
      await kept('elsewhere', await file('another-set.csv', 'text,label\n0 5,b\n0 6,a\n'), lenient),
    ]
    const { runs } = await openRuns(folders)
    expect(runs.map(({ job, arguments: [model, given] }) => [job, model, given])).toEqual([
      ['evaluate', 'lenient', `--data=${data}`],
      ['evaluate', 'strict', `--data=${data}`],
      ['evaluate', 'elsewhere', expect.stringContaining('another-set.csv')],
    ])
    const { pairs, test: tested, entries, notes } = compareRuns(runs)
    expect(tested).toBe('McNemar')
    // Each is right where the other is wrong: on the two rows that say the same.
    expect(pairs).toMatchObject([{ a: 'lenient', b: 'strict', difference: 0, onlyA: 1, onlyB: 1, p: 1 }])
    expect(entries.map(({ name, value }) => [name, value])).toEqual([
      ['lenient', 2 / 3],
      ['strict', 2 / 3],
      ['elsewhere', 1 / 2],
    ])
    expect(notes).toEqual([
      'These runs were tested on different rows, so their figures are not comparable and no test is made between ' +
        'them: lenient, strict (3 rows); elsewhere (2 rows).',
    ])
  })

  test('has no model to use and no training to resume', async () => {
    const out = await kept('no-model', await file('no-model.csv', rows), lenient)
    await expect(trainedAt(out)).rejects.toThrow(
      `${out} is an evaluation, which has no model: name the model that it evaluated`,
    )
    const run = await openRun(out)
    expect(() => recordedOptions(run, [])).toThrow(`${out} is a folder of tilegrad evaluate, not of fine-tune`)
  })
})

test('a place that cannot be written to is refused before data or model are looked for', async () => {
  const held = await file('held.txt', 'x')
  const refused = (message: string, ...args: string[]): Promise<void> =>
    expect(evaluate(['no-model', '--data', 'no-data', ...args])).rejects.toThrow(message)
  await refused(`${folder} exists and is not empty: an evaluation needs a folder of its own`, '--out', folder)
  await refused(
    `${join(held, 'scores')} is a file, or below one: an evaluation needs a folder of its own`,
    '--out',
    join(held, 'scores'),
  )
  await refused(`--report ${held} exists: name another file`, '--report', held)
  await refused(`Cannot write the report's folder ${held}: ${held} is a file`, '--report', join(held, 'page.html'))
})
