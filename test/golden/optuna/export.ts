// Writes the journal of a sweep that was played with successive halving, failures, retries and an interruption into a
// folder, with its trials: journal.py reads both. `node test/golden/optuna/export.ts FOLDER`.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { playCurves, searchOn } from '../../../bench/search/play.ts'
import { TUNING, modelledCurves } from '../../../bench/search/surfaces.ts'
import { Journal, type JournalTrial } from '../../../train/search/journal.ts'
import { ranking } from '../../../train/search/settings.ts'

const [folder] = process.argv.slice(2)
const spec = searchOn(TUNING, { search: 'tpe', settings: 300, halving: { grace: 1, factor: 3 }, tpe: { startup: 5 } })
const study = { name: 'played', spec, attributes: { command: 'none' } }
const minute = (n: number) => new Date(Date.UTC(2026, 10, 30) + 60_000 * n)

/** What is known of the sweep after some evaluations: every seventh trial fails at first. */
function after(budget: number, retries: boolean): readonly JournalTrial[] {
  return playCurves(spec, modelledCurves(TUNING, 9, 0.1), budget).map((trial): JournalTrial => {
    const { number, state } = trial
    const times = { startedAt: minute(number), finishedAt: state === 'running' ? undefined : minute(number + 10) }
    return number % 7 === 3 && !retries && state !== 'running'
      ? { ...trial, ...times, state: 'failed', value: undefined, attributes: { error: '¡no!' } }
      : { ...trial, ...times, attributes: { seconds: 60 * number + 0.5 } }
  })
}

const told = [after(40, false), after(100, false), after(150, true), after(200, true)]
// Each time by another process, and once cut off in the middle of a line.
const text = told.reduce((written, trials, i) => {
  const cut = i === 2 ? written.slice(0, -20) : written
  const journal = new Journal(study, cut)
  return cut.slice(0, journal.length) + journal.append(trials)
}, '')
const trials = told[told.length - 1]
const [best] = ranking(spec, trials)
await mkdir(folder, { recursive: true })
await writeFile(join(folder, 'journal.log'), text)
const { metric, direction } = spec
const summary = { name: study.name, metric, direction, space: TUNING.space, best: best.trials[0].number, trials }
await writeFile(join(folder, 'trials.json'), JSON.stringify(summary))
