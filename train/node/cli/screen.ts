// A text that is drawn over itself on a terminal, such as `sweep status --watch`. It hides no cursor and uses no other
// screen, so a process that is ended by Ctrl-C leaves the terminal as it should be.
import { printableLines } from '../../../engine/errors.ts'

/** A stream that may be a terminal. */
export type ScreenStream = NodeJS.WritableStream & {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
}

const HOME = '\u001b[H'
const CLEAR_LINE = '\u001b[K'
const CLEAR_BELOW = '\u001b[J'

export class Screen {
  readonly #stream: ScreenStream

  constructor(stream: ScreenStream) {
    this.#stream = stream
  }

  /** Whether there is a terminal to draw on. */
  get isTerminal(): boolean {
    return this.#stream.isTTY === true
  }

  /** Draws a text from the top, as much of it as the terminal has room for. */
  draw(text: string): void {
    const { columns = 80, rows = 24 } = this.#stream
    const lines = printableLines(text).split('\n')
    // The last row is left for the cursor.
    const room = Math.max(1, rows - 1)
    const shown =
      lines.length <= room ? lines : [...lines.slice(0, room - 1), `… ${lines.length - room + 1} more lines`]
    const drawn = shown.map(line => `${line.slice(0, columns)}${CLEAR_LINE}\n`).join('')
    this.#stream.write(`${HOME}${drawn}${CLEAR_BELOW}`)
  }

  /** Clears what was drawn. */
  clear(): void {
    this.#stream.write(`${HOME}${CLEAR_BELOW}`)
  }
}
