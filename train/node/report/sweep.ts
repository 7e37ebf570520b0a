// The page of a sweep: how far it is and the best so far; each trial's metric in the order in which they ended; the
// metric by each option that is searched; all settings and what failed. `tilegrad compare` has the tests and the costs.
import { mean } from '../../metrics/means.ts'
import { type Setting, ranking, settingsOf } from '../../search/settings.ts'
import { countOf, trialCount } from '../../search/propose.ts'
import { parameterNames } from '../../search/space.ts'
import type { Spec, Value } from '../../search/types.ts'
import type { TrialRecord } from '../jobs/sweep/store.ts'
import { type Point, lineChart } from './charts.ts'
import { type Markup, type Part, duration, facts, html, number, numbers, table } from './html.ts'
import { renderPage } from './page.ts'

/** What the page is made of. */
export interface SweepPage {
  readonly name: string
  readonly spec: Spec
  /** Arguments that all trials share. */
  readonly shared: readonly string[]
  readonly trials: readonly TrialRecord[]
  /** Seconds until the end, as far as one can tell. */
  readonly left: number | undefined
  /** The command that repeats the best trial, and the one that compares all. */
  readonly commands: { readonly best: string | undefined; readonly compare: string }
}

/** More values of an option than this are points on an axis of numbers. */
const MOST_PLACES = 8

export function sweepPage(page: SweepPage): string {
  const { name, spec, trials, shared, commands } = page
  const failed = trials.filter(({ state }) => state === 'failed')
  return renderPage({
    title: `Sweep ${name}`,
    heading: html`Sweep ${name}`,
    note: html`${spec.direction === 'maximize' ? 'Highest' : 'Lowest'} ${spec.metric} by ${searchText(spec)};
${number(countOf(spec))} settings × ${spec.seeds.length} ${spec.seeds.length === 1 ? 'seed' : 'seeds'}`,
    first: [
      { id: 'best', title: 'Best so far', body: bestSection(page) },
      { id: 'progress', title: 'How far', body: progressSection(page) },
    ],
    rest: [
      { id: 'course', title: 'In the order of their ends', body: courseSection(spec, trials) },
      { id: 'options', title: 'By option', body: optionsSection(spec, trials) },
      { id: 'settings', title: 'All settings', body: settingsSection(spec, trials) },
      ...(failed.length > 0 ? [{ id: 'failed', title: 'Failed trials', body: failedSection(failed) }] : []),
      {
        id: 'repeat',
        title: 'Repeat',
        body: html`<p>All trials share <code>${shared.join(' ')}</code>.</p>
${commands.best !== undefined && html`<p>The best trial again:</p>\n<pre>${commands.best}</pre>`}
<p>Tests between settings, costs and learning curves:</p>
<pre>${commands.compare}</pre>`,
      },
    ],
  })
}

const searchText = ({ search, halving }: Spec): string =>
  `${{ grid: 'a grid', random: 'random search', tpe: 'TPE' }[search]}${halving ? ' with successive halving' : ''}`

const settingText = (values: Setting['values']): string =>
  Object.entries(values)
    .map(([option, value]) => `--${option} ${value}`)
    .join(' ')

/** The mean, with the lowest and highest value of several seeds. */
function valueText({ value, trials }: Setting): string {
  const values = trials.flatMap(trial => trial.value ?? [])
  const range = values.length > 1 ? ` (${number(Math.min(...values))} to ${number(Math.max(...values))})` : ''
  return `${number(value)}${range}`
}

function bestSection({ spec, trials }: SweepPage): Markup {
  const [best] = ranking(spec, trials)
  if (!best) return html`<p>No setting is complete yet.</p>`
  const tested = best.trials.flatMap(trial => {
    const accuracy = trials[trial.number].result?.test_accuracy
    return typeof accuracy === 'number' ? [accuracy] : []
  })
  return facts('The best setting', [
    [`Validation ${spec.metric}${best.trials.length > 1 ? ', mean of seeds' : ''}`, valueText(best)],
    ...(tested.length > 0 ? [['Test accuracy', number(mean(tested))] as const] : []),
    ['Setting', html`<code>${settingText(best.values)}</code>`],
  ])
}

function progressSection({ spec, trials, left }: SweepPage): Markup {
  const count = (state: TrialRecord['state']): number => trials.filter(trial => trial.state === state).length
  const seconds = trials.reduce((sum, trial) => sum + trial.seconds, 0)
  const waiting = trialCount(spec) - trials.length + count('waiting')
  return facts('Trials', [
    ['Complete', number(count('complete'))],
    ...(spec.halving ? [['Stopped early', number(count('pruned'))] as const] : []),
    ['Failed', number(count('failed'))],
    ['Running', number(count('running'))],
    ['Waiting', number(waiting)],
    ['Time of all trials', duration(seconds)],
    ...(waiting + count('running') > 0 && left !== undefined ? [['About left', duration(left)] as const] : []),
  ])
}

/** Trials that have a value, in the order in which they ended. */
const endedIn = (trials: readonly TrialRecord[]): TrialRecord[] =>
  trials
    .filter(({ state, value }) => (state === 'complete' || state === 'pruned') && value !== undefined)
    .toSorted((a, b) => Number(a.finishedAt ?? 0) - Number(b.finishedAt ?? 0))

function courseSection({ metric, direction }: Spec, trials: readonly TrialRecord[]): Markup {
  const ended = endedIn(trials)
  if (ended.length === 0) return html`<p>No trial has ended yet.</p>`
  const better = direction === 'maximize' ? Math.max : Math.min
  const worst = direction === 'maximize' ? -Infinity : Infinity
  let best = worst
  const course = ended.map(({ state, value = NaN }): number => {
    if (state === 'complete') best = better(best, value)
    return best
  })
  const rows = ended.map(({ number: trial, value }, i): Part[] => [i + 1, trial, number(value), number(course[i])])
  const chart = lineChart(
    {
      id: 'course-chart',
      title: `Validation ${metric} of each trial`,
      description: `${ended.length} trials; the best of them has ${number(best)}.`,
      x: 'trials that have ended',
      y: `validation ${metric}`,
      numbers: numbers('Trials in the order of their ends', ['ended', 'trial', metric, 'best so far'], rows),
    },
    [
      {
        name: 'a trial',
        points: ended.map(({ value = NaN }, i): Point => [i + 1, value]),
        style: 'other',
        unjoined: true,
        marks: true,
      },
      { name: 'best so far', points: course.map((value, i): Point => [i + 1, value]), style: 'main' },
    ],
    { whole: true },
  )
  return html`<div class="charts">${chart}</div>`
}

function optionsSection(spec: Spec, trials: readonly TrialRecord[]): Markup {
  const options = parameterNames(spec)
  const ended = endedIn(trials)
  const charts = options.flatMap((option, i) => {
    const tried = ended.filter(({ values }) => values[option] !== undefined)
    return new Set(tried.map(({ values }) => values[option])).size > 1 ? [optionChart(spec, option, i, tried)] : []
  })
  return charts.length === 0
    ? html`<p>No option has trials with different values yet.</p>`
    : html`<p>Each point is a trial; other options differ, too, so a difference may not be this option's.</p>
<div class="charts">${charts}</div>`
}

function optionChart({ metric }: Spec, option: string, index: number, trials: readonly TrialRecord[]): Markup {
  const distinct = [...new Set(trials.flatMap(({ values }) => values[option] ?? []))]
  const amounts = distinct.filter(value => typeof value === 'number')
  const isAmount = amounts.length === distinct.length
  const places = isAmount
    ? amounts.toSorted((a, b) => a - b)
    : distinct.toSorted((a, b) => (String(a) < String(b) ? -1 : 1))
  const isScale = isAmount && distinct.length > MOST_PLACES
  const isLogarithmic = isScale && Number(places[0]) > 0 && Number(places.at(-1)) / Number(places[0]) > 30
  const placeOf = (value: Value): number =>
    !isScale ? places.findIndex(place => place === value) : isLogarithmic ? Math.log10(Number(value)) : Number(value)
  const points = trials.map(({ values, value = NaN }): Point => [placeOf(values[option]), value])
  const rows = trials.map(({ values, number: trial, value }): Part[] => [String(values[option]), trial, number(value)])
  return lineChart(
    {
      id: `option-${index}`,
      title: `--${option}`,
      description: `Validation ${metric} of ${trials.length} trials by --${option}.`,
      x: isLogarithmic ? `log10 of --${option}` : `--${option}`,
      y: `validation ${metric}`,
      numbers: numbers(`Trials by --${option}`, [`--${option}`, 'trial', metric], rows),
    },
    [{ name: 'a trial', points, unjoined: true, marks: true }],
    isScale ? {} : { categories: places.map(String) },
  )
}

function settingsSection(spec: Spec, trials: readonly TrialRecord[]): Markup {
  const options = parameterNames(spec)
  const ranked = ranking(spec, trials)
  const others = settingsOf(trials).filter(({ number: one }) => !ranked.some(setting => setting.number === one))
  const rows = [...ranked, ...others].map((setting): Part[] => [
    setting.number,
    ...options.map(option => String(setting.values[option] ?? '')),
    setting.state,
    valueText(setting),
    duration(setting.trials.reduce((sum, trial) => sum + trials[trial.number].seconds, 0)),
  ])
  const head = ['setting', ...options.map(option => `--${option}`), 'state', `validation ${spec.metric}`, 'time']
  return table('Settings, the best first', head, rows)
}

const failedSection = (failed: readonly TrialRecord[]): Markup =>
  html`<ul>${failed.map(
    trial =>
      html`<li>Trial ${trial.number}, <code>${settingText(trial.values)} --seed ${trial.seed}</code>: ${trial.error}</li>\n`,
  )}</ul>`
