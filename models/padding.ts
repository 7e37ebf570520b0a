// How long the rows of a batch are made: lengths are rounded up to a few sizes, so that few plans are compiled.

/**
 * The sequence length that `n` tokens are padded to: the next multiple of 8 up to 64, of 16 up to 128, of 32 up to 256,
 * of 64 beyond, but never past `maxLength`. Throws a RangeError when `n` is past it already.
 */
export function padLength(n: number, maxLength: number): number {
  if (n > maxLength) throw new RangeError(`A text of ${n} tokens was not cut to the ${maxLength} asked for`)
  const size = n <= 64 ? 8 : n <= 128 ? 16 : n <= 256 ? 32 : 64
  return Math.min(maxLength, Math.max(1, Math.ceil(n / size)) * size)
}
