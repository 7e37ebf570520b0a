# The same in PyTorch, from a file of text: `python3 gpt.py TEXT STEPS`; `node write.ts` makes the text.
import sys

import torch
from torch import nn
from torch.nn.functional import cross_entropy, gelu, scaled_dot_product_attention
from transformers import get_cosine_schedule_with_warmup

CONTEXT = 32
WIDTH = 48
HEADS = 4
BATCH = 16


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.projection = nn.Linear(WIDTH, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, 4 * WIDTH)
        self.down = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        batch, length, _ = x.shape
        parts = self.qkv(self.norm1(x)).chunk(3, -1)
        q, k, v = (part.reshape(batch, length, HEADS, WIDTH // HEADS).transpose(1, 2) for part in parts)
        read = scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed = x + self.projection(read.transpose(1, 2).reshape(x.shape))
        return mixed + self.down(gelu(self.up(self.norm2(mixed))))


class GPT(nn.Module):
    def __init__(self, letters):
        super().__init__()
        self.letters = nn.Embedding(letters, WIDTH)
        self.places = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.norm = nn.LayerNorm(WIDTH)
        self.out = nn.Linear(WIDTH, letters, bias=False)
        for table in (self.letters, self.places):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, ids):
        x = self.letters(ids) + self.places.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x))


text = open(sys.argv[1]).read()
alphabet = sorted(set(text))
ids = torch.tensor([alphabet.index(letter) for letter in text])


def batch():
    starts = torch.randint(len(ids) - CONTEXT, (BATCH,)).tolist()
    return (torch.stack([ids[start + shift : start + shift + CONTEXT] for start in starts]) for shift in (0, 1))


steps = int(sys.argv[2]) if len(sys.argv) > 2 else 600
gpt = GPT(len(alphabet))
optimizer = torch.optim.AdamW(gpt.parameters(), lr=5e-3)
scheduler = get_cosine_schedule_with_warmup(optimizer, 20, steps)
for i in range(steps):
    x, y = batch()
    loss = cross_entropy(gpt(x).flatten(0, 1), y.flatten())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(gpt.parameters(), 1)
    optimizer.step()
    scheduler.step()
    if i % 50 == 0 or i == steps - 1:
        print("step", i, "loss", f"{loss.item():.3f}")

written = "the "
with torch.no_grad():
    while len(written) < 160:
        window = torch.tensor([[alphabet.index(letter) for letter in written[-CONTEXT:]]])
        written += alphabet[gpt(window)[0, -1].argmax()]
print(written)
