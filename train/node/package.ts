// What package.json says of this copy of tilegrad.
import { readFileSync } from 'node:fs'

interface Package {
  readonly version: string
  /** Pinned, so that what stands there is what runs. */
  readonly dependencies: { readonly webgpu: string }
}

export const { version, dependencies } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as Package
