// HTTP requests to the Hub and to the servers that it redirects to. None of them is trusted: responses may be wrong,
// stall or never end. The token is sent to the endpoint's own origin only, whatever a redirect says; there are no
// cookies. Every wait and every response has a limit, and failures that may be temporary are retried.
import * as http from 'node:http'
import * as https from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { UserError } from '../../engine/errors.ts'
import type { HubLimits } from './hub-limits.ts'
import { codeOf } from './regular-file.ts'

const MOST_REDIRECTS = 10
const MOST_PAGES = 1000

/** A request to the Hub that failed. `message` is only the reason, for the middle of a sentence. */
export class HubFailure extends Error {
  /** Whether a retry may succeed. */
  readonly temporary: boolean
  /** How long the server asks to wait before that, in milliseconds. */
  readonly retryAfter: number

  constructor(reason: string, temporary: boolean, retryAfter = 0) {
    super(reason)
    this.temporary = temporary
    this.retryAfter = retryAfter
  }
}

/** No connection, an untrusted one, or one that was closed or stalled. */
export class NoResponse extends HubFailure {}

/** A response with a status that is neither success nor a redirect. */
export class BadStatus extends HubFailure {
  readonly status: number
  /** Whether it is from the endpoint itself, not from a server that it redirects to. */
  readonly own: boolean

  constructor(status: number, own: boolean, retryAfter: number) {
    super(`status ${status}`, TEMPORARY_STATUS.includes(status), retryAfter)
    this.status = status
    this.own = own
  }
}

/** A response that the Hub would not send; the reason is empty if nothing more is known. */
export class UnexpectedResponse extends HubFailure {
  constructor(reason = '') {
    super(reason, false)
  }
}

const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308]
const TEMPORARY_STATUS: readonly number[] = [408, 429, 500, 502, 503, 504]
const TEMPORARY_CODE: readonly string[] = ['ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'EAI_AGAIN']

/** Names of this machine, which are not proxied. */
const LOOPBACK: readonly string[] = ['localhost', '127.0.0.1', '[::1]']

/** Whether a request to `url` is neither encrypted nor local. */
export function isOpenToAll({ protocol, hostname }: URL): boolean {
  return protocol !== 'https:' && !LOOPBACK.includes(hostname)
}

/**
 * Whether an endpoint may refer to `url`: by https to any server, by http to itself and, if it is http, to localhost.
 */
export function mayAsk(url: URL, endpointOrigin: string): boolean {
  if (url.protocol === 'https:') return true
  const toThisMachine = endpointOrigin.startsWith('http:') && !isOpenToAll(url)
  return url.protocol === 'http:' && (url.origin === endpointOrigin || toThisMachine)
}

interface HubResponse {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  /** The address after redirects. */
  readonly url: URL
  /** Throws a NoResponse if the connection is closed, stalls or is too slow. */
  readonly body: AsyncGenerator<Uint8Array>
  /** For a response whose body is not read. */
  close(): void
}

/** A client of one endpoint, with one token or none. */
export class HubClient {
  readonly #origin: string
  readonly #base: string
  readonly #token: string | undefined
  readonly #limits: HubLimits

  /** `endpoint` is an http(s) address without credentials. A token is not sent where others could read it. */
  constructor(endpoint: string, token: string | undefined, limits: HubLimits) {
    const url = new URL(endpoint)
    this.#base = endpoint
    this.#origin = url.origin
    this.#token = isOpenToAll(url) ? undefined : token
    this.#limits = limits
  }

  /** The JSON at a path below the endpoint. Throws a HubFailure. */
  async json(path: string): Promise<unknown> {
    return (await this.#page(new URL(this.#base + path))).value
  }

  /** All pages of a list, from a path below the endpoint on, item by item. Throws a HubFailure. */
  async *list(path: string): AsyncGenerator {
    const { entries, listing } = this.#limits
    const end = performance.now() + listing
    const seen = new Set<string>()
    let count = 0
    let url: URL | undefined = new URL(this.#base + path)
    while (url) {
      if (seen.has(url.href)) throw new UnexpectedResponse('a page of the list names an earlier one as the next')
      if (seen.size >= MOST_PAGES) throw new UnexpectedResponse(`a list of more than ${MOST_PAGES} pages`)
      if (performance.now() > end)
        throw new NoResponse(`the list of files was not complete within ${seconds(listing)}`, false)
      seen.add(url.href)
      const { value, next } = await this.#page(url)
      if (!Array.isArray(value)) throw new UnexpectedResponse('no list of files')
      count += value.length
      if (count > entries) throw new UnexpectedResponse(`a list of more than ${entries} files`)
      yield* value
      url = next
    }
  }

  /** The bytes of a file of `size` bytes from `start` on, exactly those. Throws a HubFailure, also while they are read. */
  async bytes(path: string, start: number, size: number): Promise<AsyncGenerator<Uint8Array>> {
    const range = start > 0 ? { range: `bytes=${start}-${size - 1}` } : undefined
    const response = await this.#get(new URL(this.#base + path), { accept: '*/*', ...range })
    const { 'content-encoding': encoding = 'identity', 'content-length': length } = response.headers
    const place = response.headers['content-range']
    const partial = response.status === 206
    const expected = partial ? size - start : size
    const refuse = (why: string): never => {
      response.close()
      throw new UnexpectedResponse(why)
    }
    if (encoding !== 'identity') refuse('a compressed file, although none was requested')
    if (partial && !place?.startsWith(`bytes ${start}-${size - 1}/`)) {
      refuse('another part of the file than was requested')
    }
    if (length !== undefined && Number(length) !== expected) {
      refuse(`a file of ${length} bytes that was listed with ${expected}`)
    }
    return exactly(response.body, partial ? 0 : start, size - start)
  }

  /** One JSON response, after retries if those may help, and the address of the next page that it names. */
  async #page(url: URL): Promise<{ value: unknown; next: URL | undefined }> {
    const { whole, answerBytes } = this.#limits
    const signal = AbortSignal.timeout(whole)
    try {
      return await retried(
        this.#limits,
        async () => {
          const response = await this.#get(url, { accept: 'application/json' }, signal)
          const text = await collect(response, answerBytes)
          return { value: parse(text), next: nextPage(response) }
        },
        signal,
      )
    } catch (error) {
      throw signal.aborted ? new NoResponse(`the response was not complete within ${seconds(whole)}`, false) : error
    }
  }

  /** Sends a request, follows redirects, and returns the response if its status is a success. */
  async #get(first: URL, headers: http.OutgoingHttpHeaders, signal?: AbortSignal): Promise<HubResponse> {
    let url = first
    for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
      url.username = ''
      url.password = ''
      if (!mayAsk(url, this.#origin)) {
        throw new UnexpectedResponse(`it redirects to ${url.protocol}//${url.host}, which is not https`)
      }
      const own = url.origin === this.#origin
      const authorization = own && this.#token !== undefined ? { authorization: `Bearer ${this.#token}` } : undefined
      const fixed = { 'user-agent': 'tilegrad', 'accept-encoding': 'identity' }
      const where = own ? '' : `${url.host}: `
      const message = await send(url, where, { ...headers, ...fixed, ...authorization }, this.#limits, signal)
      const {
        statusCode: status = 0,
        headers: { location },
      } = message
      if (status === 200 || status === 206) {
        const body = guarded(message, where, this.#limits)
        return { status, headers: message.headers, url, body, close: () => void message.destroy() }
      }
      message.destroy()
      if (!REDIRECTS.includes(status)) throw new BadStatus(status, own, retryAfter(message.headers))
      if (location === undefined || !URL.canParse(location, url))
        throw new UnexpectedResponse('a redirect without a valid address')
      url = new URL(location, url)
    }
    throw new UnexpectedResponse(`more than ${MOST_REDIRECTS} redirects`)
  }
}

/** Sends one request; resolves when the response's headers arrive. Messages begin with `where`: another server's name. */
function send(
  url: URL,
  where: string,
  headers: http.OutgoingHttpHeaders,
  { connect, silence }: HubLimits,
  signal?: AbortSignal,
): Promise<http.IncomingMessage> {
  useProxy()
  const secure = url.protocol === 'https:'
  return new Promise((resolve, reject) => {
    const request = (secure ? https : http).request(url, { headers, signal })
    const giveUp = (what: string, time: number, temporary: boolean): NodeJS.Timeout =>
      setTimeout(() => request.destroy(new NoResponse(`${where}${what} within ${seconds(time)}`, temporary)), time)
    // TCP retries by itself until then.
    const connecting = giveUp('no connection', connect, false)
    const responding = giveUp('no response', connect + silence, true)
    const settle = (): void => {
      clearTimeout(connecting)
      clearTimeout(responding)
    }
    request.on('socket', socket => {
      if (socket.connecting) socket.once(secure ? 'secureConnect' : 'connect', () => clearTimeout(connecting))
      else clearTimeout(connecting)
    })
    request.on('response', message => {
      settle()
      // Reading the body throws it; if nobody reads, it doesn't matter.
      message.on('error', () => undefined)
      resolve(message)
    })
    request.on('error', error => {
      settle()
      reject(failureOf(error, where))
    })
    request.end()
  })
}

/** A response's body; throws if it stalls or is too slow while it is awaited. */
async function* guarded(message: http.IncomingMessage, where: string, limits: HubLimits): AsyncGenerator<Uint8Array> {
  const { silence, paceTime, paceBytes } = limits
  const pieces: AsyncIterator<Uint8Array> = message[Symbol.asyncIterator]()
  let waited = 0
  let received = 0
  try {
    for (;;) {
      const stalled = new NoResponse(`${where}no data for ${seconds(silence)}`, true)
      const timer = setTimeout(() => message.destroy(stalled), silence)
      const before = performance.now()
      const next = await pieces.next().finally(() => clearTimeout(timer))
      if (next.done) return
      waited += performance.now() - before
      received += next.value.length
      if (waited >= paceTime) {
        if (received < paceBytes) throw new NoResponse(`${where}only ${received} bytes in ${seconds(waited)}`, true)
        waited = received = 0
      }
      yield next.value
    }
  } catch (error) {
    throw failureOf(error, where)
  } finally {
    message.destroy()
  }
}

/** `length` bytes of a body after the first `skip`: throws a HubFailure if there are more or fewer. */
async function* exactly(body: AsyncGenerator<Uint8Array>, skip: number, length: number): AsyncGenerator<Uint8Array> {
  let left = skip + length
  for await (const piece of body) {
    if (piece.length > left) throw new UnexpectedResponse('more bytes of a file than were announced')
    const wanted = piece.subarray(Math.min(piece.length, Math.max(0, left - length)))
    left -= piece.length
    if (wanted.length > 0) yield wanted
  }
  if (left > 0) throw new NoResponse('the connection was closed', true)
}

/** A body of metadata as text. */
async function collect({ headers, body, close }: HubResponse, most: number): Promise<string> {
  const pieces: Uint8Array[] = []
  let size = 0
  const tooLarge = (): UnexpectedResponse => new UnexpectedResponse(`a response of more than ${most} bytes`)
  if (headers['content-encoding'] !== undefined && headers['content-encoding'] !== 'identity') {
    close()
    throw new UnexpectedResponse('a compressed response, although none was requested')
  }
  if (Number(headers['content-length'] ?? 0) > most) {
    close()
    throw tooLarge()
  }
  for await (const piece of body) {
    size += piece.length
    if (size > most) throw tooLarge()
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString('utf8')
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new UnexpectedResponse()
  }
}

/** The address of `Link: <…>; rel="next"`. */
function nextPage({ headers: { link }, url }: HubResponse): URL | undefined {
  const [, next] = /<([^<>]*)>\s*;\s*rel="?next"?/i.exec(Array.isArray(link) ? link.join() : (link ?? '')) ?? []
  if (next === undefined) return undefined
  if (!URL.canParse(next, url)) throw new UnexpectedResponse('a next page at no address')
  return new URL(next, url)
}

/** Runs `work` until it succeeds, fails for good, or has been tried often enough. */
async function retried<T>(limits: HubLimits, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (!(await pauseAfter(error, attempt, limits, false, signal))) throw error
    }
  }
}

/**
 * Whether to retry after a failure of attempt number `attempt`, from 1; returns after the pause before the retry.
 * `worked`: an earlier request to this server succeeded.
 */
export async function pauseAfter(
  error: unknown,
  attempt: number,
  limits: HubLimits,
  worked = false,
  signal?: AbortSignal,
): Promise<boolean> {
  if (!(error instanceof HubFailure) || attempt >= limits.attempts) return false
  if (!error.temporary && !(worked && error instanceof NoResponse)) return false
  if (error.retryAfter > limits.retryAfter) return false
  // Spread out, so that many who failed together do not come back together.
  const backoff = limits.backoff * 2 ** (attempt - 1) * (0.75 + Math.random() / 2)
  return sleep(Math.max(error.retryAfter, backoff), true, { signal }).catch(() => false)
}

/** `Retry-After` in milliseconds, from seconds or from a date; 0 without one. */
function retryAfter({ 'retry-after': value = '' }: http.IncomingHttpHeaders): number {
  const time = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Number.isNaN(time) ? 0 : Math.max(0, time)
}

/** What a failed request or body means. */
function failureOf(error: unknown, where: string): HubFailure {
  if (error instanceof HubFailure) return error
  const code = codeOf(error) ?? ''
  if (code.startsWith('HPE_')) return new UnexpectedResponse(`${where}${code}`)
  const closed = code === 'ECONNRESET' || code === 'EPIPE'
  return new NoResponse(where + (closed ? 'other side closed' : reasonOf(error)), TEMPORARY_CODE.includes(code))
}

/** The innermost cause's code or message. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.cause instanceof Error) return reasonOf(error.cause)
  return codeOf(error) ?? error.message.split('\n')[0]
}

function seconds(milliseconds: number): string {
  return `${Number((milliseconds / 1000).toPrecision(2))} s`
}

let proxied = false

/**
 * From the first request on, this process goes through the proxy that HTTPS_PROXY or HTTP_PROXY names, except to the
 * hosts of NO_PROXY and to this machine itself. Throws a UserError if that is not a proxy's address.
 */
function useProxy(): void {
  // Older Nodes can't change their proxy while they run.
  if (proxied || !('setGlobalProxyFromEnv' in http)) return
  checkProxies(process.env)
  const { no_proxy, NO_PROXY, ...env } = process.env
  const direct = [no_proxy || NO_PROXY, ...LOOPBACK, '::1'].filter(Boolean).join()
  http.setGlobalProxyFromEnv({ ...env, no_proxy: direct })
  proxied = true
}

/** Throws a UserError if a proxy is none that Node can use: it ignores some of those, and would go without. */
export function checkProxies(env: Readonly<Record<string, string | undefined>>): void {
  for (const variable of ['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY']) {
    const url = env[variable] ?? ''
    // The address is not shown: it may hold a password.
    if (url !== '' && !(/^https?:\/\//i.test(url) && URL.canParse(url))) {
      throw new UserError(`${variable} names no proxy that can be used: write it as http://name:port`)
    }
  }
}
