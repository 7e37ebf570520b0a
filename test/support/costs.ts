// The processor time of each test file, from costs.json, and what is derived from it: the order of a run, which files
// are quick, and how much time is left.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const path = join(import.meta.dirname, 'costs.json')

/** Seconds by path from the repository's root. */
export type Costs = Readonly<Record<string, number>>

export const recordedCosts = (): Costs => JSON.parse(readFileSync(path, 'utf8')) as Costs

/** Writes what was measured to costs.json, and removes files that no longer exist. */
export function recordCosts(measured: Costs): void {
  const lines = Object.entries({ ...recordedCosts(), ...measured })
    .filter(([file]) => existsSync(join(root, file)))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([file, cost]) => `  ${JSON.stringify(file)}: ${Number(cost.toFixed(1))}`)
  writeFileSync(path, `{\n${lines.join(',\n')}\n}\n`)
}

/** What a file without a record is taken to cost: more than a quick one. */
const UNKNOWN = 5

export const costOf = (costs: Costs, file: string): number => costs[file] ?? UNKNOWN

/** What a quick file may cost, in seconds. */
const QUICK = 1.5

/** Whether a file belongs to `npm run test:quick`. A new file has to be measured first. */
export const isQuick = (costs: Costs, file: string): boolean => costOf(costs, file) <= QUICK

/** A test file and its times. */
export interface Timed {
  readonly file: string
  /** Wall-clock time. */
  readonly seconds: number
  /** Seconds of processor time; undefined where it was not measured. */
  readonly cost: number | undefined
}

/** A line for each of the `count` files that took longest. */
export function slowest(files: readonly Timed[], count = 10): string[] {
  return files
    .toSorted((a, b) => b.seconds - a.seconds)
    .slice(0, count)
    .map(({ file, seconds, cost }) => {
      const processor = cost === undefined ? '       –' : `${cost.toFixed(1).padStart(6)} s`
      return `${seconds.toFixed(1).padStart(7)} s  ${processor}  ${file}`
    })
}

/**
 * The progress of a run: `3 of 150 files, about 4 min left`. The time left is estimated from the costs of the files, once a
 * twentieth of the total cost is done.
 */
export function progress(costs: Costs, ended: readonly string[], all: readonly string[], seconds: number): string {
  const sum = (files: readonly string[]): number => files.reduce((total, file) => total + costOf(costs, file), 0)
  const [done, whole] = [sum(ended), sum(all)]
  const left = done === 0 ? Infinity : (seconds * (whole - done)) / done
  const files = `${ended.length} of ${all.length} files`
  if (done < whole / 20 || ended.length === all.length) return files
  return `${files}, about ${left < 90 ? `${Math.ceil(left / 10) * 10} s` : `${Math.round(left / 60)} min`} left`
}
