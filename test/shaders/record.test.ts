// Every kernel's launches are as they were recorded: WGSL, bindings, uniform words and workgroup counts.
import { expect, test } from 'vitest'
import { currentTexts, differences, hashesOf, recordedHashes } from './record/record.ts'

test('kernels are as recorded; `npm run kernels:record -- --diff HEAD` shows changes, `-- --update` accepts them', async () => {
  expect(differences(await recordedHashes(), hashesOf(await currentTexts()))).toEqual([])
})

test('an entry that changed, appeared or went is named', () => {
  const [before, after] = [new Map([['a', '1'], ['b', '1'], ['c', '1']]), new Map([['a', '1'], ['b', '2'], ['d', '1']])]
  expect(differences(before, after)).toEqual(['changed: b', 'gone: c', 'new: d'])
})
