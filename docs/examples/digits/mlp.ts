// A perceptron with one hidden layer.
import type { Tensor } from 'tilegrad'
import { Linear, Module } from 'tilegrad/nn'
import { SIZE } from './digits.ts'
import { train } from './train.ts'

class MLP extends Module {
  hidden = new Linear(SIZE * SIZE, 64)
  out = new Linear(64, 10)

  forward(images: Tensor): Tensor {
    return this.out.forward(this.hidden.forward(images.flatten(1)).relu())
  }
}

await train(new MLP(), { lr: 3e-3, epochs: 5 })
