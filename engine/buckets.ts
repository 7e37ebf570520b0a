// Sizes that lengths are rounded up to, so that few shapes occur and few plans are compiled.
import { UserError } from './errors.ts'

/**
 * The least of `least` times 1, 1½, 2, 3, 4, 6, 8, … that is at least `n`, in whole numbers. Padding to it makes two plans
 * for every doubling, and at most half as much work again. Throws a UserError if `n` is not finite, and if `least` is not
 * a positive integer.
 */
export function bucketSize(n: number, least = 8): number {
  if (!Number.isFinite(n)) throw new UserError(`bucketSize: ${n} is not a length`)
  if (!Number.isInteger(least) || least < 1)
    throw new UserError(`bucketSize: least must be a positive integer, not ${least}`)
  for (let size = least; ; size *= 2) {
    const between = Math.ceil(1.5 * size)
    if (n <= between) return n <= size ? size : between
  }
}
