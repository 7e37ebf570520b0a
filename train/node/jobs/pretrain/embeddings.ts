// `pretrain --embeddings ppmi`: the word embeddings begin with what counts of neighbouring tokens tell.
import type { MaskedModel } from '../../../../models/masked.ts'
import type { Tokenizer } from '../../../../models/tokenizer.ts'
import { countPairs, factorise, positiveInformation, scaleTo } from '../../../cooccurrence.ts'
import { stream } from '../../../random.ts'
import type { Encoded } from '../../../task.ts'
import type { PretrainOptions } from '../../cli/pretrain-options.ts'
import type { Progress } from '../../cli/progress.ts'
import { maskedOptionsOf } from '../../data/packed.ts'

/** Tokens on either side that count as near. */
const WINDOW = 10

/** Fills the model's word embeddings; the masked-language head, which is tied to them, begins with the same. */
export async function countedEmbeddings(
  {
    model,
    tokenizer,
    rows,
    options: { seed },
  }: {
    readonly model: MaskedModel
    readonly tokenizer: Tokenizer
    readonly rows: { readonly train: readonly Encoded<undefined>[] }
    readonly options: PretrainOptions
  },
  progress: Progress,
): Promise<void> {
  const { special } = maskedOptionsOf(tokenizer)
  const { weight } = model.encoder.embeddings.words
  const [vocabulary, width] = weight.shape
  const steps = 10
  progress.start('embeddings', steps)
  const told = async (done: number): Promise<void> => {
    progress.update(done)
    // Signals come through, and the line is drawn.
    await new Promise(drawn => setImmediate(drawn))
  }
  await told(0)
  const counts = countPairs(rows.train, vocabulary, { window: WINDOW, special })
  await told(2)
  const information = positiveInformation(counts, vocabulary)
  await told(4)
  const random = stream(seed, 'embeddings')
  const values = await factorise(information, width, random, done => told(4 + done))
  const { initializerRange } = model.config
  scaleTo(values, initializerRange)
  // Nothing was counted of special tokens, and of tokens that the texts never use.
  for (let row = 0; row < vocabulary; row++) {
    const embedding = values.subarray(row * width, (row + 1) * width)
    if (embedding.every(value => value === 0))
      embedding.set(Float32Array.from(embedding, () => initializerRange * random.normal()))
  }
  await weight.write(values)
  progress.stop()
}
