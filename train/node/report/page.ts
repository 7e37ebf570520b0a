// The frame of every page: one HTML file that opens anywhere, asks the network for nothing and runs no script. Its first
// sections stand side by side where there is room, and on a phone's first screen; the others follow, with links to them.
import { html, markup } from './html.ts'
import type { Markup, Part } from './html.ts'
import { STYLE } from './style.ts'

/** A part of the page with a heading. */
export interface Section {
  /** Unique in the page. */
  readonly id: string
  readonly title: string
  readonly body: Markup
}

export interface Page {
  /** In the browser's tab. */
  readonly title: string
  readonly heading: Part
  /** Below the heading: what kind of page it is, when it was made, on what. */
  readonly note: Part
  /** The answers to "how good" and "at what cost". */
  readonly first: readonly Section[]
  /** Between the first sections and the links. */
  readonly between?: Part
  readonly rest: readonly Section[]
}

/** The page as the text of one HTML file. The same input gives the same text. */
export function renderPage({ title, heading, note, first, between, rest }: Page): string {
  const section = ({ id, title, body }: Section): Markup => html`<section id="${id}" aria-labelledby="${id}-heading">
<h2 id="${id}-heading">${title}</h2>
${body}
</section>
`
  return html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="generator" content="tilegrad">
<title>${title}</title>
<style>${markup(STYLE)}</style>
</head>
<body>
<header>
<h1>${heading}</h1>
<p class="note">${note}</p>
</header>
<main>
<div class="first">
${first.map(section)}</div>
${between}
<nav aria-label="Sections"><ul>
${rest.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>\n`)}</ul></nav>
${rest.map(section)}</main>
<footer>Written by tilegrad.</footer>
</body>
</html>
`.text
}

/** The last part of a path or of a Hub name, by which a page calls it. */
export const nameOf = (path: string): string => path.split(/[\\/]/).findLast(part => part !== '') ?? path

/** The date of an ISO timestamp, as an element; anything else as it is. */
export const dateOf = (time: string): Markup =>
  html`<time datetime="${time}">${/^\d{4}-\d\d-\d\d(?=T)/.exec(time)?.[0] ?? time}</time>`
