// The Kullback-Leibler divergence of one softmax from another, both of logits divided by a temperature, and its gradient:
// row kernels (rows.ts).
//
// Like that of cross entropy, the forward kernel keeps the largest logit of a row and log Σ exp((logit − largest) /
// temperature), here of both sides. No matrix of probabilities is ever stored: the gradient makes them again.
import { type DType, type Launch, type Traits, input, output } from './kernel.ts'
import type { RowPlan } from './rows.ts'
import { describePlan, eachVector, rowPlans, rowShader, rowUniforms, rowWorkgroups, vectorSums } from './rows.ts'
import { type Shader, typeName, wgsl, written } from './wgsl.ts'

export interface DivergenceProblem {
  readonly kernel: 'divergence' | 'divergenceGradient'
  readonly rows: number
  readonly classes: number
  /** Of both logits and of the gradient. */
  readonly dtype: DType
  readonly temperature: number
}

export interface DivergenceConfig extends RowPlan, Pick<DivergenceProblem, 'kernel' | 'dtype'> {}

/** Configs worth trying, best guess first. */
export function divergenceCandidates(problem: DivergenceProblem, traits: Traits): DivergenceConfig[] {
  const { kernel, classes, dtype } = problem
  return rowPlans(classes, traits).map(plan => ({ ...plan, kernel, dtype }))
}

function divergenceShader(config: DivergenceConfig): Shader {
  const { kernel, dtype, vector } = config
  const type = typeName(dtype, vector)
  const words = typeName('u32', vector)
  const common = {
    kernel: `${kernel} ${dtype}`,
    plan: config,
    exponentials: true,
    uniforms: { inverse: 'f32' },
  } as const
  const scaled = (x: string, largest: string): string => `(Floats(${x}[begin + i]) - ${largest}) * u.inverse`
  if (kernel === 'divergence') {
    return rowShader({
      ...common,
      folds: ['max', 'sum'],
      bindings: { logits: type, teacher: type, losses: written('f32'), normalizers: written('f32') },
      body: wgsl`
        var largestLogits = Floats(LOWEST);
        var largestTeachers = Floats(LOWEST);
        ${eachVector(
          'largestLogits = max(largestLogits, Floats(logits[begin + i]));',
          'largestTeachers = max(largestTeachers, Floats(teacher[begin + i]));',
        )}
        let largest = rowMax(maxOf(largestLogits), lane);
        let largestTeacher = rowMax(maxOf(largestTeachers), lane);
        ${vectorSums(
          config,
          [
            ['sums', 'expOf(own)'],
            ['teacherSums', 'weights'],
            ['gaps', `select(weights * (theirs - own), Floats(0.0), bitcast<${words}>(weights) == ${words}(0u))`],
          ],
          `let own = ${scaled('logits', 'largest')};`,
          `let theirs = ${scaled('teacher', 'largestTeacher')};`,
          '// What the teacher rules out counts nothing, however small the other side is.',
          'let weights = expOf(theirs);',
        )}
        let total = rowSum(sumOf(sums), lane);
        let teacherTotal = rowSum(sumOf(teacherSums), lane);
        let gap = rowSum(sumOf(gaps), lane);
        // 0 where all logits are −∞, NaN where one is NaN; the logs of these are not the same on every adapter.
        let logTotal = select(u.nan, log(total), isPositive(total));
        let logTeacherTotal = select(u.nan, log(teacherTotal), isPositive(teacherTotal));
        if (live && lane == 0u) {
          losses[row] = gap / teacherTotal + (logTotal - logTeacherTotal);
          normalizers[4u * row] = largest;
          normalizers[4u * row + 1u] = logTotal;
          normalizers[4u * row + 2u] = largestTeacher;
          normalizers[4u * row + 3u] = logTeacherTotal;
        }
      `,
    })
  }
  return rowShader({
    ...common,
    folds: [],
    bindings: { logits: type, teacher: type, normalizers: 'f32', dlosses: 'f32', dlogits: written(type) },
    body: wgsl`
      let largest = normalizers[4u * row];
      let logTotal = normalizers[4u * row + 1u];
      let largestTeacher = normalizers[4u * row + 2u];
      let logTeacherTotal = normalizers[4u * row + 3u];
      let factor = dlosses[row] * u.inverse;
      if (live) {
        ${eachVector(
          `let own = expOf(${scaled('logits', 'largest')} - logTotal);`,
          `let theirs = expOf(${scaled('teacher', 'largestTeacher')} - logTeacherTotal);`,
          `dlogits[begin + i] = ${type}((own - theirs) * factor);`,
        )}
      }
    `,
  })
}

export function divergenceLaunch(problem: DivergenceProblem, config: DivergenceConfig, traits: Traits): Launch {
  const { kernel, rows, classes, dtype, temperature } = problem
  return divergenceShader(config).launch({
    label: `${kernel} ${dtype}, ${describePlan(config)}`,
    slots:
      kernel === 'divergence'
        ? { logits: input(0), teacher: input(1), losses: output(0), normalizers: output(1) }
        : { logits: input(0), teacher: input(1), normalizers: input(2), dlosses: input(3), dlogits: output(0) },
    uniforms: { ...rowUniforms(rows, classes, config), inverse: 1 / temperature },
    workgroups: rowWorkgroups(rows, config, traits),
  })
}
