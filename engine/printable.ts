// Text from files and servers, made safe to print: a terminal obeys control characters, so a file's name or a server's
// message could otherwise clear the screen, rewrite earlier lines or show one name as another.

/**
 * C0, DEL and C1; the line and paragraph separators; bidirectional controls, which reorder what is shown; and characters
 * that show nothing at all. Joiners (U+200C, U+200D) are left alone: writing systems and emoji need them.
 */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g

const SHORT: Readonly<Record<string, string>> = { '\t': '\\t', '\n': '\\n', '\r': '\\r' }

function escapeOf(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** `text` on one line, with what a terminal would obey or hide written as escapes: `\n`, `\u001b`. */
export function printable(text: string): string {
  return text.replace(UNSAFE, character => SHORT[character] ?? escapeOf(character)).toWellFormed()
}

/** The same line by line, for text whose line breaks are ours, such as a table. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}

/** JSON on one line that is safe to print and parses to the same value: such characters occur only inside strings. */
export function printableJson(value: object): string {
  return JSON.stringify(value).replace(UNSAFE, escapeOf)
}

/**
 * One printable line of at most `limit` UTF-16 units: line breaks become spaces, and of a longer text the middle is left
 * out, since its end often says what to do.
 */
export function printableLine(text: string, limit = 480): string {
  // Of a long text only what may be shown is looked at: no escape is shorter than what it stands for.
  const whole = text.length <= 4 * limit
  const seen = whole ? text : text.slice(0, 2 * limit) + text.slice(-2 * limit)
  const line = printable(seen.replace(/\s*[\r\n]+\s*/g, ' ').trim())
  if (line.length <= limit) return whole ? line : `${line.slice(0, limit - 2)} …`
  const tail = Math.floor(limit / 3)
  // Half of a surrogate pair is dropped at either edge.
  const start = line.slice(0, limit - tail - 3).replace(/[\ud800-\udbff]$/, '')
  return `${start} … ${line.slice(-tail).replace(/^[\udc00-\udfff]/, '')}`
}
