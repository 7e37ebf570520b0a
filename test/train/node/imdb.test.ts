// `node train/imdb.ts` as a process, end to end: what it says, what it leaves in a run's folder, and that the adapter
// it leaves computes what the run measured.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { currentDevice } from '../../../engine/node/index.ts'
import { readJson } from '../../../models/node/files.ts'
import { readPredictions } from '../../../train/node/run/predictions.ts'
import { linesOf } from '../../support/metrics.ts'
import { type Workplace, filesBelow, makeWorkplace, resultOf } from '../../support/command.ts'
import { largestDifference } from '../../support/differences.ts'
import { judged } from '../../support/judged.ts'
import { imdb } from '../../support/tiny.ts'

/** The options that the documents promise. */
const PROMISED = (
  'data model tokenizer init tune lora-rank lora-alpha lora-dropout lora-targets train-head lr schedule warmup ' +
  'weight-decay epochs batch-size accumulate max-length clip seed precision limit-train limit-test val-split out resume ' +
  'adapter list-adapters dry-run json'
).split(' ')

let place: Workplace
beforeAll(async () => {
  // Without dropout so small a model learns in fewer steps.
  place = await makeWorkplace('command', { hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 })
})
afterAll(async () => {
  await place.remove()
  ;(await currentDevice()).close()
})

const run = async (args: readonly string[], cwd?: string, report = false) =>
  imdb(args, { cwd: cwd ?? (await place.folder()), env: place.env, report })
const inputs = (): string[] => ['--model', place.model, '--data', place.reviews, '--max-length', '8']

interface Parameters {
  readonly total: number
  readonly trainable: number
  readonly percent: number
}
interface DryRun {
  readonly adapter: { readonly name: string; readonly backend: string }
  readonly model: { readonly name: string; readonly parameters: Parameters }
  readonly data: Record<
    'train' | 'test',
    { readonly rows: number; readonly positive: number; readonly text_length: Record<string, number> }
  >
  readonly plan: Record<'dispatches' | 'pipelines' | 'peak_bytes' | 'unfused_dispatches', number>
}
interface Finished extends DryRun {
  readonly folder: string
  readonly test_accuracy: number
}

describe.concurrent('the command', () => {
  test('shows every option with its default', async () => {
    const { status, stdout, stderr } = await imdb(['--help'], { cwd: place.root, env: place.env, ownProcess: true })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    const shown = [...stdout.matchAll(/^ {2}--([a-z-]+)/gm)].map(([, name]) => name)
    expect(shown).toEqual(expect.arrayContaining(PROMISED))
    expect(stdout).toMatch(/--lora-rank N +rank of the adapters \[8\]/)
    expect(Math.max(...stdout.split('\n').map(line => line.length))).toBeLessThanOrEqual(120)
  })

  test('lists the adapters, for people and as JSON', async () => {
    const people = await run(['--list-adapters'])
    const { adapters } = resultOf<{ adapters: { name: string; backend: string; fallback: boolean }[] }>(
      await run(['--list-adapters', '--json']),
    )
    expect(adapters.length).toBeGreaterThan(0)
    const lines = people.stdout.trimEnd().split('\n')
    expect(lines.map(line => line.split('  (')[0])).toEqual(adapters.map(({ name }) => name))
  })

  test('tells what a run would be, and writes nothing', async () => {
    const cwd = await place.folder()
    const { adapter, model, data, plan } = resultOf<DryRun>(await run([...inputs(), '--dry-run', '--json'], cwd))
    expect(await readdir(cwd)).toEqual([])
    expect(adapter).toMatchObject({ name: expect.stringMatching(/./), backend: expect.stringMatching(/./) })
    expect(model.name).toBe(place.model)
    // LoRA of rank 8 on two 32 × 32 and the MLP's 32 × 64 and 64 × 32.
    expect(model.parameters.trainable).toBe(8 * (2 * 64 + 2 * 96))
    expect(model.parameters.percent).toBeCloseTo((100 * model.parameters.trainable) / model.parameters.total, 10)
    expect(Object.keys(data.train.text_length)).toEqual(['count', 'mean', 'std', 'min', '25%', '50%', '75%', 'max'])
    expect(data).toMatchObject({
      train: { rows: 192, positive: 96, text_length: { count: 192 } },
      test: { rows: 48, positive: 24 },
    })
    expect(plan.dispatches).toBeLessThan(plan.unfused_dispatches)
    expect(plan.pipelines).toBeGreaterThan(0)
    expect(plan.peak_bytes).toBeGreaterThan(0)
  })

  test('tunes every parameter: the task is learnt, and the model that is left can be tuned on', async () => {
    const cwd = await place.folder()
    const options = ['--tune', 'full', '--lr', '1e-2', '--batch-size', '16', '--epochs', '3', '--out', 'full']
    const { status, stdout, stderr } = await run([...inputs(), ...options], cwd, true)
    expect(status, stderr).toBe(0)
    const accuracy = Number(/Held-out accuracy: ([\d.]+) % of 48 texts/.exec(stdout)?.[1])
    expect(accuracy).toBeGreaterThanOrEqual(90)
    expect(stdout).toMatch(/Report: +full\/report\.html/)
    expect(await filesBelow(join(cwd, 'full/model'))).toEqual([
      'config.json',
      'model.safetensors',
      'tilegrad.json',
      'tokenizer.json',
      'tokenizer_config.json',
    ])
    expect(await readJson(join(cwd, 'full/model/config.json'))).toMatchObject({
      id2label: { 0: 'negative', 1: 'positive' },
      problem_type: 'single_label_classification',
    })
    // By which Transformers' classes go, whatever tokenizer.json says.
    expect(await readJson(join(cwd, 'full/model/tokenizer_config.json'))).toMatchObject({
      tokenizer_class: 'BertTokenizer',
      do_lower_case: true,
      strip_accents: null,
      tokenize_chinese_chars: true,
      model_max_length: 64,
    })
    // A learning rate that changes nothing: the accuracy is the one that the first run ended with, on the same reviews.
    const again = await run(
      [
        '--model',
        join(cwd, 'full/model'),
        '--data',
        place.reviews,
        '--max-length',
        '8',
        '--tune',
        'head',
        '--batch-size',
        '16',
        '--epochs',
        '1',
        '--lr',
        '1e-9',
        '--out',
        'again',
        '--json',
      ],
      cwd,
    )
    expect(resultOf<Finished>(again).test_accuracy * 100).toBeCloseTo(accuracy, 1)
  })
})

interface Compared {
  readonly compared_with: readonly {
    readonly name: string
    readonly title: string
    readonly value: number
    readonly recorded_command?: string
  }[]
}

test('with nothing given, a machine without a GPU learns from what comes with the repository', async context => {
  const { traits, info } = await currentDevice()
  context.skip(!traits.cpu, `${info.name} is a GPU, which would have the real thing`)
  const result = resultOf<Finished & Compared>(await run(['--json', '--out', 'bundled']))
  const [nb, random] = result.compared_with
  expect([nb.name, random.title]).toEqual(['nb', 'the same from random weights (recorded)'])
  expect(random.recorded_command).toBe('npx node train/imdb.ts --bundled --compare-with=random')
  // Five seeds ended between 89.5 and 93 %.
  expect(result.test_accuracy).toBeGreaterThan(Math.max(0.86, random.value + 0.25))
})

describe('a LoRA run', () => {
  const OPTIONS = [
    '--lora-targets',
    'query,value,mlp',
    '--lora-alpha',
    '16',
    '--train-head',
    '--lr',
    '1e-2',
    '--epochs',
    '3',
    '--batch-size',
    '8',
    // What is measured is faster, but need not be the same again.
    '--tune-kernels',
    'off',
  ]
  /** An epoch's: 192 reviews less a tenth for validation, 8 at a time. */
  const EPOCH = 22
  const STEPS = 3 * EPOCH
  let cwd: string
  let folder: string
  let printed: Finished & Record<string, unknown>
  beforeAll(async () => {
    cwd = await place.folder()
    printed = resultOf(await run([...inputs(), ...OPTIONS, '--json'], cwd, true))
    folder = join(cwd, printed.folder)
  })

  const adapterOf = (path: string): Promise<Buffer> => readFile(join(path, 'adapter/adapter_model.safetensors'))

  test('leaves its folder, and nothing else', async () => {
    expect(printed.folder).toMatch(/^runs\/\d{4}-\d\d-\d\d-model$/)
    const files = (await filesBelow(cwd)).map(path => path.slice(printed.folder.length + 1))
    expect(files.filter(path => !path.startsWith('checkpoints/'))).toEqual([
      'adapter/adapter_config.json',
      'adapter/adapter_model.safetensors',
      'adapter/tilegrad.json',
      'config.json',
      'metrics.jsonl',
      'predictions.jsonl',
      'report.html',
      'result.json',
    ])
    expect(files).toContain(`checkpoints/step-0000${STEPS}/state.safetensors`)
  })

  test('tells one line per step and one line per evaluation', async () => {
    const lines = await linesOf(folder)
    const steps = lines.filter(line => line.split === undefined)
    expect(steps.map(line => line.step)).toEqual(Array.from({ length: STEPS }, (_, i) => i + 1))
    for (const line of steps) {
      expect(Object.keys(line)).toEqual([
        'step',
        'epoch',
        'loss',
        'accuracy',
        'lr',
        'grad_norm',
        'examples',
        'examples_per_second',
        'tokens_per_second',
        'gpu_bytes',
        'wall_seconds',
      ])
      expect(Object.values(line).every(Number.isFinite), JSON.stringify(line)).toBe(true)
      expect(line.epoch).toBe(Math.ceil(line.step / EPOCH))
    }
    const evaluations = lines.filter(line => line.split !== undefined)
    expect(evaluations.map(({ step, epoch, split }) => ({ step, epoch, split }))).toEqual(
      [0, 1, 2, 3].map(epoch => ({ step: epoch * EPOCH, epoch, split: 'validation' })),
    )
    const losses = evaluations.map(({ loss }) => loss)
    expect(losses[3]).toBeLessThan(0.5 * losses[0])
  })

  test('ends with its result, the same on stdout and on disk', async () => {
    const result = (await readJson(join(folder, 'result.json'))) as Record<string, unknown>
    const lines = await linesOf(folder)
    const evaluations = lines.filter(line => line.split !== undefined).slice(1)
    expect(result).toMatchObject({
      val_accuracy: Math.max(...evaluations.map(({ accuracy }) => accuracy)),
      loss: lines.filter(line => line.split === undefined).at(-1)?.loss,
      steps: STEPS,
      parameters: printed.model.parameters,
    })
    expect(result.test_accuracy).toBeGreaterThanOrEqual(0.8)
    expect(result.wall_seconds).toBeGreaterThan(0)
    expect(result.examples_per_second).toBeGreaterThan(0)
    const { adapter, ...rest } = result
    expect(printed).toMatchObject(rest)
    expect(printed.adapter.name).toBe(adapter)
    expect(printed.plan.dispatches).toBeGreaterThan(0)
    const predictions = (await readPredictions(folder)) ?? []
    expect(predictions.length).toBe(48)
    expect(predictions.filter(({ label, predicted }) => label === predicted).length / 48).toBe(result.test_accuracy)
  })

  test('merges its adapters in the end: says the same of four sentences, and leaves a model that computes the same without them', async () => {
    const short = ['--epochs', '1', '--max-length', '8', '--lora-alpha', '64', '--out', 'run']
    const said = async (...more: string[]): Promise<{ lines: string[]; left: string }> => {
      const cwd = await place.folder()
      const { status, stdout, stderr } = await run([...inputs(), ...OPTIONS, ...short, ...more], cwd)
      expect(status, stderr).toBe(0)
      return { lines: stdout.split('\n').filter(line => /^(positive|negative) \(/.test(line)), left: join(cwd, 'run') }
    }
    const apart = await said()
    expect(apart.lines).toHaveLength(4)
    const merged = await said('--merge')
    expect(merged.lines).toEqual(apart.lines)
    expect((await adapterOf(merged.left)).equals(await adapterOf(apart.left)), 'the adapter is there, too').toBe(true)
    expect(await readdir(apart.left)).not.toContain('model')
    const [base, adapted, whole] = [
      await judged(place.model, place.reviews),
      await judged(place.model, place.reviews, join(merged.left, 'adapter')),
      await judged(join(merged.left, 'model'), place.reviews),
    ]
    expect(largestDifference(whole.logits, adapted.logits)).toBeLessThan(1e-4)
    expect(largestDifference(whole.logits, base.logits)).toBeGreaterThan(0.1)
  })

  test('leaves a report that stands alone', async () => {
    const html = await readFile(join(folder, 'report.html'), 'utf8')
    expect(html).toMatch(/^<!doctype html>/i)
    expect(html).not.toMatch(/(src|href)="(https?:)?\/\//)
    const { interval } = (await readJson(join(folder, 'result.json'))) as {
      interval: { metric: string; low: number; high: number }
    }
    const shown = (share: number): string => `${(100 * share).toFixed(2)}\u00a0%`
    expect(html).toContain(`<strong>${shown(printed.test_accuracy)}</strong> <span>accuracy</span>`)
    expect(interval.metric).toBe('accuracy')
    expect(html).toContain(`95 % interval ${shown(interval.low)} to ${shown(interval.high)}`)
  })

  test('leaves an adapter that loads again and computes what the run measured', async () => {
    const { loss, logits, labels } = await judged(place.model, place.reviews, join(folder, 'adapter'))
    expect(loss).toBeCloseTo(Number(printed.test_loss), 4)
    const right = labels.filter((label, i) => (logits[2 * i + 1] > logits[2 * i] ? 1 : 0) === label)
    expect(right.length / labels.length).toBe(printed.test_accuracy)
  })

  test('comes out the same, bit for bit, from the arguments in its config.json', async () => {
    const { arguments: recorded } = (await readJson(join(folder, 'config.json'))) as { arguments: string[] }
    const elsewhere = await place.folder()
    const options = { cwd: elsewhere, env: place.env, ownProcess: true }
    const { status, stdout, stderr } = await imdb([...recorded, '--out', 'repeated'], options)
    expect(status, stderr).toBe(0)
    expect(stdout).toMatch(/Adapter: repeated\/adapter/)
    expect((await adapterOf(join(elsewhere, 'repeated'))).equals(await adapterOf(folder))).toBe(true)
  })
})
