// `npm run stress:exit -- --exits N --seed S`: ends runs of a tiny model at random moments in every way that a process
// can end itself, half of them while shaders compile from scratch. None may crash in native code. Exits with 1 where
// one does.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runCommand } from '../../train/node/cli/main.ts'
import { stream } from '../../train/random.ts'
import { makeWorkplace } from '../support/command.ts'
import { imdb, startImdb } from '../support/tiny.ts'
import { argumentsOf } from './tiny-run.ts'

/** Ways to end, and the status that each has; a run that is done before has 0. */
const WAYS = {
  'process.exit': { code: 'process.exit(9)', status: 9 },
  'uncaught exception': { code: `throw new Error('thrown')`, status: 1 },
  'unhandled rejection': { code: `void Promise.reject(new Error('rejected'))`, status: 1 },
  'a stop by SIGTERM': { code: `process.kill(process.pid, 'SIGTERM')`, status: 143 },
  'SIGINT twice': {
    code: `process.kill(process.pid, 'SIGINT'); setTimeout(() => process.kill(process.pid, 'SIGINT'), 1200)`,
    status: 130,
  },
  'closed pipes': { code: undefined, status: 0 },
} as const
type Way = keyof typeof WAYS

async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: { exits: { type: 'string', default: '24' }, seed: { type: 'string', default: '1' } },
  })
  const [exits, seed] = [Number(values.exits), Number(values.seed)]
  const random = stream(seed, 'exits')
  const place = await makeWorkplace('exit')
  try {
    await imdb(argumentsOf(place), { cwd: await place.folder(), env: place.env })
    const start = performance.now()
    await imdb(argumentsOf(place), { cwd: await place.folder(), env: place.env })
    const duration = performance.now() - start
    const preload = join(place.root, 'end.mjs')
    await writeFile(
      preload,
      `setTimeout(() => { ${Object.entries(WAYS)
        .map(([way, { code }]) => `if (process.env.END_BY === ${JSON.stringify(way)}) { ${code ?? ''} }`)
        .join('\n')} }, Number(process.env.END_AFTER)).unref()`,
    )
    const ways = Object.keys(WAYS) as Way[]
    let crashes = 0
    for (let i = 0; i < exits; i++) {
      const way = ways[i % ways.length]
      const fresh = random.next() < 0.5
      const after = Math.round(duration * (0.1 + 0.9 * random.next()))
      const running = startImdb(argumentsOf(place), {
        cwd: await place.folder(),
        env: {
          ...place.env,
          NODE_OPTIONS: `--import ${preload}`,
          END_BY: way,
          END_AFTER: String(after),
          ...(fresh && { MESA_SHADER_CACHE_DISABLE: 'true' }),
        },
      })
      if (way === 'closed pipes') {
        setTimeout(() => {
          running.child.stdout.destroy()
          running.child.stderr.destroy()
        }, after)
      }
      const { status, signal } = await running.ended
      const wanted: readonly (number | null)[] = [WAYS[way].status, 0]
      // Before a run listens to signals, they end it as they end any process; so does a second one.
      const isFine = signal ? ['SIGTERM', 'SIGINT'].includes(signal) && /SIG/.test(way) : wanted.includes(status)
      crashes += isFine ? 0 : 1
      process.stdout.write(
        `${way} after ${after} ms${fresh ? ', nothing compiled before' : ''}: ${signal ?? `status ${status}`}${isFine ? '' : ' (not expected)'}\n`,
      )
    }
    process.stdout.write(`${exits} exits with seed ${seed}: ${crashes === 0 ? 'none crashed' : `${crashes} crashed`}\n`)
    return crashes === 0 ? 0 : 1
  } finally {
    await place.remove()
  }
}

await runCommand(main)
