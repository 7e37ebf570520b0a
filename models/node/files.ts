// Files on disk under Node: safetensors files read by position, models in one file or in shards, JSON with clear errors,
// and writes that are either whole or not there at all.
import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, normalize, sep } from 'node:path'
import { UserError } from '../../engine/errors.ts'
import { parseJson } from '../json.ts'
import { openTensors, serializeInPieces } from '../safetensors.ts'
import type { ByteSource, LazyTensor, TensorFile } from '../safetensors.ts'
import { show } from '../show.ts'
import { fileError, openRegularFile } from './regular-file.ts'

export const WEIGHTS_FILE = 'model.safetensors'
export const WEIGHTS_INDEX = 'model.safetensors.index.json'
/** What an adapter's folder is known by. */
export const ADAPTER_CONFIG = 'adapter_config.json'

/** Opens one safetensors file, or a `….safetensors.index.json` with its shards. Throws a UserError naming the file. */
export async function openSafetensors(path: string): Promise<TensorFile> {
  if (path.endsWith('.index.json')) return openShards(path)
  const { handle, size } = await openRegularFile(path)
  try {
    return await openTensors(fileSource(handle, size, path), path)
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Whether a model's folder has weights, whole or in shards: that of a Hub model has none until they are fetched. */
export const hasWeights = async (folder: string): Promise<boolean> =>
  (await exists(join(folder, WEIGHTS_FILE))) || exists(join(folder, WEIGHTS_INDEX))

/** Opens the weights of a model's folder: `model.safetensors`, or the shards that its index names. */
export async function openWeights(folder: string): Promise<TensorFile> {
  const whole = join(folder, WEIGHTS_FILE)
  if (await exists(whole)) return openSafetensors(whole)
  const index = join(folder, WEIGHTS_INDEX)
  if (await exists(index)) return openShards(index)
  throw new UserError(await missingWeights(folder, WEIGHTS_FILE))
}

/** Pickled weights by the file that they stand in for. A pickle is a program, so none is read. */
const PICKLED: Readonly<Record<string, readonly string[]>> = {
  [WEIGHTS_FILE]: ['pytorch_model.bin', 'pytorch_model.bin.index.json'],
  'adapter_model.safetensors': ['adapter_model.bin'],
}

/** How to convert the pickled weights that stand in for `file`; undefined if `has` finds none. */
export function conversionOf(where: string, file: string, has: (name: string) => boolean): string | undefined {
  const pickled = PICKLED[file]?.find(has)
  if (pickled === undefined) return undefined
  const library = file === WEIGHTS_FILE ? 'Transformers' : 'PEFT'
  return (
    `${where} has its weights as ${pickled} only, and tilegrad reads ${file}: load it in Python with ${library}, ` +
    'write it with save_pretrained(folder, safe_serialization=True), and give that folder'
  )
}

/** What to say of a folder that lacks `file`, which holds weights. */
export async function missingWeights(folder: string, file: string): Promise<string> {
  const there = new Set(await readdir(folder).catch(() => []))
  return conversionOf(folder, file, name => there.has(name)) ?? `${folder} has no ${file}`
}

function fileSource(handle: FileHandle, size: number, path: string): ByteSource {
  return {
    size,
    async read(position, length) {
      const bytes = new Uint8Array(length)
      const done = await readInto(bytes, handle, position)
      if (done < length) {
        throw new UserError(
          `${path} is truncated: it had ${size} bytes when opened, and ends at ${position + done} now`,
        )
      }
      return bytes
    },
    close: () => handle.close(),
  }
}

/** Fills `bytes` from `position` on; gives how many there were before the file's end. */
async function readInto(bytes: Uint8Array, handle: FileHandle, position: number): Promise<number> {
  let done = 0
  // One read may give less than was asked for, without being at the end.
  while (done < bytes.length) {
    const { bytesRead } = await handle.read(bytes, done, bytes.length - done, position + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}

/** Most files that the index of a model may name. */
const MOST_SHARDS = 4_096

/**
 * Several files behind one TensorFile, by the `weight_map` of their index. A shard is open only while it is read, so
 * that there may be more of them than the system lets a process open.
 */
async function openShards(indexPath: string): Promise<TensorFile> {
  const map = shardMap(await readJson(indexPath), indexPath)
  const files = new Set(map.values())
  if (files.size > MOST_SHARDS) {
    throw new UserError(`${indexPath} names ${files.size} files; at most ${MOST_SHARDS} are supported`)
  }
  const folder = dirname(indexPath)
  const shards = new Map<string, TensorFile>()
  const metadata: Record<string, string> = {}
  for (const file of files) {
    const path = join(folder, file)
    const shard = await openTensors(await closedSource(path), path)
    shards.set(file, shard)
    Object.assign(metadata, shard.metadata)
  }
  for (const [name, file] of map) {
    if (!shards.get(file)?.has(name)) {
      throw new UserError(`${indexPath} places tensor ${show(name)} in ${file}, which does not have it`)
    }
  }
  const shardOf = (name: string): TensorFile => {
    const shard = shards.get(map.get(name) ?? '')
    if (!shard) throw new UserError(`${indexPath} has no tensor ${show(name)}`)
    return shard
  }
  return {
    where: indexPath,
    metadata,
    names: () => [...map.keys()],
    has: name => map.has(name),
    info: name => shardOf(name).info(name),
    read: name => shardOf(name).read(name),
    chunks: (name, bytesPerChunk) => shardOf(name).chunks(name, bytesPerChunk),
    bytes: name => shardOf(name).bytes(name),
    close: async () => {},
  }
}

/** A file that is opened for each read. Throws a UserError if it has another size than at first. */
async function closedSource(path: string): Promise<ByteSource> {
  const withSource = async <T>(use: (source: ByteSource) => T | Promise<T>): Promise<T> => {
    const { handle, size } = await openRegularFile(path)
    try {
      return await use(fileSource(handle, size, path))
    } finally {
      await handle.close()
    }
  }
  const size = await withSource(source => source.size)
  return {
    size,
    read: (position, length) =>
      withSource(source => {
        if (source.size !== size)
          throw new UserError(`${path} had ${size} bytes when opened, and has ${source.size} now`)
        return source.read(position, length)
      }),
    close: async () => {},
  }
}

/** Tensor name → file beside the index. Throws a UserError on anything else, paths that leave the folder included. */
export function shardMap(json: unknown, where: string): Map<string, string> {
  const weightMap = typeof json === 'object' && json !== null && 'weight_map' in json ? json.weight_map : undefined
  if (typeof weightMap !== 'object' || weightMap === null || Array.isArray(weightMap)) {
    throw new UserError(`${where} has no weight_map, so it is not an index of safetensors shards`)
  }
  const map = new Map<string, string>()
  for (const [name, file] of Object.entries(weightMap)) {
    const path = typeof file === 'string' ? normalize(file) : ''
    if (typeof file !== 'string' || file === '' || path.startsWith('..') || isAbsolute(path) || path.startsWith(sep)) {
      throw new UserError(`${where} places tensor ${show(name)} outside its folder: ${show(file)}`)
    }
    if (!path.endsWith('.safetensors')) {
      throw new UserError(`${where} places tensor ${show(name)} in ${show(file)}, which is not called .safetensors`)
    }
    map.set(name, file)
  }
  return map
}

/** Most bytes of a text or JSON file that is read whole, unless a caller says otherwise. */
export const TEXT_BYTES = 16 * 1024 * 1024

/** A file's JSON. Throws a UserError when it is missing, unreadable, not JSON, too large or nested too deeply. */
export async function readJson(path: string, maxBytes = TEXT_BYTES): Promise<unknown> {
  return parseJson(await readText(path, maxBytes), path)
}

/**
 * A file's text, from UTF-8 with or without a byte order mark. Throws a UserError when the file is missing, unreadable,
 * not UTF-8, or larger than `maxBytes`.
 */
export async function readText(path: string, maxBytes = TEXT_BYTES): Promise<string> {
  const bytes = await readBytes(path, maxBytes)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new UserError(`${path} is not UTF-8`)
  }
}

/**
 * A file's bytes. Throws a UserError as `openRegularFile` does; a file that grows meanwhile is read up to its old end.
 */
export async function readBytes(path: string, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const { handle, size } = await openRegularFile(path, maxBytes)
  try {
    const bytes = new Uint8Array(size)
    return bytes.subarray(0, await readInto(bytes, handle, 0))
  } catch (error) {
    throw fileError(path, error)
  } finally {
    await handle.close()
  }
}

/** Whether anything is there, symbolic links followed. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

export async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    found => found.isDirectory(),
    () => false,
  )
}

/** A temporary name for a file that is then renamed to `name`. */
export const temporaryName = (name: string): string => `.${name}.${randomBytes(6).toString('hex')}.tmp`

/** Whether a name is one of `temporaryName`: a file that a killed process left, if nobody is writing there. */
export const isTemporary = (name: string): boolean => /^\..+\.[0-9a-f]{12}\.tmp$/.test(name)

/**
 * Replaces a file atomically: writes `content` under a temporary name, syncs it to disk and renames it to `path`.
 * Creates the folder, unless `makeFolder` is false. Text is written as UTF-8; the parts of an iterable one after
 * another.
 */
export async function writeAtomic(
  path: string,
  content: Uint8Array | string | AsyncIterable<Uint8Array>,
  { makeFolder = true } = {},
): Promise<void> {
  const folder = dirname(path)
  if (makeFolder) await mkdir(folder, { recursive: true })
  const beside = join(folder, temporaryName(basename(path)))
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

/** A rename survives a power cut only once its folder is on disk. Windows can't sync folders. */
export async function syncFolder(folder: string): Promise<void> {
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
  path: string,
  tensors: readonly LazyTensor[],
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  await writeAtomic(path, serializeInPieces(tensors, metadata))
}
