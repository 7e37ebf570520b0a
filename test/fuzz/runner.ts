// Runs inputs in child processes, so that a hang, a crash or memory that runs full ends the child and not the fuzzer.
import { type ChildProcess, fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Answer, Order } from './child.ts'
import type { Verdict } from './judge.ts'
import { inputOf } from './mutate.ts'
import type { Target } from './target.ts'

/** Limits of one input. */
const HANG_MS = 5000
const MEMORY_MB = 1024
/** A child starts anew after so many inputs: what one leaves behind is not put down to another. */
const INPUTS_PER_CHILD = 5000

export interface Find {
  readonly target: string
  readonly verdict: Verdict
  readonly input: Uint8Array
  /** Inputs that ended so. */
  count: number
}

/** A child process and what it is doing. */
class Runner {
  #child: ChildProcess | undefined
  #left = 0

  async #start(): Promise<ChildProcess> {
    if (this.#child && this.#left > 0) return this.#child
    await this.end()
    const child = fork(join(import.meta.dirname, 'child.ts'), {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      execArgv: ['--max-old-space-size=768'],
    })
    this.#left = INPUTS_PER_CHILD
    this.#child = child
    await new Promise<void>((resolve, reject) => {
      let errors = ''
      child.stderr?.on('data', (piece: Buffer) => {
        errors = (errors + piece.toString()).slice(-2000)
      })
      child.once('message', () => resolve())
      child.once('exit', () => reject(new Error(`The fuzzer's child did not start: ${errors}`)))
    })
    return child
  }

  /** Has a child that waits for orders. */
  async ready(): Promise<void> {
    await this.#start()
  }

  async run(order: Order, patience = HANG_MS): Promise<Answer> {
    const child = await this.#start()
    this.#left--
    let peak = 0
    let overrun: Verdict | undefined
    const answer = new Promise<Answer>(resolve => {
      const settle = (found: Answer): void => {
        child.off('message', onMessage)
        child.off('exit', onExit)
        resolve(found)
      }
      const onMessage = (message: Answer): void => settle(message)
      const onExit = (code: number | null, signal: NodeJS.Signals | null): void => {
        this.#child = undefined
        const verdict = overrun ?? {
          kind: 'crash' as const,
          signature: `crash ${code ?? signal}`,
          detail: `the process ended with ${code ?? signal}`,
        }
        settle({ verdict, accepted: false })
      }
      child.on('message', onMessage)
      child.on('exit', onExit)
      child.send(order)
    })
    const timer = setTimeout(() => {
      overrun = { kind: 'hang', signature: 'hang', detail: `no answer within ${patience / 1000} s` }
      child.kill('SIGKILL')
    }, patience)
    const watch = setInterval(() => {
      void residentMegabytes(child.pid).then(size => {
        peak = Math.max(peak, size)
        if (peak <= MEMORY_MB || overrun) return
        overrun = { kind: 'memory', signature: 'memory', detail: `${Math.round(peak)} MB` }
        child.kill('SIGKILL')
      })
    }, 100)
    try {
      return await answer
    } finally {
      clearTimeout(timer)
      clearInterval(watch)
    }
  }

  async end(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child?.exitCode === null && child.signalCode === null) {
      const gone = new Promise(resolve => child.once('exit', resolve))
      child.disconnect()
      const timer = setTimeout(() => child.kill('SIGKILL'), 1000)
      await gone
      clearTimeout(timer)
    }
  }
}

/** Resident memory of a process, where the system tells; 0 elsewhere. */
async function residentMegabytes(pid: number | undefined): Promise<number> {
  const text = await readFile(`/proc/${pid}/statm`, 'utf8').catch(() => '0 0')
  return (Number(text.split(' ')[1]) * 4096) / 2 ** 20
}

export interface Report {
  readonly target: string
  runs: number
  /** Inputs that were taken, and not refused by a UserError. */
  accepted: number
  milliseconds: number
  /** The longest that one input took, in milliseconds. */
  slowest: number
}

export interface FuzzResult {
  readonly reports: readonly Report[]
  readonly finds: readonly Find[]
}

/**
 * Fuzzes the targets for so many seconds in `processes` child processes; each target gets the same time. The inputs
 * follow from `seed`; how many are tried depends on the time.
 */
export async function fuzz(
  targets: readonly Target[],
  {
    seconds,
    seed,
    processes,
    told,
  }: { seconds: number; seed: number; processes: number; told?: (line: string) => void },
): Promise<FuzzResult> {
  const reports = targets.map<Report>(({ name }) => ({
    target: name,
    runs: 0,
    accepted: 0,
    milliseconds: 0,
    slowest: 0,
  }))
  const finds = new Map<string, Find>()
  const runners = Array.from({ length: processes }, () => new Runner())
  // The time is for inputs: a child loads every parser first, which takes seconds on a busy machine.
  await Promise.all(runners.map(runner => runner.ready()))
  const end = performance.now() + 1000 * seconds
  const work = async (runner: Runner): Promise<void> => {
    try {
      while (performance.now() < end) {
        const report = reports.reduce((least, one) => (one.milliseconds < least.milliseconds ? one : least))
        const target = targets[reports.indexOf(report)]
        // A slice at a time, so that no two processes are at one input.
        const from = report.runs
        const slice = 20
        report.runs += slice
        for (let index = from; index < from + slice; index++) {
          if (performance.now() >= end) {
            report.runs -= from + slice - index
            break
          }
          const started = performance.now()
          const order = { target: target.name, seed, index }
          let answer = await runner.run(order)
          let took = performance.now() - started
          if (answer.verdict?.kind === 'hang') {
            // A busy machine may have been slow: once more, with more patience.
            const again = performance.now()
            answer = await runner.run(order, 3 * HANG_MS)
            took = Math.min(took, performance.now() - again)
          }
          report.milliseconds += performance.now() - started
          report.slowest = Math.max(report.slowest, took)
          if (answer.accepted) report.accepted++
          if (!answer.verdict) continue
          const key = `${target.name} ${answer.verdict.signature}`
          const known = finds.get(key)
          if (known) known.count++
          else {
            const input = inputOf(target, await target.seeds(), seed, index)
            told?.(`${target.name} ${index}: ${answer.verdict.signature}`)
            finds.set(key, { target: target.name, verdict: answer.verdict, input, count: 1 })
          }
        }
      }
    } finally {
      await runner.end()
    }
  }
  await Promise.all(runners.map(work))
  return { reports, finds: [...finds.values()] }
}

/** A smaller input with the same verdict: pieces are left out, halves first, as long as that helps. */
export async function minimise(find: Find, milliseconds = 10_000): Promise<Uint8Array> {
  const runner = new Runner()
  const end = performance.now() + milliseconds
  let best = find.input
  try {
    for (let size = best.length >> 1; size >= 1; size >>= 1) {
      for (let at = 0; at < best.length;) {
        if (performance.now() > end) return best
        const shorter = new Uint8Array(best.length - Math.min(size, best.length - at))
        shorter.set(best.subarray(0, at))
        shorter.set(best.subarray(at + size), at)
        const { verdict } = await runner.run({ target: find.target, input: shorter })
        if (verdict?.signature === find.verdict.signature) best = shorter
        else at += size
      }
    }
    return best
  } finally {
    await runner.end()
  }
}

export interface Given {
  readonly target: string
  readonly input: Uint8Array
  readonly name: string
}

/**
 * Runs given inputs and gives those that are finds. What takes longer than `patience`, in milliseconds, is tried once
 * more.
 */
export async function replay(
  inputs: readonly Given[],
  patience = HANG_MS,
): Promise<{ name: string; verdict: Verdict }[]> {
  const runner = new Runner()
  const bad: { name: string; verdict: Verdict }[] = []
  try {
    for (const { target, input, name } of inputs) {
      const order = { target, input }
      let { verdict } = await runner.run(order, patience)
      if (verdict?.kind === 'hang') ({ verdict } = await runner.run(order, 3 * patience))
      if (verdict) bad.push({ name, verdict })
    }
  } finally {
    await runner.end()
  }
  return bad
}

/** A short name for an input. */
export function nameOf(input: Uint8Array): string {
  return createHash('sha256').update(input).digest('hex').slice(0, 12)
}
