// What package.json says of this copy of tilegrad.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { isInstalled } from '../../engine/node/installed.ts'

interface Package {
  readonly version: string
  /** Pinned, so that what stands there is what runs. */
  readonly optionalDependencies: { readonly webgpu: string }
  /** What only some commands need, with the versions that suit. */
  readonly peerDependencies: Readonly<Record<string, string>>
}

/** An installed package has its JavaScript in dist/. */
const path = isInstalled ? '../../../package.json' : '../../package.json'

export const { version, optionalDependencies, peerDependencies } = JSON.parse(
  readFileSync(new URL(path, import.meta.url), 'utf8'),
) as Package

/** How the command is called here, with its arguments after it. */
export const TILEGRAD = isInstalled ? 'npx tilegrad' : 'npm run -s tilegrad --'

/** How the study's preset of it is called. */
export const IMDB = isInstalled
  ? `node ${fileURLToPath(new URL('../imdb.js', import.meta.url))}`
  : 'npx node train/imdb.ts'
