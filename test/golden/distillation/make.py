# The losses of distillation by PyTorch and Transformers, in float64, with their gradients. Writes expected.json.
#
# For tasks: (1 - weight) * loss + weight * distance, of logits by formula; the distance is T^2 * kl_div of classes, the
# same of each label's two outcomes, or mse_loss of numbers. For masked-language models: cross_entropy at the masked
# places, T^2 * kl_div there, and hidden states by CosineEmbeddingLoss or, through a projection, by mse_loss, averaged over
# the student's states; layers are spread evenly.
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from oracle import beside, describe, fill, inputs, load, short, units, versions, weights, words, write

VOCABULARY, LONGEST, LENGTHS = 37, 9, (9, 6, 3)


def both(case, rows):
    shape = (rows, case.get("classes", 1))
    count = shape[0] * shape[1]
    student, teacher = (
        torch.from_numpy((case["scale"] * units(f"{case['name']}.{side}", count)).astype(np.float32)).double().reshape(shape)
        for side in ("student", "teacher")
    )
    return student.requires_grad_(), teacher


def kl(logits, teacher, temperature):
    return temperature**2 * F.kl_div(F.log_softmax(logits / temperature, -1), F.log_softmax(teacher / temperature, -1), log_target=True, reduction="batchmean")


def task(kind, case, rows):
    logits, teacher = both(case, rows)
    if kind == "classes":
        labels = torch.from_numpy((words(f"{case['name']}.labels", rows) % np.uint32(case["classes"])).astype(np.int64))
        own, distance = F.cross_entropy(logits, labels), kl(logits, teacher, case["temperature"])
    elif kind == "labels":
        wanted = torch.from_numpy((words(f"{case['name']}.labels", logits.numel()) % np.uint32(2)).astype(np.float64)).reshape(logits.shape)
        own = F.binary_cross_entropy_with_logits(logits, wanted)
        outcomes = lambda x: torch.stack([x.reshape(-1), torch.zeros(x.numel(), dtype=torch.float64)], -1)
        distance = kl(outcomes(logits), outcomes(teacher), case["temperature"])
    else:
        wanted = torch.from_numpy(2 * units(f"{case['name']}.labels", rows).astype(np.float32)).double()
        own, distance = F.mse_loss(logits.reshape(-1), wanted), F.mse_loss(logits, teacher)
    loss = (1 - case["weight"]) * own + case["weight"] * distance
    loss.backward()
    return {"loss": short(loss.detach()), "distance": short(distance.detach()), "gradient": [short(x) for x in logits.grad.reshape(-1)]}


def model_of(sizes, seed):
    config = transformers.BertConfig(vocab_size=VOCABULARY, hidden_size=sizes["hidden"], num_hidden_layers=sizes["layers"],
                                     num_attention_heads=sizes["heads"], intermediate_size=2 * sizes["hidden"], max_position_embeddings=12,
                                     hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="eager")
    model = transformers.BertForMaskedLM(config)
    fill(model, seed)
    model.tie_weights()
    return model.double().eval()


def masked(case):
    student, teacher = model_of(case["student"], case["seed"]), model_of(case["teacher"], case["seed"] + 100)
    data = inputs(case["name"], LENGTHS, LONGEST, VOCABULARY, 2, 2)
    data.pop("labels")
    real = data["attention_mask"].bool()
    # Every third token of a text, but not the first or the last.
    places = [row * LONGEST + at for row, length in enumerate(LENGTHS) for at in range(1, length - 1, 3)]
    labels = torch.from_numpy((4 + words(f"{case['name']}.tokens", len(places)) % np.uint32(VOCABULARY - 4)).astype(np.int64))
    out = student(**data, output_hidden_states=True)
    with torch.no_grad():
        theirs = teacher(**data, output_hidden_states=True)
    at = lambda logits: logits.reshape(-1, VOCABULARY)[places]
    own = F.cross_entropy(at(out.logits), labels)
    distance = kl(at(out.logits), at(theirs.logits), case["temperature"])
    projection = None
    width, wanted = case["student"]["hidden"], case["teacher"]["hidden"]
    if case["hidden"] > 0 and width != wanted:
        projection = torch.nn.Linear(width, wanted).double()
        for name, parameter in projection.named_parameters():
            parameter.data = weights(f"distillation.projection.{name}", tuple(parameter.shape), case["seed"]).double()
    layers = case["student"]["layers"]
    states = []
    for i, state in enumerate(out.hidden_states):
        target = theirs.hidden_states[int(i * case["teacher"]["layers"] / layers + 0.5)][real]
        if projection:
            states.append(F.mse_loss(projection(state[real]), target))
        elif case["hidden"] > 0:
            states.append(torch.nn.CosineEmbeddingLoss()(state[real], target, torch.ones(len(target), dtype=torch.float64)))
    hidden = sum(states) / len(states) if states else torch.zeros((), dtype=torch.float64)
    loss = (1 - case["weight"]) * own + case["weight"] * distance + case["hidden"] * hidden
    loss.backward()
    gradients = {name: describe(name, p.grad) for name, p in student.named_parameters() if p.grad is not None}
    if projection:
        gradients |= {f"distillation.projection.{name}": describe(f"distillation.projection.{name}", p.grad) for name, p in projection.named_parameters()}
    parts = {"task_loss": own, "distill_loss": distance, "hidden_loss": hidden}
    return {"loss": short(loss.detach()), "parts": {name: short(part.detach()) for name, part in parts.items()}, "gradients": gradients}


cases = load(beside(__file__, "cases.json"))
out = {"versions": versions(transformers)}
for kind in ("classes", "labels", "regression"):
    for case in cases[kind]:
        out[case["name"]] = task(kind, case, cases["rows"])
for case in cases["masked"]:
    out[case["name"]] = masked(case)
write(beside(__file__, "expected.json"), out)
