// AdamW (Loshchilov & Hutter 2019), one launch for one flat run of parameters, updated in place.
import { type Launch, type Traits, input, output, spread } from './kernel.ts'
import { vectorOf } from './rows.ts'
import { MAIN, Shader, type Width, typeName, updated, wgsl } from './wgsl.ts'

/** `count` parameters, f32, with their two moments and their gradient. */
export interface AdamWProblem {
  readonly count: number
}

export interface AdamWConfig {
  readonly vector: Width
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
 * hyper: learning rate, 1 − beta1, beta2, 1 − beta2, epsilon, weight decay, 1 − beta1^t, 1 − beta2^t. The operations
 * have the order of torch.optim.AdamW, except for the decay, which is subtracted together with the step.
 */
function adamwShader({ vector, workgroup }: AdamWConfig): Shader {
  const type = typeName('f32', vector)
  return new Shader({
    title: `adamw: vec${vector}, ${workgroup} invocations per workgroup`,
    bindings: {
      parameters: updated(type),
      m: updated(type),
      v: updated(type),
      gradient: type,
      hyper: 'f32',
      gradientScale: 'u32', // the bits of an f32
    },
    uniforms: { vectors: 'u32' },
    code: wgsl`
      const WORKGROUP = ${workgroup}u;
      const EXPONENT = 0x7f800000u;

      @compute @workgroup_size(WORKGROUP)
      fn main(${MAIN}) {
        let i = (group.x + group.y * groups.x) * WORKGROUP + local;
        // Infinity and NaN have all exponent bits set, and negative numbers compare above them. By bits, because
        // compilers may assume that floats are finite.
        let skipped = gradientScale[0] >= EXPONENT;
        if (i >= u.vectors || skipped) {
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
    `,
  })
}

export function adamwLaunch({ count }: AdamWProblem, config: AdamWConfig, traits: Traits): Launch {
  const vectors = count / config.vector
  return adamwShader(config).launch({
    label: `adamw vec${config.vector}, ${config.workgroup} per workgroup`,
    // The first three inputs are updated in place: the output slots hold their old values.
    slots: {
      parameters: output(0),
      m: output(1),
      v: output(2),
      gradient: input(3),
      hyper: input(4),
      gradientScale: input(5),
    },
    uniforms: { vectors },
    workgroups: spread(Math.ceil(vectors / config.workgroup), traits.maxWorkgroups),
  })
}
