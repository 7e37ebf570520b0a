// The report's style sheet: one column, system fonts, light or dark as the reader's system is.
import { COLOURS } from './charts.ts'

const chartsInTheDark = Object.values(COLOURS)
  .map(([light, dark]) => `  svg [fill="${light}"] { fill: ${dark} }\n  svg [stroke="${light}"] { stroke: ${dark} }`)
  .join('\n')

export const STYLE = `
:root {
  color-scheme: light dark;
  --ink: #1f2328; --soft: #57606a; --ground: #ffffff; --raised: #f6f8fa; --line: #d0d7de;
  --accent: #0b62d0; --right: #1a7f37; --wrong: #b42318; --right-tint: 26 127 55; --wrong-tint: 180 35 24;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6edf3; --soft: #9da7b3; --ground: #0d1117; --raised: #161b22; --line: #30363d;
    --accent: #6cb0ff; --right: #56d364; --wrong: #ff938a; --right-tint: 86 211 100; --wrong-tint: 255 147 138;
  }
${chartsInTheDark}
}
* { box-sizing: border-box }
body {
  margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 60rem;
  background: var(--ground); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
h1 { margin: 0 0 .25rem; font-size: 1.9rem; line-height: 1.2; overflow-wrap: anywhere }
h2 { margin: 3rem 0 1rem; padding-bottom: .3rem; font-size: 1.3rem; border-bottom: 1px solid var(--line) }
p { margin: .5rem 0 }
a { color: var(--accent) }
.note, caption, figcaption { color: var(--soft); font-size: .9rem }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; margin: 1rem 0 0; padding: 0; list-style: none }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.4rem, 1fr)); gap: .6rem; margin: 1.5rem 0 }
.tiles div { padding: .7rem .8rem; background: var(--raised); border: 1px solid var(--line); border-radius: .5rem }
.tiles dt { color: var(--soft); font-size: .85rem }
.tiles dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 0 2rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; margin: 0 0 1.5rem; font-variant-numeric: tabular-nums }
caption { text-align: left; padding: .25rem 0 .4rem; font-weight: 600 }
th, td { padding: .35rem .6rem; text-align: right; vertical-align: top; border-top: 1px solid var(--line) }
th { font-weight: 500 }
thead th { border-top: 0; color: var(--soft); font-size: .9rem }
th:first-child, .facts td, .examples thead th:last-child, .examples td:last-child { text-align: left }
.facts th { width: 13rem; color: var(--soft) }
.facts td { overflow-wrap: anywhere }
.examples td:last-child { min-width: 18rem; overflow-wrap: anywhere; white-space: pre-line }
.examples summary { cursor: pointer }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
.confusion { width: auto; min-width: 22rem }
.confusion td { min-width: 7rem; text-align: center; font-size: 1.1rem }
.confusion small { display: block }
.confusion .hit { background: rgb(var(--right-tint) / calc(var(--share) * .45)) }
.confusion .miss { background: rgb(var(--wrong-tint) / calc(var(--share) * .45)) }
figure { margin: 0 0 2rem }
figcaption { font-weight: 600 }
svg { display: block; width: 100%; height: auto }
pre {
  padding: .9rem 1rem; overflow-x: auto; background: var(--raised); border: 1px solid var(--line); border-radius: .5rem
}
code { font: .9rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
footer { margin-top: 3rem; color: var(--soft); font-size: .9rem }
@media print { nav { display: none } section, figure, tr { break-inside: avoid } }
`
