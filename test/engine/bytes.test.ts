// Numbers of bytes for people.
import { expect, test } from 'vitest'
import { showBytes } from '../../engine/bytes.ts'

test('bytes are shown in the decimal unit that keeps them below 1000', () => {
  const shown = [0, 999, 1000, 27_912_345, 999_400, 999_600, 16_384_000e6, 2 ** 31, 1e18].map(showBytes)
  expect(shown).toEqual(['0 B', '999 B', '1 kB', '27.9 MB', '999 kB', '1 MB', '16.4 TB', '2.15 GB', '1000000 TB'])
})
