# The optimizers and schedules of cases.json, by torch.optim and torch.optim.lr_scheduler in float64 from values and
# gradients that are f32; Lion, which torch lacks, by the algorithm of its paper. Writes expected.json.
#
# Muon rounds to bfloat16 while it makes matrices orthogonal. It does not here, since ours does not.
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import torch
import transformers
from oracle import beside, load, numbers, short, units, versions, write

torch.bfloat16 = torch.float64
NAMES = {"lr": "lr", "weightDecay": "weight_decay", "momentum": "momentum", "nesterov": "nesterov", "epsilon": "eps"}


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, algorithm 2."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                update = (beta1 * m + (1 - beta1) * p.grad).sign()
                p -= group["lr"] * (update + group["weight_decay"] * p)
                m.copy_(beta2 * m + (1 - beta2) * p.grad)


def f32(name, shape):
    return torch.from_numpy(units(name, torch.Size(shape).numel())).float().double().reshape(shape)


def settings(options, kind):
    """Ours by the names of torch."""
    given = {NAMES[name]: value for name, value in options.items() if name in NAMES}
    if kind == "muon":
        adjust = {"original": "original", "adamw": "match_rms_adamw"}[options.get("adjust", "original")]
        return {"weight_decay": 0.1, **given, "adjust_lr_fn": adjust}
    if kind == "sgd":
        return given
    betas = (options.get("beta1", 0.9), options.get("beta2", 0.99 if kind == "lion" else 0.999))
    return {"weight_decay": 0.01 if kind == "adamw" else 0.0, **given, "betas": betas}


MADE = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "lion": Lion, "muon": torch.optim.Muon}


def run(case, specs, steps):
    parameters = {s["name"]: torch.nn.Parameter(f32(s["name"], s["shape"])) for s in specs}
    kind, options = case["kind"], case["options"]
    groups = case.get("groups", [{"of": list(parameters)}])
    rest = []
    if kind == "muon":
        matrices = [name for name, p in parameters.items() if p.ndim == 2]
        groups = [{"of": matrices}]
        rest = [torch.optim.AdamW([p for p in parameters.values() if p.ndim < 2], lr=1e-3, weight_decay=0.0)]
    made = [{"params": [parameters[name] for name in g["of"]], **settings({**options, **g}, kind)} for g in groups]
    optimizers = [MADE[kind](made, lr=options["lr"]), *rest]
    for step in range(steps):
        for name, p in parameters.items():
            p.grad = f32(f"{case['name']}: {step}: {name}", tuple(p.shape))
        if "clip" in options:
            torch.nn.utils.clip_grad_norm_(parameters.values(), options["clip"])
        if "gamma" in case:
            for group in optimizers[0].param_groups:
                group["lr"] = options["lr"] * case["gamma"] ** step
        for optimizer in optimizers:
            optimizer.step()
    return {name: numbers(p) for name, p in parameters.items()}


def schedule(name, args, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    kinds = torch.optim.lr_scheduler
    made = {
        "exponential": lambda gamma: kinds.ExponentialLR(optimizer, gamma),
        "stepped": lambda every, gamma: kinds.MultiStepLR(optimizer, every, gamma) if isinstance(every, list) else kinds.StepLR(optimizer, every, gamma),
        "polynomial": lambda total, power: kinds.PolynomialLR(optimizer, total, power),
        "inverseSquareRoot": lambda warmup: transformers.get_inverse_sqrt_schedule(optimizer, warmup),
        "cosineRestarts": lambda first, longer, least: kinds.CosineAnnealingWarmRestarts(optimizer, first, longer, least),
        "oneCycle": lambda total: kinds.OneCycleLR(optimizer, 1.0, total_steps=total),
    }[name](*args)
    factors = []
    for _ in range(steps):
        factors.append(short(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if len(factors) < steps:
            made.step()
    return factors


cases = load(beside(__file__, "cases.json"))
write(beside(__file__, "expected.json"), {
    "versions": versions(transformers),
    "optimizers": {case["name"]: run(case, cases["parameters"], cases["steps"]) for case in cases["optimizers"]},
    "schedules": [schedule(**case) for case in cases["schedules"]],
})
