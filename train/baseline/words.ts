// The words and the punctuation marks of a text. A word is letters and digits, with apostrophes between them: don't
// and film's are words. Everything else but blanks is a mark of its own.

const [UNKNOWN, BLANK, MARK, LETTER, JOINED] = [0, 1, 2, 3, 4]

/** The kind of each character of the first plane, as far as it is known. */
const kinds = new Uint8Array(65536)

function kindOf(text: string, at: number): number {
  const code = text.charCodeAt(at)
  if (kinds[code] !== UNKNOWN) return kinds[code]
  const isHigh = code >= 0xd800 && code < 0xdc00
  const kind = named(isHigh ? String.fromCodePoint(text.codePointAt(at) ?? code) : text[at])
  if (!isHigh) kinds[code] = kind
  return kind
}

function named(character: string): number {
  if (/[\p{L}\p{N}_]/u.test(character)) return LETTER
  // Accents that follow a letter, joiners and variations: never the beginning of a word.
  if (/[\p{M}\u200c\u200d]/u.test(character)) return JOINED
  return /\s|\p{C}/u.test(character) ? BLANK : MARK
}

const isApostrophe = (code: number): boolean => code === 0x27 || code === 0x2019

/** Calls `visit` with each word, and each mark where `marks` are wanted, in order. */
export function visitWords(text: string, marks: boolean, visit: (token: string, isWord: boolean) => void): void {
  const { length } = text
  const step = (at: number): number => (isPair(text, at) ? 2 : 1)
  for (let at = 0; at < length;) {
    const kind = kindOf(text, at)
    if (kind === LETTER) {
      let end = at + step(at)
      for (; end < length; end += step(end)) {
        const next = kindOf(text, end)
        if (next === LETTER || next === JOINED) continue
        const continues = isApostrophe(text.charCodeAt(end)) && end + 1 < length && kindOf(text, end + 1) === LETTER
        if (!continues) break
      }
      visit(text.slice(at, end), true)
      at = end
      continue
    }
    const end = at + step(at)
    if (kind === MARK && marks) visit(text.slice(at, end), false)
    at = end
  }
}

function isPair(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  return code >= 0xd800 && code < 0xdc00 && (text.codePointAt(at) ?? 0) > 0xffff
}
