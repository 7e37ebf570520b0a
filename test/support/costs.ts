// Processor seconds of each test file as costs.json has them, and what follows from them: the order of a run, which files are quick, and
// how much of a run is left.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const path = join(import.meta.dirname, 'costs.json')

/** Seconds by path from the repository's root. */
export type Costs = Readonly<Record<string, number>>

export const recordedCosts = (): Costs => JSON.parse(readFileSync(path, 'utf8')) as Costs

/** Adds what was measured to costs.json; files that are gone leave it. */
export function recordCosts(measured: Costs): void {
  const kept = Object.entries({ ...recordedCosts(), ...measured }).filter(([file]) => existsSync(join(root, file)))
  const lines = kept.sort(([a], [b]) => (a < b ? -1 : 1)).map(([file, cost]) => `  ${JSON.stringify(file)}: ${Number(cost.toFixed(1))}`)
  writeFileSync(path, `{\n${lines.join(',\n')}\n}\n`)
}

/** What a file without a record may cost. */
const UNKNOWN = 5

export const costOf = (costs: Costs, file: string): number => costs[file] ?? UNKNOWN

/** What a quick file may cost, in seconds. */
export const QUICK = 2.5

/** Whether a file belongs to `npm run test:quick`: a new one does once it is measured. */
export const isQuick = (costs: Costs, file: string): boolean => costOf(costs, file) <= QUICK

/** A file and what it took. */
export interface Timed {
  readonly file: string
  /** Seconds of the clock. */
  readonly seconds: number
  /** Seconds of processor time; undefined where it was not measured. */
  readonly cost: number | undefined
}

/** Lines that name the `count` files that took longest. */
export function slowest(files: readonly Timed[], count = 10): string[] {
  return files.toSorted((a, b) => b.seconds - a.seconds).slice(0, count).map(({ file, seconds, cost }) =>
    `${seconds.toFixed(1).padStart(7)} s  ${cost === undefined ? '       –' : `${cost.toFixed(1).padStart(6)} s`}  ${file}`)
}

/**
 * How far a run is: `3 of 150 files, about 4 min left`. What is left is told by the costs of files that ended and of those that did not,
 * from a twentieth of the whole on.
 */
export function progress(costs: Costs, ended: readonly string[], all: readonly string[], seconds: number): string {
  const sum = (files: readonly string[]): number => files.reduce((total, file) => total + costOf(costs, file), 0)
  const [done, whole] = [sum(ended), sum(all)]
  const left = done === 0 ? Infinity : seconds * (whole - done) / done
  const files = `${ended.length} of ${all.length} files`
  if (done < whole / 20 || ended.length === all.length) return files
  return `${files}, about ${left < 90 ? `${Math.ceil(left / 10) * 10} s` : `${Math.round(left / 60)} min`} left`
}
