// The preprocessing steps: what each does alone, and that their order makes sense.
import { describe, expect, test } from 'vitest'
import { type Steps, createPreprocessor } from '../../../train/baseline/steps.ts'
import { englishDictionary } from '../../../train/node/jobs/baseline/saved.ts'

const OFF: Steps = {
  html: false,
  urls: false,
  emojis: false,
  punctuation: true,
  chatWords: false,
  spelling: false,
  lowerCase: false,
  stopWords: 'off',
  lemmatise: false,
  stem: false,
}

async function words(text: string, steps: Partial<Steps> = {}): Promise<string> {
  return (await createPreprocessor({ ...OFF, ...steps }, englishDictionary)).words(text).join(' ')
}

describe('words', () => {
  test('keep apostrophes and accents inside, and are told from marks', async () => {
    const text = `Don’t "trust" Amélie's 2nd film_noir, e\u0301tude!!`
    expect(await words(text)).toBe("Don't trust Amélie's 2nd film_noir e\u0301tude")
    expect(await words(text, { punctuation: false })).toBe(`Don't " trust " Amélie's 2nd film_noir , e\u0301tude ! !`)
  })

  test("of an end that is an apostrophe are without it: 'tis the actors' fault", async () => {
    expect(await words("'tis the actors' fault")).toBe('tis the actors fault')
  })

  test('beyond the first plane are words and marks too, a lone surrogate is neither', async () => {
    expect(await words('\u{20000}\u{20001} 👍x \ud800 y')).toBe('\u{20000}\u{20001} x y')
    expect(await words('a 👍 b', { punctuation: false })).toBe('a 👍 b')
  })
})

describe('each step', () => {
  test('html drops tags, and an entity is decoded only after them', async () => {
    const text = 'Good<br /><br />film &amp; caf&eacute; &lt;b&gt; 3 < 4 <!-- a\nb -->end'
    expect(await words(text, { html: true, punctuation: false })).toBe('Good film & café < b > 3 < 4 end')
    expect(await words('a<br />b')).toBe('a br b')
  })

  test('urls drops addresses of pages and of mail', async () => {
    const text = 'see https://a.b/c?d=1 or www.imdb.com/title, mail me.you+x@site.co.uk now'
    expect(await words(text, { urls: true })).toBe('see or mail now')
  })

  test('emojis become one word each', async () => {
    expect(await words('fun 😀 ❤️👍🏽 👎 # 1', { emojis: true })).toBe('fun grinning heart thumbs_up thumbs_down 1')
  })

  test('chat words are expanded, those that are also words or names only in capitals', async () => {
    expect(await words('AFAIK b4 thx IC ic GAL gal', { chatWords: true })).toBe(
      'as far as I know before thanks I see ic get a life gal',
    )
  })

  test('spelling mends words in small letters, and leaves names, known words and numbers', async () => {
    expect(await words('I recieve Spielbergg definately a dvd3 film', { spelling: true })).toBe(
      'I receive Spielbergg definitely a dvd3 film',
    )
  })

  test('stop words are dropped, with or without the negations', async () => {
    const text = "It was NOT the best, I'm never sure, they don't know"
    expect(await words(text, { stopWords: 'keep-negations' })).toBe("NOT best never sure don't know")
    expect(await words(text, { stopWords: 'all' })).toBe('best sure know')
  })

  test('lemmas and stems', async () => {
    const text = 'movies were happily made'
    expect(await words(text, { lemmatise: true })).toBe('movie be happily make')
    expect(await words(text, { stem: true })).toBe('movi were happili made')
  })
})

describe('the order', () => {
  test('chat words and names are known by capitals before these are lost', async () => {
    expect(await words('IC Spielbergg', { chatWords: true, spelling: true, lowerCase: true })).toBe('i see spielbergg')
  })

  test('stop words are whole words: they go before stems', async () => {
    expect(await words('because of this', { stopWords: 'keep-negations', stem: true })).toBe('')
  })

  test('a lemma is stemmed', async () => {
    expect(await words('better movies', { lemmatise: true, stem: true })).toBe('good movi')
  })

  test('spelling without a dictionary is refused', async () => {
    await expect(createPreprocessor({ ...OFF, spelling: true })).rejects.toThrow('dictionary')
  })
})
