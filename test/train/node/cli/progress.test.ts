// Progress for people: a bar on a terminal, plain lines elsewhere, and never a word on stdout.
import { spawnSync } from 'node:child_process'
import { PassThrough } from 'node:stream'
import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { describeProgress, Progress, showDuration } from '../../../../train/node/cli/progress.ts'

/** A stream that remembers what was written, a terminal if it has columns. */
function screen(columns?: number) {
  const pieces: string[] = []
  const stream = Object.assign(new PassThrough(), { isTTY: columns !== undefined, columns })
  stream.on('data', (piece: Buffer) => pieces.push(piece.toString()))
  return { stream, written: () => pieces.join('') }
}

describe('progress where there is no terminal', () => {
  test('is a line for the first step, one every few seconds, and one for the last step', () => {
    const { stream, written } = screen()
    let time = 0
    const progress = new Progress({ stream, interval: 5, now: () => time })
    progress.start('train', 20)
    for (let step = 1; step <= 20; step++) {
      time += 1000
      progress.update(step, { loss: 1 / step })
    }
    progress.stop()
    const steps = written()
      .split('\n')
      .map(line => line.split(' · ')[0])
    expect(steps).toEqual(['train 1/20', 'train 6/20', 'train 11/20', 'train 16/20', 'train 20/20', ''])
    expect(written()).not.toContain('\x1b')
  })

  test('tells phase, step, loss, accuracy, speed and time left, keeps figures that are not told again, and guesses nothing from the first step', () => {
    const { stream, written } = screen()
    let time = 0
    const progress = new Progress({ stream, interval: 0, now: () => time })
    progress.start('train', 100)
    time += 2000
    progress.update(1, { loss: 0.69314, accuracy: 0.512, examplesPerSecond: 8.25 })
    time += 2000
    progress.update(2, { loss: undefined, examplesPerSecond: 812.6 })
    expect(written().split('\n')).toEqual([
      'train 1/100 · loss 0.6931 · accuracy 51.2 % · 8.3 examples/s',
      'train 2/100 · loss 0.6931 · accuracy 51.2 % · 813 examples/s · 3 min 16 s left',
      '',
    ])
  })

  test('prints the last step once, however often it is told', () => {
    const { stream, written } = screen()
    const progress = new Progress({ stream, now: () => 0 })
    progress.start('fit (%)', 100)
    for (const percent of [0, 50, 100, 100]) progress.update(percent)
    expect(written().match(/^fit.*\d+\/100/gm)).toEqual(['fit (%) 0/100', 'fit (%) 100/100'])
  })

  test('counts the time left from the steps of this run, not from those before a resume', () => {
    const { stream, written } = screen()
    let time = 0
    const progress = new Progress({ stream, now: () => time })
    progress.start('train', 100, 89)
    time += 60_000
    progress.update(90)
    time += 3000
    progress.update(91)
    expect(written()).toBe('train 90/100\n')
    time += 3000
    progress.update(92)
    expect(written().split('\n')[1]).toBe('train 92/100 · 24 s left')
  })

  describe('while nothing moves', () => {
    afterEach(() => {
      vi.useRealTimers()
    })

    test('is a line every few seconds, on how long that has been or on what moved since, and none once it is over', () => {
      vi.useFakeTimers()
      const { stream, written } = screen()
      const progress = new Progress({ stream, interval: 5, now: () => Date.now() })
      progress.start('compile kernels')
      vi.advanceTimersByTime(11_000)
      progress.start('train', 20)
      vi.advanceTimersByTime(3000)
      progress.update(1, { loss: 0.5 })
      vi.advanceTimersByTime(6000)
      progress.update(2)
      vi.advanceTimersByTime(4000)
      progress.stop()
      vi.advanceTimersByTime(60_000)
      expect(written().split('\n')).toEqual([
        'compile kernels · waiting for 5 s',
        'compile kernels · waiting for 10 s',
        'train 1/20 · loss 0.5000',
        'train 1/20 · waiting for 5 s',
        'train 2/20 · loss 0.5000 · 1 min 48 s left',
        '',
      ])
    })
  })

  test('starts afresh with each phase and prints notes as they are', () => {
    const { stream, written } = screen()
    const progress = new Progress({ stream, now: () => 0 })
    progress.update(3)
    progress.start('train', 2)
    progress.update(1, { loss: 1 })
    progress.note('saved')
    progress.start('evaluate', 5)
    progress.update(1)
    progress.stop()
    progress.stop()
    expect(written()).toBe('train 1/2 · loss 1.0000\nsaved\nevaluate 1/5\n')
  })
})

describe('progress on a terminal', () => {
  test('is a bar that fills, with the figures beside it, and notes above it', () => {
    const { stream, written } = screen(120)
    const progress = new Progress({ stream })
    progress.start('train', 4)
    progress.update(2, { loss: 0.5, accuracy: 0.75 })
    progress.note('saved')
    progress.update(4)
    progress.stop()
    expect(written()).toContain('train ░░░░░░░░░░░░░░░░░░░░ 0/4')
    expect(written()).toContain('train ██████████░░░░░░░░░░ 2/4 · loss 0.5000 · accuracy 75.0 %')
    expect(written()).toContain('\r\x1b[Ksaved\n')
    expect(written()).toMatch(/train ████████████████████ 4\/4[^\n]*\n$/)
  })

  test('fits the terminal, however narrow', () => {
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 100 }), fc.integer({ min: 0, max: 50 }), (columns, step) => {
        const { stream, written } = screen(columns)
        const progress = new Progress({ stream })
        progress.start('train', 50)
        progress.update(step, { loss: 12.3456, accuracy: 1, examplesPerSecond: 12345 })
        progress.stop()
        const lines = written().split(/\x1b\[[0-9?]*[A-Za-z]|[\r\n]/)
        for (const line of lines) expect(line.length).toBeLessThan(columns)
      }),
      { numRuns: 20 },
    )
  })

  test('hides no cursor, leaves line wrapping on, and leaves Ctrl-C to others', () => {
    const listeners = () => process.listenerCount('SIGINT') + process.listenerCount('SIGTERM')
    const before = listeners()
    const { stream, written } = screen(80)
    const progress = new Progress({ stream })
    progress.start('train', 4)
    expect(listeners()).toBe(before)
    progress.stop()
    expect(written()).not.toContain('\x1b[?25l')
    expect(written()).not.toContain('\x1b[?7l')
  })

  test('of no steps at all is shown without fuss', () => {
    const { stream, written } = screen(80)
    const progress = new Progress({ stream })
    progress.start('evaluate', 0)
    progress.stop()
    expect(written()).toContain('evaluate ░░░░░░░░░░░░░░░░░░░░ 0/0')
  })
})

describe('progress', () => {
  test('writes nothing to stdout, and refuses to', () => {
    expect(() => new Progress({ stream: process.stdout })).toThrow('stdout is for results')
    const script = `
      const { Progress } = await import(${JSON.stringify(new URL('../../../../train/node/cli/progress.ts', import.meta.url).href)})
      const progress = new Progress()
      progress.start('train', 2)
      progress.update(1, { loss: 1 })
      progress.note('between')
      progress.update(2)
      progress.stop()`
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    })
    expect(stdout).toBe('')
    expect(stderr.split('\n').filter(line => /^(train|between)/.test(line))).toHaveLength(3)
  })

  test('says durations as people do', () => {
    expect([0.4, 59.4, 59.6, 185, 3599.6, 7620].map(showDuration)).toEqual([
      '0 s',
      '59 s',
      '1 min 00 s',
      '3 min 05 s',
      '1 h 00 min',
      '2 h 07 min',
    ])
  })

  test('leaves out what it does not know', () => {
    expect(describeProgress({ phase: 'test', step: 0, total: 9 })).toBe('test 0/9')
  })
})

test.each([undefined, 60])(
  'names and notes from files and servers cannot move the cursor or clear the screen (columns: %s)',
  columns => {
    const { stream, written } = screen(columns)
    const progress = new Progress({ stream, interval: 0 })
    progress.start('fetching a\x1b[2J\u009bJ\u202e.parquet', 2)
    progress.update(1)
    progress.note('note\x1b[1;1H\rover')
    progress.stop()
    expect(written()).toContain('fetching a\\x1b[2J\\x9bJ\\u202e.parquet')
    expect(written()).toContain('note\\x1b[1;1H\\x0dover\n')
    expect(written()).not.toMatch(/\x1b\[(2J|1;1H)|\rover|[\u0080-\u009f\u202e]/)
  },
)
