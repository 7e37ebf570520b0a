// The Hub's cache on disk, in the layout that huggingface_hub and @huggingface/hub share, so that none downloads what
// another has: <cache>/models--org--name/{refs/<revision>, blobs/<hash>, snapshots/<commit>/<path> → blob}. Downloads
// are taken up where they broke off, and every file is checked against the hash that the Hub gives for it.
import { createHash, randomBytes } from 'node:crypto'
import type { Hash } from 'node:crypto'
import { constants } from 'node:fs'
import { copyFile, lstat, mkdir, open, readdir, rename, rm, stat, statfs, symlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { showBytes } from '../../engine/bytes.ts'
import { UserError } from '../../engine/errors.ts'
import { exists, readText, writeAtomic } from './files.ts'
import { codeOf } from './regular-file.ts'
import type { HubLimits } from './hub-limits.ts'
import { NoResponse, UnexpectedResponse, pauseAfter } from './hub-network.ts'

/** A repository at a revision, and the cache that it belongs in. */
export interface Repository {
  readonly type: 'model' | 'dataset'
  readonly name: string
  /** Branch, tag or commit. */
  readonly revision: string
  readonly cacheDir: string
}

/** Called with bytes done and in all, often. */
export type Progress = (file: string, done: number, total: number) => void

/** A file of a repository whose path and hash are safe to use as file names. */
export interface RemoteFile {
  readonly path: string
  readonly size: number
  /** Name of the blob. */
  readonly etag: string
  /** What `etag` is the hash of; undefined where it can't be checked. */
  readonly hash: 'sha256' | 'git' | undefined
}

const COMMIT = /^[0-9a-f]{40}$/

export function isCommit(text: string): boolean {
  return COMMIT.test(text)
}

function folderOf({ type, name, cacheDir }: Repository): string {
  return join(cacheDir, [`${type}s`, ...name.split('/')].join('--'))
}

/** The snapshot's folder of a commit, whether or not it is there. */
export function snapshotFolder(repository: Repository, commit: string): string {
  return join(folderOf(repository), 'snapshots', commit)
}

/** The folder that the cache has for the repository's revision, complete or not; undefined where it has none. */
export async function cachedSnapshot(repository: Repository): Promise<string | undefined> {
  const { revision } = repository
  const ref = join(folderOf(repository), 'refs', revision)
  const commit = isCommit(revision) ? revision : (await readText(ref, 1000).catch(() => '')).trim()
  if (!isCommit(commit)) return undefined
  const folder = snapshotFolder(repository, commit)
  return (await exists(folder)) ? folder : undefined
}

/** The paths of a snapshot's files that are really there, `/` between folders. */
export async function snapshotFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = entries.map(entry => join(entry.parentPath, entry.name))
  const there = await Promise.all(
    paths.map(path =>
      stat(path).then(
        found => found.isFile(),
        () => false,
      ),
    ),
  )
  return paths
    .filter((_, i) => there[i])
    .map(path => relative(folder, path).replaceAll('\\', '/'))
    .sort()
}

/** Bytes of a path, and of each name in it, that file systems take. */
const LONGEST_PATH = 1024
const LONGEST_NAME = 255

/** Whether a path of a repository, `/` between folders, is one inside of it on every system, and can be stored. */
function isSafePath(path: string): boolean {
  // Backslashes and drive letters mean something on Windows, control characters in terminals.
  if (/[\p{Cc}\\]|^[a-z]:/iu.test(path) || !path.isWellFormed() || Buffer.byteLength(path) > LONGEST_PATH) return false
  return path.split('/').every(name => !['', '.', '..'].includes(name) && Buffer.byteLength(name) <= LONGEST_NAME)
}

/** A hash in hexadecimal digits, undefined where it is none. */
function hashOf(value: unknown, digits: 40 | 64): string | undefined {
  return typeof value === 'string' && value.length === digits && /^[0-9a-f]+$/.test(value) ? value : undefined
}

/**
 * Checks one entry of a repository's listing: it comes from a stranger, and its path and hash become file names.
 * Undefined for what is not a file. Throws a UserError for a file that can't be stored, a HubFailure for no entry at all.
 */
export function remoteFile(entry: unknown, { type, name }: Repository): RemoteFile | undefined {
  const field = (of: unknown, key: string): unknown =>
    typeof of === 'object' && of !== null ? (of as Readonly<Record<string, unknown>>)[key] : undefined
  const path = field(entry, 'path')
  const kind = field(entry, 'type')
  if (typeof kind !== 'string' || typeof path !== 'string')
    throw new UnexpectedResponse('a list with entries that are not files')
  if (kind !== 'file') return undefined
  const [size, lfs, xet] = [field(entry, 'size'), field(entry, 'lfs'), field(entry, 'xetHash')]
  const hash = lfs != null ? 'sha256' : xet != null ? undefined : 'git'
  const etag = hash === 'git' ? hashOf(field(entry, 'oid'), 40) : hashOf(hash ? field(lfs, 'oid') : xet, 64)
  if (!isSafePath(path) || etag === undefined || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw new UserError(`${type} ${name} lists a file that can't be stored: ${JSON.stringify(path)}`)
  }
  return { path, size, etag, hash }
}

/** How a file's bytes are had. */
export interface Source {
  /** The file's bytes from a position on, exactly those. Throws a HubFailure, also while they are read. */
  readonly open: (file: RemoteFile, from: number) => Promise<AsyncIterable<Uint8Array>>
  readonly limits: HubLimits
  readonly progress?: Progress
}

/**
 * Brings one file into the cache's blobs unless it is there. Throws a UserError if the download breaks off more often
 * than `limits` allows (what came stays for the next try), does not fit on the disk, or is not what the Hub's hash
 * says.
 */
export async function downloadBlob(repository: Repository, file: RemoteFile, source: Source): Promise<void> {
  const blob = join(folderOf(repository), 'blobs', file.etag)
  if ((await sizeOf(blob)) === file.size) return
  await mkdir(dirname(blob), { recursive: true })
  const { partial, handle } = await takePartial(blob)
  let digest: string | undefined
  try {
    digest = await fill(handle, repository, file, source)
    await handle.sync()
  } finally {
    await handle.close()
    // For the next try; what is complete goes to its place or away.
    if (digest === undefined) await rename(partial, `${blob}.${FREE}`)
  }
  if (file.hash !== undefined && digest !== file.etag) {
    await rm(partial, { force: true })
    throw new UserError(`${file.path} of ${repository.name} came damaged from the Hub and was thrown away; try again`)
  }
  await rename(partial, blob)
  for (const left of await abandoned(blob)) await rm(left, { force: true })
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    found => (found.isFile() ? found.size : undefined),
    () => undefined,
  )
}

/** Ends the name of a partial file that no process is writing. */
const FREE = 'tilegrad.incomplete'

/** Names this process in partial files that it writes: the host too, since a cache may lie on a shared disk. */
const OWNER = `${createHash('sha256').update(hostname()).digest('hex').slice(0, 8)}-${process.pid}`

/** Opens a file that no other process writes to, with what an earlier try left of the blob, if anything. */
async function takePartial(blob: string): Promise<{ partial: string; handle: FileHandle }> {
  const partial = `${blob}.${OWNER}-${randomBytes(4).toString('hex')}.incomplete`
  for (const left of await abandoned(blob)) {
    // Renaming is a claim that only one process makes good.
    if (
      !(await rename(left, partial).then(
        () => true,
        () => false,
      ))
    )
      continue
    const handle = await open(partial, constants.O_RDWR | (constants.O_NOFOLLOW ?? 0)).catch(() => undefined)
    if ((await handle?.stat())?.isFile() && handle) return { partial, handle }
    await handle?.close()
    await rm(partial, { recursive: true, force: true })
  }
  return { partial, handle: await open(partial, 'wx+') }
}

/** What is there of a blob and belongs to no process that still runs, where that can be told, the longest first. */
async function abandoned(blob: string): Promise<string[]> {
  const prefix = `${basename(blob)}.`
  const found: { path: string; size: number }[] = []
  for (const name of await readdir(dirname(blob))) {
    if (!name.startsWith(prefix) || !name.endsWith('incomplete')) continue
    const path = join(dirname(blob), name)
    const { size, mtimeMs } = await lstat(path).catch(() => ({ size: 0, mtimeMs: 0 }))
    const minutes = (Date.now() - mtimeMs) / 60_000
    const rest = name.slice(prefix.length)
    const [, host, pid] = /^([0-9a-f]{8})-(\d+)-/.exec(rest) ?? []
    // Other tools' files, and those of other machines, are left alone while they grow.
    const ours = host !== undefined && OWNER.startsWith(host)
    const inUse = rest !== FREE && (ours ? isRunning(Number(pid)) : minutes < 10)
    if (!inUse) found.push({ path, size })
  }
  return found.sort((a, b) => b.size - a.size).map(({ path }) => path)
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

/** A connection that brought this much counts as a success: tries are counted anew. */
const PROGRESS_BYTES = 2 ** 20

/** Adds to `handle` what it lacks of the file, and gives the whole's hash. */
async function fill(
  handle: FileHandle,
  repository: Repository,
  file: RemoteFile,
  { open, limits, progress }: Source,
): Promise<string> {
  const hash = file.hash === 'git' ? gitHash(file.size) : createHash('sha256')
  let done = (await handle.stat()).size
  if (done > file.size) {
    await handle.truncate(0)
    done = 0
  }
  if (done > 0) {
    const stream: AsyncIterable<Buffer> = handle.createReadStream({ start: 0, end: done - 1, autoClose: false })
    for await (const piece of stream) hash.update(piece)
  }
  await checkSpace(repository, file, file.size - done)
  const start = done
  progress?.(file.path, done, file.size)
  for (let attempt = 1; done < file.size; attempt++) {
    const before = done
    try {
      for await (const piece of await open(file, done)) {
        for (let at = 0; at < piece.length;) {
          at += (await handle.write(piece, at, piece.length - at, done + at)).bytesWritten
        }
        hash.update(piece)
        done += piece.length
        progress?.(file.path, done, file.size)
      }
    } catch (error) {
      if (done - before >= PROGRESS_BYTES) attempt = 1
      // What has worked before may work again, whatever is wrong now.
      if (await pauseAfter(error, attempt, limits, done > start)) continue
      if (done === 0 || !(error instanceof NoResponse)) throw error
      throw new UserError(
        `the download of ${file.path} of ${repository.name} broke off at ${done} of ${file.size} ` +
          `bytes (${error.message}); the next try goes on from there`,
      )
    }
  }
  return hash.digest('hex')
}

/** Throws a UserError if the cache's disk has not `bytes` free. */
async function checkSpace({ name, cacheDir }: Repository, file: RemoteFile, bytes: number): Promise<void> {
  const { bavail, blocks, bsize } = await statfs(cacheDir)
  // Some file systems don't say.
  if (blocks === 0 || bytes <= bavail * bsize) return
  throw new UserError(
    `${file.path} of ${name} needs ${showBytes(bytes)}, and the disk of the cache ${cacheDir} has ` +
      `${showBytes(bavail * bsize)} free; HF_HOME names another`,
  )
}

/** Files outside large-file storage are known by git's own hash: SHA-1 over a header and the content. */
function gitHash(size: number): Hash {
  return createHash('sha1').update(`blob ${size}\0`)
}

/** Shows the blobs under their names in the commit's snapshot, then says that the revision is that commit. */
export async function linkSnapshot(
  repository: Repository,
  commit: string,
  files: readonly RemoteFile[],
): Promise<string> {
  const folder = snapshotFolder(repository, commit)
  for (const { path, etag } of files) {
    const place = join(folder, path)
    if (await exists(place)) continue
    const blob = join(folderOf(repository), 'blobs', etag)
    await mkdir(dirname(place), { recursive: true })
    await rm(place, { force: true })
    // Windows makes links only for those who may; a copy does as well.
    await symlink(relative(dirname(place), blob), place).catch(() => copyFile(blob, place))
  }
  if (!isCommit(repository.revision)) await writeAtomic(join(folderOf(repository), 'refs', repository.revision), commit)
  return folder
}
