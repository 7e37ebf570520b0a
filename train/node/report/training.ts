// Sections of the report on how training went: loss, learning rate, gradient norm, accuracy, speed, memory.
import { lineChart, smooth } from './charts.ts'
import type { Point } from './charts.ts'
import { bytes, html, number, percent, table } from './html.ts'
import type { Markup } from './html.ts'
import type { Figure, ReportInput, StepLine } from './report.ts'

const NO_STEPS = html`<p>No steps were recorded.</p>`

/** [step, value] of every step with a finite value. */
function curve(steps: readonly StepLine[], value: (step: StepLine) => Figure): Point[] {
  return steps.map((step): Point => [step.step, value(step) ?? NaN]).filter(([, y]) => Number.isFinite(y))
}

/** Least and greatest value, and where. */
function extremes(points: readonly Point[]): { least: Point; most: Point } {
  return {
    least: points.reduce((a, b) => (b[1] < a[1] ? b : a)),
    most: points.reduce((a, b) => (b[1] > a[1] ? b : a)),
  }
}

/** A chart where there is anything to draw. */
function chart(points: readonly Point[], what: string, drawn: () => Markup): Markup {
  return points.length > 0 ? drawn() : html`<p>No ${what} was recorded.</p>`
}

/** Curves of the training loss (raw and smoothed), the learning rate and the gradient's norm. */
export function learningSection({ steps }: ReportInput): Markup {
  if (steps.length === 0) return NO_STEPS
  const loss = curve(steps, (step) => step.loss)
  const rate = curve(steps, (step) => step.lr)
  const norm = curve(steps, (step) => step.grad_norm)
  const window = Math.max(5, Math.round(steps.length / 25))
  const smoothed = smooth(loss, window)
  const lost = steps.length - loss.length
  return html`${chart(loss, 'loss', () =>
    lineChart(
      {
        id: 'loss',
        title: 'Training loss',
        description:
          `The mean over about ${window} steps goes from ${number(smoothed[0][1])} at step ${number(smoothed[0][0])} ` +
          `to ${number(last(smoothed)[1])} at step ${number(last(smoothed)[0])}.`,
        x: 'step',
        y: 'loss',
      },
      [
        { name: 'each step', points: loss, faint: true },
        { name: `mean over about ${window} steps`, points: smoothed },
      ],
      { whole: true },
    ),
  )}
${lost > 0 ? html`<p class="note">Steps whose loss was not a finite number: ${number(lost)}.</p>` : undefined}
${chart(rate, 'learning rate', () =>
  lineChart(
    {
      id: 'rate',
      title: 'Learning rate',
      description:
        `The highest rate is ${number(extremes(rate).most[1])}, at step ${number(extremes(rate).most[0])}; ` +
        `the last is ${number(last(rate)[1])}.`,
      x: 'step',
      y: 'learning rate',
    },
    [{ name: 'learning rate', points: rate }],
    { whole: true, fromZero: true, format: (value) => (value === 0 ? '0' : value.toExponential(1)) },
  ),
)}
${chart(norm, 'gradient norm', () =>
  lineChart(
    {
      id: 'norm',
      title: 'Norm of the gradient',
      description:
        `Before clipping, on a logarithmic scale. Between ${number(extremes(norm).least[1], 3)} ` +
        `and ${number(extremes(norm).most[1], 3)}, the greatest at step ${number(extremes(norm).most[0])}.`,
      x: 'step',
      y: 'norm',
    },
    [{ name: 'norm', points: norm }],
    { whole: true, logarithmic: true, format: (value) => number(value, 3) },
  ),
)}`
}

function last<T>(values: readonly T[]): T {
  return values[values.length - 1]
}

/** An axis that ends at 1 and begins at a tick below the lowest accuracy. */
function accuracyTicks(points: readonly Point[]): { min: number; max: number; interval: number } {
  const lowest = extremes(points).least[1]
  const interval = [0.01, 0.02, 0.05, 0.1].find((size) => (1 - lowest) / size <= 6) ?? 0.2
  // An accuracy on a tick stands above the axis, not on it.
  return { min: Math.max(0, 1 - interval * (Math.floor((1 - lowest) / interval) + 1)), max: 1, interval }
}

/** Accuracy of every split by epoch, drawn and as a table. */
export function accuracySection({ evaluations }: ReportInput): Markup {
  if (evaluations.length === 0) return html`<p>No evaluation was recorded.</p>`
  const splits = [...new Set(evaluations.map(({ split }) => split))]
  const lines = splits.map((name) => ({
    name,
    marks: true,
    points: evaluations
      .filter(({ split }) => split === name)
      .map(({ epoch, accuracy }): Point => [epoch, accuracy ?? NaN])
      .filter(([, y]) => Number.isFinite(y)),
  }))
  const known = lines.filter(({ points }) => points.length > 0)
  const best = known.map(({ name, points }) => {
    const [epoch, accuracy] = extremes(points).most
    return `${name} is best at epoch ${number(epoch)} with ${percent(accuracy)}`
  })
  const all = known.flatMap(({ points }) => points)
  return html`${chart(all, 'accuracy', () =>
    lineChart(
      {
        id: 'accuracies',
        title: 'Accuracy by epoch',
        description: `Accuracy on ${best.join('; on ')}.`,
        x: 'epoch',
        y: 'accuracy',
      },
      known,
      { format: (value) => `${number(value * 100)} %`, ticks: accuracyTicks(all) },
    ),
  )}
${table(
  'Evaluations',
  ['Epoch', 'Step', 'Set', 'Loss', 'Accuracy'],
  evaluations.map(({ epoch, step, split, loss, accuracy }) => [
    number(epoch, 3),
    number(step),
    split,
    number(loss),
    percent(accuracy),
  ]),
)}`
}

/** Examples and tokens a second, and the GPU's memory. */
export function speedSection({ steps }: ReportInput): Markup {
  if (steps.length === 0) return NO_STEPS
  const speeds = [
    { id: 'examples-rate', what: 'examples', points: curve(steps, (step) => step.examples_per_second) },
    { id: 'tokens-rate', what: 'tokens', points: curve(steps, (step) => step.tokens_per_second) },
  ]
  const memory = curve(steps, (step) => step.gpu_bytes)
  return html`${speeds.map(({ id, what, points }) =>
    chart(points, `number of ${what} a second`, () =>
      lineChart(
        {
          id,
          title: `${what.charAt(0).toUpperCase()}${what.slice(1)} a second`,
          description:
            `Over the steps ${number(points.reduce((sum, [, y]) => sum + y, 0) / points.length, 3)} ${what} a second ` +
            `on average, ${number(extremes(points).most[1], 3)} at most.`,
          x: 'step',
          y: `${what} a second`,
        },
        [{ name: what, points }],
        { whole: true, fromZero: true, format: (value) => number(value) },
      ),
    ),
  )}
${chart(memory, 'memory', () =>
  lineChart(
    {
      id: 'memory',
      title: 'GPU memory',
      description: `At most ${bytes(extremes(memory).most[1])}, at step ${number(extremes(memory).most[0])}.`,
      x: 'step',
      y: 'MiB',
    },
    // In MiB from the start, so that the axis is cut at round numbers of them.
    [{ name: 'memory', points: memory.map(([x, y]): Point => [x, y / 2 ** 20]) }],
    { whole: true, fromZero: true, format: (value) => number(value) },
  ),
)}`
}
