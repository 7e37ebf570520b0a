// `node train/node/jobs/pretrain.ts` as a process: a few steps on a few texts leave a folder that is a base model like any other.
import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { currentDevice } from '../../../../engine/node/index.ts'
import { readJson } from '../../../../models/node/files.ts'
import { loadTokenizer } from '../../../../models/node/tokenizer.ts'
import { type Workplace, makeWorkplace, resultOf } from '../../../support/command.ts'
import { judged } from '../../../support/judged.ts'
import { imdb } from '../../../support/tiny.ts'

let place: Workplace
beforeAll(async () => { place = await makeWorkplace('pretrain') })
afterAll(async () => {
  await place.remove()
  ;(await currentDevice()).close()
})

const pretrain = (cwd: string, ...args: string[]) => promisify(execFile)(
  process.execPath, [fileURLToPath(new URL('../../../../train/node/jobs/pretrain.ts', import.meta.url)), ...args], { cwd, env: { ...process.env, ...place.env } })

test('three steps leave a model that loads again with its words, and can be tuned', async () => {
  const cwd = await place.folder()
  // Two dozen texts of twenty-odd words, of which one stands in the test set too.
  const data = join(import.meta.dirname, '../data/fixtures/unlabelled')
  const { stderr } = await pretrain(cwd, '--data', data, '--out', 'base', '--steps', '3', '--vocabulary', '60', '--hidden', '16', '--layers', '1',
    '--sequence', '8', '--batch-size', '4')
  const [, rows, words] = /(\d+) rows of 8 tokens, (\d+) tokens in the vocabulary/.exec(stderr) ?? []
  expect(Number(rows)).toBeGreaterThan(100)
  expect(Number(words)).toBe(60)
  const [, loss, chance] = /Loss lately ([\d.]+) \(([\d.]+) is chance\); saved to base/.exec(stderr) ?? []
  expect(Number(chance)).toBeCloseTo(Math.log(60), 3)
  expect(Math.abs(Number(loss) - Number(chance))).toBeLessThan(0.5)

  const base = join(cwd, 'base')
  expect((await readdir(base)).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json'])
  expect(await readJson(join(base, 'config.json'))).toMatchObject({ model_type: 'bert', vocab_size: 60, hidden_size: 16, num_hidden_layers: 1 })
  const tokenizer = await loadTokenizer(base)
  expect(tokenizer.decode(tokenizer.encode('A great film').ids)).toContain('great')
  const { logits } = await judged(base, place.reviews)
  expect(logits.every(Number.isFinite)).toBe(true)
  const args = ['--model', base, '--data', place.reviews, '--tune', 'full', '--max-length', '8', '--dry-run', '--json']
  const { model } = resultOf<{ model: { parameters: { total: number } } }>(await imdb(args, { cwd, env: place.env }))
  expect(model.parameters.total).toBeGreaterThan(60 * 16)
})

test('a rate that overflows ends in one line with status 3, and saves nothing', async () => {
  const cwd = await place.folder()
  const data = join(import.meta.dirname, '../data/fixtures/unlabelled')
  const small = ['--data', data, '--out', 'base', '--vocabulary', '60', '--hidden', '16', '--layers', '1', '--sequence', '8', '--batch-size', '4']
  await expect(pretrain(cwd, ...small, '--steps', '30', '--lr', '1e30')).rejects.toMatchObject({
    code: 3, stdout: '',
    stderr: expect.stringMatching(/^tilegrad: step \d+ is not finite: loss \S+, gradient norm \S+, learning rate \S+; first kernel .+ \(.+; dispatch .+\)$/m),
  })
  await expect(pretrain(cwd, ...small, '--steps', '1', '--lr', '1e308')).rejects.toMatchObject({
    code: 2, stderr: 'tilegrad: --lr takes a number from 1e-30 to 1e30; got "1e308"\n',
  })
  expect(await readdir(cwd)).toEqual([])
})

test('what it is not given, it asks for in one line', async () => {
  const cwd = await place.folder()
  await expect(pretrain(cwd, '--out', 'base')).rejects.toMatchObject({ code: 2, stdout: '', stderr: 'tilegrad: pretrain needs --data FOLDER and --out FOLDER\n' })
  expect(await readdir(cwd)).toEqual([])
})
