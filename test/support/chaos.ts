// A sweep on a PostgreSQL server of its own whose workers and server are killed at random moments, beside the same sweep
// undisturbed over PGlite.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openDatabase } from '../../train/node/jobs/sweep/database.ts'
import { stream } from '../../train/random.ts'
import type { Workplace } from './command.ts'
import { startPostgres } from './postgres.ts'
import { type SweptTrial, trialOptions, trialsOf } from './sweeps.ts'
import { type Ended, type Running, startTilegrad, tilegrad } from './tiny.ts'

export interface ChaosOptions {
  readonly place: Workplace
  readonly trials: number
  readonly workers: number
  readonly kills: number
  readonly seed: number
  /** Called with a line for each thing that is done. */
  readonly tell?: (line: string) => void
}

export interface ChaosResult {
  readonly calm: readonly SweptTrial[]
  readonly disturbed: readonly SweptTrial[]
  /** Kills of workers, and of the server. */
  readonly killed: { readonly workers: number; readonly server: number }
  /** How the disturbed sweep ended. */
  readonly ended: Ended
  /** What the workers said. */
  readonly said: string
}

/** Runs both sweeps. */
export async function chaos({
  place,
  trials,
  workers,
  kills,
  seed,
  tell = () => undefined,
}: ChaosOptions): Promise<ChaosResult> {
  const cwd = await place.folder()
  const env = place.env
  const rates = Array.from({ length: trials }, (_, i) => 1e-3 * (1 + i))
  const spec = { parameters: { lr: rates }, seeds: [1], options: trialOptions(place) }
  await writeFile(join(cwd, 'spec.json'), JSON.stringify(spec))
  // Half as many workers: results must not depend on their number either.
  const few = String(Math.ceil(workers / 2))
  const calm = await tilegrad(['sweep', 'spec.json', '--out', 'calm', '--workers', few], { cwd, env })
  if (calm.status !== 0) throw new Error(`the undisturbed sweep ended with ${calm.status}: ${calm.stderr}`)
  tell(`undisturbed: ${trials} trials`)

  const server = await startPostgres()
  const finished = openDatabase(server.address, { tell: () => undefined })
  const crew = startCrew(workers, number =>
    startTilegrad(['worker', '--out', `worker-${number}`], { cwd, env: { ...env, TILEGRAD_DATABASE: server.address } }),
  )
  try {
    const sweep = startTilegrad(
      ['sweep', 'spec.json', '--out', 'disturbed', '--workers', '0', '--heartbeat', '10', '--database', server.address],
      { cwd, env },
    )
    await sweep.said(/^trials /m)
    crew.fill()
    const random = stream(seed, 'kills')
    // Spread over what is done, so that all come while there is something to do.
    const moments = Array.from({ length: kills }, () => random.next() * (trials - workers)).sort((a, b) => a - b)
    const killed = { workers: 0, server: 0 }
    for (const moment of moments) {
      await until(async () => (await countDone(await finished)) >= Math.floor(moment))
      await sleep(1000 * random.next())
      const victim = random.below(workers + 1)
      if (victim === workers) {
        await server.kill()
        await sleep(1500 * random.next())
        await server.start()
        killed.server++
      } else {
        crew.kill(victim)
        killed.workers++
      }
      tell(`kill ${killed.workers + killed.server}: ${victim === workers ? 'the server' : `worker ${victim}`}`)
    }
    const ended = await sweep.ended
    const said = await crew.ended()
    return {
      calm: await trialsOf(join(cwd, 'calm')),
      disturbed: await trialsOf(join(cwd, 'disturbed')),
      killed,
      ended,
      said,
    }
  } finally {
    crew.stop()
    await (await finished).close()
    await server.remove()
  }
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(100)
}

async function countDone(database: Awaited<ReturnType<typeof openDatabase>>): Promise<number> {
  const { rows } = await database.executeSql(
    `SELECT count(*)::integer AS done FROM tilegrad.trial WHERE state NOT IN ('waiting', 'running')`,
  )
  return Number(rows[0].done)
}

/** A number of workers; one that is killed is replaced by another. */
function startCrew(size: number, start: (number: number) => Running) {
  const crew: Running[] = []
  const all: Promise<Ended>[] = []
  let [count, isStopping] = [0, false]
  const employ = (place: number): void => {
    const one = start(count++)
    crew[place] = one
    const ended = one.ended
    all.push(ended)
    void ended.then(({ signal }) => signal === 'SIGKILL' && !isStopping && employ(place))
  }
  return {
    fill: () => Array.from({ length: size }, (_, place) => employ(place)),
    kill: (place: number) => crew[place].child.kill('SIGKILL'),
    /** What they said, once all have ended. */
    async ended(): Promise<string> {
      for (let known = 0; known !== all.length;) {
        known = all.length
        await Promise.all(all)
      }
      return (await Promise.all(all)).map(({ stderr }) => stderr).join('')
    },
    stop(): void {
      isStopping = true
      for (const { child } of crew) child.kill('SIGKILL')
    },
  }
}
