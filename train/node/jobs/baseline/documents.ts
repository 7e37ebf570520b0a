// The sets of a run as documents of words: read once for each choice of steps, since that takes longer than a fit.
import type { Corpus } from '../../../baseline/vocabulary.ts'
import { CorpusBuilder, selectDocuments } from '../../../baseline/vocabulary.ts'
import { wordsOf } from '../../../baseline/classifier.ts'
import type { Preprocessor } from '../../../baseline/steps.ts'
import type { Example } from '../../data/labelled.ts'
import type { Data } from '../job.ts'

/** Texts between two reports of progress, each of which yields to the event loop. */
const CHUNK = 250

export interface Documents {
  /** All training examples, with those that were taken aside for validation. */
  readonly all: Corpus
  readonly train: Corpus
  readonly validation: Corpus
  readonly test: Corpus
}

/** The words of all sets. `onProgress` is called with the number of texts that are done. */
export async function readDocuments(
  data: Data,
  preprocessor: Preprocessor,
  onProgress: (done: number) => void,
): Promise<Documents> {
  let done = 0
  const read = async (examples: readonly Example[]): Promise<Corpus> => {
    const builder = new CorpusBuilder()
    for (const [i, { text, pair }] of examples.entries()) {
      builder.add(wordsOf(pair === undefined ? text : { text, pair }, preprocessor))
      done++
      if ((i + 1) % CHUNK === 0 || i + 1 === examples.length) {
        onProgress(done)
        await turn()
      }
    }
    return builder.build()
  }
  const all = await read(data.all)
  const [train, aside] = partsOf(data)
  return {
    all,
    train: aside.length === 0 ? all : selectDocuments(all, train),
    validation: isAside(data) ? selectDocuments(all, aside) : await read(data.validation),
    test: await read(data.test),
  }
}

/** How many texts `readDocuments` reads. */
export const textsOf = (data: Data): number =>
  data.all.length + data.test.length + (isAside(data) ? 0 : data.validation.length)

/** Whether the validation set was taken from the training set, rather than a split of the data's own. */
export const isAside = ({ all, train }: Data): boolean => train.length < all.length

/** Places of the training and the validation examples among all. */
function partsOf({ all, train }: Data): [number[], number[]] {
  const trained = new Set(train)
  const places = all.map((_, place) => place)
  return [places.filter(place => trained.has(all[place])), places.filter(place => !trained.has(all[place]))]
}

/** Yields to the event loop: timers, signals and the progress bar. */
export const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
