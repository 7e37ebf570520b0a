// Exponential moving averages of parameters (Polyak and Juditsky 1992), which often evaluate better than the parameters.
import { type Variable, UserError, variable } from '../../engine/index.ts'
import { needFunction, needOptions } from '../../engine/options.ts'
import { sizeOf } from '../../engine/shape.ts'
import { type Module, needModules } from '../../models/nn/module.ts'
import type { Parameter } from '../../models/nn.ts'

export interface AverageOptions {
  /** How much of the average a step keeps; 0.999 when left out. */
  readonly decay?: number
}

/**
 * The average of a module's trainable parameters: average ← decay·average + (1 − decay)·parameter. It begins with what
 * the parameters are before its first update.
 */
export class MovingAverage {
  readonly #averages: readonly { readonly parameter: Parameter; readonly average: Variable }[]
  readonly #decay: number

  constructor(module: Module, options: AverageOptions = {}) {
    needModules('MovingAverage', { module })
    needOptions('MovingAverage', options, 'decay')
    const { decay = 0.999 } = options
    if (!(decay >= 0 && decay <= 1)) throw new UserError(`an average's decay is between 0 and 1, not ${decay}`)
    this.#decay = decay
    this.#averages = module.trainable().map(parameter => {
      const { name, shape, size } = parameter
      const average = variable({ shape, dtype: 'f32' }, `${name}.average`, () => {
        const { variable: from, offset: first } = parameter.home
        return [{ at: 0, from, first, count: size }]
      })
      return { parameter, average }
    })
  }

  /** Inside a compiled function, after the step of an optimizer: takes the parameters' new values into the average. */
  update(): void {
    for (const { parameter, average } of this.#averages)
      average.assign(average.tensor.add(parameter.next.sub(average.tensor).mul(1 - this.#decay)))
  }

  /** Has the module use the averages while `run` runs, for an evaluation or to save it. */
  async during<R>(run: () => Promise<R>): Promise<R> {
    needFunction('during', { run })
    await this.#swap()
    try {
      return await run()
    } finally {
      await this.#swap()
    }
  }

  /** Exchanges the values of parameters and averages. */
  async #swap(): Promise<void> {
    for (const { parameter, average } of this.#averages) {
      const { variable: home, offset } = parameter.home
      const count = sizeOf(parameter.shape)
      const held = variable({ shape: [count], dtype: 'f32' }, 'held')
      await held.put([{ at: 0, from: home, first: offset, count }])
      await home.put([{ at: offset, from: average, first: 0, count }])
      await average.put([{ at: 0, from: held, first: 0, count }])
      held.release()
    }
  }
}
