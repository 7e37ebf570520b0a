// The words that decided a model's answers: gradient × input (`models/attribution.ts`), the strongest of each text.
import type { Attributor } from '../../../models/attribution.ts'
import type { Prediction, TextInput } from '../../../models/prediction.ts'
import { type WordShare, strongestWords } from '../../../models/word-shares.ts'

/** Words that are shown of a text, and characters that are shown of one: some texts hold encoded files. */
const SHOWN = 4
const LONGEST = 40

/**
 * The words with the largest shares in the score of each answer, the largest first; none where they can't be told, and
 * for answers that label words.
 */
export async function decidingWords(
  attributor: Attributor,
  inputs: readonly TextInput[],
  answers: readonly Prediction[],
  labels: readonly string[],
): Promise<(readonly WordShare[])[]> {
  const found = await attributor(inputs.map((input, i) => ({ input, label: labelOf(answers[i], labels) })))
  return found.map(shares => {
    if (!shares) return []
    const { text, pair } = strongestWords(shares, SHOWN)
    return [...text, ...pair].sort((a, b) => Math.abs(b.share) - Math.abs(a.share))
  })
}

/** The label whose score is explained: the one that was given, of several at once the most probable. */
function labelOf(answer: Prediction, labels: readonly string[]): number {
  switch (answer.kind) {
    case 'label':
      return labels.indexOf(answer.label)
    case 'labels':
      return labels.reduce(
        (best, name, i) => (answer.probabilities[name] > answer.probabilities[labels[best]] ? i : best),
        0,
      )
    case 'number':
    case 'words':
      return 0
  }
}

/** For people, in one line: + for the answer, − against it. A word without a letter or a digit stands in quotes. */
export const wordsText = (words: readonly WordShare[]): string =>
  words
    .map(({ text, share }) => {
      const characters = Array.from(text)
      const short = characters.length > LONGEST ? `${characters.slice(0, LONGEST - 1).join('')}…` : text
      const word = /[\p{L}\p{N}]/u.test(text) ? short : `"${short}"`
      return `${word} ${share < 0 ? '−' : '+'}${Math.abs(share).toPrecision(2)}`
    })
    .join(', ')

/** For programs. */
export const wordsRecord = (words: readonly WordShare[]): object[] =>
  words.map(({ text, share }) => ({ word: text, share }))
