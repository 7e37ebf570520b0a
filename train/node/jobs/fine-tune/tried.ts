// What a run shows at its end: texts with the model's answers, and the words that decided each.
import { attributor } from '../../../../models/attribution.ts'
import type { TextClassifier } from '../../../../models/classifier.ts'
import { type Prediction, type TextInput, textOf } from '../../../../models/prediction.ts'
import type { WordShare } from '../../../../models/word-shares.ts'
import { decidingWords, wordsRecord, wordsText } from '../explain.ts'
import { jsonOf } from '../predict.ts'
import { answerLine } from './describe.ts'

export interface Tried {
  readonly input: TextInput
  readonly answer: Prediction
  /** The words with the largest shares in the answer's score, the largest first; none where they can't be told. */
  readonly words: readonly WordShare[]
}

/** The answers to some texts, and what decided them. */
export async function tryTexts(classifier: TextClassifier, inputs: readonly TextInput[]): Promise<Tried[]> {
  const answers = await classifier.classify(inputs)
  const words = answers.some(({ kind }) => kind === 'words')
    ? inputs.map(() => [])
    : await decidingWords(attributor(classifier), inputs, answers, classifier.options.labels)
  return inputs.map((input, i) => ({ input, answer: answers[i], words: words[i] }))
}

/** An answer in one line, and below it the words that decided: + for the answer, − against it. */
export const triedText = ({ input, answer, words }: Tried): string =>
  [answerLine(input, answer), ...(words.length > 0 ? [`    ${wordsText(words)}`] : [])].join('\n')

/** As result.json has it. */
export const triedRecord = ({ input, answer, words }: Tried): object => ({
  text: textOf(input),
  ...(typeof input !== 'string' && 'pair' in input && { pair: input.pair }),
  ...jsonOf(answer),
  ...(answer.kind !== 'words' && { decided_by: wordsRecord(words) }),
})
