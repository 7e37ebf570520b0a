// The package as npm packs it, in an empty project with only what npm installs beside it.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { x as extract } from 'tar'
import { z } from 'zod'

const root = fileURLToPath(new URL('../..', import.meta.url))

const names = z.record(z.string(), z.string())
const schema = z.object({
  version: z.string(),
  exports: z.record(z.string(), z.union([z.string(), names])),
  sideEffects: z.array(z.string()),
  bin: z.object({ tilegrad: z.string() }),
  dependencies: names,
  optionalDependencies: names,
  peerDependencies: names,
})
/** What package.json says. */
export const manifest = schema.parse(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')))

export interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** What the package is made from, in the checkout. */
const SOURCES = [
  ...['package.json', 'README.md', 'LICENSE', 'tsconfig*.json', 'node_modules/typescript/package.json'],
  '{engine,shaders,models,train}/**',
]

/**
 * The package as `npm pack` makes it of the checkout as it is now. It is built once for all that need it, and again when
 * a source changes.
 */
function packed(): string {
  const hash = createHash('sha256')
  for (const file of globSync(SOURCES, { cwd: root }).sort()) {
    const path = join(root, file)
    if (statSync(path).isFile()) hash.update(`${file}\0`).update(readFileSync(path)).update('\0')
  }
  const folder = join(root, '.cache/packed')
  const name = `${hash.digest('hex').slice(0, 32)}.tgz`
  if (existsSync(join(folder, name))) return join(folder, name)

  mkdirSync(folder, { recursive: true })
  const making = mkdtempSync(join(folder, 'making-'))
  try {
    for (const file of ['package.json', 'README.md', 'LICENSE']) cpSync(join(root, file), join(making, file))
    execFileSync(process.execPath, [join(root, 'train/node/build.mjs'), join(making, 'dist')])
    execFileSync('npm', ['pack', '--ignore-scripts', '--loglevel=error'], {
      cwd: making,
      shell: process.platform === 'win32',
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    for (const old of globSync('*.tgz', { cwd: folder })) rmSync(join(folder, old), { force: true })
    renameSync(join(making, `tilegrad-${manifest.version}.tgz`), join(folder, name))
  } finally {
    rmSync(making, { recursive: true, force: true })
  }
  return join(folder, name)
}

export class PackedProject {
  readonly #folder: string
  /** What `npm pack` made. */
  readonly tarball: string
  /** The project's folder. */
  readonly path: string
  /** The installed package's. */
  readonly installed: string
  /** The cache of the project's user, which has what the set-up fetched for this checkout. */
  readonly cache: string

  private constructor(folder: string) {
    this.#folder = folder
    this.tarball = packed()
    this.path = join(folder, 'project')
    this.installed = join(this.path, 'node_modules/tilegrad')
    this.cache = join(folder, 'cache')
  }

  /** Unpacks the package of the checkout in a new project. */
  static async make(): Promise<PackedProject> {
    const folder = mkdtempSync(join(tmpdir(), 'tilegrad-package-'))
    const project = new PackedProject(folder)
    mkdirSync(project.installed, { recursive: true })
    await extract({ file: project.tarball, cwd: project.installed, strip: 1 })
    project.write('package.json', '{ "type": "module" }\n')
    project.add({ ...manifest.dependencies, ...manifest.optionalDependencies })
    mkdirSync(project.cache)
    const cache = join(root, '.cache')
    if (existsSync(cache)) symlinkSync(cache, join(project.cache, 'tilegrad'), 'junction')
    // The programs of test/package and the library's examples in README.
    for (const program of ['consumer.ts', 'page.ts'])
      cpSync(join(root, 'test/package', program), join(project.path, program))
    const section = readFileSync(join(root, 'README.md'), 'utf8').split('## As a library')[1]
    const examples = Array.from(section.matchAll(/```ts\n(.*?)```/gs), ([, code]) => code)
    for (const [i, name] of ['readme', 'readme-model'].entries())
      project.write(`${name}.ts`, `${examples[i]}\nexport {}\n`)
    return project
  }

  write(file: string, text: string): void {
    writeFileSync(join(this.path, file), text)
  }

  /** Installs packages as this checkout has them. */
  add(packages: Readonly<Record<string, string>>): void {
    for (const name of Object.keys(packages)) {
      const target = join(this.path, 'node_modules', name)
      // A scope is a folder of its own.
      mkdirSync(dirname(target), { recursive: true })
      symlinkSync(join(root, 'node_modules', name), target, 'junction')
    }
  }

  /** Runs Node in the project. */
  run(...args: readonly string[]): Ended {
    const { XDG_CACHE_HOME = join(homedir(), '.cache'), MESA_SHADER_CACHE_DIR = XDG_CACHE_HOME } = process.env
    // Its own cache, but for what the driver has compiled.
    const env = { ...process.env, XDG_CACHE_HOME: this.cache, MESA_SHADER_CACHE_DIR }
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: this.path, env, encoding: 'utf8' })
    return { status, stdout, stderr }
  }

  /** Compiles its programs with the strictest settings and these into the folder `name`. Gives the errors. */
  typeErrors(name: string, settings: Readonly<Record<string, unknown>>): string {
    const compilerOptions = {
      strict: true,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
      noPropertyAccessFromIndexSignature: true,
      verbatimModuleSyntax: true,
      skipLibCheck: false,
      types: [],
      outDir: join(this.path, name),
      ...settings,
    }
    const files = ['consumer.ts', 'readme.ts', 'readme-model.ts', `${name}.d.ts`]
    this.write(`${name}.json`, JSON.stringify({ compilerOptions, files }))
    // Without the DOM nothing declares the console, which all programs use.
    const hasDom = JSON.stringify(settings.lib).includes('dom')
    this.write(`${name}.d.ts`, hasDom ? '' : 'declare var console: { log(...values: unknown[]): void }\n')
    return this.compile('-p', `${name}.json`)
  }

  /** Runs the compiler in the project. Gives its errors. */
  compile(...args: readonly string[]): string {
    return this.run(join(root, 'node_modules/typescript/bin/tsc'), ...args).stdout
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
