// Stdout and stderr of a command. Whoever reads them may go away (`| head -1`), their disk may fill up, their terminal
// may close: none of that ends the work. Pipes are written asynchronously, so a command flushes before it exits.
import { UserError, printableLines } from '../../../engine/errors.ts'
import { codeOf } from '../../../models/node/regular-file.ts'

/** Streams on which a write has failed, with the system's reason. */
const failed = new WeakMap<NodeJS.WriteStream, string | undefined>()
/** Reasons that mean that nobody reads any more, as with `| head -1`. */
const GONE: readonly (string | undefined)[] = ['EPIPE', 'ECONNRESET', 'EOF', 'ERR_STREAM_DESTROYED', 'EIO']
let guarded = false

/**
 * From here on failing writes to stdout and stderr are ignored, whoever makes them. Calling it again does nothing more.
 */
export function guardOutput(): void {
  if (guarded) return
  guarded = true
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', error => {
      if (!failed.has(stream)) failed.set(stream, codeOf(error))
    })
}

/**
 * Writes to stdout, and waits while a slow reader has not taken most of what was written before. For output without a
 * bound: false says that nobody reads it any more, so that the command may stop. A terminal gets control characters as
 * escapes, a pipe or a file the text as it is. Throws a UserError if it cannot be written, such as on a full disk.
 */
export async function print(text: string): Promise<boolean> {
  const { stdout } = process
  if (!failed.has(stdout) && !stdout.write(stdout.isTTY ? printableLines(text) : text)) await written(stdout)
  return isRead()
}

/**
 * To be awaited by a command whose output is its result, at its end: throws as `print` does where some of it was not
 * written.
 */
export async function finishPrinting(): Promise<void> {
  await written(process.stdout)
  isRead()
}

/** Whether stdout is still read. Throws a UserError if that is not for want of a reader. */
function isRead(): boolean {
  const { stdout } = process
  if (!failed.has(stdout)) return true
  const reason = failed.get(stdout)
  if (GONE.includes(reason)) return false
  throw new UserError(
    `Cannot write to standard output: ${reason ?? 'the write failed'}. What came before may be incomplete`,
  )
}

/** Resolves once everything written so far has reached the system, or can't. To be awaited before `process.exit`. */
export async function flushOutput(): Promise<void> {
  await Promise.all([process.stdout, process.stderr].map(written))
}

/** Writes are done in order, so the end of an empty one is the end of all before it; it comes after a failure, too. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise(done => stream.write('', () => done()))
}
