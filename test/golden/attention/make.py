# PyTorch's scaled_dot_product_attention in float64, by its plain backend: the output and its gradients.
# Inputs by oracle.py's formula; causality is aligned to the last key
# (torch.nn.attention.bias.causal_lower_right). Writes expected.json.
#
#     python make.py        versions are in expected.json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
import torch
import torch.nn.functional as F
from oracle import beside, load, numbers, units, versions, write
from torch.nn.attention import SDPBackend, sdpa_kernel


def values(name, shape):
    return torch.from_numpy(units(name, int(np.prod(shape))).reshape(shape))


def expected(case):
    batch, heads, queries, keys, size = (
        case[k] for k in ("batch", "heads", "queries", "keys", "headSize"))
    name = case["name"]
    shapes = {"q": (batch, queries, heads, size), "k": (batch, keys, heads, size), "v": (batch, keys, heads, size)}
    given = {key: (2 * values(f"{name}.{key}", shape)).requires_grad_() for key, shape in shapes.items()}
    open_ = torch.ones(queries, keys, dtype=torch.bool)
    if case.get("causal"):
        open_ = torch.tril(open_, keys - queries)
    heads_first = [given[key].transpose(1, 2) for key in ("q", "k", "v")]
    with sdpa_kernel(SDPBackend.MATH):
        out = F.scaled_dot_product_attention(
            *heads_first, attn_mask=open_).transpose(1, 2)
        upstream = values(f"{name}.upstream", out.shape)
        first = torch.autograd.grad(out, list(given.values()), upstream)
    return {
        "output": numbers(out),
        "gradients": {key: numbers(g) for key, g in zip(given, first)},
    }


write(beside(__file__, "expected.json"), {
    "versions": versions(),
    "cases": {case["name"]: expected(case) for case in load(beside(__file__, "cases.json"))},
})
