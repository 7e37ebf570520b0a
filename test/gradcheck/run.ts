// Runs drawn checks: each op alone, and in the middle of a graph that uses its inputs and its result twice.
import fc from 'fast-check'
import { readAll } from '../../engine/evaluate.ts'
import { type GradientCheck, type GradientCheckReport, type Net, planGradientCheck } from '../../engine/gradcheck.ts'
import { currentDevice } from '../../engine/runtime/device.ts'
import type { Tensor, TensorData } from '../../engine/tensor.ts'
import { type Traits, isFloat } from '../../shaders/kernel.ts'
import { SEED } from '../support/seed.ts'
import { guises } from './configs.ts'
import type { Drawn, OpCase } from './draw.ts'
import { exchange } from './exchange.ts'
import { Explorer, type Mode } from './explore.ts'

/** Random checks a case; GRADCHECK_RUNS asks for more. */
export const RUNS = Number(process.env.GRADCHECK_RUNS ?? 12)

/** An op by itself, in the middle of a graph, and summed up as the loss. */
export const FORMS = ['alone', 'middle', 'loss'] as const
export type Form = (typeof FORMS)[number]
/** The form for a draw that runs in one only. */
export const formOf = ({ options }: Drawn): Form => FORMS[(options.seed ?? 0) % FORMS.length]

/** The function of a check with something before it and after it; inputs and result are each used twice. */
export function inForm({ fn, options }: Pick<Drawn, 'fn' | 'options'>, form: Form): (...inputs: Tensor[]) => Tensor {
  if (form !== 'middle') return fn
  return (...inputs) => {
    const differentiated = (t: Tensor, i: number): boolean => isFloat(t.dtype) && (options.wrt?.includes(i) ?? true)
    const y = fn(...inputs.map((t, i) => (differentiated(t, i) ? t.mul(1.25) : t)))
    if (!isFloat(y.dtype)) return y
    const again = inputs.filter(differentiated).map(t => t.mean().mul(0.5))
    return [y.mul(y.sigmoid()), ...again].reduce((sum, t) => sum.add(t), y)
  }
}

/** A check of a draw, by the nets that apply to it among `nets`. */
export function planned(drawn: Drawn, form: Form, nets: readonly Net[]): GradientCheck {
  const apply = (drawn.options.nets ?? [1, 2, 3]).filter(net => nets.includes(net))
  return planGradientCheck(inForm(drawn, form), drawn.inputs, {
    ...drawn.options,
    nets: apply,
    weights: form === 'loss' ? 'ones' : 'random',
  })
}

/**
 * From here on a CPU adapter passes for a GPU, or a GPU for a CPU, until the function that this gives is called:
 * kernels then offer what they keep for the other kind.
 */
async function otherGuise(): Promise<() => void> {
  const device = await currentDevice()
  return exchange<{ traits: Traits }>(device, { traits: guises(device.traits)[1] })
}

const marked = (by: string, report: GradientCheckReport): GradientCheckReport => ({
  ...report,
  misses: report.misses.map(miss => `${by}: ${miss}`),
})

/** Net 1 of a draw, in every form. */
export function onHost(drawn: Drawn): GradientCheckReport[] {
  return FORMS.map(form => marked(form, planned(drawn, form, [1]).judge([])))
}

/**
 * Nets 2 and 3 of a case's draw, in one form, with the kernels that the engine would choose; then net 2 again with
 * those that ran least often so far, by turns those of the adapter and those of its other guise. `exhaustive`: with all
 * of them. Gives a report at a time, which is made when it is asked for.
 */
export async function* onDevice(
  of: OpCase,
  drawn: Drawn,
  number: number,
  explorer: Explorer,
  exhaustive = false,
): AsyncGenerator<() => GradientCheckReport> {
  const form = formOf(drawn)
  const first = planned(drawn, form, [2, 3])
  const data = await explorer.run('engine', () => readAll(first.reads))
  yield () => marked(form, first.judge(data))
  // An op without choices may still do otherwise in the other guise: its reductions do.
  const alone = explorer.choices === 0
  const check = planned(drawn, form, [2])
  const read = (): Promise<TensorData[]> => readAll(check.reads)
  const judge =
    ({ way, result }: Run<TensorData[]>) =>
    (): GradientCheckReport =>
      marked(`${form}, ${way}`, check.judge(result))
  if (exhaustive) {
    for await (const run of inEveryWay(read, explorer)) yield judge(run)
  } else if (alone) {
    if (number % 6 === 3) yield judge(await inWay('rarest', true, read, explorer))
  } else {
    const [from, to] = [number, number + 1].map(n => Math.floor(n * of.rounds))
    for (let round = from; round < to; round++) yield judge(await inWay('rarest', round % 2 === 1, read, explorer))
  }
}

interface Run<T> {
  /** The kernels that were chosen, in words. */
  readonly way: string
  readonly result: T
}

async function inWay<T>(mode: Mode, other: boolean, act: () => Promise<T>, explorer: Explorer): Promise<Run<T>> {
  const undress = other ? await otherGuise() : undefined
  try {
    const result = await explorer.run(mode, act)
    return {
      way: `${other ? "in the adapter's other guise, " : ''}by ${[...explorer.last].join(' and ') || 'its only kernels'}`,
      result,
    }
  } finally {
    undress?.()
  }
}

/** Runs with the engine's kernels, and with those of the adapter's other guise that ran least often. */
export async function* inTwoWays<T>(act: () => Promise<T>, explorer: Explorer): AsyncGenerator<Run<T>> {
  yield await inWay('engine', false, act, explorer)
  yield await inWay('all', true, act, explorer)
}

/** Runs once with every config of each kernel that it meets: those of the adapter, and those of its other guise. */
export async function* inEveryWay<T>(
  act: () => Promise<T>,
  explorer: Explorer = new Explorer(),
): AsyncGenerator<Run<T>> {
  for (const other of [false, true])
    do yield await inWay('all', other, act, explorer)
    while (explorer.fresh > 0)
}

/** Fails with the draw that missed, in words from which it can be drawn again. */
export function expectMet(of: OpCase, drawn: Drawn, reports: readonly GradientCheckReport[]): void {
  const misses = reports.flatMap(report => report.misses)
  if (misses.length > 0) throw new Error(`--op '${of.name}' --draw '${drawn.text}'\n  ${misses.join('\n  ')}`)
}

/** A case's draws as a property, shrunk where one fails: `runs` of them, or as many as its share of those is. */
export async function holds(
  of: OpCase,
  half: boolean,
  property: (drawn: Drawn) => Promise<void>,
  runs = RUNS,
): Promise<void> {
  await fc.assert(fc.asyncProperty(of.draws(half), property), {
    numRuns: Math.ceil(runs * of.share),
    seed: SEED,
    endOnFailure: process.env.GRADCHECK_SHRINK === '0',
  })
}
