// Files on disk: safetensors by position and in shards, and writes that are whole or not there.
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { UserError } from '../../../engine/errors.ts'
import {
  openSafetensors,
  openWeights,
  readBytes,
  readJson,
  readText,
  writeAtomic,
  writeSafetensors,
} from '../../../models/node/files.ts'
import { openRegularFile } from '../../../models/node/regular-file.ts'
import { serialize } from '../../../models/safetensors.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tilegrad-files-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true })
})

const ramp = (length: number, from = 0): Float32Array => Float32Array.from({ length }, (_, i) => from + i)
const lazy = (name: string, data: Float32Array) => ({
  name,
  dtype: 'F32' as const,
  shape: [data.length],
  read: async () => data,
})

/** The UserError's message that a promise ends in. */
async function complaint(promise: Promise<unknown>): Promise<string> {
  const failure = await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(failure).toBeInstanceOf(UserError)
  expect(String(failure)).not.toContain('\n')
  return String(failure)
}

describe('a safetensors file', () => {
  test('is written whole and read back, at once and in chunks', async () => {
    const path = join(folder, 'model.safetensors')
    await writeSafetensors(path, [lazy('a', ramp(10_000)), lazy('b', ramp(3, 7))], { format: 'pt' })
    expect(await readdir(folder)).toEqual(['model.safetensors'])
    const file = await openSafetensors(path)
    expect(file.metadata).toEqual({ format: 'pt' })
    expect(await file.read('b')).toEqual(ramp(3, 7))
    const offsets: number[] = []
    for await (const { elementOffset, data } of file.chunks('a', 16_384)) {
      offsets.push(elementOffset)
      expect(data[0]).toBe(elementOffset)
    }
    expect(offsets).toEqual([0, 4096, 8192])
    await file.close()
  })

  test('that is truncated is refused when opened, and named', async () => {
    const path = join(folder, 'model.safetensors')
    await writeSafetensors(path, [lazy('weight', ramp(100))])
    await truncate(path, 300)
    expect(await complaint(openSafetensors(path))).toMatch(
      /model\.safetensors is truncated: tensor "weight" ends at byte \d+, the file has 300$/,
    )
    await truncate(path, 5)
    expect(await complaint(openSafetensors(path))).toContain('has 5 bytes, fewer than the 8')
  })

  test('that shrinks while it is open is refused when read', async () => {
    const path = join(folder, 'model.safetensors')
    await writeSafetensors(path, [lazy('weight', ramp(100))])
    const file = await openSafetensors(path)
    await truncate(path, 300)
    expect(await complaint(file.read('weight'))).toContain('ends at 300 now')
    await file.close()
  })

  test('that is missing, or a folder, is named', async () => {
    expect(await complaint(openSafetensors(join(folder, 'none.safetensors')))).toContain(
      'none.safetensors does not exist',
    )
    expect(await complaint(openSafetensors(folder))).toContain('is a folder, not a file')
    expect(await complaint(openWeights(folder))).toBe(`UserError: ${folder} has no model.safetensors`)
  })
})

describe('a sharded model', () => {
  const index = (map: unknown) =>
    writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }))

  test('reads as one file', async () => {
    await writeSafetensors(join(folder, 'model-1.safetensors'), [lazy('a', ramp(3))])
    await writeSafetensors(join(folder, 'model-2.safetensors'), [lazy('b', ramp(4, 1))])
    await index({ a: 'model-1.safetensors', b: 'model-2.safetensors' })
    const file = await openWeights(folder)
    expect(file.names()).toEqual(['a', 'b'])
    expect(file.info('b').shape).toEqual([4])
    expect(await file.read('b')).toEqual(ramp(4, 1))
    await expect(async () => file.info('c')).rejects.toThrow('has no tensor "c"')
    await file.close()
  })

  test('with a missing shard, a missing tensor, or a path out of its folder is refused', async () => {
    await writeSafetensors(join(folder, 'model-1.safetensors'), [lazy('a', ramp(3))])
    await index({ a: 'model-1.safetensors', b: 'model-2.safetensors' })
    expect(await complaint(openWeights(folder))).toContain('model-2.safetensors does not exist')
    await index({ a: 'model-1.safetensors', b: 'model-1.safetensors' })
    expect(await complaint(openWeights(folder))).toContain(
      'places tensor "b" in model-1.safetensors, which does not have it',
    )
    await index({ a: '../model-1.safetensors' })
    expect(await complaint(openWeights(folder))).toContain('places tensor "a" outside its folder')
    await index([])
    expect(await complaint(openWeights(folder))).toContain('has no weight_map')
  })

  test('whose index names itself, or what no shard is called, is refused', { timeout: 10_000 }, async () => {
    for (const name of [
      'model.safetensors.index.json',
      './model.safetensors.index.json',
      'shard\0.safetensors',
      'x'.repeat(100_000),
      `${'x'.repeat(300)}.safetensors`,
      `a/${'../'.repeat(50)}etc/passwd.safetensors`,
      '/etc/passwd.safetensors',
      '',
      3,
      null,
      ['a'],
      '.',
    ]) {
      await index({ a: name })
      const failure = await complaint(openWeights(folder))
      expect(failure).toContain(folder)
      expect(failure.length).toBeLessThan(500)
    }
  })

  test('may have more shards than a process may have open files', async () => {
    // Linux's usual limit is 1,024, which Node raises where it may.
    const count = 1_100
    const map: Record<string, string> = {}
    for (let i = 0; i < count; i++) {
      map[`t${i}`] = `${i}.safetensors`
      await writeFile(
        join(folder, `${i}.safetensors`),
        serialize([{ name: `t${i}`, dtype: 'F32', shape: [1], data: ramp(1, i) }]),
      )
    }
    await index(map)
    const file = await openWeights(folder)
    expect(await file.read(`t${count - 1}`)).toEqual(ramp(1, count - 1))
    expect((await readdir('/proc/self/fd').catch(() => [])).length).toBeLessThan(200)
    await writeFile(join(folder, '0.safetensors'), 'changed')
    expect(await complaint(file.read('t0'))).toMatch(/0\.safetensors had \d+ bytes when opened, and has 7 now/)
    await index({
      ...map,
      ...Object.fromEntries(Array.from({ length: 4_097 }, (_, i) => [`x${i}`, `x${i}.safetensors`])),
    })
    expect(await complaint(openWeights(folder))).toMatch(/names \d+ files; at most 4096 are supported/)
  })
})

describe('an atomic write', () => {
  test('makes its folder and replaces what was there', async () => {
    const path = join(folder, 'new', 'note.txt')
    await writeAtomic(path, 'one')
    await writeAtomic(path, 'zwei – 二')
    expect(await readFile(path, 'utf8')).toBe('zwei – 二')
    expect(await readdir(join(folder, 'new'))).toEqual(['note.txt'])
  })

  test('that fails half-way leaves the old file and nothing beside it', async () => {
    const path = join(folder, 'adapter.safetensors')
    await writeAtomic(path, serialize([{ name: 'a', dtype: 'F32', shape: [2], data: ramp(2) }]))
    const before = await readFile(path)
    const broken = {
      ...lazy('z', ramp(2)),
      read: async () => {
        throw new Error('device lost')
      },
    }
    await expect(writeSafetensors(path, [lazy('a', ramp(5)), broken])).rejects.toThrow('device lost')
    expect(await readFile(path)).toEqual(before)
    expect(await readdir(folder)).toEqual(['adapter.safetensors'])
  })
})

test('a JSON file that is none, or not there, is named', async () => {
  await writeFile(join(folder, 'config.json'), '{')
  expect(await complaint(readJson(join(folder, 'config.json')))).toContain('config.json is not JSON')
  expect(await complaint(readJson(join(folder, 'other.json')))).toContain('other.json does not exist')
})

describe.skipIf(process.platform === 'win32')('what is not a regular file', () => {
  test('is refused at once by every reader: FIFOs, devices, sockets, folders', { timeout: 5_000 }, async () => {
    const fifo = join(folder, 'fifo.json')
    execFileSync('mkfifo', [fifo])
    const socket = join(folder, 'socket.json')
    const server = createServer()
    await new Promise<void>(done => server.listen(socket, done))
    try {
      await mkdir(join(folder, 'folder.json'))
      await symlink(fifo, join(folder, 'link.json'))
      for (const path of [fifo, socket, join(folder, 'link.json'), '/dev/zero', '/dev/null', '/dev/tty']) {
        for (const read of [readJson, readText, openSafetensors]) {
          expect(await complaint(read(path))).toBe(`UserError: ${path} is not a regular file`)
        }
      }
      expect(await complaint(readJson(join(folder, 'folder.json')))).toContain('folder.json is a folder, not a file')
    } finally {
      server.close()
    }
  })

  test('and names that no file can have are refused in one short line', async () => {
    expect(await complaint(readText(join(folder, 'a\0b')))).toContain('a\\u0000b" is not a file name')
    const failure = await complaint(readText(join(folder, 'x'.repeat(100_000))))
    expect(failure).toContain('is longer than a file name can be')
    expect(failure.length).toBeLessThan(500)
    await symlink(join(folder, 'loop'), join(folder, 'loop'))
    expect(await complaint(readText(join(folder, 'loop')))).toContain('is a symbolic link that leads to itself')
    await symlink('gone.txt', join(folder, 'dangling'))
    expect(await complaint(readText(join(folder, 'dangling')))).toContain(
      'dangling is a symbolic link to gone.txt, which does not exist',
    )
  })
})

describe('a text file', () => {
  test('larger than its limit is refused before it is read', async () => {
    const path = join(folder, 'config.json')
    await writeFile(path, '{}')
    // Sparse: 3 GB that take no room on the disk.
    await truncate(path, 3e9)
    expect(await complaint(readJson(path))).toContain(
      'config.json has 3000000000 bytes, more than the 16777216 that are read of such a file',
    )
    await truncate(path, 2)
    expect(await readJson(path, 2)).toEqual({})
    expect(await complaint(readBytes(path, 1))).toContain('has 2 bytes, more than the 1')
    const { handle, size } = await openRegularFile(path, 2)
    expect(size).toBe(2)
    await handle.close()
  })

  test('may begin with a byte order mark, and must be UTF-8', async () => {
    const path = join(folder, 'config.json')
    await writeFile(path, '\ufeff{"a": "é"}')
    expect(await readJson(path)).toEqual({ a: 'é' })
    await writeFile(path, Buffer.from('{"a": "é"}', 'latin1'))
    expect(await complaint(readJson(path))).toContain('config.json is not UTF-8')
  })

  test('of JSON that nests too deeply is refused; brackets in strings do not count', async () => {
    const path = join(folder, 'config.json')
    await writeFile(path, '['.repeat(10_000_000))
    expect(await complaint(readJson(path))).toContain('nests lists and objects more than 100 deep')
    const text = `"${'['.repeat(500)}\\"${'{'.repeat(500)}"`
    await writeFile(path, `[${text}]`)
    expect(await readJson(path)).toEqual([JSON.parse(text)])
  })
})
