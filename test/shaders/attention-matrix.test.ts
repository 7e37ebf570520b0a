// Attention by subgroup matrices: as it is, on an adapter that has them; and two halves of a proof where there is none,
// as of matmul's (matrix.test.ts): Dawn compiles every kernel, and with the matrix operations written out the adapter at
// hand computes what float64 computes.
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type AttentionConfig, type AttentionProblem, attentionBackward, attentionCandidates, attentionForward, attentionForwardWgsl, attentionGradientWgsl,
} from '../../shaders/attention.ts'
import type { AttentionLayout } from '../../shaders/attention/common.ts'
import { type MatrixConfig, matrixBytes, matrixName } from '../../shaders/attention/matrix.ts'
import type { Lowering, SubgroupMatrix, Traits, View } from '../../shaders/kernel.ts'
import {
  type Case, type Tensors, agree, attributesOf, drawTensors, expected, forwardInputs, gradientInputs, kernelOf, length, masks,
} from '../support/attention.ts'
import { type TestDevice, type TestInput, type TestOutput, openTestDevice, runLowering } from '../support/launch.ts'
import { NULL_LANES, expectCompiled, writtenOut } from '../support/matrices.ts'
import { SEED } from '../support/seed.ts'

let bench: TestDevice
beforeAll(async () => { bench = await openTestDevice() })
afterAll(() => bench.close())

const passes = ['forward', 'query', 'key'] as const
const hopper: SubgroupMatrix = { m: 16, n: 16, k: 16, lanes: 32 }
const traits: Traits = {
  name: 'with matrices', cpu: false, f16: true, subgroupSize: 32, subgroupMatrix: hopper, maxWorkgroupInvocations: 1024,
  maxWorkgroupStorage: 49152, maxStorageBuffers: 16, maxWorkgroups: 65535,
}
const plainLayout: AttentionLayout = { dtype: 'f16', headSize: 64, vector: true, mask: true, dropout: true }

const wgslOf = (pass: typeof passes[number], config: AttentionConfig, layout: AttentionLayout): string =>
  (pass === 'forward' ? attentionForwardWgsl(config, layout) : attentionGradientWgsl(pass, config, layout))

const matricesOf = (pass: typeof passes[number], layout: AttentionLayout, of: Traits): MatrixConfig[] =>
  attentionCandidates(pass, layout, of).filter(config => config.kind === 'matrix')

describe('is offered', () => {
  test('first, for f16 on adapters that have the matrices, in more than one form', () => {
    for (const pass of passes) {
      for (const fragment of [hopper, { ...hopper, n: 8 }, { m: 8, n: 8, k: 8, lanes: 32 }]) {
        const offered = matricesOf(pass, plainLayout, { ...traits, subgroupMatrix: fragment })
        expect(offered.length).toBeGreaterThan(1)
        expect(attentionCandidates(pass, plainLayout, { ...traits, subgroupMatrix: fragment }).slice(0, offered.length)).toEqual(offered)
        for (const config of offered) expect(config.fragment.lanes * config.down).toBeLessThanOrEqual(256)
      }
    }
  })

  test('and nowhere else', () => {
    for (const pass of passes) {
      for (const layout of [{ dtype: 'f32' }, { vector: false }, { headSize: 24 }, { headSize: 512 }] as const) {
        expect(matricesOf(pass, { ...plainLayout, ...layout }, traits)).toEqual([])
      }
      for (const lacking of [{ subgroupMatrix: undefined }, { maxWorkgroupStorage: 16384 }, { maxWorkgroupInvocations: 32 }, { cpu: true }]) {
        expect(matricesOf(pass, plainLayout, { ...traits, ...lacking })).toEqual([])
      }
    }
  })

  test('with its workgroup memory as the shaders declare it', () => {
    const bytes = (type: string): number => Number(/f(\d+)/.exec(type)?.[1]) / 8 * (type.startsWith('vec2') ? 2 : 1)
    for (const pass of passes) {
      for (const config of matricesOf(pass, plainLayout, traits)) {
        const declared = [...wgslOf(pass, config, plainLayout).matchAll(/var<workgroup> \w+: array<([\w<>]+), (\d+)>/g)]
        expect(matrixBytes(config, plainLayout, pass)).toBe(declared.reduce((sum, [, type, count]) => sum + bytes(type) * Number(count), 0))
      }
    }
  })
})

test('Dawn compiles it, every pass with and without mask and dropout', async () => {
  const wide: Traits = { ...traits, subgroupMatrix: { ...hopper, lanes: NULL_LANES }, maxWorkgroupInvocations: 256 }
  const shaders = passes.flatMap(pass => [true, false].flatMap(mask => [true, false].flatMap(dropout => [32, 64].flatMap(headSize => {
    const layout: AttentionLayout = { ...plainLayout, headSize, mask, dropout }
    const offered = matricesOf(pass, layout, wide)
    expect(offered.length).toBeGreaterThan(0)
    return offered.map(config => wgslOf(pass, config, layout))
  }))))
  await expectCompiled(shaders)
})

function problemOf({ batch, queries, keys, heads, headSize, mask, rate, seed }: Case, dtype: 'f16' | 'f32', scale: number): AttentionProblem {
  return {
    batch, queries, keys, heads, headSize, dtype, scale, mask: mask !== undefined,
    dropout: rate > 0 ? { rate, stream: 9, seed } : undefined, maxWorkgroups: bench.traits.maxWorkgroups,
  }
}

/** Runs both ops with one config; `change` is what becomes of a lowering before that. */
async function results(c: Case, tensors: Tensors, config: (pass: typeof passes[number]) => MatrixConfig, change: (lowering: Lowering) => Lowering) {
  const attributes = attributesOf(c)
  const { dtype } = tensors.q.spec
  if (dtype !== 'f16' && dtype !== 'f32') throw new Error(`attention of ${dtype}`)
  const problem = problemOf(c, dtype, Number(attributes.scale))
  const run = async (name: string, lowering: Lowering, inputs: readonly TestInput[]): Promise<{ actual: TestOutput[]; wanted: Float64Array[] }> => ({
    actual: await runLowering(bench.device, change(lowering), inputs, kernelOf(name).infer(inputs.map(({ spec }) => spec), attributes)),
    wanted: expected(name, inputs, attributes),
  })
  const inputs = forwardInputs(tensors)
  const view = (x: TestInput): View => x.spec
  const forward = await run('attention', attentionForward(problem, [view(tensors.q), view(tensors.k), view(tensors.v)], bench.traits, config), inputs)
  const backward = gradientInputs(tensors, forward.wanted)
  const [q, k, v, o, , dO] = backward.map(view)
  return { forward, gradient: await run('attentionGradient', attentionBackward(problem, [q, k, v, o, dO], bench.traits, config), backward) }
}

/**
 * Compares with float64. In f32 the written-out kernels round as all others do. In f16 an output is rounded, 2⁻¹¹ of it
 * at most, and so is every weight and slope before its product with a value, a key or a query: that many times 2⁻¹¹ of
 * weight · value, whose sum is seldom larger than the largest output.
 */
async function expectRight(c: Case, tensors: Tensors, config: MatrixConfig, change: (lowering: Lowering) => Lowering): Promise<void> {
  const { forward, gradient } = await results(c, tensors, () => config, change)
  const tolerance = tensors.q.spec.dtype === 'f32' ? 2e-5 : 1.5 * 2 ** -11
  agree(`${matrixName(config)} forward`, forward.actual, forward.wanted, tolerance)
  agree(`${matrixName(config)} gradient`, gradient.actual, gradient.wanted, tolerance)
}

const lengths = fc.oneof(length, fc.constantFrom(1, 5, 20, 47, 70))

describe('gives what float64 gives, with the matrix operations written out', () => {
  const eights = (lanes: number): SubgroupMatrix => ({ m: 8, n: 8, k: 8, lanes })
  const forms: readonly (Pick<Case, 'headSize' | 'rate'> & { config: MatrixConfig; masked: boolean; dtype: 'f16' | 'f32' })[] = [
    { config: { kind: 'matrix', fragment: eights(8), rows: 1, down: 2, columns: 32 }, headSize: 16, masked: true, rate: 0.1, dtype: 'f32' },
    { config: { kind: 'matrix', fragment: { m: 8, n: 4, k: 16, lanes: 16 }, rows: 2, down: 1, columns: 16 }, headSize: 32, masked: true, rate: 0, dtype: 'f32' },
    { config: { kind: 'matrix', fragment: eights(32), rows: 1, down: 1, columns: 64 }, headSize: 16, masked: false, rate: 0.3, dtype: 'f32' },
    { config: { kind: 'matrix', fragment: eights(32), rows: 1, down: 2, columns: 16 }, headSize: 64, masked: true, rate: 0.1, dtype: 'f16' },
  ]
  for (const { config, headSize, masked, rate, dtype } of forms) {
    const { m, n, k, lanes } = config.fragment
    const title = `${matrixName(config)}, ${m}x${n}x${k} by ${lanes} lanes, headSize ${headSize} ${dtype}${masked ? ', masked' : ''}${rate ? ', with dropout' : ''}`
    test(title, async () => {
      const element = bench.traits.f16 ? dtype : 'f32'
      const problems = fc.record({
        batch: fc.integer({ min: 1, max: 2 }), queries: lengths, keys: lengths, heads: fc.integer({ min: 1, max: 2 }),
        headSize: fc.constant(headSize), mask: masked ? masks : fc.constant(undefined), rate: fc.constant(rate),
        seed: fc.integer({ min: 0, max: 0xffffffff }),
      })
      await fc.assert(fc.asyncProperty(problems, c =>
        expectRight(c, drawTensors(c, element), config, lowering => writtenOut(lowering, config.fragment, element))),
      { numRuns: 6, seed: SEED, endOnFailure: true })
    })
  }
})
