// The commands of `tilegrad`. A command's modules are loaded only when it is called, so
// that one text is answered without loading what trains and draws.
import { spawn } from 'node:child_process'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { UserError } from '../../../engine/errors.ts'
import { TILEGRAD, version } from '../package.ts'
import { PACKAGES, requirePackages } from '../packages.ts'
import { print } from './output.ts'
import { nearest } from './table.ts'

type Main = (argv: readonly string[]) => Promise<number>

interface Command {
  readonly says: string
  /** Packages beyond tilegrad's own that it needs with these arguments. */
  readonly needs?: (argv: readonly string[]) => readonly string[]
  /** Packages that it needs for some data or options only. */
  readonly mayNeed?: readonly string[]
  readonly load: () => Promise<Main>
}

const { bars, charts, words, sweeps, pglite, postgres } = PACKAGES
const tables = [...PACKAGES.parquet, ...PACKAGES.archives]
const has = (argv: readonly string[], option: string): boolean =>
  argv.some(argument => argument === option || argument.startsWith(`${option}=`))

export const COMMANDS: Readonly<Record<string, Command>> = {
  'fine-tune': {
    says: 'train a model on labelled texts',
    needs: argv => [...bars, ...(has(argv, '--no-report') ? [] : charts)],
    mayNeed: [...tables, ...words],
    load: async () => {
      const { fineTune } = await import('./fine-tune.ts')
      return argv => fineTune(argv, 'tilegrad')
    },
  },
  predict: {
    says: 'label texts with what was trained',
    mayNeed: [...tables, ...words],
    load: async () => (await import('./predict.ts')).predict,
  },
  evaluate: {
    says: 'score what was trained on labelled texts',
    needs: argv => [...bars, ...(has(argv, '--report') ? charts : [])],
    mayNeed: [...tables, ...words],
    load: async () => (await import('./evaluate.ts')).evaluate,
  },
  export: {
    says: 'write what was trained as a plain model folder',
    mayNeed: words,
    load: async () => (await import('./export.ts')).exportCommand,
  },
  overview: {
    says: 'show what a data set is: lengths, duplicates, odd rows, telling words',
    needs: argv => [...bars, ...(has(argv, '--out') ? charts : [])],
    mayNeed: tables,
    load: async () => (await import('./overview.ts')).overview,
  },
  compare: {
    says: 'compare finished runs, sweeps and baselines',
    needs: () => [...bars, ...charts],
    mayNeed: tables,
    load: async () => (await import('./compare.ts')).compare,
  },
  baseline: {
    says: 'fit a light model on words and n-grams, on the CPU',
    needs: () => [...bars, ...charts, ...words],
    mayNeed: tables,
    load: async () => (await import('./baseline.ts')).baseline,
  },
  pretrain: {
    says: 'make a base model from texts alone, or adapt one to them',
    needs: () => bars,
    mayNeed: tables,
    load: async () => (await import('./pretrain.ts')).pretrain,
  },
  sweep: {
    says: 'search the options of runs: many trials, by one worker or many',
    needs: () => [...bars, ...charts, ...sweeps],
    mayNeed: [...pglite, ...postgres, ...tables, ...words],
    load: async () => (await import('./sweep.ts')).sweep,
  },
  worker: {
    says: 'make the trials of sweeps that other machines share, through PostgreSQL',
    needs: () => [...bars, ...sweeps, ...postgres],
    mayNeed: [...charts, ...pglite, ...tables, ...words],
    load: async () => (await import('./worker.ts')).worker,
  },
  adapters: {
    says: 'list the WebGPU adapters of this machine',
    load: async () => (await import('./adapters.ts')).adapters,
  },
  setup: { says: 'check for an adapter; download a software one if there is none', load: async () => setup },
}

/** The set-up is a script of its own, since it must run before there are packages. Gives its exit status. */
function setup(argv: readonly string[]): Promise<number> {
  const script = fileURLToPath(new URL(`../../../engine/node/setup${extname(import.meta.url)}`, import.meta.url))
  const child = spawn(process.execPath, [script, ...argv], { stdio: 'inherit' })
  return new Promise((done, failed) => child.once('error', failed).once('exit', status => done(status ?? 1)))
}

function help(): string {
  const width = Math.max(...Object.keys(COMMANDS).map(name => name.length))
  return [
    `Usage: ${TILEGRAD} <command> [options]`,
    '',
    ...Object.entries(COMMANDS).map(([name, { says }]) => `  ${name.padEnd(width)}  ${says}`),
    '',
    '`<command> --help` lists its options; `--version` prints the version.',
    '',
  ].join('\n')
}

/**
 * Runs the command that the arguments name first. Gives its exit status. Throws a UserError if there is no such
 * command.
 */
export async function tilegrad([name, ...argv]: readonly string[]): Promise<number> {
  if (name === '--help' || name === '-h') {
    await print(help())
    return 0
  }
  if (name === '--version') {
    await print(`${version}\n`)
    return 0
  }
  const names = Object.keys(COMMANDS)
  if (name === undefined) throw new UserError(`A command is needed: ${names.join(', ')}; see --help`)
  if (!names.includes(name)) {
    const meant = nearest(name, names)
    throw new UserError(
      `Unknown command ${JSON.stringify(name)}: ${meant ? `did you mean ${meant}?` : `the commands are ${names.join(', ')}`}`,
    )
  }
  const { load, needs, mayNeed } = COMMANDS[name]
  if (needs && !has(argv, '--help') && !has(argv, '-h')) requirePackages(name, needs(argv), mayNeed)
  return (await load())(argv)
}
