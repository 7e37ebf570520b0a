// `npm run check:package`: what publishers check of a package before it is published. publint and Are The Types Wrong find
// nothing; programs of the strictest settings compile, for Node and for a bundler; Node 20 has all that is used; and a page loads at most 80 kB of the
// engine before it computes, bundled by esbuild or vite.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { publint } from 'publint'
import { esbuildSizes, programs, viteSizes } from '../support/bundle.ts'
import { PackedProject } from '../support/packed.ts'

const LIMIT = 80_000

/** Ways of resolving imports that are not meant to work: the package is ESM, with `exports`. */
const UNSUPPORTED: ReadonlySet<string> = new Set(['node10', 'node16-cjs'])

const problems: string[] = []
function check(name: string, found: readonly string[]): void {
  console.log(`${found.length === 0 ? 'ok    ' : 'wrong '} ${name}`)
  for (const problem of found) console.log(`       ${problem}`)
  problems.push(...found)
}

const project = await PackedProject.make()
try {
  const { messages } = await publint({ pkgDir: project.installed, pack: false, strict: true })
  check(
    'publint',
    messages.map(message => JSON.stringify(message)),
  )

  const types = await checkPackage(createPackageFromTarballData(new Uint8Array(readFileSync(project.tarball))))
  const wrong = types.types
    ? types.problems.filter(problem => !('resolutionKind' in problem && UNSUPPORTED.has(problem.resolutionKind)))
    : [{ kind: 'no types' }]
  check(
    'Are The Types Wrong',
    wrong.map(problem => JSON.stringify(problem)),
  )

  const kinds = {
    'types under Node': { module: 'nodenext', target: 'es2022', lib: ['es2022'] },
    'types for a bundler': { module: 'preserve', target: 'esnext', lib: ['esnext', 'dom'] },
  }
  for (const [name, settings] of Object.entries(kinds)) {
    const errors = project.typeErrors(name.replaceAll(' ', '-'), settings)
    check(name, errors.split('\n').filter(Boolean))
  }

  const node20 = fileURLToPath(new URL('node20.json', import.meta.url))
  check('nothing that Node 20 lacks', project.compile('-p', node20).split('\n').filter(Boolean))

  for (const [bundler, sizes] of Object.entries({ esbuild: esbuildSizes, vite: viteSizes })) {
    for (const [program, contents] of Object.entries(programs)) {
      const { first, later } = await sizes(project, contents)
      const kB = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`
      const name = `${program}, ${bundler}: ${kB(first)} gzipped, and ${kB(later)} that are loaded when needed`
      check(name, first > LIMIT ? [`more than ${kB(LIMIT)}`] : [])
    }
  }
} finally {
  project.remove()
}
process.exitCode = problems.length > 0 ? 1 : 0
