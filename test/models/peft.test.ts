// Adapters in PEFT's format: what we write, what we read, and what we refuse.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { UserError } from '../../engine/errors.ts'
import { currentDevice } from '../../engine/node/index.ts'
import { parseConfig } from '../../models/config.ts'
import { initialise } from '../../models/initialise.ts'
import { createModel, createTokenModel } from '../../models/index.ts'
import { adapted, attachLora, parseTargets, type LoraOptions } from '../../models/lora.ts'
import type { SequenceClassifier } from '../../models/model.ts'
import { openSafetensors } from '../../models/node/files.ts'
import { openAdapter, readAdapterConfig, saveAdapter } from '../../models/node/peft.ts'
import { adapterConfig, adapterTensors, matchAdapter, parseAdapterConfig } from '../../models/peft.ts'
import { bytesSource, openTensors, serialize, type TensorFile } from '../../models/safetensors.ts'
import { MINIATURE, golden } from '../support/models.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tilegrad-peft-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true })
  ;(await currentDevice()).close()
})

type Family = keyof typeof MINIATURE

function withLora(family: Family, targets: string, more: Partial<LoraOptions> = {}): SequenceClassifier {
  const model = plain(family)
  attachLora(model, { rank: 2, alpha: 3, dropout: 0.1, targets: parseTargets(targets), ...more })
  return model
}

const plain = (family: Family): SequenceClassifier => createModel(parseConfig(MINIATURE[family], 'test', 'tiny'))

/** As after loading a model whose file had everything. */
function loaded(model: SequenceClassifier): SequenceClassifier {
  for (const parameter of model.parameters()) parameter.fresh = parameter.role === 'lora'
  return model
}

const PEFT = 'base_model.model.'

describe('what we write', () => {
  test("has PEFT's names, with heads that came from no file, and is read again to the bit", async () => {
    for (const [family, targets, extra] of [
      ['distilbert', 'query,value,mlp', ['pre_classifier', 'classifier']],
      ['bert', 'mlp', ['bert.pooler.dense', 'classifier']],
    ] as const) {
      const model = withLora(family, targets)
      await initialise(model.parameters(), 3)
      const path = join(folder, family)
      await saveAdapter(path, model, 'some/base')
      const file = await openSafetensors(join(path, 'adapter_model.safetensors'))
      const lora = adapted(model).flatMap(linear => [`${linear.path}.lora_A.weight`, `${linear.path}.lora_B.weight`])
      const saved = extra.flatMap(module => [`${module}.weight`, `${module}.bias`])
      expect(file.names().sort()).toEqual([...lora, ...saved].map(name => PEFT + name).sort())
      await file.close()

      const again = plain(family)
      const config = await openAdapter(path, again)
      expect(config).toMatchObject({
        rank: 2,
        alpha: 3,
        dropout: 0.1,
        rankStabilised: false,
        baseModel: 'some/base',
        modulesToSave: extra,
      })
      expect(adapted(again).map(linear => linear.path)).toEqual(adapted(model).map(linear => linear.path))
      const before = new Map(model.parameters().map(parameter => [parameter.name, parameter]))
      for (const parameter of again.parameters().filter(({ written }) => written)) {
        expect(Array.from(await parameter.read())).toEqual(Array.from((await before.get(parameter.name)?.read()) ?? []))
      }
      expect(
        again
          .parameters()
          .filter(({ written }) => written)
          .map(({ name }) => PEFT + name)
          .sort(),
      ).toEqual([...lora, ...saved].map(name => PEFT + name).sort())
    }
  })

  test("has the modules that PEFT's class for sequence classifiers insists on, trained or not", () => {
    for (const [family, head] of [
      ['distilbert', ['pre_classifier', 'classifier']],
      ['bert', ['classifier']],
    ] as const) {
      for (const trainHead of [false, true]) {
        const model = loaded(withLora(family, 'query', { trainHead }))
        expect(adapterConfig(model, 'base')).toMatchObject({
          task_type: 'SEQ_CLS',
          modules_to_save: head,
          revision: null,
        })
        expect(adapterConfig(model, 'base', 'v2')).toMatchObject({ base_model_name_or_path: 'base', revision: 'v2' })
        const names = adapterTensors(model)
          .map(({ name }) => name)
          .filter(name => !name.includes('lora_'))
        expect(names).toEqual(head.flatMap(path => [`${PEFT}${path}.weight`, `${PEFT}${path}.bias`]))
      }
    }
  })

  test('names the task of token classifiers, whose class in PEFT insists on the classifier too', () => {
    for (const family of ['distilbert', 'bert'] as const) {
      const model = createTokenModel(parseConfig(MINIATURE[family], 'test', 'tiny'))
      attachLora(model, { rank: 2, alpha: 3, dropout: 0.1, targets: parseTargets('query'), trainHead: false })
      for (const parameter of model.parameters()) parameter.fresh = parameter.role === 'lora'
      const config = adapterConfig(model, 'base')
      expect(config).toMatchObject({ task_type: 'TOKEN_CLS', modules_to_save: ['classifier'] })
      expect(parseAdapterConfig(config, 'c').modulesToSave).toEqual(['classifier'])
    }
  })

  test("names no task where a head carries adapters that PEFT's class for sequence classifiers would save whole", () => {
    const adaptedHead = loaded(withLora('distilbert', 'head'))
    expect(adapterConfig(adaptedHead, 'base')).toMatchObject({ task_type: null, modules_to_save: null })
    // BERT's pooler is no classifier, but its classifier is.
    expect(adapterConfig(loaded(withLora('bert', 'pooler')), 'base')).toMatchObject({
      task_type: 'SEQ_CLS',
      modules_to_save: ['classifier'],
    })
    expect(adapterConfig(loaded(withLora('bert', 'head')), 'base')).toMatchObject({
      task_type: null,
      modules_to_save: null,
    })
    // To PEFT, `classifier` in modules_to_save means pre_classifier too; the weights go without being named.
    const half = withLora('distilbert', '^pre_classifier')
    expect(adapterConfig(half, 'base')).toMatchObject({
      task_type: null,
      modules_to_save: null,
      target_modules: ['pre_classifier'],
    })
    expect(adapterTensors(half).map(({ name }) => name)).toContain(`${PEFT}classifier.weight`)
  })

  test("keeps a fresh head that carries adapters of its own under PEFT's name for what it wraps", async () => {
    const model = withLora('distilbert', 'head')
    await initialise(model.parameters(), 3)
    await saveAdapter(join(folder, 'head'), model, 'base')
    const file = await openSafetensors(join(folder, 'head/adapter_model.safetensors'))
    expect(file.names()).toContain(`${PEFT}classifier.base_layer.weight`)
    expect(file.names()).toContain(`${PEFT}classifier.lora_A.weight`)
    await file.close()
    const again = plain('distilbert')
    await openAdapter(join(folder, 'head'), again)
    const weight = again.parameters().find(({ name }) => name === 'classifier.weight')
    expect(weight).toMatchObject({ written: true, trainable: false })
  })

  test('names targets by the shortest ends that match nothing else', () => {
    const ends = (family: Family, targets: string): unknown =>
      adapterConfig(withLora(family, targets), 'base').target_modules
    expect(ends('distilbert', 'query,value,mlp')).toEqual(['lin1', 'lin2', 'q_lin', 'v_lin'])
    expect(ends('bert', 'query,projection')).toEqual(['attention.output.dense', 'query'])
    // `output.dense` alone would take the attention's too.
    expect(ends('bert', 'mlp')).toEqual(['0.output.dense', '1.output.dense', 'intermediate.dense'])
    expect(ends('bert', 'mlp,projection')).toEqual(['intermediate.dense', 'output.dense'])
    expect(ends('distilbert', String.raw`layer\.1\..*q_lin`)).toEqual(['1.attention.q_lin'])
  })

  test('says whether the scale is rank-stabilised', () => {
    expect(adapterConfig(withLora('bert', 'query', { rankStabilised: true }), 'base').use_rslora).toBe(true)
    expect(adapterConfig(withLora('bert', 'query'), 'base').use_rslora).toBe(false)
  })

  test('needs adapters', async () => {
    await expect(saveAdapter(folder, plain('bert'), 'base')).rejects.toThrow('tiny has no LoRA adapters to save')
  })
})

const base = { peft_type: 'LORA', task_type: 'SEQ_CLS', r: 4, lora_alpha: 8, target_modules: ['query'] }

describe('what we read', () => {
  test('of PEFT keeps ranks and alphas by pattern', async () => {
    expect(await readAdapterConfig(golden('bert/adapter'))).toMatchObject({
      rank: 3,
      alpha: 5,
      modulesToSave: ['classifier', 'score'],
    })
    const config = parseAdapterConfig(
      {
        ...base,
        target_modules: ['query', 'key', 'value'],
        rank_pattern: { '1.attention.self.query': 7 },
        alpha_pattern: { value: 5 },
      },
      'c',
    )
    const model = plain('bert')
    const shapes: [string, number[]][] = [0, 1].flatMap(i =>
      ['query', 'key', 'value'].flatMap(name => {
        const rank = i === 1 && name === 'query' ? 7 : 4
        const path = `${PEFT}bert.encoder.layer.${i}.attention.self.${name}`
        return [
          [`${path}.lora_A.weight`, [rank, 8]],
          [`${path}.lora_B.weight`, [8, rank]],
        ] as [string, number[]][]
      }),
    )
    const match = matchAdapter(model, config, await zeros(shapes))
    expect(adapted(model)).toEqual([])
    match.attach()
    await match.write()
    const found = Object.fromEntries(
      adapted(model).map(({ path, lora }) => [path.replace('bert.encoder.layer.', ''), [lora?.rank, lora?.scale]]),
    )
    expect(found['1.attention.self.query']).toEqual([7, 8 / 7])
    expect(found['0.attention.self.query']).toEqual([4, 2])
    expect(found['0.attention.self.value']).toEqual([4, 1.25])
    // And out again, by whole paths.
    expect(adapterConfig(loaded(model), 'base')).toMatchObject({
      r: 4,
      lora_alpha: 8,
      rank_pattern: { 'bert.encoder.layer.1.attention.self.query': 7 },
    })
  })

  test('may name targets by a pattern over whole paths, and leave some out', () => {
    const select = (fields: object): string[] => {
      const model = plain('distilbert')
      const config = parseAdapterConfig({ ...base, ...fields }, 'c')
      expect(() => matchAdapter(model, config, none)).toThrow(UserError)
      try {
        matchAdapter(model, config, none)
      } catch (error) {
        return [String(error).replace(/.*no tensor base_model.model.(.*).lora_A.*/, '$1')]
      }
      return []
    }
    expect(select({ target_modules: String.raw`.*layer\.1.*\.k_lin` })).toEqual([
      'distilbert.transformer.layer.1.attention.k_lin',
    ])
    expect(select({ target_modules: ['lin1'], exclude_modules: ['layer.0.ffn.lin1'] })).toEqual([
      'distilbert.transformer.layer.1.ffn.lin1',
    ])
    expect(select({ target_modules: 'k_lin' })[0]).toContain('match no linear module')
  })

  test('takes no adapter on a module that is saved whole, and needs all that is to be saved', async () => {
    const path = `${PEFT}bert.encoder.layer.0.attention.self.query`
    const pair: [string, number[]][] = [
      [`${path}.lora_A.weight`, [4, 8]],
      [`${path}.lora_B.weight`, [8, 4]],
    ]
    const pooler: [string, number[]][] = [
      [`${PEFT}bert.pooler.dense.weight`, [8, 8]],
      [`${PEFT}bert.pooler.dense.bias`, [8]],
    ]
    const config = parseAdapterConfig(
      { ...base, target_modules: '.*0.attention.self.query|.*pooler.dense', modules_to_save: ['pooler'] },
      'c',
    )
    const model = plain('bert')
    // `pooler` is the module around the one that has the weights.
    matchAdapter(model, config, await zeros([...pair, ...pooler])).attach()
    expect(adapted(model).map(linear => PEFT + linear.path)).toEqual([path])
    expect(
      model
        .trainable()
        .map(({ name }) => PEFT + name)
        .sort(),
    ).toEqual([...pair, ...pooler].map(([name]) => name).sort())
    const without = await zeros(pair)
    expect(() => matchAdapter(plain('bert'), config, without)).toThrow(
      `zeros has no tensor ${PEFT}bert.pooler.dense.weight [8, 8]`,
    )
  })

  test('must be what we can do', () => {
    const refused: [object, string][] = [
      [{ peft_type: 'IA3' }, 'c: peft_type: "IA3" is not supported, only "LORA"'],
      [{ task_type: 'CAUSAL_LM' }, 'c: task_type: "CAUSAL_LM" is not supported, only "SEQ_CLS" and "TOKEN_CLS"'],
      [{ use_dora: true }, 'c: use_dora true is not supported'],
      [{ use_bdlora: { nblocks: 2 } }, 'c: use_bdlora {"nblocks":2} is not supported'],
      [{ kasa_config: { beta: 1 } }, 'c: kasa_config {"beta":1} is not supported'],
      [{ monteclora_config: { num_samples: 8 } }, 'c: monteclora_config {"num_samples":8} is not supported'],
      [{ velora_config: { scale: 1 } }, 'c: velora_config {"scale":1} is not supported'],
      [{ use_next: true }, 'c: the field "use_next" is not known, and may change what the adapter computes: true'],
      [
        { next_config: { scale: 2 } },
        'c: the field "next_config" is not known, and may change what the adapter computes: {"scale":2}',
      ],
      [{ next_size: 16 }, 'c: the field "next_size" is not known, and may change what the adapter computes: 16'],
      [{ bias: 'all' }, 'c: bias: "all" is not supported, only "none"'],
      [{ fan_in_fan_out: true }, 'c: fan_in_fan_out true is not supported'],
      [{ layers_to_transform: [1] }, 'c: layers_to_transform [1] is not supported'],
      [{ init_lora_weights: 'pissa' }, 'c: init_lora_weights pissa is not supported: it changes the base model'],
      [{ target_modules: [] }, 'c: target_modules is empty'],
      [{ target_modules: 'all-linear' }, 'c: target_modules "all-linear" is not supported: list them'],
      [{ target_modules: 3 }, 'c: target_modules: a pattern, or a list of at most 10000 names, is expected'],
      [{ target_modules: ['q', 3] }, 'c: target_modules: a pattern, or a list of at most 10000 names, is expected'],
      [{ modules_to_save: Array(10_001).fill('a') }, 'c: modules_to_save: a list of at most 10000 names is expected'],
      [{ rank_pattern: { q: '8' } }, 'c: rank_pattern: an object of at most 10000 numbers by pattern is expected'],
      [{ r: 1e9 }, 'c: LoRA rank must be at most 65536, not 1000000000'],
      [{ lora_alpha: 1e308 }, 'c: LoRA alpha must be at most 1000000000, not 1e+308'],
      [{ r: 0 }, 'c: LoRA rank must be a whole number above 0, not 0'],
      [{ lora_alpha: 0 }, 'c: LoRA alpha must be a positive number, not 0'],
      [{ lora_dropout: 1 }, 'c: LoRA dropout must be at least 0 and below 1, not 1'],
    ]
    for (const [fields, message] of refused) {
      expect(() => parseAdapterConfig({ ...base, ...fields }, 'c'), message).toThrow(new UserError(message))
    }
    for (const [field, value] of [
      ['target_modules', '('],
      ['exclude_modules', '(?!q).*'],
      ['rank_pattern', { '(a)\\1': 4 }],
    ] as const) {
      expect(() => parseAdapterConfig({ ...base, [field]: value }, 'c')).toThrow(
        new RegExp(`^c: ${field}: ".*" is not a regular expression in RE2's syntax, which has no look-around`),
      )
    }
    expect(() => parseAdapterConfig({ peft_type: 'LORA' }, 'c')).toThrow(/^c: r: /)
    expect(() => parseAdapterConfig(3, 'c')).toThrow(UserError)
    const off = {
      loftq_config: {},
      use_dora: false,
      layers_pattern: null,
      next_flag: false,
      next_config: null,
      next_list: [],
      next_name: '',
    }
    // PEFT 0.21 writes these with values that change nothing.
    const harmless = {
      peft_version: '0.21.2',
      megatron_core: 'megatron.core',
      qalora_group_size: 16,
      inference_mode: true,
      auto_mapping: null,
    }
    expect(parseAdapterConfig({ ...base, ...off, ...harmless }, 'c').dropout).toBe(0)
  })

  test('has patterns that cost time in proportion to the names, whatever they are', { timeout: 10_000 }, async () => {
    // Backtracking takes time exponential in the length of a path for these.
    const evil = '((\\w|\\.|[a-z.])*)*!'
    const start = performance.now()
    const config = parseAdapterConfig({ ...base, target_modules: evil, rank_pattern: { [evil]: 4 } }, 'c')
    expect(() => matchAdapter(plain('bert'), config, none)).toThrow('target_modules match no linear module')
    expect(performance.now() - start).toBeLessThan(2_000)
    const many = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`(a|${i}){900}`, 1]))
    expect(() => parseAdapterConfig({ ...base, alpha_pattern: many }, 'c')).toThrow(
      'c: alpha_pattern: the patterns are too large together',
    )
    expect(performance.now() - start).toBeLessThan(5_000)
  })

  test('must fit the model, tensor by tensor, or nothing is attached', async () => {
    const model = plain('bert')
    const config = parseAdapterConfig({ ...base, r: 2, target_modules: ['0.attention.self.query'] }, 'c')
    const path = `${PEFT}bert.encoder.layer.0.attention.self.query`
    const pair: [string, number[]][] = [
      [`${path}.lora_A.weight`, [2, 8]],
      [`${path}.lora_B.weight`, [8, 2]],
    ]
    expect(() => matchAdapter(model, config, none)).toThrow(`none has no tensor ${path}.lora_A.weight [2, 8]`)
    const wide = await zeros([[pair[0][0], [3, 8]], pair[1]])
    expect(() => matchAdapter(model, config, wide)).toThrow(
      `zeros: tensor ${path}.lora_A.weight is [3, 8], expected [2, 8]`,
    )
    const stray = await zeros([...pair, [`${PEFT}score.weight`, [2, 8]]])
    expect(() => matchAdapter(model, config, stray)).toThrow(`zeros: tensor ${PEFT}score.weight has no place in tiny`)
    expect(adapted(model)).toEqual([])
    expect(model.parameters().every(({ trainable, written }) => trainable && !written)).toBe(true)
    // Names as they are in PEFT's memory mean the same.
    const named = await zeros(pair.map(([name, shape]) => [name.replace('.weight', '.default.weight'), shape]))
    matchAdapter(model, config, named).attach()
    expect(() => matchAdapter(model, config, named)).toThrow('tiny has LoRA adapters already')
  })

  test('must be an adapter folder', async () => {
    await expect(openAdapter(join(folder, 'nowhere'), plain('bert'))).rejects.toThrow(
      /nowhere is not an adapter folder: it has no adapter_config.json/,
    )
    expect(JSON.parse(await readFile(golden('bert/adapter/adapter_config.json'), 'utf8'))).toMatchObject({
      peft_type: 'LORA',
    })
  })
})

const none: TensorFile = await openTensors(bytesSource(serialize([])), 'none')

function zeros(shapes: readonly [string, readonly number[]][]): Promise<TensorFile> {
  return openTensors(
    bytesSource(
      serialize(
        shapes.map(([name, shape]) => ({
          name,
          dtype: 'F32',
          shape,
          data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
        })),
      ),
    ),
    'zeros',
  )
}
