// AdamW (Loshchilov & Hutter 2019), one launch for one flat run of parameters, updated in place.
import { type Launch, type Traits, input, output, spread, uniformWords } from './kernel.ts'
import { vectorOf, vectorType } from './rows.ts'

/** `count` parameters, f32, with their two moments and their gradient. */
export interface AdamWProblem {
  readonly count: number
}

export interface AdamWConfig {
  readonly vector: 1 | 2 | 4
  readonly workgroup: number
}

/** Configs worth trying, best guess first. */
export function adamwCandidates({ count }: AdamWProblem, traits: Traits): AdamWConfig[] {
  const sizes = (traits.cpu ? [64, 256] : [256, 64]).filter(n => n <= traits.maxWorkgroupInvocations)
  const vector = vectorOf(count)
  const wide = sizes.map(workgroup => ({ vector, workgroup }))
  return vector > 1 ? [...wide, { vector: 1, workgroup: sizes[0] }] : wide
}

/**
 * Bindings: parameters, m, v (read and written), gradient, hyper (learning rate, 1 − beta1, beta2,
 * 1 − beta2, epsilon, weight decay, 1 − beta1^t, 1 − beta2^t), scale of the gradient. The operations stand in the
 * order of torch.optim.AdamW, but for the decay: it leaves in one subtraction with the step.
 */
export function adamwWgsl({ vector, workgroup }: AdamWConfig): string {
  const floats = vectorType('f32', vector)
  return `// adamw: vec${vector}, ${workgroup} invocations a workgroup
struct Sizes {
  vectors: u32,
}
@group(0) @binding(0) var<storage, read_write> parameters: array<${floats}>;
@group(0) @binding(1) var<storage, read_write> m: array<${floats}>;
@group(0) @binding(2) var<storage, read_write> v: array<${floats}>;
@group(0) @binding(3) var<storage, read> gradient: array<${floats}>;
@group(0) @binding(4) var<storage, read> hyper: array<f32>;
@group(0) @binding(5) var<storage, read> gradientScale: array<u32>; // the bits of an f32
@group(0) @binding(6) var<uniform> sizes: Sizes;

const WORKGROUP = ${workgroup}u;
const EXPONENT = 0x7f800000u;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.x + group.y * groups.x) * WORKGROUP + local;
  // Infinity and NaN have all exponent bits set, and are no more below it than negative numbers are. By bits, because
  // compilers may assume that floats are finite.
  let skipped = gradientScale[0] >= EXPONENT;
  if (i >= sizes.vectors || skipped) {
    return;
  }
  let learningRate = hyper[0];
  let rest1 = hyper[1]; // 1 - beta1 and 1 - beta2, which lose digits when they are made from f32 betas
  let beta2 = hyper[2];
  let rest2 = hyper[3];
  let epsilon = hyper[4];
  let weightDecay = hyper[5];
  let correction1 = hyper[6];
  let correction2 = hyper[7];

  let g = gradient[i] * bitcast<f32>(gradientScale[0]);
  let mean = m[i] + (g - m[i]) * rest1;
  let square = v[i] * beta2 + g * g * rest2;
  let denominator = sqrt(square) / sqrt(correction2) + epsilon;
  // Not p * (1 - lr * decay) - ...: that factor, once rounded, is off in the same direction at every step.
  let decay = parameters[i] * (learningRate * weightDecay);
  parameters[i] = parameters[i] - (decay + (learningRate / correction1) * mean / denominator);
  m[i] = mean;
  v[i] = square;
}
`
}

export function adamwLaunch({ count }: AdamWProblem, config: AdamWConfig, traits: Traits): Launch {
  const vectors = count / config.vector
  return {
    label: `adamw vec${config.vector}, ${config.workgroup} a workgroup`,
    wgsl: adamwWgsl(config),
    // The first three inputs are updated in place: the output slots hold their old values.
    slots: [output(0), output(1), output(2), input(3), input(4), input(5)],
    writes: [0, 1, 2],
    updates: [0, 1, 2],
    uniforms: uniformWords([vectors]),
    workgroups: spread(Math.ceil(vectors / config.workgroup), traits.maxWorkgroups),
  }
}
