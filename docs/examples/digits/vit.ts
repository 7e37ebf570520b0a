// A small vision transformer (Dosovitskiy et al. 2021): patches of 4 by 4 pixels are its words.
import { type Tensor, attention } from 'tilegrad'
import { LayerNorm, Linear, Module, Parameter } from 'tilegrad/nn'
import { SIZE } from './digits.ts'
import { train } from './train.ts'

const PATCH = 4
const SIDE = SIZE / PATCH
const WIDTH = 32
const HEADS = 4

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
    const mixed = x.add(this.projection.forward(attention(q, k, v).reshape(x.shape)))
    return mixed.add(this.down.forward(this.up.forward(this.norm2.forward(mixed)).gelu()))
  }
}

class VisionTransformer extends Module {
  patches = new Linear(PATCH * PATCH, WIDTH)
  places = new Parameter([SIDE * SIDE, WIDTH], { initial: { kind: 'normal', deviation: 0.5 } })
  blocks = [new Block(), new Block()]
  norm = new LayerNorm(WIDTH)
  out = new Linear(WIDTH, 10)

  forward(images: Tensor): Tensor {
    const grid = images.reshape([-1, SIDE, PATCH, SIDE, PATCH]).permute([0, 1, 3, 2, 4])
    const words = this.patches.forward(grid.reshape([-1, SIDE * SIDE, PATCH * PATCH])).add(this.places.tensor)
    const read = this.blocks.reduce((x, block) => block.forward(x), words)
    return this.out.forward(this.norm.forward(read).mean(1))
  }
}

await train(new VisionTransformer(), { lr: 3e-3, epochs: 4 })
