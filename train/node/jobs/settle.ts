// What a run takes where the user left data or model open: IMDb and DistilBERT where a GPU can carry them, else what
// comes with tilegrad, with options that suit it. All of these are options that a user can give as well.
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { parseTargets } from '../../../models/lora.ts'
import { readJson } from '../../../models/node/files.ts'
import { whyOutOfReach } from '../../../models/node/hub.ts'
import type { Options } from '../cli/options.ts'
import { BUNDLED, REAL, WANTED } from './job.ts'

type Part = 'model' | 'data'

/** How both are called to the user. */
const CALLED = {
  model: { bundled: 'the bundled small model', real: REAL.model },
  data: { bundled: 'the bundled reviews', real: `IMDb (${REAL.data})` },
} as const

/** Options by their names; `true` for a flag. */
type Values = Readonly<Record<string, string | true>>

/** Peak learning rates that suit the bundled model. */
const BUNDLED_RATES = { lora: '2e-3', head: '2e-3', full: '1e-3' } as const

/** What `bundled/recorded/record.ts` measured of a run with nothing but these options. */
const recorded = (part: string): string => fileURLToPath(new URL(`../bundled/recorded/${part}`, import.meta.url))

/** How long such a run takes, and where that was measured: to be said before anything is measured here. */
export const recordedTime = async (): Promise<{ readonly seconds: number; readonly where: string }> =>
  z.object({ seconds: z.number().positive(), where: z.string() }).parse(await readJson(recorded('time.json')))

/** What the bundled model is shown beside on the bundled reviews. */
const REFERENCES = { recorded: `nb,${recorded('from-random-weights')}`, other: 'nb' }

/** Options that suit the bundled model, as far as the user gave no others. */
function bundledOptions({ tune, loraRank, loraTargets, freezeHead, given }: Options): Values {
  const trainsHead = tune === 'lora' && !freezeHead && !parseTargets(loraTargets).includes('head')
  const values: Record<string, string | true | false> = {
    'lora-alpha': tune === 'lora' && String(2 * loraRank),
    'train-head': trainsHead,
    lr: BUNDLED_RATES[tune],
    epochs: '5',
    warmup: '0.1',
    'max-length': '64',
    name: 'bundled',
  }
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) => (value === false || given.has(name) ? [] : [[name, value]])),
  )
}

/** What a run takes, and why. */
export interface Settled {
  readonly argv: string[]
  /** Undefined if nothing was open. */
  readonly why: string | undefined
  /** Whether model and data are the bundled ones, and every option of the run is one that suits them. */
  readonly isAsRecorded: boolean
}

/**
 * Arguments for what the user left open. Throws a UserError if the Hub is reached, but refuses. Without `compares` no
 * `--compare-with` is among them.
 */
export async function settle(
  options: Options,
  argv: readonly string[],
  software: boolean,
  { compares = true }: { readonly compares?: boolean } = {},
): Promise<Settled> {
  const open = (['model', 'data'] as const).filter(part => options[part] === undefined)
  if (open.length === 0) return { argv: [...argv], why: undefined, isAsRecorded: false }
  const called = (which: 'bundled' | 'real'): string => open.map(part => CALLED[part][which]).join(' and ')
  const valuesOf = (from: typeof REAL | typeof BUNDLED): Values =>
    Object.fromEntries(open.map(part => [part, from[part]]))
  // Before the user's own: after a `--` of theirs no option counts.
  const settled = (values: Values): string[] => [
    ...Object.entries(values).map(([name, value]) => (value === true ? `--${name}` : `--${name}=${value}`)),
    ...argv.filter(argument => argument !== '--bundled'),
  ]

  const trouble = options.bundled ? 'As asked' : software ? 'No GPU' : await whyNotReal(neededOf(options, open))
  if (trouble === undefined) {
    return {
      argv: settled(valuesOf(REAL)),
      why: `There is a GPU: taking ${called('real')}, from the Hub or its cache.`,
      isAsRecorded: false,
    }
  }
  const isAsRecorded = open.length === 2 && [...options.given].every(name => NO_WORK.has(name))
  const beside = compares && open.length === 2 && !options.given.has('compare-with')
  const extra: Values = {
    ...(open.includes('model') && bundledOptions(options)),
    ...(beside && { 'compare-with': REFERENCES[isAsRecorded ? 'recorded' : 'other'] }),
  }
  const says = settingsOf(extra)
  return {
    argv: settled({ ...valuesOf(BUNDLED), ...extra }),
    why: `${trouble}: taking ${called('bundled')}${says === '' ? '' : `, with ${says}`}.`,
    isAsRecorded,
  }
}

/** Options that change nothing of what a run computes. */
const NO_WORK: ReadonlySet<string> = new Set([
  'bundled',
  'out',
  'name',
  'json',
  'seed',
  'adapter',
  'try',
  'merge',
  'no-report',
])

/** What has to come from the Hub: a published architecture with fresh weights and another tokenizer needs nothing. */
const neededOf = ({ init, tokenizer }: Options, open: readonly Part[]): readonly Part[] =>
  open.filter(part => part === 'data' || init !== 'random' || tokenizer === undefined)

/** Options as one types them, apart from those that say nothing of training. */
const settingsOf = (values: Values): string =>
  Object.entries(values)
    .filter(([name]) => name !== 'name' && name !== 'compare-with')
    .map(([name, value]) => (value === true ? `--${name}` : `--${name} ${value}`))
    .join(' ')

/** Why the real thing can't be had though there is a GPU; undefined where it can. */
async function whyNotReal(needed: readonly Part[]): Promise<string | undefined> {
  for (const part of needed) {
    const trouble =
      part === 'model' ? await whyOutOfReach('model', REAL.model) : await whyOutOfReach('dataset', REAL.data, WANTED)
    if (trouble !== undefined) return `There is a GPU, but ${trouble}`
  }
  return undefined
}
