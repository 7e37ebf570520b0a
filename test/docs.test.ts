// The documentation: every program in its pages compiles and prints what the page says, its examples learn, its links lead
// somewhere, its names and commands exist.
import { cpSync, existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Tensor } from '../engine/index.ts'
import { COMMANDS } from '../train/node/cli/commands.ts'
import { PackedProject } from './support/packed.ts'
import {
  type Program,
  agrees,
  brokenLinks,
  linesOf,
  mapped,
  moduleOf,
  notLoadable,
  pages,
  programsOf,
} from './support/pages.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const programs = pages.flatMap(programsOf)

interface Outcome {
  readonly printed: string
  readonly error?: string
}

/** Runs modules one after another in one process, each with its own console. */
const RUNNER = `
import { format } from 'node:util'
const outcomes = []
for (const file of process.argv.slice(2)) {
  let printed = ''
  const print = (...values) => void (printed += format(...values) + '\\n')
  Object.assign(console, { log: print, warn: print })
  // All of a page that programs in the documentation use.
  globalThis.document = { body: { append: print } }
  try {
    await import(file)
    outcomes.push({ printed })
  } catch (error) {
    outcomes.push({ printed, error: error.stack })
  }
}
process.stdout.write(JSON.stringify(outcomes))
`

/** What the examples print when they are run briefly, and what shows that they learn, which fresh weights do not. */
const EXAMPLES: readonly (readonly [file: string, argument: string, check: (printed: string) => void])[] = [
  ['digits/mlp', '1', reads(60)],
  ['digits/cnn', '1', reads(50)],
  ['digits/vit', '2', reads(40)],
  [
    'character-gpt/gpt',
    '40',
    printed => {
      const [first, last] = numbersIn(printed, /loss ([\d.]+)/g)
      expect(first).toBeGreaterThan(3)
      expect(last).toBeLessThan(2.2)
      expect(printed).toMatch(/\nthe [a-z .\n]{156}\n$/)
    },
  ],
  [
    'lora/lora',
    '60',
    printed => {
      const [from, to, turned, fitted, merged] = numbersIn(printed, /(\d\.\d{4})/g)
      expect(to).toBeLessThan(0.9 * from)
      expect(fitted).toBeLessThan(0.4 * turned)
      expect(merged).toBeCloseTo(fitted, 3)
      expect(numbersIn(printed, /^(\d+) parameters/gm)).toEqual([4417, 776])
    },
  ],
  [
    'custom-op/ternary',
    '60',
    printed => {
      reads(85)(printed)
      expect(printed).toContain('differences from the reference: 0\n')
      expect(printed).toContain('weights: -1 0 1\n')
    },
  ],
]

function numbersIn(text: string, pattern: RegExp): number[] {
  return Array.from(text.matchAll(pattern), ([, number]) => Number(number))
}

/** That a classifier is right about as often as chance at first, and about at least `bar` % of examples in the end. */
function reads(bar: number): (printed: string) => void {
  return printed => {
    const shares = numbersIn(printed, /([\d.]+) %$/gm)
    expect(shares[0]).toBeLessThan(bar - 25)
    expect(shares.at(-1)).toBeGreaterThan(bar)
  }
}

describe('with the package installed', () => {
  let project: PackedProject
  let outcomes: readonly Outcome[]
  let typeErrors: string
  const nameOf = (i: number): string => `program-${i}`

  beforeAll(async () => {
    project = await PackedProject.make()
    project.add({ '@types/node': '*', 'undici-types': '*' })
    for (const [i, { language, code }] of programs.entries()) {
      if (language === 'ts') {
        project.write(`${nameOf(i)}.ts`, `${code}\nexport {}\n`)
        continue
      }
      const page = moduleOf(code)
      project.write(`${nameOf(i)}.js`, mapped(page.code, page.imports))
    }
    const compilerOptions = {
      // As strict as readers' own settings may be.
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      verbatimModuleSyntax: true,
      target: 'es2024',
      lib: ['es2024', 'esnext.disposable', 'dom'],
      module: 'nodenext',
      types: ['node'],
      allowImportingTsExtensions: true,
      rewriteRelativeImportExtensions: true,
      rootDir: '.',
      outDir: 'programs',
    }
    cpSync(join(root, 'docs/examples'), join(project.path, 'examples'), { recursive: true })
    const files = programs.flatMap(({ language }, i) => (language === 'ts' ? [`${nameOf(i)}.ts`] : []))
    project.write('programs.json', JSON.stringify({ compilerOptions, files }))
    project.write('examples.json', JSON.stringify({ compilerOptions, include: ['examples'] }))
    typeErrors = project.compile('-p', 'programs.json') + project.compile('-p', 'examples.json')
    project.write('runner.js', RUNNER)
    const paths = programs.map(({ language }, i) => `./${language === 'ts' ? 'programs/' : ''}${nameOf(i)}.js`)
    const { stdout, stderr } = project.run('runner.js', ...paths)
    expect(stdout, stderr).toMatch(/^\[/)
    outcomes = JSON.parse(stdout) as Outcome[]
  })
  afterAll(() => project.remove())

  test('programs and examples compile', () => {
    const named = typeErrors.replace(/^program-(\d+)\.ts/gm, (_, i) => `${programs[Number(i)].at}, program`)
    expect(named).toBe('')
  })

  test('programs load in a plain page, with an import map that lacks nothing', () => {
    const html = programs.filter(({ language }) => language === 'html')
    expect(html.length).toBeGreaterThan(0)
    for (const { code } of html) {
      const { imports } = moduleOf(code)
      expect(notLoadable(project.path, imports)).toEqual([])
      const models = './node_modules/tilegrad/dist/models/index.js'
      expect(notLoadable(project.path, { ...imports, 'tilegrad/models': models }).join()).toContain('zod in ')
    }
  })

  test.for(programs.map((program, i): [string, Program, number] => [program.at, program, i]))(
    '%s prints what the page says',
    ([, { prints }, i]) => {
      const { printed, error } = outcomes[i]
      expect(error).toBeUndefined()
      if (!agrees(printed, prints)) expect(printed).toBe(prints)
    },
  )

  test.for(EXAMPLES)('the example %s learns', ([name, argument, check]) => {
    const { status, stdout, stderr } = project.run(`programs/examples/${name}.js`, argument)
    expect(status, stderr).toBe(0)
    check(stdout)
  })
})

test('the comparison with what a page says allows … for anything, and nothing else', () => {
  expect(agrees('loss 0.25\n', 'loss 0.25\n')).toBe(true)
  expect(agrees('loss 0.25\n', 'loss …\n')).toBe(true)
  expect(agrees('loss 0x25\n', 'loss 0.25\n')).toBe(false)
  expect(agrees('loss 0.25\nmore\n', 'loss …\n')).toBe(false)
  expect(agrees('', '1\n')).toBe(false)
})

describe('the examples', () => {
  test('are as long as their table says, beside the same in PyTorch', () => {
    const page = pages.find(({ file }) => file === 'docs/examples.md')
    const rows = Array.from(page?.text.matchAll(/\]\(\.\/examples\/(\S+)\.ts\) \| (\d+) \| (\d+) \|/g) ?? [])
    const measured = (path: string): number => linesOf(readFileSync(join(root, 'docs/examples', path), 'utf8'))
    expect(rows.map(([, name]) => name)).toEqual(expect.arrayContaining(EXAMPLES.map(([name]) => name)))
    for (const [, name, ours, theirs] of rows)
      expect([name, Number(ours), Number(theirs)]).toEqual([name, measured(`${name}.ts`), measured(`${name}.py`)])
  })

  test('are packages that depend on this one', () => {
    for (const folder of new Set(EXAMPLES.map(([name]) => name.split('/')[0]))) {
      const path = join(root, 'docs/examples', folder)
      const { scripts, dependencies } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as {
        scripts: Record<string, string>
        dependencies: { tilegrad: string }
      }
      expect(join(path, dependencies.tilegrad.replace('file:', ''), '.')).toBe(join(root, '.'))
      for (const command of Object.values(scripts))
        expect(existsSync(join(path, command.replace('node ', ''))), command).toBe(true)
    }
  })
})

describe('links', () => {
  test.for(pages.map(page => [page.file, page] as const))('of %s lead to what is there', ([, page]) => {
    expect(brokenLinks(page)).toEqual([])
  })

  test('of the sidebar lead to every page', () => {
    const config = readFileSync(join(root, 'docs/.vitepress/config.mjs'), 'utf8')
    const linked = Array.from(config.matchAll(/page\('[^']*', '\/([\w/-]*\w)'\)/g), ([, path]) => `docs/${path}.md`)
    const shown = pages
      .map(({ file }) => file)
      .filter(file => file !== 'docs/index.md' && !file.startsWith('docs/examples/'))
    expect([...new Set(linked)].sort()).toEqual(shown)
  })

  test('that lead nowhere are found', () => {
    const links = ['[a](./nowhere.md)', '[b](./tensors.md#no-such-heading)', '[c](../../README.md)', '[d](./tensors)']
    const page = { file: 'docs/guide/made-up.md', text: links.join('\n'), blocks: [] }
    expect(brokenLinks(page)).toEqual([
      'docs/guide/made-up.md: ./nowhere.md leads nowhere',
      'docs/guide/made-up.md: ./tensors.md#no-such-heading has no such heading',
    ])
  })
})

test("names in the table of PyTorch's names exist", async () => {
  const modules: object[] = [
    await import('../engine/index.ts'),
    await import('../models/nn/index.ts'),
    await import('../models/index.ts'),
    await import('../train/index.ts'),
    await import('../engine/op.ts'),
  ]
  const exported = new Map(modules.flatMap(module => Object.entries(module)))
  const exists = (name: string): boolean => {
    const [first, member] = name.split('.')
    if (first === '') return member in Tensor.prototype
    const found: unknown = exported.get(first)
    if (member === undefined) return found !== undefined
    return typeof found === 'function' && member in (found.prototype as object)
  }
  const page = pages.find(({ file }) => file === 'docs/guide/pytorch.md')
  const rows = Array.from(page?.text.matchAll(/^\|[^|\n]*\|([^|\n]*)\|[^|\n]*\|[^|\n]*\|$/gm) ?? [], ([, ours]) => ours)
  const names = rows.flatMap(ours => Array.from(ours.matchAll(/`([^`]+)`/g), ([, name]) => name))
  expect(names.length).toBeGreaterThan(100)
  expect(names.filter(name => !exists(name))).toEqual([])
  expect(['.nowhere', 'nowhere', 'Optimizer.nowhere', '.shape'].filter(exists)).toEqual(['.shape'])
})

test('figures of the peers are those that were measured', () => {
  const { rows } = JSON.parse(readFileSync(join(root, 'bench/results/peers-llvmpipe.json'), 'utf8')) as {
    rows: { problem: string; engines: Record<string, { timing: { median: number } }> }[]
  }
  const shown = (median: number): string => (median < 99.95 ? median.toFixed(1) : median.toFixed(0))
  const page = pages.find(({ file }) => file === 'docs/guide/peers.md')
  const lines = Array.from(page?.text.matchAll(/^\| ([^|]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$/gm) ?? [])
  expect(lines.length).toBeGreaterThan(5)
  for (const [, problem, ...figures] of lines) {
    const engines = rows.find(row => row.problem === problem)?.engines
    expect([problem, ...figures]).toEqual([
      problem,
      ...['tilegrad', 'jax-js', 'tfjs'].map(name => shown(engines?.[name].timing.median ?? NaN)),
    ])
  }
})

test('commands that pages name exist', () => {
  const scriptsOf = (folder: string): object => {
    const { scripts } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as { scripts: object }
    return scripts
  }
  const all = scriptsOf('')
  for (const { file, text } of pages) {
    const scripts = file.startsWith('docs/examples/') ? { ...all, ...scriptsOf(dirname(file)) } : all
    for (const [, name] of text.matchAll(/\bnpm run (?:-s )?([\w:]+)/g))
      expect(Object.keys(scripts), file).toContain(name)
  }
  const named = (pattern: RegExp): string[] =>
    pages.flatMap(({ text }) => Array.from(text.matchAll(pattern), ([, name]) => name))
  const commands = named(/\b(?:npx|npm run -s) tilegrad (?:-- )?([\w-]+)/g)
  expect(commands).toContain('setup')
  expect(commands.filter(name => !(name in COMMANDS))).toEqual([])
})
