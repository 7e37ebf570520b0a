// Files that would fill memory or never end are refused, in time, with one line.
import { execFileSync } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { mkdtemp, open, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip, gzipSync } from 'node:zlib'
import { Header } from 'tar'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { UserError } from '../../../../engine/errors.ts'
import { MAX_RECORD_BYTES } from '../../../../train/data/bytes.ts'
import type { Cell } from '../../../../train/data/table.ts'
import { openTable } from '../../../../train/node/data/files.ts'
import { parquetFile, plainTexts } from '../../../support/parquet.ts'
import { loadReviews } from '../../../support/reviews.ts'

let root = ''
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'tilegrad-limits-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

async function mistake(
  path: string,
  load: (path: string) => Promise<unknown> = one => loadReviews(one),
): Promise<string> {
  const error = await load(path).then(
    () => new Error(`${path} was taken`),
    (reason: unknown) => reason,
  )
  if (!(error instanceof UserError)) throw error
  return error.message
}

/** The header of a tar entry of `size` bytes. */
function header(path: string, size: number, type: 'File' | 'SymbolicLink' | 'Directory' = 'File'): Buffer {
  const block = Buffer.alloc(512)
  new Header({ path, size, type, mode: 0o644, linkpath: type === 'SymbolicLink' ? '/etc/passwd' : undefined }).encode(
    block,
  )
  return block
}

/** Reviews of both sets and classes, as blocks of a tar archive. */
function* reviews(): Generator<Buffer> {
  for (const part of ['train/neg', 'train/pos', 'test/neg', 'test/pos']) {
    yield header(`aclImdb/${part}/0_1.txt`, 512)
    yield Buffer.alloc(512, `${part} `)
  }
}

describe('an archive', () => {
  test('with a review of 600 MB is refused before it is unpacked', async () => {
    const path = join(root, 'large.tar.gz')
    await writeFile(
      path,
      gzipSync(Buffer.concat([...reviews(), header('aclImdb/train/pos/1_9.txt', 600_000_000), Buffer.alloc(512)])),
    )
    const started = performance.now()
    expect(await mistake(path)).toContain('train/pos/1_9.txt has 600000000 bytes')
    expect(performance.now() - started).toBeLessThan(5000)
  })

  test('that unpacks to a thousand times its size is refused long before its end', async () => {
    const path = join(root, 'bomb.tar.gz')
    const zeros = Buffer.alloc(2 ** 20)
    await pipeline(
      Readable.from(
        (function* () {
          yield* reviews()
          for (let i = 0; i < 300; i++) {
            yield header(`aclImdb/train/unsup/${i}_0.txt`, zeros.length)
            yield zeros
          }
        })(),
      ),
      createGzip({ level: 1 }),
      createWriteStream(path),
    )
    expect(await mistake(path)).toContain('unpacks to more than 100 times its size')
  })

  test('may have links and files with odd names, which are ignored', async () => {
    const path = join(root, 'links.tar')
    const odd = ['aclImdb/train/pos/2_9.txt', '../../train/neg/3_1.txt\u001b[2J'].map(name =>
      header(name, 0, 'SymbolicLink'),
    )
    await writeFile(
      path,
      Buffer.concat([...reviews(), ...odd, header('aclImdb/train/pos/4_9.txt', 0, 'Directory'), Buffer.alloc(1024)]),
    )
    expect((await loadReviews(path)).train).toHaveLength(2)
  })

  test('reads the same packed and as a plain tar file', async () => {
    const path = join(root, 'plain.tar')
    const plain = Buffer.concat([...reviews(), Buffer.alloc(1024)])
    await writeFile(path, plain)
    await writeFile(`${path}.gz`, gzipSync(plain))
    expect((await loadReviews(`${path}.gz`)).train).toEqual((await loadReviews(path)).train)
  })
})

describe('a record that is too long', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['jsonl', '{"text": "', 'the record that begins in line 1 has more than 16 MB'],
    ['json', '[{"text": "', 'the record that begins in line 1 has more than 16 MB'],
    ['csv', 'text,label\n"never closed, ', 'the record that begins in line 2 has more than 16 MB'],
    ['tsv', 'text\tlabel\nno line break ', 'the record that begins in line 2 has more than 16 MB'],
  ]
  test.each(cases)('in a .%s file is refused while it is read', async (ending, start, message) => {
    const path = join(root, `long.${ending}`)
    // A hole in a file reads as zeros and takes no room: 600 MB at once.
    const file = await open(path, 'w')
    await file.write(start)
    await file.truncate(600_000_000)
    await file.close()
    const before = process.memoryUsage().rss
    expect(await mistake(path)).toContain(message)
    expect(process.memoryUsage().rss - before).toBeLessThan(300 * 2 ** 20)
  })

  test('may have 15 MB', async () => {
    const path = join(root, 'fits.jsonl')
    const text = 'x'.repeat(MAX_RECORD_BYTES - 2 ** 20)
    await writeFile(path, `{"text": "${text}", "label": 1}\n{"text": "short", "label": 0}\n`.repeat(2))
    expect((await loadReviews(path)).train.length).toBeGreaterThan(0)
  })
})

describe('what is not a regular file', () => {
  test.skipIf(process.platform === 'win32')('is refused at once', async () => {
    const fifo = join(root, 'fifo.csv')
    execFileSync('mkfifo', [fifo])
    expect(await mistake(fifo)).toBe(`${fifo} is not a regular file`)
    for (const [name, target] of [
      ['zero.csv', '/dev/zero'],
      ['null.parquet', '/dev/null'],
      ['random.jsonl', '/dev/urandom'],
      ['tty.tar.gz', '/dev/zero'],
    ]) {
      const link = join(root, name)
      await symlink(target, link)
      expect(await mistake(link)).toBe(`${link} is not a regular file`)
    }
    const socket = join(root, 'socket.json')
    const server = createServer().listen(socket)
    await new Promise(resolve => server.once('listening', resolve))
    expect(await mistake(socket)).toBe(`${socket} is not a regular file`)
    server.close()
  })
})

describe('a Parquet file', () => {
  const fixtures = join(import.meta.dirname, 'fixtures')

  test('is closed and its thread used again when its reader stops early', async () => {
    const table = await openTable(join(fixtures, 'nested-column-first.parquet'))
    for (let i = 0; i < 20; i++) {
      for await (const row of table.rows(['text'])) {
        expect(row.cells[0]).toMatch(/^The/)
        break
      }
    }
  })

  const texts = { name: 'text', type: 'bytes', page: plainTexts(['good', 'bad']) } as const
  const read = async (name: string, bytes: Uint8Array): Promise<readonly (readonly Cell[])[]> => {
    const path = join(root, `${name}.parquet`)
    await writeFile(path, bytes)
    const table = await openTable(path)
    const rows = await Array.fromAsync(table.rows(['text', 'label']))
    return rows.map(({ cells }) => cells)
  }
  /** Class 1, then class 0, by a dictionary of the two numbers: a run each of bit width 1. */
  const dictionary = { page: [0, 0, 0, 0, 1, 0, 0, 0], values: 2 }
  const label = (page: readonly number[], second = false) =>
    ({ name: 'label', type: 'int32', encoding: 'dictionary', page, dictionary, second }) as const

  test('of either kind of page is read', async () => {
    for (const second of [false, true]) {
      expect(await read('good', parquetFile(2, [texts, label([1, 2, 1, 2, 0], second)]))).toEqual([
        ['good', 1],
        ['bad', 0],
      ])
    }
  })

  test('whose run never ends, or fills memory, is ended', async () => {
    // A packed run of bit width 0 whose count is negative: nothing is consumed, and 0 is never reached.
    const started = performance.now()
    await expect(
      read('endless', parquetFile(2, [texts, label([0, 0x81, 0x80, 0x80, 0x80, 0x02], true)])),
    ).rejects.toThrow('decoding it does not end')
    expect(performance.now() - started).toBeLessThan(20_000)
    // One run of 2^29 values for a column of two.
    await expect(
      read('endless', parquetFile(2, [texts, label([1, 0x80, 0x80, 0x80, 0x80, 0x04, 1], true)])),
    ).rejects.toThrow(/decoding it (does not end|takes more than \d+ MB)/)
    expect(await read('good', parquetFile(2, [texts, label([1, 2, 1, 2, 0])]))).toEqual([
      ['good', 1],
      ['bad', 0],
    ])
  })

  test('that claims more than it has is refused before it is decoded', async () => {
    for (const rows of [3, 1e9, 2 ** 40]) {
      await expect(read('claims', parquetFile(rows, [texts, label([1, 2, 1, 2, 0])]))).rejects.toThrow(
        'is cut short or damaged',
      )
    }
    await expect(
      read(
        'claims',
        parquetFile(2, [texts, { ...label([1, 2, 1, 2, 0]), dictionary: { page: [0, 0, 0, 0], values: 1e9 } }]),
      ),
    ).rejects.toThrow('a dictionary of 4 bytes has 1000000000 values')
  })

  test('whose text is not UTF-8 says so for its row', async () => {
    const bytes = parquetFile(2, [
      { ...texts, page: [4, 0, 0, 0, 0x63, 0x61, 0x66, 0xe9, 1, 0, 0, 0, 0x61] },
      label([1, 2, 1, 2, 0]),
    ])
    const path = join(root, 'latin.parquet')
    await writeFile(path, bytes)
    const rows = await Array.fromAsync((await openTable(path)).rows(['text', 'label']))
    expect(rows.map(({ problem, cells }) => problem ?? cells)).toEqual([
      'byte 3 of column "text" is not UTF-8',
      ['a', 0],
    ])
  })

  test('names its classes', async () => {
    const features = {
      info: {
        features: { label: { names: ['no', 'yes'], _type: 'ClassLabel' }, text: { dtype: 'string', _type: 'Value' } },
      },
    }
    const path = join(root, 'names.parquet')
    for (const [json, names] of [
      [JSON.stringify(features), ['no', 'yes']],
      ['{', undefined],
      ['{"info": {"features": {"label": {"names": 3, "_type": "ClassLabel"}}}}', undefined],
    ] as const) {
      await writeFile(path, parquetFile(2, [texts, label([1, 2, 1, 2, 0])], { huggingface: json }))
      expect((await openTable(path)).columns).toEqual([
        { name: 'text', classNames: undefined },
        { name: 'label', classNames: names },
      ])
    }
  })

  test('with any one of its bytes changed is read or refused', async () => {
    const whole = await readFile(join(fixtures, 'list-label.parquet'))
    const path = join(root, 'changed.parquet')
    let refused = 0
    for (let i = 4; i < whole.length; i += 31) {
      const bytes = Uint8Array.from(whole)
      bytes[i] ^= 0xff
      await writeFile(path, bytes)
      const read = openTable(path).then(async table => {
        for await (const row of table.rows(table.columns.map(({ name }) => name))) expect(row.number).toBeGreaterThan(0)
      })
      await read.catch((error: unknown) => {
        if (!(error instanceof UserError)) throw error
        refused++
      })
    }
    expect(refused).toBeGreaterThan(5)
  })
})
