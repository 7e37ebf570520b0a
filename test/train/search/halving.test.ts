// Which trials successive halving stops. test/golden/optuna.test.ts compares whole sweeps with Optuna.
import { describe, expect, test } from 'vitest'
import { searchOn } from '../../../bench/search/play.ts'
import { BRANIN } from '../../../bench/search/surfaces.ts'
import { isRung, shouldPrune } from '../../../train/search/halving.ts'
import type { Trial } from '../../../train/search/types.ts'

const trialWith = (number: number, ...values: readonly number[]): Trial => ({
  number,
  setting: number,
  seed: 0,
  values: {},
  state: 'running',
  intermediate: values.map((value, i) => ({ step: 10 * (i + 1), value })),
})

const spec = searchOn({ ...BRANIN, direction: 'maximize' }, { halving: { grace: 2, factor: 3 } })

test('decisions are made after grace, grace × factor, grace × factor² evaluations', () => {
  const rungs = Array.from({ length: 60 }, (_, i) => i).filter(count => isRung({ grace: 2, factor: 3 }, count))
  expect(rungs).toEqual([2, 6, 18, 54])
})

describe('a trial', () => {
  const others = [0.5, 0.6, 0.7, 0.8, 0.9].map((value, i) => trialWith(i, 0.99, value))

  test('goes on between decisions, however bad it is', () => {
    expect(shouldPrune(spec, others, trialWith(9, 0))).toBe(false)
    expect(shouldPrune(spec, others, trialWith(9, 0, 0, 0))).toBe(false)
  })

  test('goes on among the best third of those that have reached its rung, by their values there', () => {
    expect(shouldPrune(spec, others, trialWith(9, 0, 0.85))).toBe(false)
    expect(shouldPrune(spec, others, trialWith(9, 1, 0.75))).toBe(true)
    const later = others.map(trial => ({ ...trial, intermediate: [...trial.intermediate, { step: 30, value: 0 }] }))
    expect(shouldPrune(spec, later, trialWith(9, 1, 0.75))).toBe(true)
  })

  test('goes on if it is the first at its rung, and if equal to the best', () => {
    expect(shouldPrune(spec, [trialWith(1, 0.9)], trialWith(9, 0.1, 0.1))).toBe(false)
    expect(shouldPrune(spec, [trialWith(1, 0, 0.7)], trialWith(9, 0, 0.7))).toBe(false)
  })

  test('is not compared with itself', () => {
    const trial = trialWith(2, 0.99, 0.85)
    expect(shouldPrune(spec, others.with(2, trial), trial)).toBe(shouldPrune(spec, others.toSpliced(2, 1), trial))
  })

  test('stops at a metric that is not a number', () => {
    expect(shouldPrune(spec, [], trialWith(0, 0.5, NaN))).toBe(true)
    expect(shouldPrune(spec, [trialWith(1, 0.5, NaN)], trialWith(0, 0.5, 0.1))).toBe(false)
  })

  test('is never stopped without halving', () => {
    expect(shouldPrune({ ...spec, halving: undefined }, others, trialWith(9, 0, 0))).toBe(false)
  })
})
