// Progress on stderr: one line that is overwritten or, if stderr is not a terminal, a line every ten seconds.

/** Milliseconds between lines if stderr is not a terminal. */
const APART = 10_000

export class Progress {
  #last = -Infinity

  show(text: string): void {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
    else if (performance.now() - this.#last >= APART) {
      process.stderr.write(`${text}\n`)
      this.#last = performance.now()
    }
  }

  clear(): void {
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
  }
}
