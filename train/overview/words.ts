// Words of a text as the overview counts them: letters and digits in lower case, without markup.

/** A tag such as `<br />` or `</p>`, or a comment; an unclosed comment extends to the end of the text. */
export const TAG = /<\/?[a-z][^<>]*>|<!--.*?(?:-->|$)/gis
/** A run of letters, digits and combining marks; apostrophes inside of a word belong to it (`don't`). */
const WORD = /[\p{L}\p{N}\p{M}]+(?:'[\p{L}\p{M}]+)*/gu

/** The words of a text in order, lower-cased; tags are left out. */
export function wordsIn(text: string): readonly string[] {
  const plain = text.includes('<') ? text.replace(TAG, ' ') : text
  return plain.toLowerCase().replaceAll('’', "'").match(WORD) ?? []
}

/** The text by which rows count as equal but for case and white space. */
export const normalised = (text: string): string => text.toLowerCase().trim().replace(/\s+/g, ' ')
