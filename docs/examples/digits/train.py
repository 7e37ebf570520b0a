# The same in PyTorch: reads what `node write.ts` wrote.
import sys

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

SIZE = 16


def data_of(name):
    pixels = torch.frombuffer(bytearray(open(f"{name}.f32", "rb").read()), dtype=torch.float32)
    labels = torch.frombuffer(bytearray(open(f"{name}.i32", "rb").read()), dtype=torch.int32)
    return pixels.reshape(-1, 1, SIZE, SIZE), labels.long()


def train(model, lr, epochs):
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else epochs
    x_held, y_held = data_of("test")
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)

    def report(when):
        with torch.no_grad():
            share = (model(x_held).argmax(1) == y_held).float().mean().item()
        print(when, f"{100 * share:.1f} %")

    report("untrained")
    loader = DataLoader(TensorDataset(*data_of("train")), batch_size=50, shuffle=True)
    for epoch in range(1, epochs + 1):
        for x, y in loader:
            loss = cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        report(f"epoch {epoch}")
