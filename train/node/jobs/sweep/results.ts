// What a sweep leaves in its folder: trials.json, trials.csv and Optuna's journal, and what is shown of it for people.
import { join } from 'node:path'
import { writeAtomic } from '../../../../models/node/files.ts'
import { csvField } from '../../../data/csv.ts'
import { mean } from '../../../metrics/means.ts'
import type { JournalTrial, Study } from '../../../search/journal.ts'
import { type Setting, ranking } from '../../../search/settings.ts'
import { parameterNames } from '../../../search/space.ts'
import { table } from '../../cli/console.ts'
import { showDuration } from '../../cli/progress.ts'
import { shellLine } from '../../cli/shell.ts'
import { TILEGRAD } from '../../package.ts'
import { finiteJson } from '../../run/json.ts'
import { appendJournal } from './journal.ts'
import { trialArguments } from './plan.ts'
import type { SweepRecord, TrialRecord } from './store.ts'

/** Writes what is known of all trials. */
export async function writeResults(folder: string, sweep: SweepRecord, trials: readonly TrialRecord[]): Promise<void> {
  await writeAtomic(join(folder, 'trials.json'), `${finiteJson(trialsJson(sweep, trials), 'trials.json', 2)}\n`)
  await writeAtomic(join(folder, 'trials.csv'), trialsCsv(sweep, trials))
  await appendJournal(folder, studyOf(sweep), trials.map(journalTrial))
}

/** A sweep as a study of Optuna. */
const studyOf = ({ name, plan: { command, spec, arguments: shared } }: SweepRecord): Study => ({
  name,
  spec,
  attributes: { command: shellLine(`${TILEGRAD} ${command}`, ...shared) },
})

/** A trial with what Optuna shows beside its values. */
function journalTrial(trial: TrialRecord): JournalTrial {
  const { seconds, worker, error, result } = trial
  const accuracy = result?.test_accuracy
  return {
    ...trial,
    attributes: {
      seconds,
      ...(worker !== undefined && { worker }),
      ...(typeof accuracy === 'number' && { test_accuracy: accuracy }),
      ...(error !== undefined && { error }),
    },
  }
}

/** What trials.json says. */
export function trialsJson(sweep: SweepRecord, trials: readonly TrialRecord[]) {
  const { command, spec } = sweep.plan
  return {
    id: sweep.id,
    name: sweep.name,
    command,
    arguments: sweep.plan.arguments,
    spec,
    trials: trials.map(trial => ({
      number: trial.number,
      setting: trial.setting,
      seed: trial.seed,
      values: trial.values,
      state: trial.state,
      value: trial.value ?? null,
      intermediate: trial.intermediate,
      step: trial.step,
      steps: trial.steps ?? null,
      seconds: trial.seconds,
      attempts: trial.attempt,
      worker: trial.worker ?? null,
      error: trial.error ?? null,
      created_at: trial.createdAt.toISOString(),
      started_at: trial.startedAt?.toISOString() ?? null,
      finished_at: trial.finishedAt?.toISOString() ?? null,
      result: trial.result ?? null,
    })),
  }
}

const cell = (value: unknown): string => csvField(value === undefined || value === null ? '' : String(value))

function trialsCsv(sweep: SweepRecord, trials: readonly TrialRecord[]): string {
  const names = parameterNames(sweep.plan.spec)
  const head = [
    'number',
    'setting',
    ...names,
    'seed',
    'state',
    sweep.plan.spec.metric,
    'test_accuracy',
    'seconds',
    'error',
  ]
  const rows = trials.map(trial => [
    trial.number,
    trial.setting,
    ...names.map(name => trial.values[name]),
    trial.seed,
    trial.state,
    trial.value,
    trial.result?.test_accuracy,
    trial.seconds,
    trial.error,
  ])
  return [head, ...rows].map(row => `${row.map(cell).join(',')}\n`).join('')
}

/** The command that repeats a trial outside of its sweep. */
export const repeatTrial = ({ plan }: SweepRecord, trial: Pick<TrialRecord, 'values' | 'seed'>): string =>
  shellLine(`${TILEGRAD} ${plan.command}`, ...trialArguments(plan, trial))

/** Settings that are shown. */
const SHOWN = 20

/** The best settings as a table, the best first; undefined while none is complete. */
export function resultsTable(sweep: SweepRecord, trials: readonly TrialRecord[]): string | undefined {
  const { spec } = sweep.plan
  const names = parameterNames(sweep.plan.spec)
  const best = ranking(spec, trials)
  if (best.length === 0) return undefined
  const rows = best
    .slice(0, SHOWN)
    .map(setting => [
      String(setting.number),
      ...names.map(name => String(setting.values[name] ?? '')),
      meanText(setting.trials.flatMap(({ value }) => value ?? [])),
      meanText(testedOf(setting, trials)),
      showDuration(setting.trials.reduce((sum, { number }) => sum + trials[number].seconds, 0)),
    ])
  const more = best.length > SHOWN ? `\n… and ${best.length - SHOWN} more in trials.csv` : ''
  return `${table([['setting', ...names, spec.metric, 'test accuracy', 'time'], ...rows])}${more}`
}

/** Test accuracies of a setting's trials. */
const testedOf = ({ trials }: Setting, all: readonly TrialRecord[]): number[] =>
  trials.flatMap(({ number }) => {
    const accuracy = all[number].result?.test_accuracy
    return typeof accuracy === 'number' ? [accuracy] : []
  })

/** The mean of several values, with their standard deviation: `0.9123 ± 0.0040`. */
function meanText(values: readonly number[]): string {
  if (values.length === 0) return ''
  const centre = mean(values)
  if (values.length === 1) return centre.toFixed(4)
  const variance = values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1)
  return `${centre.toFixed(4)} ± ${Math.sqrt(variance).toFixed(4)}`
}

/** The best complete trial, of the best setting; undefined while there is none. */
export function bestTrial({ plan }: SweepRecord, trials: readonly TrialRecord[]): TrialRecord | undefined {
  const [best] = ranking(plan.spec, trials)
  if (!best) return undefined
  const [first] = ranking(
    plan.spec,
    best.trials.map(trial => ({ ...trial, setting: trial.number })),
  )
  return trials[first.number]
}

/** Writes report.html, a page of what is known of all trials. */
export async function writeSweepPage(
  folder: string,
  sweep: SweepRecord,
  trials: readonly TrialRecord[],
  left: number | undefined,
): Promise<void> {
  // Loaded only here: the charts' library takes longer to load than all else.
  const { sweepPage } = await import('../../report/sweep.ts')
  const best = bestTrial(sweep, trials)
  const text = sweepPage({
    name: sweep.name,
    spec: sweep.plan.spec,
    shared: sweep.plan.arguments,
    trials,
    left,
    commands: {
      best: best && repeatTrial(sweep, best),
      compare: shellLine(`${TILEGRAD} compare`, folder),
    },
  })
  await writeAtomic(join(folder, 'report.html'), text)
}
