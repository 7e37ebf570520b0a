// Options that change how a run computes and what it leaves, each given to `node train/imdb.ts` as a process: half
// precision, recomputation, accumulation, schedules, profiles, a tokenizer from elsewhere, fresh weights.
import { existsSync } from 'node:fs'
import { copyFile, cp, mkdir, readFile, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Device, currentDevice } from '../../../engine/node/index.ts'
import { openSafetensors, readJson } from '../../../models/node/files.ts'
import { version } from '../../../train/node/package.ts'
import { schedule } from '../../../train/schedules.ts'
import { type Line, linesOf } from '../../support/metrics.ts'
import { type Workplace, makeWorkplace, resultOf } from '../../support/command.ts'
import { largestDifference } from '../../support/differences.ts'
import { judged } from '../../support/judged.ts'
import { SHARED } from '../../support/shared.ts'
import { imdb } from '../../support/tiny.ts'

const VOCABULARY = join(SHARED, 'vocab/bert-base-uncased-vocab.txt')

let place: Workplace
let device: Device
beforeAll(async () => {
  device = await currentDevice()
  // Two layers: of the last one nothing is made again.
  place = await makeWorkplace('options', { num_hidden_layers: 2 })
})
afterAll(async () => {
  await place.remove()
  device.close()
})

interface Facts {
  readonly adapter: { readonly name: string }
  readonly model: { readonly parameters: { readonly total: number; readonly trainable: number } }
  readonly data: { readonly test: { readonly rows: number; readonly positive: number } }
  readonly plan: { readonly dispatches: number }
  readonly test_accuracy: number
}

const run = (cwd: string, ...args: string[]) => imdb(args, { cwd, env: place.env })
/** 48 reviews less 16 for validation. */
const inputs = (model = place.model): string[] => [
  '--model',
  model,
  '--data',
  place.reviews,
  '--max-length',
  '8',
  '--limit-train',
  '48',
  '--val-split',
  '16',
  '--batch-size',
  '4',
  '--tune-kernels',
  'off',
  '--checkpoint-every',
  '1000',
]

const stepsOf = async (folder: string): Promise<Line[]> =>
  (await linesOf(folder)).filter(({ split }) => split === undefined)

describe.concurrent('the command', () => {
  test('in half precision trains, goes on from a checkpoint to the same bits, and merges', async ({ skip }) => {
    skip(!device.traits.f16, `${device.info.name} has no shader-f16`)
    const cwd = await place.folder()
    const EPOCH = 8
    const options = [
      '--precision',
      'f16',
      '--merge',
      '--epochs',
      '2',
      '--lora-targets',
      'query,value,mlp',
      '--lora-alpha',
      '16',
      '--train-head',
      '--lora-dropout',
      '0.1',
      '--lr',
      '1e-2',
      '--out',
      'run',
    ]
    const { status, stderr } = await run(cwd, ...inputs(), ...options)
    expect(status, stderr).toBe(0)
    const [whole, again] = [join(cwd, 'run'), join(cwd, 'again')]
    const validation = (await linesOf(whole)).filter(({ split }) => split !== undefined).map(({ loss }) => loss)
    expect(validation).toHaveLength(3)
    expect(validation[2]).toBeLessThan(0.9 * validation[0])
    const checkpoint = await openSafetensors(join(whole, `checkpoints/step-00000${EPOCH}/state.safetensors`))
    expect(
      checkpoint.names().filter(name => /loss.?scale/.test(name)),
      'the loss is scaled, and the scale kept',
    ).not.toEqual([])
    await checkpoint.close()

    // As if it had been killed in its second epoch.
    await cp(whole, again, { recursive: true })
    for (const left of ['result.json', 'adapter', 'model', 'checkpoints/step-000016'])
      await rm(join(again, left), { recursive: true })
    const resumed = await run(cwd, '--resume', 'again')
    expect(resumed.status, resumed.stderr).toBe(0)
    expect(resumed.stdout).toContain(`Resuming after step ${EPOCH}.`)
    const told = async (folder: string): Promise<unknown> =>
      (await linesOf(folder)).map(({ step, loss, lr }) => ({ step, loss, lr }))
    expect(await told(again)).toEqual(await told(whole))
    for (const file of ['adapter/adapter_model.safetensors', 'model/model.safetensors']) {
      const [ours, theirs] = await Promise.all([again, whole].map(folder => readFile(join(folder, file))))
      expect(ours.equals(theirs), file).toBe(true)
    }

    const [base, adapted, merged] = [
      await judged(place.model, place.reviews),
      await judged(place.model, place.reviews, join(whole, 'adapter')),
      await judged(join(whole, 'model'), place.reviews),
    ]
    const size = Math.max(...adapted.logits.map(Math.abs))
    expect(largestDifference(merged.logits, adapted.logits)).toBeLessThan(1e-2 * size)
    expect(largestDifference(merged.logits, base.logits)).toBeGreaterThan(0.1 * size)
  })

  test('with a profile, recomputation and a tokenizer from elsewhere has the losses that it has without', async ({
    skip,
  }) => {
    skip(!device.gpu.features.has('timestamp-query'), `${device.info.name} has no timestamps`)
    const cwd = await place.folder()
    const options = [
      '--accumulate',
      '2',
      '--schedule',
      'cosine',
      '--lr',
      '5e-3',
      '--warmup',
      '2',
      '--limit-test',
      '8',
      '--epochs',
      '2',
      '--json',
    ]
    const plain = resultOf<Facts>(await run(cwd, ...inputs(), ...options, '--out', 'plain'))
    // The same model without words of its own.
    const [bare, words] = [join(cwd, 'bare'), join(cwd, 'words.txt')]
    await mkdir(bare)
    for (const file of ['config.json', 'model.safetensors']) await copyFile(join(place.model, file), join(bare, file))
    await copyFile(join(place.model, 'vocab.txt'), words)
    const { name } = device.info
    const more = [
      '--recompute',
      '--profile',
      '--tokenizer',
      words,
      '--adapter',
      name.slice(1).toUpperCase(),
      '--out',
      'full',
    ]
    const full = resultOf<Facts>(await run(cwd, ...inputs(bare), ...options, ...more))

    expect(full.adapter.name).toBe(name)
    expect(full.data.test).toMatchObject({ rows: 8, positive: 4 })
    expect(full.plan.dispatches).toBeGreaterThan(plain.plan.dispatches)
    const [steps, told] = [await stepsOf(join(cwd, 'plain')), await stepsOf(join(cwd, 'full'))]
    expect(steps).toHaveLength(8)
    const factor = schedule('cosine', { warmup: 2, steps: 8 })
    expect(told.map(({ lr }) => lr)).toEqual(steps.map((_, i) => 5e-3 * factor(i)))
    told.forEach(({ loss }, i) =>
      expect(Math.abs(loss - steps[i].loss), `loss of step ${i + 1}`).toBeLessThanOrEqual(1e-5 * steps[i].loss),
    )
    expect(full.test_accuracy).toBe(plain.test_accuracy)

    expect(await readdir(join(cwd, 'plain'))).not.toContain('profile.txt')
    const profile = await readFile(join(cwd, 'full/profile.txt'), 'utf8')
    expect(profile).toMatch(new RegExp(`^One step of 4 × 8 tokens on ${RegExp.escape(name)}\\n\\nkernel +count +ms`))
    const [, count] = /^(\d+) dispatches: /m.exec(profile) ?? []
    const { traceEvents } = (await readJson(join(cwd, 'full/trace.json'))) as {
      traceEvents: { name: string; ph: string; dur: number }[]
    }
    const kernels = traceEvents.filter(({ ph }) => ph === 'X')
    expect(kernels).toHaveLength(Number(count))
    for (const part of ['adamw', 'attention', 'matmul'])
      expect(kernels.map(kernel => kernel.name).join()).toContain(part)
  })

  test('with fresh weights draws them with the seed, and keeps a constant rate where that is asked for', async () => {
    const cwd = await place.folder()
    const options = [
      '--init',
      'random',
      '--tune',
      'head',
      '--schedule',
      'constant',
      '--warmup',
      '0',
      '--lr',
      '1e-3',
      '--epochs',
      '1',
    ]
    const firsts: number[] = []
    for (const seed of ['1', '2']) {
      const { status, stdout, stderr } = await run(cwd, ...inputs(), ...options, '--seed', seed, '--out', seed)
      expect(status, stderr).toBe(0)
      expect(stdout).toContain(`Model: ${place.model} (fresh weights), tuning: head`)
      const [before, ...steps] = await linesOf(join(cwd, seed))
      expect(new Set(steps.filter(({ split }) => split === undefined).map(({ lr }) => lr))).toEqual(new Set([1e-3]))
      firsts.push(before.loss)
    }
    expect(firsts[0]).not.toBe(firsts[1])
  })

  test('with a published architecture and fresh weights needs no more than a tokenizer', async ({ skip }) => {
    skip(!existsSync(VOCABULARY), `there is no ${VOCABULARY}`)
    const cwd = await place.folder()
    const args = [
      '--init',
      'random',
      '--model',
      'distilbert-base-uncased',
      '--tokenizer',
      VOCABULARY,
      '--data',
      place.reviews,
      '--lora-targets',
      'query,value,mlp',
      '--max-length',
      '8',
      '--batch-size',
      '2',
      '--dry-run',
      '--json',
    ]
    const {
      model: { parameters },
    } = resultOf<Facts>(await run(cwd, ...args))
    expect(parameters).toMatchObject({ total: 67_471_106, trainable: 516_096 })
    expect(await readdir(cwd)).toEqual([])
  })

  test('says its version', async () => {
    expect(await run(await place.folder(), '--version')).toMatchObject({
      status: 0,
      stdout: `${version}\n`,
      stderr: '',
    })
  })
})
