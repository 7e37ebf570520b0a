// The tuner: what it measures is remembered by adapter, driver and version, used again without measuring, kept in a run's
// folder, and never changes what comes out beyond rounding.
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { type Device, type TuningOptions, currentDevice, setKernelTuning, tensor } from '../../engine/node.ts'
import { createRun } from '../../train/runs.ts'
import { KernelChoices, answersFile } from '../../train/tuning.ts'
import { noises } from '../support/ops.ts'

let device: Device
let folder: string
beforeAll(async () => {
  device = await currentDevice()
  folder = await mkdtemp(join(tmpdir(), 'tilegrad-tuning-'))
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'))
})
afterEach(() => setKernelTuning({ mode: 'off' }))
afterAll(async () => {
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true })
  device.close()
})

const random = (shape: readonly [number, number], seed: number) => tensor(Float32Array.from(noises(shape[0] * shape[1], seed)), shape)

/** A small product of its own shape, so that its question is a new one, and its answer in float64. */
async function product(rows: number): Promise<{ data: ArrayLike<number>, error: number }> {
  const [inner, columns] = [8, 4]
  const [a, b] = [random([rows, inner], 1), random([inner, columns], 2)]
  const [x, y, data] = [await a.data(), await b.data(), await a.matmul(b).data()]
  let error = 0
  for (let i = 0; i < rows * columns; i++) {
    let sum = 0
    for (let k = 0; k < inner; k++) sum += x[Math.floor(i / columns) * inner + k] * y[k * columns + i % columns]
    error = Math.max(error, Math.abs(sum - data[i]))
  }
  return { data, error }
}

test('`full` measures every candidate of what is not known, and the answer is used from then on', async () => {
  const answers = new Map<string, string>()
  const listen: Pick<TuningOptions, 'onAnswer'> = { onAnswer: (question, candidate) => { answers.set(question, candidate) } }
  setKernelTuning({ mode: 'full', ...listen })
  expect((await product(3)).error).toBeLessThan(1e-5)
  expect([...answers.keys()]).toEqual([expect.stringContaining('matmul: 1x3x4')])
  expect(JSON.parse([...answers.values()][0])).toHaveProperty('config.kernel')
  const known = new Map(answers)
  answers.clear()
  setKernelTuning({ mode: 'full', known, ...listen })
  await product(3)
  expect([...answers], 'nothing is measured twice').toEqual([])
})

test('what is known decides, and what no candidate matches is asked again', async () => {
  const asked: string[] = []
  setKernelTuning({ mode: 'full', onAnswer: question => { asked.push(question) }, known: new Map([['matmul: 1x5x4 f32k4·f32r4·8 -> f32', '{"config":{"kernel":"gone"}}']]) })
  expect((await product(5)).error).toBeLessThan(1e-5)
  expect(asked.length).toBe(1)
})

test('`off` and, on a CPU, `cached` measure nothing', async () => {
  const onAnswer = vi.fn()
  setKernelTuning({ mode: 'off', onAnswer })
  await product(6)
  if (device.traits.cpu) {
    setKernelTuning({ mode: 'cached', onAnswer })
    await product(7)
  }
  expect(onAnswer).not.toHaveBeenCalled()
})

test('time that is spent ends the measuring, and the guess stands', async () => {
  const [onAnswer, onGuess] = [vi.fn(), vi.fn()]
  setKernelTuning({ mode: 'full', budget: 0, onAnswer, onGuess })
  expect((await product(9)).error).toBeLessThan(1e-5)
  await product(9)
  expect(onAnswer).not.toHaveBeenCalled()
  expect(onGuess.mock.calls).toEqual([[expect.stringContaining('matmul: 1x9x4'), expect.stringContaining('config')]])
})

test('answers are remembered by adapter, driver and version, and a run keeps those it went by', async () => {
  const path = answersFile(device.info, '1.2.3')
  expect(answersFile(device.info, '1.2.4')).not.toBe(path)
  expect(answersFile({ ...device.info, driver: 'another' }, '1.2.3')).not.toBe(path)
  const run = await createRun(join(folder, 'run'), {})
  await (await KernelChoices.begin('full', device.info, '1.2.3')).keepIn(run)
  const before = await product(11)
  const stored = JSON.parse(await readFile(path, 'utf8')) as { answers: Record<string, string> }
  expect(Object.keys(stored.answers)).toEqual([expect.stringContaining('matmul: 1x11x4')])
  expect(JSON.parse(await readFile(run.path('kernels.json'), 'utf8'))).toMatchObject({ answers: stored.answers })
  expect((await readdir(dirname(path))).filter(name => name.endsWith('.tmp'))).toEqual([])

  await rm(path)
  await KernelChoices.begin('full', device.info, '1.2.3', run)
  expect((await product(11)).data, 'the run goes by its own answers, to the bit').toEqual(before.data)
  await expect(readFile(path, 'utf8'), 'and asks nothing again').rejects.toThrow()
  await KernelChoices.begin('full', device.info, '1.2.3')
  await product(17)
  const known = JSON.parse(await readFile(run.path('kernels.json'), 'utf8')) as { answers: Record<string, string> }
  expect(Object.keys(known.answers), 'what others have measured since is nothing to the run').toEqual(Object.keys(stored.answers))
})

test('a file that holds something else is not used, in one line, and is written anew', async () => {
  const path = answersFile(device.info, '1.2.3')
  await KernelChoices.begin('full', device.info, '1.2.3')
  await product(13)
  const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  await writeFile(path, '{"answers": 3}')
  await KernelChoices.begin('full', device.info, '1.2.3')
  await product(15)
  expect(said.mock.calls.map(([text]) => String(text)).filter(text => text.includes('no list of measured kernels')).length).toBeGreaterThan(0)
  said.mockRestore()
  expect(Object.keys((JSON.parse(await readFile(path, 'utf8')) as { answers: object }).answers)).toEqual([expect.stringContaining('1x15x4')])
})
