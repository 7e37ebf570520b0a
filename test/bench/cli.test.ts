// The benches' command lines, and when two engines' answers count as the same.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { timingOf } from '../../bench/measure.ts'
import { agreement } from '../../bench/peers/agree.ts'
import { PRESETS } from '../../bench/presets.ts'
import { bertWeights, tokenBatch, transposed, uniform } from '../../bench/peers/inputs.ts'
import { PROBLEMS } from '../../bench/peers/problems.ts'
import { adapterSlug } from '../../bench/results.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Runs one of the benches to its end. */
function bench(command: string, ...args: string[]): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const [file, ...preset] = command.split(' ')
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [`bench/${file}`, ...preset, ...args], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let [stdout, stderr] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    child.on('error', reject).on('close', status => resolve({ status, stdout, stderr }))
  })
}

/** stderr without the notes of the graphics driver. */
const said = (stderr: string): string[] =>
  stderr.split('\n').filter(line => line !== '' && !line.startsWith('Warning: '))

describe('command lines', () => {
  test.each(['main.ts', 'main.ts gpu', 'peers/main.ts'])('%s lists its options', async file => {
    const { status, stdout } = await bench(file, '--help')
    expect(status).toBe(0)
    for (const option of ['--adapter', '--json', '--help']) expect(stdout).toContain(option)
  })

  test.each([
    ['main.ts', '--quikc'],
    ['main.ts', '--only', 'kernel'],
    ['main.ts', '--sizes', 'huge'],
    ['main.ts', '--only', '--json'],
    ['main.ts gpu', '--fast'],
    ['peers/main.ts', '--rounds', '3'],
    ['peers/main.ts', '--engines', 'torch'],
    ['peers/main.ts', '--only', 'convolution'],
  ])('%s %s is refused in one line', async (file, ...args) => {
    const { status, stdout, stderr } = await bench(file, ...args)
    expect(status).toBe(2)
    expect(stdout).toBe('')
    expect(said(stderr)).toHaveLength(1)
  })

  test.each([['main.ts', '--only', 'host'], ['main.ts gpu'], ['peers/main.ts']])(
    '%s: an adapter that is not there is one line, too',
    async (file, ...args) => {
      const { status, stderr } = await bench(file, ...args, '--adapter', 'voodoo')
      expect(status).toBe(2)
      expect(said(stderr)).toEqual([expect.stringContaining('voodoo')])
    },
  )

  test("the host's work as JSON", async () => {
    const { status, stdout, stderr } = await bench('main.ts', '--quick', '--only', 'host', '--json')
    expect(status, stderr).toBe(0)
    const { setting, scale, bars, results } = JSON.parse(stdout)
    expect(scale).toBe('quick')
    expect(setting.adapter.name).toBeTypeOf('string')
    expect(setting.packages.webgpu).toBe('0.6.2')
    expect(bars).toEqual([expect.objectContaining({ unit: 'µs', limit: 5 })])
    for (const { dispatches, milliseconds, microsecondsPerDispatch } of results.host.rows) {
      expect(dispatches).toBeGreaterThan(100)
      expect((1000 * milliseconds) / dispatches).toBeCloseTo(microsecondsPerDispatch)
      expect(microsecondsPerDispatch).toBeGreaterThan(0.1)
    }
  })
})

test('the JSON of bench:gpu has its parts at the top, those not measured empty', () => {
  const layout = (data: Record<string, object>): object =>
    PRESETS.gpu.layout({
      scale: 'full',
      tuning: 'full',
      ceilings: undefined,
      matrix: undefined,
      bars: [],
      data,
      failed: {},
    })
  const empty = {
    tune_kernels: 'full',
    subgroup_matrix: null,
    ceilings: null,
    products: [],
    steps: [],
    failed: {},
    bars: [],
    host: null,
  }
  expect(layout({})).toEqual(empty)
  expect(layout({ products: { rows: [1] }, steps: { rows: [2] }, host: { rows: [3] } })).toEqual({
    ...empty,
    products: [1],
    steps: [2],
    host: { rows: [3] },
  })
})

describe('answers', () => {
  const ours = { y: Float32Array.of(1, -2, 0.5), z: Float32Array.of(1) }

  test('agree with themselves', () => expect(agreement(ours, ours).difference).toBe(0))

  test('are apart by their largest difference, of the largest number in that tensor', () => {
    const { difference, where } = agreement(ours, { y: Float32Array.of(1, -2, 0.75), z: Float32Array.of(1.0625) })
    expect(where).toBe('y')
    expect(difference).toBe(0.125)
  })

  test.each([
    ['a missing tensor', { y: ours.y }],
    ['one too many', { ...ours, extra: ours.z }],
    ['another length', { ...ours, z: Float32Array.of(1, 1) }],
    ['a number that is none', { ...ours, z: Float32Array.of(NaN) }],
    ['an infinity in one of them', { ...ours, y: Float32Array.of(1, -Infinity, 0.5) }],
  ])('never agree with %s', (_, theirs) => expect(agreement(ours, theirs).difference).toBe(Infinity))

  test('of zeros agree with zeros alone', () => {
    const zeros = { y: Float32Array.of(0, 0) }
    expect(agreement(zeros, zeros).difference).toBe(0)
    expect(agreement(zeros, { y: Float32Array.of(0, 1e-30) }).difference).toBe(Infinity)
  })

  test("a key's bias has no gradient but rounding, and is measured by the query's", () => {
    const of = (key: number): Record<string, Float32Array> => ({
      'self.query.bias': Float32Array.of(2),
      'self.key.bias': Float32Array.of(key),
    })
    expect(agreement(of(1e-7), of(-1e-7)).difference).toBeCloseTo(1e-7)
  })
})

describe('problems', () => {
  const { 'LoRA step': step } = PROBLEMS
  if (step.kind !== 'lora step') throw new Error('the LoRA step is one')

  test('numbers follow from names and fill their range', () => {
    const [a, b] = [uniform('a', [10_000], 2), uniform('b', [10_000], 2)]
    expect(uniform('a', [10_000], 2)).toEqual(a)
    expect(a).not.toEqual(b)
    const mean = a.reduce((sum, x) => sum + x, 0) / a.length
    expect(Math.abs(mean)).toBeLessThan(0.05)
    expect(Math.min(...a)).toBeGreaterThanOrEqual(-2)
    expect(Math.max(...a)).toBeGreaterThan(1.99)
  })

  test('weights have names of their own, and tokens are of the vocabulary and padded', () => {
    const { frozen, lora } = bertWeights({ ...step.config, vocabulary: 10 })
    const names = [...frozen, ...lora].map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    expect(lora.length).toBe(step.config.layers * 4 * 2)
    const { ids, mask } = tokenBatch(step.config, 0)
    expect(ids.every((id, i) => id >= 0 && id < step.config.vocabulary && (mask[i] === 1 || id === 0))).toBe(true)
    expect(mask.includes(0)).toBe(true)
    for (let row = 0; row < step.config.batch; row++) expect(mask[row * step.config.sequence]).toBe(1)
  })

  test('transposing twice changes nothing', () => {
    const values = uniform('m', [12])
    expect(transposed(transposed(values, 3, 4), 4, 3)).toEqual(values)
    expect(transposed(Float32Array.of(1, 2, 3, 4, 5, 6), 2, 3)).toEqual(Float32Array.of(1, 4, 2, 5, 3, 6))
  })
})

test('timings are order statistics', () => {
  expect(timingOf([4, 1, 3, 2, 5])).toEqual({ median: 3, p25: 2, p75: 4, count: 5 })
  expect(timingOf([1, 2]).median).toBe(1.5)
  expect(() => timingOf([])).toThrow()
})

test('results are named by adapter', () => {
  const named = (name: string): string => adapterSlug({ name, vendor: '', architecture: '', fallback: false })
  expect(named('llvmpipe (LLVM 15.0.6, 256 bits)')).toBe('llvmpipe')
  expect(named('Intel(R) Arc(tm) A770 Graphics (DG2)')).toBe('intel-arc-a770-graphics')
  expect(named('NVIDIA H100 80GB HBM3')).toBe('nvidia-h100-80gb-hbm3')
})
