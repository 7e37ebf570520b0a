// What the user is told. UserError is the one kind of error that is the user's to mend: bad options, files, shapes. The
// command line prints its message on one line of stderr and exits with status 2. NonFinite says that numbers went wrong;
// status 3. Anything else that is thrown is a bug of ours and keeps its stack. Text from files and servers is made safe to
// print: a terminal obeys control characters, so a file's name or a server's message could otherwise clear the screen,
// rewrite earlier lines or show one name as another.

/** Longest message, in UTF-16 units: names from files and servers have no limit of their own. */
const LONGEST = 480

/**
 * Says what is wrong and where. Whatever a file or a server put into the message, it is one line of less than 500
 * characters that a terminal can show: control characters become escapes, the middle of a longer message is left out.
 */
export class UserError extends Error {
  override readonly name = 'UserError'

  constructor(message: string, options?: ErrorOptions) {
    super(printableLine(message), options)
  }
}

/**
 * A computation came to NaN or ∞, which is never a result: says where, in one line. The command line prints it and exits
 * with status 3.
 */
export class NonFinite extends Error {
  override readonly name = 'NonFinite'

  constructor(message: string, options?: ErrorOptions) {
    super(printableLine(message), options)
  }
}

/**
 * C0, DEL and C1; the line and paragraph separators; bidirectional controls, which reorder what is shown; and characters
 * that show nothing at all. Joiners (U+200C, U+200D) are left alone: writing systems and emoji need them.
 */
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g

/** `text` on one line, with what a terminal would obey or hide written as escapes: `\n`, `\x1b`, `\u202e`. */
export function printable(text: string): string {
  return text.replace(UNSAFE, escapeOf).toWellFormed()
}

function escapeOf(character: string): string {
  if (character === '\n') return '\\n'
  if (character === '\t') return '\\t'
  return character < '\u0100' ? `\\x${hex(character, 2)}` : `\\u${hex(character, 4)}`
}

const hex = (character: string, digits: number): string => character.charCodeAt(0).toString(16).padStart(digits, '0')

/** The same line by line, for text whose line breaks are ours, such as a table. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}

/** JSON on one line that is safe to print and parses to the same value: such characters occur only inside strings. */
export function printableJson(value: object): string {
  return JSON.stringify(value).replace(UNSAFE, character => `\\u${hex(character, 4)}`)
}

/** One printable line of at most `limit` UTF-16 units. A longer text loses its middle: its end often says what to do. */
export function printableLine(text: string, limit = LONGEST): string {
  // Of a long text only what may be shown is looked at: no escape is shorter than what it stands for.
  const line = printable(text.length <= 2 * limit ? text : text.slice(0, limit) + text.slice(-limit))
  if (line.length <= limit) return line
  const tail = Math.floor(limit / 3)
  // Half of a surrogate pair is dropped at either edge.
  const start = line.slice(0, limit - tail - 3).replace(/[\ud800-\udbff]$/, '')
  return `${start} … ${line.slice(-tail).replace(/^[\udc00-\udfff]/, '')}`
}
