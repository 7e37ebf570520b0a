// A GPT (Radford et al. 2018) that writes letter by letter: `node gpt.ts STEPS`.
import { type Tensor, attention, compile, crossEntropyLoss, tensor } from 'tilegrad'
import { Embedding, LayerNorm, Linear, Module } from 'tilegrad/nn'
import { AdamW, schedule, stream } from 'tilegrad/train'
import { write } from './text.ts'

const CONTEXT = 32
const WIDTH = 48
const HEADS = 4
const BATCH = 16

class Block extends Module {
  norm1 = new LayerNorm(WIDTH)
  qkv = new Linear(WIDTH, 3 * WIDTH)
  projection = new Linear(WIDTH, WIDTH)
  norm2 = new LayerNorm(WIDTH)
  up = new Linear(WIDTH, 4 * WIDTH)
  down = new Linear(4 * WIDTH, WIDTH)

  forward(x: Tensor): Tensor {
    const qkv = this.qkv.forward(this.norm1.forward(x)).reshape([...x.shape.slice(0, 2), 3, HEADS, WIDTH / HEADS])
    const part = (i: number): Tensor => qkv.narrow(2, i, 1).squeeze(2)
    const [q, k, v] = [part(0), part(1), part(2)]
    const mixed = x.add(this.projection.forward(attention(q, k, v, { causal: true }).reshape(x.shape)))
    return mixed.add(this.down.forward(this.up.forward(this.norm2.forward(mixed)).gelu()))
  }
}

class GPT extends Module {
  letters: Embedding
  places = new Embedding(CONTEXT, WIDTH, { deviation: 0.02 })
  blocks = [new Block(), new Block()]
  norm = new LayerNorm(WIDTH)
  out: Linear

  constructor(letters: number) {
    super()
    this.letters = new Embedding(letters, WIDTH, { deviation: 0.02 })
    this.out = new Linear(WIDTH, letters, { bias: false })
  }

  /** Logits [batch, CONTEXT, letters] of the letter after each, from ids [batch, CONTEXT]. */
  forward(ids: Tensor): Tensor {
    const x = this.letters.forward(ids).add(this.places.first(CONTEXT))
    return this.out.forward(this.norm.forward(this.blocks.reduce((h, block) => block.forward(h), x)))
  }
}

const text = write(2000, 1)
const alphabet = [...new Set(text)].sort()
const ids = Int32Array.from(text, letter => alphabet.indexOf(letter))
const random = stream(1, 'batches')

/** Windows of the text, and the same moved on by a letter. */
function batch(): [x: Tensor, y: Tensor] {
  const starts = Array.from({ length: BATCH }, () => random.below(ids.length - CONTEXT))
  const from = (shift: number): Tensor =>
    tensor(starts.map(start => ids.subarray(start + shift, start + shift + CONTEXT)))
  return [from(0), from(1)]
}

const steps = Number(process.argv[2] ?? 600)
const gpt = new GPT(alphabet.length)
const rate = schedule('cosine', { warmup: 20, steps })
const optimizer = new AdamW(gpt, { lr: step => 5e-3 * rate(step), clip: 1 })
const lossOf = (x: Tensor, y: Tensor): Tensor =>
  crossEntropyLoss(gpt.forward(x).reshape([BATCH * CONTEXT, alphabet.length]), y.flatten())
const step = compile((x: Tensor, y: Tensor) => optimizer.minimize(() => lossOf(x, y)))

for (let i = 0; i < steps; i++) {
  const loss = await step(...batch())
  if (i % 50 === 0 || i === steps - 1) console.log('step', i, 'loss', (await loss.item()).toFixed(3))
}

const next = compile((window: Tensor) => gpt.forward(window).argmax(-1))
let written = 'the '
while (written.length < 160) {
  // Letters after the last are not looked at, so any will do.
  const window = written.slice(-CONTEXT)
  const known = Int32Array.from({ length: CONTEXT }, (_, i) => Math.max(0, alphabet.indexOf(window.charAt(i))))
  const likely = await (await next(tensor(known, [1, CONTEXT]))).data()
  written += alphabet[likely[window.length - 1] ?? 0]
}
console.log(written)
