"""Samplers and pruners use the results of earlier trials."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dlcli.sweeps.objective import Objective
from dlcli.sweeps.space import read_space
from dlcli.sweeps.study import Study
from dlcli.sweeps.trial import Trial

CMAES = {"_target_": "dlcli.sweeps.samplers.cmaes"}
NUMBERS = {"lr": "interval(0,1)", "decay": "interval(0,1)"}


def going_on(section: dict[str, Any], sampler: dict[str, Any], earlier: list[Trial]) -> Study:
    """A study of a sweep that is resumed."""
    pruner = {"_target_": "dlcli.sweeps.pruners.none"}
    goal = [Objective("val/loss", "min")]
    return Study(read_space(section, lambda _: []), goal, sampler, pruner, 0, 1, 1, earlier)


def finished(number: int, params: dict[str, Any]) -> Trial:
    return Trial(number, params, Path(), str(number), "finished", values=(abs(params["lr"] - 0.3),))


@pytest.mark.parametrize(
    "more",
    [{}, {"model": "mlp,cnn"}, {"layers": "range(3,4)"}, {"model": "mlp,cnn", "model=cnn": {"width": "range(1,9)"}}],
    ids=["numbers", "a choice", "one number", "a condition"],
)  # fmt: skip
def test_cma_es_resumes_in_any_space(more: dict[str, Any]) -> None:
    section = NUMBERS | more
    space = read_space(section, lambda _: [])

    def point(share: float) -> dict[str, Any]:
        return space.walk(lambda dimension: dimension.domain.at(share))

    done = [finished(number, point(number / 25)) for number in range(25)]
    assert {"lr", "decay"} <= set(going_on(section, CMAES, done).ask(25))


def test_models_without_steps_start_first_if_all_are_tried_in_whatever_order_trials_began() -> None:
    models = ["mlp", "linear", "gru"]
    starts = tuple({"model": model} for model in models)
    space = replace(
        read_space({"model": ",".join(models)}, lambda _: []), starts=starts, quick=frozenset({"linear"})
    )
    goal, tpe = [Objective("val/loss", "min")], {"_target_": "dlcli.sweeps.samplers.tpe"}
    pruner = {"_target_": "dlcli.sweeps.pruners.none"}

    def tried(trials: int, earlier: list[str]) -> list[str]:
        known = [
            Trial(number, {"model": model}, Path(), str(number), "finished", values=(1.0,))
            for number, model in enumerate(earlier)
        ]
        study = Study(space, goal, tpe, pruner, 0, 1, 1, known, trials)
        return [study.ask(number)["model"] for number in range(len(known), min(trials, len(models)))]

    assert tried(3, []) == ["linear", "mlp", "gru"]
    assert tried(2, []) == ["mlp", "linear"]
    assert tried(3, ["mlp"]) == ["linear", "gru"]
    assert tried(4, ["mlp", "linear"]) == ["gru"]


def test_a_trial_whose_record_is_lost_is_counted_and_no_more() -> None:
    lost = Trial(0, {}, Path(), "", "failed", reason="its record is lost")
    tpe = {"_target_": "dlcli.sweeps.samplers.tpe"}
    study = going_on(NUMBERS, tpe, [lost, finished(1, {"lr": 0.2, "decay": 0.1})])
    assert set(study.ask(2)) == {"lr", "decay"}


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "random", "sobol"])
def test_no_point_is_tried_twice_while_others_are_left(sampler: str) -> None:
    section: dict[str, Any] = {
        "model": "mlp,linear",
        "model=mlp": {"hidden": "range(1,5)", "depth": "range(1,4)"},
    }
    target = {"_target_": f"dlcli.sweeps.samplers.{sampler}"}
    study = going_on(section, target, [])
    trials: list[Trial] = []
    for number in range(13):
        if number == 7:
            study = going_on(section, target, trials)
        params = study.ask(number)
        trials.append(Trial(number, params, Path(), str(number), "finished", values=(number % 3,)))
        study.tell(trials[-1])
    tried = [trial.params for trial in trials]
    points = read_space(section, lambda _: []).all_points
    assert sorted(map(str, tried)) == sorted(map(str, points))
    # The sampler learns from what was tried, not from what it had proposed.
    known = [{name.partition(" ")[0]: value for name, value in t.params.items()} for t in study.optuna.trials]
    assert known == tried
    assert study.ask(13) in tried  # nothing else is left


@pytest.mark.parametrize("pruner", ["median", "asha", "hyperband"])
def test_a_trial_that_is_through_is_not_pruned(pruner: str) -> None:
    section = {"_target_": f"dlcli.sweeps.pruners.{pruner}"}
    section |= {"startup_trials": 1} if pruner == "median" else {}
    tpe, goal = {"_target_": "dlcli.sweeps.samplers.tpe"}, [Objective("val/loss", "min")]
    study = Study(read_space(NUMBERS, lambda _: []), goal, tpe, section, 0, 1, 3)
    good, bad = (Trial(n, {}, Path(), str(n), reports=dict.fromkeys((1, 2, 3), float(n))) for n in (0, 1))
    for trial in (good, bad):
        study.ask(trial.number)
    assert [study.report(good, step) for step in (1, 2, 3)] == [False] * 3
    good.state, good.values = "finished", (0.0,)
    study.tell(good)
    assert study.report(bad, 1)
    assert not study.report(bad, 3)
