// How well scores rank texts, at every threshold: ROC and precision-recall curves, of two classes the second's, else of
// each class or label against the rest.
import { type Ranked, averagePrecision, descend, rankClass, rankLabel, rocAuc } from '../../metrics/ranking.ts'
import type { ClassResults, LabelResults } from '../../metrics/summary.ts'
import { type Line, type Point, lineChart } from './charts.ts'
import { number, numbers, percent } from './html.ts'
import type { Markup, Part } from './html.ts'
import { thin } from './training.ts'

/** Classes that have a line; of more those with the lowest AUC. */
const MOST_LINES = 6
/** Thresholds of a curve that its table has: of one curve, and of each of several. */
const MOST_ROWS = { one: 20, each: 8 } as const

interface Curve {
  readonly name: string
  readonly ranked: Ranked
  readonly auc: number
  readonly precision: number
}

/** One threshold: the score, and the shares that follow from it. */
interface Threshold {
  readonly score: number
  readonly recall: number
  readonly alarms: number
  readonly precision: number
}

/** Both charts; nothing where no class occurs in a part of the texts. */
export function rankingCharts(results: ClassResults | LabelResults): Markup[] {
  const all = curvesOf(results)
  if (all.length === 0) return []
  const curves = all.length <= MOST_LINES ? all : all.toSorted((a, b) => a.auc - b.auc).slice(0, MOST_LINES)
  return [rocChart(curves, all), precisionChart(curves, all)]
}

function curvesOf(results: ClassResults | LabelResults): Curve[] {
  const { kind, names, truth, probabilities } = results
  const isBinary = kind === 'classes' && names.length === 2
  return names.flatMap((name, label): Curve[] => {
    // The curve of the first of two classes is the second's, mirrored.
    if (isBinary && label === 0) return []
    const ranked = (kind === 'classes' ? rankClass : rankLabel)(truth, probabilities, names.length, label)
    const [auc, precision] = [rocAuc(ranked), averagePrecision(ranked)]
    return ranked && auc !== undefined && precision !== undefined ? [{ name, ranked, auc, precision }] : []
  })
}

function thresholdsOf({ ranked }: Curve): Threshold[] {
  const { positives, negatives } = ranked
  const found: Threshold[] = []
  descend(ranked, (score, hits, alarms) => {
    found.push({
      score,
      recall: hits / positives.length,
      alarms: alarms / negatives.length,
      precision: hits / (hits + alarms),
    })
  })
  return found
}

/** What is drawn of how many: of each class against the rest. */
function selection(curves: readonly Curve[], all: readonly Curve[]): string {
  if (curves.length < all.length) return ` Of ${number(all.length)}, the ${curves.length} that are ranked worst.`
  return curves.length > 1 ? ' Each against all others.' : ''
}

const lineOf = ({ name }: Curve, points: readonly Point[], i: number, curves: readonly Curve[]): Line =>
  curves.length === 1 ? { name: 'this model', points } : { name, series: i, points }

function tableOf(
  title: string,
  curves: readonly Curve[],
  head: readonly Part[],
  cells: (threshold: Threshold) => Part[],
): Markup {
  const isOne = curves.length === 1
  const rows = curves.flatMap(curve =>
    thin(thresholdsOf(curve), isOne ? MOST_ROWS.one : MOST_ROWS.each).map(threshold => [
      ...(isOne ? [] : [curve.name]),
      number(threshold.score),
      ...cells(threshold),
    ]),
  )
  return numbers(title, [...(isOne ? [] : ['Label']), 'Probability', ...head], rows)
}

const figures = (curves: readonly Curve[], of: (curve: Curve) => number): string =>
  curves.length === 1 ? number(of(curves[0])) : curves.map(curve => `${curve.name} ${number(of(curve), 3)}`).join(', ')

function rocChart(curves: readonly Curve[], all: readonly Curve[]): Markup {
  const found = curves.length === 1 ? `“${curves[0].name}”` : 'each label'
  return lineChart(
    {
      id: 'roc',
      title: 'ROC curve',
      description:
        `The share of ${found} that is found, against the share of other texts taken for it; the pale line is chance. ` +
        `AUC ${figures(curves, curve => curve.auc)}.${selection(curves, all)}`,
      x: 'false positive rate',
      y: 'true positive rate',
      numbers: tableOf('ROC curve', curves, ['False positive rate', 'True positive rate'], ({ alarms, recall }) => [
        percent(alarms),
        percent(recall),
      ]),
    },
    curves.map((curve, i) => {
      const points = thresholdsOf(curve).map(({ alarms, recall }): Point => [alarms, recall])
      return lineOf(curve, [[0, 0], ...points], i, curves)
    }),
    { shares: true },
  )
}

function precisionChart(curves: readonly Curve[], all: readonly Curve[]): Markup {
  const [{ ranked }] = curves
  const share = ranked.positives.length / (ranked.positives.length + ranked.negatives.length)
  const chance: Line = {
    name: 'chance',
    style: 'faint',
    points: [
      [0, share],
      [1, share],
    ],
  }
  const isOne = curves.length === 1
  return lineChart(
    {
      id: 'precision-recall',
      title: 'Precision and recall',
      description:
        `How many of the texts that are taken for ${isOne ? `“${curves[0].name}”` : 'a label'} are right, against how many ` +
        `of all such texts are found.${isOne ? ' The pale line is chance.' : ''} Average precision ` +
        `${figures(curves, curve => curve.precision)}.${selection(curves, all)}`,
      x: 'recall',
      y: 'precision',
      numbers: tableOf('Precision and recall', curves, ['Recall', 'Precision'], ({ recall, precision }) => [
        percent(recall),
        percent(precision),
      ]),
    },
    [
      ...(isOne ? [chance] : []),
      ...curves.map((curve, i) => {
        const points = thresholdsOf(curve).map(({ recall, precision }): Point => [recall, precision])
        return lineOf(curve, [[0, points[0][1]], ...points], i, curves)
      }),
    ],
    { unitSquare: true },
  )
}
