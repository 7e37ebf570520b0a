// Tokenizers: other people's cases, cuts to length, vocabularies that do not fit.
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { UserError } from '../../engine/errors.ts'
import { loadTokenizer } from '../../models/node/tokenizer.ts'
import { checkVocabulary, tokenizerFromJson, tokenizerFromVocabulary } from '../../models/tokenizer.ts'
import type { Tokenizer } from '../../models/tokenizer.ts'
import { SHARED } from '../support/shared.ts'

const CASES = join(SHARED, 'golden/wordpiece_cases.json')

const WORDS = '[PAD] [UNK] [CLS] [SEP] [MASK] the film is good bad un ##watch ##able ! é e'.split(' ')
const VOCABULARY = WORDS.join('\n') + '\n'
const small = (): Tokenizer => tokenizerFromVocabulary(VOCABULARY, { lowercase: true }, 'vocab.txt')

interface Case {
  readonly text: string
  readonly tokens: readonly string[]
  readonly ids: readonly number[]
  readonly decoded: string
}

const golden: Record<string, Record<string, Case>> = existsSync(CASES) ? JSON.parse(readFileSync(CASES, 'utf8')) : {}

describe("other people's cases", () => {
  for (const kind of ['uncased', 'cased']) {
    // DistilBERT's tokenizers are BERT's own.
    const groups = Object.entries(golden).filter(([name]) => name.includes(`-${kind}`))
    for (const file of [`bert-base-${kind}-tokenizer.json`, `bert-base-${kind}-vocab.txt`]) {
      test(`${file} gives the tokens, ids and text of every ${kind} case`, async ({ skip }) => {
        if (!existsSync(CASES)) skip(`there is no ${CASES}`)
        const tokenizer = await loadTokenizer(join(SHARED, 'vocab', file))
        const cases = groups.flatMap(([name, group]) =>
          Object.entries(group).map(([title, one]) => ({ name, title, ...one })),
        )
        expect(cases.length).toBeGreaterThan(10)
        const results = cases.map(({ name, title, text }) => {
          const { ids } = tokenizer.encode(text)
          return { name, title, text, tokens: tokenizer.tokens(text), ids, decoded: tokenizer.decode(ids) }
        })
        expect(results).toEqual(cases)
      })
    }
  }
})

describe('encoding', () => {
  test('puts a text between [CLS] and [SEP], in pieces of words', () => {
    const tokenizer = small()
    expect(tokenizer.tokens('The film is UNWATCHABLE!')).toEqual(['the', 'film', 'is', 'un', '##watch', '##able', '!'])
    expect(tokenizer.encode('The film is unwatchable!').ids).toEqual([2, 5, 6, 7, 10, 11, 12, 13, 3])
    expect(tokenizer.encode('terrible').ids).toEqual([2, 1, 3])
    expect(tokenizer.encode('')).toEqual({ ids: [2, 3], typeIds: [0, 0], tokens: 2 })
    expect(tokenizer.decode([2, 5, 6, 10, 11, 12, 3])).toBe('[CLS] the film unwatchable [SEP]')
    expect(tokenizer.decode([2, 5, 6, 10, 11, 12, 3], { skipSpecial: true })).toBe('the film unwatchable')
    expect(tokenizer.decode([])).toBe('')
  })

  test('gives the same ids the second time', () => {
    const tokenizer = small()
    const text = 'the unwatchable film is the bad unwatchable terrible film'
    expect(tokenizer.encode(text)).toEqual(tokenizer.encode(text))
    expect(tokenizer.encode(text)).toEqual(small().encode(text))
  })

  test('cut to a length keeps [CLS], [SEP] and as much of the beginning as fits', () => {
    const tokenizer = small()
    const texts = fc.array(fc.constantFrom('the', 'film', 'unwatchable', 'xyz'))
    fc.assert(
      fc.property(texts, fc.integer({ min: 2, max: 20 }), (words, maxLength) => {
        const whole = tokenizer.encode(words.join(' ')).ids
        const { ids, typeIds, tokens } = tokenizer.encode(words.join(' '), { maxLength })
        expect(ids).toEqual([...whole.slice(0, -1).slice(0, maxLength - 1), 3])
        expect(typeIds).toEqual(ids.map(() => 0))
        expect(tokens).toBe(whole.length)
      }),
    )
  })

  test('of a pair marks the second text, and cuts the longer one', () => {
    const tokenizer = small()
    expect(tokenizer.encodePair('the film', 'good')).toEqual({
      ids: [2, 5, 6, 3, 8, 3],
      typeIds: [0, 0, 0, 0, 1, 1],
      tokens: 6,
    })
    expect(tokenizer.encodePair('the film is good', 'bad !', { maxLength: 7 }).ids).toEqual([2, 5, 6, 3, 9, 13, 3])
    expect(tokenizer.encodePair('bad', 'the film is good', { maxLength: 6 }).ids).toEqual([2, 9, 3, 5, 6, 3])
  })

  test('to a length without room for the special tokens is refused', () => {
    expect(() => small().encode('the', { maxLength: 1 })).toThrow(UserError)
    expect(() => small().encodePair('the', 'film', { maxLength: 2 })).toThrow(UserError)
    expect(() => small().encode('the', { maxLength: 4.5 })).toThrow(UserError)
  })

  test('strips accents with the case, and keeps them without', () => {
    expect(tokenizerFromVocabulary(VOCABULARY, { lowercase: true }, 'v').tokens('É')).toEqual(['e'])
    expect(tokenizerFromVocabulary(VOCABULARY, { lowercase: true, stripAccents: false }, 'v').tokens('É')).toEqual([
      'é',
    ])
    expect(tokenizerFromVocabulary(VOCABULARY, { lowercase: false }, 'v').tokens('é É')).toEqual(['é', '[UNK]'])
  })

  test('goes by code points, has no final sigma, and keeps special tokens whole', () => {
    const vocabulary = `${VOCABULARY}𠮷\nσα\n##σ\n`
    const lowercase = tokenizerFromVocabulary(vocabulary, { lowercase: true }, 'v')
    expect(lowercase.tokens('𠮷𠮷good ΣΑΣ[SEP]ΣΆΣ')).toEqual(['𠮷', '𠮷', 'good', 'σα', '##σ', '[SEP]', 'σα', '##σ'])
    expect(
      tokenizerFromVocabulary(vocabulary, { lowercase: true, splitChinese: false }, 'v').tokens('𠮷𠮷good'),
    ).toEqual(['[UNK]'])
  })

  test('is the same through the tokenizer.json that a vocabulary makes', () => {
    const tokenizer = small()
    const again = tokenizerFromJson(JSON.parse(JSON.stringify(tokenizer.json)), 'tokenizer.json')
    expect(again.encode('the Unwatchable film!')).toEqual(tokenizer.encode('the Unwatchable film!'))
    expect(again.vocabSize).toBe(WORDS.length)
  })
})

describe('loading', () => {
  let folder = ''
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tilegrad-tokenizer-'))
  })
  afterEach(async () => {
    await rm(folder, { recursive: true })
  })

  test('from a folder prefers tokenizer.json, and heeds tokenizer_config.json beside a vocab.txt', async () => {
    await expect(loadTokenizer(folder)).rejects.toThrow(`${folder} has no tokenizer.json and no vocab.txt`)
    // Windows line ends, and no line end at the end of the file.
    await writeFile(join(folder, 'vocab.txt'), [...WORDS, 'Film'].join('\r\n'))
    const cased = await loadTokenizer(folder)
    expect([cased.tokens('Film film'), cased.vocabSize]).toEqual([['Film', 'film'], WORDS.length + 1])
    await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify({ do_lower_case: true, strip_accents: null }))
    expect((await loadTokenizer(folder)).tokens('Film film')).toEqual(['film', 'film'])
    await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify({ do_lower_case: 'yes' }))
    await expect(loadTokenizer(folder)).rejects.toThrow('do_lower_case is "yes"; true or false is expected')
    await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify({ cls_token: '<s>' }))
    await expect(loadTokenizer(folder)).rejects.toThrow(
      'tokenizer_config.json: cls_token "<s>" is not supported, only [CLS]',
    )
    await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify({ cls_token: { content: '[CLS]' } }))
    await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(small().json))
    expect((await loadTokenizer(folder)).vocabSize).toBe(WORDS.length)
  })

  test.each([
    ['missing.json', undefined, 'missing.json does not exist'],
    ['missing.txt', undefined, 'missing.txt does not exist'],
    ['broken.json', '{', 'broken.json is not JSON'],
    ['list.json', '[]', 'list.json is not a tokenizer.json: it has no model'],
    [
      'strange.json',
      '{"model": {"type": "Elsewise"}}',
      'strange.json: model.type "Elsewise" is not supported, only "WordPiece"',
    ],
    ['bytes.json', '{"model":{"type":"WordPiece","unk_token":"<unk>","vocab":{"<unk>":0}}}', 'has no [CLS] token'],
    ['poem.txt', 'roses\nare\nred\n', 'poem.txt has no [PAD] line, so it is not the vocabulary of a BERT'],
  ])('of %s is refused in one line', async (file, text, message) => {
    if (text !== undefined) await writeFile(join(folder, file), text)
    const failure = await loadTokenizer(join(folder, file)).then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(failure).toBeInstanceOf(UserError)
    expect(String(failure)).toContain(message)
    expect(String(failure)).not.toContain('\n')
  })
})

describe('a vocabulary', () => {
  const check = (tokens: number, model: number) =>
    checkVocabulary({ vocabSize: tokens }, { vocabSize: model, name: 'some-bert' }, 'tokenizer.json')

  test('fits a model with as many embeddings, or with more than there are tokens', () => {
    for (const [tokens, model] of [
      [30522, 30522],
      [30522, 30528],
      [30522, 30592],
      [28996, 29000],
      [30522, 50_000],
    ]) {
      expect(() => check(tokens, model)).not.toThrow()
    }
  })

  test('of more tokens than the model has embeddings is refused, with both sizes named', () => {
    expect(() => check(30522, 28996)).toThrow(
      new UserError('tokenizer.json is a tokenizer of 30522 tokens, but the model some-bert has a vocabulary of 28996'),
    )
    expect(() => check(30523, 30522)).toThrow(UserError)
  })
})

/** A tokenizer.json with some of its fields changed; `undefined` leaves one out. */
const changed = (fields: object, model: object = {}): unknown => {
  const json = JSON.parse(JSON.stringify(small().json))
  return { ...json, ...fields, model: { ...json.model, ...model } }
}
const complaint = (json: unknown): string => {
  try {
    tokenizerFromJson(json, 'tokenizer.json')
  } catch (error) {
    expect(error).toBeInstanceOf(UserError)
    return String(error)
  }
  return 'none'
}

describe('a tokenizer.json that cannot be right is refused by file and field', () => {
  const vocab = Object.fromEntries(WORDS.map((word, id) => [word, id]))
  const added = (fields: object) => ({ added_tokens: [{ id: 0, content: '[PAD]', special: true, ...fields }] })
  const bert = { type: 'BertNormalizer' }
  const template = { type: 'TemplateProcessing', single: [], pair: [], special_tokens: {} }
  test.each<[string, unknown, string]>([
    ['a negative id', changed({}, { vocab: { ...vocab, bad: -1 } }), 'model.vocab: "bad" has the id -1;'],
    ['a fractional id', changed({}, { vocab: { ...vocab, bad: 1.5 } }), 'model.vocab: "bad" has the id 1.5;'],
    ['a huge id', changed({}, { vocab: { ...vocab, bad: 4e9 } }), 'model.vocab: "bad" has the id 4000000000;'],
    ['an id that is no number', changed({}, { vocab: { ...vocab, bad: '3' } }), 'model.vocab: "bad" has the id "3";'],
    [
      'an id given twice',
      changed({}, { vocab: { ...vocab, bad: 7 } }),
      'model.vocab: "is" and "bad" both have the id 7',
    ],
    ['a list for a vocabulary', changed({}, { vocab: [] }), 'model.vocab is not an object of ids by token'],
    ['no vocabulary', changed({}, { vocab: undefined }), 'model.vocab is not an object of ids by token'],
    [
      'an unknown token that is none',
      changed({}, { unk_token: 'what' }),
      'model.unk_token "what" is not in the vocabulary',
    ],
    [
      'endless words',
      changed({}, { max_input_chars_per_word: 1e9 }),
      'model.max_input_chars_per_word: at most 1000 is supported',
    ],
    ['another model', changed({}, { type: 'BPE' }), 'model.type "BPE" is not supported, only "WordPiece"'],
    ['added tokens that are no list', changed({ added_tokens: {} }), 'added_tokens is not a list'],
    ['an added token without id', changed(added({ id: undefined })), 'added_tokens.0.id: '],
    ['an added token with a negative id', changed(added({ id: -1 })), 'added_tokens.0.id: '],
    [
      'an added token with a huge id',
      changed(added({ content: 'x', id: 4e9 })),
      'added_tokens.0.id: ids below 10000000',
    ],
    [
      'an added token with two ids',
      changed(added({ id: 3 })),
      'added_tokens.0: "[PAD]" has the id 3 here and 0 elsewhere',
    ],
    [
      "an added token with another's id",
      changed(added({ content: 'x' })),
      'added_tokens.0: "x" has the id 0, which is that of "[PAD]"',
    ],
    [
      'an added token that is long',
      changed(added({ content: 'x'.repeat(1e5), id: 99 })),
      'added_tokens.0.content: at most 256',
    ],
    ['a broken post-processor', changed({ post_processor: 3 }), 'post_processor: 3 is not an object'],
    [
      'a post-processor without pair',
      changed({ post_processor: { ...template, pair: null } }),
      'post_processor.pair: ',
    ],
    [
      'a post-processor of wrong pieces',
      changed({ post_processor: { ...template, single: [{ Sequence: 'A' }] } }),
      'post_processor.single.0',
    ],
    [
      'an unknown post-processor',
      changed({ post_processor: { type: 'x' } }),
      'post_processor.type "x" is not supported',
    ],
    [
      'an unknown decoder',
      changed({ decoder: { type: 'Fuse' } }),
      'decoder.type "Fuse" is not supported, only "WordPiece"',
    ],
    ['a decoder with a wrong prefix', changed({ decoder: { type: 'WordPiece', prefix: 3 } }), 'decoder.prefix: '],
    [
      'a normalizer with a wrong flag',
      changed({ normalizer: { ...bert, lowercase: 'yes' } }),
      'normalizer.lowercase: ',
    ],
    [
      'a normalizer of a wrong type',
      changed({ normalizer: { type: { a: 1 } } }),
      'normalizer.type {"a":1} is not supported',
    ],
    ['a text for a splitter', changed({ pre_tokenizer: 'Bert' }), 'pre_tokenizer: "Bert" is not an object'],
    ['a sequence without list', changed({ normalizer: { type: 'Sequence' } }), 'normalizer.normalizers is not a list'],
    [
      'too many steps',
      changed({ normalizer: { type: 'Sequence', normalizers: Array(1e5).fill(bert) } }),
      'normalizer.normalizers.99: more than 100 steps',
    ],
    [
      'a pattern of neither kind',
      changed({ normalizer: { type: 'Replace', pattern: 3, content: '' } }),
      'normalizer.pattern: 3 is neither',
    ],
    [
      'a pattern that RE2 has not',
      changed({ pre_tokenizer: { type: 'Split', pattern: { Regex: '\\s+(?!\\S)' }, behavior: 'Removed' } }),
      'pre_tokenizer.pattern: "\\\\s+(?!\\\\S)" is not a regular expression in RE2\'s syntax, which has no look-around',
    ],
    [
      'a pattern inside a sequence',
      changed({
        normalizer: {
          type: 'Sequence',
          normalizers: [bert, { type: 'Replace', pattern: { Regex: '(' }, content: '' }],
        },
      }),
      'normalizer.normalizers.1.pattern: "("',
    ],
    [
      'an unknown behaviour',
      changed({ pre_tokenizer: { type: 'Split', pattern: { String: ' ' }, behavior: 'x' } }),
      'pre_tokenizer.behavior: "x" is not one of',
    ],
  ])('%s', (_, json, message) => {
    const text = complaint(json)
    expect(text).toContain(`tokenizer.json: ${message}`)
    expect(text).toMatch(/^[^\n]{1,499}$/)
  })
})

describe('steps before the word pieces', () => {
  const words = [
    '[PAD]',
    '[UNK]',
    '[CLS]',
    '[SEP]',
    'a',
    'b',
    '-',
    'a-',
    '-b',
    'ab',
    '--',
    'x',
    '1',
    '2',
    '12',
    '<t>',
    'é',
    'e',
  ]
  const vocab = Object.fromEntries(words.map((word, id) => [word, id]))
  const tokens = (text: string, steps: object): string[] =>
    tokenizerFromJson(
      { ...(changed({ normalizer: null, pre_tokenizer: null, added_tokens: [] }, { vocab }) as object), ...steps },
      't',
    ).tokens(text)
  const split = (behavior: string, pattern: object = { String: '-' }, invert = false) => ({
    pre_tokenizer: { type: 'Split', pattern, behavior, invert },
  })

  test('split at a text or a pattern, in each of the five ways', () => {
    expect(tokens('a-b', split('Removed'))).toEqual(['a', 'b'])
    expect(tokens('a--b', split('Isolated'))).toEqual(['a', '-', '-', 'b'])
    expect(tokens('a--b', split('Contiguous'))).toEqual(['a', '--', 'b'])
    expect(tokens('a-b', split('MergedWithPrevious'))).toEqual(['a-', 'b'])
    expect(tokens('a-b', split('MergedWithNext'))).toEqual(['a', '-b'])
    expect(tokens('a--b', split('MergedWithNext'))).toEqual(['a', '-', '-b'])
    expect(tokens('a -b', split('Removed', { Regex: '[a-z]' }, true))).toEqual(['a', 'b'])
    expect(tokens('ab12', { pre_tokenizer: { type: 'Digits', individual_digits: false } })).toEqual(['ab', '12'])
    expect(tokens('ab12', { pre_tokenizer: { type: 'Digits', individual_digits: true } })).toEqual(['ab', '1', '2'])
    expect(tokens(' é-- x', { pre_tokenizer: { type: 'Whitespace' } })).toEqual(['é', '--', 'x'])
  })

  test('normalize in sequence', () => {
    const normalizers = [
      { type: 'NFD' },
      { type: 'StripAccents' },
      { type: 'Lowercase' },
      { type: 'Replace', pattern: { Regex: '[xy]+' }, content: 'b' },
      { type: 'Strip', strip_left: true, strip_right: true },
    ]
    expect(tokens('  AXYX ', { normalizer: { type: 'Sequence', normalizers } })).toEqual(['ab'])
    expect(tokens('É', { normalizer: { type: 'Sequence', normalizers } })).toEqual(['e'])
  })

  test('find added tokens first, by their rules', () => {
    const rules = (fields: object) => ({
      added_tokens: [{ content: '<t>', id: 15, ...fields }],
      pre_tokenizer: { type: 'WhitespaceSplit' },
    })
    expect(tokens('a<t>b', rules({}))).toEqual(['a', '<t>', 'b'])
    expect(tokens('a<t>b <t> b', rules({ single_word: true }))).toEqual(['[UNK]', '<t>', 'b'])
    expect(tokens('a<T>b', { ...rules({ normalized: true }), normalizer: { type: 'Lowercase' } })).toEqual([
      'a',
      '<t>',
      'b',
    ])
    expect(tokens('a<T>b', { ...rules({ normalized: false }), normalizer: { type: 'Lowercase' } })).toEqual(['[UNK]'])
  })
})

describe('texts of any size', () => {
  const uncased = small()
  const timed = (text: string): string[] => {
    const start = performance.now()
    const tokens = uncased.tokens(text)
    expect(performance.now() - start).toBeLessThan(10_000)
    return tokens
  }

  test('80,000 combining marks in a row', { timeout: 20_000 }, () => {
    expect(timed(`e${'\u0301\u0323'.repeat(40_000)}`)).toEqual(['e'])
  })

  test('one word of eleven million letters, and a long one between others', { timeout: 20_000 }, () => {
    expect(timed('a'.repeat(11_000_000))).toEqual(['[UNK]'])
    expect(timed(`the ${'a'.repeat(60_000)},${'b'.repeat(60_000)} film`)).toEqual([
      'the',
      '[UNK]',
      '[UNK]',
      '[UNK]',
      'film',
    ])
  })

  test('200,000 words', { timeout: 20_000 }, () => {
    expect(timed('the film '.repeat(100_000))).toHaveLength(200_000)
  })

  test('patterns that would backtrack for ever', { timeout: 20_000 }, () => {
    const evil = { Regex: '(a|a)*$|(a+)+b' }
    const tokenizer = tokenizerFromJson(
      changed({
        normalizer: { type: 'Replace', pattern: evil, content: '' },
        pre_tokenizer: { type: 'Split', pattern: evil, behavior: 'Isolated' },
      }),
      't',
    )
    const start = performance.now()
    expect(tokenizer.tokens(`${'a'.repeat(5_000)}!`).length).toBeGreaterThan(0)
    expect(performance.now() - start).toBeLessThan(5_000)
  })
})
