# The same in PyTorch, with PEFT.
import io
import math
import sys

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn.functional import mse_loss


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 64), nn.Linear(64, 64)])
        self.out = nn.Linear(64, 1)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).tanh()
        return self.out(x)


points = [(2 * math.sin(1.7 * i), 2 * math.cos(2.9 * i)) for i in range(256)]
x = torch.tensor(points)
bumps = torch.tensor([[math.sin(2 * a) * math.cos(b)] for a, b in points])
turned = torch.tensor([[math.sin(2 * a + 0.5) * math.cos(b) + 0.3 * a] for a, b in points])

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 400


def loss_on(net, y):
    with torch.no_grad():
        return mse_loss(net(x), y).item()


def fit(net, y):
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    before = loss_on(net, y)
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    for _ in range(steps):
        loss = mse_loss(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"{sum(p.numel() for p in trained)} parameters: {before:.4f} → {loss_on(net, y):.4f}")


net = Net()
fit(net, bumps)
net = get_peft_model(net, LoraConfig(target_modules=r"layers\..*", r=4, lora_alpha=4))
fit(net, turned)

net = net.merge_and_unload()
file = io.BytesIO()
torch.save(net.state_dict(), file)
print("merged", f"{loss_on(net, turned):.4f}", f"{len(file.getvalue())} bytes")
