// Ends of a run that are not its own doing, and ways back to one: inputs that have changed, another process at work,
// Ctrl-C that comes twice, a GPU that goes. Each is one line that says what to do; and what a run leaves stands without
// the rest.
import { cp, mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { currentDevice } from '../../../engine/node/index.ts'
import { createModel, loadWeights, parseConfig } from '../../../models/index.ts'
import { openWeights, readJson } from '../../../models/node/files.ts'
import { openAdapter } from '../../../models/node/peft.ts'
import { loadTokenizer } from '../../../models/node/tokenizer.ts'
import { classesTask } from '../../../train/tasks/classes.ts'
import { settle } from '../../../train/node/jobs/settle.ts'
import { parseOptions } from '../../../train/node/cli/options.ts'
import { EvaluationStep } from '../../../train/steps.ts'
import { linesOf } from '../../support/metrics.ts'
import { NO_ATTENTION_DROPOUT, type Workplace, makeWorkplace, refusal, resultOf } from '../../support/command.ts'
import { FIRST, interrupted, losing, preloaded } from '../../support/interrupted.ts'
import { loadReviews } from '../../support/reviews.ts'
import { imdb, startImdb } from '../../support/tiny.ts'
import { collate } from '../../support/training.ts'

let place: Workplace
beforeAll(async () => {
  place = await makeWorkplace('ends', NO_ATTENTION_DROPOUT)
})
afterAll(async () => {
  await place.remove()
  ;(await currentDevice()).close()
})

const short = (model: string, data: string): string[] => [
  '--model',
  model,
  '--data',
  data,
  '--max-length',
  '8',
  '--batch-size',
  '8',
  '--epochs',
  '1',
  '--limit-train',
  '48',
  '--val-split',
  '8',
  '--lora-targets',
  'query',
  '--out',
  'run',
]

/** A run that stopped after its first step, by a signal that it sent itself, as by a terminal that sends two. */
async function stopped(cwd: string, args: readonly string[]): Promise<void> {
  // The second one comes at the worst time: with the words that say how to go on.
  const env = await preloaded(
    place,
    'signals',
    `
    import { existsSync } from 'node:fs'
    for (const stream of [process.stdout, process.stderr]) {
      const write = stream.write.bind(stream)
      stream.write = (text, ...rest) => {
        const done = write(text, ...rest)
        if (/Stopped after/.test(text)) process.kill(process.pid, 'SIGINT')
        return done
      }
    }
    const looking = setInterval(() => {
      if (!existsSync('run/metrics.jsonl')) return
      clearInterval(looking)
      process.kill(process.pid, 'SIGINT')
    }, 1)
    looking.unref()`,
  )
  const { step } = resultOf<{ step: number }>(await imdb([...args, '--json'], { cwd, env }), 130)
  expect(step).toBeLessThan(5)
}

describe.concurrent('a run that was stopped', () => {
  test('says how to go on though the signal comes twice, and refuses to with other reviews or another model', async () => {
    const cwd = await place.folder()
    const [model, data] = [join(cwd, 'model'), join(cwd, 'reviews.csv')]
    await cp(place.model, model, { recursive: true })
    await cp(place.reviews, data)
    await stopped(cwd, short('model', 'reviews.csv'))
    const resume = (): ReturnType<typeof imdb> => imdb(['--resume', 'run'], { cwd, env: place.env })
    const refused = async (): Promise<string> => {
      const { status, stdout, stderr } = await resume()
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
      expect(await readdir(join(cwd, 'run'))).not.toContain('lock')
      return stderr
    }
    const was = await readFile(data, 'utf8')
    await writeFile(data, was.replaceAll('plot', 'story'))
    expect(await refused()).toBe(
      `tilegrad: the data in ${data} changed since run began: restore it, or start another run\n`,
    )
    await writeFile(data, was)
    const weights = join(model, 'model.safetensors')
    const bytes = await readFile(weights)
    const other = Buffer.from(bytes)
    other[other.length - 1] ^= 1
    await writeFile(weights, other)
    expect(await refused()).toMatch(/^tilegrad: the model .*model or its tokenizer changed since run began: .+\n$/)
    await writeFile(weights, bytes)
    const { status, stderr } = await resume()
    expect(status, stderr).toBe(0)
    const adapter = await readJson(join(cwd, 'run/adapter/adapter_config.json'))
    expect(adapter, 'a folder is named by its whole path').toMatchObject({
      base_model_name_or_path: model,
      revision: null,
    })
  })

  test('is left alone while another process works on it', async () => {
    const folder = join(place.root, 'busy')
    await mkdir(folder)
    await writeFile(
      join(folder, 'config.json'),
      JSON.stringify({ arguments: short(place.model, place.reviews).slice(0, -2) }),
    )
    await writeFile(join(folder, 'lock'), `${process.pid} ${hostname()}`)
    expect(await refusal(place, ['--resume', folder])).toBe(
      `${folder} is in use by process ${process.pid} on ${hostname()}; if that process has exited, delete ${join(folder, 'lock')}`,
    )
  })
})

describe.concurrent('a folder that goes in the middle of its run ends it in one line, and is not made anew:', () => {
  test.for([
    ['moved', `renameSync('run', 'elsewhere')`, ['elsewhere']],
    ['deleted', `rmSync('run', { recursive: true })`, []],
  ] as const)('%s', async ([name, code, left]) => {
    const cwd = await place.folder()
    const env = await interrupted(
      place,
      name.replaceAll(' ', '-'),
      `if (existsSync('${FIRST}')) { ${code}; return true }`,
    )
    const { status, stderr } = await imdb([...short(place.model, place.reviews), '--json'], { cwd, env })
    const said = stderr.split('\n').filter(line => line.startsWith('tilegrad: '))
    const line =
      'run was moved or deleted while the run was using it. If it was moved, resume with: npx node train/imdb.ts --resume <where it is now>'
    expect({ status, said }, stderr).toEqual({ status: 2, said: [`tilegrad: ${line}`] })
    expect((await readdir(cwd)).sort()).toEqual(left)
    // The lock that was left there is of a process that has exited.
    if (name === 'moved') expect((await imdb(['--resume', 'elsewhere'], { cwd, env: place.env })).status).toBe(0)
  })
})

describe.concurrent('a GPU that is lost', () => {
  const figures = async (run: string): Promise<unknown> =>
    (await linesOf(run)).map(({ step, split, loss, grad_norm }) => ({ step, split, loss, grad_norm }))

  test('three times in a row does not end the run, which says so and comes to the same bits', async () => {
    const [cwd, undisturbed] = [await place.folder(), await place.folder()]
    const args = [...short(place.model, place.reviews), '--tune-kernels', 'off']
    const [{ status, stderr }, whole] = await Promise.all([
      imdb(args, { cwd, env: await losing(place, 'three-losses', 3) }),
      imdb(args, { cwd: undisturbed, env: place.env }),
    ])
    expect({ status, whole: whole.status }, stderr).toEqual({ status: 0, whole: 0 })
    expect(stderr.split('\n').filter(line => line.includes('lost'))).toEqual(
      [1, 2, 3].map(
        attempt => `the GPU was lost: it was closed. Resuming from the checkpoint of step 0 (attempt ${attempt} of 3).`,
      ),
    )
    expect(await figures(join(cwd, 'run'))).toEqual(await figures(join(undisturbed, 'run')))
    const [ours, theirs] = await Promise.all(
      [cwd, undisturbed].map(root => readFile(join(root, 'run/adapter/adapter_model.safetensors'))),
    )
    expect(ours.equals(theirs)).toBe(true)
  })

  test('more often is told in one line, with the way back', async () => {
    const cwd = await place.folder()
    const { status, stderr } = await imdb([...short(place.model, place.reviews), '--json'], {
      cwd,
      env: await losing(place, 'losses', 4),
    })
    const said = stderr.split('\n').filter(line => line.startsWith('tilegrad: '))
    const line = 'the GPU was lost: it was closed. Resume with: npx node train/imdb.ts --resume run'
    expect({ status, said }, stderr).toEqual({ status: 2, said: [`tilegrad: ${line}`] })
    expect(stderr).not.toMatch(/^\s+at /m)
    expect(await readdir(join(cwd, 'run'))).not.toContain('lock')
    expect((await imdb(['--resume', 'run'], { cwd, env: place.env })).status).toBe(0)
  })
})

test('a run whose output nobody reads goes on to its end', async () => {
  const cwd = await place.folder()
  const running = startImdb(short(place.model, place.reviews), { cwd, env: place.env })
  running.child.stdout.destroy()
  running.child.stderr.destroy()
  expect((await running.ended).status).toBe(0)
  expect(await readdir(join(cwd, 'run'))).toEqual(
    expect.arrayContaining(['adapter', 'predictions.jsonl', 'result.json']),
  )
})

test('a model without a file is left beside its adapter, and with it computes what the run measured', async () => {
  const cwd = await place.folder()
  const { test_loss: measured } = resultOf<{ test_loss: number }>(
    await imdb(
      [...short(place.model, place.reviews), '--init', 'random', '--lr', '1e-2', '--lora-alpha', '16', '--json'],
      { cwd, env: place.env },
    ),
  )
  const path = join(cwd, 'run/adapter')
  const { base_model_name_or_path: base } = (await readJson(join(path, 'adapter_config.json'))) as {
    base_model_name_or_path: string
  }
  expect(base).toBe(join(cwd, 'run/base'))
  const model = createModel(parseConfig(await readJson(join(base, 'config.json')), 'config.json', 'base'))
  const weights = await openWeights(base)
  expect((await loadWeights(model, weights, 1)).initialised).toEqual([])
  await weights.close()
  await openAdapter(path, model)
  const tokenizer = await loadTokenizer(base)
  const { test: all } = await loadReviews(place.reviews)
  const texts = all.map(({ text, label }) => ({ ids: tokenizer.encode(text, { maxLength: 8 }).ids, target: label }))
  const batch = collate(
    texts,
    texts.map((_, i) => i),
    { padId: tokenizer.padId, sequence: 8, batchSize: texts.length },
  )
  const { losses } = await new EvaluationStep(model, classesTask()).run(batch)
  expect(Array.from(await losses.data()).reduce((a, b) => a + b, 0) / texts.length).toBeCloseTo(measured, 4)
})

test('half precision is refused where nothing is frozen', async () => {
  const args = ['--model', place.model, '--data', place.reviews, '--tune', 'full', '--precision', 'f16']
  expect(await refusal(place, args)).toBe(
    '--precision f16 stores frozen weights in half precision; --tune full has none',
  )
  const settled = await settle(parseOptions(['--precision', 'f16']), ['--precision', 'f16'], true)
  expect(parseOptions(settled.argv), 'nor is that the default then').toMatchObject({ tune: 'lora', precision: 'f16' })
})
