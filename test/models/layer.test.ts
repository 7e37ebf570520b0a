// One encoder layer: against another system's numbers, forward and backward, and against itself when only the first
// token is asked for.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type Tensor, compile, currentDevice, grad, tensor } from '../../engine/node/index.ts'
import { reference } from '../../engine/reference.ts'
import { parseConfig, type ModelConfig } from '../../models/config.ts'
import { EncoderLayer, type LayerNames } from '../../models/encoder.ts'
import { freshValues, initialise } from '../../models/initialise.ts'
import { evaluation, integers, training } from '../support/models.ts'
import { SHARED } from '../support/shared.ts'

const FOLDER = join(SHARED, 'golden/bert_layer')
/** The files round weights, inputs and results to six decimals, and norms and sums grow the rounding some tenfold. */
const ROUNDED = 1e-5

afterAll(async () => (await currentDevice()).close())

/** Named after the files. */
const NAMES: LayerNames = {
  query: 'Q',
  key: 'K',
  value: 'V',
  projection: 'context',
  attentionNorm: 'ln1',
  up: 'intermediate',
  down: 'out',
  outputNorm: 'ln2',
  projectionDropout: true,
}

function configOf(
  sizes: { hidden: number; heads: number; intermediate: number; dropout?: number },
  activation: string,
): ModelConfig {
  return parseConfig(
    {
      model_type: 'bert',
      hidden_size: sizes.hidden,
      num_attention_heads: sizes.heads,
      intermediate_size: sizes.intermediate,
      num_hidden_layers: 1,
      vocab_size: 4,
      hidden_act: activation,
      hidden_dropout_prob: sizes.dropout ?? 0,
      attention_probs_dropout_prob: sizes.dropout ?? 0,
      initializer_range: 0.3,
    },
    'test',
    'one layer',
  )
}

function csv(name: string): number[][] {
  return readFileSync(join(FOLDER, `${name}.csv`), 'utf8')
    .trim()
    .split('\n')
    .map(line => line.split(',').map(Number))
}

/** Compares with numbers of six decimals, large ones relatively. */
function expectRounded(found: ArrayLike<number>, wanted: readonly number[], what: string): void {
  expect(found.length, what).toBe(wanted.length)
  const worst = Math.max(...wanted.map((value, i) => Math.abs(found[i] - value) / Math.max(1, Math.abs(value))))
  expect(worst, what).toBeLessThan(ROUNDED)
}

const transposed = (rows: readonly (readonly number[])[]): number[][] => rows[0].map((_, j) => rows.map(row => row[j]))

/** A parameter's numbers among the files, with `input_` or `output_d` before the stem. Weights are stored [in, out]. */
function fileOf(before: string, parameter: string, run: string): number[] {
  const [module, kind] = parameter.split('.').slice(-2)
  if (module.startsWith('ln')) return csv(`${before}${kind === 'weight' ? 'gamma' : 'beta'}_${module}_${run}`).flat()
  return kind === 'bias'
    ? csv(`${before}b_${module}_${run}`).flat()
    : transposed(csv(`${before}W_${module}_${run}`)).flat()
}

async function fill(layer: EncoderLayer, run: string): Promise<void> {
  for (const parameter of layer.parameters())
    await parameter.write(Float32Array.from(fileOf('input_', parameter.name, run)))
}

const feedsOf = (layer: EncoderLayer, run: string): Map<Tensor, Float64Array> =>
  new Map(
    layer.parameters().map(parameter => [parameter.tensor, Float64Array.from(fileOf('input_', parameter.name, run))]),
  )

describe('a layer of Apache SystemDS', () => {
  test('with tanh gives these states', async ({ skip }) => {
    if (!existsSync(FOLDER)) skip(`there is no ${FOLDER}`)
    const layer = new EncoderLayer(NAMES, configOf({ hidden: 6, heads: 2, intermediate: 7 }, 'tanh'))
    const states = tensor(Float32Array.from(csv('input_states_test1').flat()), [5 * 4, 6])
    const forward = (x: Tensor): Tensor => layer.forward(x, undefined, 5, evaluation())
    const expected = csv('output_states_test1').flat()
    expectRounded(reference([forward(states)], feedsOf(layer, 'test1'))[0], expected, 'reference')
    await fill(layer, 'test1')
    expectRounded(await (await compile(forward)(states)).data(), expected, 'device')
  })

  test('with GELU by tanh gives these states and these gradients of states and parameters', async ({ skip }) => {
    if (!existsSync(FOLDER)) skip(`there is no ${FOLDER}`)
    const config = configOf({ hidden: 8, heads: 2, intermediate: 5 }, 'gelu_new')
    const layer = new EncoderLayer(NAMES, config)
    const read = (name: string): Tensor => tensor(Float32Array.from(csv(name).flat()), [2 * 3, 8])
    const states = read('input_states_test3')
    const upstream = read('input_dstates_test3')
    const wrt = layer.parameters()
    const pass = (x: Tensor, dy: Tensor): Tensor[] => {
      const y = layer.forward(x, undefined, 2, evaluation())
      return [y, ...grad(y, [x, ...wrt.map(parameter => parameter.tensor)], dy)]
    }
    const check = (results: readonly ArrayLike<number>[], where: string): void => {
      const [y, dx, ...gradients] = results
      expectRounded(y, csv('output_states_test3').flat(), `${where} states`)
      expectRounded(dx, csv('output_dstates_test3').flat(), `${where} gradient of states`)
      wrt.forEach(({ name }, i) => {
        expectRounded(gradients[i], fileOf('output_d', name, 'test3'), `${where} gradient of ${name}`)
      })
    }
    check(reference(pass(states, upstream), feedsOf(layer, 'test3')), 'reference')
    await fill(layer, 'test3')
    const results = await compile(pass)(states, upstream)
    check(await Promise.all(results.map(result => result.data())), 'device')
  })
})

describe('a layer asked for the first token alone', () => {
  const sizes = { hidden: 12, heads: 3, intermediate: 20 }
  const batch = 3
  const sequence = 5
  const x = tensor(
    Float32Array.from({ length: batch * sequence * 12 }, (_, i) => Math.sin(i * 1.7)),
    [batch * sequence, 12],
  )
  const mask = integers([
    [1, 1, 1, 1, 1],
    [1, 1, 0, 0, 0],
    [1, 1, 1, 0, 0],
  ])

  test('gives what the whole layer gives there, with the same gradients', async () => {
    const layer = new EncoderLayer(NAMES, configOf(sizes, 'gelu'))
    const feeds = new Map(layer.parameters().map(p => [p.tensor, Float64Array.from(freshValues(p, 2))]))
    const outputs = (firstOnly: boolean): Tensor[] => {
      const y = layer.forward(x, mask, batch, evaluation(), firstOnly)
      const first = firstOnly ? y : y.reshape([batch, sequence, 12]).slice([0, 0], [batch, 1]).reshape([batch, 12])
      const loss = first.mul(first).mul(first).sum()
      return [first, ...grad(loss, [x, ...layer.parameters().map(p => p.tensor)])]
    }
    const whole = reference(outputs(false), feeds)
    reference(outputs(true), feeds).forEach((found, i) => {
      const largest = Math.max(...whole[i].map(Math.abs))
      // Two orders of the same sums; a gradient that is 0 but for rounding has no relative error.
      found.forEach((v, k) => expect(Math.abs(v - whole[i][k])).toBeLessThan(1e-12 * Math.max(largest, 1)))
    })
  })

  test('drops out by seed and step, the same every time', async () => {
    const layer = new EncoderLayer(NAMES, configOf({ ...sizes, dropout: 0.3 }, 'gelu'))
    await initialise(layer.parameters(), 2)
    const run = async (seed: number, step: number): Promise<number[]> =>
      Array.from(await layer.forward(x, mask, batch, training(seed, step)).data())
    const once = await run(1, 1)
    expect(await run(1, 1)).toEqual(once)
    expect(await run(1, 2)).not.toEqual(once)
    expect(await run(2, 1)).not.toEqual(once)
    expect(Array.from(await layer.forward(x, mask, batch, evaluation()).data())).not.toEqual(once)
  })
})
