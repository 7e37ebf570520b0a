// Runs that are killed or stopped in the middle of an epoch and gone on with: they end with the same bits as one that
// was never stopped.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Workplace, filesBelow, makeWorkplace, refusal, resultOf, tinyRun } from '../../support/command.ts'
import { signalledAfter } from '../../support/interrupted.ts'
import { type Running, imdb, startImdb } from '../../support/tiny.ts'
import { type MetricsLine, firstRecord, recordOf } from '../../../train/tensorboard.ts'

/**
 * Steps of an epoch: 96 reviews of the training set less 16 for validation, 2 at a time; many, so that a signal comes
 * before its end.
 */
const EPOCH = 40
const STEPS = 2 * EPOCH

let place: Workplace
/** The run that was never stopped. */
let whole: string
const args = (): string[] => [...tinyRun(place), '--batch-size', '2', '--lora-dropout', '0.1', '--tensorboard']

beforeAll(async () => {
  place = await makeWorkplace('resume')
  const cwd = await place.folder()
  const { status, stderr } = await imdb(args(), { cwd, env: place.env })
  expect(status, stderr).toBe(0)
  whole = join(cwd, 'run')
  await expectEvents(whole)
})
afterAll(() => place.remove())

/** Looks every few milliseconds until it is so. Throws when the process ends before. */
async function until(running: Running, isSo: () => Promise<boolean>): Promise<void> {
  let ended = false
  void running.ended.then(() => (ended = true))
  while (!(await isSo())) {
    if (ended) throw new Error(`it ended too soon: ${(await running.ended).stderr}`)
    await new Promise(done => setTimeout(done, 2))
  }
}

const namesIn = (folder: string): Promise<string[]> => readdir(folder).catch(() => [])

/** metrics.jsonl without what a clock tells. */
async function metricsOf(folder: string): Promise<unknown[]> {
  const lines = (await readFile(join(folder, 'metrics.jsonl'), 'utf8')).trimEnd().split('\n')
  return lines.map(line => {
    const { examples_per_second, tokens_per_second, gpu_bytes, wall_seconds, ...rest } = JSON.parse(line) as Record<
      string,
      unknown
    >
    return rest
  })
}

/** Sees that TensorBoard's events are those of metrics.jsonl, each line once. */
async function expectEvents(run: string): Promise<void> {
  const config = JSON.parse(await readFile(join(run, 'config.json'), 'utf8')) as { created_at: string }
  const began = Date.parse(config.created_at) / 1000
  const lines = (await readFile(join(run, 'metrics.jsonl'), 'utf8')).trimEnd().split('\n')
  const records = lines.flatMap(line => recordOf(JSON.parse(line) as MetricsLine, began) ?? [])
  const [name, ...others] = await readdir(join(run, 'tensorboard'))
  expect(others).toEqual([])
  const file = await readFile(join(run, 'tensorboard', name))
  expect(file.equals(Buffer.concat([firstRecord(began), ...records]))).toBe(true)
}

/** Goes on with the run in `cwd`, and sees that it ends as the one that was never stopped. */
async function goOn(cwd: string): Promise<string> {
  const { status, stdout, stderr } = await imdb(['--resume', 'run'], { cwd, env: place.env })
  expect(status, stderr).toBe(0)
  const run = join(cwd, 'run')
  const metrics = await metricsOf(run)
  expect(metrics).toEqual(await metricsOf(whole))
  expect(metrics.length).toBe(STEPS + 3)
  const lines = (await readFile(join(run, 'metrics.jsonl'), 'utf8')).trimEnd().split('\n')
  const clock = lines.map(line => (JSON.parse(line) as { wall_seconds: number }).wall_seconds)
  expect(clock, 'the clock goes on, too').toEqual(clock.toSorted((a, b) => a - b))
  const { wall_seconds } = JSON.parse(await readFile(join(run, 'result.json'), 'utf8')) as { wall_seconds: number }
  expect(wall_seconds).toBeGreaterThan(clock[clock.length - 1])
  for (const file of ['adapter/adapter_model.safetensors', 'adapter/adapter_config.json', 'predictions.jsonl']) {
    const [ours, theirs] = await Promise.all([run, whole].map(folder => readFile(join(folder, file))))
    expect(ours.equals(theirs), file).toBe(true)
  }
  const left = async (folder: string): Promise<string[]> =>
    (await filesBelow(folder)).filter(path => !/^(checkpoints|tensorboard)\//.test(path))
  expect(await left(run)).toEqual(await left(whole))
  await expectEvents(run)
  return stdout
}

describe.concurrent('a run that ends in the middle of an epoch', () => {
  test('killed outright, goes on from its last checkpoint to the same bits', async () => {
    const cwd = await place.folder()
    const env = await signalledAfter(place, EPOCH + 3, 'SIGKILL')
    const { signal } = await startImdb([...args(), '--checkpoint-every', '0'], { cwd, env }).ended
    expect(signal).toBe('SIGKILL')
    expect(await readdir(join(cwd, 'run'))).not.toContain('result.json')
    const step = Number(/Resuming after step (\d+)\./.exec(await goOn(cwd))?.[1])
    expect(step).toBe(EPOCH + 3)
    expect(await refusal(place, ['--resume', join(cwd, 'run')])).toContain('is finished: see its result.json')
  })

  test('killed before its first checkpoint, starts at its beginning', async () => {
    const cwd = await place.folder()
    const running = startImdb(args(), { cwd, env: place.env })
    await until(running, async () => (await namesIn(join(cwd, 'run'))).includes('config.json'))
    running.child.kill('SIGKILL')
    await running.ended
    expect(await readdir(join(cwd, 'run'))).not.toContain('checkpoints')
    expect(await goOn(cwd)).toContain('No checkpoint found; starting over.')
  })

  test('by Ctrl-C, finishes its step, writes a checkpoint, says how to go on, and goes on to the same bits', async () => {
    const cwd = await place.folder()
    // With --json, as a program would run it; no checkpoint in an epoch but the one that Ctrl-C asks for.
    const running = startImdb([...args(), '--json', '--checkpoint-every', '1000'], { cwd, env: place.env })
    const metrics = (): Promise<string> => readFile(join(cwd, 'run/metrics.jsonl'), 'utf8').catch(() => '')
    await until(running, async () => (await metrics()).includes('"step":3,'))
    // Twice: a terminal sends it to npm too, which passes it on.
    running.child.kill('SIGINT')
    await running.said(/Finishing this step/)
    running.child.kill('SIGINT')
    const ended = await running.ended
    const { stopped, folder, step } = resultOf<{ stopped: boolean; folder: string; step: number }>(ended, 130)
    expect({ stopped, folder }).toEqual({ stopped: true, folder: 'run' })
    expect(ended.stderr).toContain('Finishing this step and writing a checkpoint')
    expect(ended.stderr).toContain(`Stopped after step ${step}. Resume with: npx node train/imdb.ts --resume run`)
    expect(step).toBeGreaterThanOrEqual(3)
    expect(step).toBeLessThan(STEPS)
    expect(step % EPOCH, 'no epoch ends there').toBeGreaterThan(0)
    expect(await goOn(cwd)).toContain(`Resuming after step ${step}.`)
  })

  test.for([
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('by %s, does the same and exits with its status', async ([name, code]) => {
    const cwd = await place.folder()
    const running = startImdb([...args(), '--checkpoint-every', '1000'], { cwd, env: place.env })
    await until(running, async () =>
      (await readFile(join(cwd, 'run/metrics.jsonl'), 'utf8').catch(() => '')).includes('"step":3,'),
    )
    running.child.kill(name)
    const { status, signal, stdout, stderr } = await running.ended
    expect({ status, signal }, stderr).toEqual({ status: code, signal: null })
    const step = Number(/Stopped after step (\d+)\. Resume with: /.exec(stdout)?.[1])
    expect(step).toBeGreaterThanOrEqual(3)
    expect(await namesIn(join(cwd, 'run/checkpoints'))).toContain(`step-${String(step).padStart(6, '0')}`)
    expect(stderr).toContain(
      `Received ${name}. Finishing this step and writing a checkpoint. Another ${name} stops at once.`,
    )
    // While it starts up again.
    const resumed = startImdb(['--resume', 'run', '--json'], { cwd, env: place.env })
    await resumed.said(/Task: /)
    resumed.child.kill(name)
    const again = await resumed.ended
    expect({ status: again.status, signal: again.signal }).toEqual({ status: null, signal: name })
    expect(again.stderr).toContain(`Stopped by ${name} before training began: the run is as it was.\n`)
    expect(await readdir(join(cwd, 'run'))).not.toContain('lock')
  })

  test('by SIGTERM before training, leaves nothing', async () => {
    const cwd = await place.folder()
    const running = startImdb([...args(), '--json'], { cwd, env: place.env })
    await running.said(/Task: /)
    running.child.kill('SIGTERM')
    const { signal, stderr } = await running.ended
    expect(signal).toBe('SIGTERM')
    expect(stderr).toContain('Stopped by SIGTERM before training began: nothing was written.\n')
    expect(await readdir(cwd)).toEqual([])
  })
})
