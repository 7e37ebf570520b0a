// Random numbers from counters: Philox4x32 (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3",
// SC'11), as WGSL and as its mirror in JavaScript. A number depends on (index, stream, step, seed) and on nothing else,
// so a dropout mask is the same on every adapter and is made again in the backward pass instead of being kept.
//
// The counter is (index / 4, stream, step, 0) and the key (seed, KEY_TAG). One block of four words serves the four
// indices that share index / 4; a kernel that walks indices in order takes whole blocks with `uniformBlock`.

/** Of what a kernel draws, again and again: the fewest with which the generator passes BigCrush, as the authors report. */
const ROUNDS = 7
/** Of what the host draws once: the authors' default, with a margin. */
export const ROUNDS_ONCE = 10
const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57] as const
/** Weyl increments of the key: the golden ratio and √3 − 1. */
const KEY_STEPS = [0x9e3779b9, 0xbb67ae85] as const
/** Second key word: ASCII "tile". */
const KEY_TAG = 0x74696c65

const hex = (word: number): string => `0x${word.toString(16).padStart(8, '0')}u`

/**
 * WGSL of `name(b: u32) -> u32`, the high word of multiplier · b. WGSL has no 64-bit product: it is made of halves, those of
 * b and those (left and right) of the multiplier, which are constants here:
 *
 *   multiplier · b / 2³² = left · high + (left · low + right · high + right · low / 2¹⁶) / 2¹⁶
 *
 * The sum in parentheses is at most (left + right) · (2¹⁶ − 1) + right, and 2¹⁶ more where it is rounded up: below
 * (left + right + 1) · 2¹⁶, so that a left + right under 2¹⁶ needs no carry. Where the multiplier has larger halves,
 * those of 2³² − multiplier are small: (2³² − multiplier) · b / 2³², rounded up at both divisions, is taken from b.
 */
function highWord(name: string, multiplier: number): string {
  const fits = (factor: number): boolean => (factor >>> 16) + (factor & 0xffff) < 0x10000
  const rest = 2 ** 32 - multiplier
  if (!fits(multiplier) && !fits(rest)) throw new Error(`${hex(multiplier)} takes a carry`)
  const factor = fits(multiplier) ? multiplier : rest
  const [left, right] = [factor >>> 16, factor & 0xffff].map(half => `0x${half.toString(16)}u`)
  const up = factor === rest ? ' + 0xffffu' : '' // makes the next shift by 16 round up
  const word = `${left} * high + (middle >> 16u)`
  return `fn ${name}(b: u32) -> u32 { // of ${hex(multiplier)} * b
  let high = b >> 16u;
  let low = b & 0xffffu;
  let middle = ${left} * low${up} + ${right} * high + ((${right} * low${up}) >> 16u);
  return ${factor === rest ? `b - (${word})` : word};
}`
}

/**
 * WGSL of `philox4x32`, of `uniformBlock(block, stream, step, seed) -> vec4<f32>` (the numbers of indices 4·block …
 * 4·block + 3) and of `uniform01(index, stream, step, seed) -> f32`, all in [0, 1) with 24 random bits.
 */
export const uniformWgsl: string = `// Philox4x32-${ROUNDS} (Salmon et al., SC'11)
${MULTIPLIERS.map((multiplier, k) => highWord(`philoxHigh${k}`, multiplier)).join('\n\n')}

fn philox4x32(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
  var c = counter;
  var k = key;
  for (var round = 0u; round < ${ROUNDS}u; round++) {
    c = vec4<u32>(philoxHigh1(c.z) ^ c.y ^ k.x, ${hex(MULTIPLIERS[1])} * c.z, philoxHigh0(c.x) ^ c.w ^ k.y, ${hex(MULTIPLIERS[0])} * c.x);
    k += vec2<u32>(${hex(KEY_STEPS[0])}, ${hex(KEY_STEPS[1])});
  }
  return c;
}

fn uniformBlock(block: u32, stream: u32, step: u32, seed: u32) -> vec4<f32> {
  let words = philox4x32(vec4<u32>(block, stream, step, 0u), vec2<u32>(seed, ${hex(KEY_TAG)}));
  return vec4<f32>(words >> vec4<u32>(8u)) * ${2 ** -24};
}

fn uniform01(index: u32, stream: u32, step: u32, seed: u32) -> f32 {
  return uniformBlock(index >> 2u, stream, step, seed)[index & 3u];
}
`

function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const first = aHigh * bLow + ((aLow * bLow) >>> 16)
  const second = aLow * bHigh + (first & 0xffff)
  return (aHigh * bHigh + (first >>> 16) + (second >>> 16)) >>> 0
}

/** One Philox4x32 block: four 32-bit words from a counter of four and a key of two. */
export function philox4x32(
  counter: readonly [number, number, number, number], key: readonly [number, number], rounds: number,
): [number, number, number, number] {
  let [x, y, z, w] = counter.map(word => word >>> 0)
  let [k0, k1] = key.map(word => word >>> 0)
  for (let round = 0; round < rounds; round++) {
    const high0 = mulHigh(MULTIPLIERS[0], x)
    const high1 = mulHigh(MULTIPLIERS[1], z)
    const low0 = Math.imul(MULTIPLIERS[0], x) >>> 0
    const low1 = Math.imul(MULTIPLIERS[1], z) >>> 0
    x = (high1 ^ y ^ k0) >>> 0
    y = low1
    z = (high0 ^ w ^ k1) >>> 0
    w = low0
    k0 = (k0 + KEY_STEPS[0]) >>> 0
    k1 = (k1 + KEY_STEPS[1]) >>> 0
  }
  return [x, y, z, w]
}

/**
 * The number in [0, 1) that the WGSL function of this name gives, to the bit. Arguments are taken modulo 2³².
 * `stream` tells apart users of one seed (layers, purposes), `step` tells apart times.
 */
export function uniform01(index: number, stream: number, step: number, seed: number): number {
  const words = philox4x32([(index >>> 0) >>> 2, stream, step, 0], [seed, KEY_TAG], ROUNDS)
  return (words[index & 3] >>> 8) * 2 ** -24
}

/**
 * `count` standard normal numbers by Box & Muller (1958), for fresh weights. A function of its arguments alone, and a
 * longer draw begins with the shorter one. (JavaScript engines may differ in the last bit of a logarithm or a cosine.)
 */
export function normals(count: number, stream: number, seed: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(count)
  for (let at = 0; at < count; at += 4) {
    const words = philox4x32([at / 4, stream, 0, 0], [seed, KEY_TAG], ROUNDS_ONCE)
    for (let pair = 0; pair < 4; pair += 2) {
      // The radius takes all 32 bits, shifted off zero, where the logarithm has none.
      const radius = Math.sqrt(-2 * Math.log((words[pair] + 1) * 2 ** -32))
      const angle = 2 * Math.PI * words[pair + 1] * 2 ** -32
      if (at + pair < count) out[at + pair] = radius * Math.cos(angle)
      if (at + pair + 1 < count) out[at + pair + 1] = radius * Math.sin(angle)
    }
  }
  return out
}
