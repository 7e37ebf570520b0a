// The report of a run: one file, whole and safe whatever goes into it, for every kind of task.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { metricNamed, metricsOf, showFigure } from '../../../../train/metrics/summary.ts'
import { parseOptions, settingsOfRun } from '../../../../train/node/cli/options.ts'
import { lineChart, smooth } from '../../../../train/node/report/charts.ts'
import { bytes, duration, escape, html, number, percent } from '../../../../train/node/report/html.ts'
import { groupsByLength } from '../../../../train/node/report/passages.ts'
import { renderReport } from '../../../../train/node/report/report.ts'
import { settingSentence } from '../../../../train/node/report/sentence.ts'
import { worstOf } from '../../../../train/node/report/worst.ts'
import { spansOf } from '../../../../train/node/report/tags.ts'
import type { ReportInput, SetFacts, StepLine } from '../../../../train/node/report/report.ts'
import { histogram, textStatistics } from '../../../../train/node/data/statistics.ts'
import { fruit, full, pageOf, reviews, set, steps, tasks, tested } from '../../../support/report-pages.ts'

/** Of a run of which nothing is known, tested on nothing. */
const nothing: SetFacts = { rows: 0, text_length: textStatistics([]) }
const empty: ReportInput = {
  ...full,
  tested: tested('classes', ['negative', 'positive'], []),
  cost: {},
  training: { steps: [], evaluations: [], metric: metricNamed('classes', 2, 'accuracy') },
  facts: [],
  sets: [
    ['Training', nothing],
    ['Test', nothing],
  ],
  settings: [],
  versions: {},
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
      if (tag !== 'meta' && tag !== 'hr') open.push(tag)
    } else if (words !== undefined) {
      if (/&(?!(?:amp|lt|gt|quot|hellip|#39);)/.test(words)) throw new Error(`A bare & in ${words}`)
      text += words
    } else throw new Error(`Not markup: ${all}`)
  }
  if (open.length > 0) throw new Error(`Never closed: ${open.join(' ')}`)
  return { elements, text }
}

const ids = (page: string): string[] => parse(page).elements.flatMap(({ attributes }) => attributes.get('id') ?? [])
/** The words of a page, without its tags. */
const wordsOf = (page: string): string =>
  parse(page.replaceAll(/<(?=\/?(?:td|th|dt|dd|small|p|div|li|summary|h\d)\b)/g, ' <')).text.replace(/\s+/g, ' ')
const HEADINGS = [
  'How good it is',
  'At what cost',
  'How it got there',
  'Where it fails',
  'What it was',
  'How to repeat it',
]

test('lengths of half a million texts make a histogram', () => {
  const { edges, counts } = histogram(Array.from({ length: 500_000 }, (_, i) => 10 + ((i * 7919) % 3000)))
  expect([edges[0], counts.reduce((a, b) => a + b)]).toEqual([10, 500_000])
  expect(edges[edges.length - 1]).toBeGreaterThan(3009)
})

describe('a report', () => {
  const one = {
    ...full,
    training: {
      ...full.training,
      steps: steps.slice(0, 1),
      evaluations: [],
      metric: metricNamed('classes', 2, 'accuracy'),
    },
  }
  test.each([
    ...Object.keys(tasks).map((name): [string, () => string] => [`of ${name}`, () => pageOf(name)]),
    ['of a run of which nothing is known', () => renderReport(empty)],
    ['of a run with one step and no evaluation', () => renderReport(one)],
    ['of one text', () => renderReport({ ...empty, tested: tested('classes', ['a', 'b'], [[0, [1, 0], 'text']]) })],
  ])('%s is well-formed, answers in order, and has every id once', (_, made) => {
    const page = made()
    const { elements } = parse(page)
    const all = ids(page)
    expect(new Set(all).size).toBe(all.length)
    expect([...page.matchAll(/<h2 id="[\w-]+">([^<]+)<\/h2>/g)].map(([, heading]) => heading)).toEqual(HEADINGS)
    // Whatever is pointed at is there.
    for (const { attributes } of elements) {
      const targets = [
        ...(attributes.get('aria-labelledby')?.split(' ') ?? []),
        ...(attributes.get('href')?.slice(1).split(' ') ?? []),
        ...(attributes.get('clip-path')?.match(/(?<=#)[^)]+/g) ?? []),
      ]
      for (const target of targets) expect(all).toContain(target)
    }
    expect(page).not.toMatch(/\b(NaN|Infinity|undefined|object Object)\b/)
  })

  test('of an evaluation has no training', () => {
    const page = renderReport({
      ...empty,
      kind: 'evaluation',
      training: undefined,
      cost: { parameters: { total: 1000 }, seconds: 2 },
    })
    expect([...page.matchAll(/<h2 id="[\w-]+">([^<]+)<\/h2>/g)].map(([, heading]) => heading)).toEqual(
      HEADINGS.filter(one => one !== HEADINGS[2]),
    )
    expect(wordsOf(page)).toContain('Parameters 1,000 Wall time 2.0 s')
  })

  test('promises the same run only where kernels were not chosen by measuring, and else the same to rounding', () => {
    const words = (exact: boolean): string => parse(renderReport({ ...empty, exact })).text
    expect(words(true)).toContain('on the same adapter, this gives the same run:')
    expect(words(false)).toContain('on the same adapter, this gives the same run, to rounding:')
  })

  test.each(Object.keys(tasks))('of %s asks the network for nothing and runs no script', name => {
    const page = pageOf(name)
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
    const hostile: ReportInput['tested'][] = [
      tested(
        'classes',
        [nasty, `${nasty}2`],
        [
          [0, [0, 1], nasty.repeat(9)],
          [1, [0, 1], nasty],
        ],
        { reading: { temperature: 2, thresholds: [0.4, 0.6] } },
      ),
      tested(
        'classes',
        Array.from({ length: 30 }, (_, i) => `${nasty}${i}`),
        [[0, Array.from({ length: 30 }, (_, i) => i), nasty]],
      ),
      tested('labels', [nasty, `${nasty}2`], [[Float32Array.of(1, 0), [-1, 1], nasty]], {
        reading: { temperature: 2, thresholds: [0.4, 0.6] },
      }),
      tested('regression', [nasty], [[1, [2], nasty]]),
      tested(
        'tokens',
        ['O', `B-${nasty}`],
        [[Int32Array.of(1, 0), [9, 0, 0, 9], nasty.replaceAll(' ', '\u00a0') + ' ' + nasty.replaceAll(' ', '\u00a0')]],
      ),
    ]
    for (const hostileTest of hostile) {
      const page = renderReport({
        ...full,
        tested: { ...hostileTest, name: nasty },
        name: nasty,
        command: nasty,
        createdAt: nasty,
        adapter: nasty,
        versions: { [nasty]: nasty },
        facts: [[nasty, nasty]],
        settings: [
          { name: nasty, value: nasty, differs: true },
          { name: nasty, value: nasty, differs: false },
        ],
        sets: [[nasty, set(3, { [nasty]: 3 })]],
        cost: { ...full.cost, savedBytes: { total: 1, what: nasty } },
        training: {
          steps,
          evaluations: [{ step: 1, epoch: 1, split: nasty, loss: 1, value: 0.5 }],
          metric: { ...metricNamed('classes', 2, 'accuracy'), title: nasty },
        },
      })
      const tags = new Set(parse(page).elements.map(({ tag }) => tag))
      expect(tags).not.toContain('script')
      expect(tags).not.toContain('img')
      expect(page).not.toContain('\u0000')
      expect(page).toContain('&lt;/title&gt;&lt;/style&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;')
    }
  })

  test('survives any text in an example', () => {
    const characters = fc.constantFrom('<', '>', '&', '"', "'", '\ud800', '\u0007', ' ', 'a')
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.array(characters, { maxLength: 600 }).map(parts => parts.join('')),
    )
    fc.assert(
      fc.property(text, text => {
        const page = renderReport({
          ...empty,
          tested: tested('classes', ['negative', 'positive'], [[0, [0, 1], text]]),
        })
        parse(page)
        expect(page.isWellFormed()).toBe(true)
      }),
      { numRuns: 20 },
    )
  })

  test.each(Object.keys(tasks))(
    'of %s gives charts a name, axes with names, and their numbers, and tables headers',
    name => {
      const page = pageOf(name)
      const { elements } = parse(page)
      const figures = [...page.matchAll(/<figure>[\s\S]*?<\/figure>/g)].map(([figure]) => figure)
      // Loss and metric, rate, norm, speed, memory, three histograms, and those of the task.
      expect(figures.length).toBeGreaterThanOrEqual(8)
      for (const figure of figures) {
        expect(figure).toMatch(
          /<svg (class="narrow" )?viewBox="[\d ]+" role="img" aria-labelledby="[\w-]+-title [\w-]+-description">/,
        )
        expect(figure).toMatch(/<summary>Numbers<\/summary>\n<div class="scroll"/)
      }
      for (const { tag, attributes } of elements)
        if (tag === 'svg') expect(attributes.has('role')).not.toBe(attributes.has('aria-hidden'))
      const count = (name: string) => elements.filter(({ tag }) => tag === name).length
      expect(count('caption')).toBe(count('table'))
      expect(count('thead')).toBe(count('table'))
      for (const { tag, attributes } of elements)
        if (tag === 'th') expect(attributes.get('scope')).toMatch(/^(col|row)$/)
    },
  )

  test('states the facts of the run', () => {
    const words = wordsOf(pageOf('two classes'))
    const facts = [
      'Trained parameters 516,096 0.765 % of 67,471,106',
      'Wall time 12 min 34 s 52.1 texts/s',
      'Peak GPU memory 2.15 GB',
      'Size on disk 2.08 MB adapter/',
      'Some adapter (Vulkan)',
      'some/model',
      'some/reviews',
      'Training 32 12 37.50 % 20 62.50 %',
      'node train/imdb.ts --lora-targets &#39;query,value&#39; --seed 3',
    ]
    for (const fact of facts) expect(words).toContain(fact)
  })

  test('shows what a run is compared with: each figure, and how far it is from this one', () => {
    const other = { value: 0.625, interval: { low: 0.39, high: 0.81 }, reason: undefined }
    const page = renderReport({
      ...full,
      tested: {
        ...reviews,
        references: [
          { ...other, title: 'random weights', difference: { value: 0.25, interval: { low: 0.05, high: 0.45 } } },
          { ...other, title: 'naive Bayes', difference: { value: -0.02, interval: { low: -0.1, high: 0.06 } } },
          { title: 'NB-SVM', value: undefined, interval: undefined, difference: undefined, reason: 'no <words>' },
        ],
      },
    })
    const words = wordsOf(page)
    for (const fact of [
      'random weights 62.50 %',
      'NB-SVM –',
      'random weights 62.50 % 39.00 % to 81.00 % +25.00 points +5.00 points to +45.00 points yes',
      'naive Bayes 62.50 % 39.00 % to 81.00 % −2.00 points −10.00 points to +6.00 points no',
      'There is no figure for NB-SVM: no &lt;words&gt;.',
    ])
      expect(words).toContain(fact)
    expect(wordsOf(pageOf('two classes'))).not.toContain('Differences from the other models')
  })

  test('names settings as the command line does, those that differ from the defaults first', () => {
    const page = pageOf('two classes')
    const [first, rest] = page.slice(page.indexOf('Settings that differ')).split('All other settings')
    const named = (part: string): string[] => [...part.matchAll(/<code>--([\w-]+)<\/code>/g)].map(([, name]) => name)
    // --val-split was given, but as it is by default.
    expect(named(first)).toEqual(['lora-targets', 'seed'])
    expect(named(rest)).toEqual(expect.arrayContaining(['val-split', 'lr', 'batch-size']))
    expect(page).not.toMatch(/valSplit|loraTargets|>given</)
    const lines = settingsOfRun(parseOptions(['--lr', '2e-5', '--tune', 'full', '--merge'].slice(0, 4)))
    expect(
      lines.filter(({ differs }) => differs).map(({ name }) => name),
      '2e-5 is the default of --tune full',
    ).toEqual(['tune'])
  })

  test('says what is missing', () => {
    const page = renderReport(empty)
    for (const what of [
      'Nothing was recorded',
      'No steps and no evaluations',
      'Nothing was tested',
      'No interval',
      'All settings are the defaults',
    ])
      expect(page).toContain(what)
    expect(page).not.toContain('<figure')
  })

  test('leaves out what is not a finite number, and says so of the loss', () => {
    const lost = steps.map((line, i) => (i % 4 === 0 ? { ...line, loss: null, grad_norm: NaN } : line))
    const of = (changed: readonly StepLine[]): string =>
      renderReport({
        ...full,
        training: { steps: changed, evaluations: [], metric: metricNamed('classes', 2, 'accuracy') },
      })
    parse(of(lost))
    expect(of(lost)).toContain('Steps whose loss was not a finite number: 10.')
    expect(of(lost)).toContain('Nothing was held out for validation.')
    expect(of(lost)).not.toMatch(/NaN|Infinity/)
    expect(of(steps.map(line => ({ ...line, gpu_bytes: null })))).not.toContain('GPU memory (')
    expect(of(steps.map(line => ({ ...line, loss: null })))).toContain('No loss was recorded.')
    const infinite = tested(
      'regression',
      ['LABEL_0'],
      [
        [1, [NaN], 'a'],
        [2, [2.5], 'b'],
      ],
    )
    const page = renderReport({ ...empty, tested: infinite })
    expect(page).toContain('1 predictions are not finite numbers and are left out.')
    expect(page).not.toMatch(/NaN|Infinity/)
  })

  test('is the same text each time', () => expect(renderReport(full)).toBe(pageOf('two classes')))

  test('folds long texts without losing any of them', () => {
    const text = Array.from({ length: 400 }, (_, i) => `word${i} \u{1f3ac}`).join(' ')
    const page = renderReport({ ...empty, tested: tested('classes', ['a', 'b'], [[0, [0, 1], text]]) })
    const folded = /<summary>([^<]*)&hellip;<\/summary>([^<]*)<\/details>/.exec(page)
    expect(`${folded?.[1]}${folded?.[2]}`).toBe(text)
  })

  test('swaps every colour of a chart in the dark scheme', () => {
    for (const name of Object.keys(tasks)) {
      const page = pageOf(name)
      const { elements } = parse(page)
      const dark = /prefers-color-scheme: dark\) \{[\s\S]*?\n\}/.exec(page)?.[0] ?? ''
      for (const { tag, path, attributes } of elements) {
        if (!path.includes('figure') || !['path', 'text', 'rect'].includes(tag) || path.includes('clipPath')) continue
        for (const name of ['fill', 'stroke']) {
          const value = attributes.get(name)
          // Unseen: no colour, an area that a line has not, a stroke of width 0.
          if (value === undefined || value === 'none' || attributes.get('fill-opacity') === '0') continue
          if (name === 'fill' && attributes.get('stroke-width') === '2') continue
          expect(dark).toContain(`[${name}="${value}"]`)
        }
      }
    }
  })
})

describe('the first section', () => {
  const wordsWith = (input: Partial<ReportInput>): string =>
    wordsOf(renderReport({ ...empty, tested: reviews, ...input }))

  test.each(Object.keys(tasks))('of %s has the metrics of result.json', name => {
    const { metrics, summary, task, labels, answered } = tasks[name]
    expect(metrics).toEqual(metricsOf(task, labels.length))
    const page = pageOf(name)
    for (const info of metrics) {
      const values = [summary.metrics, ...(answered.by === undefined ? [] : [answered.summary.metrics])]
        .map(figures => `<td>${showFigure(info, figures[info.name])}</td>`)
        .join('')
      const row = `<tr><th scope="row">${escape(info.title)}</th>${values}<td><code>${info.name}</code></td></tr>`
      expect(page).toContain(row)
    }
    const { metric } = tasks[name]
    expect(wordsOf(page)).toContain(
      `How good it is ${showFigure(metric, summary.metrics[metric.name])} ${metric.title}`,
    )
  })

  test("shows Wilson's interval of an accuracy, and whether it includes the constant answer", () => {
    // 14 of 16: statsmodels' proportion_confint(14, 16, method='wilson') gives 0.63977 to 0.96503.
    expect(wordsWith({})).toContain('87.50 % accuracy 95 % interval 63.98 % to 96.50 %, from 16 texts of the test set.')
    expect(wordsWith({})).toContain('always negative, the most frequent of the training set 50.00 %')
    expect(wordsWith({})).toContain('The whole interval is better than the constant answer.')
    const few = tested(
      'classes',
      ['a', 'b'],
      [
        [0, [1, 0], 'x'],
        [1, [0, 1], 'y'],
      ],
    )
    expect(wordsWith({ tested: few })).toContain(
      'The interval includes the constant answer: 2 texts do not show that the model is better.',
    )
  })

  test('shows the bootstrap interval of an error, of which less is better', () => {
    const { interval, constant } = tasks.numbers
    const words = wordsWith({ tested: tasks.numbers })
    expect(words).toContain(
      `95 % interval ${interval?.low.toFixed(4)} to ${interval?.high.toFixed(4)}, from 30 texts of the test set. Smaller is better.`,
    )
    // The mean of 0, ⅓, … 29/3 is 29/6; its squared error is their variance, (30² − 1) / 12 / 9.
    expect(words).toContain(`Constant answer: 4.833, the mean of the training set ${(899 / 108).toFixed(4)}`)
    expect(constant?.value).toBeCloseTo(899 / 108, 9)
    expect(words).toContain('The whole interval is better than the constant answer.')
  })

  test('has a bar of the metric, and of the interval, on the scale of the metric', () => {
    const page = pageOf('two classes')
    expect(page).toContain(
      '<rect class="fill" width="87.50%" height="100%"></rect><rect class="range" x="63.98%" width="32.53%"',
    )
    expect(page).toContain('<rect class="pale" width="50.00%"')
  })
})

describe('where it fails', () => {
  test('classes: scores, a matrix, reliability, ROC and the surest mistakes', () => {
    const page = pageOf('two classes')
    const words = wordsOf(page)
    expect(words).toContain('negative 8 87.50 % 87.50 % 87.50 %')
    expect(words).toContain('Label negative positive negative 7 87.50 % 1 12.50 % positive 1 12.50 % 7 87.50 %')
    expect(words).toMatch(/Expected calibration error [\d.]+ % before, [\d.]+ % with temperature 0\.5\./)
    expect(page).toContain('id="roc-title"')
    // 1/(1 + e^(−2 · 0.325 / T)) and of 2 · 0.2 / T at a temperature T of 0.5, as predict answers: the surer one first.
    expect(words).toContain(
      'Worst mistakes: the surest of 2 label positive, predicted negative with 78.58 % Review 1. label negative, predicted positive with 69.00 % Review 0.',
    )
    expect(words).toContain('tilegrad predict answers positive above 40.00 %')
    expect(words).toContain(
      'As trained. As predict and evaluate answer (temperature 0.5000, threshold 40.00 % for positive): 87.50',
    )
    expect(words).toContain('the worst mistakes and their probabilities are as tilegrad predict answers.')
    expect(words).toContain('Metric As trained As predict and evaluate answer Name')
  })

  test('the words that pushed to a mistake are marked, and listed with their shares', () => {
    const texts = reviews.texts.map((text, row) => (row === 1 ? { text: `Fine <but> ${'x '.repeat(150)}poor.` } : text))
    const word = (text: string, start: number, share: number) => ({ text, start, end: start + text.length, share })
    const last = (texts[1].text ?? '').indexOf('poor')
    const words = { text: [word('Fine', 0, -0.5), word('but', 6, 0.01), word('poor', last, 1.25)] }
    const page = renderReport({
      ...full,
      tested: { ...reviews, texts, explanations: new Map([[1, { label: 'negative', words }]]) },
    })
    parse(page)
    // Too small a share is not worth a mark; what comes after the fold keeps its place.
    expect(page).toContain('<summary><mark class="against">Fine</mark> &lt;but&gt; x x')
    expect(page).toMatch(/<\/summary>[ x]+<mark class="for">poor<\/mark>\.<\/details>/)
    expect(wordsOf(page)).toContain('Score of negative: poor +1.3, Fine −0.5')
    expect(wordsOf(page)).toContain('gradient × input')
    expect(wordsOf(pageOf('two classes'))).not.toContain('gradient × input')
  })

  test('the mistakes that are explained are those that are shown, with the label that was wrong', () => {
    expect(worstOf(reviews)).toMatchObject([
      { row: 1, label: 0 },
      { row: 0, label: 1 },
    ])
    expect(worstOf(tasks['several labels'])).toMatchObject([
      { row: 0, label: 2 },
      { row: 1, label: 1 },
    ])
    expect(worstOf(tasks.numbers)[0]).toMatchObject({ row: 9, label: 0 })
    expect(worstOf(tasks['labels of words'])).toEqual([])
  })

  test('curves at every threshold: of two classes one, of more one against the rest, of labels each', () => {
    const two = wordsOf(pageOf('two classes'))
    expect(two).toMatch(/ROC curve .*AUC [\d.]+\. .*Precision and recall .*Average precision [\d.]+\./)
    expect(two).not.toContain('Each against all others')
    // Plum never occurs: it has no curve.
    const three = wordsOf(pageOf('three classes'))
    expect(three).toMatch(/AUC apple 0\.75, pear 0\.75\. Each against all others\./)
    expect(three).toMatch(/Average precision apple [\d.]+, pear [\d.]+\. Each/)
    expect(wordsOf(pageOf('twenty classes'))).toContain('Of 20, the 6 that are ranked worst.')
    expect(wordsOf(pageOf('several labels'))).toMatch(/AUC apple [\d.]+, pear [\d.]+, plum [\d.]+\. Each/)
  })

  test('classes that never occur are named', () => {
    expect(wordsOf(pageOf('three classes'))).toContain('plum never occurs in these texts.')
    expect(wordsOf(pageOf('three classes'))).toContain('plum 0 0.00 % 0.00 % 0.00 %')
  })

  test('of many classes the most frequent confusions take the place of the matrix', () => {
    const words = wordsOf(pageOf('twenty classes'))
    expect(words).not.toContain('Confusion matrix')
    expect(words).toContain('class 7 class 8 1 50.00 %')
  })

  test('labels: scores with thresholds, and which labels are wrong', () => {
    const words = wordsOf(pageOf('several labels'))
    // Plum: given once, predicted once, never rightly; above 0.6 never.
    expect(words).toContain('plum 1 0.00 % 0.00 % 0.00 % 60.00 % 0.00 %')
    expect(words).toContain('apple 2 100.00 % 100.00 % 100.00 % 50.00 % 100.00 %')
    expect(words).toContain(
      '2 of 3 texts have a wrong label Missed: plum (8.32 %). Wrongly predicted: pear (31.00 %). both Wrongly predicted: pear (31.00 %).',
    )
    const decided = {
      ...empty,
      tested: tested('labels', fruit, [[Float32Array.of(0, 1, 0), [-1, -0.5, -1], 'a']], {
        reading: { thresholds: [0.5, 0.3, 0.5] },
        applied: true,
      }),
    }
    expect(wordsOf(renderReport(decided)), 'as an evaluation reads them').toContain('No text has a wrong label.')
    expect(wordsOf(renderReport(decided))).toContain('As predict and evaluate answer (a threshold for each label).')
  })

  test('numbers: predicted against given, errors by length, the largest errors', () => {
    const page = pageOf('numbers')
    const words = wordsOf(page)
    expect([page.includes('id="predicted-title"'), page.includes('id="residuals-title"')]).toEqual([true, true])
    expect(words).toContain('Largest errors given 3, predicted 4.25 (+1.25) number 9.........')
    // Of characters: those of `number 0` to `number 9` with as many points.
    expect(words).toMatch(
      /Errors by length of the text Characters Texts Mean error Mean absolute error 8–17 10 \S+ \S+ 19–28 10 /,
    )
  })

  test('words: scores by kind of entity, and sentences with their spans', () => {
    const page = pageOf('labels of words')
    expect(wordsOf(page)).toContain('LOC 1 0.00 % 0.00 % 0.00 %')
    expect(page).toContain(
      '<mark class="found">Nadia Moreau <small>PER</small></mark> in <mark class="missed">Dakar <small>LOC</small></mark>',
    )
    // The word without a label is left out.
    expect(page).toContain(
      '<mark class="wrong">Then <small>LOC</small></mark> <mark class="found">Oscar <small>PER</small></mark>',
    )
    expect(wordsOf(page)).toMatch(/2 of 2 have a wrong span .*1 missed/)
  })

  test('spans are compared with their type and both ends', () => {
    expect(spansOf(['B-A', 'I-A', 'O', 'B-B'], ['B-A', 'O', 'O', 'B-C'])).toEqual([
      { type: 'A', start: 0, end: 1, kind: 'missed' },
      { type: 'B', start: 3, end: 3, kind: 'missed' },
      { type: 'A', start: 0, end: 0, kind: 'wrong' },
      { type: 'C', start: 3, end: 3, kind: 'wrong' },
    ])
  })

  test('groups by length have all texts once, equally long ones together', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 120 }), lengths => {
        const groups = groupsByLength(lengths.map(length => ({ text: 'x'.repeat(length) })))
        expect(groups.flatMap(({ rows }) => rows).toSorted((a, b) => a - b)).toEqual(lengths.map((_, row) => row))
        expect(groups.length).toBeLessThanOrEqual(5)
        for (const [i, { from, to, rows }] of groups.entries()) {
          expect([Math.min(...rows.map(row => lengths[row])), Math.max(...rows.map(row => lengths[row]))]).toEqual([
            from,
            to,
          ])
          if (i > 0) expect(from).toBeGreaterThan(groups[i - 1].to)
        }
      }),
      { numRuns: 60 },
    )
  })
})

describe('a chart', () => {
  const text = { id: 'c', title: 'A <title>', description: 'Says & tells', x: 'step', y: '<loss>' }

  test('is drawn whatever the size of its values, and however close they are', () => {
    const options = [{ fromZero: true, format: (value: number) => value.toExponential(1) }, {}, { logarithmic: true }]
    for (const size of [1e-300, 1e-21, 1e-7, 1, 1e30]) {
      for (const values of [
        [0, size, size],
        [size, size * (1 + 2.3e-16)],
      ]) {
        for (const option of options) {
          const { text: svg } = lineChart(text, [{ name: 'a', points: values.map((y, x) => [x, y]) }], {
            whole: true,
            ...option,
          })
          expect(svg, `${values}`).not.toMatch(/NaN|Infinity/)
        }
      }
    }
    const { text: svg } = lineChart(
      text,
      [
        {
          name: 'a',
          points: [
            [1, 0],
            [2, 1e-21],
          ],
        },
      ],
      { fromZero: true },
    )
    expect(svg, 'labels are of the values, not of what is drawn').toMatch(/>\d\.\de-2[12]<\/text>/)
  })

  test('draws a line through its points', () => {
    const { text: svg } = lineChart(
      text,
      [
        {
          name: 'a',
          points: [
            [0, 0],
            [1, 1],
            [2, 0],
          ],
        },
      ],
      { fromZero: true },
    )
    // Up in the middle, back to where it began.
    const line = /d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)" fill="none" stroke="#0b62d0"/.exec(svg)
    const [x0, y0, x1, y1, x2, y2] = (line ?? []).slice(1).map(Number)
    expect(x1 - x0).toBeCloseTo(x2 - x1, 3)
    expect(x1).toBeGreaterThan(x0)
    expect(y1).toBeLessThan(y0)
    expect(y2).toBe(y0)
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
        const smoothed = smooth(
          values.map((y, x) => [x, y]),
          window,
        ).map(([, y]) => y)
        expect(Math.min(...smoothed)).toBeGreaterThanOrEqual(Math.min(...values) - 1e-9)
        expect(Math.max(...smoothed)).toBeLessThanOrEqual(Math.max(...values) + 1e-9)
        expect(smoothed[0]).toBeCloseTo(values[0], 9)
      }),
    )
  })

  test('passes over what is no number', () => {
    expect(
      smooth(
        [
          [1, 2],
          [2, NaN],
          [3, 2],
        ],
        5,
      ),
    ).toEqual([
      [1, 2],
      [3, expect.closeTo(2, 12)],
    ])
  })

  test('over three points weighs the newest by half', () => {
    // Weights 1/2 and 1/4 of the two points, out of 3/4.
    expect(
      smooth(
        [
          [1, 0],
          [2, 3],
        ],
        3,
      )[1][1],
    ).toBeCloseTo(2, 12)
  })
})

describe('writing', () => {
  test('escapes text and leaves markup', () => {
    expect(escape(`<a href="x">'&'</a>`)).toBe('&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;')
    expect(html`<b>${'<'}${html`<i>${['&', undefined, 3]}</i>`}</b>`.text).toBe('<b>&lt;<i>&amp;3</i></b>')
  })

  test('prints figures as people read them', () => {
    expect([0, 12, 1234567, 0.123456, 1325.06964, 0.00003, NaN, null].map(value => number(value))).toEqual([
      '0',
      '12',
      '1,234,567',
      '0.1235',
      '1,325.1',
      '3.00e-5',
      '–',
      '–',
    ])
    expect([0.93456, 1, null].map(percent)).toEqual(['93.46\u00a0%', '100.00\u00a0%', '–'])
    expect([0, 1023, 1536, 3 * 2 ** 30].map(bytes)).toEqual(
      ['0 B', '1.02 kB', '1.54 kB', '3.22 GB'].map(text => text.replace(' ', '\u00a0')),
    )
    expect([0.25, 59.96, 61, 3725].map(duration)).toEqual(['0.3 s', '1 min 0 s', '1 min 1 s', '1 h 2 min 5 s'])
  })
})

test('settings are said as a person would', () => {
  const said = (...given: string[]): string => settingSentence(parseOptions(given, 'tilegrad'))
  expect(said()).toBe(
    'LoRA adapters of rank 8 (alpha 16) on query, value and MLP and the classifier are trained for 3 epochs in batches ' +
      'of 16 texts, with a peak learning rate of 5e-4, decaying linearly after a warm-up of 6 % of the steps. ' +
      'Texts have at most 256 tokens; longer ones are cut. Seed 42.',
  )
  expect(said('--tune', 'full', '--schedule', 'constant', '--warmup', '0', '--epochs', '1', '--window', '32')).toBe(
    'Every parameter is trained for 1 epoch in batches of 16 texts, with a peak learning rate of 2e-5. ' +
      'Texts have at most 256 tokens; longer ones are read in windows that share 32 tokens. Seed 42.',
  )
  expect(
    said('--lora-targets', 'layer\\.[01]\\..*query', '--freeze-head', '--batch-tokens', '512', '--accumulate', '2'),
  ).toMatch(
    /^LoRA adapters of rank 8 \(alpha 16\) on parameters named layer.* are trained for 3 epochs in batches of 512 tokens, 2 batches a step, /,
  )
})
