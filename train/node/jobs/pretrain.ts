// `node train/node/jobs/pretrain.ts --data FOLDER --out FOLDER`: makes a small base model from texts alone. Learns a WordPiece
// vocabulary, then trains a BERT to guess masked tokens (Devlin et al. 2019). The model that comes with tilegrad was made so.
import { parseArgs } from 'node:util'
import { join } from 'node:path'
import { NonFinite, UserError, compile, grad, openDevice, tensor, useDevice } from '../../../engine/index.ts'
import { printableLine } from '../../../engine/errors.ts'
import { openAdapter } from '../../../engine/node/adapters.ts'
import type { Tensor } from '../../../engine/tensor.ts'
import { type BertForMaskedLM, type ModelConfig, createMaskedModel, forwardContext, initialise, modelTensors, toHubConfig } from '../../../models/index.ts'
import { writeAtomic, writeSafetensors } from '../../../models/node/files.ts'
import { type Tokenizer, tokenizerFromVocabulary } from '../../../models/tokenizer.ts'
import { AdamW } from '../../adamw.ts'
import { factor as learningRate } from '../cli/table.ts'
import { FiniteCheck, StepGuard } from '../../guard.ts'
import { badStep, describeCause, figure } from '../../non-finite.ts'
import { loadUnlabelled } from '../data/reviews.ts'
import { Mean } from '../../metrics/running.ts'
import { runCommand } from '../cli/main.ts'
import { Progress } from '../cli/progress.ts'
import { type Random, stream } from '../../random.ts'
import { schedule } from '../../schedules.ts'
import { SPECIAL_TOKENS, countWords, learnVocabulary } from '../../wordpiece.ts'

const defaults = {
  'vocabulary': 6000, 'hidden': 128, 'layers': 2, 'heads': 2, 'sequence': 64, 'batch-size': 64,
  'steps': 3000, 'minutes': 0, 'lr': 1e-3, 'texts': 50000, 'seed': 42,
}
type Numbers = typeof defaults

/** Share of the tokens that are to be guessed, and of those how many are replaced by [MASK] and by a random token. */
const MASKED = 0.15
const REPLACED_BY_MASK = 0.8
const REPLACED_BY_RANDOM = 0.1
const SAVE_EVERY_SECONDS = 120
/** initializer_range of the layers that a task adds, 1/√128. At BERT's own 0.02 a fresh pooler of that width passes next to nothing on. */
const FRESH_RANGE = 0.09

function readOptions(argv: readonly string[]): { data: string, out: string, numbers: Numbers } {
  const names = Object.keys(defaults) as (keyof Numbers)[]
  const options = Object.fromEntries(['data', 'out', ...names].map(name => [name, { type: 'string' as const }]))
  let values: Record<string, unknown>
  try {
    values = parseArgs({ args: [...argv], options }).values
  } catch (error) {
    throw new UserError(`${(error as Error).message.split('.')[0]}; options: --data --out ${names.map(name => `--${name}`).join(' ')}`)
  }
  const { data, out } = values
  if (typeof data !== 'string' || typeof out !== 'string') throw new UserError('pretrain needs --data FOLDER and --out FOLDER')
  const numbers = { ...defaults }
  for (const name of names) {
    if (values[name] === undefined) continue
    const text = String(values[name])
    const value = name === 'lr' ? learningRate.read(text) : Number(text)
    if (value === undefined || !(value >= 0 && value < Infinity)) {
      throw new UserError(`--${name} takes ${name === 'lr' ? learningRate.expects : 'a number'}; got ${JSON.stringify(text)}`)
    }
    numbers[name] = value
  }
  return { data, out, numbers }
}

/** Rows of token ids, [CLS] … [SEP], cut from the texts one after another. */
function cutRows(texts: readonly string[], tokenizer: Tokenizer, sequence: number, progress: Progress): Int32Array[] {
  const rows: Int32Array[] = []
  progress.start('tokenise', texts.length)
  texts.forEach((text, i) => {
    const ids = tokenizer.encode(text).ids.slice(1, -1)
    for (let at = 0; at + sequence - 2 <= ids.length; at += sequence - 2) {
      rows.push(Int32Array.of(tokenizer.clsId, ...ids.slice(at, at + sequence - 2), tokenizer.sepId))
    }
    if (i % 200 === 0) progress.update(i)
  })
  progress.stop()
  return rows
}

interface MaskedBatch {
  readonly ids: Int32Array<ArrayBuffer>
  readonly positions: Int32Array<ArrayBuffer>
  readonly labels: Int32Array<ArrayBuffer>
}

/** Hides a fixed number of tokens in each of the rows. */
function maskRows(rows: readonly Int32Array[], sequence: number, tokenizer: Tokenizer, random: Random): MaskedBatch {
  const { maskId } = tokenizer
  if (maskId === undefined) throw new UserError('the vocabulary has no [MASK]')
  const each = Math.max(1, Math.round(MASKED * (sequence - 2)))
  const ids = new Int32Array(rows.length * sequence)
  const positions = new Int32Array(rows.length * each)
  const labels = new Int32Array(rows.length * each)
  rows.forEach((row, r) => {
    ids.set(row, r * sequence)
    const inner = random.shuffle(Array.from({ length: sequence - 2 }, (_, i) => i + 1)).slice(0, each)
    inner.forEach((column, k) => {
      const at = r * sequence + column
      positions[r * each + k] = at
      labels[r * each + k] = row[column]
      const draw = random.next()
      if (draw < REPLACED_BY_MASK) ids[at] = maskId
      else if (draw < REPLACED_BY_MASK + REPLACED_BY_RANDOM) ids[at] = SPECIAL_TOKENS.length + random.below(tokenizer.vocabSize - SPECIAL_TOKENS.length)
    })
  })
  return { ids, positions, labels }
}

async function save(folder: string, model: BertForMaskedLM, tokenizer: Tokenizer): Promise<void> {
  // Half precision is enough for a model to start from, and half the bytes in the repository.
  const tensors = modelTensors(model).filter(({ name }) => !name.startsWith('cls.')).map(entry => ({ ...entry, dtype: 'F16' as const }))
  await writeSafetensors(join(folder, 'model.safetensors'), tensors, { format: 'pt' })
  await writeAtomic(join(folder, 'tokenizer.json'), `${JSON.stringify(tokenizer.json)}\n`)
  await writeAtomic(join(folder, 'config.json'), `${JSON.stringify({ ...toHubConfig({ ...model.config, initializerRange: FRESH_RANGE }), architectures: [model.architecture] }, null, 2)}\n`)
}

async function main(argv: readonly string[]): Promise<number> {
  const { data, out, numbers } = readOptions(argv)
  const { hidden, layers, heads, sequence, seed, steps, lr } = numbers
  const batch = numbers['batch-size']
  const progress = new Progress()
  const { adapter, info } = await openAdapter()
  const device = await openDevice(adapter, info)
  useDevice(device)

  const random = stream(seed, 'pretrain')
  const { texts: all } = await loadUnlabelled(data)
  const texts = random.shuffle(all).slice(0, numbers.texts).map(text => text.replaceAll('<br />', ' '))
  const vocabulary = learnVocabulary(countWords(texts), numbers.vocabulary)
  const tokenizer = tokenizerFromVocabulary(`${vocabulary.join('\n')}\n`, { lowercase: true }, 'the learned vocabulary')
  const rows = cutRows(texts, tokenizer, sequence, progress)
  const sizes = `${rows.length} rows of ${sequence} tokens, ${vocabulary.length} tokens in the vocabulary`
  process.stderr.write(`${printableLine(`${sizes}, on ${info.name}`)}\n`)

  const config: ModelConfig = {
    family: 'bert', name: 'tilegrad-small', vocabSize: tokenizer.vocabSize, hidden, layers, heads, intermediate: 4 * hidden,
    maxPositions: 2 * sequence, typeVocab: 2, layerNormEpsilon: 1e-12, activation: 'gelu', dropout: 0.1, attentionDropout: 0.1,
    classifierDropout: 0.1, padTokenId: tokenizer.padId, labels: ['negative', 'positive'], initializerRange: 0.02,
  }
  const model = createMaskedModel(config)
  await initialise(model.parameters(), seed)
  const parameters = model.trainable()
  const optimizer = await AdamW.over(parameters, { weightDecay: 0.01, clip: 1, maxArenaBytes: device.gpu.limits.maxStorageBufferBindingSize })
  const guard = new StepGuard()
  const step = compile((ids: Tensor, positions: Tensor, labels: Tensor, number: Tensor, hyper: Tensor) => {
    // Dropout pays only where a text is seen many times.
    const context = forwardContext({ training: false, seed, step: number })
    const mask = tensor(new Int32Array(batch * sequence).fill(1), [batch, sequence])
    const loss = model.loss({ ids, mask }, positions, labels, context)
    const gradients = optimizer.flatten(parameters, grad(loss, parameters.map(p => p.tensor)))
    const norm = optimizer.update(gradients, hyper, undefined, undefined, norm => guard.isGood(guard.judge(loss, norm)))
    return { loss, norm }
  })

  const factor = schedule('linear', { warmup: 0.05, steps })
  const loss = new Mean()
  let order: number[] = []
  let saved = performance.now()
  const end = numbers.minutes > 0 ? performance.now() + numbers.minutes * 60_000 : Infinity
  const began = performance.now()
  let waiting: { t: number, rate: number, args: Parameters<typeof step>, told: Awaited<ReturnType<typeof step>> } | undefined
  let recent = 0
  /** Reads the step before. Throws a NonFinite where it was not finite: no step after that changes anything. */
  const settle = async (): Promise<void> => {
    if (!waiting) return
    const { t, rate, args, told } = waiting
    const [value, norm] = [await told.loss.item(), await told.norm.item()]
    if (!Number.isFinite(value) || !Number.isFinite(norm)) {
      throw badStep({ step: t, loss: value, norm, lr: rate, lossScale: undefined, skipped: 0 },
        describeCause(await step.diagnose(...args), (variable, element) => optimizer.placeOf(variable, element)))
    }
    loss.add(value)
    recent = recent === 0 ? value : 0.98 * recent + 0.02 * value
    waiting = undefined
  }
  const check = new FiniteCheck(optimizer.state())
  const saveGood = async (t: number): Promise<void> => {
    await settle()
    const bad = await check.first()
    if (bad) {
      const place = optimizer.placeOf(bad.variable, bad.element)
      throw new NonFinite(`an update up to step ${t} overflowed: ${place?.name ?? bad.variable} is ${figure(bad.value)}; nothing was saved of it`)
    }
    await save(out, model, tokenizer)
  }
  progress.start('pretrain', steps)
  let done = 0
  for (let t = 1; t <= steps && performance.now() < end; t++) {
    if (order.length < batch) order = random.shuffle(rows.map((_, i) => i))
    const { ids, positions, labels } = maskRows(order.splice(-batch).map(i => rows[i]), sequence, tokenizer, random)
    // With a limit of time, the rate falls with the time that is left.
    const rate = numbers.minutes > 0 ? Math.min(1, t / 50) * (1 - (performance.now() - began) / (end - began)) : factor(t - 1)
    const args: Parameters<typeof step> = [
      tensor(ids, [batch, sequence]), tensor(positions), tensor(labels), tensor(Uint32Array.of(t), []), optimizer.hyper(t, lr * rate),
    ]
    const told = await step(...args)
    await settle()
    waiting = { t, rate: lr * rate, args, told }
    done = t
    progress.update(t, { loss: recent, examplesPerSecond: batch * t / ((performance.now() - began) / 1000) })
    if (performance.now() - saved > SAVE_EVERY_SECONDS * 1000) {
      await saveGood(t)
      saved = performance.now()
    }
  }
  progress.stop()
  await saveGood(done)
  process.stderr.write(`Loss lately ${recent.toFixed(3)} (${Math.log(tokenizer.vocabSize).toFixed(3)} is chance); saved to ${out}\n`)
  return 0
}

await runCommand(main)
