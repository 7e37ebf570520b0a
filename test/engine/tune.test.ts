// Which candidate is used where nothing was measured: the same one whenever it is asked, by what is known of problems that
// are near.
import { afterEach, expect, test } from 'vitest'
import { setKernelTuning } from '../../engine/index.ts'
import { type TuningMode, chooser, measuring, settleKernels } from '../../engine/tune.ts'
import type { Traits } from '../../shaders/kernel.ts'

const traits: Traits = {
  name: 'some GPU', cpu: false, f16: false, subgroupSize: 0, maxWorkgroupInvocations: 256, maxWorkgroupStorage: 16384,
  maxStorageBuffers: 8, maxWorkgroups: 65535,
}
afterEach(() => setKernelTuning({ mode: 'off' }))

const know = (answers: Readonly<Record<string, string>>, mode: TuningMode = 'cached'): void =>
  setKernelTuning({ mode, known: new Map(Object.entries(answers).map(([key, answer]) => [key, JSON.stringify(answer)])) })
const choose = (problem: string): string => chooser(traits)('matmul', problem, ['first', 'second', 'third'])
const problem = (rows: number, dtype = 'f32'): string => `1x${rows}x768 ${dtype}k4·f32r4·64 -> f32`

test('what is known decides', () => {
  know({ [`matmul: ${problem(64)}`]: 'third', [`matmul: ${problem(128)}`]: 'second' })
  expect([64, 128].map(rows => choose(problem(rows)))).toEqual(['third', 'second'])
})

test('else the nearest problem that is known, where no size is more than four times another', () => {
  know({ [`matmul: ${problem(64)}`]: 'third', [`matmul: ${problem(256)}`]: 'second' })
  expect([15, 16, 100, 127, 129, 1024, 1025].map(rows => choose(problem(rows)))).toEqual(
    ['first', 'third', 'third', 'third', 'second', 'second', 'first'])
})

test('two that are as near: the better guess of them, in whatever order they were measured', () => {
  const answers = [[`matmul: ${problem(64)}`, 'third'], [`matmul: ${problem(256)}`, 'second']] as const
  for (const order of [answers, answers.toReversed()]) {
    know(Object.fromEntries(order))
    expect(choose(problem(128))).toBe('second')
  }
})

test('another dtype, another kernel, and an answer that is no candidate here are no guides', () => {
  know({ [`matmul: ${problem(64, 'f16')}`]: 'third', [`softmax: ${problem(64)}`]: 'third', [`matmul: ${problem(65)}`]: 'gone' })
  expect(choose(problem(64))).toBe('first')
  know({ [`matmul: ${problem(64)}`]: 'third' }, 'off')
  expect(choose(problem(64)), 'and without tuning nothing is').toBe('first')
})

test('measuring ends for good, and never begins on a CPU that goes by the cache, or with a budget of nothing', () => {
  setKernelTuning({ mode: 'cached' })
  expect([measuring(traits) !== undefined, measuring({ ...traits, cpu: true }) !== undefined]).toEqual([true, false])
  settleKernels()
  expect(measuring(traits)).toBeUndefined()
  setKernelTuning({ mode: 'full', budget: 0 })
  expect(measuring(traits)).toBeUndefined()
})
