// A small GPT (Radford et al. 2019) through the public entry points: it learns a sentence, character by character, and
// writes it with a cache of keys and values.
import { afterAll, expect, test } from 'vitest'
import { type Tensor, compile, crossEntropyLoss, currentDevice, range, tensor } from '../../engine/node/index.ts'
import { Embedding, type KeyValueCache, LayerNorm, Linear, Module, MultiHeadAttention } from '../../models/node/nn.ts'
import { AdamW } from '../../train/node/train.ts'

afterAll(async () => (await currentDevice()).close())

const SENTENCE = 'the quick brown fox jumps over the lazy dog. '
const CHARACTERS = [...new Set(SENTENCE)].sort()
const [LENGTH, WIDTH] = [16, 32]

class Block extends Module {
  attentionNorm = new LayerNorm(WIDTH)
  attention = new MultiHeadAttention(WIDTH, 4, { kvHeads: 2, causal: true })
  norm = new LayerNorm(WIDTH)
  up = new Linear(WIDTH, 2 * WIDTH)
  down = new Linear(2 * WIDTH, WIDTH)

  forward(x: Tensor, cache?: KeyValueCache): Tensor {
    const attended = x.add(this.attention.attend(this.attentionNorm.forward(x), { cache }))
    return attended.add(this.down.forward(this.up.forward(this.norm.forward(attended)).gelu()))
  }
}

class Gpt extends Module {
  characters = new Embedding(CHARACTERS.length, WIDTH)
  positions = new Embedding(LENGTH, WIDTH)
  blocks = [new Block(), new Block()]
  norm = new LayerNorm(WIDTH)
  out = new Linear(WIDTH, CHARACTERS.length)

  /** Logits of the characters after `ids` [batch, sequence], whose first stands at position `from`. */
  forward(ids: Tensor, from: Tensor | number = 0, caches: readonly KeyValueCache[] = []): Tensor {
    const places = range(ids.shape[1]).add(from)
    const x = this.characters.forward(ids).add(this.positions.forward(places))
    const mixed = this.blocks.reduce((hidden, block, i) => block.forward(hidden, caches[i]), x)
    return this.out.forward(this.norm.forward(mixed))
  }
}

const idsOf = (text: string): number[] => Array.from(text, character => CHARACTERS.indexOf(character))
/** `count` characters of the sentence, again and again, from `at` on. */
const stretch = (at: number, count: number): string => SENTENCE.repeat(2).slice(at, at + count)

test('a GPT learns a sentence and writes it token by token', async () => {
  const gpt = new Gpt()
  const optimizer = new AdamW(gpt, { lr: 5e-3 })
  const step = compile((x: Tensor, y: Tensor) =>
    optimizer.minimize(() => crossEntropyLoss(gpt.forward(x).reshape([-1, CHARACTERS.length]), y.reshape([-1]))),
  )
  const starts = Array.from({ length: 15 }, (_, i) => 3 * i)
  const windows = (shift: number): Tensor =>
    tensor(Int32Array.from(starts.flatMap(at => idsOf(stretch(at + shift, LENGTH)))), [starts.length, LENGTH])
  let loss = NaN
  for (let n = 0; n < 60; n++) {
    const shift = n % 3
    const now = await step(windows(shift), windows(shift + 1))
    if (n === 0) expect(await now.item()).toBeGreaterThan(2.5)
    if (n === 59) loss = await now.item()
  }
  // What follows the first character of a window is not certain.
  expect(loss).toBeLessThan(0.3)

  const caches = gpt.blocks.map(({ attention }) => attention.cache(1, LENGTH))
  const next = compile((ids: Tensor, from: Tensor) => gpt.forward(ids, from.cast('i32'), caches).argmax(-1))
  const written = async (ids: readonly number[], from: number): Promise<number> =>
    Number((await (await next(tensor(Int32Array.from(ids), [1, ids.length]), from)).data()).at(-1))
  const prompt = stretch(4, 6)
  const text = [await written(idsOf(prompt), 0)]
  while (prompt.length + text.length < LENGTH) text.push(await written(text.slice(-1), prompt.length + text.length - 1))
  expect(text.map(id => CHARACTERS[id]).join('')).toBe(stretch(4 + prompt.length, LENGTH - prompt.length))
})
