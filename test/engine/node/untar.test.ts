// The set-up's reader of tar archives, on archives that the package tar writes.
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { create as createTar } from 'tar'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { untar } from '../../../engine/node/untar.ts'

let archive: Uint8Array = new Uint8Array()
const files: Readonly<Record<string, Uint8Array>> = {
  'package/empty': new Uint8Array(),
  'package/block': new Uint8Array(512).fill(7),
  [`package/${'d'.repeat(90)}/${'f'.repeat(40)}`]: new TextEncoder().encode('a name of two fields'),
  'package/big': Uint8Array.from({ length: 100_001 }, (_, i) => i % 251),
}
let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tilegrad-untar-'))
  for (const [name, bytes] of Object.entries(files)) {
    await mkdir(join(folder, name, '..'), { recursive: true })
    await writeFile(join(folder, name), bytes)
  }
  await createTar({ file: join(folder, 'all.tar'), cwd: folder, portable: true }, ['package'])
  archive = await readFile(join(folder, 'all.tar'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size))
}

test.each([1000, 512, 65_536, 1e9])('gives the wanted files, whatever the pieces (%i bytes)', async size => {
  const found: Record<string, Uint8Array> = {}
  for await (const { name, bytes } of untar(inPieces(archive, size), () => true)) found[name] = bytes
  expect(Object.keys(found).sort()).toEqual(Object.keys(files).sort())
  for (const [name, bytes] of Object.entries(files)) expect(Buffer.compare(found[name], bytes), name).toBe(0)
  const some: string[] = []
  for await (const { name } of untar(inPieces(archive, size), name => name.endsWith('big'))) some.push(name)
  expect(some).toEqual(['package/big'])
})

test('refuses an archive that ends in the middle of a file, wanted or not', async () => {
  const cut = archive.subarray(0, archive.length - 20_000)
  const read = async (wanted: boolean): Promise<void> => {
    for await (const _ of untar(inPieces(cut, 4096), () => wanted));
  }
  await expect(read(true)).rejects.toThrow(/^the archive ends in the middle of package\//)
  await expect(read(false)).rejects.toThrow(/^the archive ends in the middle of package\//)
})
