# A perceptron with one hidden layer.
from torch import nn

from train import SIZE, train


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(SIZE * SIZE, 64)
        self.out = nn.Linear(64, 10)

    def forward(self, images):
        return self.out(self.hidden(images.flatten(1)).relu())


train(MLP(), lr=3e-3, epochs=5)
