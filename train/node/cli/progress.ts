// Progress for people, on stderr only: a bar on a terminal, a plain line every few seconds elsewhere, also while nothing
// moves. Stdout belongs to results.
import { createRequire } from 'node:module'
import type * as bars from 'cli-progress'
import { printable } from '../../../engine/errors.ts'
import { Throughput } from '../../metrics/running.ts'

/** Figures shown beside the bar; those that are left out keep their last value. */
export interface Figures {
  readonly loss?: number
  /** A fraction, 0 to 1. */
  readonly accuracy?: number
  readonly examplesPerSecond?: number
  /** Where whoever shows progress knows better than the rate of steps tells. */
  readonly secondsLeft?: number
}

export interface ProgressOptions {
  /** Where to write; stderr unless told. Never stdout. */
  readonly stream?: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number }
  /** Seconds between lines if there is no terminal. */
  readonly interval?: number
  /** Milliseconds on a clock that never goes back. */
  readonly now?: () => number
}

/** Where a phase stands, for one line. */
interface Standing extends Figures {
  readonly phase: string
  readonly step: number
  /** Undefined if steps are not counted. */
  readonly total: number | undefined
  /** Seconds in which nothing moved, if there is reason to say so. */
  readonly waited?: number
}

/** Seconds as people say them: `8 s`, `3 min 05 s`, `2 h 07 min`. */
export function showDuration(seconds: number): string {
  const whole = Math.round(seconds)
  const two = (n: number) => String(n).padStart(2, '0')
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`
}

function describeFigures({ loss, accuracy, examplesPerSecond, secondsLeft, waited }: Standing): string[] {
  if (waited !== undefined) return [`waiting for ${showDuration(waited)}`]
  return [
    loss === undefined ? '' : `loss ${loss.toFixed(4)}`,
    accuracy === undefined ? '' : `accuracy ${(100 * accuracy).toFixed(1)} %`,
    examplesPerSecond === undefined ? '' : `${examplesPerSecond.toFixed(examplesPerSecond < 100 ? 1 : 0)} examples/s`,
    secondsLeft === undefined ? '' : `${showDuration(secondsLeft)} left`,
  ].filter(part => part !== '')
}

/** One line: `train 12/300 · loss 0.6931 · accuracy 51.2 % · 8.3 examples/s · 2 min 10 s left`. */
export function describeProgress(standing: Standing): string {
  const { phase, step, total } = standing
  return [total === undefined ? phase : `${phase} ${step}/${total}`, ...describeFigures(standing)].join(' · ')
}

/**
 * Shows the progress of a phase. `start` opens a phase (and ends the one before), `update` tells of steps done, `note`
 * prints a line between, `stop` ends the phase; on a terminal a timer runs until then, so call it whatever happens.
 */
export class Progress {
  readonly #stream: NonNullable<ProgressOptions['stream']>
  readonly #interval: number
  readonly #now: () => number
  #standing: Standing | undefined
  #bar: bars.SingleBar | undefined
  #steps: Throughput
  #printed = -Infinity
  /** When the phase last moved. */
  #moved = 0
  /** When anything was last printed. */
  #lastLine: number
  #timer: ReturnType<typeof setInterval> | undefined
  /** Whether the phase has had a step. */
  #began = false

  /** Throws a TypeError when the stream is stdout. */
  constructor({ stream = process.stderr, interval = 5, now = () => performance.now() }: ProgressOptions = {}) {
    if (stream === process.stdout) throw new TypeError('Progress goes to stderr: stdout is for results')
    this.#stream = stream
    this.#interval = interval * 1000
    this.#now = now
    this.#lastLine = now()
    this.#steps = new Throughput(30, now)
  }

  /**
   * Opens a phase of `total` steps, `done` of which are behind (a resumed run's). Without a total it is one whose steps
   * are not counted.
   */
  start(phase: string, total?: number, done = 0): void {
    this.stop()
    this.#standing = { phase, step: done, total }
    this.#began = false
    this.#printed = -Infinity
    this.#moved = this.#now()
    if (this.#stream.isTTY) {
      this.#bar = this.#makeBar()
      this.#bar.start(total ?? 0, done)
    } else this.#timer = setInterval(() => this.#printIfQuiet(), 1000).unref()
  }

  /** Tells that `step` steps of the phase are done. */
  update(step: number, figures: Figures = {}): void {
    if (!this.#standing) return
    const { total } = this.#standing
    const isNew = step !== this.#standing.step
    // What a phase's first step took says little of the others: drivers compile in it.
    if (this.#began) this.#steps.add(step - this.#standing.step, 0)
    else this.#steps = new Throughput(30, this.#now)
    this.#began = true
    const rate = this.#steps.recent.examplesPerSecond
    const secondsLeft = figures.secondsLeft ?? (rate > 0 && total !== undefined ? (total - step) / rate : undefined)
    // A figure that is undefined must not take the place of the last one.
    const known = Object.fromEntries(Object.entries(figures).filter(([, value]) => value !== undefined))
    this.#standing = { ...this.#standing, ...known, step, secondsLeft }
    this.#moved = this.#now()
    if (this.#bar) this.#bar.update(step)
    else if (this.#now() - this.#printed >= this.#interval || (isNew && step === total)) this.#printLine()
  }

  /** Prints a line of its own, above the bar if there is one. */
  note(line: string): void {
    this.#lastLine = this.#now()
    this.#stream.write(`${this.#bar ? '\r\x1b[K' : ''}${printable(line)}\n`)
    this.#bar?.render()
  }

  /** Ends the phase, leaving its last standing on the screen. Calling it twice does nothing more. */
  stop(): void {
    this.#bar?.stop()
    this.#bar = undefined
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#standing = undefined
  }

  #printLine(waited?: number): void {
    if (!this.#standing) return
    this.#printed = this.#now()
    this.#lastLine = this.#printed
    this.#stream.write(`${printable(describeProgress({ ...this.#standing, waited }))}\n`)
  }

  /** A line when there has been none for an interval, such as while a driver compiles. */
  #printIfQuiet(): void {
    const now = this.#now()
    if (!this.#standing || now - this.#lastLine < this.#interval) return
    const isWaiting = this.#moved <= this.#lastLine || !this.#began
    this.#printLine(isWaiting ? (now - this.#moved) / 1000 : undefined)
  }

  #makeBar(): bars.SingleBar {
    // Loaded only here: without a terminal there is no bar.
    const { SingleBar } = createRequire(import.meta.url)('cli-progress') as typeof bars
    return new SingleBar({
      stream: this.#stream,
      format: (_, { progress }) => this.#draw(progress),
      // Its signal handlers would end the process before Ctrl-C has written a checkpoint, and a process that dies with
      // the cursor hidden or wrapping off leaves the terminal so.
      gracefulExit: false,
      hideCursor: false,
      linewrap: true,
      fps: 5,
      emptyOnZero: true,
    })
  }

  /** The bar's line, cut to the terminal: one that wrapped could not be drawn over. */
  #draw(progress: number): string {
    if (!this.#standing) return ''
    const { phase, step, total } = this.#standing
    const filled = Math.round(20 * Math.min(1, Math.max(0, progress)))
    const bar = '█'.repeat(filled) + '░'.repeat(20 - filled)
    const counted = total === undefined ? phase : `${phase} ${bar} ${step}/${total}`
    const line = [counted, ...describeFigures(this.#standing)].join(' · ')
    return printable(line).slice(0, Math.max(1, (this.#stream.columns ?? 80) - 1))
  }
}

/** Shows downloads, each as a phase of its own: to be called with what is done of a file. */
export function downloadsOn(progress: Progress): (file: string, done: number, total: number) => void {
  let fetching: string | undefined
  return (file, done, total) => {
    if (file === fetching) progress.update(done)
    else progress.start(`download ${file} (bytes)`, total, done)
    fetching = file
  }
}
