// Cross entropy of integer labels with the softmax of logits, and its gradient: row kernels (rows.ts).
//
// The forward kernel keeps two numbers a row, the largest logit and log Σ exp(logit − largest), from which the gradient
// makes the probabilities again in one pass. They stay apart because their sum, the log-sum-exp, would lose the digits
// that the probabilities need where logits are large.
import { type DType, type Launch, type Traits, input, output, uniformWords } from './kernel.ts'
import {
  type RowPlan, describePlan, eachVector, rowPlans, rowShader, rowWorkgroups, vectorSums, vectorType, whenLive,
} from './rows.ts'

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

/** Bindings: logits, labels, losses, normalizers; for the gradient logits, labels, normalizers, dlosses, dlogits. */
export function crossEntropyWgsl(config: CrossEntropyConfig): string {
  const { dtype, vector } = config
  const stored = vectorType(dtype, vector)
  const uniforms = ['ignored: i32']
  if (config.kernel === 'crossEntropy') {
    const element = vector === 1 ? 'logits[begin + label]' : 'logits[begin + label / VECTOR][label % VECTOR]'
    return rowShader({
      kernel: `crossEntropy ${dtype}`,
      plan: config,
      bindings: [
        { name: 'logits', dtype, as: 'elements' },
        { name: 'labels', dtype: 'i32', as: 'scalars' },
        { name: 'losses', dtype: 'f32', as: 'scalars', write: true },
        { name: 'normalizers', dtype: 'f32', as: 'scalars', write: true },
      ],
      weights: true,
      uniforms,
      folds: ['max', 'sum'],
      body: [
        'var peaks = Floats(LOWEST);',
        eachVector('peaks = max(peaks, Floats(logits[begin + i]));'),
        'let peak = rowMax(maxOf(peaks), lane);',
        vectorSums(config, [['sums', 'weightOf(Floats(logits[begin + i]) - peak)']]),
        'let total = rowSum(sumOf(sums), lane);',
        // 0 where all logits are −∞, NaN where one is NaN; the logs of these are not the same on every adapter.
        'let logTotal = select(sizes.nan, log(total), isPositive(total));',
        'if (live && lane == 0u) {',
        '  let label = u32(labels[row]); // a negative one becomes too large',
        '  var loss = sizes.nan;',
        '  if (labels[row] == sizes.ignored) {',
        '    loss = 0.0;',
        '  } else if (label < sizes.vectors * VECTOR) {',
        `    loss = logTotal - (f32(${element}) - peak);`,
        '  }',
        '  losses[row] = loss;',
        '  normalizers[2u * row] = peak;',
        '  normalizers[2u * row + 1u] = logTotal;',
        '}',
      ].join('\n'),
    })
  }
  const classes = { 1: 'i', 2: 'i * 2u + vec2u(0u, 1u)', 4: 'i * 4u + vec4u(0u, 1u, 2u, 3u)' }[vector]
  return rowShader({
    kernel: `crossEntropyGradient ${dtype}`,
    plan: config,
    bindings: [
      { name: 'logits', dtype, as: 'elements' },
      { name: 'labels', dtype: 'i32', as: 'scalars' },
      { name: 'normalizers', dtype: 'f32', as: 'scalars' },
      { name: 'dlosses', dtype: 'f32', as: 'scalars' },
      { name: 'dlogits', dtype, as: 'elements', write: true },
    ],
    weights: true,
    uniforms,
    folds: [],
    body: [
      'let peak = normalizers[2u * row];',
      'let logTotal = normalizers[2u * row + 1u];',
      'let label = u32(labels[row]); // a negative one becomes too large',
      'let ignored = labels[row] == sizes.ignored;',
      'let dloss = select(sizes.nan, dlosses[row], label < sizes.vectors * VECTOR);',
      whenLive(eachVector([
        'let probabilities = weightOf((Floats(logits[begin + i]) - peak) - logTotal);',
        `  let hot = select(Floats(0.0), Floats(1.0), ${classes} == ${vectorType('u32', vector)}(label));`,
        // select, not a product with 0: an ignored row may hold anything.
        `  dlogits[begin + i] = ${stored}(select((probabilities - hot) * dloss, Floats(0.0), ignored));`,
      ].join('\n'))),
    ].join('\n'),
  })
}

export function crossEntropyLaunch(problem: CrossEntropyProblem, config: CrossEntropyConfig, traits: Traits): Launch {
  const { kernel, rows, classes, dtype, ignoreIndex } = problem
  const forward = kernel === 'crossEntropy'
  return {
    label: `${kernel} ${dtype}, ${describePlan(config)}`,
    wgsl: crossEntropyWgsl(config),
    slots: forward ? [input(0), input(1), output(0), output(1)] : [input(0), input(1), input(2), input(3), output(0)],
    writes: forward ? [2, 3] : [4],
    uniforms: uniformWords([rows, classes / config.vector, { f32: NaN }, ignoreIndex]),
    workgroups: rowWorkgroups(rows, config, traits),
  }
}
