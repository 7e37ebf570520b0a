// `tilegrad predict` as a process in a pipe, and what it refuses.
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { UserError } from '../../../../engine/errors.ts'
import { currentDevice } from '../../../../engine/node/index.ts'
import { closeDevices } from '../../../../engine/runtime/device.ts'
import { attribute } from '../../../../models/attribution.ts'
import { TextClassifier } from '../../../../models/classifier.ts'
import { createTokenModel } from '../../../../models/index.ts'
import { openWeights, writeSafetensors } from '../../../../models/node/files.ts'
import { openClassifier } from '../../../../models/node/open-classifier.ts'
import { tokenizerFromVocabulary } from '../../../../models/tokenizer.ts'
import { explaining, predict } from '../../../../train/node/cli/predict.ts'
import { sayPairs } from '../../../../train/node/cli/trained.ts'
import { type Workplace, makeWorkplace } from '../../../support/command.ts'
import { TINY_WORDS, startTilegrad, tilegrad, tinyModelConfig, writeTinyModel } from '../../../support/tiny.ts'

let place: Workplace
beforeAll(async () => {
  place = await makeWorkplace('predict', { id2label: { 0: 'negative', 1: 'positive' } })
})
afterAll(async () => {
  closeDevices()
  await place.remove()
})

interface Line {
  readonly text: string
  readonly label: string
  readonly probability: number
  readonly probabilities: Readonly<Record<string, number>>
}

/** What `--json` prints, a line for each text. */
const answersIn = (stdout: string): Line[] =>
  stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Line)

const LINE = /^(negative|positive) +\d+\.\d\d % {2}(.*)$/

describe('predict in a pipe', () => {
  test('answers each line as it comes, and an empty one too', async () => {
    const { child, ended } = startTilegrad(['predict', place.model], { cwd: place.root, env: place.env })
    const lines: string[] = []
    for (const text of ['great film', '', 'awful']) {
      const answered = once(child.stdout, 'data')
      child.stdin.write(`${text}\n`)
      lines.push(
        ...String((await answered)[0])
          .replace(/\n$/, '')
          .split('\n'),
      )
      expect(LINE.exec(lines.at(-1) ?? '')?.[2], 'answered before more is written').toBe(text)
    }
    child.stdin.end()
    expect(await ended).toMatchObject({
      status: 0,
      stderr: 'tilegrad: 1 of 3 texts was empty: the model saw no word of it\n',
    })
    expect(lines).toHaveLength(3)
  })

  test('ends quietly when nobody reads its answers any more', async () => {
    const { child, ended } = startTilegrad(['predict', place.model], { cwd: place.root, env: place.env })
    child.stdin.on('error', () => undefined)
    const writing = setInterval(() => child.stdin.writable && child.stdin.write('a film\n'.repeat(100)), 5)
    await once(child.stdout, 'data')
    child.stdout.destroy()
    // Its input never ends by itself.
    expect(await ended.finally(() => clearInterval(writing))).toMatchObject({ status: 0, signal: null, stderr: '' })
  })

  test('reads a table instead, one row per text, and an empty input has no answers', async () => {
    const table = join(place.root, 'texts.csv')
    await writeFile(table, 'id,review\n1,"great, ""film"""\n2,\n3,"two\nlines \x1b[2J"\n')
    const run = (...args: string[]) => tilegrad(['predict', place.model, ...args], { cwd: place.root, env: place.env })
    const { status, stdout, stderr } = await run('--data', table, '--json')
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: 'tilegrad: 1 of 3 texts was empty: the model saw no word of it\n',
    })
    const answers = answersIn(stdout)
    expect(answers.map(({ text }) => text)).toEqual(['great, "film"', '', 'two\nlines \x1b[2J'])
    for (const { label, probability, probabilities } of answers) {
      expect(Object.keys(probabilities)).toEqual(['negative', 'positive'])
      expect(probability).toBe(probabilities[label])
      expect(probabilities.negative + probabilities.positive).toBeCloseTo(1, 6)
    }
    expect(await run()).toMatchObject({ status: 0, stdout: '', stderr: '' })
  })

  test('and evaluate take the columns of a table that the model was trained on', async () => {
    const run = async (...args: string[]) => {
      const ended = await tilegrad(args, { cwd: place.root, env: place.env })
      expect(ended.status, ended.stderr).toBe(0)
      return ended.stdout
    }
    // By its name alone "text" would be taken, and no labels.
    const table = join(place.root, 'columns.csv')
    const rows = Array.from({ length: 40 }, (_, i) => `${i},x,${i % 2 ? 'a great film' : 'an awful film'},${i % 2}`)
    await writeFile(table, `id,text,opinion,liked\n${rows.join('\n')}\n`)
    const named = ['--text-column', 'opinion', '--label-column', 'liked']
    await run('baseline', '--data', table, ...named, '--out', 'columns')
    const transformer = await writeTinyModel(join(place.root, 'trained'))
    const columns = { text: 'opinion', label: 'liked' }
    await writeFile(
      join(transformer, 'tilegrad.json'),
      JSON.stringify({ problem_type: 'single_label_classification', labels: ['0', '1'], max_length: 16, columns }),
    )
    // Of a data set it is the test split, which must be known for a labelled one.
    const split = join(place.root, 'split')
    await mkdir(split)
    for (const name of ['train', 'test']) await copyFile(table, join(split, `${name}.csv`))
    for (const model of ['columns', transformer]) {
      expect(await run('evaluate', model, '--data', split)).toContain(
        'split test: 40 rows; texts from column "opinion"',
      )
      expect(await run('evaluate', model, '--data', table)).toContain(
        'texts from column "opinion", labels from "liked"',
      )
      const answers = answersIn(await run('predict', model, '--data', table, '--json'))
      expect(answers.slice(0, 2).map(({ text }) => text)).toEqual(['an awful film', 'a great film'])
    }
    const again = await run('predict', 'columns', '--data', table, '--text-column', 'text', '--json')
    expect(new Set(answersIn(again).map(({ text }) => text))).toEqual(new Set(['x']))
  })

  test('reads a text file, whose lines are texts as those of standard input are, blank ones too', async () => {
    const file = join(place.root, 'texts.txt')
    await writeFile(file, '\ufeffgreat film\r\n\nid,text\n awful')
    const { status, stdout, stderr } = await tilegrad(['predict', place.model, '--data', file, '--json'], {
      cwd: place.root,
      env: place.env,
    })
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: 'tilegrad: 1 of 4 texts was empty: the model saw no word of it\n',
    })
    const answers = answersIn(stdout)
    expect(answers.map(({ text }) => text)).toEqual(['great film', '', 'id,text', ' awful'])
  })
})

test('predict --explain names the words with the largest shares in the score of the answer', async () => {
  const text = 'a great film with awful music'
  const { status, stdout } = await tilegrad(['predict', place.model, text, '--explain', '--json'], {
    cwd: place.root,
    env: place.env,
  })
  expect(status).toBe(0)
  const { label, decided_by: words } = JSON.parse(stdout)
  await currentDevice()
  const classifier = await openClassifier(place.model, {})
  const [shares] = await attribute(classifier, [{ input: text, label: classifier.options.labels.indexOf(label) }])
  const largest = [...(shares?.text ?? [])].sort((a, b) => Math.abs(b.share) - Math.abs(a.share))
  expect(words.length).toBeGreaterThan(1)
  for (const [i, { word, share }] of words.entries()) {
    expect(word).toBe(largest[i].text)
    expect(share).toBeCloseTo(largest[i].share, 5)
  }
})

test('predict --explain refuses a model that labels words', async () => {
  const labels = ['O', 'B-PER']
  const classifier = new TextClassifier(
    createTokenModel({ ...tinyModelConfig(), labels }),
    tokenizerFromVocabulary(`${TINY_WORDS.join('\n')}\n`, { lowercase: true }, 'tiny'),
    { problem: 'token_classification', labels },
  )
  await expect(explaining([{ name: 'names', kind: 'transformer', classifier }])).rejects.toThrow(
    '--explain is for answers on whole texts, and names labels each word',
  )
})

test('a model of pairs that is given single texts, or the reverse, is named', () => {
  const written: string[] = []
  const write = vi.spyOn(process.stderr, 'write').mockImplementation(text => written.push(String(text)) > 0)
  const opened = (pairs?: boolean) => ({
    name: 'run',
    classifier: { options: { problem: 'regression', labels: ['x'], pairs } as const },
  })
  for (const [trained, given] of [
    [true, false],
    [false, true],
    [true, true],
    [false, false],
    [undefined, true],
  ])
    sayPairs(opened(trained), given === true)
  write.mockRestore()
  expect(written).toEqual([
    'tilegrad: run was trained on pairs of texts, and is given single ones: its answers may mean little\n',
    'tilegrad: run was trained on single texts, and is given pairs: its answers may mean little\n',
  ])
})

describe('predict refuses', () => {
  const refused = async (...argv: string[]): Promise<string> => {
    const error = await predict(argv).then(
      () => undefined,
      (reason: unknown) => reason,
    )
    if (!(error instanceof UserError)) throw new Error(`${argv.join(' ')} gave ${String(error)}`)
    return error.message
  }

  test('models that are not there, or not trained', async () => {
    expect(await refused()).toMatch(/^predict needs a model: /)
    expect(await refused('./nowhere', 'x')).toBe('No file or folder at ./nowhere')
    const run = join(place.root, 'unfinished')
    await mkdir(run)
    await writeFile(join(run, 'config.json'), JSON.stringify({ tilegrad: '0.1.0', arguments: [], options: {} }))
    expect(await refused(run, 'x')).toBe(
      `${run} is a run that has not finished: it has saved no adapter and no model yet`,
    )
    const base = await writeTinyModel(join(place.root, 'base'), { changes: { num_hidden_layers: 1 } })
    const weights = await openWeights(base)
    const kept = weights
      .names()
      .filter(name => !name.startsWith('classifier'))
      .map(name => ({ name, dtype: 'F32' as const, shape: weights.info(name).shape, read: () => weights.read(name) }))
    const headless = join(place.root, 'headless')
    await mkdir(headless)
    for (const file of ['config.json', 'vocab.txt'])
      await writeFile(join(headless, file), await readFile(join(base, file)))
    await writeSafetensors(join(headless, 'model.safetensors'), kept, { format: 'pt' })
    await weights.close()
    expect(await refused(headless, 'x')).toBe(
      `${headless} has no trained classifier (no classifier.weight): fine-tune it first`,
    )
  })

  test('texts that are not there, or not texts', async () => {
    const nowhere = join(place.root, 'nowhere.csv')
    expect(await refused(place.model, '--data', nowhere)).toBe(`No file or folder at ${nowhere}`)
    expect(await refused(place.model, '--data', place.reviews, '--text-column', 'body')).toBe(
      `${place.reviews} has no column "body" for texts; its columns are "text", "label"`,
    )
    const lines = join(place.root, 'lines.txt')
    await writeFile(lines, 'fine\n')
    expect(await refused(place.model, '--data', join(place.root, 'nowhere.txt'))).toMatch(
      /^No file or folder at .*txt$/,
    )
    expect(await refused(place.model, '--data', lines, '--split', 'test')).toMatch(
      /has no split test; its splits: none/,
    )
    expect(await refused(place.model, '--data', lines, '--text-column', 'body')).toBe(
      `${lines} has no column "body" for texts; its columns are "text"`,
    )
    const odd = join(place.root, 'odd.jsonl')
    await writeFile(odd, '{"text": "fine"}\n{"text": 3}\n')
    expect(await refused(place.model, '--data', odd)).toBe(
      `${odd}, line 2: no text, but 3 (--skip-bad-rows leaves such rows out)`,
    )
  })

  test('options that exclude each other', async () => {
    expect(await refused(place.model, '--json', '--csv')).toBe('--json and --csv exclude each other')
    expect(await refused(place.model, 'x', '--data', place.reviews)).toMatch(/^texts are given both/)
    expect(await refused(place.model, '--pair', 'x')).toMatch(/there are 0 texts$/)
    expect(await refused(place.model, 'x', '--text-column', 'x')).toBe('--text-column requires --data')
    expect(await refused(place.model, '--bach-size', '3')).toBe(
      'Unknown option --bach-size: did you mean --batch-size?',
    )
  })
})
