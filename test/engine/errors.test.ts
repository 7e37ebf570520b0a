// What a user is told: one line that a terminal can show, whatever names and texts from files it repeats.
import { expect, test } from 'vitest'
import { UserError } from '../../engine/errors.ts'

test('control characters and marks that reorder text are shown as escapes', () => {
  const { message } = new UserError('a\x1b[2Jb\rc\nd\te\x7ff\x9b31mg\u2028h\u202ei é 二 😀')
  expect(message).toBe(String.raw`a\x1b[2Jb\x0dc\nd\te\x7ff\x9b31mg\u2028h\u202ei é 二 😀`)
})

test('a long message loses its middle and stays below 500 characters', () => {
  const { message } = new UserError(`config.json: ${'😀'.repeat(1000)} is not a label`)
  expect(message.length).toBeLessThan(500)
  expect(message).toMatch(/^config\.json: .* … .* is not a label$/u)
  expect(message.isWellFormed()).toBe(true)
  const escaped = new UserError('\x1b'.repeat(1000)).message
  expect(escaped.length).toBeLessThan(500)
})
