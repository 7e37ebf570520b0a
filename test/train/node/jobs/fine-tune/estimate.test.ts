// How long a run still takes, from its first steps.
import { expect, test } from 'vitest'
import { Estimate, type Work, stepsOf } from '../../../../../train/node/jobs/fine-tune/estimate.ts'

const WORK: Work = { steps: 100, texts: 1600, evaluated: 0 }

/** What an estimate says after each step, of which each takes so long; the first one takes a minute. */
function told(works: readonly Work[], stepMs: number, from = 1): [step: number, seconds: number][] {
  let time = 60_000
  const estimate = new Estimate(works, () => time)
  const said: [number, number][] = []
  for (let step = from; step <= 100; step++) {
    const seconds = estimate.after(step)
    if (seconds !== undefined) said.push([step, seconds])
    time += stepMs
  }
  return said
}

test('is told once, after a few seconds of steps, and leaves out how long the first step took', () => {
  expect(told([WORK], 500)).toEqual([[9, 45.5]])
  expect(told([WORK], 10_000)).toEqual([[3, 970]])
  // Of a run that is over before.
  expect(told([WORK], 20)).toEqual([])
})

test('counts what comes after: evaluations, and the same training once more', () => {
  const evaluating = { ...WORK, evaluated: 1600 }
  expect(stepsOf(evaluating)).toBeGreaterThan(stepsOf(WORK))
  const [[, alone]] = told([WORK], 500)
  const [[, evaluated]] = told([evaluating], 500)
  const [[, twice]] = told([WORK, WORK], 500)
  expect(evaluated - alone).toBeCloseTo((stepsOf(evaluating) - 100) / 2, 9)
  expect(twice - alone).toBe(50)
})

test('counts the steps that are left of a resumed run', () => {
  expect(told([WORK], 500, 41)).toEqual([[49, 25.5]])
})
