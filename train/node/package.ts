// What package.json says of this copy of tilegrad.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

interface Package {
  readonly version: string
  /** Pinned, so that what stands there is what runs. */
  readonly dependencies: { readonly webgpu: string }
}

export const { version, dependencies } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as Package

/** Whether this is an installed package, which is JavaScript, and not a checkout. */
const isInstalled = import.meta.url.endsWith('.js')

/** How the command is called here, with its arguments after it. */
export const TILEGRAD = isInstalled ? 'npx tilegrad' : 'npm run -s tilegrad --'

/** How the study's preset of it is called. */
export const IMDB = isInstalled
  ? `node ${fileURLToPath(new URL('../imdb.js', import.meta.url))}`
  : 'npx node train/imdb.ts'
