// A process of the fuzzer: it makes the inputs that it is told to by number, lets the target's parser have them, and
// answers how that ended. The parent ends it when it takes too long or too much memory.
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Verdict, judge } from './judge.ts'
import { inputOf } from './mutate.ts'
import { targets } from './targets/index.ts'
import { plantedTargets } from './targets/planted.ts'

export type Order =
  | { readonly target: string; readonly seed: number; readonly index: number }
  | { readonly target: string; readonly input: Uint8Array }
export type Answer = { readonly verdict: Verdict | undefined; readonly accepted: boolean }

const root = await mkdtemp(join(tmpdir(), 'tilegrad-fuzz-'))
process.on('exit', () => void rm(root, { recursive: true, force: true }))

/** What failed outside of the call that was awaited. */
let stray: unknown
const noteStray = (error: unknown): void => {
  stray ??= error
}
process.on('uncaughtException', noteStray)
process.on('unhandledRejection', noteStray)

const seeds = new Map<string, readonly Uint8Array[]>()
let runs = 0

async function run(order: Order): Promise<Answer> {
  const target = [...targets, ...plantedTargets].find(({ name }) => name === order.target)
  if (!target) throw new Error(`Unknown target ${order.target}`)
  if (!seeds.has(target.name)) seeds.set(target.name, await target.seeds())
  const input = 'input' in order ? order.input : inputOf(target, seeds.get(target.name) ?? [], order.seed, order.index)
  const folder = join(root, String(runs++))
  await mkdir(folder)
  stray = undefined
  let verdict: Verdict | undefined
  let accepted = false
  try {
    await target.run(input, folder)
    accepted = true
  } catch (error) {
    verdict = judge(error)
  }
  // Rejections that nobody handles are told of after the microtasks.
  await new Promise(resolve => setImmediate(resolve))
  if (stray !== undefined) {
    const found = judge(stray)
    verdict = {
      kind: 'exception',
      signature: `unhandled ${found?.signature ?? String(stray)}`,
      detail: found?.detail ?? String(stray),
    }
  }
  await rm(folder, { recursive: true, force: true })
  return { verdict, accepted }
}

const send = (message: unknown): void => {
  process.send?.(message)
}
process.on('message', (order: Order) => {
  void run(order).then(send)
})
process.on('disconnect', () => process.exit(0))
send('ready')
