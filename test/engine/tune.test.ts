// Which candidate is used: what was measured, else by the answers to similar problems, the same whenever it is asked.
import { expect, test } from 'vitest'
import { type Answer, KernelTuning, type Question, type TuningMode, showQuestion } from '../../engine/tune.ts'
import type { Traits } from '../../shaders/kernel.ts'

const traits: Traits = {
  name: 'some GPU',
  cpu: false,
  f16: false,
  subgroupSize: 0,
  maxWorkgroupInvocations: 256,
  maxWorkgroupStorage: 16384,
  maxStorageBuffers: 8,
  maxWorkgroups: 65535,
}

const question = (m: number, { dtype = 'f32', kernel = 'matmul' } = {}): Question => ({
  kernel,
  sizes: { batch: 1, m, n: 768, k0: 64 },
  options: { a0: `${dtype}k4`, b0: 'f32r4', out: 'f32' },
})
const answer = (candidate: string, ...asked: Parameters<typeof question>): Answer => ({
  ...question(...asked),
  candidate,
})
const knowing = (known: readonly Answer[], mode: TuningMode = 'cached'): KernelTuning => {
  const tuning = new KernelTuning(traits)
  tuning.configure({ mode, known })
  return tuning
}
const choose = (tuning: KernelTuning, asked: Question): string => tuning.chooser()(asked, ['first', 'second', 'third'])

test('a known answer decides', () => {
  const tuning = knowing([answer('third', 64), answer('second', 128)])
  expect([64, 128].map(m => choose(tuning, question(m)))).toEqual(['third', 'second'])
})

test('otherwise the nearest known problem decides, if no size differs by more than a factor of four', () => {
  const tuning = knowing([answer('third', 64), answer('second', 256)])
  expect([15, 16, 100, 127, 129, 1024, 1025].map(m => choose(tuning, question(m)))).toEqual([
    'first',
    'third',
    'third',
    'third',
    'second',
    'second',
    'first',
  ])
})

test('of two equally near problems the better guess decides, in whatever order they were measured', () => {
  const answers = [answer('third', 64), answer('second', 256)]
  for (const order of [answers, answers.toReversed()]) expect(choose(knowing(order), question(128))).toBe('second')
})

test('another dtype, another kernel, another set of sizes, and an answer that is not a candidate here have no influence', () => {
  const {
    sizes: { batch, m, n },
    ...rest
  } = answer('third', 64)
  const others = [
    answer('third', 64, { dtype: 'f16' }),
    answer('third', 64, { kernel: 'softmax' }),
    answer('gone', 65),
    { ...rest, sizes: { batch, m, n } },
  ]
  expect(choose(knowing(others), question(64))).toBe('first')
  expect(choose(knowing([answer('third', 64)], 'off'), question(64)), 'nor does any with tuning off').toBe('first')
})

test('measuring ends for good with its budget or when settled, and never begins on a CPU in mode cached', () => {
  const tuning = knowing([])
  expect(tuning.secondsLeft).toBe(3)
  tuning.spend(4)
  expect(tuning.secondsLeft).toBe(0)
  tuning.configure({ mode: 'full' })
  expect(tuning.secondsLeft).toBe(Infinity)
  tuning.settle()
  expect(tuning.secondsLeft).toBe(0)
  tuning.configure({ mode: 'full', budget: 0 })
  expect(tuning.secondsLeft).toBe(0)
  const onCpu = new KernelTuning({ ...traits, cpu: true })
  onCpu.configure({ mode: 'cached' })
  expect(onCpu.secondsLeft).toBe(0)
})

test('devices choose independently of each other', () => {
  const [one, other] = [knowing([answer('third', 64)]), knowing([])]
  const { version } = other
  one.override(() => 1)
  expect([choose(one, question(64)), choose(other, question(64)), other.version]).toEqual(['second', 'first', version])
  one.override()
  expect(choose(one, question(64))).toBe('third')
})

test('a question reads as its kernel, sizes and options', () => {
  expect(showQuestion(question(64))).toBe('matmul: batch 1, m 64, n 768, k0 64, a0 f32k4, b0 f32r4, out f32')
})
