// Random numbers from counters: Threefry4x32 (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2,
// 3", SC'11), as WGSL and as its mirror in JavaScript. It takes sums, rotations and exclusive ors alone: WGSL has no
// high word of a product, which Philox is made of. A number depends on (index, stream, step, seed) and on nothing else,
// so a dropout mask is the same on every adapter and is made again in the backward pass instead of being kept.
//
// The counter is (index / 4, stream, step, 0) and the key (seed, KEY_TAG, 0, 0). One block of four words serves the
// four indices that share index / 4; a kernel that walks indices in order takes whole blocks with `randomBlock`.
import { each, wgsl, when } from './wgsl.ts'

/** Of what a kernel draws, again and again: as few as the authors test and publish known answers of. */
const ROUNDS = 13
/** Of what the host draws once: the authors' default, with a margin. */
const ROUNDS_ONCE = 20
/** Bits by which a round turns its two words, over and over. */
const ROTATIONS = [
  [10, 26],
  [11, 21],
  [13, 27],
  [23, 5],
  [6, 20],
  [17, 11],
  [25, 10],
  [18, 20],
] as const
/** The key's fifth word is this and the other four, exclusive or: Skein's parity. */
const PARITY = 0x1bd11bda
/** Second key word: ASCII "tile". */
const KEY_TAG = 0x74696c65

const hex = (word: number): string => `0x${word.toString(16).padStart(8, '0')}u`

/** WGSL of round `r`: `a` has the words x and z; in even rounds y and w are added to them, in odd ones w and y. */
function roundWgsl(r: number): string {
  const turn = ROTATIONS[r % ROTATIONS.length]
  const pair = (bits: readonly number[]): string => `vec2<u32>(${bits.map(n => `${n}u`).join(', ')})`
  const others = r % 2 === 0 ? 'b' : 'b.yx'
  const turned = `((${others} << ${pair(turn)}) | (${others} >> ${pair(turn.map(n => 32 - n))})) ^ a`
  const n = (r + 1) / 4
  const key = (i: number): string => `k${(n + i) % 5}`
  return wgsl`
    a += ${others};
    b = ${r % 2 === 0 ? turned : `(${turned}).yx`};
    ${when(Number.isInteger(n))`
      a += vec2<u32>(${key(0)}, ${key(2)});
      b += vec2<u32>(${key(1)}, ${key(3)} + ${n}u);
    `}
  `
}

/**
 * WGSL of `randomBlock(block, stream, step, seed) -> vec4<u32>` (the words of indices 4·block … 4·block + 3) and of
 * `randomWord(index, stream, step, seed) -> u32`.
 */
export const randomWgsl: string = wgsl`
  // Threefry4x32-${ROUNDS} (Salmon et al., SC'11)
  fn randomBlock(block: u32, stream: u32, step: u32, seed: u32) -> vec4<u32> {
    let k0 = seed;
    const k1 = ${hex(KEY_TAG)};
    const k2 = 0u;
    const k3 = 0u;
    let k4 = ${hex(PARITY)} ^ k0 ^ k1 ^ k2 ^ k3;
    var a = vec2<u32>(block + k0, step + k2);
    var b = vec2<u32>(stream + k1, k3);
    ${each(ROUNDS, roundWgsl)}
    return vec4<u32>(a.x, b.x, a.y, b.y);
  }

  fn randomWord(index: u32, stream: u32, step: u32, seed: u32) -> u32 {
    return randomBlock(index >> 2u, stream, step, seed)[index & 3u];
  }
`

type Words = readonly [number, number, number, number]

/** One Threefry4x32 block: four 32-bit words from a counter and a key of four each, by `rounds` rounds. */
export function threefry4x32(counter: Words, key: Words, rounds: number): [number, number, number, number] {
  const [k0, k1, k2, k3] = key
  const keys = [k0, k1, k2, k3, PARITY ^ k0 ^ k1 ^ k2 ^ k3]
  let x = (counter[0] + k0) | 0
  let y = (counter[1] + k1) | 0
  let z = (counter[2] + k2) | 0
  let w = (counter[3] + k3) | 0
  for (let r = 0; r < rounds; r++) {
    const [left, right] = ROTATIONS[r % ROTATIONS.length]
    if (r % 2 === 0) {
      x = (x + y) | 0
      y = ((y << left) | (y >>> (32 - left))) ^ x
      z = (z + w) | 0
      w = ((w << right) | (w >>> (32 - right))) ^ z
    } else {
      x = (x + w) | 0
      w = ((w << left) | (w >>> (32 - left))) ^ x
      z = (z + y) | 0
      y = ((y << right) | (y >>> (32 - right))) ^ z
    }
    if (r % 4 === 3) {
      const n = (r + 1) / 4
      x = (x + keys[n % 5]) | 0
      y = (y + keys[(n + 1) % 5]) | 0
      z = (z + keys[(n + 2) % 5]) | 0
      w = (w + keys[(n + 3) % 5] + n) | 0
    }
  }
  return [x >>> 0, y >>> 0, z >>> 0, w >>> 0]
}

/**
 * The word that the WGSL function of this name gives. Arguments are taken modulo 2³². `stream` tells apart users of one
 * seed (layers, purposes), `step` tells apart times.
 */
export function randomWord(index: number, stream: number, step: number, seed: number): number {
  return threefry4x32([(index >>> 0) >>> 2, stream, step, 0], [seed, KEY_TAG, 0, 0], ROUNDS)[index & 3]
}

/** A number in [0, 1) with 24 random bits, of the word of these. */
export function uniform01(index: number, stream: number, step: number, seed: number): number {
  return (randomWord(index, stream, step, seed) >>> 8) * 2 ** -24
}

/** The numbers that `uniform01` gives for the indices from 0 on, with one block for each four. */
export function uniforms01(count: number, stream: number, step: number, seed: number): Float64Array {
  const numbers = new Float64Array(count)
  for (let first = 0; first < count; first += 4) {
    const words = threefry4x32([first >>> 2, stream, step, 0], [seed, KEY_TAG, 0, 0], ROUNDS)
    for (let i = first; i < Math.min(first + 4, count); i++) numbers[i] = (words[i & 3] >>> 8) * 2 ** -24
  }
  return numbers
}

/** What dropout at `rate` in [0, 1) drops: an element whose word is below this, which one in 1/rate is. */
export function droppedBelow(rate: number): number {
  return Math.min(Math.round(rate * 2 ** 32), 2 ** 32 - 1)
}

/** Dropout's factor of the element of this index, as kernels make it: 0, or 1 / (1 − rate). */
export function keepFactor(rate: number, index: number, stream: number, step: number, seed: number): number {
  return rate > 0 && randomWord(index, stream, step, seed) < droppedBelow(rate) ? 0 : 1 / (1 - rate)
}

/**
 * Four words for the host, which draws them once. `purpose` tells apart what shares a stream: 0 normal numbers, 1
 * uniform ones.
 */
export function wordsOnce(block: number, stream: number, purpose: 0 | 1, seed: number): Words {
  return threefry4x32([block, stream, 0, purpose], [seed, KEY_TAG, 0, 0], ROUNDS_ONCE)
}

/**
 * `count` standard normal numbers by Box & Muller (1958), for fresh weights. A function of its arguments alone, and a
 * longer draw begins with the shorter one. (JavaScript engines may differ in the last bit of a logarithm or a cosine.)
 */
export function normals(count: number, stream: number, seed: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(count)
  for (let at = 0; at < count; at += 4) {
    const words = wordsOnce(at / 4, stream, 0, seed)
    for (let pair = 0; pair < 4; pair += 2) {
      // The radius uses all 32 bits, plus one, so that the logarithm is never that of 0.
      const radius = Math.sqrt(-2 * Math.log((words[pair] + 1) * 2 ** -32))
      const angle = 2 * Math.PI * words[pair + 1] * 2 ** -32
      if (at + pair < count) out[at + pair] = radius * Math.cos(angle)
      if (at + pair + 1 < count) out[at + pair + 1] = radius * Math.sin(angle)
    }
  }
  return out
}
