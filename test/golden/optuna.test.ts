// The search against Optuna: the densities of its Parzen estimators, which trials its TPESampler takes for good, which
// its SuccessiveHalvingPruner stops, and the settings that it finds.
import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { play, regretAfter, searchOn } from '../../bench/search/play.ts'
import { BRANIN, TUNING } from '../../bench/search/surfaces.ts'
import { mean } from '../../train/metrics/means.ts'
import { shouldPrune } from '../../train/search/halving.ts'
import { ParzenEstimator } from '../../train/search/parzen.ts'
import type { SettingState } from '../../train/search/settings.ts'
import { split } from '../../train/search/tpe.ts'
import type { Halving, Space, Spec, Trial, Values } from '../../train/search/types.ts'

interface Densities {
  readonly densities: readonly {
    readonly space: Space
    readonly observed: readonly Values[]
    readonly asked: readonly Values[]
    readonly logDensities: readonly number[]
  }[]
}

interface Splits {
  readonly splits: readonly {
    readonly direction: Spec['direction']
    readonly trials: readonly {
      readonly state: SettingState
      readonly value: number | null
      readonly evaluations: number | null
    }[]
    readonly good: readonly number[]
  }[]
}

interface Halvings {
  readonly halvings: readonly {
    readonly direction: Spec['direction']
    readonly halving: Halving
    readonly reports: readonly (readonly [trial: number, value: number, stopped: boolean])[]
  }[]
}

type Sampler = 'tpe' | 'univariate' | 'random'

interface Searches {
  readonly searches: {
    readonly trials: readonly number[]
    readonly regrets: Readonly<Record<'branin' | 'tuning', Readonly<Record<Sampler, readonly (readonly number[])[]>>>>
  }
}

async function golden<T>(name: string): Promise<T> {
  const made: T = JSON.parse(await readFile(new URL(`optuna/${name}.json`, import.meta.url), 'utf8'))
  return made
}

const { densities } = await golden<Densities>('densities')
const { splits } = await golden<Splits>('splits')
const { halvings } = await golden<Halvings>('halvings')
const { searches } = await golden<Searches>('searches')

describe('the density of a Parzen estimator is that of Optuna', () => {
  test.each(densities)('of $observed.length settings of $space', ({ space, observed, asked, logDensities }) => {
    const estimator = new ParzenEstimator(space, observed)
    const differences = asked.map((values, i) => estimator.logDensity(values) - logDensities[i])
    expect(Math.max(...differences.map(Math.abs))).toBeLessThan(1e-9)
  })
})

test.each(splits)('of $trials.length trials to $direction, the good ones are those of Optuna', entry => {
  const settings = entry.trials.map(({ state, value, evaluations }, number) => ({
    number,
    values: {},
    trials: [],
    state,
    value: value ?? undefined,
    evaluations: evaluations ?? undefined,
  }))
  const { good, rest } = split({ direction: entry.direction }, settings)
  expect(good.map(({ number }) => number)).toEqual(entry.good)
  expect(good.length + rest.length).toBe(settings.length)
})

test.each(halvings)(
  'to $direction with $halving, trials are stopped as by Optuna',
  ({ direction, halving, reports }) => {
    const spec: Spec = searchOn({ ...BRANIN, direction }, { halving })
    const trials = new Map<number, Trial>()
    const decisions = reports.map(([number, value]) => {
      const { intermediate } = trials.get(number) ?? { intermediate: [] }
      const trial: Trial = {
        number,
        setting: number,
        seed: 0,
        values: {},
        state: 'running',
        intermediate: [...intermediate, { step: intermediate.length + 1, value }],
      }
      trials.set(number, trial)
      return shouldPrune(spec, [...trials.values()], trial)
    })
    expect(decisions).toEqual(reports.map(([, , stopped]) => stopped))
  },
)

describe('TPE finds settings as good as those of Optuna', () => {
  const SEEDS = 30
  /** Square of the standard error of a mean. */
  const squaredError = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + (value - mean(values)) ** 2, 0) / (values.length * (values.length - 1))

  test.each([
    ['branin', BRANIN],
    ['tuning', TUNING],
  ] as const)('of %s, after 30 trials', (name, surface) => {
    const ours = Array.from({ length: SEEDS }, (_, seed) =>
      Math.log(regretAfter(30, play(searchOn(surface, { search: 'tpe', seed, settings: 30 }), surface), surface)),
    )
    const theirs = searches.regrets[name].tpe.map(regrets => Math.log(regrets[searches.trials.indexOf(30)]))
    // Two means of the same distribution differ by more than four standard errors once in 16,000 times.
    const error = Math.sqrt(squaredError(ours) + squaredError(theirs))
    expect(Math.abs(mean(ours) - mean(theirs))).toBeLessThan(4 * error)
    const drawn = searches.regrets[name].random.map(regrets => Math.log(regrets[searches.trials.indexOf(30)]))
    expect(mean(drawn) - mean(ours)).toBeGreaterThan(3 * error)
  })
})
