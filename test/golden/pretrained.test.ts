// Models that `tilegrad pretrain` saved, the bundled one among them, predict masked tokens as they do in Transformers.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { compile, currentDevice, scalar, tensor } from '../../engine/node/index.ts'
import { createMaskedModel, loadWeights, parseConfig } from '../../models/index.ts'
import { openWeights, readJson } from '../../models/node/files.ts'
import { loadTokenizer } from '../../models/node/tokenizer.ts'
import { forwardContext } from '../../models/nn.ts'

const HERE = join(import.meta.dirname, 'pretrained')
interface Case {
  readonly text: string
  readonly ids: number[]
  readonly places: number[]
  readonly logits: number[][]
  readonly guesses: string[]
}
const { models } = JSON.parse(await readFile(join(HERE, 'expected.json'), 'utf8')) as {
  models: { folder: string; every: number; cases: Case[] }[]
}
afterAll(async () => (await currentDevice()).close())

const saved =
  'a saved model has the tokens, the masked predictions and, to 1e-4, the logits that it has in Transformers'
test.each(models)(`${saved}: $folder`, async ({ folder, every, cases }) => {
  const path = join(HERE, folder)
  const tokenizer = await loadTokenizer(path)
  const model = createMaskedModel(parseConfig(await readJson(join(path, 'config.json')), path))
  const file = await openWeights(path)
  const { initialised, ignored } = await loadWeights(model, file, 1)
  await file.close()
  expect(initialised).toEqual([])
  expect(ignored.every(name => name.startsWith('bert.pooler.'))).toBe(true)
  for (const { text, ids, places, logits, guesses } of cases) {
    expect(tokenizer.encode(text).ids).toEqual(ids)
    const inputs = tensor(Int32Array.from(ids), [1, ids.length])
    const mask = tensor(new Int32Array(ids.length).fill(1), [1, ids.length])
    const at = tensor(Int32Array.from(places), [places.length])
    const context = forwardContext({ training: false, seed: 1, step: scalar(0, 'u32') })
    const data = await compile(() => ({ out: model.maskedLogits({ ids: inputs, mask }, at, context) }))().then(
      ({ out }) => out.data(),
    )
    const width = data.length / places.length
    const rows = places.map((_, i) => Array.from(data.subarray(i * width, (i + 1) * width)))
    rows.forEach((row, i) => {
      const kept = row.filter((_, k) => k % every === 0)
      expect(kept).toHaveLength(logits[i].length)
      kept.forEach((value, k) => expect(Math.abs(value - logits[i][k]), `${text}, ${k}`).toBeLessThan(1e-4))
      expect(tokenizer.decode([row.indexOf(Math.max(...row))])).toBe(guesses[i])
    })
  }
})
