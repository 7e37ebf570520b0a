// The report as a browser shows it: on a phone, on a desk, and printed. Skipped where no Chromium is installed.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Chromium, findChromium } from '../../../support/chromium.ts'
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

  for (const name of Object.keys(tasks)) {
    test(`of ${name} fits a phone and a desk, with everything unfolded`, async () => {
      expect(await shown(name, PHONE, BEYOND), 'on a phone').toEqual([false, []])
      expect(await shown(name, DESK, BEYOND), 'on a desk').toEqual([false, []])
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
