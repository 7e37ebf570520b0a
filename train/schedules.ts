// Learning-rate schedules: what factor of the peak rate a step gets. The formulas are those of Hugging Face
// Transformers' `get_scheduler` and of `torch.optim.lr_scheduler`, so that curves can be compared.
import { UserError } from '../engine/errors.ts'
import { needAll, needFunction, needNumbers, needObjects, needOptions } from '../engine/options.ts'

export const SCHEDULES = ['linear', 'cosine', 'constant'] as const
export type ScheduleName = (typeof SCHEDULES)[number]

/** Steps of warm-up: a `warmup` below 1 is a fraction of all steps, rounded up; from 1 on it is a count of steps. */
export function warmupSteps(warmup: number, steps: number): number {
  needNumbers('warmupSteps', { warmup, steps })
  if (!(warmup >= 0)) throw new UserError(`Warm-up is a fraction or a count of steps, 0 or more; got ${warmup}`)
  return warmup < 1 ? Math.ceil(steps * warmup) : Math.round(warmup)
}

/**
 * The factor of step 0, 1, … of `steps` optimizer steps. All rise linearly from 0 over the warm-up, if there is any; then
 * `linear` falls to 0 at `steps`, `cosine` falls to 0 along half a cosine (Loshchilov and Hutter, 2017), `constant` stays
 * at 1. Throws a UserError on other names and counts.
 */
export function schedule(
  name: ScheduleName,
  options: { readonly warmup?: number; readonly steps: number },
): (step: number) => number {
  needObjects('schedule', { options })
  const { warmup = 0, steps } = options
  if (!SCHEDULES.includes(name)) throw new UserError(`A schedule is ${SCHEDULES.join(', ')}; got ${name}`)
  if (!(steps >= 0)) throw new UserError(`A schedule takes a count of steps; got ${steps}`)
  const rise = warmupSteps(warmup, steps)
  const fall = Math.max(1, steps - rise)
  const decay = {
    linear: (step: number) => Math.max(0, (steps - step) / fall),
    cosine: (step: number) => Math.max(0, 0.5 * (1 + Math.cos(Math.PI * ((step - rise) / fall)))),
    constant: () => 1,
  }[name]
  return step => (step < rise ? step / rise : decay(step))
}

/** The factor of the peak rate at step 0, 1, … */
export type Schedule = (step: number) => number

/** Rises linearly from 0 over `warmup` steps, then follows `after`, which begins at its step 0. */
export function warmedUp(warmup: number, after: Schedule): Schedule {
  needNumbers('warmedUp', { warmup })
  needFunction('warmedUp', { after })
  return step => (step < warmup ? step / warmup : after(step - warmup))
}

/** `gamma` to the power of the step (torch's ExponentialLR). */
export function exponential(gamma: number): Schedule {
  needNumbers('exponential', { gamma })
  return step => gamma ** step
}

/** Falls by the factor `gamma` at every multiple of `every` steps, or at each of these steps (StepLR, MultiStepLR). */
export function stepped(every: number | readonly number[], gamma = 0.1): Schedule {
  needAll('stepped', 'a number above 0, or several', given => Number(given) > 0 || Array.isArray(given), { every })
  needNumbers('stepped', { gamma })
  return step => gamma ** (typeof every === 'number' ? Math.floor(step / every) : every.filter(at => at <= step).length)
}

/** Falls to 0 at `steps` as (1 − step / steps) to a power (PolynomialLR). */
export function polynomial(steps: number, power = 1): Schedule {
  needNumbers('polynomial', { steps, power })
  return step => (1 - Math.min(step, steps) / steps) ** power
}

/** How slowly `inverseSquareRoot` falls without warm-up, as in Transformers. */
const UNWARMED_STEPS = 10_000

/** Rises over `warmup` steps, then falls as 1 / √step (Transformers' inverse_sqrt; Vaswani et al. 2017). */
export function inverseSquareRoot(warmup: number): Schedule {
  needNumbers('inverseSquareRoot', { warmup })
  const scale = warmup || UNWARMED_STEPS
  return warmedUp(warmup, step => 1 / Math.sqrt((step + scale) / scale))
}

/**
 * Falls to `least` along half a cosine in `first` steps, then begins again, each time over `longer` times as many steps
 * (CosineAnnealingWarmRestarts; Loshchilov and Hutter 2017). Throws a UserError unless both are at least 1.
 */
export function cosineRestarts(first: number, longer = 1, least = 0): Schedule {
  if (!(first >= 1 && longer >= 1))
    throw new UserError(`Restarts come after 1 step or more, each no sooner than the last; got ${first}, ${longer}`)
  return step => {
    let [length, at] = [first, step]
    while (at >= length && at < Infinity) {
      at -= length
      length *= longer
    }
    return least + ((1 - least) * (1 + Math.cos((Math.PI * at) / length))) / 2
  }
}

export interface OneCycleOptions {
  /** The share of steps in which the rate rises; 0.3 when left out. */
  readonly rising?: number
  /** The factor at step 0; 1/25 when left out. */
  readonly start?: number
  /** The factor at the last step; 4e-6 when left out. */
  readonly end?: number
}

/** Rises to the peak along half a cosine, then falls to almost 0 along another (OneCycleLR; Smith and Topin 2019). */
export function oneCycle(steps: number, options: OneCycleOptions = {}): Schedule {
  needOptions('oneCycle', options, 'rising', 'start', 'end')
  const { rising = 0.3, start = 1 / 25, end = 4e-6 } = options
  needNumbers('oneCycle', { steps, rising, start, end })
  const peak = rising * steps - 1
  const between = (from: number, to: number, share: number): number =>
    to + ((from - to) / 2) * (1 + Math.cos(Math.PI * share))
  return step =>
    step <= peak ? between(start, 1, step / peak) : between(1, end, Math.min(1, (step - peak) / (steps - 1 - peak)))
}
