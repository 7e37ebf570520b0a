// Cross entropy of integer labels with the softmax of logits, and its gradient: row kernels (rows.ts).
//
// The forward kernel keeps two numbers per row, the largest logit and log Σ exp(logit − largest), from which the gradient
// makes the probabilities again in one pass. They are stored separately because their sum, the log-sum-exp, would lose
// the digits that the probabilities need where logits are large.
import { type DType, type Launch, type Traits, input, output } from './kernel.ts'
import type { RowPlan } from './rows.ts'
import { describePlan, eachVector, exponentialSum, rowPlans, rowShader, rowUniforms, rowWorkgroups } from './rows.ts'
import { type Shader, typeName, wgsl, written } from './wgsl.ts'

export interface CrossEntropyProblem {
  readonly kernel: 'crossEntropy' | 'crossEntropyGradient'
  readonly rows: number
  readonly classes: number
  /** Of the logits and their gradient. */
  readonly dtype: DType
  readonly ignoreIndex: number
}

export interface CrossEntropyConfig extends RowPlan, Pick<CrossEntropyProblem, 'kernel' | 'dtype'> {}

/** Configs worth trying, best guess first. */
export function crossEntropyCandidates(problem: CrossEntropyProblem, traits: Traits): CrossEntropyConfig[] {
  const { kernel, classes, dtype } = problem
  return rowPlans(classes, traits).map(plan => ({ ...plan, kernel, dtype }))
}

function crossEntropyShader(config: CrossEntropyConfig): Shader {
  const { kernel, dtype, vector } = config
  const type = typeName(dtype, vector)
  const common = {
    kernel: `${kernel} ${dtype}`,
    plan: config,
    exponentials: true,
    uniforms: { ignored: 'i32' },
  } as const
  if (kernel === 'crossEntropy') {
    const logit = vector === 1 ? 'logits[begin + label]' : 'logits[begin + label / VECTOR][label % VECTOR]'
    return rowShader({
      ...common,
      folds: ['max', 'sum'],
      bindings: { logits: type, labels: 'i32', losses: written('f32'), normalizers: written('f32') },
      body: wgsl`
        ${exponentialSum(config, 'logits', 'total')}
        // 0 where all logits are −∞, NaN where one is NaN; the logs of these are not the same on every adapter.
        let logTotal = select(u.nan, log(total), isPositive(total));
        if (live && lane == 0u) {
          let label = u32(labels[row]); // a negative one becomes too large
          var loss = u.nan;
          if (labels[row] == u.ignored) {
            loss = 0.0;
          } else if (label < u.vectors * VECTOR) {
            loss = logTotal - (f32(${logit}) - largest);
          }
          losses[row] = loss;
          normalizers[2u * row] = largest;
          normalizers[2u * row + 1u] = logTotal;
        }
      `,
    })
  }
  const classes = { 1: 'i', 2: 'i * 2u + vec2u(0u, 1u)', 4: 'i * 4u + vec4u(0u, 1u, 2u, 3u)' }[vector]
  return rowShader({
    ...common,
    folds: [],
    bindings: { logits: type, labels: 'i32', normalizers: 'f32', dlosses: 'f32', dlogits: written(type) },
    body: wgsl`
      let largest = normalizers[2u * row];
      let logTotal = normalizers[2u * row + 1u];
      let label = u32(labels[row]); // a negative one becomes too large
      let ignored = labels[row] == u.ignored;
      let dloss = select(u.nan, dlosses[row], label < u.vectors * VECTOR);
      if (live) {
        ${eachVector(
          'let probabilities = expOf((Floats(logits[begin + i]) - largest) - logTotal);',
          `let hot = select(Floats(0.0), Floats(1.0), ${classes} == ${typeName('u32', vector)}(label));`,
          '// select, not a product with 0: an ignored row may hold anything.',
          `dlogits[begin + i] = ${type}(select((probabilities - hot) * dloss, Floats(0.0), ignored));`,
        )}
      }
    `,
  })
}

export function crossEntropyLaunch(problem: CrossEntropyProblem, config: CrossEntropyConfig, traits: Traits): Launch {
  const { kernel, rows, classes, dtype, ignoreIndex } = problem
  return crossEntropyShader(config).launch({
    label: `${kernel} ${dtype}, ${describePlan(config)}`,
    slots:
      kernel === 'crossEntropy'
        ? { logits: input(0), labels: input(1), losses: output(0), normalizers: output(1) }
        : { logits: input(0), labels: input(1), normalizers: input(2), dlosses: input(3), dlogits: output(0) },
    uniforms: { ...rowUniforms(rows, classes, config), ignored: ignoreIndex },
    workgroups: rowWorkgroups(rows, config, traits),
  })
}
