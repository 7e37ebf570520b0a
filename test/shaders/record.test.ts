// Every kernel's launches are as they were recorded: WGSL, bindings, uniform words and workgroup counts.
import { beforeAll, expect, test } from 'vitest'
import { wrongKernels } from '../gradcheck/planted/kernels.ts'
import { stalePatterns } from '../gradcheck/planted/plant.ts'
import { currentTexts, differences, hashesOf, recordedHashes, shadersOf } from './record/record.ts'

const STEP = 64

let texts: ReadonlyMap<string, string>
beforeAll(async () => {
  texts = await currentTexts()
})

test('kernels are as recorded; `npm run kernels:record -- --diff HEAD` shows changes, `-- --update` accepts them', async () => {
  expect(differences(await recordedHashes(), hashesOf(texts))).toEqual([])
})

test('an entry that changed, appeared or went is named', () => {
  const [before, after] = [
    new Map([
      ['a', '1'],
      ['b', '1'],
      ['c', '1'],
    ]),
    new Map([
      ['a', '1'],
      ['b', '2'],
      ['d', '1'],
    ]),
  ]
  expect(differences(before, after)).toEqual(['changed: b', 'gone: c', 'new: d'])
})

test('every pattern of a planted mistake (test/gradcheck/planted) changes some recorded kernel', () => {
  // Kernels of all kinds early, so that most patterns are found soon.
  const shaders = [...shadersOf(texts.values())]
  const mixed = Array.from({ length: STEP }, (_, first) => shaders.filter((_shader, i) => i % STEP === first)).flat()
  expect(
    wrongKernels.flatMap(({ where, name, rewrite }) =>
      (rewrite ? stalePatterns(rewrite, mixed) : []).map(pattern => `${where}: ${name}: ${pattern}`),
    ),
  ).toEqual([])
  expect(
    stalePatterns(
      {
        shaders: /^\/\/ matmul/m,
        changes: [
          [/sum/, 'total'],
          [/no such text/, ''],
        ],
      },
      mixed,
    ),
  ).toEqual(['/no such text/'])
  expect(stalePatterns({ shaders: /no such kernel/, changes: [[/sum/, 'total']] }, mixed)).toEqual(['/no such kernel/'])
})
