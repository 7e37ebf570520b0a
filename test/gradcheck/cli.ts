// `npm run gradcheck`: the property tests as a table, one row per op and dtype, with the worst error of each net. Exit
// status 1 if an error exceeds its bar or an op has no case, with the counterexample as options that run it alone.
// --planted tests the tests: mistakes are made on purpose, one at a time, and each must be found.
import { parseArgs } from 'node:util'
import fc from 'fast-check'
import { bars } from '../../engine/gradcheck.ts'
import { type Device, UserError, currentDevice } from '../../engine/node/index.ts'
import { registeredOps } from '../../engine/graph.ts'
import { SEED } from '../support/seed.ts'
import { cases } from './cases.ts'
import type { Drawn, OpCase } from './draw.ts'
import { Explorer } from './explore.ts'
import { isFine, plantedHeader, plantedRow, plants, sow } from './planted/catch.ts'
import type { Plant } from './planted/plant.ts'
import { RUNS, onDevice, onHost } from './run.ts'

const HELP = `Checks the gradients and kernels of every op in three nets.

  --op NAME      only this op (or case: 'add of integers')
  --runs N       random checks a case (${RUNS})
  --seed N       draws others (${SEED})
  --draw JSON    one check alone, with the parameters that a miss printed; needs --op
  --planted      plants mistakes, one at a time, and shows which net finds each
  --plant TEXT   the checks with one mistake planted: the one whose place and words hold TEXT
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
  if (!Number.isInteger(number) || number < least)
    throw new UserError(`--${name} is ${text}, but a whole number from ${least} on was expected`)
  return number
}

function options() {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  try {
    return parseArgs({
      options: { op: text, runs: text, seed: text, draw: text, plant: text, adapter: text, planted: flag, help: flag },
    }).values
  } catch (error) {
    throw new UserError(error instanceof Error ? error.message : String(error))
  }
}

/** All nets of one draw; misses as lines. */
async function check(
  of: OpCase,
  drawn: Drawn,
  row: Row,
  number: number,
  explorer: Explorer,
  exhaustive: boolean,
): Promise<string[]> {
  const reports = onHost(drawn)
  for await (const report of onDevice(of, drawn, number, explorer, exhaustive)) reports.push(report())
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

/** The float that a draw is about, or the integer where it holds no other. */
const dtypeOf = ({ half, inputs }: Drawn): string =>
  half ? 'f16' : inputs.some(({ dtype }) => dtype === 'f32') ? 'f32' : inputs[0].dtype

const line = (cells: readonly string[]): string =>
  cells.map((cell, i) => (i === 0 ? cell.padEnd(28) : cell.padStart([0, 6, 7, 12, 10, 15, 15, 10][i]))).join('')

/** Prints the rows of one case; gives its misses. `exhaustive`: every draw through every config of its kernels. */
async function table(of: OpCase, draws: readonly Drawn[], exhaustive = false): Promise<string[]> {
  const misses: string[] = []
  const rows = new Map<string, Row>()
  const explorer = new Explorer()
  for (const [number, drawn] of draws.entries()) {
    const dtype = dtypeOf(drawn)
    const row = rows.get(dtype) ?? { tried: 0, worst: {}, least: Infinity, most: 0 }
    rows.set(dtype, row)
    misses.push(...(await check(of, drawn, row, number, explorer, exhaustive)))
  }
  for (const [dtype, { tried, worst, least, most }] of rows) {
    const error = (net: string): string => (net in worst ? worst[net].toExponential(1) : '–')
    console.log(
      line([
        of.name,
        dtype,
        `${tried}`,
        `${least}–${most}`,
        error('reference'),
        error('forward'),
        error('backward'),
        error('differences'),
      ]),
    )
  }
  return misses
}

/** Ops of the registry that no case draws: none, or the suite is not whole. */
function uncovered(): string[] {
  const drawn = new Set(cases.map(({ op }) => op))
  return registeredOps()
    .map(({ name }) => name)
    .filter(name => !drawn.has(name))
}

async function sowAll(device: Device): Promise<number> {
  console.log(plantedHeader)
  let [caught, hidden] = [0, 0]
  for (const plant of plants) {
    const outcome = await sow(plant, device)
    console.log(plantedRow(outcome))
    if (outcome.kind === 'hidden') hidden++
    else if (isFine(outcome)) caught++
  }
  const slipped = plants.length - caught - hidden
  console.log(
    `${caught} of ${plants.length} mistakes caught${hidden > 0 ? `, ${hidden} can't show on this adapter` : ''}${slipped > 0 ? `, ${slipped} slipped through` : ''}`,
  )
  return slipped === 0 ? 0 : 1
}

function plantNamed(text: string): Plant {
  const found = plants.filter(({ name, where }) => `${where}: ${name}`.includes(text))
  if (found.length === 1) return found[0]
  throw new UserError(
    `--plant ${text}: ${found.length === 0 ? 'there is no such mistake' : 'there are several'}: ${(found.length === 0 ? plants : found).map(({ name, where }) => `'${where}: ${name}'`).join(', ')}`,
  )
}

async function main(): Promise<number> {
  const { op, runs, seed, draw, planted, plant, adapter, help } = options()
  if (help) {
    console.log(HELP)
    return 0
  }
  if (adapter) process.env.TILEGRAD_ADAPTER = adapter
  const chosen = cases.filter(of => op === undefined || of.name === op || of.op === op)
  if (chosen.length === 0)
    throw new UserError(`--op ${op}: there is no such op; there are ${cases.map(of => of.name).join(', ')}`)
  const [runCount, from] = [whole('runs', runs, RUNS, 1), whole('seed', seed, SEED, 0)]
  const alone = draw === undefined ? undefined : chosen.find(of => of.name === op)
  if (draw !== undefined && !alone) throw new UserError('--draw needs the --op that it was printed with')
  const mistake = plant === undefined ? undefined : plantNamed(plant)
  const device = await currentDevice()
  console.log(
    `${device.info.name}; bars: net 1 ${bars.reference}, net 2 ${bars.device.f32}·√terms (f16 ${bars.device.f16}), net 3 ${bars.differences}`,
  )
  if (!device.traits.f16) console.log('f16 is left out: the adapter has no shader-f16')
  if (planted) return sowAll(device)
  if (mistake) console.log(`planted: ${mistake.where}: ${mistake.name}`)
  mistake?.make(device, () => {})

  console.log(line(['op', 'dtype', 'cases', 'elements', 'net 1', 'net 2 forward', 'net 2 backward', 'net 3']))
  const misses: string[] = []
  if (alone && draw !== undefined) misses.push(...(await table(alone, [alone.redraw(draw)], true)))
  else {
    for (const of of chosen) {
      misses.push(...(await table(of, fc.sample(of.draws(device.traits.f16), { numRuns: runCount, seed: from }))))
      if (of.why) console.log(`    nets ${of.nets.join(' and ')} alone: ${of.why}`)
    }
  }
  for (const miss of misses) console.log(`missed: ${miss}`)
  const without = uncovered()
  console.log(
    `${registeredOps().length} ops in the registry, ${registeredOps().length - without.length} with a case${without.length > 0 ? `; without: ${without.join(', ')}` : ', none without'}`,
  )
  console.log(misses.length === 0 ? 'all bars met' : `${misses.length} missed`)
  return misses.length === 0 && without.length === 0 ? 0 : 1
}

// Dawn's threads end with the process.
main().then(
  status => process.exit(status),
  (error: unknown) => {
    console.error(error instanceof UserError ? error.message : error)
    process.exit(error instanceof UserError ? 2 : 1)
  },
)
