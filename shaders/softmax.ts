// Softmax and its logarithm over the last axis, and their gradients: row kernels (rows.ts).
//
// Three passes over a row that stays in cache: the maximum, the sum of exp(x − maximum), the result. The maximum starts
// at the lowest finite number, so −∞ entries weigh nothing. A row of nothing but −∞ has sum 0 and is made NaN by hand,
// as is what comes of NaN: 0/0, log 0 and exp NaN are not the same on every adapter.
import { type DType, type Launch, type Traits, input, output } from './kernel.ts'
import type { RowPlan } from './rows.ts'
import {
  describePlan,
  eachVector,
  exponentialSum,
  rowPlans,
  rowShader,
  rowUniforms,
  rowWorkgroups,
  vectorSums,
} from './rows.ts'
import { type Shader, typeName, wgsl, written } from './wgsl.ts'

export type SoftmaxKernel = 'softmax' | 'logSoftmax' | 'softmaxGradient' | 'logSoftmaxGradient'

/** Rows of `width` elements; for the gradients `dtype` is that of y, dy and dx alike. */
export interface SoftmaxProblem {
  readonly kernel: SoftmaxKernel
  readonly rows: number
  readonly width: number
  readonly dtype: DType
}

export interface SoftmaxConfig extends RowPlan {
  readonly kernel: SoftmaxKernel
  readonly dtype: DType
}

/** Configs worth trying, best guess first. */
export function softmaxCandidates(problem: SoftmaxProblem, traits: Traits): SoftmaxConfig[] {
  const { kernel, width, dtype } = problem
  return rowPlans(width, traits).map(plan => ({ ...plan, kernel, dtype }))
}

function softmaxShader(config: SoftmaxConfig): Shader {
  const { kernel, dtype } = config
  const type = typeName(dtype, config.vector)
  if (kernel === 'softmax' || kernel === 'logSoftmax') {
    const [scale, result] = {
      softmax: ['1.0 / sum', 'exp(Floats(x[begin + i]) - largest) * scale'],
      logSoftmax: ['log(sum)', '(Floats(x[begin + i]) - largest) - scale'],
    }[kernel]
    return rowShader({
      kernel: `${kernel} ${dtype}`,
      plan: config,
      exponentials: true,
      folds: ['max', 'sum'],
      bindings: { x: type, y: written(type) },
      body: wgsl`
        ${exponentialSum(config, 'x', 'sum')}
        let scale = select(u.nan, ${scale}, isPositive(sum));
        if (live) {
          ${eachVector(`y[begin + i] = ${type}(${result});`)}
        }
      `,
    })
  }
  const [yI, dyI] = ['Floats(y[begin + i])', 'Floats(dy[begin + i])']
  const [summand, result] = {
    softmaxGradient: [`${dyI} * ${yI}`, `${yI} * (${dyI} - total)`],
    logSoftmaxGradient: [dyI, `${dyI} - expOf(${yI}) * total`],
  }[kernel]
  return rowShader({
    kernel: `${kernel} ${dtype}`,
    plan: config,
    exponentials: kernel === 'logSoftmaxGradient',
    folds: ['sum'],
    bindings: { y: type, dy: type, dx: written(type) },
    body: wgsl`
      ${vectorSums(config, [['sums', summand]])}
      let total = rowSum(sumOf(sums), lane);
      if (live) {
        ${eachVector(`dx[begin + i] = ${type}(${result});`)}
      }
    `,
  })
}

export function softmaxLaunch(
  { kernel, rows, width, dtype }: SoftmaxProblem,
  config: SoftmaxConfig,
  traits: Traits,
): Launch {
  return softmaxShader(config).launch({
    label: `${kernel} ${dtype}, ${describePlan(config)}`,
    slots: kernel.endsWith('Gradient') ? { y: input(0), dy: input(1), dx: output(0) } : { x: input(0), y: output(0) },
    uniforms: rowUniforms(rows, width, config),
    workgroups: rowWorkgroups(rows, config, traits),
  })
}
