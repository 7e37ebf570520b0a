// The record: a hash of every kernel's launches, committed, so that a change of any text, uniform or workgroup count is
// seen.
import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Launch } from '../../../shaders/kernel.ts'
import { recordedKernels } from './kernels.ts'

const path = join(import.meta.dirname, 'hashes.json')

/** Texts by name. Equal texts of one name are listed once. */
export async function currentTexts(): Promise<Map<string, string>> {
  const texts = new Map<string, string>()
  for await (const { name, launches, notes = [] } of recordedKernels()) {
    if (texts.has(name)) throw new Error(`recorded twice: ${name}`)
    texts.set(name, [...notes, textOf(launches)].join('\n'))
  }
  return texts
}

/** All of a launch that a device is given; the WGSL only where the launches before have another. */
function textOf(launches: readonly Launch[]): string {
  const seen = new Map<string, number>()
  return launches
    .map(({ label, wgsl, slots, writes, updates = [], uniforms, workgroups, operations }, i) => {
      const same = seen.get(wgsl)
      if (same === undefined) seen.set(wgsl, i)
      return [
        `=== ${i}: ${label}`,
        `slots ${slots.map(({ role, index }, slot) => `${role} ${index}${updates.includes(slot) ? ' (updated)' : writes.includes(slot) ? ' (written)' : ''}`).join(', ')}`,
        `uniforms ${Array.from(uniforms, word => word.toString(16)).join(' ')}`,
        `workgroups ${workgroups.join(' ')}${operations === undefined ? '' : `, operations ${operations}`}`,
        same === undefined ? wgsl : `WGSL of ${same}\n`,
      ].join('\n')
    })
    .join('\n')
}

/** The WGSL of recorded texts, each once. */
export const shadersOf = (texts: Iterable<string>): Set<string> =>
  new Set([...texts].flatMap(text => text.split(/^=== .*$/m)).flatMap(launch => /^\/\/ [^]*/m.exec(launch) ?? []))

export function hashesOf(texts: ReadonlyMap<string, string>): Map<string, string> {
  return new Map(
    Array.from(texts, ([name, text]) => [name, createHash('sha256').update(text).digest('hex').slice(0, 12)]),
  )
}

export async function recordedHashes(): Promise<Map<string, string>> {
  return new Map(Object.entries(JSON.parse(await readFile(path, 'utf8')) as Record<string, string>))
}

export async function writeHashes(hashes: ReadonlyMap<string, string>): Promise<void> {
  await writeFile(
    path,
    `${JSON.stringify(Object.fromEntries(hashes), null, 0).replaceAll('","', '",\n"').replace('{', '{\n').replace(/\}$/, '\n}')}\n`,
  )
}

/** A line for each entry that is not as recorded. */
export function differences(recorded: ReadonlyMap<string, string>, current: ReadonlyMap<string, string>): string[] {
  const names = new Set([...recorded.keys(), ...current.keys()])
  return [...names].flatMap(name => {
    const [before, after] = [recorded.get(name), current.get(name)]
    if (before === after) return []
    return [`${before === undefined ? 'new' : after === undefined ? 'gone' : 'changed'}: ${name}`]
  })
}

/** A file for each entry, in folders by adapter, kernel and problem. */
export async function writeTexts(texts: ReadonlyMap<string, string>, folder: string): Promise<void> {
  for (const [name, text] of texts) {
    const file = join(folder, `${name.replace(/[^\w/. ,·-]/g, '_')}.wgsl`)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, text)
  }
}
