"""`model=linear` on real tables against scikit-learn's solutions with the same penalty, inputs and rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from torch.nn.functional import one_hot

import dlcli
from dlcli.datasets.table import load
from dlcli.runs.folder import recorded_epochs
from dlcli.splits.split import Split
from dlcli.tracking.best_epoch import best_epoch
from dlcli.tracking.ledger import Ledger

CLASSES = {
    "penguins": "species",
    "telco-churn": "Churn",
    "pima-indians-diabetes": "c8",
    "wheat-seeds": "c7",
    "winequality-red": "c11",
    "ionosphere": "c34",
}
NUMBERS = {"housing": "c13", "power-plant": "PE"}


def solved(file: Path, target: str, place: Path) -> tuple[dlcli.Result, float, dict[str, tuple[Any, Any]]]:
    """Return a run on at most 240 training rows, the chosen penalty, and inputs and targets of each part."""
    run = dlcli.train(
        [
            *(
                "dataset=table",
                f"dataset.path='{file}'",
                f"dataset.target={target}",
                "trainer.limit_rows=240",
            ),
            *("model=linear", "trainer.accelerator=cpu", f"runs_dir='{place}'"),
        ]
    )
    best = best_epoch(Ledger.load(run.run_dir).metrics) or 0
    data, split = load(str(file), target), Split.load(run.run_dir / "split.npz")
    fields = dlcli.load_run(run.run_dir).fields(data.x)
    inputs = [torch.as_tensor(fields["x"][:]).float()]
    if "x_cat" in fields:  # code 0 has no weights
        codes = torch.as_tensor(fields["x_cat"][:]).long()
        inputs += [one_hot(column)[:, 1:].float() for column in codes.T]
    x = torch.cat(inputs, dim=1).double().numpy()
    parts = {name: (x[rows], np.asarray(data.y)[rows]) for name, rows in vars(split).items() if name in PARTS}
    return run, recorded_epochs(run.run_dir)[best - 1]["penalty"], parts


PARTS = ("train", "val", "test")


@pytest.mark.parametrize("table", CLASSES)
def test_classes_have_the_loss_of_logistic_regression(table: str, shared_data: Path, tmp_path: Path) -> None:
    run, penalty, parts = solved(shared_data / "tabular" / f"{table}.csv", CLASSES[table], tmp_path)
    x, y = parts["train"]
    expected = LogisticRegression(C=1 / (len(y) * penalty), max_iter=20_000, tol=1e-8).fit(x, y)
    for part in ("val", "test"):
        x, y = parts[part]
        loss = log_loss(y, expected.predict_proba(x))
        assert run.metrics[f"{part}/loss"] == pytest.approx(loss, rel=0.01, abs=1e-5), (part, penalty)


@pytest.mark.parametrize("table", NUMBERS)
def test_numbers_have_the_loss_of_ridge_regression(table: str, shared_data: Path, tmp_path: Path) -> None:
    run, penalty, parts = solved(shared_data / "tabular" / f"{table}.csv", NUMBERS[table], tmp_path)
    x, y = parts["train"]
    mean, deviation = y.mean(), y.std()
    expected = Ridge(alpha=len(y) * penalty / 2).fit(x, (y - mean) / deviation)
    for part in ("val", "test"):
        x, y = parts[part]
        loss = np.square(mean + deviation * expected.predict(x).ravel() - y.ravel()).mean()
        assert run.metrics[f"{part}/mse"] == pytest.approx(loss, rel=0.01), (part, penalty)
