// An op with a gradient of its own: a network whose weights are −1, 0 and 1 (Li et al. 2016). Rounding has a gradient of
// 0; the op passes the gradient on as if it had not rounded (Bengio et al. 2013). `node ternary.ts STEPS`.
import { type Tensor, compile, crossEntropyLoss, tensor } from 'tilegrad'
import { Linear, Module, Parameter } from 'tilegrad/nn'
import { checkGradients, defineOp } from 'tilegrad/op'
import { AdamW } from 'tilegrad/train'

const ternaryOp = defineOp({
  name: 'example.ternary',
  kind: 'elementwise',
  inputs: 1,
  infer: ([x]) => [x],
  wgsl: ([x]) => `clamp(floor(${x} + 0.5), -1.0, 1.0)`,
  scalar: ([x]) => Math.min(1, Math.max(-1, Math.floor(x + 0.5))),
  gradient: ({ upstream: [dy] }) => [dy],
})
const ternary = (x: Tensor): Tensor => ternaryOp([x])[0]

// Its kernel against its reference; the gradient is none that differences could confirm.
const { misses } = await checkGradients(ternary, [{ shape: [20, 30] }], { nets: [2] })
console.log('differences from the reference:', misses.length)

class TernaryLinear extends Module {
  weight: Parameter
  scale: Parameter

  constructor(inputs: number, outputs: number) {
    super()
    this.weight = new Parameter([inputs, outputs], { initial: { kind: 'uniform', bound: 1 } })
    this.scale = new Parameter([outputs], { initial: { kind: 'constant', value: 1 / Math.sqrt(inputs) } })
  }

  forward(x: Tensor): Tensor {
    return x.matmul(ternary(this.weight.tensor)).mul(this.scale.tensor)
  }
}

class Net extends Module {
  first = new Linear(2, 64)
  inner = new TernaryLinear(64, 64)
  last = new Linear(64, 2)

  forward(x: Tensor): Tensor {
    return this.last.forward(this.inner.forward(this.first.forward(x).relu()).relu())
  }
}

const points = Array.from({ length: 512 }, (_, i) => [2 * Math.sin(1.7 * i), 2 * Math.cos(2.9 * i)] as const)
const [x, y] = [tensor(points), tensor(Int32Array.from(points, ([a, b]) => (Math.sin(3 * a) * b > 0 ? 1 : 0)))]

const net = new Net()
const optimizer = new AdamW(net, { lr: 1e-2 })
const step = compile(() => optimizer.minimize(() => crossEntropyLoss(net.forward(x), y)))
const report = async (when: string): Promise<void> => {
  const share = net.forward(x).argmax(1).equal(y).cast('f32').mean()
  console.log(when, (100 * (await share.item())).toFixed(1), '%')
}

await report('untrained')
const steps = Number(process.argv[2] ?? 300)
for (let i = 0; i < steps; i++) await step()
await report('trained')
const used = new Set(await ternary(net.inner.weight.tensor).data())
console.log('weights:', [...used].sort((a, b) => a - b).join(' '))
