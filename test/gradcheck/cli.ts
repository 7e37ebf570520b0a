// `npm run gradcheck`: the property tests as a table, a row an op and dtype, with the worst error of each net. Exit status 1
// where a bar is missed, with the counterexample as options that run it alone.
import { parseArgs } from 'node:util'
import fc from 'fast-check'
import { bars } from '../../engine/gradcheck.ts'
import { UserError, currentDevice } from '../../engine/node.ts'
import { cases } from './cases.ts'
import type { Drawn, OpCase } from './draw.ts'
import { onDevice, onHost } from './run.ts'

const HELP = `Checks the gradients and kernels of every op in three nets.

  --op NAME      only this op (or case: 'add of integers')
  --runs N       random checks a case (12)
  --seed N       draws others (20260)
  --draw JSON    one check alone, with the parameters that a miss printed; needs --op
  --adapter NAME part of an adapter's name
  --help         this text`

interface Row {
  tried: number
  readonly worst: Record<string, number>
  least: number
  most: number
}

function whole(name: string, text: string | undefined, fallback: number, least: number): number {
  const number = text === undefined ? fallback : Number(text)
  if (!Number.isInteger(number) || number < least) throw new UserError(`--${name} is ${text}, but a whole number from ${least} on was expected`)
  return number
}

function options() {
  try {
    const names = { op: 'string', runs: 'string', seed: 'string', draw: 'string', adapter: 'string' } as const
    return parseArgs({
      options: { ...Object.fromEntries(Object.entries(names).map(([name, type]) => [name, { type }])) as { [K in keyof typeof names]: { type: 'string' } }, help: { type: 'boolean' } },
    }).values
  } catch (error) {
    throw new UserError(error instanceof Error ? error.message : String(error))
  }
}

/** All nets of one draw; misses as lines. */
async function check(of: OpCase, drawn: Drawn, row: Row, number: number): Promise<string[]> {
  const reports = onHost(drawn)
  for await (const report of onDevice(drawn, number)) reports.push(report)
  for (const { errors } of reports) {
    for (const [net, error] of Object.entries(errors)) row.worst[net] = Math.max(row.worst[net] ?? 0, error)
  }
  row.tried++
  for (const { size } of drawn.inputs) {
    row.least = Math.min(row.least, size)
    row.most = Math.max(row.most, size)
  }
  return reports.flatMap(({ misses }) => misses.map(miss => `--op '${of.name}' --draw '${drawn.text}'\n    ${miss}`))
}

async function main(): Promise<number> {
  const { op, runs, seed, draw, adapter, help } = options()
  if (help) {
    console.log(HELP)
    return 0
  }
  if (adapter) process.env.TILEGRAD_ADAPTER = adapter
  const chosen = cases.filter(of => op === undefined || of.name === op || of.op === op)
  if (chosen.length === 0) throw new UserError(`--op ${op}: there is no such op; there are ${cases.map(of => of.name).join(', ')}`)
  const [runCount, from] = [whole('runs', runs, 12, 1), whole('seed', seed, 20260, 0)]
  if (draw !== undefined && chosen.filter(of => of.name === op).length !== 1) throw new UserError('--draw needs the --op that it was printed with')
  const device = await currentDevice()
  console.log(`${device.info.name}; bars: net 1 ${bars.reference}, net 2 ${bars.device.f32}·√terms (f16 ${bars.device.f16}), net 3 ${bars.differences}`)
  if (!device.traits.f16) console.log('f16 is left out: the adapter has no shader-f16')
  const columns = ['op', 'dtype', 'cases', 'elements', 'net 1', 'net 2 forward', 'net 2 backward', 'net 3']
  const line = (cells: readonly string[]): string => cells.map((cell, i) => (i === 0 ? cell.padEnd(28) : cell.padStart([0, 6, 7, 12, 10, 15, 15, 10][i]))).join('')
  console.log(line(columns))
  const misses: string[] = []
  for (const of of chosen) {
    const rows = new Map<string, Row>()
    const draws = draw === undefined
      ? fc.sample(of.draws(device.traits.f16), { numRuns: runCount, seed: from })
      : [chosen.find(other => other.name === op)?.redraw(draw)].filter(one => one !== undefined)
    for (const [number, drawn] of draws.entries()) {
      const dtype = drawn.half ? 'f16' : drawn.inputs[0].dtype
      const row = rows.get(dtype) ?? { tried: 0, worst: {}, least: Infinity, most: 0 }
      rows.set(dtype, row)
      misses.push(...await check(of, drawn, row, number))
    }
    for (const [dtype, { tried, worst, least, most }] of rows) {
      const error = (net: string): string => (net in worst ? worst[net].toExponential(1) : '–')
      console.log(line([of.name, dtype, `${tried}`, `${least}–${most}`, error('reference'), error('forward'), error('backward'), error('differences')]))
    }
    if (of.why && draw === undefined) console.log(`    nets ${of.nets.join(' and ')} alone: ${of.why}`)
  }
  for (const miss of misses) console.log(`missed: ${miss}`)
  console.log(misses.length === 0 ? 'all bars met' : `${misses.length} missed`)
  device.close()
  return misses.length === 0 ? 0 : 1
}

// Dawn's threads end with the process.
main().then(status => process.exit(status), (error: unknown) => {
  console.error(error instanceof UserError ? error.message : error)
  process.exit(error instanceof UserError ? 2 : 1)
})
