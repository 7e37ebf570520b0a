// The loss and accuracy at masked tokens of a base, and of what was trained of it: an evaluation of pretraining.
import { type Device, UserError, concat } from '../../../../engine/index.ts'
import {
  createMaskedModel,
  createModel,
  createTokenModel,
  loadWeights,
  matchWeights,
  originOf,
} from '../../../../models/index.ts'
import { fillParameter, writeChecked } from '../../../../models/filling.ts'
import type { PartOfFile } from '../../../../models/loading.ts'
import type { MaskedModel } from '../../../../models/masked.ts'
import { openWeights } from '../../../../models/node/files.ts'
import { readAdapterConfig, withAdapterTensors } from '../../../../models/node/peft.ts'
import { mergedOrigin } from '../../../../models/peft.ts'
import type { TensorFile } from '../../../../models/safetensors.ts'
import { checkSizes } from '../../../../models/sizes.ts'
import type { Forgetting, MaskedFigures } from '../../../compare/forgetting.ts'
import { evaluate } from '../../../evaluation.ts'
import { ratioInterval } from '../../../metrics/means.ts'
import { EvaluationStep } from '../../../steps.ts'
import type { Encoded, Task } from '../../../task.ts'
import { MASKED_SHARE, maskedTask } from '../../../tasks/masked-lm.ts'
import { maskedOptionsOf, packTexts } from '../../data/packed.ts'
import { withWeights } from '../model.ts'
import type { Base, Tuned } from './open.ts'

/** The seed of the masks, and of the texts that are drawn. */
export const SEED = 42
/** The longest row in tokens, unless the model takes less. */
const LONGEST = 128
const MOST_ROWS = 32
/** Scores of a batch, masked tokens times the vocabulary, in f32: as many bytes as any adapter binds. */
const MOST_SCORES = 2 ** 25

/** Neither the head of a classifier nor its shape matters here. */
const ENCODER: PartOfFile = { head: false }

export const sequenceOf = ({ config }: Base): number => Math.min(LONGEST, config.maxPositions)

/** Rows of tokens, all of each text. */
export const rowsOf = (base: Base, texts: readonly string[]): Promise<Encoded<undefined>[]> =>
  packTexts(texts, base.tokenizer, sequenceOf(base))

/** How rows become batches. It decides which tokens are masked, so it depends on the base alone. */
export function batchingOf(base: Base) {
  const maxLength = sequenceOf(base)
  const places = Math.max(1, Math.round(MASKED_SHARE * (maxLength - 2)))
  const fitting = Math.floor(MOST_SCORES / (places * base.config.vocabSize))
  return { batchSize: Math.min(MOST_ROWS, Math.max(1, fitting)), maxLength, padId: base.tokenizer.padId, seed: SEED }
}

/** What a model predicts, in all and row by row. */
export interface Predicted {
  readonly figures: MaskedFigures
  /** The sum of the losses of each row. */
  readonly losses: Float64Array
  /** Masked tokens of each row. */
  readonly counts: Float64Array
}

/** The change of the loss from the base, with its interval over the rows. */
export function forgettingFrom(base: Predicted, tuned: Predicted): Forgetting {
  const { interval } = ratioInterval(
    tuned.losses.map((loss, row) => loss - base.losses[row]),
    base.counts,
  )
  return { base: base.figures, tuned: tuned.figures, interval }
}

/** The task with outputs f32 [rows, 2]: the sum of each row's losses, and how many there are. */
function byRow(task: Task<undefined, MaskedModel>): Task<undefined, MaskedModel> {
  return {
    ...task,
    collate: (examples, size, random) => {
      const batch = task.collate(examples, size, random)
      const { positions } = batch.arrays
      const [places] = positions.shape
      const data = new Float32Array(batch.batch * places)
      for (let place = 0; place < batch.count; place++)
        data[Math.floor(positions.data[place] / batch.sequence) * places + place] = 1
      return { ...batch, arrays: { ...batch.arrays, rows: { data, shape: [batch.batch, places] } } }
    },
    forward: (model, inputs, context) => {
      const own = task.forward(model, inputs, context)
      const { losses, weights } = own.losses
      const columns = concat([losses.reshape([-1, 1]), weights.reshape([-1, 1])], 1)
      return { ...own, outputs: inputs.arrays.rows.matmul(columns) }
    },
  }
}

/** A base on the device, and the rows whose tokens are masked. */
export class MaskedTest {
  readonly #base: Base
  readonly #rows: readonly Encoded<undefined>[]
  readonly #model: MaskedModel
  readonly #task: Task<undefined, MaskedModel>
  readonly #step: EvaluationStep

  constructor(base: Base, rows: readonly Encoded<undefined>[], device: Device) {
    this.#base = base
    this.#rows = rows
    this.#model = createMaskedModel(base.config)
    checkSizes(this.#model, device)
    this.#task = byRow(maskedTask(maskedOptionsOf(base.tokenizer)))
    this.#step = new EvaluationStep(this.#model, this.#task)
  }

  /**
   * The figures of the base, or of a run under the base's head. Throws a UserError if no token of the texts can be
   * masked, and a NonFinite if a loss is not finite.
   */
  async measure(tuned: Tuned | undefined, onProgress: (rows: number) => void): Promise<Predicted> {
    const { name, folder } = this.#base
    await withWeights({ folder }, async file => {
      await loadWeights(this.#model, file, 0)
      if (tuned) await fillTuned(this.#model, tuned, file)
    })
    const names = new Set(this.#model.parameters().map(parameter => parameter.name))
    const { loss, figures, outputs } = await evaluate(this.#step, this.#task, this.#rows, batchingOf(this.#base), {
      what: `the masked-token loss of ${tuned?.name ?? name}`,
      nameOf: (variable, element) => (names.has(variable) ? { name: variable, element } : undefined),
      onProgress,
    })
    if (figures.accuracy === undefined) throw new UserError(`no token of the texts is in the vocabulary of ${name}`)
    const [losses, counts] = [0, 1].map(column => Float64Array.from(outputs, row => row[column]))
    const tokens = counts.reduce((sum, count) => sum + count, 0)
    return { figures: { loss, accuracy: figures.accuracy, tokens }, losses, counts }
  }

  /** Releases the model's memory. */
  release(): void {
    for (const { variable } of this.#model.parameters()) variable?.release()
  }
}

/** Puts a run's encoder in the place of its base's; the head stays. Throws a UserError if the files do not fit. */
async function fillTuned(
  model: MaskedModel,
  { saved: { folder, isAdapter }, task, base: { config } }: Tuned,
  base: TensorFile,
): Promise<void> {
  if (!isAdapter) {
    const file = await openWeights(folder)
    try {
      for (const { parameter, tensor } of matchWeights(model, file, ENCODER).loaded)
        await fillParameter(parameter, file, tensor)
    } finally {
      await file.close()
    }
    return
  }
  // The adapter's targets are those of the model that it was trained on, which may all be in its head.
  const trained = task === 'tokens' ? createTokenModel(config) : createModel(config)
  const adapter = await readAdapterConfig(folder)
  await withAdapterTensors(folder, async file => {
    const { origin, changed } = mergedOrigin(trained, originOf(trained, base, 0, ENCODER), adapter, file, ENCODER)
    for (const parameter of model.parameters()) {
      const own = changed.find(({ name }) => name === parameter.name)
      if (own) await writeChecked(parameter, new Float32Array(await origin(own)), 0, () => file.where)
    }
  })
}
