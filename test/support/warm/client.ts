// Runs commands of tilegrad in one child process (server.ts) of this one, which starts with the first of them and ends
// with this process.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export interface Request {
  readonly script: 'imdb' | 'tilegrad'
  readonly args: readonly string[]
  readonly cwd: string
  /** All of its environment. */
  readonly env: NodeJS.ProcessEnv
  /** What it reads from stdin. */
  readonly input: string
}

export interface Answer {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
  /** Seconds of processor time. */
  readonly seconds: number
}

let server: ChildProcess | undefined
let turn: Promise<unknown> = Promise.resolve()
let seconds = 0

/** Seconds of processor time that commands have taken so far. */
export const commandSeconds = (): number => seconds

/** How long a command may take, in ms: less than a test, so that the test fails with the command, and others still run. */
const LIMIT = 540_000

/**
 * Runs a command once those before it have ended. Throws if the process ends instead of answering, or takes longer than
 * `limit` ms: then it is killed, and the next command gets another.
 */
export function runWarm(request: Request, limit = LIMIT): Promise<Answer> {
  const answer = turn.then(() => ask(request, limit))
  turn = answer.catch(() => undefined)
  return answer
}

async function ask(request: Request, limit: number): Promise<Answer> {
  server ??= start(request.env)
  const child = server
  child.ref()
  const waiting = new AbortController()
  const { signal } = waiting
  const native: string[] = []
  const listen = (text: string): void => void native.push(text)
  child.stderr?.on('data', listen)
  let ending = 'the process ended'
  const killing = setTimeout(() => {
    ending = `killed, since it had not ended after ${limit / 1000} s`
    child.kill('SIGKILL')
  }, limit)
  try {
    child.send(request)
    const [answer] = await Promise.race([
      once(child, 'message', { signal }) as Promise<[Answer]>,
      once(child, 'exit', { signal }).then(([status, by]: (number | string | null)[]): never => {
        server = undefined
        throw new Error(`${request.args.join(' ')}: ${ending} (${status ?? by})\n${native.join('')}`)
      }),
    ])
    seconds += answer.seconds
    return answer
  } finally {
    clearTimeout(killing)
    waiting.abort()
    child.stderr?.off('data', listen)
    child.unref()
  }
}

function start(env: NodeJS.ProcessEnv): ChildProcess {
  const child = fork(fileURLToPath(new URL('./server.ts', import.meta.url)), [], {
    env,
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  child.stderr?.setEncoding('utf8')
  return child
}
