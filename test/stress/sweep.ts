// `npm run stress:sweep -- --trials N --workers N --kills N --seed S`: a sweep on a PostgreSQL server of its own whose
// workers and server are killed at random moments; sees that each trial is made once, to the bits of an undisturbed
// sweep over PGlite. Exits with 1 where not.
import { parseArgs } from 'node:util'
import { UserError } from '../../engine/errors.ts'
import { runCommand } from '../../train/node/cli/main.ts'
import { chaos } from '../support/chaos.ts'
import { makeWorkplace } from '../support/command.ts'
import { whyNoPostgres } from '../support/postgres.ts'
import { bitsOf } from '../support/sweeps.ts'

async function main(argv: readonly string[]): Promise<number> {
  const missing = whyNoPostgres()
  if (missing !== undefined) throw new UserError(missing)
  const { values } = parseArgs({
    args: [...argv],
    options: {
      trials: { type: 'string', default: '64' },
      workers: { type: 'string', default: '4' },
      kills: { type: 'string', default: '20' },
      seed: { type: 'string', default: '1' },
    },
  })
  const [trials, workers, kills, seed] = [values.trials, values.workers, values.kills, values.seed].map(Number)
  const tell = (line: string): void => void process.stdout.write(`${line}\n`)
  const place = await makeWorkplace('chaos')
  try {
    const { calm, disturbed, killed, ended } = await chaos({ place, trials, workers, kills, seed, tell })
    const same = disturbed.filter((trial, i) => JSON.stringify(bitsOf(trial)) === JSON.stringify(bitsOf(calm[i])))
    const complete = disturbed.filter(({ state }) => state === 'complete').length
    const again = disturbed.reduce((sum, { attempts }) => sum + attempts - 1, 0)
    tell(
      `${killed.workers} kills of workers, ${killed.server} of the server, seed ${seed}: the sweep ended with ${ended.status}; ` +
        `${complete} of ${trials} trials complete, ${same.length} with the bits of the undisturbed sweep; ` +
        `${again} taken over from killed workers`,
    )
    return ended.status === 0 && same.length === trials && disturbed.length === trials && again <= killed.workers
      ? 0
      : 1
  } finally {
    await place.remove()
  }
}

await runCommand(main)
