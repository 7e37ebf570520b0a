// A sweep on a PostgreSQL server of its own, with workers and server killed at random moments. The full version, of 64
// trials, 4 workers and 20 kills, is `npm run stress:sweep`.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chaos } from '../../../../support/chaos.ts'
import { NO_ATTENTION_DROPOUT, type Workplace, makeWorkplace } from '../../../../support/command.ts'
import { whyNoPostgres } from '../../../../support/postgres.ts'
import { bitsOf } from '../../../../support/sweeps.ts'

const missing = whyNoPostgres()

describe.skipIf(missing !== undefined)(`a sweep on PostgreSQL${missing === undefined ? '' : ` (${missing})`}`, () => {
  let place: Workplace
  beforeAll(async () => {
    place = await makeWorkplace('chaos', NO_ATTENTION_DROPOUT)
  })
  afterAll(() => place.remove())

  test('whose workers and server are killed makes each trial once, to the bits of an undisturbed one', async () => {
    const { calm, disturbed, killed, ended, said } = await chaos({ place, trials: 8, workers: 2, kills: 4, seed: 3 })
    expect(ended.status, ended.stderr).toBe(0)
    expect(killed.workers, 'kills of workers').toBeGreaterThan(0)
    expect(killed.server, 'kills of the server').toBeGreaterThan(0)
    expect(disturbed.map(({ number, state }) => [number, state])).toEqual(calm.map((_, i) => [i, 'complete']))
    expect(disturbed.map(bitsOf)).toEqual(calm.map(bitsOf))
    const again = disturbed.reduce((sum, { attempts }) => sum + attempts - 1, 0)
    expect(again, 'trials are taken over from killed workers alone').toBeLessThanOrEqual(killed.workers)
    expect(said).toMatch(/The database postgres:\S+ does not answer \(\S+.*\); waiting for it\.\n/)
  }, 300_000)
})
