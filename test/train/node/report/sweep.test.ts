import { expect, test } from 'vitest'
import type { TrialRecord } from '../../../../train/node/jobs/sweep/store.ts'
import { type SweepPage, sweepPage } from '../../../../train/node/report/sweep.ts'
import type { Spec } from '../../../../train/search/types.ts'

const spec: Spec = {
  search: 'random',
  spaces: [{ lr: { min: 1e-5, max: 1e-2, scale: 'log' }, schedule: { values: ['linear', 'cosine'] } }],
  settings: 12,
  seeds: [1],
  metric: 'accuracy',
  direction: 'maximize',
  seed: 1,
}

/** Eleven trials with growing rates, of which the seventh is the best, and one that failed. */
const trials = Array.from({ length: 12 }, (_, number): TrialRecord => {
  const state = number === 11 ? 'failed' : 'complete'
  return {
    number,
    setting: number,
    seed: 1,
    values: { lr: 1e-5 * 2 ** number, schedule: number % 2 === 0 ? 'linear' : 'cosine' },
    state,
    value: state === 'complete' ? 0.9 - (number - 6) ** 2 / 100 : undefined,
    intermediate: [],
    job: '',
    attempt: 1,
    jobAttempt: 0,
    losses: 0,
    worker: undefined,
    checkpoint: undefined,
    result: state === 'complete' ? { test_accuracy: 0.8 } : undefined,
    error: state === 'failed' ? 'out of <memory>' : undefined,
    createdAt: new Date(0),
    startedAt: new Date(0),
    finishedAt: new Date(1000 * (20 - number)),
    seconds: 60,
    step: 10,
    steps: 10,
  }
})
const page = (changes: Partial<SweepPage> = {}): string =>
  sweepPage({
    name: 'rates',
    spec,
    shared: ['--data=reviews.csv'],
    trials,
    left: undefined,
    commands: { best: 'tilegrad fine-tune --lr=0.00064', compare: 'tilegrad compare runs/rates' },
    ...changes,
  })

test("a sweep's page begins with the best setting, and names what failed", () => {
  const text = page()
  expect(text).toMatch(/Validation accuracy<\/th><td>0\.9</)
  expect(text).toContain('<code>--lr 0.00064 --schedule linear</code>')
  expect(text).toMatch(/Test accuracy<\/th><td>0\.8</)
  expect(text.indexOf('id="best"')).toBeLessThan(text.indexOf('id="progress"'))
  expect(text).toContain('out of &lt;memory&gt;')
  expect(text).not.toMatch(/<script|https?:\/\/(?!www\.w3\.org)/)
})

test('shows the best so far in the order in which trials ended, and the metric by each option', () => {
  const text = page()
  const course = /id="course-chart[\s\S]*?<tbody>([\s\S]*?)<\/tbody>/.exec(text)?.[1] ?? ''
  const rows = [...course.matchAll(/<tr>(.*?)<\/tr>/g)].map(([, row]) =>
    row
      .replace(/<[^>]+>/g, ' ')
      .trim()
      .split(/\s+/),
  )
  // The last to end was the first to begin.
  expect(rows.map(([, trial]) => trial)).toEqual(['10', '9', '8', '7', '6', '5', '4', '3', '2', '1', '0'])
  expect(rows.map(row => row[3])).toEqual(['0.74', '0.81', '0.86', '0.89', ...Array.from({ length: 7 }, () => '0.9')])
  expect(text).toContain('log10 of --lr')
  expect(text).toContain('--schedule')
})

test('before anything has ended says so', () => {
  const text = page({ trials: [], left: 90, commands: { best: undefined, compare: 'compare' } })
  expect(text).toContain('No setting is complete yet.')
  expect(text).toContain('No trial has ended yet.')
  expect(text).toMatch(/About left<\/th><td>1 min 30 s</)
})
