// The tuner: what it measures is remembered by adapter, driver and version, used again without measuring, kept in a
// run's folder, and never changes what comes out beyond rounding.
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { type Answer, Device, currentDevice, tensor, useDevice } from '../../../../engine/node/index.ts'
import { Checkpoints } from '../../../../train/node/run/checkpoints.ts'
import { createRun, openRun } from '../../../../train/node/run/folder.ts'
import { classesTask } from '../../../../train/tasks/classes.ts'
import { Trainer } from '../../../../train/trainer.ts'
import { AnswerFile } from '../../../../train/node/run/answers.ts'
import { KernelChoices, answersFile } from '../../../../train/node/run/kernels.ts'
import { noises } from '../../../support/ops.ts'
import { OPTIONS, reviews, tinyModel } from '../../../support/training.ts'

let device: Device
let folder: string
beforeAll(async () => {
  device = await currentDevice()
  folder = await mkdtemp(join(tmpdir(), 'tilegrad-tuning-'))
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'))
})
afterEach(() => device.tuning.configure({ mode: 'off' }))
afterAll(async () => {
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true })
  device.close()
})

const random = (shape: readonly [number, number], seed: number) =>
  tensor(Float32Array.from(noises(shape[0] * shape[1], seed)), shape)

/** The answers in a file of the user's cache, which must be whole. */
const answersIn = (path: string) =>
  new AnswerFile(path).read(sentence => {
    throw new Error(sentence)
  })

/** What the tuner is asked for `product`. */
const productOf = (rows: number) => ({
  kernel: 'matmul',
  sizes: { batch: 1, m: rows, n: 4, k0: 8 },
  options: { a0: 'f32k4', b0: 'f32r4', out: 'f32' },
})

/** A small product of its own shape, so that its question is a new one, and its answer in float64. */
async function product(rows: number): Promise<{ data: ArrayLike<number>; error: number }> {
  const [inner, columns] = [8, 4]
  const [a, b] = [random([rows, inner], 1), random([inner, columns], 2)]
  const [x, y, data] = [await a.data(), await b.data(), await a.matmul(b).data()]
  let error = 0
  for (let i = 0; i < rows * columns; i++) {
    let sum = 0
    for (let k = 0; k < inner; k++) sum += x[Math.floor(i / columns) * inner + k] * y[k * columns + (i % columns)]
    error = Math.max(error, Math.abs(sum - data[i]))
  }
  return { data, error }
}

test('`full` measures every candidate of what is not known, and the answer is used from then on', async () => {
  const answers: Answer[] = []
  const onAnswer = (answer: Answer): void => {
    answers.push(answer)
  }
  device.tuning.configure({ mode: 'full', onAnswer })
  expect((await product(3)).error).toBeLessThan(1e-5)
  expect(answers).toEqual([expect.objectContaining(productOf(3))])
  expect(answers[0]).toHaveProperty('candidate.config.kernel')
  device.tuning.configure({ mode: 'full', known: answers.splice(0), onAnswer })
  await product(3)
  expect(answers, 'nothing is measured twice').toEqual([])
})

test('what is known decides, and what no candidate matches is asked again', async () => {
  const asked: Answer[] = []
  const known = [{ ...productOf(5), candidate: { config: { kernel: 'gone' } } }]
  device.tuning.configure({
    mode: 'full',
    onAnswer: answer => {
      asked.push(answer)
    },
    known,
  })
  expect((await product(5)).error).toBeLessThan(1e-5)
  expect(asked.length).toBe(1)
})

test('`off` and, on a CPU, `cached` measure nothing', async () => {
  const onAnswer = vi.fn()
  device.tuning.configure({ mode: 'off', onAnswer })
  await product(6)
  if (device.traits.cpu) {
    device.tuning.configure({ mode: 'cached', onAnswer })
    await product(7)
  }
  expect(onAnswer).not.toHaveBeenCalled()
})

test('time that is spent ends the measuring, and the guess stands', async () => {
  const onAnswer = vi.fn()
  device.tuning.configure({ mode: 'full', budget: 0, onAnswer })
  expect((await product(9)).error).toBeLessThan(1e-5)
  device.tuning.configure({ mode: 'full', onAnswer })
  device.tuning.settle()
  expect((await product(9)).error).toBeLessThan(1e-5)
  expect(onAnswer).not.toHaveBeenCalled()
})

test('answers are remembered by adapter, driver and version, and a run keeps those it went by', async () => {
  const path = answersFile(device.info, '1.2.3')
  expect(answersFile(device.info, '1.2.4')).not.toBe(path)
  expect(answersFile({ ...device.info, driver: 'another' }, '1.2.3')).not.toBe(path)
  const run = await createRun(join(folder, 'run'), {})
  const choices = await KernelChoices.begin('full', device, '1.2.3')
  const before = await product(11)
  choices.settle()
  await choices.keepIn(run)
  await product(19)
  const stored = await answersIn(path)
  expect([...stored.values()]).toEqual([expect.objectContaining(productOf(11))])
  expect(JSON.parse(await readFile(run.path('kernels.json'), 'utf8'))).toMatchObject({ answers: [...stored.values()] })
  expect(await readdir(dirname(path)), 'nothing but the file itself').toEqual([basename(path)])

  await rm(path)
  await KernelChoices.begin('full', device, '1.2.3', run)
  expect((await product(11)).data, 'the run goes by its own answers, to the bit').toEqual(before.data)
  await expect(readFile(path, 'utf8'), 'and asks nothing again').rejects.toThrow()
  await KernelChoices.begin('full', device, '1.2.3')
  await product(17)
  const known = JSON.parse(await readFile(run.path('kernels.json'), 'utf8')) as { answers: Answer[] }
  expect(known.answers, 'answers that others have measured since have no influence on the run').toEqual([
    ...stored.values(),
  ])
})

test('a kernels.json of an earlier version is ignored, with one clear line', async () => {
  const run = await createRun(join(folder, 'earlier'), {})
  await writeFile(
    run.path('kernels.json'),
    JSON.stringify({ answers: { 'matmul: 1x21x4 f32k4·f32r4·8 -> f32': '{"config":{}}' } }),
  )
  const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  const choices = await KernelChoices.begin('full', device, '1.2.3', run)
  const lines = said.mock.calls.map(([text]) => String(text))
  said.mockRestore()
  expect(lines).toEqual([
    expect.stringMatching(
      /kernels\.json is not a list of measured kernels in the format of this version: it is ignored/,
    ),
  ])
  expect((await product(21)).error).toBeLessThan(1e-5)
  expect(choices.measured, 'and the resumed run measures nothing').toBe(false)
})

test('lines that are something else are dropped, which is said in one line, and the others are used', async () => {
  const path = answersFile(device.info, '1.2.3')
  await KernelChoices.begin('full', device, '1.2.3')
  await product(13)
  const before = await answersIn(path)
  const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  await writeFile(path, `{"answers": 3}\n\u001b[2J\n${await readFile(path, 'utf8')}{"question": "torn`)
  await KernelChoices.begin('full', device, '1.2.3')
  const lines = said.mock.calls.map(([text]) => String(text)).filter(text => text.includes(path))
  said.mockRestore()
  expect(lines).toEqual([
    expect.stringMatching(/ has 2 of \d+ lines that are not measured kernels; they are dropped\.\n$/),
  ])
  await product(15)
  expect([...(await answersIn(path)).values()]).toEqual([...before.values(), expect.objectContaining(productOf(15))])
})

test('a run that is stopped and gone on with goes by the kernels of one that was not: it measures nothing', async () => {
  // llvmpipe passed off as a GPU, so that `cached` measures; texts of many lengths, more than the time suffices for.
  const { gpu, info, traits } = device
  const asGpu = new Device(gpu, { ...info, name: 'a GPU' }, { ...traits, cpu: false })
  useDevice(asGpu)
  try {
    const [train, validation] = [
      reviews(48, 1, { shortest: 2, longest: 20 }),
      reviews(8, 2, { shortest: 2, longest: 20 }),
    ]
    const cache = answersFile(asGpu.info, '1.2.3')
    const measured = async (): Promise<string> => readFile(cache, 'utf8')
    const begin = async (name: string, from?: Parameters<Trainer<number>['train']>[4], stopAfter?: number) => {
      const path = join(folder, name)
      const run = from ? await openRun(path) : await createRun(path, {})
      const choices = await KernelChoices.begin('cached', asGpu, '1.2.3', from && run)
      const trainer = await Trainer.over(await tinyModel('lora', { num_hidden_layers: 1 }), classesTask(), {
        ...OPTIONS,
        epochs: 1,
        maxLength: 24,
      })
      await trainer.plan(24)
      await trainer.prepare({ train, validation, test: [] }, () => !from)
      choices.settle()
      await choices.keepIn(run)
      const before = await measured()
      const checkpoints = new Checkpoints(join(path, 'checkpoints'))
      const onStep = ({ step }: { step: number }): void => {
        if (step === stopAfter) trainer.stop()
      }
      const outcome = await trainer.train(train, validation, checkpoints, { onStep }, from)
      expect(await measured(), 'measuring has ended before the first step').toBe(before)
      const state = await Promise.all(trainer.state().map(({ variable }) => variable.read()))
      return { outcome, state, kernels: await readFile(run.path('kernels.json'), 'utf8') }
    }
    const stopped = await begin('stopped', undefined, 2)
    if (stopped.outcome.kind !== 'stopped') throw new Error('it did not stop')
    expect((JSON.parse(stopped.kernels) as { answers: Answer[] }).answers.length).toBeGreaterThan(0)
    // The same kernels for the run that is not stopped, whatever a clock says.
    const cached = await measured()
    const resumed = await begin('stopped', stopped.outcome.position)
    expect(resumed.kernels, 'kernels.json stays as it was').toBe(stopped.kernels)
    expect(await measured()).toBe(cached)
    const run = await createRun(join(folder, 'whole'), {})
    await writeFile(run.path('kernels.json'), stopped.kernels)
    await KernelChoices.begin('cached', asGpu, '1.2.3', run)
    const trainer = await Trainer.over(await tinyModel('lora', { num_hidden_layers: 1 }), classesTask(), {
      ...OPTIONS,
      epochs: 1,
      maxLength: 24,
    })
    await trainer.train(train, validation, new Checkpoints(run.path('checkpoints')))
    expect(await Promise.all(trainer.state().map(({ variable }) => variable.read()))).toEqual(resumed.state)
  } finally {
    useDevice(device)
  }
}, 240_000)
