// What follows from the costs of test files: the quick ones, the lines that a run prints; and in which process each runs.
import { globSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { projects } from '../../vitest.config.ts'
import { isQuick, progress, recordedCosts, slowest } from './costs.ts'
import { ALONE, OWN_PROCESS } from './processes.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const all = globSync('test/**/*.test.ts', { cwd: root }).map(file => file.replaceAll('\\', '/'))
const filesOf = (made: ReturnType<typeof projects>): string[] => made.flatMap(({ test }) => test?.include ?? [])
const costs = { 'a.test.ts': 60, 'b.test.ts': 30, 'c.test.ts': 1 }

describe('progress', () => {
  test('tells the time left by what files cost, not by how many they are', () => {
    expect(progress(costs, ['a.test.ts'], ['a.test.ts', 'b.test.ts'], 100)).toBe('1 of 2 files, about 50 s left')
    expect(progress(costs, ['b.test.ts'], ['a.test.ts', 'b.test.ts'], 100)).toBe('1 of 2 files, about 3 min left')
  })

  test('tells no time before a twentieth is done, nor at the end', () => {
    expect(progress(costs, ['c.test.ts'], ['a.test.ts', 'b.test.ts', 'c.test.ts'], 1)).toBe('1 of 3 files')
    expect(progress(costs, ['a.test.ts'], ['a.test.ts'], 1)).toBe('1 of 1 files')
  })
})

test('the slowest files are listed by the clock, slowest first', () => {
  const files = [
    { file: 'a', seconds: 1, cost: 3 },
    { file: 'b', seconds: 20, cost: undefined },
    { file: 'c', seconds: 0.5, cost: 0.5 },
  ]
  expect(slowest(files, 2)).toEqual(['   20.0 s         –  b', '    1.0 s     3.0 s  a'])
})

test('a file is quick once it is measured, and cheap', () => {
  expect(isQuick(costs, 'a.test.ts')).toBe(false)
  expect(isQuick(costs, 'c.test.ts')).toBe(true)
  expect(isQuick(costs, 'new.test.ts')).toBe(false)
})

test('test:quick runs many files, and none of those that cost much', () => {
  const costs = recordedCosts()
  const chosen = filesOf(projects(file => isQuick(costs, file)))
  expect(chosen.length).toBeGreaterThan(all.length / 3)
  expect(chosen.filter(file => !isQuick(costs, file))).toEqual([])
})

test('each file runs once, and every pattern of files that run apart from others has some', () => {
  expect(filesOf(projects()).toSorted()).toEqual(all.toSorted())
  const unused = [...OWN_PROCESS, ...ALONE].filter(pattern => globSync(pattern, { cwd: root }).length === 0)
  expect(unused).toEqual([])
})
