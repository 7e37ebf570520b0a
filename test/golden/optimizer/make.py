# The optimizer and the schedules alone: what torch.optim.AdamW, clip_grad_norm_ and Transformers' get_scheduler do in the
# cases of cases.json, in float64 from values and gradients that are f32. Writes expected.json.
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import torch
import transformers
from oracle import beside, load, numbers, short, units, versions, words, write

SNAPSHOTS = (5, 50)
STRIDE = 17  # of the steps of long schedules
NAMES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


def f32(values, shape):
    return torch.from_numpy(values).float().double().reshape(shape)


def gradient(case, step, name, shape):
    """Of step 1, 2, ...: in [-1, 1) times `gradient`, growing by the factor `growth` a step; sparse ones are mostly 0."""
    size = torch.Size(shape).numel()
    stream = f"{case['name']}: {step}: {name}"
    values = units(stream, size) * (case["gradient"] * case.get("growth", 1) ** step)
    if case.get("sparse"):
        values = values * (words(f"{stream}: kept", size) % 3 == 0)
    return f32(values, shape)


def adamw(case, specs):
    parameters = {s["name"]: torch.nn.Parameter(f32(units(s["name"], torch.Size(s["shape"]).numel()), s["shape"])) for s in specs}
    group = lambda decays: [parameters[s["name"]] for s in specs if s["decays"] == decays]
    optimizer = torch.optim.AdamW(
        [{"params": group(True), "weight_decay": case.get("weightDecay", 0)}, {"params": group(False), "weight_decay": 0.0}],
        lr=case["lr"], betas=(case.get("beta1", 0.9), case.get("beta2", 0.999)), eps=case.get("epsilon", 1e-8))
    scheduler = None
    if "schedule" in case:
        scheduler = transformers.get_scheduler(NAMES[case["schedule"]], optimizer, case["warmup"], case["steps"])
    norms, snapshots = [], {}
    for step in range(1, case["steps"] + 1):
        for s in specs:
            parameters[s["name"]].grad = gradient(case, step, s["name"], s["shape"])
        norms.append(short(torch.nn.utils.clip_grad_norm_(parameters.values(), case.get("clip", 0) or float("inf"))))
        optimizer.step()
        if scheduler:
            scheduler.step()
        if step in SNAPSHOTS:
            snapshots[step] = {name: numbers(parameter) for name, parameter in parameters.items()}
    return {"norms": norms, "snapshots": snapshots}


def schedule(name, warmup, steps):
    """The factors of steps 0, 1, ..., and one past the end."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = transformers.get_scheduler(NAMES[name], optimizer, warmup, steps)
    factors = []
    for _ in range(steps + 1):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    at = range(steps + 1) if steps <= 100 else sorted({*range(0, steps + 1, STRIDE), warmup - 1, warmup, warmup + 1, steps})
    return {"at": list(at), "factors": [short(factors[i]) for i in at]}


cases = load(beside(__file__, "cases.json"))
write(beside(__file__, "expected.json"), {
    "versions": versions(transformers),
    "adamw": {case["name"]: adamw(case, cases["parameters"]) for case in cases["adamw"]},
    "schedules": [schedule(**case) for case in cases["schedules"]],
    "warmups": [transformers.TrainingArguments("unused", warmup_steps=warmup).get_warmup_steps(steps) for warmup, steps in cases["warmups"]],
})
