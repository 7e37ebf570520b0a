// Fused attention: every kernel on the adapter against float64, and float64 against central differences.
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { grad } from '../../engine/autodiff.ts'
import { type Attributes, loadKernels, registeredOps } from '../../engine/graph.ts'
import { attention } from '../../engine/ops/attention.ts'
import '../../engine/ops/elementwise.ts'
import '../../engine/ops/functions.ts'
import '../../engine/ops/reduce.ts'
import { tensor } from '../../engine/ops/source.ts'
import '../../engine/ops/views.ts'
import { reference } from '../../engine/reference.ts'
import { sizeOf } from '../../engine/shape.ts'
import { applyAll } from '../../engine/tensor.ts'
import {
  type AttentionConfig,
  type GradientForm,
  attentionCandidates,
  kindOf,
  storedCandidates,
  storedKindOf,
} from '../../shaders/attention.ts'
import type { AttentionLayout } from '../../shaders/attention/common.ts'
import { storedStorage } from '../../shaders/attention/stored.ts'
import { tiledBytes } from '../../shaders/attention/tiled.ts'
import type { Lowering, Traits } from '../../shaders/kernel.ts'
import { normals } from '../../shaders/random.ts'
import {
  type Case,
  STEP,
  type Tensors,
  agree,
  attributesOf,
  contiguous,
  drawTensors,
  elements,
  expected,
  forwardInputs,
  gradientInputs,
  kernelOf,
  length,
  masks,
  plainCase,
  whereTheyStand,
} from '../support/attention.ts'
import { type TestDevice, type TestInput, type TestOutput, openTestDevice, runLowering } from '../support/launch.ts'
import { SEED } from '../support/seed.ts'
import { workgroupArrays } from '../support/workgroup.ts'

let bench: TestDevice
beforeAll(async () => {
  await loadKernels(registeredOps())
  bench = await openTestDevice()
})
afterAll(() => bench.close())

/**
 * Lowers with the n-th candidate of each kernel (the last, where there are fewer), or with the first that a test asks
 * for; the gradient in the form that it asks for, where the adapter is offered it.
 */
function lower(
  name: string,
  inputs: readonly TestInput[],
  attributes: Attributes,
  traits: Traits,
  wanted: number | ((config: AttentionConfig) => boolean),
  form: GradientForm = 'fused',
): Lowering {
  const op = kernelOf(name)
  const specs = inputs.map(({ spec }) => spec)
  return op.lower({
    inputs: specs,
    outputs: op.infer(specs, attributes),
    attributes,
    traits,
    choose: ({ kernel }, candidates) => {
      if (kernel === 'attention gradient form')
        return candidates[Math.max((candidates as readonly unknown[]).indexOf(form), 0)]
      const n = typeof wanted === 'number' ? wanted : candidates.findIndex(config => wanted(config as AttentionConfig))
      return candidates[Math.min(n, candidates.length - 1)]
    },
  })
}

/** Scratch of the stored gradient, for two heads at a time of the problems drawn here, or more: they come by turns. */
const SCRATCH = 2 * 2 * 128 * 128 * 4

/** No pass has more. */
const MOST_CANDIDATES = 16

/**
 * Every candidate that this adapter could be given, as a CPU and as a GPU. A CPU takes minutes to compile the kernels
 * that are meant for GPUs at full head sizes: there it tries them at small ones, two or three a test.
 */
function lowerings(name: string, inputs: readonly TestInput[], attributes: Attributes): Lowering[] {
  const all: Lowering[] = []
  const headSize = inputs[0].spec.shape[3]
  for (const cpu of bench.traits.cpu && headSize > 8 ? [true] : [true, false]) {
    for (let n = 0; n < MOST_CANDIDATES; n++) {
      if (!cpu && bench.traits.cpu && n % 3 !== headSize % 3) continue
      all.push(lower(name, inputs, attributes, { ...bench.traits, cpu }, n))
      if (name === 'attentionGradient' && !cpu)
        all.push(lower(name, inputs, attributes, { ...bench.traits, cpu, scratchBytes: SCRATCH }, n, 'stored'))
    }
  }
  const text = (lowering: Lowering): string => lowering.launches.map(l => l.wgsl).join()
  return all.filter((lowering, i) => all.findIndex(other => text(other) === text(lowering)) === i)
}

async function run(
  name: string,
  lowering: Lowering,
  inputs: readonly TestInput[],
  attributes: Attributes,
): Promise<TestOutput[]> {
  return runLowering(
    bench.device,
    lowering,
    inputs,
    kernelOf(name).infer(
      inputs.map(({ spec }) => spec),
      attributes,
    ),
  )
}

/** Runs both ops of a case, every candidate of them, against float64. */
async function checkCase(c: Case, tensors: Tensors, tolerance: number): Promise<void> {
  const attributes = attributesOf(c)
  const inputs = forwardInputs(tensors)
  const outputs = expected('attention', inputs, attributes)
  for (const lowering of lowerings('attention', inputs, attributes)) {
    agree(label(lowering), await run('attention', lowering, inputs, attributes), outputs, tolerance)
  }
  const backward = gradientInputs(tensors, outputs)
  const gradients = expected('attentionGradient', backward, attributes)
  for (const lowering of lowerings('attentionGradient', backward, attributes)) {
    agree(label(lowering), await run('attentionGradient', lowering, backward, attributes), gradients, tolerance)
  }
}

const label = (lowering: Lowering): string => lowering.launches.map(l => l.label).join(', ')

describe('every attention kernel agrees with float64, forward and backward', () => {
  // A layout is compiled anew, so there are few, and many problems for each. What few problems have comes together: the
  // head size says which third of a GPU's candidates runs.
  const layouts: readonly (Pick<Case, 'headSize' | 'rate'> & Partial<Case> & { readonly masked: boolean })[] = [
    { headSize: 1, masked: true, rate: 0.3 },
    { headSize: 6, masked: false, rate: 0 },
    { headSize: 32, masked: true, rate: 0.1 },
    { headSize: 64, masked: true, rate: 0 },
    { headSize: 3, masked: true, rate: 0, causal: true, keyHeads: 1 },
    {
      headSize: 4,
      masked: false,
      rate: 0.1,
      causal: true,
      keyHeads: 2,
      scoreMask: [true, false, true],
      bias: [false, true, true, true],
    },
    { headSize: 8, masked: true, rate: 0.2, bias: [true, false, false, true] },
  ]
  for (const { masked, ...layout } of layouts) {
    const options = Object.entries(layout).map(([name, value]) => `${name} ${JSON.stringify(value)}`)
    test(`${options.join(', ')}${masked ? ', masked' : ''}`, async () => {
      const { keyHeads } = layout
      const problems = fc.record({
        batch: fc.integer({ min: 1, max: 2 }),
        queries: length,
        keys: length,
        heads: keyHeads ? fc.constantFrom(2 * keyHeads, 4) : fc.integer({ min: 1, max: 3 }),
        mask: masked ? masks : fc.constant(undefined),
        seed: fc.integer({ min: 0, max: 0xffffffff }),
      })
      await fc.assert(
        fc.asyncProperty(problems, drawn => {
          const c: Case = { ...layout, ...drawn }
          return checkCase(c, drawTensors(c), 2e-5)
        }),
        { numRuns: 5, seed: SEED, endOnFailure: true },
      )
    })
  }
})

test('a batch item whose keys are all masked gives exact zeros, and zero gradients', async () => {
  const c: Case = { ...plainCase, batch: 2, queries: 9, keys: 35, headSize: 32, mask: item => item === 1, rate: 0.1 }
  const tensors = drawTensors(c)
  const attributes = attributesOf(c)
  const inputs = forwardInputs(tensors)
  const half = (data: TestOutput): number[] => Array.from(data.subarray(0, data.length / 2))
  for (const lowering of lowerings('attention', inputs, attributes)) {
    const [o] = await run('attention', lowering, inputs, attributes)
    expect(
      half(o).every(x => x === 0),
      label(lowering),
    ).toBe(true)
  }
  const backward = gradientInputs(tensors, expected('attention', inputs, attributes))
  for (const lowering of lowerings('attentionGradient', backward, attributes)) {
    for (const gradient of await run('attentionGradient', lowering, backward, attributes)) {
      expect(
        half(gradient).every(x => x === 0),
        label(lowering),
      ).toBe(true)
      expect(gradient.some(x => x !== 0)).toBe(true)
    }
  }
})

test('scores of ±2000 neither overflow nor lose the softmax', async () => {
  const c: Case = { ...plainCase, queries: 19, keys: 37, headSize: 32, mask: () => true, rate: 0.1 }
  const drawn = drawTensors(c)
  // Whole numbers, so that f32 makes the scores exactly and only the softmax is on trial.
  const whole = ({ data, spec }: TestInput): TestInput => ({ data: Array.from(data, x => Math.round(12 * x)), spec })
  const tensors = { ...drawn, q: whole(drawn.q), k: whole(drawn.k) }
  const attributes = { ...attributesOf(c), scale: 0.5 }
  const inputs = forwardInputs(tensors)
  const outputs = expected('attention', inputs, attributes)
  expect(Math.max(...outputs[1])).toBeGreaterThan(500)
  for (const lowering of lowerings('attention', inputs, attributes)) {
    agree(label(lowering), await run('attention', lowering, inputs, attributes), outputs, 2e-5)
  }
  const backward = gradientInputs(tensors, outputs)
  const gradients = expected('attentionGradient', backward, attributes)
  for (const lowering of lowerings('attentionGradient', backward, attributes)) {
    // exp(s − lse) inherits the rounding of an lse near 1000: 3e-5.
    agree(label(lowering), await run('attentionGradient', lowering, backward, attributes), gradients, 2e-4)
  }
})

test('the same inputs give the same bits, in every kernel', async () => {
  const c: Case = { ...plainCase, queries: 33, keys: 33, headSize: 32, mask: (_, key) => key < 30, rate: 0.1 }
  const tensors = drawTensors(c)
  const attributes = attributesOf(c)
  const inputs = forwardInputs(tensors)
  const backward = gradientInputs(tensors, expected('attention', inputs, attributes))
  for (const [name, given] of [
    ['attention', inputs],
    ['attentionGradient', backward],
  ] as const) {
    for (const lowering of lowerings(name, given, attributes)) {
      const first = await run(name, lowering, given, attributes)
      expect(await run(name, lowering, given, attributes), label(lowering)).toEqual(first)
    }
  }
})

test('q, k and v are read where they stand: slices of one fused projection, or heads before the sequence', async () => {
  const c: Case = {
    ...plainCase,
    batch: 2,
    queries: 10,
    keys: 10,
    heads: 3,
    headSize: 32,
    mask: (_, key) => key !== 4,
    rate: 0.1,
  }
  const { queries, heads, headSize } = c
  const width = heads * headSize
  const tensors = whereTheyStand(c, drawTensors(c))
  for (const name of ['attention', 'attentionGradient']) {
    expect(kernelOf(name).strided?.(tensors.k.spec, 1, attributesOf(c))).toBe(true)
    const across = { ...tensors.k.spec, strides: [queries * width, width, 1, heads] }
    expect(kernelOf(name).strided?.(across, 1, attributesOf(c))).toBe(false)
  }
  await checkCase(c, tensors, 2e-5)
})

test('tiles of rows whose chunks change places, by shuffles', async context => {
  const { subgroupSize } = bench.traits
  if (subgroupSize === 0 || subgroupSize % 8 !== 0)
    return context.skip(`subgroups of 8, 16, … are needed, the adapter's are of ${subgroupSize}`)
  const c: Case = {
    ...plainCase,
    queries: 37,
    keys: 41,
    heads: 1,
    headSize: 32,
    mask: (_, key) => key % 6 !== 0,
    rate: 0.1,
  }
  const tensors = drawTensors(c)
  const attributes = attributesOf(c)
  const inputs = forwardInputs(tensors)
  const outputs = expected('attention', inputs, attributes)
  const backward = gradientInputs(tensors, outputs)
  const small = (config: AttentionConfig): boolean =>
    config.kind === 'tiled' && config.exchange && config.rm === 4 && config.cn === 4
  for (const [name, given, wanted] of [
    ['attention', inputs, outputs],
    ['attentionGradient', backward, expected('attentionGradient', backward, attributes)],
  ] as const) {
    const lowering = lower(name, given, attributes, { ...bench.traits, cpu: false }, small)
    agree(label(lowering), await run(name, lowering, given, attributes), wanted, 2e-5)
  }
})

test('rows that begin off a multiple of four are read one by one', async () => {
  const c: Case = { ...plainCase, queries: 5, keys: 6, heads: 1 }
  const tensors = drawTensors(c)
  const shifted = ({ data, spec }: TestInput): TestInput => ({
    data: [0, ...Array.from(data)],
    spec: { ...spec, offset: 1 },
  })
  await checkCase(c, { ...tensors, k: shifted(tensors.k) }, 2e-5)
})

test('f16 operands are summed in f32', async context => {
  if (!bench.traits.f16) return context.skip('the adapter has no shader-f16')
  const c: Case = {
    ...plainCase,
    batch: 2,
    queries: 21,
    keys: 35,
    headSize: 32,
    mask: (_, key) => key % 7 !== 0,
    rate: 0.1,
  }
  // Half a unit in the last place of an f16 output is 2⁻¹¹ of it; o comes in rounded like that.
  await checkCase(c, drawTensors(c, 'f16'), 2e-3)
})

const declaredBytes = (wgsl: string): number => workgroupArrays(wgsl).reduce((sum, bytes) => sum + bytes, 0)

test('workgroup memory is counted as the shaders declare it, and a small adapter is given what fits', () => {
  const layout: AttentionLayout = { dtype: 'f32', headSize: 64, vector: true, mask: 'keys', dropout: true }
  const gpu: Traits = { ...bench.traits, cpu: false, maxWorkgroupInvocations: 256, maxWorkgroupStorage: 16384 }
  for (const pass of ['forward', 'query', 'key', 'bias'] as const) {
    for (const form of [layout, { ...layout, dtype: 'f16' as const, headSize: 20 }]) {
      for (const config of attentionCandidates(pass, form, { ...gpu, maxWorkgroupStorage: 1 << 20 })) {
        if (config.kind !== 'tiled') continue
        const kind = kindOf(config)
        const { text: wgsl } =
          pass === 'forward'
            ? kind.forward(config, form)
            : pass === 'bias'
              ? kind.biasGradient(config, form)
              : kind.gradient(pass, config, form)
        expect(tiledBytes(config, form, pass)).toBe(declaredBytes(wgsl))
      }
    }
    const small = attentionCandidates(pass, layout, gpu)
    expect(small.every(config => config.kind !== 'tiled' || tiledBytes(config, layout, pass) <= 16384)).toBe(true)
    expect(small.at(-1)?.kind).toBe('register')
    expect(
      attentionCandidates(pass, layout, { ...gpu, cpu: true, subgroupSize: 0 }).map(config => config.kind),
    ).toEqual(['register'])
  }
})

test('so is that of the stored gradient', () => {
  const gpu: Traits = {
    ...bench.traits,
    cpu: false,
    subgroupMatrix: undefined,
    maxWorkgroupInvocations: 256,
    maxWorkgroupStorage: 1 << 20,
  }
  for (const layout of [
    { headSize: 64, dtype: 'f32' },
    { headSize: 20, dtype: 'f16' },
  ] as const) {
    const form: AttentionLayout = { ...layout, vector: true, mask: 'keys', dropout: false }
    for (const part of ['probabilities', 'sums'] as const) {
      for (const config of storedCandidates(part, form, gpu)) {
        if (config.kind !== 'stored') continue
        const kind = storedKindOf(config)
        const shaders =
          part === 'probabilities'
            ? [kind.probabilities(config, form)]
            : [kind.sums('query', config, form), kind.sums('key', config, form)]
        for (const { text: wgsl } of shaders) {
          expect(storedStorage(part, config, form)).toBe(declaredBytes(wgsl))
        }
      }
      expect(storedCandidates(part, form, { ...gpu, cpu: true })).toEqual([])
      expect(storedCandidates(part, form, { ...gpu, maxWorkgroupStorage: 1024 })).toEqual([])
    }
  }
})

test('the stored gradient by tiles is the same with the blocked layout as row by row', async () => {
  const c: Case = {
    ...plainCase,
    batch: 2,
    queries: 70,
    keys: 37,
    heads: 2,
    headSize: 8,
    mask: (_, key) => key % 5 !== 2,
    rate: 0.2,
  }
  const tensors = drawTensors(c)
  const attributes = attributesOf(c)
  const backward = gradientInputs(tensors, expected('attention', forwardInputs(tensors), attributes))
  const op = kernelOf('attentionGradient')
  const specs = backward.map(({ spec }) => spec)
  const lowerings = [false, true].map(blocked =>
    op.lower({
      inputs: specs,
      outputs: op.infer(specs, attributes),
      attributes,
      traits: { ...bench.traits, cpu: false, scratchBytes: SCRATCH },
      choose: ({ kernel }, all) =>
        (kernel === 'attention gradient form' ? 'stored' : { ...all[all.length - 1], blocked }) as never,
    }),
  )
  const [rows, blocked] = await Promise.all(
    lowerings.map(lowering => run('attentionGradient', lowering, backward, attributes)),
  )
  const [plain, turned] = lowerings.map(({ launches }) =>
    launches.filter(({ wgsl }) => wgsl.includes('fn storedAt')).map(({ wgsl }) => wgsl),
  )
  expect(plain.length).toBeGreaterThan(3)
  plain.forEach((wgsl, i) => expect(wgsl).not.toBe(turned[i]))
  expect(blocked).toEqual(rows)
  agree('blocked', blocked, expected('attentionGradient', backward, attributes), 2e-5)
})

test('scratch memory grows with the sequence, not with its square, and eight buffers suffice', () => {
  const bytes = (sequence: number, traits: Traits, form: GradientForm): number => {
    const shape = [2, sequence, 12, 64]
    const float = contiguous([], shape)
    const inputs = [
      float,
      float,
      float,
      float,
      contiguous([], [2, 12, sequence]),
      float,
      contiguous([], [2, sequence], 'i32'),
      contiguous([], [], 'u32'),
    ]
    const lowering = lower(
      'attentionGradient',
      inputs,
      { ...attributesOf(plainCase), hasMask: true, rate: 0.1 },
      traits,
      0,
      form,
    )
    expect(lowering.launches.some(({ label }) => label.includes('stored'))).toBe(form === 'stored')
    for (const launch of lowering.launches) expect(launch.slots.length).toBeLessThanOrEqual(8)
    return (lowering.temporaries ?? []).reduce((sum, spec) => sum + 4 * sizeOf(spec.shape), 0)
  }
  const gpu: Traits = {
    ...bench.traits,
    cpu: false,
    maxWorkgroupStorage: 49152,
    subgroupMatrix: undefined,
    scratchBytes: 2 ** 30,
  }
  for (const [traits, form] of [
    [bench.traits, 'fused'],
    [gpu, 'fused'],
    [gpu, 'stored'],
  ] as const) {
    expect(bytes(1024, traits, form)).toBeLessThanOrEqual(2 * bytes(512, traits, form))
  }
  // Of 24 heads of 1024, whose probabilities and dScores take 8 MiB each: what 16 MiB hold.
  expect(bytes(1024, { ...gpu, scratchBytes: 2 ** 24 }, 'stored')).toBe(2 ** 24 + bytes(1024, gpu, 'fused'))
})

test('eight buffers suffice for mask, bias and dropout together, on a GPU and on a CPU', () => {
  for (const masked of [
    { mask: (_: number, key: number) => key > 1 },
    { mask: undefined, scoreMask: [true, true, true] as const },
  ]) {
    const c: Case = { ...plainCase, keyHeads: 1, bias: [true, true, true, true], rate: 0.1, ...masked }
    const tensors = drawTensors(c)
    const attributes = attributesOf(c)
    const inputs = forwardInputs(tensors)
    const backward = gradientInputs(tensors, expected('attention', inputs, attributes))
    const lowerings = [true, false].flatMap(cpu =>
      (['fused', 'stored'] as const).flatMap(form => [
        lower('attention', inputs, attributes, { ...bench.traits, cpu }, 0),
        lower('attentionGradient', backward, attributes, { ...bench.traits, cpu }, 0, form),
      ]),
    )
    for (const { launches } of lowerings)
      for (const { label, slots } of launches) expect(slots.length, label).toBeLessThanOrEqual(8)
  }
})

describe('in float64', () => {
  const problem = fc.record({
    queries: fc.integer({ min: 1, max: 6 }),
    keys: fc.integer({ min: 1, max: 6 }),
    headSize: fc.integer({ min: 1, max: 5 }),
    mask: fc.option(masks, { nil: undefined }),
    rate: fc.constantFrom(0, 0.4),
    seed: fc.integer({ min: 0, max: 1000 }),
  })

  test('the gradient in the middle of a graph agrees with finite differences', () => {
    fc.assert(
      fc.property(problem, drawn => {
        const c: Case = { ...plainCase, batch: 2, ...drawn }
        const { q, k, v, dO, rest } = drawTensors(c)
        const sources = [q, k, v].map(({ data, spec }) => tensor(Float32Array.from(data), spec.shape))
        const mask = c.mask && tensor(Int32Array.from(rest[0].data), [c.batch, c.keys], 'i32')
        const step = tensor(Uint32Array.of(STEP), [], 'u32')
        const [qt, kt, vt] = sources.map(t => t.tanh())
        const result = attention(qt, kt, vt, { mask, dropout: { rate: c.rate, stream: 9, step, seed: c.seed } })
        const loss = result
          .square()
          .mul(tensor(Float32Array.from(dO.data), dO.spec.shape))
          .sum()

        const at = [q, k, v].map(elements)
        const direction = at.map((x, i) => Float64Array.from(normals(x.length, 20 + i, c.seed)))
        const valueAt = (h: number): number =>
          reference([loss], new Map(sources.map((t, i) => [t, at[i].map((x, n) => x + h * direction[i][n])])))[0][0]
        const h = 1e-5
        const slope = (valueAt(h) - valueAt(-h)) / (2 * h)
        const gradients = reference(grad(loss, sources))
        const terms = gradients.flatMap((g, i) => Array.from(g, (x, n) => x * direction[i][n]))
        const size = terms.reduce((sum, x) => sum + Math.abs(x), 0)
        expect(Math.abs(terms.reduce((a, b) => a + b, 0) - slope)).toBeLessThanOrEqual(1e-6 * size + 1e-12)
        // What is attended to moves the loss, unless dropout drops it all.
        const attended =
          c.mask === undefined ||
          [0, 1].some(item => Array.from({ length: c.keys }, (_, key) => c.mask?.(item, key)).includes(true))
        if (c.rate === 0 || !attended) expect(size > 0).toBe(attended)
      }),
      { numRuns: 40, seed: SEED },
    )
  })

  test('attention without a mask is softmax(q·kᵀ/√headSize)·v', () => {
    const q = tensor([1, 2], [1, 1, 1, 2])
    const k = tensor([3, 1, -1, 2], [1, 2, 1, 2])
    const v = tensor([10, 0, 0, 20], [1, 2, 1, 2])
    // Scores 5/√2 and 3/√2.
    const first = 1 / (1 + Math.exp(-2 / Math.SQRT2))
    const [o] = reference([attention(q, k, v)])
    expect(o[0]).toBeCloseTo(10 * first, 12)
    expect(o[1]).toBeCloseTo(20 * (1 - first), 12)
  })

  test('causal queries at the end of a cache, one or several, give their rows of the whole sequence', () => {
    const c: Case = { ...plainCase, batch: 2, queries: 6, keys: 6, heads: 4, keyHeads: 2 }
    const [q, k, v] = [drawTensors(c).q, drawTensors(c).k, drawTensors(c).v].map(({ data, spec }) =>
      tensor(Float32Array.from(data), spec.shape),
    )
    const [whole] = reference([attention(q, k, v, { causal: true })])
    for (const from of [5, 3]) {
      const [rows] = reference([attention(q.slice([0, from], [2, 6]), k, v, { causal: true })])
      const count = 6 - from
      rows.forEach((x, at) => {
        const [item, rest] = [Math.floor(at / (count * 32)), at % (count * 32)]
        expect(x).toBeCloseTo(whole[item * 6 * 32 + from * 32 + rest], 12)
      })
    }
    // A mask says how much of a longer cache is in use.
    const used = tensor(Int32Array.of(1, 1, 1, 1, 0, 0), [1, 1, 1, 6])
    const [masked, short] = reference([
      attention(q.slice([0, 3], [2, 4]), k, v, { mask: used }),
      attention(q.slice([0, 3], [2, 4]), k.slice([0, 0], [2, 4]), v.slice([0, 0], [2, 4]), { causal: true }),
    ])
    expect(Array.from(masked)).toEqual(Array.from(short))
  })

  test('dropout keeps the mean and depends on the step', () => {
    const q = tensor(new Float32Array(2000), [1, 2000, 1, 1])
    const ones = tensor(new Float32Array(8).fill(1), [1, 8, 1, 1])
    const dropped = (step: number): Float64Array =>
      reference([
        attention(q, ones, ones, {
          dropout: { rate: 0.25, stream: 1, step: tensor(Uint32Array.of(step), [], 'u32'), seed: 3 },
        }),
      ])[0]
    const once = dropped(1)
    const mean = once.reduce((a, b) => a + b) / once.length
    // Five standard errors: each row is the mean of eight factors of variance rate / (1 − rate).
    expect(Math.abs(mean - 1)).toBeLessThan(5 * Math.sqrt(0.25 / 0.75 / 8 / once.length))
    expect(dropped(2)).not.toEqual(once)
    expect(dropped(1)).toEqual(once)
  })
})

test('what does not fit is said in one line', () => {
  const x = tensor(new Float32Array(24), [1, 3, 2, 4])
  const short = tensor(new Float32Array(16), [1, 2, 2, 4])
  const flat = tensor(new Float32Array(24), [6, 4])
  const mask = tensor(new Float32Array(3), [1, 3])
  const step = tensor(Uint32Array.of(0), [], 'u32')
  expect(() => attention(flat, x, x)).toThrow(
    'attention: q is f32[6, 4], but f32 or f16 [batch, queries, heads, headSize] was expected',
  )
  expect(() => attention(x, x, short)).toThrow('attention: v is f32[1, 2, 2, 4], but f32[1, 3, 2, 4] was expected')
  expect(() => attention(x, x, x, { mask })).toThrow(
    'attention: mask is f32[1, 3], but i32 or u32 [1, 3] or four axes that broadcast to [1, 2, 3, 3] was expected',
  )
  expect(() => attention(x, x, x, { dropout: { rate: 1, stream: 0, step, seed: 0 } })).toThrow(
    'dropout rate 1 is not in [0, 1)',
  )
  expect(() => attention(x, x, x, { dropout: { rate: 0.5, stream: 0, step: mask, seed: 0 } })).toThrow(
    'dropout step is f32[1, 3], but u32[] was expected',
  )
  const [, lse] = applyAll('attention', [x, x, x], {
    scale: 1,
    hasMask: false,
    hasBias: false,
    causal: false,
    rate: 0,
    stream: 0,
    seed: 0,
  })
  expect(() => grad(lse.sum(), [x])).toThrow('no gradient flows through the log-sum-exp')
  const three = tensor(new Float32Array(36), [1, 3, 3, 4])
  expect(() => attention(three, x, x)).toThrow('attention: k is f32[1, 3, 2, 4], but f32[1, 3, 3, 4] was expected')
  const scores = tensor(new Float32Array(18), [2, 3, 3])
  expect(() => attention(x, x, x, { bias: scores.reshape([3, 2, 3]) })).toThrow(
    'attention: bias is f32[3, 2, 3], but f32 that broadcasts to [1, 2, 3, 3] was expected',
  )
  expect(() => attention(x, x, x, { bias: mask.cast('i32') })).toThrow('attention: bias is i32[1, 3], but f32')
  expect(() => attention(x, x, x, { mask: tensor(new Int32Array(9), [3, 3]) })).toThrow(
    'attention: mask is i32[3, 3], but i32 or u32 [1, 3] or four axes',
  )
})
