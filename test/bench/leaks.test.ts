// Hundreds of calls of each kind leave nothing behind; `npm run bench:leaks` makes thousands.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

test('eager calls, forgotten compiled functions, unread results and variables leave no memory taken', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['bench/leaks.ts', '--calls', '200', '--json'], {
    cwd: root,
  })
  const { rows, bars } = JSON.parse(stdout) as { rows: { what: string }[]; bars: { what: string; met: boolean }[] }
  expect(rows.length).toBeGreaterThanOrEqual(7)
  expect(bars).toHaveLength(4 * rows.length)
  expect(bars.filter(({ met }) => !met)).toEqual([])
})
