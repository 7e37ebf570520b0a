// What the command line says of other people's text: nothing that a terminal obeys, on either stream.
import { afterEach, expect, test, vi } from 'vitest'
import { Console } from '../../../../train/node/cli/console.ts'
import { print } from '../../../../train/node/cli/output.ts'

afterEach(() => vi.restoreAllMocks())

test('labels and names from files cannot reach the terminal as control characters', () => {
  const written: string[] = []
  for (const stream of [process.stdout, process.stderr]) {
    vi.spyOn(stream, 'write').mockImplementation(text => written.push(String(text)) > 0)
  }
  const label = 'good\x1b]0;title\x07\u009b31m\x7f\u2028'
  new Console(false).say(`first ${label}\nsecond`)
  new Console(true).say(label)
  new Console(true).result({ label })
  expect(written).toHaveLength(3)
  expect(written[0]).toBe('first good\\x1b]0;title\\x07\\x9b31m\\x7f\\u2028\nsecond\n')
  expect(written.join('')).not.toMatch(/[^\P{Cc}\n]|\u2028/u)
  expect(JSON.parse(written[2])).toEqual({ label })
})

test('long output is escaped for a terminal, and as it is for a pipe or a file', async () => {
  const written: string[] = []
  vi.spyOn(process.stdout, 'write').mockImplementation(text => written.push(String(text)) > 0)
  const { isTTY } = process.stdout
  try {
    for (const terminal of [true, false]) {
      process.stdout.isTTY = terminal
      await print('label\t\x1b[2J text\n')
    }
  } finally {
    process.stdout.isTTY = isTTY
  }
  expect(written).toEqual(['label\\t\\x1b[2J text\n', 'label\t\x1b[2J text\n'])
})
