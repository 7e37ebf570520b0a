// Trains a model to read digits, and says how many it reads of those that it has not seen.
import { type Tensor, compile, crossEntropyLoss, tensor } from 'tilegrad'
import type { Module } from 'tilegrad/nn'
import { AdamW, DataLoader, columns } from 'tilegrad/train'
import { SIZE, drawDigits } from './digits.ts'

/** Logits [batch, 10] from images [batch, 1, SIZE, SIZE]. */
export type Reader = Module & { forward(images: Tensor): Tensor }

const dataOf = (count: number, seed: number): { x: Tensor; y: Tensor } => {
  const { pixels, labels } = drawDigits(count, seed)
  return { x: tensor(pixels, [count, 1, SIZE, SIZE]), y: tensor(labels) }
}

export async function train(model: Reader, settings: { readonly lr: number; readonly epochs: number }): Promise<void> {
  const epochs = Number(process.argv[2] ?? settings.epochs)
  const held = dataOf(500, 2)
  const optimizer = new AdamW(model, { lr: settings.lr })
  const step = compile((x: Tensor, y: Tensor) => optimizer.minimize(() => crossEntropyLoss(model.forward(x), y)))
  const share = compile((x: Tensor, y: Tensor) => model.forward(x).argmax(1).equal(y).cast('f32').mean())
  const report = async (when: string): Promise<void> =>
    console.log(when, (100 * (await (await share(held.x, held.y)).item())).toFixed(1), '%')

  await report('untrained')
  const loader = new DataLoader(columns(dataOf(2000, 1)), { batchSize: 50, shuffle: true })
  for (let epoch = 1; epoch <= epochs; epoch++) {
    for await (const { x, y } of loader) await step(x, y)
    await report(`epoch ${epoch}`)
  }
}
