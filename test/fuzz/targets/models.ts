// The readers of models: configs, weights and their shards, tokenizers and what they are given to read, adapters,
// patterns.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createModel, parseTargets } from '../../../models/index.ts'
import { parseConfig, toHubConfig } from '../../../models/config.ts'
import { matchWeights } from '../../../models/loading.ts'
import { findTargets } from '../../../models/lora.ts'
import { openSafetensors, openWeights, readJson } from '../../../models/node/files.ts'
import { readAdapterConfig } from '../../../models/node/peft.ts'
import { loadTokenizer } from '../../../models/node/tokenizer.ts'
import { matchAdapter } from '../../../models/peft.ts'
import { serialize, type TensorFile } from '../../../models/safetensors.ts'
import { tokenizerFromVocabulary } from '../../../models/tokenizer.ts'
import { MINIATURE } from '../../support/models.ts'
import { changeJson } from '../mutate.ts'
import type { Target } from '../target.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const json = (value: unknown): Uint8Array => encode(JSON.stringify(value))
const changeTree: NonNullable<Target['mutate']> = (input, random) => encode(changeJson(decode(input), random))

const CONFIG = {
  bert: { ...MINIATURE.bert, num_hidden_layers: 1 },
  distilbert: { ...MINIATURE.distilbert, n_layers: 1 },
}
const model = createModel(parseConfig(CONFIG.bert, 'config.json', 'tiny'))

const WORDS = '[PAD] [UNK] [CLS] [SEP] [MASK] the film is good un ##watch ##able ! é e'.split(' ')
const TEXTS = [
  'The film is UNWATCHABLE! [SEP] é',
  'e\u0301\u0323\u0301',
  '𠮷 film',
  'the'.repeat(50),
  'good, good; [MASK]',
]

/** A file of weights for `model`, some of its names only. */
const weights = (names: (name: string) => boolean): Uint8Array =>
  serialize(
    model
      .parameters()
      .filter(({ name }) => names(name))
      .map(({ name, shape, size }) => ({ name, dtype: 'F32', shape, data: new Float32Array(size).fill(0.5) })),
    { format: 'pt' },
  )

const config: Target = {
  name: 'config.json',
  seeds: async () => [
    json(CONFIG.bert),
    json(CONFIG.distilbert),
    ...Object.values(CONFIG).map(fields => json(toHubConfig(parseConfig(fields, 'config.json')))),
    json({ architectures: ['BertModel'], id2label: { 0: 'a', 1: 2, 2: true }, num_labels: 3 }),
  ],
  mutate: changeTree,
  async run(input, folder) {
    const path = join(folder, 'config.json')
    await writeFile(path, input)
    const made = createModel(parseConfig(await readJson(path), path))
    made.parameters().reduce((sum, { size }) => sum + size, 0)
    // Config and weights are compared before anything is allocated.
    const file = join(folder, 'model.safetensors')
    await writeFile(
      file,
      weights(() => true),
    )
    await using(await openSafetensors(file), async opened => void matchWeights(made, opened))
  },
}

async function using(file: TensorFile, use: (file: TensorFile) => Promise<void>): Promise<void> {
  try {
    await use(file)
  } finally {
    await file.close()
  }
}

/** Reads every tensor in every way, as far as numbers can be had. */
async function readAll(file: TensorFile): Promise<void> {
  for (const name of file.names()) {
    const { dtype } = file.info(name)
    for await (const bytes of file.bytes(name)) if (bytes.length === 0) return
    if (['F32', 'F16', 'BF16'].includes(dtype)) await file.read(name)
  }
}

/** Changes the header as a tree, and mostly its length with it. */
function changeHeader(input: Uint8Array, random: () => number): Uint8Array {
  if (input.length < 8) return input
  const length = Number(new DataView(input.buffer, input.byteOffset).getBigUint64(0, true))
  if (length > input.length - 8) return input
  const header = encode(changeJson(decode(input.subarray(8, 8 + length)), random))
  const made = new Uint8Array(8 + header.length + input.length - 8 - length)
  new DataView(made.buffer).setBigUint64(
    0,
    BigInt(random() < 0.9 ? header.length : Math.floor(random() * 2 ** 40)),
    true,
  )
  made.set(header, 8)
  made.set(input.subarray(8 + length), 8 + header.length)
  return made
}

const safetensors: Target = {
  name: 'safetensors',
  seeds: async () => [
    weights(() => true),
    weights(name => name.includes('classifier')),
    serialize([]),
    serialize([
      { name: 'half', dtype: 'F16', shape: [2, 0, 3], data: new Float32Array() },
      { name: '', dtype: 'F16', shape: [], data: Float32Array.of(1) },
    ]),
  ],
  mutate: changeHeader,
  async run(input, folder) {
    const path = join(folder, 'model.safetensors')
    await writeFile(path, input)
    await using(await openSafetensors(path), async file => {
      await readAll(file)
      matchWeights(model, file)
    })
  },
}

const shards: Target = {
  name: 'model.safetensors.index.json',
  seeds: async () => {
    const half = (name: string): string => (name.includes('classifier') ? 'b.safetensors' : 'a.safetensors')
    const map = Object.fromEntries(model.parameters().map(({ name }) => [name, half(name)]))
    return [
      json({ metadata: { total_size: 1 }, weight_map: map }),
      json({ weight_map: { x: 'model.safetensors.index.json', y: '../a.safetensors', z: 'a/../b.safetensors' } }),
    ]
  },
  mutate: changeTree,
  async run(input, folder) {
    await writeFile(
      join(folder, 'a.safetensors'),
      weights(name => !name.includes('classifier')),
    )
    await writeFile(
      join(folder, 'b.safetensors'),
      weights(name => name.includes('classifier')),
    )
    await writeFile(join(folder, 'model.safetensors.index.json'), input)
    await using(await openWeights(folder), async file => {
      await readAll(file)
      matchWeights(model, file)
    })
  },
}

const whole = tokenizerFromVocabulary(`${WORDS.join('\n')}\n`, { lowercase: true }, 'vocab.txt').json
const steps = {
  ...whole,
  normalizer: {
    type: 'Sequence',
    normalizers: [
      { type: 'NFD' },
      { type: 'StripAccents' },
      { type: 'Lowercase' },
      { type: 'Strip', strip_left: true, strip_right: false },
      { type: 'Replace', pattern: { Regex: '\\s+|[a-c]{2,3}' }, content: ' ' },
      { type: 'Prepend', prepend: ' ' },
    ],
  },
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithNext', invert: false },
      { type: 'WhitespaceSplit' },
      { type: 'Punctuation', behavior: 'Contiguous' },
      { type: 'Digits', individual_digits: true },
      { type: 'Whitespace' },
    ],
  },
  added_tokens: [{ id: 99, content: 'Film', single_word: true, lstrip: true, rstrip: true, normalized: true }],
}

async function tokenise(path: string, texts: readonly string[]): Promise<void> {
  const tokenizer = await loadTokenizer(path)
  for (const text of texts) {
    const { ids } = tokenizer.encode(text, { maxLength: 20 })
    tokenizer.encodePair(text, text)
    tokenizer.decode(ids, { skipSpecial: true })
  }
}

const tokenizer: Target = {
  name: 'tokenizer.json',
  seeds: async () => [json(whole), json(steps)],
  mutate: changeTree,
  async run(input, folder) {
    const path = join(folder, 'tokenizer.json')
    await writeFile(path, input)
    await tokenise(path, TEXTS)
  },
}

const vocabulary: Target = {
  name: 'vocab.txt',
  seeds: async () => [encode(`${WORDS.join('\n')}\n`), encode([...WORDS, 'Film', 'the'].join('\r\n'))],
  async run(input, folder) {
    const path = join(folder, 'vocab.txt')
    await writeFile(path, input)
    await writeFile(join(folder, 'tokenizer_config.json'), json({ do_lower_case: false, strip_accents: true }))
    await tokenise(path, TEXTS)
  },
}

/** Repeats a character or a piece of the text, up to tens of thousands of times. */
function repeatPiece(input: Uint8Array, random: () => number): Uint8Array {
  const text = [...decode(input)]
  const at = Math.floor(random() * text.length)
  const piece = text.slice(at, at + 1 + Math.floor(random() * 3)).join('')
  return encode([...text.slice(0, at), piece.repeat(Math.floor(random() ** 3 * 20_000)), ...text.slice(at)].join(''))
}

const texts: Target = {
  name: 'text',
  seeds: async () => TEXTS.map(encode),
  mutate: repeatPiece,
  async run(input, folder) {
    for (const [name, value] of [
      ['bert', whole],
      ['steps', steps],
    ] as const) {
      const path = join(folder, `${name}.json`)
      await writeFile(path, json(value))
      await tokenise(path, [decode(input)])
    }
  },
}

const adapter: Target = {
  name: 'adapter_config.json',
  seeds: async () => [
    json({
      peft_type: 'LORA',
      task_type: 'SEQ_CLS',
      r: 2,
      lora_alpha: 4,
      lora_dropout: 0.1,
      target_modules: ['query', 'value'],
      bias: 'none',
    }),
    json({
      peft_type: 'LORA',
      r: 2,
      lora_alpha: 4,
      target_modules: '.*\\.(query|value)',
      exclude_modules: 'x+',
      modules_to_save: ['classifier'],
      rank_pattern: { 'layer\\.0\\..*query': 3 },
      alpha_pattern: { '0.attention.self.value': 8 },
      use_rslora: true,
      loftq_config: {},
    }),
  ],
  mutate: changeTree,
  async run(input, folder) {
    await writeFile(join(folder, 'adapter_config.json'), input)
    const found = await readAdapterConfig(folder)
    const path = join(folder, 'adapter_model.safetensors')
    await writeFile(
      path,
      serialize(
        ['query', 'value'].flatMap(part => {
          const of = `base_model.model.bert.encoder.layer.0.attention.self.${part}`
          return [
            { name: `${of}.lora_A.weight`, dtype: 'F32' as const, shape: [2, 8], data: new Float32Array(16) },
            { name: `${of}.lora_B.weight`, dtype: 'F32' as const, shape: [8, 2], data: new Float32Array(16) },
          ]
        }),
      ),
    )
    await using(await openSafetensors(path), async file => void matchAdapter(model, found, file))
  },
}

const patterns: Target = {
  name: 'lora-targets',
  seeds: async () =>
    ['query,value', 'layer\\.[01]\\..*(key|value)', '(a+)+$', '(.*)*(.|q){20}x', '(?i)QUERY|[^a-z]{2,}\\b'].map(encode),
  async run(input) {
    for (const target of parseTargets(decode(input))) findTargets(model, target)
  },
}

export const modelTargets: readonly Target[] = [
  config,
  safetensors,
  shards,
  tokenizer,
  vocabulary,
  texts,
  adapter,
  patterns,
]
