// How candidates are compared: in turns, as long as the adapter changes its pace.
import { expect, test } from 'vitest'
import { leastTimes } from '../../../engine/runtime/trials.ts'

/** Calls with these durations, multiplied by the adapter's pace, which depends on the number of calls made before. */
function callsOf(times: readonly number[], pace: (made: number) => number) {
  let made = 0
  return { calls: times.map(time => async () => time * pace(made++)), made: () => made }
}

test("a GPU that speeds up in the last turn does not favour that turn's candidate", async () => {
  const times = [1, 2, 3]
  // Seven times as slow, but for the last of nine calls and what follows.
  const pace = (made: number): number => (made < 8 ? 7 : 1)
  const waking = callsOf(times, pace)
  expect(await leastTimes(waking.calls, false)).toEqual(times)
  // Without further turns, the last candidate seems fastest: at this pace the further turns matter.
  expect(await leastTimes(callsOf(times, pace).calls, true)).toEqual([7, 14, 3])
})

test('three turns suffice at a constant speed, and their number is bounded at any other', async () => {
  const even = callsOf([5, 4], made => 1 + (made % 3) / 100)
  await leastTimes(even.calls, false)
  expect(even.made()).toBe(6)
  const endless = callsOf([5, 4], made => 0.5 ** made)
  await leastTimes(endless.calls, false)
  expect(endless.made()).toBe(24)
  expect(await leastTimes([], false)).toEqual([])
})
