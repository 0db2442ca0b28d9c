"""A resumed run accepts a change of its length only if the result equals that of a run of that length."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

import dlcli
from dlcli.assembly.optimization import make_schedule
from dlcli.checks.extension import find_length_problems
from dlcli.config.build import build
from dlcli.config.compose import compose
from dlcli.config.folders import options, shipped_folder
from dlcli.config.reserved_keys import SUPPLIED
from dlcli.errors import ConfigError
from dlcli.result import Result
from dlcli.runs.folder import recorded_epochs
from dlcli.tracking.ledger import Ledger
from tests.training import fitting

SHIPPED = [shipped_folder()]
QUICK = ["dataset=iris", "model=linear", "trainer.accelerator=cpu", "callbacks=none", "optimizer.lr=0.02"]
# What does not depend on the length of training, so that a run can be extended.
EXTENDED = {"none", "plateau", "step", "exponential", "ema"}
CHOICES = [(group, name) for group in ("scheduler", "weight_averaging") for name in options(group, SHIPPED)]


def config(*words: str) -> dict[str, Any]:
    return compose(words, [], SUPPLIED).config


def problems(before: list[str], after: list[str]) -> list[tuple[str, str, str]]:
    found = find_length_problems(config(*before), config(*before, *after), done=3)
    return [(p.where, p.message, p.hint) for p in found]


@pytest.mark.parametrize(("group", "name"), CHOICES)
def test_each_schedule_and_average_is_extended_exactly_or_refused(
    group: str, name: str, tmp_path: Path
) -> None:
    words = [f"{group}={name}", "trainer.max_epochs=2"]
    found = problems(words, ["trainer.max_epochs=5"])
    if name not in EXTENDED:
        ((where, message, hint),) = found
        assert where == "trainer.max_epochs"
        assert "was planned for 2 epochs, and the results so far depend on this length" in message
        assert hint.startswith("Start a new run with trainer.max_epochs=5; model.weights=RUN starts from")
        return
    assert found == []
    section = config(*words)[group]
    made: dict[str, Any] = {}
    if section and group == "scheduler":
        section = {
            **section,
            **({"step_size": 1} if name == "step" else {}),
            **({"patience": 0, "mode": "min"} if name == "plateau" else {}),
        }
        made["make_schedule"] = partial(make_schedule, section)
    elif section:
        made["averaging"] = build(section)
    train = partial(fitting.train, rows=40)
    longer = train(tmp_path / "a", epochs=5, options=made)[1]
    short = train(tmp_path / "b", epochs=2, options=made)[1]
    extended = train(tmp_path / "b", epochs=5, options={**made, "earlier": short.history})[1]
    assert fitting.figures(extended) == fitting.figures(longer)
    assert extended.best_weights.read_bytes() == longer.best_weights.read_bytes()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            ["trainer.max_epochs=5"],
            ["trainer.max_epochs=1"],
            "planned for 5 epochs, and cannot become shorter",
        ),
        (["trainer.max_epochs=-1"], ["trainer.max_epochs=2"], "the run has completed 3 epochs already"),
        (
            ["scheduler=cosine", "trainer.max_epochs=-1", "trainer.max_steps=9"],
            ["trainer.max_epochs=9"],
            "the schedule (cosine) was planned for an unlimited number of epochs",
        ),
        (["scheduler=cosine"], ["trainer.max_epochs=-1"], "the schedule (cosine) was planned for 20 epochs"),
        (
            ["trainer.max_steps=5"],
            ["trainer.max_steps=9"],
            "a limit of steps may end training within an epoch",
        ),
        ([], ["trainer.max_steps=9"], "a limit of steps may end training within an epoch"),
        (["trainer.max_time=00:01:00:00"], ["trainer.max_time=00:00:01:00"], "was planned for a longer time"),
    ],
    ids=str,
)
def test_a_length_that_cannot_be_continued_is_refused(
    before: list[str], after: list[str], message: str
) -> None:
    ((where, found, hint),) = problems(before, after)
    assert where == after[0].partition("=")[0]
    assert message in found
    assert hint


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["trainer.max_epochs=5"], ["trainer.max_epochs=-1"]),
        (["trainer.max_epochs=-1"], ["trainer.max_epochs=3"]),
        (["scheduler=cosine"], ["trainer.max_epochs=20"]),
        (["trainer.max_time=00:00:01:00"], ["trainer.max_time=00:01:00:00"]),
        (["trainer.max_time=00:00:01:00"], ["trainer.max_time=null"]),
        (["weight_averaging=swa"], ["trainer.max_time=00:01:00:00"]),
    ],
    ids=str,
)
def test_other_lengths_are_accepted(before: list[str], after: list[str]) -> None:
    assert problems(before, after) == []


@pytest.mark.parametrize(
    ("before", "epochs", "message"),
    [
        ([], 50, ""),
        ([], 3, ""),
        ([], 2, "the run has completed 3 epochs already"),
        (
            ["scheduler=cosine"],
            50,
            "was planned for 1,000 epochs, and the results so far depend on this length",
        ),
    ],
    ids=str,
)
def test_a_run_that_has_not_ended_can_become_shorter(before: list[str], epochs: int, message: str) -> None:
    old, new = (config(*before, f"trainer.max_epochs={n}") for n in (1000, epochs))
    found = [p.message for p in find_length_problems(old, new, done=3, is_open=True)]
    assert len(found) == bool(message)
    assert message in "".join(found)


def test_a_length_is_shown_as_it_is_typed() -> None:
    ((_, message, hint),) = problems(["trainer.max_epochs=20000000"], ["trainer.max_epochs=1000000"])
    assert "planned for 20,000,000 epochs" in message
    assert hint.endswith("start a new run with trainer.max_epochs=1000000.")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("runs")
    return dlcli.train([*QUICK, "trainer.max_epochs=2", "run_name=short", f"runs_dir='{folder}'"])


def test_a_shorter_run_is_refused_and_its_configuration_stays(short: Result) -> None:
    before = (short.run_dir / "config.yaml").read_bytes()
    with pytest.raises(ConfigError, match="the run was planned for 2 epochs, and cannot become shorter"):
        dlcli.resume(short.run_dir, ["trainer.max_epochs=1"])
    assert (short.run_dir / "config.yaml").read_bytes() == before


def test_the_limit_of_a_debug_run_is_lifted(tmp_path: Path) -> None:
    debug = ["dataset=iris", "model=mlp", "model.hidden=4", "trainer=debug", "trainer.accelerator=cpu"]
    result = dlcli.train([*debug, f"runs_dir='{tmp_path}'"])
    longer = dlcli.resume(result.run_dir, ["trainer.max_epochs=3"])
    trainer = yaml.safe_load((longer.run_dir / "config.yaml").read_text())["trainer"]
    assert (trainer["max_epochs"], trainer["limit_epochs"]) == (3, 3)
    assert len(recorded_epochs(longer.run_dir)) == 3


def test_a_variable_of_the_environment_does_not_change_a_resumed_run(
    short: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PL_TRAINER_LIMIT_TRAIN_BATCHES", "1")
    with pytest.raises(
        ConfigError, match="the environment variable PL_TRAINER_LIMIT_TRAIN_BATCHES would change"
    ):
        dlcli.resume(short.run_dir, ["trainer.max_epochs=3"])


def test_a_tag_has_the_changed_setting_that_a_param_cannot_have(short: Result) -> None:
    longer = dlcli.resume(short.run_dir, ["trainer.max_epochs=4"])
    assert longer.run_id == short.run_id
    run = MlflowClient(longer.tracking_uri).get_run(longer.run_id)
    assert run.data.params["trainer.max_epochs"] == "2"
    assert run.data.tags["dlcli.changed.trainer.max_epochs"] == "4"
    changed = [tag for tag in Ledger.load(longer.run_dir).tags if tag.startswith("dlcli.changed")]
    assert changed == ["dlcli.changed.trainer.max_epochs"]


def test_a_kill_between_a_tag_and_its_setting_is_mended_by_the_next_resumption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = dlcli.train([*QUICK, "optimizer=adam", "trainer.max_epochs=1", f"runs_dir='{tmp_path}'"]).run_dir

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    tag = "dlcli.changed.trainer.max_epochs"
    with monkeypatch.context() as patch:
        patch.setattr("dlcli.tracking.digests.atomic_write", killed)
        with pytest.raises(KeyboardInterrupt):
            dlcli.resume(run, ["trainer.max_epochs=2"])
    assert Ledger.load(run).tags[tag] == "2"
    dlcli.resume(run)
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["max_epochs"] == 1
    assert Ledger.load(run).tags[tag] == "1"
