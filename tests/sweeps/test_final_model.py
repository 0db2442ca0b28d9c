"""The reasons for which a sweep with `sweep.ensemble` refits its best trial instead."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dlcli.datasets.data import Data
from dlcli.events import ignore
from dlcli.sweeps.final_model import make_final_model
from dlcli.sweeps.objective import Objective
from dlcli.sweeps.sweep_options import Sweep

LOSS, SIZE = Objective("val/loss", "min"), Objective("model/parameters", "min")
TABLE = Data(name="d", kind="table", x=np.zeros((4, 2)), y=np.arange(4) % 2, classes=("a", "b"))
LATER = Data(name="d", kind="table", x=np.zeros((4, 2)), y=np.arange(4.0), targets=("t",), times=np.arange(4))


@pytest.mark.parametrize(
    ("objectives", "data", "folds", "reason"),
    [
        ([LOSS, SIZE], TABLE, 2, "selected by one metric"),
        ([SIZE], TABLE, 2, "selected by one metric"),
        ([LOSS], LATER, 1, "the latest rows"),
        ([LOSS], TABLE, 2, "no trial has kept its weights"),
        ([LOSS], LATER, 3, "the latest rows"),
    ],
)
def test_why_a_search_has_no_ensemble(
    objectives: list[Objective], data: Data, folds: int, reason: str, tmp_path: Path
) -> None:
    plan: Any = SimpleNamespace(
        options=Sweep(ensemble=3, refit=False),
        objectives=objectives,
        estimation=SimpleNamespace(data=data, splits=[None] * folds),
    )
    records: Any = SimpleNamespace()
    standing: Any = SimpleNamespace(ranked=[])
    (tmp_path / "explanation.json").write_text("{}")  # of the model that the sweep had before it was extended
    found = make_final_model(plan, records, tmp_path, standing, ignore)
    assert not found.metrics and not list(tmp_path.iterdir())
    assert reason in " ".join(found.messages)
