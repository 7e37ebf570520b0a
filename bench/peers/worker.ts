// The process that one engine runs in. It is told what to do message by message, so that engines can take turns.
import { type AdapterInfo, UserError } from '../../engine/index.ts'
import { openAdapter } from '../../engine/node/adapters.ts'
import type { Answers, Engine, Loaded, Open } from './engine.ts'
import { PROBLEMS } from './problems.ts'

/** What the main process sends. */
export type Request = {
  readonly id: number
  readonly problem: string
  readonly what: 'load' | 'run' | 'answers' | 'dispose'
}

/** What it gets back. */
export type Reply =
  | { readonly id: number; readonly milliseconds: number; readonly answers?: Answers }
  | { readonly id: number; readonly error: string }
  | { readonly ready: string; readonly adapter: AdapterInfo }
  /** The engine did not start. `isUsers`: an error that the user can fix. */
  | { readonly refused: string; readonly isUsers: boolean }

const ENGINES: Readonly<Record<string, () => Promise<{ open: Open }>>> = {
  'tilegrad': () => import('./ours.ts'),
  'jax-js': () => import('./jax.ts'),
  'tfjs': () => import('./tfjs.ts'),
}

const [name, adapter, once] = process.argv.slice(2)
const send = (reply: Reply): void => {
  process.send?.(reply)
}
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).split('\n')[0]

async function start(): Promise<{ engine: Engine; info: AdapterInfo }> {
  try {
    const { info } = await openAdapter({ name: adapter || undefined })
    const { open } = await ENGINES[name]()
    return { engine: await open(adapter || undefined), info }
  } catch (error) {
    const refusal: Reply = { refused: messageOf(error), isUsers: error instanceof UserError }
    return new Promise(() => process.send?.(refusal, () => process.exit(1)))
  }
}

const { engine, info } = await start()
const loaded = new Map<string, Loaded>()

async function serve({ problem, what }: Request): Promise<Answers | undefined> {
  if (what === 'load') {
    loaded.set(problem, await engine.load(PROBLEMS[problem]))
    return undefined
  }
  const held = loaded.get(problem)
  if (!held) throw new Error(`${problem} is not loaded`)
  if (what === 'answers') return held.answers()
  if (what === 'run') await held.run()
  else {
    held.dispose()
    loaded.delete(problem)
  }
  return undefined
}

if (once) {
  // A cold start: one step, and no more.
  await serve({ id: 0, problem: once, what: 'load' })
  await serve({ id: 0, problem: once, what: 'run' })
  send({ id: 0, milliseconds: performance.now() })
} else {
  process.on('message', async (request: Request) => {
    const start = performance.now()
    try {
      const answers = await serve(request)
      send({ id: request.id, milliseconds: performance.now() - start, answers })
    } catch (error) {
      send({ id: request.id, error: messageOf(error) })
    }
  })
  send({ ready: engine.name, adapter: info })
}
process.on('disconnect', () => process.exit(0))
