// Answers for streams of texts: lines as they come, in flat memory, and each format as its readers read it.
import { parse } from 'csv-parse/sync'
import { describe, expect, test } from 'vitest'
import type { ClassifierOptions } from '../../../../models/classifier.ts'
import { type Prediction, type TextInput, textOf } from '../../../../models/prediction.ts'
import {
  type Named,
  type PredictionFormat,
  chunksOf,
  isEmpty,
  lineChunks,
  predictions,
} from '../../../../train/node/jobs/predict.ts'

/** Bytes as a pipe delivers them, a piece at a time. */
async function* pieces(...texts: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield typeof text === 'string' ? new TextEncoder().encode(text) : text
}

async function linesOf(input: AsyncIterable<Uint8Array>, options = {}): Promise<string[]> {
  const lines: string[] = []
  for await (const group of lineChunks(input, options)) lines.push(...group)
  return lines
}

test('a text is empty if it has nothing but blanks, and a pair if both have', () => {
  const inputs: TextInput[] = [
    '',
    ' \t',
    { text: '', pair: ' ' },
    { words: [] },
    'a',
    { text: '', pair: 'a' },
    { words: ['a'] },
  ]
  expect(inputs.map(isEmpty)).toEqual([true, true, true, true, false, false, false])
})

describe('lines of a stream', () => {
  test('are what lies between line feeds, whatever the pieces, an empty line and an unfinished last one too', async () => {
    expect(await linesOf(pieces('great film\nawful\n'))).toEqual(['great film', 'awful'])
    expect(await linesOf(pieces('a', 'b\r', '\n\n', 'c\rd\u2028e\n', 'last'))).toEqual([
      'ab',
      '',
      'c\rd\u2028e',
      'last',
    ])
    expect(await linesOf(pieces())).toEqual([])
    expect(await linesOf(pieces('\n'))).toEqual([''])
    const euro = new TextEncoder().encode('€\n')
    expect(await linesOf(pieces(euro.slice(0, 2), euro.slice(2)))).toEqual(['€'])
  })

  test('come in groups of at most as many as wanted, and one that comes alone comes at once', async () => {
    const groups = lineChunks(pieces('1\n2\n3\n', '4\n', '5\n6'), { most: 2 })
    const found: string[][] = []
    for await (const group of groups) found.push(group)
    expect(found).toEqual([['1', '2'], ['3'], ['4'], ['5'], ['6']])
    let pulled = 0
    async function* slow(): AsyncGenerator<Uint8Array> {
      for (;;) {
        pulled++
        yield new TextEncoder().encode(`${pulled}\n`)
      }
    }
    const endless = lineChunks(slow())
    expect([(await endless.next()).value, pulled]).toEqual([['1'], 1])
    await endless.return(undefined)
  })

  test('may be in another encoding, and are refused where they are not in it', async () => {
    const utf16 = new Uint8Array(Buffer.from('\ufeffgrün\nb\n', 'utf16le'))
    expect(await linesOf(pieces(utf16), { encoding: 'utf-16le' })).toEqual(['grün', 'b'])
    await expect(linesOf(pieces('fine\n', new Uint8Array([0xe9, 0x0a])))).rejects.toThrow(
      'standard input, line 2 or one soon after it, is not utf-8: name what it is with --encoding',
    )
    await expect(linesOf(pieces(new Uint8Array([0xe2, 0x82])))).rejects.toThrow('line 1')
  })

  test('without an end are refused before they fill the memory', async () => {
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) yield new Uint8Array(1 << 20).fill(97)
    }
    await expect(linesOf(endless())).rejects.toThrow('standard input, line 1 is longer than 16777216 characters')
  })
})

const LABELS = ['neg, or not', 'pos']

/** Answers by the length of the text, so that each can be told from the others. */
function fake(options: Partial<ClassifierOptions> = {}, answer?: (text: string) => Prediction): Named {
  const positive = (text: string): number => 1 / (1 + text.length)
  return {
    name: 'fake',
    classifier: {
      options: { problem: 'single_label_classification', labels: LABELS, ...options },
      classify: async texts =>
        texts.map(
          input =>
            answer?.(textOf(input)) ?? {
              kind: 'label',
              label: LABELS[1],
              probability: positive(textOf(input)),
              probabilities: { [LABELS[0]]: 1 - positive(textOf(input)), [LABELS[1]]: positive(textOf(input)) },
            },
        ),
    },
  }
}

async function written(
  texts: readonly TextInput[],
  format: PredictionFormat,
  { classifiers = [fake()], pairs = false } = {},
): Promise<string> {
  let all = ''
  for await (const text of predictions(classifiers, chunksOf(texts, 3), { format, pairs })) all += text
  return all
}

/** Texts that no format may break on. */
const HARD = ['', 'great film', 'a "quoted", text', ' blanks ', 'two\nlines', '\x1b[2Jgone\u202e', '=1+1', '日本 🎬']

describe('answers', () => {
  test('as text are a line each that a terminal cannot obey', async () => {
    const lines = (await written(HARD, 'text')).split('\n')
    expect(lines).toHaveLength(HARD.length + 1)
    expect(lines[0]).toBe('pos          100.00 %  ')
    expect(lines[1]).toBe('pos            9.09 %  great film')
    expect(lines[5]).toMatch(/\\x1b\[2Jgone\\u202e$/)
  })

  test('as JSON Lines hold the text to the character, one object per line', async () => {
    const lines = (await written(HARD, 'json')).trimEnd().split('\n')
    expect(lines.map(line => JSON.parse(line).text)).toEqual(HARD)
    expect(JSON.parse(lines[1])).toEqual({
      text: 'great film',
      label: 'pos',
      probability: 1 / 11,
      probabilities: { 'neg, or not': 10 / 11, pos: 1 / 11 },
    })
    expect(lines.join('')).not.toMatch(/[\x00-\x1f\u202e]/)
  })

  test('as CSV are read back by a parser that others wrote', async () => {
    const rows: Record<string, string>[] = parse(await written(HARD, 'csv'), { columns: true })
    expect(rows.map(({ text }) => text)).toEqual(HARD)
    expect(Object.keys(rows[0])).toEqual(['text', 'label', 'probability', 'neg, or not', 'pos'])
    expect(Number(rows[1].pos)).toBe(1 / 11)
  })

  test('of pairs, of several labels, numbers and words have columns of their own', async () => {
    const pairs = await written([{ text: 'a', pair: 'b, c' }], 'csv', { pairs: true })
    expect(parse(pairs, { columns: true })).toMatchObject([{ text: 'a', pair: 'b, c' }])
    expect(await written([{ text: 'a', pair: 'b' }], 'text', { pairs: true })).toMatch(/ {2}a \| b\n$/)
    const several = fake({ problem: 'multi_label_classification' }, () => ({
      kind: 'labels',
      labels: [],
      probabilities: { [LABELS[0]]: 0.1, pos: 0.2 },
    }))
    expect(await written(['x'], 'text', { classifiers: [several] })).toBe('(none)  x\n')
    const number = fake({ problem: 'regression', labels: ['LABEL_0'] }, () => ({ kind: 'number', value: 3.25 }))
    expect(await written(['x'], 'text', { classifiers: [number] })).toBe('    3.2500  x\n')
    expect(await written(['x'], 'csv', { classifiers: [number] })).toBe('text,value\nx,3.25\n')
    const words = fake({ problem: 'token_classification', labels: ['O', 'B-PER', 'I-PER'] }, () => ({
      kind: 'words',
      words: [
        ['Ada', 'B-PER', 0],
        ['Lovelace', 'I-PER', 4],
        ['wrote', 'O', 13],
      ].map(([text, label, start]) => ({
        text: String(text),
        label: String(label),
        start: Number(start),
        end: Number(start) + String(text).length,
        probability: 1,
      })),
    }))
    expect(await written(['Ada Lovelace wrote'], 'text', { classifiers: [words] })).toBe(
      'PER: Ada Lovelace  Ada Lovelace wrote\n',
    )
  })

  test('that are explained come with the words that decided them, in every format', async () => {
    const explained: Named = {
      ...fake(),
      explain: async questions =>
        questions.map(({ input, label }) =>
          textOf(input) === '' || label !== 1
            ? undefined
            : {
                text: [
                  { text: 'warm', start: 0, end: 4, share: 0.25 },
                  { text: 'dull\x1b[2J', start: 5, end: 9, share: -1.5 },
                  { text: ',', start: 9, end: 10, share: 0.2 },
                  { text: 'a', start: 10, end: 11, share: 0.001 },
                ],
              },
        ),
    }
    const options = { classifiers: [explained] }
    expect(await written(['', 'warm dull a'], 'text', options)).toBe(
      'pos          100.00 %  \npos            8.33 %  warm dull a\n    dull\\x1b[2J −1.5, warm +0.25, "," +0.20\n',
    )
    const objects = (await written(['', 'warm dull a'], 'json', options)).trimEnd().split('\n')
    expect(objects.map(line => JSON.parse(line).decided_by)).toEqual([
      [],
      [
        { word: 'dull\x1b[2J', share: -1.5 },
        { word: 'warm', share: 0.25 },
        { word: ',', share: 0.2 },
      ],
    ])
    const [empty, row]: Record<string, string>[] = parse(await written(['', 'warm, a'], 'csv', options), {
      columns: true,
    })
    expect([empty.decided_by, row.decided_by]).toEqual(['', 'dull\x1b[2J −1.5, warm +0.25, "," +0.20'])
    await expect(written(['x'], 'csv', { classifiers: [explained, { ...fake(), name: 'plain' }] })).rejects.toThrow(
      'use --json',
    )
  })

  test('of several models name each, and share columns only where the labels are the same', async () => {
    const other = { ...fake(), name: 'other' }
    expect(await written(['x'], 'text', { classifiers: [fake(), other] })).toMatch(
      /^fake {2}pos .+\nother {2}pos .+\n$/,
    )
    expect(JSON.parse((await written(['x'], 'json', { classifiers: [fake(), other] })).split('\n')[1])).toMatchObject({
      model: 'other',
    })
    const odd = { ...fake({ labels: ['a', 'b'] }), name: 'odd' }
    await expect(written(['x'], 'csv', { classifiers: [fake(), odd] })).rejects.toThrow(
      '--csv: odd and fake have different labels',
    )
  })

  test('of 100,000 lines are given while they are read: nothing is read ahead of what is taken', async () => {
    let read = 0
    async function* source(): AsyncGenerator<Uint8Array> {
      for (let piece = 0; piece < 1000; piece++) {
        read += 100
        yield new TextEncoder().encode('a line\n'.repeat(100))
      }
    }
    let answered = 0
    let ahead = 0
    for await (const text of predictions([fake()], lineChunks(source()), { format: 'text' })) {
      answered += text.split('\n').length - 1
      ahead = Math.max(ahead, read - answered)
    }
    expect([answered, ahead]).toEqual([100_000, 0])
  })
})
