// Results on disk: bench/results/<what>-<adapter>.json, and the setting that makes them comparable.
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { cpus, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { AdapterInfo } from '../engine/index.ts'
import { version } from '../train/node/package.ts'

/** Where, when and with what a result was measured; part of every file. */
export interface Setting {
  readonly date: string
  readonly adapter: AdapterInfo
  readonly cpu: { readonly model: string; readonly cores: number; readonly memoryBytes: number }
  readonly node: string
  readonly platform: string
  /** The version measured. */
  readonly tilegrad: string
  /** Versions of the packages named, from their package.json files. */
  readonly packages: Readonly<Record<string, string>>
}

/** `packages` are folders of installed packages, relative to the repository. */
export async function settingOf(adapter: AdapterInfo, packages: readonly string[]): Promise<Setting> {
  const versions = await Promise.all(
    packages.map(async folder => {
      const { name, version } = JSON.parse(
        await readFile(new URL(`../${folder}/package.json`, import.meta.url), 'utf8'),
      ) as { name: string; version: string }
      return [name, version] as const
    }),
  )
  return {
    date: new Date().toISOString(),
    adapter,
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    tilegrad: version,
    cpu: { model: cpus()[0]?.model ?? 'unknown', cores: cpus().length, memoryBytes: totalmem() },
    packages: Object.fromEntries(versions),
  }
}

/** An adapter's name as part of a file's: `llvmpipe (LLVM 15.0.6, 256 bits)` is `llvmpipe`. */
export function adapterSlug({ name }: AdapterInfo): string {
  return (
    name
      .replace(/\([^)]*\)/g, '')
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-|-$/g, '') || 'adapter'
  )
}

/** Relative to the repository. */
const nameOf = (what: string, { adapter }: Setting): string => `bench/results/${what}-${adapterSlug(adapter)}.json`

const pathOf = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url))

/** Writes a temporary file and renames it. Returns the path relative to the repository. */
export async function saveResults(what: string, setting: Setting, results: object): Promise<string> {
  const name = nameOf(what, setting)
  const path = pathOf(name)
  await mkdir(new URL('results/', import.meta.url), { recursive: true })
  await writeFile(`${path}.part`, `${JSON.stringify({ setting, ...results }, undefined, 2)}\n`)
  await rename(`${path}.part`, path)
  return name
}

/** Removes a saved result, if there is one. */
export async function dropResults(what: string, setting: Setting): Promise<void> {
  await rm(pathOf(nameOf(what, setting)), { force: true })
}
