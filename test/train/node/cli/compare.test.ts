// `tilegrad compare` as a process: folders in, a table, one JSON object and a page out.
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { UserError } from '../../../../engine/errors.ts'
import { writeAtomic } from '../../../../models/node/files.ts'
import { compareRuns } from '../../../../train/compare/compare.ts'
import { openRuns } from '../../../../train/node/jobs/compare.ts'
import { temporaryFolder } from '../../../support/folder.ts'
import { rightBut, writeRun } from '../../../support/run-folders.ts'
import { type Ended, tilegrad } from '../../../support/tiny.ts'

const root = await temporaryFolder('compare')
const run = (...args: readonly string[]): Promise<Ended> => tilegrad(['compare', ...args], { cwd: root })

const printed = z.object({
  metric: z.string(),
  notes: z.array(z.string()),
  page: z.string(),
  settings: z.array(
    z.object({
      job: z.string(),
      value: z.number(),
      trained_parameters: z.number().nullable(),
      wall_seconds: z.number(),
      gpu_bytes: z.number(),
      disk_bytes: z.number(),
      options: z.record(z.string(), z.unknown()),
      runs: z.array(z.object({ name: z.string(), seed: z.number() })),
    }),
  ),
  pairs: z.array(z.object({ a: z.string(), b: z.string(), only_a: z.number(), only_b: z.number(), p: z.number() })),
})

beforeAll(async () => {
  for (const seed of [1, 2]) {
    await writeRun(join(root, `runs/small-${seed}`), { right: rightBut(200, 5, seed), seed, given: ['lora-rank'] })
    const options = { loraRank: 16, loraAlpha: 32 }
    await writeRun(join(root, 'runs', `large-${seed}`), {
      right: rightBut(200, 10, seed),
      seed,
      options,
      trainable: 5000,
    })
  }
  await writeRun(join(root, 'bayes'), { right: rightBut(200, 4), job: 'baseline', options: { tune: undefined } })
  await writeAtomic(join(root, 'sweep/sweep.json'), '{}')
  await writeRun(join(root, 'sweep/trials/0'), { right: rightBut(200, 6), options: { lr: 1e-4 }, given: ['lr'] })
  await writeAtomic(join(root, 'sweep/trials/1/config.json'), '{}')
  const trials = ['complete', 'running', 'complete', 'failed'].map((state, number) => ({ number, state }))
  await writeAtomic(join(root, 'sweep/trials.json'), JSON.stringify({ trials }))
})

describe('runs, sweeps and baselines', () => {
  test('are compared in one table, one JSON object and one page', async () => {
    const args = ['compare', 'runs', 'sweep', 'bayes', '--json']
    const { status, stdout, stderr } = await tilegrad(args, { cwd: root, ownProcess: true })
    expect(status, stderr).toBe(0)
    const result = printed.parse(JSON.parse(stdout))
    expect(result.metric).toBe('accuracy')
    expect(result.settings.map(({ job, runs }) => [job, runs.map(({ name }) => name)])).toEqual([
      ['fine-tune', ['large-1', 'large-2']],
      ['fine-tune', ['sweep/0']],
      ['fine-tune', ['small-1', 'small-2']],
      ['baseline', ['bayes']],
    ])
    // No run was given --lora-alpha: it follows from the rank.
    expect(result.settings[0].options).toEqual({
      tune: 'lora',
      'lora-rank': 16,
      lr: 1e-3,
      epochs: 3,
      teacher: 'none',
    })
    const [{ trained_parameters, wall_seconds, gpu_bytes, disk_bytes }] = result.settings
    expect([trained_parameters, wall_seconds, gpu_bytes, disk_bytes]).toEqual([5000, 10, 2 ** 24 + 5000, 20_000])
    expect(result.pairs.length).toBe(15)
    expect(result.notes).toEqual([
      'Complete on other machines, and left out: 1 of the trials of sweep; see its trials.csv.',
      '1 of 2 trials in sweep are not finished and are left out.',
    ])
    expect(stderr).toMatch(/^1 {2}large-1 and 1 more .* 90\.00 % /m)
    const page = await readFile(join(root, result.page), 'utf8')
    expect(page).toContain('6 runs compared by accuracy')
    expect(page).toContain('npm run -s tilegrad -- compare runs sweep bayes --json')
  })

  test('are written to a page again, but not over another file', async () => {
    await writeFile(join(root, 'mine.html'), '<p>Mine.</p>')
    expect(await run('runs', '--out', 'mine.html')).toMatchObject({
      status: 2,
      stderr: 'tilegrad: --out mine.html exists and is not a page of tilegrad: name another file\n',
    })
    expect(await readFile(join(root, 'mine.html'), 'utf8')).toBe('<p>Mine.</p>')
    for (let time = 0; time < 2; time++) expect(await run('runs', '--out', 'again.html')).toMatchObject({ status: 0 })
  })
})

test('a run without a teacher differs from one that has one, and has no settings of distillation', async () => {
  const right = rightBut(20, 4)
  const taught = { teacher: '/home/me/runs/large', distillWeight: 0.5, unlabelled: ['/home/me/more/texts.txt'] }
  await writeRun(join(root, 'taught/a'), { right, options: { distillWeight: 0.5, unlabelled: [] } })
  await writeRun(join(root, 'taught/b'), { right, options: taught })
  const { runs } = await openRuns([join(root, 'taught')])
  expect(runs.map(({ options }) => [options.teacher, options['distill-weight'], options.unlabelled])).toEqual([
    ['none', undefined, undefined],
    ['runs/large', 0.5, 'more/texts.txt'],
  ])
})

test('a mistake is one line, and nothing is written', async () => {
  const before = await readdir(root)
  expect(await run('bayes', 'nowhere')).toEqual(
    expect.objectContaining({ status: 2, stdout: '', stderr: "tilegrad: No run's folder at nowhere\n" }),
  )
  expect(await readdir(root)).toEqual(before)
})

describe('of the runs in a folder', () => {
  const messages = async (...paths: readonly string[]) => {
    const { runs, notes } = await openRuns(paths.map(path => join(root, path)))
    return { names: runs.map(({ name }) => name), notes }
  }

  beforeAll(async () => {
    await writeRun(join(root, 'mixed/a'), { right: rightBut(20, 4), labels: ['ham', 'spam'] })
    for (const name of ['b', 'c']) await writeRun(join(root, 'mixed', name), { right: rightBut(20, 4) })
    await writeRun(join(root, 'mixed/d'), { right: rightBut(20, 4), task: 'masked-lm' })
  })

  test('those of another kind than most are left out with a note', async () => {
    const { names, notes } = await messages('mixed')
    expect(names).toEqual(['b', 'c'])
    expect(notes).toEqual([
      expect.stringMatching(/^Left out: .*mixed\/d was not tested on labelled texts: .*task: .*\.$/),
      'Left out: a cannot be compared with b: its labels are ["ham","spam"], not ["bad","good"].',
    ])
  })

  test('those of another kind than a run that is named are left out', async () => {
    await writeRun(join(root, 'ham'), { right: rightBut(20, 2), labels: ['ham', 'spam'] })
    expect((await messages('mixed', 'ham')).names).toEqual(['a', 'ham'])
  })

  test('what was left out is named if too few remain', async () => {
    await expect(messages('mixed/a', 'mixed')).rejects.toThrow(
      /^compare needs at least two finished runs; there is 1\. Left out: .* Left out: b cannot be compared with a: /,
    )
  })
})

describe('what is refused', () => {
  beforeAll(async () => {
    await mkdir(join(root, 'empty'), { recursive: true })
    await writeRun(join(root, 'names'), { right: rightBut(20, 4), labels: ['ham', 'spam'] })
    await writeAtomic(join(root, 'unfinished/config.json'), '{}')
    await writeRun(join(root, 'damaged'), { right: rightBut(20, 4) })
    await writeFile(join(root, 'damaged/predictions.jsonl'), '{"row": 0}\n')
    const edit = async (name: string, file: string, change: (text: string) => string): Promise<void> => {
      await writeRun(join(root, name), { right: rightBut(20, 4) })
      const path = join(root, name, file)
      await writeFile(path, change(await readFile(path, 'utf8')))
    }
    await edit('edited', 'predictions.jsonl', text => text.replaceAll(/"label":"[^"]*"/g, '"label":"zz"'))
    await edit('reversed', 'predictions.jsonl', text => `${text.trim().split('\n').reverse().join('\n')}\n`)
    await edit('cut', 'predictions.jsonl', text => text.slice(0, text.lastIndexOf('\n', text.length - 2) + 1))
    await edit('seven', 'result.json', text => text.replaceAll(/"accuracy":[\d.]+/g, '"accuracy":7'))
    await edit('negative', 'result.json', text => text.replace('"wall_seconds":10', '"wall_seconds":-10'))
    await edit('bare', 'config.json', () => '{}')
    await edit('data', 'config.json', text => text.replace('"labels":["bad","good"]', '"labels":"bad"'))
    await writeRun(join(root, 'listed'), { right: rightBut(20, 4) })
    await writeFile(join(root, 'listed/result.json'), '[]')
    await writeRun(join(root, 'untested'), { right: rightBut(20, 4), task: 'masked-lm' })
  })

  const opened = async (...names: readonly string[]) => {
    const { runs } = await openRuns(names.map(name => join(root, name)))
    return compareRuns(runs)
  }

  test.for<[what: string, names: readonly string[], message: RegExp]>([
    ['a folder without runs', ['empty'], /\/empty has no finished run$/],
    ['a run that is not finished', ['unfinished'], /\/unfinished is not finished: it has no result\.json$/],
    ['a single run', ['bayes'], /^compare needs at least two finished runs; there is 1$/],
    ['the same run twice', ['bayes', 'bayes'], /^compare needs at least two finished runs; there is 1$/],
    ['other labels', ['bayes', 'names'], /^names cannot be compared with bayes: its labels are \["ham","spam"\], not /],
    ['a damaged line', ['bayes', 'damaged'], /\/damaged\/predictions\.jsonl, line 1: text: Invalid input/],
    ['an answer that is none of its labels', ['bayes', 'edited'], /line 1: "zz" is not one of the run's labels: /],
    [
      'an accuracy above 1',
      ['bayes', 'seven'],
      /\/seven\/result\.json: test_metrics\.accuracy is 7, which is not between /,
    ],
    ['a negative time', ['bayes', 'negative'], /\/negative\/result\.json: wall_seconds: /],
    ['a config without options', ['bayes', 'bare'], /\/bare\/config\.json has no options, so it is not that of a run$/],
    ['damaged data in the config', ['bayes', 'data'], /\/data\/config\.json: data\.labels: Invalid input/],
    [
      'answers in another order',
      ['bayes', 'reversed'],
      /\/reversed\/predictions\.jsonl, line 1: this is row 19, not row 0$/,
    ],
    ['missing answers', ['bayes', 'cut'], /\/cut\/predictions\.jsonl has 19 rows, but the test set has 20$/],
    ['a result that is a list', ['bayes', 'listed'], /\/listed\/result\.json: Invalid input/],
    [
      'a run of another kind',
      ['bayes', 'untested'],
      /\/untested was not tested on labelled texts: .*result\.json: task: /,
    ],
  ])('%s', async ([, names, message]) => {
    const opening = opened(...names)
    await expect(opening).rejects.toThrow(UserError)
    await expect(opening).rejects.toThrow(message)
  })
})
