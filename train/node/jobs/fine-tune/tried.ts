// What a run shows at its end: texts with the model's answers, and the words that decided each.
import { type WordShare, attribute, strongestWords } from '../../../../models/attribution.ts'
import type { TextClassifier } from '../../../../models/classifier.ts'
import { type Prediction, type TextInput, textOf } from '../../../../models/prediction.ts'
import { jsonOf } from '../predict.ts'
import { answerLine } from './describe.ts'

export interface Tried {
  readonly input: TextInput
  readonly answer: Prediction
  /** The words with the largest shares in the answer's score, the largest first; none where they can't be told. */
  readonly words: readonly WordShare[]
}

/** Words that are shown of a text. */
const SHOWN = 4

/** The answers to some texts, and what decided them: gradient × input (`models/attribution.ts`). */
export async function tryTexts(classifier: TextClassifier, inputs: readonly TextInput[]): Promise<Tried[]> {
  const answers = await classifier.classify(inputs)
  const explained = answers.some(({ kind }) => kind === 'words')
    ? []
    : await attribute(
        classifier,
        inputs.map((input, i) => ({ input, label: labelOf(answers[i], classifier.options.labels) })),
      )
  return inputs.map((input, i) => {
    const found = explained[i] && strongestWords(explained[i], SHOWN)
    const words = found ? [...found.text, ...found.pair].sort((a, b) => Math.abs(b.share) - Math.abs(a.share)) : []
    return { input, answer: answers[i], words }
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

/** An answer in one line, and below it the words that decided: + for the answer, − against it. */
export function triedText({ input, answer, words }: Tried): string {
  const shares = words.map(({ text, share }) => `${text} ${share < 0 ? '−' : '+'}${Math.abs(share).toPrecision(2)}`)
  return [answerLine(input, answer), ...(shares.length > 0 ? [`    ${shares.join(', ')}`] : [])].join('\n')
}

/** As result.json has it. */
export const triedRecord = ({ input, answer, words }: Tried): object => ({
  text: textOf(input),
  ...(typeof input !== 'string' && 'pair' in input && { pair: input.pair }),
  ...jsonOf(answer),
  ...(answer.kind !== 'words' && { decided_by: words.map(({ text, share }) => ({ word: text, share })) }),
})
