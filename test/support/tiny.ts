// A whole job in small: a BERT of two layers with a vocabulary of everyday words, reviews that one word decides, and
// the command line as a child process.
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createModel } from '../../models/index.ts'
import { parseConfig, type ModelConfig } from '../../models/config.ts'
import { freshValues } from '../../models/initialise.ts'
import type { Model } from '../../models/model.ts'
import { writeSafetensors } from '../../models/node/files.ts'
import { stream } from '../../train/random.ts'
import { runWarm } from './warm/client.ts'

const SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] as const
const FILLERS = (
  'a the it was is and of in this that one we they film story actor scene plot music end with for on at as by ' +
  'camera role long short old new first last some every very quite just still about after before'
).split(' ')
/** The words that decide a review: the first half makes it positive. */
const DECIDERS = ['good', 'great', 'bad', 'awful'] as const

/** The words of the tiny vocabulary in the order of their ids. */
export const TINY_WORDS: readonly string[] = [...SPECIAL, ...DECIDERS, ...FILLERS]

/** config.json of the tiny BERT. */
export function tinyConfig(changes: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    model_type: 'bert',
    architectures: ['BertForSequenceClassification'],
    vocab_size: TINY_WORDS.length,
    hidden_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 64,
    max_position_embeddings: 64,
    type_vocab_size: 2,
    hidden_act: 'gelu',
    hidden_dropout_prob: 0.1,
    attention_probs_dropout_prob: 0.1,
    // Wider than published models': so small a network of frozen weights would pass too little on otherwise.
    initializer_range: 0.2,
    pad_token_id: 0,
    ...changes,
  }
}

/** The same as a ModelConfig. */
export function tinyModelConfig(changes: Readonly<Record<string, unknown>> = {}): ModelConfig {
  return parseConfig(tinyConfig(changes), 'tiny', 'tiny')
}

/** A folder in the Hub's layout with fresh weights of `seed`. Gives the folder. */
export async function writeTinyModel(
  folder: string,
  {
    seed = 7,
    changes = {},
    create = createModel,
  }: {
    seed?: number
    changes?: Readonly<Record<string, unknown>>
    /** Which head it has; that of a sequence classifier when left out. */
    create?: (config: ModelConfig) => Model
  } = {},
): Promise<string> {
  await mkdir(folder, { recursive: true })
  const config = tinyModelConfig(changes)
  await writeFile(join(folder, 'config.json'), JSON.stringify(tinyConfig(changes)))
  await writeFile(join(folder, 'vocab.txt'), TINY_WORDS.map(word => `${word}\n`).join(''))
  await writeSafetensors(
    join(folder, 'model.safetensors'),
    create(config)
      .parameters()
      .map(parameter => ({
        name: parameter.name,
        dtype: 'F32',
        shape: parameter.shape,
        read: async () => freshValues(parameter, seed),
      })),
    { format: 'pt' },
  )
  return folder
}

export interface TinyReview {
  readonly text: string
  readonly label: 0 | 1
}

/** Reviews of `shortest` to `longest` words, half of each class by turns; one word in each decides. */
export function tinyReviews(count: number, { seed = 1, shortest = 4, longest = 12 } = {}): TinyReview[] {
  const random = stream(seed, 'tiny reviews')
  return Array.from({ length: count }, (_, i) => {
    const label = i % 2 === 0 ? 1 : 0
    const words = Array.from(
      { length: shortest + random.below(longest - shortest + 1) },
      () => FILLERS[random.below(FILLERS.length)],
    )
    words[random.below(words.length)] = DECIDERS[(label === 1 ? 0 : 2) + random.below(2)]
    return { text: words.join(' '), label }
  })
}

export function toCsv(reviews: readonly TinyReview[]): string {
  return `text,label\n${reviews.map(({ text, label }) => `"${text}",${label}\n`).join('')}`
}

/** How a child process ended, and what it said. */
export interface Ended {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A child that runs, with what it has said so far. */
export interface Running {
  readonly child: ChildProcessWithoutNullStreams
  readonly ended: Promise<Ended>
  stderr(): string
  /** Waits until stderr holds this. Throws when the process ends without having said it. */
  said(pattern: RegExp): Promise<void>
}

const scripts = {
  imdb: fileURLToPath(new URL('../../train/imdb.ts', import.meta.url)),
  tilegrad: fileURLToPath(new URL('../../train/node/cli/tilegrad.ts', import.meta.url)),
} as const

export interface ChildOptions {
  readonly cwd: string
  /** Whether a run writes its report, which takes almost half of the time of so small a one; not by default. */
  readonly report?: boolean
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** Options of a command that runs to its end. */
export interface EndedOptions extends ChildOptions {
  /**
   * Whether the command gets a process of its own, as users start it: slower, since it has to compile all of its kernels.
   * By default only if NODE_OPTIONS are given; else one process runs many commands (warm/server.ts).
   */
  readonly ownProcess?: boolean
  /** What it reads from stdin. */
  readonly input?: string
}

/** Starts `node train/imdb.ts` with these arguments. */
export const startImdb = (args: readonly string[], options: ChildOptions): Running => start('imdb', args, options)

/** Starts `tilegrad` with these arguments; its input stays open. */
export const startTilegrad = (args: readonly string[], options: ChildOptions): Running =>
  start('tilegrad', args, options)

/** Runs `tilegrad` with these arguments and this input to its end. */
export const tilegrad = (args: readonly string[], options: EndedOptions): Promise<Ended> =>
  run('tilegrad', args, options)

/** Runs `node train/imdb.ts` with these arguments to its end. */
export const imdb = (args: readonly string[], options: EndedOptions): Promise<Ended> => run('imdb', args, options)

async function run(
  script: keyof typeof scripts,
  args: readonly string[],
  { input = '', ownProcess = false, ...options }: EndedOptions,
): Promise<Ended> {
  if (ownProcess || options.env?.NODE_OPTIONS !== undefined) {
    const { child, ended } = start(script, args, options)
    // A command that ends without having read its input closes it.
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
    return ended
  }
  const { cwd } = options
  const { status, stdout, stderr } = await runWarm({
    ...{ script, args: argumentsOf(script, args, options), cwd, env: environmentOf(options), input },
  })
  return { status, signal: null, stdout, stderr }
}

function argumentsOf(script: keyof typeof scripts, args: readonly string[], { report = false }: ChildOptions) {
  const trains = script === 'imdb' || args[0] === 'fine-tune'
  return [...args, ...(trains && !report ? ['--no-report'] : [])]
}

const environmentOf = ({ env = {} }: ChildOptions): NodeJS.ProcessEnv =>
  Object.fromEntries(
    Object.entries({ ...process.env, HF_HUB_OFFLINE: '1', ...env }).filter(([, value]) => value !== undefined),
  )

function start(name: keyof typeof scripts, args: readonly string[], options: ChildOptions): Running {
  const child = spawn(process.execPath, [scripts[name], ...argumentsOf(name, args, options)], {
    cwd: options.cwd,
    env: environmentOf(options),
  })
  const texts = { stdout: '', stderr: '' }
  const waiting = new Set<() => void>()
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      texts[name] += text
      for (const look of waiting) look()
    })
  }
  const ended = new Promise<Ended>((done, failed) => {
    child.once('error', failed)
    child.once('close', (status, signal) =>
      done({ status, signal, stdout: texts.stdout, stderr: withoutWarnings(texts.stderr) }),
    )
  })
  const said = (pattern: RegExp): Promise<void> =>
    new Promise((done, failed) => {
      const look = (): void => {
        if (!pattern.test(texts.stderr)) return
        waiting.delete(look)
        done()
      }
      waiting.add(look)
      look()
      void ended.then(
        ({ status, stderr }) =>
          failed(new Error(`it ended with status ${status}, never having said ${pattern}: ${stderr}`)),
        failed,
      )
    })
  return { child, ended, said, stderr: () => texts.stderr }
}

/** Mesa's driver prints a line of its own when Dawn opens it. */
function withoutWarnings(stderr: string): string {
  return stderr
    .split('\n')
    .filter(line => !line.startsWith('Warning: maxDynamic'))
    .join('\n')
}
