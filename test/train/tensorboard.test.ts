// TensorBoard's events, byte for byte as its own classes write them (test/golden/tensorboard).
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type MetricsLine, crc32c, firstRecord, recordOf } from '../../train/tensorboard.ts'

const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../golden/tensorboard/${name}`, import.meta.url), 'utf8'))

test('checksums are those that RFC 3720 lists', () => {
  expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283)
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa)
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43)
})

test('lines of metrics become the file that TensorBoard writes', () => {
  const { began, lines } = read('cases.json') as { began: number; lines: MetricsLine[] }
  const { file } = read('expected.json') as { file: string }
  const records = lines.flatMap(line => recordOf(line, began) ?? [])
  expect(Buffer.concat([firstRecord(began), ...records]).toString('hex')).toBe(file)
})

test('a line without figures gives no record', () => {
  expect(recordOf({ step: 3, wall_seconds: 1, skipped: 'not finite', loss: null }, 0)).toBeUndefined()
})
