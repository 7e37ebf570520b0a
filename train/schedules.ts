// Learning-rate schedules: what factor of the peak rate a step gets. The formulas are those of Hugging Face
// Transformers' `get_scheduler`, so that curves can be compared.

export const SCHEDULES = ['linear', 'cosine', 'constant'] as const
export type ScheduleName = (typeof SCHEDULES)[number]

/** Steps of warm-up: a `warmup` below 1 is a fraction of all steps, rounded up; from 1 on it is a count of steps. */
export function warmupSteps(warmup: number, steps: number): number {
  if (!(warmup >= 0)) throw new RangeError(`Warm-up is a fraction or a count of steps, 0 or more; got ${warmup}`)
  return warmup < 1 ? Math.ceil(steps * warmup) : Math.round(warmup)
}

/**
 * The factor of step 0, 1, … of `steps` optimizer steps. All rise linearly from 0 over the warm-up; then `linear` falls
 * to 0 at `steps`, `cosine` falls to 0 along half a cosine (Loshchilov and Hutter, 2017), `constant` stays at 1.
 */
export function schedule(
  name: ScheduleName,
  { warmup, steps }: { warmup: number; steps: number },
): (step: number) => number {
  const rise = warmupSteps(warmup, steps)
  const fall = Math.max(1, steps - rise)
  const decay = {
    linear: (step: number) => Math.max(0, (steps - step) / fall),
    cosine: (step: number) => Math.max(0, 0.5 * (1 + Math.cos(Math.PI * ((step - rise) / fall)))),
    constant: () => 1,
  }[name]
  return step => (step < rise ? step / rise : decay(step))
}
