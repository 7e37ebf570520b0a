// What masked-language pretraining hides: how much, which tokens, what is put in their place, and that it is drawn
// anew.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { currentDevice } from '../../../engine/node/index.ts'
import { createMaskedModel, initialise } from '../../../models/index.ts'
import { stream } from '../../../train/random.ts'
import { type MaskedOptions, collateMasked, maskedTask } from '../../../train/tasks/masked-lm.ts'
import { Trainer } from '../../../train/trainer.ts'
import { SEED } from '../../support/seed.ts'
import { tinyModelConfig } from '../../support/tiny.ts'

const CLS = 2
const SEP = 3
const options: MaskedOptions = { maskId: 4, special: new Set([0, 1, CLS, SEP, 4]), vocabSize: 50 }
/** Ids from 40 on go on with the word before. */
const whole: MaskedOptions = { ...options, continues: id => id >= 40 }

const text = fc
  .array(fc.integer({ min: 5, max: 49 }), { minLength: 1, maxLength: 30 })
  .map(ids => ({ ids: Int32Array.of(CLS, ...ids, SEP), target: undefined }))
const batchOf = (examples: { ids: Int32Array<ArrayBuffer>; target: undefined }[], seed: number, how = options) =>
  collateMasked(examples, { batch: examples.length + 1, sequence: 32, padId: 0 }, stream(seed, 'masks'), how)

describe('hidden tokens', () => {
  test('are about the share asked for, never special ones, each with what stood there', () => {
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 6 }), fc.nat(), (examples, seed) => {
        const { ids, arrays, count, weight, tokens, rows } = batchOf(examples, seed)
        const wanted = examples.reduce((sum, one) => sum + Math.max(1, Math.round(0.15 * (one.ids.length - 2))), 0)
        expect(count).toBe(wanted)
        expect([weight, rows, tokens]).toEqual([
          count,
          examples.length,
          examples.reduce((sum, one) => sum + one.ids.length, 0),
        ])
        const positions = [...arrays.positions.data].slice(0, count)
        expect(new Set(positions).size).toBe(count)
        positions.forEach((at, k) => {
          const original = examples[Math.floor(at / 32)].ids[at % 32]
          expect(arrays.labels.data[k]).toBe(original)
          expect(options.special.has(original)).toBe(false)
          expect(ids[at] === options.maskId || !options.special.has(ids[at])).toBe(true)
        })
        expect([...arrays.labels.data].slice(count).every(label => label === -100)).toBe(true)
        const changed = [...ids.keys()].filter(at => ids[at] !== (examples[Math.floor(at / 32)]?.ids[at % 32] ?? 0))
        expect(changed.every(at => positions.includes(at))).toBe(true)
      }),
      { seed: SEED, numRuns: 100 },
    )
  })

  test('of words of several pieces are hidden together', () => {
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 4 }), fc.nat(), (examples, seed) => {
        const { arrays, count } = batchOf(examples, seed, whole)
        const hidden = new Set([...arrays.positions.data].slice(0, count))
        for (const at of hidden) {
          const ids = examples[Math.floor(at / 32)].ids
          const next = ids[(at % 32) + 1]
          // The first token of a text begins a word, whatever it is.
          if (next >= 40) expect(hidden.has(at + 1)).toBe(true)
          if (ids[at % 32] >= 40 && at % 32 > 1) expect(hidden.has(at - 1)).toBe(true)
        }
      }),
      { seed: SEED, numRuns: 100 },
    )
  })

  /** A text of 30 words, of one token each, and its hidden places over many draws. */
  const row = { ids: Int32Array.of(CLS, ...Array.from({ length: 30 }, (_, i) => 5 + i), SEP), target: undefined }
  /** Whether a count is one that a binomial draw gives but once in a million. */
  const expectDrawn = (found: number, of: number, chance: number, what: string): void =>
    expect(Math.abs(found - of * chance) / Math.sqrt(of * chance * (1 - chance)), what).toBeLessThan(5)

  test('are replaced by [MASK] four times of five, by any other token one time of ten, and left one of ten', () => {
    const { ids, arrays, count } = batchOf(
      Array.from({ length: 4000 }, () => row),
      7,
    )
    const places = [...arrays.positions.data].slice(0, count)
    expect(count).toBe(4000 * 5)
    const counts = new Map<number, number>()
    let same = 0
    places.forEach((at, k) => {
      if (ids[at] === arrays.labels.data[k]) same++
      else counts.set(ids[at], (counts.get(ids[at]) ?? 0) + 1)
    })
    expectDrawn(counts.get(options.maskId) ?? 0, count, 0.8, '[MASK]')
    // Of the random tokens, one of 45 is the token itself.
    expectDrawn(same, count, 0.1 + 0.1 / 45, 'left as they are')
    for (let id = 5; id < 50; id++) {
      const others = places.filter((_, k) => arrays.labels.data[k] !== id).length
      expectDrawn(counts.get(id) ?? 0, others, 0.1 / 45, `token ${id}`)
    }
  })

  test('are any of a text, each as often as the others, alone and in whole words', () => {
    const hiddenIn = (how: MaskedOptions): number[] => {
      const { arrays, count } = batchOf(
        Array.from({ length: 4000 }, () => row),
        11,
        how,
      )
      const times = new Array<number>(32).fill(0)
      for (const at of arrays.positions.data.subarray(0, count)) times[at % 32]++
      return times.slice(1, -1)
    }
    // 5 of 30 in each draw.
    hiddenIn(options).forEach((found, i) => expectDrawn(found, 4000, 5 / 30, `place ${i}`))
    // Pairs of tokens: 5 hides two pairs of 15.
    const pairs = { ...options, continues: (id: number) => id % 2 === 0 }
    hiddenIn(pairs).forEach((found, i) => expectDrawn(found, 4000, 2 / 15, `place ${i} of pairs`))
  })

  test('are others each time, and the same again for the same draw', () => {
    const examples = [
      { ids: Int32Array.of(CLS, ...Array.from({ length: 30 }, (_, i) => 5 + i), SEP), target: undefined },
    ]
    expect(batchOf(examples, 1)).toEqual(batchOf(examples, 1))
    expect(batchOf(examples, 1).arrays.positions.data).not.toEqual(batchOf(examples, 2).arrays.positions.data)
  })
})

test('a trainer hides other tokens of a text in each epoch', async () => {
  const device = await currentDevice()
  const task = maskedTask(options)
  const seen: string[] = []
  const recording = {
    ...task,
    collate: (...args: Parameters<typeof task.collate>) => {
      const batch = task.collate(...args)
      if (args[0].length > 0) seen.push(Array.from(batch.arrays.positions.data).join())
      return batch
    },
  }
  const model = createMaskedModel({ ...tinyModelConfig({ vocab_size: 50, num_hidden_layers: 1 }), dropout: 0 })
  const trainer = await Trainer.over(model, recording, {
    lr: 1e-3,
    schedule: 'constant',
    warmup: 0,
    weightDecay: 0,
    epochs: 3,
    accumulate: 1,
    clip: 0,
    seed: 5,
    precision: 'f32',
    padId: 0,
    batchSize: 2,
    maxLength: 32,
  })
  await initialise(model.parameters(), 1)
  await trainer.train(
    [{ ids: Int32Array.of(CLS, ...Array.from({ length: 30 }, (_, i) => 5 + i), SEP), target: undefined }],
    [],
    undefined,
  )
  device.close()
  expect(seen).toHaveLength(3)
  expect(new Set(seen).size).toBe(3)
})
