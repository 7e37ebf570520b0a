// `pretrain --embeddings ppmi`: the word embeddings begin with what counts of neighbouring tokens tell.
import type { MaskedModel } from '../../../../models/masked.ts'
import type { Tokenizer } from '../../../../models/tokenizer.ts'
import { UserError } from '../../../../engine/errors.ts'
import { countPairs, positiveInformation, scaleTo } from '../../../cooccurrence.ts'
import { count } from '../../../counts.ts'
import { FACTORISE_STEPS, factorise } from '../../../eigenvectors.ts'
import { stream } from '../../../random.ts'
import type { Encoded } from '../../../task.ts'
import type { PretrainOptions } from '../../cli/pretrain-options.ts'
import type { Progress } from '../../cli/progress.ts'
import { maskedOptionsOf } from '../../data/packed.ts'

/** Tokens on either side that count as near. */
const WINDOW = 10

/** Rows that are counted between breaths, so that progress shows and signals come through. */
const BREATH = 10_000

/** Tokens of a vocabulary: its counts, a number for each pair, then take a gigabyte. */
const LARGEST = 16_384

/** Throws a UserError if the counts of so many tokens would not fit in memory. */
export function checkCountable({ embeddings }: Pick<PretrainOptions, 'embeddings'>, vocabulary: number): void {
  if (embeddings === 'ppmi' && vocabulary > LARGEST) {
    throw new UserError(
      `--embeddings ppmi counts pairs of at most ${count(LARGEST)} tokens, and there are ${count(vocabulary)}`,
    )
  }
}

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
  const chunks = Math.ceil(rows.train.length / BREATH)
  progress.start('embeddings', chunks + 1 + FACTORISE_STEPS)
  const told = async (done: number): Promise<void> => {
    progress.update(done)
    await new Promise(drawn => setImmediate(drawn))
  }
  const counts = new Float32Array(vocabulary * vocabulary)
  for (let chunk = 0; chunk < chunks; chunk++) {
    await told(chunk)
    countPairs(counts, rows.train.slice(chunk * BREATH, (chunk + 1) * BREATH), { window: WINDOW, special })
  }
  await told(chunks)
  const information = positiveInformation(counts, vocabulary)
  await told(chunks + 1)
  const random = stream(seed, 'embeddings')
  const values = await factorise(information, width, random, done => told(chunks + 1 + done))
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
