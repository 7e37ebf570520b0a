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
    const [batch, length] = x.shape
    const parts = this.qkv.forward(this.norm1.forward(x)).chunk(3, -1)
    const [q, k, v] = parts.map(part => part.reshape([batch, length, HEADS, WIDTH / HEADS]))
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
    const [batch] = images.shape
    const grid = images.reshape([batch, SIDE, PATCH, SIDE, PATCH]).permute([0, 1, 3, 2, 4])
    const words = this.patches.forward(grid.reshape([batch, SIDE * SIDE, PATCH * PATCH])).add(this.places.tensor)
    const read = this.blocks.reduce((x, block) => block.forward(x), words)
    return this.out.forward(this.norm.forward(read).mean(1))
  }
}

await train(new VisionTransformer(), { lr: 3e-3, epochs: 4 })
