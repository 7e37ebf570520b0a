# The same in PyTorch.
import math
import sys

import torch
from torch import nn
from torch.nn.functional import cross_entropy


class Ternary(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return (x + 0.5).floor().clamp(-1, 1)

    @staticmethod
    def backward(ctx, dy):
        return dy


class TernaryLinear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs).uniform_(-1, 1))
        self.scale = nn.Parameter(torch.full((outputs,), 1 / math.sqrt(inputs)))

    def forward(self, x):
        return x @ Ternary.apply(self.weight) * self.scale


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 64)
        self.inner = TernaryLinear(64, 64)
        self.last = nn.Linear(64, 2)

    def forward(self, x):
        return self.last(self.inner(self.first(x).relu()).relu())


points = [(2 * math.sin(1.7 * i), 2 * math.cos(2.9 * i)) for i in range(512)]
x = torch.tensor(points)
y = torch.tensor([int(math.sin(3 * a) * b > 0) for a, b in points])

net = Net()
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)


def report(when):
    with torch.no_grad():
        print(when, f"{100 * (net(x).argmax(1) == y).float().mean().item():.1f} %")


report("untrained")
steps = int(sys.argv[1]) if len(sys.argv) > 1 else 300
for _ in range(steps):
    loss = cross_entropy(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
report("trained")
print("weights:", *sorted(set(Ternary.apply(net.inner.weight).flatten().tolist())))
