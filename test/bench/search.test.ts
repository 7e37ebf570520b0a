// `npm run bench:search`: what sweeps recorded, as surfaces, and the command.
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { playCurves, regretAfter, searchOn } from '../../bench/search/play.ts'
import { TUNING, modelledCurves, recordedSweep, tableSurface } from '../../bench/search/surfaces.ts'
import { stream } from '../../train/random.ts'
import { gridOf } from '../../train/search/propose.ts'
import type { Space, Spec, Trial } from '../../train/search/types.ts'

/** A grid with two seeds, as a sweep records it: the curves of a setting end near its value. */
const grid: Space = {
  ...TUNING.space,
  lr: { values: [1e-4, 5e-4, 2e-3] },
  rank: { values: [4, 16] },
  dropout: { values: [0] },
  schedule: { values: ['linear', 'constant'] },
}
const spec: Spec = { ...searchOn(TUNING, { search: 'grid', seeds: [1, 2] }), spaces: [grid], settings: undefined }
const curves = modelledCurves(TUNING, 4, 0)
const trials: readonly Trial[] = gridOf(spec).flatMap((values, setting) =>
  spec.seeds.map((seed, i): Trial => {
    const number = 2 * setting + i
    const found = curves.at(values, stream(seed, 'curve')).map(value => value + 0.01 * i)
    const intermediate = found.map((value, at) => ({ step: 10 * (at + 1), value }))
    return { number, setting, seed, values, state: 'complete', value: Math.min(...found), intermediate }
  }),
)

describe('a recorded sweep', () => {
  const recorded = recordedSweep(spec, trials)

  test('has the mean of the seeds where a setting was tried, and of the nearest elsewhere', () => {
    const settings = gridOf(spec)
    expect(recorded.settings).toBe(settings.length)
    const position = { lr: 1, rank: 1, dropout: 0, targets: 'mlp', schedule: 'linear' }
    const there = { lr: 5e-4, rank: 16, dropout: 0, targets: 'mlp', schedule: 'linear' }
    expect(recorded.surface.at(position)).toBeCloseTo(TUNING.at(there) + 0.005, 12)
    const surface = tableSurface('minimize', [
      { values: { rank: 1, tune: 'lora' }, value: 1 },
      { values: { rank: 2, tune: 'lora' }, value: 2 },
      { values: { rank: 8, tune: 'full' }, value: 3 },
    ])
    expect([0, 1, 2].map(rank => surface.at({ rank, tune: 'lora' }))).toEqual([1, 2, 2])
    expect(surface.at({ rank: 0, tune: 'full' })).toBe(1)
    expect(surface.at({ rank: 1, tune: 'full' })).toBe(3)
  })

  test('has options that only some settings have: to leave out a choice is one, a number counts where there is one', () => {
    const surface = tableSurface('maximize', [
      { values: { alpha: 1, rate: 0.1 }, value: 1 },
      { values: { alpha: 8, rate: 0.1 }, value: 2 },
      { values: { alpha: 8, rate: 0.2 }, value: 3 },
      { values: { tune: 'full', rate: 0.1 }, value: 4 },
      { values: { tune: 'full', rate: 0.2 }, value: 5 },
    ])
    expect(Object.keys(surface.space)).toEqual(['alpha', 'rate', 'tune'])
    const { tune } = surface.space
    if (!('values' in tune)) throw new Error('not a choice')
    const [none, full] = tune.values
    expect([full, tune.values.length]).toEqual(['full', 2])
    expect([0, 1].map(alpha => surface.at({ alpha, rate: 0, tune: none }))).toEqual([1, 2])
    expect([0, 1].map(alpha => surface.at({ alpha, rate: 1, tune: full }))).toEqual([5, 5])
  })

  test('has curves whose last evaluation is the value, and that never become worse', () => {
    const position = { lr: 0, rank: 0, dropout: 0, targets: 'head', schedule: 'constant' }
    const curve = recorded.curves?.at(position, stream(0, '')) ?? []
    expect(curve).toHaveLength(4)
    expect(curve.at(-1)).toBe(recorded.surface.at(position))
    expect(curve).toEqual(curve.toSorted((a, b) => b - a))
  })

  test('without evaluations on the way, as of baselines, has no curves', () => {
    const bare = recordedSweep(
      spec,
      trials.map(trial => ({ ...trial, intermediate: [] })),
    )
    expect(bare.curves).toBeUndefined()
    expect(bare.settings).toBe(recorded.settings)
  })

  test('is found out in full by a search with enough evaluations', () => {
    const { surface, curves: kept, settings } = recorded
    if (!kept) throw new Error('no curves')
    const all = playCurves(searchOn(surface, { settings }), kept, settings * kept.length)
    expect(regretAfter(Infinity, all, surface)).toBe(0)
  })
})

test('the command shows gains with intervals, and refuses what is no sweep', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bench-search-'))
  try {
    const path = join(folder, 'trials.json')
    await writeFile(path, JSON.stringify({ name: 'grid', spec, trials }))
    const run = (...args: readonly string[]) =>
      promisify(execFile)(process.execPath, ['bench/search.ts', '--seeds', '2', ...args])
    const { stdout } = await run('--json', path)
    const { results } = JSON.parse(stdout)
    expect(results).toHaveLength(8)
    expect(results.at(-1)).toMatchObject({ surface: 'grid', search: 'ASHA', low: expect.any(Number) })
    await writeFile(path, '{}')
    await expect(run(path)).rejects.toMatchObject({
      code: 2,
      stderr: `bench:search: ${path} is not the trials.json of a sweep\n`,
    })
  } finally {
    await rm(folder, { recursive: true })
  }
})
