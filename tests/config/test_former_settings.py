"""Searches that an earlier version started: its defaults are kept, and told."""

import copy
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import dlcli
from dlcli.config.compose import draft
from dlcli.config.former_settings import former_options
from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
from dlcli.errors import ConfigError
from dlcli.events import Event, Note
from dlcli.experiment import plan_experiment
from dlcli.resumption import Resumption
from dlcli.runs.folder import open_run
from dlcli.runs.recorded import read_config, read_words
from dlcli.sweeps import todays_models
from dlcli.sweeps.plan import SweepPlan
from dlcli.sweeps.planning import plan_sweep
from dlcli.sweeps.replanning import plan_again, plan_nested_again
from dlcli.tracking.ledger import Ledger

QUICK = ["dataset=iris", "model=mlp", "trainer.max_epochs=3", "trainer.accelerator=cpu"]
SPACE = ["optimizer.lr=0.1,0.2"]


class Recorded:
    """The part of an opened run that planning reads."""

    def __init__(self, config: dict[str, Any], folder: Path) -> None:
        self.config, self.ledger = config, self
        self.runs_dir, self.run_id, self.run_dir = folder, "0", folder

    def check_rows(self, *_: Any) -> None:
        """The rows are those of the record."""


def earlier(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration as a version recorded it that had fewer keys and other defaults."""
    was = copy.deepcopy(config)
    for section, key in (
        ("model", "embedding_dropout"),
        ("model", "bins"),
        ("preprocessing", "texts"),
        ("executor", "stack"),
    ):
        del was[section][key]
    was["model"]["activation"] = "gelu"
    return was


KEPT = [
    "model.activation=gelu",
    "model.embedding_dropout=0",
    "preprocessing.texts=drop",
    "executor.stack=false",
]


def resumed(words: list[str], config: dict[str, Any], folder: Path, heard: list[Event]) -> SweepPlan:
    opened: Any = Recorded(config, folder)
    return plan_again(Resumption(opened, config, tuple(words)), (), heard.append)


def test_a_resumed_sweep_keeps_the_defaults_that_it_was_started_with(tmp_path: Path) -> None:
    words, heard = [*QUICK, *SPACE], list[Event]()
    now = plan_sweep(words, (), tmp_path)
    plan = resumed(words, earlier(now.config), tmp_path, heard)
    for config in (plan.config, plan.trial_config({"optimizer.lr": 0.2})):
        assert config["model"]["activation"] == "gelu"
        assert config["model"]["embedding_dropout"] == 0
        assert config["model"]["bins"] == now.config["model"]["bins"]
        assert config["preprocessing"]["texts"] == "drop"
    assert [event.text for event in heard if isinstance(event, Note)] == [
        f"The search keeps the defaults that it was started with: {', '.join(KEPT)}"
    ]
    heard.clear()
    assert resumed(words, now.config, tmp_path, heard).config == now.config
    assert not heard


def test_a_resumed_sweep_keeps_the_options_that_it_was_started_with(tmp_path: Path) -> None:
    """The model of image folders was a CNN, with the optimizer and the early stopping of most models."""
    for number in range(20):
        folder = tmp_path / "images" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number).save(folder / f"{number}.png")
    words = ["dataset=image_folder", f"dataset.path='{tmp_path}/images'", "model.hidden=8,16"]
    former = [
        *("model=cnn", "optimizer=adam", "scheduler=none", "weight_averaging=none", "callbacks=default"),
        "trainer=default",
    ]
    was, heard = plan_sweep([*former, *words], (), tmp_path).config, list[Event]()
    plan = resumed(words, was, tmp_path, heard)
    assert plan.config["model"] == was["model"]
    assert [event.text for event in heard if isinstance(event, Note)] == [
        f"The search keeps the defaults that it was started with: {', '.join(former[:-1])}"
    ]
    assert plan.trial_config({"model.hidden": 16})["optimizer"] == was["optimizer"]


def test_a_resumed_search_in_folds_keeps_them_too(tmp_path: Path) -> None:
    words, heard = [*QUICK, "cv=nested", "cv.space={optimizer.lr:[0.1,0.2]}"], list[Event]()
    config = plan_experiment(words, (), tmp_path).estimation.config
    opened: Any = Recorded(earlier(config), tmp_path)
    search = plan_nested_again(Resumption(opened, config, tuple(words)), (), heard.append)
    assert search.estimation.config["model"]["activation"] == "gelu"
    assert any(isinstance(event, Note) and KEPT[1] in event.text for event in heard)


@pytest.mark.parametrize("beside", (False, True))
def test_changes_of_the_users_own_files_are_refused(
    beside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the name of the user's folder begins with that of the shipped one, beside it."""
    conf = tmp_path / "conf"
    (conf / "model").mkdir(parents=True)
    own = conf / "model" / "mine.yaml"
    own.write_text("_target_: dlcli.models.mlp.MLP\nhidden: 8\n")
    words = [*QUICK[:1], "model=mine", *QUICK[2:], *SPACE]
    was = plan_sweep(words, [conf], tmp_path).config
    own.write_text("_target_: dlcli.models.mlp.MLP\nhidden: 9\n")
    opened: Any = Recorded(was, tmp_path)
    if beside:
        monkeypatch.setattr("dlcli.config.former_settings.shipped_folder", lambda: tmp_path / "con")
    with pytest.raises(ConfigError, match="model: differs from the value that the run was started with"):
        plan_again(Resumption(opened, was, tuple(words)), [conf], lambda _: None)


def test_a_resumed_search_keeps_options_that_the_project_did_not_replace(tmp_path: Path) -> None:
    """A dataset's suggestion had precedence over an option of dlcli.yaml."""
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "dlcli.yaml").write_text("model: table_resnet\noptimizer: sgd\n")
    words, heard = [QUICK[0], *QUICK[2:], *SPACE], list[Event]()
    for former, kept in ((["model=mlp"], "mlp"), ([], "table_resnet")):
        was = plan_sweep([*former, *words], [conf], tmp_path).config
        opened: Any = Recorded(was, tmp_path)
        plan = plan_again(Resumption(opened, was, tuple(words)), [conf], heard.append)
        assert plan.config == was
        assert kept.replace("_", "") in plan.config["model"]["_target_"].lower().replace("_", "")
        told = [event.text for event in heard if isinstance(event, Note)]
        heard.clear()
        started = "The search keeps the defaults that it was started with: model=mlp"
        assert told == ([started] if former else [])
    # A model with options of its own, which the project replaces today.
    words = ["dataset=cifar10", *words[1:]]
    (conf / "dlcli.yaml").write_text("optimizer: sgd\nmodel: cnn\n")
    recorded = draft(["dataset=cifar10"], (), SUPPLIED, BY_DATA).composed.config
    now = draft(words[:1], (conf,), SUPPLIED, BY_DATA).composed
    assert former_options(now, recorded) == {"model": "vgg", "optimizer": "adamw_image"}


def test_defaults_of_searched_options_are_todays_and_announced(tmp_path: Path) -> None:
    words, heard = [QUICK[0], "model=mlp,linear", *QUICK[2:]], list[Event]()
    plan = resumed(words, earlier(plan_sweep(words, (), tmp_path).config), tmp_path, heard)
    assert plan.trial_config({"model": "linear"})["preprocessing"]["texts"] == "drop"
    assert [event.text for event in heard if isinstance(event, Note)] == [
        f"The search keeps the defaults that it was started with: {', '.join(KEPT[2:])}",
        "New trials have today's defaults of searched options: model.activation, model.embedding_dropout",
    ]


def test_defaults_of_each_searched_model_are_compared_with_its_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["dataset=iris", "model=linear,mlp", "trainer.max_epochs=1", "sweep.refit=false"]
    search = dlcli.sweep([*words, "trainer.accelerator=cpu"], runs_dir=tmp_path)
    opened, heard = open_run(str(search.run_dir), tmp_path), list[Event]()
    again = Resumption(opened, opened.config, tuple(read_words(opened.ledger)))
    plan_again(again, (), heard.append)
    assert not heard  # nothing has changed

    def with_former(ledger: Ledger) -> dict[str, Any]:
        config = read_config(ledger)
        return {**config, "model": {**config["model"], "activation": "gelu"}}

    monkeypatch.setattr(todays_models, "read_config", with_former)
    plan_again(again, (), heard.append)
    assert [event.text for event in heard if isinstance(event, Note)] == [
        "New trials with model=mlp differ from its earlier ones by today's defaults: model.activation=relu (was gelu)"
    ]


def test_a_search_from_before_ensembles_ends_with_a_refit(tmp_path: Path) -> None:
    words, heard = ["dataset=iris", "effort=best", "sweep.timeout=null", "sweep.models=[mlp]"], list[Event]()
    now = plan_sweep(words, (), tmp_path)
    assert now.options.ensemble > 0
    was = copy.deepcopy(now.config)
    del was["sweep"]["ensemble"]
    assert resumed(words, was, tmp_path, heard).options.ensemble == 0
    assert "sweep.ensemble=0" in "".join(event.text for event in heard if isinstance(event, Note))
