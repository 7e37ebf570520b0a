// Inputs from seeds: every input follows from the fuzzer's seed, the target and a number, so that any process can make
// it again and none has to be sent or stored.
import { createHash } from 'node:crypto'
import type { Target } from './target.ts'

/** Numbers in [0, 1) (sfc32, which passes PractRand), from any string. */
export function randomFrom(seed: string): () => number {
  const digest = createHash('sha256').update(seed).digest()
  let [a, b, c, d] = [0, 4, 8, 12].map(at => digest.readInt32LE(at))
  return () => {
    const t = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + t) | 0
    return (t >>> 0) / 2 ** 32
  }
}

/** Largest input that is made. Bigger ones find the same faults more slowly. */
const MAX_BYTES = 256 * 1024

const below = (random: () => number, n: number): number => Math.floor(random() * n)
export const pick = <T>(random: () => number, from: readonly T[]): T => from[below(random, from.length)]

/** Input number `index` of a target. */
export function inputOf(target: Target, seeds: readonly Uint8Array[], seed: number, index: number): Uint8Array {
  const random = randomFrom(`${seed} ${target.name} ${index}`)
  let input = pick(random, seeds)
  if (target.mutate && random() < 0.5) input = target.mutate(input, random)
  // A change that knows the format is worth trying alone, too.
  if (!target.mutate || random() < 0.7) {
    for (let left = 1 + below(random, 6); left > 0; left--) input = changeBytes(input, seeds, random)
  }
  return input.subarray(0, MAX_BYTES)
}

const INTERESTING = [0, 1, -1, 127, 128, 255, 256, 32767, 65535, 2 ** 20, 2 ** 31 - 1, -(2 ** 31), 2 ** 32 - 1]
const WORDS = [
  '-1',
  '0',
  '1e999',
  '99999999999999999999',
  '0.5',
  'null',
  'true',
  '""',
  '[]',
  '{}',
  '\0',
  '\n',
  '\r',
  '"',
  ',',
  '\\',
  '\u001b[2J',
  '\u2028',
  '\ud83c\udfac',
  '__proto__',
  'constructor',
  '[[[[[[[[',
  '{"a":',
  'NaN',
  '../..',
  'x'.repeat(1000),
]

/** One blind change: bits, bytes, integers, pieces that are cut, doubled or come from another seed, words of text. */
export function changeBytes(input: Uint8Array, seeds: readonly Uint8Array[], random: () => number): Uint8Array {
  const bytes = Uint8Array.from(input)
  const at = below(random, bytes.length + 1)
  const view = new DataView(bytes.buffer)
  const put = (piece: Uint8Array, drop: number): Uint8Array => {
    const made = new Uint8Array(at + piece.length + Math.max(0, bytes.length - at - drop))
    made.set(bytes.subarray(0, at))
    made.set(piece, at)
    made.set(bytes.subarray(at + drop), at + piece.length)
    return made
  }
  const length = 1 + below(random, pick(random, [4, 16, 256]))
  switch (below(random, 9)) {
    case 0:
      if (at < bytes.length) bytes[at] ^= 1 << below(random, 8)
      return bytes
    case 1:
      if (at < bytes.length) bytes[at] = below(random, 256)
      return bytes
    case 2: {
      const value = pick(random, INTERESTING)
      const size = pick(random, [1, 2, 4, 8])
      if (at + size > bytes.length) return bytes
      if (size === 1) view.setUint8(at, value & 255)
      else if (size === 2) view.setUint16(at, value & 65535, random() < 0.8)
      else if (size === 4) view.setUint32(at, value >>> 0, random() < 0.8)
      else view.setBigInt64(at, BigInt(value), random() < 0.8)
      return bytes
    }
    case 3:
      return put(
        Uint8Array.from({ length }, () => below(random, 256)),
        0,
      )
    case 4:
      return put(new Uint8Array(), length)
    case 5:
      return bytes.subarray(0, at)
    case 6: {
      const from = below(random, bytes.length + 1)
      const piece = bytes.slice(from, from + length)
      const times = pick(random, [1, 1, 1, 50])
      const repeated = new Uint8Array(piece.length * times)
      for (let i = 0; i < times; i++) repeated.set(piece, i * piece.length)
      return put(repeated, 0)
    }
    case 7: {
      const other = pick(random, seeds)
      const from = below(random, other.length + 1)
      return put(other.slice(from, from + length), below(random, 2) * length)
    }
    default:
      return put(new TextEncoder().encode(pick(random, WORDS)), below(random, 2) * length)
  }
}

/**
 * A change of JSON as a tree: a value becomes another, moves, doubles, or nests. Text that is no JSON stays as it is.
 */
export function changeJson(text: string, random: () => number): string {
  let tree: unknown
  try {
    tree = JSON.parse(text)
  } catch {
    return text
  }
  const values: unknown[] = [
    null,
    true,
    0,
    -1,
    0.5,
    1e308,
    2 ** 31,
    2 ** 53,
    1e8,
    '',
    'x',
    '\0',
    '\u001b[31m',
    'a\nb',
    '../x',
    [],
    {},
    [[[[]]]],
    { a: 1 },
    'y'.repeat(2000),
  ]
  const count = (value: unknown): number =>
    typeof value === 'object' && value !== null
      ? 1 + Object.values(value).reduce((sum: number, one) => sum + count(one), 0)
      : 1
  let left = below(random, count(tree))
  const visit = (value: unknown): unknown => {
    if (left-- === 0) return change(value)
    if (Array.isArray(value)) return value.map(visit)
    if (typeof value !== 'object' || value === null) return value
    const made: Record<string, unknown> = {}
    for (const [key, one] of Object.entries(value)) {
      const changed = visit(one)
      if (changed === DROPPED) continue
      Object.defineProperty(made, key, { value: changed, enumerable: true, writable: true, configurable: true })
    }
    return made
  }
  const change = (value: unknown): unknown => {
    const how = below(random, 6)
    if (how === 0) return DROPPED
    if (how === 1 && Array.isArray(value)) return [...value, ...value]
    if (how === 2) return Array.from({ length: 5 }).reduce(inner => [inner], value)
    if (how === 3 && typeof value === 'number')
      return pick(random, [-value, value + 1, value * 1e6, value / 2, value * 1e12])
    if (how === 4 && typeof value === 'object' && value !== null)
      return { ...value, [pick(random, ['__proto__', 'x', 'a.b'])]: pick(random, values) }
    return pick(random, values)
  }
  const changed = visit(tree)
  return changed === DROPPED ? '' : (JSON.stringify(changed) ?? '')
}

const DROPPED = Symbol('dropped')
