// One step of AdamW in float64.
import type { References } from '../graph.ts'

export const adamw: References<'adamw'> = {
  adamw([parameters, m, v, gradient, hyper, [scale]]) {
    if (!(scale >= 0 && scale < Infinity)) return [parameters.slice(), m.slice(), v.slice()]
    const [learningRate, rest1, beta2, rest2, epsilon, weightDecay, correction1, correction2] = hyper
    const newM = m.map((old, i) => old + rest1 * (gradient[i] * scale - old))
    const newV = v.map((old, i) => beta2 * old + rest2 * (gradient[i] * scale) ** 2)
    const newParameters = parameters.map((p, i) => {
      const update = newM[i] / correction1 / (Math.sqrt(newV[i] / correction2) + epsilon)
      return p - learningRate * weightDecay * p - learningRate * update
    })
    return [newParameters, newM, newV]
  },
}
