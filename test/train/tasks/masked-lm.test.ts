// What masked-language pretraining hides: how much, which tokens, what is put in their place, and that it is drawn
// anew.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { stream } from '../../../train/random.ts'
import { type MaskedOptions, collateMasked } from '../../../train/tasks/masked-lm.ts'
import { SEED } from '../../support/seed.ts'

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

  test('are replaced by [MASK] four times of five, and by a random token one of ten', () => {
    const examples = Array.from({ length: 400 }, () => ({
      ids: Int32Array.of(CLS, ...Array.from({ length: 30 }, (_, i) => 5 + i), SEP),
      target: undefined,
    }))
    const { ids, arrays, count } = batchOf(examples, 7)
    const places = [...arrays.positions.data].slice(0, count)
    const share = (of: (at: number, k: number) => boolean): number => places.filter(of).length / count
    expect(share(at => ids[at] === options.maskId)).toBeCloseTo(0.8, 1)
    expect(share((at, k) => ids[at] === arrays.labels.data[k])).toBeCloseTo(0.1, 1)
  })

  test('are others each time, and the same again for the same draw', () => {
    const examples = [
      { ids: Int32Array.of(CLS, ...Array.from({ length: 30 }, (_, i) => 5 + i), SEP), target: undefined },
    ]
    expect(batchOf(examples, 1)).toEqual(batchOf(examples, 1))
    expect(batchOf(examples, 1).arrays.positions.data).not.toEqual(batchOf(examples, 2).arrays.positions.data)
  })
})
