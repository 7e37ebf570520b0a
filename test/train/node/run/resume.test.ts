// What a resumed run says of what differs from where it began.
import { afterEach, expect, test, vi } from 'vitest'
import { warnOfChanges } from '../../../../train/node/run/resume.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

test.each([
  ['nothing', {}, ''],
  [
    'the adapter',
    { adapter: { name: 'A', driver: '1' } },
    'The run began on A; on B its numbers may differ in the last bits.\n',
  ],
  [
    'its driver',
    { adapter: { name: 'B', driver: '0' } },
    'The run began on 0; on 1 its numbers may differ in the last bits.\n',
  ],
  [
    'the version',
    { tilegrad: '0.1.0' },
    'The run began on tilegrad 0.1.0; on tilegrad 0.2.0 its numbers may differ in the last bits.\n',
  ],
])('where %s differs, that is one line', (_, changes, line) => {
  const written: string[] = []
  vi.spyOn(process.stderr, 'write').mockImplementation(text => written.push(String(text)) > 0)
  warnOfChanges(
    { config: { adapter: { name: 'B', driver: '1' }, tilegrad: '0.2.0', ...changes } },
    { name: 'B', driver: '1' },
    '0.2.0',
  )
  expect(written.join('')).toBe(line)
})
