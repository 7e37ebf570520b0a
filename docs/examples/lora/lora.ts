// LoRA on a module of one's own: a network learns a function, then a related one with a fraction of the parameters:
// `node lora.ts STEPS`.
import { type Tensor, compile, mseLoss, tensor } from 'tilegrad'
import { attachLora, mergeLora } from 'tilegrad/models'
import { Linear, Module, save } from 'tilegrad/nn'
import { AdamW } from 'tilegrad/train'

class Net extends Module {
  layers = [new Linear(2, 64), new Linear(64, 64)]
  out = new Linear(64, 1)

  forward(x: Tensor): Tensor {
    return this.out.forward(this.layers.reduce((h, layer) => layer.forward(h).tanh(), x))
  }
}

const points = Array.from({ length: 256 }, (_, i) => [2 * Math.sin(1.7 * i), 2 * Math.cos(2.9 * i)] as const)
const x = tensor(points)
const bumps = tensor(points.map(([a, b]) => [Math.sin(2 * a) * Math.cos(b)]))
const turned = tensor(points.map(([a, b]) => [Math.sin(2 * a + 0.5) * Math.cos(b) + 0.3 * a]))

const steps = Number(process.argv[2] ?? 400)
const net = new Net()
const lossOn = async (y: Tensor): Promise<number> => mseLoss(net.forward(x), y).item()

/** Trains what is trainable, and says what that changed. */
async function fit(y: Tensor): Promise<void> {
  const trained = net.trainable().reduce((sum, { size }) => sum + size, 0)
  const before = await lossOn(y)
  const optimizer = new AdamW(net, { lr: 1e-2 })
  const step = compile(() => optimizer.minimize(() => mseLoss(net.forward(x), y)))
  for (let i = 0; i < steps; i++) await step()
  console.log(`${trained} parameters: ${before.toFixed(4)} → ${(await lossOn(y)).toFixed(4)}`)
}

await fit(bumps)
attachLora(net, { targets: [/^layers\./], rank: 4, alpha: 4, dropout: 0 })
await fit(turned)

await mergeLora(net)
console.log('merged', (await lossOn(turned)).toFixed(4), `${(await save(net)).length} bytes`)
