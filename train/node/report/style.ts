// The report's style sheet: one column, system fonts, one accent colour, light or dark as the reader's system is.
import { COLOURS } from './charts.ts'

const chartsInTheDark = Object.values(COLOURS)
  .map(([light, dark]) => `  svg [fill="${light}"] { fill: ${dark} }\n  svg [stroke="${light}"] { stroke: ${dark} }`)
  .join('\n')

export const STYLE = `
:root {
  color-scheme: light dark;
  --ink: #1b2027; --soft: #5b6470; --ground: #ffffff; --raised: #f5f6f8; --line: #e1e4e8;
  --accent: #0b62d0; --accent-tint: 11 98 208; --track: #eceef1; --pale: #aab2bd;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --ink: #e6e9ee; --soft: #9aa4b1; --ground: #0f1216; --raised: #171b21; --line: #2a3038;
    --accent: #6cb0ff; --accent-tint: 108 176 255; --track: #232931; --pale: #5b6675;
  }
${chartsInTheDark}
}
@media print { :root { color-scheme: light } }
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100% }
body {
  margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 54rem;
  background: var(--ground); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
h1 { margin: 0; font-size: 1.5rem; font-weight: 650; line-height: 1.25; letter-spacing: -.01em }
h2 { margin: 0 0 1rem; font-size: 1.2rem; font-weight: 650; line-height: 1.3 }
h3 { margin: 2.25rem 0 .5rem; font-size: 1rem; font-weight: 600 }
p { margin: .5rem 0; max-width: 42rem }
a { color: var(--accent); text-underline-offset: .2em }
small { font-size: .85em; color: var(--soft) }
section { margin-top: 3.5rem }
.note, caption, figcaption, summary { color: var(--soft); font-size: .875rem; line-height: 1.45 }
header .note { margin: .25rem 0 0 }
.first { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 0 3rem; margin-top: 2rem }
.first section { margin-top: 0 }
.first h2 { margin-bottom: .25rem; font-size: .875rem; font-weight: 600; color: var(--soft) }
.hero { margin: 0; line-height: 1.15 }
.hero strong { font-size: 2.75rem; font-weight: 650; letter-spacing: -.025em }
.hero span { font-size: 1.05rem }
.compare { margin: 1.1rem 0 .9rem }
.compare > div { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: .2rem 1rem; margin-top: .65rem }
.compare { font-size: .9rem }
.compare b { font-weight: 600 }
.compare .track { grid-column: 1 / -1; height: .75rem }
.track { display: block }
.bar { display: block; width: 100% }
.bar .track { fill: var(--track) } .bar .fill { fill: var(--accent) } .bar .pale { fill: var(--pale) }
.bar .range { fill: var(--ink) }
.tiles { display: grid; grid-template-columns: 1fr 1fr; gap: 1.1rem 1.25rem; margin: .6rem 0 0 }
.tiles dt { color: var(--soft); font-size: .8rem }
.tiles dd { margin: 0; font-size: 1.15rem; font-weight: 600; line-height: 1.3 }
.tiles small { display: block; font-size: .8rem; font-weight: 400 }
.verdict { font-size: .9rem }
.warning { max-width: none; padding: .5rem .75rem; border-left: 3px solid var(--accent); background: var(--raised) }
.compare small { font-size: .8rem }
.plain td, .plain thead th { text-align: left }
.named tbody th { min-width: 9.5rem } .named tbody small { display: block }
.pairs .cell { min-width: 3.9rem; padding: .25rem; font-size: .8rem }
.first + details, .first + .scroll, .first + .warning { margin-top: 1.25rem }
nav { margin-top: 1.25rem; padding-top: .9rem; border-top: 1px solid var(--line) }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 0; padding: 0 }
nav ul { list-style: none; font-size: .9rem }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr)); gap: 0 2.5rem }
.charts > figure { max-width: 26rem }
figure { margin: 1.5rem 0 0; min-width: 0 }
figcaption { color: var(--ink); font-weight: 600 }
figure .note { margin: .15rem 0 .35rem }
svg { display: block; max-width: 100% }
figure > svg { width: 100%; height: auto }
figure > svg.narrow { display: none }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; margin: .3rem 0 .4rem; padding: 0; list-style: none }
.legend { font-size: .8rem; color: var(--soft) }
.legend li { display: flex; align-items: center; gap: .4rem }
.legend svg { flex: none }
details { margin: .35rem 0 }
summary { cursor: pointer; width: fit-content }
summary:hover { color: var(--ink) }
details[open] > summary { margin-bottom: .4rem }
.scroll { overflow-x: auto; margin: .25rem 0 1rem }
table { border-collapse: collapse; width: 100%; font-size: .9rem; overflow-wrap: normal }
caption { padding: .25rem 0 .35rem; text-align: left }
th, td { padding: .32rem .7rem; text-align: right; vertical-align: top; border-top: 1px solid var(--line) }
th:first-child, td:first-child { padding-left: 0 } th:last-child, td:last-child { padding-right: 0 }
th { font-weight: 500 }
thead th { border-top: 0; vertical-align: bottom; color: var(--soft); font-size: .8rem; white-space: nowrap }
td { white-space: nowrap } td small { display: block }
caption.unseen { height: 0; padding: 0 }
th:first-child { text-align: left }
tbody th { min-width: 5rem; max-width: 18rem; overflow-wrap: anywhere }
.bars td .track, .words td .track { width: 6rem; height: .6rem; margin: .45rem 0 0 auto }
.facts { margin: 1rem 0 }
.facts th { width: 12rem; color: var(--soft) }
.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere }
details > .facts > caption { display: none }
table.confusion { width: auto }
.confusion td { padding: 2px; border: 0; text-align: center } .confusion tbody th { vertical-align: middle; border: 0 }
.confusion thead th:not(:first-child) { text-align: center; white-space: normal }
.cell {
  display: block; min-width: 4.75rem; padding: .35rem .5rem; border-radius: .25rem;
  background: rgb(var(--accent-tint) / calc(var(--share) * .3)); outline: 1px solid var(--line); outline-offset: -1px
}
.cell.hit { outline-color: var(--accent) }
.cell small { display: block }
.mistakes { margin: .5rem 0; padding: 0; list-style: none }
.mistakes li { padding: .7rem 0; border-top: 1px solid var(--line) }
.says { margin: 0 0 .2rem; font-size: .875rem; color: var(--soft) } .says b { color: var(--ink); font-weight: 600 }
.passage { max-width: 46rem; white-space: pre-line }
.passage summary { color: inherit; font-size: inherit; line-height: inherit; width: auto; margin: 0 }
.passage hr { width: 3rem; margin: .4rem 0; border: 0; border-top: 1px solid var(--line) }
.tagged { display: grid; grid-template-columns: 5.25rem minmax(0, 1fr); gap: .35rem .75rem }
.tagged { margin: 0; white-space: normal }
.tagged dt { color: var(--soft); font-size: .85rem; line-height: 1.8 } .tagged dd { margin: 0; line-height: 1.8 }
mark { display: inline-block; max-width: 100%; padding: 0 .3rem; border-radius: .25rem; line-height: 1.5 }
mark { color: inherit; background: none }
mark.found { background: rgb(var(--accent-tint) / .14) }
mark.missed { outline: 1.5px dashed var(--soft); outline-offset: -1px }
mark.wrong { outline: 1.5px solid var(--ink); outline-offset: -1px }
mark.for, mark.against { padding: 0 .1rem; line-height: inherit; display: inline }
mark.for { background: rgb(var(--accent-tint) / .2) }
mark.against { text-decoration: underline dotted; text-decoration-thickness: 2px; text-underline-offset: .2em }
.pushes { margin: .25rem 0 0; font-size: .8rem; color: var(--soft) } .pushes b { font-weight: 600 }
mark small { font-size: .72em; font-weight: 600; letter-spacing: .03em }
pre { margin: .75rem 0; padding: .9rem 1rem; overflow-x: auto; border: 1px solid var(--line); border-radius: .4rem }
pre { background: var(--raised) }
code { font: .875em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
footer { margin-top: 4rem; color: var(--soft); font-size: .8rem }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
@media (max-width: 44rem) {
  body { padding: 1rem 1rem 3rem }
  h1 { font-size: 1.2rem }
  section { margin-top: 2.5rem }
  .first { grid-template-columns: minmax(0, 1fr); gap: 1.1rem; margin-top: 1rem }
  .hero strong { font-size: 2.25rem }
  .compare { margin: .5rem 0 } .compare > div { margin-top: .5rem } .first p { margin: .3rem 0 }
  .tiles { gap: .6rem 1rem; margin-top: .3rem }
  .tiles dd { font-size: 1.05rem }
  nav { margin-top: 1.25rem }
  .facts th { width: 7rem }
  .ranked small { display: block; overflow: hidden; white-space: nowrap; text-overflow: ellipsis }
  .ranked span { min-width: 0 }
  table { font-size: .82rem } th, td { padding: .3rem .3rem }
  tbody th { min-width: 5.75rem } .named tbody th { min-width: 8rem }
  .tagged { grid-template-columns: minmax(0, 1fr); gap: 0 }
  .bars td:last-child, .bars th:last-child { display: none }
  figure > svg.narrow { display: block } figure > svg.wide { display: none }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt }
  nav, pre { break-inside: avoid }
  nav, summary { display: none }
  .passage summary { display: block }
  section { margin-top: 1.5rem }
  h2, h3, figcaption { break-after: avoid }
  figure, tr, li, .tiles, .compare { break-inside: avoid }
  .scroll { overflow: visible; break-inside: avoid } table { font-size: 8pt } th, td { padding: .25rem .4rem }
  figure th, figure td, figure thead th { white-space: normal } figure tbody th { min-width: 0 }
  .bars td .track { margin-top: .15rem } caption { break-after: avoid }
  .pairs .cell { min-width: 0; padding: .15rem; font-size: 7pt } .named tbody th { min-width: 7rem }
  pre { white-space: pre-wrap }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact }
}
`
