// One pass over all texts of all sets: what is counted of each, and what is kept.
import { encodeText } from '../../../../models/windows.ts'
import { WordCounts } from '../../../overview/log-odds.ts'
import { NearDuplicates } from '../../../overview/near-duplicates.ts'
import { type Oddity, odditiesOf, scriptOf } from '../../../overview/odd-rows.ts'
import { wordsIn } from '../../../overview/words.ts'
import type { Example } from '../../data/labelled.ts'
import { codePoints } from '../../data/statistics.ts'
import type { Data } from '../job.ts'
import type { Groups } from './groups.ts'
import type { Opened } from './open.ts'

/** Rows between two yields to the event loop, in which progress is drawn and signals are handled. */
const YIELD_EVERY = 200
/** A longest text; how long texts are does not depend on it. */
const ANY_LENGTH = 64

/** The examples of a set, by its name. */
export interface NamedSet {
  readonly name: string
  readonly examples: readonly Example[]
}

/** What one pass over the texts finds. */
export interface Scanned {
  /** By set and row. */
  readonly tokens: readonly number[][]
  readonly characters: readonly number[][]
  readonly oddities: readonly Oddity[][][]
  readonly scripts: readonly (string | undefined)[][]
  readonly counts: WordCounts
  readonly near: NearDuplicates
}

/** The sets of a run: validation only where the data has its own. */
export const setsOf = ({ all, validation, test }: Data): NamedSet[] =>
  [
    { name: 'train', examples: all },
    { name: 'validation', examples: validation },
    { name: 'test', examples: test },
  ].filter(({ examples }) => examples.length > 0)

/** Text and pair together. */
export const wholeOf = ({ text, pair }: Example): string => (pair === undefined ? text : `${text}\n${pair}`)

/** Looks at every text once; `onProgress` is called with the number of texts that are done. */
export async function scan(
  sets: readonly NamedSet[],
  groups: Groups,
  { tokenizer: { tokenizer } }: Opened,
  onProgress: (done: number) => void,
): Promise<Scanned> {
  const counts = new WordCounts(groups.names.length)
  const near = new NearDuplicates()
  const empty = <T>(): T[][] => sets.map(() => [])
  const found = { tokens: empty<number>(), characters: empty<number>(), oddities: empty<Oddity[]>() }
  const scripts = empty<string | undefined>()
  let done = 0
  for (const [set, { name, examples }] of sets.entries()) {
    for (const [row, example] of examples.entries()) {
      const whole = wholeOf(example)
      const words = wordsIn(whole)
      near.add({ set, row }, words)
      if (name === 'train') count(counts, example, words, groups.of(example))
      found.tokens[set].push(encodeText(tokenizer, encodable(example), { maxLength: ANY_LENGTH }).tokens)
      found.characters[set].push(codePoints(whole))
      found.oddities[set].push(odditiesOf(whole, words.length))
      scripts[set].push(scriptOf(whole))
      done++
      if (done % YIELD_EVERY !== 0) continue
      onProgress(done)
      await new Promise(resolve => setImmediate(resolve))
    }
  }
  onProgress(done)
  return { ...found, scripts, counts, near }
}

const encodable = ({ text, pair, words }: Example) => (words ? { words } : { text, pair })

/** Counts words by the groups of their text; where each word has a label, by those. */
function count(counts: WordCounts, { words, target }: Example, inText: readonly string[], groups: number[]): void {
  if (words === undefined || typeof target === 'number') counts.add(inText, groups)
  else
    counts.addEach(
      words.flatMap((word, i) => wordsIn(word).map(part => [part, target[i] >= 0 ? [target[i]] : []] as const)),
    )
}
