// What models consist of: names as in Transformers' state dicts, counts, LoRA's targets, what is frozen.
import { describe, expect, test } from 'vitest'
import { UserError } from '../../engine/errors.ts'
import { publishedConfig, type ModelConfig } from '../../models/config.ts'
import { countParameters, createMaskedModel, createModel, summaryRows, summaryText } from '../../models/index.ts'
import { attachLora, findTargets, loraParameters, parseTargets, setTuning } from '../../models/lora.ts'
import { TARGET_WORDS } from '../../models/model.ts'

function published(name: string): ModelConfig {
  const config = publishedConfig(name)
  if (!config) throw new Error(`${name} is not known`)
  return config
}

const lora = { rank: 8, alpha: 1, dropout: 0, targets: parseTargets('query,value,mlp') }

describe('parameter counts', () => {
  test('DistilBERT with LoRA on query, value and mlp has 67,471,106 parameters, 516,096 of them trained', () => {
    const model = createModel(published('distilbert-base-uncased'))
    expect(countParameters(model).total).toBe(66_955_010)
    attachLora(model, lora)
    const { total, trainable, percent } = countParameters(model)
    expect([total, trainable, percent.toFixed(2)]).toEqual([67_471_106, 516_096, '0.76'])
  })

  test('BERT base has as many parameters as Transformers says', () => {
    expect(countParameters(createModel(published('bert-base-uncased'))).total).toBe(109_483_778)
    expect(countParameters(createModel(published('bert-base-cased'))).total).toBe(108_311_810)
    // With the decoder tied to the word embeddings, and without a pooler.
    expect(countParameters(createMaskedModel(published('bert-base-uncased'))).total).toBe(109_514_298)
    expect(countParameters(createMaskedModel(published('distilbert-base-uncased'))).total).toBe(66_985_530)
  })

  test('a head trained besides LoRA counts', () => {
    const model = createModel(published('distilbert-base-uncased'))
    attachLora(model, { ...lora, trainHead: true })
    expect(countParameters(model).trainable).toBe(516_096 + 768 * 768 + 768 + 768 * 2 + 2)
  })
})

describe('names', () => {
  test('are those of Transformers, in its order', () => {
    const bert = createModel(published('bert-base-uncased'))
      .parameters()
      .map(({ name }) => name)
    expect(bert).toHaveLength(201)
    expect(bert.slice(0, 5)).toEqual([
      'bert.embeddings.word_embeddings.weight',
      'bert.embeddings.position_embeddings.weight',
      'bert.embeddings.token_type_embeddings.weight',
      'bert.embeddings.LayerNorm.weight',
      'bert.embeddings.LayerNorm.bias',
    ])
    expect(bert.slice(5, 21)).toEqual(
      [
        'attention.self.query',
        'attention.self.key',
        'attention.self.value',
        'attention.output.dense',
        'attention.output.LayerNorm',
        'intermediate.dense',
        'output.dense',
        'output.LayerNorm',
      ].flatMap(module => ['weight', 'bias'].map(end => `bert.encoder.layer.0.${module}.${end}`)),
    )
    expect(bert.slice(-4)).toEqual([
      'bert.pooler.dense.weight',
      'bert.pooler.dense.bias',
      'classifier.weight',
      'classifier.bias',
    ])

    const distilbert = createModel(published('distilbert-base-uncased'))
      .parameters()
      .map(({ name }) => name)
    expect(distilbert).toHaveLength(104)
    expect(distilbert.slice(4 + 5 * 16, 4 + 6 * 16)).toEqual(
      [
        'attention.q_lin',
        'attention.k_lin',
        'attention.v_lin',
        'attention.out_lin',
        'sa_layer_norm',
        'ffn.lin1',
        'ffn.lin2',
        'output_layer_norm',
      ].flatMap(module => ['weight', 'bias'].map(end => `distilbert.transformer.layer.5.${module}.${end}`)),
    )
    expect(distilbert.slice(-4)).toEqual([
      'pre_classifier.weight',
      'pre_classifier.bias',
      'classifier.weight',
      'classifier.bias',
    ])
  })

  test('of the masked-language head are those of Transformers, without what is tied', () => {
    const names = createMaskedModel(published('bert-base-uncased'))
      .parameters()
      .map(({ name }) => name)
    expect(names.filter(name => !name.startsWith('bert.'))).toEqual([
      'cls.predictions.bias',
      'cls.predictions.transform.dense.weight',
      'cls.predictions.transform.dense.bias',
      'cls.predictions.transform.LayerNorm.weight',
      'cls.predictions.transform.LayerNorm.bias',
    ])
    expect(names.some(name => name.includes('pooler'))).toBe(false)
    const distilbert = createMaskedModel(published('distilbert-base-uncased'))
      .parameters()
      .map(({ name }) => name)
    expect(distilbert.filter(name => !name.startsWith('distilbert.'))).toEqual([
      'vocab_transform.weight',
      'vocab_transform.bias',
      'vocab_layer_norm.weight',
      'vocab_layer_norm.bias',
      'vocab_projector.bias',
    ])
  })

  test('are given once each', () => {
    for (const name of ['bert-base-uncased', 'distilbert-base-cased']) {
      const model = createModel(published(name))
      attachLora(model, { ...lora, targets: parseTargets(TARGET_WORDS.join(',')) })
      const names = model.parameters().map(parameter => parameter.name)
      expect(new Set(names).size).toBe(names.length)
    }
  })

  test('say which parameters weight decay spares', () => {
    const spared = createModel(published('distilbert-base-uncased'))
      .parameters()
      .filter(({ decays }) => !decays)
    expect(spared.every(({ name }) => /norm\.weight$|bias$/i.test(name))).toBe(true)
    expect(spared).toHaveLength(2 + 6 * (8 + 2) + 2)
  })
})

describe('LoRA targets', () => {
  const paths = (name: string, target: string): string[] => {
    const model = createModel(published(name))
    return parseTargets(target)
      .flatMap(one => findTargets(model, one))
      .map(({ path }) => path)
  }

  test('are the modules of each family that a word names', () => {
    expect(paths('bert-base-uncased', 'query')[11]).toBe('bert.encoder.layer.11.attention.self.query')
    expect(paths('bert-base-uncased', 'projection')[0]).toBe('bert.encoder.layer.0.attention.output.dense')
    expect(paths('bert-base-uncased', 'mlp').slice(0, 2)).toEqual([
      'bert.encoder.layer.0.intermediate.dense',
      'bert.encoder.layer.0.output.dense',
    ])
    expect(paths('bert-base-uncased', 'head')).toEqual(['bert.pooler.dense', 'classifier'])
    expect(paths('distilbert-base-uncased', 'key')[5]).toBe('distilbert.transformer.layer.5.attention.k_lin')
    expect(paths('distilbert-base-uncased', 'head')).toEqual(['pre_classifier', 'classifier'])
  })

  test('may be a pattern over paths or over names of weights', () => {
    expect(paths('distilbert-base-uncased', String.raw`layer\.[45]\.attention\.[qv]_lin`)).toHaveLength(4)
    expect(paths('distilbert-base-uncased', String.raw`q_lin\.weight$`)).toHaveLength(6)
  })

  test('that match nothing or mean nothing are refused by name', () => {
    expect(() => paths('bert-base-uncased', 'q_lin')).toThrow(
      /LoRA target \/q_lin\/ matches no linear module of bert-base-uncased/,
    )
    expect(() => parseTargets('query,valeu')).toThrow(
      new UserError('LoRA target "valeu" is not one of query, key, value, projection, mlp, head'),
    )
    expect(() => parseTargets('(')).toThrow(
      /^LoRA targets \(query, .*, or a regular expression\): "\(" is not a regular expression/,
    )
    expect(() => parseTargets('(?!q).*')).toThrow(/no look-around and no back-references: .*\(\?!/)
    expect(() => parseTargets('')).toThrow(UserError)
    // A norm is no linear module.
    expect(() => paths('bert-base-uncased', 'LayerNorm')).toThrow(UserError)
  })

  test('are attached once, with numbers that make sense', () => {
    const model = createModel(published('distilbert-base-uncased'))
    expect(() => attachLora(model, { ...lora, rank: 0 })).toThrow('LoRA rank must be a whole number above 0, not 0')
    expect(() => attachLora(model, { ...lora, alpha: -1 })).toThrow('LoRA alpha must be a positive number, not -1')
    expect(() => attachLora(model, { ...lora, dropout: 1 })).toThrow(
      'LoRA dropout must be at least 0 and below 1, not 1',
    )
    expect(() => attachLora(model, { ...lora, targets: ['head'], trainHead: true })).toThrow(
      /pre_classifier can't be trained whole/,
    )
    expect(loraParameters(model)).toEqual([])
    attachLora(model, { ...lora, targets: ['query', /q_lin/] })
    expect(loraParameters(model)).toHaveLength(12)
    expect(() => attachLora(model, lora)).toThrow('distilbert-base-uncased has LoRA adapters already')
    expect(() => setTuning(model, 'full')).toThrow(UserError)
  })

  test('scale by alpha / rank, or by alpha / √rank when rank-stabilised', () => {
    for (const [rankStabilised, scale] of [
      [false, 0.5],
      [true, 2],
    ] as const) {
      const model = createModel(published('distilbert-base-uncased'))
      attachLora(model, { rank: 16, alpha: 8, dropout: 0, targets: ['query'], rankStabilised })
      expect(model.linears().find(linear => linear.lora)?.lora?.scale).toBe(scale)
    }
  })
})

describe('tuning', () => {
  const trainable = (tuning: 'full' | 'head', name: string): string[] => {
    const model = createModel(published(name))
    setTuning(model, tuning)
    return model.trainable().map(parameter => parameter.name)
  }

  test('full trains everything, head what stands on the encoder', () => {
    expect(trainable('full', 'bert-base-uncased')).toHaveLength(201)
    expect(trainable('head', 'bert-base-uncased')).toEqual([
      'bert.pooler.dense.weight',
      'bert.pooler.dense.bias',
      'classifier.weight',
      'classifier.bias',
    ])
    expect(trainable('head', 'distilbert-base-uncased')).toEqual([
      'pre_classifier.weight',
      'pre_classifier.bias',
      'classifier.weight',
      'classifier.bias',
    ])
  })

  test('by LoRA trains adapters alone, or adapters and classifier', () => {
    const model = createModel(published('bert-base-uncased'))
    setTuning(model, 'lora', { ...lora, trainHead: true })
    const names = model.trainable().map(parameter => parameter.name)
    expect(names.filter(name => !name.includes('lora_'))).toEqual(['classifier.weight', 'classifier.bias'])
    expect(names).toHaveLength(12 * 4 * 2 + 2)
  })

  test('may keep the large frozen tensors in f16, and nothing else', () => {
    const model = createModel(published('distilbert-base-uncased'))
    attachLora(model, lora)
    model.storeFrozenAs('f16')
    const half = model.parameters().filter(({ dtype }) => dtype === 'f16')
    expect(half).toHaveLength(2 + 6 * 6 + 2)
    expect(
      half.every(({ name, trainable }) => name.endsWith('.weight') && !/norm|lora/i.test(name) && !trainable),
    ).toBe(true)
  })
})

test('the summary adds up and folds equal layers into a line', () => {
  const model = createModel(published('distilbert-base-uncased'))
  attachLora(model, lora)
  const rows = summaryRows(model)
  expect(rows.map(({ module }) => module)).toEqual([
    'distilbert.embeddings',
    ...[0, 1, 2, 3, 4, 5].map(i => `distilbert.transformer.layer.${i}`),
    'pre_classifier',
    'classifier',
  ])
  expect(rows.reduce((sum, { total }) => sum + total, 0)).toBe(67_471_106)
  const lines = summaryText(model).split('\n')
  expect(lines).toHaveLength(6)
  expect(lines[2]).toMatch(/^distilbert\.transformer\.layer\.0–5 \(each\) +7,173,888 +86,016$/)
  expect(lines[5]).toMatch(/^total +67,471,106 +516,096 \(0\.76 %\)$/)
})
