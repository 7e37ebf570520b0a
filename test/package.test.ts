// The package as npm packs it, in an empty project: what it contains, its types, its size in a browser, and its command.
import { execFileSync, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { publint } from 'publint'
import { x as extract } from 'tar'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'

const root = fileURLToPath(new URL('..', import.meta.url))
const packageSchema = z.object({
  version: z.string(),
  exports: z.record(z.string(), z.union([z.string(), z.record(z.string(), z.string())])),
  sideEffects: z.array(z.string()),
  bin: z.object({ tilegrad: z.string() }),
  dependencies: z.record(z.string(), z.string()),
  optionalDependencies: z.record(z.string(), z.string()),
  peerDependencies: z.record(z.string(), z.string()),
})
const {
  version,
  exports: entries,
  sideEffects,
  bin,
  dependencies,
  optionalDependencies,
  peerDependencies,
} = packageSchema.parse(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')))

let folder = ''
/** An empty project with the package, and only what npm installs with it. */
let project = ''
let tarball = ''
let installed = ''
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tilegrad-package-'))
  const staged = join(folder, 'staged')
  mkdirSync(staged)
  for (const file of ['package.json', 'README.md', 'LICENSE']) cpSync(join(root, file), join(staged, file))
  execFileSync(process.execPath, [join(root, 'train/node/build.mjs'), join(staged, 'dist')])
  execFileSync('npm', ['pack', '--ignore-scripts', '--loglevel=error', '--pack-destination', folder], {
    cwd: staged,
    shell: process.platform === 'win32',
  })
  tarball = join(folder, `tilegrad-${version}.tgz`)
  project = join(folder, 'project')
  installed = join(project, 'node_modules/tilegrad')
  mkdirSync(installed, { recursive: true })
  await extract({ file: tarball, cwd: installed, strip: 1 })
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }\n')
  link(project, { ...dependencies, ...optionalDependencies })
  // The user's cache has what the set-up fetched for this checkout.
  const cache = join(root, '.cache')
  mkdirSync(join(folder, 'cache'))
  if (existsSync(cache)) symlinkSync(cache, join(folder, 'cache/tilegrad'), 'junction')
})
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

/** Installs packages of the repository in a project. */
function link(into: string, packages: Readonly<Record<string, string>>): void {
  for (const name of Object.keys(packages)) {
    const target = join(into, 'node_modules', name)
    // A scope is a folder of its own.
    mkdirSync(dirname(target), { recursive: true })
    symlinkSync(join(root, 'node_modules', name), target, 'junction')
  }
}

interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

function run(args: readonly string[], cwd = project): Ended {
  const env = { ...process.env, XDG_CACHE_HOME: join(folder, 'cache') }
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd, env, encoding: 'utf8' })
  return { status, stdout, stderr }
}

/** Compiles the consumer's files with the settings, and gives the compiler's errors. */
function typeErrors(name: string, settings: object): string {
  const config = join(project, `${name}.json`)
  const compilerOptions = {
    target: 'es2022',
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    noPropertyAccessFromIndexSignature: true,
    verbatimModuleSyntax: true,
    skipLibCheck: false,
    types: [],
    outDir: join(project, name),
    ...settings,
  }
  writeFileSync(config, JSON.stringify({ compilerOptions, files: ['consumer.ts', 'readme.ts', 'console.d.ts'] }))
  return run([join(root, 'node_modules/typescript/bin/tsc'), '-p', config]).stdout
}

describe('the package', () => {
  test('has what its package.json names, and nothing that publint objects to', async () => {
    const { messages } = await publint({ pkgDir: installed, pack: false, strict: true })
    expect(messages).toEqual([])
    for (const entry of Object.values(entries))
      for (const path of typeof entry === 'string' ? [entry] : Object.values(entry))
        expect(existsSync(join(installed, path)), path).toBe(true)
    expect(readdirSync(installed).sort()).toEqual(['LICENSE', 'README.md', 'dist', 'package.json'])
  })

  test('has types that every way of resolving ES modules finds', async () => {
    const found = await checkPackage(createPackageFromTarballData(new Uint8Array(readFileSync(tarball))))
    if (!found.types) expect.fail('no types')
    // It is ESM alone: the resolutions of CommonJS and of Node 10 are not meant to work.
    const problems = found.problems.filter(
      problem => !('resolutionKind' in problem) || !['node10', 'node16-cjs'].includes(problem.resolutionKind),
    )
    expect(problems).toEqual([])
  })

  test('says which modules of the engine do something when they are imported', () => {
    const bare = /^import '\.\/(.*)\.ts'$/gm
    const text = readFileSync(join(root, 'engine/index.ts'), 'utf8')
    for (const [, path] of text.matchAll(bare)) expect(sideEffects).toContain(`./dist/engine/${path}.js`)
  })
})

describe('a program', () => {
  beforeAll(() => {
    cpSync(join(root, 'test/package/consumer.ts'), join(project, 'consumer.ts'))
    writeFileSync(join(project, 'readme.ts'), example())
    // The one thing that the programs use and that no library of the language declares.
    writeFileSync(join(project, 'console.d.ts'), 'declare var console: { log(...values: unknown[]): void }\n')
  })

  /** The library's example in README. */
  function example(): string {
    const section = readFileSync(join(root, 'README.md'), 'utf8').split('## As a library')[1]
    const code = /```ts\n(.*?)```/s.exec(section)?.[1]
    return `${code}\nexport {}\n`
  }

  test('compiles with the strictest settings, without types of WebGPU, Node or the DOM', () => {
    expect(typeErrors('plain', { module: 'nodenext', lib: ['es2022'] })).toBe('')
  })

  test('compiles with the types of the DOM, as for a bundler', () => {
    const lib = ['esnext', 'dom']
    rmSync(join(project, 'console.d.ts'))
    writeFileSync(join(project, 'console.d.ts'), 'export {}\n')
    expect(typeErrors('bundled', { target: 'esnext', module: 'preserve', lib })).toBe('')
  })

  test('runs: the example of README, and one that uses each entry point', () => {
    const readme = run(['plain/readme.js'])
    expect(readme.status, readme.stderr).toBe(0)
    expect(readme.stdout).toMatch(/^Float32Array\(2\) \[ 0, 0 \]\n2\.5\n(\d\.\d+(e-\d+)?\n){9}$/)
    const consumer = run(['plain/consumer.js'])
    expect(consumer.status, consumer.stderr).toBe(0)
    expect(JSON.parse(consumer.stdout)).toEqual({
      losses: [2.5, 2.025, 1.64],
      cubes: [2, 16, 54],
      size: 2,
      ids: [2, 5, 3],
      schedule: 'linear',
      hasAdapter: true,
    })
  })
})

describe('the command', () => {
  const tilegrad = (...args: readonly string[]): Ended => run([join(installed, bin.tilegrad), ...args])

  test('calls itself as npx does', () => {
    expect(tilegrad('--version')).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' })
    expect(tilegrad('--help').stdout).toContain('Usage: npx tilegrad <command>')
    expect(tilegrad('predict', '--help').stdout).toContain('Usage: npx tilegrad predict')
    expect(tilegrad('predit').stderr).toBe('tilegrad: Unknown command "predit": did you mean predict?\n')
    expect(tilegrad('setup', '--help').stdout).toContain(`kept in ${join(folder, 'cache/tilegrad')}`)
  })

  test('names the packages that are not installed with tilegrad and that a command needs', () => {
    const { status, stderr } = tilegrad('fine-tune', '--dry-run')
    expect(status).toBe(2)
    expect(stderr).toMatch(/^tilegrad: fine-tune needs packages that are not installed with tilegrad: npm install /)
    expect(stderr).toContain(` cli-progress@${peerDependencies['cli-progress']} echarts@`)
    expect(tilegrad('fine-tune', '--help').status).toBe(0)
  })

  test('brings the small model and the reviews, and resolves a run of them', () => {
    link(project, peerDependencies)
    const ended = tilegrad('fine-tune', '--dry-run', '--json', '--limit-train', '32')
    expect(ended.status, ended.stderr).toBe(0)
    expect(JSON.parse(ended.stdout)).toMatchObject({ data: { train: { rows: 32 } } })
    expect(existsSync(join(project, 'runs'))).toBe(false)
  })
})
