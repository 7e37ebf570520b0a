// The section of the report on how training went: loss and metric over the steps, learning rate, speed, memory.
import { mean } from '../../metrics/means.ts'
import { showFigure } from '../../metrics/summary.ts'
import { lineChart, panelChart, smooth } from './charts.ts'
import type { Line, LineChartOptions, Panel, Point } from './charts.ts'
import { bytes, folded, html, number, numbers, table } from './html.ts'
import type { Markup } from './html.ts'
import type { EvaluationLine, Figure, StepLine, Training } from './report.ts'

/** Rows of the table of a curve. */
const MOST_ROWS = 24

/** [step, value] of every line with a finite value. */
function curve<L extends { readonly step: number }>(lines: readonly L[], value: (line: L) => Figure): Point[] {
  return lines.map((line): Point => [line.step, value(line) ?? NaN]).filter(([, y]) => Number.isFinite(y))
}

const highest = (points: readonly Point[]): Point => points.reduce((a, b) => (b[1] > a[1] ? b : a))
const lowest = (points: readonly Point[]): Point => points.reduce((a, b) => (b[1] < a[1] ? b : a))

/** Evenly chosen elements, the first and the last among them. */
export function thin<T>(values: readonly T[], most: number): T[] {
  if (values.length <= most) return [...values]
  return Array.from({ length: most }, (_, i) => values[Math.round((i * (values.length - 1)) / (most - 1))])
}

const stepsShown = (all: number): string => (all > MOST_ROWS ? `${MOST_ROWS} of ${number(all)} steps` : 'every step')

/** Loss and metric on one axis of steps, then the learning rate and what steps cost. */
export function trainingSection({ steps, evaluations, metric }: Training, textsPerSecond?: number): Markup {
  if (steps.length === 0 && evaluations.length === 0) return html`<p>No steps and no evaluations were recorded.</p>`
  return html`${progress({ steps, evaluations, metric })}
<div class="charts">${smallCharts(steps, textsPerSecond)}</div>`
}

function progress({ steps, evaluations, metric }: Training): Markup {
  const validations = evaluations.filter(({ split }) => split === 'validation')
  const loss = curve(steps, step => step.loss)
  const window = Math.max(5, Math.round(steps.length / 25))
  const smoothed = smooth(loss, window)
  const validated = curve(validations, line => line.loss)
  const values = metric.name === 'loss' ? [] : curve(validations, line => line.value)
  const lost = steps.length - loss.length
  const lossLines: Line[] = [
    { name: 'training loss of each step', points: loss, style: 'faint' },
    { name: `mean over about ${window} steps`, points: smoothed },
    { name: 'validation', points: validated, style: 'other', marks: true },
  ]
  const panels: Panel[] = []
  const drawn = lossLines.filter(({ points }) => points.length > 0)
  if (drawn.length > 0) panels.push({ y: 'loss', lines: drawn })
  if (values.length > 0) {
    const inPercent = metric.shown === 'percent'
    panels.push({
      y: inPercent ? `${metric.title}, %` : metric.title,
      lines: [{ name: 'validation', points: values, style: 'other', marks: true }],
      ...(inPercent && { ticks: shareTicks(values), format: (value: number) => number(value * 100, 3) }),
    })
  }
  const says = [
    loss.length > 0 && lossSays(loss, window),
    values.length > 0 && bestSays({ steps, evaluations, metric }, values),
    validations.length === 0 && 'Nothing was held out for validation.',
  ].filter(sentence => sentence !== false)
  const to = Math.max(...[steps, evaluations].map(lines => lines.at(-1)?.step ?? 0))
  const charted =
    panels.length === 0
      ? html`<p>No loss was recorded.</p>`
      : panelChart(
          {
            id: 'progress',
            title: values.length > 0 ? `Loss and ${metric.title} by step` : 'Loss by step',
            description: says.join(' '),
            x: 'optimizer step',
            y: '',
            numbers: html`${evaluationTable(evaluations, { metric })}${steps.length > 0 && stepTable(steps)}`,
          },
          panels,
          { from: 0, to },
        )
  return html`${charted}
${lost > 0 ? html`<p class="note">Steps whose loss was not a finite number: ${number(lost)}.</p>` : undefined}`
}

/** The mean loss of as many steps at the beginning as at the end. */
function lossSays(loss: readonly Point[], window: number): string {
  const size = Math.min(window, Math.floor(loss.length / 2))
  if (size === 0) return `The training loss of the only step is ${number(loss[0][1])}.`
  const [first, end] = [loss.slice(0, size), loss.slice(-size)].map(points => number(mean(points.map(([, y]) => y))))
  const steps = size === 1 ? ['step', 'one'] : [`${number(size)} steps`, number(size)]
  return `The mean training loss of the first ${steps[0]} is ${first}, of the last ${steps[1]} ${end}.`
}

function bestSays({ metric }: Training, values: readonly Point[]): string {
  const [step, value] = (metric.better === 'larger' ? highest : lowest)(values)
  return `The best ${metric.title} on the validation set is ${showFigure(metric, value)}, at step ${number(step)}.`
}

/** An axis of shares that ends at 1 and begins at a tick below the lowest. */
function shareTicks(points: readonly Point[]): { min: number; max: number; interval: number } | undefined {
  const [low, high] = [lowest(points)[1], highest(points)[1]]
  // Not a share, such as an error above 1.
  if (low < 0 || high > 1) return undefined
  const interval = [0.01, 0.02, 0.05, 0.1].find(size => (1 - low) / size <= 5) ?? 0.25
  // A value on a tick stands above the axis, not on it.
  return { min: Math.max(0, 1 - interval * (Math.floor((1 - low) / interval) + 1)), max: 1, interval }
}

function evaluationTable(
  evaluations: readonly EvaluationLine[],
  { metric }: Pick<Training, 'metric'>,
): Markup | undefined {
  if (evaluations.length === 0) return undefined
  const withValue = metric.name !== 'loss'
  return numbers(
    `Evaluations (${metric.title})`,
    ['Step', 'Epoch', 'Set', 'Loss', ...(withValue ? [metric.title] : [])],
    evaluations.map(({ epoch, step, split, loss, value }) => [
      number(step),
      number(epoch, 3),
      split,
      number(loss),
      ...(withValue ? [showFigure(metric, value ?? undefined)] : []),
    ]),
  )
}

function stepTable(steps: readonly StepLine[]): Markup {
  return folded(
    'Steps',
    table(
      `Training steps (${stepsShown(steps.length)})`,
      ['Step', 'Epoch', 'Loss', 'Learning rate', 'Gradient norm', 'Texts/s', 'Tokens/s'],
      thin(steps, MOST_ROWS).map(step => [
        number(step.step),
        number(step.epoch, 3),
        number(step.loss),
        number(step.lr),
        number(step.grad_norm),
        number(step.examples_per_second, 3),
        number(step.tokens_per_second, 3),
      ]),
    ),
  )
}

interface Small extends LineChartOptions {
  readonly id: string
  readonly title: string
  readonly y: string
  readonly points: readonly Point[]
  readonly says: (points: readonly Point[]) => string
  readonly show?: (value: number) => string
}

function smallCharts(steps: readonly StepLine[], textsPerSecond: number | undefined): Markup[] {
  const inBytes = (megabytes: number): string => bytes(megabytes * 1e6)
  const scientific = (value: number): string => (value === 0 ? '0' : value.toExponential(1))
  const charts: Small[] = [
    {
      id: 'rate',
      title: 'Learning rate',
      y: 'learning rate',
      points: curve(steps, step => step.lr),
      fromZero: true,
      format: scientific,
      says: points => `Highest ${number(highest(points)[1])}, at step ${number(highest(points)[0])}.`,
    },
    {
      id: 'norm',
      title: 'Gradient norm before clipping',
      y: 'norm, logarithmic',
      points: curve(steps, step => step.grad_norm),
      logarithmic: true,
      format: value => number(value, 3),
      says: points => `From ${number(lowest(points)[1], 3)} to ${number(highest(points)[1], 3)}.`,
    },
    {
      id: 'speed',
      title: 'Speed',
      y: 'texts per second',
      points: curve(steps, step => step.examples_per_second),
      fromZero: true,
      format: value => number(value),
      says: () =>
        (textsPerSecond === undefined ? '' : `${number(textsPerSecond, 3)} texts/s over all training steps. `) +
        'Each point is the rate of the last 10 seconds.',
    },
    {
      id: 'memory',
      title: 'GPU memory',
      y: 'MB',
      fromZero: true,
      format: value => number(value),
      // In MB from the start, so that the axis is cut at round numbers of them.
      points: curve(steps, step => step.gpu_bytes).map(([x, y]): Point => [x, y / 1e6]),
      says: points => `At most ${inBytes(highest(points)[1])}.`,
      show: inBytes,
    },
  ]
  return charts
    .filter(({ points }) => points.length > 0)
    .map(({ id, title, y, points, says, show = number, ...options }) =>
      lineChart(
        {
          id,
          title,
          description: says(points),
          x: 'optimizer step',
          y,
          numbers: numbers(
            `${title} (${stepsShown(points.length)})`,
            ['Step', y],
            thin(points, MOST_ROWS).map(([step, value]) => [number(step), show(value)]),
          ),
        },
        [{ name: title, points }],
        { whole: true, ...options },
      ),
    )
}
