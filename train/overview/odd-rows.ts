// Rows that a person would want to look at before training: texts without words, of one word, with characters that show
// a wrong encoding, far longer than the others, or in another script than the others.
import { TAG } from './words.ts'

/** What is odd about a text, by name, in the order in which it is shown. */
export const ODDITIES = {
  wordless: 'no letter and no digit (only markup, white space or punctuation)',
  'one-word': 'a single word',
  controls: 'control characters (U+0000 to U+001F but tab and line ends, or U+007F)',
  'windows-1252': 'U+0080 to U+009F: Windows-1252 read as Latin-1',
  replacement: 'U+FFFD, which stands for what could not be decoded',
  mojibake: 'UTF-8 read as Windows-1252 or Latin-1, such as "Ã©" for "é"',
  invisible: 'invisible characters (zero width, direction marks, byte order mark)',
  long: 'more than 10 times as long as the median text',
  script: 'mostly in another script than most texts',
  tags: 'HTML tags',
  entities: 'HTML entities',
  urls: 'addresses of web pages',
} as const
export type Oddity = keyof typeof ODDITIES

/** A text is long from this many times the median on. */
const LONG = 10

const WORD_CHARACTER = /[\p{L}\p{N}]/u
/** Characters that a text in UTF-8 begins a sequence with, followed by what continues it, each read as one byte. */
const MOJIBAKE =
  /[\u00c2\u00c3][\u0080-\u00bf]|\u00e2\u20ac[\u0080-\u00bf\u2018-\u2026\u02c6\u02dc\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u2122]|\u00e2\u0080[\u0080-\u00bf]|\u00ef\u00bb\u00bf/
const PATTERNS: readonly (readonly [Oddity, RegExp])[] = [
  // eslint-disable-next-line no-control-regex
  ['controls', /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/],
  ['windows-1252', /[\u0080-\u009f]/],
  ['replacement', /\ufffd/],
  ['mojibake', MOJIBAKE],
  ['invisible', /[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]/],
  ['tags', new RegExp(TAG.source, 'is')],
  ['entities', /&(?:[a-z][a-z0-9]{1,31}|#\d{1,7}|#x[0-9a-f]{1,6});/i],
  ['urls', /\bhttps?:\/\/|\bwww\.[a-z0-9]/i],
]

/** Oddities that a text has by itself; `words` is how many it has. */
export function odditiesOf(text: string, words: number): Oddity[] {
  const found = PATTERNS.filter(([, pattern]) => pattern.test(text)).map(([name]) => name)
  if (!WORD_CHARACTER.test(found.includes('tags') ? text.replace(TAG, ' ') : text)) found.push('wordless')
  else if (words === 1) found.push('one-word')
  return found
}

/** Scripts that are told apart; `Other` is any other. */
const SCRIPTS = [
  'Latin',
  'Cyrillic',
  'Greek',
  'Han',
  'Hiragana',
  'Katakana',
  'Hangul',
  'Arabic',
  'Hebrew',
  'Devanagari',
  'Bengali',
  'Tamil',
  'Thai',
  'Armenian',
  'Georgian',
] as const
/** Scripts that are written together, by the name of one. */
const TOGETHER: Readonly<Record<string, string>> = { Hiragana: 'Japanese', Katakana: 'Japanese' }
const MATCHERS = SCRIPTS.map(name => ({
  name: TOGETHER[name] ?? name,
  pattern: new RegExp(`\\p{Script=${name}}`, 'gu'),
}))
/** Letters that no script but Latin has, and signs: nothing to count. */
const LATIN_ONLY = /^[\u0000-\u036f\u1e00-\u1eff\u2000-\u218f\u2200-\u22ff]*$/u

/** The script that most letters of a text are of; undefined if it has none. */
export function scriptOf(text: string): string | undefined {
  if (LATIN_ONLY.test(text)) return /\p{L}/u.test(text) ? 'Latin' : undefined
  const counts = new Map<string, number>()
  let known = 0
  for (const { name, pattern } of MATCHERS) {
    const count = text.match(pattern)?.length ?? 0
    known += count
    if (count > 0) counts.set(name, (counts.get(name) ?? 0) + count)
  }
  const letters = text.match(/\p{L}/gu)?.length ?? 0
  if (letters > known) counts.set('Other', letters - known)
  // Japanese is written with Han characters, too.
  if (counts.has('Japanese') && counts.has('Han')) {
    counts.set('Japanese', (counts.get('Japanese') ?? 0) + (counts.get('Han') ?? 0))
    counts.delete('Han')
  }
  const [most] = [...counts].sort(([a, some], [b, others]) => others - some || (a < b ? -1 : 1))
  return most?.[0]
}

/** The lengths from which on texts are long, given the median. */
export const longFrom = (median: number): number => LONG * median
