// What of a tokenizer.json is read, checked field by field: WordPiece models with the steps that may come before them.
// The file comes from strangers, so sizes have bounds, patterns go to RE2, and what is not known is refused by name.
import { z } from 'zod'
import { UserError } from '../engine/errors.ts'
import { MARK_OF_PUNCTUATION, isBertNormalizer, lowerCase, normalize, splitWords } from './bert-text.ts'
import { normalForm } from './normal-form.ts'
import { Pattern } from './patterns.ts'
import { plainIssue } from './plain-issue.ts'
import { show } from './show.ts'

/** A token that is found in the text before it is cut into words. */
export interface AddedToken {
  readonly content: string
  readonly id: number
  readonly special: boolean
  /** Looked for in the normalised text, not in the text as it is. */
  readonly normalized: boolean
  /** Only between characters that belong to no word. */
  readonly single_word: boolean
  /** Takes the white space on its left (right) along. */
  readonly lstrip: boolean
  readonly rstrip: boolean
}

/** A tokenizer.json, ready for use. */
export interface TokenizerFile {
  /** The file's own value. */
  readonly json: object
  /** Ids by token, those of added tokens included. */
  readonly vocabulary: ReadonlyMap<string, number>
  readonly tokenOf: ReadonlyMap<number, string>
  readonly added: readonly AddedToken[]
  readonly unknown: string
  /** What later pieces of a word begin with, `##`. */
  readonly prefix: string
  /** Longer words, in code points, are unknown. */
  readonly longestWord: number
  readonly normalize: (text: string) => string
  readonly split: (text: string) => string[]
  /** How tokens become text; undefined where the file does not say. */
  readonly decoder: { readonly prefix: string; readonly cleanup: boolean } | undefined
}

/** One more than the largest id, at most; as many as a model's vocabulary may have. */
const MOST_IDS = 10_000_000
const MOST_ADDED = 100_000
/** Longest added token, in UTF-16 units: every place of a text is compared with it. */
const LONGEST_ADDED = 256
const LONGEST_WORD = 1_000
/** Steps of a sequence, and sequences within sequences. */
const MOST_STEPS = 100

const flag = z.boolean().optional()
const addedToken = z.object({
  content: z.string().max(LONGEST_ADDED, `at most ${LONGEST_ADDED} characters are supported`),
  id: z.int().min(0).lt(MOST_IDS, `ids below ${MOST_IDS} are supported`),
  special: flag,
  normalized: flag,
  single_word: flag,
  lstrip: flag,
  rstrip: flag,
})
const wordPiece = z.object({
  unk_token: z.string().default('[UNK]'),
  continuing_subword_prefix: z.string().default('##'),
  max_input_chars_per_word: z.int().min(1).max(LONGEST_WORD, `at most ${LONGEST_WORD} is supported`).default(100),
})
const bertNormalizer = z.object({
  clean_text: flag,
  handle_chinese_chars: flag,
  strip_accents: z.boolean().nullish(),
  lowercase: flag,
})
const strip = z.object({ strip_left: z.boolean(), strip_right: z.boolean() })
const replace = z.object({
  pattern: z.unknown(),
  content: z.string().max(1_000, 'at most 1000 characters are supported'),
})
const behaviors = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const
const behavior = z.enum(behaviors, { error: ({ input }) => `${show(input)} is not one of ${behaviors.join(', ')}` })
const splitStep = z.object({ pattern: z.unknown(), behavior, invert: flag })
const decoder = z.object({ prefix: z.string().default('##'), cleanup: z.boolean().default(true) })
const piece = z.union([
  z.object({ SpecialToken: z.object({ id: z.string(), type_id: z.int().min(0).max(1) }) }),
  z.object({ Sequence: z.object({ id: z.enum(['A', 'B']), type_id: z.int().min(0).max(1) }) }),
])
const special = z.object({
  id: z.string(),
  ids: z.array(z.int().min(0)).max(100),
  tokens: z.array(z.string()).max(100),
})
const template = z.object({
  single: z.array(piece).max(100),
  pair: z.array(piece).max(100),
  special_tokens: z.record(z.string(), special),
})
const token = z.tuple([z.string(), z.int().min(0)])
const processing = z.object({ sep: token, cls: token })

/** Reads the value of a tokenizer.json. Throws a UserError that names `where` and the field. */
export function parseTokenizerFile(json: unknown, where: string): TokenizerFile {
  if (!isObject(json)) throw new UserError(`${where} is not a tokenizer.json: it has no model`)
  const {
    model,
    added_tokens: tokens = [],
    normalizer = null,
    pre_tokenizer: splitter = null,
    decoder: decoding = null,
  } = json
  if (!isObject(model)) throw new UserError(`${where} is not a tokenizer.json: it has no model`)
  if (model.type !== undefined && model.type !== 'WordPiece') {
    throw new UserError(
      `${where}: model.type ${show(model.type)} is not supported, only "WordPiece", which BERT's tokenizers are`,
    )
  }
  const read = reader(where)
  const fields = read(wordPiece, model, 'model')
  const { vocabulary, tokenOf } = readVocabulary(model.vocab, where)
  const added = readAdded(tokens, vocabulary, tokenOf, read, where)
  if (!vocabulary.has(fields.unk_token)) {
    throw new UserError(`${where}: model.unk_token ${show(fields.unk_token)} is not in the vocabulary`)
  }
  checkPostProcessor(json.post_processor ?? null, read, 'post_processor', where)
  if (decoding !== null && typeOf(decoding, 'decoder', where) !== 'WordPiece') {
    throw new UserError(
      `${where}: decoder.type ${show(typeOf(decoding, 'decoder', where))} is not supported, only "WordPiece"`,
    )
  }
  const steps = { read, where, left: MOST_STEPS }
  const normalizing = normalizerOf(normalizer, 'normalizer', steps)
  const splitting = splitterOf(splitter, 'pre_tokenizer', steps)
  return {
    json,
    vocabulary,
    tokenOf,
    added,
    unknown: fields.unk_token,
    prefix: fields.continuing_subword_prefix,
    longestWord: fields.max_input_chars_per_word,
    normalize: normalizing,
    split: text => splitting(text).filter(part => part !== ''),
    decoder: decoding === null ? undefined : read(decoder, decoding, 'decoder'),
  }
}

type Read = <T extends z.ZodType>(schema: T, value: unknown, path: string) => z.output<T>

function reader(where: string): Read {
  return (schema, value, path) => {
    const result = schema.safeParse(value, { error: plainIssue })
    if (result.success) return result.data
    const [issue] = result.error.issues
    throw new UserError(`${where}: ${[path, ...issue.path].join('.')}: ${issue.message}`)
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function typeOf(value: unknown, path: string, where: string): unknown {
  if (!isObject(value)) throw new UserError(`${where}: ${path}: ${show(value)} is not an object`)
  return value.type
}

/** By hand, which is several times faster than a schema for the tens of thousands of tokens that there are. */
function readVocabulary(
  vocab: unknown,
  where: string,
): { vocabulary: Map<string, number>; tokenOf: Map<number, string> } {
  if (!isObject(vocab)) throw new UserError(`${where}: model.vocab is not an object of ids by token`)
  const vocabulary = new Map<string, number>()
  const tokenOf = new Map<number, string>()
  for (const [token, id] of Object.entries(vocab)) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= MOST_IDS) {
      throw new UserError(
        `${where}: model.vocab: ${show(token)} has the id ${show(id)}; whole numbers from 0 to ${MOST_IDS - 1} are ids`,
      )
    }
    const other = tokenOf.get(id)
    if (other !== undefined)
      throw new UserError(`${where}: model.vocab: ${show(other)} and ${show(token)} both have the id ${id}`)
    tokenOf.set(id, token)
    vocabulary.set(token, id)
  }
  return { vocabulary, tokenOf }
}

/** Adds them to the vocabulary, which may have them already. */
function readAdded(
  tokens: unknown,
  vocabulary: Map<string, number>,
  tokenOf: Map<number, string>,
  read: Read,
  where: string,
): AddedToken[] {
  if (tokens === null) return []
  if (!Array.isArray(tokens) || tokens.length > MOST_ADDED) {
    throw new UserError(`${where}: added_tokens is not a list of at most ${MOST_ADDED} tokens`)
  }
  return tokens.map((value: unknown, i) => {
    const path = `added_tokens.${i}`
    const {
      content,
      id,
      special = false,
      normalized = !special,
      single_word = false,
      lstrip = false,
      rstrip = false,
    } = read(addedToken, value, path)
    const known = vocabulary.get(content)
    if (known !== undefined && known !== id) {
      throw new UserError(`${where}: ${path}: ${show(content)} has the id ${id} here and ${known} elsewhere`)
    }
    const other = tokenOf.get(id)
    if (other !== undefined && other !== content) {
      throw new UserError(`${where}: ${path}: ${show(content)} has the id ${id}, which is that of ${show(other)}`)
    }
    vocabulary.set(content, id)
    tokenOf.set(id, content)
    return { content, id, special, normalized, single_word, lstrip, rstrip }
  })
}

/** Nothing here goes by the post-processor, BERT's being known; but it is saved again, for others to read. */
function checkPostProcessor(value: unknown, read: Read, path: string, where: string, depth = 0): void {
  if (value === null) return
  const type = typeOf(value, path, where)
  const { processors } = value as { processors?: unknown }
  if (type === 'TemplateProcessing') read(template, value, path)
  else if (type === 'BertProcessing' || type === 'RobertaProcessing') read(processing, value, path)
  else if (type === 'Sequence' && Array.isArray(processors) && processors.length <= MOST_STEPS && depth < 3) {
    processors.forEach((each, i) => checkPostProcessor(each, read, `${path}.processors.${i}`, where, depth + 1))
  } else if (type !== 'ByteLevel') {
    throw new UserError(
      `${where}: ${path}.type ${show(type)} is not supported, or has no list of at most ${MOST_STEPS} processors`,
    )
  }
}

interface Steps {
  readonly read: Read
  readonly where: string
  /** How many steps there may still be. */
  left: number
}

type Normalizer = (text: string) => string
/** A text to its parts. */
type Splitter = (text: string) => string[]

function normalizerOf(value: unknown, path: string, steps: Steps): Normalizer {
  const { read, where } = steps
  if (value === null) return text => text
  const type = typeOf(value, path, where)
  takeStep(path, steps)
  if (isBertNormalizer(value)) {
    read(bertNormalizer, value, path)
    return text => normalize(text, value)
  }
  switch (type) {
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return text => normalForm(text, type)
    case 'Lowercase':
      return lowerCase
    case 'StripAccents':
      return text => text.replace(/\p{M}/gu, '')
    case 'Strip': {
      const { strip_left: left, strip_right: right } = read(strip, value, path)
      return text => trim(text, left, right)
    }
    case 'Prepend': {
      const { prepend } = read(z.object({ prepend: z.string().max(1_000) }), value, path)
      return text => (text === '' ? '' : prepend + text)
    }
    case 'Replace': {
      const { pattern, content } = read(replace, value, path)
      const matches = matcherOf(pattern, path, steps)
      return text =>
        parts(text, matches)
          .map(({ part, matched }) => (matched ? content : part))
          .join('')
    }
    case 'Sequence': {
      const all = listOf(value, 'normalizers', path, steps).map((each, i) =>
        normalizerOf(each, `${path}.normalizers.${i}`, steps),
      )
      return text => all.reduce((result, step) => step(result), text)
    }
  }
  throw new UserError(`${where}: ${path}.type ${show(type)} is not supported`)
}

const WORD = String.raw`\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200c\u200d`
const WORD_OR_REST = new RegExp(String.raw`([${WORD}])|[^${WORD}\p{White_Space}]|(\p{White_Space})`, 'gu')
const WHITE_SPACE = /\p{White_Space}/gu
const NUMERAL = /\p{N}/gu

function splitterOf(value: unknown, path: string, steps: Steps): Splitter {
  const { read, where } = steps
  if (value === null) return text => [text]
  const type = typeOf(value, path, where)
  takeStep(path, steps)
  switch (type) {
    case 'BertPreTokenizer':
      return splitWords
    case 'WhitespaceSplit':
      return text => split(text, spansOf(WHITE_SPACE), 'Removed')
    case 'Whitespace':
      return wordsAndRest
    case 'Punctuation': {
      const { behavior: how } = read(z.object({ behavior: behavior.default('Isolated') }), value, path)
      return text => split(text, spansOf(MARK_OF_PUNCTUATION), how)
    }
    case 'Digits': {
      const { individual_digits: alone } = read(
        z.object({ individual_digits: z.boolean().default(false) }),
        value,
        path,
      )
      return text => split(text, spansOf(NUMERAL), alone ? 'Isolated' : 'Contiguous')
    }
    case 'Split': {
      const { pattern, behavior: how, invert = false } = read(splitStep, value, path)
      const matches = matcherOf(pattern, path, steps)
      return text => split(text, matches, how, invert)
    }
    case 'Sequence': {
      const all = listOf(value, 'pretokenizers', path, steps).map((each, i) =>
        splitterOf(each, `${path}.pretokenizers.${i}`, steps),
      )
      return text => all.reduce((texts, step) => texts.flatMap(step), [text])
    }
  }
  throw new UserError(`${where}: ${path}.type ${show(type)} is not supported`)
}

function takeStep(path: string, steps: Steps): void {
  if (--steps.left < 0) throw new UserError(`${steps.where}: ${path}: more than ${MOST_STEPS} steps`)
}

function listOf(value: unknown, key: string, path: string, { where }: Steps): unknown[] {
  const list = isObject(value) ? value[key] : undefined
  if (!Array.isArray(list)) throw new UserError(`${where}: ${path}.${key} is not a list`)
  return list
}

/** Where a pattern matches: begins and ends, left to right. */
type Spans = (text: string) => Iterable<readonly [start: number, end: number]>

/** `{ "String": … }` or `{ "Regex": … }`. */
function matcherOf(pattern: unknown, path: string, { where }: Steps): Spans {
  const { String: plain, Regex: expression } = isObject(pattern) ? pattern : {}
  if (typeof expression === 'string') {
    const compiled = Pattern.compile(expression, `${where}: ${path}.pattern`)
    return text => compiled.spans(text)
  }
  if (typeof plain !== 'string') {
    throw new UserError(`${where}: ${path}.pattern: ${show(pattern)} is neither {"String": …} nor {"Regex": …}`)
  }
  return function* (text) {
    if (plain === '') return
    for (let at = text.indexOf(plain); at >= 0; at = text.indexOf(plain, at + plain.length))
      yield [at, at + plain.length]
  }
}

/** Of a pattern that matches one character. */
function spansOf(character: RegExp): Spans {
  const one = new RegExp(character.source, 'u')
  // Most words have no match, which is seen several times faster so.
  return text =>
    one.test(text) ? Array.from(text.matchAll(character), ({ index, 0: { length } }) => [index, index + length]) : []
}

interface Part {
  part: string
  readonly matched: boolean
}

/** The whole text in order, what matches and what does not. */
function parts(text: string, spans: Spans): Part[] {
  const out: Part[] = []
  let done = 0
  for (const [start, end] of spans(text)) {
    if (start > done) out.push({ part: text.slice(done, start), matched: false })
    out.push({ part: text.slice(start, end), matched: true })
    done = end
  }
  if (done < text.length) out.push({ part: text.slice(done), matched: false })
  return out
}

/**
 * As huggingface/tokenizers splits a string (`SplitDelimiterBehavior`); `invert` makes matches of what lies between
 * them.
 */
function split(text: string, spans: Spans, behavior: (typeof behaviors)[number], invert = false): string[] {
  const all = parts(text, spans).map(({ part, matched }) => ({ part, matched: matched !== invert }))
  if (behavior === 'Removed') return all.filter(({ matched }) => !matched).map(({ part }) => part)
  if (behavior === 'Isolated') return all.map(({ part }) => part)
  const backwards = behavior === 'MergedWithNext'
  if (backwards) all.reverse()
  const groups: string[][] = []
  let before: boolean | undefined
  for (const { part, matched } of all) {
    const joins = behavior === 'Contiguous' ? matched === before : matched && before === false
    const last = groups.at(-1)
    if (joins && last) last.push(part)
    else groups.push([part])
    before = matched
  }
  if (backwards) for (const group of groups.reverse()) group.reverse()
  return groups.map(group => group.join(''))
}

/** Runs of characters of words, and runs of all else but white space. */
function wordsAndRest(text: string): string[] {
  const out: string[] = []
  let [start, kind] = [0, '']
  for (const { index, 1: word, 2: space } of text.matchAll(WORD_OR_REST)) {
    const next = word !== undefined ? 'word' : space !== undefined ? '' : 'rest'
    if (next === kind) continue
    if (kind !== '') out.push(text.slice(start, index))
    ;[start, kind] = [index, next]
  }
  if (kind !== '') out.push(text.slice(start))
  return out
}

/** Without white space at its ends; not by a pattern, which looks at every run of white space to its end. */
export function trim(text: string, left: boolean, right: boolean): string {
  const isSpace = (i: number): boolean => /\p{White_Space}/u.test(text[i])
  let [start, end] = [0, text.length]
  if (left) while (start < end && isSpace(start)) start++
  if (right) while (end > start && isSpace(end - 1)) end--
  return text.slice(start, end)
}
