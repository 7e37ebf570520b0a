// Forgetting as Transformers computes it: the loss and accuracy of masked-language models at the same masked tokens,
// with an adapter of PEFT merged into the encoder, and with another encoder.
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { closeDevices } from '../../engine/runtime/device.ts'
import { parseConfig } from '../../models/config.ts'
import { createMaskedModel, createModel } from '../../models/index.ts'
import type { Model } from '../../models/model.ts'
import { WEIGHTS_FILE, writeSafetensors } from '../../models/node/files.ts'
import { Progress } from '../../train/node/cli/progress.ts'
import { measureForgetting } from '../../train/node/jobs/forgetting.ts'
import type { FinishedRun } from '../../train/node/jobs/forgetting/open.ts'
import { expectWithin } from '../support/differences.ts'
import { temporaryFolder } from '../support/folder.ts'
import { patternValues } from '../support/pattern.ts'
import { type Family, TEXTS, VOCABULARY, cases, masks, pathOf, readGolden } from './forgetting/masks.ts'

const BAR = 1e-4

interface Figures {
  readonly loss: number
  readonly accuracy: number
}
const { expected } = await readGolden<{
  expected: Readonly<Record<Family, Readonly<Record<'base' | 'lora' | 'full', Figures>>>>
}>('expected.json')

const folder = await temporaryFolder('golden-forgetting')
const progress = new Progress({ stream: new PassThrough().resume() })
afterAll(closeDevices)

async function writeModel(path: string, fields: object, model: Model, seed: number): Promise<void> {
  await mkdir(path, { recursive: true })
  const tensors = model.parameters().map(({ name, shape }) => ({
    name,
    dtype: 'F32' as const,
    shape,
    read: async () => patternValues(name, shape, seed),
  }))
  await writeSafetensors(join(path, WEIGHTS_FILE), tensors, { format: 'pt' })
  await writeFile(join(path, 'config.json'), JSON.stringify(fields))
}

beforeAll(async () => {
  await writeFile(join(folder, 'texts.csv'), TEXTS)
})

test('the masks are those that Transformers was given', async () => {
  expect(await masks()).toEqual(await readGolden('masks.json'))
})

describe.each<Family>(['bert', 'distilbert'])('%s has the loss of Transformers at masked tokens', family => {
  const base = join(folder, family)
  const { seed, ...fields } = cases.models[family]
  const config = parseConfig(fields, family)
  const runOf = (name: 'lora' | 'full'): FinishedRun => ({
    name,
    folder: join(folder, `${family}-${name}`),
    job: 'fine-tune',
    task: 'classes',
    labels: config.labels,
  })

  beforeAll(async () => {
    await writeModel(base, fields, createMaskedModel(config), seed)
    await writeFile(join(base, 'vocab.txt'), VOCABULARY)
    for (const name of ['lora', 'full'] as const) {
      const run = runOf(name)
      await mkdir(run.folder)
      const options = { preset: 'tilegrad', model: base, data: 'unread.csv' }
      const given = [`--model=${base}`, '--data=unread.csv', `--tune=${name}`]
      await writeFile(join(run.folder, 'config.json'), JSON.stringify({ tilegrad: '1', arguments: given, options }))
    }
    await cp(pathOf(`adapters/${family}`), join(runOf('lora').folder, 'adapter'), { recursive: true })
    await writeModel(join(runOf('full').folder, 'model'), fields, createModel(config), seed + 1)
  })

  test('of a base, with an adapter, and with another encoder', async context => {
    const runs = [runOf('lora'), runOf('full')]
    const { forgotten, notes } = await measureForgetting(
      runs,
      { data: join(folder, 'texts.csv'), texts: 500 },
      progress,
    )
    expect(notes).toEqual([])
    const wanted = expected[family]
    const near = (what: string, found: Figures | undefined, { loss, accuracy }: Figures): void => {
      const worst = Math.max(Math.abs((found?.loss ?? NaN) - loss), Math.abs((found?.accuracy ?? NaN) - accuracy))
      expectWithin(context, { what: 'forgetting by Transformers', at: `${family}, ${what}`, worst, bar: BAR })
    }
    for (const name of ['lora', 'full'] as const) {
      const found = forgotten?.runs.get(name)
      near('base', found?.base, wanted.base)
      near(name, found?.tuned, wanted[name])
      // So that nothing above passes for want of a change.
      expect(Math.abs(wanted[name].loss - wanted.base.loss)).toBeGreaterThan(1000 * BAR)
    }
  })
})
