// The readers of data: each input is a file of its kind, read as a table and as the examples of a task.
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { Header } from 'tar'
import { readExamples } from '../../../train/data/examples.ts'
import { openTable } from '../../../train/node/data/files.ts'
import { type DataOptions, loadLabelled } from '../../../train/node/data/labelled.ts'
import { sentimentOf } from '../../../train/node/data/sentiment.ts'
import { loadUnlabelled } from '../../../train/node/data/unlabelled.ts'
import { type ParquetColumn, parquetFile, plainTexts } from '../../support/parquet.ts'
import { changeBytes, changeJson, pick } from '../mutate.ts'
import type { Target } from '../target.ts'

const options: DataOptions = { testSeed: 42, spellings: sentimentOf }
const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const texts = ['A dull film, with "quotes" and no heart.', 'Naïve 🎬\nbut warm.', 'fine', 'The best; of | my\tyear']

const csv = (delimiter: string, end = '\n'): string =>
  [['id', 'text', 'label'], ...texts.map((text, i) => [String(i), `"${text.replaceAll('"', '""')}"`, String(i % 2)])]
    .map(row => row.join(delimiter))
    .join(end) + end

/** Reads a table in every way that it is read. */
async function read(path: string): Promise<void> {
  const table = await openTable(path)
  let rows = 0
  for await (const row of table.rows(table.columns.map(({ name }) => name))) rows += row.cells.length
  // Whatever the columns are called, the first is taken for texts.
  const [first] = table.columns
  const labels = table.columns.at(-1)
  if (first && rows >= 0)
    await readExamples(table, {
      textColumn: first.name,
      pairColumn: null,
      labelColumn: labels?.name,
      skipBadRows: true,
    })
  await loadLabelled(path, options)
}

function table(ending: string, seeds: () => Promise<readonly Uint8Array[]>, mutate?: Target['mutate']): Target {
  return {
    name: ending,
    seeds,
    mutate,
    async run(input, folder) {
      const path = join(folder, `data.${ending}`)
      await writeFile(path, input)
      await read(path)
    },
  }
}

const several =
  (...inputs: (string | Uint8Array)[]): (() => Promise<readonly Uint8Array[]>) =>
  async () =>
    inputs.map(input => (typeof input === 'string' ? encode(input) : input))

/** Plain text, as pretraining reads it: in its own encoding or in one that may not fit. */
const plainText: Target = {
  name: 'txt',
  seeds: several('One film.\nAnother.\n', '\ufeffA\r\nB\r\n\r\n\nC', Buffer.from('\ufeffNaïve\n\n🎬', 'utf16le')),
  async run(input, folder) {
    const path = join(folder, 'data.txt')
    await writeFile(path, input)
    await loadUnlabelled([path], { skipBadRows: true })
    await loadUnlabelled([path], { encoding: 'shift_jis' })
  },
}

const rows = texts.map((text, i) => ({
  text,
  label: i % 2,
  words: ['a', 'b'],
  meta: { source: 'x', n: [1, 2.5, null] },
}))

/** Changes one of several JSON values that stand in a text, a line each. */
function changeLine(input: Uint8Array, random: () => number): Uint8Array {
  const lines = new TextDecoder().decode(input).split('\n')
  const at = Math.floor(random() * lines.length)
  lines[at] = changeJson(lines[at], random)
  return encode(lines.join('\n'))
}

const fixtures = join(import.meta.dirname, '../../train/node/data/fixtures')

async function parquetSeeds(): Promise<Uint8Array[]> {
  const names = await readdir(fixtures, { recursive: true })
  const files = await Promise.all(
    names.filter(name => name.endsWith('.parquet')).map(name => readFile(join(fixtures, name))),
  )
  // Uncompressed pages of each encoding: what is changed in them reaches the decoders.
  const text = { name: 'text', type: 'bytes', page: plainTexts(['good', 'bad']) } as const
  const delta = [0x80, 1, 4, 2, 8, 2, 0, 0, 0, 0, 0]
  const columns: readonly ParquetColumn[] = [
    { name: 'label', type: 'int32', page: [1, 0, 0, 0, 0, 0, 0, 0] },
    { name: 'label', type: 'int64', page: [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] },
    { name: 'label', type: 'boolean', page: [1] },
    { name: 'label', type: 'boolean', encoding: 'rle', page: [2, 0, 0, 0, 4, 1] },
    {
      name: 'label',
      type: 'int32',
      encoding: 'dictionary',
      page: [1, 2, 1, 2, 0],
      dictionary: { page: [0, 0, 0, 0, 1, 0, 0, 0], values: 2 },
    },
    { name: 'label', type: 'int32', encoding: 'deltaBinary', page: delta },
    { name: 'label', type: 'int64', encoding: 'deltaBinary', page: delta },
    { name: 'label', type: 'bytes', encoding: 'deltaLength', page: [...delta, 0x61, 0x62, 0x63, 0x64, 0x65] },
    { name: 'label', type: 'bytes', encoding: 'deltaBytes', page: [...delta, ...delta, 0x61, 0x62, 0x63, 0x64, 0x65] },
  ]
  return [
    ...files,
    ...columns.flatMap(column => [false, true].map(second => parquetFile(2, [text, { ...column, second }]))),
  ]
}

/** Changes of the small numbers in the footer and the page headers, where counts and sizes stand. */
function changeParquet(input: Uint8Array, random: () => number): Uint8Array {
  const bytes = Uint8Array.from(input)
  if (bytes.length < 16) return bytes
  const footer = new DataView(bytes.buffer).getUint32(bytes.length - 8, true)
  const start = random() < 0.6 ? Math.max(4, bytes.length - 8 - footer) : 4
  const end = start === 4 ? Math.min(bytes.length, 120) : bytes.length - 8
  for (let left = 1 + Math.floor(random() * 3); left > 0; left--) {
    const at = start + Math.floor(random() * Math.max(1, end - start))
    // A number in Thrift's compact protocol is a run of bytes with the high bit set, and one without.
    bytes[at] = pick(random, [
      0,
      1,
      2,
      0x7f,
      0x80,
      0xff,
      bytes[at] + 1,
      bytes[at] - 1,
      bytes[at] ^ 0x80,
      Math.floor(random() * 256),
    ])
  }
  return bytes
}

function tar(): Uint8Array {
  const blocks: Uint8Array[] = []
  for (const part of ['train/neg', 'train/pos', 'test/neg', 'test/pos']) {
    const text = encode(`${part}: ${texts[0]}`)
    const header = Buffer.alloc(512)
    new Header({ path: `aclImdb/${part}/0_1.txt`, size: text.length, type: 'File', mode: 0o644 }).encode(header)
    blocks.push(header, text, new Uint8Array(512 - text.length))
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}

/** Changes a field of one header and mends its checksum, without which nothing is read. */
function changeTar(input: Uint8Array, random: () => number): Uint8Array {
  let bytes: Uint8Array
  try {
    bytes = Uint8Array.from(input[0] === 0x1f ? gunzipSync(input, { maxOutputLength: 2 ** 20 }) : input)
  } catch {
    return input
  }
  const at = 512 * Math.floor(random() * (bytes.length / 512))
  const header = bytes.subarray(at, at + 512)
  if (header.length === 512 && header[0] !== 0) {
    const [from, length] = pick(random, [
      [0, 100],
      [124, 12],
      [156, 1],
      [157, 100],
      [257, 8],
      [345, 155],
    ])
    const field = header.subarray(from, from + length)
    const changed = pick(random, [
      encode('777777777777'),
      encode('-1'),
      encode('99999999999'),
      encode('1'),
      encode('2'),
      encode('x'),
      encode('g'),
      encode('../../train/pos/1.txt'),
      encode('L'),
      Uint8Array.of(0x80, 0, 0, 0, 0, 0, 0, 255),
      Uint8Array.of(0xff, 0xff, 0xff),
      encode('\u001b[2Jtrain/neg/\n.txt'),
      encode('0000000000'),
    ]).subarray(0, length)
    field.fill(0)
    field.set(changed)
    header.fill(32, 148, 156)
    const sum = header.reduce((total, byte) => total + byte, 0)
    header.set(encode(`${sum.toString(8).padStart(6, '0')}\0 `), 148)
  } else bytes = changeBytes(bytes, [bytes], random)
  return random() < 0.5 ? bytes : gzipSync(bytes)
}

export const targets: readonly Target[] = [
  plainText,
  table(
    'csv',
    several(
      csv(','),
      csv(';', '\r\n'),
      csv('|'),
      `\ufeff${csv(',')}`,
      csv(',', '\r'),
      Buffer.from(`\ufeff${csv(';')}`, 'utf16le'),
      'text,label\na,-1\nb,1\nc,0.0\n',
    ),
  ),
  table('tsv', several(csv('\t'), csv('\t', '\r\n'))),
  table(
    'jsonl',
    several(
      rows.map(row => JSON.stringify(row)).join('\n'),
      '{"text": "a", "label": [1, 2]}\n{"text": "b", "label": []}\n',
    ),
    changeLine,
  ),
  table(
    'json',
    several(JSON.stringify(rows), JSON.stringify(rows, undefined, 2), rows.map(row => JSON.stringify(row)).join('\n')),
    (input, random) => encode(changeJson(new TextDecoder().decode(input), random)),
  ),
  table('parquet', parquetSeeds, changeParquet),
  {
    name: 'tar.gz',
    seeds: async () => [tar(), gzipSync(tar())],
    mutate: changeTar,
    async run(input, folder) {
      const path = join(folder, 'data.tar.gz')
      await writeFile(path, input)
      await loadLabelled(path, options)
    },
  },
]
