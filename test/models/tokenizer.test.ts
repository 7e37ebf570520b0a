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

describe('other people\'s cases', () => {
  for (const kind of ['uncased', 'cased']) {
    // DistilBERT's tokenizers are BERT's own.
    const groups = Object.entries(golden).filter(([name]) => name.includes(`-${kind}`))
    for (const file of [`bert-base-${kind}-tokenizer.json`, `bert-base-${kind}-vocab.txt`]) {
      test(`${file} gives the tokens, ids and text of every ${kind} case`, async ({ skip }) => {
        if (!existsSync(CASES)) skip(`there is no ${CASES}`)
        const tokenizer = await loadTokenizer(join(SHARED, 'vocab', file))
        const cases = groups.flatMap(([name, group]) => Object.entries(group).map(([title, one]) => ({ name, title, ...one })))
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
    expect(tokenizer.encode('')).toEqual({ ids: [2, 3], typeIds: [0, 0] })
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
    fc.assert(fc.property(texts, fc.integer({ min: 2, max: 20 }), (words, maxLength) => {
      const whole = tokenizer.encode(words.join(' ')).ids
      const { ids, typeIds } = tokenizer.encode(words.join(' '), { maxLength })
      expect(ids).toEqual([...whole.slice(0, -1).slice(0, maxLength - 1), 3])
      expect(typeIds).toEqual(ids.map(() => 0))
    }))
  })

  test('of a pair marks the second text, and cuts the longer one', () => {
    const tokenizer = small()
    expect(tokenizer.encodePair('the film', 'good')).toEqual({ ids: [2, 5, 6, 3, 8, 3], typeIds: [0, 0, 0, 0, 1, 1] })
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
    expect(tokenizerFromVocabulary(VOCABULARY, { lowercase: true, stripAccents: false }, 'v').tokens('É')).toEqual(['é'])
    expect(tokenizerFromVocabulary(VOCABULARY, { lowercase: false }, 'v').tokens('é É')).toEqual(['é', '[UNK]'])
  })

  test('goes by code points, has no final sigma, and keeps special tokens whole', () => {
    const vocabulary = `${VOCABULARY}𠮷\nσα\n##σ\n`
    const lowercase = tokenizerFromVocabulary(vocabulary, { lowercase: true }, 'v')
    expect(lowercase.tokens('𠮷𠮷good ΣΑΣ[SEP]ΣΆΣ')).toEqual(['𠮷', '𠮷', 'good', 'σα', '##σ', '[SEP]', 'σα', '##σ'])
    expect(tokenizerFromVocabulary(vocabulary, { lowercase: true, splitChinese: false }, 'v').tokens('𠮷𠮷good')).toEqual(['[UNK]'])
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
    await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(small().json))
    expect((await loadTokenizer(folder)).vocabSize).toBe(WORDS.length)
  })

  test.each([
    ['missing.json', undefined, 'missing.json does not exist'],
    ['missing.txt', undefined, 'missing.txt does not exist'],
    ['broken.json', '{', 'broken.json is not JSON'],
    ['list.json', '[]', 'list.json is no tokenizer.json: it has no model'],
    ['strange.json', '{"model": {"type": "Elsewise"}}', 'strange.json is no tokenizer.json that can be used'],
    ['bytes.json', '{"model":{"type":"WordPiece","unk_token":"<unk>","vocab":{"<unk>":0}}}', 'has no [CLS] token'],
    ['poem.txt', 'roses\nare\nred\n', 'poem.txt has no [PAD] line, so it is no vocabulary of a BERT'],
  ])('of %s is refused in one line', async (file, text, message) => {
    if (text !== undefined) await writeFile(join(folder, file), text)
    const failure = await loadTokenizer(join(folder, file)).then(() => undefined, (error: unknown) => error)
    expect(failure).toBeInstanceOf(UserError)
    expect(String(failure)).toContain(message)
    expect(String(failure)).not.toContain('\n')
  })
})

describe('a vocabulary', () => {
  const check = (tokens: number, model: number) =>
    checkVocabulary({ vocabSize: tokens }, { vocabSize: model, name: 'some-bert' }, 'tokenizer.json')

  test('of the model fits, also where its table is rounded up', () => {
    for (const [tokens, model] of [[30522, 30522], [30522, 30528], [30522, 30592], [28996, 29000]]) {
      expect(() => check(tokens, model)).not.toThrow()
    }
  })

  test('of another model is refused, with both sizes named', () => {
    expect(() => check(28996, 30522)).toThrow(
      'tokenizer.json is a tokenizer of 28996 tokens, but the model some-bert has a vocabulary of 30522')
    for (const [tokens, model] of [[30522, 28996], [30521, 30522], [30523, 30522], [30522, 30523], [30522, 119547]]) {
      expect(() => check(tokens, model)).toThrow(UserError)
    }
  })
})
