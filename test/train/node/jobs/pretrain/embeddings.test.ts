// Embeddings from counts: which vocabularies are small enough, and that a stop leaves them as they were. What they are
// is tested in cooccurrence.test.ts, and that a run begins with them in pretrain.test.ts.
import { afterAll, expect, test } from 'vitest'
import { UserError } from '../../../../../engine/errors.ts'
import { currentDevice } from '../../../../../engine/node/index.ts'
import { createMaskedModel, initialise } from '../../../../../models/index.ts'
import { tokenizerFromVocabulary } from '../../../../../models/tokenizer.ts'
import { parsePretrainOptions } from '../../../../../train/node/cli/pretrain-options.ts'
import { Progress } from '../../../../../train/node/cli/progress.ts'
import { checkCountable, countedEmbeddings } from '../../../../../train/node/jobs/pretrain/embeddings.ts'
import { TINY_WORDS, tinyModelConfig } from '../../../../support/tiny.ts'

afterAll(async () => (await currentDevice()).close())

test('a vocabulary whose counts would not fit in memory is refused, unless nothing is counted', () => {
  expect(() => checkCountable({ embeddings: 'ppmi' }, 30_522)).toThrow(
    new UserError('--embeddings ppmi counts pairs of at most 16,384 tokens, and there are 30,522'),
  )
  checkCountable({ embeddings: 'ppmi' }, 16_384)
  checkCountable({ embeddings: 'random' }, 30_522)
})

test('a stop while tokens are counted is heeded at once, and leaves the embeddings as they were', async () => {
  const words = TINY_WORDS
  const tokenizer = tokenizerFromVocabulary(`${words.join('\n')}\n`, { lowercase: true }, 'tiny')
  const model = createMaskedModel(tinyModelConfig({ vocab_size: words.length, num_hidden_layers: 1 }))
  await initialise(model.parameters(), 3)
  const { weight } = model.encoder.embeddings.words
  const before = Float32Array.from(await weight.read())
  const { ids } = tokenizer.encode('the film was great and the music was awful')
  const job = {
    model,
    tokenizer,
    rows: { train: [{ ids, target: undefined }] },
    options: parsePretrainOptions(['--data', 'x', '--embeddings', 'ppmi']),
  }
  let looked = 0
  const stopAfter = (looks: number) => ({
    get requested() {
      return ++looked > looks
    },
  })
  expect(await countedEmbeddings(job, new Progress(), stopAfter(3))).toBe(false)
  expect(looked).toBe(4)
  expect(Float32Array.from(await weight.read())).toEqual(before)
  expect(await countedEmbeddings(job, new Progress(), stopAfter(Infinity))).toBe(true)
  expect(Float32Array.from(await weight.read())).not.toEqual(before)
})
