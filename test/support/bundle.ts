// What a page loads of a program: bundled by esbuild or vite, minified and gzipped.
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { type Plugin, build as esbuild } from 'esbuild'
import type { PackedProject } from './packed.ts'

/** One file of a bundle. */
interface Chunk {
  readonly name: string
  readonly code: string
  readonly isEntry: boolean
  /** Files that are loaded with it, and those that it may load later. */
  readonly imports: readonly string[]
  readonly mayImport: readonly string[]
}

/** Gzipped bytes of a program: those that it needs to begin, and those that it loads when it first needs them. */
export interface Sizes {
  readonly first: number
  readonly later: number
}

/** Programs on which the sizes are measured: all of the engine, and what a small program takes of it. */
export const programs = {
  'all of tilegrad': "export * from 'tilegrad'\n",
  'tensor, grad, compile': "export { tensor, grad, compile, variable } from 'tilegrad'\n",
}

function sizesOf(chunks: readonly Chunk[]): Sizes {
  const reached = (of: (chunk: Chunk) => readonly string[]): Set<Chunk> => {
    const found = new Set(chunks.filter(({ isEntry }) => isEntry))
    for (const from of found) for (const chunk of chunks) if (of(from).includes(chunk.name)) found.add(chunk)
    return found
  }
  const bytesOf = (found: Iterable<Chunk>): number =>
    Array.from(found, ({ code }) => gzipSync(code, { level: 9 }).length).reduce((a, b) => a + b, 0)
  const first = bytesOf(reached(({ imports }) => imports))
  return { first, later: bytesOf(reached(({ imports, mayImport }) => [...imports, ...mayImport])) - first }
}

/** Fails where a module of Node is imported, which esbuild would only leave as it is. */
const noNode: Plugin = {
  name: 'no modules of Node',
  setup: ({ onResolve }) =>
    onResolve({ filter: /^node:/ }, ({ path }) => ({ errors: [{ text: `${path} in a browser` }] })),
}

const settings = {
  bundle: true,
  splitting: true,
  minify: true,
  format: 'esm' as const,
  metafile: true as const,
  plugins: [noNode],
}

/** Bundles a program in the project into the folder `out` there. Throws where a module of Node is among it. */
export async function bundleInto({ path }: PackedProject, program: string, out: string): Promise<void> {
  await esbuild({ ...settings, entryPoints: [program], outdir: join(path, out), absWorkingDir: path })
}

/** Bundled by esbuild, with code splitting. */
export async function esbuildSizes({ path }: PackedProject, contents: string): Promise<Sizes> {
  const stdin = { contents, resolveDir: path }
  const { outputFiles, metafile } = await esbuild({
    ...settings,
    stdin,
    outdir: path,
    write: false,
    absWorkingDir: path,
  })
  return sizesOf(
    outputFiles.map(({ path: file, text }) => {
      const name = file.slice(path.length + 1).replaceAll('\\', '/')
      const { entryPoint, imports } = metafile.outputs[name]
      const of = (wanted: string): string[] => imports.flatMap(({ kind, path: to }) => (kind === wanted ? [to] : []))
      const isEntry = entryPoint === '<stdin>'
      return { name, code: text, isEntry, imports: of('import-statement'), mayImport: of('dynamic-import') }
    }),
  )
}

/** Bundled by vite, as for an application. */
export async function viteSizes(project: PackedProject, contents: string): Promise<Sizes> {
  project.write('entry.js', contents)
  const { build } = await import('vite')
  const built = await build({
    root: project.path,
    configFile: false,
    logLevel: 'silent',
    build: { rolldownOptions: { input: 'entry.js', preserveEntrySignatures: 'strict' }, write: false, minify: true },
  })
  const outputs = (Array.isArray(built) ? built : [built]).flatMap(out => ('output' in out ? out.output : []))
  return sizesOf(
    outputs.flatMap(out => {
      if (out.type !== 'chunk') return []
      const { fileName: name, code, isEntry, imports, dynamicImports: mayImport } = out
      return [{ name, code, isEntry, imports, mayImport }]
    }),
  )
}
