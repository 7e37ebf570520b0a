// `npm run bench:search`: how much nearer to the optimum searches come than random search, on functions and on what
// sweeps recorded. Nothing is trained, and no GPU is used.
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { UserError } from '../engine/errors.ts'
import { readJson } from '../models/node/files.ts'
import { mean } from '../train/metrics/means.ts'
import { bootstrap } from '../train/metrics/uncertainty.ts'
import { Console, table } from '../train/node/cli/console.ts'
import { settingSchema, specSchema } from '../train/node/jobs/sweep/plan.ts'
import { type Spec, TRIAL_STATES, type Trial } from '../train/search/types.ts'
import { runBench } from './command.ts'
import { play, playCurves, regretAfter, searchOn } from './search/play.ts'
import { BRANIN, type Curves, type Surface, TUNING, modelledCurves, recordedSweep } from './search/surfaces.ts'

const usage = `usage: npm run bench:search -- [trials.json …] [options]

Plays searches on two functions, and on the tables of sweeps that are given by their trials.json. Regret is the distance
of the best value found from the best of all; the gain is the mean difference from random search, with its 95 % interval.

  --seeds <n>   searches of each kind (default 60)
  --json        one JSON object as the last line on stdout; the table goes to stderr
  --help        this`

/** What of a trials.json is replayed. */
const recordSchema = z.object({
  name: z.string(),
  spec: specSchema,
  trials: z.array(
    z.object({
      number: z.int(),
      setting: z.int(),
      seed: z.number(),
      values: settingSchema,
      state: z.enum(TRIAL_STATES),
      value: z.number().nullable(),
      intermediate: z.array(z.object({ step: z.number(), value: z.number() })),
    }),
  ),
})

interface Result {
  readonly surface: string
  readonly search: string
  /** What both searches spend: settings, or evaluations. */
  readonly budget: string
  readonly random: number
  readonly found: number
  readonly gain: number
  readonly low: number
  readonly high: number
}

/** Compares a search with a random one, seed by seed; `play` gives the regret of a search with a seed. */
function compare(
  names: Pick<Result, 'surface' | 'search' | 'budget'>,
  seeds: number,
  search: Partial<Spec>,
  regret: (search: Partial<Spec>) => number,
): Result {
  const all = Array.from({ length: seeds }, (_, seed) => seed)
  const random = all.map(seed => regret({ search: 'random', seed }))
  const found = all.map(seed => regret({ ...search, seed }))
  const gains = random.map((value, i) => value - found[i])
  const interval = bootstrap(seeds, indices => mean(Array.from(indices, i => gains[i])), { seed: 1 })
  const { low, high } = interval ?? { low: NaN, high: NaN }
  return { ...names, random: mean(random), found: mean(found), gain: mean(gains), low, high }
}

/** TPE after a number of settings, which begins to learn after some. */
function compareTpe(surface: string, on: Surface, seeds: number, settings: number, startup: number): Result {
  const search: Partial<Spec> = { search: 'tpe', tpe: { startup } }
  return compare({ surface, search: 'TPE', budget: `${settings} settings` }, seeds, search, given =>
    regretAfter(settings, play(searchOn(on, { ...given, settings }), on), on),
  )
}

/** Successive halving within a number of evaluations. */
function compareHalving(surface: string, curves: Curves, seeds: number, settings: number, budget: number): Result {
  const search: Partial<Spec> = { halving: { grace: 1, factor: 3 } }
  return compare({ surface, search: 'ASHA', budget: `${budget} evaluations` }, seeds, search, given => {
    const spec = searchOn(curves.surface, { ...given, settings })
    return regretAfter(Infinity, playCurves(spec, curves, budget), curves.surface)
  })
}

async function ofFile(path: string, seeds: number): Promise<Result[]> {
  const { success, data } = recordSchema.safeParse(await readJson(path))
  if (!success) throw new UserError(`${path} is not the trials.json of a sweep`)
  const trials: readonly Trial[] = data.trials.map(trial => ({ ...trial, value: trial.value ?? undefined }))
  const { settings, surface, curves } = recordedSweep(data.spec, trials)
  if (settings < 6) throw new UserError(`${path} has ${settings} complete settings; at least 6 are needed`)
  // Half of the table, so that chance alone finds the best every other time; TPE learns from the first few on.
  const half = Math.ceil(settings / 2)
  const tpe = compareTpe(data.name, surface, seeds, half, Math.min(10, Math.ceil(settings / 5)))
  const halving = curves && compareHalving(data.name, curves, seeds, settings, half * curves.length)
  return halving ? [tpe, halving] : [tpe]
}

await runBench('bench:search', async () => {
  const { values, positionals } = parseArgs({
    options: { seeds: { type: 'string' }, json: { type: 'boolean' }, help: { type: 'boolean' } },
    allowPositionals: true,
  })
  if (values.help) return void process.stdout.write(`${usage}\n`)
  const seeds = Number(values.seeds ?? 60)
  if (!(Number.isInteger(seeds) && seeds > 1)) throw new UserError('--seeds takes a whole number of at least 2')
  const functions = [
    ['Branin', BRANIN],
    ['tuning', TUNING],
  ] as const
  const results = functions.flatMap(([name, surface]) => [
    compareTpe(name, surface, seeds, 30, 10),
    compareTpe(name, surface, seeds, 60, 10),
    compareHalving(name, modelledCurves(surface, 9, 0.1), seeds, 1000, 270),
  ])
  for (const path of positionals) results.push(...(await ofFile(path, seeds)))
  const rows = results.map(({ surface, search, budget, random, found, gain, low, high }) => [
    surface,
    search,
    budget,
    ...[random, found, gain].map(value => value.toFixed(4)),
    `${low.toFixed(4)} … ${high.toFixed(4)}`,
  ])
  const console = new Console(values.json ?? false)
  console.say(table([['surface', 'search', 'with', 'random regret', 'regret', 'gain', '95 %'], ...rows]))
  console.result({ seeds, results })
})
