// Fresh weights: their distributions, and that they depend on seed and name alone.
import { describe, expect, test } from 'vitest'
import { parseConfig } from '../../models/config.ts'
import { createModel } from '../../models/index.ts'
import { freshValues, streamOf } from '../../models/initialise.ts'
import { attachLora } from '../../models/lora.ts'
import type { Parameter } from '../../models/nn.ts'

const config = (layers: number) =>
  parseConfig(
    {
      model_type: 'bert',
      vocab_size: 97,
      hidden_size: 64,
      num_hidden_layers: layers,
      num_attention_heads: 4,
      intermediate_size: 128,
      max_position_embeddings: 16,
      pad_token_id: 3,
      initializer_range: 0.05,
    },
    'test',
    'small',
  )

function parameters(layers = 1): Map<string, Parameter> {
  const model = createModel(config(layers))
  attachLora(model, { rank: 4, alpha: 4, dropout: 0, targets: ['query'] })
  return new Map(model.parameters().map(parameter => [parameter.name, parameter]))
}

function values(name: string, seed = 1, layers = 1): Float32Array {
  const parameter = parameters(layers).get(name)
  if (!parameter) throw new Error(`no parameter ${name}`)
  return freshValues(parameter, seed)
}

const mean = (x: Float32Array): number => x.reduce((sum, v) => sum + v, 0) / x.length
const deviation = (x: Float32Array): number => Math.sqrt(mean(x.map(v => v * v)) - mean(x) ** 2)
const QUERY = 'bert.encoder.layer.0.attention.self.query'

describe('fresh values', () => {
  test("of weights are normal with the config's deviation", () => {
    for (const name of [`${QUERY}.weight`, 'bert.encoder.layer.0.intermediate.dense.weight']) {
      const x = values(name)
      expect(Math.abs(mean(x))).toBeLessThan((0.05 * 4) / Math.sqrt(x.length))
      expect(deviation(x)).toBeCloseTo(0.05, 2.5)
      // About 0.27 % of a normal distribution lies beyond three deviations.
      const far = x.filter(v => Math.abs(v) > 0.15).length / x.length
      expect(far).toBeGreaterThan(0.0005)
      expect(far).toBeLessThan(0.006)
    }
  })

  test('of the padding token are zero, of other tokens not', () => {
    const words = values('bert.embeddings.word_embeddings.weight')
    const rows = Array.from({ length: 97 }, (_, row) => words.subarray(row * 64, row * 64 + 64).every(v => v === 0))
    expect(rows.flatMap((zero, row) => (zero ? [row] : []))).toEqual([3])
  })

  test("of biases and LoRA's B are zero, of norms one", () => {
    expect(new Set(values(`${QUERY}.bias`))).toEqual(new Set([0]))
    expect(new Set(values(`${QUERY}.lora_B.weight`))).toEqual(new Set([0]))
    expect(new Set(values('bert.embeddings.LayerNorm.weight'))).toEqual(new Set([1]))
    expect(new Set(values('bert.embeddings.LayerNorm.bias'))).toEqual(new Set([0]))
  })

  test("of LoRA's A are uniform in ±1/√in", () => {
    const x = values(`${QUERY}.lora_A.weight`)
    expect(x).toHaveLength(4 * 64)
    expect(x.every(v => Math.abs(v) <= 1 / 8)).toBe(true)
    expect(Math.max(...x)).toBeGreaterThan(0.11)
    expect(Math.min(...x)).toBeLessThan(-0.11)
    expect(deviation(x)).toBeCloseTo(0.125 / Math.sqrt(3), 1.8)
  })

  test('depend on the seed and on the name, not on the rest of the model', () => {
    expect(values(`${QUERY}.weight`, 1, 3)).toEqual(values(`${QUERY}.weight`, 1, 1))
    expect(values(`${QUERY}.weight`, 2)).not.toEqual(values(`${QUERY}.weight`, 1))
    expect(values('bert.encoder.layer.0.attention.self.key.weight')).not.toEqual(values(`${QUERY}.weight`))
  })
})

test('no two parameters share a stream', () => {
  const names = [...parameters(12).keys()]
  expect(new Set(names.map(streamOf)).size).toBe(names.length)
})
