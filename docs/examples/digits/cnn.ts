// A convolutional network: two convolutions, each halved by its largest values.
import { type Tensor, maxPool2d } from 'tilegrad'
import { Conv2d, Linear, Module } from 'tilegrad/nn'
import { SIZE } from './digits.ts'
import { train } from './train.ts'

class CNN extends Module {
  convolutions = [new Conv2d(1, 8, 3, { padding: 1 }), new Conv2d(8, 16, 3, { padding: 1 })]
  out = new Linear(16 * (SIZE / 4) ** 2, 10)

  forward(images: Tensor): Tensor {
    const read = this.convolutions.reduce((x, layer) => maxPool2d(layer.forward(x).relu(), 2), images)
    return this.out.forward(read.flatten(1))
  }
}

await train(new CNN(), { lr: 3e-3, epochs: 4 })
