// Child processes that are disturbed in the middle of their run.
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Workplace } from './command.ts'
import type { Running } from './tiny.ts'

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

/** Kills a process once the folder `run` has a checkpoint after the first step. Throws if it ends before. */
export async function killAfterCheckpoint({ child, ended }: Running, run: string): Promise<void> {
  let hasEnded = false
  void ended.then(() => (hasEnded = true))
  const isThere = async (): Promise<boolean> =>
    (await readdir(join(run, 'checkpoints')).catch(() => [])).some(name => /^step-0*[1-9]\d*$/.test(name))
  while (!(await isThere())) {
    if (hasEnded) throw new Error(`it ended too soon: ${(await ended).stderr}`)
    await new Promise(done => setTimeout(done, 2))
  }
  child.kill('SIGKILL')
  await ended
}
