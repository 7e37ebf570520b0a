// A process that runs commands of tilegrad one after the other, each with arguments, an environment, a folder and an
// input of its own, as if it had been started for it. What stays is what has been loaded and compiled. Its parent sends a
// Request at a time, and gets an Answer.
import './register.ts'
import '../../../train/node/cli/compile-cache.ts'
import { tmpdir } from 'node:os'
import { Readable, Writable } from 'node:stream'
import { processorSeconds } from '../spent.ts'
import type { Answer, Request } from './client.ts'

const [{ statusOf }, { tilegrad }, { fineTune }, { closeDevices }] = await Promise.all([
  import('../../../train/node/cli/main.ts'),
  import('../../../train/node/cli/commands.ts'),
  import('../../../train/node/cli/fine-tune.ts'),
  import('../../../engine/runtime/device.ts'),
])

const MAINS = { tilegrad, imdb: (argv: readonly string[]) => fineTune(argv, 'imdb') }

/** A stream that keeps what is written. */
class Kept extends Writable {
  text = ''
  readonly #decoder = new TextDecoder()
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += this.#decoder.decode(chunk, { stream: true })
    done()
  }
}

async function run({ script, args, cwd, env, input }: Request): Promise<Answer> {
  const before = processorSeconds()
  const [stdout, stderr] = [new Kept(), new Kept()]
  for (const key of Object.keys(process.env)) if (!Object.hasOwn(env, key)) delete process.env[key]
  Object.assign(process.env, env)
  process.chdir(cwd)
  for (const [name, value] of Object.entries({ stdin: Readable.from([Buffer.from(input)]), stdout, stderr }))
    Object.defineProperty(process, name, { value, configurable: true })
  const status = await statusOf(MAINS[script], args)
  closeDevices()
  // A process that ends stops listening.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeAllListeners(signal)
  process.chdir(tmpdir())
  return { status, stdout: stdout.text, stderr: stderr.text, seconds: processorSeconds() - before }
}

process.on('message', (request: Request) => void run(request).then(answer => process.send?.(answer)))
process.once('disconnect', () => process.exit())
