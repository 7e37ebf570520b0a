// config.json: both families into one vocabulary and back, published names, and what is wrong said in one line.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../engine/errors.ts'
import { parseConfig, publishedConfig, toHubConfig } from '../../models/config.ts'
import type { ModelConfig } from '../../models/config.ts'

const rate = fc.double({ min: 0, max: 0.9, noNaN: true })
const labels = fc.uniqueArray(fc.string(), { minLength: 1, maxLength: 12 })
const configs: fc.Arbitrary<ModelConfig> = fc
  .record({
    family: fc.constantFrom('bert' as const, 'distilbert' as const),
    name: fc.string({ minLength: 1 }),
    vocabSize: fc.integer({ min: 1, max: 1e6 }),
    heads: fc.integer({ min: 1, max: 16 }),
    headSize: fc.integer({ min: 1, max: 64 }),
    layers: fc.integer({ min: 1, max: 48 }),
    intermediate: fc.integer({ min: 1, max: 5000 }),
    maxPositions: fc.integer({ min: 1, max: 5000 }),
    typeVocab: fc.integer({ min: 1, max: 4 }),
    layerNormEpsilon: fc.double({ min: 1e-13, max: 1e-3, noNaN: true }),
    activation: fc.constantFrom('gelu' as const, 'gelu-tanh' as const, 'relu' as const, 'tanh' as const),
    dropout: rate,
    attentionDropout: rate,
    classifierDropout: rate,
    labels,
    initializerRange: rate,
  })
  .map(({ headSize, ...config }) => ({
    ...config,
    hidden: headSize * config.heads,
    padTokenId: config.vocabSize - 1,
    typeVocab: config.family === 'distilbert' ? 0 : config.typeVocab,
    layerNormEpsilon: config.family === 'distilbert' ? 1e-12 : config.layerNormEpsilon,
  }))

test('a config written as config.json and read back is the same config', () => {
  fc.assert(
    fc.property(configs, config => {
      expect(parseConfig(JSON.parse(JSON.stringify(toHubConfig(config))), 'config.json')).toEqual(config)
    }),
  )
})

test('Hub files of both families give one vocabulary', () => {
  const distilbert = parseConfig(
    {
      activation: 'gelu',
      architectures: ['DistilBertForMaskedLM'],
      attention_dropout: 0.1,
      dim: 768,
      dropout: 0.1,
      hidden_dim: 3072,
      initializer_range: 0.02,
      max_position_embeddings: 512,
      model_type: 'distilbert',
      n_heads: 12,
      n_layers: 6,
      pad_token_id: 0,
      qa_dropout: 0.1,
      seq_classif_dropout: 0.2,
      sinusoidal_pos_embds: false,
      tie_weights_: true,
      transformers_version: '4.10.0.dev0',
      vocab_size: 30522,
    },
    'config.json',
    'distilbert-base-uncased',
  )
  expect(distilbert).toEqual(publishedConfig('distilbert-base-uncased'))
  expect(distilbert).toMatchObject({
    family: 'distilbert',
    hidden: 768,
    layers: 6,
    typeVocab: 0,
    classifierDropout: 0.2,
  })

  const bert = parseConfig(
    {
      attention_probs_dropout_prob: 0.1,
      hidden_act: 'gelu_new',
      hidden_dropout_prob: 0.3,
      hidden_size: 128,
      num_hidden_layers: 2,
      num_attention_heads: 2,
      intermediate_size: 512,
      type_vocab_size: 2,
      vocab_size: 30522,
      classifier_dropout: null,
      id2label: { 0: 'neg', 1: 'pos', 2: 'both' },
      model_type: 'bert',
    },
    'config.json',
    'mine',
  )
  expect(bert).toMatchObject({
    family: 'bert',
    name: 'mine',
    heads: 2,
    activation: 'gelu-tanh',
    classifierDropout: 0.3,
    labels: ['neg', 'pos', 'both'],
  })
})

test('files from before model_type are told by their other fields', () => {
  expect(parseConfig({ hidden_size: 128, num_hidden_layers: 2, num_attention_heads: 2 }, 'config.json').family).toBe(
    'bert',
  )
  expect(parseConfig({ n_layers: 2 }, 'config.json').family).toBe('distilbert')
  expect(parseConfig({ architectures: ['DistilBertModel'] }, 'config.json').family).toBe('distilbert')
})

test.each(['bert', 'distilbert'])('files that leave a name open, or number their labels, are read: %s', model_type => {
  const config = { model_type, _name_or_path: null, id2label: { 0: 0, 1: 1 }, label2id: { 0: 0, 1: 1 } }
  expect(parseConfig(config, 'config.json')).toMatchObject({ name: model_type, labels: ['0', '1'] })
  expect(parseConfig({ ...config, id2label: null, num_labels: null }, 'config.json').labels).toEqual([
    'LABEL_0',
    'LABEL_1',
  ])
})

test.each([
  ['distilbert-base-cased', { family: 'distilbert', vocabSize: 28996, layers: 6 }],
  ['distilbert/distilbert-base-uncased', { family: 'distilbert', vocabSize: 30522 }],
  ['google-bert/bert-base-cased', { family: 'bert', vocabSize: 28996, layers: 12, hidden: 768 }],
  ['bert-large-uncased', { hidden: 1024, layers: 24, heads: 16, intermediate: 4096, vocabSize: 30522 }],
  ['google/bert_uncased_L-2_H-128_A-2', { hidden: 128, layers: 2, heads: 2, intermediate: 512, vocabSize: 30522 }],
  ['bert_uncased_L-10_H-768_A-12', { hidden: 768, layers: 10, heads: 12, intermediate: 3072 }],
])('%s is known without a download', (name, expected) => {
  expect(publishedConfig(name)).toMatchObject({ ...expected, name, maxPositions: 512, labels: ['LABEL_0', 'LABEL_1'] })
})

test.each(['gpt2', 'somebody/bert-base-uncased', 'google/bert_uncased_L-2_H-128_A-4', 'toString', '', 'distilbert/'])(
  'no architecture goes by the name %j',
  name => {
    expect(publishedConfig(name)).toBeUndefined()
  },
)

describe('a wrong config.json is refused in one line that names the field', () => {
  test.each<[unknown, string]>([
    [[], 'no JSON object'],
    [{}, 'no model_type; bert or distilbert is expected'],
    [{ model_type: 'gpt2' }, 'model_type "gpt2" is not supported; bert and distilbert are'],
    [{ model_type: 'bert', hidden_size: '768' }, 'hidden_size: expected a number, found "768"'],
    [{ model_type: 'bert', hidden_size: 0 }, 'hidden_size: '],
    [{ model_type: 'bert', num_hidden_layers: 1.5 }, 'num_hidden_layers: expected a whole number, found 1.5'],
    [{ model_type: 'bert', num_attention_heads: 0 }, 'num_attention_heads: must be at least 1'],
    [{ model_type: 'bert', type_vocab_size: 65_537 }, 'type_vocab_size: at most 65,536 is supported'],
    [{ model_type: 'bert', hidden_size: 100, num_attention_heads: 12 }, 'width 100 does not divide into 12 heads'],
    [{ model_type: 'bert', hidden_act: 'swish' }, 'hidden_act: "swish" is not one of gelu, gelu_new'],
    [{ model_type: 'bert', hidden_dropout_prob: 1 }, 'hidden_dropout_prob: must be less than 1'],
    [
      { model_type: 'bert', position_embedding_type: 'relative_key' },
      'position_embedding_type: only "absolute" is supported',
    ],
    [{ model_type: 'bert', is_decoder: true }, 'is_decoder: decoders are not supported'],
    [{ model_type: 'distilbert', dim: -1 }, 'dim: '],
    [{ model_type: 'distilbert', id2label: { 1: 'a', 2: 'b' } }, 'id2label has 2 entries, but none for 0'],
    [{ model_type: 'bert', id2label: { 0: null, 1: 'b' } }, 'id2label.0: '],
    [{ model_type: 'bert', _name_or_path: 3 }, '_name_or_path: '],
    [{ model_type: 'bert', num_hidden_layers: 1e8 }, 'num_hidden_layers: at most 1,000 is supported'],
    [{ model_type: 'distilbert', n_layers: 1e8 }, 'n_layers: at most 1,000 is supported'],
    [{ model_type: 'bert', num_labels: 1e8 }, 'num_labels: at most 100,000 is supported'],
    [
      { model_type: 'bert', hidden_size: 2 ** 30, num_attention_heads: 2 ** 20 },
      'hidden_size: at most 65,536 is supported',
    ],
    [
      { model_type: 'bert', vocab_size: 1e7, hidden_size: 12 * 1024 },
      'a matrix of 10000000 × 12288 numbers; at most 2,147,483,648',
    ],
    [{ model_type: 'bert', id2label: [] }, 'id2label: [] is not an object of names by number'],
    [{ model_type: 'bert', id2label: { 0: [[]], 1: 'b' } }, 'id2label.0: [[]] is not a name'],
    [
      { model_type: 'bert', id2label: Object.fromEntries(Array.from({ length: 100_001 }, (_, i) => [i, 0])) },
      'id2label: 100001 names: at most 100,000 is supported',
    ],
    [{ model_type: { a: 1 } }, 'model_type {"a":1} is not supported'],
    [{ model_type: null, architectures: [{ toString: 1 }] }, 'no model_type; bert or distilbert is expected'],
    [{ model_type: 'distilbert', pad_token_id: 30522 }, 'pad_token_id 30522 is outside the vocabulary of 30522'],
  ])('%j', (json, message) => {
    let failure: unknown
    try {
      parseConfig(json, 'folder/config.json')
    } catch (error) {
      failure = error
    }
    expect(failure).toBeInstanceOf(UserError)
    expect(String(failure)).toContain(`folder/config.json: ${message}`)
    expect(String(failure)).not.toContain('\n')
  })
})
