// LoRA (Hu et al. 2021): which modules get adapters, what is frozen, and folding adapters into the weights and out.
import { UserError } from '../engine/errors.ts'
import { needArray, needObjects, needStrings } from '../engine/options.ts'
import { Model, TARGET_WORDS, needModel, type TargetWord } from './model.ts'
import { type Module, needModules } from './nn/module.ts'
import { Linear, type LoraShape, type Parameter } from './nn.ts'
import { Pattern } from './patterns.ts'
import { show } from './show.ts'

/**
 * A word for a group of modules, or a pattern for a part of their paths (or of the names of their weights). A RegExp is
 * for programs: it may backtrack for ever, so it must not come from a file or an option.
 */
export type Target = TargetWord | Pattern | RegExp

export interface LoraOptions extends LoraShape {
  readonly targets: readonly Target[]
  /** Trains the classifier too, as PEFT's `modules_to_save` does. */
  readonly trainHead?: boolean
}

/** `lora`: adapters on a frozen model. `full`: everything. `head`: the layers on top of the encoder. */
export type Tuning = 'lora' | 'full' | 'head'

const WORDS: readonly string[] = TARGET_WORDS

/**
 * Targets from an option's text: a comma-separated list of query, key, value, projection, mlp, head, or else one
 * regular expression in RE2's syntax. Throws a UserError if it is neither.
 */
export function parseTargets(text: string): Target[] {
  needStrings('parseTargets', { text })
  const parts = text.split(',').map(part => part.trim())
  if (parts.every(isWord)) return [...new Set(parts)]
  const wrong = parts.find(part => !isWord(part))
  // A list with a misspelt word is far more likely than a pattern made of letters and commas.
  if (text.trim() === '' || (/^[a-z]+(\s*,\s*[a-z]+)+$/i.test(text.trim()) && parts.some(isWord))) {
    throw new UserError(`LoRA target ${show(wrong)} is not one of ${WORDS.join(', ')}`)
  }
  return [Pattern.compile(text, `LoRA targets (${WORDS.join(', ')}, or a regular expression)`)]
}

function isWord(text: string): text is TargetWord {
  return WORDS.includes(text)
}

/** What messages call it. */
const nameOf = (model: Module): string => (model instanceof Model ? model.config.name : 'the model')

/** Every linear layer of a module. */
const linearsOf = (model: Module): Linear[] => model.modules().filter(module => module instanceof Linear)

/** The modules that a target names. Throws a UserError if there are none, and on a word for a module of one's own. */
export function findTargets(model: Module, target: Target): Linear[] {
  if (typeof target === 'string') {
    if (!(model instanceof Model))
      throw new UserError(`LoRA target ${target} is a word for models of this package: give a regular expression`)
    const found = model.targets(target)
    if (found.length === 0) throw new UserError(`LoRA target ${target} matches no module of ${nameOf(model)}`)
    return found
  }
  // A copy without the flags g and y, whose `test` remembers where it stopped.
  const pattern = target instanceof Pattern ? target : new RegExp(target.source, target.flags.replace(/[gy]/g, ''))
  const all = linearsOf(model)
  const found = all.filter(({ path }) => pattern.test(path) || pattern.test(`${path}.weight`))
  if (found.length === 0) {
    const example = all[0] ? `, such as ${all[0].path}` : ': it has none'
    throw new UserError(`LoRA target ${String(pattern)} matches no linear module of ${nameOf(model)}${example}`)
  }
  return found
}

/** Largest rank: no layer here is wider. */
const MOST_RANK = 65_536
/** Largest alpha: a scale far above any in use, whose products with weights stay finite in f32. */
export const MAX_ALPHA = 1e9

/** Throws a UserError naming what is wrong with an adapter's numbers. */
export function checkLoraShape({ rank, alpha, dropout }: LoraShape): void {
  if (!Number.isInteger(rank) || rank < 1) throw new UserError(`LoRA rank must be a whole number above 0, not ${rank}`)
  if (rank > MOST_RANK) throw new UserError(`LoRA rank must be at most ${MOST_RANK}, not ${rank}`)
  if (!Number.isFinite(alpha) || alpha <= 0) throw new UserError(`LoRA alpha must be a positive number, not ${alpha}`)
  if (alpha > MAX_ALPHA) throw new UserError(`LoRA alpha must be at most ${MAX_ALPHA}, not ${alpha}`)
  if (!(dropout >= 0 && dropout < 1)) throw new UserError(`LoRA dropout must be at least 0 and below 1, not ${dropout}`)
}

/**
 * Attaches adapters to the targets among the linear layers of any module, freezes everything else, and gives the
 * adapters' parameters, which hold the fresh values of seed 0 unless others are drawn (`initialise`, `loadWeights`).
 * Throws a UserError on bad numbers, a target that matches nothing, a head to be trained of a module that names none, or a
 * model that has adapters.
 */
export function attachLora(model: Module, options: LoraOptions): Parameter[] {
  needModules('attachLora', { model })
  needObjects('attachLora', { options })
  checkLoraShape(options)
  needArray('attachLora', options.targets, 'targets')
  if (options.targets.length === 0) throw new UserError('LoRA needs at least one target')
  if (adapted(model).length > 0) throw new UserError(`${nameOf(model)} has LoRA adapters already`)
  const chosen = new Set(options.targets.flatMap(target => findTargets(model, target)))
  if (options.trainHead && !(model instanceof Model))
    throw new UserError('trainHead is for models of this package: unfreeze the layers to be trained whole')
  const trained = options.trainHead && model instanceof Model ? trainedHead(model) : []
  refuseTwice(trained, chosen)

  model.freeze()
  for (const linear of trained) linear.unfreeze()
  const { rank, alpha, dropout, rankStabilised } = options
  return [...chosen].flatMap(linear => linear.attach({ rank, alpha, dropout, rankStabilised }).parameters())
}

/**
 * Settles what is trained. `lora` needs the options; the others refuse a model with adapters. Gives the parameters that
 * were added.
 */
export function setTuning(model: Model, tuning: Tuning, options?: LoraOptions): Parameter[] {
  needModel('setTuning', model)
  if (tuning === 'lora') {
    if (!options) throw new UserError('tuning by LoRA needs a rank, an alpha and targets')
    return attachLora(model, options)
  }
  if (adapted(model).length > 0) {
    throw new UserError(`${model.config.name} has LoRA adapters: ${tuning} tuning wants none`)
  }
  if (tuning === 'full') model.unfreeze()
  else {
    model.freeze()
    for (const linear of model.head()) linear.unfreeze()
  }
  return []
}

/** The linear modules that carry adapters. */
export function adapted(model: Module): Linear[] {
  needModules('adapted', { model })
  return linearsOf(model).filter(linear => linear.lora)
}

/** The parameters of all adapters. */
export function loraParameters(model: Module): Parameter[] {
  needModules('loraParameters', { model })
  return model.parameters().filter(parameter => parameter.role === 'lora')
}

/** What `trainHead` trains: the classifier and DistilBERT's pre_classifier. BERT's pooler comes with the encoder. */
export function trainedHead(model: Model): Linear[] {
  return model.head().filter(({ path }) => !path.startsWith(model.prefix))
}

/** Throws a UserError if a module would be trained whole and carry an adapter, too. */
export function refuseTwice(trained: readonly Linear[], adapted: ReadonlySet<Linear>): void {
  const twice = trained.find(linear => adapted.has(linear))
  if (twice) throw new UserError(`${twice.path} can't be trained whole and carry a LoRA adapter: choose one`)
}

/**
 * Folds every adapter into its weight, W + scale · B · A, on the GPU, where f16 rounds the sum (`mergedTensors` does
 * not). Throws a UserError if there are no adapters, or one is merged already.
 */
export async function mergeLora(model: Module): Promise<void> {
  await fold(model, true)
}

/** Subtracts the adapters from the weights again, up to rounding. Throws a UserError if one is not merged. */
export async function unmergeLora(model: Module): Promise<void> {
  await fold(model, false)
}

async function fold(model: Module, merged: boolean): Promise<void> {
  needModules(merged ? 'mergeLora' : 'unmergeLora', { model })
  const linears = adapted(model)
  const what = merged ? 'merge' : 'unmerge'
  if (linears.length === 0) throw new UserError(`${nameOf(model)} has no LoRA adapters to ${what}`)
  const done = linears.find(({ lora }) => lora?.merged === merged)
  const state = merged ? 'is merged already' : 'is not merged'
  if (done) throw new UserError(`can't ${what} the LoRA adapter of ${done.path}: it ${state}`)
  for (const { weight, lora } of linears) {
    if (!lora) continue
    const change = lora.b.tensor.matmul(lora.a.tensor).mul(merged ? lora.scale : -lora.scale)
    await weight.set(weight.tensor.cast('f32').add(change))
    lora.merged = merged
  }
}
