// Text to token ids and back, for BERT's tokenizers: made from a tokenizer.json (tokenizer-file.ts) or a vocab.txt,
// sequences cut to length, and a check that a tokenizer belongs to its model. The pieces are wordpiece.ts'.
import { UserError } from '../engine/errors.ts'
import { needArray, needObjects, needStrings } from '../engine/options.ts'
import { type BertNormalizer, isBertNormalizer } from './bert-text.ts'
import type { ModelConfig } from './config.ts'
import { parseTokenizerFile } from './tokenizer-file.ts'
import { WordPieces } from './wordpiece.ts'

/** One sequence: token ids, and which segment (0 or 1) each belongs to. Both have the same length. */
export interface Encoding {
  readonly ids: number[]
  readonly typeIds: number[]
}

/** An encoding that may have been cut. */
export interface CutEncoding extends Encoding {
  /** Tokens of the whole text or pair with special ones: more than `ids` has if it was cut. */
  readonly tokens: number
}

export interface EncodeOptions {
  /** Longest sequence in tokens, [CLS] and [SEP] included. No limit when left out. */
  readonly maxLength?: number
}

/**
 * What of a pair is cut where it is too long: token by token whichever is longer, or only the second. As Transformers'
 * strategies of these names.
 */
export type PairTruncation = 'longest_first' | 'only_second'

export interface EncodePairOptions extends EncodeOptions {
  /** `longest_first` when left out. */
  readonly truncation?: PairTruncation
}

export interface Tokenizer {
  /** One more than the largest id. */
  readonly vocabSize: number
  readonly padId: number
  readonly unkId: number
  readonly clsId: number
  readonly sepId: number
  /** Not every vocabulary has a mask. */
  readonly maskId: number | undefined
  /** The tokenizer.json that makes this tokenizer again. */
  readonly json: object
  /** [CLS] text [SEP], the text cut at its end where that is too long. */
  encode(text: string, options?: EncodeOptions): CutEncoding
  /**
   * [CLS] first [SEP] second [SEP]. Throws a UserError if only the second may be cut and the first alone is too long.
   */
  encodePair(first: string, second: string, options?: EncodePairOptions): CutEncoding
  /** The text's tokens as written in the vocabulary, without [CLS] and [SEP]. */
  tokens(text: string): string[]
  decode(ids: readonly number[], options?: { readonly skipSpecial?: boolean }): string
}

/** What a `tokenizer_config.json` may say that a `vocab.txt` can't. */
export interface VocabularyOptions {
  /** Lower-case the text and strip its accents. */
  readonly lowercase: boolean
  /** Strip accents whatever `lowercase` says; null or left out follows it. */
  readonly stripAccents?: boolean | null
  /** Chinese characters stand alone. True when left out. */
  readonly splitChinese?: boolean
}

/** From the object in a tokenizer.json. Throws a UserError naming `where`. */
export function tokenizerFromJson(json: unknown, where: string): Tokenizer {
  const file = parseTokenizerFile(json, where)
  const engine = new WordPieces(file)
  const required = (token: string): number => {
    const id = file.vocabulary.get(token)
    if (id === undefined) throw new UserError(`${where} has no ${token} token: not a BERT tokenizer`)
    return id
  }
  const clsId = required('[CLS]')
  const sepId = required('[SEP]')
  const bodyOf = (text: string): number[] => engine.ids(text)
  let largest = -1
  for (const id of file.vocabulary.values()) largest = Math.max(largest, id)

  return {
    vocabSize: largest + 1,
    padId: required('[PAD]'),
    unkId: required('[UNK]'),
    clsId,
    sepId,
    maskId: file.vocabulary.get('[MASK]'),
    json: file.json,
    encode(text, { maxLength = Infinity } = {}) {
      needStrings('encode', { text })
      checkLength(maxLength, 2)
      const body = bodyOf(text)
      const tokens = body.length + 2
      if (body.length > maxLength - 2) body.length = maxLength - 2
      const ids = [clsId, ...body, sepId]
      return { ids, typeIds: new Array<number>(ids.length).fill(0), tokens }
    },
    encodePair(first, second, { maxLength = Infinity, truncation = 'longest_first' } = {}) {
      needStrings('encodePair', { first, second })
      checkLength(maxLength, 3)
      const [a, b] = [bodyOf(first), bodyOf(second)]
      const tokens = a.length + b.length + 3
      const [toFirst, toSecond] = shareOfPair(a.length, b.length, maxLength - 3, truncation)
      a.length = toFirst
      b.length = toSecond
      const ids = [clsId, ...a, sepId, ...b, sepId]
      return { ids, typeIds: ids.map((_, i) => (i < a.length + 2 ? 0 : 1)), tokens }
    },
    tokens(text) {
      needStrings('tokens', { text })
      return engine.tokens(text)
    },
    decode(ids, { skipSpecial = false } = {}) {
      needArray('decode', ids)
      return engine.text(ids, skipSpecial)
    },
  }
}

/** How many tokens of a pair stay, as huggingface/tokenizers shares them. */
function shareOfPair(first: number, second: number, most: number, truncation: PairTruncation): [number, number] {
  if (first + second <= most) return [first, second]
  if (truncation === 'only_second') {
    if (first >= most)
      throw new UserError(`the first text alone has ${first} tokens, and the pair may have ${most}: use longest_first`)
    return [first, most - first]
  }
  const shorter = Math.min(first, second)
  const [less, more] =
    shorter > Math.floor(most / 2) ? [Math.floor(most / 2), Math.ceil(most / 2)] : [shorter, most - shorter]
  return first > second ? [more, less] : [less, more]
}

function checkLength(maxLength: number, least: number): void {
  if (maxLength >= least && (Number.isInteger(maxLength) || maxLength === Infinity)) return
  throw new UserError(`a sequence of at most ${maxLength} tokens leaves no room for its ${least} special ones`)
}

/** From a BERT vocab.txt: one token per line, its id the line's number from 0 on. Throws a UserError naming `where`. */
export function tokenizerFromVocabulary(text: string, options: VocabularyOptions, where: string): Tokenizer {
  needStrings('tokenizerFromVocabulary', { text })
  needObjects('tokenizerFromVocabulary', { options })
  const lines = text.split('\n').map(line => line.replace(/\r$/, ''))
  if (lines.at(-1) === '') lines.pop()
  const idOf = new Map(lines.map((token, id) => [token, id]))
  for (const token of ['[PAD]', '[UNK]', '[CLS]', '[SEP]']) {
    if (!idOf.has(token)) throw new UserError(`${where} has no ${token} line, so it is not the vocabulary of a BERT`)
  }
  return tokenizerFromJson(vocabularyJson(idOf, options), where)
}

/** What `model` of a tokenizer.json has in common for all BERT tokenizers. */
const MODEL_OF_BERT = {
  type: 'WordPiece',
  unk_token: '[UNK]',
  continuing_subword_prefix: '##',
  max_input_chars_per_word: 100,
} as const

/** The normalizer of a BERT tokenizer with these options. */
export const bertNormalizer = ({
  lowercase,
  stripAccents,
  splitChinese,
}: VocabularyOptions): BertNormalizer & Record<string, unknown> => ({
  type: 'BertNormalizer',
  clean_text: true,
  handle_chinese_chars: splitChinese ?? true,
  strip_accents: stripAccents ?? null,
  lowercase,
})

/**
 * The flags of a BERT tokenizer's tokenizer.json; undefined if its steps are not BERT's, or it splits words in another
 * way.
 */
export function flagsOfBert(json: object): Required<VocabularyOptions> | undefined {
  const {
    normalizer,
    pre_tokenizer: splitter,
    model,
  } = json as { normalizer?: unknown; pre_tokenizer?: { type?: unknown } | null; model?: object }
  if (!isBertNormalizer(normalizer) || normalizer.clean_text !== true || splitter?.type !== 'BertPreTokenizer')
    return undefined
  const fields: Record<string, unknown> = { ...MODEL_OF_BERT, ...model }
  if (Object.entries(MODEL_OF_BERT).some(([name, value]) => fields[name] !== value)) return undefined
  const {
    lowercase = false,
    strip_accents: stripAccents = null,
    handle_chinese_chars: splitChinese = false,
  } = normalizer
  return { lowercase, stripAccents, splitChinese }
}

/**
 * A tokenizer.json as Transformers' classes for BERT take it: the tokens are the file's, all else is BERT's, by these
 * flags. Gives the same object where nothing differs; what is not a tokenizer.json of word pieces is left as it is.
 */
export function withFlags(json: unknown, flags: VocabularyOptions): unknown {
  if (
    typeof json !== 'object' ||
    json === null ||
    !('model' in json) ||
    typeof json.model !== 'object' ||
    json.model === null
  )
    return json
  const { model } = json
  if ('type' in model && model.type !== 'WordPiece') return json
  const wanted = bertNormalizer(flags)
  const found = flagsOfBert(json)
  if (found && JSON.stringify(bertNormalizer(found)) === JSON.stringify(wanted)) return json
  return {
    ...json,
    normalizer: wanted,
    pre_tokenizer: { type: 'BertPreTokenizer' },
    model: { ...model, ...MODEL_OF_BERT },
  }
}

/** Whether a vocabulary keeps capitals: one that does has tokens with them, beside those in brackets. */
export function looksCased(vocabulary: string): boolean {
  return vocabulary.split('\n').some(token => !token.startsWith('[') && token !== token.toLowerCase())
}

function vocabularyJson(idOf: ReadonlyMap<string, number>, options: VocabularyOptions): object {
  const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'].filter(token => idOf.has(token))
  const piece = (id: string, typeId: number) => ({ SpecialToken: { id, type_id: typeId } })
  const sequence = (id: string, typeId: number) => ({ Sequence: { id, type_id: typeId } })
  const template = (token: string) => ({ id: token, ids: [idOf.get(token)], tokens: [token] })
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: special.map(content => ({
      id: idOf.get(content),
      content,
      special: true,
      normalized: false,
      single_word: false,
      lstrip: false,
      rstrip: false,
    })),
    normalizer: bertNormalizer(options),
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [piece('[CLS]', 0), sequence('A', 0), piece('[SEP]', 0)],
      pair: [piece('[CLS]', 0), sequence('A', 0), piece('[SEP]', 0), sequence('B', 1), piece('[SEP]', 1)],
      special_tokens: { '[CLS]': template('[CLS]'), '[SEP]': template('[SEP]') },
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: { ...MODEL_OF_BERT, vocab: Object.fromEntries(idOf) },
  }
}

/**
 * Sees that the model has an embedding for every token; it may have more, as tables that are rounded up to a round size
 * do. Throws a UserError naming both, and both sizes.
 */
export function checkVocabulary(
  tokenizer: Pick<Tokenizer, 'vocabSize'>,
  config: Pick<ModelConfig, 'vocabSize' | 'name'>,
  where: string,
): void {
  const { vocabSize } = tokenizer
  if (vocabSize <= config.vocabSize) return
  throw new UserError(
    `${where} is a tokenizer of ${vocabSize} tokens, but the model ${config.name} has a vocabulary of ${config.vocabSize}`,
  )
}
