# Tensors without elements by PyTorch, in float64, with their gradients, and what PyTorch refuses. Writes expected.json.
#
# Element i of an input is i % 5 − 2; an input of indices is zeros. A case's results may be several tensors; the gradients
# are those of the sum of all their elements.
import json
import math
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import torch
import torch.nn.functional as F
from oracle import beside, versions

torch.set_default_dtype(torch.float64)


class Indices(list):
    """The shape of an input of indices."""


cases = {
    "add": (lambda a, b: a + b, [0, 3], [3]),
    "add, 1 against 0": (lambda a, b: a + b, [2, 1], [1, 0]),
    "exp": (lambda x: x.exp(), [2, 0]),
    "where": (lambda a, b: torch.where(a > 0, a, b), [0, 3], [1]),
    "sum": (lambda x: x.sum(), [0, 3]),
    "sum of rows": (lambda x: x.sum(0), [0, 3]),
    "sum of columns": (lambda x: x.sum(1), [0, 3]),
    "sum beside others": (lambda x, y: x.sum(0) + y, [0, 3], [2, 3]),
    "prod": (lambda x: x.prod(0), [0, 3]),
    "any": (lambda x: x.any(0), [0, 3]),
    "all": (lambda x: x.all(0), [0, 3]),
    "mean": (lambda x: x.mean(), [0, 3]),
    "mean of rows": (lambda x: x.mean(0), [0, 3]),
    "variance": (lambda x: x.var(0), [0, 3]),
    "std": (lambda x: x.std(0), [0, 3]),
    "norm": (lambda x: x.norm(dim=0), [0, 3]),
    "logSumExp": (lambda x: x.logsumexp(0), [0, 3]),
    "max of rows": (lambda x: x.amax(1), [0, 3]),
    "argmax of rows": (lambda x: x.argmax(1), [0, 3]),
    "matmul, no rows": (torch.matmul, [0, 3], [3, 2]),
    "matmul, no columns": (torch.matmul, [2, 3], [3, 0]),
    "matmul, nothing to sum": (torch.matmul, [2, 0], [0, 3]),
    "matmul, no matrices": (torch.matmul, [0, 2, 3], [3, 4]),
    "matmul, nothing to sum in rows that are shared": (torch.matmul, [2, 3, 0], [0, 4]),
    "matmul, vectors": (torch.matmul, [0], [0]),
    "concat": (lambda a, b, c: torch.cat([a, b, c]), [2, 3], [0, 3], [1, 3]),
    "concat, one is left": (lambda a, b: torch.cat([a, b], 1), [2, 0], [2, 2]),
    "concat, nothing": (lambda a, b: torch.cat([a, b], 1), [0, 2], [0, 3]),
    "stack": (lambda a, b: torch.stack([a, b]), [0, 3], [0, 3]),
    "split": (lambda x: x.split(2), [0, 3]),
    "split by lengths": (lambda x: x.split([0, 2, 0]), [2, 3]),
    "chunk": (lambda x: x.chunk(2), [0, 3]),
    "narrow": (lambda x: x.narrow(0, 2, 0), [2, 3]),
    "slice": (lambda x: x[1:1], [2, 3]),
    "slice of nothing": (lambda x: x[:, 1:], [0, 3]),
    "reshape": (lambda x: x.reshape(3, -1), [0, 6]),
    "flatten": (lambda x: x.flatten(), [2, 0, 3]),
    "squeeze": (lambda x: x.squeeze(), [1, 0, 3]),
    "expandDims": (lambda x: x.unsqueeze(1), [0, 3]),
    "permute": (lambda x: x.permute(1, 2, 0), [0, 2, 3]),
    "broadcastTo": (lambda x: x.broadcast_to(0, 3), [1, 3]),
    "tile": (lambda x: x.tile(0, 2), [2, 3]),
    "repeatInterleave": (lambda x: x.repeat_interleave(0, 1), [2, 3]),
    "flip": (lambda x: x.flip(0), [0, 3]),
    "roll": (lambda x: x.roll(1, 0), [0, 3]),
    "pad": (lambda x: F.pad(x, [1, 2], value=7), [0]),
    "tril": (lambda x: x.tril(), [0, 3]),
    "diagonal": (lambda x: x.diagonal(), [0, 3]),
    "diagonal, at the corner": (lambda x: x.diagonal(3), [2, 3]),
    "diagonal, past the corner": (lambda x: x.diagonal(-9), [2, 3]),
    "gather": (lambda x, i: x.gather(0, i), [2, 3], Indices([0, 3])),
    "scatter": (lambda x, i, source: x.scatter(0, i, source), [2, 3], Indices([0, 3]), [0, 3]),
    "scatterAdd": (lambda x, i, source: x.scatter_add(0, i, source), [2, 3], Indices([0, 3]), [0, 3]),
    "scatterMax": (lambda x, i, source: x.scatter_reduce(0, i, source, "amax"), [2, 3], Indices([0, 3]), [0, 3]),
    "take": (lambda x, i: x[i], [2, 3], Indices([0])),
    "take, last axis": (lambda x, i: x[:, i], [2, 3], Indices([2, 0])),
    "embedding of no width": (lambda x, i: x[i], [2, 0], Indices([4])),
    "oneHot": (lambda i: F.one_hot(i, 4), Indices([0])),
    "sort": (lambda x: x.sort(0), [0, 3]),
    "topK": (lambda x: x.topk(0), [2, 3]),
    "cumsum": (lambda x: x.cumsum(0), [0, 3]),
    "cumprod": (lambda x: x.cumprod(1), [0, 3]),
    "einsum": (lambda a, b: torch.einsum("ij,jk->ik", a, b), [2, 0], [0, 3]),
    "einsum, a sum": (lambda x: torch.einsum("ij->j", x), [0, 3]),
    "softmax": (lambda x: x.softmax(-1), [2, 0]),
    "logSoftmax": (lambda x: x.log_softmax(-1), [0, 3]),
    "layerNorm": (lambda x, gamma, beta: F.layer_norm(x, [3], gamma, beta), [0, 3], [3], [3]),
    "layerNorm, no width": (lambda x, gamma, beta: F.layer_norm(x, [0], gamma, beta), [2, 0], [0], [0]),
    "rmsNorm": (lambda x, gamma: F.rms_norm(x, [3], gamma), [0, 3], [3]),
    "groupNorm": (lambda x: F.group_norm(x, 2), [0, 4, 3]),
    "conv2d": (F.conv2d, [0, 2, 4, 4], [3, 2, 3, 3]),
    "conv2d, of pixels": (F.conv2d, [0, 2, 4, 4], [3, 2, 1, 1]),
    "conv2d, in groups": (lambda x, w: F.conv2d(x, w, stride=2, padding=1, groups=2), [0, 2, 4, 4], [4, 1, 3, 3]),
    "conv1d": (F.conv1d, [0, 2, 4], [3, 2, 3]),
    "convTranspose2d": (lambda x, w: F.conv_transpose2d(x, w, stride=2), [0, 2, 4, 4], [2, 3, 3, 3]),
    "maxPool2d": (lambda x: F.max_pool2d(x, 2), [0, 2, 4, 4]),
    "avgPool2d": (lambda x: F.avg_pool2d(x, 2), [0, 2, 4, 4]),
    "upsample": (lambda x: F.interpolate(x, scale_factor=2), [0, 2, 4, 4]),
    "upsample, bilinear": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), [0, 2, 4, 4]),
    # Of [batch, heads, sequence, headSize].
    "attention": (F.scaled_dot_product_attention, [0, 2, 3, 4], [0, 2, 5, 4], [0, 2, 5, 4]),
    "attention, no queries": (F.scaled_dot_product_attention, [1, 2, 0, 4], [1, 2, 5, 4], [1, 2, 5, 4]),
    "attention, no keys": (F.scaled_dot_product_attention, [1, 2, 3, 4], [1, 2, 0, 4], [1, 2, 0, 4]),
    "mseLoss": (F.mse_loss, [0, 3], [0, 3]),
    "mseLoss, sum": (lambda a, b: F.mse_loss(a, b, reduction="sum"), [0, 3], [0, 3]),
    "crossEntropyLoss, sum": (lambda x, i: F.cross_entropy(x, i, reduction="sum"), [0, 3], Indices([0])),
    "eye": (lambda x: x * torch.eye(0, 3), [3]),
    "linspace": (lambda x: x * torch.linspace(0, 1, 0), [1]),
}

refused = {
    "max": (lambda x: x.amax(0), [0, 3]),
    "min": (lambda x: x.amin(), [0, 3]),
    "argmax": (lambda x: x.argmax(0), [0, 3]),
    "argmin": (lambda x: x.argmin(), [0, 3]),
    "norm, the largest": (lambda x: torch.linalg.vector_norm(x, math.inf), [0, 3]),
    "reshape": (lambda x: x.reshape(0, -1), [0, 3]),
    "reshape to nothing": (lambda x: x.reshape(0, 3), [2, 3]),
    "add": (lambda a, b: a + b, [0], [3]),
    "broadcastTo": (lambda x: x.broadcast_to(3), [0]),
    "concat": (lambda a, b: torch.cat([a, b]), [0, 3], [2, 2]),
    "narrow": (lambda x: x.narrow(0, 0, 1), [0, 3]),
    "narrow, past the end": (lambda x: x.narrow(0, 3, 0), [2, 3]),
    "split by lengths": (lambda x: x.split([0, 1]), [0, 3]),
    "matmul": (torch.matmul, [2, 0], [3, 2]),
    "topK": (lambda x: x.topk(1), [2, 0]),
    "maxPool2d": (lambda x: F.max_pool2d(x, 2, padding=1), [1, 1, 0, 2]),
    "conv2d": (F.conv2d, [1, 1, 4, 4], [1, 1, 0, 2]),
    "upsample": (lambda x: F.interpolate(x, size=2), [1, 1, 0, 2]),
    "grad": (lambda x: torch.autograd.grad(x.exp(), x), [0, 3]),
}


# JSON has no such numbers.
NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def source(shape):
    if isinstance(shape, Indices):
        return torch.zeros(shape, dtype=torch.int64)
    size = math.prod(shape)
    return torch.tensor([i % 5 - 2 for i in range(size)], dtype=torch.float64).reshape(shape).requires_grad_()


def shown(x):
    numbers = [NOT_FINITE.get(str(n), n) for n in x.double().flatten().tolist()]
    return {"shape": list(x.shape), "values": numbers}


def expected(fn, *shapes):
    inputs = [source(shape) for shape in shapes]
    results = fn(*inputs)
    results = list(results) if isinstance(results, (tuple, list)) else [results]
    loss = sum(y.sum() for y in results if y.is_floating_point())
    given = [x for x in inputs if x.requires_grad]
    differentiable = isinstance(loss, torch.Tensor) and loss.requires_grad
    gradients = torch.autograd.grad(loss, given, allow_unused=True, materialize_grads=True) if differentiable else []
    described = [{"shape": list(s), "indices": True} if isinstance(s, Indices) else {"shape": s} for s in shapes]
    return {"inputs": described, "results": [shown(y) for y in results], "gradients": [shown(g) for g in gradients]}


def is_refused(fn, *shapes):
    try:
        fn(*[source(shape) for shape in shapes])
    except (RuntimeError, IndexError):
        return True
    return False


for name, case in refused.items():
    if not is_refused(*case):
        raise SystemExit(f"PyTorch computes {name}")

golden = {
    "versions": versions(),
    "cases": {name: expected(*case) for name, case in cases.items()},
    "refused": {name: [{"shape": list(shape)} for shape in shapes] for name, (_, *shapes) in refused.items()},
}
with open(beside(__file__, "expected.json"), "w") as file:
    json.dump(golden, file, separators=(",", ":"))
    file.write("\n")
