// The chart of reliability: how often answers are right, by their confidence, before and after the temperature.
import { DEFAULT_THRESHOLD } from '../../metrics/thresholds.ts'
import type { Reliability } from '../../metrics/calibration.ts'
import { type Point, lineChart } from './charts.ts'
import { html, number, numbers, percent } from './html.ts'
import type { Markup } from './html.ts'
import type { Tested } from './tested.ts'

/** Of classes the confidence is the largest probability; of labels each label's probability. */
export function reliabilityChart({ calibration, task }: Tested): Markup | undefined {
  if (!calibration?.before) return undefined
  const { before, after, temperature } = calibration
  const points = ({ bins }: Reliability): Point[] =>
    bins.flatMap(({ confidence, accuracy }): Point[] =>
      confidence === undefined || accuracy === undefined ? [] : [[confidence, accuracy]],
    )
  const rows = (name: string, { bins }: Reliability) =>
    bins
      .filter(({ count }) => count > 0)
      .map(({ low, high, count, confidence, accuracy }) => [
        name,
        `${number(low, 2)}–${number(high, 2)}`,
        number(count),
        percent(confidence),
        percent(accuracy),
      ])
  const [x, y] = task === 'classes' ? ['confidence', 'accuracy'] : ['probability', 'share of given labels']
  const error = `Expected calibration error ${percent(before.error)}`
  const withTemperature = `with temperature ${number(temperature, 3)}`
  return lineChart(
    {
      id: 'reliability',
      title: 'Reliability',
      description: after
        ? `${error} before, ${percent(after.error)} ${withTemperature}. The pale line is perfect.`
        : `${error}. The pale line is perfect.`,
      x,
      y,
      numbers: numbers(
        'Reliability',
        ['', x, 'Answers', `mean ${x}`, y],
        [...rows(after ? 'before' : '', before), ...(after ? rows('after', after) : [])],
      ),
    },
    [
      { name: after ? 'before' : 'as trained', points: points(before), marks: true, style: after ? 'other' : 'main' },
      ...(after ? [{ name: withTemperature, points: points(after), marks: true }] : []),
    ],
    { shares: true },
  )
}

/** Thresholds that were chosen on validation data, of two classes. */
export function thresholdNote({ thresholds, labels, task }: Tested): Markup | undefined {
  if (!thresholds || task !== 'classes' || labels.length !== 2) return undefined
  return html`<p class="note"><code>tilegrad predict</code> answers <q>${labels[1]}</q> above
${percent(thresholds[1])}${thresholds[1] === DEFAULT_THRESHOLD ? '' : ', which was better on the validation set'}.</p>`
}
