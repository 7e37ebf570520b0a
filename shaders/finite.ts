// Looks for numbers that are not finite, by their bits: compilers may assume that floats are finite. For diagnoses, so
// it is written to be plain, not fast.
import { type FloatType, type Launch, type Traits, input, output, spread } from './kernel.ts'
import { MAIN, Shader, wgsl, written } from './wgsl.ts'

/** `count` floats; what is found goes to words 2 · `at` and 2 · `at` + 1 of the result. */
export interface FiniteProblem {
  readonly count: number
  readonly dtype: FloatType
  readonly at: number
}

/** Bits of the first word: which kinds there are. */
export const KINDS = { nan: 1, positive: 2, negative: 4 } as const

const WORKGROUP = 64
const WORDS_EACH = 16

/**
 * `bits` are the floats, as words; `found` is zeroed before. Of each check the first word is the kinds that it met, the
 * second 2³² − 1 − the number of the first such element.
 */
const finiteShader = (dtype: FloatType): Shader =>
  new Shader({
    title: `finite: ${dtype}, ${WORKGROUP} invocations per workgroup, ${WORDS_EACH} words per invocation`,
    bindings: { bits: 'u32', found: written('atomic<u32>') },
    uniforms: { count: 'u32', words: 'u32', at: 'u32' },
    code: wgsl`
    const WORKGROUP = ${WORKGROUP}u;
    const WORDS_EACH = ${WORDS_EACH}u;

    fn look(element: u32, magnitude: u32, infinity: u32, sign: u32) {
      if (magnitude < infinity) { return; }
      let kind = select(select(${KINDS.positive}u, ${KINDS.negative}u, sign == 1u), ${KINDS.nan}u, magnitude > infinity);
      atomicOr(&found[2u * u.at], kind);
      atomicMax(&found[2u * u.at + 1u], 0xffffffffu - element);
    }

    @compute @workgroup_size(WORKGROUP)
    fn main(${MAIN}) {
      let first = (group.x + group.y * groups.x) * WORKGROUP * WORDS_EACH + local;
      let end = min(first + WORKGROUP * WORDS_EACH, u.words);
      for (var word = first; word < end; word += WORKGROUP) {
        ${
          dtype === 'f32'
            ? 'look(word, bits[word] & 0x7fffffffu, 0x7f800000u, bits[word] >> 31u);'
            : wgsl`
          look(2u * word, bits[word] & 0x7fffu, 0x7c00u, (bits[word] >> 15u) & 1u);
          if (2u * word + 1u < u.count) { look(2u * word + 1u, (bits[word] >> 16u) & 0x7fffu, 0x7c00u, bits[word] >> 31u); }
        `
        }
      }
    }
  `,
  })

export function finiteLaunch({ count, dtype, at }: FiniteProblem, traits: Traits): Launch {
  const words = dtype === 'f32' ? count : Math.ceil(count / 2)
  return finiteShader(dtype).launch({
    label: `finite ${dtype}`,
    slots: { bits: input(0), found: output(0) },
    uniforms: { count, words, at },
    workgroups: spread(Math.ceil(words / (WORKGROUP * WORDS_EACH)), traits.maxWorkgroups),
  })
}
