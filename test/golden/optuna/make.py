# Searches as Optuna makes them. Writes densities.json: densities of its Parzen estimators; splits.json: which trials its
# TPESampler takes for good; halvings.json: what its SuccessiveHalvingPruner stops; searches.json: how near its samplers
# come to the optimum of the functions of bench/search/surfaces.ts.
import json
import math
import os
from importlib.metadata import version
from types import SimpleNamespace

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import _split_trials, default_gamma, default_weights
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

optuna.logging.set_verbosity(optuna.logging.ERROR)
here = os.path.dirname(os.path.abspath(__file__))
random = np.random.default_rng(20)

# The order of equal elements depends on the processor otherwise, and with it which observation gets which width.
argsort = np.argsort
np.argsort = lambda values, **options: argsort(values, **{**options, "kind": "stable"})

# Spaces, as train/search/types.ts has them.


def distribution(parameter):
    if "values" in parameter:
        return CategoricalDistribution(parameter["values"])
    low, high, log = parameter["min"], parameter["max"], parameter.get("scale") == "log"
    if parameter.get("integer"):
        return IntDistribution(low, high, log=log, step=parameter.get("step", 1))
    return FloatDistribution(low, high, log=log, step=parameter.get("step"))


SPACES = [
    {"x": {"min": -5, "max": 10}},
    {"lr": {"min": 1e-5, "max": 0.1, "scale": "log"}},
    {"rank": {"min": 1, "max": 64, "scale": "log", "integer": True}},
    {"layers": {"min": 2, "max": 24, "step": 2, "integer": True}},
    {"dropout": {"min": 0, "max": 0.5, "step": 0.1}},
    {"schedule": {"values": ["linear", "cosine", "constant"]}},
    {
        "lr": {"min": 1e-5, "max": 0.1, "scale": "log"},
        "rank": {"min": 1, "max": 64, "scale": "log", "integer": True},
        "dropout": {"min": 0, "max": 0.5, "step": 0.1},
        "schedule": {"values": ["linear", "cosine", "constant"]},
        "x": {"min": -5, "max": 10},
        "train-head": {"values": [True, False]},
    },
]


def draw(parameter):
    if "values" in parameter:
        return parameter["values"][int(random.integers(len(parameter["values"])))]
    d = distribution(parameter)
    if d.log:
        value = math.exp(random.uniform(math.log(d.low), math.log(d.high)))
        return round(value) if parameter.get("integer") else float(f"{value:.5g}")
    if d.step is None:
        return round(float(random.uniform(d.low, d.high)), 3)
    value = d.low + d.step * int(random.integers(round((d.high - d.low) / d.step) + 1))
    return int(value) if parameter.get("integer") else round(value, 6)


def estimator(space, observed):
    distributions = {name: distribution(parameter) for name, parameter in space.items()}
    columns = {
        name: np.array([d.to_internal_repr(values[name]) for values in observed], dtype=float)
        for name, d in distributions.items()
    }
    parameters = _ParzenEstimatorParameters(1.0, True, False, default_weights, True)
    return distributions, _ParzenEstimator(columns, distributions, parameters)


def densities():
    cases = []
    for space in SPACES:
        for count in [0, 1, 2, 7, 40]:
            observed = [{name: draw(p) for name, p in space.items()} for _ in range(count)]
            asked = [{name: draw(p) for name, p in space.items()} for _ in range(6)]
            distributions, mixture = estimator(space, observed)
            columns = {
                name: np.array([d.to_internal_repr(values[name]) for values in asked], dtype=float)
                for name, d in distributions.items()
            }
            found = [float(value) for value in mixture.log_pdf(columns)]
            cases.append({"space": space, "observed": observed, "asked": asked, "logDensities": found})
    return cases


STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "running": TrialState.RUNNING}


def splits():
    cases = []
    for direction in ["minimize", "maximize"]:
        for count in [1, 9, 11, 40] + ([300] if direction == "maximize" else []):
            trials = []
            for number in range(count):
                state = ["complete", "pruned", "pruned", "running"][int(random.choice(4, p=[0.05, 0.5, 0.35, 0.1]))]
                evaluations = int(random.integers(1, 5))
                trials.append(
                    {
                        "state": state,
                        "value": None if state == "running" else float(random.integers(0, 1000)) / 1000,
                        "evaluations": evaluations if state == "pruned" else None,
                    }
                )
            frozen = [
                FrozenTrial(
                    number=number,
                    trial_id=number,
                    state=STATES[trial["state"]],
                    value=trial["value"] if trial["state"] == "complete" else None,
                    datetime_start=None,
                    datetime_complete=None,
                    params={},
                    distributions={},
                    user_attrs={},
                    system_attrs={},
                    intermediate_values={trial["evaluations"]: trial["value"]} if trial["state"] == "pruned" else {},
                )
                for number, trial in enumerate(trials)
            ]
            directions = [StudyDirection.MINIMIZE if direction == "minimize" else StudyDirection.MAXIMIZE]
            study = SimpleNamespace(directions=directions, direction=directions[0])
            ended = sum(trial["state"] != "running" for trial in trials)
            good, _ = _split_trials(study, frozen, default_gamma(ended))
            cases.append({"direction": direction, "trials": trials, "good": [trial.number for trial in good]})
    return cases


def halvings():
    """Trials that take turns at random; each case says what was reported, in order, and after which it was stopped."""
    cases = []
    for direction, grace, factor in [("minimize", 1, 2), ("maximize", 1, 3), ("maximize", 2, 2), ("minimize", 3, 4)]:
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=grace, reduction_factor=factor)
        study = optuna.create_study(direction=direction, pruner=pruner)
        trials = [study.ask() for _ in range(30)]
        waiting, reports = list(range(30)), []
        while waiting:
            number = waiting[int(random.integers(min(6, len(waiting))))]
            trial = trials[number]
            step = (study.trials[number].last_step or 0) + 1
            # Few different values, so that some are equal.
            value = float(random.integers(0, 40)) / 40
            trial.report(value, step)
            stopped = trial.should_prune()
            reports.append([number, value, stopped])
            if stopped or step == 12:
                waiting.remove(number)
                study.tell(trial, state=TrialState.PRUNED if stopped else TrialState.FAIL)
        cases.append({"direction": direction, "halving": {"grace": grace, "factor": factor}, "reports": reports})
    return cases


# Surfaces. The same as in bench/search/surfaces.ts, which says what they are.

BRANIN = {"x": {"min": -5, "max": 10}, "y": {"min": 0, "max": 15}}
TUNING = {
    "lr": {"min": 1e-6, "max": 0.1, "scale": "log"},
    "rank": {"min": 1, "max": 128, "scale": "log", "integer": True},
    "dropout": {"min": 0, "max": 0.5, "step": 0.1},
    "targets": {"values": ["query", "query,value", "mlp", "query,value,mlp", "head"]},
    "schedule": {"values": ["linear", "cosine", "constant"]},
}


def branin(x, y):
    bend = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def tuning(lr, rank, dropout, targets, schedule):
    best = -3.3 - 0.2 * (targets == "query,value,mlp") + 0.5 * (targets == "head")
    cost = {"query": 0.6, "query,value": 0.3, "mlp": 0.2, "query,value,mlp": 0, "head": 1.5}[targets]
    off = math.log10(lr) - best
    return (
        cost
        + (0.8 * off**2 if off > 0 else 0.4 * off**2)
        + 0.05 * (math.log2(rank) - 4) ** 2
        + 2 * (dropout - 0.1) ** 2
        + {"linear": 0, "cosine": 0.05, "constant": 0.25}[schedule] * (1 + 2 * (off > 0))
    )


def suggest(trial, space):
    return {name: trial._suggest(name, distribution(parameter)) for name, parameter in space.items()}


def regrets(space, value, optimum, seeds, trials, sampler):
    """Best value less the optimum after each number of trials, for each seed."""
    found = []
    for seed in range(seeds):
        study = optuna.create_study(sampler=sampler(seed))
        study.optimize(lambda trial: value(**suggest(trial, space)), n_trials=max(trials))
        best = np.minimum.accumulate([trial.value for trial in study.trials])
        found.append([float(f"{best[n - 1] - optimum:.6g}") for n in trials])
    return found


TRIALS = [30, 60]


def searches():
    samplers = {
        "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
        "univariate": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=False),
        "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    }
    surfaces = {"branin": (BRANIN, branin, 0.39788735772973816), "tuning": (TUNING, tuning, 0.0)}
    return {
        name: {sampler: regrets(*surface, 60, TRIALS, samplers[sampler]) for sampler in samplers}
        for name, surface in surfaces.items()
    }


def main():
    for name, value in [
        ("densities", densities()),
        ("splits", splits()),
        ("halvings", halvings()),
        ("searches", {"trials": TRIALS, "regrets": searches()}),
    ]:
        document = {"made_with": {"optuna": version("optuna"), "numpy": version("numpy")}, name: value}
        with open(os.path.join(here, f"{name}.json"), "w") as file:
            json.dump(document, file, separators=(",", ":"))
            file.write("\n")


main()
