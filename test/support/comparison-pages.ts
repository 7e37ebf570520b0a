// Pages of comparisons, without a model: a search over two options with two seeds beside a baseline, and two runs.
import { compareRuns } from '../../train/compare/compare.ts'
import type { Forgetting, Forgotten } from '../../train/compare/forgetting.ts'
import type { Answer, Value } from '../../train/compare/types.ts'
import type { OpenedRun } from '../../train/node/jobs/compare.ts'
import { renderComparison } from '../../train/node/report/comparison/page.ts'

const labels = ['negative', 'positive']

interface Made {
  readonly name: string
  readonly hits: number
  readonly options: Readonly<Record<string, Value>>
  readonly seed?: number
  readonly trained: number
  readonly job?: string
}

/** A run that is right on `hits` of 400 rows. */
function made({ name, hits, options, seed = 1, trained, job = 'fine-tune' }: Made): OpenedRun {
  const answers = Array.from({ length: 400 }, (_, row): Answer => {
    const [label, other] = [labels[row % 2], labels[1 - (row % 2)]]
    // Each run's mistakes lie elsewhere, in part.
    const isRight = (row * 7 + seed * 11) % 400 < hits
    return { text: String(row).padStart(16, '0'), label, predicted: isRight ? label : other }
  })
  const accuracy = answers.filter(({ label, predicted }) => label === predicted).length / 400
  return {
    name,
    folder: `runs/${name}`,
    createdAt: '2026-11-30T03:00:00.000Z',
    adapter: 'Some adapter (Vulkan)',
    arguments: Object.entries(options).map(([option, value]) => `--${option}=${value}`),
    preset: 'tilegrad',
    job,
    task: 'classes',
    labels,
    rows: 400,
    metrics: { accuracy },
    answers,
    cost: { trained, total: 67_000_000, seconds: trained / 900, gpuBytes: 1e9 + 900 * trained, diskBytes: 4 * trained },
    evaluations:
      job === 'fine-tune'
        ? [0, 50, 100, 150].map(step => ({
            step,
            seconds: step * 4,
            values: { accuracy: 0.5 + ((accuracy - 0.5) * step) / 150 },
          }))
        : [],
    options,
    seed,
  }
}

const searched = [2, 4, 8, 16].flatMap(rank =>
  [1e-4, 3e-4, 1e-3].flatMap(lr =>
    [1, 2].map(seed =>
      made({
        name: `study/${rank}-${lr}-${seed}`,
        hits: 300 + rank + (lr === 3e-4 ? 25 : 0) + 2 * seed,
        options: { tune: 'lora', 'lora-rank': rank, lr, 'lora-targets': 'query,value,mlp' },
        seed,
        trained: 64_512 * rank,
      }),
    ),
  ),
)

const targets = ['query,value', 'query,key,value,projection,mlp', 'head'].map((modules, i) =>
  made({
    name: `modules-${i}`,
    hits: 330 - 10 * i,
    options: { tune: 'lora', 'lora-rank': 8, lr: 3e-4, 'lora-targets': modules },
    trained: 100_000 * (i + 1),
  }),
)
const bayes = made({
  name: 'naive-bayes-on-three-grams',
  hits: 318,
  options: { method: 'naive-bayes' },
  trained: 9_000,
  job: 'baseline',
})

export const comparisons: Readonly<Record<string, readonly OpenedRun[]>> = {
  'a search': [...searched, bayes],
  'a few runs': [...targets, bayes],
}

/** What the runs forgot, except baselines: the more, the more they trained; the first one predicts better than its base. */
function forgottenBy(runs: readonly OpenedRun[]): Forgotten {
  const base = { loss: 2.4, accuracy: 0.55, tokens: 9120 }
  const tuned = runs.filter(({ job }) => job === 'fine-tune')
  const measured = tuned.map(({ name, cost: { trained = 0 } }, i): [string, Forgetting] => {
    const share = i === 0 ? -0.1 : trained / 4e5
    const figures = { ...base, loss: 2.4 + share, accuracy: 0.55 - share / 10 }
    return [name, { base, tuned: figures, interval: { low: share - 0.02, high: share + 0.02 } }]
  })
  const texts = Array.from({ length: 400 }, (_, i) => `text ${i}`)
  return { runs: new Map(measured), texts: { texts, of: 25_000, source: 'the test texts of study/2-0.0001-1' } }
}

/** The page of one of `comparisons`. */
export function comparisonPage(name: string): string {
  const runs = comparisons[name]
  const comparison = compareRuns(runs)
  const notes = ['2 of 26 trials in runs/study are not finished and are left out.']
  const command = 'npm run -s tilegrad -- compare runs/study runs/naive-bayes-on-three-grams'
  const createdAt = '2026-11-30T03:00:00.000Z'
  return renderComparison({ comparison, runs, forgotten: forgottenBy(runs), notes, command, createdAt })
}
