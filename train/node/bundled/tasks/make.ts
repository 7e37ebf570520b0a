// `node train/node/bundled/tasks/make.ts`: writes the five small data sets beside this file, one for each kind of task;
// the same files each time. Rows of the training and the test set combine the same phrases, and no row is in both; rows
// of `new-phrases/` combine other phrases.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { csvField } from '../../../data/csv.ts'
import { type Random, stream } from '../../../random.ts'
import {
  ASPECTS,
  FIRST,
  GENRES,
  LAST,
  NO_PRAISE,
  OPENINGS,
  PLACE,
  PRAISES,
  type Phrases,
  QUESTIONS,
  SENTENCES,
  VERDICTS,
} from './phrases.ts'

/** Which phrases rows are made of. */
type Part = keyof Phrases
type Row = Readonly<Record<string, unknown>>

const pick = <T>(random: Random, from: readonly T[]): T => from[random.below(from.length)]

/** Two different elements of a list. */
const pickTwo = <T>(random: Random, from: readonly T[]): T[] => random.shuffle([...from]).slice(0, 2)

function genre(random: Random, part: Part): Row {
  const label = pick(random, Object.keys(GENRES))
  const plot = pickTwo(random, GENRES[label][part])
    .slice(0, 1 + random.below(2))
    .map(sentence => `${sentence}.`)
  if (random.below(2)) plot.splice(random.below(2), 0, pick(random, OPENINGS[part]))
  return { text: plot.join(' '), genre: label }
}

function aspects(random: Random, part: Part): Row {
  const chosen = random.shuffle(Object.keys(ASPECTS)).slice(0, random.below(3))
  const said = chosen.map(aspect => pick(random, ASPECTS[aspect][part]))
  const text =
    said.length === 0
      ? pick(random, NO_PRAISE[part])
      : `${random.below(2) ? `${pick(random, PRAISES[part])} ` : ''}${said.join(', and ')}.`
  const opening = random.below(2) ? `${pick(random, OPENINGS[part])} ` : ''
  return { text: `${opening}${text}`, praised: chosen.toSorted() }
}

/** Two opinions of one viewer, at most a star apart; the rating is their mean. */
function rating(random: Random, part: Part): Row {
  const first = random.below(VERDICTS.length)
  const second = Math.min(VERDICTS.length - 1, Math.max(0, first + random.below(3) - 1))
  const [one, other] =
    first === second
      ? pickTwo(random, VERDICTS[first][part])
      : [pick(random, VERDICTS[first][part]), pick(random, VERDICTS[second][part])]
  const opening = random.below(2) ? `${pick(random, OPENINGS[part])} ` : ''
  return { text: `${opening}${one} ${other}`, stars: 1 + (first + second) / 2 }
}

/** Every second answer fits its question. */
function answer(random: Random, part: Part, row: number): Row {
  const asked = random.below(QUESTIONS.length)
  const fits = row % 2 === 1
  const other = (asked + 1 + random.below(QUESTIONS.length - 1)) % QUESTIONS.length
  return {
    question: pick(random, QUESTIONS[asked].ask[part]),
    answer: pick(random, QUESTIONS[fits ? asked : other].answer[part]),
    label: fits ? 'answers' : 'off topic',
  }
}

/** A word of a name. Half of the names in `new-phrases/` are known ones, since common names recur. */
const name = (random: Random, from: Phrases, part: Part): string => pick(random, from[random.below(2) ? 'known' : part])

function names(random: Random, part: Part): Row {
  const tokens: string[] = []
  const tags: string[] = []
  const put = (words: readonly string[], kind?: string): void =>
    words.forEach((word, i) => {
      tokens.push(word)
      tags.push(kind ? `${i === 0 ? 'B' : 'I'}-${kind}` : 'O')
    })
  for (const word of pick(random, SENTENCES[part]).split(' ')) {
    if (word === '{P}') {
      const last = random.below(3) ? [name(random, LAST, part)] : []
      put([name(random, FIRST, part), ...last], 'PER')
    } else if (word === '{L}') put([name(random, PLACE, part)], 'LOC')
    else put([word])
  }
  // Half of the rows get a sentence without names: most words that people write are not names.
  if (random.below(2)) put([...pick(random, GENRES[pick(random, Object.keys(GENRES))][part]).split(' '), '.'])
  return { tokens, tags }
}

const table =
  (delimiter: string) =>
  (rows: readonly Row[]): string =>
    [Object.keys(rows[0]), ...rows.map(Object.values<unknown>)]
      .map(row => `${row.map(value => csvField(String(value))).join(delimiter)}\n`)
      .join('')
const jsonLines = (rows: readonly Row[]): string => rows.map(row => `${JSON.stringify(row)}\n`).join('')
const jsonArray = (rows: readonly Row[]): string => `[\n${rows.map(row => JSON.stringify(row)).join(',\n')}\n]\n`

interface DataSet {
  readonly name: string
  readonly ending: string
  readonly train: number
  readonly make: (random: Random, part: Part, row: number) => Row
  readonly write: (rows: readonly Row[]) => string
}

const TEST_ROWS = 120
const SETS: readonly DataSet[] = [
  { name: 'genres', ending: 'csv', train: 480, make: genre, write: table(',') },
  { name: 'aspects', ending: 'jsonl', train: 480, make: aspects, write: jsonLines },
  { name: 'ratings', ending: 'tsv', train: 480, make: rating, write: table('\t') },
  { name: 'answers', ending: 'json', train: 640, make: answer, write: jsonArray },
  { name: 'names', ending: 'ndjson', train: 560, make: names, write: jsonLines },
]

/** Every file by its path from this folder. No two rows of a data set have the same text. */
export function makeFiles(): Map<string, string> {
  const files = new Map<string, string>()
  for (const { name, ending, train, make, write } of SETS) {
    const taken = new Set<string>()
    const parts = [
      [`${name}/train.${ending}`, 'known', train, 'train'],
      [`${name}/test.${ending}`, 'known', TEST_ROWS, 'held-out rows'],
      [`new-phrases/${name}.${ending}`, 'unseen', TEST_ROWS, 'test'],
    ] as const
    for (const [path, part, count, draws] of parts) {
      const random = stream(1, `${name} ${draws}`)
      const rows: Row[] = []
      while (rows.length < count) {
        const row = make(random, part, rows.length)
        const [text, second] = Object.values(row)
        const key = JSON.stringify(name === 'answers' ? [text, second] : text)
        if (!taken.has(key)) rows.push(row)
        taken.add(key)
      }
      files.set(path, write(rows))
    }
  }
  return files
}

if (import.meta.main) {
  for (const [path, text] of makeFiles()) {
    const file = join(import.meta.dirname, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
}
