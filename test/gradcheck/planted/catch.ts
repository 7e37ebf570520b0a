// Runs the property tests with a mistake planted: draw by draw, net by net, the same checks as ever, until one misses.
import fc from 'fast-check'
import type { GradientCheckReport } from '../../../engine/gradcheck.ts'
import type { Device } from '../../../engine/runtime/device.ts'
import { SEED } from '../../support/seed.ts'
import { cases } from '../cases.ts'
import type { Drawn, OpCase } from '../draw.ts'
import { Explorer } from '../explore.ts'
import { RUNS, onDevice, onHost } from '../run.ts'
import { wrongKernels } from './kernels.ts'
import { type Plant, withoutKernels } from './plant.ts'
import { wrongRules } from './rules.ts'

export { wrongKernels, wrongRules }
export const plants: readonly Plant[] = [...wrongRules, ...wrongKernels]

export type Outcome =
  /**
   * Of `draw` (from 1), what nets said; the draw as options of the command line; what the same draw says without the
   * mistake.
   */
  | {
      readonly kind: 'caught'
      readonly plant: Plant
      readonly draw: number
      readonly reports: readonly GradientCheckReport[]
      readonly alone: string
      readonly control: readonly string[]
    }
  | { readonly kind: 'hidden'; readonly plant: Plant; readonly why: string }
  | { readonly kind: 'slipped through'; readonly plant: Plant; readonly why: string }

/** A draw of a case, and its number. */
interface Asked {
  readonly of: OpCase
  readonly drawn: Drawn
  readonly number: number
}

/**
 * Everything that is asked of a draw, until something misses or there are `most` reports: all of net 1, then the
 * device, report by report. If `chosen` has numbers of the device's reports, only those are given.
 */
async function reportsOf(
  { of, drawn, number }: Asked,
  device: Device,
  explorer: Explorer,
  chosen?: ReadonlySet<number>,
  most = Infinity,
): Promise<GradientCheckReport[]> {
  const reports = onHost(drawn)
  const asking = onDevice(of, drawn, number, explorer)
  for (let count = 0; reports.length < most && reports.every(({ ok }) => ok); count++) {
    const isChosen = chosen?.has(count) ?? true
    // The others still choose kernels, so that those of the next are what they would be.
    const putBack = isChosen ? undefined : withoutKernels(device)
    const { done, value } = await asking.next().finally(putBack)
    if (done) break
    if (isChosen) reports.push(value())
  }
  return reports
}

/**
 * Numbers of the device's reports on a draw for which a mistake in shaders changes any. Compiling is most of what a
 * report costs, so no shader is compiled for this.
 */
async function reportsWith(
  plant: Plant,
  { of, drawn, number }: Asked,
  device: Device,
  explorer: Explorer,
): Promise<Set<number>> {
  const changed = new Set<number>()
  let count = 0
  const putBack = withoutKernels(device)
  const takeBack = plant.make(device, () => changed.add(count))
  try {
    for await (const _ of onDevice(of, drawn, number, explorer)) count++
  } finally {
    takeBack()
    putBack()
  }
  return changed
}

export function caseOf({ name, of }: Plant): OpCase {
  const found = cases.find(one => one.name === of)
  if (!found) throw new Error(`${name}: there is no case ${of}`)
  return found
}

/** Plants one mistake, draws what the tests draw until a net misses, and takes it back. */
export async function sow(plant: Plant, device: Device): Promise<Outcome> {
  const why = plant.hidden?.(device)
  if (why) return { kind: 'hidden', plant, why }
  const of = caseOf(plant)
  const explorer = new Explorer()
  const draws = fc.sample(of.draws(device.traits.f16), { numRuns: RUNS, seed: SEED })
  let times = 0
  for (const [number, drawn] of draws.entries()) {
    const asked = { of, drawn, number }
    const before = explorer.copy()
    const chosen = plant.rewrite && (await reportsWith(plant, asked, device, explorer))
    if (chosen?.size === 0) continue
    const takeBack = plant.make(device, () => {
      times++
    })
    let reports: GradientCheckReport[]
    try {
      reports = await reportsOf(asked, device, chosen ? before.copy() : explorer, chosen)
    } catch (error) {
      // An exception is not a report of a net.
      return {
        kind: 'slipped through',
        plant,
        why: `draw ${number + 1} threw: ${error instanceof Error ? error.message : String(error)}`,
      }
    } finally {
      takeBack()
    }
    if (reports.every(({ ok }) => ok)) continue
    if (times === 0) break
    // The same questions again, and no more: what else the draw could ask is asked in device-*.test.ts.
    const control = (await reportsOf(asked, device, before, chosen, reports.length)).flatMap(({ misses }) => misses)
    return {
      kind: 'caught',
      plant,
      draw: number + 1,
      reports,
      alone: `--op '${plant.of}' --draw '${drawn.text}'`,
      control,
    }
  }
  return {
    kind: 'slipped through',
    plant,
    why:
      times === 0
        ? `never made: ${draws.length} draws of ${plant.of} hold nothing that it changes`
        : `made ${times} times in ${draws.length} draws of ${plant.of}, and no net missed`,
  }
}

const NETS = [
  ['net 1', ['reference']],
  ['net 2', ['forward', 'backward']],
  ['net 3', ['differences']],
] as const

/** By net: the worst error beside what it may be; nothing where the net did not run. */
export function worstOf(reports: readonly GradientCheckReport[]): { net: string; text: string; missed: boolean }[] {
  return NETS.map(([net, names]) => {
    const found = reports.flatMap(({ errors, bars }) =>
      names.flatMap(name => {
        const [error, bar] = [errors[name], bars[name]]
        return error === undefined || bar === undefined ? [] : [{ error, bar }]
      }),
    )
    const worst = found.sort((a, b) => b.error / b.bar - a.error / a.bar).at(0)
    if (!worst) return { net, text: '–', missed: false }
    const missed = !(worst.error <= worst.bar)
    return { net, text: `${worst.error.toExponential(1)} ${missed ? '>' : '≤'} ${worst.bar.toExponential(0)}`, missed }
  })
}

const COLUMNS = [58, 39, 6, 18, 18, 18] as const
const line = (cells: readonly string[]): string =>
  cells
    .map((cell, i) => cell.padEnd(COLUMNS[i] ?? 0))
    .join('')
    .trimEnd()

export const plantedHeader = line(['mistake', 'where', 'draw', ...NETS.map(([net]) => net)])

/** One line of the table. */
export function plantedRow(outcome: Outcome): string {
  const {
    plant: { name, where },
  } = outcome
  if (outcome.kind === 'hidden') return line([name, where, '', `can't show: ${outcome.why}`])
  if (outcome.kind === 'slipped through') return line([name, where, '', `SLIPPED THROUGH: ${outcome.why}`])
  const row = line([name, where, `${outcome.draw}`, ...worstOf(outcome.reports).map(({ text }) => text)])
  return outcome.control.length === 0 ? row : `${row}\n    missed without the mistake, too: ${outcome.control[0]}`
}

/** Whether a mistake was found, and nothing but the mistake; or could not be. */
export const isFine = (outcome: Outcome): boolean =>
  outcome.kind === 'hidden' || (outcome.kind === 'caught' && outcome.control.length === 0)
