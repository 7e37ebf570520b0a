// What a new model knows from counts before its first step: how frequent tokens are, and with `--embeddings ppmi` which
// ones occur together.
import type { MaskedModel } from '../../../../models/masked.ts'
import type { Tokenizer } from '../../../../models/tokenizer.ts'
import { UserError } from '../../../../engine/errors.ts'
import {
  countNear,
  countTogether,
  countTokens,
  logShares,
  positiveInformation,
  scaleTo,
} from '../../../cooccurrence.ts'
import { count } from '../../../counts.ts'
import { FACTORISE_STEPS, factorise } from '../../../eigenvectors.ts'
import { stream } from '../../../random.ts'
import type { Encoded } from '../../../task.ts'
import type { PretrainOptions } from '../../cli/pretrain-options.ts'
import type { Progress } from '../../cli/progress.ts'
import type { StopRequest } from '../../cli/shell.ts'
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

/** Leaves the counting. */
class Stopped extends Error {}

type Counting = (counts: Float32Array, rows: readonly Encoded<undefined>[]) => void

/**
 * Fills the model's word embeddings; the masked-language head, which is tied to them, begins with the same. False, with
 * the embeddings as they were, if a stop was requested before they were counted.
 */
export async function countedEmbeddings(
  {
    model,
    tokenizer,
    rows: { train: rows },
    options: { seed },
  }: {
    readonly model: MaskedModel
    readonly tokenizer: Tokenizer
    readonly rows: { readonly train: readonly Encoded<undefined>[] }
    readonly options: PretrainOptions
  },
  progress: Progress,
  stopping: Pick<StopRequest, 'requested'>,
): Promise<boolean> {
  const { special } = maskedOptionsOf(tokenizer)
  const { weight } = model.encoder.embeddings.words
  const [vocabulary, width] = weight.shape
  const chunks = Math.ceil(rows.length / BREATH)
  const steps = chunks + 1 + FACTORISE_STEPS
  progress.start('embeddings', 2 * steps)
  const told = async (done: number): Promise<void> => {
    progress.update(done)
    await new Promise(drawn => setImmediate(drawn))
    if (stopping.requested) throw new Stopped()
  }
  const random = stream(seed, 'embeddings')
  const { initializerRange } = model.config
  const part = async (add: Counting, columns: number, from: number): Promise<Float32Array> => {
    const counts = new Float32Array(vocabulary * vocabulary)
    for (let chunk = 0; chunk < chunks; chunk++) {
      await told(from + chunk)
      add(counts, rows.slice(chunk * BREATH, (chunk + 1) * BREATH))
    }
    await told(from + chunks)
    const information = positiveInformation(counts, vocabulary)
    await told(from + chunks + 1)
    const values = await factorise(information, columns, random, done => told(from + chunks + 1 + done))
    scaleTo(values, initializerRange)
    return values
  }
  const half = Math.floor(width / 2)
  let near: Float32Array
  let together: Float32Array
  try {
    near = await part((counts, of) => countNear(counts, of, { window: WINDOW, special }), half, 0)
    together = await part((counts, of) => countTogether(counts, of, { special }), width - half, steps)
  } catch (error) {
    if (error instanceof Stopped) return false
    throw error
  } finally {
    progress.stop()
  }
  const values = new Float32Array(vocabulary * width)
  for (let row = 0; row < vocabulary; row++) {
    const embedding = values.subarray(row * width, (row + 1) * width)
    embedding.set(near.subarray(row * half, (row + 1) * half))
    embedding.set(together.subarray(row * (width - half), (row + 1) * (width - half)), half)
    // Nothing was counted of special tokens, and of tokens that the texts never use.
    if (embedding.every(value => value === 0))
      embedding.set(Float32Array.from(embedding, () => initializerRange * random.normal()))
  }
  await weight.write(values)
  return true
}

/**
 * Fills the bias of a new model's masked-language head with the logarithms of the tokens' shares of the texts, which is
 * the best guess of a model that knows nothing else. From zero, hundreds of steps go into learning them.
 */
export async function countedBias({
  model,
  tokenizer,
  rows,
}: {
  readonly model: MaskedModel
  readonly tokenizer: Tokenizer
  readonly rows: { readonly train: readonly Encoded<undefined>[] }
}): Promise<void> {
  const { special } = maskedOptionsOf(tokenizer)
  await model.decoder.bias.write(logShares(countTokens(rows.train, tokenizer.vocabSize, special)))
}
