// What happens to a text before it is cut into word pieces: Hugging Face's BertNormalizer and BertPreTokenizer,
// character for character as the original in Rust (huggingface/tokenizers) has them, in time linear in the text. No
// pattern here repeats without a bound, since a match of some million characters overflows the stack.
import { normalForm } from './normal-form.ts'

/** The fields of a tokenizer.json's BertNormalizer; what is left out is false. */
export interface BertNormalizer {
  readonly type: 'BertNormalizer'
  readonly clean_text?: boolean
  readonly handle_chinese_chars?: boolean
  /** Null or left out follows `lowercase`. */
  readonly strip_accents?: boolean | null
  readonly lowercase?: boolean
}

export function isBertNormalizer(value: unknown): value is BertNormalizer {
  return typeof value === 'object' && value !== null && 'type' in value && value.type === 'BertNormalizer'
}

// The original's tables are of Unicode 8: what later versions call a mark, punctuation or a format character, within
// these ranges, is a letter to it, and four that they have moved elsewhere since are not. Nothing that was one in
// Unicode 8 lies in a range of its kind. The golden in test/golden/tokens has every character.
const LATER_MARKS =
  String.raw`\u07fd\u0897-\u08e1\u09fe\u0afa-\u0aff\u0b55\u0c04-\u0c3c\u0d00\u0d3b-\u0d3c\u0d81\u0eba\u0ece` +
  String.raw`\u180f-\u1886\u1abf-\u1aeb\u1df6-\u1dfb\ua82c\ua8c5\ua8ff\ua9bd\u{10d24}-\u{10f85}\u{11070}-\u{11074}\u{110c2}` +
  String.raw`\u{111c9}\u{111cf}\u{1123e}-\u{11241}\u{1133b}\u{113bb}-\u{1145e}\u{1182f}-\u{1612f}\u{16f4f}\u{16fe4}` +
  String.raw`\u{1cf00}-\u{1cf46}\u{1e000}-\u{1e6f5}\u{1e944}-\u{1e94a}`
const LATER_PUNCTUATION =
  String.raw`\u061d\u09fd-\u0a76\u0c77-\u0c84\u1b4e-\u1b4f\u1b7d-\u1b7f\u2e43-\u2e5d` +
  String.raw`\u{10d6e}-\u{10f89}\u{113d4}-\u{1145d}\u{11660}-\u{116b9}\u{1183b}-\u{11fff}\u{12ff1}-\u{12ff2}` +
  String.raw`\u{16d6d}-\u{16fe2}\u{1e5ff}-\u{1e95f}`
const LATER_FORMATS = String.raw`\u0890-\u08e2\u{110cd}-\u{1343f}`
/** Letters of Unicode 13 and later that have a decomposition; the original has none for them. */
const LATER_COMPOSED =
  String.raw`\u{105c9}\u{105e4}\u{11383}-\u{11391}\u{113c5}-\u{113c8}\u{11938}\u{16121}-\u{16128}` +
  String.raw`\u{16d68}-\u{16d6a}`

const CONTROL = new RegExp(String.raw`\ufffd|(?![\t\n\r${LATER_FORMATS}])[\p{Cc}\p{Cf}\p{Co}\p{Cs}]`, 'gu')
const MARK = new RegExp(String.raw`(?![${LATER_MARKS}])\p{Mn}|[\u1734\u{1171e}]`, 'gu')
const NOT_DECOMPOSED = new RegExp(`([${LATER_COMPOSED}])`, 'u')
const PUNCTUATION = String.raw`(?:(?![${LATER_PUNCTUATION}])[\p{P}!-/:-@\[-\x60{-~]|[\u166d\u{111c9}])`
/** A mark, or a word; of longer words a part. */
const LONGEST_MATCH = 50_000
const WORD = new RegExp(String.raw`${PUNCTUATION}|(?:(?!${PUNCTUATION})\P{White_Space}){1,${LONGEST_MATCH}}`, 'gu')
const BETWEEN = new RegExp(String.raw`${PUNCTUATION}|\p{White_Space}`, 'gu')
/** One punctuation mark, as BERT has them. */
export const MARK_OF_PUNCTUATION = new RegExp(PUNCTUATION, 'gu')
/** The original leaves out U+2B820 to U+2B91F, the beginning of extension E. */
const CHINESE = new RegExp(
  String.raw`[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u{20000}-\u{2a6df}\u{2a700}-\u{2b81f}` +
    String.raw`\u{2b920}-\u{2ceaf}\u{2f800}-\u{2fa1f}]`,
  'gu',
)

/** The text as BertNormalizer gives it: without control characters, Chinese apart, without accents, in lower case. */
export function normalize(
  text: string,
  { clean_text, handle_chinese_chars, strip_accents, lowercase }: BertNormalizer,
): string {
  if (clean_text) text = text.replace(CONTROL, '').replace(/\p{White_Space}/gu, ' ')
  if (handle_chinese_chars) text = text.replace(CHINESE, ' $& ')
  if (strip_accents ?? lowercase) {
    text = text
      .split(NOT_DECOMPOSED)
      .map((part, i) => (i % 2 === 0 ? normalForm(part, 'NFD') : part))
      .join('')
      .replace(MARK, '')
  }
  return lowercase ? lowerCase(text) : text
}

/** Lower case character by character, so that there is no final sigma. */
export function lowerCase(text: string): string {
  return text.replaceAll('Σ', 'σ').toLowerCase()
}

/** The words of a text as BertPreTokenizer gives them: what stands between white space, each punctuation mark alone. */
export function splitWords(text: string): string[] {
  const words = text.match(WORD) ?? []
  return words.some(word => word.length >= LONGEST_MATCH) ? splitLongWords(text) : words
}

/** The same for words of any length, several times slower. */
function splitLongWords(text: string): string[] {
  const words: string[] = []
  let start = 0
  for (const { index, 0: between } of text.matchAll(BETWEEN)) {
    if (index > start) words.push(text.slice(start, index))
    if (/\P{White_Space}/u.test(between)) words.push(between)
    start = index + between.length
  }
  if (start < text.length) words.push(text.slice(start))
  return words
}
