"""`auto` is resolved once per experiment, from its smallest fold, and applies to its trials and its refit too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import dlcli
from dlcli.assembly.automatic import automatic_tags, describe_choices, recorded_choices
from dlcli.cross_validation.children import families
from dlcli.errors import ConfigError
from dlcli.experiment import plan_experiment
from dlcli.inference.saved_model import load_model
from dlcli.sweeps.planning import plan_sweep
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.manifest import Manifest

ROWS = 1300
QUICK = ["model=tabm", "model.hidden=4", "model.members=2", "trainer.max_epochs=1", "trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A table of which a hold-out trains on less than 1,000 rows, and its refit on more."""
    generator = np.random.default_rng(0)
    words = generator.choice(["a", "b", "c"], ROWS)
    frame = pd.DataFrame({"x": generator.normal(size=ROWS), "word": words, "y": generator.normal(size=ROWS)})
    file = tmp_path_factory.mktemp("table") / "t.csv"
    frame.to_csv(file, index=False)
    return ["dataset=table", f"dataset.path={file}", "dataset.target=y", *QUICK]


def data_of(words: list[str]) -> list[str]:
    return [word for word in words if word.startswith("dataset")]


def chosen(config: dict[str, Any]) -> tuple[Any, ...]:
    return config["dataset"]["batch_size"], config["model"]["members"], config["model"]["numbers"]


def test_the_smallest_fold_decides(table: list[str]) -> None:
    whole = plan_experiment([*table, "cv=kfold", "cv.folds=13", "cv.val_size=0.1", "model.members=auto"])
    assert [len(split.train) for split in whole.splits][:1] > [999]
    assert chosen(whole.config) == (32, 8, "piecewise")
    least = min(len(split.train) for split in whole.splits)
    assert [choice.reason for choice in whole.choices] == [f"for {least:,} training rows"] * 3
    assert whole.estimation.config == whole.config
    assert plan_experiment([*table, "cv=kfold", "cv.folds=2"]).config["model"]["numbers"] == "plain"


def test_the_refit_is_of_the_evaluated_model(
    table: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = dlcli.train([*table, "cv.refit=true", "cv.test_size=0.1", "cv.val_size=0.3", "baseline=none"])
    parent = Ledger.load(run.run_dir)
    children = families(parent)[parent.run_id]
    assert Ledger.load(children["refit"]).about["panel"]["rows"].startswith("1,170 train")
    for folder in (run.run_dir, *children.values()):
        assert chosen(yaml.safe_load((folder / "config.yaml").read_text())) == (32, 2, "plain")
        assert Ledger.load(folder).tags["dlcli.auto.model.numbers"] == "plain for 819 training rows"
    assert Ledger.load(children["refit"]).about["panel"]["numbers"] == "auto: plain for 819 training rows"
    assert load_model(run.run_dir / "model", trust=True).network.model.numbers is None


def test_the_path_of_penalties_is_that_of_the_smallest_fold(table: list[str]) -> None:
    """A refit trains as many epochs as the best fold, which would be another penalty on a path of its own."""
    folds = plan_experiment([*data_of(table), "model=linear", "cv=kfold", "cv.folds=3"])
    least = min(len(split.train) for split in folds.splits)
    assert folds.config["optimizer"]["first"] == 1.0
    assert folds.choices == (
        ("optimizer.first", 1.0, f"as the first penalty for {least:,} training rows"),
        ("optimizer.factor", 0.1, "as the ratio of penalties for this kind of data"),
    )
    automatic = replace(folds.automatic, rows=np.arange(3800))
    left_open = {**folds.config, "optimizer": {**folds.config["optimizer"], "first": None}}
    assert automatic.settle(left_open)["optimizer"]["first"] == 0.1
    assert automatic.settle(folds.config) == folds.config
    # The searches of earlier versions recorded null.
    assert replace(automatic, earlier=left_open).settle(left_open) == left_open


def test_trials_agree_with_the_experiment(table: list[str]) -> None:
    plan = plan_sweep([*table, "cv.val_size=0.3", "cv.test_size=0.1", "model.numbers=auto,periodic"])
    assert plan.trial_config({"model.numbers": "auto"})["model"]["numbers"] == "plain"
    assert plan.trial_config({"model.numbers": "periodic"})["model"]["numbers"] == "periodic"
    assert plan.trial_config({"model.numbers": "auto"})["dataset"]["batch_size"] == 32
    # The first point has no members.
    plan = plan_sweep([*data_of(table), "model=mlp,tabm"])
    reason = f"8 for {len(plan.experiment.automatic.rows):,} training rows"
    assert plan.trial({"model": "tabm"})[1]["dlcli.auto.model.members"] == reason
    assert list(plan.trial({"model": "mlp"})[1]) == ["dlcli.auto.dataset.batch_size"]
    # The searches of earlier versions recorded `auto`.
    earlier = {**plan.config, "dataset": {**plan.config["dataset"], "batch_size": "auto"}}
    again = plan_experiment([*table, "model.numbers=auto"], earlier=earlier)
    assert again.config["dataset"]["batch_size"] == "auto"
    assert again.config["model"]["numbers"] == "plain"


def test_a_changed_choice_is_not_reported() -> None:
    tags = {"dlcli.auto.dataset.batch_size": "32 for 109 training rows", "dlcli.seed": "0"}
    config = {"dataset": {"batch_size": 32}, "model": {}}
    assert describe_choices(tags, config) == {"batch_size": "auto: 32 for 109 training rows"}
    assert recorded_choices(tags, {"dataset": {"batch_size": 64}}) == {}


def test_columns_of_numbers_are_counted_as_the_model_gets_them(table: list[str]) -> None:
    numbers = [
        "dataset.drop=[x]",
        "preprocessing.categorical=embedding",
        "cv.test_size=0.1",
        "cv.val_size=0.1",
    ]
    words = plan_experiment([*table, *numbers])
    assert words.config["model"]["numbers"] == "plain"
    assert words.choices[-1].reason == "for 0 columns of numbers"
    words.rehearse(quick=True)


def test_a_run_starts_from_weights_of_bins(
    table: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rehearsal has a few rows, in which some words are missing, and whose bins are others."""
    monkeypatch.chdir(tmp_path)
    words = [*table, "cv.test_size=0.1", "cv.val_size=0.1", "baseline=none"]
    first = dlcli.train(words)
    weights = f"model.weights={first.run_dir / 'model' / 'weights.safetensors'}"
    second = dlcli.train([*words, weights])
    model = load_model(second.run_dir / "model", trust=True).network.model
    assert model.numbers is not None and model.numbers.vectors is not None

    # An earlier version recorded `auto`, whose meaning may have changed: the weights decide.
    folder = second.run_dir / "model"
    description = json.loads((folder / "model.json").read_text())
    description["model"] |= {"numbers": "auto", "members": "auto"}
    description["model_facts"]["training_rows"] = 10
    Manifest.load(folder).replace({"model.json": json.dumps(description)})
    older = load_model(folder, trust=True).network.model
    assert older.members == 2
    assert older.numbers.width == model.numbers.width


def test_batches_are_divided_among_devices(table: list[str]) -> None:
    with pytest.raises(ConfigError, match="a batch of 32 cannot be divided among 64 devices"):
        plan_experiment([*table, "trainer=ddp", "trainer.devices=64"])


def test_augmentation_follows_from_images_and_what_is_trained() -> None:
    """Its choices are keys of its section, or the section itself, which is then empty."""
    plan = plan_experiment(["dataset=digits", "model=cnn", "augmentation=auto", "cv.test_size=0.1"])
    assert plan.config["augmentation"] == {}
    assert plan.choices == (("augmentation", "none", "for grey images of 8 x 8 pixels"),)
    assert automatic_tags(plan.choices) == {"dlcli.auto.augmentation": "none for grey images of 8 x 8 pixels"}
    assert recorded_choices(automatic_tags(plan.choices), plan.config)
    assert not recorded_choices(automatic_tags(plan.choices), {"augmentation": {"flip": 0.5}})
    left_open = plan.composed.config
    rows = len(plan.data)

    def settled(shape: tuple[int, ...], colour: int = 9, **sections: Any) -> tuple[Any, ...]:
        x = np.zeros((rows, *shape), np.uint8)
        x[..., 0] = colour
        data = replace(plan.data, x=x)
        found = replace(plan.automatic, data=data).settle({**left_open, **sections})["augmentation"]
        return found.get("flip"), found.get("crop")

    assert settled((32, 40, 3)) == (0.5, 0.125)
    assert settled((28, 28)) == settled((28, 28, 3), 0) == (0.0, 0.04)
    assert settled((32, 32, 3), augmentation={**left_open["augmentation"], "flip": 0.0}) == (0.0, 0.125)
    assert settled((32, 32, 3), finetune={"cache": True}) == (None, None)
    solver = plan_experiment(["dataset=digits", "model=linear"]).config["optimizer"]
    assert settled((32, 32, 3), optimizer=solver) == (None, None)
    few, enough, unlimited = ({**left_open["trainer"], "max_epochs": epochs} for epochs in (19, 20, -1))
    assert settled((32, 32, 3), trainer=few) == (None, None)
    assert settled((32, 32, 3), trainer=few, finetune={"tune": True}) == (0.5, 0.125)
    assert settled((32, 32, 3), trainer=enough) == settled((32, 32, 3), trainer=unlimited) == (0.5, 0.125)


def test_a_network_sees_enough_images_before_they_are_changed() -> None:
    plan = plan_experiment(["dataset=digits", "model=cnn", "augmentation=auto", "trainer.max_epochs=20"])
    grey = np.zeros((len(plan.data), 28, 28, 3), np.uint8)
    coloured = grey + np.arange(3, dtype=np.uint8)
    shifts = []
    for rows, x in ((749, coloured), (750, coloured), (749, grey)):
        automatic = replace(plan.automatic, data=replace(plan.data, x=x), rows=np.arange(rows))
        shifts.append(automatic.settle(dict(plan.composed.config))["augmentation"].get("crop"))
    assert shifts == [None, 0.125, 0.04]
