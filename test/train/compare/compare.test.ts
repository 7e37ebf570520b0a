// Comparisons as values: order, repeated seeds, tests of two runs each, what is refused, effects of options.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../../engine/errors.ts'
import { alignRuns } from '../../../train/compare/align.ts'
import { compareRuns } from '../../../train/compare/compare.ts'
import { differenceOf, showValue } from '../../../train/compare/names.ts'
import type { Answer, ComparedRun, Value } from '../../../train/compare/types.ts'
import { holm, mcnemar } from '../../../train/metrics/paired.ts'
import { wilson } from '../../../train/metrics/uncertainty.ts'
import { rightBut } from '../../support/run-folders.ts'

const labels = ['bad', 'good']

function run(name: string, right: readonly boolean[], changes: Partial<ComparedRun> = {}): ComparedRun {
  const answers = right.map((isRight, row): Answer => {
    const [label, other] = [labels[row % 2], labels[1 - (row % 2)]]
    return { text: String(row).padStart(16, '0'), label, predicted: isRight ? label : other }
  })
  const accuracy = right.filter(Boolean).length / right.length
  return {
    name,
    job: 'fine-tune',
    task: 'classes',
    labels,
    rows: right.length,
    metrics: { accuracy, f1: accuracy, f1_macro: accuracy },
    answers,
    cost: { trained: 10, total: 100, seconds: 1, gpuBytes: 1, diskBytes: 1 },
    evaluations: [],
    options: { model: name },
    seed: 1,
    ...changes,
  }
}

describe('a comparison', () => {
  test('puts the best first, each with Wilson’s interval of its test', () => {
    const { entries } = compareRuns([
      run('a', rightBut(100, 5)),
      run('b', rightBut(100, 10)),
      run('c', rightBut(100, 4)),
    ])
    expect(entries.map(({ name, number, value }) => [number, name, value])).toEqual([
      [1, 'b', 0.9],
      [2, 'a', 0.8],
      [3, 'c', 0.75],
    ])
    expect(entries[0]).toMatchObject({ over: 'test rows', interval: wilson(90, 100) })
  })

  test('averages runs that differ in their seed alone, with an interval over the seeds', () => {
    const options = { lr: 1e-3 }
    const seeds = [5, 10, 4].map((every, seed) => run(`s${seed}`, rightBut(100, every), { options, seed }))
    const { entries } = compareRuns([...seeds, run('other', rightBut(100, 2), { options: { lr: 1e-2 } })])
    expect(entries.map(({ runs }) => runs.map(({ name }) => name))).toEqual([['s1', 's0', 's2'], ['other']])
    expect(entries[0].value).toBeCloseTo((0.8 + 0.9 + 0.75) / 3, 12)
    expect(entries[0].over).toBe('seeds')
    // Of [0.8, 0.9, 0.75] by scipy.stats.t.interval(0.95, 2, mean, sem) 1.0064 at the upper end, but no share is above 1.
    expect(entries[0].interval?.low).toBeCloseTo(0.6269375, 6)
    expect(entries[0].interval?.high).toBe(1)
  })

  test('does not average runs without a seed or without options', () => {
    const repeated = ['a', 'b'].map(name => run(name, rightBut(100, 5), { options: { lr: 1 }, seed: undefined }))
    expect(compareRuns(repeated).entries.length).toBe(2)
    const bare = ['a', 'b'].map(name => run(name, rightBut(100, 5), { options: {} }))
    expect(compareRuns(bare).entries.length).toBe(2)
  })

  test('tests each two runs by McNemar, with Holm’s correction', () => {
    const rights = [rightBut(200, 10), rightBut(200, 5, 1), rightBut(200, 2)]
    const { pairs, test } = compareRuns(rights.map((right, i) => run(String(i), right)))
    expect(test).toBe('McNemar')
    const expected = [
      [0, 1],
      [0, 2],
      [1, 2],
    ].map(([a, b]) => ({ a: String(a), b: String(b), ...mcnemar(rights[a], rights[b]) }))
    expect(pairs).toMatchObject(expected)
    expect(pairs.map(({ corrected }) => corrected)).toEqual(holm(expected.map(({ p }) => p)))
    expect(pairs[1].difference).toBeCloseTo(0.4, 12)
  })

  test('tests other metrics by the paired bootstrap of the same rows', () => {
    const runs = [run('good', rightBut(200, 20)), run('poor', rightBut(200, 3)), run('same', rightBut(200, 20, 1))]
    const { pairs, test } = compareRuns(runs, { metric: 'f1_macro' })
    expect(test).toBe('paired bootstrap')
    const of = (a: string, b: string) => pairs.find(pair => pair.a === a && pair.b === b)
    expect(of('good', 'poor')?.p).toBeLessThan(0.01)
    expect(of('good', 'poor')?.interval?.low).toBeGreaterThan(0.15)
    expect(of('good', 'same')?.p).toBeGreaterThan(0.2)
  })

  test('of several labels, tests the subset accuracy by McNemar and F1 by the bootstrap', () => {
    const names = ['a', 'b']
    const several = (name: string, right: readonly boolean[]): ComparedRun => {
      const answers = right.map((isRight, row): Answer => {
        const label = row % 3 === 0 ? ['a', 'b'] : ['a']
        return { text: String(row).padStart(16, '0'), label, predicted: isRight ? label : ['b'] }
      })
      const share = right.filter(Boolean).length / right.length
      const metrics = { f1_micro: share, subset_accuracy: share }
      return run(name, right, { task: 'labels', labels: names, answers, metrics })
    }
    const rights = [rightBut(120, 12), rightBut(120, 4, 1)]
    const runs = rights.map((right, i) => several(String(i), right))
    const subset = compareRuns(runs, { metric: 'subset_accuracy' })
    expect(subset).toMatchObject({ test: 'McNemar', pairs: [mcnemar(rights[0], rights[1])] })
    expect(subset.entries[0].interval).toEqual(wilson(110, 120))
    const f1 = compareRuns(runs)
    expect([f1.metric.name, f1.test]).toEqual(['f1_micro', 'paired bootstrap'])
    expect(f1.pairs[0].p).toBeLessThan(0.05)
    expect(f1.pairs[0].interval?.low).toBeGreaterThan(0)
  })

  test('tests metrics of probabilities where there are some, and says so where there are none', () => {
    const sure = run('sure', rightBut(100, 5), { metrics: { roc_auc: 0.8 } })
    const unsure = run('unsure', rightBut(100, 4), { metrics: { roc_auc: 0.7 } })
    const without = compareRuns([sure, unsure], { metric: 'roc_auc' })
    expect(without.pairs).toEqual([])
    expect(without.notes).toEqual(['No test is made: ROC AUC cannot be computed from predictions.jsonl.'])
    const scored = [sure, unsure].map(one => ({
      ...one,
      answers: one.answers?.map(answer => ({
        ...answer,
        probabilities: answer.predicted === 'good' ? [0.1, 0.9] : [0.8, 0.2],
      })),
    }))
    expect(compareRuns(scored, { metric: 'roc_auc' }).pairs.length).toBe(1)
  })

  test('of many runs tests the best against each other one', () => {
    const runs = Array.from({ length: 25 }, (_, i) =>
      run(
        String(i),
        Array.from({ length: 100 }, (_, row) => row <= 50 + i),
      ),
    )
    const { pairs, tested } = compareRuns(runs)
    expect(tested).toBe('best against the others')
    expect(pairs.length).toBe(24)
    expect(new Set(pairs.map(({ a }) => a))).toEqual(new Set(['24']))
  })
})

describe('what cannot be compared', () => {
  const good = run('good', rightBut(100, 5))

  test('is refused where task or labels differ, and where there is one run', () => {
    const other: [Partial<ComparedRun>, string][] = [
      [
        { task: 'regression' },
        'poor cannot be compared with good: its task is one number per text, not one label per text',
      ],
      [{ labels: ['a', 'b'] }, 'poor cannot be compared with good: its labels are ["a","b"], not ["bad","good"]'],
    ]
    for (const [changes, message] of other) {
      expect(() => compareRuns([good, run('poor', [true], changes)])).toThrow(new UserError(message))
    }
    expect(() => compareRuns([good])).toThrow('compare needs at least two finished runs; there is 1')
    expect(() => compareRuns([good, run('b', [true])], { metric: 'rouge' })).toThrow('Unknown metric "rouge"')
  })

  test('is said where test rows differ, or their labels, and no test is made', () => {
    const answers = good.answers ?? []
    const elsewhere = answers.map(one => ({ ...one, text: `f${one.text.slice(1)}` }))
    const relabelled = answers.map((one, i) => (i === 0 ? { ...one, label: labels[1] } : one))
    for (const changed of [elsewhere, relabelled, answers.slice(1)]) {
      const { pairs, notes } = compareRuns([good, run('b', rightBut(100, 5), { answers: changed })])
      expect(pairs).toEqual([])
      expect(notes.join()).toMatch(/^These runs were tested on different rows, .* good \(100 rows\); b \(\d+ rows\)\.$/)
    }
  })

  test('is said where a run has no predictions, which still has its interval', () => {
    const { pairs, notes, entries } = compareRuns([good, run('old', rightBut(100, 4), { answers: undefined })])
    expect(pairs).toEqual([])
    expect(notes).toEqual(['No predictions.jsonl, so no test against the others: old. Runs of this version have one.'])
    expect(entries[1].interval).toEqual(wilson(75, 100))
  })

  test('is said of a run that was not measured so, which comes last', () => {
    const { entries, notes } = compareRuns([run('none', rightBut(100, 2), { metrics: {} }), good])
    expect(entries.map(({ name }) => name)).toEqual(['good', 'none'])
    expect(notes).toEqual(['Not measured by accuracy: none.'])
  })
})

test('rows are matched by text and occurrence, in whatever order they come', () => {
  const texts = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 12 })
  fc.assert(
    fc.property(texts, fc.infiniteStream(fc.nat()), (drawn, keys) => {
      const answers = drawn.map((text, i): Answer => ({ text, label: 'x', predicted: String(i) }))
      // Another order, in which equal texts keep theirs.
      const byText = Map.groupBy(answers, ({ text }) => text)
      const shuffled = drawn
        .map(text => ({ text, key: keys.next().value ?? 0 }))
        .sort((x, y) => x.key - y.key)
        .flatMap(({ text }) => byText.get(text)?.shift() ?? [])
      const [one, other] = alignRuns([{ answers }, { answers: shuffled }])
      expect(shuffled.length).toBe(answers.length)
      expect(other).toEqual(one)
    }),
  )
})

describe('effects of options', () => {
  /** Accuracy is 0.5 + 0.01 · rank + 0.1 for the larger rate, on 100 rows. */
  const grid = [2, 8].flatMap(rank =>
    [1e-4, 1e-3].flatMap(lr =>
      [1, 2].map(seed => {
        const hits = 50 + rank + (lr === 1e-3 ? 10 : 0) + (seed === 1 ? 1 : -1)
        const right = Array.from({ length: 100 }, (_, row) => row < hits)
        const options: Record<string, Value> = { lr, 'lora-rank': rank, epochs: 3 }
        return run(`r${rank}-${lr}-${seed}`, right, { options, seed })
      }),
    ),
  )

  test('are found one option at a time, the strongest first, with what else varies held equal', () => {
    const { axes, varying } = compareRuns(grid)
    expect(varying.toSorted()).toEqual(['lora-rank', 'lr'])
    expect(axes.map(({ option, values }) => [option, values])).toEqual([
      ['lr', [1e-4, 1e-3]],
      ['lora-rank', [2, 8]],
    ])
    const [rate] = axes
    expect(rate.means.map(({ mean }) => mean)).toEqual([expect.closeTo(0.55, 10), expect.closeTo(0.65, 10)])
    expect(rate.means[0]).toMatchObject({ runs: 4, settings: 2 })
    expect(rate.tracks.map(({ others }) => others)).toEqual([{ 'lora-rank': 8 }, { 'lora-rank': 2 }])
    for (const { cells } of rate.tracks) expect((cells[1]?.mean ?? 0) - (cells[0]?.mean ?? 0)).toBeCloseTo(0.1, 10)
  })

  test('are those of settings with a counterpart, which other settings do not mix into', () => {
    const full = run('full', rightBut(100, 50), { options: { lr: 1e-3, epochs: 3, tune: 'full' } })
    const { axes } = compareRuns([...grid, full])
    expect(axes.find(({ option }) => option === 'lr')?.means[1]).toMatchObject({
      mean: expect.closeTo(0.65, 10),
      runs: 4,
    })
  })

  test('are found for two options at once', () => {
    const { grids } = compareRuns(grid)
    expect(grids.length).toBe(1)
    const [{ rows, columns, cells }] = grids
    expect([rows, columns].map(({ option }) => option).toSorted()).toEqual(['lora-rank', 'lr'])
    expect(cells.flat().map(cell => cell?.runs)).toEqual([2, 2, 2, 2])
    const at = rows.option === 'lr' ? cells[1][0] : cells[0][1]
    expect(at?.mean).toBeCloseTo(0.62, 10)
  })

  test('are not claimed where settings differ in several options at once', () => {
    const mixed = compareRuns([
      run('a', rightBut(100, 5), { options: { lr: 1e-3, epochs: 1 } }),
      run('b', rightBut(100, 3), { options: { lr: 1e-4, epochs: 2 } }),
    ])
    expect(mixed.varying.toSorted()).toEqual(['epochs', 'lr'])
    expect([mixed.axes, mixed.grids]).toEqual([[], []])
  })

  test('are named by the options that vary', () => {
    const comparison = compareRuns(grid)
    expect(differenceOf(comparison.entries[0], comparison)).toBe('lr 1e-3, lora-rank 8')
    expect([0.5, 1e-5, 0, 1e7, true, 'linear'].map(showValue)).toEqual(['0.5', '1e-5', '0', '1e7', 'yes', 'linear'])
  })
})
