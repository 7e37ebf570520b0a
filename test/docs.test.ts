// The documentation: every program in its pages compiles and prints what the page says, its links lead somewhere, its
// names and commands exist.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { COMMANDS } from '../train/node/cli/commands.ts'
import { PackedProject } from './support/packed.ts'
import { type Program, agrees, brokenLinks, mapped, moduleOf, notLoadable, pages, programsOf } from './support/pages.ts'

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

describe('the programs of the pages', () => {
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
      strict: true,
      exactOptionalPropertyTypes: true,
      verbatimModuleSyntax: true,
      target: 'es2024',
      lib: ['es2024', 'esnext.disposable', 'dom'],
      module: 'nodenext',
      types: ['node'],
      outDir: 'programs',
    }
    const files = programs.flatMap(({ language }, i) => (language === 'ts' ? [`${nameOf(i)}.ts`] : []))
    project.write('programs.json', JSON.stringify({ compilerOptions, files }))
    typeErrors = project.compile('-p', 'programs.json')
    project.write('runner.js', RUNNER)
    const paths = programs.map(({ language }, i) => `./${language === 'ts' ? 'programs/' : ''}${nameOf(i)}.js`)
    const { stdout, stderr } = project.run('runner.js', ...paths)
    expect(stdout, stderr).toMatch(/^\[/)
    outcomes = JSON.parse(stdout) as Outcome[]
  })
  afterAll(() => project.remove())

  test('compile', () => {
    const named = typeErrors.replace(/^program-(\d+)\.ts/gm, (_, i) => `${programs[Number(i)].at}, program`)
    expect(named).toBe('')
  })

  test('load in a plain page, with an import map that lacks nothing', () => {
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
})

test('the comparison with what a page says allows … for anything, and nothing else', () => {
  expect(agrees('loss 0.25\n', 'loss 0.25\n')).toBe(true)
  expect(agrees('loss 0.25\n', 'loss …\n')).toBe(true)
  expect(agrees('loss 0x25\n', 'loss 0.25\n')).toBe(false)
  expect(agrees('loss 0.25\nmore\n', 'loss …\n')).toBe(false)
  expect(agrees('', '1\n')).toBe(false)
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

test('commands that pages name exist', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: object }
  const named = (pattern: RegExp): string[] =>
    pages.flatMap(({ text }) => Array.from(text.matchAll(pattern), ([, name]) => name))
  expect(named(/\bnpm run (?:-s )?([\w:]+)/g).filter(name => !(name in scripts))).toEqual([])
  const commands = named(/\b(?:npx|npm run -s) tilegrad (?:-- )?([\w-]+)/g)
  expect(commands).toContain('setup')
  expect(commands.filter(name => !(name in COMMANDS))).toEqual([])
})
