// The one kind of error that is the user's to mend: bad options, files, shapes. The command line prints its message
// on one line of stderr and exits with status 2; anything else that is thrown is a bug of ours and keeps its stack.

/** Longest message, in UTF-16 units: names from files and servers have no limit of their own. */
const LONGEST = 480

/** Says what is wrong and where, in one line below 500 characters that a terminal can show. */
export class UserError extends Error {
  override readonly name = 'UserError'

  constructor(message: string, options?: ErrorOptions) {
    super(shorten(printable(message)), options)
  }
}

/**
 * Control characters (C0, DEL, C1), line separators and marks that reorder text, as escapes: text from a file or a
 * server must not drive the terminal.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu,
    character => (character === '\n' ? '\\n' : character === '\t' ? '\\t'
      : character < '\u0100' ? `\\x${hex(character, 2)}` : `\\u${hex(character, 4)}`))
}

const hex = (character: string, digits: number): string => character.charCodeAt(0).toString(16).padStart(digits, '0')

/** Without its middle where it is too long: the beginning says where, the end what. */
function shorten(message: string): string {
  if (message.length <= LONGEST) return message
  const half = LONGEST / 2 - 1
  return `${message.slice(0, half)} … ${message.slice(-half)}`.toWellFormed()
}
