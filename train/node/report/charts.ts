// Charts as SVG text, drawn by ECharts without a DOM. Colours are written as those of the light scheme; the page's
// style sheet swaps them in the dark one, by the attributes that carry them.
import { BarChart, LineChart, ScatterChart } from 'echarts/charts'
import { GridComponent } from 'echarts/components'
import { init, use } from 'echarts/core'
import type { EChartsCoreOption } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'
import { clean, html, markup } from './html.ts'
import type { Markup, Part } from './html.ts'

use([BarChart, LineChart, ScatterChart, GridComponent, SVGRenderer])

/** The colours of a chart: light scheme, then dark. Each light one is used for one purpose only. */
export const COLOURS = {
  ink: ['#3d444d', '#c9d1d9'],
  line: ['#8c959f', '#6e7681'],
  grid: ['#e1e4e8', '#2a3038'],
  faint: ['#a9c8ef', '#2f5d94'],
  first: ['#0b62d0', '#6cb0ff'],
  second: ['#6b7280', '#a3adba'],
  orange: ['#c2570c', '#f59f5a'],
  green: ['#16794a', '#5fce96'],
  purple: ['#7b3fc6', '#bb9cf2'],
  red: ['#c22f55', '#f58aa3'],
} as const

/** Colours of lines that are told apart by them, the first one first. With more lines they come again, dashed. */
const SERIES = [COLOURS.first, COLOURS.orange, COLOURS.green, COLOURS.purple, COLOURS.red]

/** Charts are drawn at the size at which a phone shows them; the one of the training also wide. */
const SMALL = { width: 340, height: 230 }
const SIZES = {
  small: [SMALL],
  wide: [
    { width: 340, height: 260 },
    { width: 760, height: 300 },
  ],
  tall: [
    { width: 340, height: 400 },
    { width: 760, height: 420 },
  ],
} as const
type Size = { readonly width: number; readonly height: number }

/** A point [x, y]. Points that are not finite are left out. */
export type Point = readonly [number, number]

export interface Line {
  readonly name: string
  readonly points: readonly Point[]
  /** How it is drawn: `main` in the accent colour, `faint` as a pale line behind it, `other` grey and dashed. */
  readonly style?: 'main' | 'faint' | 'other'
  /** Marks every point: for few of them. */
  readonly marks?: boolean
  /** The place of its colour among those of lines that are told apart by them, instead of a style. */
  readonly series?: number
  /** An interval around a point, as a thin line that no legend explains. */
  readonly whisker?: boolean
  /** Points without lines between them. */
  readonly unjoined?: boolean
}

/** A line's colour, and its dashes, if any. */
function strokeOf({ style = 'main', series, whisker }: Line): { colour: string; dashes: number[] | undefined } {
  if (series !== undefined) {
    const isAgain = !whisker && series >= SERIES.length
    return { colour: SERIES[series % SERIES.length][0], dashes: isAgain ? [5, 3] : undefined }
  }
  const colour = { main: COLOURS.first, faint: COLOURS.faint, other: COLOURS.second }[style][0]
  return { colour, dashes: style === 'other' ? [5, 4] : undefined }
}

export interface ChartText {
  /** Unique in the page; the start of every id in the chart. */
  readonly id: string
  readonly title: string
  /** What a reader who does not see the chart should know. */
  readonly description: string
  /** The name of each axis, with its unit. */
  readonly x: string
  readonly y: string
  /** The chart's numbers, as a table that unfolds. */
  readonly numbers?: Part
}

export interface AxisOptions {
  /** Writes a value of the vertical axis. */
  readonly format?: (value: number) => string
  /** The vertical axis starts at 0 rather than near the smallest value. */
  readonly fromZero?: boolean
  readonly logarithmic?: boolean
  /** Ends of the vertical axis and the distance of its ticks, where the chart should not choose them. */
  readonly ticks?: { readonly min: number; readonly max: number; readonly interval: number }
}

export interface LineChartOptions extends AxisOptions {
  /** The horizontal axis counts: its ticks are whole numbers. */
  readonly whole?: boolean
  /** The horizontal axis starts at 0. */
  readonly xFromZero?: boolean
  /** Both axes are shares, from 0 to 1, with the line y = x. */
  readonly shares?: boolean
  /** Both axes are shares, without the line. */
  readonly unitSquare?: boolean
  /** Taller, and on a wide screen wider. */
  readonly tall?: boolean
  /** The horizontal axis has a place for each of these: points are at 0, 1, …. */
  readonly categories?: readonly string[]
}

const GRID = { left: 54, right: 14, top: 34, bottom: 44 }

const axis = (name: string) => ({
  name: clean(name),
  nameTextStyle: { color: COLOURS.ink[0] },
  axisLine: { show: true, lineStyle: { color: COLOURS.line[0] } },
  axisTick: { lineStyle: { color: COLOURS.line[0] } },
  axisLabel: { color: COLOURS.ink[0], hideOverlap: true },
  splitLine: { lineStyle: { color: COLOURS.grid[0] } },
})

const horizontal = (name: string) => ({
  ...axis(name),
  nameLocation: 'middle',
  nameGap: 26,
  splitLine: { show: false },
  axisLine: { show: true, onZero: false, lineStyle: { color: COLOURS.line[0] } },
})
const vertical = (name: string) => ({
  ...axis(name),
  nameTextStyle: { color: COLOURS.ink[0], align: 'left', padding: [0, 0, 0, -GRID.left] },
  splitNumber: 4,
})

/** Decades in which ECharts finds ticks: beyond them it rounds their distance to 0, and fails. */
const DECADES = { least: -3, most: 12 }

/** The power of ten that values are drawn as multiples of: 1 unless their largest magnitude is far from it. */
function unitOf(values: readonly number[]): number {
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  const decade = largest === 0 ? 0 : Math.floor(Math.log10(largest))
  return decade < DECADES.least || decade > DECADES.most ? 10 ** decade : 1
}

const isDrawn = ([x, y]: Point): boolean => Number.isFinite(x) && Number.isFinite(y)

/** Series and vertical axis of lines, in units that ECharts can find ticks for. */
function linesOf(y: string, lines: readonly Line[], options: AxisOptions) {
  const drawn = lines.map(({ points }) =>
    points.filter(point => isDrawn(point) && (!options.logarithmic || point[1] > 0)),
  )
  const unit = options.ticks ? 1 : unitOf(drawn.flat().map(([, value]) => value))
  const inUnits = unit === 1 ? undefined : (value: number) => (value === 0 ? '0' : value.toExponential(1))
  const format = options.format ?? inUnits
  const series = lines.map((line, i) => {
    const { name, style = 'main', marks, whisker } = line
    const { colour, dashes } = strokeOf(line)
    return {
      type: 'line',
      // ECharts escapes text, but leaves in it what no page can hold.
      name: clean(name),
      data: drawn[i].map(([x, value]): Point => [x, value / unit]),
      // What the width of the chart can show is kept; the shape of the curve decides which points these are.
      sampling: 'lttb',
      showSymbol: whisker !== true && (marks === true || drawn[i].length === 1),
      showAllSymbol: true,
      symbol: style === 'other' ? 'diamond' : 'circle',
      symbolSize: style === 'other' ? 9 : 7,
      lineStyle: {
        color: colour,
        width: line.unjoined ? 0 : style === 'faint' ? 1 : whisker ? 1.5 : 2,
        type: dashes ?? 'solid',
      },
      itemStyle: { color: colour },
    }
  })
  const yAxis = {
    ...vertical(y),
    type: options.logarithmic ? 'log' : 'value',
    scale: !options.fromZero,
    ...options.ticks,
    ...(format && { axisLabel: { ...axis('').axisLabel, formatter: (value: number) => format(value * unit) } }),
  }
  return { series, yAxis }
}

/** What each line looks like, as words and samples. */
function legend(lines: readonly Line[]): Markup | undefined {
  // A name that several lines have is explained once.
  const explained = lines.filter(
    ({ whisker, name }, i) => !whisker && lines.findIndex(line => line.name === name) === i,
  )
  if (explained.length < 2) return undefined
  const sample = (line: Line): Markup => {
    const { colour, dashes } = strokeOf(line)
    const dashed = dashes && html` stroke-dasharray="${dashes.join(' ')}"`
    const width = line.style === 'faint' ? '1.5' : '2'
    return html`<line x1="0" y1="4" x2="22" y2="4" stroke="${colour}" stroke-width="${width}"${dashed}></line>`
  }
  const item = (line: Line): Markup => html`<li><svg aria-hidden="true" width="22" height="8">
${sample(line)}</svg> ${line.name}</li>`
  return html`<ul class="legend">${explained.map(item)}</ul>`
}

const DIAGONAL: Line = {
  name: 'equal',
  style: 'faint',
  points: [
    [0, 0],
    [1, 1],
  ],
}
const SHARE_TICKS = { min: 0, max: 1, interval: 0.25 }

/** Lines over a common axis. A single point is drawn as a mark. */
export function lineChart(text: ChartText, lines: readonly Line[], options: LineChartOptions = {}): Markup {
  const all = options.shares ? [DIAGONAL, ...lines] : lines
  const isSquare = options.shares || options.unitSquare
  const { series, yAxis } = linesOf(text.y, all, isSquare ? { ticks: SHARE_TICKS } : options)
  const { categories } = options
  const places = categories && placesAxis(text.x, categories)
  return figure(
    text,
    {
      grid: places ? { ...GRID, bottom: places.bottom } : GRID,
      xAxis: places?.axis ?? {
        type: 'value',
        // A lone point needs some room to be seen in.
        min: ({ min, max }: { min: number; max: number }) =>
          options.xFromZero || min === max ? Math.min(0, min) : min,
        max: 'dataMax',
        ...(options.whole && { minInterval: 1 }),
        ...(isSquare && SHARE_TICKS),
        ...horizontal(text.x),
      },
      yAxis,
      series,
    },
    { legend: legend(lines), ...(options.tall && { sizes: SIZES.wide }) },
  )
}

/** Pixels of a character of a label, about. */
const CHARACTER = 6.6
const LABEL_LINE = 14

/** A horizontal axis with a place for each name; long names are broken into lines. */
function placesAxis(name: string, categories: readonly string[]) {
  const width = Math.floor((SMALL.width - GRID.left - GRID.right) / categories.length) - 6
  // Names with commas are broken after them.
  const labels = categories.map(one => clean(one).replaceAll(',', ', ').replaceAll(',  ', ', '))
  const perLine = Math.max(1, Math.floor(width / CHARACTER))
  const most = Math.max(...labels.map(label => linesFor(label, perLine)))
  return {
    bottom: GRID.bottom + (most - 1) * LABEL_LINE,
    axis: {
      type: 'category',
      data: labels,
      ...horizontal(name),
      nameGap: 26 + (most - 1) * LABEL_LINE,
      axisLabel: {
        ...axis('').axisLabel,
        hideOverlap: false,
        interval: 0,
        width,
        overflow: 'break',
        lineHeight: LABEL_LINE,
      },
    },
  }
}

/** Lines of a text that is broken at spaces, and within words that are longer than a line. */
function linesFor(text: string, perLine: number): number {
  let [lines, used] = [1, 0]
  for (const word of text.split(' ')) {
    const { length } = word
    if (used > 0 && used + 1 + length > perLine) [lines, used] = [lines + 1, 0]
    const extra = Math.max(0, Math.ceil(length / perLine) - 1)
    lines += extra
    used += (used > 0 ? 1 : 0) + length - extra * perLine
  }
  return lines
}

/** A point with a number or a short name beside it. */
export interface Mark {
  readonly at: Point
  readonly name: string
  /** Ends of an interval of the vertical value. */
  readonly interval?: readonly [number, number]
  /** Grey, as something else than the others. */
  readonly other?: boolean
}

/** Points with names, and their intervals. */
export function markChart(
  text: ChartText,
  marks: readonly Mark[],
  { format, formatX, logarithmicX }: { format?: Format; formatX?: Format; logarithmicX?: boolean } = {},
): Markup {
  const drawn = marks.filter(({ at }) => isDrawn(at) && (!logarithmicX || at[0] > 0))
  const colour = ({ other }: Mark): string => (other ? COLOURS.second : COLOURS.first)[0]
  const labels = labelsOf(drawn, logarithmicX === true)
  return figure(text, {
    grid: { ...GRID, right: 34 },
    xAxis: {
      type: logarithmicX ? 'log' : 'value',
      scale: logarithmicX === true,
      ...horizontal(text.x),
      splitNumber: 4,
      ...(formatX && { axisLabel: { ...axis('').axisLabel, formatter: formatX } }),
    },
    yAxis: {
      ...vertical(text.y),
      type: 'value',
      scale: true,
      ...(format && { axisLabel: { ...axis('').axisLabel, formatter: format } }),
    },
    series: [
      ...drawn.flatMap(mark =>
        mark.interval
          ? [
              {
                type: 'line',
                data: mark.interval.map((end): Point => [mark.at[0], end]),
                showSymbol: false,
                lineStyle: { color: colour(mark), width: 1, opacity: 0.6 },
              },
            ]
          : [],
      ),
      {
        type: 'scatter',
        symbolSize: 7,
        data: drawn.map((mark, i) => ({
          value: [...mark.at],
          name: clean(labels.get(i)?.text ?? ''),
          itemStyle: { color: colour(mark) },
          label: { position: labels.get(i)?.position ?? 'right' },
        })),
        label: { show: true, formatter: '{b}', distance: 4, color: COLOURS.ink[0], fontSize: 11 },
      },
    ],
  })
}

/** A label in pixels: beside its point, to the right of it where there is room. */
interface Label {
  readonly marks: readonly number[]
  readonly text: string
  readonly position: 'right' | 'left'
  /** The point that it is beside. */
  readonly at: number
  readonly from: number
  readonly to: number
  readonly height: number
}

/** A plot, about: its axes may reach farther than the points, which then lie nearer together. */
const PLOT = { width: SMALL.width - GRID.left - 34, height: (SMALL.height - GRID.top - GRID.bottom) / 1.3 }
const LABEL = { gap: 8, height: 13, character: 6.2, room: 30 }

/** Labels of points. Points whose labels would overlap share one, at the rightmost of them. */
function labelsOf(marks: readonly Mark[], logarithmicX: boolean): Map<number, Label> {
  const named = marks.flatMap(({ name }, i) => (name === '' ? [] : [i]))
  const across = (i: number): number => (logarithmicX ? Math.log(marks[i].at[0]) : marks[i].at[0])
  const places = named.map(across)
  // Logarithmic axes go from one power of ten to another, the others have a 0.
  const ends = logarithmicX
    ? [Math.floor(Math.min(...places) / Math.LN10), Math.ceil(Math.max(...places) / Math.LN10)].map(e => e * Math.LN10)
    : [Math.min(0, 1.1 * Math.min(...places)), Math.max(0, 1.1 * Math.max(...places))]
  const x = scaleTo(ends, PLOT.width)
  const y = scaleTo(
    named.flatMap(i => [marks[i].at[1], ...(marks[i].interval ?? [])]),
    PLOT.height,
  )
  const points = named.map((i): Point => [x(across(i)), y(marks[i].at[1])])
  const labelOf = (members: readonly number[]): Label => {
    const at = members.reduce((a, b) => (across(b) > across(a) ? b : a))
    const text = nameOfAll(members.map(i => marks[i].name))
    const [place, height, width] = [x(across(at)), y(marks[at].at[1]), text.length * LABEL.character]
    const beside = (position: 'right' | 'left'): Label => {
      const from = position === 'right' ? place + LABEL.gap : place - LABEL.gap - width
      return { marks: members, text, position, at, from, to: from + width, height }
    }
    const isFree = (label: Label): boolean => points.every(point => !covers(label, point))
    const [right, left] = [beside('right'), beside('left')]
    const fits = right.to < PLOT.width + LABEL.room
    return !fits || (!isFree(right) && isFree(left) && left.from > 0) ? left : right
  }
  const pointOf = new Map(named.map((i, at) => [i, points[at]]))
  const meet = (a: Label, b: Label): boolean =>
    overlap(a, b) ||
    b.marks.some(i => covers(a, pointOf.get(i) ?? [NaN, NaN])) ||
    a.marks.some(i => covers(b, pointOf.get(i) ?? [NaN, NaN]))
  const labels = named.map(i => labelOf([i]))
  // Labels before this one meet no other, unless it is the last one, which was joined since.
  let checked = 0
  for (let i = 0; i < labels.length;) {
    const label = labels[i]
    const first = i < checked ? labels.length - 1 : i + 1
    const met = labels.findIndex((other, j) => j >= first && meet(label, other))
    if (met < 0) {
      i++
      continue
    }
    const [other] = labels.splice(met, 1)
    labels.splice(i, 1)
    labels.push(labelOf([...label.marks, ...other.marks].sort((p, q) => p - q)))
    checked = i < checked ? checked - 1 : i
    i = 0
  }
  return new Map(labels.map(label => [label.at, label]))
}

const overlap = (a: Label, b: Label): boolean =>
  Math.min(a.to, b.to) - Math.max(a.from, b.from) > -2 && Math.abs(a.height - b.height) < LABEL.height

/** Whether a label lies on a point. */
const covers = ({ from, to, height }: Label, [x, y]: Point): boolean =>
  x > from - 4 && x < to + 4 && Math.abs(y - height) < LABEL.height / 2

/** From the range of some values to pixels. */
function scaleTo(values: readonly number[], pixels: number): (value: number) => number {
  const [low, high] = [Math.min(...values), Math.max(...values)]
  return value => (high === low ? pixels / 2 : ((value - low) / (high - low)) * pixels)
}

/** `1, 2, 3`; of more than three the first and the last. */
const nameOfAll = (names: readonly string[]): string =>
  names.length <= 3 ? names.join(', ') : `${names[0]}, …, ${names[names.length - 1]}`

type Format = (value: number) => string

/** One of the charts that stand one above the other. */
export interface Panel extends AxisOptions {
  readonly y: string
  readonly lines: readonly Line[]
}

/** One or two panels over one horizontal axis, which counts from `from` to `to`. */
export function panelChart(
  text: ChartText,
  panels: readonly Panel[],
  { from, to }: { from: number; to: number },
): Markup {
  const made = panels.map(({ y, lines, ...options }) => linesOf(y, lines, options))
  const height = panels.length === 1 ? 100 : 50
  const lines = panels.flatMap(panel => panel.lines)
  return figure(
    text,
    {
      grid: panels.map((_, i) => ({
        left: GRID.left,
        right: GRID.right,
        top: `${i * height + 8}%`,
        height: `${height - (i === panels.length - 1 ? 19 : 12)}%`,
      })),
      xAxis: panels.map((_, i) => ({
        type: 'value',
        gridIndex: i,
        min: from,
        max: Math.max(to, from + 1),
        minInterval: 1,
        ...(i === panels.length - 1 ? horizontal(text.x) : horizontal('')),
        ...(i < panels.length - 1 && { axisLabel: { show: false } }),
      })),
      yAxis: made.map(({ yAxis }, i) => ({ ...yAxis, gridIndex: i })),
      series: made.flatMap(({ series }, i) => series.map(one => ({ ...one, xAxisIndex: i, yAxisIndex: i }))),
    },
    { legend: legend(lines), sizes: SIZES.tall },
  )
}

/** Points, and a line that they are compared with. */
export function scatterChart(text: ChartText, points: readonly Point[], line: Line): Markup {
  const drawn = points.filter(isDrawn)
  const { series, yAxis } = linesOf(text.y, [{ ...line, style: 'other' }], {})
  return figure(text, {
    grid: GRID,
    xAxis: { type: 'value', scale: true, ...horizontal(text.x), splitNumber: 4 },
    yAxis,
    series: [
      {
        type: 'scatter',
        data: drawn,
        symbolSize: 6,
        itemStyle: { color: COLOURS.first[0], opacity: drawn.length > 300 ? 0.35 : 0.6 },
      },
      ...series,
    ],
  })
}

/** Bars between edges: `counts[i]` lies between `edges[i]` and `edges[i + 1]`. */
export function histogramChart(text: ChartText, edges: readonly number[], counts: readonly number[]): Markup {
  return figure(text, {
    grid: GRID,
    xAxis: { type: 'category', data: edges.slice(0, -1).map(tidy), ...horizontal(text.x) },
    yAxis: { ...vertical(text.y), type: 'value', minInterval: 1 },
    series: [{ type: 'bar', data: [...counts], barCategoryGap: '4%', itemStyle: { color: COLOURS.first[0] } }],
  })
}

const tidy = (value: number): string => value.toLocaleString('en-US', { maximumFractionDigits: 0 })

/**
 * Exponential moving average with the start corrected for (Kingma & Ba 2015, section 3), over about `window` points.
 * Values that are not finite are passed over.
 */
export function smooth(points: readonly Point[], window: number): Point[] {
  const keep = 1 - 2 / (Math.max(window, 1) + 1)
  const smoothed: Point[] = []
  let sum = 0
  let weight = 0
  for (const [x, y] of points) {
    if (!Number.isFinite(y)) continue
    sum = sum * keep + y * (1 - keep)
    weight = weight * keep + (1 - keep)
    smoothed.push([x, sum / weight])
  }
  return smoothed
}

interface FigureOptions {
  readonly legend?: Markup
  /** The first for narrow screens, a second for wide ones. */
  readonly sizes?: readonly Size[]
}

const box = ({ width, height }: Size): Markup => html`viewBox="0 0 ${width} ${height}"`

/** The chart with its title, a name for screen readers, and its numbers. */
function figure(
  text: ChartText,
  option: EChartsCoreOption,
  { legend, sizes = SIZES.small }: FigureOptions = {},
): Markup {
  const { id, title, description, numbers } = text
  const classes = sizes.length === 1 ? [''] : ['narrow', 'wide']
  const drawings = sizes.map((size, i) => {
    const own = i === 0 ? id : `${id}-${classes[i]}`
    const named = html`role="img" aria-labelledby="${own}-title ${own}-description"`
    return html`<svg${classes[i] && html` class="${classes[i]}"`} ${box(size)} ${named}>
<title id="${own}-title">${title}</title><desc id="${own}-description">${description}</desc>
${draw(own, option, size)}
</svg>`
  })
  return html`<figure><figcaption>${title}</figcaption>
${legend}
${drawings}
<p class="note">${description}</p>
${numbers}</figure>`
}

function draw(id: string, option: EChartsCoreOption, size: Size): Markup {
  const chart = init(null, null, { renderer: 'svg', ssr: true, ...size })
  try {
    chart.setOption({ animation: false, textStyle: { fontFamily: 'inherit' }, ...option })
    return bare(id, chart.renderToSVGString())
  } finally {
    chart.dispose()
  }
}

/** The drawing without what only a live chart needs: hover rules, indices. */
function bare(id: string, svg: string): Markup {
  const body = svg
    .slice(svg.indexOf('>') + 1, svg.lastIndexOf('</svg>'))
    .replace(/<style\b[\s\S]*?<\/style>/g, '')
    .replace(/ (?:class|ecmeta_\w+|pointer-events)="[^"]*"/g, '')
    // ECharts numbers its charts through the life of the process; ours are the same in every report.
    .replace(/(id="|url\(#)zr\d+-/g, `$1${id}-`)
    .replace(/<(\w+) +>/g, '<$1>')
    .trim()
  return markup(body)
}
