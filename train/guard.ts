// What keeps NaN and ∞ out of a run. A step whose loss or gradient is not finite changes nothing, and that is decided
// on the GPU, since the host reads losses some steps late: a bad step is left out while the run may leave any out, and
// after the first that it may not, no step changes anything. So the state stays what it was before that step, which can
// then be run again and looked at, and no checkpoint ever holds what a bad step left.
import { type Tensor, type Variable, compile, concat, scalar, variable } from '../engine/index.ts'
import type { StateEntry } from './adamw.ts'

const and = (a: Tensor, b: Tensor): Tensor => a.where(b, scalar(0, 'u32'))

/** Counts bad steps, on the GPU. Both counts follow from a run's position, so no checkpoint keeps them. */
export class StepGuard {
  /** Bad steps that may still be left out; −1 once one came too many. */
  readonly left: Variable = variable({ shape: [], dtype: 'f32' }, 'bad_steps_left')
  /** Steps that were taken: AdamW's bias correction counts no others. */
  readonly taken: Variable = variable({ shape: [], dtype: 'f32' }, 'taken_steps')

  /** Before the first step: how many bad ones may be left out, and how many steps were taken before. */
  async begin(left: number, taken: number): Promise<void> {
    await this.left.write(Float32Array.of(left))
    await this.taken.write(Float32Array.of(taken))
  }

  /**
   * Inside a compiled function, of a step with this loss and gradient norm, f32 []: how many bad steps may be left out
   * after it, which is how many before unless it is bad. An overflow is no bad step where the loss is finite and
   * `canShrink` (u32 []) says that the loss scale is not at its least.
   */
  judge(loss: Tensor, norm: Tensor, canShrink?: Tensor): Tensor {
    const before = this.left.tensor
    const mends = canShrink ? norm.isFinite().where(scalar(1, 'u32'), canShrink) : norm.isFinite()
    const left = and(before.greaterEqual(0), and(loss.isFinite(), mends).equal(scalar(0, 'u32'))).where(
      before.sub(1),
      before,
    )
    this.left.assign(left)
    return left
  }

  /**
   * Inside a compiled function: 1 where the step that leaves so many is not bad, and none was one too many before, u32
   * [].
   */
  isGood(left: Tensor): Tensor {
    return and(left.equal(this.left.tensor), left.greaterEqual(0))
  }

  /** Inside a compiled function: counts a good step whose gradient had this norm. */
  count(good: Tensor, norm: Tensor): void {
    this.taken.assign(this.taken.tensor.add(good.where(norm.isFinite().where(1, 0), 0)))
  }
}

/** A number of a variable that is not finite. */
export interface BadNumber {
  readonly variable: string
  readonly element: number
  readonly value: number
}

/** Looks whether all numbers of some variables are finite, in one reduction a variable. */
export class FiniteCheck {
  readonly #entries: readonly StateEntry[]
  readonly #count

  constructor(entries: readonly StateEntry[]) {
    this.#entries = entries
    this.#count = compile(() => ({
      bad: concat(entries.map(({ variable: { tensor } }) => tensor.isFinite().where(0, 1).sum().reshape([1]))),
    }))
  }

  /** The first number that is not finite; undefined where all are. */
  async first(): Promise<BadNumber | undefined> {
    const counts = await (await this.#count()).bad.data()
    const bad = this.#entries[counts.findIndex(count => count > 0)]
    if (!bad) return undefined
    const values = await bad.variable.read()
    const element = values.findIndex(value => !Number.isFinite(value))
    return { variable: bad.variable.name, element, value: values[element] }
  }
}
