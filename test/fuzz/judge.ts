// What counts as a find: an exception that is not a UserError, or a message that is not one short line of printable
// text.

export interface Verdict {
  readonly kind: 'exception' | 'message' | 'hang' | 'memory' | 'crash'
  /** Equal for finds with the same cause, as far as can be told. */
  readonly signature: string
  readonly detail: string
}

/** Longest message in UTF-16 units. */
const LONGEST = 500

/** What is wrong with how a parser failed; undefined where nothing is. */
export function judge(error: unknown): Verdict | undefined {
  if (!(error instanceof Error) || error.name !== 'UserError') {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
    const frames = stack
      .split('\n')
      .filter(line => /^\s+at /.test(line))
      .slice(0, 3)
    const signature = `${error instanceof Error ? error.name : typeof error} ${frames.map(frame => frame.replace(/^.*\/|:\d+\)?$/g, '')).join(' < ')}`
    return { kind: 'exception', signature, detail: stack.slice(0, 2000) }
  }
  const { message } = error
  const faults = [
    message === '' && 'is empty',
    message.length >= LONGEST && `has ${message.length} characters`,
    /[\n\r\u2028\u2029]/.test(message) && 'has several lines',
    // C0 and C1 controls and DEL, which a terminal would obey.
    /[\0-\x1f\x7f-\x9f]/.test(message) && 'has control characters',
    !message.isWellFormed() && 'has half of a surrogate pair',
  ].filter(fault => fault !== false)
  if (faults.length === 0) return undefined
  return {
    kind: 'message',
    signature: `message ${faults.join(', ')}: ${message.replace(/\d+/g, '0').slice(-60)}`,
    detail: JSON.stringify(message.slice(0, 2000)),
  }
}
