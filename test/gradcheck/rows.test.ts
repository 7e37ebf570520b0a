// Gradient rules of the row families in float64, to the second order: a gradient's own gradient against differences.
import { expect, test } from 'vitest'
import { type GeneratedInput, checkGradients } from '../../engine/gradcheck.ts'
import { type Tensor, crossEntropy, divergence, grad, tensor } from '../../engine/index.ts'
import { applyAll } from '../../engine/tensor.ts'

type Fn = (...inputs: Tensor[]) => Tensor

async function expectSlopes(fn: Fn, inputs: readonly GeneratedInput[]): Promise<void> {
  for (const seed of [1, 2]) {
    const report = await checkGradients(fn, inputs, { seed, nets: [1] })
    expect(report.misses).toEqual([])
    expect(report.errors.reference).toBeDefined()
  }
}

/** The gradient of a curved loss of fn in its inputs, all of them laid end to end. */
function gradientOf(fn: Fn): Fn {
  return (...inputs) => {
    const y = fn(...inputs)
    const weights = tensor(
      Float32Array.from({ length: y.size }, (_, i) => Math.cos(i * 1.7) + 0.2),
      y.shape,
    )
    const gradients = grad(y.mul(weights).add(y.square().mul(0.3)).sum(), inputs)
    // Weighted, so that no input's share hides behind another's.
    return gradients
      .map((g, i) =>
        g
          .mul(i + 1)
          .sum(undefined, true)
          .reshape([1])
          .add(g.square().sum().reshape([1])),
      )
      .reduce((a, b) => a.add(b))
  }
}

const labels = tensor(Int32Array.of(2, -100, 0), [3], 'i32')
const ids = tensor(Int32Array.of(1, 0, 1, 7, -1, 1), [2, 3], 'i32')

const functions: Record<string, [Fn, GeneratedInput[]]> = {
  softmax: [x => x.softmax(), [{ shape: [2, 3, 5] }]],
  'log-softmax': [x => x.logSoftmax(), [{ shape: [3, 5] }]],
  'layer norm': [
    (x, gamma, beta) => x.layerNorm(gamma, beta, 1e-3),
    [{ shape: [2, 2, 6] }, { shape: [6] }, { shape: [6] }],
  ],
  'the statistics of layer norm': [
    (x, gamma, beta) => {
      const [y, mean, rstd] = applyAll('layerNorm', [x, gamma, beta], { epsilon: 1e-3 })
      return y.mul(mean.square().mul(rstd).reshape([3, 1]))
    },
    [{ shape: [3, 5] }, { shape: [5] }, { shape: [5] }],
  ],
  'cross entropy': [logits => crossEntropy(logits, labels), [{ shape: [3, 4] }]],
  divergence: [(logits, teacher) => divergence(logits, teacher, 2), [{ shape: [3, 4] }, { shape: [3, 4] }]],
  gather: [table => table.gather(ids), [{ shape: [4, 3] }]],
}

test.each(Object.keys(functions))('the gradient of %s agrees with differences in float64', async name => {
  const [fn, inputs] = functions[name]
  await expectSlopes(fn, inputs)
})

test.each(Object.keys(functions))('the second gradient of %s agrees with differences in float64', async name => {
  const [fn, inputs] = functions[name]
  await expectSlopes(gradientOf(fn), inputs)
})

// Alone, the gradient kernels are functions of all their inputs.
const kernels: Record<string, [Fn, GeneratedInput[]]> = {
  softmaxGradient: [(y, dy) => applyAll('softmaxGradient', [y, dy])[0], [{ shape: [3, 4] }, { shape: [3, 4] }]],
  logSoftmaxGradient: [(y, dy) => applyAll('logSoftmaxGradient', [y, dy])[0], [{ shape: [3, 4] }, { shape: [3, 4] }]],
  layerNormGradient: [
    (...inputs) => applyAll('layerNormGradient', inputs)[0],
    [{ shape: [3, 4] }, { shape: [4] }, { shape: [3] }, { shape: [3] }, { shape: [3, 4] }],
  ],
  'layerNormParameterGradient of gamma': [
    (...inputs) => applyAll('layerNormParameterGradient', inputs)[0],
    [{ shape: [3, 4] }, { shape: [3] }, { shape: [3] }, { shape: [3, 4] }],
  ],
  'layerNormParameterGradient of beta': [
    (...inputs) => applyAll('layerNormParameterGradient', inputs)[1],
    [{ shape: [3, 4] }, { shape: [3] }, { shape: [3] }, { shape: [3, 4] }],
  ],
  gatherGradient: [dy => applyAll('gatherGradient', [ids, dy], { rows: 4 })[0], [{ shape: [2, 3, 5] }]],
}

test.each(Object.keys(kernels))('the rule of %s agrees with differences in float64', async name => {
  const [fn, inputs] = kernels[name]
  await expectSlopes(fn, inputs)
})
