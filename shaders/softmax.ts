// Softmax and its logarithm over the last axis, and their gradients: row kernels (rows.ts).
//
// Three passes over a row that stays in cache: the maximum, the sum of exp(x − maximum), the result. The maximum starts
// at the lowest finite number, so −∞ entries weigh nothing. A row of nothing but −∞ has sum 0 and is made NaN by hand,
// as is what comes of NaN: 0/0, log 0 and exp NaN are not the same on every adapter.
import { type DType, type Launch, type Traits, input, output, uniformWords } from './kernel.ts'
import {
  type RowPlan, describePlan, eachVector, rowPlans, rowShader, rowWorkgroups, vectorSums, vectorType, whenLive,
} from './rows.ts'

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

/** Bindings: x, y; for the gradients y, dy, dx. Uniforms: rows, vectors in a row, and NaN but for softmaxGradient. */
export function softmaxWgsl(config: SoftmaxConfig): string {
  const { kernel, dtype } = config
  const stored = vectorType(dtype, config.vector)
  if (kernel === 'softmax' || kernel === 'logSoftmax') {
    const [scale, result] = {
      softmax: ['1.0 / sum', 'exp(Floats(x[begin + i]) - peak) * scale'],
      logSoftmax: ['log(sum)', '(Floats(x[begin + i]) - peak) - scale'],
    }[kernel]
    return rowShader({
      kernel: `${kernel} ${dtype}`,
      plan: config,
      bindings: [
        { name: 'x', dtype, as: 'elements' },
        { name: 'y', dtype, as: 'elements', write: true },
      ],
      weights: true,
      folds: ['max', 'sum'],
      body: [
        'var peaks = Floats(LOWEST);',
        eachVector('peaks = max(peaks, Floats(x[begin + i]));'),
        'let peak = rowMax(maxOf(peaks), lane);',
        vectorSums(config, [['sums', 'weightOf(Floats(x[begin + i]) - peak)']]),
        'let sum = rowSum(sumOf(sums), lane);',
        `let scale = select(sizes.nan, ${scale}, isPositive(sum));`,
        whenLive(eachVector(`y[begin + i] = ${stored}(${result});`)),
      ].join('\n'),
    })
  }
  const [summand, result] = {
    softmaxGradient: ['dyI * yI', 'yI * (dyI - total)'],
    logSoftmaxGradient: ['dyI', 'dyI - weightOf(yI) * total'],
  }[kernel]
  return rowShader({
    kernel: `${kernel} ${dtype}`,
    plan: config,
    bindings: [
      { name: 'y', dtype, as: 'elements' },
      { name: 'dy', dtype, as: 'elements' },
      { name: 'dx', dtype, as: 'elements', write: true },
    ],
    weights: kernel === 'logSoftmaxGradient',
    folds: ['sum'],
    body: [
      vectorSums(config, [['sums', inPlace(summand)]]),
      'let total = rowSum(sumOf(sums), lane);',
      whenLive(eachVector(`dx[begin + i] = ${stored}(${inPlace(result)});`)),
    ].join('\n'),
  })
}

export function softmaxLaunch(problem: SoftmaxProblem, config: SoftmaxConfig, traits: Traits): Launch {
  const gradient = problem.kernel === 'softmaxGradient' || problem.kernel === 'logSoftmaxGradient'
  const nan = problem.kernel === 'softmaxGradient' ? [] : [{ f32: NaN }]
  const slots = gradient ? [input(0), input(1), output(0)] : [input(0), output(0)]
  return {
    label: `${problem.kernel} ${problem.dtype}, ${describePlan(config)}`,
    wgsl: softmaxWgsl(config),
    slots,
    writes: [slots.length - 1],
    uniforms: uniformWords([problem.rows, problem.width / config.vector, ...nan]),
    workgroups: rowWorkgroups(problem.rows, config, traits),
  }
}

/** Spells the i-th vectors of y and dy out. */
function inPlace(expression: string): string {
  return expression.replace(/\b(d?y)I\b/g, 'Floats($1[begin + i])')
}
