// Pretraining with a teacher: what is learned from it, that a run which is killed ends with the same bits when it is
// resumed, and that teachers that can't be learned from are refused.
import { cp, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { UserError } from '../../../../../engine/errors.ts'
import { currentDevice } from '../../../../../engine/node/index.ts'
import { readJson } from '../../../../../models/node/files.ts'
import { pretrain } from '../../../../../train/node/cli/pretrain.ts'
import { type Line, figuresOf } from '../../../../support/metrics.ts'
import { type Workplace, makeWorkplace, resultOf } from '../../../../support/command.ts'
import { signalledAfter } from '../../../../support/interrupted.ts'
import { startTilegrad, tilegrad } from '../../../../support/tiny.ts'

const DATA = join(import.meta.dirname, '../../data/fixtures/unlabelled')
/** Two layers, 16 wide. */
const TEACHER = join(import.meta.dirname, '../../../../golden/pretrained/model')
const STEPS = 24
const sizes = ['--hidden', '8', '--layers', '1', '--sequence', '12', '--batch-size', '4', '--val-split', '0.15']
const ARGS = ['--data', DATA, ...sizes, '--lr', '1e-2', '--tune-kernels', 'off', '--evaluate-every', '12']

let place: Workplace
/** A copy of the teacher, to be spoilt. */
let teacher: string
/** The run that was never stopped. */
let whole: string

const args = (): string[] => ['pretrain', ...ARGS, '--steps', String(STEPS), '--out', 'run', '--teacher', teacher]

beforeAll(async () => {
  place = await makeWorkplace('pretrain-teacher')
  teacher = join(place.root, 'teacher')
  await cp(TEACHER, teacher, { recursive: true })
  const cwd = await place.folder()
  whole = join(cwd, 'run')
  resultOf(await tilegrad([...args(), '--json'], { cwd, env: place.env }))
})
afterAll(async () => {
  await place.remove()
  ;(await currentDevice()).close()
})

test('the student comes nearer to its teacher, of which it takes the vocabulary', async () => {
  const lines = await figuresOf(whole)
  const steps = lines.filter(line => line.split === undefined)
  for (const { loss, task_loss, distill_loss, hidden_loss } of steps) {
    expect(loss).toBeCloseTo(0.3 * task_loss + 0.7 * distill_loss + 0.15 * hidden_loss, 4)
  }
  const mean = (part: 'distill_loss' | 'hidden_loss', some: readonly Line[]): number =>
    some.reduce((sum, line) => sum + line[part], 0) / some.length
  for (const part of ['distill_loss', 'hidden_loss'] as const) {
    expect(mean(part, steps.slice(-6)), part).toBeLessThan(0.95 * mean(part, steps.slice(0, 6)))
  }
  const held = lines.filter(line => line.split === 'validation')
  expect(held.at(-1)?.loss).toBeLessThan(held[0].loss)
  expect(Object.keys(held[0]).sort()).toEqual(['accuracy', 'epoch', 'loss', 'split', 'step'])
  const config = await readJson(join(whole, 'model/config.json'))
  expect(config).toMatchObject({ vocab_size: 90, hidden_size: 8, num_hidden_layers: 1 })
  const [ours, theirs] = await Promise.all(
    [join(whole, 'model'), teacher].map(folder => readJson(join(folder, 'tokenizer.json'))),
  )
  expect(ours).toEqual(theirs)
})

test('the model card and the config say from which model it was distilled', async () => {
  const card = await readFile(join(whole, 'model/README.md'), 'utf8')
  expect(card).toContain(`It was distilled from ${teacher}`)
  expect(card).toContain('(70 % of the loss, at temperature 2;')
  expect(card).toContain(`--teacher=${teacher}`)
  expect(await readJson(join(whole, 'config.json'))).toMatchObject({
    fingerprints: { teacher: expect.stringMatching(/^[0-9a-f]{64}$/) },
    arguments: expect.arrayContaining([`--teacher=${teacher}`]),
  })
})

test('killed outright, the run is resumed to the same bits, but not with another teacher', async () => {
  const cwd = await place.folder()
  const env = await signalledAfter(place, 1, 'SIGKILL')
  const { signal } = await startTilegrad([...args(), '--checkpoint-every', '0'], { cwd, env }).ended
  expect(signal).toBe('SIGKILL')
  const resume = () => tilegrad(['pretrain', '--resume', 'run'], { cwd, env: place.env })
  const weights = join(teacher, 'model.safetensors')
  const bytes = await readFile(weights)
  const other = Buffer.from(bytes)
  other[other.length - 2] ^= 1
  await writeFile(weights, other)
  expect(await resume()).toMatchObject({
    status: 2,
    stdout: '',
    stderr: `tilegrad: the teacher ${teacher} changed since run began: restore it, or start another run\n`,
  })
  await writeFile(weights, bytes)
  const { status, stderr } = await resume()
  expect(status, stderr).toBe(0)
  expect(await figuresOf(join(cwd, 'run'))).toEqual(await figuresOf(whole))
  const saved = [join(cwd, 'run'), whole].map(run => readFile(join(run, 'model/model.safetensors')))
  const [ours, theirs] = await Promise.all(saved)
  expect(ours.equals(theirs)).toBe(true)
})

test('in half precision too, from a teacher of the same width', async ({ skip }) => {
  const device = await currentDevice()
  if (!device.traits.f16) skip(`${device.info.name} has no shader-f16`)
  const run = join(await place.folder(), 'run')
  const same = ['--hidden', '16', '--steps', '2', '--precision', 'f16', '--out', run, '--teacher', TEACHER, '--json']
  expect(await pretrain([...ARGS, ...same])).toBe(0)
  const steps = (await figuresOf(run)).filter(line => line.split === undefined)
  expect(steps.map(({ hidden_loss }) => hidden_loss > 0.05 && hidden_loss < 2)).toEqual([true, true])
})

test('what it cannot learn from, it says in one line, before it writes anything', async () => {
  const cwd = await place.folder()
  const data = ['--data', DATA, '--out', join(cwd, 'run')]
  const vocabulary = join(place.model, 'vocab.txt')
  const cases: readonly (readonly [readonly string[], string])[] = [
    [['--teacher', 'nowhere/at/all'], 'No file or folder at nowhere/at/all'],
    [['--teacher', place.model], `--teacher ${place.model} has no masked-language head (no cls.predictions.bias)`],
    [
      ['--teacher', TEACHER, '--tokenizer', vocabulary, '--sequence', '12'],
      `--teacher ${TEACHER} has another tokenizer than the model that learns from it: they must be the same`,
    ],
    [
      ['--teacher', TEACHER, '--vocabulary', '100'],
      '--vocabulary is for a vocabulary that is learned, and --teacher gives one',
    ],
    [['--teacher', TEACHER, '--sequence', '40'], `--sequence 40: ${TEACHER} takes at most 32 tokens`],
    [['--distill-hidden', '1'], '--distill-hidden requires --teacher'],
    [['--teacher', TEACHER, '--distill-weight', '-1'], '--distill-weight takes a number from 0 to 1; got "-1"'],
  ]
  for (const [args, sentence] of cases) {
    await expect(pretrain([...data, ...args])).rejects.toThrow(new UserError(sentence))
  }
  expect(await readdir(cwd)).toEqual([])
})
