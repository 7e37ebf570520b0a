// What tests of the command line share: a place of their own with a tiny model and reviews, and how an end is judged.
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { type Ended, imdb, tinyReviews, toCsv, writeTinyModel } from './tiny.ts'

/** A temporary folder with inputs, and working folders below it. */
export interface Workplace {
  readonly root: string
  /** A tiny BERT of one layer, in the Hub's layout. */
  readonly model: string
  /** 240 reviews of 2 to 4 words; a fifth becomes the test set. */
  readonly reviews: string
  /** What a child process gets beside the tests' own environment: caches of its own, and no way to a Hub. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** A new working folder, empty. */
  folder(): Promise<string>
  remove(): Promise<void>
}

/** A change of a workplace's model for tests whose commands each compile all kernels: a few of the largest less. */
export const NO_ATTENTION_DROPOUT = { attention_probs_dropout_prob: 0 }

/** Makes a workplace; `changes` go into the model's config.json. */
export async function makeWorkplace(name: string, changes: Readonly<Record<string, unknown>> = {}): Promise<Workplace> {
  const root = await mkdtemp(join(tmpdir(), `tilegrad-${name}-`))
  const reviews = join(root, 'reviews.csv')
  await writeFile(reviews, toCsv(tinyReviews(240, { shortest: 2, longest: 4 })))
  const { MESA_SHADER_CACHE_DIR, XDG_CACHE_HOME } = process.env
  const proxies = ['http_proxy', 'https_proxy', 'all_proxy'].flatMap(name => [name, name.toUpperCase()])
  const model = await writeTinyModel(join(root, 'model'), { changes: { num_hidden_layers: 1, ...changes } })
  let count = 0
  return {
    root,
    model,
    reviews,
    env: {
      HF_HOME: join(root, 'hub-cache'),
      HF_HUB_CACHE: undefined,
      HUGGINGFACE_HUB_CACHE: undefined,
      HF_TOKEN: undefined,
      HF_TOKEN_PATH: undefined,
      // Kernels that other runs of this user measured are not these runs'; pipelines that Mesa compiled may be.
      XDG_CACHE_HOME: join(root, 'cache'),
      MESA_SHADER_CACHE_DIR: MESA_SHADER_CACHE_DIR ?? XDG_CACHE_HOME ?? join(homedir(), '.cache'),
      ...Object.fromEntries(proxies.map(name => [name, undefined])),
      NODE_OPTIONS: undefined,
    },
    async folder() {
      const folder = join(root, `work-${++count}`)
      await mkdir(folder)
      return folder
    },
    remove: () => rm(root, { recursive: true, force: true }),
  }
}

/** Options of a fine-tuning run of two epochs over 80 reviews into the folder `run`; it can be repeated to the bit. */
export const tinyRun = ({ model, reviews }: Workplace): string[] => [
  ...['--model', model, '--data', reviews, '--max-length', '8', '--epochs', '2', '--limit-train', '96'],
  ...['--val-split', '16', '--lora-targets', 'query,value', '--lora-alpha', '16', '--lr', '5e-3', '--out', 'run'],
  // Measured kernels are faster, but another measurement may choose others.
  ...['--tune-kernels', 'off'],
]

/** Every file below a folder, by its path from there, sorted. */
export async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter(entry => entry.isFile())
    .map(({ parentPath, name }) =>
      join(parentPath, name)
        .slice(folder.length + 1)
        .replaceAll('\\', '/'),
    )
    .sort()
}

/** The object that `--json` left: the one line on stdout. */
export function resultOf<T>({ status, stdout, stderr }: Ended, expected = 0): T {
  expect(status, stderr).toBe(expected)
  expect(stdout, 'stdout is one line').toMatch(/^.+\n$/)
  return JSON.parse(stdout) as T
}

/** Runs the command, which must refuse: nothing on stdout, status 2, no file. Gives its one line on stderr. */
export async function refusal(
  place: Workplace,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const cwd = await place.folder()
  const { status, stdout, stderr } = await imdb(args, { cwd, env: { ...place.env, ...env } })
  expect(stderr).toMatch(/^tilegrad: .+\n$/)
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
  expect(await readdir(cwd), 'nothing is written').toEqual([])
  return stderr.slice('tilegrad: '.length, -1)
}
