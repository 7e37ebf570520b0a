// Files on disk under Node: safetensors files read by position, models in one file or in shards, JSON with clear
// errors, and writes that are either whole or not there at all.
import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { basename, dirname, join, normalize, sep } from 'node:path'
import { UserError } from '../../engine/errors.ts'
import { openTensors, serializeInPieces } from '../safetensors.ts'
import type { ByteSource, LazyTensor, TensorFile } from '../safetensors.ts'

export const WEIGHTS_FILE = 'model.safetensors'
export const WEIGHTS_INDEX = 'model.safetensors.index.json'

/** Opens one safetensors file, or a `….safetensors.index.json` with its shards. Throws a UserError naming the file. */
export async function openSafetensors(path: string): Promise<TensorFile> {
  if (path.endsWith('.index.json')) return openShards(path)
  const handle = await openFile(path)
  try {
    return await openTensors(await fileSource(handle, path), path)
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Opens the weights of a model's folder: `model.safetensors`, or the shards that its index names. */
export async function openWeights(folder: string): Promise<TensorFile> {
  const whole = join(folder, WEIGHTS_FILE)
  if (await exists(whole)) return openSafetensors(whole)
  const index = join(folder, WEIGHTS_INDEX)
  if (await exists(index)) return openShards(index)
  throw new UserError(`${folder} has no ${WEIGHTS_FILE}`)
}

async function fileSource(handle: FileHandle, path: string): Promise<ByteSource> {
  const { size } = await handle.stat()
  return {
    size,
    async read(position, length) {
      const bytes = new Uint8Array(length)
      let done = 0
      // One read may give less than was asked for, without being at the end.
      while (done < length) {
        const { bytesRead } = await handle.read(bytes, done, length - done, position + done)
        if (bytesRead === 0) {
          throw new UserError(
            `${path} is truncated: it had ${size} bytes when opened, and ends at ${position + done} now`)
        }
        done += bytesRead
      }
      return bytes
    },
    close: () => handle.close(),
  }
}

/** Several files behind one TensorFile, by the `weight_map` of their index. */
async function openShards(indexPath: string): Promise<TensorFile> {
  const map = shardMap(await readJson(indexPath), indexPath)
  const folder = dirname(indexPath)
  const shards = new Map<string, TensorFile>()
  const closeAll = async (): Promise<void> => {
    await Promise.all([...shards.values()].map(shard => shard.close()))
  }
  try {
    for (const file of new Set(map.values())) shards.set(file, await openSafetensors(join(folder, file)))
    for (const [name, file] of map) {
      if (!shards.get(file)?.has(name)) {
        throw new UserError(`${indexPath} places tensor ${JSON.stringify(name)} in ${file}, which does not have it`)
      }
    }
  } catch (error) {
    await closeAll()
    throw error
  }
  const shardOf = (name: string): TensorFile => {
    const shard = shards.get(map.get(name) ?? '')
    if (!shard) throw new UserError(`${indexPath} has no tensor ${JSON.stringify(name)}`)
    return shard
  }
  return {
    where: indexPath,
    metadata: Object.assign({}, ...[...shards.values()].map(shard => shard.metadata)),
    names: () => [...map.keys()],
    has: name => map.has(name),
    info: name => shardOf(name).info(name),
    read: name => shardOf(name).read(name),
    chunks: (name, bytesPerChunk) => shardOf(name).chunks(name, bytesPerChunk),
    close: closeAll,
  }
}

/** Tensor name → file beside the index. Throws a UserError on anything else, paths that leave the folder included. */
export function shardMap(json: unknown, where: string): Map<string, string> {
  const weightMap = typeof json === 'object' && json !== null && 'weight_map' in json ? json.weight_map : undefined
  if (typeof weightMap !== 'object' || weightMap === null || Array.isArray(weightMap)) {
    throw new UserError(`${where} has no weight_map, so it is no index of safetensors shards`)
  }
  const map = new Map<string, string>()
  for (const [name, file] of Object.entries(weightMap)) {
    const path = typeof file === 'string' ? normalize(file) : ''
    if (file === '' || path === '' || path.startsWith('..') || path.startsWith(sep)) {
      throw new UserError(
        `${where} places tensor ${JSON.stringify(name)} outside its folder: ${JSON.stringify(file)}`)
    }
    map.set(name, String(file))
  }
  return map
}

/** A file's JSON. Throws a UserError when it is missing, unreadable or no JSON. */
export async function readJson(path: string): Promise<unknown> {
  const text = await readText(path)
  try {
    return JSON.parse(text)
  } catch {
    throw new UserError(`${path} is not JSON`)
  }
}

/** A file's text. Throws a UserError when it is missing or unreadable. */
export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw fileError(path, error)
  }
}

/** Whether anything is there, symbolic links followed. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false)
}

export async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(found => found.isDirectory(), () => false)
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    const handle = await open(path, 'r')
    if ((await handle.stat()).isFile()) return handle
    await handle.close()
  } catch (error) {
    throw fileError(path, error)
  }
  throw new UserError(`${path} is no file`)
}

/** What a system error means to someone who wants to read `path`; other errors as they are. */
export function fileError(path: string, error: unknown): Error {
  const code = codeOf(error)
  if (code === 'ENOENT' || code === 'ENOTDIR') return new UserError(`${path} does not exist`)
  if (code === 'EISDIR') return new UserError(`${path} is a folder, not a file`)
  if (code === 'EACCES' || code === 'EPERM') return new UserError(`${path} may not be read`)
  return error instanceof Error ? error : new Error(String(error))
}

/** The `code` of a system error, e.g. `ENOENT`. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/**
 * Writes a file so that `path` holds either what it held before or all of `content`: beside its place, synced to disk,
 * renamed into it. Makes the folder. Text is written as UTF-8; pieces of an iterable one after another.
 */
export async function writeAtomic(
  path: string, content: Uint8Array | string | AsyncIterable<Uint8Array>,
): Promise<void> {
  const folder = dirname(path)
  await mkdir(folder, { recursive: true })
  const beside = join(folder, `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`)
  try {
    const handle = await open(beside, 'wx')
    try {
      if (typeof content === 'string' || content instanceof Uint8Array) await handle.writeFile(content)
      else for await (const piece of content) await handle.writeFile(piece)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(beside, path)
  } catch (error) {
    await rm(beside, { force: true })
    throw error
  }
  await syncFolder(folder)
}

/** The rename itself survives a power cut only once the folder is on disk. Windows can't sync folders. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Writes a safetensors file atomically, with one tensor in memory at a time. */
export async function writeSafetensors(
  path: string, tensors: readonly LazyTensor[], metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  await writeAtomic(path, serializeInPieces(tensors, metadata))
}
