# A small vision transformer (Dosovitskiy et al. 2021): patches of 4 by 4 pixels are its words.
import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from train import SIZE, train

PATCH = 4
SIDE = SIZE // PATCH
WIDTH = 32
HEADS = 4


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
        mixed = x + self.projection(scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape))
        return mixed + self.down(gelu(self.up(self.norm2(mixed))))


class VisionTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Linear(PATCH * PATCH, WIDTH)
        self.places = nn.Parameter(0.5 * torch.randn(SIDE * SIDE, WIDTH))
        self.blocks = nn.ModuleList([Block(), Block()])
        self.norm = nn.LayerNorm(WIDTH)
        self.out = nn.Linear(WIDTH, 10)

    def forward(self, images):
        batch = len(images)
        grid = images.reshape(batch, SIDE, PATCH, SIDE, PATCH).permute(0, 1, 3, 2, 4)
        words = self.patches(grid.reshape(batch, SIDE * SIDE, PATCH * PATCH)) + self.places
        for block in self.blocks:
            words = block(words)
        return self.out(self.norm(words).mean(1))


train(VisionTransformer(), lr=3e-3, epochs=4)
