// The pages of docs/: their programs, what those print, and their links.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const docs = join(root, 'docs')

/** A fenced block of a page. */
export interface Block {
  /** Its first line in the page, of 1, 2, … */
  readonly line: number
  /** What stands after the fence, such as `ts`. */
  readonly language: string
  readonly text: string
}

export interface Page {
  /** From the root of the repository: `docs/guide/tensors.md`. */
  readonly file: string
  readonly text: string
  readonly blocks: readonly Block[]
}

/** A program: a block of TypeScript that imports something, with those after it that import nothing, or a block of HTML. */
export interface Program {
  /** Page and line, such as `docs/guide/tensors.md:12`. */
  readonly at: string
  /** The language of its block: `html` for the module in a page. */
  readonly language: 'ts' | 'html'
  readonly code: string
  /** The `text` blocks right after its blocks, in which `…` stands for anything. */
  readonly prints: string
}

function blocksOf(text: string): Block[] {
  const blocks: Block[] = []
  let open: { line: number; fence: string; language: string; lines: string[] } | undefined
  for (const [i, line] of text.split('\n').entries()) {
    const [, fence = '', language = ''] = /^(`{3,})\s*(.*)$/.exec(line) ?? []
    if (open && fence.length >= open.fence.length && language === '') {
      blocks.push({ line: open.line, language: open.language, text: open.lines.join('\n') })
      open = undefined
    } else if (open) open.lines.push(line)
    else if (fence !== '') open = { line: i + 2, fence, language, lines: [] }
  }
  if (open) throw new Error(`the block at line ${open.line} does not end`)
  return blocks
}

const read = (file: string): Page => {
  const text = readFileSync(join(root, file), 'utf8')
  return { file, text, blocks: blocksOf(text) }
}

/** The pages of the site, and the texts of its examples. */
export const pages: readonly Page[] = globSync('docs/**/*.md', {
  cwd: root,
  exclude: name => name === 'node_modules' || name === 'reference' || name === '.vitepress',
})
  .map(file => file.replaceAll('\\', '/'))
  .sort()
  .map(read)

export function programsOf({ file, blocks }: Page): Program[] {
  const programs: { at: string; language: 'ts' | 'html'; code: string; prints: string }[] = []
  let before: Block | undefined
  for (const block of blocks) {
    const { language, text, line } = block
    const last = programs.at(-1)
    if (language === 'ts') {
      if (/^import /m.test(text)) programs.push({ at: `${file}:${line}`, language, code: text, prints: '' })
      else if (last?.language === 'ts') last.code += `\n${text}`
      else throw new Error(`${file}:${line}: a program begins with its imports`)
    } else if (language === 'html') programs.push({ at: `${file}:${line}`, language, code: text, prints: '' })
    else if (language === 'text' && last && before?.language === last.language) last.prints += `${text}\n`
    before = block
  }
  return programs
}

/** Whether a program printed what its page says. */
export function agrees(printed: string, shown: string): boolean {
  const escaped = shown.split('…').map(part => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${escaped.join('.*')}$`).test(printed)
}

/** A heading's anchor, as VitePress makes it. */
function anchorOf(heading: string): string {
  const plain = heading.replace(/[`*]/g, '').replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
  return plain
    .normalize('NFKD')
    .replace(/[\u0300-\u036f]/g, '')
    .replace(/[\s~`!@#$%^&*()\-_+=[\]{}|\\;:"'“”‘’<>,.?/]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .toLowerCase()
}

/** A page without its blocks and code spans. */
const prose = (text: string): string =>
  text.replace(/^(`{3,})[^\n]*\n[\s\S]*?^\1\s*$/gm, '').replace(/`[^`\n]*`/g, '``')

const headingsOf = (text: string): string[] =>
  Array.from(text.replace(/^(`{3,})[^\n]*\n[\s\S]*?^\1\s*$/gm, '').matchAll(/^#+ (.+)$/gm), ([, heading]) =>
    anchorOf(heading),
  )

/** What is wrong with the links of a page: files and headings that are not there. */
export function brokenLinks({ file, text }: Page): string[] {
  const targets = Array.from(
    prose(text).matchAll(/\]\(([^)\s]+)\)|\b(?:link|src|href)[:=] ?["']?([^\s"']+)/g),
    ([, a, b]) => a ?? b,
  )
  return targets.flatMap(target => {
    if (/^(https?:|mailto:)/.test(target)) return []
    const [path, anchor] = target.split('#')
    const from = path.startsWith('/') ? docs : join(root, dirname(file))
    const place = path === '' ? join(root, file) : join(from, path)
    // TypeDoc writes them when the site is built, which checks links to them.
    if (relative(docs, place).startsWith('reference')) return []
    const found = [place, `${place}.md`, join(place, 'index.md')].find(candidate => existsSync(candidate))
    if (found === undefined) return [`${file}: ${target} leads nowhere`]
    if (anchor === undefined || headingsOf(readFileSync(found, 'utf8')).includes(anchor)) return []
    return [`${file}: ${target} has no such heading`]
  })
}

/** An import map of a page: where modules are by the names that programs import. */
export type ImportMap = Readonly<Record<string, string>>

/** The import map and the module in a page of HTML. */
export function moduleOf(html: string): { readonly imports: ImportMap; readonly code: string } {
  const [, map] = /<script type="importmap">(.*?)<\/script>/s.exec(html) ?? []
  const [, code] = /<script type="module">(.*?)<\/script>/s.exec(html) ?? []
  if (map === undefined || code === undefined) throw new Error('a page of HTML needs an import map and a module')
  return { imports: (JSON.parse(map) as { imports: ImportMap }).imports, code }
}

const IMPORTS = /^\s*(?:import|export)\b(?:[\s\w{},*$]*?\bfrom)?\s*(['"])([^'"\n]+)\1|\bimport\((['"])([^'"\n]+)\3\)/gm

/** A program whose imports are replaced by where an import map says that they are. */
export const mapped = (code: string, imports: ImportMap): string =>
  code.replace(
    /(\bfrom )(['"])([^'"\n]+)\2/g,
    (_, from: string, quote: string, name: string) => `${from}${quote}${imports[name] ?? name}${quote}`,
  )

/** What a page can't load of the modules in its import map, and of all that these import. */
export function notLoadable(folder: string, imports: ImportMap): string[] {
  const reached = new Set(Object.values(imports).map(path => join(folder, path)))
  const missing: string[] = []
  for (const file of reached) {
    if (!existsSync(file)) {
      missing.push(relative(folder, file))
      continue
    }
    const code = readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')
    for (const [, , from, , dynamic] of code.matchAll(IMPORTS)) {
      const name = from ?? dynamic
      if (name.startsWith('.')) reached.add(join(dirname(file), name))
      else if (!(name in imports)) missing.push(`${name} in ${relative(folder, file)}`)
    }
  }
  return missing
}

/** Lines of a program without comments and blank lines, in TypeScript or Python. */
export const linesOf = (code: string): number =>
  code.split('\n').filter(line => !/^\s*($|\/\/|#|\/?\*)/.test(line)).length
