# What the scripts in these folders share: numbers by formula, small models filled with them, and short descriptions of
# large tensors. test/support/pattern.ts says the same in TypeScript, so that neither weights nor inputs need storing.
#
# The formula. Element i of the stream called `name` is the 32-bit word
#     word(name, i) = mix(mix(i + 1) ^ fnv1a(name))         mix: the finalizer of MurmurHash3; fnv1a over UTF-8
# and as a number in [-1, 1)
#     unit(name, i) = (word >> 8) / 2^23 - 1
# Everything made of it is exact in float64 or one rounding away from it, so both languages get the same bits.
import json
import os

import numpy as np
import torch
import transformers

CLASSES = {
    "bert": (transformers.BertConfig, transformers.BertForSequenceClassification),
    "distilbert": (transformers.DistilBertConfig, transformers.DistilBertForSequenceClassification),
}

SIGNS = 16  # sums with random signs that describe a large tensor
FULL = 64  # tensors of up to so many elements are kept as they are
SAMPLES = 8


def mix(words):
    words = words ^ (words >> np.uint32(16))
    words = words * np.uint32(0x85EBCA6B)
    words = words ^ (words >> np.uint32(13))
    words = words * np.uint32(0xC2B2AE35)
    return words ^ (words >> np.uint32(16))


def fnv1a(name):
    value = 0x811C9DC5
    for byte in name.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return np.uint32(value)


def words(name, count):
    return mix(mix(np.arange(1, count + 1, dtype=np.uint32)) ^ fnv1a(name))


def units(name, count):
    return (words(name, count) >> np.uint32(8)).astype(np.float64) / 2.0**23 - 1


def weights(name, shape, seed):
    """A parameter's values, f32: norms about 1, wide enough for attention to choose and for gradients to be felt."""
    count = int(np.prod(shape))
    if len(shape) == 1:
        shift, scale = (1.0, 0.3) if name.lower().endswith("norm.weight") else (0.0, 0.2)
    elif "embeddings" in name:
        shift, scale = 0.0, 0.8
    else:
        sharp = any(part in name for part in (".query.", ".key.", ".q_lin.", ".k_lin."))
        shift, scale = 0.0, (2.5 if sharp else 1.75) / np.sqrt(float(shape[-1]))
    values = shift + scale * units(f"{seed}:{name}", count)
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def fill(model, seed):
    """Gives every parameter its values, by the name that it has in the state dict."""
    for name, parameter in model.named_parameters():
        parameter.data = weights(name, tuple(parameter.shape), seed).to(parameter.dtype)


def inputs(name, lengths, sequence, vocabulary, types, classes, holes=False, ignore=()):
    """ids, mask, types [batch, sequence] and labels [batch]: 2 first, 3 last, 0 on padding; types of any token at random."""
    batch = len(lengths)
    count = batch * sequence
    at = np.tile(np.arange(sequence), (batch, 1))
    length = np.array(lengths)[:, None]
    real = at < length
    ids = (4 + words(f"{name}.ids", count) % np.uint32(vocabulary - 4)).astype(np.int64).reshape(batch, sequence)
    ids = np.where(at == 0, 2, np.where(at == length - 1, 3, ids))
    mask = real.astype(np.int64)
    if holes:
        mask *= np.where((words(f"{name}.holes", count).reshape(batch, sequence) % 4 == 0) & (at > 0), 0, 1)
    segment = (words(f"{name}.types", count) % np.uint32(max(types, 1))).astype(np.int64).reshape(batch, sequence)
    labels = (words(f"{name}.labels", batch) % np.uint32(classes)).astype(np.int64)
    labels[list(ignore)] = -100
    return {"input_ids": torch.from_numpy(ids * real), "attention_mask": torch.from_numpy(mask),
            "token_type_ids": torch.from_numpy(segment * real), "labels": torch.from_numpy(labels)}


def short(value):
    """Eight significant digits: a little more than f32 has."""
    return float(f"{float(value):.8g}")


def numbers(tensor):
    return [short(value) for value in tensor.detach().double().flatten().tolist()]


def describe(name, tensor):
    """
    A small tensor as it is. Of a large one its norm, eight elements (first, last, six at random) and sixteen sums of all
    elements with random signs. Where another tensor differs by e, each sum differs by a sum of e's elements with random
    signs, whose mean square is |e|^2: the sixteen together estimate the norm of e, and no element of e is larger than that.
    An error in a single element shows in every sum at its full size.
    """
    flat = tensor.detach().double().flatten().numpy()
    out = {"norm": short(np.sqrt(np.sum(flat * flat)))}
    if flat.size <= FULL:
        return {**out, "values": [short(value) for value in flat]}
    bits = words(f"{name}.signs", flat.size)
    sums = [np.sum(np.where((bits >> np.uint32(k)) & np.uint32(1), flat, -flat)) for k in range(SIGNS)]
    return {**out, "sums": [short(value) for value in sums], "samples": [short(flat[i]) for i in samples(name, flat.size)]}


def samples(name, size):
    inner = words(f"{name}.samples", SAMPLES - 2) % np.uint32(size)
    return [0, *(int(i) for i in inner), size - 1]


def versions(*modules):
    return {module.__name__: module.__version__ for module in (torch, *modules)}


def write(path, content):
    """JSON with a line for each entry of the two outer levels, so that changes can be read."""
    def lines(value, depth):
        if depth == 0 or not isinstance(value, (dict, list)) or not value:
            return json.dumps(value)
        pad = " " * (4 - depth)
        if isinstance(value, dict):
            return "{\n" + ",\n".join(f"{pad}{json.dumps(k)}: {lines(v, depth - 1)}" for k, v in value.items()) + "\n" + pad[1:] + "}"
        return "[\n" + ",\n".join(pad + lines(v, depth - 1) for v in value) + "\n" + pad[1:] + "]"
    with open(path, "w") as file:
        file.write(lines(content, 3) + "\n")


def beside(script, name):
    return os.path.join(os.path.dirname(os.path.abspath(script)), name)


def load(path):
    with open(path) as file:
        return json.load(file)
