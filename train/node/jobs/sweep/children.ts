// Workers on this machine: child processes of the sweep's. A message stops one at a checkpoint; one that died is
// replaced, and its trial given to whoever is next at once.
import { type ChildProcess, spawn } from 'node:child_process'
import { hostname } from 'node:os'
import { extname } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Measured, measuredIn } from './estimate.ts'
import type { Times } from './times.ts'

/** How often workers may die in a row, none of them having taken a trial. */
const MOST_DEATHS = 3

/** What workers on this machine are told. */
export interface LocalSettings {
  /** Part of an adapter's name. */
  readonly adapter?: string
  /** The address of a PostgreSQL server; PGlite in the folder when left out. */
  readonly database?: string
  /** A folder for checkpoints that all workers see. */
  readonly store?: string
  readonly times?: Times
}

interface LocalOptions extends LocalSettings {
  readonly folder: string
  readonly sweep: string
  /** Called with the name of a worker that died, before another takes its place. Gives whether it had a trial. */
  readonly onDeath: (name: string) => Promise<boolean>
  readonly tell: (line: string) => void
}

/** The message that stops a worker. */
export const STOP = 'stop'

/** In the environment of a worker that measures a few steps before it begins, and sends what they take. */
export const MEASURE = 'TILEGRAD_MEASURE'

export class LocalWorkers {
  readonly #options: LocalOptions
  readonly #children = new Set<ChildProcess>()
  readonly #ends = new Set<Promise<void>>()
  #wanted = 0
  #deaths = 0
  #isStopping = false
  #lastWords: string | undefined

  constructor(options: LocalOptions) {
    this.#options = options
  }

  /** How many were started. */
  get wanted(): number {
    return this.#wanted
  }

  /** Whether one of them still works, or is about to. */
  get isAnyLeft(): boolean {
    return this.#ends.size > 0
  }

  /** The last line that a worker said before it ended for a reason of its own. */
  get lastWords(): string | undefined {
    return this.#lastWords
  }

  /** Starts this number of workers. If `onMeasured` is given, the first measures steps before the others start. */
  async start(count: number, onMeasured?: (measured: Measured) => void): Promise<void> {
    this.#wanted = count
    if (count > 0) {
      const first = this.#start(onMeasured !== undefined)
      if (onMeasured) await this.#measured(first).then(measured => measured && onMeasured(measured))
    }
    for (let i = 1; i < count && !this.#isStopping; i++) this.#start()
  }

  /** What a worker measures; undefined if it begins, or ends, without measuring. */
  #measured(child: ChildProcess): Promise<Measured | undefined> {
    return new Promise(done => {
      child.on('message', message => done(measuredIn(message)))
      child.once('close', () => done(undefined))
    })
  }

  /** Ends all, with checkpoints. */
  stop(): void {
    this.#isStopping = true
    for (const child of this.#children) if (child.connected) child.send(STOP)
  }

  /** Ends what is left at once. */
  kill(): void {
    this.#isStopping = true
    for (const child of this.#children) child.kill('SIGKILL')
  }

  /** Waits until all have ended. */
  async ended(): Promise<void> {
    while (this.#ends.size > 0) await Promise.all(this.#ends)
  }

  /** Waits this number of milliseconds, or until one ends. */
  async pause(milliseconds: number): Promise<void> {
    const timer = new AbortController()
    const waiting = sleep(milliseconds, undefined, { signal: timer.signal }).catch(() => undefined)
    await Promise.race([waiting, ...this.#ends])
    timer.abort()
  }

  #start(measures = false): ChildProcess {
    const child = this.#spawn(measures)
    this.#children.add(child)
    let last = ''
    if (child.stderr) {
      createInterface({ input: child.stderr }).on('line', line => {
        if (/^(Warning: maxDynamic|\s*$)/.test(line)) return
        last = line
        this.#options.tell(line)
      })
    }
    const end = new Promise<void>(done => {
      child.once('close', (status, signal) => {
        this.#children.delete(child)
        void this.#onEnd(child, status, signal, last).finally(() => {
          this.#ends.delete(end)
          done()
        })
      })
    })
    this.#ends.add(end)
    return child
  }

  #spawn(measures: boolean): ChildProcess {
    const { folder, sweep, database, adapter, store, times } = this.#options
    const script = fileURLToPath(new URL(`../../cli/tilegrad${extname(import.meta.url)}`, import.meta.url))
    const args = ['worker', `--out=${folder}`, `--sweep=${sweep}`]
    if (adapter !== undefined) args.push(`--adapter=${adapter}`)
    if (store !== undefined) args.push(`--store=${store}`)
    if (times) args.push(`--cut-after=${times.slice}`)
    return spawn(process.execPath, [script, ...args], {
      // Through the environment: an address may have a password, and arguments are for all to see.
      env: { ...process.env, TILEGRAD_DATABASE: database ?? folder, [MEASURE]: measures ? '1' : undefined },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // In a group of their own, so that Ctrl-C reaches this process alone, which then stops them.
      detached: true,
    })
  }

  async #onEnd(child: ChildProcess, status: number | null, signal: string | null, last: string): Promise<void> {
    if (status === 0) return
    const hadTrial = await this.#options.onDeath(`${hostname()}-${child.pid}`)
    if (this.#isStopping) return
    if (status === 2 || status === 3) {
      this.#lastWords = last.replace(/^tilegrad: /, '')
      return
    }
    this.#deaths = hadTrial ? 0 : this.#deaths + 1
    if (this.#deaths > MOST_DEATHS) {
      this.#lastWords = `workers end before they begin: ${signal ?? `status ${status}`}`
      return
    }
    this.#options.tell(`A worker was ended by ${signal ?? `status ${status}`}; another one takes its place.`)
    this.#start()
  }
}
