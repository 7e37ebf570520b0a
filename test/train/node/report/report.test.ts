// The report of a run: one file, whole and safe whatever goes into it.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { lineChart, smooth } from '../../../../train/node/report/charts.ts'
import { bytes, duration, escape, html, number, percent } from '../../../../train/node/report/html.ts'
import { renderReport } from '../../../../train/node/report/report.ts'
import { histogram } from '../../../../train/node/report/write.ts'
import type { ReportInput, SetFacts } from '../../../../train/node/report/report.ts'
import { textStatistics } from '../../../../train/node/data/statistics.ts'

const set = (rows: number): SetFacts => ({
  rows,
  positive: rows / 2,
  text_length: textStatistics(Array.from({ length: rows }, (_, i) => 'x'.repeat(10 + i))),
  histogram: { edges: [0, 20, 40, 60], counts: [10, 20, 3] },
})

const full: ReportInput = {
  name: 'a model on some reviews',
  command: "node train/imdb.ts --lora-targets 'query,value' --seed 3",
  exact: true,
  createdAt: '2026-11-24T05:00:00.000Z',
  adapter: 'Some adapter (Vulkan)',
  versions: { tilegrad: '0.1.0', webgpu: '0.6.2' },
  options: { model: 'some/model', data: 'some/reviews', rank: 8, targets: ['query', 'value'], clip: null },
  parameters: { total: 67_471_106, trainable: 516_096, percent: 0.7649 },
  data: { train: set(32), validation: set(8), test: set(16) },
  steps: Array.from({ length: 40 }, (_, i) => ({
    step: i + 1,
    epoch: (i + 1) / 20,
    loss: 0.7 * 0.95 ** i,
    lr: 3e-4 * (1 - i / 40),
    grad_norm: 1 + (i % 3),
    examples_per_second: 50 + (i % 5),
    tokens_per_second: 9000 + i,
    gpu_bytes: 2 ** 30,
  })),
  evaluations: [
    { step: 20, epoch: 1, split: 'validation', loss: 0.4, accuracy: 0.8125 },
    { step: 40, epoch: 2, split: 'validation', loss: 0.3, accuracy: 0.9 },
    { step: 40, epoch: 2, split: 'test', loss: 0.31, accuracy: 0.875 },
  ],
  result: { val_accuracy: 0.9, test_accuracy: 0.875, wall_seconds: 754.3, peak_gpu_bytes: 2 ** 31, stopped: null },
  confusion: [
    [7, 1],
    [1, 7],
  ],
  labels: ['negative', 'positive'],
  examples: [
    { text: 'A delight.', label: 'positive', predicted: 'positive', probability: 0.991 },
    { text: 'Less of a delight.', label: 'negative', predicted: 'positive', probability: 0.973 },
    { text: 'A chore.', label: 'negative', predicted: 'negative', probability: 0.64 },
  ],
}

const nothing: SetFacts = { rows: 0, positive: 0, text_length: textStatistics([]) }
const empty: ReportInput = {
  ...full,
  versions: {},
  options: {},
  data: { train: nothing, test: nothing },
  steps: [],
  evaluations: [],
  result: {},
  confusion: undefined,
  labels: [],
  examples: [],
}

interface Element {
  readonly tag: string
  readonly attributes: Map<string, string>
  /** Tags from the root down to this element. */
  readonly path: string[]
}

/**
 * A strict reading of markup: every tag but the void ones is closed in order, every attribute is in double quotes and
 * there once, every & begins an entity, and no < or > stands alone. Throws on anything else.
 */
function parse(page: string): { elements: Element[]; text: string } {
  expect(page.startsWith('<!DOCTYPE html>\n')).toBe(true)
  const elements: Element[] = []
  const open: string[] = []
  const token = /<style>([\s\S]*?)<\/style>|<\/(\w+)>|<(\w+)((?: [\w:-]+="[^"<>]*")*)>|([^<>]+)|[\s\S]/g
  let text = ''
  for (const [all, style, close, tag, attributes, words] of page.slice('<!DOCTYPE html>'.length).matchAll(token)) {
    if (style !== undefined) continue
    if (close !== undefined) {
      if (open.pop() !== close) throw new Error(`</${close}> closes nothing that is open`)
    } else if (tag !== undefined) {
      const pairs = [...attributes.matchAll(/ ([\w:-]+)="([^"]*)"/g)].map(([, name, value]) => [name, value] as const)
      const map = new Map(pairs)
      if (map.size < pairs.length) throw new Error(`An attribute twice: ${all}`)
      elements.push({ tag, attributes: map, path: [...open] })
      if (tag !== 'meta') open.push(tag)
    } else if (words !== undefined) {
      if (/&(?!(?:amp|lt|gt|quot|hellip|#39);)/.test(words)) throw new Error(`A bare & in ${words}`)
      text += words
    } else throw new Error(`Not markup: ${all}`)
  }
  if (open.length > 0) throw new Error(`Never closed: ${open.join(' ')}`)
  return { elements, text }
}

const ids = (page: string): string[] => parse(page).elements.flatMap(({ attributes }) => attributes.get('id') ?? [])
const HEADINGS = [
  'The run', 'Data', 'Loss and learning rate', 'Accuracy', 'Speed and memory', 'Confusion matrix', 'Predictions',
  'Run it again',
]

test('lengths of half a million texts make a histogram', () => {
  const { edges, counts } = histogram(Array.from({ length: 500_000 }, (_, i) => 10 + (i * 7919) % 3000))
  expect([edges[0], counts.reduce((a, b) => a + b)]).toEqual([10, 500_000])
  expect(edges[edges.length - 1]).toBeGreaterThan(3009)
})

describe('a report', () => {
  test.each([
    ['of a whole run', full],
    ['of a run of which nothing is known', empty],
    [
      'of a run with one step and one evaluation',
      { ...full, steps: full.steps.slice(0, 1), evaluations: full.evaluations.slice(0, 1) },
    ],
  ])('%s is well-formed, has every section, and every id once', (_, input) => {
    const page = renderReport(input)
    const { elements } = parse(page)
    const all = ids(page)
    expect(new Set(all).size).toBe(all.length)
    for (const heading of HEADINGS) expect(page).toMatch(new RegExp(`<h2 id="[\\w-]+">${heading}</h2>`))
    // Whatever is pointed at is there.
    for (const { attributes } of elements) {
      const targets = [
        ...(attributes.get('aria-labelledby')?.split(' ') ?? []),
        ...(attributes.get('href')?.slice(1).split(' ') ?? []),
        ...(attributes.get('clip-path')?.match(/(?<=#)[^)]+/g) ?? []),
      ]
      for (const target of targets) expect(all).toContain(target)
    }
  })

  test('promises the same run only where kernels were not chosen by measuring, and else the same to rounding', () => {
    const words = (exact: boolean): string => parse(renderReport({ ...full, exact })).text
    expect(words(true)).toContain('on the same adapter, this gives the same run:')
    expect(words(false)).toContain('on the same adapter, this gives the same run, to rounding:')
  })

  test('has nothing in it but numbers that are numbers', () => {
    for (const input of [full, empty])
      expect(renderReport(input)).not.toMatch(/\b(NaN|Infinity|undefined|object Object)\b/)
  })

  test('asks the network for nothing and runs no script', () => {
    const page = renderReport(full)
    const { elements } = parse(page)
    expect(page).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`)
    for (const { tag, attributes } of elements) {
      expect(tag).not.toMatch(/^(script|link|img|image|iframe|object|embed|base|form|use|foreignObject)$/i)
      for (const [name, value] of attributes) {
        expect(name).not.toMatch(/^(on.*|src|srcset|data|action|xlink:href|poster|background)$/i)
        if (name === 'href') expect(value).toMatch(/^#[\w-]+$/)
        expect(value).not.toMatch(/url\((?!#)|https?:/i)
      }
    }
    expect(page).not.toMatch(/@import|@font-face|https?:/i)
  })

  test('shows text as text, wherever it comes from', () => {
    const nasty = `</title></style><script>alert("1")</script><img src=x onerror='go()'> & "quotes"\u0000`
    const page = renderReport({
      ...full,
      name: nasty,
      command: nasty,
      createdAt: nasty,
      adapter: nasty,
      versions: { [nasty]: nasty },
      options: { model: nasty, [nasty]: { [nasty]: [nasty] } },
      result: { [nasty]: nasty },
      labels: [nasty, nasty],
      evaluations: [{ step: 1, epoch: 1, split: nasty, loss: 1, accuracy: 0.5 }, ...full.evaluations],
      examples: [{ text: nasty.repeat(9), label: nasty, predicted: nasty, probability: 0.5 }],
    })
    const { elements } = parse(page)
    const tags = new Set(elements.map(({ tag }) => tag))
    expect(tags).not.toContain('script')
    expect(tags).not.toContain('img')
    expect(page).not.toContain('\u0000')
    expect(page).toContain('&lt;/title&gt;&lt;/style&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;')
  })

  test('survives any text in an example', () => {
    const characters = fc.constantFrom('<', '>', '&', '"', "'", '\ud800', '\u0007', ' ', 'a')
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.array(characters, { maxLength: 600 }).map((parts) => parts.join('')),
    )
    fc.assert(
      fc.property(text, (text) => {
        const examples = [{ text, label: 'positive', predicted: 'negative', probability: 0.5 }]
        const page = renderReport({ ...empty, examples })
        parse(page)
        expect(page.isWellFormed()).toBe(true)
      }),
      { numRuns: 40 },
    )
  })

  test('gives charts a name and a description, and tables headers', () => {
    const { elements } = parse(renderReport(full))
    const svgs = elements.filter(({ tag }) => tag === 'svg')
    // Three histograms, loss, rate, norm, accuracy, two speeds, memory.
    expect(svgs.length).toBe(10)
    for (const { attributes } of svgs) {
      expect(attributes.get('role')).toBe('img')
      expect(attributes.get('aria-labelledby')).toMatch(/^[\w-]+-title [\w-]+-description$/)
    }
    const count = (name: string) => elements.filter(({ tag }) => tag === name).length
    expect(count('caption')).toBe(count('table'))
    expect(count('thead')).toBe(count('table'))
    for (const { tag, attributes } of elements) if (tag === 'th') expect(attributes.get('scope')).toMatch(/^(col|row)$/)
  })

  test('states the facts of the run', () => {
    const { text } = parse(renderReport(full))
    const words = text.replace(/\s+/g, ' ')
    const facts = [
      '67,471,106', '516,096 (0.765 %)', '87.50 %', '81.25 %', '12 min 34 s', '2 GiB', 'Some adapter (Vulkan)',
      'some/model', 'some/reviews', '[&quot;query&quot;,&quot;value&quot;]', '16 (50.00 %)', '14 of 16 right',
      'node train/imdb.ts --lora-targets &#39;query,value&#39; --seed 3',
    ]
    for (const fact of facts) expect(words).toContain(fact)
  })

  test('says what is missing', () => {
    const page = renderReport(empty)
    for (const what of ['No result', 'No steps', 'No evaluation', 'No predictions', 'No example predictions'])
      expect(page).toContain(what)
    expect(page).not.toContain('<svg')
  })

  test('leaves out what is not a finite number, and says so of the loss', () => {
    const steps = full.steps.map((line, i) => (i % 4 === 0 ? { ...line, loss: null, grad_norm: NaN } : line))
    const page = renderReport({ ...full, steps })
    parse(page)
    expect(page).toContain('Steps whose loss was not a finite number: 10.')
    expect(page).not.toMatch(/NaN|Infinity/)
    const none = renderReport({ ...full, steps: full.steps.map((line) => ({ ...line, gpu_bytes: null })) })
    expect(none).toContain('No memory was recorded.')
  })

  test('is the same text each time', () => expect(renderReport(full)).toBe(renderReport(full)))

  test('lists the surest predictions, wrong ones apart from right ones', () => {
    const examples = Array.from({ length: 30 }, (_, i) => ({
      text: `number ${i}.`,
      label: 'positive',
      predicted: i % 2 === 0 ? 'positive' : 'negative',
      probability: 0.5 + i / 100,
    }))
    const page = renderReport({ ...full, examples })
    const shown = [...page.matchAll(/number (\d+)\./g)].map(([, i]) => Number(i))
    const surest = Array.from({ length: 10 }, (_, i) => 29 - 2 * i)
    expect(shown).toEqual([...surest, ...surest.map((i) => i - 1)])
  })

  test('folds long texts without losing any of them', () => {
    const text = Array.from({ length: 400 }, (_, i) => `word${i} \u{1f3ac}`).join(' ')
    const page = renderReport({ ...full, examples: [{ text, label: 'a', predicted: 'b', probability: 0.9 }] })
    const folded = /<summary>([^<]*)&hellip;<\/summary>([^<]*)<\/details>/.exec(page)
    expect(`${folded?.[1]}${folded?.[2]}`).toBe(text)
  })

  test('swaps every colour of a chart in the dark scheme', () => {
    const page = renderReport(full)
    const { elements } = parse(page)
    const dark = /prefers-color-scheme: dark\) \{[\s\S]*?\n\}/.exec(page)?.[0] ?? ''
    for (const { tag, path, attributes } of elements) {
      if (!path.includes('svg') || !['path', 'text', 'rect'].includes(tag) || path.includes('clipPath')) continue
      for (const name of ['fill', 'stroke']) {
        const value = attributes.get(name)
        // Unseen: no colour, an area that a line has not, a stroke of width 0.
        if (value === undefined || value === 'none' || attributes.get('fill-opacity') === '0') continue
        if (name === 'fill' && attributes.get('stroke-width') === '2') continue
        expect(dark).toContain(`[${name}="${value}"]`)
      }
    }
  })
})

describe('a chart', () => {
  const text = { id: 'c', title: 'A <title>', description: 'Says & tells', x: 'step', y: '<loss>' }

  test('is drawn whatever the size of its values, and however close they are', () => {
    const options = [{ fromZero: true, format: (value: number) => value.toExponential(1) }, {}, { logarithmic: true }]
    for (const size of [1e-300, 1e-21, 1e-7, 1, 1e30]) {
      for (const values of [[0, size, size], [size, size * (1 + 2.3e-16)]]) {
        for (const option of options) {
          const { text: svg } = lineChart(text, [{ name: 'a', points: values.map((y, x) => [x, y]) }], { whole: true, ...option })
          expect(svg, `${values}`).not.toMatch(/NaN|Infinity/)
        }
      }
    }
    const { text: svg } = lineChart(text, [{ name: 'a', points: [[1, 0], [2, 1e-21]] }], { fromZero: true })
    expect(svg, 'labels are of the values, not of what is drawn').toContain('>1.0e-21</text>')
  })

  test('draws a line through its points', () => {
    const { text: svg } = lineChart(text, [{ name: 'a', points: [[0, 0], [1, 1], [2, 0]] }], { fromZero: true })
    // Up in the middle, back to where it began.
    const line = /d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)" fill="none" stroke="#0b62d0"/.exec(svg)
    const [x0, y0, x1, y1, x2, y2] = (line ?? []).slice(1).map(Number)
    expect(x1 - x0).toBeCloseTo(x2 - x1, 3)
    expect(x1).toBeGreaterThan(x0)
    expect(y1).toBeLessThan(y0)
    expect(y2).toBe(y0)
  })

  test('of accuracies ends at 100 %', () => {
    for (const accuracy of [0, 0.03, 0.5, 0.8, 0.9346, 0.997, 1]) {
      const page = renderReport({ ...empty, evaluations: [{ step: 1, epoch: 1, split: 'test', loss: 1, accuracy }] })
      const ticks = [...page.matchAll(/>([\d.]+) %<\/text>/g)].map(([, value]) => Number(value))
      expect(ticks.length).toBeGreaterThan(1)
      expect(Math.max(...ticks), `ticks of ${accuracy}`).toBe(100)
      expect(Math.min(...ticks), `ticks of ${accuracy}`).toBeLessThanOrEqual(accuracy * 100)
    }
  })

  test('marks a lone point', () => {
    const marked = lineChart(text, [{ name: 'a', points: [[3, 0.5]] }]).text
    expect(marked).toMatch(/<path [^>]*transform="matrix[^>]*fill="#0b62d0"/)
    expect(marked).not.toContain('NaN')
  })
})

describe('smoothing', () => {
  test('keeps a constant, and stays within its values', () => {
    const points = fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 1, maxLength: 50 })
    fc.assert(
      fc.property(points, fc.integer({ min: 1, max: 60 }), (values, window) => {
        const smoothed = smooth(values.map((y, x) => [x, y]), window).map(([, y]) => y)
        expect(Math.min(...smoothed)).toBeGreaterThanOrEqual(Math.min(...values) - 1e-9)
        expect(Math.max(...smoothed)).toBeLessThanOrEqual(Math.max(...values) + 1e-9)
        expect(smoothed[0]).toBeCloseTo(values[0], 9)
      }),
    )
  })

  test('passes over what is no number', () => {
    expect(smooth([[1, 2], [2, NaN], [3, 2]], 5)).toEqual([[1, 2], [3, expect.closeTo(2, 12)]])
  })

  test('over three points weighs the newest by half', () => {
    // Weights 1/2 and 1/4 of the two points, out of 3/4.
    expect(smooth([[1, 0], [2, 3]], 3)[1][1]).toBeCloseTo(2, 12)
  })
})

describe('writing', () => {
  test('escapes text and leaves markup', () => {
    expect(escape(`<a href="x">'&'</a>`)).toBe('&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;')
    expect(html`<b>${'<'}${html`<i>${['&', undefined, 3]}</i>`}</b>`.text).toBe('<b>&lt;<i>&amp;3</i></b>')
  })

  test('prints figures as people read them', () => {
    expect([0, 12, 1234567, 0.123456, 1325.06964, 0.00003, NaN, null].map((value) => number(value))).toEqual([
      '0', '12', '1,234,567', '0.1235', '1,325.1', '3.00e-5', '–', '–',
    ])
    expect([0.93456, 1, null].map(percent)).toEqual(['93.46 %', '100.00 %', '–'])
    expect([0, 1023, 1536, 3 * 2 ** 30].map(bytes)).toEqual(['0 B', '1,023 B', '1.5 KiB', '3 GiB'])
    expect([0.25, 59.96, 61, 3725].map(duration)).toEqual(['0.3 s', '1 min 0 s', '1 min 1 s', '1 h 2 min 5 s'])
  })
})
