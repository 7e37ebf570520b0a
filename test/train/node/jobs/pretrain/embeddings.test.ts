// Which vocabularies are small enough for embeddings from counts. What they are is tested in cooccurrence.test.ts, and
// that a run begins with them in pretrain.test.ts.
import { expect, test } from 'vitest'
import { UserError } from '../../../../../engine/errors.ts'
import { checkCountable } from '../../../../../train/node/jobs/pretrain/embeddings.ts'

test('a vocabulary whose counts would not fit in memory is refused, unless nothing is counted', () => {
  expect(() => checkCountable({ embeddings: 'ppmi' }, 30_522)).toThrow(
    new UserError('--embeddings ppmi counts pairs of at most 16,384 tokens, and there are 30,522'),
  )
  checkCountable({ embeddings: 'ppmi' }, 16_384)
  checkCountable({ embeddings: 'random' }, 30_522)
})
