// Whether this is an installed package or a checkout, and where either keeps what can be fetched or made again.
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** An installed package is JavaScript; a checkout runs its TypeScript. */
export const isInstalled = import.meta.url.endsWith('.js')

/** The command that fetches the software adapter, and the one that does so whatever there is. */
export const SETUP = isInstalled ? 'npx tilegrad setup' : 'npm run setup'
export const FORCED_SETUP = isInstalled ? 'npx tilegrad setup --force' : 'npm run setup -- --force'

/** Where programs of this user keep what can be made again. */
export function userCache(): string {
  const { env, platform } = process
  // The XDG Base Directory Specification says that relative paths are ignored.
  if (env.XDG_CACHE_HOME && isAbsolute(env.XDG_CACHE_HOME)) return env.XDG_CACHE_HOME
  if (platform === 'darwin') return join(homedir(), 'Library', 'Caches')
  if (platform === 'win32') return env.LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local')
  return join(homedir(), '.cache')
}

/** A checkout has a folder of its own; an installed package uses the user's, which all projects share. */
export const cacheFolder: string = isInstalled
  ? join(userCache(), 'tilegrad')
  : fileURLToPath(new URL('../../.cache', import.meta.url))
