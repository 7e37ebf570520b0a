# A convolutional network: two convolutions, each halved by its largest values.
from torch import nn
from torch.nn.functional import max_pool2d

from train import SIZE, train


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolutions = nn.ModuleList([nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)])
        self.out = nn.Linear(16 * (SIZE // 4) ** 2, 10)

    def forward(self, images):
        for layer in self.convolutions:
            images = max_pool2d(layer(images).relu(), 2)
        return self.out(images.flatten(1))


train(CNN(), lr=3e-3, epochs=4)
