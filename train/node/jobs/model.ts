// The model of a run: found by its name, described before its weights are fetched, built with its tuning settled, and
// filled. A run may continue from an adapter, which stays an adapter under --tune lora and is merged into the weights
// otherwise.
import { join } from 'node:path'
import { UserError } from '../../../engine/index.ts'
import { type Answers, isGeneric, statedProblem } from '../../../models/answers.ts'
import {
  type Classifier,
  type ModelConfig,
  type Origin,
  countParameters,
  createModel,
  createTokenModel,
  initialise,
  loadWeights,
  matchWeights,
  originOf,
  parseConfig,
  parseTargets,
  publishedConfig,
  setTuning,
} from '../../../models/index.ts'
import { findTargets, trainedHead } from '../../../models/lora.ts'
import { TARGET_WORDS } from '../../../models/model.ts'
import { type Linear, ownParameters } from '../../../models/nn.ts'
import { exists, hasWeights, openWeights, readJson } from '../../../models/node/files.ts'
import { resolveModel } from '../../../models/node/hub.ts'
import { withAdapterTensors } from '../../../models/node/peft.ts'
import { type AdapterSource, type ModelSource, answersAt, answersOf, openSource } from '../../../models/node/source.ts'
import { hasTokenizer, loadTokenizer } from '../../../models/node/tokenizer.ts'
import { fillAdapter, fillMerged, matchAdapter, mergedOrigin, modelName } from '../../../models/peft.ts'
import { type TensorFile, intoMemory } from '../../../models/safetensors.ts'
import { type Tokenizer, checkVocabulary } from '../../../models/tokenizer.ts'
import { checkWindow } from '../../../models/windows.ts'
import { count } from '../../counts.ts'
import { PROBLEM_OF } from '../../tasks/index.ts'
import { TASK_NAMES, type TaskName, type TaskPlan } from '../../tasks/infer.ts'
import { sentimentOf } from '../data/sentiment.ts'
import type { Options } from '../cli/options.ts'
import { TILEGRAD } from '../package.ts'
import type { Progress } from './job.ts'
import { isOnDisk } from './named.ts'
import { transformerAt } from './predict.ts'
import type { Shared } from './shared.ts'

/** A model that is described but not loaded yet. */
export interface OpenedModel {
  readonly config: ModelConfig
  readonly tokenizer: Tokenizer
  /** Whether the tokenizer is another than the one beside the model's weights. */
  readonly hasOtherTokenizer: boolean
  /** Hub name or path, as PEFT's config calls it; of the base, where there is an adapter. */
  readonly name: string
  /** What was asked for of the Hub's, and what that was; undefined for folders. */
  readonly revision: string | undefined
  readonly commit: string | undefined
  /**
   * Where the weights lie, or config and tokenizer of a model whose weights are still on the Hub; undefined for fresh
   * ones.
   */
  readonly folder: string | undefined
  /** The adapter that training continues from. */
  readonly adapter: AdapterSource | undefined
  /** What its head was trained for, and how long its texts were, as far as its files say. */
  readonly trained: {
    readonly task: TaskName | undefined
    readonly labels: readonly string[]
    readonly lengths: Pick<Answers, 'maxLength' | 'window'> | undefined
  }
  /** Whether that head is taken over; known once the data is. */
  readonly takesHead: boolean
  /** The weights in memory, where jobs share them; otherwise they are read from the folder. */
  readonly weights?: TensorFile
}

/** The Hub's commits that a resumed run began with. */
export interface ModelCommits {
  /** Of what --model names. */
  readonly model?: string
  /** Of an adapter's base. */
  readonly base?: string
}

/**
 * Finds config and tokenizer (of these commits, for a resumed run), and checks that they fit each other. Throws a
 * UserError.
 */
export async function openModel(
  options: Options,
  progress: Progress,
  commits: ModelCommits = {},
): Promise<OpenedModel> {
  const { model, init, maxLength, given } = options
  if (model === undefined) throw new UserError('--model is missing')
  const fresh = init === 'random'
  const known =
    fresh && options.tokenizer !== undefined && !(await exists(model))
      ? publishedConfig(model.split('@')[0])
      : undefined
  const source = known ? { ...nowhere(model), name: model.split('@')[0] } : await sourceOf(options, progress, commits)
  const { name, folder, adapter } = source
  if (fresh && adapter)
    throw new UserError(
      `--init random draws fresh weights, but the adapter ${adapter.name} was trained on those of ${name}`,
    )
  const path = join(folder ?? '', 'config.json')
  const json = known ? undefined : await readJson(path)
  const parsed = known ?? parseConfig(json, path, name)
  const own = adapter?.folder ?? folder
  const answers = own === undefined ? undefined : await answersAt(own)
  const labels = answers?.labels ?? (adapter ? (await answersOf(json, parsed, adapter.folder)).labels : parsed.labels)
  const problem = answers?.problem ?? (adapter ? undefined : statedProblem(json))
  const config = { ...parsed, labels }
  const where = options.tokenizer ?? (adapter && (await hasTokenizer(adapter.folder)) ? adapter.folder : folder)
  if (where === undefined) throw new Error(`${name} has neither a folder nor a tokenizer`)
  const tokenizer = await loadTokenizer(where)
  checkVocabulary(tokenizer, config, where)
  if (given.has('max-length') && maxLength > config.maxPositions) {
    throw new UserError(`--max-length ${maxLength} is more than the ${config.maxPositions} positions of ${name}`)
  }
  const { revision, commit } = source
  const task = TASK_NAMES.find(task => PROBLEM_OF[task] === problem)
  return {
    config,
    tokenizer,
    hasOtherTokenizer: where !== folder,
    name,
    revision,
    commit,
    folder: fresh ? undefined : folder,
    adapter,
    trained: { task, labels, lengths: answers },
    takesHead: true,
  }
}

const nowhere = (name: string): Omit<ModelSource, 'folder'> & { readonly folder: undefined } => ({
  name,
  folder: undefined,
  revision: undefined,
  commit: undefined,
  adapter: undefined,
})

/** Where --model leads: a run's folder to the adapter or the model that it saved. */
async function sourceOf(
  { model = '', init, tokenizer }: Options,
  progress: Progress,
  commits: ModelCommits,
): Promise<ModelSource> {
  const [name, revision] = (await exists(model)) ? [model] : model.split('@')
  await isOnDisk(name)
  const fresh = init === 'random'
  return openSource(await transformerAt(name), {
    revision: commits.model ?? revision,
    baseRevision: commits.base,
    weights: fresh ? false : 'on disk',
    progress,
    baseHint: `merge it with ${TILEGRAD} export --merge --base, and fine-tune the result`,
  }).catch((error: unknown) => {
    const helps = fresh && tokenizer === undefined && error instanceof UserError && publishedConfig(name)
    throw helps ? new UserError(`${error.message}; with --tokenizer nothing is needed from there`) : error
  })
}

/** The model with its weights on disk: those of a Hub model are downloaded. Throws a UserError. */
export async function fetchWeights(opened: OpenedModel, progress: Progress): Promise<OpenedModel> {
  const { name, revision, commit } = opened
  return opened.folder === undefined
    ? opened
    : { ...opened, ...(await resolveModel(name, { progress, revision: commit ?? revision })) }
}

/** Which base, tokenizer and adapter those are, as one text. */
export const modelKey = ({ tokenizer, init }: Options, { name, folder, commit, adapter }: OpenedModel): string =>
  JSON.stringify([name, folder, commit, adapter?.folder, adapter?.commit, tokenizer, init])

/** The same with its weights in memory, for all jobs that share them. */
export async function keepWeights(opened: OpenedModel, { weights }: Shared): Promise<OpenedModel> {
  const { folder, commit } = opened
  if (folder === undefined) return opened
  const kept = await weights.get(JSON.stringify([folder, commit]), async () => intoMemory(await openWeights(folder)))
  return { ...opened, weights: kept }
}

/** The commits of what came from the Hub, to be recorded. */
export const commitsOf = ({ adapter, commit }: OpenedModel): ModelCommits =>
  adapter ? { model: adapter.commit, base: commit } : { model: commit }

/** The names that a base model has for its classes; undefined where they are only numbers. */
export const namesOf = ({ labels }: ModelConfig): readonly string[] | undefined =>
  isGeneric(labels) ? undefined : labels

/** The same model for the classes of a task: its trained head is taken over only where it was trained for them. */
export function withLabels(opened: OpenedModel, { task, labels }: TaskPlan): OpenedModel {
  const { trained } = opened
  const sameTask = trained.task === undefined || trained.task === task
  return { ...opened, config: { ...opened.config, labels }, takesHead: sameTask && sameLabels(trained.labels, labels) }
}

/** Whether two lists name the same classes in the same order; names that are only numbers may stand for any. */
export function sameLabels(some: readonly string[], others: readonly string[]): boolean {
  if (some.length !== others.length) return false
  const nameOf = (label: string): string => sentimentOf(label) ?? label.trim().toLowerCase()
  return isGeneric(some) || isGeneric(others) || some.every((label, i) => nameOf(label) === nameOf(others[i]))
}

const plainModel = (config: ModelConfig, task: TaskName): Classifier =>
  task === 'tokens' ? createTokenModel(config) : createModel(config)

/**
 * Options with the longest text and the windows of the model that training continues from, where the user gave none;
 * the longest text is never more than the model has positions.
 * @throws UserError if those windows do not fit a longest text that was asked for
 */
export function adoptLengths(options: Options, { config, name, adapter, trained: { lengths } }: OpenedModel): Options {
  const { given } = options
  const asked = given.has('max-length') ? options.maxLength : (lengths?.maxLength ?? options.maxLength)
  const maxLength = Math.min(asked, config.maxPositions)
  if (given.has('window') || lengths?.window === undefined) return { ...options, maxLength }
  const { window } = lengths
  try {
    checkWindow({ maxLength, window })
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    throw new UserError(
      `${adapter?.name ?? name} was trained with --window ${window}: ${error.message}; give another --window, or --window off`,
    )
  }
  return { ...options, maxLength, window }
}

/**
 * Options in which rank, alpha, dropout and targets are those of the adapter that training continues from, if there is
 * one.
 * @throws UserError where others were asked for, and where the adapter does not fit its base
 */
export async function adoptAdapter(options: Options, { config, adapter, trained }: OpenedModel): Promise<Options> {
  if (!adapter) return options
  const model = plainModel(config, trained.task ?? 'classes')
  const { targets } = await withAdapterTensors(adapter.folder, file => matchAdapter(model, adapter.config, file))
  if (options.tune !== 'lora') return options
  const { rank, alpha, dropout } = adapter.config
  const refuse = (option: string, asked: string | number, has: string | number): never => {
    throw new UserError(
      `--${option} ${asked}: the adapter ${adapter.name} has ${has}, which cannot change; leave the option out`,
    )
  }
  const { given, loraRank, loraAlpha, loraTargets } = options
  for (const { shape } of targets) {
    if (given.has('lora-rank') && shape.rank !== loraRank) refuse('lora-rank', loraRank, shape.rank)
    if (given.has('lora-alpha') && shape.alpha !== loraAlpha) refuse('lora-alpha', loraAlpha, shape.alpha)
  }
  const chosen = new Set(targets.map(({ linear }) => linear))
  const held = targetsText(model, chosen)
  if (given.has('lora-targets')) {
    const asked = new Set(parseTargets(loraTargets).flatMap(target => findTargets(model, target)))
    if (asked.size !== chosen.size || [...asked].some(linear => !chosen.has(linear)))
      refuse('lora-targets', loraTargets, held)
  }
  return {
    ...options,
    loraRank: rank,
    loraAlpha: alpha,
    loraTargets: held,
    loraDropout: given.has('lora-dropout') ? options.loraDropout : dropout,
    // A head that carries adapters is not trained whole unless that is asked for, which is refused later.
    trainHead: options.trainHead && (given.has('train-head') || !trainedHead(model).some(linear => chosen.has(linear))),
  }
}

/** The words that stand for these modules, or else the ends of their paths. */
function targetsText(model: Classifier, chosen: ReadonlySet<Linear>): string {
  const words = TARGET_WORDS.filter(word => {
    const modules = model.targets(word)
    return modules.length > 0 && modules.every(linear => chosen.has(linear))
  })
  const covered = new Set(words.flatMap(word => model.targets(word)))
  if (covered.size === chosen.size) return words.join(',')
  const ends = [...chosen].map(({ path }) => path.replace(/^.*\.layer\.(\d+)\./, 'layer.*.'))
  return [...new Set(ends)].join(',')
}

/** A model with its tuning settled and its counts known, but no weights yet. */
export interface BuiltModel {
  readonly model: Classifier
  /** Names of the head's parameters that will be drawn afresh; empty while the weights are still on the Hub. */
  readonly drawn: readonly string[]
}

/**
 * The model of a run, with every name and shape compared with those of the weights, if these are on disk already.
 * Throws a UserError if they, or an adapter, do not fit.
 */
export async function buildModel(options: Options, opened: OpenedModel, task: TaskName): Promise<BuiltModel> {
  const { config, folder, commit, adapter, takesHead } = opened
  const model = plainModel(config, task)
  const { tune, loraRank: rank, loraAlpha: alpha, loraDropout: dropout, trainHead } = options
  const match =
    adapter &&
    (await withAdapterTensors(adapter.folder, file => matchAdapter(model, adapter.config, file, { head: takesHead })))
  if (match && tune === 'lora') match.attach({ dropout, trainHead })
  else
    setTuning(
      model,
      tune,
      tune === 'lora' ? { rank, alpha, dropout, targets: parseTargets(options.loraTargets), trainHead } : undefined,
    )
  const isOnHub = folder !== undefined && commit !== undefined && !(await hasWeights(folder))
  const drawn = isOnHub ? [] : await drawnOfHead(model, opened)
  // BERT's pooler comes with the encoder and stays as it is; one that the weights lack is trained like the rest of a
  // new head.
  if (folder !== undefined && tune === 'lora' && trainHead) {
    for (const linear of model.head()) if (drawn.includes(linear.weight.name) && !linear.lora) linear.unfreeze()
  }
  if (options.precision === 'f16') model.storeFrozenAs('f16')
  return { model, drawn }
}

/** Fills the model from its folder and its adapter, or afresh. Gives the names of the parameters that were drawn. */
export async function fillModel(
  model: Classifier,
  opened: OpenedModel,
  { seed, tune }: Options,
): Promise<readonly string[]> {
  const { folder, adapter, takesHead: head } = opened
  if (folder === undefined) {
    await initialise(model.parameters(), seed)
    return model.parameters().map(parameter => parameter.name)
  }
  return withWeights({ ...opened, folder }, async file => {
    const { initialised } = await loadWeights(model, file, seed, { head })
    if (!adapter) return initialised
    const { config } = adapter
    const filled = new Set(
      await withAdapterTensors(adapter.folder, tensors =>
        tune === 'lora'
          ? fillAdapter(model, config, tensors, { head })
          : fillMerged(model, originOf(model, file, seed, { head }), config, tensors, { head }),
      ),
    )
    return initialised.filter(name => !filled.has(name))
  })
}

/** The same model with nothing to fill it from: `fillModel` draws all its weights, whatever is trained of them. */
export const withoutWeights = (opened: OpenedModel): OpenedModel => ({
  ...opened,
  folder: undefined,
  weights: undefined,
  adapter: undefined,
})

/** Gives `use` the f32 values that the model began with, as `fillModel` gave them to it, whatever the GPU stores. */
export async function withOrigin<T>(
  model: Classifier,
  opened: OpenedModel,
  { seed, tune }: Options,
  use: (origin: Origin) => Promise<T>,
): Promise<T> {
  const { folder, adapter, takesHead: head } = opened
  if (folder === undefined) return use(originOf(model, undefined, seed))
  return withWeights({ ...opened, folder }, file => {
    const base = originOf(model, file, seed, { head })
    if (!adapter) return use(base)
    return withAdapterTensors(adapter.folder, tensors =>
      use(mergedOrigin(model, base, adapter.config, tensors, { head, lora: tune !== 'lora' }).origin),
    )
  })
}

/** Gives `use` the weights that are there, or else those of a model's folder while they are open. */
export async function withWeights<T>(
  { folder, weights }: { readonly folder: string; readonly weights?: TensorFile },
  use: (file: TensorFile) => Promise<T>,
): Promise<T> {
  if (weights) return use(weights)
  const file = await openWeights(folder)
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}

/**
 * Opens the weights and compares every name and shape. Gives the names of the head's parameters that will be drawn
 * afresh. Throws a UserError.
 */
async function drawnOfHead(
  model: Classifier,
  { folder, weights, adapter, takesHead: head }: OpenedModel,
): Promise<readonly string[]> {
  if (folder === undefined)
    return model
      .head()
      .flatMap(ownParameters)
      .map(({ name }) => name)
  const missing = await withWeights({ folder, weights }, async file => matchWeights(model, file, { head }).missing)
  const saved = new Set(
    adapter && head ? await withAdapterTensors(adapter.folder, file => file.names().map(modelName)) : [],
  )
  return missing.map(({ name }) => name).filter(name => !saved.has(name))
}

/** Classes that are listed by name. */
const LISTED = 12

/** The model and how it is tuned, in a line; in others what is unusual about its vocabulary and its head. */
export function modelText(opened: OpenedModel, options: Options, model: Classifier, drawn: readonly string[]): string {
  const { tune, loraRank, loraAlpha, loraTargets } = options
  const { name, folder, adapter } = opened
  const shape = `(rank ${loraRank}, alpha ${loraAlpha}, on ${loraTargets})`
  const from = adapter ? ` with the adapter ${adapter.name} ${tune === 'lora' ? shape : 'merged into them'}` : ''
  const first = `Model: ${name} (${folder ? `pretrained weights${from}` : 'fresh weights'}), tuning: ${tune}`
  return [first, vocabularyText(opened), lengthsText(opened, options), headText(opened, model, drawn)]
    .filter(line => line !== undefined)
    .join('\n')
}

/** How large the model is, and how much of it is trained. */
export function sizeText(model: Classifier): string {
  const { layers, hidden } = model.config
  const { total, trainable, percent } = countParameters(model)
  const deep = layers === 1 ? '1 layer' : `${layers} layers`
  return `Size: ${deep}, ${hidden} wide; of ${count(total)} parameters ${count(trainable)} are trained (${percent.toFixed(2)} %)`
}

/** Tables of embeddings are rounded up to a multiple of a power of two, of this at most. */
const ROUNDED = 128

/** A tokenizer of far fewer tokens than the model has embeddings may be that of another model. */
function vocabularyText({ tokenizer: { vocabSize }, config }: OpenedModel): string | undefined {
  if (config.vocabSize < vocabSize + ROUNDED) return undefined
  return `Tokenizer: ${count(vocabSize)} tokens, fewer than the ${count(config.vocabSize)} that the model has embeddings for`
}

/**
 * Which settings of lengths are those that the model was trained with; undefined where they were given or it says none.
 */
function lengthsText({ trained: { lengths } }: OpenedModel, { given, maxLength, window }: Options): string | undefined {
  if (!lengths) return undefined
  const taken = [
    ...(given.has('max-length') ? [] : [`--max-length ${maxLength}`]),
    ...(given.has('window') || window === undefined ? [] : [`--window ${window}`]),
  ]
  return taken.length === 0 ? undefined : `Lengths: ${taken.join(', ')}, as it was trained`
}

function headText(
  { adapter, folder, takesHead, trained }: OpenedModel,
  model: Classifier,
  drawn: readonly string[],
): string | undefined {
  const modules = model.head().filter(({ weight }) => drawn.includes(weight.name))
  if (modules.length === 0) return adapter ? `Head: the adapter's, for ${listed(trained.labels)}` : undefined
  const whose = adapter ? "the adapter's" : "the model's"
  const known = isGeneric(trained.labels)
    ? `${trained.labels.length} ${trained.labels.length === 1 ? 'output' : 'outputs'}`
    : listed(trained.labels)
  const why = folder === undefined ? '' : takesHead ? ' (the weights have none)' : ` (${whose} is for ${known})`
  const pathsOf = (linears: readonly Linear[]): string => linears.map(({ path }) => path).join(', ')
  const idle = modules.filter(({ weight, lora }) => !weight.trainable && !lora)
  const isFrozen = idle.some(({ path }) => !path.startsWith(model.prefix))
  const stays = isFrozen
    ? `\nThe head is frozen: ${pathsOf(idle)} will keep these random values. --train-head trains the head, too.`
    : ''
  return `Head: drawn at random${why}: ${pathsOf(modules)}${stays}`
}

/** Names of classes, the first of many. */
const listed = (labels: readonly string[]): string =>
  labels.slice(0, LISTED).join(', ') + (labels.length > LISTED ? ` and ${labels.length - LISTED} more` : '')
