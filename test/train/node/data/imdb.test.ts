// The real reviews, where they are there: the figures that the design names, to the last digit.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { textStatistics } from '../../../../train/node/data/statistics.ts'
import { loadUnlabelled } from '../../../../train/node/data/unlabelled.ts'
import { loadReviews } from '../../../support/reviews.ts'
import { SHARED } from '../../../support/shared.ts'

const IMDB = join(SHARED, 'imdb')
const reason = existsSync(IMDB) ? undefined : `IMDb's Parquet files are not at ${IMDB}`

describe('IMDb', () => {
  test('has 25,000 reviews to train on and 25,000 to test, half positive, of the known lengths', async context => {
    if (reason) return context.skip(reason)
    const { train, test: held } = await loadReviews(IMDB)
    for (const set of [train, held]) {
      expect(set).toHaveLength(25_000)
      expect(set.filter(({ label }) => label === 1)).toHaveLength(12_500)
    }
    const { std, ...exact } = textStatistics(train.map(({ text }) => text))
    expect(exact).toEqual({
      count: 25_000,
      mean: 1325.06964,
      min: 52,
      '25%': 702,
      '50%': 979,
      '75%': 1614,
      max: 13704,
    })
    expect(std.toFixed(5)).toBe('1003.13367')
  })

  test('has 50,000 texts without labels, less the 266, in 270 rows, that stand in the test set', async context => {
    if (reason) return context.skip(reason)
    const { texts, dropped } = await loadUnlabelled([IMDB], { splits: ['unsupervised'] })
    expect([texts.length, dropped]).toEqual([49_730, 270])
  })
})
