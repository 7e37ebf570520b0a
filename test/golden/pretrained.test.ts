// A model that `tilegrad pretrain` saved predicts masked tokens as it does in Transformers.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { compile, currentDevice, scalar, tensor } from '../../engine/node/index.ts'
import { createMaskedModel, loadWeights, parseConfig } from '../../models/index.ts'
import { openWeights, readJson } from '../../models/node/files.ts'
import { loadTokenizer } from '../../models/node/tokenizer.ts'
import { forwardContext } from '../../models/nn.ts'

const FOLDER = join(import.meta.dirname, 'pretrained/model')
const { cases } = JSON.parse(await readFile(join(import.meta.dirname, 'pretrained/expected.json'), 'utf8')) as {
  cases: { text: string; ids: number[]; places: number[]; logits: number[][]; guesses: string[] }[]
}
afterAll(async () => (await currentDevice()).close())

test('a saved model has the tokens, the masked predictions and, to 1e-4, the logits that it has in Transformers', async () => {
  const tokenizer = await loadTokenizer(FOLDER)
  const model = createMaskedModel(parseConfig(await readJson(join(FOLDER, 'config.json')), FOLDER))
  const file = await openWeights(FOLDER)
  const { initialised, ignored } = await loadWeights(model, file, 1)
  await file.close()
  expect({ initialised, ignored }).toEqual({ initialised: [], ignored: [] })
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
      expect(row).toHaveLength(logits[i].length)
      row.forEach((value, k) => expect(Math.abs(value - logits[i][k]), `${text}, ${k}`).toBeLessThan(1e-4))
      expect(tokenizer.decode([row.indexOf(Math.max(...row))])).toBe(guesses[i])
    })
  }
})
