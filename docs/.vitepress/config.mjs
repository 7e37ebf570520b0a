// The site: pages of this folder, and the reference that TypeDoc writes to reference/ before (`npm run docs`).
import { existsSync, readFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const docs = fileURLToPath(new URL('..', import.meta.url))
const listed = new URL('../reference/typedoc-sidebar.json', import.meta.url)
const reference = existsSync(listed) ? JSON.parse(readFileSync(listed, 'utf8')) : []

/** Where the repository's files are shown, such as `https://host/owner/tilegrad/blob/main/`; without it they are no links. */
const repository = process.env.DOCS_REPOSITORY

/** The path of a file of the repository that a page links to; undefined for other links. */
function fileOf(href, page) {
  if (!/^\.\.?\//.test(href)) return undefined
  const target = resolve(dirname(page), href)
  const inDocs = relative(docs, target).replaceAll('\\', '/')
  const isPage = !inDocs.startsWith('../') && !inDocs.startsWith('examples/')
  return isPage ? undefined : relative(resolve(docs, '..'), target).replaceAll('\\', '/')
}

/** Has links to files of the repository lead to where it is shown; where that isn't known, leaves their text. */
function linkRepository(md) {
  md.core.ruler.push('files of the repository', ({ tokens, env }) => {
    for (const { children } of tokens) {
      let inside = false
      for (const token of children ?? []) {
        const file = token.type === 'link_open' ? fileOf(token.attrGet('href'), env.path) : undefined
        if (file !== undefined && repository) token.attrSet('href', repository + file)
        if (file !== undefined && !repository) inside = true
        if (!inside || !token.type.startsWith('link_')) continue
        if (token.type === 'link_close') inside = false
        Object.assign(token, { type: token.type.replace('link', 'file'), tag: 'span', attrs: null })
      }
    }
  })
}

const page = (text, link) => ({ text, link })

/** @type {import('vitepress').UserConfig} */
export default {
  title: 'tilegrad',
  description: 'Tensors, gradients and training in pure TypeScript on WebGPU.',
  base: process.env.DOCS_BASE ?? '/',
  srcExclude: ['examples/**', 'entries/**', 'node_modules/**'],
  cleanUrls: false,
  markdown: { config: linkRepository },
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    nav: [
      page('Quick start', '/start/node'),
      page('Guide', '/guide/tensors'),
      page('Examples', '/examples'),
      page('Reference', '/reference/'),
    ],
    sidebar: {
      '/reference/': [{ text: 'Reference', items: reference }],
      '/': [
        {
          text: 'Quick start',
          items: [
            page('In Node', '/start/node'),
            page('With Vite', '/start/vite'),
            page('In a plain page', '/start/page'),
          ],
        },
        {
          text: 'Guide',
          items: [
            page('Tensors', '/guide/tensors'),
            page('Gradients', '/guide/gradients'),
            page('Compiled functions', '/guide/compile'),
            page('Your own model', '/guide/model'),
            page('Training', '/guide/training'),
            page('Your own data', '/guide/data'),
            page('LoRA', '/guide/lora'),
            page('Your own op and kernel', '/guide/op'),
            page('Performance', '/guide/performance'),
            page('Coming from PyTorch', '/guide/pytorch'),
            page('Compared with its peers', '/guide/peers'),
          ],
        },
        { text: 'More', items: [page('Examples', '/examples'), page('Reference', '/reference/')] },
      ],
    },
  },
}
