// The token: it goes to the endpoint's own origin and nowhere else, whatever the Hub answers, and is shown nowhere.
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { UserError } from '../../../engine/errors.ts'
import { resolveModel } from '../../../models/node/hub.ts'
import { checkProxies, isOpenToAll, mayAsk } from '../../../models/node/hub-network.ts'
import { COMMIT, type Served, type Stage, TOKEN, listed, serve, serveModel, stubHub } from '../../support/hub-server.ts'

const FILES = { 'config.json': '{}', 'tokenizer.json': '{}', 'model.safetensors': 'weights' }
const limits = { attempts: 2, backoff: 1 }

let cacheDir = ''
const servers: Served[] = []
beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'tilegrad-secrets-'))
})
afterEach(async () => {
  vi.unstubAllEnvs()
  for (const server of servers.splice(0)) await server.close()
  await rm(cacheDir, { recursive: true, force: true })
})

/** A Hub of one model that answers so, asked with the token in HF_TOKEN. */
async function hubWith(instead: Partial<Record<Stage, RequestListener>>): Promise<Served> {
  const hub = await serveModel(FILES, instead)
  servers.push(hub)
  stubHub(hub.url, cacheDir)
  vi.stubEnv('HF_TOKEN', TOKEN)
  return hub
}

/** Another origin: the same machine at another port. */
async function elsewhere(listener: RequestListener): Promise<Served> {
  const server = await serve(listener)
  servers.push(server)
  return server
}

/** Asks for the model; its failure's message, or nothing. */
async function outcome(): Promise<string | undefined> {
  const failure = await resolveModel('some/model', { limits }).then(
    () => undefined,
    (error: unknown) => error,
  )
  if (failure !== undefined) expect(failure).toBeInstanceOf(UserError)
  return failure === undefined ? undefined : String(failure)
}

/** Everything that a server was told. */
const heard = (server: Served): string => JSON.stringify(server.asked)

/** Answers with JSON. */
const json =
  (value: unknown): RequestListener =>
  (_, response) =>
    void response.end(JSON.stringify(value))
/** Refers to the same path at another place. */
const redirect =
  (to: string, status = 302): RequestListener =>
  (request, response) =>
    response.writeHead(status, { location: to + request.url }).end()
const sha = json({ sha: COMMIT })
const content: RequestListener = (request, response) => {
  const name = new URL(request.url ?? '/', 'http://x').pathname.split('/').at(-1) ?? ''
  response.setHeader('etag', '"x"').end(Object.entries(FILES).find(([path]) => path === name)?.[1] ?? '')
}

describe('the token', () => {
  const stages: Record<Stage, RequestListener> = { revision: sha, tree: json(listed(FILES)), resolve: content }
  test.each([301, 302, 303, 307, 308])(
    'stays behind at a redirect of status %i to another origin, at any stage',
    async status => {
      for (const [stage, listener] of Object.entries(stages)) {
        const other = await elsewhere(listener)
        const hub = await hubWith({ [stage]: redirect(other.url, status) })
        expect(await outcome()).toBeUndefined()
        expect(hub.asked[0].headers.authorization).toBe(`Bearer ${TOKEN}`)
        expect(other.asked.length).toBeGreaterThan(0)
        expect(heard(other)).not.toContain(TOKEN)
        await rm(cacheDir, { recursive: true, force: true })
      }
    },
  )

  test('does not go to a server that a redirect leads to and that answers as a CDN', async () => {
    const other = await elsewhere((request, response) => {
      response.setHeader('x-cache', 'Hit from cloudfront')
      const size = FILES['model.safetensors'].length
      if (request.headers.range === 'bytes=0-0') response.writeHead(206, { 'content-range': `bytes 0-0/${size}` })
      content(request, response)
    })
    await hubWith({ resolve: redirect(other.url) })
    expect(await outcome()).toBeUndefined()
    expect(heard(other)).not.toContain(TOKEN)
  })

  test('does not go to the next page of a list that is at another origin', async () => {
    const other = await elsewhere(json(listed({ 'model.safetensors': 'weights' })))
    const { 'model.safetensors': _, ...rest } = FILES
    const hub = await hubWith({
      tree: (request, response) => {
        response.setHeader('link', `<${other.url}/next>; rel="next"`)
        json(listed(rest))(request, response)
      },
    })
    expect(await outcome()).toBeUndefined()
    expect(hub.asked.map(({ path }) => path).join()).toContain('model.safetensors')
    expect(other.asked).toHaveLength(1)
    expect(heard(other)).not.toContain(TOKEN)
  })

  test('does not go where a link of xet storage points', async () => {
    const other = await elsewhere(json({ accessToken: 'x', exp: 4e9, casUrl: 'http://127.0.0.1:1' }))
    await hubWith({
      resolve: (_, response) =>
        void response
          .writeHead(200, {
            'content-type': 'application/vnd.xet-fileinfo+json',
            'x-linked-size': 7,
            'x-xet-hash': 'a'.repeat(64),
            'etag': '"x"',
            'link': ['xet-auth', 'xet-reconstruction-info']
              .map(rel => `<${other.url}/v1/reconstructions/${rel}>; rel="${rel}"`)
              .join(),
          })
          .end('{}'),
    })
    await outcome()
    expect(heard(other)).not.toContain(TOKEN)
  })

  test('comes back where a redirect leads home again, and names and passwords of a redirect are not sent', async () => {
    const hub = await hubWith({
      revision: (request, response) =>
        request.url?.includes('again')
          ? sha(request, response)
          : response.writeHead(307, { location: `${other.url.replace('//', '//user:password@')}/there` }).end(),
    })
    const home = `${hub.url}/api/models/some/model/revision/again`
    const other = await elsewhere((_, response) => response.writeHead(307, { location: home }).end())
    expect(await outcome()).toBeUndefined()
    expect(other.asked.map(({ headers }) => headers.authorization)).toEqual([undefined])
    expect(hub.asked[1].headers.authorization).toBe(`Bearer ${TOKEN}`)
  })

  test('is no cookie, and cookies go nowhere', async () => {
    const other = await elsewhere(content)
    const hub = await hubWith({
      resolve: (request, response) => {
        response.setHeader('set-cookie', `token=${TOKEN}; Path=/`)
        redirect(other.url)(request, response)
      },
    })
    expect(await outcome()).toBeUndefined()
    const told = [...hub.asked, ...other.asked].map(({ headers }) => headers.cookie ?? headers.referer)
    expect(told.filter(value => value !== undefined)).toEqual([])
    expect(heard(other)).not.toContain(TOKEN)
  })

  test.each<[string, Partial<Record<Stage, RequestListener>>]>([
    ['a commit', { revision: json({ sha: TOKEN }) }],
    ['a file name', { tree: json([{ type: 'file', path: `../${TOKEN}`, size: 1 }]) }],
    ['a redirect', { tree: redirect(`ftp://${TOKEN}`) }],
    ['a status', { resolve: (_, response) => response.writeHead(500, TOKEN).end(TOKEN) }],
  ])('that the Hub repeats in %s is neither shown nor stored', async (_, instead) => {
    await hubWith(instead)
    const message = await outcome()
    expect(message).toMatch(/./)
    expect(message).not.toContain(TOKEN)
    for (const path of await readdir(cacheDir, { recursive: true })) {
      expect(path).not.toContain(TOKEN)
      expect(await readFile(join(cacheDir, path), 'utf8').catch(() => '')).not.toContain(TOKEN)
    }
  })

  test('comes from a regular file of moderate size, or not at all', async () => {
    await hubWith({})
    vi.stubEnv('HF_TOKEN', '')
    await writeFile(join(cacheDir, 'token'), 'x'.repeat(20_000))
    expect(await outcome()).toContain(`${join(cacheDir, 'token')} has 20000 bytes`)
    if (process.platform === 'win32') return
    vi.stubEnv('HF_TOKEN_PATH', '/dev/zero')
    expect(await outcome()).toContain('/dev/zero is not a regular file')
  })
})

describe('http without encryption', () => {
  test('is safe to send a token by on this machine only', () => {
    const open = [
      'http://hub.test',
      'http://10.0.0.1:8080',
      'http://127.0.0.1.evil.test',
      'http://localhost.evil.test',
      'http://[::2]',
      'http://127.0.0.2',
    ]
    const safe = [
      'https://hub.test',
      'http://localhost:3',
      'http://127.0.0.1:8080',
      'http://[::1]:1',
      'HTTP://LOCALHOST',
    ]
    expect(open.map(url => isOpenToAll(new URL(url)))).toEqual(open.map(() => true))
    expect(safe.map(url => isOpenToAll(new URL(url)))).toEqual(safe.map(() => false))
  })

  test.each(['http://hub.test/x', 'ftp://hub.test/x', 'file:///etc/passwd', 'data:application/json,{}'])(
    'is not what a redirect may lead to: %s',
    async location => {
      await hubWith({ revision: (_, response) => response.writeHead(302, { location }).end() })
      expect(await outcome()).toMatch(/does not answer as the Hub does \(it redirects to [^)]*, which is not https\)/)
    },
  )

  test('is not where an https endpoint may lead, not even on this machine', () => {
    const may = (to: string, endpoint: string): boolean => mayAsk(new URL(to), new URL(endpoint).origin)
    expect(
      ['http://hub.test/x', 'http://127.0.0.1:8080', 'http://localhost', 'ftp://hub.test', 'file:///x'].filter(to =>
        may(to, 'https://hub.test'),
      ),
    ).toEqual([])
    const places = [
      'https://cdn.test',
      'http://127.0.0.1:1',
      'http://hub.test/x',
      'http://cdn.test',
      'http://hub.test:81',
      'http://127.0.0.2',
    ]
    expect(places.filter(to => may(to, 'http://hub.test'))).toEqual(places.slice(0, 3))
  })
})

describe('a password in a setting is not shown', () => {
  test.each(['https://user:secret@hub.test', 'http://:secret@127.0.0.1:1', 'https://secret@hub.test'])(
    'HF_ENDPOINT=%s',
    async value => {
      stubHub(value, cacheDir)
      const message = await outcome()
      expect(message).toContain('HF_ENDPOINT names a user or a password')
      expect(message).not.toContain('secret')
    },
  )

  test('nor a token that was put into HF_ENDPOINT', async () => {
    stubHub('hf_secretsecret', cacheDir)
    expect(await outcome()).toContain('HF_ENDPOINT is "hf_…", not a URL')
  })

  test.each([
    'user:secret@proxy:1',
    'socks5://user:secret@proxy:1',
    'proxy secret',
    '//secret',
    'http://user:secret@:1',
  ])('nor that of a proxy that cannot be used: %s', value => {
    for (const variable of ['https_proxy', 'HTTP_PROXY']) {
      const check = (): void => checkProxies({ [variable]: value })
      expect(check).toThrow(`${variable} names no proxy that can be used`)
      expect(check).not.toThrow('secret')
    }
    expect(() => checkProxies({ http_proxy: 'http://user:secret@proxy:1', HTTPS_PROXY: '' })).not.toThrow()
  })
})
