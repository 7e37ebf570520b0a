// WebGPU under Node: finds the machine's adapters through Dawn (the `webgpu` package), and opens one by name. The
// system's adapters come first. If it has none, there may be the embedded one: SwiftShader, a Vulkan driver that runs
// on the CPU, which engine/node/setup.ts installs.

import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { constants, homedir } from 'node:os'
import { join } from 'node:path'
import { UserError } from '../errors.ts'
import { closeDevices } from '../runtime/device.ts'
import { FORCED_SETUP, SETUP, cacheFolder } from './installed.ts'
import { pollLess } from './polling.ts'
import type { GPU, GPUAdapter } from '../web.ts'

/** A description of an adapter. `--adapter` and TILEGRAD_ADAPTER are matched with its `name`. */
export interface AdapterDescription {
  readonly name: string
  readonly vendor: string
  readonly architecture: string
  /** Dawn's backend: vulkan, metal, d3d12. */
  readonly backend: string
  /** The driver and its version, as the driver describes them; may be empty. */
  readonly driver: string
  /** Whether the adapter is software, which computes on the CPU. */
  readonly fallback: boolean
  /** Whether it is the software adapter that the set-up fetched, not one of the system. */
  readonly embedded: boolean
}

/** An adapter and its instance. */
export interface OpenedAdapter {
  readonly gpu: GPU
  readonly adapter: GPUAdapter
  readonly info: AdapterDescription
}

/** The npm package with SwiftShader, the hash of its tarball, and the files that are kept, with size and SHA-256. */
export const embeddedPackage = {
  name: '@sparticuz/chromium',
  version: '153.0.0',
  integrity: 'sha512-jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==',
  archive: 'bin/swiftshader.tar.br',
  files: {
    'libvulkan.so.1': { size: 833304, sha256: '8ee5ac00fd7968e863b05e0f6808057db16a00ad322777e5a05bed51d4f84085' },
    'libvk_swiftshader.so': {
      size: 6004808,
      sha256: '2f3ceffaaca7d031bc3943f8eacf398a5d9c42c5fe0d15d8840b9acfa630b58e',
    },
    'vk_swiftshader_icd.json': {
      size: 107,
      sha256: 'c9eef28b6b984fec220ef0abfecc40b502d46946706e47bfe97707027cb818bd',
    },
  },
} as const

/** The folder of the embedded adapter's files. Each version has its own, so that an outdated one is never loaded. */
export const embeddedFolder = join(cacheFolder, `swiftshader-${embeddedPackage.version}/`)
/** What names its driver to Vulkan's loader. */
const DRIVER = embeddedFolder + 'vk_swiftshader_icd.json'

/**
 * The first of the embedded adapter's files in `folder` that is missing or doesn't have the expected hash; undefined if
 * all are right. They are hashed each time (about 10 ms), since native code is loaded from them.
 */
export function embeddedFault(folder = embeddedFolder): string | undefined {
  return Object.entries(embeddedPackage.files).find(([file, { size, sha256 }]) => {
    const path = join(folder, file)
    const found = statSync(path, { throwIfNoEntry: false })
    if (!found?.isFile() || found.size !== size) return true
    return createHash('sha256').update(readFileSync(path)).digest('hex') !== sha256
  })?.[0]
}

/** Whether all of the embedded adapter's files exist with the expected hashes. */
export function embeddedIsSetUp(): boolean {
  return embeddedFault() === undefined
}

/**
 * The adapters of this machine: the system's, in Dawn's order, then the embedded one if it is set up.
 * @throws UserError if Dawn does not load on this platform
 */
export async function listAdapters(): Promise<AdapterDescription[]> {
  const found: AdapterDescription[] = []
  for (const source of sources()) {
    for (const { name } of await namesFrom(source, [])) {
      const opened = await openFrom(source, name, [])
      if (opened && !found.some(other => other.name === opened.info.name && other.embedded === opened.info.embedded)) {
        found.push(opened.info)
      }
    }
  }
  return found
}

/**
 * Opens an adapter: the first whose name contains `name`, ignoring case (by default TILEGRAD_ADAPTER from the
 * environment); without a name the system's fastest, else the embedded one. `dawnFlags` are passed to Dawn in addition
 * to those that kernels need, such as 'disable-dawn-features=timestamp_quantization'.
 * @throws UserError if no adapter has such a name, or there is none
 */
export async function openAdapter({
  name = process.env.TILEGRAD_ADAPTER,
  dawnFlags = [],
}: { name?: string; dawnFlags?: readonly string[] } = {}): Promise<OpenedAdapter> {
  const wanted = name?.trim() || undefined
  for (const source of sources()) {
    const opened = await openFrom(source, wanted, dawnFlags)
    if (!opened) continue
    if (opened.info.fallback) pollLess(opened.adapter)
    return opened
  }
  const there = (await listAdapters()).map(({ name }) => `'${name}'`)
  // Damaged files are not loaded: say so, since the adapter would just seem to be missing.
  const fault = existsSync(embeddedFolder) ? embeddedFault() : undefined
  const file = fault === undefined ? '' : join(embeddedFolder, fault)
  const damaged = file && `; the embedded one is damaged (${file}): \`${FORCED_SETUP}\` fetches it again`
  if (wanted && there.length) {
    throw new UserError(`No adapter's name contains '${wanted}'; available: ${there.join(', ')}${damaged}`)
  }
  if (damaged) throw new UserError(`no WebGPU adapter on this machine${damaged}`)
  const remedy = `\`${SETUP}\` fetches one that runs on the CPU${reachesDrivers ? '' : `; then start with VK_DRIVER_FILES=${DRIVER}`}`
  const cause = 'Dawn finds no graphics card with a driver that it can use'
  throw new UserError(`no WebGPU adapter on this machine: ${process.platform === 'linux' ? remedy : cause}`)
}

/**
 * Features that Dawn offers only on request: subgroup matrices, which are experimental, and f16 on NVIDIA's Vulkan
 * driver, where some of its functions fail the conformance tests. Kernels use only storage, conversion and matrices of
 * f16, which our own tests cover.
 */
const ENABLED = 'enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia'

/**
 * For SwiftShader, Dawn's shaders zero workgroup memory in a loop. Told by Vulkan's extension to zero it itself,
 * SwiftShader compiles a store for each element: 2 s of processor time for 16 KiB, where the loop takes 0.01 s.
 */
const SHADERS_ZERO_MEMORY = 'disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension'

/** What Dawn is told, besides what the caller asks for, where it chooses among such adapters. */
const flagsFor = (adapters: readonly string[]): string[] =>
  adapters.every(name => /swiftshader/i.test(name)) ? [ENABLED, SHADERS_ZERO_MEMORY] : [ENABLED]

/** Merges the lists of features that are enabled, and those that are disabled, since Dawn only uses the last of each. */
function merged(flags: readonly string[]): string[] {
  const lists = ['enable-dawn-features=', 'disable-dawn-features='].flatMap(prefix => {
    const features = flags.filter(flag => flag.startsWith(prefix)).map(flag => flag.slice(prefix.length))
    return features.length > 0 ? [prefix + features.join(',')] : []
  })
  return [...flags.filter(flag => !/^(en|dis)able-dawn-features=/.test(flag)), ...lists]
}

type Source = 'system' | 'embedded'

declare const Bun: object | undefined
/** Whether native code sees changes of `process.env`: the embedded driver is chosen by a variable. */
const reachesDrivers = typeof Bun === 'undefined'

let ownLoader: boolean | undefined
let ownDrivers: boolean | undefined

/** The sources of adapters here. A system without a Vulkan loader uses the embedded one for its own drivers. */
function sources(): Source[] {
  if (process.platform !== 'linux') return ['system']
  // Checked once: later the embedded loader would be taken for the system's, and the environment names the embedded
  // driver at times. The embedded adapter itself is checked each time, since the set-up may install it in between.
  ownLoader ??= canLoad('libvulkan.so.1')
  ownDrivers ??= namesVulkanDrivers()
  const embedded = embeddedIsSetUp()
  const offered: Source[] = embedded && reachesDrivers ? ['embedded'] : []
  if (ownLoader) return ['system', ...offered]
  // Dawn asks the dynamic linker for libvulkan.so.1. Once the embedded one is loaded the linker finds it by that name,
  // without files in node_modules or LD_LIBRARY_PATH.
  if (!embedded || !canLoad(embeddedFolder + 'libvulkan.so.1')) return []
  return ownDrivers ? ['system', ...offered] : offered
}

/** Deno, which loads libraries that are not add-ons by a function of its own. */
declare const Deno: { dlopen(library: string, symbols: object): unknown } | undefined

/** Errors of a library that was loaded, and rejected only for being no Node add-on: Node's, and Bun's. */
const NO_ADDON = /did not self-register|'napi_register_module_v1' not found/

/** Tries to load a library, which then stays in memory: 0x1000 is RTLD_NODELETE on Linux. */
function canLoad(library: string): boolean {
  try {
    if (typeof Deno === 'undefined') process.dlopen({ exports: {} }, library, constants.dlopen.RTLD_NOW | 0x1000)
    else Deno.dlopen(library, {})
    return true
  } catch (error) {
    return error instanceof Error && NO_ADDON.test(error.message)
  }
}

/** Whether the system has a driver where Vulkan's loader looks for one: without a driver Dawn prints an error. */
function namesVulkanDrivers(): boolean {
  const { env } = process
  if (env.VK_DRIVER_FILES || env.VK_ICD_FILENAMES || env.VK_ADD_DRIVER_FILES) return true
  const folders = [
    '/etc',
    env.XDG_DATA_HOME || join(homedir(), '.local/share'),
    ...(env.XDG_CONFIG_DIRS || '/etc/xdg').split(':'),
    ...(env.XDG_DATA_DIRS || '/usr/local/share:/usr/share').split(':'),
  ]
  return folders.some(folder => {
    const manifests = join(folder, 'vulkan/icd.d')
    return existsSync(manifests) && readdirSync(manifests).some(file => file.endsWith('.json'))
  })
}

async function openFrom(
  source: Source,
  wanted: string | undefined,
  flags: readonly string[],
): Promise<OpenedAdapter | undefined> {
  const listed = await namesFrom(source, flags)
  const match = listed.find(({ name }) => name.toLowerCase().includes((wanted ?? '').toLowerCase()))
  if (!match) return undefined
  return withDrivers(source, async create => {
    const chosen = wanted === undefined ? listed.map(({ name }) => name) : [match.name]
    const all = merged([...flagsFor(chosen), ...flags])
    const gpu = create(wanted === undefined ? all : [...all, `adapter=${match.name}`])
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
    if (!adapter) return undefined
    const { vendor, architecture, device, description: driver, isFallbackAdapter: fallback } = adapter.info
    // WebGPU has the name only as a slug; the list has it as the driver writes it.
    const { name, backend } = listed.find(other => slug(other.name) === slug(device)) ?? match
    const embedded = source === 'embedded'
    return { gpu, adapter, info: { name, vendor, architecture, backend, driver, fallback, embedded } }
  })
}

const slug = (name: string): string =>
  name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, ' ')
    .trim()

const lists = new Map<string, Promise<{ backend: string; name: string }[]>>()

/** The adapters of a source, listed once: listing takes a Vulkan instance, which is never freed. */
function namesFrom(source: Source, flags: readonly string[]): Promise<{ backend: string; name: string }[]> {
  const key = [source, ...flags].join('\n')
  const list =
    lists.get(key) ??
    withDrivers(source, async create => {
      try {
        // Dawn lists its adapters only in the error for an unknown name.
        await create([...flags, 'adapter=\n']).requestAdapter()
        return [] // null without an error: no adapter
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error)
        if (!message.includes('Available adapters:')) throw error
        const rows = message.matchAll(/^ \* backend: '(.*?)', name: '(.*)'$/gm)
        return Array.from(rows, ([, backend, name]) => ({ backend, name }))
      }
    })
  lists.set(key, list)
  return list
}

// Collecting an instance while one of its devices is in use would crash: all are kept forever.
const instances: GPU[] = []

let queue: Promise<unknown> = Promise.resolve()

/** Runs `use` with Vulkan's loader set to one source of drivers; one call at a time, as the environment is global. */
function withDrivers<T>(source: Source, use: (create: (flags: string[]) => GPU) => Promise<T>): Promise<T> {
  const turn = queue.then(async () => {
    const create = await loadDawn()
    if (source === 'system') return use(create)
    const before = process.env.VK_DRIVER_FILES
    process.env.VK_DRIVER_FILES = DRIVER
    try {
      return await use(create)
    } finally {
      if (before === undefined) delete process.env.VK_DRIVER_FILES
      else process.env.VK_DRIVER_FILES = before
    }
  })
  queue = turn.catch(() => undefined)
  return turn
}

/** Loads Dawn with WebGPU's globals. Returns a function that creates an instance with such flags. */
export async function loadDawn(): Promise<(flags: string[]) => GPU> {
  const { create, globals } = await importDawn()
  if (instances.length === 0) process.once('exit', closeDevices) // `process.exit` and uncaught errors, too
  for (const [key, value] of Object.entries(globals)) {
    if (!(key in globalThis)) Object.defineProperty(globalThis, key, { value, writable: true, configurable: true })
  }
  return flags => {
    const gpu = create(flags)
    instances.push(gpu)
    return gpu
  }
}

async function importDawn(): Promise<{ create: (flags: string[]) => GPU; globals: object }> {
  try {
    return await import('webgpu')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND')
      throw new UserError('the package webgpu is not installed: `npm install --include=optional` adds it')
    const reason = (error instanceof Error ? error.message : String(error)).split('\n')[0]
    throw new UserError(`WebGPU (Dawn) does not load on ${process.platform} ${process.arch}: ${reason}`)
  }
}
