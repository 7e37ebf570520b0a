# PyTorch's scaled_dot_product_attention in float64, by its plain backend: the output, its gradients, and gradients of
# these. Inputs by oracle.py's formula; a mask's first column is open. Causality is aligned to the last key
# (torch.nn.attention.bias.causal_lower_right), and heads share keys by enable_gqa. Writes expected.json.
#
#     python make.py        versions are in expected.json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
import torch
import torch.nn.functional as F
from oracle import beside, load, numbers, units, versions, words, write
from torch.nn.attention import SDPBackend, sdpa_kernel


def values(name, shape):
    return torch.from_numpy(units(name, int(np.prod(shape))).reshape(shape))


def expected(case):
    batch, heads, key_heads, queries, keys, size = (
        case[k] for k in ("batch", "heads", "keyHeads", "queries", "keys", "headSize"))
    name = case["name"]
    shapes = {"q": (batch, queries, heads, size), "k": (batch, keys, key_heads, size), "v": (batch, keys, key_heads, size)}
    if "bias" in case:
        shapes["bias"] = tuple(case["bias"])
    given = {key: (2 * values(f"{name}.{key}", shape)).requires_grad_() for key, shape in shapes.items()}
    open_ = torch.ones(queries, keys, dtype=torch.bool)
    if case.get("causal"):
        open_ = torch.tril(open_, keys - queries)
    if "mask" in case:
        shape = tuple(case["mask"])
        bits = (words(f"{name}.mask", int(np.prod(shape))) % np.uint32(3) > 0).reshape(shape)
        bits[..., 0] = True
        open_ = open_ & torch.from_numpy(bits)
    added = torch.zeros(1, dtype=torch.float64) if "bias" not in case else given["bias"]
    added = torch.where(open_, added, -torch.inf)
    heads_first = [given[key].transpose(1, 2) for key in ("q", "k", "v")]
    with sdpa_kernel(SDPBackend.MATH):
        out = F.scaled_dot_product_attention(
            *heads_first, attn_mask=added, scale=case.get("scale"), enable_gqa=key_heads < heads).transpose(1, 2)
        upstream = values(f"{name}.upstream", out.shape).requires_grad_()
        first = torch.autograd.grad(out, list(given.values()), upstream, create_graph=True)
        directions = [values(f"{name}.{key}.direction", shape) for key, shape in shapes.items()]
        loss = sum((g * d).sum() for g, d in zip(first, directions))
        second = torch.autograd.grad(loss, [*given.values(), upstream])
    return {
        "output": numbers(out),
        "gradients": {key: numbers(g) for key, g in zip(given, first)},
        "second": {key: numbers(g) for key, g in zip([*given, "upstream"], second)},
    }


write(beside(__file__, "expected.json"), {
    "versions": versions(),
    "cases": {case["name"]: expected(case) for case in load(beside(__file__, "cases.json"))},
})
