// Who imports whom: train → models → engine → shaders and never back; and what a browser loads knows no Node.
import { execFile } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { COMMANDS } from '../train/node/cli/commands.ts'
import { PACKAGES } from '../train/node/packages.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
/** Each may import those before it, and itself. */
const LAYERS = ['shaders', 'engine', 'models', 'train']

/** The files that need Node, by where they are: any `node/` folder, and the documented command. */
const isForNode = (file: string): boolean => /^(engine|models|train)\/node\/|^train\/imdb\.ts$/.test(file)

/** What a module imports, in whatever way: paths from the root, and packages as they stand there. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8').replace(/^\s*(\/\/|\*|\/\*\*).*$/gm, '')
  const found = text.matchAll(/\b(?:from|import|import\()\s*(['"])([^'"\n]+)\1/g)
  return Array.from(found, ([, , what]) =>
    what.startsWith('.') ? relative(root, join(root, dirname(file), what)).replaceAll('\\', '/') : what,
  )
}

const files = LAYERS.flatMap(layer =>
  readdirSync(join(root, layer), { recursive: true, encoding: 'utf8' })
    .filter(path => path.endsWith('.ts'))
    .map(path => `${layer}/${path.replaceAll('\\', '/')}`),
)
const imports = files.flatMap(file => importsOf(file).map(what => ({ file, what })))

describe('imports', () => {
  test('are found in every form', () => {
    expect(importsOf('engine/node/index.ts')).toEqual([
      'engine/index.ts',
      'engine/node/adapters.ts',
      'engine/node/garbage.ts',
      'engine/index.ts',
    ])
    expect(importsOf('engine/index.ts')).toContain('engine/ops/elementwise.ts')
    expect(importsOf('engine/node/adapters.ts')).toEqual(
      expect.arrayContaining(['node:fs', 'webgpu', 'engine/errors.ts']),
    )
    expect(files.filter(file => importsOf(file).length > 0).length).toBeGreaterThan(0.8 * files.length)
  })

  test('go from train to models to engine to shaders, and never back', () => {
    const rank = (path: string): number => LAYERS.indexOf(path.split('/')[0])
    const inside = imports.filter(({ what }) => what.endsWith('.ts'))
    expect(inside.filter(({ file, what }) => rank(what) === -1 || rank(what) > rank(file))).toEqual([])
  })

  test('of what a browser loads lead to no module of Node', () => {
    const browser = imports.filter(({ file }) => !isForNode(file))
    expect(browser.length).toBeGreaterThan(100)
    expect(browser.filter(({ what }) => isBuiltin(what) || isForNode(what) || what === 'webgpu')).toEqual([])
  })
})

test('what keeps a run on disk knows neither commands nor jobs', () => {
  const own = imports.filter(({ file }) => file.startsWith('train/node/run/'))
  expect(own.length).toBeGreaterThan(30)
  expect(own.filter(({ what }) => /^train\/node\/(cli|jobs)\//.test(what))).toEqual([])
})

test('programs load no float64 references', () => {
  const reached = new Set(['engine/index.ts', 'models/index.ts', 'models/nn/index.ts', 'train/index.ts'])
  for (const file of reached) for (const what of importsOf(file)) if (what.endsWith('.ts')) reached.add(what)
  expect(reached.size).toBeGreaterThan(100)
  expect([...reached].filter(file => file.startsWith('engine/reference'))).toEqual([])
  expect(importsOf('engine/reference.ts')).toContain('engine/references/index.ts')
})

describe('packages', () => {
  const { dependencies, optionalDependencies, peerDependencies, exports, sideEffects } = z
    .object({
      dependencies: z.record(z.string(), z.string()),
      optionalDependencies: z.record(z.string(), z.string()),
      peerDependencies: z.record(z.string(), z.string()),
      exports: z.record(z.string(), z.union([z.string(), z.record(z.string(), z.string())])),
      sideEffects: z.array(z.string()),
    })
    .parse(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')))
  const own = new Set([...Object.keys(dependencies), ...Object.keys(optionalDependencies)])
  /** Names of the packages that a module may load, but for those that come with tilegrad. */
  const beyondOwn = (file: string): string[] => {
    const reached = new Set([file])
    for (const module of reached) if (module.endsWith('.ts')) for (const what of importsOf(module)) reached.add(what)
    const names = Array.from(reached, what => /^(@[^/]+\/[^/]+|[^@./][^/]*)(?=$|\/)/.exec(what)?.[0])
    return names
      .filter(name => name !== undefined && !LAYERS.includes(name) && !isBuiltin(name) && !own.has(name))
      .sort() as string[]
  }

  test('keep, in a bundle, the modules that the engine imports for what they do', () => {
    const bare = readFileSync(join(root, 'engine/index.ts'), 'utf8').matchAll(/^import '\.\/(.*)\.ts'$/gm)
    const needed = Array.from(bare, ([, path]) => `./dist/engine/${path}.js`)
    expect(sideEffects, 'sideEffects in package.json').toEqual(expect.arrayContaining(needed))
    expect(sideEffects.filter(path => path.includes('/ops/')).sort()).toEqual(needed.sort())
  })

  test('that do not come with tilegrad are loaded by no entry point', () => {
    const entries = Object.values(exports)
      .flatMap(entry =>
        typeof entry === 'string' ? [] : [entry.node ?? entry.default, entry.browser ?? entry.default],
      )
      .map(path => path.replace('./dist/', '').replace(/\.js$/, '.ts'))
    expect(entries).toHaveLength(12)
    expect(entries.flatMap(beyondOwn)).toEqual([])
  })

  test('that a command may load are among those that it says it needs', () => {
    expect(Object.values(PACKAGES).flat().sort()).toEqual(Object.keys(peerDependencies).sort())
    for (const [name, { needs = () => [], mayNeed = [] }] of Object.entries(COMMANDS)) {
      if (name === 'setup') continue
      const loaded = beyondOwn(`train/node/cli/${name}.ts`)
      expect([...needs(['--report', '--out']), ...mayNeed], name).toEqual(expect.arrayContaining(loaded))
    }
    expect(beyondOwn('train/node/cli/fine-tune.ts')).toContain('echarts')
  })
})

test('with navigator.gpu and nothing else, engine/index.ts computes, as in a browser', async () => {
  const url = (path: string): string => JSON.stringify(pathToFileURL(join(root, path)).href)
  // Dawn stands in for the browser: what it offers is all that the engine gets.
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--input-type=module',
    '-e',
    `
    const { gpu } = await (await import(${url('engine/node/adapters.ts')})).openAdapter()
    Object.defineProperty(navigator, 'gpu', { value: gpu })
    const { currentDevice, grad, tensor } = await import(${url('engine/index.ts')})
    const x = tensor([[1, 2], [3, 4]])
    const y = x.matmul(x)
    const [dx] = grad(y.sum(), [x])
    process.stdout.write(JSON.stringify([[...await y.data()], [...await dx.data()], (await currentDevice()).info.name]))
    ;(await currentDevice()).close()
  `,
  ])
  expect(JSON.parse(stdout)).toEqual([[7, 10, 15, 22], [7, 11, 9, 13], expect.stringMatching(/./)])
})
