// Opening files for reading: regular files alone, up to a size, so that nothing hangs or fills memory; and what system
// errors mean to a user.
import { constants } from 'node:fs'
import { type FileHandle, open, readlink, stat } from 'node:fs/promises'
import { UserError } from '../../engine/errors.ts'

/** What is wrong with a symbolic link that leads nowhere; undefined for anything else. */
export async function brokenLink(path: string): Promise<UserError | undefined> {
  const target = await readlink(path).catch(() => undefined)
  if (target === undefined) return undefined
  const code = await stat(path).then(() => undefined, codeOf)
  if (code === 'ELOOP') return new UserError(`${path} is a symbolic link that leads to itself`)
  return code === 'ENOENT' ? new UserError(`${path} is a symbolic link to ${target}, which does not exist`) : undefined
}

/** A file that is open for reading; `size` is in bytes. */
export interface OpenFile {
  readonly handle: FileHandle
  readonly size: number
}

/**
 * Opens a regular file for reading, without waiting: a FIFO or a device could block for ever or never end. Throws a
 * UserError naming the path when it is missing, unreadable, anything but a regular file, or larger than `maxBytes`.
 */
export async function openRegularFile(path: string, maxBytes = Infinity): Promise<OpenFile> {
  // A NUL ends the name for the system, so that another file would be opened.
  if (path.includes('\0')) throw new UserError(`${JSON.stringify(path)} is not a file name`)
  let handle: FileHandle | undefined
  try {
    // O_NONBLOCK is undefined on Windows, which has no FIFOs among its files.
    handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    const found = await handle.stat()
    if (found.isDirectory()) throw new UserError(`${path} is a folder, not a file`)
    if (!found.isFile()) throw new UserError(`${path} is not a regular file`)
    if (found.size > maxBytes) {
      throw new UserError(`${path} has ${found.size} bytes, more than the ${maxBytes} that are read of such a file`)
    }
    return { handle, size: found.size }
  } catch (error) {
    await handle?.close()
    throw (codeOf(error) === 'ENOENT' ? await brokenLink(path) : undefined) ?? fileError(path, error)
  }
}

/** What a system error means to someone who wants to read `path`; other errors as they are. */
export function fileError(path: string, error: unknown): Error {
  if (error instanceof UserError) return error
  const code = codeOf(error)
  if (code === 'ENOENT' || code === 'ENOTDIR') return new UserError(`${path} does not exist`)
  if (code === 'EISDIR') return new UserError(`${path} is a folder, not a file`)
  if (code === 'EACCES' || code === 'EPERM') return new UserError(`${path} may not be read`)
  // Opening a socket, or a device without a driver.
  if (code === 'ENXIO' || code === 'ENODEV') return new UserError(`${path} is not a regular file`)
  if (code === 'ENAMETOOLONG') return new UserError(`${path} is longer than a file name can be`)
  if (code === 'ELOOP') return new UserError(`${path} is a symbolic link that leads to itself`)
  if (code === 'EMFILE' || code === 'ENFILE') return new UserError(`${path} cannot be opened: too many open files`)
  if (code === 'EIO') return new UserError(`${path} cannot be read: the device reports an error`)
  return error instanceof Error ? error : new Error(String(error))
}

/** The `code` of a system error, e.g. `ENOENT`. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
