// RMS norm (Zhang & Sennrich 2019) over the last axis and the gradient of its input: row kernels (rows.ts). The gradient
// of its scale is that of a layer norm whose means are 0.
import { type DType, type Launch, type Traits, input, output } from './kernel.ts'
import {
  type RowPlan,
  describePlan,
  eachVector,
  rowPlans,
  rowShader,
  rowUniforms,
  rowWorkgroups,
  vectorSums,
} from './rows.ts'
import { type Shader, typeName, wgsl, written } from './wgsl.ts'

/** Rows of `width` elements; `dtype` is that of x and y, and of dy and dx. */
export interface RmsNormProblem {
  readonly kernel: 'rmsNorm' | 'rmsNormGradient'
  readonly rows: number
  readonly width: number
  readonly dtype: DType
  readonly gammaDtype: DType
  readonly epsilon: number
}

export interface RmsNormConfig extends RowPlan, Pick<RmsNormProblem, 'kernel' | 'dtype' | 'gammaDtype'> {}

/** Configs worth trying, best guess first. */
export function rmsNormCandidates(
  { kernel, width, dtype, gammaDtype }: RmsNormProblem,
  traits: Traits,
): RmsNormConfig[] {
  return rowPlans(width, traits).map(plan => ({ ...plan, kernel, dtype, gammaDtype }))
}

function rmsNormShader(config: RmsNormConfig): Shader {
  const { kernel, dtype, vector } = config
  const [type, gamma] = [typeName(dtype, vector), typeName(config.gammaDtype, vector)]
  const width = 'let width = f32(u.vectors * VECTOR);'
  if (kernel === 'rmsNorm') {
    return rowShader({
      kernel: `rmsNorm ${dtype}`,
      plan: config,
      uniforms: { epsilon: 'f32' },
      folds: ['sum'],
      bindings: { x: type, gamma, y: written(type), rstd: written('f32') },
      body: wgsl`
        ${width}
        ${vectorSums(config, [['squares', 'v * v']], 'let v = Floats(x[begin + i]);')}
        let scale = 1.0 / sqrt(rowSum(sumOf(squares), lane) / width + u.epsilon);
        if (live) {
          ${eachVector(`y[begin + i] = ${type}(Floats(x[begin + i]) * scale * Floats(gamma[i]));`)}
          if (lane == 0u) {
            rstd[row] = scale;
          }
        }
      `,
    })
  }
  const normal = 'let normal = Floats(x[begin + i]) * scale;'
  const g = 'let g = Floats(dy[begin + i]) * Floats(gamma[i]);'
  return rowShader({
    kernel: `rmsNormGradient ${dtype}`,
    plan: config,
    folds: ['sum'],
    bindings: { x: type, gamma, rstd: 'f32', dy: type, dx: written(type) },
    body: wgsl`
      ${width}
      let scale = rstd[row];
      ${vectorSums(config, [['products', 'g * normal']], normal, g)}
      let meanProduct = rowSum(sumOf(products), lane) / width;
      if (live) {
        ${eachVector(normal, g, `dx[begin + i] = ${type}(scale * (g - normal * meanProduct));`)}
      }
    `,
  })
}

export function rmsNormLaunch(
  { kernel, rows, width, dtype, epsilon }: RmsNormProblem,
  config: RmsNormConfig,
  traits: Traits,
): Launch {
  return rmsNormShader(config).launch({
    label: `${kernel} ${dtype}, ${describePlan(config)}`,
    slots:
      kernel === 'rmsNorm'
        ? { x: input(0), gamma: input(1), y: output(0), rstd: output(1) }
        : { x: input(0), gamma: input(1), rstd: input(2), dy: input(3), dx: output(0) },
    uniforms: { ...rowUniforms(rows, width, config), epsilon },
    workgroups: rowWorkgroups(rows, config, traits),
  })
}
