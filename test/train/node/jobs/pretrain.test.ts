// `tilegrad pretrain` as a process: what a run leaves behind, and that one which is killed or stopped
// ends with the same bits when it is resumed.
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { UserError } from '../../../../engine/errors.ts'
import { currentDevice } from '../../../../engine/node/index.ts'
import { parseConfig } from '../../../../models/config.ts'
import { createMaskedModel, initialise } from '../../../../models/index.ts'
import { openWeights, readJson } from '../../../../models/node/files.ts'
import { saveModel } from '../../../../models/node/model.ts'
import { loadTokenizer } from '../../../../models/node/tokenizer.ts'
import { pretrain as pretrainHere } from '../../../../train/node/cli/pretrain.ts'
import { type Line, figuresOf, linesOf } from '../../../support/metrics.ts'
import { type Workplace, filesBelow, makeWorkplace, resultOf } from '../../../support/command.ts'
import { losing, signalledAfter } from '../../../support/interrupted.ts'
import { judged } from '../../../support/judged.ts'
import { MINIATURE } from '../../../support/models.ts'
import { type Ended, TINY_WORDS, startTilegrad, tilegrad } from '../../../support/tiny.ts'

/** Two dozen texts of twenty-odd words, of which one stands in the test set too. */
const DATA = join(import.meta.dirname, '../data/fixtures/unlabelled')
const STEPS = 60
const ARGS = [
  '--data',
  DATA,
  '--out',
  'run',
  '--vocabulary',
  '60',
  '--embeddings',
  'ppmi',
  '--hidden',
  '16',
  '--layers',
  '1',
  '--sequence',
  '8',
  '--batch-size',
  '8',
  '--val-split',
  '0.15',
  '--lr',
  '1e-2',
  '--tune-kernels',
  'off',
]
const LONG = [...ARGS, '--steps', String(STEPS), '--evaluate-every', '20']

let place: Workplace
/** The run that was never stopped, and its result. */
let whole: string
let result: Result

interface Result {
  readonly val_loss: number
  readonly val_accuracy: number
  readonly best_step: number
  readonly chance_loss: number
  readonly steps: number
  readonly vocabulary: number
  readonly tokens: number
  readonly adapter: string
  readonly rows: { readonly train: number; readonly validation: number }
  readonly folder: string
}

const pretrain = (cwd: string, ...args: string[]): Promise<Ended> =>
  tilegrad(['pretrain', ...args], { cwd, env: place.env })

beforeAll(async () => {
  place = await makeWorkplace('pretrain')
  const cwd = await place.folder()
  const ended = await pretrain(cwd, ...LONG, '--json')
  result = resultOf<Result>(ended)
  whole = join(cwd, 'run')
})
afterAll(async () => {
  await place.remove()
  ;(await currentDevice()).close()
})

test('before the first step a new model knows how frequent tokens are', async () => {
  const [before] = (await linesOf(whole)).filter(line => line.split === 'validation')
  expect(before.step).toBe(0)
  expect(before.loss).toBeLessThan(result.chance_loss - 0.2)
})

test('a run learns to guess hidden tokens, on texts that it was not trained on too', async () => {
  const lines = await linesOf(whole)
  const steps = lines.filter(line => line.split === undefined)
  const evaluations = lines.filter(line => line.split === 'validation')
  expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: STEPS }, (_, i) => i + 1))
  expect(evaluations.map(({ step }) => step)).toEqual([0, 20, 40, 60])
  const mean = (of: readonly Line[]): number => of.reduce((sum, { loss }) => sum + loss, 0) / of.length
  expect(mean(steps.slice(-10))).toBeLessThan(mean(steps.slice(0, 10)) - 0.4)
  expect(evaluations[0].loss).toBeCloseTo(result.chance_loss, 0)
  const best = evaluations.slice(1).toSorted((a, b) => a.loss - b.loss)[0]
  expect(result).toMatchObject({
    val_loss: best.loss,
    val_accuracy: best.accuracy,
    best_step: best.step,
    chance_loss: Math.log(60),
    steps: STEPS,
    vocabulary: 60,
    folder: 'run',
  })
  expect(best.loss).toBeLessThan(evaluations[0].loss - 0.4)
  expect(best.accuracy).toBeGreaterThan(evaluations[0].accuracy)
  expect(result.rows.train).toBeGreaterThan(80)
  expect(result.rows.validation).toBeGreaterThan(5)
})

test('its folder is like that of any run, and its model loads again with its words', async () => {
  const files = await filesBelow(whole)
  expect(files.filter(path => !path.startsWith('checkpoints/'))).toEqual([
    'config.json',
    'metrics.jsonl',
    'model/README.md',
    'model/config.json',
    'model/model.safetensors',
    'model/tokenizer.json',
    'model/tokenizer_config.json',
    'result.json',
    'tokenizer.json',
  ])
  const base = join(whole, 'model')
  expect(await readJson(join(base, 'config.json'))).toMatchObject({
    model_type: 'bert',
    architectures: ['BertForMaskedLM'],
    vocab_size: 60,
    hidden_size: 16,
    num_hidden_layers: 1,
    max_position_embeddings: 8,
    hidden_dropout_prob: 0.1,
    attention_probs_dropout_prob: 0.1,
    initializer_range: 0.25,
  })
  // What the golden test of pretrained models shows to load in Transformers.
  const golden = join(import.meta.dirname, '../../../golden/pretrained/model')
  const [ours, theirs] = await Promise.all([base, golden].map(contentOf))
  expect(ours).toEqual(theirs)
  const tokenizer = await loadTokenizer(base)
  expect(tokenizer.decode(tokenizer.encode('A great film').ids)).toContain('great')
  const { logits } = await judged(base, place.reviews)
  expect(logits.every(Number.isFinite)).toBe(true)
})

/** The fields of config.json, and the names and types of the weights of all layers but the second. */
async function contentOf(folder: string): Promise<unknown> {
  const file = await openWeights(folder)
  const names = file.names().filter(name => !name.includes('layer.1.'))
  await file.close()
  return {
    fields: Object.keys(z.looseObject({}).parse(await readJson(join(folder, 'config.json')))),
    tensors: names.map(name => [name, file.info(name).dtype]),
  }
}

test('a card beside the model says what it was made of, how, and how good it is', async () => {
  const card = await readFile(join(whole, 'model/README.md'), 'utf8')
  expect(card).toContain('A BERT of 1 layer, 16 wide, with 2 attention heads, 4,796 parameters')
  expect(card).toContain(`${DATA} (Parquet), unsupervised; 24 texts; 1 left out`)
  expect(card).toContain(
    `Trained on 20 texts, in ${result.rows.train} rows of ${result.tokens.toLocaleString('en-US')}`,
  )
  expect(card).toContain(`on ${result.adapter} (tilegrad `)
  expect(card).toContain(`| ${result.best_step} (kept) | ${result.val_loss.toFixed(4)} |`)
  expect(card).toContain('Its word embeddings began as factors of the positive pointwise mutual information')
  expect(card).not.toContain('pooled output')
  const command = /```sh\n(.+)\n```/.exec(card)?.[1]
  expect(command).toMatch(/^npm run -s tilegrad -- pretrain --data=.+ --vocabulary=60 .*--steps=60/)
  expect(command).not.toMatch(/--out|--json/)
})

test('an existing model is continued with its sizes, its vocabulary and its masked-language head', async () => {
  const cwd = await place.folder()
  const base = join(whole, 'model')
  const given = ARGS.flatMap((arg, i) =>
    ['--vocabulary', '--embeddings', '--hidden', '--layers'].some(name => name === arg || name === ARGS[i - 1])
      ? []
      : [arg],
  )
  const half = (await currentDevice()).traits.f16 ? ['--precision', 'f16'] : []
  const continued = resultOf<Result>(
    await pretrain(
      cwd,
      ...given,
      ...half,
      '--model',
      base,
      '--steps',
      '3',
      '--dropout',
      '0.1',
      '--text-loss',
      '0.5',
      '--json',
    ),
  )
  const state = (await filesBelow(join(cwd, 'run'))).find(path => path.endsWith('state.safetensors')) ?? ''
  expect((await readFile(join(cwd, 'run', state), 'latin1')).includes('loss_scale')).toBe(half.length > 0)
  expect(continued).toMatchObject({ vocabulary: 60, steps: 3 })
  const weights = await openWeights(join(cwd, 'run/model'))
  expect(weights.names(), 'the loss of whole texts trains a pooler').toContain('bert.pooler.dense.weight')
  await weights.close()
  const [before] = (await linesOf(join(cwd, 'run'))).filter(line => line.split === 'validation')
  // Half precision alone lies between the values that were kept and those that are read again.
  expect(Math.abs(before.loss - result.val_loss)).toBeLessThan(2e-3)
  const card = await readFile(join(cwd, 'run/model/README.md'), 'utf8')
  expect(card).toContain(`It was continued from ${base}`)
  expect(card).toContain('predict all tokens of a text from the pooled output alone (weight 0.5; Xiao et al. 2023)')
  expect(card).not.toContain('Its word embeddings began')
  expect(await readFile(join(cwd, 'run/model/config.json'), 'utf8')).toBe(
    (await readFile(join(base, 'config.json'), 'utf8')).replace('"tilegrad-pretrained"', JSON.stringify(base)),
  )
  await expect(pretrainHere(['--data', DATA, '--model', base, '--sequence', '9'])).rejects.toThrow(
    new UserError(`--sequence 9: ${base} takes at most 8 tokens`),
  )
})

test('a DistilBERT is continued with its own head', async () => {
  const cwd = await place.folder()
  const base = join(cwd, 'base')
  const json = { ...MINIATURE.distilbert, vocab_size: TINY_WORDS.length, max_position_embeddings: 8 }
  const model = createMaskedModel(parseConfig(json, 'base'))
  await initialise(model.parameters(), 1)
  await saveModel(base, model)
  await writeFile(join(base, 'vocab.txt'), TINY_WORDS.map(word => `${word}\n`).join(''))
  const out = join(cwd, 'run')
  const given = ['--data', place.reviews, '--model', base, '--out', out, '--sequence', '8', '--steps', '2']
  expect(await pretrainHere([...given, '--batch-size', '8', '--tune-kernels', 'off', '--texts', '40'])).toBe(0)
  const file = await openWeights(join(out, 'model'))
  const names = file.names()
  await file.close()
  expect(names.toSorted()).toEqual(
    model
      .parameters()
      .map(({ name }) => name)
      .toSorted(),
  )
  expect(await readJson(join(out, 'model/config.json'))).toMatchObject({ architectures: ['DistilBertForMaskedLM'] })
  const card = await readFile(join(out, 'model/README.md'), 'utf8')
  expect(card).toContain('- distilbert\n- tilegrad')
  expect(card).toContain('A DistilBERT of 2 layers, 8 wide')
})

describe.concurrent('a run that ends too soon', () => {
  /** The run in `cwd` ended as the one that was never stopped. */
  async function expectSame(cwd: string): Promise<void> {
    const run = join(cwd, 'run')
    expect(await figuresOf(run)).toEqual(await figuresOf(whole))
    for (const file of ['model.safetensors', 'tokenizer.json', 'config.json']) {
      const [ours, theirs] = await Promise.all([run, whole].map(folder => readFile(join(folder, 'model', file))))
      expect(ours.equals(theirs), file).toBe(true)
    }
  }

  /** Resumes the run in `cwd`, and sees that it ends as the one that was never stopped. */
  async function expectSameEnd(cwd: string): Promise<void> {
    const { status, stderr, stdout } = await pretrain(cwd, '--resume', 'run')
    expect(status, stderr).toBe(0)
    expect(stdout).toMatch(/^Resuming after step \d+\.$/m)
    expect(stdout).not.toContain('Learning')
    await expectSame(cwd)
  }

  /** A run that gets a signal once it has written a checkpoint after its first evaluation. */
  async function interrupted(cwd: string, signal: NodeJS.Signals): Promise<Ended> {
    const env = await signalledAfter(place, 21, signal)
    return startTilegrad(['pretrain', ...LONG, '--checkpoint-every', '0'], { cwd, env }).ended
  }

  test('killed outright, is resumed to the same bits, but not with another tokenizer', async () => {
    const cwd = await place.folder()
    expect(await interrupted(cwd, 'SIGKILL')).toMatchObject({ signal: 'SIGKILL' })
    expect(await filesBelow(join(cwd, 'run'))).not.toContain('result.json')
    const path = join(cwd, 'run/tokenizer.json')
    const kept = await readFile(path, 'utf8')
    await writeFile(path, kept.replace('"##a"', '"##ä"'))
    expect(await pretrain(cwd, '--resume', 'run')).toMatchObject({
      status: 2,
      stdout: expect.stringMatching(/^Data: .+\n$/),
      stderr: 'tilegrad: run/tokenizer.json changed since run began: restore it, or start another run\n',
    })
    await writeFile(path, kept)
    await expectSameEnd(cwd)
  })

  test('stopped by Ctrl-C, says how to resume it, and is resumed to the same bits', async () => {
    const cwd = await place.folder()
    const { status, stdout } = await interrupted(cwd, 'SIGINT')
    expect(status).toBe(130)
    expect(stdout).toMatch(/^Stopped after step \d+\. Resume with: npm run -s tilegrad -- pretrain --resume run$/m)
    await expectSameEnd(cwd)
  })

  test('by a GPU that is lost, resumes by itself to the same bits, and says so', async () => {
    const cwd = await place.folder()
    const { status, stderr } = await tilegrad(['pretrain', ...LONG], { cwd, env: await losing(place, 'loss', 1) })
    expect(status, stderr).toBe(0)
    expect(stderr).toMatch(
      /^the GPU was lost: it was closed\. Resuming from the checkpoint of step \d+ \(attempt 1 of 3\)\.$/m,
    )
    await expectSame(cwd)
  })
})

test('a rate that overflows ends in one line with status 3, and saves no model', async () => {
  const cwd = await place.folder()
  const { status, stderr } = await pretrain(cwd, ...ARGS, '--steps', '30', '--lr', '1e30')
  expect(status).toBe(3)
  const message = /^tilegrad: (step \d+ is not finite): .+; (first kernel .+); (the checkpoint of step 0 in run .+)$/m
  expect(message.exec(stderr)?.[3]).toBe('the checkpoint of step 0 in run is the last good one')
  expect(await readdir(join(cwd, 'run'))).toEqual(['checkpoints', 'config.json', 'metrics.jsonl', 'tokenizer.json'])
})

test('what it cannot use, it says in one line, before it opens a device or writes anything', async () => {
  const cwd = await place.folder()
  expect(await pretrain(cwd, '--out', 'base')).toEqual({
    status: 2,
    signal: null,
    stdout: '',
    stderr: 'tilegrad: pretrain needs --data: a text file, a table, a folder or a Hub dataset\n',
  })
  const out = ['--json', '--out', join(cwd, 'run')]
  const cases: readonly (readonly [readonly string[], string])[] = [
    [['--data', DATA, '--steps', '0'], '--steps takes a whole number of at least 1; got "0"'],
    [['--data', DATA, '--lr', '1e308'], '--lr takes a number from 1e-30 to 1e30; got "1e308"'],
    [
      ['--data', DATA, '--lr', '2', '--weight-decay', '1'],
      '--weight-decay 1 at --lr 2 would flip the signs of weights: lr × weight-decay must be below 1',
    ],
    [['--data', DATA, '--text-loss', '1', '--teacher', 'base'], '--text-loss and --teacher exclude each other'],
    [
      ['--data', DATA, '--model', 'base', '--embeddings', 'ppmi'],
      '--embeddings is for a new model, and --model continues an existing one',
    ],
    [['--data', DATA, '--hidden', '10', '--heads', '3'], '--hidden 10 does not divide into --heads 3'],
    [['--data', DATA, '--val-split', '24'], '--val-split 24 leaves none of 24 texts to train on'],
    [
      ['--data', DATA, '--vocabulary', '40'],
      '--vocabulary 40 is too small for these texts: special tokens and characters alone are 45',
    ],
    [
      ['--data', DATA, '--tokenizer', join(place.model, 'vocab.txt'), '--cased'],
      '--cased is for a vocabulary that is learned, and --tokenizer gives one',
    ],
    [['--data', DATA, '--data', 'nowhere.txt'], 'No file or folder at nowhere.txt'],
    [
      ['--data', DATA, '--model', place.model, '--hidden', '16'],
      '--hidden is for a new model, and --model continues an existing one',
    ],
    [['--data', DATA, '--warmup', '1.5'], '--warmup takes a count of steps or a fraction below 1; got "1.5"'],
    [['--data', DATA, '--step', '3'], 'Unknown option --step: did you mean --steps?'],
  ]
  const expectRefusal = (args: readonly string[], sentence: string): Promise<void> =>
    expect(pretrainHere(args)).rejects.toThrow(new UserError(sentence))
  for (const [args, sentence] of cases) await expectRefusal([...out, ...args], sentence)
  expect(await readdir(cwd)).toEqual([])
  await expectRefusal(['--resume', whole], `${whole} is finished: see its result.json`)
  await expectRefusal(
    ['--resume', whole, '--lr', '1'],
    "--lr cannot be given with --resume, which uses the run's own options",
  )
  await expectRefusal(['--resume', cwd], `${cwd} is not a run folder: it has no config.json`)
})
