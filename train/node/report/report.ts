// The report of a run: what goes into it, and the page as a whole. One HTML file that opens anywhere, asks the network
// for nothing and runs no script; its charts are inline SVG.
import { type SetFacts as Facts, median } from '../data/statistics.ts'
import { bytes, duration, html, markup, number, percent } from './html.ts'
import type { Markup } from './html.ts'
import { confusionSection, examplesSection } from './predictions.ts'
import { dataSection, repeatSection, runSection } from './setting.ts'
import { STYLE } from './style.ts'
import { accuracySection, learningSection, speedSection } from './training.ts'

/** What a set of examples is. */
export interface SetFacts extends Facts {
  /** `counts[i]` texts are between `edges[i]` and `edges[i + 1]` characters long. */
  readonly histogram?: { readonly edges: readonly number[]; readonly counts: readonly number[] }
}

/** A figure of metrics.jsonl; null where it was not a finite number, which JSON can't say. */
export type Figure = number | null

/** One optimizer step, as in metrics.jsonl. */
export interface StepLine {
  readonly step: number
  readonly epoch: number
  readonly loss: Figure
  readonly lr: Figure
  readonly grad_norm: Figure
  readonly examples_per_second: Figure
  readonly tokens_per_second: Figure
  readonly gpu_bytes: Figure
}

/** One evaluation, as in metrics.jsonl. */
export interface EvaluationLine {
  readonly step: number
  readonly epoch: number
  readonly split: string
  readonly loss: Figure
  readonly accuracy: Figure
}

/** A prediction; `probability` is the predicted class's. */
export interface ExamplePrediction {
  readonly text: string
  readonly label: string
  readonly predicted: string
  readonly probability: number
}

/** All that a report tells. Lists may be empty and `result` may hold anything: what is missing is said to be. */
export interface ReportInput {
  readonly name: string
  /** The shell command that repeats the run. */
  readonly command: string
  /** Whether it does so to the last bit. */
  readonly exact: boolean
  /** ISO 8601. */
  readonly createdAt: string
  readonly adapter: string
  readonly versions: Readonly<Record<string, string>>
  readonly options: Readonly<Record<string, unknown>>
  readonly parameters: { readonly total: number; readonly trainable: number; readonly percent: number }
  readonly data: { readonly train: SetFacts; readonly validation?: SetFacts; readonly test: SetFacts }
  readonly steps: readonly StepLine[]
  readonly evaluations: readonly EvaluationLine[]
  readonly result: Readonly<Record<string, number | string | null>>
  /** Counts [label][predicted] on the held-out set. */
  readonly confusion?: readonly (readonly number[])[]
  /** Names of the classes, by index. */
  readonly labels: readonly string[]
  readonly examples: readonly ExamplePrediction[]
}

/** A part of the page with a heading. */
interface Section {
  readonly id: string
  readonly title: string
  readonly body: Markup
}

/** The report as the text of one HTML file. The same input gives the same text. */
export function renderReport(input: ReportInput): string {
  const sections: Section[] = [
    { id: 'run', title: 'The run', body: runSection(input) },
    { id: 'data', title: 'Data', body: dataSection(input) },
    { id: 'learning', title: 'Loss and learning rate', body: learningSection(input) },
    { id: 'accuracy', title: 'Accuracy', body: accuracySection(input) },
    { id: 'speed', title: 'Speed and memory', body: speedSection(input) },
    { id: 'confusion', title: 'Confusion matrix', body: confusionSection(input) },
    { id: 'examples', title: 'Predictions', body: examplesSection(input) },
    { id: 'repeat', title: 'Run it again', body: repeatSection(input) },
  ]
  return html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="generator" content="tilegrad">
<title>${input.name} – training report</title>
<style>${markup(STYLE)}</style>
</head>
<body>
<header>
<h1>${input.name}</h1>
<p class="note">Training report of <time datetime="${input.createdAt}">${input.createdAt}</time> on ${input.adapter}</p>
${tiles(input)}
<nav aria-label="Sections"><ul>
${sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>\n`)}</ul></nav>
</header>
<main>
${sections.map(
  ({ id, title, body }) => html`<section id="${id}" aria-labelledby="${id}-heading">
<h2 id="${id}-heading">${title}</h2>
${body}
</section>
`,
)}</main>
<footer>Written by tilegrad.</footer>
</body>
</html>
`.text
}

/** The figures that a reader looks for first, those of them that there are. */
function tiles(input: ReportInput): Markup {
  const { test_accuracy: test, val_accuracy: validation, wall_seconds: seconds } = input.result
  const memory = input.steps.reduce((most, step) => Math.max(most, step.gpu_bytes ?? 0), 0)
  const speed = median(input.steps.map((step) => step.examples_per_second))
  const entries: [string, string | undefined][] = [
    ['Test accuracy', typeof test === 'number' ? percent(test) : undefined],
    ['Validation accuracy', typeof validation === 'number' ? percent(validation) : undefined],
    ['Trained parameters', number(input.parameters.trainable)],
    ['Wall time', typeof seconds === 'number' ? duration(seconds) : undefined],
    ['Examples a second', speed === undefined ? undefined : number(speed, 3)],
    ['GPU memory, most', memory > 0 ? bytes(memory) : undefined],
  ]
  const known = entries.filter(([, value]) => value !== undefined)
  const items = known.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>\n`)
  return html`<dl class="tiles">${items}</dl>`
}
