// Which settings a search tries, and how much better than at random.
import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { play, playCurves, regretAfter, searchOn } from '../../../bench/search/play.ts'
import { BRANIN, type Surface, TUNING, modelledCurves, recordedSweep } from '../../../bench/search/surfaces.ts'
import { mean } from '../../../train/metrics/means.ts'
import { bootstrap } from '../../../train/metrics/uncertainty.ts'
import { countOf, gridOf, propose } from '../../../train/search/propose.ts'
import { contains, keyOf } from '../../../train/search/space.ts'
import type { Space, Spec, Trial } from '../../../train/search/types.ts'

/** A grid of 72 settings of `tilegrad baseline` on real reviews. */
const recorded: { readonly spec: Spec; readonly trials: readonly Trial[] } = JSON.parse(
  await readFile(new URL('recorded/baseline.json', import.meta.url), 'utf8'),
)

const LORA: Space = { tune: { values: ['lora'] }, rank: { values: [2, 8] }, lr: { values: [1e-4, 5e-4] } }
const FULL: Space = { tune: { values: ['full'] }, lr: { values: [1e-5, 5e-5] } }

const trialOf = (number: number, given: Partial<Trial> = {}): Trial => ({
  number,
  setting: number,
  seed: 0,
  values: {},
  state: 'complete',
  value: number,
  intermediate: [],
  ...given,
})

describe('a grid', () => {
  const spec = searchOn(BRANIN, { search: 'grid', spaces: [LORA, FULL], settings: undefined })

  test('of several spaces has the points of each, in order, and each once', () => {
    expect(gridOf(spec).map(({ tune, rank = '', lr }) => `${tune} ${rank} ${lr}`)).toEqual([
      'lora 2 0.0001',
      'lora 2 0.0005',
      'lora 8 0.0001',
      'lora 8 0.0005',
      'full  0.00001',
      'full  0.00005',
    ])
    expect(gridOf({ spaces: [LORA, LORA] })).toHaveLength(4)
    expect(countOf(spec)).toBe(6)
  })

  test('is proposed to its end, whatever the order in which trials come back', () => {
    const first = propose(spec, [], 4)
    expect(first.map(({ setting }) => setting)).toEqual([0, 1, 2, 3])
    const history = [3, 0, 2, 1].map(setting => trialOf(setting, { values: first[setting].values }))
    expect(propose(spec, history, 9).map(({ setting }) => setting)).toEqual([4, 5])
    expect(propose(spec, [...history, trialOf(4), trialOf(5)], 9)).toEqual([])
  })
})

describe.each(['random', 'tpe'] as const)('a %s search', search => {
  const spec = searchOn(TUNING, { search, settings: 40, seed: 5 })

  test('proposes the same settings for the same spec and history, and others for another seed', () => {
    const history = play(spec, TUNING)
    expect(play(spec, TUNING)).toEqual(history)
    expect(propose(spec, history.slice(0, 25), 1)).toEqual([{ setting: 25, values: history[25].values }])
    const other = play({ ...spec, seed: 6 }, TUNING)
    expect(other.some(({ values }, i) => keyOf(values) === keyOf(history[i].values))).toBe(false)
  })

  test('proposes points of its space, as many as asked for and none twice', () => {
    const history = play(spec, TUNING).slice(0, 20)
    const proposals = propose(spec, history, 15)
    expect(proposals.map(({ setting }) => setting)).toEqual(Array.from({ length: 15 }, (_, i) => 20 + i))
    expect(proposals.every(({ values }) => contains(TUNING.space, values))).toBe(true)
    expect(new Set([...history, ...proposals].map(({ values }) => keyOf(values))).size).toBe(35)
    expect(propose(spec, play(spec, TUNING), 1)).toEqual([])
  })

  test('of few points tries each once, and ends', () => {
    const few = searchOn(BRANIN, { search, spaces: [LORA, FULL], settings: 50, tpe: { startup: 2 } })
    const history = play(few, { ...BRANIN, at: ({ lr }) => Number(lr) })
    expect(countOf(few)).toBe(6)
    expect(history.map(({ values }) => keyOf(values)).toSorted()).toEqual(gridOf(few).map(keyOf).toSorted())
  })

  test('fills the numbers of settings that are missing', () => {
    const history = play(spec, TUNING).slice(0, 6)
    expect(propose(spec, [...history.slice(0, 2), ...history.slice(3)], 2).map(({ setting }) => setting)).toEqual([
      2, 6,
    ])
  })
})

describe('TPE', () => {
  test('counts the seeds of a setting as one observation, and draws at random before it has ten', () => {
    const spec = searchOn(TUNING, { search: 'tpe', settings: 12, seeds: [1, 2, 3] })
    const history = play(spec, TUNING)
    const drawn = play({ ...spec, search: 'random' }, TUNING)
    const same = history.map(({ values }, i) => keyOf(values) === keyOf(drawn[i].values))
    // Ten settings are thirty trials.
    expect(same.indexOf(false)).toBe(30)
  })

  test('learns from what is pruned, not from what failed', () => {
    const spec = searchOn(TUNING, { search: 'tpe', settings: 40, tpe: { startup: 5 } })
    const history = play(spec, TUNING).slice(0, 20)
    const next = (trials: readonly Trial[]) => propose({ ...spec, seed: 9 }, trials, 1)[0].values
    const failed = history.map(trial => (trial.number % 2 ? { ...trial, state: 'failed' as const } : trial))
    const pruned = history.map(trial =>
      trial.number % 2
        ? { ...trial, state: 'pruned' as const, intermediate: [{ step: 1, value: trial.value ?? NaN }] }
        : trial,
    )
    expect(next(failed)).not.toEqual(next(history))
    expect(next(pruned)).not.toEqual(next(failed))
    const worse = failed.map(trial => (trial.state === 'failed' ? { ...trial, value: -1e9 } : trial))
    expect(next(worse)).toEqual(next(failed))
  })

  test('of two spaces prefers the better one', () => {
    const line: Space = { tune: { values: ['head'] }, lr: { min: 1e-5, max: 1e-1, scale: 'log' } }
    const spec = searchOn(BRANIN, {
      search: 'tpe',
      spaces: [line, { ...line, tune: { values: ['full'] } }],
      settings: 50,
    })
    const history = play(spec, {
      ...BRANIN,
      at: ({ tune, lr }) => Math.abs(Math.log10(Number(lr)) + 3) + (tune === 'full' ? 0 : 2),
    })
    const late = history.slice(25)
    expect(late.filter(({ values }) => values.tune === 'full').length).toBeGreaterThan(0.7 * late.length)
  })
})

describe('in 40 seeds', () => {
  const SEEDS = 40
  const seeds = Array.from({ length: SEEDS }, (_, seed) => seed)

  /** 99 % interval of the mean of paired differences, `worse` less `better`. */
  function gain(worse: readonly number[], better: readonly number[]) {
    const metric = (indices: Uint32Array) => mean(Array.from(indices, i => worse[i] - better[i]))
    return bootstrap(SEEDS, metric, { seed: 1, level: 0.99 }) ?? { low: NaN, high: NaN }
  }

  /** Regrets after `settings` settings. */
  const regrets = (surface: Surface, settings: number, search: Partial<Spec>): readonly number[] =>
    seeds.map(seed => regretAfter(settings, play(searchOn(surface, { ...search, settings, seed }), surface), surface))

  test.each([
    ['Branin', BRANIN, 30],
    ['the loss of a fine-tuning run', TUNING, 30],
    ['what a sweep recorded', recordedSweep(recorded.spec, recorded.trials).surface, 36],
  ] as const)('TPE comes nearer to the optimum of %s than random search', (_, surface, settings) => {
    const better = regrets(surface, settings, { search: 'tpe' })
    const worse = regrets(surface, settings, { search: 'random' })
    expect(gain(worse, better).low).toBeGreaterThan(0)
  })

  test.each([
    ['Branin', BRANIN],
    ['the loss of a fine-tuning run', TUNING],
  ] as const)(
    'successive halving comes nearer to the optimum of %s with the same number of evaluations',
    (_, surface) => {
      const curves = modelledCurves(surface, 9, 0.1)
      const after = (search: Partial<Spec>): readonly number[] =>
        seeds.map(seed => {
          const history = playCurves(searchOn(surface, { settings: 1000, ...search, seed }), curves, 180)
          return regretAfter(Infinity, history, surface)
        })
      expect(gain(after({}), after({ halving: { grace: 1, factor: 3 } })).low).toBeGreaterThan(0)
    },
  )
})
