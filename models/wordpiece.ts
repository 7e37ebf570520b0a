// WordPiece (Schuster & Nakajima 2012, as BERT has it): a word is cut, from its beginning, into the longest pieces that
// the vocabulary has. Added tokens are found before that, whole, wherever they stand in the text.
import { trim, type AddedToken, type TokenizerFile } from './tokenizer-file.ts'

/** A word is tokenized once; the memory of it is dropped when it grows past this many words. */
const REMEMBERED_WORDS = 200_000
/** Longer words are not remembered: they do not come again, and would keep their texts alive. */
const LONGEST_REMEMBERED = 100

/** Text to tokens and back, by what a tokenizer.json says. */
export class WordPieces {
  readonly #file: TokenizerFile
  readonly #plain: Finder
  readonly #normalized: Finder
  readonly #longestPiece: number
  readonly #remembered = new Map<string, readonly string[]>()

  constructor(file: TokenizerFile) {
    this.#file = file
    this.#plain = new Finder(file.added.filter(({ normalized }) => !normalized).map(token => [token.content, token]))
    this.#normalized = new Finder(
      file.added.filter(({ normalized }) => normalized).map(token => [file.normalize(token.content), token]),
    )
    let longest = 0
    for (const token of file.vocabulary.keys()) longest = Math.max(longest, token.length)
    this.#longestPiece = longest
  }

  /** The text's tokens, as written in the vocabulary. */
  tokens(text: string): string[] {
    const out: string[] = []
    for (const part of this.#plain.find(text)) {
      if (typeof part !== 'string') {
        out.push(part.content)
        continue
      }
      for (const inner of this.#normalized.find(this.#file.normalize(part))) {
        if (typeof inner !== 'string') out.push(inner.content)
        else for (const word of this.#file.split(inner)) for (const piece of this.#pieces(word)) out.push(piece)
      }
    }
    return out
  }

  ids(text: string): number[] {
    const { vocabulary } = this.#file
    return this.tokens(text).map(token => vocabulary.get(token) ?? -1)
  }

  /** Ids that no token has are unknown. */
  text(ids: readonly number[], skipSpecial: boolean): string {
    const { tokenOf, unknown, decoder, added } = this.#file
    const skipped = new Set(skipSpecial ? added.filter(({ special }) => special).map(({ content }) => content) : [])
    const tokens = ids.map(id => tokenOf.get(id) ?? unknown).filter(token => !skipped.has(token))
    if (!decoder) return cleanUp(tokens.join(' '))
    const { prefix, cleanup } = decoder
    const written = tokens.map((token, i) => {
      const spaced =
        i === 0 ? token : prefix !== '' && token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`
      return cleanup ? cleanUp(spaced) : spaced
    })
    return cleanUp(written.join(''))
  }

  #pieces(word: string): readonly string[] {
    const found = this.#remembered.get(word)
    if (found) return found
    const pieces = this.#cut(word)
    if (word.length <= LONGEST_REMEMBERED) {
      // Reviews repeat their words: a third of the time of a long text.
      if (this.#remembered.size >= REMEMBERED_WORDS) this.#remembered.clear()
      this.#remembered.set(word, pieces)
    }
    return pieces
  }

  #cut(word: string): readonly string[] {
    const { vocabulary, unknown, prefix, longestWord } = this.#file
    // A code point takes at most two units.
    if (word.length > 2 * longestWord) return [unknown]
    const characters = [...word]
    if (characters.length > longestWord) return [unknown]
    const pieces: string[] = []
    for (let start = 0; start < characters.length;) {
      const lead = start > 0 ? prefix : ''
      let end = Math.min(characters.length, start + this.#longestPiece - lead.length)
      let piece = lead + characters.slice(start, end).join('')
      while (end > start && !vocabulary.has(piece)) piece = piece.slice(0, piece.length - characters[--end].length)
      if (end <= start) return [unknown]
      pieces.push(piece)
      start = end
    }
    return pieces
  }
}

interface Node {
  readonly next: Map<string, Node>
  token?: AddedToken
}

/** Finds added tokens in a text, the longest that begins at the leftmost place. */
class Finder {
  readonly #root: Node = { next: new Map() }

  constructor(tokens: readonly (readonly [written: string, token: AddedToken])[]) {
    for (const [written, token] of tokens) {
      if (written === '') continue
      let node = this.#root
      for (let i = 0; i < written.length; i++) {
        const unit = written[i]
        let next = node.next.get(unit)
        if (!next) node.next.set(unit, (next = { next: new Map() }))
        node = next
      }
      node.token ??= token
    }
  }

  /** The text in order: added tokens, and what lies between them. */
  find(text: string): (string | AddedToken)[] {
    if (this.#root.next.size === 0) return text === '' ? [] : [text]
    const out: (string | AddedToken)[] = []
    let done = 0
    let strip = false
    const addText = (end: number, right: boolean): void => {
      const between = trim(text.slice(done, end), strip, right)
      if (between !== '') out.push(between)
    }
    for (let at = 0; at < text.length;) {
      const found = this.#root.next.has(text[at]) ? this.#longest(text, at) : undefined
      if (!found) {
        at++
        continue
      }
      addText(at, found.token.lstrip)
      out.push(found.token)
      strip = found.token.rstrip
      at = done = found.end
    }
    addText(text.length, false)
    return out
  }

  #longest(text: string, start: number): { readonly token: AddedToken; readonly end: number } | undefined {
    let best: { readonly token: AddedToken; readonly end: number } | undefined
    let node: Node | undefined = this.#root
    for (let at = start; at < text.length; at++) {
      node = node.next.get(text[at])
      if (!node) break
      if (node.token && !(node.token.single_word && isInWord(text, start, at + 1)))
        best = { token: node.token, end: at + 1 }
    }
    return best
  }
}

/** Whether a character of a word touches the stretch from `start` to `end`. */
function isInWord(text: string, start: number, end: number): boolean {
  const word = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200c\u200d]/u
  return (
    word.test([...text.slice(Math.max(0, start - 2), start)].at(-1) ?? '') ||
    word.test([...text.slice(end, end + 2)][0] ?? '')
  )
}

/** As Transformers joins English contractions and punctuation to the word before. */
function cleanUp(text: string): string {
  return text
    .replaceAll(' .', '.')
    .replaceAll(' ?', '?')
    .replaceAll(' !', '!')
    .replaceAll(' ,', ',')
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re")
}
