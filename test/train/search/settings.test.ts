// Trials of a setting's seeds, summed up.
import { expect, test } from 'vitest'
import { ranking, settingsOf } from '../../../train/search/settings.ts'
import type { Trial } from '../../../train/search/types.ts'

const trial = (setting: number, seed: number, given: Partial<Trial>): Trial => ({
  number: 10 * setting + seed,
  setting,
  seed,
  values: { rank: setting },
  state: 'complete',
  intermediate: [],
  ...given,
})
const curve = (...values: readonly number[]) => values.map((value, i) => ({ step: i + 1, value }))

test('a setting has the mean of its trials, without those that failed', () => {
  const history = [
    trial(1, 0, { value: 0.5 }),
    trial(0, 0, { value: 0.25 }),
    trial(0, 1, { value: 0.75 }),
    trial(1, 1, { state: 'failed' }),
    trial(2, 0, { state: 'failed' }),
  ]
  expect(settingsOf(history).map(({ number, state, value }) => [number, state, value])).toEqual([
    [0, 'complete', 0.5],
    [1, 'complete', 0.5],
    [2, 'failed', undefined],
  ])
})

test('a setting is running until its last trial has ended', () => {
  expect(settingsOf([trial(0, 0, { value: 1 }), trial(0, 1, { state: 'waiting' })])).toMatchObject([
    { state: 'running' },
  ])
})

test('a pruned trial makes its setting pruned, with the mean of all at the evaluation that it reached', () => {
  const history = [
    trial(0, 0, { value: 0.9, intermediate: curve(0.2, 0.4, 0.9) }),
    trial(0, 1, { state: 'pruned', intermediate: curve(0.1, 0.2) }),
  ]
  const [{ state, value, evaluations }] = settingsOf(history)
  expect([state, evaluations]).toEqual(['pruned', 2])
  expect(value).toBeCloseTo(0.3, 12)
})

test('the ranking has complete settings only, best first', () => {
  const history = [
    trial(0, 0, { value: 0.5 }),
    trial(1, 0, { value: 0.7 }),
    trial(2, 0, { state: 'pruned', intermediate: curve(0.9) }),
    trial(3, 0, { value: 0.6 }),
  ]
  expect(ranking({ direction: 'maximize' }, history).map(({ number }) => number)).toEqual([1, 3, 0])
  expect(ranking({ direction: 'minimize' }, history).map(({ number }) => number)).toEqual([0, 3, 1])
})
