// Parameters as safetensors and back, by name: bytes in a browser, files under Node.
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { currentDevice } from '../../../engine/node/index.ts'
import { initialise } from '../../../models/initialise.ts'
import { Linear, Module } from '../../../models/nn.ts'
import { load, save } from '../../../models/nn/saved.ts'
import { loadFile, saveFile } from '../../../models/node/saved.ts'
import { bytesSource, openTensors } from '../../../models/safetensors.ts'
import { temporaryFolder } from '../../support/folder.ts'

const folder = await temporaryFolder('saved')
afterAll(async () => (await currentDevice()).close())

class Net extends Module {
  layers: Linear[]

  constructor(...widths: readonly number[]) {
    super()
    this.layers = widths.slice(1).map((outputs, i) => new Linear(widths[i], outputs))
  }
}

async function netOf(seed: number, ...widths: readonly number[]): Promise<Net> {
  const net = new Net(...widths)
  await initialise(net.parameters(), seed)
  return net
}
const valuesOf = (net: Net): Promise<number[][]> =>
  Promise.all(net.parameters().map(async parameter => [...(await parameter.read())]))

describe('saved parameters', () => {
  test('are loaded again by name, as bytes and as a file', async () => {
    const net = await netOf(3, 2, 3, 1)
    const bytes = await save(net, { note: 'small' })
    const path = join(folder, 'net.safetensors')
    await saveFile(net, path, { note: 'small' })
    const file = await openTensors(bytesSource(bytes), 'bytes')
    expect(file.names().sort()).toEqual(['layers.0.bias', 'layers.0.weight', 'layers.1.bias', 'layers.1.weight'])
    expect([file.metadata, file.info('layers.0.weight')]).toEqual([{ note: 'small' }, { dtype: 'F32', shape: [3, 2] }])
    for (const fill of [(other: Net) => load(other, bytes), (other: Net) => loadFile(other, path)]) {
      const other = await netOf(4, 2, 3, 1)
      expect(await fill(other)).toEqual({ missing: [], unexpected: [] })
      expect(await valuesOf(other)).toEqual(await valuesOf(net))
      expect(await save(other, { note: 'small' })).toEqual(bytes)
    }
  })

  test('of part of a model have names relative to it', async () => {
    const net = await netOf(3, 2, 3, 1)
    const alone = new Linear(2, 3)
    await load(alone, await save(net.layers[0]))
    expect(await alone.weight.read()).toEqual(await net.layers[0].weight.read())
  })

  test('of another model are refused with nothing written, or loaded in part', async () => {
    const [small, large] = [await netOf(3, 2, 3, 1), await netOf(4, 2, 3, 1, 5)]
    const before = await valuesOf(large)
    const refused = async (net: Net, bytes: Uint8Array<ArrayBuffer>, says: string): Promise<void> =>
      expect(load(net, bytes)).rejects.toThrow(says)
    await refused(large, await save(small), 'the file of parameters lacks "layers.2.weight", "layers.2.bias"')
    await refused(small, await save(large), 'has "layers.2.bias", "layers.2.weight", for which there is no parameter')
    const other = await netOf(3, 2, 4, 1)
    await refused(large, await save(await netOf(3, 2, 4, 1, 5)), 'layers.0.weight is [4, 2], expected [3, 2]')
    expect(await valuesOf(large)).toEqual(before)
    expect(await load(large, await save(small), { partial: true })).toEqual({
      missing: ['layers.2.weight', 'layers.2.bias'],
      unexpected: [],
    })
    expect(await valuesOf(large)).toEqual([...(await valuesOf(small)), ...before.slice(4)])
    await expect(load(other, await save(small), { partial: true }), 'a shape never fits').rejects.toThrow('expected')
  })

  test('that are not finite are not saved', async () => {
    const net = await netOf(3, 1, 1)
    await net.layers[0].bias?.write(Float32Array.of(NaN))
    await expect(save(net)).rejects.toThrow('"layers.0.bias" is not saved')
  })
})
