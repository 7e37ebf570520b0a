// Layer norm over the last axis (Ba et al. 2016), the gradient of its input, and the gradients of its scale and shift.
//
// The forward kernel works about the row's first element: first the mean's distance from it, then the sum of squares
// about the mean, and what rounding had left of that (partial sums grow along a row whose first element lies far off). So a
// constant row has variance 0 exactly, and a large common offset costs no digits. The gradients of gamma and beta are
// column sums: shares of the rows are summed side by side, then the shares, both in blocks.
import { blockedSum } from './blocks.ts'
import {
  type DType, type Launch, type Lowering, type Spec, type Traits, input, output, temporary, uniformWords,
} from './kernel.ts'
import {
  type RowPlan, describePlan, eachVector, rowPlans, rowShader, rowWorkgroups, vectorOf, vectorSums, vectorType, whenLive,
} from './rows.ts'

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

/** Bindings: x, gamma, beta, y, mean, rstd; for the gradient x, gamma, mean, rstd, dy, dx. */
export function layerNormWgsl(config: LayerNormConfig): string {
  const { dtype, gammaDtype, betaDtype } = config
  const stored = vectorType(dtype, config.vector)
  const first = config.vector === 1 ? 'x[begin]' : 'x[begin].x'
  if (config.kernel === 'layerNorm') {
    return rowShader({
      kernel: `layerNorm ${dtype}`,
      plan: config,
      bindings: [
        { name: 'x', dtype, as: 'elements' },
        { name: 'gamma', dtype: gammaDtype, as: 'elements' },
        { name: 'beta', dtype: betaDtype, as: 'elements' },
        { name: 'y', dtype, as: 'elements', write: true },
        { name: 'mean', dtype: 'f32', as: 'scalars', write: true },
        { name: 'rstd', dtype: 'f32', as: 'scalars', write: true },
      ],
      uniforms: ['epsilon: f32'],
      folds: ['sum'],
      body: [
        'let width = f32(sizes.vectors * VECTOR);',
        `let shift = f32(${first}); // the row is measured from here`,
        vectorSums(config, [['sums', 'Floats(x[begin + i]) - shift']]),
        'let nearly = rowSum(sumOf(sums), lane) / width;',
        vectorSums(config, [['squares', 'd * d'], ['rest', 'd']], ['let d = (Floats(x[begin + i]) - shift) - nearly;']),
        'let center = nearly + rowSum(sumOf(rest), lane) / width;',
        'let scale = 1.0 / sqrt(rowSum(sumOf(squares), lane) / width + sizes.epsilon);',
        whenLive([
          eachVector(
            'let normal = ((Floats(x[begin + i]) - shift) - center) * scale;\n' +
            `  y[begin + i] = ${stored}(normal * Floats(gamma[i]) + Floats(beta[i]));`,
          ),
          'if (lane == 0u) {',
          '  mean[row] = shift + center;',
          '  rstd[row] = scale;',
          '}',
        ].join('\n')),
      ].join('\n'),
    })
  }
  const normal = 'let normal = (Floats(x[begin + i]) - center) * scale;'
  const g = 'let g = Floats(dy[begin + i]) * Floats(gamma[i]);'
  return rowShader({
    kernel: `layerNormGradient ${dtype}`,
    plan: config,
    bindings: [
      { name: 'x', dtype, as: 'elements' },
      { name: 'gamma', dtype: gammaDtype, as: 'elements' },
      { name: 'mean', dtype: 'f32', as: 'scalars' },
      { name: 'rstd', dtype: 'f32', as: 'scalars' },
      { name: 'dy', dtype, as: 'elements' },
      { name: 'dx', dtype, as: 'elements', write: true },
    ],
    folds: ['sum'],
    body: [
      'let width = f32(sizes.vectors * VECTOR);',
      'let center = mean[row];',
      'let scale = rstd[row];',
      vectorSums(config, [['gs', 'g'], ['products', 'g * normal']], [normal, g]),
      'let meanG = rowSum(sumOf(gs), lane) / width;',
      'let meanProduct = rowSum(sumOf(products), lane) / width;',
      whenLive(eachVector(
        `${normal}\n  ${g}\n  dx[begin + i] = ${stored}(scale * (g - meanG - normal * meanProduct));`,
      )),
    ].join('\n'),
  })
}

export function layerNormLaunch(problem: LayerNormProblem, config: LayerNormConfig, traits: Traits): Launch {
  const { kernel, rows, width, dtype, epsilon } = problem
  const forward = kernel === 'layerNorm'
  return {
    label: `${kernel} ${dtype}, ${describePlan(config)}`,
    wgsl: layerNormWgsl(config),
    slots: forward
      ? [input(0), input(1), input(2), output(0), output(1), output(2)]
      : [input(0), input(1), input(2), input(3), input(4), output(0)],
    writes: forward ? [3, 4, 5] : [5],
    uniforms: uniformWords([rows, width / config.vector, ...(forward ? [{ f32: epsilon }] : [])]),
    workgroups: rowWorkgroups(rows, config, traits),
  }
}

/** Gradients of gamma and beta: `dtype` is that of x and dy. */
export interface LayerNormParameterProblem {
  readonly rows: number
  readonly width: number
  readonly dtype: DType
}

export interface LayerNormParameterConfig {
  readonly dtype: DType
  readonly vector: 1 | 2 | 4
  readonly workgroup: number
  /** At most so many shares of the rows are summed side by side. */
  readonly shares: number
}

/** Configs worth trying, best guess first. */
export function layerNormParameterCandidates(
  problem: LayerNormParameterProblem, traits: Traits,
): LayerNormParameterConfig[] {
  const { dtype, width } = problem
  const vector = vectorOf(width)
  const shares = traits.cpu ? [8, 32, 1] : [128, 32, 512]
  const narrow = vector > 1 ? [{ dtype, vector: 1 as const, workgroup: 64, shares: shares[0] }] : []
  return [...shares.map(n => ({ dtype, vector, workgroup: 64, shares: n })), ...narrow]
}

/** Sums over a share of the rows. Bindings: x, mean, rstd, dy, dgamma and dbeta [shares, width]. */
export function layerNormSharesWgsl({ dtype, vector, workgroup }: LayerNormParameterConfig): string {
  const stored = vectorType(dtype, vector)
  const floats = vectorType('f32', vector)
  const sums = blockedSum({
    index: 'row', begin: 'group.y * sizes.share', end: 'last', step: '1u', type: floats, blocks: [32, 8, 8],
    sums: [['scaled', `g * (${floats}(x[at]) - mean[row]) * rstd[row]`], ['plain', 'g']],
    body: ['let at = row * sizes.vectors + column;', `let g = ${floats}(dy[at]);`],
  })
  return `// layerNormParameterGradient ${dtype}: sums over shares of the rows, an invocation a column of vec${vector}
${dtype === 'f16' ? 'enable f16;\n' : ''}
struct Sizes {
  rows: u32,
  vectors: u32, // in a row
  share: u32, // rows in a share
}
@group(0) @binding(0) var<storage, read> x: array<${stored}>;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> rstd: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<${stored}>;
@group(0) @binding(4) var<storage, read_write> dgamma: array<${floats}>;
@group(0) @binding(5) var<storage, read_write> dbeta: array<${floats}>;
@group(0) @binding(6) var<uniform> sizes: Sizes;

@compute @workgroup_size(${workgroup})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  let column = id.x;
  if (column >= sizes.vectors) {
    return;
  }
  let last = min((group.y + 1u) * sizes.share, sizes.rows);
${sums.map(line => `  ${line}`).join('\n')}
  dgamma[group.y * sizes.vectors + column] = scaled;
  dbeta[group.y * sizes.vectors + column] = plain;
}
`
}

/** Sums of the shares, in their order. Bindings: both shares [shares, width], then dgamma and dbeta [width]. */
export function layerNormSumWgsl({ vector, workgroup }: LayerNormParameterConfig): string {
  const floats = vectorType('f32', vector)
  const sums = blockedSum({
    index: 'share', begin: '0u', end: 'sizes.shares', step: '1u', type: floats, blocks: [16], body: [],
    sums: ['scaled', 'plain'].map(name => [name, `${name}Shares[share * sizes.vectors + id.x]`] as const),
  })
  return `// layerNormParameterGradient: sums of the shares, an invocation a column of vec${vector}
struct Sizes {
  shares: u32,
  vectors: u32, // in a row
}
@group(0) @binding(0) var<storage, read> scaledShares: array<${floats}>;
@group(0) @binding(1) var<storage, read> plainShares: array<${floats}>;
@group(0) @binding(2) var<storage, read_write> dgamma: array<${floats}>;
@group(0) @binding(3) var<storage, read_write> dbeta: array<${floats}>;
@group(0) @binding(4) var<uniform> sizes: Sizes;

@compute @workgroup_size(${workgroup})
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= sizes.vectors) {
    return;
  }
${sums.map(line => `  ${line}`).join('\n')}
  dgamma[id.x] = scaled;
  dbeta[id.x] = plain;
}
`
}

/** Rows that are worth a share of their own, at the least. */
const LEAST_SHARE = 16

export function layerNormParameterLowering(
  problem: LayerNormParameterProblem, config: LayerNormParameterConfig,
): Lowering {
  const { rows, width, dtype } = problem
  const { vector, workgroup } = config
  const share = Math.max(LEAST_SHARE, Math.ceil(rows / config.shares))
  const shares = Math.ceil(rows / share)
  const vectors = width / vector
  const columns = Math.ceil(vectors / workgroup)
  const alone = shares === 1
  const sums: Launch = {
    label: `layerNormParameterGradient ${dtype} in ${shares} shares, vec${vector}`,
    wgsl: layerNormSharesWgsl(config),
    slots: [input(0), input(1), input(2), input(3), ...(alone ? [output(0), output(1)] : [temporary(0), temporary(1)])],
    writes: [4, 5],
    uniforms: uniformWords([rows, vectors, share]),
    workgroups: [columns, shares, 1],
  }
  if (alone) return { launches: [sums] }
  const temporarySpec: Spec = { shape: [shares, width], dtype: 'f32' }
  return {
    temporaries: [temporarySpec, temporarySpec],
    launches: [sums, {
      label: `layerNormParameterGradient sum of ${shares} shares, vec${vector}`,
      wgsl: layerNormSumWgsl(config),
      slots: [temporary(0), temporary(1), output(0), output(1)],
      writes: [2, 3],
      uniforms: uniformWords([shares, vectors]),
      workgroups: [columns, 1, 1],
    }],
  }
}
