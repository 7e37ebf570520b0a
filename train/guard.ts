// Keeps NaN and ∞ out of a run. A step whose loss or gradient is not finite changes nothing. This is decided on the
// GPU, because the host reads losses some steps late. A bad step is skipped as long as the run may skip steps
// (--skip-bad-steps); after the first bad step beyond that, no step changes anything. The state is then that before the
// failing step, which can be run again and diagnosed, and no checkpoint contains the effects of a bad step.
import { type Tensor, type Variable, compile, concat, scalar, variable } from '../engine/index.ts'
import type { StateEntry } from './state.ts'

const and = (a: Tensor, b: Tensor): Tensor => a.where(b, scalar(0, 'u32'))

/** Counts bad steps, on the GPU. Both counts follow from a run's position, so no checkpoint keeps them. */
export class StepGuard {
  /** Bad steps that may still be skipped; −1 once there was one too many. */
  readonly left: Variable = variable({ shape: [], dtype: 'f32' }, 'bad_steps_left')
  /** Steps that were taken: AdamW's bias correction counts no others. */
  readonly taken: Variable = variable({ shape: [], dtype: 'f32' }, 'taken_steps')

  /** Before the first step: how many bad steps may be skipped, and how many steps were taken in earlier processes. */
  async begin(left: number, taken: number): Promise<void> {
    await this.left.write(Float32Array.of(left))
    await this.taken.write(Float32Array.of(taken))
  }

  /**
   * Inside a compiled function: how many bad steps may be skipped after a step with this loss and gradient norm (f32 []):
   * one fewer if the step is bad. An overflow of the gradient does not count as bad if the loss is finite and
   * `canShrink` (u32 []) says that the loss scale can still be reduced.
   */
  judge(loss: Tensor, norm: Tensor, canShrink?: Tensor): Tensor {
    const before = this.left.tensor
    const isHarmless = canShrink ? norm.isFinite().where(scalar(1, 'u32'), canShrink) : norm.isFinite()
    const left = and(before.greaterEqual(0), and(loss.isFinite(), isHarmless).equal(scalar(0, 'u32'))).where(
      before.sub(1),
      before,
    )
    this.left.assign(left)
    return left
  }

  /**
   * Inside a compiled function, u32 []: 1 if the step after which `left` bad steps may be skipped (`judge`) is not bad
   * and the run has not failed before.
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

/** Checks whether all numbers of some variables are finite, by one reduction per variable. */
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
