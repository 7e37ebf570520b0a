// Adapters go both ways between here and PEFT: those that it made give its logits here, merged, unmerged and saved
// again; and those that are made here are, byte for byte, files that PEFT was seen to load, and have its logits
// (golden/check_peft.py).
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, describe, expect, test, type TestContext } from 'vitest'
import { currentDevice } from '../../engine/node/index.ts'
import { adapted, mergeLora, unmergeLora } from '../../models/lora.ts'
import { ADAPTER_CONFIG } from '../../models/node/files.ts'
import { ADAPTER_WEIGHTS, openAdapter, saveAdapter } from '../../models/node/peft.ts'
import { expectWithin, largestDifference } from '../support/differences.ts'
import { temporaryFolder } from '../support/folder.ts'
import {
  type Exported,
  baseModel,
  exportedModel,
  logitsOf,
  madeHere,
  peftCases,
  peftPath,
  readPeft,
  savedAgain,
} from './peft/exported.ts'

const BAR = 1e-4

const folder = await temporaryFolder('golden-peft')
afterAll(async () => (await currentDevice()).close())

const { expected } = await readPeft<{ expected: Record<string, { base: number[]; logits: number[] }> }>('expected.json')
const { verified } = await readPeft<{ verified: Record<string, { logits: number[]; sha256: Record<string, string> }> }>(
  'verified.json',
)

describe('an adapter of PEFT has its logits here, merged, unmerged and saved again:', () => {
  for (const { name, model: family } of peftCases.adapters) {
    test(name, async context => {
      const { base, logits } = expected[name]
      const near = (what: string, found: readonly number[], wanted: readonly number[]): void =>
        expectWithin(context, {
          what: `adapters of PEFT: ${what}`,
          at: name,
          worst: largestDifference(found, wanted),
          bar: BAR,
        })
      const model = await baseModel(family)
      near('the base model', await logitsOf(model), base)
      await openAdapter(peftPath(`adapters/${name}`), model)
      const unmerged = await logitsOf(model)
      near('with the adapter', unmerged, logits)
      // So that nothing above passes for want of an adapter.
      expect(largestDifference(logits, base)).toBeGreaterThan(1000 * BAR)

      await saveAdapter(join(folder, name), model, 'base')
      const again = await baseModel(family)
      await openAdapter(join(folder, name), again)
      expect(adapted(again).map(({ path, lora }) => [path, lora?.rank, lora?.scale])).toEqual(
        adapted(model).map(({ path, lora }) => [path, lora?.rank, lora?.scale]),
      )
      expect(again.trainable().map(parameter => parameter.name)).toEqual(
        model.trainable().map(parameter => parameter.name),
      )
      expect(await logitsOf(again)).toEqual(unmerged)

      await mergeLora(model)
      near('merged', await logitsOf(model), logits)
      await expect(mergeLora(model)).rejects.toThrow(/can't merge .*: it is merged already/)
      await unmergeLora(model)
      near('merged and unmerged', await logitsOf(model), logits)
      await expect(unmergeLora(model)).rejects.toThrow(/can't unmerge .*: it is not merged/)
    })
  }

  test('and a model without adapters has none to merge', async () => {
    const model = await baseModel('bert')
    await expect(mergeLora(model)).rejects.toThrow('bert has no LoRA adapters to merge')
    await expect(unmergeLora(model)).rejects.toThrow('bert has no LoRA adapters to unmerge')
  })

  test('none is left out', () => {
    expect(Object.keys(expected)).toEqual(peftCases.adapters.map(({ name }) => name))
  })
})

const bytesOf = (...path: string[]): Promise<Buffer> => readFile(join(...path))
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

async function expectVerified(context: TestContext, exported: Exported): Promise<void> {
  const { logits, sha256: hashes } = verified[exported.name]
  const path = join(folder, exported.name)
  const model = await exportedModel(exported)
  await saveAdapter(path, model, 'base')
  for (const file of [ADAPTER_CONFIG, ADAPTER_WEIGHTS]) {
    expect(
      sha256(await bytesOf(path, file)),
      `${exported.name}/${file} is not the file that PEFT was seen to load`,
    ).toBe(hashes[file])
  }
  const near = async (what: string): Promise<void> => {
    const worst = largestDifference(await logitsOf(model), logits)
    expectWithin(context, { what: `adapters made here, beside PEFT: ${what}`, at: exported.name, worst, bar: BAR })
  }
  await near('logits')
  await mergeLora(model)
  await near('merged')
}

describe('an adapter made here is, to the byte, what PEFT loaded with our logits:', () => {
  for (const exported of madeHere) {
    test(exported.name, async context => {
      await expectVerified(context, exported)
      for (const file of [ADAPTER_CONFIG, ADAPTER_WEIGHTS]) {
        expect(sha256(await bytesOf(peftPath(`exported/${exported.name}`), file))).toBe(
          verified[exported.name].sha256[file],
        )
      }
    })
  }

  test('those of PEFT that were saved again', async context => {
    for (const exported of savedAgain) await expectVerified(context, exported)
  })

  test('none is left out', () => {
    expect(Object.keys(verified).sort()).toEqual([...madeHere, ...savedAgain].map(({ name }) => name).sort())
  })
})
