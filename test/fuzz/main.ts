// `npm run fuzz -- --seconds 600 --seed 1 [--target csv] [--processes 2] [--out <folder>]`: damaged and hostile input
// for every parser. Ends with a table; finds are made smaller and stored, and the status is 1 where there are any.
import { mkdir, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { fuzz, minimise, nameOf } from './runner.ts'
import { targets } from './targets/index.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    target: { type: 'string' },
    processes: { type: 'string', default: String(Math.min(4, availableParallelism())) },
    out: { type: 'string', default: join(import.meta.dirname, '../../.cache/fuzz') },
  },
})

function numberOf(option: string, text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 0) throw new Error(`--${option} takes a whole number, not ${text}`)
  return value
}

const [seconds, seed, processes] = [
  numberOf('seconds', values.seconds),
  numberOf('seed', values.seed),
  numberOf('processes', values.processes),
]
const chosen = targets.filter(
  ({ name }) => values.target === undefined || name.split('/')[0] === values.target || name === values.target,
)
if (chosen.length === 0) {
  process.stderr.write(`No target ${values.target}; there are ${targets.map(({ name }) => name).join(', ')}\n`)
  process.exit(2)
}
process.stdout.write(`Seed ${seed}, ${seconds} s, ${processes} processes, ${chosen.length} targets\n`)
const { reports, finds } = await fuzz(chosen, {
  seconds,
  seed,
  processes,
  told: line => process.stdout.write(`found: ${line}\n`),
})

const width = Math.max(6, ...reports.map(({ target }) => target.length))
process.stdout.write(`\n${'target'.padEnd(width)}    inputs  accepted  per second  slowest  finds\n`)
for (const { target, runs, accepted, milliseconds, slowest } of reports) {
  const found = finds.filter(find => find.target === target).length
  const rate = milliseconds === 0 ? 0 : (1000 * runs) / milliseconds
  process.stdout.write(
    `${target.padEnd(width)}  ${String(runs).padStart(8)}  ${String(accepted).padStart(8)}  ${rate.toFixed(0).padStart(10)}  ` +
      `${`${(slowest / 1000).toFixed(1)} s`.padStart(7)}  ${String(found).padStart(5)}\n`,
  )
}
for (const find of finds) {
  const folder = join(values.out, find.target)
  await mkdir(folder, { recursive: true })
  const smaller = await minimise(find)
  const path = join(folder, nameOf(smaller))
  await writeFile(path, smaller)
  process.stdout.write(
    `\n${path} (${find.target}, ${smaller.length} bytes, ${find.count} inputs): ${find.verdict.kind}\n${find.verdict.detail}\n`,
  )
}
process.exitCode = finds.length > 0 ? 1 : 0
