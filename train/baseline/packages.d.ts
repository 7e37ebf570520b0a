// Types of the text packages that have none.

declare module 'nspell' {
  interface Checker {
    correct(word: string): boolean
    suggest(word: string): string[]
  }
  export default function nspell(dictionary: { readonly aff: string; readonly dic: string }): Checker
}

declare module 'stopword' {
  /** English stop words. */
  export const eng: readonly string[]
}

declare module 'wink-porter2-stemmer' {
  /** The stem of a word in small letters. */
  export default function stem(word: string): string
}

declare module 'wink-lemmatizer' {
  type Lemma = (word: string) => string
  const lemmatizer: { readonly noun: Lemma; readonly verb: Lemma; readonly adjective: Lemma }
  export default lemmatizer
}
