// Reductions that are formulas of sums and maxima; the compiler fuses what they do with each element into those.
import { isFloat } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { isEmpty } from '../shape.ts'
import { type Axes, type Tensor, defineMethods } from '../tensor.ts'

/** A tensor of floats in f32, in which statistics are computed whatever its dtype. Throws a UserError on integers. */
function single(name: string, x: Tensor): Tensor {
  if (!isFloat(x.dtype)) throw new UserError(`${name} takes floats, not ${x.dtype}`)
  return x.cast('f32')
}

/** A root of sums of powers, whose gradient is 0 where it is 0, as in PyTorch. */
function rootOf(sums: Tensor, root: (positive: Tensor) => Tensor): Tensor {
  const isZero = sums.equal(0)
  return isZero.where(0, root(isZero.where(1, sums)))
}

defineMethods({
  any(axes, keepDims) {
    const hits = this.notEqual(0)
    // The largest of nothing is an error.
    return isEmpty(this) ? hits.sum(axes, keepDims) : hits.max(axes, keepDims)
  },
  all(axes, keepDims) {
    const hits = this.notEqual(0)
    return isEmpty(this) ? hits.prod(axes, keepDims) : hits.min(axes, keepDims)
  },
  logSumExp(axes, keepDims) {
    const x = single('logSumExp', this)
    if (isEmpty(x)) return x.sum(axes, keepDims).log().cast(this.dtype)
    const largest = x.max(axes, true).detach()
    // Subtracting an infinite one would give NaN.
    const shift = largest.isFinite().where(largest, 0)
    const sums = x.sub(shift).exp().sum(axes, keepDims).log()
    return sums.add(shift.reshape(sums.shape)).cast(this.dtype)
  },
  variance(axes, keepDims, correction = 1) {
    const x = single('variance', this)
    const squares = x.sub(x.mean(axes, true)).square().sum(axes, keepDims)
    return squares.div(Math.max(0, x.size / squares.size - correction)).cast(this.dtype)
  },
  std(axes, keepDims, correction) {
    return rootOf(single('std', this).variance(axes, keepDims, correction), v => v.sqrt()).cast(this.dtype)
  },
  norm(axes, keepDims, order = 2) {
    const x = single('norm', this)
    return normOf(x, axes, keepDims, order).cast(this.dtype)
  },
})

function normOf(x: Tensor, axes: Axes | undefined, keepDims: boolean | undefined, order: number): Tensor {
  const sizes = x.abs()
  if (order === Infinity) return sizes.max(axes, keepDims)
  if (order === -Infinity) return sizes.min(axes, keepDims)
  if (order === 0) return x.notEqual(0).cast('f32').sum(axes, keepDims)
  if (order === 1) return sizes.sum(axes, keepDims)
  if (order === 2) return rootOf(x.square().sum(axes, keepDims), sums => sums.sqrt())
  const sums = sizes.pow(order).sum(axes, keepDims)
  return order > 0 ? rootOf(sums, positive => positive.pow(1 / order)) : sums.pow(1 / order)
}
