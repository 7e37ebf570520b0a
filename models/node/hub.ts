// Models and data sets by name: from a folder, from the Hub's cache, or from the Hub (HF_ENDPOINT, HF_TOKEN,
// HF_TOKEN_PATH, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, HTTPS_PROXY and NO_PROXY mean what they mean to everyone). What
// the cache has whole is used without asking the network; name a `revision`, or `name@revision`, to get another.
import { homedir } from 'node:os'
import { join } from 'node:path'
import { UserError } from '../../engine/errors.ts'
import { ANSWERS_FILE } from '../answers.ts'
import { hubName } from '../config.ts'
import { show } from '../show.ts'
import {
  WEIGHTS_FILE,
  ADAPTER_CONFIG,
  WEIGHTS_INDEX,
  conversionOf,
  exists,
  isFolder,
  missingWeights,
  readJson,
  readText,
  shardMap,
} from './files.ts'
import { codeOf } from './regular-file.ts'
import {
  cachedSnapshot,
  downloadBlob,
  isCommit,
  linkSnapshot,
  remoteFile,
  snapshotFiles,
  snapshotFolder,
} from './hub-cache.ts'
import type { Progress, RemoteFile, Repository, Source } from './hub-cache.ts'
import { HUB_LIMITS, type HubLimits } from './hub-limits.ts'
import { BadStatus, HubClient, NoResponse, UnexpectedResponse, isOpenToAll } from './hub-network.ts'
import { ADAPTER_WEIGHTS } from './peft.ts'
import { TOKENIZER_FILES } from './tokenizer.ts'

export interface HubOptions {
  /** Branch, tag or commit; `main` when left out. */
  readonly revision?: string
  /** Cache only. HF_HUB_OFFLINE when left out. */
  readonly offline?: boolean
  /** The Hub's own cache when left out. */
  readonly cacheDir?: string
  readonly progress?: Progress
  /** How long the network may take, and how much it may bring; each of HUB_LIMITS where left out. */
  readonly limits?: Partial<HubLimits>
}

export interface ModelOptions extends HubOptions {
  /** False where fresh weights will do, so that config and tokenizer are enough. */
  readonly weights?: boolean
  /** Whether the repository may be an adapter's, one with adapter_config.json. False when left out. */
  readonly adapters?: boolean
}

export interface DatasetOptions extends HubOptions {
  /** Which of the repository's .parquet files are wanted; all when left out. */
  readonly select?: (path: string) => boolean
  /** Sets without which a cache is not whole, as the files' names begin; none when left out. */
  readonly splits?: readonly string[]
}

/** Where a model or data set lies; `commit` is the Hub's, and absent for a folder of the user's own. */
export interface Resolved {
  readonly folder: string
  readonly commit?: string
}

/** The network or the Hub is not there, or not to be asked. */
class Unreachable extends UserError {}

const CONFIG_FILE = 'config.json'
/** Downloaded, too, if a repository has them. */
const BESIDE: readonly string[] = [...TOKENIZER_FILES, 'tokenizer_config.json', ANSWERS_FILE]
const MODEL_FILES: readonly string[] = [CONFIG_FILE, ...BESIDE]
const ADAPTER_FILES: readonly string[] = [ADAPTER_CONFIG, ADAPTER_WEIGHTS, ...BESIDE]

/** The most bytes of a file that is neither weights nor data. */
const MOST_BYTES = 256 * 2 ** 20

/** The longest name of a repository, and of a revision: those of the Hub are shorter. */
const LONGEST_NAME = 200

/** Data sets that go by an old short name. */
const DATASET_ALIASES: Readonly<Record<string, string>> = { imdb: 'stanfordnlp/imdb' }

/**
 * The folder of a model: `nameOrFolder` itself, or its snapshot in the cache, downloaded if need be (config.json, the
 * weights in one file or in shards, the tokenizer's files), or that of an adapter. Throws a UserError that says what is
 * missing, and where.
 */
export async function resolveModel(nameOrFolder: string, options: ModelOptions = {}): Promise<Resolved> {
  const { weights = true } = options
  if (await isFolder(nameOrFolder)) {
    const missing = await missingModelFiles(nameOrFolder, weights)
    if (missing.join() === WEIGHTS_FILE) throw new UserError(await missingWeights(nameOrFolder, WEIGHTS_FILE))
    if (missing.length > 0) throw new UserError(`${nameOrFolder} has no ${missing.join(' and no ')}`)
    return { folder: nameOrFolder }
  }
  const repository = await repositoryOf('model', nameOrFolder, options)
  const cached = await cachedModel(nameOrFolder, options)
  if (cached === undefined) return downloadModel(repository, options)
  // Other tools cache only what they asked for: the Hub may have a tokenizer that this cache lacks. Without the Hub, a
  // model whose tokenizer is elsewhere is still a model.
  const isWhole = await hasAny(cached, [...TOKENIZER_FILES, ...(options.adapters ? [ADAPTER_CONFIG] : [])])
  if (isOffline(options) || isWhole) return resolved(cached)
  return downloadModel(repository, options).catch((error: unknown) => {
    if (error instanceof Unreachable) return resolved(cached)
    throw error
  })
}

function downloadModel(repository: Repository, options: ModelOptions): Promise<Resolved> {
  const { weights = true, adapters = false } = options
  return download(repository, options, async (files, fetchFile) => {
    const byPath = new Map(files.map(file => [file.path, file]))
    const isAdapter = byPath.has(ADAPTER_CONFIG) && (adapters || !byPath.has(CONFIG_FILE))
    if (isAdapter && !adapters)
      throw new UserError(`${repository.name} on the Hub is an adapter, where a whole model is expected`)
    const wanted = files.filter(file => (isAdapter ? ADAPTER_FILES : MODEL_FILES).includes(file.path))
    const huge = [...wanted, byPath.get(WEIGHTS_INDEX)].find(
      file => file && file.path !== ADAPTER_WEIGHTS && file.size > MOST_BYTES,
    )
    if (huge) throw new UserError(`${huge.path} of ${repository.name} has ${huge.size} bytes, too many for such a file`)
    const conversion = (file: string): string | undefined =>
      conversionOf(`${isAdapter ? 'adapter' : 'model'} ${repository.name} on the Hub`, file, name => byPath.has(name))
    if (isAdapter) {
      if (byPath.has(ADAPTER_WEIGHTS)) return wanted
      throw new UserError(
        conversion(ADAPTER_WEIGHTS) ?? `adapter ${repository.name} on the Hub has no ${ADAPTER_WEIGHTS}`,
      )
    }
    const missing = byPath.has(CONFIG_FILE) ? [] : [CONFIG_FILE]
    const whole = byPath.get(WEIGHTS_FILE)
    const index = byPath.get(WEIGHTS_INDEX)
    if (weights && whole) wanted.push(whole)
    else if (weights && index) {
      const where = `${WEIGHTS_INDEX} of ${repository.name}`
      const shards = new Set(shardMap(await readJson(await fetchFile(index)), where).values())
      wanted.push(index)
      for (const shard of shards) {
        const file = byPath.get(shard)
        if (file) wanted.push(file)
        else missing.push(shard)
      }
    } else if (weights) missing.push(WEIGHTS_FILE)
    const pickled = missing.includes(WEIGHTS_FILE) ? conversion(WEIGHTS_FILE) : undefined
    if (pickled !== undefined) throw new UserError(pickled)
    if (missing.length > 0) {
      const { name, revision } = repository
      throw new UserError(`model ${name} on the Hub has no ${missing.join(' and no ')} at revision ${revision}`)
    }
    return wanted
  })
}

/**
 * The snapshot's folder when the cache has the model's config and weights, or the adapter's, without asking the
 * network.
 */
export async function cachedModel(name: string, options: ModelOptions = {}): Promise<string | undefined> {
  const repository = parseRepository('model', name, options)
  // An old short name may stand in the cache under itself, or under the organisation that has it now.
  for (const known of repository ? new Set([repository.name, hubName(repository.name)]) : []) {
    const folder = repository && (await cachedSnapshot({ ...repository, name: known }))
    if (!folder) continue
    const isAdapter = options.adapters === true && (await exists(join(folder, ADAPTER_CONFIG)))
    if (
      isAdapter
        ? await exists(join(folder, ADAPTER_WEIGHTS))
        : (await missingModelFiles(folder, options.weights ?? true)).length === 0
    ) {
      return folder
    }
  }
  return undefined
}

/**
 * The folder of a data set's parquet files, downloaded into the cache if need be, e.g. `imdb` or `stanfordnlp/imdb`:
 * `<folder>/plain_text/train-00000-of-00001.parquet`. Throws a UserError that says what is missing.
 */
export async function resolveDataset(name: string, options: DatasetOptions = {}): Promise<Resolved> {
  const repository = await repositoryOf('dataset', name, options)
  const cached = await cachedDataset(name, options)
  if (cached !== undefined) return resolved(cached)
  return download(repository, options, async files => {
    const wanted = files.filter(file => isWanted(file.path, options))
    if (wanted.length > 0) return wanted
    const { name, revision } = repository
    throw new UserError(`dataset ${name} on the Hub has no parquet files at revision ${revision}`)
  })
}

/**
 * The snapshot's folder when the cache has parquet files that are wanted, of all splits, no series of them with a gap.
 */
export async function cachedDataset(name: string, options: DatasetOptions = {}): Promise<string | undefined> {
  const repository = parseRepository('dataset', name, options)
  const folder = repository && (await cachedSnapshot(repository))
  if (!folder) return undefined
  const paths = (await snapshotFiles(folder)).filter(path => isWanted(path, options))
  const there = new Set(paths)
  const whole =
    paths.every(path => hasSeries(path, there)) &&
    (options.splits ?? []).every(split => paths.some(path => path.split('/').at(-1)?.startsWith(split)))
  return paths.length > 0 && whole ? folder : undefined
}

function isWanted(path: string, { select }: DatasetOptions): boolean {
  return path.endsWith('.parquet') && (select?.(path) ?? true)
}

/** Whether a file's series is there: `train-00001-of-00003.parquet` is one of three, one without a number is alone. */
function hasSeries(path: string, there: ReadonlySet<string>): boolean {
  const [, before, number, after, count] = /^(.*-)(\d+)(-of-(\d+)\.parquet)$/.exec(path) ?? []
  if (before === undefined) return true
  // The number is anybody's: a series of more files than there are has a gap.
  if (Number(count) > there.size) return false
  return Array.from({ length: Number(count) }, (_, i) => before + String(i).padStart(number.length, '0') + after).every(
    other => there.has(other),
  )
}

async function missingModelFiles(folder: string, weights: boolean): Promise<string[]> {
  const missing = (await exists(join(folder, CONFIG_FILE))) ? [] : [CONFIG_FILE]
  if (!weights || (await exists(join(folder, WEIGHTS_FILE)))) return missing
  const index = join(folder, WEIGHTS_INDEX)
  if (!(await exists(index))) return [...missing, WEIGHTS_FILE]
  for (const shard of new Set(shardMap(await readJson(index), index).values())) {
    if (!(await exists(join(folder, shard)))) missing.push(shard)
  }
  return missing
}

async function hasAny(folder: string, files: readonly string[]): Promise<boolean> {
  for (const file of files) if (await exists(join(folder, file))) return true
  return false
}

function resolved(folder: string): Resolved {
  return { folder, commit: folder.split(/[/\\]/).at(-1) }
}

/** `org/name` or `name`, each with `@revision` if wanted; undefined for what no repository can be called. */
function parseRepository(type: Repository['type'], text: string, options: HubOptions): Repository | undefined {
  const [, given, after] = /^([^@]+)(?:@(.+))?$/.exec(text) ?? []
  const name = type === 'dataset' && Object.hasOwn(DATASET_ALIASES, given) ? DATASET_ALIASES[given] : given
  const revision = options.revision ?? after ?? 'main'
  const plain = /^[\w-][\w.-]*(\/[\w-][\w.-]*)?$/
  if (name === undefined || name.length > LONGEST_NAME || revision.length > LONGEST_NAME) return undefined
  if (!plain.test(name) || !/^[\w-][\w.-]*(\/[\w-][\w.-]*)*$/.test(revision)) return undefined
  return { type, name, revision, cacheDir: options.cacheDir ?? cachePath() }
}

async function repositoryOf(type: Repository['type'], text: string, options: HubOptions): Promise<Repository> {
  const repository = parseRepository(type, text, options)
  if (!repository) {
    if (await exists(text)) throw new UserError(`${text} is a file, where the folder of a ${type} is expected`)
    throw new UserError(`${text} does not exist, and no ${type} on the Hub can have that name`)
  }
  return type === 'model' ? { ...repository, name: hubName(repository.name) } : repository
}

function isOffline({ offline }: HubOptions): boolean {
  return offline ?? /^(1|true|yes|on)$/i.test(process.env.HF_HUB_OFFLINE ?? '')
}

function refuseOffline(repository: Repository, options: HubOptions): void {
  if (!isOffline(options)) return
  const { type, name, cacheDir } = repository
  throw new Unreachable(`${type} ${name} is neither a folder nor whole in the cache ${cacheDir}, and downloads are off`)
}

/** How the Hub is asked. */
interface Access {
  readonly client: HubClient
  readonly token?: string
  /** Where the token stands, for messages. */
  readonly from?: string
  /** Whether there is a token that is not sent, since others could read it on the way. */
  readonly withheld: boolean
}

/** The Hub's folder on this machine. Here and below, a variable that is empty counts as unset. */
function home(): string {
  const { HF_HOME, XDG_CACHE_HOME } = process.env
  return HF_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface')
}

function cachePath(): string {
  return process.env.HF_HUB_CACHE || process.env.HUGGINGFACE_HUB_CACHE || join(home(), 'hub')
}

/**
 * With HF_TOKEN, or what `hf auth login` has left in HF_TOKEN_PATH or HF_HOME. Throws a UserError for any other text.
 */
async function openAccess(options: HubOptions): Promise<Access> {
  const { HF_TOKEN, HF_TOKEN_PATH } = process.env
  const url = endpoint()
  const from = HF_TOKEN ? 'HF_TOKEN' : HF_TOKEN_PATH || join(home(), 'token')
  const stored = HF_TOKEN || ((await exists(from)) && !(await isFolder(from)) ? await readText(from, 10_000) : '')
  const token = stored.trim() || undefined
  // Other characters can't stand in a request's header.
  if (token !== undefined && !/^hf_[!-~]+$/.test(token)) {
    throw new UserError(`${from} holds no token of the Hub: one is hf_ and plain letters and digits`)
  }
  const client = new HubClient(url, token, { ...HUB_LIMITS, ...options.limits })
  return { client, token, from, withheld: token !== undefined && isOpenToAll(new URL(url)) }
}

/** HF_ENDPOINT, or the Hub's own address. Throws a UserError if that is none. */
function endpoint(): string {
  const url = (process.env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, '')
  const parsed = /^https?:\/\//i.test(url) ? URL.parse(url) : null
  // Not shown: whoever wrote a password there would find it in logs.
  if (parsed?.username || parsed?.password) {
    throw new UserError('HF_ENDPOINT names a user or a password, which are not sent: leave them out')
  }
  if (parsed && !/[?#]/.test(url)) return url
  const shown = JSON.stringify(url.replace(/hf_\w+/g, 'hf_…'))
  throw new UserError(`HF_ENDPOINT is ${shown}, not a URL: it must begin with https:// or http://`)
}

/**
 * Why a model or data set can't be had on this machine now: the cache lacks it, and the Hub is out of reach or not to
 * be asked. Undefined where it can. Throws a UserError if the Hub has it for nobody, or not for this token.
 */
export async function whyOutOfReach(
  type: Repository['type'],
  name: string,
  options: DatasetOptions = {},
): Promise<string | undefined> {
  const cached = type === 'model' ? await cachedModel(name, options) : await cachedDataset(name, options)
  if (cached !== undefined) return undefined
  const repository = await repositoryOf(type, name, options)
  try {
    refuseOffline(repository, options)
    await askCommit(repository, await openAccess(options))
    return undefined
  } catch (error) {
    if (error instanceof Unreachable) return error.message
    throw error
  }
}

/** Where the repository's files are listed, below the endpoint. */
function apiPath({ type, name }: Repository): string {
  return `/api/${type}s/${name}`
}

/** The commit that the Hub has for the repository's revision. What is asked first of all. */
async function askCommit(repository: Repository, access: Access): Promise<string> {
  const { name, revision } = repository
  return explained(repository, access, 'listing', async () => {
    const path = `${apiPath(repository)}/revision/${encodeURIComponent(revision)}?expand=sha`
    const answer = await access.client.json(path)
    const sha = typeof answer === 'object' && answer !== null && 'sha' in answer ? answer.sha : undefined
    if (typeof sha !== 'string' || !isCommit(sha)) {
      throw new UserError(`${endpoint()} names no commit for ${name}: ${show(sha).slice(0, 100)}`)
    }
    return sha
  })
}

/** Lists the repository, downloads the files that `choose` picks, and shows them in the cache once all are there. */
async function download(
  repository: Repository,
  options: HubOptions,
  choose: (files: RemoteFile[], fetchFile: (file: RemoteFile) => Promise<string>) => Promise<RemoteFile[]>,
): Promise<Resolved> {
  refuseOffline(repository, options)
  const access = await openAccess(options)
  const { type, name } = repository
  const commit = await askCommit(repository, access)
  const files = await explained(repository, access, 'listing', async () => {
    const found: RemoteFile[] = []
    for await (const entry of access.client.list(`${apiPath(repository)}/tree/${commit}?recursive=true&expand=false`)) {
      const file = remoteFile(entry, repository)
      if (file) found.push(file)
    }
    return found
  })

  const source: Source = {
    limits: { ...HUB_LIMITS, ...options.limits },
    progress: options.progress,
    open: (file, from) => {
      const path = file.path.split('/').map(encodeURIComponent).join('/')
      const root = type === 'dataset' ? `/datasets/${name}` : `/${name}`
      return access.client.bytes(`${root}/resolve/${commit}/${path}`, from, file.size)
    },
  }
  const fetchBlob = (file: RemoteFile): Promise<void> =>
    explained(repository, access, 'download', () => downloadBlob(repository, file, source))
  const link = (files: readonly RemoteFile[], revision: string): Promise<string> =>
    explained(repository, access, 'download', () => linkSnapshot({ ...repository, revision }, commit, files))
  const fetchFile = async (file: RemoteFile): Promise<string> => {
    await fetchBlob(file)
    await link([file], commit)
    return join(snapshotFolder(repository, commit), file.path)
  }
  const wanted = await choose(files, fetchFile)
  for (const file of wanted) await fetchBlob(file)
  return { folder: await link(wanted, repository.revision), commit }
}

/** Runs `work`, and says in one line, without the token, what a failure means to someone who wants this repository. */
async function explained<T>(
  repository: Repository,
  access: Access,
  stage: 'listing' | 'download',
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const meaning = explain(repository, access, stage, error)
    // A server that was sent the token can repeat it in whatever it says.
    if (!(meaning instanceof UserError && access.token && meaning.message.includes(access.token))) throw meaning
    const message = meaning.message.replaceAll(access.token, 'hf_…')
    throw meaning instanceof Unreachable ? new Unreachable(message) : new UserError(message)
  }
}

function explain(repository: Repository, access: Access, stage: 'listing' | 'download', error: unknown): unknown {
  const { type, name, cacheDir } = repository
  if (error instanceof UserError) return error
  const what = `${type} ${name}`
  const hub = endpoint()
  if (error instanceof BadStatus) return explainStatus(repository, access, stage, error)
  const missing = `and ${what} is not in the cache ${cacheDir}`
  if (error instanceof NoResponse) return new Unreachable(`${hub} can't be reached (${error.message}), ${missing}`)
  // What answers with a page, as networks do that want a login first, is not the Hub.
  if (error instanceof UnexpectedResponse) {
    return new Unreachable(
      error.message === ''
        ? `${hub} does not answer as the Hub does, ${missing}; does this network want a login?`
        : `${hub} does not answer as the Hub does (${error.message}), ${missing}`,
    )
  }
  // The network's errors are told above: what the system says here, it says of the disk.
  const code = codeOf(error)
  if (code !== undefined && error instanceof Error && 'syscall' in error) {
    return new UserError(`${what} can't be written to the cache ${cacheDir} (${code}); HF_HOME names another`)
  }
  return error
}

/** What it means that the Hub, or a server that it refers to, says no. */
function explainStatus(
  { type, name, revision }: Repository,
  { token, from, withheld }: Access,
  stage: 'listing' | 'download',
  { status, own, retryAfter }: BadStatus,
): UserError {
  const what = `${type} ${name}`
  const page = `${endpoint()}/${type === 'dataset' ? 'datasets/' : ''}${name}`
  const at = revision === 'main' ? '' : ` at revision ${revision}`
  if (own && status === 404) {
    return new UserError(
      stage === 'listing'
        ? `the Hub has no ${what}${at}`
        : `the Hub lists a file of ${what}${at} that it does not have`,
    )
  }
  // The Hub answers 401, not 404, to strangers who ask for what does not exist.
  if (own && (status === 401 || status === 403)) {
    if (withheld) {
      return new UserError(`${endpoint()} wants a token for ${what}; the one in ${from} is sent only by https`)
    }
    if (stage === 'download') {
      return new UserError(`${what} is gated: accept its terms at ${page} and set HF_TOKEN to a token that may read it`)
    }
    return new UserError(
      token !== undefined
        ? `the token in ${from} gives no access to ${what}; see ${page}`
        : `the Hub has no public ${what}; if it is private, set HF_TOKEN`,
    )
  }
  const later = retryAfter > 0 ? `; it asks to try again in ${Math.ceil(retryAfter / 1000)} s` : '; try again later'
  return new Unreachable(`the Hub answers ${status} to a request for ${what}${later}`)
}
