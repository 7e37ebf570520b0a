// Where a run's model comes from: a model, an adapter or a run, on disk or on the Hub; what of them is taken over, and
// what is refused.
import { showBytes } from '../../../../engine/bytes.ts'
import { cp, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { UserError } from '../../../../engine/errors.ts'
import { currentDevice } from '../../../../engine/node/index.ts'
import { ANSWERS_FILE, answersJson } from '../../../../models/answers.ts'
import { attachLora, createModel, initialise, parseTargets } from '../../../../models/index.ts'
import { freshValues } from '../../../../models/initialise.ts'
import { openWeights } from '../../../../models/node/files.ts'
import { openClassifier } from '../../../../models/node/open-classifier.ts'
import { saveAdapter } from '../../../../models/node/peft.ts'
import { checkSizes } from '../../../../models/sizes.ts'
import type { TaskPlan } from '../../../../train/tasks/infer.ts'
import { parseOptions, toArguments } from '../../../../train/node/cli/options.ts'
import { exportMerged } from '../../../../train/node/jobs/export.ts'
import {
  type OpenedModel,
  adoptAdapter,
  adoptLengths,
  buildModel,
  commitsOf,
  fetchWeights,
  fillModel,
  modelText,
  openModel,
  withLabels,
  withOrigin,
} from '../../../../train/node/jobs/model.ts'
import { fingerprintsOf } from '../../../../train/node/jobs/fingerprint.ts'
import { startHub, stubHub } from '../../../support/hub-server.ts'
import { TINY_WORDS, tinyModelConfig, tinyReviews, writeTinyModel } from '../../../support/tiny.ts'

const LABELS: readonly string[] = ['bad', 'fair', 'good']
const ONE_LAYER = { num_hidden_layers: 1 }

/** Pretrained without a loss of whole texts. */
const WITHOUT_POOLER = join(import.meta.dirname, '../../../golden/pretrained/model')

let place = ''
let base = ''
let adapter = ''
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), 'tilegrad-sources-'))
  base = await writeTinyModel(join(place, 'base-model'), { changes: ONE_LAYER })
  adapter = await makeAdapter('adapter', base)
})
afterAll(async () => {
  await rm(place, { recursive: true, force: true })
  ;(await currentDevice()).close()
})

interface Made {
  readonly targets?: string
  readonly trainHead?: boolean
  readonly labels?: readonly string[]
  readonly revision?: string
  readonly window?: number
}

/** An adapter over the tiny base that changes something, in a folder of this name. */
async function makeAdapter(
  name: string,
  baseName: string,
  { targets = 'query,value', trainHead = true, labels = LABELS, revision, window }: Made = {},
): Promise<string> {
  const folder = join(place, name)
  const model = createModel({ ...tinyModelConfig(ONE_LAYER), labels })
  attachLora(model, { rank: 4, alpha: 8, dropout: 0.1, targets: parseTargets(targets), trainHead })
  await initialise(model.parameters(), 3)
  for (const parameter of model.parameters().filter(({ name }) => name.includes('lora_B'))) {
    await parameter.write(Float32Array.from({ length: parameter.size }, (_, i) => Math.sin(i)))
  }
  await saveAdapter(folder, model, baseName, revision)
  await writeFile(
    join(folder, ANSWERS_FILE),
    JSON.stringify(answersJson({ problem: 'single_label_classification', labels, maxLength: 32, window })),
  )
  return folder
}

const plan = (labels: readonly string[] = LABELS, task: TaskPlan['task'] = 'classes'): TaskPlan => ({
  task,
  labels,
  namedBy: 'data',
  why: '',
})
const quiet = (): void => {}

/** What a run with these arguments would begin with. */
async function begun(
  args: readonly string[],
  { labels = LABELS, task = 'classes' }: Partial<Pick<TaskPlan, 'labels' | 'task'>> = {},
) {
  const asked = parseOptions(['--max-length', '16', ...args], 'tilegrad')
  const described = await openModel(asked, quiet)
  const options = adoptLengths(await adoptAdapter(asked, described), described)
  const opened = withLabels(await fetchWeights(described, quiet), plan(labels, task))
  const { model, drawn } = await buildModel(options, opened, task)
  const text = modelText(opened, options, model, drawn)
  return { options, opened, model, text }
}

const refused = async (args: readonly string[]): Promise<string> => {
  const failure = await begun(args).then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(failure).toBeInstanceOf(UserError)
  expect(String(failure)).not.toContain('\n')
  return failure instanceof Error ? failure.message : ''
}

/** Every parameter's values, once the model is filled. */
async function filled({ model, opened, options }: Awaited<ReturnType<typeof begun>>) {
  const drawn = await fillModel(model, opened, options)
  const values = new Map<string, number[]>()
  for (const parameter of model.parameters()) values.set(parameter.name, Array.from(await parameter.read()))
  return { drawn, values }
}

async function tensorsIn(folder: string): Promise<Map<string, number[]>> {
  const file = await openWeights(folder)
  const tensors = new Map<string, number[]>()
  for (const name of file.names()) tensors.set(name, Array.from(await file.read(name)))
  await file.close()
  return tensors
}

describe('a run that goes on from an adapter', () => {
  test('has its rank, alpha, dropout, targets and head, and its values', async () => {
    const run = await begun(['--model', adapter])
    expect(run.options).toMatchObject({
      loraRank: 4,
      loraAlpha: 8,
      loraDropout: 0.1,
      loraTargets: 'query,value',
      trainHead: true,
    })
    expect(run.text).toBe(
      `Model: ${base} (pretrained weights with the adapter ${adapter} (rank 4, alpha 8, on query,value)), tuning: lora\n` +
        "Head: the adapter's, for bad, fair, good",
    )
    const { drawn, values } = await filled(run)
    expect(drawn).toEqual([])
    const again = join(place, 'again')
    await saveAdapter(again, run.model, base)
    for (const file of ['adapter_model.safetensors', 'adapter_config.json']) {
      expect((await readFile(join(again, file))).equals(await readFile(join(adapter, file))), file).toBe(true)
    }
    const whole = await tensorsIn(base)
    for (const [name, wanted] of whole) {
      if (!/pooler|classifier/.test(name)) expect(values.get(name), name).toEqual(wanted)
    }
    // The pooler came with the adapter, too.
    expect(
      run.model
        .trainable()
        .map(({ name }) => name)
        .filter(name => !name.includes('lora_')),
    ).toEqual(['bert.pooler.dense.weight', 'bert.pooler.dense.bias', 'classifier.weight', 'classifier.bias'])
  })

  test('may have another dropout and a frozen head, which the next adapter holds all the same', async () => {
    const run = await begun([
      '--model',
      adapter,
      '--lora-dropout',
      '0.2',
      '--freeze-head',
      '--lora-rank',
      '4',
      '--lora-alpha',
      '8',
      '--lora-targets',
      'value,query',
    ])
    expect(run.options).toMatchObject({ loraDropout: 0.2, trainHead: false })
    expect(run.model.trainable().every(({ role }) => role === 'lora')).toBe(true)
    await fillModel(run.model, run.opened, run.options)
    await saveAdapter(join(place, 'frozen'), run.model, base)
    const [before, after] = await Promise.all(
      [adapter, join(place, 'frozen')].map(folder => readFile(join(folder, 'adapter_model.safetensors'))),
    )
    expect(after.equals(before)).toBe(true)
  })

  test('refuses other ranks, alphas and targets, by name', async () => {
    const goesOn = (has: string): string =>
      `the adapter ${adapter} has ${has}, which cannot change; leave the option out`
    expect(await refused(['--model', adapter, '--lora-rank', '8'])).toBe(`--lora-rank 8: ${goesOn('4')}`)
    expect(await refused(['--model', adapter, '--lora-alpha', '16'])).toBe(`--lora-alpha 16: ${goesOn('8')}`)
    expect(await refused(['--model', adapter, '--lora-targets', 'query'])).toBe(
      `--lora-targets query: ${goesOn('query,value')}`,
    )
    expect(await refused(['--model', adapter, '--init', 'random'])).toContain(
      `--init random draws fresh weights, but the adapter ${adapter} was trained on`,
    )
  })

  test('has the longest text and the windows that it was trained with, unless others are given', async () => {
    const windows = await makeAdapter('windows', base, { window: 4 })
    const found = async (...args: string[]) => {
      const asked = parseOptions(['--model', windows, ...args], 'tilegrad')
      const described = await openModel(asked, quiet)
      const options = adoptLengths(asked, described)
      const opened = withLabels(await fetchWeights(described, quiet), plan())
      const { model } = await buildModel(options, opened, 'classes')
      const [line] = modelText(opened, options, model, [])
        .split('\n')
        .filter(line => line.startsWith('Lengths'))
      return [options.maxLength, options.window, line]
    }
    expect(await found()).toEqual([32, 4, 'Lengths: --max-length 32, --window 4, as it was trained'])
    expect(await found('--max-length', '16')).toEqual([16, 4, 'Lengths: --window 4, as it was trained'])
    expect(await found('--window', '8')).toEqual([32, 8, 'Lengths: --max-length 32, as it was trained'])
    expect(await found('--window', 'off', '--max-length', '16')).toEqual([16, undefined, undefined])
    const off = parseOptions(['--window', 'off'], 'tilegrad')
    expect(parseOptions(toArguments(off), 'tilegrad')).toEqual(off)
    await expect(found('--max-length', '6')).rejects.toThrow(
      new UserError(
        `${windows} was trained with --window 4: --window 4 must be at most 3: a window of 6 tokens holds 4 of a text beside the ` +
          'special ones, and neighbours cannot share all of them; give another --window, or --window off',
      ),
    )
    // A model that says nothing of its texts: the default, or what it has positions for.
    expect(
      adoptLengths(parseOptions(['--model', base]), await openModel(parseOptions(['--model', base]), quiet)),
    ).toMatchObject({ maxLength: 64, window: undefined })
  })

  test('of other labels or another task draws a head, and says so', async () => {
    for (const [labels, task] of [
      [['bad', 'good'], 'classes'],
      [['red', 'green', 'blue'], 'classes'],
      [LABELS, 'labels'],
      [LABELS, 'tokens'],
    ] as const) {
      const run = await begun(['--model', adapter], { labels, task })
      // A model for words has no pooler, and its head is the classifier alone.
      expect(run.text).toContain("\nHead: drawn at random (the adapter's is for bad, fair, good): classifier")
      const { drawn, values } = await filled(run)
      expect(drawn).toEqual(['classifier.weight', 'classifier.bias'])
      const [weight] = run.model.parameters().filter(({ name }) => name === 'classifier.weight')
      expect(values.get('classifier.weight')).toEqual(Array.from(freshValues(weight, run.options.seed)))
      const [b] = run.model.parameters().filter(({ name }) => name.endsWith('query.lora_B.weight'))
      expect(values.get(b.name)?.[1]).toBeCloseTo(Math.sin(1), 6)
    }
  })

  test.each(['full', 'head'] as const)(
    'with --tune %s has it merged into the weights, to the bit as an export has it',
    async tune => {
      const out = join(place, `merged-${tune}`)
      await exportMerged(adapter, out)
      const run = await begun(['--model', adapter, '--tune', tune])
      expect(run.text).toContain(`with the adapter ${adapter} merged into them), tuning: ${tune}`)
      const { drawn, values } = await filled(run)
      expect(drawn).toEqual([])
      const wanted = await tensorsIn(out)
      expect([...values.keys()].sort()).toEqual([...wanted.keys()].sort())
      for (const [name, tensor] of wanted) expect(values.get(name), name).toEqual(tensor)
      const query = 'bert.encoder.layer.0.attention.self.query.weight'
      expect(values.get(query)).not.toEqual((await tensorsIn(base)).get(query))
    },
  )

  test('is saved again in f32 though the GPU stores frozen weights in f16, also merged', async ({ skip }) => {
    const { traits, info } = await currentDevice()
    skip(!traits.f16, `${info.name} has no shader-f16`)
    const { model, opened, options } = await begun(['--model', adapter, '--freeze-head', '--precision', 'f16'])
    await fillModel(model, opened, options)
    const again = join(place, 'again-f16')
    await withOrigin(model, opened, options, origin => saveAdapter(again, model, base, undefined, origin))
    const [before, after] = await Promise.all(
      [adapter, again].map(folder => readFile(join(folder, 'adapter_model.safetensors'))),
    )
    expect(after.equals(before)).toBe(true)

    const out = join(place, 'merged-f16')
    await exportMerged(adapter, out)
    const wanted = await tensorsIn(out)
    const tuned = await begun(['--model', adapter, '--tune', 'head', '--precision', 'f16'])
    await withOrigin(tuned.model, tuned.opened, tuned.options, async origin => {
      for (const parameter of tuned.model.parameters()) {
        expect(Array.from(await origin(parameter)), parameter.name).toEqual(wanted.get(parameter.name))
      }
    })
  })

  test('whose head carries adapters goes on with those, and is not trained whole', async () => {
    const made = await makeAdapter('on-head', base, { targets: 'query,head', trainHead: false })
    const run = await begun(['--model', made])
    expect(run.options).toMatchObject({ trainHead: false, loraTargets: 'query,head' })
    await fillModel(run.model, run.opened, run.options)
    await saveAdapter(join(place, 'on-head-again'), run.model, base)
    const [before, after] = await Promise.all(
      [made, join(place, 'on-head-again')].map(folder => readFile(join(folder, 'adapter_model.safetensors'))),
    )
    expect(after.equals(before)).toBe(true)
    expect(await refused(['--model', made, '--train-head'])).toContain(
      "can't be trained whole and carry a LoRA adapter: choose one",
    )
    // Of another number of labels its adapters are drawn, too.
    const other = await begun(['--model', made], { labels: ['a', 'b'] })
    expect((await filled(other)).drawn.filter(name => name.includes('lora_'))).toEqual([
      'classifier.lora_A.weight',
      'classifier.lora_B.weight',
    ])
  })

  test('finds it and its base in the folder of a run, also in one that was moved', async () => {
    const run = join(place, 'run')
    await writeTinyModel(join(run, 'base'), { changes: ONE_LAYER })
    await writeFile(join(run, 'config.json'), JSON.stringify({ tilegrad: '0', arguments: [] }))
    await rename(await makeAdapter('of-run', join(run, 'base')), join(run, 'adapter'))
    expect((await begun(['--model', run])).opened).toMatchObject({
      name: join(run, 'base'),
      adapter: { folder: join(run, 'adapter') },
    })
    const moved = join(place, 'moved')
    await rename(run, moved)
    expect((await begun(['--model', moved])).opened).toMatchObject({
      name: join(moved, 'base'),
      adapter: { folder: join(moved, 'adapter') },
    })
    await rm(join(moved, 'base'), { recursive: true })
    expect(await refused(['--model', moved])).toBe(
      `the adapter ${join(moved, 'adapter')} was trained on ${join(run, 'base')}, which is not there: ` +
        'merge it with npm run -s tilegrad -- export --merge --base, and fine-tune the result',
    )
  })

  test('is another run when the adapter is another', async () => {
    const nothing = { train: [], validation: [], test: [] } as unknown as Parameters<typeof fingerprintsOf>[0]
    const printOf = async (opened: OpenedModel): Promise<string> => (await fingerprintsOf(nothing, opened)).model
    const { opened } = await begun(['--model', adapter])
    const first = await printOf(opened)
    expect(await printOf((await begun(['--model', adapter])).opened)).toBe(first)
    expect(await printOf({ ...opened, adapter: undefined })).not.toBe(first)
    const copy = join(place, 'copy')
    await cp(adapter, copy, { recursive: true })
    expect(await printOf((await begun(['--model', copy])).opened)).toBe(first)
    const bytes = await readFile(join(copy, 'adapter_model.safetensors'))
    bytes[bytes.length - 1] ^= 1
    await writeFile(join(copy, 'adapter_model.safetensors'), bytes)
    expect(await printOf((await begun(['--model', copy])).opened)).not.toBe(first)
  })
})

describe('a model', () => {
  test('whose head is for other labels, or that has none, gets one that is drawn, and a frozen one is told', async () => {
    const named = await writeTinyModel(join(place, 'named'), {
      changes: { ...ONE_LAYER, id2label: { 0: 'NEGATIVE', 1: 'POSITIVE' } },
    })
    const textOf = async (model: string, labels: readonly string[], ...args: string[]): Promise<string | undefined> =>
      (await begun(['--model', model, ...args], { labels })).text.split('\n').slice(1).join('\n')
    expect(await textOf(named, ['negative', 'positive'])).toBe('')
    expect(await textOf(base, ['red', 'green'])).toBe('')
    expect(await textOf(named, ['red', 'green'])).toBe(
      "Head: drawn at random (the model's is for NEGATIVE, POSITIVE): classifier",
    )
    const frozen = (modules: string) =>
      `\nThe head is frozen: ${modules} will keep these random values. --train-head trains the head, too.`
    expect(await textOf(base, LABELS, '--freeze-head')).toBe(
      `Head: drawn at random (the model's is for 2 outputs): classifier${frozen('classifier')}`,
    )
    expect(await textOf(base, LABELS, '--init', 'random', '--freeze-head')).toBe(
      `Head: drawn at random: bert.pooler.dense, classifier${frozen('bert.pooler.dense, classifier')}`,
    )
    expect(await textOf(WITHOUT_POOLER, LABELS, '--freeze-head')).toContain(frozen('bert.pooler.dense, classifier'))
    expect(await textOf(WITHOUT_POOLER, LABELS)).not.toContain('frozen')
    expect(await textOf(base, LABELS, '--tune', 'head')).toBe(
      "Head: drawn at random (the model's is for 2 outputs): classifier",
    )
    const padded = await writeTinyModel(join(place, 'padded'), {
      changes: { ...ONE_LAYER, vocab_size: TINY_WORDS.length + 100 },
    })
    expect(await textOf(padded, ['0', '1'])).toBe('')
    const wide = await writeTinyModel(join(place, 'wide'), {
      changes: { ...ONE_LAYER, vocab_size: TINY_WORDS.length + 200 },
    })
    expect(await textOf(wide, ['0', '1'])).toBe(
      `Tokenizer: ${TINY_WORDS.length} tokens, fewer than the ${TINY_WORDS.length + 200} that the model has embeddings for`,
    )
    const { drawn } = await filled(await begun(['--model', named], { labels: ['red', 'green'] }))
    expect(drawn.filter(name => !name.includes('lora_'))).toEqual(['classifier.weight', 'classifier.bias'])
  })

  test('with a weight larger than one binding of the adapter is refused by arithmetic, and what helps is said', async () => {
    const { model } = await begun(['--model', base])
    const device = (most: number) =>
      ({
        info: { name: 'a small GPU' },
        gpu: { limits: { maxStorageBufferBindingSize: most, maxBufferSize: 1e9 } },
      }) as unknown as Parameters<typeof checkSizes>[1]
    const [largest] = model.parameters().toSorted((a, b) => b.size - a.size)
    const [bytes, fits] = [4 * largest.size, showBytes(largest.size * 4)]
    expect(() => checkSizes(model, device(bytes), '--precision f16')).not.toThrow()
    expect(() => checkSizes(model, device(bytes - 4), '--precision f16')).toThrow(
      new UserError(
        `the weight ${largest.name} takes ${fits}, and one binding of ` +
          `a small GPU holds ${showBytes(bytes - 4)}: use --precision f16, another adapter (tilegrad adapters lists them), or a smaller model`,
      ),
    )
    expect(() => checkSizes(model, device(bytes / 2 - 4), '--precision f16')).toThrow(
      /B: use another adapter \(tilegrad adapters lists them\), or a smaller model$/,
    )
    expect(() => checkSizes(model, device(bytes - 4))).toThrow(/B: use another adapter /)
  })
})

describe('on the Hub', () => {
  const [baseCommit, commit] = ['b'.repeat(40), 'a'.repeat(40)]
  let hub: Awaited<ReturnType<typeof startHub>>
  let onDisk = ''
  const filesOf = async (folder: string): Promise<Record<string, Uint8Array>> =>
    Object.fromEntries(
      await Promise.all((await readdir(folder)).map(async name => [name, await readFile(join(folder, name))] as const)),
    )
  beforeAll(async () => {
    onDisk = await makeAdapter('for-hub', 'some/base', { revision: 'v2' })
    const { 'adapter_model.safetensors': tensors, ...others } = await filesOf(onDisk)
    hub = await startHub([
      { type: 'model', name: 'some/base', commit: baseCommit, revisions: ['v2'], files: await filesOf(base) },
      {
        type: 'model',
        name: 'some/adapter',
        commit,
        files: { ...(await filesOf(onDisk)), 'README.md': '#', 'optimizer.pt': 'no' },
      },
      { type: 'model', name: 'some/pickled', commit, files: { ...others, 'adapter_model.bin': Buffer.from(tensors) } },
      {
        type: 'model',
        name: 'some/chain',
        commit,
        files: {
          'adapter_config.json': JSON.stringify({
            ...JSON.parse(await readFile(join(onDisk, 'adapter_config.json'), 'utf8')),
            base_model_name_or_path: 'some/adapter',
            revision: null,
          }),
          'adapter_model.safetensors': tensors,
        },
      },
    ])
    stubHub(hub.url, join(place, 'cache'))
  })
  afterAll(async () => {
    vi.unstubAllEnvs()
    await hub.close()
  })
  const texts = tinyReviews(5).map(({ text }) => text)

  test('an adapter brings its base, at the revision that it names, and answers as it does on disk', async () => {
    const answers = await (await openClassifier('some/adapter')).classify(texts)
    expect(hub.requests.join('\n')).toContain('GET /api/models/some/base/revision/v2')
    expect(hub.requests.join('\n')).not.toMatch(/README|optimizer/)
    expect(await (await openClassifier(onDisk, { base })).classify(texts)).toEqual(answers)
    const asked = hub.requests.length
    expect(await (await openClassifier('some/adapter')).classify(texts)).toEqual(answers)
    expect(hub.requests.length, 'all is in the cache').toBe(asked)
    await exportMerged('some/adapter', join(place, 'from-hub'))
    expect(Object.keys(answers[0])).toContain('probabilities')
  })

  test('an adapter is gone on with, over the same base, by commits that a later run asks for again', async () => {
    const { opened, model, options } = await begun(['--model', 'some/adapter'])
    expect(opened).toMatchObject({ name: 'some/base', revision: 'v2', adapter: { name: 'some/adapter' } })
    expect(commitsOf(opened)).toEqual({ model: commit, base: baseCommit })
    expect(await fillModel(model, opened, options)).toEqual([])
    const again = await openModel(
      parseOptions(['--model', 'some/adapter', '--max-length', '16'], 'tilegrad'),
      quiet,
      commitsOf(opened),
    )
    expect(again).toMatchObject({ commit: baseCommit, revision: baseCommit, adapter: { commit } })
  })

  test('pickled weights and adapters of adapters are refused in one line', async () => {
    expect(await refused(['--model', 'some/pickled'])).toBe(
      'adapter some/pickled on the Hub ' +
        'has its weights as adapter_model.bin only, and tilegrad reads adapter_model.safetensors: load it in Python with PEFT, ' +
        'write it with save_pretrained(folder, safe_serialization=True), and give that folder',
    )
    expect(await refused(['--model', 'some/chain'])).toContain(
      'some/adapter on the Hub is an adapter, where a whole model is expected',
    )
  })
})

test('a pooler that the weights lack is trained with the head, and one that they have stays as it is', async () => {
  const trained = async (model: string, ...args: readonly string[]): Promise<string[]> => {
    const options = parseOptions(['--model', model, ...args], 'tilegrad')
    const { model: built } = await buildModel(options, withLabels(await openModel(options, quiet), plan()), 'classes')
    return built
      .parameters()
      .filter(({ trainable, name }) => trainable && !name.includes('lora_'))
      .map(({ name }) => name)
  }
  const classifier = ['classifier.weight', 'classifier.bias']
  expect(await trained(WITHOUT_POOLER)).toEqual(['bert.pooler.dense.weight', 'bert.pooler.dense.bias', ...classifier])
  expect(await trained(WITHOUT_POOLER, '--freeze-head')).toEqual([])
  expect(await trained(base)).toEqual(classifier)
})
