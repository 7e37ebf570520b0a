// The generator against the vectors that its authors publish, its two languages against each other, and its moments.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { output } from '../../shaders/kernel.ts'
import { packed } from '../../shaders/wgsl.ts'
import {
  droppedBelow,
  normals,
  randomWgsl,
  randomWord,
  threefry4x32,
  uniform01,
  uniforms01,
} from '../../shaders/random.ts'
import { type TestDevice, openTestDevice, runLowering } from '../support/launch.ts'

let bench: TestDevice
beforeAll(async () => {
  bench = await openTestDevice()
})
afterAll(() => bench.close())

test('Threefry4x32 gives the known answers of its authors, with 13 rounds and with 20', () => {
  const filled = (word: number) => Array<number>(8).fill(word)
  const pi = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0x082efa98, 0xec4e6c89]
  const answer = ([x, y, z, w, ...key]: readonly number[], rounds: number) =>
    threefry4x32([x, y, z, w], [key[0], key[1], key[2], key[3]], rounds)
      .map(word => word.toString(16).padStart(8, '0'))
      .join(' ')
  expect(answer(filled(0), 13)).toBe('531c7e4f 39491ee5 2c855a92 3d6abf9a')
  expect(answer(filled(0xffffffff), 13)).toBe('c4189358 1c9cc83a d5881c67 6a0a89e0')
  expect(answer(pi, 13)).toBe('4aa71d8f 734738c2 431fc6a8 ae6debf1')
  expect(answer(filled(0), 20)).toBe('9c6ca96a e17eae66 fc10ecd4 5256a7d8')
  expect(answer(filled(0xffffffff), 20)).toBe('2a881696 57012287 f6c7446e a16a6732')
  expect(answer(pi, 20)).toBe('59cd1dbb b8879579 86b5d00c ac8b6d84')
})

/** Words of `count` indices from `start`, made on the adapter. */
async function onAdapter(count: number, start: number, stream: number, step: number, seed: number) {
  const wgsl = `// randomWord of consecutive indices
struct Sizes { count: u32, start: u32, stream: u32, step: u32, seed: u32 }
@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@group(0) @binding(1) var<uniform> sizes: Sizes;
${randomWgsl}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < sizes.count) { out[id.x] = randomWord(sizes.start + id.x, sizes.stream, sizes.step, sizes.seed); }
}
`
  const launch = {
    label: 'randomWord',
    wgsl,
    slots: [output(0)],
    writes: [0],
    uniforms: packed([count, start, stream, step, seed].map(value => ['u32', value])),
    workgroups: [Math.ceil(count / 64), 1, 1] as const,
  }
  const [data] = await runLowering(bench.device, { launches: [launch] }, [], [{ shape: [count], dtype: 'u32' }])
  return data
}

test('the adapter and JavaScript draw the same bits, also from far indices and large seeds', async () => {
  for (const [start, stream, step, seed] of [
    [0, 0, 0, 0],
    [3, 1, 2, 42],
    [0xfffffe00, 0xffffffff, 0x80000000, 0xdeadbeef],
  ]) {
    const count = 501
    const expected = Uint32Array.from({ length: count }, (_, i) => randomWord(start + i, stream, step, seed))
    expect(await onAdapter(count, start, stream, step, seed)).toEqual(expected)
  }
})

test('dropout drops as many words as its rate says, none at 0 and almost all just below 1', () => {
  expect(droppedBelow(0)).toBe(0)
  expect(droppedBelow(0.1)).toBe(429496730)
  expect(droppedBelow(0.5)).toBe(2 ** 31)
  expect(droppedBelow(1 - 2 ** -40)).toBe(2 ** 32 - 1)
  const count = 100_000
  for (const rate of [0.1, 0.37]) {
    const dropped = Array.from({ length: count }, (_, i) => randomWord(i, 3, 1, 7)).filter(
      word => word < droppedBelow(rate),
    ).length
    expect(Math.abs(dropped / count - rate)).toBeLessThan(5 * Math.sqrt((rate * (1 - rate)) / count))
  }
})

test('numbers stay in [0, 1), fill 24 bits, and change with every argument', () => {
  const draw = (stream: number, step: number, seed: number) =>
    Array.from({ length: 64 }, (_, i) => uniform01(i, stream, step, seed))
  const base = draw(0, 0, 0)
  for (const u of base) {
    expect(u).toBeGreaterThanOrEqual(0)
    expect(u).toBeLessThan(1)
    expect(Number.isInteger(u * 2 ** 24)).toBe(true)
  }
  expect(base.some(u => (u * 2 ** 24) % 2 === 1)).toBe(true)
  for (const other of [draw(1, 0, 0), draw(0, 1, 0), draw(0, 0, 1)]) {
    expect(other.filter((u, i) => u === base[i]).length).toBe(0)
  }
})

test('many numbers at once are those of one at a time', () => {
  for (const count of [0, 1, 4, 7, 64])
    expect([...uniforms01(count, 3, 1, 7)]).toEqual(Array.from({ length: count }, (_, i) => uniform01(i, 3, 1, 7)))
})

test('uniform and normal numbers have the moments of their distributions', () => {
  const count = 100_000
  const moments = (values: ArrayLike<number>) => {
    const mean = Array.from(values).reduce((a, b) => a + b, 0) / values.length
    const variance = Array.from(values).reduce((a, b) => a + (b - mean) ** 2, 0) / values.length
    return { mean, variance }
  }
  // Five standard errors of each estimate.
  const u = moments(Array.from({ length: count }, (_, i) => uniform01(i, 3, 1, 7)))
  expect(Math.abs(u.mean - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / count))
  expect(Math.abs(u.variance - 1 / 12)).toBeLessThan(5 * Math.sqrt(1 / 180 / count))
  const z = normals(count, 3, 7)
  const n = moments(z)
  expect(Math.abs(n.mean)).toBeLessThan(5 * Math.sqrt(1 / count))
  expect(Math.abs(n.variance - 1)).toBeLessThan(5 * Math.sqrt(2 / count))
  // A normal draw passes ±1.96 one time in twenty.
  const tails = z.filter(x => Math.abs(x) > 1.959964).length / count
  expect(Math.abs(tails - 0.05)).toBeLessThan(5 * Math.sqrt((0.05 * 0.95) / count))
})

test('a longer normal draw begins with the shorter one, and odd counts are whole', () => {
  expect(normals(7, 1, 2)).toEqual(normals(10, 1, 2).subarray(0, 7))
  expect(normals(4, 1, 2)).not.toEqual(normals(4, 2, 2))
  expect(normals(0, 0, 0).length).toBe(0)
})
