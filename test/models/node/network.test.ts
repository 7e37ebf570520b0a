// Networks that are not as one wishes: what stands in the Hub's place, settings that can't be, and proxies.
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer, request as httpRequest, type RequestListener, type Server } from 'node:http'
import * as http from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { UserError } from '../../../engine/errors.ts'
import { cachedModel, resolveModel } from '../../../models/node/hub.ts'
import { startHub } from '../../support/hub-server.ts'
import { imdb } from '../../support/tiny.ts'

const COMMIT = '0123456789abcdef0123456789abcdef01234567'

let root = ''
const servers: Server[] = []
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'tilegrad-network-'))
  for (const name of ['HF_TOKEN', 'HF_HUB_OFFLINE', 'HF_HOME', 'HUGGINGFACE_HUB_CACHE']) vi.stubEnv(name, undefined)
  vi.stubEnv('HF_TOKEN_PATH', join(root, 'token'))
  vi.stubEnv('HF_HUB_CACHE', join(root, 'cache'))
})
afterEach(async () => {
  vi.unstubAllEnvs()
  for (const server of servers.splice(0)) {
    server.close()
    server.closeAllConnections()
  }
  await rm(root, { recursive: true, force: true })
})

/** A server on the loopback interface. Gives its address. */
async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  servers.push(server)
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the test server has no port')
  return `http://127.0.0.1:${address.port}`
}

/** The one line that asking for a model ends in. */
async function complaint(): Promise<string> {
  const failure = await resolveModel('some/model', { limits: { backoff: 1 } }).then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(failure, String(failure)).toBeInstanceOf(UserError)
  const { message } = failure as UserError
  expect(message).not.toContain('\n')
  return message
}

const notHere = (): string => `model some/model is not in the cache ${join(root, 'cache')}`

describe('in the place of the Hub', () => {
  test('a page that wants a login is told', async () => {
    const url = await serve((_, response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Welcome!</html>'),
    )
    vi.stubEnv('HF_ENDPOINT', url)
    expect(await complaint()).toBe(
      `${url} does not answer as the Hub does, and ${notHere()}; does this network want a login?`,
    )
  })

  test('a page that only the listing meets is told', async () => {
    const url = await serve((request, response) =>
      request.url?.includes('/tree/')
        ? response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Log in again</html>')
        : response
            .writeHead(200, { 'content-type': 'application/json' })
            .end(JSON.stringify({ id: 'some/model', sha: COMMIT })),
    )
    vi.stubEnv('HF_ENDPOINT', url)
    expect(await complaint()).toContain(`${url} does not answer as the Hub does`)
  })

  test.each(['/revision/', '/tree/'])('a connection that is cut in an answer to …%s… is told', async part => {
    const url = await serve((request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 })
      if (!request.url?.includes(part)) response.end(JSON.stringify({ id: 'some/model', sha: COMMIT }).padEnd(1000))
      else response.write('[{"type": "file"', () => setTimeout(() => response.destroy(), 20))
    })
    vi.stubEnv('HF_ENDPOINT', url)
    expect(await complaint()).toBe(`${url} can't be reached (other side closed), and ${notHere()}`)
  })
})

describe('a setting', () => {
  test.each(['huggingface.co', 'localhost:8080', 'https://', 'ftp://mirror', '/mirror'])(
    'HF_ENDPOINT=%s is no address',
    async value => {
      vi.stubEnv('HF_ENDPOINT', value)
      const shown = JSON.stringify(value.replace(/\/+$/, ''))
      expect(await complaint()).toBe(`HF_ENDPOINT is ${shown}, not a URL: it must begin with https:// or http://`)
    },
  )

  test.each(['hf_abc…', 'hf_абв', 'hf_a b', 'hf_', 'secret'])(
    'HF_TOKEN=%s is no token, and is not shown',
    async token => {
      vi.stubEnv('HF_ENDPOINT', await serve((_, response) => response.writeHead(404).end()))
      vi.stubEnv('HF_TOKEN', token)
      expect(await complaint()).toBe('HF_TOKEN holds no token of the Hub: one is hf_ and plain letters and digits')
    },
  )

  test('HF_TOKEN may end in a line break', async () => {
    const seen: unknown[] = []
    vi.stubEnv(
      'HF_ENDPOINT',
      await serve((request, response) => {
        seen.push(request.headers.authorization)
        response.writeHead(404).end()
      }),
    )
    vi.stubEnv('HF_TOKEN', 'hf_test\n')
    expect(await complaint()).toBe('the Hub has no model some/model')
    expect(seen).toEqual(['Bearer hf_test'])
  })

  test('that is empty counts as unset: the cache lies where it does without it', async () => {
    vi.stubEnv('HF_HUB_CACHE', '')
    vi.stubEnv('HF_HOME', '')
    vi.stubEnv('XDG_CACHE_HOME', join(root, 'xdg'))
    const files = { 'config.json': '{}', 'model.safetensors': 'x' }
    const hub = await startHub([{ type: 'model', name: 'some/model', commit: COMMIT, files }])
    vi.stubEnv('HF_ENDPOINT', hub.url)
    const { folder } = await resolveModel('some/model')
    await hub.close()
    expect(folder).toBe(join(root, 'xdg/huggingface/hub/models--some--model/snapshots', COMMIT))
    vi.stubEnv('HUGGINGFACE_HUB_CACHE', join(root, 'older'))
    expect(await cachedModel('some/model')).toBeUndefined()
  })
})

/** A proxy for plain requests and tunnels that knows one name, and where that lies. */
async function startProxy(name: string, target: string): Promise<{ url: string; asked: string[]; tokens: unknown[] }> {
  const asked: string[] = []
  const tokens: unknown[] = []
  const { hostname, port } = new URL(target)
  const url = await serve((request, response) => {
    asked.push(request.url ?? '')
    tokens.push(request.headers.authorization)
    const { pathname, search, host } = new URL(request.url ?? '')
    if (host !== name) return response.writeHead(502).end()
    const onwards = httpRequest(
      { hostname, port, path: pathname + search, method: request.method, headers: request.headers },
      answer => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      },
    )
    return request.pipe(onwards)
  })
  servers.at(-1)?.on('connect', (request, socket) => {
    asked.push(request.url ?? '')
    if (request.url?.split(':')[0] !== name) return socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
    const onwards = connect(Number(port), hostname, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      onwards.pipe(socket).pipe(onwards)
    })
    socket.on('error', () => onwards.destroy())
    return onwards.on('error', () => socket.destroy())
  })
  return { url, asked, tokens }
}

describe.skipIf(!('setGlobalProxyFromEnv' in http))('behind a proxy', () => {
  /**
   * Asks for a model with these variables, from a process of its own. Gives what it says, which is that there is none.
   */
  async function ask(env: Readonly<Record<string, string>>): Promise<string> {
    const cwd = join(root, 'work')
    await mkdir(cwd, { recursive: true })
    const names = ['http_proxy', 'https_proxy', 'no_proxy'].flatMap(name => [name, name.toUpperCase()])
    const cleared = Object.fromEntries(names.map(name => [name, undefined]))
    const args = ['--model', 'some/model', '--data', 'some/data', '--dry-run']
    const options = { cwd, env: { ...cleared, HF_HUB_OFFLINE: '', ...env }, ownProcess: true }
    const { status, stderr } = await imdb(args, options)
    expect(status, stderr).toBe(2)
    return stderr
  }

  test('the Hub is asked through it; not so hosts of NO_PROXY, nor this machine', async () => {
    const hub = await startHub([])
    const proxy = await startProxy('hub.test', hub.url)
    const none = 'tilegrad: the Hub has no public model some/model; if it is private, set HF_TOKEN\n'
    expect(await ask({ HF_ENDPOINT: 'http://hub.test', HTTP_PROXY: proxy.url })).toBe(none)
    expect(proxy.asked.join()).toContain('hub.test')
    expect(hub.requests).toHaveLength(1)

    expect(await ask({ HF_ENDPOINT: 'http://hub.test', HTTP_PROXY: proxy.url, HF_TOKEN: 'hf_test' })).toBe(
      'tilegrad: http://hub.test wants a token for model some/model; the one in HF_TOKEN is sent only by https\n',
    )
    expect(proxy.tokens, 'nor is a token shown to it').toEqual([undefined, undefined])

    proxy.asked.length = 0
    expect(await ask({ HF_ENDPOINT: hub.url, HTTP_PROXY: proxy.url })).toBe(none)
    expect(
      await ask({ HF_ENDPOINT: 'http://hub.test', HTTP_PROXY: proxy.url, NO_PROXY: 'other.test,hub.test' }),
    ).toContain("tilegrad: http://hub.test can't be reached")
    expect(proxy.asked).toEqual([])
    await hub.close()
  })

  test('whose address is none, or where nobody listens, it is told in one line', async () => {
    expect(await ask({ HF_ENDPOINT: 'http://hub.test', HTTP_PROXY: 'no scheme' })).toBe(
      'tilegrad: HTTP_PROXY names no proxy that can be used: write it as http://name:port\n',
    )
    expect(await ask({ HF_ENDPOINT: 'https://hub.test', HTTPS_PROXY: 'http://127.0.0.1:1' })).toMatch(
      /^tilegrad: https:\/\/hub\.test can't be reached \(\w+\)[^\n]*\n$/,
    )
  })
})
