// Reviews of two classes as fine-tuning loads them, in the form that tests compare: a text and the number of its class.
import { type DataOptions, type Example, loadLabelled } from '../../train/node/data/labelled.ts'
import { sentimentOf } from '../../train/node/data/sentiment.ts'

export interface Review {
  readonly text: string
  /** Which of `labels` it has. */
  readonly label: number
}

export interface Reviews {
  readonly train: readonly Review[]
  readonly test: readonly Review[]
  /** Names of the classes by their number. */
  readonly labels: readonly string[]
  readonly source: string
  readonly unlabelled: number
}

const reviewOf = ({ text, target }: Example): Review => {
  if (typeof target !== 'number') throw new Error(`not one label: ${JSON.stringify(target)}`)
  return { text, label: target }
}

export async function loadReviews(
  path: string,
  testSeed = 42,
  options: Omit<DataOptions, 'testSeed'> = {},
): Promise<Reviews> {
  const {
    plan: { labels },
    train,
    test,
    source,
    unlabelled,
  } = await loadLabelled(path, { testSeed, spellings: sentimentOf, ...options })
  return { train: train.map(reviewOf), test: test.map(reviewOf), labels, source, unlabelled }
}
