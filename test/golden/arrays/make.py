# Ops on shapes, indices and images by PyTorch, in float64, with their gradients. Writes expected.json.
#
# An input is a list, the shape of numbers in [-2, 2), or an object: `below` draws integers, `positive` numbers in (0, 2);
# `turned` gives the sum of an element's coordinates modulo this number.
# A case's results may be several tensors, which are laid end to end; the gradients are those of their sum, weighted by
# numbers of the stream `<name>.weights`.
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
import torch
import torch.nn.functional as F
from oracle import beside, describe, load, units, versions, words, write

torch.set_default_dtype(torch.float64)


def source(name, number, spec):
    spec = {"shape": spec} if isinstance(spec, list) else spec
    stream, count = f"{name}.{number}", int(np.prod(spec["shape"]))
    if "below" in spec:
        return torch.from_numpy((words(stream, count) % np.uint32(spec["below"])).astype(np.int64)).reshape(spec["shape"])
    if "turned" in spec:
        return torch.from_numpy(np.indices(spec["shape"]).sum(0) % spec["turned"])
    numbers = 1 + units(stream, count) if spec.get("positive") else 2 * units(stream, count)
    return torch.from_numpy(numbers).reshape(spec["shape"]).requires_grad_()


def first(x):
    return x.permute(0, 3, 1, 2)


def last(x):
    return x.permute(0, 2, 3, 1)


ops = {
    "stack": lambda a, b: torch.stack([a, b]),
    "stack, last axis": lambda a, b: torch.stack([a, b], -1),
    "split": lambda x: x.split(2),
    "split by lengths": lambda x: x.split([1, 3, 2], -1),
    "chunk": lambda x: x.chunk(3),
    "narrow": lambda x: x.narrow(1, -3, 2),
    "squeeze": lambda x: x.squeeze(),
    "squeeze, one axis": lambda x: x.squeeze(-1),
    "expandDims": lambda x: x.unsqueeze(-2) * torch.arange(4).unsqueeze(-1),
    "flatten": lambda x: x.flatten(1, -2) * torch.arange(6).unsqueeze(-1),
    "tile": lambda x: x.tile(2, 3),
    "tile, fewer entries": lambda x: x.tile(2, 2),
    "repeat": lambda x: x.repeat(2, 2),
    "repeatInterleave": lambda x: x.repeat_interleave(3, 1),
    "repeatInterleave, flattened": lambda x: x.repeat_interleave(2),
    "flip": lambda x: x.flip(0, -1),
    "flip, all axes": lambda x: torch.flip(x, [0, 1]),
    "flip, matmul": lambda a, b: a.flip(1) @ b.flip(0, 1),
    "roll": lambda x: x.roll((1, -2), (0, 1)),
    "roll, flattened": lambda x: x.roll(5),
    "slice, from the end": lambda x: x[-3:, 1:-1],
    "tril": lambda x: x.tril(1),
    "triu": lambda x: x.triu(-1),
    "diagonal": lambda x: x.diagonal(1),
    "diagonal, batched": lambda x: x.diagonal(-1, -2, -1),
    "eye": lambda x: x * torch.eye(3, 4),
    "linspace": lambda x: x * torch.linspace(-1, 2, 7),
    "oneHot": lambda i, x: x * F.one_hot(i, 6)[..., :5],
    "matmul, vector left": torch.matmul,
    "matmul, vector right": torch.matmul,
    "matmul, vectors": torch.matmul,
    "gather": lambda x, i: x.gather(1, i),
    "gather, shorter index": lambda x, i: x.gather(1, i),
    "scatter": lambda x, i, source: x.scatter(0, i, source),
    "scatterAdd": lambda x, i, source: x.scatter_add(0, i, source[:6, :2]),
    "scatterMax": lambda x, i, source: x.scatter_reduce(1, i, source, "amax"),
    "take": lambda x, i: x[i],
    "take, middle axis": lambda x, i: x[:, i],
    "take, one of the last axis": lambda x, i: x[:, i],
    "sort": lambda x: x.sort(stable=True),
    "sort, descending along the first axis": lambda x: x.sort(dim=0, descending=True, stable=True),
    "argsort": lambda x: x.argsort(stable=True),
    "topK": lambda x: x.topk(5),
    "topK, smallest of the first axis": lambda x: x.topk(2, 0, largest=False),
    "slice, with steps": lambda x: x[1:6:2, ::3],
    "conv1d": lambda x, w, b: F.conv1d(x, w, b, stride=2, padding=1),
    "conv2d": lambda x, w: F.conv2d(x, w),
    "conv2d, one channel": lambda x, w, b: F.conv2d(x, w, b, padding=1),
    "conv2d, strides and padding": lambda x, w, b: F.conv2d(x, w, b, stride=(2, 3), padding=(1, 2)),
    "conv2d, dilation": lambda x, w: F.conv2d(x, w, dilation=(2, 3), padding=1),
    "conv2d, strides and dilation": lambda x, w: F.conv2d(x, w, stride=(4, 2), dilation=(2, 2), padding=(0, 1)),
    "conv2d, groups": lambda x, w: F.conv2d(x, w, groups=2, padding=1, stride=2),
    "conv2d, depthwise": lambda x, w: F.conv2d(x, w, groups=4, padding=1),
    "conv2d, single pixels": lambda x, w, b: F.conv2d(x, w, b),
    "conv2d, single pixels with strides": lambda x, w: F.conv2d(x, w, stride=2),
    "conv2d, same": lambda x, w: F.conv2d(x, w, padding="same"),
    "conv2d, channels last": lambda x, w, b: last(F.conv2d(first(x), w, b, padding=1)).relu(),
    "conv2d, channels last in groups": lambda x, w: last(F.conv2d(first(x), w, stride=2, padding=1, groups=2)),
    "convTranspose1d": lambda x, w, b: F.conv_transpose1d(x, w, b, stride=3, padding=1, output_padding=2),
    "convTranspose2d": lambda x, w: F.conv_transpose2d(x, w, padding=(1, 0), dilation=2),
    "convTranspose2d, strides": lambda x, w, b: F.conv_transpose2d(x, w, b, stride=(2, 3), padding=1, output_padding=(1, 0)),
    "maxPool1d": lambda x: F.max_pool1d(x, 3, stride=2),
    "maxPool2d": lambda x: F.max_pool2d(x, 2),
    "maxPool2d, overlapping": lambda x: F.max_pool2d(x, (3, 2), stride=(2, 1), padding=1, dilation=(1, 2)),
    "maxPool2d, channels last": lambda x: last(F.max_pool2d(first(x), 3, stride=2, padding=1)),
    "avgPool1d": lambda x: F.avg_pool1d(x, 3, stride=2, padding=1),
    "avgPool2d": lambda x: F.avg_pool2d(x, 2),
    "avgPool2d, overlapping": lambda x: F.avg_pool2d(x, 3, stride=(2, 1), padding=1),
    "avgPool2d, without padding": lambda x: F.avg_pool2d(x, (3, 2), stride=2, padding=1, count_include_pad=False),
    "upsample": lambda x: F.interpolate(x, scale_factor=2),
    "upsample, to a size": lambda x: F.interpolate(x, size=(5, 3)),
    "upsample, bilinear": lambda x: F.interpolate(x, scale_factor=(2, 1.5), mode="bilinear"),
    "upsample, aligned corners": lambda x: F.interpolate(x, size=(5, 7), mode="bilinear", align_corners=True),
    "softmax of another axis": lambda x: x.softmax(1),
    "logSoftmax of another axis": lambda x: x.log_softmax(0),
    "layerNorm of another axis": lambda x, g, b: F.layer_norm(x.transpose(1, 2), (5,), g, b, 1e-5).transpose(1, 2),
    "rmsNorm": lambda x, g: F.rms_norm(x, (5,), g, 1e-5),
    "rmsNorm of another axis": lambda x, g: F.rms_norm(x.transpose(1, 2), (6,), g, 1e-5).transpose(1, 2),
    "groupNorm": lambda x, g, b: F.group_norm(x, 3, g, b),
    "batchNorm": lambda x, g, b: F.batch_norm(x, None, None, g, b, training=True),
    "batchNorm by other statistics": lambda x, m, v: (x - m[:, None]) / (v[:, None] + 1e-5).sqrt(),
    "batchStatistics": lambda x: (x.mean((0, 2)), x.var((0, 2), unbiased=False)),
    "convTranspose2d, groups": lambda x, w: F.conv_transpose2d(x, w, stride=2, groups=2),
}


def op(name):
    if name.startswith("einsum "):
        return lambda *tensors: torch.einsum(name[len("einsum "):], *tensors)
    return ops[name]


def expected(case):
    name = case["name"]
    inputs = [source(name, number, spec) for number, spec in enumerate(case["inputs"])]
    results = op(name)(*inputs)
    results = [results] if isinstance(results, torch.Tensor) else list(results)
    flat = torch.cat([result.double().flatten() for result in results])
    out = {"shapes": [list(result.shape) for result in results], "value": describe(name, flat)}
    if flat.requires_grad:
        weights = torch.from_numpy(units(f"{name}.weights", flat.numel()))
        wrt = [x for x in inputs if x.requires_grad]
        gradients = torch.autograd.grad((flat * weights).sum(), wrt, allow_unused=True, materialize_grads=True)
        out["gradients"] = [describe(name, gradient) for gradient in gradients]
    return out


cases = load(beside(__file__, "cases.json"))["cases"]
write(beside(__file__, "expected.json"), {"versions": versions(), "cases": {case["name"]: expected(case) for case in cases}})
