// An evaluation: a task's loss and figures on examples, without dropout. Outputs are read late, so that the GPU never
// waits for the host.
import { NonFinite, type Tensor } from '../engine/index.ts'
import { windowsOf } from '../models/windows.ts'
import { type BatchingOptions, batchSizeFor, evaluationBatches, lengthOf, rowsFor } from './batches.ts'
import { type Namer, describeCause, figure } from './non-finite.ts'
import { stream } from './random.ts'
import type { EvaluationResult, EvaluationStep } from './steps.ts'
import type { Batch, Encoded, Figures, Task } from './task.ts'

export interface Evaluation {
  /** Mean loss, by the weights of the task. */
  readonly loss: number
  /** The task's figures by name. */
  readonly figures: Figures
  /** The task's outputs for each example, in the order of the examples. */
  readonly outputs: readonly Float32Array[]
  readonly seconds: number
}

export interface EvaluationOptions extends BatchingOptions {
  readonly padId: number
  readonly seed: number
}

/** Batches whose outputs are not read yet. */
const READ_LAG = 3

interface Waiting {
  readonly indices: readonly number[]
  readonly batch: Batch
  readonly result: EvaluationResult
}

/**
 * Evaluates `examples`. Throws a NonFinite, which begins with `what`, where an example's loss or outputs are not
 * finite; `nameOf` finds the parameters that its message names.
 */
export async function evaluate<Target>(
  step: EvaluationStep,
  task: Pick<Task<Target>, 'collate' | 'summarise' | 'sums' | 'scoresTokens'>,
  examples: readonly Encoded<Target>[],
  options: EvaluationOptions,
  {
    what,
    nameOf,
    onProgress,
  }: {
    readonly what: string
    readonly nameOf: Namer
    readonly onProgress?: (done: number, total: number) => void
  },
): Promise<Evaluation> {
  const start = performance.now()
  const lengths = examples.map(text => lengthOf(text, options.maxLength))
  const outputs = new Array<Float32Array>(examples.length)
  const sums = new Map(task.sums.map(name => [name, 0]))
  const waiting: Waiting[] = []
  let [loss, weight, count, done] = [0, 0, 0, 0]

  const read = async ({ indices, batch, result }: Waiting): Promise<void> => {
    const numbers = (each: Tensor): Promise<ArrayLike<number>> => each.data()
    const [losses, weights, values] = await Promise.all([result.losses, result.weights, result.outputs].map(numbers))
    for (const [row, index] of indices.entries()) {
      const output = Float32Array.from(ownOf(values, task, batch, row, examples[index]) ?? values)
      const own = ownOf(losses, task, batch, row, examples[index]) ?? Array.from(losses)
      if (!output.every(Number.isFinite) || !own.every(Number.isFinite)) {
        const cause = describeCause(await step.diagnose(batch), nameOf)
        throw new NonFinite(
          `${what} is not finite: example ${index + 1} of ${examples.length} has loss ${figure(own.reduce((a, b) => a + b, 0))} ` +
            `and outputs ${Array.from(output.subarray(0, 4), figure).join(', ')}${output.length > 4 ? ', …' : ''}; ${cause}`,
        )
      }
      outputs[index] = output
    }
    for (let i = 0; i < losses.length; i++) loss += losses[i]
    for (let i = 0; i < weights.length; i++) weight += weights[i]
    for (const name of task.sums) sums.set(name, (sums.get(name) ?? 0) + (await result.sums[name].item()))
    count += batch.count
    done += indices.length
    onProgress?.(done, examples.length)
  }

  const random = stream(options.seed, 'evaluation')
  for (const indices of evaluationBatches(lengths, rowsFor(options))) {
    const size = {
      ...batchSizeFor(
        indices.map(i => lengths[i]),
        options,
      ),
      padId: options.padId,
    }
    const batch = task.collate(
      indices.map(i => examples[i]),
      size,
      random,
    )
    waiting.push({ indices, batch, result: await step.run(batch) })
    if (waiting.length > READ_LAG) await read(waiting.splice(0, 1)[0])
  }
  for (const next of waiting) await read(next)
  const means = Object.fromEntries([...sums].map(([name, sum]) => [name, count > 0 ? sum / count : undefined]))
  const figures = task.summarise(
    examples.map(({ target }, i) => ({ target, output: outputs[i] })),
    means,
  )
  return { loss: weight > 0 ? loss / weight : 0, figures, outputs, seconds: (performance.now() - start) / 1000 }
}

/**
 * The values of one example in a batch: its row, or if the task scores tokens, those of its windows without padding.
 * Undefined if the values are neither per text nor per token.
 */
function ownOf(
  values: ArrayLike<number>,
  { scoresTokens }: Pick<Task<never>, 'scoresTokens'>,
  { batch, windows, sequence, starts }: Batch,
  row: number,
  example: Encoded<unknown>,
): number[] | undefined {
  const stretch = (from: number, length: number): number[] => Array.from({ length }, (_, i) => values[from + i])
  if (!scoresTokens) {
    const width = values.length / batch
    return Number.isInteger(width) ? stretch(row * width, width) : undefined
  }
  const width = values.length / (windows * sequence)
  return windowsOf(example).flatMap(({ ids }, i) => stretch((starts[row] + i) * sequence * width, ids.length * width))
}
