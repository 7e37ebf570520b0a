// Child processes that are disturbed in the middle of their run.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Workplace } from './command.ts'

type Environment = Record<string, string | undefined>

/** Environment of a child that runs this code before anything else. */
export async function preloaded(place: Workplace, name: string, code: string): Promise<Environment> {
  const path = join(place.root, `${name}.mjs`)
  await writeFile(path, code)
  return { ...place.env, NODE_OPTIONS: `--import ${path}` }
}

/** Environment of a child that runs `code` every millisecond until it gives true. */
export const interrupted = (place: Workplace, name: string, code: string): Promise<Environment> =>
  preloaded(
    place,
    name,
    `
  import { appendFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
  const looking = setInterval(async () => { if (await (async () => { ${code} })()) clearInterval(looking) }, 1)
  looking.unref()`,
  )

/** The first checkpoint of the run in the folder `run`. */
export const FIRST = 'run/checkpoints/step-000000'

/**
 * Environment of a child that loses the GPU at its first checkpoint, and then every GPU it opens, `times` times in all.
 */
export function losing(place: Workplace, name: string, times: number): Promise<Environment> {
  const device = JSON.stringify(new URL('../../engine/runtime/device.ts', import.meta.url).href)
  return interrupted(
    place,
    name,
    `
    if (!existsSync('${FIRST}')) return false
    const { currentDevice } = await import(${device})
    const { gpu } = await currentDevice()
    if (gpu === globalThis.lost) return false
    globalThis.lost = gpu
    gpu.destroy()
    globalThis.losses = (globalThis.losses ?? 0) + 1
    return globalThis.losses === ${times}`,
  )
}

/** Environment of a child that gets a signal as soon as it has written a checkpoint of this step or a later one. */
export function signalledAfter(place: Workplace, step: number, signal: NodeJS.Signals): Promise<Environment> {
  return preloaded(
    place,
    `${signal}-after-${step}`,
    `
  import files from 'node:fs/promises'
  import { syncBuiltinESMExports } from 'node:module'
  const { rename } = files
  files.rename = async (from, to) => {
    await rename(from, to)
    if (!(Number(/checkpoints.step-(\\d+)$/.exec(to)?.[1]) >= ${step})) return
    files.rename = rename
    syncBuiltinESMExports()
    process.kill(process.pid, '${signal}')
  }
  syncBuiltinESMExports()`,
  )
}
