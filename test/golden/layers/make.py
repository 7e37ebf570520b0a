# Layers of torch.nn on inputs and parameters by formula (oracle.py), in float64: outputs, the gradients of the sum of
# outputs times a pattern, and what batch norms keep. Writes expected.json.
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import torch
from oracle import beside, numbers, units, versions, write


def f32(name, shape):
    return torch.from_numpy(units(name, torch.Size(shape).numel())).float().double().reshape(shape)


def fill(name, module):
    for key, parameter in module.named_parameters():
        parameter.data = f32(f"{name}: {key}", tuple(parameter.shape))
    return module.double()


def case(name, module, *shape, call=lambda module, x: module(x)):
    fill(name, module)
    x = f32(f"{name}: x", shape).requires_grad_()
    y = call(module, x)
    (y * f32(f"{name}: dy", tuple(y.shape))).sum().backward()
    out = {"y": numbers(y), "dx": numbers(x.grad)}
    out["gradients"] = {key: numbers(parameter.grad) for key, parameter in module.named_parameters()}
    kept = {key: numbers(value) for key, value in module.named_buffers() if "running" in key}
    if kept:
        out["kept"] = kept
        module.eval()
        out["evaluated"] = numbers(call(module, x))
    return out


def attention_case(name, width, heads, batch, queries, keys=None):
    """torch's attention with its three projections as three layers. With `keys`, those are of another sequence; the last
    one of each batch item but the first is masked. Without, it is causal."""
    module = torch.nn.MultiheadAttention(width, heads, batch_first=True).double()
    parts = ("query", "key", "value")
    module.in_proj_weight.data = torch.cat([f32(f"{name}: {part}.weight", (width, width)) for part in parts])
    module.in_proj_bias.data = torch.cat([f32(f"{name}: {part}.bias", (width,)) for part in parts])
    module.out_proj.weight.data = f32(f"{name}: projection.weight", (width, width))
    module.out_proj.bias.data = f32(f"{name}: projection.bias", (width,))
    x = f32(f"{name}: x", (batch, queries, width)).requires_grad_()
    source = x if keys is None else f32(f"{name}: source", (batch, keys, width))
    closed = torch.ones(queries, queries, dtype=torch.bool).triu(1) if keys is None else None
    padding = None
    if keys is not None:
        padding = torch.zeros(batch, keys, dtype=torch.bool)
        padding[1:, -1] = True
    y, _ = module(x, source, source, attn_mask=closed, key_padding_mask=padding, need_weights=False)
    (y * f32(f"{name}: dy", tuple(y.shape))).sum().backward()
    gradients = {}
    for part, weight, bias in zip(parts, module.in_proj_weight.grad.chunk(3), module.in_proj_bias.grad.chunk(3)):
        gradients |= {f"{part}.weight": numbers(weight), f"{part}.bias": numbers(bias)}
    gradients |= {f"projection.{key}": numbers(p.grad) for key, p in module.out_proj.named_parameters()}
    return {"y": numbers(y), "dx": numbers(x.grad), "gradients": gradients}


nn = torch.nn
write(beside(__file__, "expected.json"), {
    "versions": versions(),
    "cases": {
        "LayerNorm": case("LayerNorm", nn.LayerNorm(5), 3, 5),
        "RMSNorm": case("RMSNorm", nn.RMSNorm(5, eps=1e-6), 2, 3, 5),
        "GroupNorm": case("GroupNorm", nn.GroupNorm(2, 6), 2, 6, 3),
        "BatchNorm of rows": case("BatchNorm of rows", nn.BatchNorm1d(3), 5, 3),
        "BatchNorm of images": case("BatchNorm of images", nn.BatchNorm2d(2, momentum=0.3), 3, 2, 2, 2),
        "Sequential": case("Sequential", nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2, bias=False)), 5, 3),
        "Conv1d": case("Conv1d", nn.Conv1d(2, 3, 3, padding=1), 2, 2, 5),
        "Conv2d": case("Conv2d", nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=2), 2, 4, 5, 4),
        "ConvTranspose1d": case("ConvTranspose1d", nn.ConvTranspose1d(3, 2, 4, stride=2, bias=False), 2, 3, 4),
        "ConvTranspose2d": case("ConvTranspose2d", nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=1), 1, 3, 3, 2),
        "a small CNN": case("a small CNN", nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 3, 3, stride=2, bias=False), nn.Flatten(), nn.Linear(3, 2)), 3, 1, 6, 7),
        "MultiHeadAttention, causal": attention_case("MultiHeadAttention, causal", 6, 2, 2, 5),
        "MultiHeadAttention of another sequence": attention_case("MultiHeadAttention of another sequence", 6, 3, 2, 3, 4),
    },
})
