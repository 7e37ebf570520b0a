// What is being measured and how much of it there is, on stderr: one line that is written over, or now and then one where
// stderr is no terminal.

/** Milliseconds between lines in a file. */
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
