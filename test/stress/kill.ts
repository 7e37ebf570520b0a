// `npm run stress:kill -- --kills N --seed S`: kills runs of a tiny model at random moments, resumes each until it is
// done, and sees that it ends as one that was never disturbed, with the same bits and with nothing left behind. Exits
// with 1 where not.
import { existsSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { exists } from '../../models/node/files.ts'
import { runCommand } from '../../train/node/cli/main.ts'
import { stream } from '../../train/random.ts'
import { filesBelow, makeWorkplace } from '../support/command.ts'
import { type Ended, imdb, startImdb } from '../support/tiny.ts'
import { STEPS, argumentsOf } from './tiny-run.ts'

/** Figures of metrics.jsonl that a clock or the driver tells. */
const CLOCK = new Set(['examples_per_second', 'tokens_per_second', 'gpu_bytes', 'wall_seconds'])

/** Lines of metrics so far. */
function linesOf(cwd: string): number {
  const path = join(cwd, 'run/metrics.jsonl')
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 1 : 0
}

/** What a run's folder holds, without what a clock tells: a text or a hash by each file's path. */
async function contentsOf(folder: string): Promise<Map<string, string>> {
  const contents = new Map<string, string>()
  for (const path of await filesBelow(folder)) {
    const bytes = await readFile(join(folder, path))
    if (path === 'metrics.jsonl') {
      const lines = bytes
        .toString('utf8')
        .trimEnd()
        .split('\n')
        .map(line => JSON.stringify(Object.entries(JSON.parse(line) as object).filter(([name]) => !CLOCK.has(name))))
      contents.set(path, lines.join('\n'))
      // These tell dates, paths and times.
    } else
      contents.set(path, ['config.json', 'result.json', 'report.html'].includes(path) ? '' : bytes.toString('base64'))
  }
  return contents
}

function differences(ours: ReadonlyMap<string, string>, theirs: ReadonlyMap<string, string>): string[] {
  return [...new Set([...ours.keys(), ...theirs.keys()])].flatMap(path => {
    if (!theirs.has(path)) return [`${path} is left over`]
    if (!ours.has(path)) return [`${path} is missing`]
    return ours.get(path) === theirs.get(path) ? [] : [`${path} differs`]
  })
}

function finished({ status, signal, stderr }: Ended): void {
  if (status !== 0) throw new Error(`a run ended with ${status ?? signal}: ${stderr}`)
}

async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: { kills: { type: 'string', default: '20' }, seed: { type: 'string', default: '1' } },
  })
  const [kills, seed] = [Number(values.kills), Number(values.seed)]
  const random = stream(seed, 'kills')
  const place = await makeWorkplace('kill')
  const env = place.env
  try {
    const undisturbed = await place.folder()
    // Twice, so that drivers have compiled: the second time is what kills are spread over.
    finished(await imdb(argumentsOf(place), { cwd: await place.folder(), env }))
    const start = performance.now()
    finished(await imdb(argumentsOf(place), { cwd: undisturbed, env }))
    let duration = performance.now() - start
    const wanted = await contentsOf(join(undisturbed, 'run'))
    let [done, runs, failures] = [0, 0, 0]
    while (done < kills) {
      const cwd = await place.folder()
      const moments: string[] = []
      for (;;) {
        const begun = await exists(join(cwd, 'run/config.json'))
        const began = performance.now()
        const running = startImdb(begun ? ['--resume', 'run'] : argumentsOf(place), { cwd, env })
        // After a time, or else at a step: most of the time goes by before the first and after the last one.
        const after = random.next() * duration
        const step = 1 + random.below(STEPS)
        const isTimed = random.next() < 0.5
        const kill = (): void => void running.child.kill('SIGKILL')
        // The fifth process of a run is left in peace, and so are all after the last kill.
        const killing =
          done >= kills || moments.length >= 4
            ? undefined
            : isTimed
              ? setTimeout(kill, after)
              : setInterval(() => {
                  if (linesOf(cwd) > step) kill()
                }, 2)
        const ended = await running.ended
        clearInterval(killing)
        if (ended.signal === 'SIGKILL') {
          done++
          moments.push(`${isTimed ? `${Math.round(after)} ms` : `step ${step}`} (${linesOf(cwd)} lines)`)
          continue
        }
        if (ended.status === 2 && / is finished: see its result\.json/.test(ended.stderr)) break
        finished(ended)
        if (moments.length === 0) duration = performance.now() - began
        break
      }
      runs++
      const found = differences(await contentsOf(join(cwd, 'run')), wanted)
      failures += found.length > 0 ? 1 : 0
      process.stdout.write(
        `run ${runs}: killed ${moments.length > 0 ? `at ${moments.join(', ')}` : 'never'}: ${found.join('; ') || 'the same bits, nothing left over'}\n`,
      )
    }
    process.stdout.write(
      `${done} kills of ${runs} runs with seed ${seed}: ${failures === 0 ? 'all as if undisturbed' : `${failures} runs differ`}\n`,
    )
    return failures === 0 ? 0 : 1
  } finally {
    await place.remove()
  }
}

await runCommand(main)
