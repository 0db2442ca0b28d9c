"""With `dataset.id`, a forecast has a network and absolute errors by default, which give way to the user's choices."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import dlcli
from dlcli.config.compose import draft
from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
from dlcli.events import Event, Note
from dlcli.experiment import plan_experiment
from dlcli.resumption import Resumption
from dlcli.sweeps.planning import plan_sweep
from dlcli.sweeps.replanning import plan_again
from dlcli.sweeps.search_in_folds import shared_in_folds
from dlcli.tracking.ledger import Ledger

ONE = ["dataset=series", "dataset.path=x.csv"]
SEVERAL = [*ONE, "dataset.id=who"]


def composed(*words: str, folders: tuple[Path, ...] = ()) -> tuple[str, str | None, Any]:
    found = draft(words, folders, SUPPLIED, BY_DATA).composed
    return found.choices["model"], found.choices.get("task/loss"), found.config["dataset"]["batch_size"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (ONE, ("linear_forecast", None, 32)),
        ([*ONE, "dataset.id=null"], ("linear_forecast", None, 32)),
        (SEVERAL, ("mlp", "mae", "auto")),
        ([*SEVERAL, "model.hidden=8", "optimizer.lr=0.1"], ("mlp", "mae", "auto")),
        ([*SEVERAL, "task/loss=quantile", "dataset.batch_size=8"], ("mlp", "quantile", 8)),
        ([*SEVERAL, "model=linear_forecast"], ("linear_forecast", None, 32)),
        ([*SEVERAL, "model=segrnn"], ("segrnn", "mae", "auto")),
        ([*SEVERAL, "model=linear_forecast", "optimizer=adam"], ("linear_forecast", "mae", "auto")),
        ([*SEVERAL, "model.shared=true"], ("linear_forecast", None, 32)),
        ([*SEVERAL, "optimizer.first=0.1"], ("linear_forecast", None, 32)),
        ([*SEVERAL, "optimizer=penalty_path"], ("linear_forecast", None, 32)),
        ([*SEVERAL, "model.patch=8"], ("mlp", "mae", "auto")),  # a mistake with both
        (["experiment=etth1_linear", *SEVERAL], ("linear_forecast", None, 32)),
    ],
)
def test_the_defaults_give_way_to_what_is_chosen(
    words: list[str], expected: tuple[str, str | None, Any]
) -> None:
    model, loss, size = composed(*words)
    assert (model, loss) == expected[:2]
    assert size == expected[2] or words[0].startswith("experiment")


@pytest.mark.parametrize(
    ("text", "one", "several"),
    [
        ("model: gru\n", ("gru", None, 32), ("gru", "mae", "auto")),
        ("model: linear_forecast\n", ("linear_forecast", None, 32), ("linear_forecast", None, 32)),
        ("optimizer: penalty_path\n", ("linear_forecast", None, 32), ("linear_forecast", None, 32)),
        ("optimizer: sgd\n", ("linear_forecast", None, 32), ("mlp", "mae", "auto")),
        ("task/loss: huber\n", ("linear_forecast", "huber", 32), ("mlp", "huber", "auto")),
    ],
)
def test_options_of_the_project_are_chosen_as_on_the_command_line(
    text: str, one: Any, several: Any, tmp_path: Path
) -> None:
    (tmp_path / "dlcli.yaml").write_text(text)
    word = text.strip().replace(": ", "=")
    assert composed(*ONE, folders=(tmp_path,)) == one == composed(*ONE, word)
    assert composed(*SEVERAL, folders=(tmp_path,)) == several == composed(*SEVERAL, word)


def test_the_defaults_come_from_the_dataset_s_file_not_from_the_command_line() -> None:
    found = draft([*SEVERAL, "model.hidden=8"], (), SUPPLIED, BY_DATA).composed
    assert found.overrides == (*SEVERAL, "model.hidden=8")
    assert "series.yaml:" in found.origins()["dataset.batch_size"]
    assert found.origins()["model.hidden"] == "command line"


def series(folder: Path) -> list[str]:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"who": np.repeat(["a", "b"], 60), "t": [*range(60)] * 2})
    frame.assign(v=draw.normal(size=120)).to_csv(folder / "x.csv", index=False)
    rest = ["dataset.id=who", "dataset.time=t", "dataset.horizon=3", "dataset.season=1"]
    return ["dataset=series", f"dataset.path='{folder}/x.csv'", *rest, "trainer.accelerator=cpu"]


@pytest.mark.parametrize(
    "words",
    [[], ["model=mlp"], ["model=linear_forecast,segrnn"], ["sweep=auto", "model=linear_forecast,mlp"]],
)
def test_all_trials_of_a_search_have_the_defaults(words: list[str], tmp_path: Path) -> None:
    plan = plan_sweep([*series(tmp_path), *words], (), tmp_path)
    points = [plan.space.first, *(params for _, params in plan.space.neighbours())]
    for params in points:
        config, tags = plan.trial(params)
        assert config["task"]["loss"]["_target_"].endswith(".MAE")
        is_solved = config["optimizer"]["_target_"].endswith("PenaltyPath")
        assert is_solved or any(tag.endswith("dataset.batch_size") for tag in tags)
    names = {params.get("model") for params in points}
    assert ("several series" in plan.decided) is (len(names) > 1)
    if "several series" in plan.decided:
        assert "task/loss=mae" in plan.command(plan.space.first)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["seed=0,1"], ["model=linear_forecast", "optimizer=penalty_path"]),
        (["model=mlp", "seed=0,1"], ["task/loss=mse"]),
        (["model=mlp,linear_forecast"], []),
    ],
)
def test_a_search_from_before_keeps_model_loss_and_batches(
    words: list[str], told: list[str], tmp_path: Path
) -> None:
    rows, former = series(tmp_path), ["task/loss=mse", "dataset.batch_size=32"]
    model = [] if words[0].startswith("model") else ["model=linear_forecast"]
    was, heard = plan_sweep([*rows, *model, *former, *words], (), tmp_path).config, list[Event]()
    opened: Any = SimpleNamespace(config=was, run_dir=tmp_path, runs_dir=tmp_path, run_id="0", tags={})
    opened.ledger, opened.check_rows = opened, lambda *_: None
    plan = plan_again(Resumption(opened, was, (*rows, *words)), (), heard.append)
    for key in ("model", "task", "optimizer", "dataset"):
        assert plan.config[key] == was[key]
    for word in told:
        assert any(isinstance(event, Note) and word in event.text for event in heard)


@pytest.mark.parametrize("space", [{"model": ["mlp", "linear_forecast"]}, {"model.hidden": [4, 8]}])
def test_models_of_a_search_in_folds_share_the_loss(space: dict[str, Any]) -> None:
    composed = draft(SEVERAL, (), SUPPLIED, BY_DATA).composed
    experiment: Any = SimpleNamespace(composed=composed, config={"cv": {"space": space}})
    shared = ["task/loss=mae", "dataset.batch_size=auto"] if "model" in space else []
    former = ["task/loss=mse", "dataset.batch_size=32"] if shared else []
    assert shared_in_folds(experiment, SEVERAL) == shared
    assert (
        shared_in_folds(experiment, SEVERAL, {"task": {"loss": {"_target_": "dlcli.tasks.losses.MSE"}}})
        == former
    )
    assert shared_in_folds(experiment, [*SEVERAL, "task/loss=huber"]) == shared[1:]


def test_the_choice_is_recorded_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series(tmp_path)
    monkeypatch.chdir(tmp_path)
    words = [*SEVERAL, "dataset.time=t", "dataset.horizon=3", "dataset.season=1", "trainer.max_epochs=1"]
    words += ["trainer.accelerator=cpu", "baseline=none"]
    told = {choice.key: choice.told for choice in plan_experiment(words).choices}
    assert told["model"] == ("MLP for several series (model=mlp, task/loss=mae, dataset.batch_size=auto)")
    other = {choice.key: choice.told for choice in plan_experiment([*words, "model=mlp"]).choices}
    assert other["task.loss"] == "MAE for several series (task/loss=mae, dataset.batch_size=auto)"
    assert "model" not in other
    other = {choice.key: choice.told for choice in plan_experiment([*words, "model.shared=true"]).choices}
    assert other["model"] == "LinearForecast for model.shared, which model=mlp does not have"
    run = dlcli.train([*words, "cv=time_series", "cv.folds=2"])
    config = yaml.safe_load((run.run_dir / "config.yaml").read_text())
    assert config["model"]["_target_"].endswith(".MLP")
    fold = Ledger.load(run.folds[0].run_dir)
    assert fold.about["panel"]["chosen"] == f"auto: {told['model']}"
