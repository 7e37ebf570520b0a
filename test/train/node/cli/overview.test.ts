// `tilegrad overview` as a command: what it prints, writes and refuses.
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { overview } from '../../../../train/node/cli/overview.ts'
import { BUNDLED } from '../../../../train/node/jobs/job.ts'
import { tilegrad } from '../../../support/tiny.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tilegrad-overview-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** No adapter has this name: a command that opened one would fail. Caches of its own, and no Hub. */
const env = { TILEGRAD_ADAPTER: 'no such adapter', HF_HUB_OFFLINE: '1', HF_HOME: '/nonexistent' }

test('with --json one object is the last line on stdout, the page is written, and no adapter is opened', async () => {
  const cwd = await mkdtemp(join(folder, 'json-'))
  const args = ['overview', BUNDLED.data, '--json', '--max-length', '32,64', '--out', 'page.html']
  const { status, stdout, stderr } = await tilegrad(args, { cwd, env, ownProcess: true })
  expect(status, stderr).toBe(0)
  expect(stdout).toMatch(/^\{.+\}\n$/)
  const result: unknown = JSON.parse(stdout)
  expect(result).toMatchObject({
    task: 'classes',
    labels: ['negative', 'positive'],
    sets: { train: { rows: 800 }, test: { rows: 200 } },
    max_length: { batch_size: 16, lengths: [{ max_length: 32 }, { max_length: 64, time: 1 }] },
    page: 'page.html',
  })
  expect(stderr).toContain('train, tokens')
  expect(await readdir(cwd)).toEqual(['page.html'])
  expect(await readFile(join(cwd, 'page.html'), 'utf8')).toMatch(/^<!DOCTYPE html>[\s\S]*<\/html>\n$/)

  const again = await tilegrad(args, { cwd, env })
  expect(again).toMatchObject({
    status: 2,
    stdout: '',
    stderr: 'tilegrad: --out page.html exists: name another file\n',
  })
})

test.each<[string, readonly string[], RegExp]>([
  ['no data', [], /^overview needs data/],
  ['two data sets', ['a', 'b'], /^Unexpected argument "b": overview takes one data set/],
  ['data named twice', ['a', '--data', 'b'], /^Unexpected argument "a": the data is named by --data already/],
  ['data that is not there', ['./none.csv'], /^No file or folder at \.\/none\.csv/],
  ['lengths that are none', [BUNDLED.data, '--max-length', '64,two'], /^--max-length takes whole numbers/],
  ['lengths too short', [BUNDLED.data, '--max-length', '3'], /^--max-length takes whole numbers of at least 4/],
  [
    'lengths beyond the model',
    [BUNDLED.data, '--model', BUNDLED.model, '--max-length', '64,1024'],
    /^--max-length 1024 is more than the 512 positions of /,
  ],
  [
    'a tokenizer that is not there',
    [BUNDLED.data, '--tokenizer', './none.json'],
    /^No file or folder at \.\/none\.json/,
  ],
  ['an option of training', [BUNDLED.data, '--lr', '1'], /^Unknown option --lr/],
  [
    'a folder that cannot be written',
    [BUNDLED.data, '--out', `${BUNDLED.data}/train.csv/page.html`],
    /^Cannot write the page's folder/,
  ],
])('%s is refused', async (_, args, message) => {
  await expect(overview(args)).rejects.toThrow(message)
})

test('rows that cannot be used are left out and counted, with and without --skip-bad-rows', async () => {
  const path = join(folder, 'bad.csv')
  await writeFile(
    path,
    `text,label\n,0\n${['good', 'bad', 'fine', 'poor'].map((word, i) => `${word},${i % 2}\n`).join('')}`,
  )
  const [plain, given] = await Promise.all(
    [[], ['--skip-bad-rows']].map(more => tilegrad(['overview', path, ...more], { cwd: folder, env })),
  )
  expect(plain.stdout).toContain('1 row, no text')
  expect(plain.stderr).toMatch(/^read texts 4\/4.*\n$/)
  expect(given).toMatchObject({ status: 0, stdout: plain.stdout })
})

test('a model sets the lengths that are compared, and names of classes', async () => {
  const path = join(folder, 'numbers.csv')
  await writeFile(
    path,
    `text,label\n${['good', 'bad', 'fine', 'poor'].map((word, i) => `${word} film,${i % 2}\n`).join('')}`,
  )
  const { status, stdout, stderr } = await tilegrad(['overview', '--data', path, '--model', BUNDLED.model, '--json'], {
    cwd: folder,
    env,
  })
  expect(status, stderr).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({
    labels: ['negative', 'positive'],
    max_length: {
      lengths: [64, 96, 128, 192, 256, 384, 512].map(max_length => ({ max_length })),
      model: { hidden: 128, positions: 512 },
    },
  })
})
