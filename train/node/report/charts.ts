// Charts as SVG text, drawn by ECharts without a DOM. Colours are written as those of the light scheme; the page's
// style sheet swaps them in the dark one, by the attributes that carry them.
import { BarChart, LineChart } from 'echarts/charts'
import { GridComponent, LegendComponent } from 'echarts/components'
import { init, use } from 'echarts/core'
import type { EChartsCoreOption } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'
import { clean, html, markup } from './html.ts'
import type { Markup } from './html.ts'

use([BarChart, LineChart, GridComponent, LegendComponent, SVGRenderer])

/** The colours of a chart: light scheme, then dark. Each light one is used for one purpose only. */
export const COLOURS = {
  ink: ['#3d444d', '#c9d1d9'],
  line: ['#8c959f', '#6e7681'],
  grid: ['#e1e4e8', '#2a3038'],
  faint: ['#a9c8ef', '#2f5d94'],
  first: ['#0b62d0', '#6cb0ff'],
  second: ['#b54708', '#ffa657'],
  third: ['#1a7f37', '#56d364'],
} as const

const SERIES = [COLOURS.first, COLOURS.second, COLOURS.third]
/** Told apart without colour, too. */
const SYMBOLS = ['circle', 'diamond', 'triangle']

const SIZE = { width: 720, height: 280 }

/** A point [x, y]. Points that are not finite are left out. */
export type Point = readonly [number, number]

export interface Line {
  readonly name: string
  readonly points: readonly Point[]
  /** A thin pale line, for what a smoothed one is drawn over. */
  readonly faint?: boolean
  /** Marks every point: for few of them. */
  readonly marks?: boolean
}

export interface ChartText {
  /** Unique in the page; the start of every id in the chart. */
  readonly id: string
  readonly title: string
  /** What a reader who does not see the chart should know. */
  readonly description: string
  readonly x: string
  readonly y: string
}

export interface LineChartOptions {
  /** Writes a value of the vertical axis. */
  readonly format?: (value: number) => string
  /** The vertical axis starts at 0 rather than near the smallest value. */
  readonly fromZero?: boolean
  readonly logarithmic?: boolean
  /** Ends of the vertical axis and the distance of its ticks, where the chart should not choose them. */
  readonly ticks?: { readonly min: number; readonly max: number; readonly interval: number }
  /** The horizontal axis counts: its ticks are whole numbers. */
  readonly whole?: boolean
}

const axis = (name: string) => ({
  name,
  nameTextStyle: { color: COLOURS.ink[0] },
  axisLine: { show: true, lineStyle: { color: COLOURS.line[0] } },
  axisTick: { lineStyle: { color: COLOURS.line[0] } },
  axisLabel: { color: COLOURS.ink[0], hideOverlap: true },
  splitLine: { lineStyle: { color: COLOURS.grid[0] } },
})

const horizontal = (name: string) => ({ ...axis(name), nameLocation: 'middle', nameGap: 28 })

/** Decades in which ECharts finds ticks: beyond them it rounds their distance to 0, and fails. */
const DECADES = { least: -3, most: 12 }

/** The power of ten that values are drawn as multiples of: 1 unless their largest magnitude is far from it. */
function unitOf(values: readonly number[]): number {
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  const decade = largest === 0 ? 0 : Math.floor(Math.log10(largest))
  return decade < DECADES.least || decade > DECADES.most ? 10 ** decade : 1
}

/** Lines over a common axis. A single point is drawn as a mark. */
export function lineChart(text: ChartText, lines: readonly Line[], options: LineChartOptions = {}): Markup {
  const drawn = lines.map(({ points }) =>
    points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y) && (!options.logarithmic || y > 0)))
  const unit = options.ticks ? 1 : unitOf(drawn.flat().map(([, y]) => y))
  const series = lines.map((line, i) => {
    const points = drawn[i].map(([x, y]): Point => [x, y / unit])
    const colour = line.faint ? COLOURS.faint[0] : SERIES[i % SERIES.length][0]
    return {
      type: 'line',
      // ECharts escapes text, but leaves in it what no page can hold.
      name: clean(line.name),
      data: points,
      // What the width of the chart can show is kept; the shape of the curve decides which points these are.
      sampling: 'lttb',
      showSymbol: line.marks === true || points.length === 1,
      showAllSymbol: true,
      symbol: SYMBOLS[i % SYMBOLS.length],
      symbolSize: 9,
      lineStyle: { color: colour, width: line.faint ? 1 : 2 },
      itemStyle: { color: colour },
    }
  })
  const inUnits = unit === 1 ? undefined : (value: number) => (value === 0 ? '0' : value.toExponential(1))
  const format = options.format ?? inUnits
  return draw(text, {
    grid: { left: 70, right: 24, top: 40, bottom: 46 },
    ...(lines.length > 1 && { legend: { top: 0, right: 20, textStyle: { color: COLOURS.ink[0] } } }),
    xAxis: {
      type: 'value',
      // A lone point needs some room to be seen in.
      min: ({ min, max }: { min: number; max: number }) => (min === max ? Math.min(0, min) : min),
      max: 'dataMax',
      ...(options.whole && { minInterval: 1 }),
      ...horizontal(text.x),
      splitLine: { show: false },
    },
    yAxis: {
      ...axis(text.y),
      nameTextStyle: { color: COLOURS.ink[0], align: 'left', padding: [0, 0, 0, -50] },
      type: options.logarithmic ? 'log' : 'value',
      scale: !options.fromZero,
      ...options.ticks,
      ...(format && { axisLabel: { ...axis('').axisLabel, formatter: (value: number) => format(value * unit) } }),
    },
    series,
  })
}

/** Bars between edges: `counts[i]` lies between `edges[i]` and `edges[i + 1]`. */
export function histogramChart(text: ChartText, edges: readonly number[], counts: readonly number[]): Markup {
  const names = counts.map((_, i) => `${tidy(edges[i])}–${tidy(edges[i + 1])}`)
  return draw(text, {
    grid: { left: 70, right: 24, top: 40, bottom: 46 },
    xAxis: { type: 'category', data: names, ...horizontal(text.x), splitLine: { show: false } },
    yAxis: {
      ...axis(text.y),
      type: 'value',
      minInterval: 1,
      nameTextStyle: { color: COLOURS.ink[0], align: 'left', padding: [0, 0, 0, -50] },
    },
    series: [
      {
        type: 'bar',
        data: [...counts],
        barCategoryGap: '4%',
        itemStyle: { color: COLOURS.first[0] },
      },
    ],
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

function draw(text: ChartText, option: EChartsCoreOption): Markup {
  const chart = init(null, null, { renderer: 'svg', ssr: true, ...SIZE })
  try {
    chart.setOption({ animation: false, textStyle: { fontFamily: 'inherit' }, ...option })
    return label(text, chart.renderToSVGString())
  } finally {
    chart.dispose()
  }
}

/** Gives the SVG a name for screen readers, and takes out what only a live chart needs: hover rules, indices. */
function label(text: ChartText, svg: string): Markup {
  const body = svg
    .slice(svg.indexOf('>') + 1, svg.lastIndexOf('</svg>'))
    .replace(/<style\b[\s\S]*?<\/style>/g, '')
    .replace(/ (?:class|ecmeta_\w+|pointer-events)="[^"]*"/g, '')
    // ECharts numbers its charts through the life of the process; ours are the same in every report.
    .replace(/(id="|url\(#)zr\d+-/g, `$1${text.id}-`)
    .replace(/<(\w+) +>/g, '<$1>')
    .trim()
  return html`<figure><figcaption>${text.title}</figcaption>
<svg viewBox="0 0 ${SIZE.width} ${SIZE.height}" role="img" aria-labelledby="${text.id}-title ${text.id}-description">
<title id="${text.id}-title">${text.title}</title><desc id="${text.id}-description">${text.description}</desc>
${markup(body)}
</svg>
<p class="note">${text.description}</p></figure>`
}
