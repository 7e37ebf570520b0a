// The generator against the vectors that its authors publish, its two languages against each other, and its moments.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { input, output, uniformWords } from '../../shaders/kernel.ts'
import { normals, philox4x32, uniform01, uniformWgsl } from '../../shaders/random.ts'
import { type TestDevice, openTestDevice, runLowering } from '../support/launch.ts'

let bench: TestDevice
beforeAll(async () => {
  bench = await openTestDevice()
})
afterAll(() => bench.close())

test('Philox4x32 gives the known answers of its authors, with seven rounds and with ten', () => {
  const words = (...args: Parameters<typeof philox4x32>) => philox4x32(...args).map(w => w.toString(16).padStart(8, '0')).join(' ')
  const ones = 0xffffffff
  const [zeros, filled] = [[0, 0, 0, 0, 0, 0], [ones, ones, ones, ones, ones, ones]]
  const pi = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0]
  const answer = ([x, y, z, w, k0, k1]: readonly number[], rounds: number) => words([x, y, z, w], [k0, k1], rounds)
  expect(answer(zeros, 7)).toBe('5f6fb709 0d893f64 4f121f81 4f730a48')
  expect(answer(filled, 7)).toBe('5207ddc2 45165e59 4d8ee751 8c52f662')
  expect(answer(pi, 7)).toBe('4dfccaba 190a87f0 c47362ba b6b5242a')
  expect(answer(zeros, 10)).toBe('6627e8d5 e169c58d bc57ac4c 9b00dbd8')
  expect(answer(filled, 10)).toBe('408f276d 41c83b0e a20bc7c6 6d5451fd')
  expect(answer(pi, 10)).toBe('d16cfe09 94fdcceb 5001e420 24126ea1')
})

/** Numbers of `count` indices from `start`, made on the adapter. */
async function onAdapter(count: number, start: number, stream: number, step: number, seed: number) {
  const wgsl = `// uniform01 of consecutive indices
struct Sizes { count: u32, start: u32, stream: u32, step: u32, seed: u32 }
@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<uniform> sizes: Sizes;
${uniformWgsl}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < sizes.count) { out[id.x] = uniform01(sizes.start + id.x, sizes.stream, sizes.step, sizes.seed); }
}
`
  const launch = {
    label: 'uniform01', wgsl, slots: [output(0)], writes: [0],
    uniforms: uniformWords([count, start, stream, step, seed]),
    workgroups: [Math.ceil(count / 64), 1, 1] as const,
  }
  const [data] = await runLowering(bench.device, { launches: [launch] }, [], [{ shape: [count], dtype: 'f32' }])
  return data
}

test('the adapter and JavaScript draw the same bits, also from far indices and large seeds', async () => {
  for (const [start, stream, step, seed] of [[0, 0, 0, 0], [3, 1, 2, 42], [0xfffffe00, 0xffffffff, 0x80000000, 0xdeadbeef]]) {
    const count = 501
    const expected = Float32Array.from({ length: count }, (_, i) => uniform01(start + i, stream, step, seed))
    expect(await onAdapter(count, start, stream, step, seed)).toEqual(expected)
  }
})

test('high words of products are exact, also where halves are all zeros or ones', async () => {
  const halves = [0, 1, 2, 0x7fff, 0x8000, 0xfffe, 0xffff, 0x1234, 0xcd9e]
  const words = Uint32Array.from(halves.flatMap(high => halves.map(low => (high << 16 | low) >>> 0)))
  const count = words.length
  const wgsl = `// High words of both multipliers
@group(0) @binding(0) var<storage, read> words: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@group(0) @binding(2) var<uniform> count: u32;
${uniformWgsl}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= count) { return; }
  out[id.x] = philoxHigh0(words[id.x]);
  out[count + id.x] = philoxHigh1(words[id.x]);
}
`
  const launch = {
    label: 'high words', wgsl, slots: [input(0), output(0)], writes: [1],
    uniforms: uniformWords([count]), workgroups: [Math.ceil(count / 64), 1, 1] as const,
  }
  const given = { data: words, spec: { shape: [count], dtype: 'u32', strides: [1], offset: 0 } } as const
  const [found] = await runLowering(bench.device, { launches: [launch] }, [given], [{ shape: [2, count], dtype: 'u32' }])
  const right = [0xd2511f53n, 0xcd9e8d57n].flatMap(multiplier => Array.from(words, word => Number(multiplier * BigInt(word) >> 32n)))
  expect(Array.from(found)).toEqual(right)
})

test('numbers stay in [0, 1), fill 24 bits, and change with every argument', () => {
  const draw = (stream: number, step: number, seed: number) => Array.from({ length: 64 }, (_, i) => uniform01(i, stream, step, seed))
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
  expect(Math.abs(tails - 0.05)).toBeLessThan(5 * Math.sqrt(0.05 * 0.95 / count))
})

test('a longer normal draw begins with the shorter one, and odd counts are whole', () => {
  expect(normals(7, 1, 2)).toEqual(normals(10, 1, 2).subarray(0, 7))
  expect(normals(4, 1, 2)).not.toEqual(normals(4, 2, 2))
  expect(normals(0, 0, 0).length).toBe(0)
})
