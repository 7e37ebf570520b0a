// Asks a model which words pushed it to the worst mistakes of a test.
import { attribute } from '../../../models/attribution.ts'
import type { TextClassifier } from '../../../models/classifier.ts'
import type { TextInput } from '../../../models/prediction.ts'
import type { Tested } from './tested.ts'
import { type Explanation, worstOf } from './worst.ts'

/** The test with an explanation of each mistake that the report shows, where there is one. */
export async function explained(tested: Tested, classifier: TextClassifier): Promise<Tested> {
  const { texts, labels, task } = tested
  const worst = worstOf(tested)
  if (worst.length === 0) return tested
  const answers = await attribute(
    classifier,
    worst.map(({ row, label }) => ({ input: inputOf(texts[row]), label })),
  )
  const explanations = worst.flatMap(({ row, label }, i): [number, Explanation][] => {
    const words = answers[i]
    return words ? [[row, { label: task === 'regression' ? 'the number' : labels[label], words }]] : []
  })
  return { ...tested, explanations: new Map(explanations) }
}

const inputOf = ({ text, pair }: Tested['texts'][number]): TextInput => (pair === undefined ? text : { text, pair })
