// Figures on disk are numbers: NaN and ∞, which JSON would turn into null, are refused.
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { NonFinite } from '../../../../engine/errors.ts'
import { Checkpoints } from '../../../../train/node/run/checkpoints.ts'
import { classRecords, finiteJson } from '../../../../train/node/run/json.ts'
import { Run } from '../../../../train/node/run/folder.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tilegrad-json-'))
})
afterAll(() => rm(folder, { recursive: true }))

test('JSON of figures names the field that is not finite, wherever it is', () => {
  expect(finiteJson({ step: 1, best: null, list: [1e308, -0.5] }, 'there')).toBe(
    '{"step":1,"best":null,"list":[1e+308,-0.5]}',
  )
  for (const bad of [NaN, Infinity, -Infinity]) {
    expect(() => finiteJson({ a: { loss: bad } }, 'there')).toThrow(
      new NonFinite(`there: loss is ${bad}, which is not a valid result`),
    )
    expect(() => finiteJson({ a: [1, bad] }, 'there')).toThrow(NonFinite)
  }
})

test('metrics, results and positions with such figures are not written', async () => {
  const run = new Run(folder, {})
  expect(() => run.appendMetrics({ step: 3, loss: NaN })).toThrow(/metrics\.jsonl: loss is NaN/)
  await expect(run.writeResult({ test_loss: Infinity })).rejects.toThrow(/result\.json: test_loss is Infinity/)
  const position = { step: 1, epoch: 1, stepInEpoch: 0, batches: 1, best: { step: 1, epoch: 1, score: 0.5, loss: NaN } }
  await expect(new Checkpoints(join(folder, 'checkpoints')).save(position, [])).rejects.toThrow(
    /position\.json: loss is NaN/,
  )
  expect(await readdir(folder)).not.toContain('metrics.jsonl')
  expect(await run.finished()).toBe(false)
  expect(await readdir(folder)).not.toContain('checkpoints')
})

test('scores of classes have the names of the metrics, and null where one is not defined', () => {
  const scores = { precision: 1, recall: 0.5, f1: 2 / 3, support: 4 }
  expect(
    classRecords([
      { name: 'a', ...scores, rocAuc: 0.75, averagePrecision: undefined },
      { name: 'PER', ...scores },
    ]),
  ).toEqual([
    { name: 'a', ...scores, roc_auc: 0.75, average_precision: null },
    { name: 'PER', ...scores, roc_auc: null, average_precision: null },
  ])
})
