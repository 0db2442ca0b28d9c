"""The return values of a user's dataset, split, model, loss and augmentation are checked before a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from dlcli.checks.leaks import find_target_leaks
from dlcli.checks.own_rows import check_own_data, check_own_splits
from dlcli.datasets.data import Data
from dlcli.errors import ConfigError, DataError
from dlcli.splits.split import Split
from dlcli.tasks.regression import Regression
from dlcli.training.network import Network
from dlcli.training.returned_values import check_augmentation, check_loss, check_outputs

OWN = {"_target_": "mine.load"}


def data(rows: int = 4, **changed: Any) -> Data:
    given = {"x": pd.DataFrame({"a": np.arange(4.0)}), "y": np.arange(rows) % 2, "classes": ("no", "yes")}
    return Data("mine", changed.pop("kind", "table"), **{**given, **changed})


@pytest.mark.parametrize(
    "given, message",
    [
        (data(3), "mine.load returns 4 rows and 3 targets"),
        (data(kind="tabel"), "mine.load returns rows of the kind 'tabel'"),
        (data(y=np.array([0, 1, 2, 5])), "returns class codes from 0 to 5, and 2 names of classes"),
    ],
    ids=["rows", "kind", "codes"],
)
def test_rows_and_targets_that_do_not_fit_together(given: Data, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_own_data(given, OWN)
    check_own_data(given, {"_target_": "dlcli.datasets.iris.load"})


@pytest.mark.parametrize(
    "splits, message",
    [
        (None, "mine.load.splits returns nothing, not a list of Split"),
        ([], "returns a list of 0, not a list of Split"),
        (
            [Split(np.arange(2), np.arange(2, 3), np.arange(3, 9))],
            "test of fold 0 has rows from 3 to 8, and the data has 4",
        ),
    ],
    ids=["nothing", "empty", "range"],
)
def test_splits_that_are_none(splits: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_own_splits(splits, np.empty(0, np.int64), 4, OWN)


def test_return_values_of_a_model_and_a_loss_are_checked() -> None:
    network = Network(torch.nn.Linear(1, 3))
    check_outputs(torch.zeros(8, 3, requires_grad=True), (8, 3), network, "")
    for outputs, said in ((None, "returns nothing"), (torch.zeros(8, 5), r"outputs of shape \(8, 5\)")):
        with pytest.raises(ConfigError, match=f"Linear.forward {said}" if outputs is None else said):
            check_outputs(outputs, (8, 3), network, "")
    task = Regression(["y"], [0.0], [1.0], torch.nn.MSELoss())
    check_loss(torch.zeros((), requires_grad=True), task)
    for loss, said in (
        (torch.zeros(8), r"a tensor of shape \(8,\)"),
        (0.5, "a float"),
        (torch.zeros(()), "without grad"),
    ):
        with pytest.raises(ConfigError, match=f"MSELoss.forward returns .*{said}"):
            check_loss(loss, task)


def test_return_values_of_an_augmentation_are_checked() -> None:
    network, batch = Network(torch.nn.Linear(2, 3)), {"x": torch.zeros(8, 2), "y": torch.zeros(8)}
    check_augmentation(lambda given: {**given, "x": given["x"] + 1}, network, batch)
    with pytest.raises(ConfigError, match="returns no dictionary with x, y"):
        check_augmentation(lambda given: None, network, batch)
    with pytest.raises(ConfigError, match="returns 2 rows of x for 8"):
        check_augmentation(lambda given: {**given, "x": given["x"][:2]}, network, batch)


def test_series_have_no_columns_that_leak_the_target() -> None:
    series: Any = type("Series", (), {"targets": ("a", "b"), "y": None, "strata": None})()
    assert not list(find_target_leaks(pd.DataFrame(), series, np.arange(3)))
