// What is done to a text before its words are counted. Each step is on or off; they run in this order, whichever are
// on, because later ones rely on earlier ones:
//
// 1. html         tags become blanks, entities what they stand for: `&lt;br&gt;` is a tag only after it is decoded, and
//                 stays text
// 2. urls         addresses of pages and of mail become blanks, while they are still whole
// 3. emojis       become their names, before their code points are split
// 4. (always)     the text is split into words and single punctuation marks; `punctuation` drops the marks
// 5. chatWords    AFAIK → as far as I know; some abbreviations are known by their capitals alone
// 6. spelling     only words in small letters: one with a capital may be a name, which no dictionary has
// 7. lowerCase
// 8. stopWords    by whole words in small letters, so before anything shortens them
// 9. lemmatise    movies → movie, was → be
// 10. stem        movies → movi; after lemmas, which are words that a stemmer understands
//
// From step 5 on a word's fate depends on the word alone, so it is decided once for each different word.
import { chatWords } from './chat-words.ts'
import { visitWords } from './words.ts'

export const STOP_WORDS = ['off', 'keep-negations', 'all'] as const

export interface Steps {
  readonly html: boolean
  readonly urls: boolean
  readonly emojis: boolean
  /** Punctuation marks are dropped. */
  readonly punctuation: boolean
  readonly chatWords: boolean
  readonly spelling: boolean
  readonly lowerCase: boolean
  /** `keep-negations` drops stop words but not, no, never and the like; `all` drops those too. */
  readonly stopWords: (typeof STOP_WORDS)[number]
  readonly lemmatise: boolean
  readonly stem: boolean
}

/** A Hunspell dictionary, which spelling is corrected by. */
export interface Dictionary {
  readonly aff: Uint8Array
  readonly dic: Uint8Array
}

/** Texts to words. */
export interface Preprocessor {
  /** The words of a text after all steps, in order; punctuation marks are words too. */
  words(text: string): string[]
}

/** The stop words that `keep-negations` keeps, beside those that end in `n't`. */
const NEGATIONS = ['no', 'not', 'nor', 'never', 'none', 'nobody', 'nothing', 'nowhere', 'neither', 'cannot', 'without']
/** Endings of contractions that are stop words with what they belong to: I'm, you're, it's. */
const CONTRACTED = /^(i|you|he|she|it|we|they|that|there|here|what|who)['’](m|re|s|ve|ll|d)$/
const NEGATED = /n['’]t$/

/** How many different words are remembered: all of a large corpus, and yet a stream without end fills no memory. */
const MOST_REMEMBERED = 2_000_000

/**
 * Loads only the packages that the steps need. `dictionary` is called if spelling is corrected; a browser and Node load
 * it in different ways.
 */
export async function createPreprocessor(steps: Steps, dictionary?: () => Promise<Dictionary>): Promise<Preprocessor> {
  const onText = (await Promise.all([htmlStep(steps), urlStep(steps), emojiStep(steps)])).filter(
    step => step !== undefined,
  )
  const onWord = await wordStep(steps, dictionary)
  const remembered = new Map<string, readonly string[]>()
  return {
    words(text) {
      let cleaned = text
      for (const step of onText) cleaned = step(cleaned)
      const words: string[] = []
      visitWords(cleaned, !steps.punctuation, (token, isWord) => {
        let answer = remembered.get(token)
        if (answer === undefined) {
          // Copied, not cut: a piece of a text keeps all of the text in memory.
          const own = token.split('').join('')
          answer = isWord ? onWord(own) : [own]
          if (remembered.size >= MOST_REMEMBERED) remembered.clear()
          remembered.set(own, answer)
        }
        for (const word of answer) words.push(word)
      })
      return words
    },
  }
}

type TextStep = (text: string) => string

async function htmlStep({ html }: Steps): Promise<TextStep | undefined> {
  if (!html) return undefined
  const { decodeHTML } = await import('entities')
  return text => {
    const bare = text.includes('<') ? text.replaceAll(/<!--.*?-->|<\/?[a-z][^<>]*>/gis, ' ') : text
    return bare.includes('&') ? decodeHTML(bare) : bare
  }
}

const ADDRESS = /\b(?:https?:\/\/|ftp:\/\/|www\.)[^\s<>"]+|\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+/gi

async function urlStep({ urls }: Steps): Promise<TextStep | undefined> {
  return urls ? text => text.replaceAll(ADDRESS, ' ') : undefined
}

async function emojiStep({ emojis }: Steps): Promise<TextStep | undefined> {
  if (!emojis) return undefined
  const [{ default: emojiRegex }, { which }] = await Promise.all([import('emoji-regex'), import('node-emoji')])
  const pattern = emojiRegex()
  return text => {
    // Most texts have no character beyond Latin: a cheap test first.
    if (!/[\u2000-\u{10ffff}]/u.test(text)) return text
    return text.replaceAll(pattern, emoji => ` ${emojiName(which(emoji))} `)
  }
}

/** A name as one word; `+1` and `-1`, which have no letters, by what they show. */
function emojiName(name: string | undefined): string {
  if (name === '+1') return 'thumbs_up'
  if (name === '-1') return 'thumbs_down'
  return (name ?? 'emoji').replaceAll(/[^\p{L}\p{N}]+/gu, '_')
}

/** All steps from the fifth on: the words that a word becomes. */
async function wordStep(
  steps: Steps,
  dictionary?: () => Promise<Dictionary>,
): Promise<(word: string) => readonly string[]> {
  const correct = await spellingStep(steps, dictionary)
  const isStopWord = await stopWordStep(steps)
  const lemma = await lemmaStep(steps)
  const stem = steps.stem ? (await import('wink-porter2-stemmer')).default : undefined
  const one = (word: string): string | undefined => {
    const spelled = correct ? correct(word) : word
    const lower = steps.lowerCase ? spelled.toLowerCase() : spelled
    if (isStopWord?.(lower)) return undefined
    const base = lemma ? lemma(lower) : lower
    return stem ? stem(base) : base
  }
  return token => {
    const plain = token.replaceAll('’', "'")
    const words = (steps.chatWords ? chatWords(plain) : undefined) ?? [plain]
    return words.map(one).filter((word): word is string => word !== undefined && word !== '')
  }
}

async function spellingStep(
  { spelling }: Steps,
  dictionary?: () => Promise<Dictionary>,
): Promise<((word: string) => string) | undefined> {
  if (!spelling) return undefined
  if (!dictionary) throw new TypeError('Spelling is corrected by a dictionary, and none was given')
  const { default: nspell } = await import('nspell')
  const { aff, dic } = await dictionary()
  const decoder = new TextDecoder()
  const checker = nspell({ aff: decoder.decode(aff), dic: decoder.decode(dic) })
  return word => {
    if (!/^\p{Ll}[\p{Ll}']{2,19}$/u.test(word) || checker.correct(word)) return word
    // A correction in two words or with a hyphen would not be one of the words that are counted.
    return checker.suggest(word).find(other => /^[\p{L}']+$/u.test(other)) ?? word
  }
}

async function stopWordStep({ stopWords }: Steps): Promise<((word: string) => boolean) | undefined> {
  if (stopWords === 'off') return undefined
  const { eng } = await import('stopword')
  const negations = new Set(NEGATIONS)
  const listed = new Set(stopWords === 'all' ? [...eng, ...NEGATIONS] : eng.filter(word => !negations.has(word)))
  return word => {
    const lower = word.toLowerCase()
    if (NEGATED.test(lower)) return stopWords === 'all'
    return listed.has(lower) || CONTRACTED.test(lower)
  }
}

async function lemmaStep({ lemmatise }: Steps): Promise<((word: string) => string) | undefined> {
  if (!lemmatise) return undefined
  const { default: lemmatizer } = await import('wink-lemmatizer')
  // Without parts of speech: the first that knows another form of the word.
  const kinds = [lemmatizer.noun, lemmatizer.verb, lemmatizer.adjective]
  return word => {
    for (const kind of kinds) {
      const lemma = kind(word)
      if (lemma !== word) return lemma
    }
    return word
  }
}
