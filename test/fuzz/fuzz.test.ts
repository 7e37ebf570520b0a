// The fuzzer's past finds stay mended, it finds what is planted, and a few seconds of it find nothing. `npm run fuzz`
// runs it for longer.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { UserError } from '../../engine/errors.ts'
import { judge } from './judge.ts'
import { changeJson, inputOf, randomFrom } from './mutate.ts'
import { fuzz, replay } from './runner.ts'
import { targets } from './targets/index.ts'
import { plantedTargets } from './targets/planted.ts'

const corpus = join(import.meta.dirname, 'corpus')

test('past finds end in one short line, or are read', async () => {
  const inputs: { target: string; input: Uint8Array; name: string }[] = []
  for (const target of await readdir(corpus)) {
    expect(targets.map(({ name }) => name)).toContain(target)
    for (const name of await readdir(join(corpus, target))) {
      inputs.push({ target, input: await readFile(join(corpus, target, name)), name: `${target}/${name}` })
    }
  }
  expect(inputs.length).toBeGreaterThan(5)
  expect(await replay(inputs)).toEqual([])
})

test('a few seconds of fuzzing find nothing', async () => {
  const { reports, finds } = await fuzz(targets, { seconds: 5, seed: 17, processes: 1 })
  expect(finds.map(({ target, verdict }) => ({ target, verdict }))).toEqual([])
  expect(reports.reduce((sum, { runs }) => sum + runs, 0)).toBeGreaterThan(20)
})

test.skipIf(process.platform !== 'linux')(
  'hangs, memory above a gigabyte, crashes and lost rejections are found',
  async () => {
    const inputs = plantedTargets.map(({ name }) => ({ target: name, input: new Uint8Array(1), name }))
    const isHang = ({ name }: { name: string }): boolean => name.endsWith('/hang')
    const found = [...(await replay(inputs.filter(isHang), 700)), ...(await replay(inputs.filter(one => !isHang(one))))]
    expect(found.map(({ name, verdict }) => [name, verdict.kind])).toEqual([
      ['planted/hang', 'hang'],
      ['planted/memory', 'memory'],
      ['planted/crash', 'crash'],
      ['planted/exception', 'exception'],
      ['planted/unhandled', 'exception'],
    ])
  },
)

test('other exceptions, and messages that a terminal cannot show on one line, are finds', () => {
  expect(judge(new UserError('data.csv is empty'))).toBeUndefined()
  expect(judge(new TypeError('x is undefined'))?.kind).toBe('exception')
  expect(judge('text')?.kind).toBe('exception')
  for (const message of ['', 'two\nlines', 'a\u001b[2Jb', 'c\u0085d', 'e'.repeat(500), '\ud83c']) {
    const error = Object.assign(new Error(message), { name: 'UserError' })
    expect(judge(error)?.kind, JSON.stringify(message)).toBe('message')
  }
})

test('inputs follow from the seed, the target and their number', async () => {
  const [target] = targets
  const seeds = await target.seeds()
  const inputs = Array.from({ length: 50 }, (_, index) => inputOf(target, seeds, 3, index))
  expect(Array.from({ length: 50 }, (_, index) => inputOf(target, seeds, 3, index))).toEqual(inputs)
  expect(new Set(inputs.map(String)).size).toBeGreaterThan(45)
  const random = randomFrom('json')
  const changed = new Set(Array.from({ length: 50 }, () => changeJson('{"a": [1, 2, {"b": null}]}', random)))
  expect(changed.size).toBeGreaterThan(20)
})
