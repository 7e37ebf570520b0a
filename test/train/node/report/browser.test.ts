// The report as a browser shows it: on a phone, on a desk, and printed. Skipped where no Chromium is installed.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Chromium, findChromium } from '../../../support/chromium.ts'
import { comparisonPage, comparisons } from '../../../support/comparison-pages.ts'
import { pageOf, tasks } from '../../../support/report-pages.ts'

const path = findChromium()
const PHONE = { width: 375, height: 667 }
const DESK = { width: 1280, height: 900 }

describe.skipIf(path === undefined)(path === undefined ? 'a report (no Chromium on PATH)' : 'a report', () => {
  let folder = ''
  let chromium: Chromium | undefined
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tilegrad-report-'))
    chromium = await Chromium.start(path ?? '')
    for (const name of Object.keys(tasks)) await writeFile(join(folder, `${name}.html`), pageOf(name))
    for (const name of Object.keys(comparisons)) await writeFile(join(folder, `${name}.html`), comparisonPage(name))
  })
  afterAll(async () => {
    await chromium?.close()
    await rm(folder, { recursive: true, force: true })
  })

  /** Opens the page with everything unfolded, and gives the value of an expression in it. */
  const shown = async (name: string, view: Parameters<Chromium['open']>[1], expression: string): Promise<unknown> => {
    await chromium?.open(join(folder, `${name}.html`), view)
    return chromium?.evaluate(expression)
  }

  /** Elements that reach beyond the page's width, unless a box of their own scrolls. */
  const BEYOND = `(() => {
    for (const one of document.querySelectorAll('details')) one.open = true
    const width = document.documentElement.clientWidth
    const beyond = [...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > width + 1
      && !one.closest('.scroll') && !one.closest('pre') && !one.closest('.unseen'))
    return [document.documentElement.scrollWidth > width, beyond.map(one => one.outerHTML.slice(0, 80))]
  })()`

  /** Boxes whose content is wider than they are: what does not scroll on paper is cut off. */
  const CUT = `(() => {
    for (const one of document.querySelectorAll('details')) one.open = true
    return [...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth + 1)
      .map(one => one.getAttribute('aria-label'))
  })()`

  /** Texts of charts that lie on one another or on a point, or reach out of their chart. */
  const OVERLAPS = `(() => {
    const found = []
    for (const chart of document.querySelectorAll('figure > svg')) {
      const whole = chart.getBoundingClientRect()
      if (whole.width === 0) continue
      const texts = [...chart.querySelectorAll('text')].map(one => ({ text: one.textContent, box: one.getBoundingClientRect() }))
      const points = [...chart.querySelectorAll('path')].map(one => one.getBoundingClientRect())
        .filter(({ width, height }) => width > 5 && width < 11 && height > 5 && height < 11)
      for (const [i, { text, box }] of texts.entries()) {
        const covered = points.some(({ left, width, top, height }) => left + width / 2 > box.left && left + width / 2 < box.right
          && top + height / 2 > box.top + 3 && top + height / 2 < box.bottom - 3)
        if (covered) found.push([text, 'on a point'])
        if (box.left < whole.left - 1 || box.right > whole.right + 1 || box.top < whole.top - 1 || box.bottom > whole.bottom + 1)
          found.push([text, 'outside'])
        for (const other of texts.slice(i + 1)) {
          const width = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left)
          const height = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top)
          // The boxes of lines of text are a little higher than their letters.
          if (width > 1 && height > 4) found.push([text, other.text])
        }
      }
    }
    return found
  })()`

  const PAPER = { width: 720, height: 1000, media: 'print' } as const

  for (const name of [...Object.keys(tasks), ...Object.keys(comparisons)]) {
    const whole = `[${BEYOND}, ${OVERLAPS}]`

    test(`of ${name} fits a phone and a desk, with everything unfolded and no text on another in its charts`, async () => {
      expect(await shown(name, PHONE, whole), 'on a phone').toEqual([[false, []], []])
      expect(await shown(name, DESK, whole), 'on a desk').toEqual([[false, []], []])
    })

    test(`of ${name} has no table that is cut off on paper`, async () => {
      expect(await shown(name, PAPER, CUT)).toEqual([])
    })

    test(`of ${name} says how good and at what cost on a phone's first screen`, async () => {
      const bottom = await shown(name, PHONE, `document.querySelector('#cost').getBoundingClientRect().bottom`)
      expect(bottom).toBeGreaterThan(300)
      expect(bottom).toBeLessThanOrEqual(PHONE.height)
    })
  }

  test('is dark in the dark scheme, and light where it is printed', async () => {
    const colour = 'getComputedStyle(document.body).backgroundColor'
    expect(await shown('two classes', { ...DESK, scheme: 'dark' }, colour)).toBe('rgb(15, 18, 22)')
    expect(await shown('two classes', { ...DESK, scheme: 'dark', media: 'print' }, colour)).toBe('rgb(255, 255, 255)')
  })
})
