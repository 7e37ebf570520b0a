// Adapters in the format of Hugging Face's PEFT: adapter_config.json and the names in adapter_model.safetensors, so
// that what is trained here loads there and the other way round. Features that change the mathematics and that we do
// not have are refused by name, never skipped.
import { z } from 'zod'
import { UserError } from '../engine/errors.ts'
import { needObjects } from '../engine/options.ts'
import { showShape } from '../engine/shape.ts'
import { tensor } from '../engine/index.ts'
import { checkTensor, fillParameter, writeChecked } from './filling.ts'
import { belongsToHead, withLora, type Origin, type PartOfFile } from './loading.ts'
import { adapted, checkLoraShape, refuseTwice, trainedHead } from './lora.ts'
import { type Model, TokenClassifier, needModel } from './model.ts'
import { loraScale, ownParameters, type Linear, type LoraShape, type Parameter } from './nn.ts'
import { Pattern } from './patterns.ts'
import type { LazyTensor, TensorFile } from './safetensors.ts'
import { checkFields } from './plain-issue.ts'
import { show } from './show.ts'

/** What PEFT puts before every name of the model's own. */
const PREFIX = 'base_model.model.'

/** adapter_config.json as we use it. */
export interface AdapterConfig extends LoraShape {
  readonly rankStabilised: boolean
  /** Module paths or the ends of them; or one pattern over whole paths. */
  readonly targetModules: readonly string[] | Pattern
  readonly excludeModules: readonly string[] | Pattern
  /** Modules whose own weights travel with the adapter, by path or the end of it. */
  readonly modulesToSave: readonly string[]
  /** Other ranks and alphas, by pattern over the end of a path. */
  readonly rankPattern: readonly (readonly [Pattern, number])[]
  readonly alphaPattern: readonly (readonly [Pattern, number])[]
  readonly baseModel: string | undefined
  /** Of the base model on the Hub. */
  readonly revision: string | undefined
}

/** Fields that must be off (absent, null, false, empty), since we do not do what they ask. */
const UNSUPPORTED = [
  'use_dora',
  'use_qalora',
  'lora_bias',
  'fan_in_fan_out',
  'layers_to_transform',
  'layers_pattern',
  'layer_replication',
  'megatron_config',
  'trainable_token_indices',
  'target_parameters',
  'alora_invocation_tokens',
  'arrow_config',
  'use_bdlora',
  'kasa_config',
  'monteclora_config',
  'velora_config',
] as const

/** Fields that change nothing of what is computed here, whatever they hold: how an adapter was made, and by what. */
const HARMLESS = [
  'auto_mapping',
  'inference_mode',
  'peft_version',
  'megatron_core',
  'loftq_config',
  'eva_config',
  'corda_config',
  'lora_ga_config',
  'runtime_config',
  'qalora_group_size',
  'ensure_weight_tying',
] as const

/** What PEFT's class for sequence classifiers puts into `modules_to_save`, whatever its config says. */
const CLASSIFIERS: readonly string[] = ['classifier', 'score']

/** Initialisations that change the base model's weights, which the adapter file does not carry. */
const CHANGES_BASE = /^(pissa|olora|loftq|corda|lora_ga)/

/** Most names or patterns in a list: a module each of a model far larger than those here. */
const MOST_NAMES = 10_000
/** Most instructions of all patterns of a config together, which every module's name is matched against. */
const MOST_STEPS = 100_000

// By hand, since zod makes an issue of every wrong element, which takes more memory than the file.
const strings = z.custom<string[]>(
  value => Array.isArray(value) && value.length <= MOST_NAMES && value.every(name => typeof name === 'string'),
  { error: `a list of at most ${MOST_NAMES} names is expected` },
)
const names = z.custom<string | string[]>(value => typeof value === 'string' || strings.safeParse(value).success, {
  error: `a pattern, or a list of at most ${MOST_NAMES} names, is expected`,
})
const numbers = z
  .custom<Record<string, number>>(
    value =>
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      Object.keys(value).length <= MOST_NAMES &&
      Object.values(value).every(Number.isFinite),
    { error: `an object of at most ${MOST_NAMES} numbers by pattern is expected` },
  )
  .nullish()
const schema = z.looseObject({
  peft_type: z.literal('LORA', { error: ({ input }) => `${show(input)} is not supported, only "LORA"` }),
  task_type: z
    .enum(['SEQ_CLS', 'TOKEN_CLS', 'FEATURE_EXTRACTION'], {
      error: ({ input }) => `${show(input)} is not supported, only "SEQ_CLS" and "TOKEN_CLS"`,
    })
    .nullish(),
  r: z.number(),
  lora_alpha: z.number(),
  lora_dropout: z.number().nullish(),
  target_modules: names.nullish(),
  exclude_modules: names.nullish(),
  modules_to_save: strings.nullish(),
  bias: z.literal('none', { error: ({ input }) => `${show(input)} is not supported, only "none"` }).nullish(),
  rank_pattern: numbers,
  alpha_pattern: numbers,
  use_rslora: z.boolean().nullish(),
  init_lora_weights: z.union([z.boolean(), z.string()]).nullish(),
  base_model_name_or_path: z.string().nullish(),
  revision: z.string().nullish(),
})

const KNOWN: ReadonlySet<string> = new Set([...Object.keys(schema.shape), ...UNSUPPORTED, ...HARMLESS])

/** Reads adapter_config.json. Throws a UserError naming `where` and the field that is wrong or not supported. */
export function parseAdapterConfig(json: unknown, where: string): AdapterConfig {
  const fields = checkFields(schema, json, where)
  for (const key of UNSUPPORTED) {
    if (isOn(fields[key])) throw new UserError(`${where}: ${key} ${show(fields[key])} is not supported`)
  }
  const unknown = Object.keys(fields).find(key => !KNOWN.has(key) && Boolean(fields[key]) && isOn(fields[key]))
  if (unknown !== undefined) {
    throw new UserError(
      `${where}: the field ${show(unknown)} is not known, and may change what the adapter computes: ${show(fields[unknown])}`,
    )
  }
  const initial = fields.init_lora_weights
  if (typeof initial === 'string' && CHANGES_BASE.test(initial)) {
    throw new UserError(`${where}: init_lora_weights ${initial} is not supported: it changes the base model`)
  }
  const targets = fields.target_modules
  if (!targets || targets.length === 0) throw new UserError(`${where}: target_modules is empty`)
  if (targets === 'all-linear') throw new UserError(`${where}: target_modules "all-linear" is not supported: list them`)
  const compile = patternCompiler(where)
  const config: AdapterConfig = {
    rank: fields.r,
    alpha: fields.lora_alpha,
    dropout: fields.lora_dropout ?? 0,
    rankStabilised: fields.use_rslora ?? false,
    targetModules: selector(targets, 'target_modules', compile),
    excludeModules: selector(fields.exclude_modules ?? [], 'exclude_modules', compile),
    modulesToSave: fields.modules_to_save ?? [],
    rankPattern: patterns(fields.rank_pattern ?? {}, 'rank_pattern', compile),
    alphaPattern: patterns(fields.alpha_pattern ?? {}, 'alpha_pattern', compile),
    baseModel: fields.base_model_name_or_path || undefined,
    revision: fields.revision || undefined,
  }
  try {
    checkLoraShape(config)
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${where}: ${error.message}`) : error
  }
  return config
}

/** How an adapter that fits is attached, where that is not as its config says. */
export interface AttachOptions {
  /** Rate of dropout on the adapters' input. */
  readonly dropout?: number
  /** Whether the head is trained; other modules that the adapter brings along always are. */
  readonly trainHead?: boolean
}

/** A module that gets an adapter. */
export interface AdapterTarget {
  readonly linear: Linear
  readonly shape: LoraShape
}

/** A file that fits a model. `attach` first; an optimizer may bind the new parameters; then `write`. */
export interface AdapterMatch {
  readonly targets: readonly AdapterTarget[]
  /** Parameters of the model itself that the file brings along, by name. */
  readonly saved: readonly string[]
  /**
   * Attaches fresh adapters and freezes everything but them and the saved modules. Throws a UserError, with nothing
   * attached, where the head is to be trained whole and carries an adapter.
   */
  attach(options?: AttachOptions): void
  /** Fills adapters and saved modules from the file. */
  write(): Promise<void>
}

/** Attaches the adapters that a config asks for and fills them from `file`. Throws as `matchAdapter` does. */
export async function loadAdapter(model: Model, config: AdapterConfig, file: TensorFile): Promise<void> {
  needModel('loadAdapter', model)
  needObjects('loadAdapter', { config, file })
  const match = matchAdapter(model, config, file)
  match.attach()
  await match.write()
}

/**
 * Finds a place for every tensor of an adapter file and leaves the model as it is. Throws a UserError on targets that
 * match nothing, on tensors that are missing, misshapen or without a place, and on a model that has adapters.
 */
export function matchAdapter(
  model: Model,
  config: AdapterConfig,
  file: TensorFile,
  part: PartOfFile = {},
): AdapterMatch {
  if (adapted(model).length > 0) throw new UserError(`${model.config.name} has LoRA adapters already`)
  const places = findPlaces(model, config, file, part)
  const { targets, saved } = places
  return {
    targets,
    saved: saved.map(({ parameter }) => parameter.name),
    attach({ dropout, trainHead } = {}) {
      const head = trainHead ? trainedHead(model) : []
      refuseTwice(head, new Set(targets.map(({ linear }) => linear)))
      const frozen = new Set(trainHead === false ? model.head().flatMap(({ weight, bias }) => [weight, bias]) : [])
      model.freeze()
      for (const { linear, shape } of targets) linear.attach({ ...shape, dropout: dropout ?? shape.dropout })
      for (const { parameter, trained } of saved) parameter.trainable = trained && !frozen.has(parameter)
      for (const linear of head) linear.unfreeze()
    },
    write: () => writePlaces(places, file),
  }
}

/**
 * Fills a model that has the adapters of a config attached from `file`, or from the part that is wanted of it; the rest
 * keeps the values that it has. Gives the names of the parameters that were filled. Throws a UserError as
 * `matchAdapter` does.
 */
export async function fillAdapter(
  model: Model,
  config: AdapterConfig,
  file: TensorFile,
  part: PartOfFile = {},
): Promise<readonly string[]> {
  const places = findPlaces(model, config, file, part)
  await writePlaces(places, file)
  const { targets, saved } = places
  return [
    ...targets.flatMap(({ linear: { lora }, a }) => (lora && a !== undefined ? [lora.a.name, lora.b.name] : [])),
    ...saved.map(({ parameter }) => parameter.name),
  ]
}

/**
 * The f32 values of a model without adapters, into which those of `file` are folded, W + scale · B · A, with the
 * modules that it brings along; if `lora` is false, with those modules alone. `base` gives the values of the model that
 * the adapter was trained on. `changed` are the parameters whose values are not the base's.
 * @throws UserError as `matchAdapter` does
 */
export function mergedOrigin(
  model: Model,
  base: Origin,
  config: AdapterConfig,
  file: TensorFile,
  { lora = true, ...part }: PartOfFile & { readonly lora?: boolean } = {},
): { readonly origin: Origin; readonly changed: readonly Parameter[] } {
  const { targets, saved } = findPlaces(model, config, file, part)
  const tensorOf = new Map(saved.map(({ parameter, tensor }) => [parameter, tensor]))
  const targetOf = new Map(
    targets.filter(({ a }) => lora && a !== undefined).map(target => [target.linear.weight, target]),
  )
  const own = async (parameter: Parameter): Promise<Float32Array> => {
    const tensor = tensorOf.get(parameter)
    return tensor === undefined ? base(parameter) : file.read(tensor)
  }
  const origin: Origin = async parameter => {
    const values = await own(parameter)
    const target = targetOf.get(parameter)
    if (target?.a === undefined || target.b === undefined) return values
    const { linear, shape, a, b } = target
    const low = tensor(new Float32Array(await file.read(a)), [shape.rank, linear.inputs])
    const high = tensor(new Float32Array(await file.read(b)), [linear.outputs, shape.rank])
    return withLora(values, low, high, loraScale(shape))
  }
  return { origin, changed: [...new Set([...targetOf.keys(), ...tensorOf.keys()])] }
}

/**
 * Fills a model without adapters with what an adapter changes of its base's weights. Gives the names of what was
 * filled. Throws as `mergedOrigin` does.
 */
export async function fillMerged(
  model: Model,
  base: Origin,
  config: AdapterConfig,
  file: TensorFile,
  part: PartOfFile = {},
): Promise<readonly string[]> {
  const { origin, changed } = mergedOrigin(model, base, config, file, part)
  for (const parameter of changed) {
    await writeChecked(
      parameter,
      new Float32Array(await origin(parameter)),
      0,
      () => `${file.where}: ${parameter.name}, with the adapter merged,`,
    )
  }
  return changed.map(({ name }) => name)
}

/** Which tensor of an adapter file goes where. */
interface Places {
  /** `a` and `b` are tensors of the file; undefined for modules of a head that is not taken. */
  readonly targets: readonly (AdapterTarget & { readonly a: string | undefined; readonly b: string | undefined })[]
  readonly saved: readonly { readonly parameter: Parameter; readonly tensor: string; readonly trained: boolean }[]
}

function findPlaces(model: Model, config: AdapterConfig, file: TensorFile, { head = true }: PartOfFile): Places {
  const tensors = new Map(file.names().map(name => [plainName(name), name]))
  const isTaken = (path: string): boolean => head || path.startsWith(model.prefix)
  // A module that is saved whole gets no adapter, though a target may match it: PEFT's older versions gave it one.
  const savedWhole = (path: string): boolean =>
    config.modulesToSave.some(name => within(path, name)) && !tensors.has(`${PREFIX}${path}.lora_A.weight`)
  const found = model
    .linears()
    .filter(
      ({ path }) => selects(config.targetModules, path) && !selects(config.excludeModules, path) && !savedWhole(path),
    )
    .map(linear => ({ linear, shape: shapeFor(config, linear.path) }))
  if (found.length === 0) {
    throw new UserError(`${file.where}: target_modules match no linear module of ${model.config.name}`)
  }
  for (const { linear, shape } of found) prefixed(`${file.where}: ${linear.path}`, () => checkLoraShape(shape))

  const used = new Set<string>()
  const find = (name: string, shape: readonly number[]): string => {
    const tensor = tensors.get(PREFIX + name)
    if (tensor === undefined) throw new UserError(`${file.where} has no tensor ${PREFIX}${name} ${showShape(shape)}`)
    checkTensor(tensor, shape, file)
    used.add(tensor)
    return tensor
  }
  const targets = found.map(({ linear, shape }) =>
    isTaken(linear.path)
      ? {
          linear,
          shape,
          a: find(`${linear.path}.lora_A.weight`, [shape.rank, linear.inputs]),
          b: find(`${linear.path}.lora_B.weight`, [linear.outputs, shape.rank]),
        }
      : { linear, shape, a: undefined, b: undefined },
  )
  const saved: { parameter: Parameter; tensor: string; trained: boolean }[] = []
  for (const linear of model.linears().filter(({ path }) => isTaken(path))) {
    const target = targets.some(other => other.linear === linear)
    const required = !target && config.modulesToSave.some(name => within(linear.path, name))
    const trained =
      !target && config.modulesToSave.some(name => within(linear.path, name) || bringsAlong(name, linear.path))
    for (const parameter of ownParameters(linear)) {
      const name = target ? wrappedName(parameter) : parameter.name
      if (!required && !tensors.has(PREFIX + name)) continue
      saved.push({ parameter, tensor: find(name, parameter.shape), trained })
    }
  }
  // A head that is not taken may have modules that this model does not have.
  const isLeft = (tensor: string): boolean => !head && belongsToHead(modelName(tensor), model)
  const stray = [...tensors].find(([, name]) => !used.has(name) && !isLeft(name))
  if (stray) throw new UserError(`${file.where}: tensor ${stray[1]} has no place in ${model.config.name}`)
  return { targets, saved }
}

async function writePlaces({ targets, saved }: Places, file: TensorFile): Promise<void> {
  for (const { linear, a, b } of targets) {
    if (!linear.lora) throw new Error(`${linear.path}: attach comes before write`)
    if (a === undefined || b === undefined) continue
    await fillParameter(linear.lora.a, file, a)
    await fillParameter(linear.lora.b, file, b)
  }
  for (const { parameter, tensor } of saved) {
    await fillParameter(parameter, file, tensor)
    // What is not from the base model's file must go into the next adapter file, too.
    parameter.fresh = true
  }
}

/**
 * The tensors of adapter_model.safetensors, read from the GPU one at a time: every A and B, and the weights of saved
 * modules: those that are trained besides the adapters, and heads. What the GPU stores in f16 comes from its `origin`,
 * where that is given. Throws a UserError when there are no adapters.
 */
export function adapterTensors(model: Model, origin?: Origin): LazyTensor[] {
  needModel('adapterTensors', model)
  const lazy = (name: string, parameter: Parameter): LazyTensor => ({
    name,
    dtype: 'F32',
    shape: parameter.shape,
    read: () => (parameter.dtype === 'f16' && origin ? origin(parameter) : parameter.read()),
  })
  const linears = adapted(model)
  if (linears.length === 0) throw new UserError(`${model.config.name} has no LoRA adapters to save`)
  const lora = linears.flatMap(({ lora }) => (lora ? [lora.a, lora.b] : []))
  const plain = savedModules(model).flatMap(ownParameters)
  const wrapped = linears.filter(linear => isFreshHead(model, linear)).flatMap(ownParameters)
  return [
    ...[...lora, ...plain].map(parameter => lazy(PREFIX + parameter.name, parameter)),
    ...wrapped.map(parameter => lazy(PREFIX + wrappedName(parameter), parameter)),
  ]
}

/**
 * adapter_config.json of a model's adapters, in PEFT's field names. Only fields that mean something here: PEFT refuses
 * a file with one that its version does not know. Throws a UserError when there are no adapters.
 */
export function adapterConfig(model: Model, baseModel: string, revision?: string): Record<string, unknown> {
  needModel('adapterConfig', model)
  const linears = adapted(model)
  const [first] = linears.flatMap(({ lora }) => lora ?? [])
  if (!first) throw new UserError(`${model.config.name} has no LoRA adapters to save`)
  const others = linears.flatMap(({ path, lora }) => (lora ? [{ path, lora }] : []))
  // Whole paths, their dots as they are: older versions of PEFT (0.13) don't find those that are escaped.
  const patternOf = (key: 'rank' | 'alpha'): Record<string, number> =>
    Object.fromEntries(others.filter(({ lora }) => lora[key] !== first[key]).map(({ path, lora }) => [path, lora[key]]))
  // A name that would bring an adapted module along stays out: PEFT refuses that. The weights are read without it.
  const saved = savedModules(model)
    .map(({ path }) => path)
    .filter(name => !linears.some(({ path }) => bringsAlong(name, path)))
  return {
    alpha_pattern: patternOf('alpha'),
    auto_mapping: null,
    base_model_name_or_path: baseModel,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: first.alpha,
    lora_dropout: first.dropout.rate,
    modules_to_save: saved.length > 0 ? saved : null,
    peft_type: 'LORA',
    r: first.rank,
    rank_pattern: patternOf('rank'),
    revision: revision ?? null,
    target_modules: shortNames(model, linears),
    task_type: taskOf(model, linears),
    use_rslora: first.rankStabilised,
  }
}

/**
 * Modules without adapters whose weights must travel: trained ones, heads that came from no file, and those that PEFT's
 * classes for sequence and token classifiers insist on, trained or not.
 */
function savedModules(model: Model): Linear[] {
  const names = taskOf(model, adapted(model)) === null ? [] : CLASSIFIERS
  return model
    .linears()
    .filter(
      linear =>
        !linear.lora &&
        (linear.weight.trainable || isFreshHead(model, linear) || names.some(name => bringsAlong(name, linear.path))),
    )
}

/**
 * The task that decides which class PEFT makes. Those for sequence and token classifiers save the classifier whole, so
 * that it can carry no adapter; where it does, no task is named and PEFT takes its plain class.
 */
function taskOf(model: Model, targets: readonly Linear[]): 'SEQ_CLS' | 'TOKEN_CLS' | null {
  if (targets.some(({ path }) => CLASSIFIERS.some(name => bringsAlong(name, path)))) return null
  return model instanceof TokenClassifier ? 'TOKEN_CLS' : 'SEQ_CLS'
}

function isFreshHead(model: Model, linear: Linear): boolean {
  return linear.weight.fresh && model.head().includes(linear)
}

/** Where PEFT keeps the own weights of a module that it wraps. */
function wrappedName({ name }: Parameter): string {
  return name.replace(/(\w+)$/, 'base_layer.$1')
}

/** The shortest ends of the targets' paths that match no other module, as `target_modules` wants them. */
function shortNames(model: Model, targets: readonly Linear[]): string[] {
  const chosen = new Set(targets.map(({ path }) => path))
  const others = model
    .modules()
    .map(({ path }) => path)
    .filter(path => !chosen.has(path))
  const short = targets.map(({ path }) => {
    const parts = path.split('.')
    const ends = parts.map((_, i) => parts.slice(parts.length - 1 - i).join('.'))
    return ends.find(end => !others.some(other => endsIn(other, end))) ?? path
  })
  return [...new Set(short)].sort()
}

/** As PEFT matches module names: the whole path, or its end at a dot. */
function endsIn(path: string, end: string): boolean {
  return path === end || path.endsWith(`.${end}`)
}

/** Whether a module is one that a name of `modules_to_save` stands for, or a part of it. */
function within(path: string, name: string): boolean {
  return `.${path}.`.includes(`.${name}.`)
}

/** PEFT compares ends of names without minding dots, so that `classifier` brings DistilBERT's pre_classifier along. */
function bringsAlong(name: string, path: string): boolean {
  return path.endsWith(name)
}

function selects(selection: readonly string[] | Pattern, path: string): boolean {
  return selection instanceof Pattern ? selection.matches(path) : selection.some(end => endsIn(path, end))
}

type Compile = (source: string, field: string, how: 'compile' | 'compileSuffix') => Pattern

/** Compiles the patterns of one config, up to a common size: each alone may be small, and there may be many. */
function patternCompiler(where: string): Compile {
  let steps = 0
  return (source, field, how) => {
    const pattern = Pattern[how](source, `${where}: ${field}`)
    steps += pattern.size
    if (steps > MOST_STEPS) throw new UserError(`${where}: ${field}: the patterns are too large together`)
    return pattern
  }
}

/** A list as it is; a string as a pattern over whole paths. */
function selector(value: string | readonly string[], field: string, compile: Compile): readonly string[] | Pattern {
  return typeof value === 'string' ? compile(value, field, 'compile') : value
}

function patterns(table: Readonly<Record<string, number>>, field: string, compile: Compile): [Pattern, number][] {
  return Object.entries(table).map(([key, value]) => [compile(key, field, 'compileSuffix'), value])
}

function shapeFor(config: AdapterConfig, path: string): LoraShape {
  const own = (table: AdapterConfig['rankPattern'], common: number): number =>
    table.find(([pattern]) => pattern.matches(path))?.[1] ?? common
  const rank = own(config.rankPattern, config.rank)
  const alpha = own(config.alphaPattern, config.alpha)
  return { rank, alpha, dropout: config.dropout, rankStabilised: config.rankStabilised }
}

/** PEFT's in-memory names (with the adapter's own, `default`) are those of its files less one part. */
function plainName(name: string): string {
  return name.replace(/\.(lora_[AB])\.default\.weight$/, '.$1.weight').replace(/\.modules_to_save(\.default)?\./, '.')
}

/**
 * The model's name of what a tensor of an adapter's file holds; for an adapter's own tensors a name that no parameter
 * of a model without adapters has.
 */
export function modelName(tensor: string): string {
  const plain = plainName(tensor).replace('.base_layer.', '.')
  return plain.startsWith(PREFIX) ? plain.slice(PREFIX.length) : plain
}

/** Whether a field asks for something: null, false and empty lists or objects don't. */
function isOn(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return false
  return typeof value !== 'object' || Object.keys(value).length > 0
}

function prefixed(where: string, check: () => void): void {
  try {
    check()
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${where}: ${error.message}`) : error
  }
}
