// Attention by subgroup matrices: as it is, on an adapter that has them; and two halves of a proof where there is none,
// as of matmul's (matrix.test.ts): Dawn compiles every kernel, and with the matrix operations written out the adapter
// at hand computes what float64 computes.
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type AttentionConfig,
  type AttentionProblem,
  type ChooseAttention,
  type GradientForm,
  attentionBackward,
  attentionCandidates,
  attentionForward,
  kindOf,
  storedCandidates,
  storedKindOf,
} from '../../shaders/attention.ts'
import type { AttentionLayout } from '../../shaders/attention/common.ts'
import { type MatrixConfig, matrixBytes, matrixName, matrixSumsBytes } from '../../shaders/attention/matrix-config.ts'
import type { Lowering, SubgroupMatrix, Traits, View } from '../../shaders/kernel.ts'
import {
  type Case,
  type Tensors,
  agree,
  agreeWithin,
  attributesOf,
  drawTensors,
  expected,
  forwardInputs,
  gradientInputs,
  kernelOf,
  length,
  masks,
  roundingIn16,
  whereTheyStand,
} from '../support/attention.ts'
import { type TestDevice, type TestInput, type TestOutput, openTestDevice, runLowering } from '../support/launch.ts'
import { NULL_LANES, expectCompiled, writtenOut } from '../support/matrices.ts'
import { SEED } from '../support/seed.ts'
import { workgroupArrays } from '../support/workgroup.ts'

let bench: TestDevice
beforeAll(async () => {
  bench = await openTestDevice()
})
afterAll(() => bench.close())

const passes = ['forward', 'query', 'key'] as const
type Pass = (typeof passes)[number]
const hopper: SubgroupMatrix = { m: 16, n: 16, k: 16, lanes: 32 }
const traits: Traits = {
  name: 'with matrices',
  cpu: false,
  f16: true,
  subgroupSize: 32,
  subgroupMatrix: hopper,
  maxWorkgroupInvocations: 1024,
  maxWorkgroupStorage: 49152,
  maxStorageBuffers: 16,
  maxWorkgroups: 65535,
}
const plainLayout: AttentionLayout = { dtype: 'f16', headSize: 64, vector: true, mask: 'keys', dropout: true }

const wgslOf = (pass: Pass, config: AttentionConfig, layout: AttentionLayout): string =>
  (pass === 'forward' ? kindOf(config).forward(config, layout) : kindOf(config).gradient(pass, config, layout)).text

const matricesOf = (pass: Pass, layout: AttentionLayout, of: Traits): MatrixConfig[] =>
  attentionCandidates(pass, layout, of).filter(config => config.kind === 'matrix')

describe('is offered', () => {
  test('first, for f16 on adapters that have the matrices, in more than one form', () => {
    for (const pass of passes) {
      for (const fragment of [hopper, { ...hopper, n: 8 }, { m: 8, n: 8, k: 8, lanes: 32 }]) {
        const offered = matricesOf(pass, plainLayout, { ...traits, subgroupMatrix: fragment })
        expect(offered.length).toBeGreaterThan(1)
        expect(
          attentionCandidates(pass, plainLayout, { ...traits, subgroupMatrix: fragment }).slice(0, offered.length),
        ).toEqual(offered)
        for (const config of offered) expect(config.fragment.lanes * config.down).toBeLessThanOrEqual(256)
      }
    }
  })

  test('and nowhere else', () => {
    for (const pass of passes) {
      for (const layout of [{ dtype: 'f32' }, { vector: false }, { headSize: 24 }, { headSize: 512 }] as const) {
        expect(matricesOf(pass, { ...plainLayout, ...layout }, traits)).toEqual([])
      }
      for (const lacking of [
        { subgroupMatrix: undefined },
        { maxWorkgroupStorage: 8192 },
        { maxWorkgroupInvocations: 32 },
        { cpu: true },
      ]) {
        expect(matricesOf(pass, plainLayout, { ...traits, ...lacking })).toEqual([])
      }
    }
  })

  test('with its workgroup memory as the shaders declare it, in arrays of whole sixteen bytes', () => {
    const expectDeclared = (wgsl: string, total: number): void => {
      const arrays = workgroupArrays(wgsl)
      expect(arrays.reduce((sum, size) => sum + size)).toBe(total)
      expect(arrays.filter(size => size % 16 !== 0)).toEqual([])
    }
    for (const pass of passes) {
      for (const config of matricesOf(pass, plainLayout, traits))
        expectDeclared(wgslOf(pass, config, plainLayout), matrixBytes(config, plainLayout, pass))
    }
    for (const config of attentionCandidates('bias', plainLayout, traits)) {
      if (config.kind === 'matrix')
        expectDeclared(kindOf(config).biasGradient(config, plainLayout).text, matrixBytes(config, plainLayout, 'bias'))
    }
    for (const config of storedCandidates('probabilities', plainLayout, traits)) {
      if (config.kind === 'matrix')
        expectDeclared(
          storedKindOf(config).probabilities(config, plainLayout).text,
          matrixBytes(config, plainLayout, 'probabilities'),
        )
    }
    for (const config of storedCandidates('sums', plainLayout, traits)) {
      if (config.kind !== 'matrix') continue
      for (const side of ['query', 'key'] as const)
        expectDeclared(storedKindOf(config).sums(side, config, plainLayout).text, matrixSumsBytes(config, plainLayout))
    }
  })
})

test('Dawn compiles it, every pass with and without mask and dropout', async () => {
  const shaders = (configs: (pass: Pass, layout: AttentionLayout) => readonly MatrixConfig[]): string[] =>
    passes.flatMap(pass =>
      [true, false].flatMap(mask =>
        [true, false].flatMap(dropout =>
          [32, 64].flatMap(headSize => {
            const layout: AttentionLayout = { ...plainLayout, headSize, mask: mask ? 'keys' : undefined, dropout }
            const offered = configs(pass, layout)
            const stored = offered.flatMap(config => [
              storedKindOf(config).probabilities(config, layout).text,
              ...(['query', 'key'] as const).map(side => storedKindOf(config).sums(side, config, layout).text),
            ])
            return [...offered.map(config => wgslOf(pass, config, layout)), ...stored]
          }),
        ),
      ),
    )
  await expectCompiled(
    shaders((pass, layout) => matricesOf(pass, layout, traits)),
    false,
  )
  const small: MatrixConfig = {
    kind: 'matrix',
    fragment: { ...hopper, lanes: NULL_LANES },
    rows: 1,
    down: 1,
    columns: 32,
  }
  await expectCompiled(shaders((_, { headSize }) => (headSize === 32 ? [small] : [])))
})

function problemOf(c: Case, { rest }: Tensors, dtype: 'f16' | 'f32', scale: number): AttentionProblem {
  const {
    batch,
    queries,
    keys,
    heads,
    keyHeads = heads,
    headSize,
    mask,
    causal = false,
    scoreMask,
    bias,
    rate,
    seed,
  } = c
  const [first, second] = rest
  const [items, ofHeads, ofQueries] = first?.spec.shape ?? []
  return {
    batch,
    queries,
    keys,
    heads,
    keyHeads,
    headSize,
    dtype,
    scale,
    mask: mask ? { of: 'keys' } : scoreMask && { of: 'scores', lengths: [items, ofHeads, ofQueries] },
    causal,
    bias: bias && (mask || scoreMask ? second : first).spec,
    dropout: rate > 0 ? { rate, stream: 9, seed } : undefined,
    maxWorkgroups: bench.traits.maxWorkgroups,
  }
}

type Choose = (pass: Pass) => MatrixConfig

/** Runs the ops, every pass with its config; `change` is what becomes of a lowering before that. */
function runnerOf(c: Case, tensors: Tensors, config: MatrixConfig | Choose, change: (lowering: Lowering) => Lowering) {
  const choose = typeof config === 'function' ? config : (): MatrixConfig => config
  const answer =
    (form: GradientForm): ChooseAttention =>
    question => {
      const pass =
        question === 'probabilities' || question === 'bias' ? 'query' : question === 'sums' ? 'key' : question
      return (pass === 'form' ? form : choose(pass)) as never
    }
  // Room for one head's square: the stored gradient's heads come by turns.
  const traits: Traits = { ...bench.traits, scratchBytes: 4 * 192 * 192 * 4 }
  const attributes = attributesOf(c)
  const { dtype } = tensors.q.spec
  if (dtype !== 'f16' && dtype !== 'f32') throw new Error(`attention of ${dtype}`)
  const problem = problemOf(c, tensors, dtype, Number(attributes.scale))
  const run = async (
    name: string,
    lowering: Lowering,
    inputs: readonly TestInput[],
  ): Promise<{ actual: TestOutput[]; wanted: Float64Array[] }> => ({
    actual: await runLowering(
      bench.device,
      change(lowering),
      inputs,
      kernelOf(name).infer(
        inputs.map(({ spec }) => spec),
        attributes,
      ),
    ),
    wanted: expected(name, inputs, attributes),
  })
  const view = (x: TestInput): View => x.spec
  return {
    names: passes.map(pass => matrixName(choose(pass))).join(', '),
    forward: () => {
      const { q, k, v } = tensors
      return run(
        'attention',
        attentionForward(problem, [view(q), view(k), view(v)], traits, answer('fused')),
        forwardInputs(tensors),
      )
    },
    gradient: (forward: readonly Float64Array[], form: GradientForm) => {
      const backward = gradientInputs(tensors, forward)
      const [q, k, v, o, , dO] = backward.map(view)
      const lowering = attentionBackward(problem, [q, k, v, o, dO], traits, answer(form), problem.bias !== undefined)
      return run('attentionGradient', lowering, backward)
    },
  }
}

async function results(
  c: Case,
  tensors: Tensors,
  config: MatrixConfig | Choose,
  change: (lowering: Lowering) => Lowering,
) {
  const { names, ...run } = runnerOf(c, tensors, config, change)
  const forward = await run.forward()
  const gradients = []
  for (const form of ['fused', 'stored'] as const)
    gradients.push({ form, ...(await run.gradient(forward.wanted, form)) })
  return { forward, gradients, names }
}

/**
 * Compares with float64: in f32 as all other kernels, for the written-out ones round as they do; in f16 within what its
 * roundings can cost.
 */
async function expectRight(
  c: Case,
  tensors: Tensors,
  config: MatrixConfig | Choose,
  change: (lowering: Lowering) => Lowering,
): Promise<void> {
  const { forward, gradients, names } = await results(c, tensors, config, change)
  if (tensors.q.spec.dtype === 'f32') {
    agree(`forward by ${names}`, forward.actual, forward.wanted, 2e-5)
    for (const { form, actual, wanted } of gradients) agree(`${form} gradient by ${names}`, actual, wanted, 2e-5)
    return
  }
  const bounds = roundingIn16(c, tensors, forward.wanted)
  agreeWithin(`forward by ${names}`, forward.actual, forward.wanted, bounds.forward, 2e-5)
  for (const { form, actual, wanted } of gradients)
    agreeWithin(`${form} gradient by ${names}`, actual, wanted, bounds.gradient, 2e-5)
}

/** Problems of any lengths, for one layout of the shader. */
const problems = ({
  masked,
  ...layout
}: Pick<Case, 'headSize' | 'rate'> & Partial<Case> & { readonly masked: boolean }): fc.Arbitrary<Case> =>
  fc
    .record({
      batch: fc.integer({ min: 1, max: 2 }),
      queries: length,
      keys: length,
      heads: fc.integer({ min: 1, max: 2 }),
      mask: masked ? masks : fc.constant(undefined),
      seed: fc.integer({ min: 0, max: 0xffffffff }),
    })
    .map(drawn => ({ ...drawn, ...layout }))

describe('gives what float64 gives, with the matrix operations written out', () => {
  beforeEach(context => {
    if (bench.traits.subgroupMatrix)
      context.skip('this adapter has subgroup matrices, and runs the kernels as they are')
  })
  const deep = (m: number, n: number, lanes: number): SubgroupMatrix => ({ m, n, k: 16, lanes })
  const forms: readonly {
    config: MatrixConfig
    headSize: number
    masked: boolean
    rate: number
    dtype: 'f16' | 'f32'
  }[] = [
    {
      config: { kind: 'matrix', fragment: deep(8, 8, 16), rows: 1, down: 2, columns: 16 },
      headSize: 48,
      masked: true,
      rate: 0.1,
      dtype: 'f32',
    },
    {
      config: { kind: 'matrix', fragment: deep(8, 16, 32), rows: 2, down: 1, columns: 32 },
      headSize: 16,
      masked: false,
      rate: 0.3,
      dtype: 'f32',
    },
    {
      config: { kind: 'matrix', fragment: deep(8, 16, 32), rows: 1, down: 2, columns: 16 },
      headSize: 64,
      masked: true,
      rate: 0,
      dtype: 'f16',
    },
  ]
  const decoder: Partial<Case> = {
    heads: 4,
    keyHeads: 2,
    causal: true,
    scoreMask: [true, false, true],
    bias: [false, true, true, true],
  }
  const all = [
    ...forms.map(form => ({ ...form, more: {} })),
    { ...forms[0], headSize: 16, masked: false, more: decoder },
    { ...forms[2], headSize: 16, more: { causal: true } },
  ]
  for (const { config, headSize, masked, rate, dtype, more } of all) {
    const { m, n, k, lanes } = config.fragment
    const options = `${masked ? ', masked' : ''}${rate ? ', with dropout' : ''}${Object.keys(more)
      .map(name => `, ${name}`)
      .join('')}`
    test(`${matrixName(config)}, ${m}x${n}x${k} by ${lanes} lanes, headSize ${headSize} ${dtype}${options}`, async () => {
      const element = bench.traits.f16 ? dtype : 'f32'
      await fc.assert(
        fc.asyncProperty(problems({ headSize, masked, rate, ...more }), c =>
          expectRight(c, drawTensors(c, element), config, lowering => writtenOut(lowering, config.fragment, element)),
        ),
        { numRuns: 6, seed: SEED, endOnFailure: true },
      )
    })
  }

  describe('where peaks grow from tile to tile', () => {
    for (const [number, { config, headSize, masked, dtype }] of forms.entries()) {
      for (const rate of number === 2 ? [0, 0.9] : [0.9]) {
        test(`${matrixName(config)}, headSize ${headSize} ${dtype}, dropout ${rate}`, async () => {
          const element = bench.traits.f16 ? dtype : 'f32'
          // Where there is a mask, nobody attends to the third tile, or to the first.
          const mask = masked
            ? (item: number, key: number) => Math.floor(key / config.columns) !== (item === 0 ? 2 : 0)
            : undefined
          const c: Case = {
            batch: 2,
            queries: 19,
            keys: 5 * config.columns - 3,
            heads: 5,
            headSize,
            mask,
            rate,
            seed: 3,
          }
          // The first elements make the scores, nearly: what the key's tile has, times the row's size and sign. From
          // the first head to the last, references are raised in every tile, in some, in the first alone.
          const planted = ({ data, spec }: TestInput, first: (i: number, head: number) => number): TestInput => ({
            data: Float32Array.from(
              new Float16Array(
                Array.from(data, (x, at) =>
                  at % headSize > 0
                    ? x / 4
                    : first(Math.floor(at / headSize / c.heads) % spec.shape[1], (at / headSize) % c.heads),
                ),
              ),
            ),
            spec,
          })
          const tiles = [
            [-100, 50],
            [-300, 50],
            [0, 11.5],
            [0, 7],
            [0, 1],
          ].map(([from, step]) => ({ from, step }))
          const drawn = drawTensors(c, element)
          const tensors: Tensors = {
            ...drawn,
            q: planted(drawn.q, i => Math.sqrt(headSize) * [1, -1, 0.4, 0][i % 4]),
            k: planted(
              drawn.k,
              (j, head) =>
                tiles[head].from +
                tiles[head].step * Math.floor(j / config.columns) -
                (j % config.columns === 5 ? 0 : 3),
            ),
          }
          const { actual, wanted } = await runnerOf(c, tensors, config, lowering =>
            writtenOut(lowering, config.fragment, element),
          ).forward()
          if (element === 'f16') agreeWithin('o', actual, wanted, roundingIn16(c, tensors, wanted).forward, 2e-5)
          // In f32 a weight is as wrong, relatively, as its score is rounded.
          else
            agree(
              'o',
              [actual[0]],
              [wanted[0]],
              2e-5 + 2 ** -23 * wanted[1].reduce((most, x) => Math.max(most, Math.abs(x)), 0),
            )
          agree('lse', [actual[1]], [wanted[1]], 2e-5)
        })
      }
    }
  })

  const [{ config, ...form }] = forms
  const plain = (lowering: Lowering): Lowering => writtenOut(lowering, config.fragment, 'f32')
  const c: Case = {
    batch: 2,
    queries: 19,
    keys: 37,
    heads: 2,
    headSize: form.headSize,
    mask: (_, key) => key !== 4,
    rate: form.rate,
    seed: 1,
  }

  test('zeros, and zero gradients, where all keys are masked', async () => {
    const lower = await results(
      { ...c, mask: item => item === 1 },
      drawTensors({ ...c, mask: item => item === 1 }),
      config,
      plain,
    )
    for (const output of [...lower.forward.actual, ...lower.gradients.flatMap(({ actual }) => actual)]) {
      const half = output.length / 2
      expect(output.subarray(0, half).every(x => x === 0)).toBe(true)
      expect(output.subarray(half).some(x => x !== 0)).toBe(true)
    }
  })

  test('slices of one projection and heads before the sequence, read where they stand', async () => {
    const square: Case = { ...c, keys: c.queries }
    await expectRight(square, whereTheyStand(square, drawTensors(square)), config, plain)
  })

  test('scores in the thousands', async () => {
    const drawn = drawTensors(c)
    // Whole numbers, so that f32 makes the scores exactly; exp(s − lse) has the rounding of an lse near 1000: 3e-5 or
    // more.
    const whole = ({ data, spec }: TestInput): TestInput => ({ data: Array.from(data, x => Math.round(16 * x)), spec })
    const { forward, gradients } = await results(c, { ...drawn, q: whole(drawn.q), k: whole(drawn.k) }, config, plain)
    expect(Math.max(...forward.wanted[1])).toBeGreaterThan(500)
    agree('forward', forward.actual, forward.wanted, 2e-5)
    for (const { form, actual, wanted } of gradients) agree(form, actual, wanted, 3e-4)
  })
})

test('gives what float64 gives, as it is', async context => {
  if (!bench.traits.subgroupMatrix) return context.skip('this adapter has no subgroup matrices')
  for (const [headSize, masked, rate] of [
    [32, false, 0],
    [64, true, 0.1],
  ] as const) {
    const mask = masked ? 'keys' : undefined
    const layout: AttentionLayout = { dtype: 'f16', headSize, vector: true, mask, dropout: rate > 0 }
    const most = Math.max(...passes.map(pass => matricesOf(pass, layout, bench.traits).length))
    expect(most).toBeGreaterThan(0)
    for (let n = 0; n < most; n++) {
      const choose: Choose = pass => {
        const offered = matricesOf(pass, layout, bench.traits)
        return offered[Math.min(n, offered.length - 1)]
      }
      await fc.assert(
        fc.asyncProperty(problems({ headSize, masked, rate }), c =>
          expectRight(c, drawTensors(c, 'f16'), choose, lowering => lowering),
        ),
        { numRuns: 6, seed: SEED, endOnFailure: true },
      )
    }
  }
})
