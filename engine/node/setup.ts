// `npm run setup`, and `tilegrad setup` of an installed package: installs a software adapter, SwiftShader, from an npm
// package on a Linux machine without a WebGPU adapter. Does nothing if the system has an adapter or it is already
// installed; `npm start` and `npm test` call it each time. Needs no root: the files are in the checkout's .cache folder,
// or in the user's cache.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, rmSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import { createBrotliDecompress, createGunzip } from 'node:zlib'
import { UserError, printableLine } from '../errors.ts'
import { isBadOption } from './arguments.ts'
import {
  embeddedFault,
  embeddedFolder,
  embeddedIsSetUp,
  embeddedPackage,
  listAdapters,
  openAdapter,
} from './adapters.ts'
import { SETUP, cacheFolder, isInstalled } from './installed.ts'
import { untar } from './untar.ts'

const usage = `usage: ${isInstalled ? SETUP : `${SETUP} --`} [--force]

Makes sure that this machine has a WebGPU adapter: the system's own, or else one that computes on the CPU (SwiftShader),
which is fetched from the npm registry once, 70 MB, of which 7 MB are kept in ${cacheFolder}.

  --force   fetch the software adapter even if the system has an adapter`

/**
 * Makes sure that there is an adapter to open.
 * @throws UserError if the system has none and the embedded one can't be installed
 */
async function setUp(force: boolean): Promise<void> {
  if (process.platform !== 'linux' || embeddedIsSetUp()) return
  if (!force && (await listAdapters()).length) return
  if (process.arch !== 'x64') {
    throw new UserError(
      `no WebGPU adapter on this machine, and the software one is built for Linux x64, not for ` +
        `${process.arch}: install a Vulkan driver, such as Mesa's lavapipe (Debian: mesa-vulkan-drivers libvulkan1)`,
    )
  }
  const started = performance.now()
  process.stderr.write(
    force
      ? 'Fetching the software adapter (SwiftShader, 70 MB, once) … '
      : 'No graphics adapter here: fetching one that runs on the CPU (SwiftShader, 70 MB, once) … ',
  )
  try {
    await fetchEmbedded()
    await openAdapter({ name: 'swiftshader' })
  } catch (error) {
    process.stderr.write('\n')
    throw error
  }
  process.stderr.write(`done in ${((performance.now() - started) / 1000).toFixed(1)} s\n`)
}

/** Fetches the package, checks it, unpacks it beside the target folder and renames it. */
async function fetchEmbedded(): Promise<void> {
  const { name, version, archive, files } = embeddedPackage
  await mkdir(dirname(embeddedFolder), { recursive: true })
  const work = await mkdtemp(join(dirname(embeddedFolder), '.setup-'))
  const interrupted = (): void => {
    rmSync(work, { recursive: true, force: true })
    process.exit(130)
  }
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted)
  try {
    const tarball = await fetchTarball(`${name}@${version}`, work)
    const unpacked = join(work, 'unpacked')
    await mkdir(unpacked)
    const outer = createReadStream(tarball).pipe(createGunzip())
    for await (const { bytes } of untar(outer, path => path === `package/${archive}`)) {
      const inner = Readable.from([bytes]).pipe(createBrotliDecompress())
      for await (const file of untar(inner, path => Object.hasOwn(files, path)))
        await writeFile(join(unpacked, file.name), file.bytes)
    }
    const fault = embeddedFault(unpacked)
    if (fault !== undefined) {
      throw new UserError(`${fault} of ${name}@${version} was not unpacked completely: is the disk full or damaged?`)
    }
    if (embeddedIsSetUp()) return // another process has installed the same files meanwhile
    await rm(embeddedFolder, { recursive: true, force: true }) // damaged files
    await rename(unpacked, embeddedFolder).catch((error: unknown) => {
      if (!embeddedIsSetUp()) throw error
    })
  } finally {
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted)
    await rm(work, { recursive: true, force: true })
  }
}

/** Fetches a package with npm, by npm's own configuration (registry, proxy, cache). Returns the file's path. */
async function fetchTarball(specifier: string, folder: string): Promise<string> {
  const npm = process.env.npm_execpath
  const viaNode = npm?.endsWith('npm-cli.js') ?? false
  const options = ['pack', specifier, '--pack-destination', folder, '--ignore-scripts', '--loglevel=error']
  await new Promise<void>((resolve, reject) => {
    execFile(
      viaNode ? (process.env.npm_node_execpath ?? process.execPath) : 'npm',
      viaNode ? [String(npm), ...options] : options,
      // A checkout's npm configuration is its own; an installed package takes that of the project it is called in.
      { cwd: isInstalled ? process.cwd() : join(cacheFolder, '..') },
      (error, _stdout, stderr) => {
        if (!error) return resolve()
        // npm prints one line for each property of its error, among them one that explains it.
        const lines = stderr
          .split('\n')
          .filter(line => /^npm (error|ERR!) /.test(line))
          .map(line => line.replace(/^npm \S+ /, ''))
        const reason = lines.find(line => !/^(code|syscall|errno|address|port|path|dest|A complete log)/.test(line))
        reject(new UserError(`npm could not fetch ${specifier}: ${reason ?? error.message.split('\n')[0]}`))
      },
    )
  })
  const tarball = (await readdir(folder)).find(file => file.endsWith('.tgz'))
  if (!tarball) throw new UserError(`npm fetched no package for ${specifier}`)
  const hash = createHash('sha512')
  await pipeline(createReadStream(join(folder, tarball)), hash)
  const integrity = `sha512-${hash.digest('base64')}`
  if (integrity !== embeddedPackage.integrity) {
    throw new UserError(
      `${specifier} from the npm registry is not the expected file: its hash is ${integrity}, ` +
        `expected ${embeddedPackage.integrity}`,
    )
  }
  return join(folder, tarball)
}

try {
  const { values } = parseArgs({ options: { force: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } })
  if (values.help) process.stdout.write(`${usage}\n`)
  else await setUp(values.force ?? false)
} catch (error) {
  // The user can also fix a bad option, or a disk that is full or read-only.
  const isUsers = error instanceof UserError || isBadOption(error) || (error instanceof Error && 'syscall' in error)
  if (!isUsers) throw error
  process.stderr.write(`setup: ${printableLine(error.message.split('\n')[0])}\n`)
  process.exitCode = 2
}
