// What the command line says: text for people on stdout, or on stderr when the last line of stdout is to be JSON.
import { printableJson, printableLines } from '../../../engine/errors.ts'

export class Console {
  readonly #json: boolean

  constructor(json: boolean) {
    this.#json = json
  }

  /** A line, or several, for people. */
  say(text = ''): void {
    ;(this.#json ? process.stderr : process.stdout).write(`${printableLines(text)}\n`)
  }

  /** The one JSON object of `--json`; nothing without it. */
  result(value: object): void {
    if (this.#json) process.stdout.write(`${printableJson(value)}\n`)
  }
}

/** Says nothing: for a run inside of another command. */
export class SilentConsole extends Console {
  constructor() {
    super(false)
  }
  override say(): void {}
  override result(): void {}
}

/** A fraction of 1 as a percentage. */
export const percent = (fraction: number, digits = 1): string => `${(100 * fraction).toFixed(digits)} %`

/** Columns of text: the first to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0)))
  return rows
    .map(row =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
