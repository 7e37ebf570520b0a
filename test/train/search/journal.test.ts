// The journal of a sweep: byte for byte what Optuna writes, and only what is new.
import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { Journal, type JournalTrial, type Study } from '../../../train/search/journal.ts'
import { Float, pythonJson } from '../../../train/search/python-json.ts'

const golden = (name: string) => readFile(new URL(`../../golden/optuna/${name}`, import.meta.url), 'utf8')

type Recorded = Omit<JournalTrial, 'startedAt' | 'finishedAt'> & { startedAt?: string; finishedAt?: string }
const recorded: Study & { readonly trials: readonly Recorded[] } = JSON.parse(await golden('journal.json'))
const dateOf = (text: string | undefined) => (text === undefined ? undefined : new Date(text))
const trials: readonly JournalTrial[] = recorded.trials.map(trial => ({
  ...trial,
  startedAt: dateOf(trial.startedAt),
  finishedAt: dateOf(trial.finishedAt),
}))

test('a sweep is written as by Optuna, byte for byte', async () => {
  expect(new Journal(recorded, '').append(trials)).toBe(await golden('journal.jsonl'))
})

describe('what is appended', () => {
  const open = (text: string) => new Journal(recorded, text)
  const linesOf = (text: string): readonly Readonly<Record<string, unknown>>[] =>
    text
      .split('\n')
      .slice(0, -1)
      .map(line => JSON.parse(line))

  test('is nothing where the journal says all, also to a later process', () => {
    const journal = open('')
    const text = journal.append(trials)
    expect(journal.append(trials)).toBe('')
    expect(open(text).append(trials)).toBe('')
  })

  test('is the same whether the trials are told at each step or at the end, trial by trial', () => {
    const [trial] = trials
    const steps: readonly JournalTrial[] = [
      { ...trial, state: 'waiting', value: undefined, intermediate: [], startedAt: undefined, finishedAt: undefined },
      { ...trial, state: 'running', value: undefined, intermediate: [], finishedAt: undefined },
      {
        ...trial,
        state: 'running',
        value: undefined,
        intermediate: trial.intermediate.slice(0, 1),
        finishedAt: undefined,
      },
      trial,
    ]
    // Each by a process of its own.
    const text = steps.reduce((written, step) => written + open(written).append([step]), '')
    expect(text).toBe(open('').append([trial]))
  })

  test('after a trial failed and is tried again is a new trial that names the earlier ones', () => {
    const failed = trials[2]
    const again: JournalTrial = { ...failed, state: 'running', finishedAt: undefined, startedAt: new Date(2e12) }
    const failedAgain: JournalTrial = { ...failed, finishedAt: new Date(2.1e12) }
    const done: JournalTrial = { ...failed, state: 'complete', value: 0.5, finishedAt: new Date(2.2e12) }
    const text = [failed, again, failedAgain, done].reduce(
      (written, step) => written + open(written).append([step]),
      '',
    )
    const lines = linesOf(text)
    const created = lines.filter(line => line.op_code === 4)
    expect(created.map(line => line.system_attrs)).toEqual([
      {},
      { failed_trial: 0, retry_history: [0] },
      { failed_trial: 0, retry_history: [0, 1] },
    ])
    const ends = lines.filter(line => line.op_code === 6 && 'datetime_complete' in line)
    expect(ends.map(line => [line.trial_id, line.state, line.values])).toEqual([
      [0, 3, null],
      [1, 3, null],
      [2, 1, [0.5]],
    ])
  })

  test('says so when a trial waits again for another worker, and what it reported already is not said twice', () => {
    const running = trials[3]
    const text = open('').append([running])
    const back = open(text).append([{ ...running, state: 'waiting' }])
    expect(linesOf(back)).toMatchObject([{ op_code: 6, state: 4, values: null }])
    const on = { ...running, intermediate: [...running.intermediate, { step: 20, value: 0.5 }] }
    expect(linesOf(open(text + back).append([on]))).toMatchObject([
      { op_code: 6, state: 0 },
      { op_code: 7, step: 20, intermediate_value: 0.5 },
    ])
  })

  test('follows the last whole line where the end was cut off', async () => {
    const text = await golden('journal.jsonl')
    const cut = text.slice(0, text.length - 30)
    const journal = open(cut)
    expect(journal.length).toBe(cut.lastIndexOf('\n') + 1)
    expect(cut.slice(0, journal.length) + journal.append(trials)).toBe(text)
  })

  test('counts the trials and operations of others', () => {
    const text = open('').append(trials.slice(0, 1))
    const others =
      '{"op_code":4,"worker_id":"x","study_id":0,"datetime_start":null}\n' +
      '{"op_code":9,"worker_id":"x","trial_id":0,"system_attr":{"note":"!"}}\n{"op_code":10,"worker_id":"x"}\n'
    const more = linesOf(open(text + others).append(trials.slice(0, 2)))
    expect(new Set(more.flatMap(({ trial_id: id }) => id ?? []))).toEqual(new Set([2]))
  })

  test('leaves out evaluations that are not numbers', () => {
    const text = open('').append([{ ...trials[1], intermediate: [{ step: 1, value: NaN }] }])
    expect(text).not.toContain('NaN')
    expect(linesOf(text).at(-1)).toMatchObject({ op_code: 6, state: 2, values: null })
  })
})

test('a parameter of several spaces has one distribution in all trials', () => {
  const study: Study = {
    name: 'two',
    spec: {
      metric: 'loss',
      direction: 'minimize',
      spaces: [
        { tune: { values: ['lora'] }, lr: { min: 1e-4, max: 1e-2, scale: 'log' } },
        { tune: { values: ['full'] }, lr: { min: 1e-6, max: 1e-4, scale: 'log' } },
      ],
    },
  }
  const [trial] = trials
  const text = new Journal(study, '').append([
    { ...trial, values: { tune: 'lora', lr: 1e-3 } },
    { ...trial, number: 1, values: { tune: 'full', lr: 1e-5 } },
  ])
  expect(text.match(/"params":\{[^}]*\}/g)).toEqual([
    '"params":{"tune":0,"lr":0.001}',
    '"params":{"tune":1,"lr":1e-05}',
  ])
  const ranges = text.match(/\\"low\\": [^,]*, \\"high\\": [^,]*/g)
  expect(ranges).toEqual(Array.from({ length: 2 }, () => '\\"low\\": 1e-06, \\"high\\": 0.01'))
})

test.each([
  [0, '0.0'],
  [-0, '-0.0'],
  [1, '1.0'],
  [0.0001, '0.0001'],
  [0.00001, '1e-05'],
  [1.25e-7, '1.25e-07'],
  [1e-100, '1e-100'],
  [123456789012345680, '1.2345678901234568e+17'],
  [1e15, '1000000000000000.0'],
  [1e16, '1e+16'],
  [5e-324, '5e-324'],
  [-0.1, '-0.1'],
])('the float %d is %s, as in Python', (value, text) => {
  expect(pythonJson(new Float(value))).toBe(text)
})
