# PyTorch's functions of one and of two numbers with their gradients, in float64, at points that include their kinks; its
# reductions, scans and losses of a few rows.
#     python make.py > expected.json
import json
import torch
import torch.nn.functional as F

POINTS = [-9, -3, -2.5, -1, -0.75, -0.5, -0.125, 0, 0.125, 0.5, 0.75, 1, 1.5, 2.5, 3, 6, 9]
OTHERS = [1.5, -1.25, 0.5, 2, -3, 1, 0.25, 0.5, -0.5, 4, -0.75, 2, 0.75, -1, 1, 2.5, -2]
WORDS = [0, 1, -1, 5, -6, 12345, -12345, 2**31 - 1, -(2**31)]
SHIFTS = [0, 1, 4, 31, 31, 7, 7, 1, 3]

unary = {
    "relu": F.relu, "relu6": F.relu6, "sigmoid": torch.sigmoid, "logSigmoid": F.logsigmoid, "hardSigmoid": F.hardsigmoid,
    "leakyRelu": F.leaky_relu, "leakyRelu 0.2": lambda x: F.leaky_relu(x, 0.2), "elu": F.elu, "elu 0.5": lambda x: F.elu(x, 0.5),
    "selu": F.selu, "gelu": F.gelu, "gelu tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu, "mish": F.mish,
    "hardSwish": F.hardswish, "softplus": F.softplus, "softplus 2": lambda x: F.softplus(x, beta=2),
    "clamp -2 0.7": lambda x: x.clamp(-2, 0.7), "clamp from -2": lambda x: x.clamp(min=-2), "clamp to 0.7": lambda x: x.clamp(max=0.7),
    "floor": torch.floor, "ceil": torch.ceil, "round": torch.round, "trunc": torch.trunc,
    "exp2": torch.exp2, "expm1": torch.expm1, "log2": torch.log2, "log10": torch.log10, "log1p": torch.log1p,
    "sin": torch.sin, "cos": torch.cos, "tan": torch.tan, "asin": torch.asin, "acos": torch.acos, "atan": torch.atan,
    "sinh": torch.sinh, "cosh": torch.cosh, "asinh": torch.asinh, "acosh": torch.acosh, "atanh": torch.atanh,
}
binary = {
    "mod": torch.remainder, "atan2": torch.atan2, "prelu": lambda x, y: torch.where(x > 0, x, x * y),
    "clamp from other": lambda x, y: torch.clamp(x, min=y), "clamp to other": lambda x, y: torch.clamp(x, max=y),
}
logic = {
    "logicalAnd": torch.logical_and, "logicalOr": torch.logical_or, "logicalXor": torch.logical_xor,
    "logicalNot": lambda x, _: torch.logical_not(x),
}
bits = {
    "bitwiseAnd": torch.bitwise_and, "bitwiseOr": torch.bitwise_or, "bitwiseXor": torch.bitwise_xor,
    "bitwiseNot": lambda x, _: torch.bitwise_not(x), "leftShift": torch.bitwise_left_shift, "rightShift": torch.bitwise_right_shift,
    "mod": torch.remainder,
}
ROWS = [[0.5, -1.25, 2, 0.75], [0, 1.5, -0.5, 3], [-2, 0, 0.25, 0]]
reductions = {
    "prod": lambda x: x.prod(1), "logSumExp": lambda x: x.logsumexp(1), "variance": lambda x: x.var(1),
    "variance 0": lambda x: x.var(1, correction=0), "std": lambda x: x.std(1), "norm": lambda x: x.norm(dim=1),
    "norm 1": lambda x: x.norm(1, dim=1), "norm 3": lambda x: x.norm(3, dim=1), "norm inf": lambda x: x.norm(float("inf"), dim=1),
    "norm -inf": lambda x: x.norm(float("-inf"), dim=1), "cumsum": lambda x: x.cumsum(1), "cumprod": lambda x: x.cumprod(1),
    "std of equal numbers": lambda x: (0 * x).std(1), "norm of zeros": lambda x: (0 * x).norm(dim=1),
    "norm 3 of zeros": lambda x: (0 * x).norm(3, dim=1),
}
TARGETS = [[1, 0, 0.25, 0.75], [0, 1, 1, 0], [0.5, 1, 0, 0]]
LABELS = [2, -100, 3]
WEIGHTS = [0.5, 2, 1, 0.25]
weights = torch.tensor(WEIGHTS, dtype=torch.float64)
labels = torch.tensor(LABELS)
losses = {
    "mse": F.mse_loss, "l1": F.l1_loss, "huber": F.huber_loss, "huber 0.5": lambda x, y, **o: F.huber_loss(x, y, delta=0.5, **o),
    "bce": F.binary_cross_entropy_with_logits, "bce weighted": lambda x, y, **o: F.binary_cross_entropy_with_logits(x, y, pos_weight=weights, **o),
    "kl": lambda x, y, **o: F.kl_div(x.log_softmax(1), y, **o), "kl logs": lambda x, y, **o: F.kl_div(x.log_softmax(1), y, log_target=True, **o),
    "crossEntropy": lambda x, y, **o: F.cross_entropy(x, labels, **o),
    "crossEntropy weighted": lambda x, y, **o: F.cross_entropy(x, labels, weights, **o),
    "crossEntropy smoothed": lambda x, y, **o: F.cross_entropy(x, labels, label_smoothing=0.2, **o),
    "crossEntropy both": lambda x, y, **o: F.cross_entropy(x, labels, weights, label_smoothing=0.2, **o),
}


def numbers(tensor):
    spelled = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return [spelled.get(str(number), number) for number in tensor.reshape(-1).tolist()]


def slopes(function, *inputs, first=False):
    """The value and the gradient of its sum in each of the inputs, or in the first alone."""
    inputs = [torch.tensor(numbers, dtype=torch.float64, requires_grad=True) for numbers in inputs]
    value = function(*inputs)
    return {"y": numbers(value), "gradients": [numbers(g) for g in torch.autograd.grad(value.sum(), inputs[:1] if first else inputs)]}


def whole(function, *inputs):
    return [int(number) for number in function(*(torch.tensor(numbers, dtype=torch.int32) for numbers in inputs))]


expected = {
    "torch": torch.__version__, "points": POINTS, "others": OTHERS, "words": WORDS, "shifts": SHIFTS,
    "unary": {name: slopes(function, POINTS) for name, function in unary.items()},
    "binary": {name: slopes(function, POINTS, OTHERS) for name, function in binary.items()},
    "rows": ROWS, "reductions": {name: slopes(function, ROWS) for name, function in reductions.items()},
    "targets": TARGETS, "labels": LABELS, "weights": WEIGHTS,
    "losses": {f"{name}, {how}": slopes(lambda x, y: function(x, y, reduction=how), ROWS, TARGETS, first=True)
               for name, function in losses.items() for how in ("none", "sum", "mean")},
    "batchMean": slopes(lambda x, y: F.kl_div(x.log_softmax(1), y, reduction="batchmean"), ROWS, TARGETS, first=True),
    "logic": {name: whole(function, [0, 0, 2, -3], [0, 5, 0, 7]) for name, function in logic.items()},
    "bits": {name: whole(function, WORDS, SHIFTS if name != "mod" else [3, -3, 7, -7, 4, 100, 100, -9, 10]) for name, function in bits.items()},
}
print("{\n" + ",\n".join(
    f' {json.dumps(key)}: ' + ("{\n" + ",\n".join(f'  {json.dumps(n)}: {json.dumps(v)}' for n, v in value.items()) + "\n }"
                               if isinstance(value, dict) and key != "batchMean" else json.dumps(value)) for key, value in expected.items()) + "\n}")
