// The page of an overview: for every kind of data, escaped, with the numbers of its pictures; and as a browser shows it.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TASKS } from '../../../../train/node/bundled/tasks/tasks.ts'
import { BUNDLED } from '../../../../train/node/jobs/job.ts'
import type { Overview } from '../../../../train/node/jobs/overview/result.ts'
import { renderOverview } from '../../../../train/node/report/overview.ts'
import { Chromium, findChromium } from '../../../support/chromium.ts'
import { overviewAt } from '../../../support/overviews.ts'

const tokenizer = [`--tokenizer=${join(BUNDLED.model, 'tokenizer.json')}`]
const pageOf = (overview: Overview, name = 'films'): string =>
  renderOverview({
    overview,
    name,
    createdAt: '2026-11-30T03:00:00.000Z',
    version: '1.2.3',
    command: 'tilegrad overview films',
  })

let folder = ''
const overviews = new Map<string, Overview>()
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tilegrad-overview-page-'))
  const data = join(folder, 'odd.csv')
  // Long words, markup, repeated and nearly equal texts, a third of them with another label.
  const long = Array.from({ length: 60 }, (_, i) => `word${i}`).join(' ')
  const rows = Array.from({ length: 40 }, (_, i) => [
    `text ${i % 30} <script>alert(1)</script>`,
    `class ${(i + Math.floor(i / 30)) % 3}`,
  ])
  rows.push([long, 'class 0'], [`${long} end`, 'class 1'], ['x'.repeat(900), 'class 2'], ['Привет мир', 'class 2'])
  await writeFile(data, `text,label\n${rows.map(row => `${row.join(',')}\n`).join('')}`)
  overviews.set('odd', await overviewAt([`--data=${data}`, ...tokenizer], [8, 16, 64, 512]))
  for (const { name, args, columns } of TASKS)
    overviews.set(name, await overviewAt([args[0], ...columns, ...tokenizer], [16, 32, 64]))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const overviewOf = (name: string): Overview => {
  const found = overviews.get(name)
  if (!found) throw new Error(`no overview ${name}`)
  return found
}

describe('the page of an overview', () => {
  test('is one file without scripts or addresses, and shows no text as markup', () => {
    const page = pageOf(overviewOf('odd'))
    expect(page).toContain('&lt;script&gt;alert(1)')
    expect(page).not.toMatch(/<script|<link|\ssrc=|url\((?!#)/i)
    expect(page.replace(/xmlns[\w:]*="[^"]*"/g, '')).not.toMatch(/https?:/)
  })

  test('is the same for the same overview', () => {
    expect(pageOf(overviewOf('odd'))).toBe(pageOf(overviewOf('odd')))
  })

  test('has the numbers of each picture, and a name and a unit at each axis', () => {
    const page = pageOf(overviewOf('odd'))
    const figures = page.match(/<figure>[\s\S]*?<\/figure>/g) ?? []
    // Characters and tokens of two sets, tokens lost, time.
    expect(figures).toHaveLength(6)
    for (const one of figures) expect(one).toMatch(/<summary>Numbers<\/summary>[\s\S]*<table/)
    expect(figures.every(one => /characters<\/text>|tokens<\/text>/.test(one))).toBe(true)
    expect(figures.at(-1)).toContain('time, multiple of that at 512</text>')
  })

  test('shows rows with different labels, nearly equal ones and odd ones by set and number', () => {
    const overview = overviewOf('odd')
    const page = pageOf(overview)
    expect(overview.duplicates.conflicts.length).toBeGreaterThan(0)
    expect(page).toContain('Equal texts with different labels')
    expect(page).toMatch(/Examples: script<\/summary>[\s\S]*Привет мир/)
  })

  test('is made for every kind of data', () => {
    for (const { name } of TASKS) expect(pageOf(overviewOf(name), name), name).toContain('Telling words')
    expect(pageOf(overviewOf('ratings'))).toContain('Labels that are numbers')
    expect(pageOf(overviewOf('answers'))).toContain('Length of second texts in characters')
  })
})

const path = findChromium()
describe.skipIf(path === undefined)(path === undefined ? 'in a browser (no Chromium on PATH)' : 'in a browser', () => {
  let chromium: Chromium | undefined
  beforeAll(async () => {
    chromium = await Chromium.start(path ?? '')
    for (const name of ['odd', 'genres', 'answers'])
      await writeFile(join(folder, `${name}.html`), pageOf(overviewOf(name), name))
  })
  afterAll(() => chromium?.close())

  /** Elements that reach beyond the page's width, unless a box of their own scrolls. */
  const BEYOND = `(() => {
    for (const one of document.querySelectorAll('details')) one.open = true
    const width = document.documentElement.clientWidth
    const beyond = [...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > width + 1
      && !one.closest('.scroll') && !one.closest('pre') && !one.closest('.unseen'))
    return [document.documentElement.scrollWidth > width, beyond.map(one => one.outerHTML.slice(0, 80))]
  })()`

  test('the page fits a phone and a desk, with everything unfolded', async () => {
    for (const name of ['odd', 'genres', 'answers']) {
      for (const width of [375, 1280]) {
        await chromium?.open(join(folder, `${name}.html`), { width, height: 800 })
        expect(await chromium?.evaluate(BEYOND), `${name} at ${width}`).toEqual([false, []])
      }
    }
  })

  test("what to know is on a phone's first screen", async () => {
    await chromium?.open(join(folder, 'genres.html'), { width: 375, height: 667 })
    const bottom = await chromium?.evaluate(`document.querySelector('#know').getBoundingClientRect().bottom`)
    expect(bottom).toBeGreaterThan(200)
    expect(bottom).toBeLessThanOrEqual(667)
  })
})
