"""The model card of a bundle describes its task correctly."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dlcli.exporting.card import model_card
from dlcli.formatting import number

TEXTS = {"dlcli.version": "0.1 | <b>", "dlcli.preprocessing": "numbers *scaled*"}


def card(kind: str, metrics: dict[str, float], rows: int) -> str:
    """Return the card of a run with these test metrics."""
    ledger = SimpleNamespace(
        run_name="a", run_id="1", created_at="2026-01-31", tags=TEXTS, result={}, metrics=metrics
    )
    network = SimpleNamespace(model=torch.nn.Linear(1, 1))
    opened: Any = SimpleNamespace(ledger=ledger, config={"dataset": {"path": "a.csv"}})
    task = SimpleNamespace(kind=kind, describe=lambda: kind)
    model: Any = SimpleNamespace(task=task, network=network, columns=None, kind="table")
    return model_card(opened, model, rows, "What the graph takes.")


@pytest.mark.parametrize(
    "kind, rows, interval",
    [("binary", 20, True), ("multilabel", 20, False), ("binary", 0, False), ("binary", 7, False)],
    ids=["rows", "rows by labels", "no rows", "other rows"],
)
def test_only_a_share_of_rows_has_the_interval_of_one(kind: str, rows: int, interval: bool) -> None:
    found = card(kind, {"test/accuracy": 0.9}, rows)
    assert ("Wilson" in found) == interval
    assert (f"| test/accuracy | {number(0.9)} | - | - |" in found) != interval


def test_numbers_have_no_probabilities() -> None:
    metrics = {"test/rmse": 2.0, "baseline/test/rmse": 3.0}
    assert "calibration_error" not in card("regression", metrics, 5)
    assert f"| test/rmse | {number(2.0)} | {number(3.0)} | - |" in card("regression", metrics, 5)
    assert "calibration_error" in card("multiclass", metrics, 5)


def test_texts_of_the_run_are_not_markup() -> None:
    found = card("regression", {"test/my|metric": 1.0}, 5)
    assert r"0.1 \| \<b\>" in found and r"numbers \*scaled\*" in found and r"test/my\|metric" in found
    assert "No test rows" in card("regression", {}, 0)
