// Finding adapters and setting the machine up, each in a process of its own: Dawn and Vulkan's loader keep state, and
// what a user sees is what a fresh process does.

import { spawn } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { create as createTar } from 'tar'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestContext } from 'vitest'
import { embeddedFault, embeddedFolder, embeddedIsSetUp, embeddedPackage } from '../../../engine/node/adapters.ts'
import type { AdapterDescription } from '../../../engine/node/adapters.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))

interface Finished {
  status: number | null
  stdout: string
  stderr: string
}

function node(parameters: string[], environment: Record<string, string> = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, parameters, {
      env: { ...process.env, TILEGRAD_ADAPTER: '', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const finished: Finished = { status: null, stdout: '', stderr: '' }
    child.stdout.on('data', text => {
      finished.stdout += text
    })
    child.stderr.on('data', text => {
      finished.stderr += text
    })
    child.on('error', reject).on('close', status => resolve({ ...finished, status }))
  })
}

/** Runs a piece of a program in a fresh process; what it evaluates to comes back, or the error that it throws. */
async function evaluate<T>(body: string, environment: Record<string, string> = {}, checkout = root): Promise<T> {
  const module = pathToFileURL(join(checkout, 'engine/node/adapters.ts'))
  const { stdout, stderr } = await node(
    [
      '--input-type=module',
      '-e',
      `
    import { listAdapters, openAdapter } from '${module.href}'
    const report = value => process.stdout.write(JSON.stringify(value))
    try { report(await (async () => { ${body} })()) } catch (error) { report(error.name + ': ' + error.message) }
  `,
    ],
    environment,
  )
  expect(stdout, stderr).toMatch(/^[[{"].*$/) // one JSON value and nothing else: native code prints nothing there
  return JSON.parse(stdout)
}

const list = (environment = {}): Promise<AdapterDescription[]> => evaluate('return listAdapters()', environment)
const open = (name: string, environment = {}): Promise<AdapterDescription | string> =>
  evaluate(`return (await openAdapter({ name: ${JSON.stringify(name)} })).info`, environment)

function needsEmbedded(context: TestContext): void {
  context.skip(!embeddedIsSetUp(), 'the embedded adapter is not set up here (npm run setup -- --force)')
}

describe('adapters', () => {
  test("are listed with the one first that opens without a name, the system's before the embedded", async () => {
    const [adapters, first] = await Promise.all([list(), evaluate('return (await openAdapter()).info')])
    expect(adapters.length).toBeGreaterThan(0)
    expect(adapters.filter(({ embedded }) => embedded)).toHaveLength(embeddedIsSetUp() ? 1 : 0)
    expect(adapters.map(({ embedded }) => embedded)).toEqual(adapters.map(({ embedded }) => embedded).sort())
    expect(adapters.filter(({ embedded }) => embedded === adapters[0].embedded)).toContainEqual(first)
  })

  test('are chosen by part of their name, ignoring case, or by TILEGRAD_ADAPTER', async () => {
    for (const adapter of await list()) {
      const part = adapter.name.slice(1).toUpperCase()
      expect(await open(part)).toEqual(adapter)
      expect(await evaluate('return (await openAdapter()).info', { TILEGRAD_ADAPTER: part })).toEqual(adapter)
    }
  })

  test('of an unknown name give an error that lists the adapters', async () => {
    const [adapters, answer] = await Promise.all([list(), open('nothing-like-this')])
    expect(answer).toMatch(/^UserError: No adapter's name contains 'nothing-like-this'; available: .*$/)
    for (const { name } of adapters) expect(answer).toContain(`'${name}'`)
  })

  test("include the embedded one, which computes, where the user's VK_DRIVER_FILES names no driver", async context => {
    needsEmbedded(context)
    const answer = await evaluate(
      `
      const { adapter, info } = await openAdapter()
      const device = await adapter.requestDevice()
      const module = device.createShaderModule({ code:
        '@group(0) @binding(0) var<storage, read_write> x: array<u32, 4>;'
        + '@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) { x[i] = i * i; }' })
      const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } })
      const usage = GPUBufferUsage
      const buffer = device.createBuffer({ size: 16, usage: usage.STORAGE | usage.COPY_SRC })
      const copy = device.createBuffer({ size: 16, usage: usage.MAP_READ | usage.COPY_DST })
      const encoder = device.createCommandEncoder()
      const pass = encoder.beginComputePass()
      pass.setPipeline(pipeline)
      const entries = [{ binding: 0, resource: { buffer } }]
      pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }))
      pass.dispatchWorkgroups(1)
      pass.end()
      encoder.copyBufferToBuffer(buffer, 0, copy, 0, 16)
      device.queue.submit([encoder.finish()])
      await copy.mapAsync(GPUMapMode.READ)
      const squares = [...new Uint32Array(copy.getMappedRange())]
      device.destroy()
      return { embedded: info.embedded, squares, afterwards: process.env.VK_DRIVER_FILES }
    `,
      { VK_DRIVER_FILES: '/nothing-here.json' },
    )
    expect(answer).toEqual({ embedded: true, squares: [0, 1, 4, 9], afterwards: '/nothing-here.json' })
  })
})

describe('the set-up', () => {
  // A checkout without an embedded adapter, on a machine whose drivers are out of sight.
  let bare = ''
  const sightless = { VK_DRIVER_FILES: '/nothing-here.json' }

  beforeAll(async () => {
    bare = await mkdtemp(join(tmpdir(), 'tilegrad-setup-'))
    for (const part of ['package.json', 'engine', 'shaders'])
      await cp(join(root, part), join(bare, part), { recursive: true })
    await symlink(join(root, 'node_modules'), join(bare, 'node_modules'), 'junction')
  })
  afterAll(() => rm(bare, { recursive: true, force: true }))

  /** Sets the bare checkout up from a registry on this machine. */
  function setUpFrom(registry: string): Promise<Finished> {
    return node([join(bare, 'engine/node/setup.ts')], {
      ...sightless,
      npm_config_registry: registry,
      npm_config_fetch_retries: '0',
      npm_config_cache: join(bare, 'npm-cache'),
      npm_config_noproxy: '127.0.0.1',
    })
  }

  test('does nothing, silently, if there is an adapter', async () => {
    const times = async (): Promise<unknown> => (embeddedIsSetUp() ? (await stat(embeddedFolder)).mtimeMs : 'not there')
    const before = await times()
    const { status, stdout, stderr } = await node([join(root, 'engine/node/setup.ts')])
    // Dawn has a word to say on some drivers' limits, which nobody can stop.
    expect({ status, stdout, stderr: stderr.replace(/^Warning: maxDynamic.*\n/gm, '') }).toEqual({
      status: 0,
      stdout: '',
      stderr: '',
    })
    expect(await times()).toEqual(before)
  })

  test('rejects an unknown option', async () => {
    const { status, stderr } = await node([join(root, 'engine/node/setup.ts'), '--frce'])
    expect(status).toBe(2)
    expect(stderr).toMatch(/^setup: Unknown option '--frce'.*\n$/)
  })

  test('is suggested by the error if there is no adapter', async context => {
    context.skip(process.platform !== 'linux', 'drivers can be put out of sight on Linux only')
    expect(await evaluate('return (await openAdapter()).info', sightless, bare)).toMatch(
      /^UserError: no WebGPU adapter on this machine: `npm run setup` .*$/,
    )
  })

  test('rejects files of the embedded adapter that only have the right size', async context => {
    needsEmbedded(context)
    const folder = join(bare, '.cache', basename(embeddedFolder))
    try {
      for (const file of Object.keys(embeddedPackage.files)) {
        await cp(embeddedFolder, folder, { recursive: true })
        expect(embeddedFault(folder)).toBeUndefined()
        const bytes = await readFile(join(folder, file))
        // The last byte of a library is part of a table that loading it does not look at.
        bytes[bytes.length - 1] ^= 1
        await writeFile(join(folder, file), bytes)
        expect(embeddedFault(folder)).toBe(file)
        await rm(join(folder, file))
        expect(embeddedFault(folder)).toBe(file)
        await writeFile(join(folder, file), bytes)
      }
      const answer = await evaluate("return (await openAdapter({ name: 'swiftshader' })).info", sightless, bare)
      expect(answer).toMatch(
        /^UserError: no WebGPU adapter on this machine; the embedded one is damaged \(\S+icd\.json\): `npm /,
      )
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })

  for (const loader of ['with', 'without'])
    test(`makes an adapter that the same process opens, on a machine ${loader} a loader and without drivers`, async context => {
      needsEmbedded(context)
      // A file that is not a library comes before the system's own.
      const libraries = join(bare, 'libraries')
      await mkdir(libraries, { recursive: true })
      await writeFile(join(libraries, 'libvulkan.so.1'), '')
      const folder = join(bare, '.cache', basename(embeddedFolder))
      const answer = await evaluate(
        `
      const { cp } = await import('node:fs/promises')
      const before = await listAdapters()
      await cp(${JSON.stringify(embeddedFolder)}, ${JSON.stringify(folder)}, { recursive: true })
      const { info } = await openAdapter({ name: 'swiftshader' })
      return { before, after: (await listAdapters()).map(({ name }) => name), opened: info.name, embedded: info.embedded }
    `,
        { ...sightless, ...(loader === 'without' && { LD_LIBRARY_PATH: libraries }) },
        bare,
      )
      await rm(folder, { recursive: true })
      const [name] = (answer as { after: string[] }).after
      expect(answer).toEqual({ before: [], after: [name], opened: name, embedded: true })
    })

  test('without a registry ends with one line and leaves nothing behind', async context => {
    context.skip(process.platform !== 'linux' || process.arch !== 'x64', 'only Linux x64 has an embedded adapter')
    const { status, stderr } = await setUpFrom('http://127.0.0.1:9/')
    expect(status).toBe(2)
    expect(stderr).toMatch(/^setup: npm could not fetch @sparticuz\/chromium@.*ECONNREFUSED.*$/m)
    expect(await readdir(join(bare, '.cache'))).toEqual([])
  })

  test('rejects a package with another hash', async context => {
    context.skip(process.platform !== 'linux' || process.arch !== 'x64', 'only Linux x64 has an embedded adapter')
    const { name, version, archive } = embeddedPackage
    await mkdir(join(bare, 'package', dirname(archive)), { recursive: true })
    await cp(join(bare, 'package.json'), join(bare, 'package', archive))
    await createTar({ gzip: true, file: join(bare, 'fake.tgz'), cwd: bare }, ['package'])
    const server = createServer((request, response) => {
      const { port } = server.address() as AddressInfo
      if (request.url === '/fake.tgz') return void createReadStream(join(bare, 'fake.tgz')).pipe(response)
      const tarball = `http://127.0.0.1:${port}/fake.tgz`
      response.setHeader('content-type', 'application/json')
      response.end(
        JSON.stringify({
          name,
          'dist-tags': { latest: version },
          versions: { [version]: { name, version, dist: { tarball } } },
        }),
      )
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    try {
      const { status, stderr } = await setUpFrom(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
      expect(status).toBe(2)
      expect(stderr).toMatch(/^setup: .* is not the expected file: its hash is sha512-.*$/m)
      expect(await readdir(join(bare, '.cache'))).toEqual([])
    } finally {
      server.close()
      server.closeAllConnections()
    }
  })
})
