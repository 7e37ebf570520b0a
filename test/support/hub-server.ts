// A Hub of a few small repositories on the loopback interface: the API's commit and file listing, `resolve` with ETag,
// X-Repo-Commit and Range, large files behind a redirect, gates, and connections that break off where a test says so.
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { vi } from 'vitest'

export interface HubRepository {
  readonly type: 'model' | 'dataset'
  readonly name: string
  readonly commit: string
  /** Branches and tags besides `main`, and their commits' files are the same. */
  readonly revisions?: readonly string[]
  /** Path → content. `.safetensors` and `.parquet` files are kept as large files are. */
  readonly files: Readonly<Record<string, Uint8Array | string>>
  /** Files only for holders of `TOKEN`. */
  readonly gated?: boolean
}

/** The one token that this Hub accepts. */
export const TOKEN = 'hf_test'

export interface HubServer {
  readonly url: string
  /** `METHOD path` of each request, in order; the bytes asked for in brackets. */
  readonly requests: string[]
  /** Large files by path: after how many bytes the connection is cut, the next time only. */
  readonly cuts: Map<string, number>
  /** Large files by path: what is sent in their place. */
  readonly damaged: Map<string, Uint8Array>
  /** Answers every request with this status, until it is undefined again. */
  failure: number | undefined
  close(): Promise<void>
}

interface Stored {
  readonly path: string
  readonly bytes: Uint8Array
  readonly large: boolean
  readonly oid: string
}

function stored([path, content]: [string, Uint8Array | string]): Stored {
  const bytes = Buffer.from(content)
  const large = /\.(safetensors|parquet)$/.test(path)
  const oid = large
    ? createHash('sha256').update(bytes).digest('hex')
    : createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
  return { path, bytes, large, oid }
}

/** Sends `bytes`, or the range that was asked for, perhaps cut off after some. */
function send(request: IncomingMessage, response: ServerResponse, bytes: Uint8Array, etag: string, cut?: number): void {
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
  const start = range ? Number(range[1]) : 0
  const end = range && range[2] !== '' ? Math.min(Number(range[2]) + 1, bytes.length) : bytes.length
  if (range && start >= bytes.length && bytes.length > 0) {
    response.writeHead(416).end()
    return
  }
  response.writeHead(range ? 206 : 200, {
    etag: `"${etag}"`,
    'accept-ranges': 'bytes',
    'content-length': end - start,
    ...(range && { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` }),
  })
  const body = bytes.subarray(start, end)
  if (request.method === 'HEAD') response.end()
  else if (cut === undefined || cut >= body.length) response.end(body)
  else response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 20))
}

/** Serves `repositories`; `redirects` are names that repositories had before, to those that they have now. */
export async function startHub(
  repositories: readonly HubRepository[],
  redirects: Readonly<Record<string, string>> = {},
): Promise<HubServer> {
  const requests: string[] = []
  const cuts = new Map<string, number>()
  const damaged = new Map<string, Uint8Array>()
  const hub = { failure: undefined as number | undefined }

  const find = (type: string, name: string): HubRepository | undefined =>
    repositories.find(repository => repository.type === type && repository.name === name)
  const json = (response: ServerResponse, status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(body))
  }

  const api = (request: IncomingMessage, response: ServerResponse, url: URL): void => {
    const [, type, rest] = /^\/api\/(model|dataset)s\/(.+)$/.exec(url.pathname) ?? []
    const [, name, verb, revision] = /^(.+?)\/(revision|tree)\/(.+)$/.exec(rest ?? '') ?? []
    if (name !== undefined && Object.hasOwn(redirects, name)) {
      response.writeHead(307, { location: url.href.replace(`/${name}/`, `/${redirects[name]}/`) }).end()
      return
    }
    const repository = find(type, name)
    if (!repository) {
      if (request.headers.authorization === `Bearer ${TOKEN}`) json(response, 404, { error: 'Repository not found' })
      else json(response, 401, { error: 'Invalid username or password.' })
      return
    }
    const known = ['main', repository.commit, ...(repository.revisions ?? [])]
    if (!known.includes(decodeURIComponent(revision))) json(response, 404, { error: `Invalid rev id: ${revision}` })
    else if (verb === 'revision') {
      const lastModified = '2024-01-01T00:00:00Z'
      json(response, 200, { _id: '1', id: name, sha: repository.commit, private: false, lastModified })
    } else {
      const nested = Object.keys(repository.files).filter(path => path.includes('/'))
      const folders = new Set(nested.map(path => path.split('/')[0]))
      json(response, 200, [
        ...[...folders].map(path => ({ type: 'directory', oid: '0'.repeat(40), size: 0, path })),
        ...listed(repository.files),
      ])
    }
  }

  const resolve = (request: IncomingMessage, response: ServerResponse, url: URL): void => {
    const [, datasets, name, , path] = /^\/(datasets\/)?(.+?)\/resolve\/([^/]+)\/(.+)$/.exec(url.pathname) ?? []
    if (name !== undefined && Object.hasOwn(redirects, name)) {
      response.writeHead(307, { location: url.pathname.replace(name, redirects[name]) }).end()
      return
    }
    const repository = find(datasets ? 'dataset' : 'model', name)
    const content = repository?.files[path]
    if (!repository || content === undefined) {
      response.writeHead(404, { 'x-error-code': repository ? 'EntryNotFound' : 'RepoNotFound' }).end()
      return
    }
    if (repository.gated && request.headers.authorization !== `Bearer ${TOKEN}`) {
      response.writeHead(401, { 'x-error-code': 'GatedRepo' }).end('Access to this repository is restricted.')
      return
    }
    response.setHeader('x-repo-commit', repository.commit)
    const { bytes, large, oid } = stored([path, content])
    if (!large) {
      send(request, response, bytes, oid)
      return
    }
    response
      .writeHead(302, {
        location: `/cdn/${name}/${path}`,
        'x-linked-size': bytes.length,
        'x-linked-etag': `"${oid}"`,
      })
      .end()
  }

  const cdn = (request: IncomingMessage, response: ServerResponse, url: URL): void => {
    for (const repository of repositories) {
      for (const [path, content] of Object.entries(repository.files)) {
        if (url.pathname !== `/cdn/${repository.name}/${path}`) continue
        const probe = request.headers.range === 'bytes=0-0'
        const cut = probe ? undefined : cuts.get(path)
        if (cut !== undefined) cuts.delete(path)
        send(request, response, damaged.get(path) ?? Buffer.from(content), 'cdn', cut)
        return
      }
    }
    response.writeHead(404).end()
  }

  const server = await serve((request, response) => {
    const url = new URL(request.url ?? '/', `http://${request.headers.host}`)
    const { range } = request.headers
    requests.push(`${request.method} ${url.pathname}${range ? ` [${range.replace('bytes=', '')}]` : ''}`)
    if (hub.failure !== undefined) response.writeHead(hub.failure).end()
    else if (url.pathname.startsWith('/api/')) api(request, response, url)
    else if (url.pathname.startsWith('/cdn/')) cdn(request, response, url)
    else resolve(request, response, url)
  })
  return Object.assign(hub, { url: server.url, requests, cuts, damaged, close: server.close })
}

export interface Served {
  readonly url: string
  /** What was asked for, in order, and with which headers. */
  readonly asked: { readonly path: string; readonly headers: IncomingHttpHeaders }[]
  close(): Promise<void>
  /** Listens again after `close`, at the same address. */
  open(): void
}

/** A server on the loopback interface that answers as `listener` does. */
export async function serve(listener: RequestListener): Promise<Served> {
  const asked: Served['asked'] = []
  const server = createServer((request, response) => {
    asked.push({ path: request.url ?? '', headers: request.headers })
    listener(request, response)
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the test server has no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    asked,
    open: () => void server.listen(address.port, '127.0.0.1'),
    async close() {
      const closed = new Promise<void>(done => server.close(() => done()))
      server.closeAllConnections()
      await closed
    },
  }
}

/** What a Hub is asked for, in this order: a revision's commit, the commit's files, and each file. */
export type Stage = 'revision' | 'tree' | 'resolve'

/** A commit for tests. */
export const COMMIT = '0123456789abcdef0123456789abcdef01234567'

/** A Hub with one model, `some/model`, which answers as it should but where a test answers in its place. */
export function serveModel(
  files: Readonly<Record<string, Uint8Array | string>>,
  instead: Partial<Record<Stage, RequestListener>>,
): Promise<Served> {
  return serve((request, response) => {
    const [, stage, path] = /\/(revision|tree|resolve)\/[^/?]+\/?([^?]*)/.exec(request.url ?? '') ?? []
    const other = instead[stage as Stage]
    if (other) return other(request, response)
    if (stage === 'revision') return response.end(JSON.stringify({ sha: COMMIT }))
    if (stage === 'tree') return response.end(JSON.stringify(listed(files)))
    const content = files[decodeURIComponent(path ?? '')]
    return content === undefined ? response.writeHead(404).end() : send(request, response, Buffer.from(content), 'etag')
  })
}

/** Files as the Hub lists them. */
export function listed(files: Readonly<Record<string, Uint8Array | string>>): object[] {
  return Object.entries(files)
    .map(stored)
    .map(({ path, bytes, large, oid }) => ({
      type: 'file',
      path,
      size: bytes.length,
      oid: large ? 'a'.repeat(40) : oid,
      ...(large && { lfs: { oid, size: bytes.length, pointerSize: 134 } }),
    }))
}

/** Has this process ask the Hub at `url`, without a token and with a cache of its own, until `vi.unstubAllEnvs`. */
export function stubHub(url: string, cacheDir: string): void {
  vi.stubEnv('HF_ENDPOINT', url)
  vi.stubEnv('HF_TOKEN', undefined)
  vi.stubEnv('HF_TOKEN_PATH', join(cacheDir, 'token'))
  vi.stubEnv('HF_HUB_OFFLINE', undefined)
  vi.stubEnv('HF_HUB_CACHE', cacheDir)
}
