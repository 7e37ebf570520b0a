// BERT and DistilBERT of many sizes against Transformers: logits, loss and the gradient of every parameter, for batches
// of 1 to 5 rows of 1 to 512 tokens. golden/sizes says which, and what Transformers computed in float64.
import { readFile } from 'node:fs/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { type Tensor, compile, currentDevice, grad } from '../../engine/node/index.ts'
import { parseConfig } from '../../models/config.ts'
import { classificationLoss, createModel, meanOf } from '../../models/index.ts'
import { expectWithin, largestDifference } from '../support/differences.ts'
import { evaluation } from '../support/models.ts'
import {
  type BatchInputs,
  type BatchPattern,
  type Description,
  batchInputs,
  describeLarge,
  differenceFrom,
  fillByPattern,
  patternBatch,
  patternUnits,
} from '../support/pattern.ts'

interface Case {
  readonly name: string
  readonly seed: number
  readonly config: Readonly<Record<string, unknown>>
  readonly batches: readonly BatchPattern[]
}

interface Expected {
  readonly logits: number[]
  readonly loss: number
  readonly gradients: Readonly<Record<string, Description>>
}

/** Largest absolute difference in f32. */
const BAR = 1e-4
/** The same of a gradient, as a part of its norm: an absolute bar says nothing of gradients that are small. */
const RELATIVE_BAR = 1e-4

const readGolden = async <T>(name: string): Promise<T> =>
  JSON.parse(await readFile(new URL(`sizes/${name}.json`, import.meta.url), 'utf8')) as T

const cases = await readGolden<Record<string, Case[]>>('cases')

afterAll(async () => (await currentDevice()).close())

for (const family of ['bert', 'distilbert']) {
  describe(`${family} has the logits, loss and gradients of Transformers`, async () => {
    const { expected } = await readGolden<{ expected: Record<string, Record<string, Expected>> }>(family)

    test('in every case', () => {
      expect(cases[family].map(({ name, batches }) => [name, batches.map(batch => batch.name)])).toEqual(
        Object.entries(expected).map(([name, batches]) => [name, Object.keys(batches)]),
      )
    })

    for (const { name, seed, config: fields, batches } of cases[family]) {
      test(`with ${name}`, async context => {
        const config = parseConfig({ model_type: family, ...fields }, name, name)
        const model = createModel(config)
        const wrt = model.parameters()
        await fillByPattern(wrt, seed)
        const run = compile(({ ids, mask, types, labels }: BatchInputs): Tensor[] => {
          const logits = model.logits(ids, mask, types, evaluation())
          const loss = meanOf(classificationLoss(logits, labels))
          return [
            logits,
            loss,
            ...grad(
              loss,
              wrt.map(({ tensor }) => tensor),
            ),
          ]
        })
        for (const pattern of batches) {
          const at = `${name}: ${pattern.name}`
          const wanted = expected[name][pattern.name]
          const batch = patternBatch(pattern, {
            vocabulary: config.vocabSize,
            types: config.typeVocab,
            classes: config.labels.length,
          })
          const results = await run(batchInputs(batch))
          const [logits, loss, ...gradients] = await Promise.all(results.map(result => result.data()))
          expectWithin(context, {
            what: `${family}: logits`,
            at,
            worst: largestDifference(logits, wanted.logits),
            bar: BAR,
          })
          expectWithin(context, { what: `${family}: loss`, at, worst: Math.abs(loss[0] - wanted.loss), bar: BAR })

          expect(Object.keys(wanted.gradients).sort()).toEqual(wrt.map(parameter => parameter.name).sort())
          for (const [i, parameter] of wrt.entries()) {
            const description = wanted.gradients[parameter.name]
            const worst = differenceFrom(gradients[i], parameter.name, description)
            const where = `${at}: ${parameter.name}`
            expectWithin(context, { what: `${family}: gradients`, at: where, worst, bar: BAR })
            const norm = normFor(parameter.name, wanted.gradients)
            // Of a single token attention has no choice: queries and keys have no gradient at all.
            const relative = norm > 0 ? worst / norm : worst
            expectWithin(context, {
              what: `${family}: gradients, relative`,
              at: where,
              worst: relative,
              bar: RELATIVE_BAR,
            })
          }
        }
      })
    }
  })
}

describe('the description of a large gradient', () => {
  const rows = 40
  const columns = 30
  const truth = patternUnits('truth', rows * columns)
  const seen = (changed: ArrayLike<number>): number =>
    differenceFrom(changed, 'gradient', describeLarge(truth, 'gradient'))
  const change = (value: (v: number, i: number) => number): Float64Array => truth.map(value)

  test('shows an error of one element at its full size, wherever it is', () => {
    expect(seen(truth)).toBe(0)
    for (let at = 0; at < truth.length; at++)
      expect(seen(change((v, i) => (i === at ? v + 1e-3 : v)))).toBeCloseTo(1e-3, 12)
  })

  test('shows errors that are spread out, that cancel in a plain sum, or that put values in the wrong places', () => {
    const noise = patternUnits('noise', truth.length)
    const errors = {
      noise: change((v, i) => v + 1e-4 * noise[i]),
      shifted: change((_, i) => truth[(i + 1) % truth.length]),
      transposed: change((_, i) => truth[(i % rows) * columns + Math.floor(i / rows)]),
      'a row too many': change((v, i) => (i < columns ? v + 1e-4 : v)),
      'two rows exchanged': change((_, i) => truth[i < columns ? i + columns : i < 2 * columns ? i - columns : i]),
      'signs by turns': change((v, i) => v + (i % 2 ? 1e-5 : -1e-5)),
      'slightly too large': change(v => v * 1.0001),
    }
    for (const [what, changed] of Object.entries(errors)) {
      const norm = Math.sqrt(changed.reduce((sum, v, i) => sum + (v - truth[i]) ** 2, 0))
      expect(seen(changed) / norm, what).toBeGreaterThan(0.5)
      expect(seen(changed) / norm, what).toBeLessThan(2)
    }
  })

  test('shows what is no number', () => {
    expect(seen(change((v, i) => (i === 77 ? NaN : v)))).toBe(Infinity)
    expect(seen(change((v, i) => (i === 77 ? Infinity : v)))).toBe(Infinity)
  })
})

/**
 * The norm that a difference is judged by. A key's bias shifts all scores of a query alike, which softmax does not see:
 * its gradient is 0 but for rounding, which is judged by the gradient of the key's weight.
 */
function normFor(name: string, gradients: Readonly<Record<string, Description>>): number {
  return gradients[/(key|k_lin)\.bias$/.test(name) ? name.replace('bias', 'weight') : name].norm
}
