// The host's random numbers: sampling, splits, shuffles. A small seeded generator, one for each purpose and epoch, so
// that a resumed run draws what the unbroken one would have drawn. (Dropout on the GPU has a generator of its own.)
import { UserError } from '../engine/errors.ts'
import { needArray, needStrings } from '../engine/options.ts'

/** The whole state of a generator: four unsigned 32-bit words, not all zero. JSON keeps it as it is. */
export type RandomState = readonly [number, number, number, number]

const rotateLeft = (x: number, bits: number): number => (x << bits) | (x >>> (32 - bits))

/** The finaliser of MurmurHash3 (Appleby): a bijection of 32-bit words; every input bit moves every output bit. */
function mix(word: number): number {
  let x = word
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return x ^ (x >>> 16)
}

/**
 * xoshiro128** 1.1 (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021): period 2^128 - 1,
 * 32-bit arithmetic only.
 */
export class Random {
  readonly #words: Int32Array

  /** Continues from a saved state; for a new generator use `stream`. Throws a UserError on what is not a state. */
  constructor(state: RandomState) {
    const isWord = (word: unknown) => Number.isInteger(word) && Number(word) >= 0 && Number(word) <= 0xffffffff
    if (!Array.isArray(state) || state.length !== 4 || !state.every(isWord) || state.every(word => word === 0)) {
      throw new UserError(`A random state is four 32-bit words, not all zero; got ${JSON.stringify(state)}`)
    }
    this.#words = Int32Array.from(state)
  }

  /** `new Random(random.state)` draws the same numbers from here on. */
  get state(): RandomState {
    const [a, b, c, d] = new Uint32Array(this.#words)
    return [a, b, c, d]
  }

  /** 32 uniform bits, as an unsigned integer. */
  bits(): number {
    const s = this.#words
    const result = Math.imul(rotateLeft(Math.imul(s[1], 5), 7), 9) >>> 0
    const t = s[1] << 9
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= t
    s[3] = rotateLeft(s[3], 11)
    return result
  }

  /** Uniform in [0, 1), a multiple of 2^-53. */
  next(): number {
    const high = this.bits() >>> 5
    return (high * 2 ** 26 + (this.bits() >>> 6)) / 2 ** 53
  }

  /** A uniform integer in [0, n), without bias; n in 1 … 2^32. */
  below(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > 2 ** 32)
      throw new UserError(`below(n) takes a whole n in 1 … 2^32; got ${n}`)
    // Draws past the largest multiple of n would favour the small results, so they are drawn again.
    const limit = 2 ** 32 - (2 ** 32 % n)
    for (;;) {
      const draw = this.bits()
      if (draw < limit) return draw % n
    }
  }

  /** Shuffles in place (Fisher and Yates), every order equally likely, and returns the same array. */
  shuffle<T>(array: T[]): T[] {
    needArray('shuffle', array, 'anything')
    for (let i = array.length - 1; i > 0; i--) {
      const j = this.below(i + 1)
      const held = array[i]
      array[i] = array[j]
      array[j] = held
    }
    return array
  }

  /** Standard normal (Box and Muller, 1958). The second value of the pair is dropped: the state stays four words. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.next()))
    return radius * Math.cos(2 * Math.PI * this.next())
  }
}

/**
 * The generator of one purpose: the same seed and name always give the same numbers, and another name gives unrelated
 * ones, so that drawing more for one purpose moves no other. `seed` is a non-negative safe integer. Throws a
 * UserError on another.
 */
export function stream(seed: number, name: string): Random {
  if (!Number.isSafeInteger(seed) || seed < 0) throw new UserError(`A seed is a non-negative whole number; got ${seed}`)
  needStrings('stream', { name })
  const words = [0, 1, 2, 3].map(lane => {
    let hash = mix((seed % 2 ** 32) ^ Math.imul(lane + 1, 0x9e3779b9))
    hash = mix(hash ^ Math.floor(seed / 2 ** 32))
    // The lane is added again at each character: two names that meet in one lane still differ in the others.
    for (let i = 0; i < name.length; i++) hash = mix((hash ^ name.charCodeAt(i)) + Math.imul(lane + 1, 0x9e3779b9))
    return mix(hash ^ name.length) >>> 0
  })
  const [a, b, c, d] = words
  return new Random((a | b | c | d) === 0 ? [1, 0, 0, 0] : [a, b, c, d])
}
