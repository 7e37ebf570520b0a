// Text to learn from: sentences of a small grammar, in which verbs agree with their subjects.
import { type Random, stream } from 'tilegrad/train'

const NOUNS = ['fox', 'goose', 'owl', 'mouse', 'child', 'horse', 'wolf', 'girl'] as const
const MANY: Readonly<Record<string, string>> = {
  goose: 'geese',
  mouse: 'mice',
  child: 'children',
  wolf: 'wolves',
  fox: 'foxes',
}
const ADJECTIVES = ['old', 'grey', 'small', 'quiet', 'hungry', 'clever'] as const
const VERBS = ['see', 'follow', 'greet', 'hear', 'like'] as const
const PLACES = ['in the wood', 'by the river', 'on the hill', 'at night', 'near the mill'] as const

const one = (random: Random, from: readonly string[]): string => from[random.below(from.length)] ?? ''

/** A noun with its article, and whether it is one or several. */
function someone(random: Random): { readonly words: string; readonly isOne: boolean } {
  const noun = one(random, NOUNS)
  const adjective = random.below(2) === 0 ? `${one(random, ADJECTIVES)} ` : ''
  const isOne = random.below(2) === 0
  if (isOne) return { words: `the ${adjective}${noun}`, isOne }
  return { words: `${one(random, ['two', 'three', 'some'])} ${adjective}${MANY[noun] ?? `${noun}s`}`, isOne }
}

/** Sentences, one a line. */
export function write(sentences: number, seed: number): string {
  const random = stream(seed, 'sentences')
  let text = ''
  for (let i = 0; i < sentences; i++) {
    const [subject, object] = [someone(random), someone(random)]
    const place = random.below(2) === 0 ? ` ${one(random, PLACES)}` : ''
    text += `${subject.words} ${one(random, VERBS)}${subject.isOne ? 's' : ''} ${object.words}${place}.\n`
  }
  return text
}
