// The page of a baseline: that of every run, with the n-grams that decide and the ablation.
import { count } from '../../../counts.ts'
import { featuresThatDecide } from '../../../baseline/model.ts'
import type { MetricInfo } from '../../../metrics/summary.ts'
import type { Interval } from '../../../metrics/uncertainty.ts'
import { TASK_TEXTS } from '../../../tasks/infer.ts'
import type { Setting } from '../../cli/table.ts'
import { type Markup, html, percent, table } from '../../report/html.ts'
import { type Section, nameOf } from '../../report/page.ts'
import { renderReport } from '../../report/report.ts'
import { testedOf } from '../../report/tested.ts'
import { setFacts } from '../../report/write.ts'
import { costOf } from '../../run/cost.ts'
import type { Run } from '../../run/folder.ts'
import type { BaselineResult } from '../baseline.ts'
import type { Data } from '../job.ts'
import { type Ablated, pointsOf } from './ablation.ts'
import type { Fitted } from './fit.ts'

export interface BaselineReport {
  readonly data: Data
  readonly fitted: Fitted
  readonly result: BaselineResult
  readonly ablation: readonly Ablated[] | undefined
  readonly metric: MetricInfo
  readonly interval: Interval | undefined
  readonly adapter: string
  readonly settings: readonly Setting[]
  readonly command: string
}

/** Writes `report.html` into the run's folder. */
export async function writeBaselineReport(
  run: Run,
  { data, fitted, result, ablation, metric, interval, adapter, settings, command }: BaselineReport,
): Promise<void> {
  const { plan, train, validation, test } = data
  const { config } = run
  const sets = [
    ['Training', train],
    ['Validation', validation],
    ['Test', test],
  ] as const
  const page = renderReport({
    name: nameOf(run.folder),
    kind: 'training',
    createdAt: String(config.created_at),
    adapter,
    tested: testedOf(
      {
        task: plan.task,
        labels: plan.labels,
        outputs: fitted.test,
        reading: fitted.reading,
        applied: false,
        metric,
        name: 'the test set',
        texts: test,
        basis: { targets: train.map(({ target }) => target), name: 'the training set' },
      },
      { interval },
    ),
    cost: await costOf(run.folder, result, run.readMetrics()),
    sections: [decidingSection(fitted, plan.labels), ...(ablation ? [ablationSection(ablation)] : [])],
    facts: [
      ['Task', `${TASK_TEXTS[plan.task]} (${plan.why})`],
      ['Data', data.source],
      ['Model', `${count(result.features)} n-grams`],
    ],
    sets: sets.filter(([, { length }]) => length > 0).map(([name, examples]) => [name, setFacts(examples, plan)]),
    settings,
    versions: { tilegrad: String(config.tilegrad), Node: String(config.node) },
    command,
    exact: true,
  })
  await run.write('report.html', page)
}

/** N-grams that are listed for each class. */
const LISTED = 20

function decidingSection({ model }: Fitted, labels: readonly string[]): Section {
  const tables = featuresThatDecide(model, labels, LISTED).map(({ label, features }) =>
    table(
      label,
      ['N-gram', 'Weight'],
      features.map(({ name, weight }) => [html`<q>${name}</q>`, weight.toFixed(3)]),
    ),
  )
  return {
    id: 'deciding',
    title: 'Which words decide',
    body: html`<p class="note">The ${LISTED} n-grams with the largest weights for each label. A weight is what one occurrence adds to the score, before any weighting of the text.</p>
<div class="charts">${tables}</div>`,
  }
}

function ablationSection(rows: readonly Ablated[]): Section {
  const body: Markup = html`<p class="note">The same model, fitted to the same texts, with one step switched. Points are
those of accuracy on the test set, less this run's. p is McNemar's test on the same texts, and beside it corrected for
${rows.length} tests (Holm).</p>
${table(
  'Each step switched',
  ['Step', 'Accuracy', 'Points', 'Only this run is right', 'Only the other is right', 'p', 'p, corrected'],
  rows.map(row => [
    html`<code>--${row.option} ${row.value}</code>`,
    percent(row.accuracy),
    pointsOf(row),
    String(row.only_run),
    String(row.only_switched),
    row.p.toPrecision(2),
    row.p_holm.toPrecision(2),
  ]),
)}`
  return { id: 'ablation', title: 'What each step is worth', body }
}
