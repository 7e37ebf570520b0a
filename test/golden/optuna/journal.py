# The journal that Optuna's JournalFileBackend writes for the trials of journal.json: writes journal.jsonl, with the name of
# the writer and the times that journal.json has. With a folder that export.ts wrote as its argument, it reads the journal
# there instead, by Optuna's own storage, and compares every trial with the folder's trials.json.
import json
import os
import re
import sys
import tempfile
from datetime import datetime, timezone

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

optuna.logging.set_verbosity(optuna.logging.ERROR)
here = os.path.dirname(os.path.abspath(__file__))


def distribution(parameter):
    if "values" in parameter:
        return CategoricalDistribution(parameter["values"])
    low, high, log = parameter["min"], parameter["max"], parameter.get("scale") == "log"
    if parameter.get("integer"):
        return IntDistribution(low, high, log=log, step=parameter.get("step", 1))
    return FloatDistribution(low, high, log=log, step=parameter.get("step"))


class Clock(datetime):
    """Says the time that it was set to."""

    at = datetime(2026, 11, 30, tzinfo=timezone.utc)

    @classmethod
    def now(cls, tz=None):
        return cls.at


def write(path):
    with open(os.path.join(here, "journal.json")) as file:
        study = json.load(file)
    space = study["spec"]["spaces"][0]
    optuna.storages.journal._storage.datetime = Clock
    storage = JournalStorage(JournalFileBackend(path))
    maximize = study["spec"]["direction"] == "maximize"
    direction = StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE
    study_id = storage.create_new_study([direction], study["name"])
    storage.set_study_system_attr(study_id, "study:metric_names", [study["spec"]["metric"]])
    for key, value in study["attributes"].items():
        storage.set_study_user_attr(study_id, key, value)
    for trial in study["trials"]:
        template = create_trial(
            state=TrialState.WAITING,
            params=trial["values"],
            distributions={name: distribution(space[name]) for name in trial["values"]},
            user_attrs={"trial": trial["number"], "setting": trial["setting"], "seed": trial["seed"]},
        )
        trial_id = storage.create_new_trial(study_id, template)
        if trial["state"] == "waiting":
            continue
        Clock.at = Clock.fromisoformat(trial["startedAt"])
        storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        for report in trial["intermediate"]:
            storage.set_trial_intermediate_value(trial_id, report["step"], float(report["value"]))
        if trial["state"] == "running":
            continue
        for key, value in trial["attributes"].items():
            storage.set_trial_user_attr(trial_id, key, value)
        Clock.at = Clock.fromisoformat(trial["finishedAt"])
        state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}[trial["state"]]
        last = trial["intermediate"][-1]["value"] if trial["intermediate"] else None
        value = {"complete": trial.get("value"), "pruned": last, "failed": None}[trial["state"]]
        storage.set_trial_state_values(trial_id, state, None if value is None else [float(value)])


def check(folder):
    with open(os.path.join(folder, "trials.json")) as file:
        expected = json.load(file)
    storage = JournalStorage(JournalFileBackend(os.path.join(folder, "journal.log")))
    study = optuna.load_study(study_name=expected["name"], storage=storage)
    assert study.direction.name.lower() == expected["direction"], study.direction
    assert study.metric_names == [expected["metric"]], study.metric_names
    # A trial that was tried again stands there as often; the last try counts.
    trials = {trial.user_attrs["trial"]: trial for trial in study.trials}
    states = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL", "running": "RUNNING", "waiting": "WAITING"}
    for ours in expected["trials"]:
        theirs = trials[ours["number"]]
        last = ours["intermediate"][-1]["value"] if ours["state"] == "pruned" else ours.get("value")
        assert theirs.state.name == states[ours["state"]], (ours, theirs)
        assert theirs.params == ours["values"], (ours, theirs)
        assert theirs.value == last, (ours, theirs)
        assert theirs.intermediate_values == {i["step"]: i["value"] for i in ours["intermediate"]}, (ours, theirs)
        assert (theirs.user_attrs["setting"], theirs.user_attrs["seed"]) == (ours["setting"], ours["seed"])
        assert all(theirs.distributions[name]._contains(theirs.distributions[name].to_internal_repr(value))
                   for name, value in theirs.params.items()), theirs
    assert len(trials) == len(expected["trials"])
    # What Optuna can do with it: its best trial, and a next one.
    best = study.best_trial.user_attrs["trial"]
    assert best == expected["best"], best
    read = study.trials
    study.sampler = optuna.samplers.TPESampler(seed=1)
    study.ask({name: distribution(parameter) for name, parameter in expected["space"].items()})
    counts = {state: sum(trial.state.name == state for trial in read) for state in sorted(set(states.values()))}
    print(f"Optuna {optuna.__version__} read {len(read)} trials, equal to ours: {counts}, best {best}")


if len(sys.argv) > 1:
    check(sys.argv[1])
else:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "journal.log")
        write(path)
        with open(path) as file:
            text = file.read()
    with open(os.path.join(here, "journal.jsonl"), "w") as file:
        file.write(re.sub('"worker_id":"[^"]*"', '"worker_id":"tilegrad"', text))
