// What is drawn on a terminal, and how it is left.
import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { Screen } from '../../../../train/node/cli/screen.ts'

function screenOf(columns: number, rows: number) {
  const pieces: string[] = []
  const stream = Object.assign(new PassThrough(), { isTTY: true, columns, rows })
  stream.on('data', (piece: Buffer) => pieces.push(piece.toString()))
  return { screen: new Screen(stream), written: () => pieces.splice(0).join('') }
}

test('a text is drawn over the one before, and what that had more is cleared', () => {
  const { screen, written } = screenOf(80, 24)
  expect(screen.isTerminal).toBe(true)
  screen.draw('one\ntwo\nthree')
  expect(written()).toBe('\x1b[Hone\x1b[K\ntwo\x1b[K\nthree\x1b[K\n\x1b[J')
  screen.draw('four')
  expect(written()).toBe('\x1b[Hfour\x1b[K\n\x1b[J')
  screen.clear()
  expect(written()).toBe('\x1b[H\x1b[J')
})

test('more than fits is cut, so that nothing wraps or scrolls', () => {
  const { screen, written } = screenOf(10, 4)
  screen.draw(Array.from({ length: 6 }, (_, i) => `${i} is a line of text`).join('\n'))
  const lines = written()
    .replaceAll(/\x1b\[[HJK]/g, '')
    .split('\n')
  expect(lines).toEqual(['0 is a lin', '1 is a lin', '… 4 more l', ''])
})

test('a terminal needs nothing to be undone: the cursor is shown, and the text ends with its line', () => {
  const { screen, written } = screenOf(80, 24)
  screen.draw('a name with \x1b[?25l in it\nsecond')
  const text = written()
  expect(text).not.toContain('\x1b[?')
  expect(text.endsWith('second\x1b[K\n\x1b[J')).toBe(true)
})

test('a pipe is no terminal', () => expect(new Screen(new PassThrough()).isTerminal).toBe(false))
