// Errors for the user. A UserError is one that the user can fix: bad options, files, shapes. The command line prints
// its message on one line of stderr and exits with status 2. NonFinite means that numbers became NaN or infinite;
// status 3. Any other error is a bug and keeps its stack. Text from files and servers is made safe to print: terminals
// obey control characters, so a file name or a server's message could otherwise clear the screen, rewrite earlier lines
// or show one name as another.

/** Longest message, in UTF-16 units: names from files and servers can have any length. */
const LONGEST = 480

/**
 * An error whose message is one line of less than 500 characters that is safe on a terminal: control characters become
 * escapes, and the middle of a longer message is left out.
 */
class OneLineError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(printableLine(message), options)
  }
}

/** Says what is wrong and where. */
export class UserError extends OneLineError {
  override readonly name = 'UserError'
}

/** A computation gave NaN or ∞, which is never a result. Says where. */
export class NonFinite extends OneLineError {
  override readonly name = 'NonFinite'
}

/**
 * C0, DEL and C1; the line and paragraph separators; bidirectional controls, which reorder text; and invisible
 * characters. Joiners (U+200C, U+200D) are kept: writing systems and emoji need them.
 */
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g

/** `text` on one line, with characters that a terminal would obey or hide as escapes: `\n`, `\x1b`, `\u202e`. */
export function printable(text: string): string {
  return text.replace(UNSAFE, escapeOf).toWellFormed()
}

function escapeOf(character: string): string {
  if (character === '\n') return '\\n'
  if (character === '\t') return '\\t'
  return character < '\u0100' ? `\\x${hex(character, 2)}` : `\\u${hex(character, 4)}`
}

const hex = (character: string, digits: number): string => character.charCodeAt(0).toString(16).padStart(digits, '0')

/** The same line by line, for text with intended line breaks, such as a table. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}

/** JSON on one line that is safe to print and parses to the same value: unsafe characters occur only in strings. */
export function printableJson(value: object): string {
  return JSON.stringify(value).replace(UNSAFE, character => `\\u${hex(character, 4)}`)
}

/** One printable line of at most `limit` UTF-16 units. Leaves out the middle: the end often says what to do. */
export function printableLine(text: string, limit = LONGEST): string {
  // Only the parts of a long text that can be shown are escaped: no escape is shorter than its character.
  const line = printable(text.length <= 2 * limit ? text : text.slice(0, limit) + text.slice(-limit))
  if (line.length <= limit) return line
  const tail = Math.floor(limit / 3)
  // Drops half of a surrogate pair at either edge.
  const start = line.slice(0, limit - tail - 3).replace(/[\ud800-\udbff]$/, '')
  return `${start} … ${line.slice(-tail).replace(/^[\udc00-\udfff]/, '')}`
}
