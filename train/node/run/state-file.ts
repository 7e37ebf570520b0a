// Values in a safetensors file that is known by its SHA-256: computed while it is written, and again from what the file
// then holds, so that what a disk lost or changed is noticed.
import { createHash } from 'node:crypto'
import { UserError } from '../../../engine/errors.ts'
import { serializeInPieces } from '../../../models/safetensors.ts'
import { openSafetensors, writeAtomic } from '../../../models/node/files.ts'
import { openRegularFile } from '../../../models/node/regular-file.ts'
import type { ValueEntry } from '../../state.ts'

const READ_BYTES = 4 * 1024 * 1024

/**
 * Writes the values to `path`, in an existing folder, and reads the file back. Gives its SHA-256 in hexadecimal.
 */
export async function writeState(path: string, entries: readonly ValueEntry[]): Promise<string> {
  const hash = createHash('sha256')
  const hashed = async function* (pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      hash.update(piece)
      yield piece
    }
  }
  const tensors = entries.map(({ name, variable }) => ({
    name,
    dtype: 'F32' as const,
    shape: variable.shape,
    read: async () => Float32Array.from(await variable.read()),
  }))
  await writeAtomic(path, hashed(serializeInPieces(tensors, {})), { makeFolder: false })
  const written = hash.digest('hex')
  if ((await digestOf(path)) !== written)
    throw new UserError(`${path} does not hold what was written to it: is the disk damaged?`)
  return written
}

/** SHA-256 of a file's bytes, in hexadecimal. Throws a UserError if it can't be read. */
export async function digestOf(path: string): Promise<string> {
  const { handle, size } = await openRegularFile(path)
  try {
    const hash = createHash('sha256')
    // No larger than a small file: many large buffers make V8 collect garbage each time.
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, size + 1))
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length)
      if (bytesRead === 0) return hash.digest('hex')
      hash.update(buffer.subarray(0, bytesRead))
    }
  } finally {
    await handle.close()
  }
}

/**
 * Reads the values from a file. Throws a UserError, with none changed, where it lacks one or has it in another shape.
 */
export async function readState(path: string, entries: readonly ValueEntry[]): Promise<void> {
  const file = await openSafetensors(path)
  try {
    for (const { name, variable } of entries) {
      if (!file.has(name) || file.info(name).shape.join() !== variable.shape.join()) {
        throw new UserError(
          `${path}: no ${name} of [${variable.shape.join(', ')}]: the checkpoint is of another model or other options`,
        )
      }
    }
    for (const { name, variable } of entries) {
      for await (const { elementOffset, data } of file.chunks(name)) await variable.write(data, elementOffset)
    }
  } finally {
    await file.close()
  }
}
