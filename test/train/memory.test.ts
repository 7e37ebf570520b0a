// Training for longer takes no more memory.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import type { Holding } from '../support/long-run.ts'

test('500 steps leave as many GPU buffers and as much process memory as there were before them', async () => {
  const script = fileURLToPath(new URL('../support/long-run.ts', import.meta.url))
  // A process of its own: what other tests have left would be given back in the middle of this one. Its allocators are
  // kept from growing in their own time: V8's young generation doubles, glibc has an arena for each of a driver's
  // threads.
  const { stdout } = await promisify(execFile)(process.execPath, ['--max-semi-space-size=1', script], {
    env: { ...process.env, MALLOC_ARENA_MAX: '1' },
  })
  const lines = stdout.split('\n').filter(line => line.startsWith('{'))
  const all = lines.map((line): Holding => JSON.parse(line) as Holding)
  console.log(
    all
      .map(
        ({ step, buffers, bytes, heap, rss }) =>
          `step ${step}: ${buffers} buffers, ${bytes} B, heap ${(heap / 1e6).toFixed(1)} MB, process ${(rss / 1e6).toFixed(1)} MB`,
      )
      .join('\n'),
  )
  expect(all.map(({ step }) => step)).toEqual([100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1100])
  // The first 600 fill caches: drivers compile, the JavaScript engine optimises, freed buffers wait for reuse.
  const [before, ...after] = all.slice(5)
  for (const { buffers, bytes, heap } of after) {
    expect(buffers).toBeLessThanOrEqual(before.buffers)
    expect(bytes).toBeLessThanOrEqual(before.bytes)
    expect(heap).toBeLessThan(before.heap + 1e6)
  }
  // The process's memory leaps now and then by some megabytes of its driver's and stays there; what leaks grows all the
  // time: 10 kB a step would be too much.
  const growth = all
    .slice(3)
    .map(({ rss }, i) => rss - all[i + 2].rss)
    .sort((a, b) => a - b)
  expect(growth[growth.length >> 1]).toBeLessThan(100 * 10e3)
})
