// The report of a run or an evaluation: what goes into it, and the page as a whole. It answers in this order: how good,
// at what cost, how it got there, where it fails, what it was, how to repeat it. It is one HTML file that opens
// anywhere, asks the network for nothing and runs no script; its charts are inline SVG.
import type { MetricInfo } from '../../metrics/summary.ts'
import type { Setting } from '../cli/table.ts'
import type { SetFacts as Facts } from '../data/statistics.ts'
import type { Cost } from '../run/cost.ts'
import { failuresSection } from './failures.ts'
import { allMetrics, costSection, differences, qualitySection } from './headline.ts'
import { html } from './html.ts'
import { type Section, dateOf, renderPage } from './page.ts'
import { repeatSection, settingSection } from './setting.ts'
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

/** Everything that a report shows. Lists may be empty; the report says so. */
export interface ReportInput {
  readonly name: string
  readonly kind: 'training' | 'evaluation'
  /** ISO 8601. */
  readonly createdAt: string
  readonly adapter: string
  readonly tested: Tested
  readonly cost: Cost
  /** Sections of one kind of run, which come before what it was. */
  readonly sections?: readonly Section[]
  /** Not of an evaluation. */
  readonly training?: Training
  /** What was trained and on what, as names and values: model, data, columns, task. */
  readonly facts: readonly (readonly [string, string])[]
  /** The sets by their names. */
  readonly sets: readonly (readonly [string, SetFacts])[]
  /** The settings as a person would say them. */
  readonly sentence?: string
  readonly settings: readonly Setting[]
  readonly versions: Readonly<Record<string, string>>
  /** The shell command that repeats it. */
  readonly command: string
  /** Whether it does so to the last bit. */
  readonly exact: boolean
}

/** The report as the text of one HTML file. The same input gives the same text. */
export function renderReport(input: ReportInput): string {
  const { name, kind, createdAt, adapter, tested, cost, training } = input
  const what = kind === 'training' ? 'Training' : 'Evaluation'
  return renderPage({
    title: `${name} – ${kind} report`,
    heading: name,
    note: html`${what} report, ${dateOf(createdAt)}, ${adapter}`,
    first: [
      { id: 'quality', title: 'How good it is', body: qualitySection(tested) },
      { id: 'cost', title: 'At what cost', body: costSection(cost) },
    ],
    between: html`${differences(tested)}${allMetrics(tested)}`,
    rest: [
      ...(training
        ? [{ id: 'training', title: 'How it got there', body: trainingSection(training, cost.textsPerSecond) }]
        : []),
      { id: 'failures', title: 'Where it fails', body: failuresSection(tested) },
      ...(input.sections ?? []),
      { id: 'setting', title: 'What it was', body: settingSection(input) },
      { id: 'repeat', title: 'How to repeat it', body: repeatSection(input) },
    ],
  })
}
