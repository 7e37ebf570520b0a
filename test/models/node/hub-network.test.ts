// A Hub, or what stands in its place, that is silent, slow, endless or wrong: one line each, within the limits, and
// nothing outside of the cache. What passes by itself is tried again.
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import type { RequestListener, ServerResponse } from 'node:http'
import { type Server, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { UserError } from '../../../engine/errors.ts'
import { resolveModel } from '../../../models/node/hub.ts'
import type { HubLimits } from '../../../models/node/hub-limits.ts'
import { COMMIT, type Served, type Stage, listed, serveModel, stubHub } from '../../support/hub-server.ts'

const WEIGHTS = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7919) >> 4))
const FILES = { 'config.json': `{"a": 1}${' '.repeat(1000)}`, 'tokenizer.json': '{}', 'model.safetensors': WEIGHTS }
const STAGES: readonly Stage[] = ['revision', 'tree', 'resolve']

/** A user's limits, but for sizes and the pauses between tries. */
const LIMITS: Partial<HubLimits> = { answerBytes: 100_000, entries: 50, attempts: 2, backoff: 1 }
/** Those in a hundredth of the time, for what never ends by itself. */
const QUICK: Partial<HubLimits> = {
  attempts: 1,
  connect: 200,
  silence: 200,
  paceTime: 300,
  paceBytes: 1000,
  whole: 700,
}

let root = ''
let cacheDir = ''
const servers: { close(): unknown }[] = []
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'tilegrad-hostile-'))
  cacheDir = join(root, 'a', 'b', 'cache')
  await mkdir(cacheDir, { recursive: true })
})
afterEach(async () => {
  vi.unstubAllEnvs()
  for (const server of servers.splice(0)) await server.close()
  await rm(root, { recursive: true, force: true })
})

/** A Hub of one model that answers so, and is asked from here on. */
async function hubWith(instead: Partial<Record<Stage, RequestListener>>): Promise<Served> {
  const hub = await serveModel(FILES, instead)
  servers.push(hub)
  stubHub(hub.url, cacheDir)
  return hub
}

const resolve = (limits?: Partial<HubLimits>) => resolveModel('some/model', { limits: { ...LIMITS, ...limits } })

/** The one line that asking for the model ends in. */
async function complaint(limits?: Partial<HubLimits>): Promise<string> {
  const failure = await resolve(limits).then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(failure, failure instanceof Error ? failure.stack : 'no failure').toBeInstanceOf(UserError)
  const { message } = failure as UserError
  expect(message).toMatch(/^[^\p{Cc}]{1,499}$/u)
  return message
}

/** The model's weights, if they are whole. */
async function expectWhole(promise: ReturnType<typeof resolve>): Promise<void> {
  const { folder } = await promise
  expect((await readFile(join(folder, 'model.safetensors'))).equals(WEIGHTS)).toBe(true)
}

/** `listener` in the place of one stage. */
const at = (stage: Stage, listener: RequestListener): Partial<Record<Stage, RequestListener>> => ({ [stage]: listener })

const json =
  (value: unknown): RequestListener =>
  (_, response) =>
    void response.end(JSON.stringify(value))

/** A page of the list of files that names page `next` as the one after it. */
const page =
  (next: number, files: object[]): RequestListener =>
  (_, response) => {
    response.setHeader('link', `</tree/${COMMIT}/?page=${next}>; rel="next"`).end(JSON.stringify(files))
  }

/** Sends `piece` every `milliseconds` until the other side has had enough. */
function drip(response: ServerResponse, piece: string | Uint8Array, milliseconds: number): void {
  const timer = setInterval(() => response.write(piece), milliseconds)
  response.on('close', () => clearInterval(timer))
}

/** Sends `piece` for ever, as fast as it is taken. */
function pour(response: ServerResponse, piece: string | Uint8Array): void {
  const more = (): void => {
    while (!response.destroyed && response.write(piece));
  }
  response.on('drain', more)
  more()
}

describe('a Hub that', () => {
  test.each(STAGES)(
    'never answers, asked for %s',
    async stage => {
      await hubWith(at(stage, () => undefined))
      expect(await complaint(QUICK)).toMatch(
        /^http:\S+ can't be reached \((no response|the response was not complete) within \S+ s\), and model some\/model is not in the cache/,
      )
    },
    10_000,
  )

  test.each(STAGES)(
    'falls silent in the middle of its answer, asked for %s',
    async stage => {
      await hubWith(at(stage, (_, response) => void response.write('[')))
      expect(await complaint(QUICK)).toContain('no data for 0.2 s')
    },
    10_000,
  )

  test.each(STAGES)(
    'sends a byte at a time, asked for %s',
    async stage => {
      await hubWith(at(stage, (_, response) => drip(response, ' ', 50)))
      expect(await complaint(QUICK)).toMatch(/only \d+ bytes in 0\.\d+ s|the response was not complete within 0\.7 s/)
    },
    10_000,
  )

  test.each(STAGES)(
    'sends its headers a byte at a time, asked for %s',
    async stage => {
      await hubWith(
        at(stage, (_, { socket }) => {
          const timer = setInterval(() => socket?.write('x'), 50)
          socket?.write('HTTP/1.1 200 OK\r\nx-long: ')
          socket?.on('close', () => clearInterval(timer))
        }),
      )
      expect(await complaint(QUICK)).toMatch(/no response within|the response was not complete within/)
    },
    10_000,
  )

  test.each(STAGES)(
    'never ends its answer, asked for %s',
    async stage => {
      await hubWith(at(stage, (_, response) => pour(response, '[1,'.repeat(5000))))
      expect(await complaint()).toContain(
        stage === 'resolve' ? 'more bytes of a file than were announced' : 'a response of more than 100000 bytes',
      )
    },
    10_000,
  )

  test('announces a body that is too large', async () => {
    await hubWith({ tree: (_, response) => void response.writeHead(200, { 'content-length': 1e12 }).write('[') })
    expect(await complaint()).toContain('does not answer as the Hub does (a response of more than 100000 bytes)')
  })

  test('takes a long time for each of many pages', async () => {
    let pages = 0
    await hubWith({ tree: (...exchange) => void setTimeout(() => page(++pages, [])(...exchange), 100) })
    expect(await complaint({ listing: 500 })).toContain('the list of files was not complete within 0.5 s')
    expect(pages).toBeLessThan(10)
  }, 10_000)

  test.each([1, 2, 3])('has pages of a list in a circle of %i', async length => {
    let pages = 0
    const hub = await hubWith({ tree: (...exchange) => page(pages++ % length, [])(...exchange) })
    expect(await complaint()).toContain('a page of the list names an earlier one as the next')
    expect(hub.asked.length).toBeLessThanOrEqual(length + 2)
  })

  test('lists files without end', async () => {
    let pages = 0
    const files = listed(Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`${i}.txt`, ''])))
    await hubWith({ tree: (...exchange) => page(pages++, files)(...exchange) })
    expect(await complaint()).toContain('a list of more than 50 files')
    expect(pages).toBe(3)
  })

  test('redirects in a circle, or to nowhere', async () => {
    const hub = await hubWith({
      revision: (request, response) => response.writeHead(302, { location: request.url }).end(),
    })
    expect(await complaint()).toContain('does not answer as the Hub does (more than 10 redirects)')
    expect(hub.asked).toHaveLength(11)
    await hubWith({ revision: (_, response) => response.writeHead(302, { location: 'http://' }).end() })
    expect(await complaint()).toContain('a redirect without a valid address')
    await hubWith({ revision: (_, response) => response.writeHead(302).end() })
    expect(await complaint()).toContain('a redirect without a valid address')
  })

  test.each<[Stage, unknown]>([
    ...[
      null,
      3,
      'text',
      [],
      {},
      ...[null, 3, 'main', [COMMIT], `${COMMIT}\n`, '\u001b[2J'.repeat(10_000)].map(sha => ({ sha })),
    ].map((value): [Stage, unknown] => ['revision', value]),
    ...[
      null,
      3,
      'text',
      {},
      { length: 1 },
      [null],
      [3],
      ['x'],
      [[]],
      [{}],
      [{ type: 3, path: 'x' }],
      [{ type: 'file' }],
      ...[
        { path: 3 },
        { oid: undefined },
        { lfs: 3 },
        { xetHash: '..' },
        ...[undefined, -1, 0.5, 1e300, '8', null].map(size => ({ size })),
        ...['', 'x', 'A'.repeat(40), 'a'.repeat(39), 'a'.repeat(64), '../../../x'.padEnd(40, 'a'), null, 3].map(
          oid => ({ oid }),
        ),
        ...['', 'a'.repeat(40), '../'.padEnd(64, 'a'), null].map(oid => ({ lfs: { oid } })),
      ].map(wrong => [{ type: 'file', path: 'x', size: 1, oid: 'a'.repeat(40), ...wrong }]),
    ].map((value): [Stage, unknown] => ['tree', value]),
  ])('answers something else than what it was asked for, %s: %j', async (stage, value) => {
    await hubWith(at(stage, json(value)))
    expect(await complaint()).toMatch(
      /does not answer as the Hub does|names no commit|lists a file that can't be stored/,
    )
    expect(await readdir(cacheDir)).toEqual([])
  })

  test.each(STAGES)('speaks no HTTP, asked for %s', async stage => {
    await hubWith(at(stage, (_, { socket }) => void socket?.end('SSH-2.0-OpenSSH_9.2\r\n')))
    expect(await complaint()).toMatch(/does not answer as the Hub does \(HPE_\w+\)/)
  })

  test.each(STAGES)('compresses what it was not asked to, asked for %s', async stage => {
    await hubWith(at(stage, (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('x')))
    expect(await complaint()).toContain('although none was requested')
  })

  test.each([400, 404, 410, 418, 451])('answers %i is asked once', async status => {
    const hub = await hubWith({ revision: (_, response) => response.writeHead(status).end() })
    expect(await complaint()).toContain(status === 404 ? 'the Hub has no model' : `the Hub answers ${status}`)
    expect(hub.asked).toHaveLength(1)
  })

  test.each([408, 429, 500, 502, 503, 504])(
    'answers %i is asked again, until it has been often enough',
    async status => {
      let failures = 0
      const hub = await hubWith({
        revision: (request, response) => {
          if (failures++ < 2) response.writeHead(status).end()
          else json({ sha: COMMIT })(request, response)
        },
      })
      expect(await complaint({ attempts: 2 })).toBe(
        `the Hub answers ${status} to a request for model some/model; try again later`,
      )
      expect(hub.asked).toHaveLength(2)
      failures = 0
      await expectWhole(resolve({ attempts: 3 }))
    },
  )

  test('asks for patience is given it, up to a limit', async () => {
    let retryAfter = '1'
    const times: number[] = []
    const hub = await hubWith({
      revision: (request, response) => {
        times.push(performance.now())
        if (times.length === 2) json({ sha: COMMIT })(request, response)
        else response.writeHead(429, { 'retry-after': retryAfter }).end()
      },
    })
    await expectWhole(resolve({ retryAfter: 1000 }))
    expect(times[1] - times[0]).toBeGreaterThanOrEqual(990)
    await rm(cacheDir, { recursive: true })
    await mkdir(cacheDir)
    hub.asked.length = 0
    for (retryAfter of ['3600', new Date(Date.now() + 3_600_000).toUTCString()]) {
      expect(await complaint({ retryAfter: 1000 })).toMatch(
        /^the Hub answers 429 to a request for model some\/model; it asks to try again in 3\d{3} s$/,
      )
    }
    expect(hub.asked).toHaveLength(2)
  })

  test.each(STAGES)('cuts the connection once, asked for %s, is asked again', async stage => {
    let cut = false
    const model = await serveModel(FILES, {})
    servers.push(model)
    await hubWith(
      at(stage, (request, response) => {
        if (cut) return response.writeHead(307, { location: model.url + request.url }).end()
        cut = true
        return response.destroy()
      }),
    )
    await expectWhole(resolve())
    expect(cut).toBe(true)
  })
})

describe('a connection', () => {
  test('that is taken and never made safe is given up', async () => {
    const sockets: { destroy(): unknown }[] = []
    const server: Server = createServer(socket => sockets.push(socket))
    await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
    servers.push({
      close: () => {
        for (const socket of sockets) socket.destroy()
        server.close()
      },
    })
    const address = server.address()
    stubHub(`https://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`, cacheDir)
    expect(await complaint(QUICK)).toContain("can't be reached (no connection within 0.2 s)")
  }, 10_000)
})

describe('a file', () => {
  const range = (from: number): string => `bytes ${from}-${WEIGHTS.length - 1}/${WEIGHTS.length}`
  /** Answers a request for a part of the weights. */
  const part = (from: number, response: ServerResponse): ServerResponse =>
    response.writeHead(206, { 'content-range': range(from) }).end(WEIGHTS.subarray(from))
  const start = (range: string | undefined): number => Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0)
  const small = (request: Parameters<RequestListener>[0], response: ServerResponse): boolean => {
    const content = Object.entries(FILES).find(([path]) => request.url?.endsWith(path) && path !== 'model.safetensors')
    if (content) response.end(content[1])
    return content !== undefined
  }

  test('is taken up as often as it makes headway, and no more often than allowed without', async () => {
    let step = 100_000
    const starts: number[] = []
    await hubWith({
      resolve: (request, response) => {
        if (small(request, response)) return
        const from = start(request.headers.range)
        starts.push(from)
        response.writeHead(from ? 206 : 200, from ? { 'content-range': range(from) } : {})
        const end = (): unknown => (from + step < WEIGHTS.length ? response.destroy() : response.end())
        response.write(WEIGHTS.subarray(from, from + step), () => setTimeout(end, 200))
      },
    })
    await expectWhole(resolve({ attempts: 4 }))
    expect(starts).toEqual([0, 100_000, 200_000])
    await rm(cacheDir, { recursive: true })
    step = 1
    starts.length = 0
    expect(await complaint({ attempts: 3 })).toContain(
      'broke off at 3 of 300000 bytes (other side closed); the next try goes on from there',
    )
    expect(starts).toEqual([0, 1, 2])
  }, 20_000)

  test('of a server that goes away for a while is gone on with when it is back', async () => {
    const restart = async (): Promise<void> => {
      await hub.close()
      setTimeout(() => hub.open(), 30)
    }
    const hub = await hubWith({
      resolve: (request, response) => {
        if (small(request, response)) return
        const from = start(request.headers.range)
        if (from > 0) part(from, response)
        else response.write(WEIGHTS.subarray(0, 1000), () => setTimeout(() => void restart(), 20))
      },
    })
    await expectWhole(resolve({ attempts: 10, backoff: 10 }))
  })

  test('of a server that gives no parts comes again from its beginning', async () => {
    let cut = false
    await hubWith({
      resolve: (request, response) => {
        if (small(request, response)) return
        response.writeHead(200)
        if (cut) response.end(WEIGHTS)
        else response.write(WEIGHTS.subarray(0, 123_457), () => setTimeout(() => response.destroy(), 20))
        cut = true
      },
    })
    await expectWhole(resolve())
  })

  test.each<[string, string, (from: number, response: ServerResponse) => unknown]>([
    ['of which another part comes', 'another part of the file', (_, response) => part(5, response)],
    ['of another size', 'a file of 1000 bytes that was listed with', (_, response) => response.end('x'.repeat(1000))],
    [
      'that goes on after its end',
      'more bytes of a file than were announced',
      (_, response) => {
        response.write(WEIGHTS)
        response.end('and more')
      },
    ],
    [
      'that ends too early',
      'broke off at 1000 of 300000 bytes (the connection was closed)',
      (from, response) => {
        response.write(WEIGHTS.subarray(from, 1000))
        response.end()
      },
    ],
    [
      'whose bytes are others',
      'came damaged from the Hub',
      (_, response) => response.end(WEIGHTS.map(byte => byte ^ 1)),
    ],
  ])('%s is refused, and no part of it is shown', async (_, message, answer) => {
    await hubWith({
      resolve: (request, response) => {
        if (!small(request, response)) answer(start(request.headers.range), response)
      },
    })
    expect(await complaint()).toContain(message)
    const there = await readdir(cacheDir, { recursive: true })
    expect(there.filter(path => /snapshots.*safetensors|refs|blobs.[0-9a-f]{64}$/.test(path))).toEqual([])
  })

  test.each([
    '../x',
    '..',
    'a/../../x',
    '/x',
    '//x',
    'a//b',
    '',
    '.',
    './x',
    'a/',
    'C:x',
    'c:\\x',
    '..\\x',
    'a\\..\\..\\x',
    'a\0b',
    '\u001b[2Jx',
    'a\nb',
    '\u009bx',
    '\ud800',
    'x'.repeat(256),
    'é'.repeat(128),
    'd/'.repeat(600) + 'x',
    '../../../../../../../../../../../../tmp/tilegrad-escaped',
  ])('that is called %j is refused', async name => {
    await hubWith({ tree: json([...listed(FILES), { type: 'file', path: name, size: 1, oid: 'a'.repeat(40) }]) })
    expect(await complaint()).toContain("model some/model lists a file that can't be stored: ")
    expect(await readdir(root, { recursive: true })).toEqual(['a', 'a/b', 'a/b/cache'])
  })

  test('that needs more than the disk has is refused before it is fetched; so is a huge configuration', async () => {
    const huge = (path: string, size: number): RequestListener => {
      const file = { type: 'file', path, size, oid: 'a'.repeat(40), lfs: { oid: 'b'.repeat(64) } }
      return json([...listed({ 'config.json': '{}', 'tokenizer.json': '{}' }), file])
    }
    await hubWith({ tree: huge('model.safetensors', 1e15), resolve: (_, response) => void response.end('{}') })
    expect(await complaint()).toMatch(
      /^model\.safetensors of some\/model needs 1000 TB, and the disk of the cache \S+ has [\d.]+ [kMGT]?B free/,
    )
    await hubWith({ tree: huge('tokenizer_config.json', 1e9) })
    expect(await complaint()).toBe('tokenizer_config.json of some/model has 1000000000 bytes, too many for such a file')
  })
})

describe('a download that was ended from outside', () => {
  const hash = (): string => (listed({ 'model.safetensors': WEIGHTS })[0] as { lfs: { oid: string } }).lfs.oid
  const blobs = (): string => join(cacheDir, 'models--some--model', 'blobs')
  /** Leaves a part of the weights there as another process would have, and gives what of them is then asked for. */
  async function leave(rest: string, bytes: Uint8Array, minutesAgo = 0): Promise<(string | undefined)[]> {
    await rm(cacheDir, { recursive: true, force: true })
    await mkdir(blobs(), { recursive: true })
    const path = join(blobs(), `${hash()}.${rest}`)
    await writeFile(path, bytes)
    const time = Date.now() / 1000 - 60 * minutesAgo
    await utimes(path, time, time)
    const hub = await hubWith({})
    await expectWhole(resolve())
    return hub.asked.filter(({ path }) => path.includes('safetensors')).map(({ headers }) => headers.range)
  }
  /** This machine's name in such files, from one that is being written. */
  async function host(): Promise<string> {
    let found: string[] = []
    await hubWith({
      resolve: (_, response) => {
        void readdir(blobs()).then(names => {
          found = names
          response.destroy()
        })
      },
    })
    await complaint({ attempts: 1 })
    return /\.([0-9a-f]{8})-\d+-[0-9a-f]+\.incomplete$/.exec(found.join())?.[1] ?? ''
  }

  test('is gone on with, and what is left of it is cleared away', async () => {
    const dead = `${await host()}-${2 ** 30}-abcd.incomplete`
    expect(dead).toMatch(/^[0-9a-f]{8}-/)
    const some = WEIGHTS.subarray(0, 1000)
    expect(await leave(dead, some)).toEqual(['bytes=1000-299999'])
    expect(await readdir(blobs())).not.toContainEqual(expect.stringContaining('incomplete'))
    expect(await leave('tilegrad.incomplete', some)).toEqual(['bytes=1000-299999'])
    expect(await leave('incomplete', some, 11), "another tool's, long left").toEqual(['bytes=1000-299999'])
    // More than there can be: begun anew.
    expect(await leave(dead, Buffer.concat([WEIGHTS, WEIGHTS]))).toEqual([undefined])
  })

  test('is left alone while its process runs, on this machine or another', async () => {
    const mine = `${await host()}-${process.ppid}-abcd.incomplete`
    for (const rest of [mine, '00000000-1-abcd.incomplete', 'incomplete']) {
      expect(await leave(rest, WEIGHTS.subarray(0, 1000)), rest).toEqual([undefined])
      expect((await readFile(join(blobs(), `${hash()}.${rest}`))).length).toBe(1000)
    }
  })

  test('with other bytes than the Hub has is found out', async () => {
    await mkdir(blobs(), { recursive: true })
    await writeFile(join(blobs(), `${hash()}.tilegrad.incomplete`), 'x'.repeat(1000))
    await hubWith({})
    expect(await complaint()).toContain('came damaged from the Hub and was thrown away')
    await expectWhole(resolve())
  })

  test.skipIf(process.platform === 'win32')('is not followed where a link leads', async () => {
    const victim = join(root, 'victim')
    await writeFile(victim, 'precious')
    await mkdir(blobs(), { recursive: true })
    await symlink(victim, join(blobs(), `${hash()}.tilegrad.incomplete`))
    await hubWith({})
    await expectWhole(resolve())
    expect(await readFile(victim, 'utf8')).toBe('precious')
  })

  test('and left its file too short in its place is fetched again', async () => {
    await mkdir(blobs(), { recursive: true })
    await writeFile(join(blobs(), hash()), WEIGHTS.subarray(0, 10))
    await hubWith({})
    await expectWhole(resolve())
  })
})
