// The Hub's cache on disk, in the layout that huggingface_hub and @huggingface/hub share, so that none downloads what
// another has: <cache>/models--org--name/{refs/<revision>, blobs/<hash>, snapshots/<commit>/<path> → blob}. Downloads
// are taken up where they broke off, and every file is checked against the hash that the Hub gives for it.
import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import { copyFile, mkdir, open, readFile, readdir, rename, rm, stat, symlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname, join, normalize, relative } from 'node:path'
import { getRepoFolderName } from '@huggingface/hub'
import type { ListFileEntry } from '@huggingface/hub'
import { UserError } from '../../engine/errors.ts'
import { codeOf, exists, writeAtomic } from './files.ts'

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

function folderOf(repository: Repository): string {
  return join(repository.cacheDir, getRepoFolderName({ type: repository.type, name: repository.name }))
}

/** The snapshot's folder of a commit, whether or not it is there. */
export function snapshotFolder(repository: Repository, commit: string): string {
  return join(folderOf(repository), 'snapshots', commit)
}

/** The folder that the cache has for the repository's revision, complete or not; undefined where it has none. */
export async function cachedSnapshot(repository: Repository): Promise<string | undefined> {
  const { revision } = repository
  const ref = join(folderOf(repository), 'refs', revision)
  const commit = isCommit(revision) ? revision : (await readFile(ref, 'utf8').catch(() => '')).trim()
  if (!isCommit(commit)) return undefined
  const folder = snapshotFolder(repository, commit)
  return (await exists(folder)) ? folder : undefined
}

/** The paths of a snapshot's files that are really there, `/` between folders. */
export async function snapshotFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = entries.map(entry => join(entry.parentPath, entry.name))
  const there = await Promise.all(paths.map(path => stat(path).then(found => found.isFile(), () => false)))
  return paths.filter((_, i) => there[i]).map(path => relative(folder, path).replaceAll('\\', '/')).sort()
}

/** Checks one entry of a repository's listing: it comes from a stranger, and its path and hash become file names. */
export function remoteFile(entry: ListFileEntry, repository: Repository): RemoteFile {
  const { path, size, lfs, oid, xetHash } = entry
  const etag = lfs?.oid ?? xetHash ?? oid ?? ''
  const inside = path !== '' && !/^(\.\.|[/\\])/.test(normalize(path)) && !/^[a-z]:/i.test(path)
  if (!inside || !/^[0-9a-f]{40,64}$/.test(etag) || !Number.isSafeInteger(size) || size < 0) {
    const { type, name } = repository
    throw new UserError(`${type} ${name} lists a file that can't be stored: ${JSON.stringify(path)}`)
  }
  return { path, size, etag, hash: lfs ? 'sha256' : xetHash ? undefined : 'git' }
}

/**
 * Brings one file into the cache's blobs unless it is there. `openRemote` gives its bytes from a position on. Throws a
 * UserError where the download breaks off (what came stays for the next try) or is not what the Hub's hash says.
 */
export async function downloadBlob(
  repository: Repository, file: RemoteFile, openRemote: (from: number) => Promise<AsyncIterable<Uint8Array>>,
  progress: Progress | undefined,
): Promise<void> {
  const blob = join(folderOf(repository), 'blobs', file.etag)
  if (await exists(blob)) return
  const incomplete = `${blob}.incomplete`
  await mkdir(dirname(blob), { recursive: true })
  // Written at positions, never cut: two processes that fetch one file write the same bytes in the same places.
  const handle = await open(incomplete, 'r+').catch(() => open(incomplete, 'w+'))
  let digest: string | undefined
  try {
    digest = await fill(handle, repository, file, openRemote, progress)
    await handle.sync()
  } finally {
    await handle.close()
  }
  if (file.hash !== undefined && digest !== file.etag) {
    await rm(incomplete, { force: true })
    throw new UserError(`${file.path} of ${repository.name} came damaged from the Hub and was thrown away; try again`)
  }
  await rename(incomplete, blob).catch(async (error: unknown) => {
    // Another process may have finished it first.
    if (codeOf(error) !== 'ENOENT' || !(await exists(blob))) throw error
  })
}

/** Adds to `handle` what it lacks of the file, and gives the whole's hash. */
async function fill(
  handle: FileHandle, repository: Repository, file: RemoteFile,
  openRemote: (from: number) => Promise<AsyncIterable<Uint8Array>>, progress: Progress | undefined,
): Promise<string> {
  const hash = file.hash === 'git' ? gitHash(file.size) : createHash('sha256')
  let done = (await handle.stat()).size
  if (done > file.size) {
    await handle.truncate(0)
    done = 0
  }
  if (done > 0) {
    for await (const piece of handle.createReadStream({ start: 0, end: done - 1, autoClose: false })) hash.update(piece)
  }
  progress?.(file.path, done, file.size)
  if (done < file.size) {
    const brokenOff = (why: string): UserError => new UserError(
      `the download of ${file.path} of ${repository.name} broke off at ${done} of ${file.size} bytes (${why}); ` +
      'the next try goes on from there')
    const remote = await openRemote(done)
    const pieces = remote[Symbol.asyncIterator]()
    for (;;) {
      const next = await pieces.next().catch((error: unknown) => {
        throw brokenOff(reasonOf(error))
      })
      if (next.done) break
      if (next.value.length > file.size - done) {
        await pieces.return?.()
        throw brokenOff('more came than the Hub had announced')
      }
      const piece = next.value
      for (let at = 0; at < piece.length;) {
        at += (await handle.write(piece, at, piece.length - at, done + at)).bytesWritten
      }
      hash.update(piece)
      done += piece.length
      progress?.(file.path, done, file.size)
    }
    if (done < file.size) throw brokenOff('the connection was closed')
  }
  return hash.digest('hex')
}

/** Files outside large-file storage are known by git's own hash: SHA-1 over a header and the content. */
function gitHash(size: number): Hash {
  return createHash('sha1').update(`blob ${size}\0`)
}

/** The innermost cause's code or message: `fetch failed` alone says nothing, and no more do the codes of Node's fetch. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.cause instanceof Error) return reasonOf(error.cause)
  const code = codeOf(error)
  return code === undefined || code.startsWith('UND_ERR_') ? error.message.split('\n')[0] : code
}

/** Shows the blobs under their names in the commit's snapshot, then says that the revision is that commit. */
export async function linkSnapshot(
  repository: Repository, commit: string, files: readonly RemoteFile[],
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
