// Stdout and stderr of a command. Whoever reads them may go away (`| head -1`), their disk may fill up, their terminal may
// close: none of that ends the work. Pipes are written asynchronously, so a command flushes before it exits.
import { printableLines } from '../../../engine/errors.ts'

/** Streams on which a write has failed: nobody reads them any more. */
const failed = new WeakSet<NodeJS.WriteStream>()
let guarded = false

/** From here on failing writes to stdout and stderr are ignored, whoever makes them. Calling it again does nothing more. */
export function guardOutput(): void {
  if (guarded) return
  guarded = true
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => failed.add(stream))
}

/**
 * Writes to stdout, and waits while a slow reader has not taken most of what was written before. For output without a
 * bound: false says that nobody reads it any more, so that there is no point in going on. A terminal gets control
 * characters as escapes, a pipe or a file the text as it is.
 */
export async function print(text: string): Promise<boolean> {
  const { stdout } = process
  if (!failed.has(stdout) && !stdout.write(stdout.isTTY ? printableLines(text) : text)) await written(stdout)
  return !failed.has(stdout)
}

/** Resolves once everything written so far has reached the system, or can't. To be awaited before `process.exit`. */
export async function flushOutput(): Promise<void> {
  await Promise.all([process.stdout, process.stderr].map(written))
}

/** Writes are done in order, so the end of an empty one is the end of all before it; it comes after a failure, too. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise(done => stream.write('', () => done()))
}
