// The report of a run or an evaluation: what goes into it, and the page as a whole. It answers in this order: how good,
// at what cost, how it got there, where it fails, what it was, how to repeat it. It is one HTML file that opens
// anywhere, asks the network for nothing and runs no script; its charts are inline SVG.
import type { MetricInfo } from '../../metrics/summary.ts'
import type { Setting } from '../cli/table.ts'
import type { SetFacts as Facts } from '../data/statistics.ts'
import { failuresSection } from './failures.ts'
import { allMetrics, costSection, qualitySection } from './headline.ts'
import { html, markup } from './html.ts'
import type { Markup } from './html.ts'
import { repeatSection, settingSection } from './setting.ts'
import { STYLE } from './style.ts'
import type { Tested } from './tested.ts'
import { trainingSection } from './training.ts'

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
  /** The metric that evaluations are compared by; null where it is not defined. */
  readonly value: Figure
}

/** How training went. */
export interface Training {
  readonly steps: readonly StepLine[]
  readonly evaluations: readonly EvaluationLine[]
  /** By which the best evaluation was chosen; its name may be `loss`. */
  readonly metric: MetricInfo
}

/** What the model took; what is not known is left out. */
export interface Cost {
  readonly parameters?: { readonly total: number; readonly trainable?: number; readonly percent?: number }
  readonly seconds?: number
  /** Of a training run over all training steps, of an evaluation over its whole time. */
  readonly textsPerSecond?: number
  /** What was held on the GPU in the end, and at most. */
  readonly gpuBytes?: number
  readonly gpuPeakBytes?: number
  readonly savedBytes?: { readonly total: number; readonly what: string }
}

/** Everything that a report shows. Lists may be empty; the report says so. */
export interface ReportInput {
  readonly name: string
  readonly kind: 'training' | 'evaluation'
  /** ISO 8601. */
  readonly createdAt: string
  readonly adapter: string
  readonly tested: Tested
  readonly cost: Cost
  /** Not of an evaluation. */
  readonly training?: Training
  /** What was trained and on what, as names and values: model, data, columns, task. */
  readonly facts: readonly (readonly [string, string])[]
  /** The sets by their names. */
  readonly sets: readonly (readonly [string, SetFacts])[]
  readonly settings: readonly Setting[]
  readonly versions: Readonly<Record<string, string>>
  /** The shell command that repeats it. */
  readonly command: string
  /** Whether it does so to the last bit. */
  readonly exact: boolean
}

/** A part of the page with a heading. */
interface Section {
  readonly id: string
  readonly title: string
  readonly body: Markup
}

/** The report as the text of one HTML file. The same input gives the same text. */
export function renderReport(input: ReportInput): string {
  const { tested, cost, training } = input
  const first: Section[] = [
    { id: 'quality', title: 'How good it is', body: qualitySection(tested) },
    { id: 'cost', title: 'At what cost', body: costSection(cost) },
  ]
  const rest: Section[] = [
    ...(training
      ? [{ id: 'training', title: 'How it got there', body: trainingSection(training, cost.textsPerSecond) }]
      : []),
    { id: 'failures', title: 'Where it fails', body: failuresSection(tested) },
    { id: 'setting', title: 'What it was', body: settingSection(input) },
    { id: 'repeat', title: 'How to repeat it', body: repeatSection(input) },
  ]
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
<title>${input.name} – ${input.kind} report</title>
<style>${markup(STYLE)}</style>
</head>
<body>
<header>
<h1>${input.name}</h1>
<p class="note">${input.kind === 'training' ? 'Training' : 'Evaluation'} report,
<time datetime="${input.createdAt}">${day(input.createdAt)}</time>, ${input.adapter}</p>
</header>
<main>
<div class="first">
${first.map(section)}</div>
${allMetrics(tested)}
<nav aria-label="Sections"><ul>
${rest.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>\n`)}</ul></nav>
${rest.map(section)}</main>
<footer>Written by tilegrad.</footer>
</body>
</html>
`.text
}

/** The date of an ISO timestamp; anything else as it is. */
const day = (time: string): string => /^\d{4}-\d\d-\d\d(?=T)/.exec(time)?.[0] ?? time
