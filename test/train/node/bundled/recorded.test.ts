// What the first run says of itself before it has measured anything was measured of what it is now. If this fails after a
// change of the bundled model, reviews or options, train/node/bundled/recorded/record.ts has to be run again.
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { readJson } from '../../../../models/node/files.ts'
import { parseOptions, referencesOf } from '../../../../train/node/cli/options.ts'
import { checkRecorded } from '../../../../train/node/jobs/fine-tune/recorded-reference.ts'
import { openData } from '../../../../train/node/jobs/job.ts'
import { openModel } from '../../../../train/node/jobs/model.ts'
import { settle } from '../../../../train/node/jobs/settle.ts'
import { fingerprintsOf } from '../../../../train/node/jobs/fingerprint.ts'

const configSchema = z.object({
  fingerprints: z.record(z.string(), z.string()),
  options: z.record(z.string(), z.unknown()),
})

const { argv } = await settle(parseOptions([]), [], true)
const options = parseOptions(argv)
const [, folder] = referencesOf(options)
const data = await openData(options, () => undefined)

test('the training from random weights was tested on the bundled reviews', async () => {
  expect(await checkRecorded(folder, data)).toBe('the same from random weights (recorded)')
})

test('it was that of the bundled model on the bundled reviews with the options of the first run', async () => {
  const config = configSchema.parse(await readJson(join(folder, 'config.json')))
  expect(config.fingerprints).toEqual(await fingerprintsOf(data, await openModel(options, () => undefined)))
  const { init, given: _given, adapter: _adapter, ...settings } = config.options
  expect(init).toBe('random')
  expect(Object.keys(settings)).toEqual(expect.arrayContaining(['loraRank', 'lr', 'epochs', 'seed', 'maxLength']))
  expect(options).toMatchObject(settings)
})
