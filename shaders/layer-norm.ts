// Layer norm over the last axis (Ba et al. 2016), the gradient of its input, and the gradients of its scale and shift.
//
// The forward kernel works about the row's first element: first the mean's distance from it, then the sum of squares
// about the mean, and what rounding had left of that (partial sums grow along a row whose first element lies far off).
// So a constant row has variance 0 exactly, and a large common offset costs no digits. The gradients of gamma and beta
// are column sums: shares of the rows are summed side by side, then the shares, both in blocks.
import { blockedSum } from './blocks.ts'
import { type DType, type Launch, type Lowering, type Spec, type Traits, input, output, temporary } from './kernel.ts'
import type { RowPlan } from './rows.ts'
import {
  describePlan,
  eachVector,
  rowPlans,
  rowShader,
  rowUniforms,
  rowWorkgroups,
  vectorOf,
  vectorSums,
} from './rows.ts'
import { Shader, type Width, typeName, wgsl, written } from './wgsl.ts'

/** Rows of `width` elements; `dtype` is that of x and y, and of dy and dx. */
export interface LayerNormProblem {
  readonly kernel: 'layerNorm' | 'layerNormGradient'
  readonly rows: number
  readonly width: number
  readonly dtype: DType
  readonly gammaDtype: DType
  readonly betaDtype: DType
  readonly epsilon: number
}

type LayerNormKind = Pick<LayerNormProblem, 'kernel' | 'dtype' | 'gammaDtype' | 'betaDtype'>

export interface LayerNormConfig extends RowPlan, LayerNormKind {}

/** Configs worth trying, best guess first. */
export function layerNormCandidates(problem: LayerNormProblem, traits: Traits): LayerNormConfig[] {
  const { kernel, width, dtype, gammaDtype, betaDtype } = problem
  return rowPlans(width, traits).map(plan => ({ ...plan, kernel, dtype, gammaDtype, betaDtype }))
}

function layerNormShader(config: LayerNormConfig): Shader {
  const { dtype, vector } = config
  const [type, gamma, beta] = [dtype, config.gammaDtype, config.betaDtype].map(dtype => typeName(dtype, vector))
  if (config.kernel === 'layerNorm') {
    return rowShader({
      kernel: `layerNorm ${dtype}`,
      plan: config,
      uniforms: { epsilon: 'f32' },
      folds: ['sum'],
      bindings: { x: type, gamma, beta, y: written(type), mean: written('f32'), rstd: written('f32') },
      body: wgsl`
        let width = f32(u.vectors * VECTOR);
        let shift = f32(${vector === 1 ? 'x[begin]' : 'x[begin].x'}); // the row is measured from here
        ${vectorSums(config, [['sums', 'Floats(x[begin + i]) - shift']])}
        let nearly = rowSum(sumOf(sums), lane) / width;
        ${vectorSums(
          config,
          [
            ['squares', 'd * d'],
            ['rest', 'd'],
          ],
          'let d = (Floats(x[begin + i]) - shift) - nearly;',
        )}
        let center = nearly + rowSum(sumOf(rest), lane) / width;
        let scale = 1.0 / sqrt(rowSum(sumOf(squares), lane) / width + u.epsilon);
        if (live) {
          ${eachVector(
            'let normal = ((Floats(x[begin + i]) - shift) - center) * scale;',
            `y[begin + i] = ${type}(normal * Floats(gamma[i]) + Floats(beta[i]));`,
          )}
          if (lane == 0u) {
            mean[row] = shift + center;
            rstd[row] = scale;
          }
        }
      `,
    })
  }
  const normal = 'let normal = (Floats(x[begin + i]) - center) * scale;'
  const g = 'let g = Floats(dy[begin + i]) * Floats(gamma[i]);'
  return rowShader({
    kernel: `layerNormGradient ${dtype}`,
    plan: config,
    folds: ['sum'],
    bindings: { x: type, gamma, mean: 'f32', rstd: 'f32', dy: type, dx: written(type) },
    body: wgsl`
      let width = f32(u.vectors * VECTOR);
      let center = mean[row];
      let scale = rstd[row];
      ${vectorSums(
        config,
        [
          ['gs', 'g'],
          ['products', 'g * normal'],
        ],
        normal,
        g,
      )}
      let meanG = rowSum(sumOf(gs), lane) / width;
      let meanProduct = rowSum(sumOf(products), lane) / width;
      if (live) {
        ${eachVector(normal, g, `dx[begin + i] = ${type}(scale * (g - meanG - normal * meanProduct));`)}
      }
    `,
  })
}

export function layerNormLaunch(
  { kernel, rows, width, dtype, epsilon }: LayerNormProblem,
  config: LayerNormConfig,
  traits: Traits,
): Launch {
  return layerNormShader(config).launch({
    label: `${kernel} ${dtype}, ${describePlan(config)}`,
    slots:
      kernel === 'layerNorm'
        ? { x: input(0), gamma: input(1), beta: input(2), y: output(0), mean: output(1), rstd: output(2) }
        : { x: input(0), gamma: input(1), mean: input(2), rstd: input(3), dy: input(4), dx: output(0) },
    uniforms: { ...rowUniforms(rows, width, config), epsilon },
    workgroups: rowWorkgroups(rows, config, traits),
  })
}

/** Gradients of gamma and beta: `dtype` is that of x and dy. */
export interface LayerNormParameterProblem {
  readonly rows: number
  readonly width: number
  readonly dtype: DType
}

export interface LayerNormParameterConfig {
  readonly dtype: DType
  readonly vector: Width
  readonly workgroup: number
  /** Largest number of shares of the rows, which are summed side by side. */
  readonly shares: number
}

/** Configs worth trying, best guess first. */
export function layerNormParameterCandidates(
  problem: LayerNormParameterProblem,
  traits: Traits,
): LayerNormParameterConfig[] {
  const { dtype, width } = problem
  const vector = vectorOf(width)
  const shares = traits.cpu ? [8, 32, 1] : [128, 32, 512]
  const narrow = vector > 1 ? [{ dtype, vector: 1 as const, workgroup: 64, shares: shares[0] }] : []
  return [...shares.map(n => ({ dtype, vector, workgroup: 64, shares: n })), ...narrow]
}

/** Sums over shares of the rows. */
function sharesShader({ dtype, vector, workgroup }: LayerNormParameterConfig): Shader {
  const [type, floats] = [typeName(dtype, vector), typeName('f32', vector)]
  return new Shader({
    title: `layerNormParameterGradient ${dtype}: sums over shares of the rows, one invocation per column of vec${vector}`,
    bindings: { x: type, mean: 'f32', rstd: 'f32', dy: type, dgamma: written(floats), dbeta: written(floats) },
    // `vectors` per row; `share`: rows per share.
    uniforms: { rows: 'u32', vectors: 'u32', share: 'u32' },
    code: wgsl`
      @compute @workgroup_size(${workgroup})
      fn main(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
        let column = id.x;
        if (column >= u.vectors) {
          return;
        }
        let last = min((group.y + 1u) * u.share, u.rows);
        ${blockedSum({
          index: 'row',
          begin: 'group.y * u.share',
          end: 'last',
          step: '1u',
          type: floats,
          blocks: [32, 8, 8],
          sums: [
            ['scaled', `g * (${floats}(x[at]) - mean[row]) * rstd[row]`],
            ['plain', 'g'],
          ],
          body: ['let at = row * u.vectors + column;', `let g = ${floats}(dy[at]);`],
        })}
        dgamma[group.y * u.vectors + column] = scaled;
        dbeta[group.y * u.vectors + column] = plain;
      }
    `,
  })
}

/** Sums of the shares [shares, width], in their order. */
function sumShader({ vector, workgroup }: LayerNormParameterConfig): Shader {
  const type = typeName('f32', vector)
  return new Shader({
    title: `layerNormParameterGradient: sums of the shares, one invocation per column of vec${vector}`,
    bindings: { scaledShares: type, plainShares: type, dgamma: written(type), dbeta: written(type) },
    uniforms: { shares: 'u32', vectors: 'u32' },
    code: wgsl`
      @compute @workgroup_size(${workgroup})
      fn main(@builtin(global_invocation_id) id: vec3u) {
        if (id.x >= u.vectors) {
          return;
        }
        ${blockedSum({
          index: 'share',
          begin: '0u',
          end: 'u.shares',
          step: '1u',
          type,
          blocks: [16],
          body: [],
          sums: ['scaled', 'plain'].map(name => [name, `${name}Shares[share * u.vectors + id.x]`] as const),
        })}
        dgamma[id.x] = scaled;
        dbeta[id.x] = plain;
      }
    `,
  })
}

/** Rows that are worth a share of their own, at the least. */
const LEAST_SHARE = 16

export function layerNormParameterLowering(
  problem: LayerNormParameterProblem,
  config: LayerNormParameterConfig,
): Lowering {
  const { rows, width, dtype } = problem
  const { vector, workgroup } = config
  const share = Math.max(LEAST_SHARE, Math.ceil(rows / config.shares))
  const shares = Math.ceil(rows / share)
  const vectors = width / vector
  const columns = Math.ceil(vectors / workgroup)
  const alone = shares === 1
  const [dgamma, dbeta] = alone ? [output(0), output(1)] : [temporary(0), temporary(1)]
  const sums = sharesShader(config).launch({
    label: `layerNormParameterGradient ${dtype} in ${shares} shares, vec${vector}`,
    slots: { x: input(0), mean: input(1), rstd: input(2), dy: input(3), dgamma, dbeta },
    uniforms: { rows, vectors, share },
    workgroups: [columns, shares, 1],
  })
  if (alone) return { launches: [sums] }
  const temporarySpec: Spec = { shape: [shares, width], dtype: 'f32' }
  return {
    temporaries: [temporarySpec, temporarySpec],
    launches: [
      sums,
      sumShader(config).launch({
        label: `layerNormParameterGradient sum of ${shares} shares, vec${vector}`,
        slots: { scaledShares: dgamma, plainShares: dbeta, dgamma: output(0), dbeta: output(1) },
        uniforms: { shares, vectors },
        workgroups: [columns, 1, 1],
      }),
    ],
  }
}
